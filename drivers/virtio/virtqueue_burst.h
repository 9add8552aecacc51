/*
 * Bursts of the data path, inline, for a queue of either format.
 *
 * In nearly all queues ids match slots: a chain is one descriptor, and slot i has id i, as long as the
 * device keeps the order. For these there is one loop to stage and one to take back, four chains at a
 * time, and a short way for a single frame. The constant `packed` says which format the ring has. The
 * rest of a burst, and whatever is not as expected, goes to the plain loops of virtqueue.c.
 */
#ifndef DRIVERS_VIRTQUEUE_BURST_H
#define DRIVERS_VIRTQUEUE_BURST_H

#include "drivers/virtio/virtqueue.h"
#include "drivers/virtio/virtqueue_packed.h"
#include "drivers/virtio/virtqueue_pair.h"
#include "drivers/virtio/virtqueue_split.h"

#define VIRTQUEUE_FOURS(n) ((n) & ~3u)

/* ---- adding ---- */

/* virtqueue_stage of `n` buffers, a multiple of four and not 0. */
static inline __attribute__((always_inline)) uint64_t virtqueue_stage_fours(struct virtqueue *queue,
                                                                            uint8_t *const *buffers,
                                                                            const uint32_t *lengths,
                                                                            uint32_t n, bool packed)
{
    const uint32_t idx = queue->avail_idx, slot = virtqueue_slot(queue, idx);
    const uint32_t flags = lengths == NULL ? VIRTQ_DESC_F_WRITE : 0;
    const uint32_t word =
        packed ? virtqueue_packed_word(queue, idx, slot, flags) : virtqueue_split_word(flags, 0);
    const uint32_t length = queue->header + (lengths == NULL ? queue->room : 0);
    const uint64_t start = queue->start, next_id = packed ? 1ull << 32 : 0;
    struct virtq_desc *desc = &queue->desc[slot];
    void **const cookies = &queue->cookies[slot];
    uint64_t rest = (uint64_t)word << 32 | length, next = next_id, bytes = 0;

    if (packed) { /* the first descriptor publishes the burst: it is not available yet */
        queue->publish_word = word;
        rest ^= (uint64_t)VIRTQ_DESC_F_AVAIL << 48;
        next += ((uint64_t)word << 32 | length) - rest;
    }
#pragma GCC unroll 2
    for (size_t i = 0; i != n; i += 4) {
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            uint8_t *const buffer = buffers[i + j];
            if (lengths != NULL)
                virtqueue_clear_header(buffer);
            cookies[i + j] = buffer;
            virtqueue_describe(desc++, io_physical(buffer) + start,
                               rest + (lengths == NULL ? 0 : lengths[i + j]));
            rest += j == 0 ? next : next_id;
        }
        if (lengths != NULL) {
            bytes += pair_load(lengths + i);
            bytes += pair_load(lengths + i + 2);
        }
        next = next_id;
    }
    return pair_sum(bytes);
}

/*
 * Stages `n` buffers (1 to virtqueue_room) in the next slots, each with as many bytes behind the
 * header as `lengths` says, and clears their headers. Where the device is to write, `lengths` is NULL,
 * by a constant, and queue->room counts. Returns the sum of `lengths`. The device does not see them
 * before virtqueue_publish of all `n`.
 */
static inline __attribute__((always_inline)) uint64_t virtqueue_stage(struct virtqueue *queue,
                                                                      uint8_t *const *buffers,
                                                                      const uint32_t *lengths,
                                                                      uint32_t n)
{
    const uint32_t fours = queue->ids_match_slots ? VIRTQUEUE_FOURS(n) : 0;
    uint64_t bytes = 0;

    if (fours != 0)
        bytes = queue->packed ? virtqueue_stage_fours(queue, buffers, lengths, fours, true)
                              : virtqueue_stage_fours(queue, buffers, lengths, fours, false);
    if (fours == n)
        return bytes;
    for (uint32_t i = fours; lengths != NULL && i < n; i++)
        virtqueue_clear_header(buffers[i]);
    return bytes + virtqueue_stage_plain(queue, buffers, lengths, fours, n);
}

/*
 * Publishes the next `n` slots, which are staged. Their buffers are the device's until virtqueue_take
 * returns them. Returns whether the device wants to be notified now: at most once a burst.
 */
static inline bool virtqueue_publish(struct virtqueue *queue, uint32_t n)
{
    return queue->packed ? virtqueue_packed_publish(queue, n) : virtqueue_split_publish(queue, n);
}

/* virtqueue_stage, and virtqueue_publish at once. */
static inline __attribute__((always_inline)) bool
virtqueue_add(struct virtqueue *queue, uint8_t *const *buffers, const uint32_t *lengths, uint32_t n)
{
    (void)virtqueue_stage(queue, buffers, lengths, n);
    return virtqueue_publish(queue, n);
}

/* The short way: virtqueue_add of one buffer to be read, where ids match slots. `packed` is a constant. */
static inline __attribute__((always_inline)) bool
virtqueue_add_single(struct virtqueue *queue, uint8_t *buffer, uint32_t length, bool packed)
{
    const uint32_t idx = queue->avail_idx, slot = virtqueue_slot(queue, idx);
    const uint64_t addr = io_physical(buffer) + queue->start;

    virtqueue_clear_header(buffer);
    queue->cookies[slot] = buffer;
    if (packed) {
        queue->packed_desc[slot].addr = addr;
        queue->packed_desc[slot].len = queue->header + length;
        queue->publish_word = virtqueue_packed_word(queue, idx, slot, 0);
    } else {
        virtqueue_describe(&queue->desc[slot], addr, queue->header + length);
    }
    return packed ? virtqueue_packed_publish(queue, 1) : virtqueue_split_publish(queue, 1);
}

/* ---- taking back ---- */

/*
 * virtqueue_take of `n` chains, a multiple of four and not 0: up to the first four that are not all
 * finished, each with the expected id.
 */
static inline __attribute__((always_inline)) struct virtqueue_burst
virtqueue_take_fours(const struct virtqueue *queue, void **cookies, uint32_t *lengths, uint32_t n,
                     enum virtqueue_look look, bool packed)
{
    const uint32_t idx = queue->used_idx, slot = virtqueue_slot(queue, idx);
    const struct pvirtq_desc *const descs = &queue->packed_desc[slot];
    const struct virtq_used_elem *const used = &queue->used->ring[slot];
    const uint32_t bits = packed ? VIRTQUEUE_PACKED_MASK : UINT32_MAX; /* that count of an id */
    const uint64_t length_bits = packed ? (uint64_t)UINT32_MAX << 32 : UINT64_MAX;
    void *const *const given = &queue->cookies[slot];
    const uint64_t below = queue->below, above = queue->above;
    /* Added to what the device says of chain i: with - i it leaves nothing in `bits`, and the length
     * behind the header in the upper half. */
    uint64_t offset = (look == VIRTQUEUE_IDS ? 0 : -((uint64_t)queue->header << 32)) -
                      (packed ? virtqueue_packed_used(queue, idx, slot) : slot);
    uint64_t sum = 0, signs = 0;
    uint32_t flags = 0;
    size_t i;

#pragma GCC unroll 2
    for (i = 0; i != n; i += 4) {
        uint64_t said[4];
        uint32_t wrong = 0;
#pragma GCC unroll 4
        for (unsigned j = 0; j < 4; j++) {
            said[j] = !packed                 ? virtqueue_split_read(&used[i + j])
                      : look == VIRTQUEUE_IDS ? virtqueue_packed_load(&descs[i + j])
                                              : virtqueue_packed_read(&descs[i + j]);
            said[j] += offset - j;
            wrong |= (uint32_t)said[j];
        }
        if (__builtin_expect((wrong & bits) != 0, 0))
            break;
        offset -= 4;
#pragma GCC unroll 4
        for (unsigned j = 0; j < 4; j++) {
            cookies[i + j] = given[i + j];
            if (look == VIRTQUEUE_HEADERS)
                flags |= virtqueue_header_flags(given[i + j]);
        }
        if (look == VIRTQUEUE_IDS)
            continue;
        const uint64_t low = said[0] >> 32 | (said[1] & length_bits);
        const uint64_t high = said[2] >> 32 | (said[3] & length_bits);
        pair_store(lengths + i, low);
        pair_store(lengths + i + 2, high);
        sum += low;
        sum += high;
        signs |= (low + below) | (low + above) | (high + below) | (high + above);
    }
    return (struct virtqueue_burst){
        .bytes = pair_sum(sum),
        .count = (uint32_t)i,
        .needs_check = (signs & PAIR_SIGNS) != 0 || flags != 0,
    };
}

/* True if the device has finished something; or has broken a rule, as virtqueue_take will tell. */
static inline bool virtqueue_has_finished(const struct virtqueue *queue)
{
    return queue->packed ? virtqueue_packed_is_used(queue, queue->used_idx)
                         : virtqueue_split_finished(queue) != 0;
}

/* Of `n` chains, how many there may be to take: those that lie side by side, and that the device has
 * finished; in a packed ring, where each descriptor tells for itself, those that it has. */
static inline uint32_t virtqueue_takeable(struct virtqueue *queue, uint32_t n)
{
    n = virtqueue_smaller(n, virtqueue_side_by_side(queue, queue->used_idx));
    return virtqueue_smaller(n, queue->packed ? virtqueue_outstanding(queue)
                                              : virtqueue_split_pending(queue));
}

/*
 * Looks at the next finished chains: as many as lie side by side, at most `n`. Stores the cookie of
 * each and, unless `look` is at IDS, how many bytes the device claims to have written behind the header,
 * unchecked but for needs_check. They stay in their slots until virtqueue_release: a caller that
 * refuses the length of one releases only those before it. A device error may be the reason that they
 * are fewer: look at queue->error. `look` is a constant.
 */
static inline __attribute__((always_inline)) struct virtqueue_burst
virtqueue_take(struct virtqueue *queue, void **cookies, uint32_t *lengths, uint32_t n,
               enum virtqueue_look look)
{
    const uint32_t most = virtqueue_takeable(queue, n);
    const uint32_t fours = queue->ids_match_slots ? VIRTQUEUE_FOURS(most) : 0;
    struct virtqueue_burst burst = {.count = 0};

    if (fours != 0) {
        burst = queue->packed ? virtqueue_take_fours(queue, cookies, lengths, fours, look, true)
                              : virtqueue_take_fours(queue, cookies, lengths, fours, look, false);
        /* As a rule a packed ring's device has just not finished the rest yet. */
        if (burst.count == most ||
            (queue->packed && !virtqueue_packed_is_used(queue, queue->used_idx + burst.count)))
            return burst;
    }
    return virtqueue_take_plain(queue, cookies, lengths, most, look, burst);
}

/* What virtqueue_take_single has found. */
enum virtqueue_found {
    VIRTQUEUE_NONE,   /* the device has finished nothing */
    VIRTQUEUE_SINGLE, /* one chain, with an ordinary length */
    VIRTQUEUE_OTHER, /* more, or something else: nothing has been done, and virtqueue_take goes on */
};

/*
 * The short way: virtqueue_take for the two commonest cases, nothing, and a single chain, the expected
 * one, with an ordinary length. At least one chain is outstanding. `packed` is a constant.
 */
static inline __attribute__((always_inline)) enum virtqueue_found
virtqueue_take_single(const struct virtqueue *queue, void **cookie, uint32_t *length, bool packed)
{
    const uint32_t slot = virtqueue_slot(queue, queue->used_idx);
    const uint32_t finished =
        packed ? virtqueue_packed_finished(queue) : virtqueue_split_finished(queue);

    if (finished == 0)
        return VIRTQUEUE_NONE;
    if (finished != 1 || !queue->ids_match_slots)
        return VIRTQUEUE_OTHER;
    const uint64_t said = packed ? virtqueue_packed_read(&queue->packed_desc[slot])
                                 : virtqueue_split_read(&queue->used->ring[slot]);
    const uint32_t id = packed ? (uint16_t)said : (uint32_t)said;
    const uint32_t behind_header = (uint32_t)(said >> 32) - queue->header;
    if (__builtin_expect(id != slot || virtqueue_needs_check(queue, behind_header), 0))
        return VIRTQUEUE_OTHER;
    *cookie = queue->cookies[slot];
    *length = behind_header;
    return VIRTQUEUE_SINGLE;
}

#endif
