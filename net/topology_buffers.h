/* Who gets how many buffers, when there is memory for all and when there is not. */
#ifndef NET_TOPOLOGY_BUFFERS_H
#define NET_TOPOLOGY_BUFFERS_H

#include <stdbool.h>
#include <stdint.h>

#include "net/lane.h"

/*
 * For frames of how many bytes the buffers of a lane should be made, if `share` bytes are there for
 * its pool: PORT_FRAME_SEGMENTS if `segments` are wanted and 64 buffers for either ring can be
 * had, PORT_FRAME_JUMBO if usual rings can be filled with half of the share, else
 * PORT_FRAME_USUAL.
 */
uint32_t topology_frame_max(uint64_t share, bool segments);

/* True if `share` bytes are enough for a pool whose frames may be chains of such buffers. */
bool topology_has_chains(uint64_t share, uint32_t frame_max);

/*
 * Makes the pool of each of `count` lanes. A lane wishes for as many buffers as fill both rings,
 * and a burst: then no ring ever waits for the other. Where `memory` bytes do not suffice for all
 * wishes, every lane gets an equal share (who wants less leaves the rest to the others), down to
 * two bursts; `rx_buffers[i]` is what lane i may post, one burst at least, 0 if not even that was
 * to be had (its pool is empty then). Returns how many bytes of memory were missing for all wishes.
 * Start-up only.
 */
uint64_t topology_make_pools(struct lane *const *lanes, unsigned count, uint64_t memory,
                             uint32_t *rx_buffers);

#endif
