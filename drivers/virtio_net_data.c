/*
 * The data path of virtio-net: a burst from the rx used ring to packets, a burst of packets to the
 * tx available ring, and finished buffers back to their pool. No wait, no log, no allocation.
 */
#include "drivers/virtio_net_internal.h"

#include <string.h>

#include <machine/io.h>

#define HEADER ((uint32_t)sizeof(struct virtio_net_hdr))

_Static_assert(PACKET_HEADROOM >= HEADER, "the device's header lies in the headroom");
_Static_assert(PACKET_HEADROOM / CACHE_LINE == (PACKET_HEADROOM - HEADER) / CACHE_LINE,
               "header and Ethernet header share a cache line");

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

/*
 * Writes chain `id` of a ring whose device wants the header in a descriptor of its own: `frame` is
 * the physical address of `length` bytes with the header in front of them.
 */
static inline void describe_apart(struct virtq_desc *desc, uint32_t id, uint64_t frame,
                                  uint32_t length, uint16_t flags)
{
    describe(&desc[id], frame - HEADER, HEADER, VIRTQ_DESC_F_NEXT | flags, (uint16_t)(id + 1));
    describe(&desc[id + 1], frame, length, flags, 0);
}

/* ---- rx ---- */

/*
 * Points the chains of `slots` at fresh buffers: the header's place and the frame's. `apart` is a
 * constant wherever this is called, so that the loop has no branch for it.
 */
static inline __attribute__((always_inline)) void rx_describe(struct virtq_desc *desc,
                                                              const struct virtqueue_slots *slots,
                                                              uint8_t *const *fresh,
                                                              uint32_t length, bool apart)
{
    for (uint64_t i = 0; i < slots->count; i++) {
        const uint64_t frame = io_physical(fresh[i]) + PACKET_HEADROOM;
        const uint64_t id = slots->ids[i];
        slots->tokens[i] = fresh[i];
        if (apart)
            describe_apart(desc, (uint32_t)id, frame, length, VIRTQ_DESC_F_WRITE);
        else
            describe(&desc[id], frame - HEADER, HEADER + length, VIRTQ_DESC_F_WRITE, 0);
    }
}

/* Fills the ring up again, as far as the pool has buffers and slots lie side by side; returns how
 * many it took. */
static uint32_t rx_refill(struct virtio_net_queue *rx)
{
    struct virtqueue *const queue = &rx->queue;
    const uint32_t length = rx->pool->frame_max;
    const uint32_t missing = rx->posted - virtqueue_outstanding(queue);
    const struct virtqueue_slots slots =
        virtqueue_next(queue, virtqueue_smaller(missing, rx->pool->count));
    uint8_t *const *const fresh = pool_take(rx->pool, slots.count);

    if (queue->chain == 1)
        rx_describe(queue->desc, &slots, fresh, length, false);
    else
        rx_describe(queue->desc, &slots, fresh, length, true);
    virtqueue_offer(queue, slots.count);
    return slots.count;
}

void virtio_net_fill_rx(struct virtio_net *net)
{
    const struct netdev_rx_setup *const setup = &net->setup.rx[0];
    struct virtio_net_queue *const rx = &net->rx;

    rx->pool = setup->pool;
    rx->payload_max =
        virtqueue_smaller(setup->payload_max, setup->pool->frame_max - ETHERNET_HEADER_SIZE);
    rx->posted = virtqueue_smaller(setup->buffers, virtqueue_free(&rx->queue));
    /* By the burst, but so that the device is not left without any where there are few. */
    rx->low_water = rx->posted - virtqueue_smaller(BURST, (rx->posted + 1) / 2);
    rx_refill(rx);
    (void)virtqueue_publish(&rx->queue); /* no doorbell before DRIVER_OK (§3.1.1) */
}

/* False, and the queue is broken, for a length that cannot be; else the frame is merely odd. */
static __attribute__((noinline, cold)) bool rx_length_possible(struct virtio_net_queue *rx,
                                                               uint32_t length)
{
    if (length < HEADER)
        virtqueue_break(&rx->queue, VIRTQUEUE_LENGTH_SHORT, length);
    else if (length - HEADER > rx->pool->frame_max)
        virtqueue_break(&rx->queue, VIRTQUEUE_LENGTH_LONG, length);
    return rx->queue.breach == VIRTQUEUE_SOUND;
}

/* Moves a run of finished chains to `batch`, up to the first breach. */
static inline void rx_take(struct virtio_net_queue *rx, const struct virtqueue_run *run,
                           struct batch *batch)
{
    const uint32_t ordinary = rx->payload_max;
    uint64_t bytes = 0;
    uint64_t i;

    for (i = 0; i < run->length; i++) {
        const uint32_t id = run->used[i].id, length = run->used[i].len - HEADER;
        /* One comparison for all: what is shorter than its headers wraps to a very long payload. */
        if (__builtin_expect(length - ETHERNET_HEADER_SIZE > ordinary, 0)) {
            if (!rx_length_possible(rx, length + HEADER))
                break;
            batch->odd = true;
        }
        if (!virtqueue_pop(&rx->queue, run, i, id))
            break;
        batch->buffers[i] = run->tokens[i];
        batch->lengths[i] = length;
        bytes += length;
    }
    batch->count = i;
    virtqueue_popped(&rx->queue, i);
    rx->packets += i;
    rx->bytes += bytes;
}

void virtio_net_rx_batch(struct netdev *dev, unsigned queue_number, struct batch *batch, uint32_t n)
{
    struct virtio_net *net = virtio_net_of(dev);
    struct virtio_net_queue *rx = &net->rx;
    const struct virtqueue_run run = virtqueue_finished(&rx->queue, n);

    (void)queue_number; /* there is one */
    batch->count = 0;
    batch->odd = false;
    if (run.length != 0)
        rx_take(rx, &run, batch);
    /* By the burst: a lone frame costs neither a look at the pool nor at the doorbell. */
    if (virtqueue_outstanding(&rx->queue) <= rx->low_water && rx_refill(rx) != 0) {
        virtqueue_park(&rx->queue);
        virtio_kick(&net->virtio, &rx->queue);
    }
    if (__builtin_expect(rx->queue.breach != VIRTQUEUE_SOUND, 0))
        virtio_net_breach(net, &rx->queue);
}

/* ---- tx ---- */

void virtio_net_reclaim_tx(struct virtio_net *net)
{
    struct virtio_net_queue *tx = &net->tx;
    const struct virtqueue_run run = virtqueue_finished(&tx->queue, UINT32_MAX);
    uint8_t **const free = &tx->pool->free[tx->pool->count];
    uint32_t i;

    for (i = 0; i < run.length; i++) {
        if (!virtqueue_pop(&tx->queue, &run, i, run.used[i].id))
            break;
        free[i] = run.tokens[i];
    }
    tx->pool->count += i;
    virtqueue_popped(&tx->queue, i);
    virtqueue_park(&tx->queue);
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
    dev->tx_ready = virtqueue_next(&tx->queue, UINT32_MAX).count;
    return virtqueue_smaller(dev->tx_ready, n);
}

/*
 * The header in front of a frame must be all zero: nothing to complete, nothing to segment. The
 * device left it like that on the way in, as a rule, and then the line is not written.
 */
static inline void tx_clear_header(uint8_t *header)
{
    uint64_t first, last;

    memcpy(&first, header, sizeof(first));
    memcpy(&last, header + HEADER - sizeof(last), sizeof(last)); /* they overlap */
    if (__builtin_expect((first | last) != 0, 0))
        memset(header, 0, HEADER);
}

/* Points the chains of `slots` at the frames of the batch; returns their bytes. `apart` as in
 * rx_describe. */
static inline __attribute__((always_inline)) uint64_t
tx_describe(struct virtq_desc *desc, const struct virtqueue_slots *slots, const struct batch *batch,
            bool apart)
{
    uint64_t bytes = 0;

    for (uint64_t i = 0; i < slots->count; i++) {
        uint8_t *const buffer = batch->buffers[i];
        const uint64_t frame = io_physical(buffer) + PACKET_HEADROOM;
        const uint32_t length = batch->lengths[i];
        const uint64_t id = slots->ids[i];
        tx_clear_header(buffer + PACKET_HEADROOM - HEADER);
        slots->tokens[i] = buffer;
        if (apart)
            describe_apart(desc, (uint32_t)id, frame, length, 0);
        else
            describe(&desc[id], frame - HEADER, HEADER + length, 0, 0);
        bytes += length;
    }
    return bytes;
}

uint32_t virtio_net_tx_batch(struct netdev *dev, unsigned queue_number, const struct batch *batch)
{
    struct virtio_net *net = virtio_net_of(dev);
    struct virtio_net_queue *tx = &net->tx;
    struct virtqueue *queue = &tx->queue;
    const struct virtqueue_slots slots = virtqueue_next(queue, batch->count);

    (void)queue_number;
    if (slots.count == 0)
        return 0;
    tx->bytes += queue->chain == 1 ? tx_describe(queue->desc, &slots, batch, false)
                                   : tx_describe(queue->desc, &slots, batch, true);
    tx->packets += slots.count;
    dev->tx_ready -= virtqueue_smaller(slots.count, dev->tx_ready);
    virtqueue_offer(queue, slots.count);
    virtio_kick(&net->virtio, queue);
    return slots.count;
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

    (void)queue_number;
    for (uint32_t i = 0; i < batch->count; i++)
        pool_put(net->tx.pool, batch->buffers[i]);
    net->tx_dropped += batch->count;
    return batch->count;
}
