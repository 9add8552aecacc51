/* Ports and lanes, put together. */
#include "net/assembly.h"

#include "net/allot.h"
#include "net/forward.h"

static bool is_usable(const struct netdev *port)
{
    return port->state != NETDEV_FAILED;
}

/*
 * The lane of a port leads to its partner. A port without one has a lane too: it empties the rx
 * ring and counts, so that whoever sends to that port is not held up.
 */
static void aim_lane(struct assembly *assembly, unsigned port, forward_fn *forward)
{
    struct netdev *const rx = assembly->ports[port];
    const int partner = assembly->wiring.partner[port];

    if (partner == WIRING_IDLE || !is_usable(assembly->ports[partner]))
        lane_init(&assembly->lanes[port], rx, rx, forward_idle);
    else
        lane_init(&assembly->lanes[port], rx, assembly->ports[partner], forward);
    assembly->port_lanes[port] = &assembly->lanes[port];
}

void assembly_plan(struct assembly *assembly, const char *wire, bool reflect)
{
    if (reflect)
        wiring_loopback(&assembly->wiring, assembly->port_count);
    else
        wiring_plan(&assembly->wiring, assembly->ports, assembly->port_count, wire);
    for (unsigned i = 0; i < assembly->port_count; i++) {
        if (is_usable(assembly->ports[i]))
            aim_lane(assembly, i, reflect ? forward_reflect : forward_wire);
    }
}

uint64_t assembly_allot(struct assembly *assembly, uint64_t memory)
{
    struct lane *lanes[NETDEV_PORTS_MAX];
    uint32_t rx_buffers[NETDEV_PORTS_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < assembly->port_count; i++) {
        if (assembly->port_lanes[i] != NULL)
            lanes[count++] = assembly->port_lanes[i];
    }
    if (count == 0)
        return 0;
    uint64_t missing = allot_pools(lanes, count, memory, rx_buffers);
    for (unsigned i = 0; i < count; i++)
        assembly->rx_buffers[lanes[i]->rx->id] = rx_buffers[i];
    return missing;
}

/* The pool of the lane that leads to `port`, whose buffers its tx ring will hold; of its own lane
 * if none does. */
static struct pool *pool_towards(struct assembly *assembly, unsigned port)
{
    for (unsigned i = 0; i < assembly->port_count; i++) {
        if (assembly->port_lanes[i] != NULL && assembly->lanes[i].tx == assembly->ports[port])
            return &assembly->lanes[i].pool;
    }
    return &assembly->lanes[port].pool;
}

void assembly_start(struct assembly *assembly)
{
    for (unsigned i = 0; i < assembly->port_count; i++) {
        struct lane *const lane = assembly->port_lanes[i];
        if (lane == NULL)
            continue;
        const struct netdev_setup setup = {
            .rx_queues = 1,
            .tx_queues = 1,
            .rx = {{.pool = &lane->pool,
                    .buffers = assembly->rx_buffers[i],
                    .payload_max = lane->payload_max}},
            .tx = {{.pool = pool_towards(assembly, i)}},
        };
        lane->rx->ops->start(lane->rx, &setup);
    }
}

void assembly_settle(struct assembly *assembly)
{
    wiring_settle(&assembly->wiring, assembly->ports);
    for (unsigned i = 0; i < assembly->port_count; i++) {
        struct netdev *const port = assembly->ports[i];
        if (!is_usable(port)) {
            assembly->port_lanes[i] = NULL;
        } else if (assembly->wiring.partner[i] == WIRING_IDLE) {
            assembly->lanes[i].forward = forward_idle;
            assembly->lanes[i].tx = port;
        }
        port->ops->report(port);
    }
}

unsigned assembly_usable(const struct assembly *assembly)
{
    unsigned usable = 0;

    for (unsigned i = 0; i < assembly->port_count; i++)
        usable += is_usable(assembly->ports[i]);
    return usable;
}
