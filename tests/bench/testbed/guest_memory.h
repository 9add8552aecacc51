/*
 * The guest's memory as the back end sees it. QEMU passes the files that hold it, with their
 * addresses in the guest and in QEMU itself.
 */
#ifndef TESTS_BENCH_TESTBED_GUEST_MEMORY_H
#define TESTS_BENCH_TESTBED_GUEST_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#define GUEST_REGIONS_MAX 8 /* VHOST_USER_SET_MEM_TABLE has no more */

struct guest_region {
    uint64_t guest;  /* physical address in the guest */
    uint64_t size;   /* bytes */
    uint64_t user;   /* address in QEMU, which is what vring addresses are */
    uint64_t offset; /* where it begins in its file */
    uint8_t *bytes;  /* address here */
};

struct guest_memory {
    struct guest_region regions[GUEST_REGIONS_MAX];
    unsigned count;
};

/* Maps one more region out of `file`, which stays the caller's; `bytes` of `region` is not read.
 * Ends the program if that fails. */
void guest_memory_add(struct guest_memory *memory, const struct guest_region *region, int file);

/* Unmaps all regions. Nothing that guest_memory_at gave out may be used any more. */
void guest_memory_clear(struct guest_memory *memory);

/* The byte that QEMU has at address `user`, or NULL. */
void *guest_memory_of_user(const struct guest_memory *memory, uint64_t user);

/* The `length` bytes from guest address `guest` on. Ends the program if any of them is outside all
 * regions: such a guest cannot be measured. */
uint8_t *guest_memory_at(const struct guest_memory *memory, uint64_t guest, uint64_t length);

#endif
