/*
 * The allocator behind machine/memory.h: free ranges cut out of the boot loader's memory map.
 */
#ifndef KERNEL_MEMORY_H
#define KERNEL_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "boot/boot_info.h"

/* Free RAM below which there is no point in starting: page tables, a heap and two small ports. */
#define MEMORY_NEEDED (1ULL << 20)

/*
 * Makes memory_alloc work out of `info`'s RAM, without the first MiB, the kernel's image and the
 * modules, from the end of RAM that the word buffers= names. False: less than
 * MEMORY_NEEDED is free, and the machine cannot start. Until memory_set_reach says more, only memory
 * below 4 GiB is given out: that is what the page tables of the start map. Everything needed of the
 * boot loader's structures and of the firmware's must have been copied before.
 */
bool memory_init(const struct boot_info *info);

/* From now on memory_alloc may give out memory below physical address `end`. */
void memory_set_reach(uint64_t end);

#endif
