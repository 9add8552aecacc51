/*
 * The data path of virtio-net: a burst from the rx used ring to packets, a burst of packets to the
 * tx available ring, and finished buffers back to their pool. No wait, no log, no allocation.
 */
#include "drivers/virtio_net_internal.h"

#include <string.h>

_Static_assert(PACKET_HEADROOM >= VIRTIO_NET_HDR_BYTES, "the device's header lies in the headroom");
_Static_assert(PACKET_HEADROOM / CACHE_LINE ==
                   (PACKET_HEADROOM - VIRTIO_NET_HDR_BYTES) / CACHE_LINE,
               "header and Ethernet header share a cache line");
_Static_assert(VIRTQUEUE_BURST == BURST, "a queue gives back what a batch can hold");

/* ---- rx ---- */

/* Gives the device buffers, as far as the pool has some and they lie side by side. Returns whether it
 * wants to be notified. */
static bool rx_refill(struct virtio_net_queue *rx)
{
    const uint32_t missing = rx->posted - virtqueue_outstanding(&rx->queue);
    const uint32_t n =
        virtqueue_smaller(virtqueue_smaller(missing, rx->pool->count), virtqueue_room(&rx->queue));

    return n != 0 && virtqueue_add(&rx->queue, pool_take(rx->pool, n), NULL, n);
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
    const struct virtqueue_buffers buffers = {
        .start = PACKET_HEADROOM - net->header_size,
        .header = net->header_size,
        .room = setup->pool->frame_max,
        .shortest = ETHERNET_HEADER_SIZE,
    };

    rx->pool = setup->pool;
    virtqueue_set_buffers(&rx->queue, &buffers);
    virtio_net_set_payload_max(net, setup->payload_max);
    rx->posted = virtqueue_smaller(setup->buffers, virtqueue_free(&rx->queue));
    /* By the burst, but so that the device is not left without any where there are few. */
    rx->low_water = rx->posted - virtqueue_smaller(BURST, (rx->posted + 1) / 2);
    (void)rx_refill(rx); /* no doorbell before DRIVER_OK (§3.1.1) */
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
    virtqueue_park(&net->rx.queue);
    if (rx_refill(&net->rx))
        virtio_notify(&net->virtio, &net->rx.queue);
}

/* Moves finished chains to `batch`, up to the first breach. */
static __attribute__((noinline)) void rx_take(struct virtio_net *net, struct batch *batch,
                                              uint32_t n)
{
    struct virtio_net_queue *const rx = &net->rx;
    struct virtqueue_burst burst =
        virtqueue_pop(&rx->queue, (void **)batch->buffers, batch->lengths, n);

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
        rx_take(net, batch, n);
}

/* ---- tx ---- */

void virtio_net_reclaim_tx(struct virtio_net *net)
{
    struct virtqueue *const queue = &net->tx.queue;
    struct pool *const pool = net->tx.pool;
    uint32_t n;

    do {
        void **const free = (void **)&pool->free[pool->count];
        n = virtqueue_pop(queue, free, NULL, VIRTQUEUE_BURST).count;
        pool->count += n;
        virtqueue_popped(queue, n);
    } while (n != 0);
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

/* Nothing to complete, nothing to segment, no buffers but one. The longest header is cleared, whatever
 * this device's is. */
static __attribute__((noinline)) void tx_clear_headers(const struct batch *batch, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        memset(batch_frame(batch, i) - VIRTIO_NET_HDR_BYTES, 0, VIRTIO_NET_HDR_BYTES);
}

static inline uint64_t load_word(const uint8_t *from)
{
    uint64_t word;

    memcpy(&word, from, sizeof(word));
    return word;
}

/*
 * The device header in front of a frame must be all zero. The device that the frame came from left it
 * like that, as a rule; then the line is not written. Returns the bytes of `n` frames.
 */
static inline __attribute__((always_inline)) uint32_t tx_prepare(const struct batch *batch,
                                                                 uint64_t n)
{
    uint64_t headers = 0;
    uint32_t bytes = 0;

#pragma GCC unroll 4
    for (uint64_t i = 0; i < n; i++) {
        const uint8_t *const frame = batch->buffers[i] + PACKET_HEADROOM;
        headers |= load_word(frame - VIRTIO_NET_HDR_BYTES);
        headers |= load_word(frame - sizeof(headers)); /* they overlap */
        bytes += batch->lengths[i];
    }
    if (__builtin_expect(headers != 0, 0))
        tx_clear_headers(batch, (uint32_t)n);
    return bytes;
}

static __attribute__((noinline)) uint32_t tx_prepare_many(const struct batch *batch, uint32_t n)
{
    return tx_prepare(batch, n);
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
    tx->bytes += n == 1 ? tx_prepare(batch, 1) : tx_prepare_many(batch, n);
    tx->packets += n;
    dev->tx_ready -= n;
    if (virtqueue_add(&tx->queue, batch->buffers, batch->lengths, n))
        virtio_notify(&net->virtio, &tx->queue);
    return n;
}

uint32_t virtio_net_tx_pending(struct netdev *dev)
{
    struct virtio_net *net = virtio_net_of(dev);

    if (dev->state != NETDEV_RUNNING && dev->state != NETDEV_DRAINING)
        return 0;
    return virtio_net_reclaim_all(net);
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
