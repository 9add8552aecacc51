/*
 * The data path of virtio-net: a burst from the rx used ring to packets, a burst of packets to the
 * tx available ring, and finished buffers back to their pool. No wait, no log, no allocation.
 */
#include "drivers/virtio_net_internal.h"

#include <string.h>

#include <machine/io.h>

_Static_assert(PACKET_HEADROOM >= VIRTIO_NET_HDR_BYTES, "the device's header lies in the headroom");
_Static_assert(PACKET_HEADROOM / CACHE_LINE ==
                   (PACKET_HEADROOM - VIRTIO_NET_HDR_BYTES) / CACHE_LINE,
               "header and Ethernet header share a cache line");
_Static_assert(VIRTQUEUE_BURST == BURST, "a queue gives back what a batch can hold");

/*
 * Writes a descriptor, whole: so whatever the device may have scribbled over it is gone. All but
 * the address goes by one store.
 */
static inline void describe(struct virtq_desc *desc, uint64_t addr, uint32_t len, uint16_t flags,
                            uint16_t next)
{
    const uint64_t rest = (uint64_t)next << 48 | (uint64_t)flags << 32 | len;

    desc->addr = addr;
    memcpy((uint8_t *)desc + offsetof(struct virtq_desc, len), &rest, sizeof(rest));
}

/* Writes chain `id`: the device's header and the `length` bytes of `buffer` behind it, in one
 * descriptor or, where the device wants that, the header in one of its own. */
static inline void describe_chain(const struct virtqueue *queue, uint32_t id, const uint8_t *buffer,
                                  uint32_t length, uint16_t flags)
{
    struct virtq_desc *const desc = &queue->desc[id];
    const uint64_t frame = io_physical(buffer) + PACKET_HEADROOM;
    const uint32_t header = queue->header;

    if (queue->chain == 1) {
        describe(desc, frame - header, header + length, flags, 0);
        return;
    }
    describe(desc, frame - header, header, VIRTQ_DESC_F_NEXT | flags, (uint16_t)(id + 1));
    describe(desc + 1, frame, length, flags, 0);
}

/* ---- rx ---- */

/* Points the next `n` chains at fresh buffers: the header's place and the frame's. */
static inline void rx_describe(struct virtio_net_queue *rx, uint8_t *const *fresh, uint64_t n)
{
    const struct virtqueue_slots slots = virtqueue_next(&rx->queue);
    const uint64_t start = PACKET_HEADROOM - rx->queue.header;
    const uint32_t length = rx->queue.header + rx->pool->frame_max;

#pragma GCC unroll 4
    for (uint64_t i = 0; i < n; i++) {
        slots.tokens[i] = fresh[i];
        describe(&slots.desc[i], io_physical(fresh[i]) + start, length, VIRTQ_DESC_F_WRITE, 0);
    }
}

/* The same where chains have changed their slots, or have two descriptors. */
static __attribute__((noinline)) void rx_describe_any(struct virtio_net_queue *rx,
                                                      uint8_t *const *fresh, uint64_t n)
{
    const struct virtqueue_slots slots = virtqueue_next(&rx->queue);

    for (uint64_t i = 0; i < n; i++) {
        slots.tokens[i] = fresh[i];
        describe_chain(&rx->queue, slots.ids[i], fresh[i], rx->pool->frame_max, VIRTQ_DESC_F_WRITE);
    }
}

/* Fills the next slots, as far as the pool has buffers and they lie side by side; returns how many. */
static uint32_t rx_refill(struct virtio_net_queue *rx)
{
    const uint32_t missing = rx->posted - virtqueue_outstanding(&rx->queue);
    const uint32_t n =
        virtqueue_smaller(virtqueue_smaller(missing, rx->pool->count), virtqueue_room(&rx->queue));
    uint8_t *const *const fresh = pool_take(rx->pool, n);

    if (rx->queue.plain)
        rx_describe(rx, fresh, n);
    else
        rx_describe_any(rx, fresh, n);
    return n;
}

void virtio_net_set_payload_max(struct virtio_net *net, uint32_t payload_max)
{
    net->rx.queue.span =
        virtqueue_smaller(payload_max, net->rx.pool->frame_max - ETHERNET_HEADER_SIZE);
}

void virtio_net_fill_rx(struct virtio_net *net)
{
    const struct netdev_rx_setup *const setup = &net->setup.rx[0];
    struct virtio_net_queue *const rx = &net->rx;

    rx->pool = setup->pool;
    rx->queue.shortest = ETHERNET_HEADER_SIZE;
    virtio_net_set_payload_max(net, setup->payload_max);
    rx->posted = virtqueue_smaller(setup->buffers, virtqueue_free(&rx->queue));
    /* By the burst, but so that the device is not left without any where there are few. */
    rx->low_water = rx->posted - virtqueue_smaller(BURST, (rx->posted + 1) / 2);
    (void)virtqueue_publish(&rx->queue, rx_refill(rx)); /* no doorbell before DRIVER_OK (§3.1.1) */
}

/*
 * The rare case, a burst with a length that is not ordinary: too short for what a frame must have, or
 * too long for what may leave. Leaves the frames before the first length that cannot be at all, which
 * breaks the queue.
 */
static __attribute__((noinline, cold)) struct virtqueue_burst
rx_possible(struct virtio_net_queue *rx, const uint32_t *lengths, uint32_t n)
{
    struct virtqueue_burst burst = {.odd = true};

    for (; burst.count < n; burst.count++) {
        const uint32_t length = lengths[burst.count];
        const bool is_short =
            length > UINT32_MAX - rx->queue.header; /* it was less than a header */
        if (is_short || length > rx->pool->frame_max) {
            rx->queue.breach = VIRTQUEUE_SOUND; /* what came later in the ring is not the first */
            virtqueue_break(&rx->queue, is_short ? VIRTQUEUE_LENGTH_SHORT : VIRTQUEUE_LENGTH_LONG,
                            length + rx->queue.header);
            break;
        }
        burst.bytes += length;
    }
    return burst;
}

/* Not for each frame: buffers for the device, and the doorbell. */
static __attribute__((noinline)) void rx_refill_and_kick(struct virtio_net *net)
{
    const uint32_t n = rx_refill(&net->rx);

    if (n == 0)
        return;
    virtqueue_park(&net->rx.queue);
    virtio_kick(&net->virtio, &net->rx.queue, n);
}

/* The chains that `burst` tells of become the frames of `batch`, up to the first breach. */
static inline void rx_take(struct virtio_net *net, struct batch *batch,
                           struct virtqueue_burst burst)
{
    struct virtio_net_queue *const rx = &net->rx;

    if (__builtin_expect(burst.odd, 0))
        burst = rx_possible(rx, batch->lengths, burst.count);
    batch->count = burst.count;
    batch->odd = burst.odd;
    virtqueue_popped(&rx->queue, burst.count);
    rx->packets += burst.count;
    rx->bytes += burst.bytes;
    /* By the burst: a lone frame costs neither a look at the pool nor at the doorbell. */
    if (virtqueue_outstanding(&rx->queue) <= rx->low_water)
        rx_refill_and_kick(net);
    if (__builtin_expect(rx->queue.breach != VIRTQUEUE_SOUND, 0))
        virtio_net_breach(net, &rx->queue);
}

static __attribute__((noinline)) void rx_take_many(struct virtio_net *net, struct batch *batch,
                                                   uint32_t n)
{
    rx_take(net, batch, virtqueue_pop(&net->rx.queue, (void **)batch->buffers, batch->lengths, n));
}

static __attribute__((noinline)) void rx_take_some(struct virtio_net *net, struct batch *batch,
                                                   uint32_t n)
{
    struct virtqueue *const queue = &net->rx.queue;
    const uint32_t ready = virtqueue_smaller(virtqueue_pending(queue), n);

    if (ready == 1)
        rx_take(net, batch, virtqueue_pop_one(queue, (void **)batch->buffers, batch->lengths));
    else /* or none, on a breach */
        rx_take_many(net, batch, ready);
}

/*
 * Short, as most rounds of most lanes find nothing. Where the pool was too poor to refill the ring,
 * nothing may ever come in until that is done.
 */
void virtio_net_rx_batch(struct netdev *dev, unsigned queue_number, struct batch *batch, uint32_t n)
{
    struct virtio_net *net = virtio_net_of(dev);
    struct virtio_net_queue *rx = &net->rx;

    (void)queue_number; /* there is one */
    batch->count = 0;
    if (virtqueue_has_finished(&rx->queue) || virtqueue_outstanding(&rx->queue) <= rx->low_water)
        rx_take_some(net, batch, n);
}

/* ---- tx ---- */

void virtio_net_reclaim_tx(struct virtio_net *net)
{
    struct virtqueue *const queue = &net->tx.queue;
    struct pool *const pool = net->tx.pool;

    for (uint32_t ready; (ready = virtqueue_pending(queue)) != 0;) {
        void **const free = (void **)&pool->free[pool->count];
        ready = virtqueue_smaller(ready, VIRTQUEUE_BURST);
        const uint32_t n = virtqueue_pop(queue, free, NULL, ready).count;
        pool->count += n;
        virtqueue_popped(queue, n);
        if (n == 0)
            break; /* a breach */
    }
    virtqueue_park(queue);
}

uint32_t virtio_net_tx_room(struct netdev *dev, unsigned queue_number, uint32_t n)
{
    struct virtio_net *net = virtio_net_of(dev);
    struct virtio_net_queue *tx = &net->tx;

    /* The used ring is looked at only when slots or buffers run short: a lone frame so does not
     * draw the device's cache line over each time. */
    if (virtqueue_free(&tx->queue) < n || tx->pool->count < n) {
        virtio_net_reclaim_tx(net);
        if (__builtin_expect(tx->queue.breach != VIRTQUEUE_SOUND, 0)) {
            virtio_net_breach(net, &tx->queue);
            return dev->ops->tx_room(dev, queue_number, n); /* as it is answered from now on */
        }
    }
    dev->tx_ready = virtqueue_room(&tx->queue);
    return virtqueue_smaller(dev->tx_ready, n);
}

/*
 * The header in front of a frame must be all zero: nothing to complete, nothing to segment. The
 * device left it like that on the way in, as a rule, but for num_buffers; then the line is not
 * written. The longest header is cleared, whatever the device's is.
 */
static inline void tx_clear_header(uint8_t *frame)
{
    uint64_t first, last;

    memcpy(&first, frame - VIRTIO_NET_HDR_BYTES, sizeof(first));
    memcpy(&last, frame - sizeof(last), sizeof(last)); /* they overlap */
    if (__builtin_expect((first | last) != 0, 0))
        memset(frame - VIRTIO_NET_HDR_BYTES, 0, VIRTIO_NET_HDR_BYTES);
}

/* Points the next chain, number `i` of these, at frame `i` of the batch; returns its bytes. `header`
 * is the device header's size. */
static inline uint32_t tx_describe(const struct virtqueue_slots *slots, uint64_t header,
                                   const struct batch *batch, uint64_t i)
{
    uint8_t *const buffer = batch->buffers[i];
    const uint32_t length = batch->lengths[i];

    slots->tokens[i] = buffer;
    tx_clear_header(buffer + PACKET_HEADROOM);
    describe(&slots->desc[i], io_physical(buffer) + PACKET_HEADROOM - header,
             (uint32_t)header + length, 0, 0);
    return length;
}

static __attribute__((noinline)) uint64_t tx_describe_many(struct virtio_net_queue *tx,
                                                           const struct batch *batch, uint64_t n)
{
    const struct virtqueue_slots slots = virtqueue_next(&tx->queue);
    const uint64_t header = tx->queue.header;
    uint64_t bytes = 0;

#pragma GCC unroll 4
    for (uint64_t i = 0; i < n; i++)
        bytes += tx_describe(&slots, header, batch, i);
    return bytes;
}

/* The same where chains have changed their slots, or have two descriptors. */
static __attribute__((noinline)) uint64_t tx_describe_any(struct virtio_net_queue *tx,
                                                          const struct batch *batch, uint64_t n)
{
    const struct virtqueue_slots slots = virtqueue_next(&tx->queue);
    uint64_t bytes = 0;

    for (uint64_t i = 0; i < n; i++) {
        uint8_t *const buffer = batch->buffers[i];
        slots.tokens[i] = buffer;
        tx_clear_header(buffer + PACKET_HEADROOM);
        describe_chain(&tx->queue, slots.ids[i], buffer, batch->lengths[i], 0);
        bytes += batch->lengths[i];
    }
    return bytes;
}

static inline uint64_t tx_fill(struct virtio_net_queue *tx, const struct batch *batch, uint32_t n)
{
    if (!tx->queue.plain)
        return tx_describe_any(tx, batch, n);
    if (n != 1)
        return tx_describe_many(tx, batch, n);
    const struct virtqueue_slots slots = virtqueue_next(&tx->queue);
    return tx_describe(&slots, tx->queue.header, batch, 0);
}

uint32_t virtio_net_tx_batch(struct netdev *dev, unsigned queue_number, const struct batch *batch)
{
    struct virtio_net *net = virtio_net_of(dev);
    struct virtio_net_queue *tx = &net->tx;

    (void)queue_number;
    if (__builtin_expect(batch->count > dev->tx_ready, 0)) /* nobody has asked for so much room */
        dev->tx_ready = virtqueue_room(&tx->queue);
    const uint32_t n = virtqueue_smaller(batch->count, dev->tx_ready);
    if (n == 0)
        return 0;
    tx->bytes += tx_fill(tx, batch, n);
    tx->packets += n;
    dev->tx_ready -= n;
    virtio_kick(&net->virtio, &tx->queue, n);
    return n;
}

uint32_t virtio_net_tx_pending(struct netdev *dev)
{
    struct virtio_net *net = virtio_net_of(dev);

    if (dev->state != NETDEV_RUNNING)
        return 0;
    if (net->tx.queue.breach == VIRTQUEUE_SOUND)
        virtio_net_reclaim_tx(net);
    return virtqueue_outstanding(&net->tx.queue);
}

/* ---- out of service ---- */

void virtio_net_no_rx_batch(struct netdev *dev, unsigned queue_number, struct batch *batch,
                            uint32_t n)
{
    (void)dev;
    (void)queue_number;
    (void)n;
    batch->count = 0;
    batch->odd = false;
}

uint32_t virtio_net_waiting_tx_room(struct netdev *dev, unsigned queue_number, uint32_t n)
{
    (void)dev;
    (void)queue_number;
    (void)n;
    return 0;
}

uint32_t virtio_net_stopped_tx_room(struct netdev *dev, unsigned queue_number, uint32_t n)
{
    (void)dev;
    (void)queue_number;
    return n;
}

uint32_t virtio_net_stopped_tx_batch(struct netdev *dev, unsigned queue_number,
                                     const struct batch *batch)
{
    struct virtio_net *net = virtio_net_of(dev);
    struct pool *const pool = net->setup.tx[0].pool; /* the sender's; the ring's may be another */

    (void)queue_number;
    for (uint32_t i = 0; i < batch->count; i++)
        pool_put(pool, batch->buffers[i]);
    net->tx_dropped += batch->count;
    if (!net->link.up)
        net->link.swallowed += batch->count;
    return batch->count;
}
