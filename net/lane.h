/*
 * A lane: one rx queue, an app, one tx queue, and counters of its own. The unit that a
 * core runs. The lanes of a core share its pools.
 */
#ifndef NET_LANE_H
#define NET_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "net/app.h"
#include "net/port.h"
#include "net/batch.h"
#include "net/pool.h"

/* Why a lane discarded a frame; drop_reason_name gives the key in the stats event. */
enum drop_reason {
    DROP_RUNT,     /* shorter than an Ethernet header */
    DROP_OVERSIZE, /* larger than the mtu that the port it should leave by has stated */
    DROP_IDLE,     /* came in on a port without a partner */
    DROP_REASONS
};

struct lane {
    const struct app *app;
    struct port *rx;
    struct port *tx;
    unsigned rx_queue;
    unsigned tx_queue;
    uint32_t payload_max; /* bytes behind the Ethernet header that tx may send, tags not counted */
    struct pool *pool;    /* of the core: what comes in lies in buffers of it */
    uint64_t drops[DROP_REASONS];
} __attribute__((aligned(CACHE_LINE)));

/* Makes the lane from `rx` to `tx` (queue 0 of each), without a pool. Start-up only. */
void lane_init(struct lane *lane, struct port *rx, struct port *tx, const struct app *app);

/*
 * Lets the lane lead to `tx` with `app` from now on; pool and counters stay. What it has sent leaves
 * by the port it led to before. Between two rounds.
 */
void lane_set_output(struct lane *lane, struct port *tx, const struct app *app);

/* If the port that the lane leads to has another mtu now, the lane and its own port go by it from now
 * on. Between two rounds, before the next one. */
void lane_follow_mtu(struct lane *lane);

/* One round: at most a burst in, through the app, out. Returns how many frames came in. Data
 * path. */
uint32_t lane_run(struct lane *lane);

/*
 * Before the core sleeps: asks for an interrupt as soon as the lane has something to do, which is
 * when a frame comes in; or, where a full tx ring keeps it from taking any, when that has room. True if
 * it has already: then no interrupt may come.
 */
bool lane_arm(struct lane *lane);

/* After the sleep: no interrupts from its rx port any more, in either direction. */
void lane_disarm(struct lane *lane);

/* Counts one frame as discarded for `reason` and returns its buffer to the lane. Data path. */
void lane_drop(struct lane *lane, uint8_t *buffer, enum drop_reason reason);

/* "drop_runt", … */
const char *drop_reason_name(enum drop_reason reason);

#endif
