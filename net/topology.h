/*
 * The topology: ports, which is wired to which, and the lanes between them. Put together at start-up,
 * in four steps, and changed later between two rounds by the same functions; what fails on the way
 * takes nobody else with it.
 */
#ifndef NET_TOPOLOGY_H
#define NET_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>

#include "net/core.h"
#include "net/lane.h"
#include "net/port.h"
#include "net/pairs.h"

/* Whether frames of 64 KiB span several buffers. */
enum topology_mergeable {
    MERGEABLE_AUTO, /* only where memory is too short for a buffer each: that costs less */
    MERGEABLE_ON,   /* wherever both ports can */
    MERGEABLE_OFF
};

struct topology {
    unsigned port_count;
    struct port *ports[PORTS_MAX]; /* by number; the caller's */
    char wire[PAIRS_WORD];         /* by which they are wired */
    bool reflect;                  /* every port leads back to itself */
    uint64_t memory;               /* bytes that step 2 will have; the caller's */
    enum topology_mergeable mergeable;
    struct pairs pairs;
    struct lane lanes[PORTS_MAX];       /* of the port of the same number */
    struct lane *port_lanes[PORTS_MAX]; /* the same; NULL: out of service, no lane */
    struct core core;                   /* the one there is */
};

/*
 * Step 1, ports found: pairs them by `wire` (net/pairs.h has its form) with the
 * app for pairs, or with `reflect` leads every port back to itself with the app for single ports. Then negotiates with
 * those that are PORT_STARTING: a port gets no more offloads than the one that its lane leads to can
 * send on, and frames as large as topology->memory allows.
 */
void topology_plan(struct topology *topology, const char *wire, bool reflect);

/*
 * Step 2: makes the core's pools out of `memory` bytes. Returns how many bytes were missing
 * for full rings.
 */
uint64_t topology_allot(struct topology *topology, uint64_t memory);

/* Step 3: starts every port that can be; a port that cannot has given its `error`. */
void topology_start(struct topology *topology);

/*
 * Step 4: parts the partners of failed ports, with a `warn`, so that they are idle, and gives the
 * `port` event of every port in service. Then topology->port_lanes is what the loop is to run.
 */
void topology_settle(struct topology *topology);

/* The end: stops every port, so that no device writes into memory any more. */
void topology_stop(struct topology *topology);

/*
 * Later, between two rounds: other wires, or another mode, with `wire` and `reflect` as in step 1;
 * wrong pairs and ports without a partner are idle after a `warn`. Lanes keep pools and counters and
 * topology->port_lanes stays as it is, so the loop need not be told. Frames that lie in tx rings
 * leave by the port they were for. Ends with a `wires` event. Never waits, allocates nothing.
 */
void topology_reconfigure(struct topology *topology, const char *wire, bool reflect);

/*
 * Later, between two rounds: port `id` has a device again, or is new (then `id` is port_count, and
 * the caller has set ports[id]), and is PORT_STARTING; or it is new and has failed, and only takes
 * its number. It is wired as the rules in force say, which
 * moves no other pair; it gets a lane and, out of `memory` bytes, a pool if it has none; and it is
 * started. Ends with `port` and `wires` events, or with its `error`. The loop must be told of the
 * new ports and lanes. False if a port whose device had gone does not take the new one, after its
 * `error`: then all is as before.
 */
bool topology_hotplug(struct topology *topology, unsigned id, uint64_t memory);

/*
 * Later, between two rounds, now and then: tells each port whose lane leads to a device that can do
 * less than before, or more.
 */
void topology_refresh(struct topology *topology);

/* Queues the `wires` event: mode, wires and idle ports as they are now. */
void topology_report_wires(const struct topology *topology);

/* Ports in service, or not yet out of it. */
unsigned topology_usable(const struct topology *topology);

#endif
