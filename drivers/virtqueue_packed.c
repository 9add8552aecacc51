/* The packed virtqueue. */
#include "drivers/virtqueue_packed.h"

#include <string.h>

#include "drivers/virtqueue_four.h"

#define FLAGS_MASK (VIRTQUEUE_PACKED_MASK & ~(uint32_t)UINT16_MAX)

struct virtqueue_layout virtqueue_packed_layout(uint32_t size)
{
    struct virtqueue_layout layout = {.desc = 0};

    /* §2.8.10.1: the two event suppression structures want an alignment of 4. Each has a cache line of
     * its own, since one side writes it and the other one reads. */
    layout.avail = size * sizeof(struct pvirtq_desc);
    layout.avail = (layout.avail + 63) & ~(size_t)63;
    layout.used = layout.avail + 64;
    layout.total = layout.used + 64;
    return layout;
}

bool virtqueue_packed_is_used(const struct virtqueue *queue, uint32_t idx)
{
    const struct pvirtq_desc *const desc = &queue->packed_desc[virtqueue_slot(queue, idx)];

    return (virtqueue_packed_load(desc) & FLAGS_MASK) == virtqueue_packed_used(queue, idx, 0);
}

uint32_t virtqueue_packed_unfinished(const struct virtqueue *queue)
{
    uint32_t idx = queue->used_idx + queue->told;

    while (idx != queue->avail_idx && virtqueue_packed_is_used(queue, idx))
        idx++;
    return queue->avail_idx - idx;
}

/* ---- adding ---- */

/* The flags that make the descriptor of `idx` available: AVAIL is the wrap counter, USED is not
 * (§2.8.1). */
static uint16_t available(const struct virtqueue *queue, uint32_t idx)
{
    return idx & queue->capacity ? VIRTQ_DESC_F_USED : VIRTQ_DESC_F_AVAIL;
}

/* Id and flags, as they lie in memory. */
static uint32_t word_of(uint32_t id, uint16_t flags)
{
    return (uint32_t)flags << 16 | id;
}

/* Relaxed: nobody looks at it yet. */
static void write_word(struct pvirtq_desc *desc, uint32_t word)
{
    atomic_store_explicit((_Atomic uint32_t *)&desc->id, word, memory_order_relaxed);
}

/*
 * Release: everything before the first descriptor's flags. The device looks at no descriptor behind
 * one that is not available yet, so this one store shows it all of them (§2.8.21.3.2 "Updating flags").
 * Partner: the device's read of these flags before it reads the rest.
 */
static void show(struct pvirtq_desc *first, uint32_t word)
{
    atomic_store_explicit((_Atomic uint32_t *)&first->id, word, memory_order_release);
}

/*
 * The `n` slots from avail_idx on have just been shown: whether the device wants to be notified
 * (§2.8.21.4).
 */
static bool wants_doorbell(struct virtqueue *queue, uint32_t n)
{
    const uint32_t idx = queue->avail_idx + n;

    queue->avail_idx = idx;
    /* Full fence: our flags before our look at the device's event suppression. Partner: the device
     * writes that, fences, and looks at the ring again. */
    atomic_thread_fence(memory_order_seq_cst);
    const uint16_t flags = atomic_load_explicit(&queue->device_event->flags, memory_order_relaxed);
    if (!queue->event_idx || flags != RING_EVENT_FLAGS_DESC)
        return flags != RING_EVENT_FLAGS_DISABLE;

    /*
     * The descriptor that it names, in the round of `idx` or in the one before that. It wants to know
     * when that becomes available: a burst that passes it must ring (§2.8.10). One that begins behind
     * it rings, too: QEMU 7.2 names a descriptor, goes on by itself beyond it when a frame that was
     * held up has left, and does not name another one; it would wait for ever.
     */
    const uint16_t desc = atomic_load_explicit(&queue->device_event->desc, memory_order_relaxed);
    const bool same_round = !(desc & RING_EVENT_DESC_WRAP) == !!(idx & queue->capacity);
    const uint32_t event = (idx & ~(queue->capacity - 1)) + (desc & ~RING_EVENT_DESC_WRAP) -
                           (same_round ? 0 : queue->capacity);
    return idx - event - 1 < queue->capacity;
}

/* Both directions of virtqueue_packed_add: `lengths` is NULL, or not, by a constant. */
static inline __attribute__((always_inline)) bool
add(struct virtqueue *queue, uint8_t *const *buffers, const uint32_t *lengths, uint64_t n)
{
    const uint32_t slot = virtqueue_slot(queue, queue->avail_idx);
    const uint32_t *const ids = &queue->ids[slot];
    const uint64_t start = queue->start;
    const uint32_t header = queue->header, room = header + queue->room;
    const uint16_t flags =
        available(queue, queue->avail_idx) | (lengths == NULL ? VIRTQ_DESC_F_WRITE : 0);
    struct pvirtq_desc *const desc = &queue->packed_desc[slot];
    void **const tokens = &queue->tokens[slot];

#pragma GCC unroll 4
    for (uint64_t i = 0; i < n; i++) {
        tokens[i] = buffers[i];
        desc[i].addr = io_physical(buffers[i]) + start;
        desc[i].len = lengths == NULL ? room : header + lengths[i];
        if (i != 0)
            write_word(&desc[i], word_of(ids[i], flags));
    }
    show(desc, word_of(ids[0], flags));
    return wants_doorbell(queue, (uint32_t)n);
}

bool virtqueue_packed_add(struct virtqueue *queue, uint8_t *const *buffers, const uint32_t *lengths,
                          uint32_t n)
{
    return lengths != NULL ? add(queue, buffers, lengths, n) : add(queue, buffers, NULL, n);
}

bool virtqueue_packed_add_parts(struct virtqueue *queue, const struct virtqueue_part *parts,
                                unsigned count, void *token)
{
    const uint32_t first = virtqueue_slot(queue, queue->avail_idx);
    uint32_t first_word = 0;

    queue->tokens[first] = token;
    for (unsigned i = 0; i < count; i++) {
        const uint32_t idx = queue->avail_idx + i;
        struct pvirtq_desc *const desc = &queue->packed_desc[virtqueue_slot(queue, idx)];
        const uint16_t flags = available(queue, idx) | (parts[i].write ? VIRTQ_DESC_F_WRITE : 0) |
                               (i + 1 < count ? VIRTQ_DESC_F_NEXT : 0);
        const uint32_t word = word_of(queue->ids[first], flags);
        desc->addr = io_physical(parts[i].start);
        desc->len = parts[i].length;
        if (i == 0)
            first_word = word;
        else
            write_word(desc, word);
    }
    show(&queue->packed_desc[first], first_word);
    return wants_doorbell(queue, count);
}

/* ---- taking back ---- */

/*
 * The rare case: `done` chains are taken, and then comes one with another id than expected, as `word`
 * says. Reads on, and lets chains change their slots.
 */
static __attribute__((noinline, cold)) struct virtqueue_burst
pop_reordered(struct virtqueue *queue, void **tokens, uint32_t *lengths, uint32_t n, uint32_t done,
              uint32_t word)
{
    const uint32_t slot = virtqueue_slot(queue, queue->used_idx);
    const struct pvirtq_desc *const desc = &queue->packed_desc[slot];
    const uint32_t flags = virtqueue_packed_used(queue, queue->used_idx, 0);
    uint32_t ids[VIRTQUEUE_BURST];
    uint32_t i = done;

    memcpy(ids, &queue->ids[slot], done * sizeof(*ids));
    while ((word & FLAGS_MASK) == flags) {
        ids[i] = (uint16_t)word;
        if (lengths != NULL)
            lengths[i] = *(const volatile uint32_t *)&desc[i].len - queue->header;
        if (++i == n)
            break;
        word = virtqueue_packed_load(&desc[i]);
    }
    return virtqueue_pop_each(queue, tokens, lengths, ids, i);
}

/*
 * The upper halves of four descriptors: lengths, and ids with flags. Acquire, as in
 * virtqueue_packed_load: on x86 a load is one, and a half, which is aligned to its 8 bytes, is read at
 * once, so that a length belongs to the flags beside it.
 */
static inline four load_four(const struct pvirtq_desc *desc, four *lengths)
{
    const four a = four_load(&desc[0]), b = four_load(&desc[1]);
    const four c = four_load(&desc[2]), d = four_load(&desc[3]);
    const four low = __builtin_shufflevector(a, b, 2, 3, 6, 7);
    const four high = __builtin_shufflevector(c, d, 2, 3, 6, 7);

    *lengths = __builtin_shufflevector(low, high, 0, 2, 4, 6);
    return __builtin_shufflevector(low, high, 1, 3, 5, 7);
}

/*
 * Both directions of virtqueue_packed_pop: `lengths` is NULL, or not, by a constant. Four at a time as
 * long as four are finished, and as expected; then one at a time.
 */
static inline __attribute__((always_inline)) struct virtqueue_burst
pop(struct virtqueue *queue, void **tokens, uint32_t *lengths, uint32_t n)
{
    const uint32_t slot = virtqueue_slot(queue, queue->used_idx);
    const struct pvirtq_desc *const desc = &queue->packed_desc[slot];
    const uint32_t *const ids = &queue->ids[slot];
    void *const *const given = &queue->tokens[slot];
    const uint32_t flags = virtqueue_packed_used(queue, queue->used_idx, 0);
    const uint32_t header = queue->header, shortest = queue->shortest, span = queue->span;
    four bytes_four = {0}, odd_four = {0};
    uint64_t i;

    /* No more than the device has, and not beyond the end, where the wrap counter changes. */
    n = virtqueue_smaller(n, virtqueue_outstanding(queue));
    n = virtqueue_smaller(n, queue->capacity - slot);
    for (i = 0; i + 4 <= n; i += 4) {
        four length;
        const four word = load_four(&desc[i], &length) & VIRTQUEUE_PACKED_MASK;
        if (four_any(word ^ (four_load(&ids[i]) | flags)))
            break;
        memcpy(&tokens[i], &given[i], 4 * sizeof(*tokens));
        if (lengths == NULL)
            continue;
        length -= header;
        four_store(&lengths[i], length);
        bytes_four += length;
        odd_four |= (four)(length - shortest > span);
    }

    uint32_t bytes = four_sum(bytes_four);
    bool odd = four_any(odd_four);
    for (; i < n; i++) {
        const uint32_t word = virtqueue_packed_load(&desc[i]) & VIRTQUEUE_PACKED_MASK;
        if (__builtin_expect(word != (flags | ids[i]), 0)) {
            if ((word & FLAGS_MASK) != flags)
                break; /* not finished yet */
            return pop_reordered(queue, tokens, lengths, n, (uint32_t)i, word);
        }
        tokens[i] = given[i];
        if (lengths == NULL)
            continue;
        const uint32_t length = *(const volatile uint32_t *)&desc[i].len - header;
        lengths[i] = length;
        bytes += length;
        odd |= length - shortest > span;
    }
    return (struct virtqueue_burst){(uint32_t)i, bytes, odd};
}

struct virtqueue_burst virtqueue_packed_pop(struct virtqueue *queue, void **tokens,
                                            uint32_t *lengths, uint32_t n)
{
    return lengths != NULL ? pop(queue, tokens, lengths, n) : pop(queue, tokens, NULL, n);
}
