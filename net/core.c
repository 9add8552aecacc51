/* Pools out of memory, and quotas out of pools. */
#include "net/core.h"

/* Buffers of 64 KiB are worth having if there are this many: enough for what a host hands over before
 * the other one has taken it. */
#define SEGMENT_BUFFERS_MIN (64 + 64 + BURST)

/* Before negotiation nobody knows how long the rings are; most are of 256. */
#define RING_USUAL 256

#define KIB 1024

/* What a pool holds beside the quotas: a burst that has been received and one that waits for room. */
#define IN_FLIGHT (2 * BURST)

bool core_has_chains(uint64_t share, uint32_t frame_max)
{
    /* One frame on its way in, one in flight, one out, and bursts of others and of tables. */
    return share >= pool_bytes(3 * port_chain_max(frame_max) + 5 * BURST, frame_max);
}

uint32_t core_frame_max(uint64_t share, bool segments)
{
    if (segments && share >= pool_bytes(SEGMENT_BUFFERS_MIN, PORT_FRAME_SEGMENTS))
        return PORT_FRAME_SEGMENTS;
    if (share / 2 >= pool_bytes(2 * RING_USUAL + BURST, PORT_FRAME_JUMBO))
        return PORT_FRAME_JUMBO;
    return PORT_FRAME_USUAL;
}

/* ---- what is wanted ---- */

/* The lanes that share a pool: their frames have the same size, and are chains or are not. */
struct group {
    struct lane *lanes[PORTS_MAX];
    unsigned count;
    uint32_t frame_max;
    bool chains;
    uint32_t rings; /* buffers that fill all their ports' rings */
};

/* A tx ring takes a whole burst of frames where its quota has room for one: so much is above it then. */
static uint32_t excess(const struct group *group)
{
    return group->chains ? 2 * BURST + port_chain_max(group->frame_max) : 0;
}

static bool has_chains(const struct lane *lane)
{
    return lane->rx->rx_offloads & PORT_OFFLOAD_CHAINS;
}

static void add_to_group(struct group *group, struct lane *lane)
{
    group->lanes[group->count++] = lane;
    group->frame_max = lane->rx->frame_max;
    group->chains = has_chains(lane);
    group->rings += lane->rx->rx_size + lane->rx->tx_size + excess(group);
}

static unsigned make_groups(struct group *groups, struct lane *const *lanes, unsigned count)
{
    unsigned made = 0;

    for (unsigned i = 0; i < count; i++) {
        unsigned at = 0;
        while (at < made && (groups[at].frame_max != lanes[i]->rx->frame_max ||
                             groups[at].chains != has_chains(lanes[i])))
            at++;
        if (at == made)
            groups[made++] = (struct group){.count = 0};
        add_to_group(&groups[at], lanes[i]);
    }
    return made;
}

/* Of chains the rest of the last frame, and a table for each, are in flight as well. */
static uint32_t in_flight(const struct group *group)
{
    return group->chains ? IN_FLIGHT + BURST + port_chain_max(group->frame_max) : IN_FLIGHT;
}

static uint64_t bytes_wanted(const struct group *group)
{
    return pool_bytes(in_flight(group) + group->rings, group->frame_max);
}

/* ---- what can be had ---- */

/* As many buffers as fit into `share` bytes, at most what is wanted. */
static uint32_t buffers_in(const struct group *group, uint64_t share)
{
    const uint64_t fixed = pool_bytes(0, group->frame_max);
    const uint64_t each = pool_bytes(1, group->frame_max) - fixed;
    const uint64_t fit = share > fixed ? (share - fixed) / each : 0;
    const uint32_t wanted = in_flight(group) + group->rings;

    return fit < wanted ? (uint32_t)fit : wanted;
}

/* Makes a pool of `buffers`, or of less where memory lies in pieces too small for it. */
static struct pool *make_pool(struct core *core, const struct group *group, uint32_t buffers)
{
    struct pool *const pool = &core->pools[core->pool_count];

    ensure(core->pool_count < PORTS_MAX);
    while (buffers > in_flight(group) &&
           !pool_create(pool, buffers, group->frame_max, group->chains))
        buffers -= buffers / 4;
    if (buffers <= in_flight(group))
        return NULL;
    if (core->pool_count != 0)
        pool_join(pool, &core->pools[0]);
    core->pool_count++;
    return pool;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The least that a ring of `size` works with. */
static uint32_t least_of(const struct group *group, uint32_t size)
{
    return smaller(size, BURST) + (group->chains ? port_chain_max(group->frame_max) : 0);
}

/* The least, and a fair part of the `rest`, at most all of the ring. */
static uint32_t quota_of(const struct group *group, uint32_t size, uint32_t rest)
{
    const uint32_t least = least_of(group, size), most = size > least ? size : least;

    return smaller(least + (uint32_t)((uint64_t)rest * size / group->rings), most);
}

/* Divides the buffers of a pool that is too small for all rings. The last ports may get none. */
static void divide(struct core *core, const struct group *group, uint32_t spare)
{
    uint32_t least = 0;
    unsigned served = 0;

    for (; served < group->count; served++) {
        const struct port *const port = group->lanes[served]->rx;
        const uint32_t more = least_of(group, port->rx_size) + least_of(group, port->tx_size);
        if (least + more > spare)
            break;
        least += more;
    }
    for (unsigned i = 0; i < served; i++) {
        const struct port *const port = group->lanes[i]->rx;
        core->quotas[port->id] = (struct core_quota){
            .rx = quota_of(group, port->rx_size, spare - least),
            .tx = quota_of(group, port->tx_size, spare - least),
        };
    }
}

static void fill_rings(struct core *core, const struct group *group)
{
    for (unsigned i = 0; i < group->count; i++) {
        const struct port *const port = group->lanes[i]->rx;
        core->quotas[port->id] = (struct core_quota){.rx = port->rx_size, .tx = port->tx_size};
    }
}

static void supply(struct core *core, const struct group *group, uint64_t share)
{
    struct pool *const pool = make_pool(core, group, buffers_in(group, share));

    for (unsigned i = 0; i < group->count; i++) {
        group->lanes[i]->pool = pool;
        core->quotas[group->lanes[i]->rx->id] = (struct core_quota){0};
    }
    if (pool == NULL)
        return;
    const uint32_t spare = pool->capacity - in_flight(group);
    if (spare >= group->rings)
        fill_rings(core, group);
    else
        divide(core, group, spare);
}

uint64_t core_make_pools(struct core *core, struct lane *const *lanes, unsigned count,
                         uint64_t memory)
{
    static struct group groups[PORTS_MAX];
    const unsigned group_count = make_groups(groups, lanes, count);
    uint64_t wanted = 0;

    for (unsigned i = 0; i < group_count; i++)
        wanted += bytes_wanted(&groups[i]);
    for (unsigned i = 0; i < group_count; i++) {
        const uint64_t full = bytes_wanted(&groups[i]);
        supply(core, &groups[i],
               wanted <= memory ? full : full / KIB * (memory / KIB) / (wanted / KIB) * KIB);
    }
    return wanted <= memory ? 0 : wanted - memory;
}

/* ---- accounts ---- */

uint32_t core_quota_of_lane(const struct core *core, const struct lane *lane)
{
    return core->quotas[lane->rx->id].rx + core->quotas[lane->tx->id].tx + BURST;
}

void core_count(const struct core *core, struct port *const *ports, unsigned port_count,
                struct core_account *account)
{
    *account = (struct core_account){0};
    for (unsigned i = 0; i < core->pool_count; i++) {
        account->buffers += core->pools[i].capacity;
        account->in_pools += core->pools[i].count;
    }
    for (unsigned i = 0; i < port_count; i++) {
        struct port_filling filling;
        ports[i]->ops->count(ports[i], &filling);
        account->in_rings += filling.rx_buffers + filling.tx_buffers;
        if (ports[i]->state == PORT_RESETTING)
            account->kept += filling.rx_buffers + filling.tx_buffers;
    }
    account->missing = (int64_t)account->buffers - account->in_pools - (int64_t)account->in_rings;
}
