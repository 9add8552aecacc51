/* Maps the guest's memory and translates addresses. */
#include "tests/bench/testbed/guest_memory.h"

#include <err.h>
#include <sys/mman.h>

void guest_memory_add(struct guest_memory *memory, const struct guest_region *region, int file)
{
    struct guest_region *const added = &memory->regions[memory->count];

    if (memory->count == GUEST_REGIONS_MAX)
        errx(1, "more than %d pieces of guest memory", GUEST_REGIONS_MAX);
    /* From the file's beginning: an offset need not be a multiple of the page of huge-page files. */
    uint8_t *const mapped =
        mmap(NULL, region->offset + region->size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED)
        err(1, "guest memory of %llu bytes", (unsigned long long)region->size);
    *added = *region;
    added->bytes = mapped + region->offset;
    memory->count++;
}

void guest_memory_clear(struct guest_memory *memory)
{
    for (unsigned i = 0; i < memory->count; i++) {
        const struct guest_region *const region = &memory->regions[i];
        munmap(region->bytes - region->offset, region->offset + region->size);
    }
    memory->count = 0;
}

void *guest_memory_of_user(const struct guest_memory *memory, uint64_t user)
{
    for (unsigned i = 0; i < memory->count; i++) {
        const struct guest_region *const region = &memory->regions[i];
        if (user >= region->user && user - region->user < region->size)
            return region->bytes + (user - region->user);
    }
    return NULL;
}

uint8_t *guest_memory_at(const struct guest_memory *memory, uint64_t guest, uint64_t length)
{
    for (unsigned i = 0; i < memory->count; i++) {
        const struct guest_region *const region = &memory->regions[i];
        const uint64_t offset = guest - region->guest;
        if (guest >= region->guest && offset < region->size && length <= region->size - offset)
            return region->bytes + offset;
    }
    errx(1, "a descriptor of %llu bytes at 0x%llx is not in the guest's memory",
         (unsigned long long)length, (unsigned long long)guest);
}
