/*
 * Bursts of the data path, inline, for whatever queue. As virtqueue.h says of the functions in it, and
 * buffers are owned as there.
 *
 * In nearly all queues ids match slots: a chain is one descriptor, and slot i has id i, as long as the
 * device keeps the order. For these there is one loop to add and one to take back, four chains at a
 * time; the constant `packed` says which format the ring has. The rest of a burst, and whatever is not
 * as expected, goes to the plain loops of virtqueue.c.
 */
#ifndef DRIVERS_VIRTQUEUE_BURST_H
#define DRIVERS_VIRTQUEUE_BURST_H

#include "drivers/virtio/virtqueue.h"
#include "drivers/virtio/virtqueue_packed_burst.h"
#include "drivers/virtio/virtqueue_pair.h"

#define VIRTQUEUE_FOURS(n) ((n) & ~3u)

static inline bool virtqueue_ids_match_slots(const struct virtqueue *queue)
{
    return queue->split_ids_match_slots || queue->packed_ids_match_slots;
}

/* ---- adding ---- */

/*
 * virtqueue_put of `n` buffers, a multiple of four and not 0. `lengths` is NULL or not by a constant. A
 * packed ring's first descriptor must not be available yet: it shows the burst.
 */
static inline __attribute__((always_inline)) uint64_t virtqueue_put_fours(struct virtqueue *queue,
                                                                          uint8_t *const *buffers,
                                                                          const uint32_t *lengths,
                                                                          uint32_t n, bool packed)
{
    const uint32_t idx = queue->avail_idx, slot = virtqueue_slot(queue, idx);
    const uint32_t write = lengths == NULL ? VIRTQ_DESC_F_WRITE : 0;
    const uint32_t word =
        packed ? virtqueue_packed_available(queue, idx, slot) | write << 16 : write;
    const uint64_t start = queue->start;
    struct virtq_desc *desc = &queue->desc[slot];
    void **cookies = &queue->cookies[slot];
    uint8_t *const *const end = buffers + n;
    /* A descriptor's second half, but for the length of a frame; and what hides the first one. */
    uint64_t rest = ((uint64_t)word << 32) + queue->header + (lengths == NULL ? queue->room : 0);
    uint64_t hidden = packed ? (uint64_t)VIRTQ_DESC_F_AVAIL << 48 : 0;
    uint64_t bytes = 0;

    do {
#pragma GCC unroll 4
        for (unsigned i = 0; i < 4; i++) {
            uint8_t *const buffer = buffers[i];
            const uint64_t length = lengths == NULL ? 0 : lengths[i];
            if (lengths != NULL)
                virtqueue_clear_header(buffer);
            cookies[i] = buffer;
            virtqueue_describe(&desc[i], io_physical(buffer) + start,
                               packed && i == 0 ? (rest ^ hidden) + length : rest + length);
            if (packed)
                rest += 1ull << 32; /* the next id */
        }
        if (lengths != NULL) {
            bytes += pair_load(lengths) + pair_load(lengths + 2);
            lengths += 4;
        }
        hidden = 0;
        buffers += 4;
        cookies += 4;
        desc += 4;
    } while (buffers != end);
    if (packed)
        queue->publish_word = word;
    return pair_sum(bytes);
}

/* ---- taking back ---- */

/* What is looked at of a chain: its id, its length besides, and the device's header besides. */
enum virtqueue_look { LOOK_AT_ID, LOOK_AT_LENGTH, LOOK_AT_HEADER };

/*
 * What the device says of a chain, by one load: the length that it has written in the upper half; in
 * the lower half the id, in a packed ring with the flags that tell of use. `ring` is the used ring's
 * element, or the packed descriptor.
 */
static inline __attribute__((always_inline)) uint64_t virtqueue_read_used(const uint8_t *ring,
                                                                          bool packed)
{
    return packed ? virtqueue_packed_said((const struct pvirtq_desc *)ring)
                  : *(const virtqueue_used_word *)ring;
}

/*
 * virtqueue_pop_any of `n` chains, a multiple of four and not 0, from `idx` on. Takes them by fours, up to
 * the first four that are not all finished, each with the expected id and, if that is looked at, a header
 * without flags: these have no consequence. `look` is a constant.
 */
static inline __attribute__((always_inline)) struct virtqueue_burst
virtqueue_pop_fours(const struct virtqueue *queue, void **cookies, uint32_t *lengths, uint32_t idx,
                    uint32_t n, enum virtqueue_look look, bool packed)
{
    const uint32_t slot = virtqueue_slot(queue, idx);
    const uint8_t *ring = packed ? (const uint8_t *)&queue->packed_desc[slot]
                                 : (const uint8_t *)&queue->used->ring[slot];
    const size_t step = packed ? sizeof(struct pvirtq_desc) : sizeof(struct virtq_used_elem);
    void *const *const first_given = &queue->cookies[slot], *const *given = first_given;
    void *const *const end = given + n;
    /* Added to what the device says of chain i: with - i it leaves nothing in the lower half, and the
     * length behind the header in the upper half. */
    uint64_t offset = (look != LOOK_AT_ID ? -((uint64_t)queue->header << 32) : 0) -
                      (packed ? virtqueue_packed_used(queue, idx, slot) : slot);
    const uint64_t below = queue->below, above = queue->above;
    uint64_t sum = 0, signs = 0;

    do {
        const uint64_t first = virtqueue_read_used(ring, packed) + offset;
        const uint64_t second = virtqueue_read_used(ring + step, packed) + offset - 1;
        const uint64_t third = virtqueue_read_used(ring + 2 * step, packed) + offset - 2;
        const uint64_t fourth = virtqueue_read_used(ring + 3 * step, packed) + offset - 3;
        uint32_t any = (uint32_t)(first | second | third | fourth);
#pragma GCC unroll 4
        for (unsigned i = 0; i < 4; i++) {
            cookies[i] = given[i];
            if (look == LOOK_AT_HEADER)
                any |= virtqueue_header_flags(given[i]);
        }
        if (__builtin_expect(any != 0, 0))
            break;
        given += 4;
        cookies += 4;
        ring += 4 * step;
        offset -= 4;
        if (look == LOOK_AT_ID)
            continue;
        const uint64_t low = first >> 32 | second, high = third >> 32 | fourth;
        pair_store(lengths, low);
        pair_store(lengths + 2, high);
        lengths += 4;
        sum += low;
        sum += high;
        signs |= (low + below) | (low + above) | (high + below) | (high + above);
    } while (given != end);
    const uint32_t count = (uint32_t)(given - first_given);
    return (struct virtqueue_burst){
        .bytes = pair_sum(sum),
        .count = count,
        .needs_check = (signs & PAIR_SIGNS) != 0,
    };
}

/* ---- any queue ---- */

/* As virtqueue_put_any; the headers of buffers that the device is to read are cleared. */
static inline __attribute__((always_inline)) uint64_t
virtqueue_put(struct virtqueue *queue, uint8_t *const *buffers, const uint32_t *lengths, uint32_t n)
{
    const uint32_t fours = virtqueue_ids_match_slots(queue) ? VIRTQUEUE_FOURS(n) : 0;
    uint64_t bytes = 0;

    if (fours != 0)
        bytes = queue->split_ids_match_slots
                    ? virtqueue_put_fours(queue, buffers, lengths, fours, false)
                    : virtqueue_put_fours(queue, buffers, lengths, fours, true);
    if (fours == n)
        return bytes;
    for (uint32_t i = fours; lengths != NULL && i < n; i++)
        virtqueue_clear_header(buffers[i]);
    return bytes + virtqueue_put_more(queue, buffers, lengths, fours, n);
}

/*
 * Shows the device the `n` buffers that were staged. They are the device's until they come back by
 * virtqueue_pop. Returns whether it wants to be notified now: at most once a burst. Data path.
 */
static inline bool virtqueue_show(struct virtqueue *queue, uint32_t n)
{
    return queue->packed ? virtqueue_packed_publish(queue, n) : virtqueue_publish(queue, n);
}

/* virtqueue_put, and virtqueue_show at once. */
static inline bool virtqueue_add(struct virtqueue *queue, uint8_t *const *buffers,
                                 const uint32_t *lengths, uint32_t n)
{
    (void)virtqueue_put(queue, buffers, lengths, n);
    return virtqueue_show(queue, n);
}

/* All of the following: `look` is a constant. */
static inline __attribute__((always_inline)) struct virtqueue_burst
virtqueue_pop_by(struct virtqueue *queue, void **cookies, uint32_t *lengths, uint32_t n,
                 enum virtqueue_look look)
{
    const uint32_t idx = queue->used_idx, most = virtqueue_at_most(queue, n);
    const uint32_t fours = virtqueue_ids_match_slots(queue) ? VIRTQUEUE_FOURS(most) : 0;
    struct virtqueue_burst burst = {.count = 0};

    if (fours != 0) {
        burst = queue->split_ids_match_slots
                    ? virtqueue_pop_fours(queue, cookies, lengths, idx, fours, look, false)
                    : virtqueue_pop_fours(queue, cookies, lengths, idx, fours, look, true);
        /* As a rule a packed ring's device has just not finished the rest yet. */
        if (burst.count == most ||
            (queue->packed && !virtqueue_packed_is_used(queue, idx + burst.count)))
            return burst;
    }
    uint32_t i = burst.count;
    burst = virtqueue_pop_more(queue, cookies, look != LOOK_AT_ID ? lengths : NULL, most, burst);
    for (; look == LOOK_AT_HEADER && i < burst.count; i++)
        burst.needs_check |= virtqueue_header_flags(cookies[i]) != 0;
    return burst;
}

/* As virtqueue_pop_any, where the device has written: `lengths` is not NULL. */
static inline struct virtqueue_burst virtqueue_pop(struct virtqueue *queue, void **cookies,
                                                   uint32_t *lengths, uint32_t n)
{
    return virtqueue_pop_by(queue, cookies, lengths, n, LOOK_AT_LENGTH);
}

/*
 * The same of cookies that are buffers with a frame each, aligned to 8 bytes, whose header ends at
 * PACKET_HEADROOM. The burst needs_check also if some header has flags.
 */
static inline struct virtqueue_burst virtqueue_pop_frames(struct virtqueue *queue, void **cookies,
                                                          uint32_t *lengths, uint32_t n)
{
    return virtqueue_pop_by(queue, cookies, lengths, n, LOOK_AT_HEADER);
}

/* As virtqueue_pop_any, where the device has read. Returns how many chains. */
static inline __attribute__((always_inline)) uint32_t virtqueue_reclaim(struct virtqueue *queue,
                                                                        void **cookies, uint32_t n)
{
    return virtqueue_pop_by(queue, cookies, NULL, n, LOOK_AT_ID).count;
}

#endif
