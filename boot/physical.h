/*
 * The one way by which boot_info.c reaches what a boot loader left in memory.
 *
 * The include path chooses between this version (the kernel's: RAM as it is) and
 * tests/host/sim/boot/physical.h (a simulated memory), so that the parser runs under a fuzzer.
 */
#ifndef BOOT_PHYSICAL_H
#define BOOT_PHYSICAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* entry.S maps this much; no loader's structure is to be found above it. */
#define BOOT_PHYSICAL_END 0x100000000ULL

/*
 * Copies `size` bytes from physical address `physical`, of any alignment, to `to`. False if they
 * are not all within reach; nothing has been copied then.
 */
static inline bool boot_read(void *to, uint64_t physical, size_t size)
{
    if (physical >= BOOT_PHYSICAL_END || size > BOOT_PHYSICAL_END - physical)
        return false;
    memcpy(to, (const void *)(uintptr_t)physical, size);
    return true;
}

#endif
