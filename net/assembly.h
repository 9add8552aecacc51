/*
 * The assembly: ports, which is wired to which, and the lanes between them. Put together once at
 * start-up, in four steps; what fails on the way takes nobody else with it.
 */
#ifndef NET_ASSEMBLY_H
#define NET_ASSEMBLY_H

#include <stdbool.h>
#include <stdint.h>

#include "net/lane.h"
#include "net/netdev.h"
#include "net/wiring.h"

struct assembly {
    unsigned port_count;
    struct netdev *ports[NETDEV_PORTS_MAX]; /* by number; the caller's */
    struct wiring wiring;
    struct lane lanes[NETDEV_PORTS_MAX];       /* of the port of the same number */
    struct lane *port_lanes[NETDEV_PORTS_MAX]; /* the same; NULL: out of service, no lane */
    uint32_t rx_buffers[NETDEV_PORTS_MAX];     /* that the lane may post */
};

/*
 * Step 1, ports probed: pairs them by `wire` (net/wiring.h has its form) with forward_wire between
 * them, or with `reflect` leads every port back to itself with forward_reflect.
 */
void assembly_plan(struct assembly *assembly, const char *wire, bool reflect);

/*
 * Step 2: makes the pools of all lanes out of `memory` bytes. Returns how many bytes were missing
 * for full rings.
 */
uint64_t assembly_allot(struct assembly *assembly, uint64_t memory);

/* Step 3: starts every port that can be; a port that cannot has given its `error`. */
void assembly_start(struct assembly *assembly);

/*
 * Step 4: parts the partners of failed ports, with a `warn`, so that they are idle, and gives the
 * `port` event of every port in service. Then assembly->port_lanes is what the loop is to run.
 */
void assembly_settle(struct assembly *assembly);

/* Ports in service, or not yet out of it. */
unsigned assembly_usable(const struct assembly *assembly);

#endif
