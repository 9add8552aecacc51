/*
 * The seam: memory for what lives as long as the machine.
 *
 * Start-up only; nothing is ever given back, so there is no free. Small objects (device structures,
 * lanes) come from newlib's malloc; rings and packet buffers come from here.
 */
#ifndef MACHINE_MEMORY_H
#define MACHINE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/*
 * Returns `size` bytes of zeroed, physically contiguous, identity-mapped RAM whose address is a
 * multiple of `alignment` (a power of two), or NULL if no free range is large enough. Not for the
 * data path. The caller owns it for ever.
 */
void *memory_alloc(size_t size, size_t alignment);

/* Bytes of RAM that memory_alloc can still give out in all (not necessarily in one piece). */
uint64_t memory_available(void);

/*
 * Maps `size` bytes of device memory at physical address `physical` (any alignment; the mapping is
 * widened to whole pages) uncached, writable, never executable, and returns its address (which is
 * `physical`), or NULL if page tables ran out or the range overlaps RAM. Not for the data path.
 */
volatile void *memory_map_device(uint64_t physical, uint64_t size);

#endif
