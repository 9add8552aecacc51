/* The packed virtqueue. */
#include "drivers/virtqueue_packed.h"

#include <string.h>

#include "drivers/virtqueue_four.h"
#include "drivers/virtqueue_in_order.h"

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

/* How many chains from `idx` on are told of by the used descriptor there; 0 if it tells nonsense. */
static uint32_t told_at(const struct virtqueue *queue, uint32_t idx)
{
    const uint16_t id =
        (uint16_t)virtqueue_packed_load(&queue->packed_desc[virtqueue_slot(queue, idx)]);

    if (!queue->in_order)
        return 1;
    const uint32_t told = virtqueue_in_order_told(queue, idx, id);
    return told <= queue->avail_idx - idx ? told : 0;
}

uint32_t virtqueue_packed_unfinished(const struct virtqueue *queue)
{
    uint32_t idx = queue->used_idx + queue->told, told = 1;

    while (told != 0 && idx != queue->avail_idx && virtqueue_packed_is_used(queue, idx)) {
        told = told_at(queue, idx);
        idx += told;
    }
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
 * one that is not available yet, so this one store shows it all of them (§2.8.21.1.1 "Updating
 * flags"). Partner: the device's read of these flags before it reads the rest.
 */
static void show(struct pvirtq_desc *first, uint32_t word)
{
    atomic_store_explicit((_Atomic uint32_t *)&first->id, word, memory_order_release);
}

/*
 * The `n` slots from avail_idx on have just been shown: whether the device wants to be notified
 * (§2.8.21.2).
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

/* Length, id and flags go by one store; but not the flags of the first, which show the burst. */
static inline void describe(struct pvirtq_desc *desc, uint64_t addr, uint32_t len, uint32_t word)
{
    const uint64_t rest = (uint64_t)word << 32 | len;

    desc->addr = addr;
    memcpy(&desc->len, &rest, sizeof(rest));
}

/* `n` slots are laid. What was laid there before may have been more. */
static void note_laid(struct virtqueue *queue, uint32_t n, uint32_t word)
{
    if (queue->laid < n)
        queue->laid = n;
    queue->laid_word = word;
}

/*
 * Both directions of virtqueue_packed_put: `lengths` is NULL, or not, by a constant. Of the first
 * descriptor id and flags are left as they are: they show the burst.
 */
static inline __attribute__((always_inline)) struct virtqueue_sight
put(struct virtqueue *queue, uint8_t *const *buffers, const uint32_t *lengths, uint32_t n)
{
    const uint32_t slot = virtqueue_slot(queue, queue->avail_idx);
    const uint16_t write = lengths == NULL ? VIRTQ_DESC_F_WRITE : 0;
    const uint64_t start = queue->start;
    const uint32_t header = queue->header,
                   flags = word_of(0, available(queue, queue->avail_idx) | write);
    const uint32_t room = header + queue->room;
    const uint64_t last = start + header - sizeof(four);
    const uint32_t *const ids = &queue->ids[slot];
    struct pvirtq_desc *const desc = &queue->packed_desc[slot];
    void **const tokens = &queue->tokens[slot];
    const uint32_t first = lengths == NULL ? room : header + lengths[0];
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
        describe(&desc[i], io_physical(buffer) + start, length, flags | ids[i]);
    });
    note_laid(queue, n, flags | ids[0]);
    sight.bytes = (uint32_t)bytes - n * header;
    virtqueue_see(&sight, &headers);
    return sight;
}

static __attribute__((noinline)) struct virtqueue_sight
put_read(struct virtqueue *queue, uint8_t *const *buffers, const uint32_t *lengths, uint32_t n)
{
    return put(queue, buffers, lengths, n);
}

static __attribute__((noinline)) struct virtqueue_sight
put_write(struct virtqueue *queue, uint8_t *const *buffers, uint32_t n)
{
    return put(queue, buffers, NULL, n);
}

/* A lone frame to be sent. */
static struct virtqueue_sight put_lone(struct virtqueue *queue, uint8_t *buffer, uint32_t length)
{
    const uint32_t slot = virtqueue_slot(queue, queue->avail_idx);
    struct pvirtq_desc *const desc = &queue->packed_desc[slot];
    struct virtqueue_sight sight = {.bytes = length};

    desc->addr = io_physical(buffer) + queue->start;
    desc->len = queue->header + length;
    queue->tokens[slot] = buffer;
    note_laid(queue, 1, word_of(queue->ids[slot], available(queue, queue->avail_idx)));
    virtqueue_see(&sight, virtqueue_header(queue, buffer));
    return sight;
}

struct virtqueue_sight virtqueue_packed_put(struct virtqueue *queue, uint8_t *const *buffers,
                                            const uint32_t *lengths, uint32_t n)
{
    if (n == 1 && lengths != NULL)
        return put_lone(queue, buffers[0], lengths[0]);
    return lengths != NULL ? put_read(queue, buffers, lengths, n) : put_write(queue, buffers, n);
}

/* Slots behind those that are shown: they were laid, and are not to be available now. Such flags a
 * descriptor has when the device has finished it in the round before. */
static __attribute__((noinline, cold)) void hide(struct virtqueue *queue, uint32_t from,
                                                 uint32_t to)
{
    for (uint32_t idx = queue->avail_idx + from; idx != queue->avail_idx + to; idx++)
        write_word(&queue->packed_desc[virtqueue_slot(queue, idx)],
                   virtqueue_packed_used(queue, idx - queue->capacity, 0));
}

bool virtqueue_packed_show(struct virtqueue *queue, uint32_t n)
{
    const uint32_t slot = virtqueue_slot(queue, queue->avail_idx);

    if (__builtin_expect(queue->laid > n, 0))
        hide(queue, n, queue->laid);
    queue->laid = 0;
    show(&queue->packed_desc[slot], queue->laid_word);
    return wants_doorbell(queue, n);
}

bool virtqueue_packed_add_parts(struct virtqueue *queue, const struct virtqueue_part *parts,
                                unsigned count, void *token)
{
    const uint32_t first = virtqueue_slot(queue, queue->avail_idx);
    uint32_t first_word = 0;

    for (unsigned i = 0; i < count; i++) {
        const uint32_t idx = queue->avail_idx + i;
        /* The id of the slot is not given to the device: one that says it lies. */
        queue->tokens[virtqueue_slot(queue, idx)] = i == 0 ? token : NULL;
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

/* In a table neither ids nor flags but WRITE count (§2.8.7); the whole is one descriptor of the ring. */
void virtqueue_packed_lay_indirect(struct virtqueue *queue, uint32_t ahead,
                                   const struct virtqueue_part *parts, uint32_t count,
                                   struct pvirtq_desc *table)
{
    const uint32_t idx = queue->avail_idx + ahead, slot = virtqueue_slot(queue, idx);
    struct pvirtq_desc *const desc = &queue->packed_desc[slot];
    const uint32_t word = word_of(queue->ids[slot], available(queue, idx) | VIRTQ_DESC_F_INDIRECT);

    for (uint32_t i = 0; i < count; i++)
        describe(&table[i], io_physical(parts[i].start), parts[i].length, 0);
    desc->addr = io_physical(table);
    desc->len = count * (uint32_t)sizeof(*table);
    if (ahead == 0)
        queue->laid_word = word;
    else
        write_word(desc, word);
}

/* ---- taking back ---- */

/*
 * With nothing out, the next slot holds what the round before has left there: used or available
 * then, and neither by the wrap counter of this round. So who makes it used answers what was not
 * asked.
 */
__attribute__((noinline)) bool virtqueue_packed_is_idle(struct virtqueue *queue)
{
    const struct pvirtq_desc *const desc =
        &queue->packed_desc[virtqueue_slot(queue, queue->used_idx)];

    if (virtqueue_outstanding(queue) != 0)
        return false;
    if (virtqueue_packed_is_used(queue, queue->used_idx))
        virtqueue_break(queue, VIRTQUEUE_USED_IDX, virtqueue_packed_load(desc) >> 16);
    return true;
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

/* One at a time, behind those that are in `burst` already. */
static __attribute__((noinline)) struct virtqueue_burst pop_each(struct virtqueue *queue,
                                                                 void **tokens, uint32_t *lengths,
                                                                 uint32_t n,
                                                                 struct virtqueue_burst burst)
{
    const uint32_t slot = virtqueue_slot(queue, queue->used_idx);
    const struct pvirtq_desc *const desc = &queue->packed_desc[slot];
    const uint32_t flags = virtqueue_packed_used(queue, queue->used_idx, 0);

    for (uint32_t i = burst.count; i < n; i++) {
        const uint32_t word = virtqueue_packed_load(&desc[i]);
        if ((word & FLAGS_MASK) != flags || !virtqueue_bring_forward(queue, (uint16_t)word, i))
            break;
        tokens[i] = queue->tokens[slot + i];
        burst.count++;
        if (lengths == NULL)
            continue;
        lengths[i] = *(const volatile uint32_t *)&desc[i].len - queue->header;
        burst.bytes += lengths[i];
        burst.odd |= virtqueue_is_odd(queue, lengths[i]);
    }
    return burst;
}

/*
 * Both directions, four at a time, as long as four are finished and their ids are the expected ones:
 * `lengths` is NULL, or not, by a constant.
 */
static inline __attribute__((always_inline)) struct virtqueue_burst
pop_by_four(const struct virtqueue *queue, void **tokens, uint32_t *lengths, uint32_t n)
{
    const uint32_t slot = virtqueue_slot(queue, queue->used_idx);
    const struct pvirtq_desc *const desc = &queue->packed_desc[slot];
    void *const *const given = &queue->tokens[slot];
    const uint32_t header = queue->header;
    const struct four_bounds bounds = four_bounds(header + queue->shortest, queue->span);
    four expected =
        (four_of(slot) + (four){0, 1, 2, 3}) | virtqueue_packed_used(queue, queue->used_idx, 0);
    four sum = {0}, odd = {0};
    uint64_t i;

    for (i = 0; i + 4 <= n; i += 4) {
        four length;
        const four word = load_four(&desc[i], &length) & VIRTQUEUE_PACKED_MASK;
        if (four_or(word ^ expected) != 0)
            break;
        expected += 4;
        memcpy(&tokens[i], &given[i], 4 * sizeof(*tokens));
        if (lengths == NULL)
            continue;
        odd |= four_outside(length, bounds);
        sum += length - header;
        four_store(&lengths[i], length - header);
    }
    return (struct virtqueue_burst){four_sum(sum), (uint32_t)i, four_or(odd) != 0};
}

static __attribute__((noinline)) struct virtqueue_burst
pop_many(struct virtqueue *queue, void **tokens, uint32_t *lengths, uint32_t n)
{
    const struct virtqueue_burst burst = lengths != NULL ? pop_by_four(queue, tokens, lengths, n)
                                                         : pop_by_four(queue, tokens, NULL, n);
    return burst.count != n ? pop_each(queue, tokens, lengths, n, burst) : burst;
}

struct virtqueue_burst virtqueue_packed_pop(struct virtqueue *queue, void **tokens,
                                            uint32_t *lengths, uint32_t n)
{
    const uint32_t used_idx = queue->used_idx;

    /* No more than the device has, and not beyond the end, where the wrap counter changes. */
    n = virtqueue_smaller(n, virtqueue_outstanding(queue));
    n = virtqueue_smaller(n, queue->capacity - virtqueue_slot(queue, used_idx));
    if (__builtin_expect(n == 0, 0)) {
        (void)virtqueue_packed_is_idle(queue);
        return (struct virtqueue_burst){0};
    }
    /* Most often there is one chain, or there are many. */
    if (n >= 4 && queue->unmoved && virtqueue_packed_is_used(queue, used_idx + 1))
        return pop_many(queue, tokens, lengths, n);
    return pop_each(queue, tokens, lengths, n, (struct virtqueue_burst){0});
}
