/*
 * Pages of 4 KiB, the smallest that the processor maps.
 */
#ifndef KERNEL_PAGE_H
#define KERNEL_PAGE_H

#include <stdint.h>

#define PAGE_BYTES 4096ULL

/* The start of the page that `address` is in. */
static inline uint64_t page_down(uint64_t address)
{
    return address & ~(PAGE_BYTES - 1);
}

/* The first page that starts at `address` or above; of the last page's inside: its start. */
static inline uint64_t page_up(uint64_t address)
{
    return address > UINT64_MAX - PAGE_BYTES ? page_down(UINT64_MAX)
                                             : page_down(address + PAGE_BYTES - 1);
}

#endif
