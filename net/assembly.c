/* Ports and lanes, put together. */
#include "net/assembly.h"

#include <stdio.h>

#include <machine/log.h>

#include "net/allot.h"
#include "net/forward.h"

static bool is_usable(const struct netdev *port)
{
    return port->state != NETDEV_DOWN;
}

static void plan_wiring(struct assembly *assembly, const char *wire, bool reflect)
{
    assembly->reflect = reflect;
    if (wire != assembly->wire)
        snprintf(assembly->wire, sizeof(assembly->wire), "%s", wire);
    if (reflect)
        wiring_loopback(&assembly->wiring, assembly->port_count);
    else
        wiring_plan(&assembly->wiring, assembly->ports, assembly->port_count, assembly->wire);
}

/* What may be left to do on the frames that come in at `port`: what the port can do that they leave
 * by, as its device was when it was last looked at. */
static uint32_t offloads_towards(const struct assembly *assembly, unsigned port)
{
    const int partner = assembly->wiring.partner[port];

    if (partner == WIRING_IDLE || !is_usable(assembly->ports[partner]))
        return 0;
    return assembly->ports[partner]->tx_offloads;
}

/* The same for a lane that has its pool: that has chains, or has not. */
static uint32_t offloads_of_lane(const struct assembly *assembly, unsigned port)
{
    const uint32_t offloads = offloads_towards(assembly, port);

    return assembly->lanes[port].pool.next != NULL ? offloads
                                                   : offloads & ~(uint32_t)NETDEV_OFFLOAD_CHAINS;
}

/* What a port is to be negotiated with. */
struct terms {
    uint32_t offloads;
    uint32_t frame_max;
};

/* A pool that is there already is what it is: its port had a device before. */
static bool may_chain(const struct assembly *assembly, const struct pool *pool,
                      const struct terms *terms, uint64_t share)
{
    if (!(terms->offloads & NETDEV_OFFLOAD_SEGMENTS) ||
        !(terms->offloads & NETDEV_OFFLOAD_CHAINS) || assembly->mergeable == MERGEABLE_OFF)
        return false;
    if (pool->capacity != 0)
        return pool->next != NULL;
    return allot_has_chains(share, terms->frame_max);
}

static struct terms terms_of(const struct assembly *assembly, unsigned id, uint64_t share)
{
    const struct pool *const pool = &assembly->lanes[id].pool;
    struct terms terms = {.offloads =
                              offloads_towards(assembly, id) & assembly->ports[id]->rx_offloads};
    const bool whole =
        assembly->mergeable != MERGEABLE_ON || !(terms.offloads & NETDEV_OFFLOAD_CHAINS);

    terms.frame_max =
        pool->capacity != 0
            ? pool->frame_max
            : allot_frame_max(share, whole && (terms.offloads & NETDEV_OFFLOAD_SEGMENTS));
    if (terms.frame_max >= NETDEV_FRAME_SEGMENTS || !may_chain(assembly, pool, &terms, share))
        terms.offloads &= ~(uint32_t)NETDEV_OFFLOAD_CHAINS;
    return terms;
}

static bool negotiate(struct assembly *assembly, unsigned id, uint64_t share)
{
    struct netdev *const port = assembly->ports[id];
    struct terms terms = terms_of(assembly, id, share);

    if ((terms.offloads & NETDEV_OFFLOAD_SEGMENTS) && terms.frame_max < NETDEV_FRAME_SEGMENTS &&
        !(terms.offloads & NETDEV_OFFLOAD_CHAINS)) {
        log_event(
            LOG_WARN, "warn",
            "port=%u reason=memory detail=\"too little RAM for frames of 64 KiB\" frame_max=%u", id,
            terms.frame_max);
        terms.offloads &= ~(uint32_t)NETDEV_OFFLOAD_SEGMENTS;
    }
    return port->ops->negotiate(port, terms.offloads, terms.frame_max);
}

/* Every port alike: an idle one may be wired later. */
static void negotiate_all(struct assembly *assembly)
{
    const unsigned usable = assembly_usable(assembly);

    for (unsigned i = 0; i < assembly->port_count; i++)
        if (assembly->ports[i]->state == NETDEV_STARTING)
            negotiate(assembly, i, assembly->memory / usable);
}

/*
 * The lane of a port leads to its partner. A port without one has a lane too: it empties the rx
 * ring and counts, so that whoever sends to that port is not held up.
 */
static void set_lane_output(struct assembly *assembly, unsigned port)
{
    struct lane *const lane = &assembly->lanes[port];
    const int partner = assembly->wiring.partner[port];

    if (partner == WIRING_IDLE || !is_usable(assembly->ports[partner]))
        lane_set_output(lane, lane->rx, forward_idle);
    else
        lane_set_output(lane, assembly->ports[partner],
                        assembly->reflect ? forward_reflect : forward_wire);
}

void assembly_plan(struct assembly *assembly, const char *wire, bool reflect)
{
    plan_wiring(assembly, wire, reflect);
    negotiate_all(assembly);
    for (unsigned i = 0; i < assembly->port_count; i++) {
        struct netdev *const port = assembly->ports[i];
        if (!is_usable(port))
            continue;
        lane_init(&assembly->lanes[i], port, port, forward_idle);
        set_lane_output(assembly, i);
        assembly->port_lanes[i] = &assembly->lanes[i];
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

/* The lane that leads to `port`, whose buffers its tx ring will hold; its own if none does. */
static struct lane *lane_towards(struct assembly *assembly, unsigned port)
{
    for (unsigned i = 0; i < assembly->port_count; i++) {
        if (assembly->port_lanes[i] != NULL && assembly->lanes[i].tx == assembly->ports[port])
            return &assembly->lanes[i];
    }
    return &assembly->lanes[port];
}

/* Brings the port to the lanes that start and end there. */
static void start(struct assembly *assembly, unsigned id)
{
    struct lane *const lane = &assembly->lanes[id], *const towards = lane_towards(assembly, id);
    struct netdev *const port = assembly->ports[id];
    const struct netdev_setup setup = {
        .rx_queues = 1,
        .tx_queues = 1,
        .rx = {{.pool = &lane->pool, .buffers = assembly->rx_buffers[id]}},
        .tx = {{.pool = &towards->pool, .from = towards->rx}},
    };

    port->wanted.payload_max = lane->payload_max;
    port->wanted.offloads = offloads_of_lane(assembly, id);
    port->ops->start(port, &setup);
}

void assembly_start(struct assembly *assembly)
{
    for (unsigned i = 0; i < assembly->port_count; i++)
        if (assembly->port_lanes[i] != NULL)
            start(assembly, i);
}

void assembly_settle(struct assembly *assembly)
{
    wiring_settle(&assembly->wiring, assembly->ports);
    for (unsigned i = 0; i < assembly->port_count; i++) {
        if (is_usable(assembly->ports[i]))
            set_lane_output(assembly, i);
        else
            assembly->port_lanes[i] = NULL;
        netdev_report(assembly->ports[i]);
    }
}

/* ---- later ---- */

void assembly_report_wires(const struct assembly *assembly)
{
    char wires[WIRING_TEXT], idle[WIRING_TEXT];

    wiring_wires_text(&assembly->wiring, wires);
    wiring_idle_text(&assembly->wiring, idle);
    log_event(LOG_REPORT, "wires", "mode=%s wires=%s idle_ports=%s",
              assembly->reflect ? "reflect" : "wire", wires, idle);
}

/* Every lane leads where the wiring says, and every port learns what that means for it. */
static void apply_wiring(struct assembly *assembly)
{
    wiring_settle(&assembly->wiring, assembly->ports);
    for (unsigned i = 0; i < assembly->port_count; i++) {
        if (assembly->port_lanes[i] != NULL)
            set_lane_output(assembly, i);
    }
    /* Only now: a port asks which lane leads to it, and all of them have been aimed. */
    assembly_start(assembly);
}

void assembly_refresh(struct assembly *assembly)
{
    for (unsigned i = 0; i < assembly->port_count; i++)
        if (assembly->port_lanes[i] != NULL)
            assembly->ports[i]->wanted.offloads = offloads_of_lane(assembly, i);
}

void assembly_rewire(struct assembly *assembly, const char *wire, bool reflect)
{
    plan_wiring(assembly, wire, reflect);
    apply_wiring(assembly);
    assembly_report_wires(assembly);
}

static void add_lane(struct assembly *assembly, unsigned id, uint64_t memory)
{
    struct lane *lane = &assembly->lanes[id];

    if (lane->pool.capacity == 0) { /* else it had one before, and its port failed */
        lane_init(lane, assembly->ports[id], assembly->ports[id], forward_idle);
        allot_pools(&lane, 1, memory, &assembly->rx_buffers[id]);
    }
    assembly->port_lanes[id] = lane;
}

bool assembly_plug(struct assembly *assembly, unsigned id, uint64_t memory)
{
    struct netdev *const port = assembly->ports[id];

    if (id == assembly->port_count)
        assembly->port_count++;
    plan_wiring(assembly, assembly->wire, assembly->reflect);
    if (port->state == NETDEV_STARTING && !negotiate(assembly, id, memory) && is_usable(port)) {
        apply_wiring(assembly); /* the old device is gone, and the new one is not taken */
        return false;
    }
    if (is_usable(port) && assembly->port_lanes[id] == NULL)
        add_lane(assembly, id, memory);
    apply_wiring(assembly);
    if (!is_usable(port) &&
        assembly->port_lanes[id] != NULL) { /* it did not start: its partner is idle again */
        assembly->port_lanes[id] = NULL;
        apply_wiring(assembly);
    }
    netdev_report(port);
    assembly_report_wires(assembly);
    return true;
}

unsigned assembly_usable(const struct assembly *assembly)
{
    unsigned usable = 0;

    for (unsigned i = 0; i < assembly->port_count; i++)
        usable += is_usable(assembly->ports[i]);
    return usable;
}
