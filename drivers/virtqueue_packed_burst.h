/*
 * Bursts and lone frames of a packed ring (virtio 1.2 §2.8), inline, for a queue that is
 * straight_packed: slot i has id i, so that the id in a descriptor is known from its place. As
 * virtqueue.h says of the functions without `packed` in their names. What a queue of any packed kind
 * needs of the format stands here, too.
 */
#ifndef DRIVERS_VIRTQUEUE_PACKED_BURST_H
#define DRIVERS_VIRTQUEUE_PACKED_BURST_H

#include "drivers/virtqueue.h"
#include "drivers/virtqueue_four.h"

/* ---- adding ---- */

/* Id and flags that make the descriptor of `idx` available: AVAIL is the wrap counter, USED is not
 * (§2.8.1). */
static inline uint32_t virtqueue_packed_available(const struct virtqueue *queue, uint32_t idx,
                                                  uint32_t id)
{
    const uint32_t flags = idx & queue->capacity ? VIRTQ_DESC_F_USED : VIRTQ_DESC_F_AVAIL;

    return flags << 16 | id;
}

/* `n` slots are laid, and `word` will show them. What was laid there before may have been more. */
static inline void virtqueue_packed_note(struct virtqueue *queue, uint32_t n, uint32_t word)
{
    if (queue->laid < n)
        queue->laid = n;
    queue->laid_word = word;
}

/* Length, id and flags go by one store; but not the flags of the first, which show the burst. */
static inline void virtqueue_packed_describe(struct pvirtq_desc *desc, uint64_t addr, uint64_t rest)
{
    desc->addr = addr;
    memcpy(&desc->len, &rest, sizeof(rest));
}

/*
 * virtqueue_put_any, both directions: `lengths` is NULL, or not, by a constant. Of the first
 * descriptor id and flags are left as they are: they show the burst.
 */
static inline __attribute__((always_inline)) struct virtqueue_sight
virtqueue_packed_straight_put(struct virtqueue *queue, uint8_t *const *buffers,
                              const uint32_t *lengths, uint32_t n)
{
    const uint32_t idx = queue->avail_idx, slot = virtqueue_slot(queue, idx);
    const uint32_t write = lengths == NULL ? (uint32_t)VIRTQ_DESC_F_WRITE << 16 : 0;
    const uint32_t word = virtqueue_packed_available(queue, idx, slot) | write;
    struct pvirtq_desc *const desc = &queue->packed_desc[slot];
    void **const tokens = &queue->tokens[slot];
    const uint64_t start = queue->start;
    const uint32_t header = queue->header, room = header + queue->room;
    const uint64_t last = start + header - sizeof(four);
    const uint32_t first = lengths == NULL ? room : header + lengths[0];
    uint64_t upper = (uint64_t)word << 32; /* of a descriptor's upper half: id and flags */
    struct virtqueue_sight sight = {0};
    uint64_t bytes = first; /* headers included */
    four headers = {0};

    desc->addr = io_physical(buffers[0]) + start;
    desc->len = first;
    tokens[0] = buffers[0];
    if (lengths != NULL)
        headers = *(const four *)(buffers[0] + last);
    FOUR_AT_A_TIME(i, 1, n, {
        uint8_t *const buffer = buffers[i];
        const uint32_t length = lengths == NULL ? room : header + lengths[i];
        if (lengths != NULL) {
            headers |= *(const four *)(buffer + last);
            bytes += length;
        }
        tokens[i] = buffer;
        upper += 1ull << 32;
        virtqueue_packed_describe(&desc[i], io_physical(buffer) + start, upper + length);
    });
    virtqueue_packed_note(queue, n, word);
    sight.bytes = (uint32_t)bytes - n * header;
    virtqueue_see(&sight, &headers);
    return sight;
}

/* virtqueue_put_lone, where nothing is laid that was not shown. */
static inline void virtqueue_packed_put_lone(struct virtqueue *queue, uint8_t *buffer,
                                             uint32_t length)
{
    const uint32_t idx = queue->avail_idx, slot = virtqueue_slot(queue, idx);
    struct pvirtq_desc *const desc = &queue->packed_desc[slot];

    desc->addr = io_physical(buffer) + queue->start;
    desc->len = queue->header + length;
    queue->tokens[slot] = buffer;
    queue->laid_word = virtqueue_packed_available(queue, idx, slot);
}

/*
 * True if the device's event suppression wants a notification of the `n` slots before `idx`, the first
 * one not shown yet: the one for a certain descriptor (§2.8.10).
 *
 * The descriptor that it names is in the round of `idx` or in the one before that. It wants to know
 * when that becomes available: a burst that passes it must ring. One that begins behind it rings,
 * too: QEMU 7.2 names a descriptor, goes on by itself beyond it when a frame that was held up has
 * left, and does not name another one; it would wait for ever.
 */
static inline bool virtqueue_packed_passed(const struct virtqueue *queue, uint32_t idx)
{
    const uint16_t desc = atomic_load_explicit(&queue->device_event->desc, memory_order_relaxed);
    const bool same_round = !(desc & RING_EVENT_DESC_WRAP) == !!(idx & queue->capacity);
    const uint32_t event =
        (idx & ~queue->mask) + (desc & ~RING_EVENT_DESC_WRAP) - (same_round ? 0 : queue->capacity);

    return idx - event - 1 < queue->capacity;
}

/* Shows the device the chains that were laid into the next `n` slots, and returns whether it wants to
 * be notified (§2.8.21). None behind them is laid. */
static inline bool virtqueue_packed_publish(struct virtqueue *queue, uint32_t n)
{
    struct pvirtq_desc *const first = &queue->packed_desc[virtqueue_slot(queue, queue->avail_idx)];
    const uint32_t idx = queue->avail_idx + n;

    queue->avail_idx = idx;
    /* Release: everything before the first descriptor's flags. The device looks at no descriptor
     * behind one that is not available yet, so this one store shows it all of them (§2.8.21.1.1
     * "Updating flags"). Partner: the device's read of these flags before it reads the rest. */
    atomic_store_explicit((_Atomic uint32_t *)&first->id, queue->laid_word, memory_order_release);

    /* Full fence: our flags before our look at the device's event suppression. Partner: the device
     * writes that, fences, and looks at the ring again (§2.8.21.2). */
    atomic_thread_fence(memory_order_seq_cst);
    const uint16_t flags = atomic_load_explicit(&queue->device_event->flags, memory_order_relaxed);
    if (!queue->event_idx || flags != RING_EVENT_FLAGS_DESC)
        return flags != RING_EVENT_FLAGS_DISABLE;
    return virtqueue_packed_passed(queue, idx);
}

/* ---- taking back ---- */

/*
 * The upper halves of four descriptors: lengths, and ids with flags. Acquire, as in
 * virtqueue_packed_load: on x86 a load is one, and a half, which is aligned to its 8 bytes, is read at
 * once, so that a length belongs to the flags beside it.
 */
static inline four virtqueue_packed_load_four(const struct pvirtq_desc *desc, four *lengths)
{
    const four a = four_load(&desc[0]), b = four_load(&desc[1]);
    const four c = four_load(&desc[2]), d = four_load(&desc[3]);
    const four low = __builtin_shufflevector(a, b, 2, 3, 6, 7);
    const four high = __builtin_shufflevector(c, d, 2, 3, 6, 7);

    *lengths = __builtin_shufflevector(low, high, 0, 2, 4, 6);
    return __builtin_shufflevector(low, high, 1, 3, 5, 7);
}

/* Of `n` chains, how many the device has, up to the end, where the wrap counter changes. */
static inline uint32_t virtqueue_packed_at_most(const struct virtqueue *queue, uint32_t n)
{
    const uint32_t slot = virtqueue_slot(queue, queue->used_idx);

    n = virtqueue_smaller(n, virtqueue_outstanding(queue));
    return virtqueue_smaller(n, queue->capacity - slot);
}

/*
 * virtqueue_pop_any of the `n` slots (0 to all that are outstanding) from used_idx on, which lie side
 * by side. The count is 0 if nothing is finished, and also if something is that was not expected:
 * what was read until then does not count.
 */
static inline __attribute__((always_inline)) struct virtqueue_burst
virtqueue_packed_straight_pop(const struct virtqueue *queue, void **tokens, uint32_t *lengths,
                              uint32_t n, bool with_lengths)
{
    const uint32_t slot = virtqueue_slot(queue, queue->used_idx);
    const struct pvirtq_desc *const desc = &queue->packed_desc[slot];
    void *const *const given = &queue->tokens[slot];
    const uint32_t header = queue->header;
    const uint32_t first = virtqueue_packed_used(queue, queue->used_idx, slot);
    const struct four_bounds bounds = four_bounds(header + queue->shortest, queue->span);
    four expected = four_of(first) + (four){0, 1, 2, 3};
    four sum = {0}, odd = {0};
    uint64_t i;

    for (i = 0; i + 4 <= n; i += 4) {
        four length;
        const four word = virtqueue_packed_load_four(&desc[i], &length) & VIRTQUEUE_PACKED_MASK;
        if (!four_equal(word, expected))
            break;
        expected += 4;
        memcpy(&tokens[i], &given[i], 4 * sizeof(*tokens));
        if (!with_lengths)
            continue;
        odd |= four_outside(length, bounds);
        sum += length - header;
        four_store(&lengths[i], length - header);
    }
    struct virtqueue_burst burst = {four_sum(sum), 0, four_or(odd) != 0};
    for (; i < n; i++) {
        const uint32_t other = virtqueue_packed_load(&desc[i]) ^ (first + (uint32_t)i);
        if ((other & VIRTQUEUE_PACKED_FLAGS) != 0)
            break;
        if (__builtin_expect((uint16_t)other != 0, 0))
            return burst;
        tokens[i] = given[i];
        if (!with_lengths)
            continue;
        lengths[i] = *(const volatile uint32_t *)&desc[i].len - header;
        burst.bytes += lengths[i];
        burst.odd |= virtqueue_is_odd(queue, lengths[i]);
    }
    burst.count = (uint32_t)i;
    return burst;
}

/* virtqueue_pop_lone. The last slot of the ring is for virtqueue_pop: behind it another round begins. */
static inline enum virtqueue_lone virtqueue_packed_pop_lone(const struct virtqueue *queue,
                                                            void **token, uint32_t *length)
{
    const struct pvirtq_desc *const desc =
        &queue->packed_desc[virtqueue_slot(queue, queue->used_idx)];
    const uint32_t flags = virtqueue_packed_used(queue, queue->used_idx, 0);

    const uint32_t other = virtqueue_packed_load(desc) ^ flags; /* the id, and where flags differ */
    if ((other & VIRTQUEUE_PACKED_FLAGS) != 0)
        return VIRTQUEUE_NONE;
    const uint32_t slot = virtqueue_slot(queue, queue->used_idx);
    if ((uint16_t)other != slot || slot == queue->mask ||
        ((virtqueue_packed_load(desc + 1) ^ flags) & VIRTQUEUE_PACKED_FLAGS) == 0)
        return VIRTQUEUE_OTHER;
    const uint32_t behind_header = *(const volatile uint32_t *)&desc->len - queue->header;
    if (__builtin_expect(virtqueue_is_odd(queue, behind_header), 0))
        return VIRTQUEUE_OTHER;
    *token = queue->tokens[slot];
    *length = behind_header;
    return VIRTQUEUE_LONE;
}

#endif
