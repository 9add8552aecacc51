/* Who gets how many buffers, when there is memory for all and when there is not. */
#ifndef NET_ALLOT_H
#define NET_ALLOT_H

#include <stdint.h>

#include "net/lane.h"

/*
 * Makes the pool of each of `count` lanes. A lane wishes for as many buffers as fill both rings,
 * and a burst: then no ring ever waits for the other. Where `memory` bytes do not suffice for all
 * wishes, every lane gets an equal share (who wants less leaves the rest to the others), down to
 * two bursts; `rx_buffers[i]` is what lane i may post, one burst at least, 0 if not even that was
 * to be had (its pool is empty then). Returns how many bytes of memory were missing for all wishes.
 * Start-up only.
 */
uint64_t allot_pools(struct lane *const *lanes, unsigned count, uint64_t memory,
                     uint32_t *rx_buffers);

#endif
