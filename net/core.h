/*
 * A core's buffers: its pools, and who may keep how many. Each rx ring and each tx ring has a quota, and
 * bursts on their way have the rest. So whatever one port keeps, all others have theirs.
 */
#ifndef NET_CORE_H
#define NET_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "net/lane.h"
#include "net/pool.h"
#include "net/port.h"

/* Buffers that a port may keep. Where it was started without enough for a burst each, both are 0. */
struct core_quota {
    uint32_t rx; /* in its rx ring */
    uint32_t tx; /* in its tx ring */
};

struct core {
    unsigned pool_count;
    struct pool
        pools[PORTS_MAX]; /* one for each size of buffers, and for each port that came later */
    struct core_quota quotas[PORTS_MAX]; /* by port */
};

/* Where a core's buffers are, between two rounds. */
struct core_account {
    uint32_t buffers; /* of all pools; of these: */
    uint32_t in_pools;
    uint32_t in_rings;
    uint32_t kept; /* of those in rings: by ports that are out of service until their reset ends */
    int64_t missing; /* those that are nowhere; not 0: our bug */
};

/*
 * For frames of how many bytes the buffers of a port should be made, if `share` bytes are there for
 * them: PORT_FRAME_SEGMENTS if `segments` are wanted and 64 buffers for either ring can be had,
 * PORT_FRAME_JUMBO if usual rings can be filled with half of the share, else PORT_FRAME_USUAL.
 */
uint32_t core_frame_max(uint64_t share, bool segments);

/* True if `share` bytes are enough for a port's part of a pool whose frames may be chains. */
bool core_has_chains(uint64_t share, uint32_t frame_max);

/*
 * Makes a pool for the ports that the `count` lanes receive by, for each size of buffers that they have
 * negotiated, and gives every lane its pool. A port's quotas are its rings. Where `memory` bytes do not
 * suffice for all, quotas shrink in proportion, down to a burst for each ring and the longest chain
 * besides; then the last ports get none. Returns how many bytes were missing for full rings. Between two
 * rounds; pools that are there already stay as they are.
 */
uint64_t core_make_pools(struct core *core, struct lane *const *lanes, unsigned count,
                         uint64_t memory);

/* Buffers that a lane may have at once: in the rings at both its ends, and a burst between them. */
uint32_t core_quota_of_lane(const struct core *core, const struct lane *lane);

/* Adds up where the buffers are, `ports` being all of the core. */
void core_count(const struct core *core, struct port *const *ports, unsigned port_count,
                struct core_account *account);

#endif
