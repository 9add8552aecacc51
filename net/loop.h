/* The loop: what one core does from `ready` until the machine is to end. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "net/idle.h"
#include "net/lane.h"
#include "net/port.h"
#include "net/stats.h"
#include "net/watchdog.h"

/* Made before `ready`, not changed while a round runs. */
struct loop {
    unsigned lane_count;
    struct lane *lanes[PORTS_MAX];

    /* Housekeeping: at a fixed slow rate, for a port access is an exit to the hypervisor. */
    uint64_t due_cycles; /* the next time, in clock_cycles */
    uint64_t period_cycles;
    uint64_t leave_cycles; /* the next time that loop_run returns */
    uint64_t leave_period_cycles;
    bool leaving;
    uint64_t stats_period_ns; /* 0: no stats events */
    uint64_t stats_due_ns;
    unsigned port_count;
    struct port *ports[PORTS_MAX];
    struct lane *port_lanes[PORTS_MAX]; /* by port; NULL: none */
    struct stats stats;
    struct idle idle;
    struct watchdog *watchdog; /* NULL: none */
    uint64_t feed_due;         /* when it is fed next, in clock_cycles */
    uint64_t feed_period;
    void (*serve)(void *server); /* called in housekeeping: the monitor; NULL: nobody */
    void *server;
    bool ending; /* the machine is to end: power_requested() has said so */
};

/*
 * Prepares `loop` for `port_count` ports with the lane of each in `port_lanes` (NULL: none); takes
 * over neither ports nor lanes. A stats event every `stats_seconds`, 0: never. Start-up only.
 */
void loop_init(struct loop *loop, struct port *const *ports, struct lane *const *port_lanes,
               unsigned port_count, unsigned stats_seconds);

/* Other ports and lanes from now on, between two rounds; counters go on by port number. */
void loop_set_ports(struct loop *loop, struct port *const *ports, struct lane *const *port_lanes,
                    unsigned port_count);

/* A stats event every `stats_seconds` from now on, 0: none. Between two rounds. */
void loop_set_stats(struct loop *loop, unsigned stats_seconds);

/* Has the loop feed `watchdog` (NULL: none) from now on, several times in its timeout. */
void loop_watch(struct loop *loop, struct watchdog *watchdog);

/* Runs every lane once, and housekeeping if it is due; sleeps if loop->idle allows it and there has
 * been nothing to do for a while. The body of loop_run, and its test. */
void loop_round(struct loop *loop);

/*
 * Runs rounds until it is time for the caller to look after what is not the loop's business, between
 * two of them, ten times a second: true. Or until the machine is asked to end (machine/power.h):
 * false.
 */
bool loop_run(struct loop *loop);

/*
 * After loop_run's false: takes no more frames in, waits until those that ports have taken over have
 * left, a second at most, and queues the last stats events. Returns how many frames did not leave.
 */
uint32_t loop_close(struct loop *loop);

#endif
