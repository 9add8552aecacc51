/* The simulated memory that boot_info.c reads on the host. */
#include "boot/physical.h"

#include <string.h>

static struct {
    uint64_t base;
    const uint8_t *bytes;
    size_t size;
    size_t reads;
    size_t refused;
} window;

void physical_window(uint64_t base, const void *bytes, size_t size)
{
    window.base = base;
    window.bytes = bytes;
    window.size = size;
    window.reads = 0;
    window.refused = 0;
}

bool boot_read(void *to, uint64_t physical, size_t size)
{
    uint64_t offset = physical - window.base;

    window.reads++;
    if (physical < window.base || offset >= window.size || size > window.size - offset) {
        window.refused++;
        return false;
    }
    memcpy(to, window.bytes + offset, size);
    return true;
}

size_t physical_reads(void)
{
    return window.reads;
}

size_t physical_refused(void)
{
    return window.refused;
}
