/*
 * Frames in several buffers, where memory is too short for buffers of 64 KiB: received as the device
 * merges them (virtio 1.2 §5.1.6.4), and sent by an indirect table.
 */
#include <string.h>

#include "drivers/virtio/virtio_net_internal.h"
#include "drivers/virtio/virtqueue_burst.h"

/* The largest frame, in buffers of usual size. */
#define CHAIN_MAX 41
_Static_assert(CHAIN_MAX *PORT_FRAME_USUAL >= PORT_FRAME_SEGMENTS, "all of it");
_Static_assert(CHAIN_MAX <= VIRTIO_NET_CHAIN_QUEUE_MIN,
               "§2.7.5.3.1: a table must not be longer than its queue");
_Static_assert(CHAIN_MAX * sizeof(struct virtq_desc) <= PORT_FRAME_USUAL,
               "a table fits into a buffer");

/* ---- rx ---- */

/* What the device has used for one frame. */
struct gathered {
    uint32_t count;
    void *buffers[CHAIN_MAX];
    uint32_t
        lengths[CHAIN_MAX]; /* as virtqueue_take has it: less a header, which only the first has */
};

/* §5.1.6.4: in how many buffers the frame lies that begins in this one, as the device says. */
static uint32_t num_buffers(const uint8_t *buffer)
{
    return *(const volatile uint16_t *)(buffer + PACKET_HEADROOM - sizeof(uint16_t));
}

static void give_back(struct virtio_net_queue *rx, void *const *buffers, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        pool_put(rx->pool, buffers[i]);
}

/* Adds `n` buffers to what is gathered, as far as there is room for so many in one frame. */
static void gather(struct gathered *frame, void *const *buffers, const uint32_t *lengths,
                   uint32_t n)
{
    memcpy(&frame->buffers[frame->count], buffers, n * sizeof(*buffers));
    memcpy(&frame->lengths[frame->count], lengths, n * sizeof(*lengths));
    frame->count += n;
}

/* Those that are missing to `count`. A device uses all buffers of a frame together (§5.1.6.4.1): who
 * says that there are more lies. */
static bool gather_rest(struct virtio_net_queue *rx, struct gathered *frame, uint32_t count)
{
    while (frame->count < count) {
        const struct virtqueue_burst burst =
            virtqueue_take(&rx->queue, &frame->buffers[frame->count], &frame->lengths[frame->count],
                           count - frame->count, VIRTQUEUE_LENGTHS);
        if (burst.count == 0) {
            virtqueue_fail(&rx->queue, VIRTQUEUE_NUM_BUFFERS, count);
            return false;
        }
        virtqueue_release(&rx->queue, burst.count);
        frame->count += burst.count;
    }
    return true;
}

/* The length of the whole; 0, and the queue is broken, if one of a part cannot be: all buffers but the
 * last are full (§5.1.6.4.1). */
static uint32_t length_of(struct virtio_net_queue *rx, const struct gathered *frame)
{
    const uint32_t header = rx->queue.header, full = rx->pool->frame_max;
    uint32_t length = frame->lengths[0];

    for (uint32_t i = 0; i < frame->count; i++) {
        const uint32_t used = frame->lengths[i] + header; /* what the device has said */
        const bool is_last = i + 1 == frame->count;
        if (used > full + header) {
            virtqueue_fail(&rx->queue, VIRTQUEUE_LENGTH_LONG, used);
            return 0;
        }
        if (used == 0 || (!is_last && used < full + header)) {
            virtqueue_fail(&rx->queue, VIRTQUEUE_LENGTH_SHORT, used);
            return 0;
        }
        length += i != 0 ? used : 0;
    }
    if (length > PORT_FRAME_SEGMENTS) {
        virtqueue_fail(&rx->queue, VIRTQUEUE_LENGTH_LONG, length + header);
        return 0;
    }
    return length;
}

/* The frame in `count` buffers, the first `n` of which were popped already, joins the batch. */
static bool take_merged(struct virtio_net_queue *rx, struct batch *batch, uint32_t at, uint32_t n,
                        uint32_t count)
{
    struct gathered frame = {.count = 0};
    uint32_t length;

    gather(&frame, (void *const *)&batch->buffers[at], &batch->lengths[at], n);
    if (!gather_rest(rx, &frame, count) || (length = length_of(rx, &frame)) == 0) {
        give_back(rx, frame.buffers, frame.count);
        return false;
    }
    for (uint32_t i = 1; i < count; i++)
        pool_link(rx->pool, frame.buffers[i - 1], frame.buffers[i]);
    batch->buffers[batch->count] = frame.buffers[0];
    batch->lengths[batch->count++] = length;
    batch->needs_check = batch->has_offloads = true;
    return true;
}

/* A frame in one buffer joins the batch. */
static bool take_single(struct virtio_net_queue *rx, struct batch *batch, uint32_t at)
{
    const uint32_t length = batch->lengths[at];

    batch->buffers[batch->count] = batch->buffers[at];
    batch->lengths[batch->count++] = length;
    batch->needs_check |= virtqueue_needs_check(&rx->queue, length);
    batch->has_offloads |= virtqueue_header_flags(batch->buffers[at]) != 0;
    return true;
}

/*
 * In how many buffers the frame lies that begins with number `at` of the batch; 0, and the queue is
 * broken, if that cannot be.
 */
static uint32_t count_of(struct virtio_net_queue *rx, const struct batch *batch, uint32_t at)
{
    const uint32_t length = batch->lengths[at], header = rx->queue.header;

    if (length > rx->pool->frame_max) { /* it may have been less than a header */
        virtqueue_fail(&rx->queue,
                       length > UINT32_MAX - header ? VIRTQUEUE_LENGTH_SHORT
                                                    : VIRTQUEUE_LENGTH_LONG,
                       length + header);
        return 0;
    }
    const uint32_t count = num_buffers(batch->buffers[at]);
    if (count == 0 || count > port_chain_max(rx->pool->frame_max)) {
        virtqueue_fail(&rx->queue, VIRTQUEUE_NUM_BUFFERS, count);
        return 0;
    }
    return count;
}

/*
 * Makes frames of the `n` buffers that the batch holds, and of those in the ring that the last frame
 * goes on in. Up to the first device error: what comes behind is nobody's frame, but the buffers are ours.
 */
static void merge(struct virtio_net_queue *rx, struct batch *batch, uint32_t n)
{
    uint32_t at = 0;

    batch->count = 0;
    while (at < n) {
        const uint32_t count = count_of(rx, batch, at), here = virtqueue_smaller(count, n - at);
        if (count == 0)
            break;
        const uint32_t from = at;
        at += here;
        if (!(count == 1 ? take_single(rx, batch, from)
                         : take_merged(rx, batch, from, here, count)))
            break;
    }
    give_back(rx, (void *const *)&batch->buffers[at], n - at);
}

uint32_t virtio_net_take_merged(struct virtio_net *net, struct batch *batch, uint32_t n)
{
    struct virtio_net_queue *const rx = &net->rx;
    uint32_t other = 0;

    /* Each frame may want a buffer more, for its table: a burst of them is kept for that. */
    n = virtqueue_smaller(n, rx->pool->count);
    const struct virtqueue_burst burst =
        virtqueue_take(&rx->queue, (void **)batch->buffers, batch->lengths, n, VIRTQUEUE_LENGTHS);
    virtqueue_release(&rx->queue, burst.count);
    batch->count = burst.count;
    for (uint32_t i = 0; i < burst.count && !burst.needs_check; i++)
        other |= (num_buffers(batch->buffers[i]) ^ 1) | virtqueue_header_flags(batch->buffers[i]);
    if (burst.needs_check || other != 0)
        merge(rx, batch, burst.count);
    for (uint32_t i = 0; i < batch->count; i++)
        net->port.stats.rx_bytes += batch->lengths[i];
    net->port.stats.rx_packets += batch->count;
    return batch->count;
}

/* ---- tx ---- */

/* Where a frame lies, for the device of `net`: its header and what follows that in the first buffer,
 * and the rest, which begins where in the first one the header of `from` began. */
static uint32_t parts_of(const struct virtio_net *net, const struct port *from,
                         const struct pool *pool, uint8_t *buffer, uint32_t length,
                         struct virtqueue_part *parts)
{
    const uint32_t earlier = from->rx_header;
    uint32_t left = length - pool->frame_max, count = 1;

    parts[0] = (struct virtqueue_part){
        .start = buffer + PACKET_HEADROOM - net->header_size,
        .length = net->header_size + pool->frame_max,
    };
    for (uint8_t *next = pool_next(pool, buffer); next != NULL && left != 0 && count < CHAIN_MAX;
         next = pool_next(pool, next)) {
        const uint32_t here = virtqueue_smaller(left, pool->frame_max + earlier);
        parts[count++] = (struct virtqueue_part){
            .start = next + PACKET_HEADROOM - earlier,
            .length = here,
        };
        left -= here;
    }
    return count;
}

void virtio_net_stage_chains(struct virtio_net *net, const struct port *from,
                             uint8_t *const *buffers, const uint32_t *lengths, uint32_t n)
{
    struct virtqueue_part parts[CHAIN_MAX];

    for (uint32_t i = 0; i < n; i++) {
        struct pool *const pool = pool_owner(net->tx.pool, buffers[i]);
        if (lengths[i] > pool->frame_max) {
            const uint32_t count = parts_of(net, from, pool, buffers[i], lengths[i], parts);
            /* The table is a buffer of the chain: it comes back with the rest. */
            uint8_t *const table = *pool_take(pool, 1);
            pool_link(pool, buffers[i], table);
            virtqueue_stage_indirect(&net->tx.queue, i, parts, count, table);
        }
        net->tx.hung += pool_hung(pool, buffers[i]);
    }
}
