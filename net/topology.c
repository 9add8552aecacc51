/* Ports and lanes, put together. */
#include "net/topology.h"

#include <stdio.h>

#include <machine/clock.h>
#include <machine/log.h>

#include "net/app.h"

static bool is_usable(const struct port *port)
{
    return port->state != PORT_DOWN;
}

static void plan_wiring(struct topology *topology, const char *wire, bool reflect)
{
    topology->reflect = reflect;
    if (wire != topology->wire)
        snprintf(topology->wire, sizeof(topology->wire), "%s", wire);
    if (reflect)
        pairs_loopback(&topology->pairs, topology->port_count);
    else
        pairs_plan(&topology->pairs, topology->ports, topology->port_count, topology->wire);
}

/* What may be left to do on the frames that come in at `port`: what the port can do that they leave
 * by, as its device was when it was last looked at. */
static uint32_t offloads_towards(const struct topology *topology, unsigned port)
{
    const int partner = topology->pairs.partner[port];

    if (partner == PAIRS_IDLE || !is_usable(topology->ports[partner]))
        return 0;
    return topology->ports[partner]->tx_offloads;
}

/* The same for a lane that has its pool: that has chains, or has not. */
static uint32_t offloads_of_lane(const struct topology *topology, unsigned port)
{
    const uint32_t offloads = offloads_towards(topology, port);

    const struct pool *const pool = topology->lanes[port].pool;

    return pool != NULL && pool->next != NULL ? offloads
                                              : offloads & ~(uint32_t)PORT_OFFLOAD_CHAINS;
}

/* What a port is to be negotiated with. */
struct terms {
    uint32_t offloads;
    uint32_t frame_max;
};

/* A pool that is there already is what it is: its port had a device before. */
static bool may_chain(const struct topology *topology, const struct pool *pool,
                      const struct terms *terms, uint64_t share)
{
    if (!(terms->offloads & PORT_OFFLOAD_SEGMENTS) || !(terms->offloads & PORT_OFFLOAD_CHAINS) ||
        topology->mergeable == MERGEABLE_OFF)
        return false;
    if (pool != NULL)
        return pool->next != NULL;
    return core_has_chains(share, terms->frame_max);
}

static struct terms terms_of(const struct topology *topology, unsigned id, uint64_t share)
{
    const struct pool *const pool = topology->lanes[id].pool;
    struct terms terms = {.offloads =
                              offloads_towards(topology, id) & topology->ports[id]->rx_offloads};
    const bool whole =
        topology->mergeable != MERGEABLE_ON || !(terms.offloads & PORT_OFFLOAD_CHAINS);

    terms.frame_max =
        pool != NULL ? pool->frame_max
                     : core_frame_max(share, whole && (terms.offloads & PORT_OFFLOAD_SEGMENTS));
    if (terms.frame_max >= PORT_FRAME_SEGMENTS || !may_chain(topology, pool, &terms, share))
        terms.offloads &= ~(uint32_t)PORT_OFFLOAD_CHAINS;
    return terms;
}

static bool negotiate(struct topology *topology, unsigned id, uint64_t share)
{
    struct port *const port = topology->ports[id];
    struct terms terms = terms_of(topology, id, share);

    if ((terms.offloads & PORT_OFFLOAD_SEGMENTS) && terms.frame_max < PORT_FRAME_SEGMENTS &&
        !(terms.offloads & PORT_OFFLOAD_CHAINS)) {
        log_event(
            LOG_WARN, "warn",
            "port=%u reason=memory detail=\"too little RAM for frames of 64 KiB\" frame_max=%u", id,
            terms.frame_max);
        terms.offloads &= ~(uint32_t)PORT_OFFLOAD_SEGMENTS;
    }
    return port->ops->negotiate(port, terms.offloads, terms.frame_max);
}

/* Every port alike: an idle one may be wired later. */
static void negotiate_all(struct topology *topology)
{
    const unsigned usable = topology_usable(topology);

    for (unsigned i = 0; i < topology->port_count; i++)
        if (topology->ports[i]->state == PORT_STARTING)
            negotiate(topology, i, topology->memory / usable);
}

/*
 * The lane of a port leads to its partner. A port without one has a lane too: it empties the rx
 * ring and counts, so that whoever sends to that port is not held up.
 */
static void set_lane_output(struct topology *topology, unsigned port)
{
    struct lane *const lane = &topology->lanes[port];
    const int partner = topology->pairs.partner[port];

    if (partner == PAIRS_IDLE || !is_usable(topology->ports[partner]))
        lane_set_output(lane, lane->rx, app_for(0));
    else
        lane_set_output(lane, topology->ports[partner],
                        app_for(topology->reflect ? APP_SINGLE : APP_PAIR));
}

void topology_plan(struct topology *topology, const char *wire, bool reflect)
{
    plan_wiring(topology, wire, reflect);
    negotiate_all(topology);
    for (unsigned i = 0; i < topology->port_count; i++) {
        struct port *const port = topology->ports[i];
        if (!is_usable(port))
            continue;
        lane_init(&topology->lanes[i], port, port, app_for(0));
        set_lane_output(topology, i);
        topology->port_lanes[i] = &topology->lanes[i];
    }
}

uint64_t topology_allot(struct topology *topology, uint64_t memory)
{
    struct lane *lanes[PORTS_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < topology->port_count; i++) {
        if (topology->port_lanes[i] != NULL)
            lanes[count++] = topology->port_lanes[i];
    }
    return core_make_pools(&topology->core, lanes, count, memory);
}

/* Brings the port into service, or tells it where its frames lead by now. */
static void start(struct topology *topology, unsigned id)
{
    struct lane *const lane = &topology->lanes[id];
    struct port *const port = topology->ports[id];
    const struct core_quota *const quota = &topology->core.quotas[id];
    const struct port_setup setup = {
        .rx_queues = 1,
        .tx_queues = 1,
        .rx = {{.pool = lane->pool, .buffers = quota->rx}},
        .tx = {{.pool = lane->pool, .buffers = quota->tx}},
    };

    port->wanted.payload_max = lane->payload_max;
    port->wanted.offloads = offloads_of_lane(topology, id);
    if (port->state == PORT_STARTING)
        port->ops->start(port, &setup);
    else
        port->ops->service(port, clock_ns()); /* before the first frame takes the new way */
}

void topology_start(struct topology *topology)
{
    for (unsigned i = 0; i < topology->port_count; i++)
        if (topology->port_lanes[i] != NULL)
            start(topology, i);
}

void topology_stop(struct topology *topology)
{
    for (unsigned i = 0; i < topology->port_count; i++)
        topology->ports[i]->ops->stop(topology->ports[i]);
}

void topology_settle(struct topology *topology)
{
    pairs_settle(&topology->pairs, topology->ports);
    for (unsigned i = 0; i < topology->port_count; i++) {
        if (is_usable(topology->ports[i]))
            set_lane_output(topology, i);
        else
            topology->port_lanes[i] = NULL;
        port_report(topology->ports[i]);
    }
}

/* ---- later ---- */

void topology_report_wires(const struct topology *topology)
{
    char wires[PAIRS_TEXT], idle[PAIRS_TEXT];

    pairs_wires_text(&topology->pairs, wires);
    pairs_idle_text(&topology->pairs, idle);
    log_event(LOG_REPORT, "wires", "mode=%s wires=%s idle_ports=%s",
              topology->reflect ? "reflect" : "wire", wires, idle);
}

/* Every lane leads where the pairs says, and every port learns what that means for it. */
static void apply_wiring(struct topology *topology)
{
    pairs_settle(&topology->pairs, topology->ports);
    for (unsigned i = 0; i < topology->port_count; i++) {
        if (topology->port_lanes[i] != NULL)
            set_lane_output(topology, i);
    }
    /* Only now: a port asks which lane leads to it, and all of them have been aimed. */
    topology_start(topology);
}

void topology_refresh(struct topology *topology)
{
    for (unsigned i = 0; i < topology->port_count; i++)
        if (topology->port_lanes[i] != NULL)
            topology->ports[i]->wanted.offloads = offloads_of_lane(topology, i);
}

void topology_reconfigure(struct topology *topology, const char *wire, bool reflect)
{
    plan_wiring(topology, wire, reflect);
    apply_wiring(topology);
    topology_report_wires(topology);
}

static void add_lane(struct topology *topology, unsigned id, uint64_t memory)
{
    struct lane *lane = &topology->lanes[id];

    if (lane->pool == NULL) { /* else it had one before, and its port failed */
        lane_init(lane, topology->ports[id], topology->ports[id], app_for(0));
        core_make_pools(&topology->core, &lane, 1, memory);
    }
    topology->port_lanes[id] = lane;
}

bool topology_hotplug(struct topology *topology, unsigned id, uint64_t memory)
{
    struct port *const port = topology->ports[id];

    if (id == topology->port_count)
        topology->port_count++;
    plan_wiring(topology, topology->wire, topology->reflect);
    if (port->state == PORT_STARTING && !negotiate(topology, id, memory) && is_usable(port)) {
        apply_wiring(topology); /* the old device is gone, and the new one is not taken */
        return false;
    }
    if (is_usable(port) && topology->port_lanes[id] == NULL)
        add_lane(topology, id, memory);
    apply_wiring(topology);
    if (!is_usable(port) &&
        topology->port_lanes[id] != NULL) { /* it did not start: its partner is idle again */
        topology->port_lanes[id] = NULL;
        apply_wiring(topology);
    }
    port_report(port);
    topology_report_wires(topology);
    return true;
}

unsigned topology_usable(const struct topology *topology)
{
    unsigned usable = 0;

    for (unsigned i = 0; i < topology->port_count; i++)
        usable += is_usable(topology->ports[i]);
    return usable;
}
