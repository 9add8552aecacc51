/*
 * Bursts of the data path, inline, for whatever queue. As virtqueue.h says of the functions in it, and
 * buffers are owned as there.
 *
 * Nearly all queues are straight: split, chains of one descriptor, and slot i has descriptor i, since
 * the device has kept the order so far; or straight_packed. For these there are loops of their own,
 * those of packed rings in virtqueue_packed_burst.h, and what they find stays in registers. Who is not
 * in a hurry calls virtqueue_put_any and virtqueue_pop_any.
 */
#ifndef DRIVERS_VIRTQUEUE_BURST_H
#define DRIVERS_VIRTQUEUE_BURST_H

#include "drivers/virtqueue.h"
#include "drivers/virtqueue_four.h"
#include "drivers/virtqueue_packed_burst.h"

/* ---- adding ---- */

/*
 * virtqueue_put_any of buffers to be read. The headers are looked at here, where their addresses
 * are at hand: a line of memory that nobody else needs is touched for them, and once is enough.
 */
static inline struct virtqueue_sight virtqueue_straight_put_read(struct virtqueue *queue,
                                                                 uint8_t *const *buffers,
                                                                 const uint32_t *lengths,
                                                                 uint32_t n)
{
    const uint32_t slot = virtqueue_slot(queue, queue->avail_idx);
    struct virtq_desc *const desc = &queue->desc[slot];
    void **const tokens = &queue->tokens[slot];
    const uint64_t start = queue->start;
    const uint32_t header = queue->header;
    const uint64_t last = start + header - sizeof(four);
    struct virtqueue_sight sight = {0};
    uint64_t bytes = 0; /* headers included */
    four headers = {0};

    FOUR_AT_A_TIME(i, 0, n, {
        uint8_t *const buffer = buffers[i];
        const uint32_t length = header + lengths[i];
        headers |= *(const four *)(buffer + last);
        bytes += length;
        tokens[i] = buffer;
        virtqueue_describe(&desc[i], io_physical(buffer) + start, length, 0, 0);
    });
    sight.bytes = (uint32_t)bytes - n * header;
    virtqueue_see(&sight, &headers);
    return sight;
}

/* The same for buffers to be written. */
static inline void virtqueue_straight_put_write(struct virtqueue *queue, uint8_t *const *buffers,
                                                uint32_t n)
{
    const uint32_t slot = virtqueue_slot(queue, queue->avail_idx);
    struct virtq_desc *const desc = &queue->desc[slot];
    void **const tokens = &queue->tokens[slot];
    const uint64_t start = queue->start;
    const uint32_t length = queue->header + queue->room;

    FOUR_AT_A_TIME(i, 0, n, {
        tokens[i] = buffers[i];
        virtqueue_describe(&desc[i], io_physical(buffers[i]) + start, length, VIRTQ_DESC_F_WRITE,
                           0);
    });
}

/* ---- taking back ---- */

/*
 * virtqueue_pop_any where the device has finished `n` chains that lie side by side. If one of them is
 * not the expected one the count is 0: what was read of the used ring until then does not count.
 */
static inline __attribute__((always_inline)) struct virtqueue_burst
virtqueue_straight_pop(const struct virtqueue *queue, void **tokens, uint32_t *lengths, uint32_t n,
                       bool with_lengths)
{
    const uint32_t slot = virtqueue_slot(queue, queue->used_idx);
    const volatile struct virtq_used_elem *const used = &queue->used->ring[slot];
    void *const *const given = &queue->tokens[slot];
    const uint32_t header = queue->header;
    const struct four_bounds bounds = four_bounds(header + queue->shortest, queue->span);
    four expected = four_of(slot) + (four){0, 1, 2, 3};
    four sum = {0}, odd = {0}, wrong = {0};
    uint64_t i;

    for (i = 0; i + 4 <= n; i += 4) {
        const four low = four_load(&used[i]), high = four_load(&used[i + 2]);
        wrong |= __builtin_shufflevector(low, high, 0, 2, 4, 6) ^ expected;
        expected += 4;
        memcpy(&tokens[i], &given[i], 4 * sizeof(*tokens));
        if (!with_lengths)
            continue;
        const four length = __builtin_shufflevector(low, high, 1, 3, 5, 7);
        odd |= four_outside(length, bounds);
        sum += length - header;
        four_store(&lengths[i], length - header);
    }
    struct virtqueue_burst burst = {four_sum(sum), n, four_or(odd) != 0};
    uint64_t other = four_or(wrong);
    for (; i < n; i++) {
        other |= used[i].id ^ (slot + (uint32_t)i);
        tokens[i] = given[i];
        if (!with_lengths)
            continue;
        lengths[i] = used[i].len - header;
        burst.bytes += lengths[i];
        burst.odd |= virtqueue_is_odd(queue, lengths[i]);
    }
    if (__builtin_expect(other != 0, 0))
        burst.count = 0;
    return burst;
}

/* ---- any queue ---- */

/* As virtqueue_put_any. */
static inline __attribute__((always_inline)) struct virtqueue_sight
virtqueue_put(struct virtqueue *queue, uint8_t *const *buffers, const uint32_t *lengths, uint32_t n)
{
    if (queue->straight) {
        if (lengths != NULL)
            return virtqueue_straight_put_read(queue, buffers, lengths, n);
        virtqueue_straight_put_write(queue, buffers, n);
        return (struct virtqueue_sight){0};
    }
    if (__builtin_expect(queue->straight_packed, 1))
        return virtqueue_packed_straight_put(queue, buffers, lengths, n);
    return virtqueue_put_any(queue, buffers, lengths, n);
}

/* virtqueue_put, and virtqueue_show at once. */
static inline bool virtqueue_add(struct virtqueue *queue, uint8_t *const *buffers,
                                 const uint32_t *lengths, uint32_t n)
{
    (void)virtqueue_put(queue, buffers, lengths, n);
    return virtqueue_show(queue, n);
}

/* Both of the following: `lengths` counts, or does not, by a constant. */
static inline __attribute__((always_inline)) struct virtqueue_burst
virtqueue_pop_either(struct virtqueue *queue, void **tokens, uint32_t *lengths, uint32_t n,
                     bool with_lengths)
{
    if (__builtin_expect(queue->straight, 1)) {
        const uint32_t slot = virtqueue_slot(queue, queue->used_idx);
        const uint32_t pending = virtqueue_smaller(virtqueue_pending(queue), n);
        const uint32_t here = virtqueue_smaller(pending, queue->capacity - slot);
        const struct virtqueue_burst burst =
            virtqueue_straight_pop(queue, tokens, lengths, here, with_lengths);
        if (__builtin_expect(burst.count == here, 1))
            return burst;
    } else if (__builtin_expect(queue->straight_packed, 1)) {
        const struct virtqueue_burst burst = virtqueue_packed_straight_pop(
            queue, tokens, lengths, virtqueue_packed_at_most(queue, n), with_lengths);
        if (__builtin_expect(burst.count != 0, 1))
            return burst;
    }
    return virtqueue_pop_any(queue, tokens, lengths, n);
}

/* As virtqueue_pop_any, where the device has written: `lengths` is not NULL. */
static inline struct virtqueue_burst virtqueue_pop(struct virtqueue *queue, void **tokens,
                                                   uint32_t *lengths, uint32_t n)
{
    return virtqueue_pop_either(queue, tokens, lengths, n, true);
}

/* As virtqueue_pop_any, where the device has read. Returns how many chains. */
static inline __attribute__((always_inline)) uint32_t virtqueue_reclaim(struct virtqueue *queue,
                                                                        void **tokens, uint32_t n)
{
    return virtqueue_pop_either(queue, tokens, NULL, n, false).count;
}

#endif
