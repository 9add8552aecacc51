/*
 * The data path of virtio-net: a burst from the rx used ring to packets, a burst of packets to the
 * tx available ring, and finished buffers back to their pool. No wait, no log, no allocation.
 */
#include "drivers/virtio/virtio_net_internal.h"
#include "drivers/virtio/virtqueue_burst.h"

_Static_assert(VIRTQUEUE_HEADER_ROOM >= VIRTIO_NET_HDR_BYTES, "all of the header is cleared");
_Static_assert(VIRTIO_NET_HDR_BYTES - sizeof(uint32_t) <= VIRTIO_NET_HDR_BYTES_LEGACY - 2,
               "virtqueue_header_flags has flags and gso_type of either form");
_Static_assert(PACKET_HEADROOM >= VIRTQUEUE_HEADER_ROOM,
               "the device's header lies in the headroom");
_Static_assert(PACKET_HEADROOM / CACHE_LINE ==
                   (PACKET_HEADROOM - VIRTQUEUE_HEADER_ROOM) / CACHE_LINE,
               "header and Ethernet header share a cache line");

/* Buffers that go to the rx ring, and come back from the tx ring, at a time: two bursts, so that what
 * that costs besides, a full fence among it, is paid half as often. */
#define REFILL (2 * BURST)

/* ---- gates ---- */

/* A queue that has met a device error yields nothing, has no room and is not read any more, until its device
 * has been reset. */
static void rx_close(struct virtio_net *net)
{
    net->rx.gate = GATE_WAITS;
    net->rx.attend = UINT32_MAX;
}

static void tx_close(struct virtio_net *net, enum virtio_net_gate gate)
{
    net->tx.gate = gate;
    net->port.tx_ready = 0;
}

void virtio_net_set_gates(struct virtio_net *net, enum virtio_net_gate rx, enum virtio_net_gate tx)
{
    net->rx.gate = GATE_OPEN;
    net->rx.attend = net->rx.chained ? UINT32_MAX : net->rx.low_water;
    net->tx.gate = GATE_OPEN;
    if (rx != GATE_OPEN || net->rx.queue.error != VIRTQUEUE_OK)
        rx_close(net);
    if (tx != GATE_OPEN || net->tx.queue.error != VIRTQUEUE_OK)
        tx_close(net, tx != GATE_OPEN ? tx : GATE_WAITS);
}

/* ---- rx ---- */

/* Buffers of the pool that the device may have: not those for tables. */
static uint32_t rx_spare(const struct virtio_net_queue *rx)
{
    const uint32_t kept = rx->chained ? BURST - 1 : 0;

    return rx->pool->count > kept ? rx->pool->count - kept : 0;
}

/* Gives the device buffers, as far as the pool has some and they lie side by side. Returns whether it
 * wants to be notified. */
static bool rx_refill(struct virtio_net_queue *rx)
{
    const uint32_t missing = rx->posted - virtqueue_outstanding(&rx->queue);
    const uint32_t n = virtqueue_smaller(virtqueue_smaller(missing, rx_spare(rx)),
                                         virtqueue_side_by_side(&rx->queue, rx->queue.avail_idx));

    return n != 0 && virtqueue_add(&rx->queue, pool_take(rx->pool, n), NULL, n);
}

/* So many buffers are gone that the ring is to be refilled. */
static bool rx_is_low(const struct virtio_net_queue *rx)
{
    return __builtin_expect(virtqueue_outstanding(&rx->queue) <= rx->low_water, 0);
}

bool virtio_net_wants_refill(const struct virtio_net_queue *rx)
{
    return rx_is_low(rx) && virtqueue_outstanding(&rx->queue) < rx->posted && rx_spare(rx) != 0;
}

void virtio_net_follow_payload_max(struct virtio_net *net)
{
    if (net->rx.pool == NULL)
        return; /* nothing is received */
    const uint32_t room = net->rx.pool->frame_max - ETHERNET_HEADER_SIZE;
    const uint32_t span = virtqueue_smaller(net->port.wanted.payload_max, room);

    if (span != net->rx.queue.span)
        virtqueue_set_span(&net->rx.queue, span);
}

void virtio_net_fill_rx(struct virtio_net *net)
{
    const struct port_rx_setup *const setup = &net->setup.rx[0];
    struct virtio_net_queue *const rx = &net->rx;
    const struct virtqueue_buffers buffers = {
        .start = PACKET_HEADROOM - net->header_size,
        .header = net->header_size,
        .room = setup->pool->frame_max,
        .shortest = ETHERNET_HEADER_SIZE,
    };

    rx->pool = setup->pool;
    virtqueue_set_buffers(&rx->queue, &buffers);
    virtio_net_follow_payload_max(net);
    rx->posted = virtqueue_smaller(setup->buffers, virtqueue_free(&rx->queue));
    /* The device is not left without any where there are few. */
    rx->low_water = rx->posted - virtqueue_smaller(REFILL, (rx->posted + 1) / 2);
    rx->chained = virtio_has(&net->virtio, VIRTIO_NET_F_MRG_RXBUF);
    /* With fewer than a frame may need the device might wait for ever. */
    if (rx->chained && rx->low_water < port_chain_max(setup->pool->frame_max))
        rx->low_water = port_chain_max(setup->pool->frame_max);
    (void)rx_refill(rx); /* no doorbell before DRIVER_OK (§3.1.1) */
}

/*
 * The rare case, `n` frames of which some header has flags, or some length is not ordinary: too short for
 * what a frame must have, or too long for what may leave. Marks the batch for either. Takes the frames
 * before the first length that cannot be at all, which breaks the queue.
 */
static __attribute__((noinline)) struct virtqueue_burst rx_validate(struct virtio_net_queue *rx,
                                                                    struct batch *batch, uint32_t n)
{
    struct virtqueue_burst burst = {.count = 0};

    for (; burst.count < n; burst.count++) {
        const uint32_t length = batch->lengths[burst.count];
        const bool is_short =
            length > UINT32_MAX - rx->queue.header; /* it was less than a header */
        if (is_short || length > rx->pool->frame_max) {
            rx->queue.error = VIRTQUEUE_OK; /* what came later in the ring is not the first */
            virtqueue_fail(&rx->queue, is_short ? VIRTQUEUE_LENGTH_SHORT : VIRTQUEUE_LENGTH_LONG,
                           length + rx->queue.header);
            break;
        }
        burst.bytes += length;
        batch->needs_check |= virtqueue_needs_check(&rx->queue, length);
        batch->has_offloads |= virtqueue_header_flags(batch->buffers[burst.count]) != 0;
    }
    return burst;
}

void virtio_net_ring(const struct virtio_net *net, struct virtio_net_queue *queue)
{
    queue->rung = queue->queue.avail_idx;
    virtio_notify(&net->virtio, &queue->queue);
}

/* Not for each frame: buffers for the device, and the doorbell. */
static __attribute__((noinline)) void rx_refill_and_kick(struct virtio_net *net)
{
    virtqueue_suppress_interrupts(&net->rx.queue);
    if (rx_refill(&net->rx))
        virtio_net_ring(net, &net->rx);
}

/* All that is missing in the ring is filled up, round its end too: with fewer buffers than its next
 * frame needs the device would wait, and have nothing to tell. */
static __attribute__((noinline)) uint32_t rx_take_chained(struct virtio_net *net,
                                                          struct batch *batch, uint32_t n)
{
    const uint32_t taken = virtio_net_take_merged(net, batch, n);

    for (unsigned i = 0; i < 2 && rx_is_low(&net->rx); i++)
        rx_refill_and_kick(net);
    if (__builtin_expect(net->rx.queue.error != VIRTQUEUE_OK, 0))
        rx_close(net);
    return taken;
}

/* Moves finished chains to `batch`, up to the first device error. */
static __attribute__((noinline)) uint32_t rx_take(struct virtio_net *net, struct batch *batch,
                                                  uint32_t n)
{
    struct virtio_net_queue *const rx = &net->rx;

    batch->count = 0;
    batch->needs_check = batch->has_offloads = false;
    if (__builtin_expect(rx->gate != GATE_OPEN, 0))
        return 0;
    if (rx->chained)
        return rx_take_chained(net, batch, n);
    struct virtqueue_burst burst =
        virtqueue_take(&rx->queue, (void **)batch->buffers, batch->lengths, n, VIRTQUEUE_HEADERS);
    if (__builtin_expect(burst.needs_check, 0))
        burst = rx_validate(rx, batch, burst.count);
    batch->count = burst.count;
    virtqueue_release(&rx->queue, burst.count);
    net->port.stats.rx_packets += burst.count;
    net->port.stats.rx_bytes += burst.bytes;
    /* By the burst: a lone frame costs neither a look at the pool nor at the doorbell. */
    if (rx_is_low(rx))
        rx_refill_and_kick(net);
    if (__builtin_expect(rx->queue.error != VIRTQUEUE_OK, 0))
        rx_close(net);
    return burst.count;
}

/*
 * Short, as most rounds of most lanes find nothing, and many a single frame. Where the pool was too
 * poor to refill the ring, nothing may ever come in until that is done.
 */
uint32_t virtio_net_rx(struct port *port, unsigned queue_number, struct batch *batch, uint32_t n)
{
    struct virtio_net *net = virtio_net_of(port);
    struct virtio_net_queue *rx = &net->rx;
    enum virtqueue_found found;
    void *buffer;
    uint32_t length;

    (void)queue_number; /* there is one */
    if (__builtin_expect(virtqueue_outstanding(&rx->queue) <= rx->attend, 0))
        return rx_take(net, batch, n);
    found = rx->queue.packed ? virtqueue_take_single(&rx->queue, &buffer, &length, true)
                             : virtqueue_take_single(&rx->queue, &buffer, &length, false);
    if (found == VIRTQUEUE_NONE)
        return batch->count = 0;
    if (found == VIRTQUEUE_OTHER || n == 0)
        return rx_take(net, batch, n);
    virtqueue_release(&rx->queue, 1);
    net->port.stats.rx_packets++;
    net->port.stats.rx_bytes += length;
    batch->count = 1;
    batch->needs_check = false;
    batch->has_offloads = virtqueue_header_flags(buffer) != 0;
    batch->buffers[0] = buffer;
    batch->lengths[0] = length;
    return 1;
}

/* ---- tx ---- */

_Static_assert(REFILL <= POOL_SETTLE_MAX, "the pool has room for them before they are settled");

void virtio_net_set_tx_quota(struct virtio_net *net)
{
    const struct port_tx_setup *const setup = &net->setup.tx[0];

    net->tx.pool = setup->pool;
    net->tx.posted = setup->buffers;
    virtqueue_set_limit(&net->tx.queue, setup->buffers);
}

/* Finished buffers go back to their pools; returns how many frames there were. */
static inline __attribute__((always_inline)) uint32_t reclaim(struct virtio_net_queue *tx)
{
    void **const free = (void **)&tx->pool->free[tx->pool->count];
    const uint32_t n = virtqueue_take(&tx->queue, free, NULL, REFILL, VIRTQUEUE_IDS).count;

    tx->pool->count += n;
    if (__builtin_expect(!tx->pool->plain, 0))
        tx->hung -= pool_settle(tx->pool, n);
    virtqueue_release(&tx->queue, n);
    return n;
}

/* What is left of the quota: frames, and where some are chains no more than buffers. */
static inline uint32_t tx_free(const struct virtio_net_queue *tx)
{
    const uint32_t held = virtqueue_outstanding(&tx->queue) + tx->hung;

    if (__builtin_expect(tx->hung != 0, 0))
        return held < tx->posted ? tx->posted - held : 0;
    return virtqueue_free(&tx->queue);
}

uint32_t virtio_net_reclaim_all(struct virtio_net *net)
{
    struct virtqueue *const queue = &net->tx.queue;

    /* As far as the ring's end, and from its start on. */
    while (queue->error == VIRTQUEUE_OK && reclaim(&net->tx) != 0)
        continue;
    virtqueue_suppress_interrupts(queue);
    return virtqueue_outstanding(queue);
}

static inline bool tx_is_short(const struct virtio_net_queue *tx, uint32_t n)
{
    return tx_free(tx) < n;
}

uint32_t virtio_net_room(struct port *port, unsigned queue_number, uint32_t n)
{
    struct virtio_net *net = virtio_net_of(port);
    struct virtio_net_queue *tx = &net->tx;

    (void)queue_number;
    if (__builtin_expect(tx->gate != GATE_OPEN, 0))
        return tx->gate == GATE_SWALLOWS ? n : 0;
    /*
     * The used ring is looked at only when the quota runs short: a lone frame so does not draw
     * the device's cache line over each time. And of many bursts no more are taken back than are
     * needed: the next buffers to be given out are then found where these were put. (But all of a
     * packed ring: that the device has used what it never got shows only when nothing is out.)
     */
    if (tx_is_short(tx, n)) {
        uint32_t count;
        do
            count = reclaim(tx);
        while (count != 0 && (tx->queue.packed || tx_is_short(tx, n)));
        virtqueue_suppress_interrupts(&tx->queue);
        if (__builtin_expect(tx->queue.error != VIRTQUEUE_OK, 0)) {
            tx_close(net, GATE_WAITS);
            return 0;
        }
    }
    port->tx_ready = tx_free(tx);
    return virtqueue_smaller(port->tx_ready, n);
}

static __attribute__((noinline)) uint32_t tx_kick(struct virtio_net *net, uint32_t n)
{
    virtio_net_ring(net, &net->tx);
    return n;
}

static void tx_count(struct virtio_net *net, uint32_t packets, uint64_t bytes)
{
    net->port.stats.tx_packets += packets;
    net->port.stats.tx_bytes += bytes;
    net->port.tx_ready -= packets;
}

/* Gives the device the frames of a batch whose headers are written, up to the end of the ring and then
 * from its start. */
static bool tx_add_around(struct virtio_net *net, const struct batch *batch)
{
    struct virtqueue *const queue = &net->tx.queue;
    bool wants_doorbell = false;

    for (uint32_t done = 0, n; done < batch->count; done += n) {
        uint8_t *const *const buffers = batch->buffers + done;
        const uint32_t *const lengths = batch->lengths + done;
        n = virtqueue_smaller(batch->count - done, virtqueue_room(queue));
        tx_count(net, n, virtqueue_stage_plain(queue, buffers, lengths, 0, n));
        if (!net->tx.pool->plain)
            virtio_net_stage_chains(net, batch->in, buffers, lengths, n);
        wants_doorbell |= virtqueue_publish(queue, n);
    }
    net->port.tx_ready = virtqueue_smaller(net->port.tx_ready, tx_free(&net->tx));
    return wants_doorbell;
}

/* The rare cases, frame by frame: something is left to do on one, or the end of the ring lies within
 * the burst. Those that may not leave are dropped and counted. Not marked
 * cold: gcc would take mfence for its fence, which needs SSE2. */
static __attribute__((noinline)) bool tx_add_each(struct virtio_net *net, const struct batch *batch,
                                                  uint32_t n)
{
    struct batch kept = {.in = batch->in};

    for (uint32_t i = 0; i < n; i++) {
        if (!batch->has_offloads)
            virtqueue_clear_header(batch->buffers[i]);
        else if (!virtio_net_finish(net, batch->in, batch->buffers[i], batch->lengths[i]))
            continue;
        kept.buffers[kept.count] = batch->buffers[i];
        kept.lengths[kept.count++] = batch->lengths[i];
    }
    return tx_add_around(net, &kept);
}

/* The port sends nothing: buffers go back to their pools. */
static __attribute__((noinline, cold)) uint32_t tx_swallow(struct virtio_net *net,
                                                           const struct batch *batch)
{
    struct port_stats *const stats = &net->port.stats;

    for (uint32_t i = 0; i < batch->count; i++)
        pool_put(net->setup.tx[0].pool, batch->buffers[i]);
    stats->tx_dropped += batch->count;
    if (!net->link_up)
        stats->tx_link_down += batch->count;
    return batch->count;
}

static __attribute__((noinline)) uint32_t tx_give(struct virtio_net *net, const struct batch *batch)
{
    struct port *const port = &net->port;
    struct virtqueue *const queue = &net->tx.queue;

    if (__builtin_expect(batch->count > port->tx_ready,
                         0)) { /* nobody has asked for so much room */
        if (net->tx.gate == GATE_SWALLOWS)
            return tx_swallow(net, batch);
        port->tx_ready = net->tx.gate == GATE_OPEN ? tx_free(&net->tx) : 0;
    }
    const uint32_t n = virtqueue_smaller(batch->count, port->tx_ready);
    if (n == 0)
        return 0;
    const bool is_rare = batch->has_offloads || n > virtqueue_side_by_side(queue, queue->avail_idx);
    if (__builtin_expect(is_rare, 0))
        return tx_add_each(net, batch, n) ? tx_kick(net, n) : n;
    tx_count(net, n, virtqueue_stage(queue, batch->buffers, batch->lengths, n));
    return virtqueue_publish(queue, n) ? tx_kick(net, n) : n;
}

uint32_t virtio_net_tx(struct port *port, unsigned queue_number, const struct batch *batch)
{
    struct virtio_net *net = virtio_net_of(port);
    struct virtqueue *const queue = &net->tx.queue;
    uint8_t *const buffer = batch->buffers[0];
    const uint32_t length = batch->lengths[0];

    (void)queue_number;
    if (batch->count != 1 || port->tx_ready == 0 || batch->has_offloads || !queue->ids_match_slots)
        return tx_give(net, batch);
    tx_count(net, 1, length);
    const bool wants_doorbell = queue->packed ? virtqueue_add_single(queue, buffer, length, true)
                                              : virtqueue_add_single(queue, buffer, length, false);
    return wants_doorbell ? tx_kick(net, 1) : 1;
}
