/* Shares memory between lanes. */
#include "net/topology_buffers.h"

#define BUFFERS_MIN (2 * BURST) /* one burst in the rx ring, one on its way */

/* Buffers of 64 KiB are worth having if there are this many: enough for what a host hands over before
 * the other one has taken it. */
#define SEGMENT_BUFFERS_MIN (64 + 64 + BURST)

/* Before negotiation nobody knows how long the rings are; most are of 256. */
#define RING_USUAL 256

bool topology_has_chains(uint64_t share, uint32_t frame_max)
{
    /* One frame on its way in, one out with its table, and bursts of others beside them. */
    return share >= pool_bytes(2 * port_chain_max(frame_max) + 3 * BURST, frame_max);
}

uint32_t topology_frame_max(uint64_t share, bool segments)
{
    if (segments && share >= pool_bytes(SEGMENT_BUFFERS_MIN, PORT_FRAME_SEGMENTS))
        return PORT_FRAME_SEGMENTS;
    if (share / 2 >= pool_bytes(2 * RING_USUAL + BURST, PORT_FRAME_JUMBO))
        return PORT_FRAME_JUMBO;
    return PORT_FRAME_USUAL;
}

static uint32_t wish_of(const struct lane *lane)
{
    return lane->rx->rx_size + lane->tx->tx_size + BURST;
}

static uint64_t bytes_of(const struct lane *lane, uint32_t buffers)
{
    return pool_bytes(buffers, lane->rx->frame_max);
}

/*
 * The share that uses `memory` up: lanes that wish for less get their wish, the others the share.
 * Each pass gives what the modest ones leave to the rest, until no more of them turn up.
 */
static uint64_t fair_share(struct lane *const *lanes, unsigned count, uint64_t memory)
{
    uint64_t share = memory / count;

    for (unsigned pass = 0; pass < count; pass++) {
        uint64_t rest = memory;
        unsigned greedy = 0;
        for (unsigned i = 0; i < count; i++) {
            uint64_t wish = bytes_of(lanes[i], wish_of(lanes[i]));
            if (wish <= share)
                rest -= wish;
            else
                greedy++;
        }
        if (greedy == 0 || rest / greedy == share)
            break;
        share = rest / greedy;
    }
    return share;
}

/* As many buffers as fit into `share` bytes, at most the lane's wish. */
static uint32_t buffers_in(const struct lane *lane, uint64_t share)
{
    const uint64_t fixed = bytes_of(lane, 0);
    const uint64_t each = bytes_of(lane, 1) - fixed;
    const uint64_t fit = share > fixed ? (share - fixed) / each : 0;
    const uint32_t wish = wish_of(lane);

    return fit < wish ? (uint32_t)fit : wish;
}

/* Makes a pool of `buffers`, or of less where memory lies in pieces too small for it. */
static void make_pool(struct lane *lane, uint32_t buffers)
{
    const bool chains = lane->rx->rx_offloads & PORT_OFFLOAD_CHAINS;

    while (buffers >= BUFFERS_MIN &&
           !pool_create(&lane->pool, buffers, lane->rx->frame_max, chains))
        buffers -= buffers / 4;
}

/* The rx ring's part of a pool: in proportion to the rings, a burst always kept back. */
static uint32_t rx_part(const struct lane *lane)
{
    const uint64_t rx_size = lane->rx->rx_size, tx_size = lane->tx->tx_size;
    const uint32_t spare = lane->pool.capacity - BURST;
    const uint32_t part = (uint32_t)(spare * rx_size / (rx_size + tx_size));
    const uint32_t least =
        lane->pool.next != NULL ? BURST + port_chain_max(lane->pool.frame_max) : BURST;

    return part >= least ? part : least < spare ? least : spare;
}

uint64_t topology_make_pools(struct lane *const *lanes, unsigned count, uint64_t memory,
                             uint32_t *rx_buffers)
{
    uint64_t wishes = 0;

    for (unsigned i = 0; i < count; i++)
        wishes += bytes_of(lanes[i], wish_of(lanes[i]));
    uint64_t share = wishes <= memory ? wishes : fair_share(lanes, count, memory);
    for (unsigned i = 0; i < count; i++) {
        make_pool(lanes[i], buffers_in(lanes[i], share));
        rx_buffers[i] = lanes[i]->pool.capacity != 0 ? rx_part(lanes[i]) : 0;
    }
    return wishes <= memory ? 0 : wishes - memory;
}
