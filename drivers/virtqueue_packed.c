/* The packed virtqueue. */
#include "drivers/virtqueue_packed.h"

#include "drivers/virtqueue_in_order.h"
#include "drivers/virtqueue_packed_burst.h"

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

    return (virtqueue_packed_load(desc) & VIRTQUEUE_PACKED_FLAGS) ==
           virtqueue_packed_used(queue, idx, 0);
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

/* Id and flags. Relaxed: nobody looks at it yet. */
static void write_word(struct pvirtq_desc *desc, uint32_t word)
{
    atomic_store_explicit((_Atomic uint32_t *)&desc->id, word, memory_order_relaxed);
}

/* Where chains have changed their slots: their ids have gone with them. */
struct virtqueue_sight virtqueue_packed_put(struct virtqueue *queue, uint8_t *const *buffers,
                                            const uint32_t *lengths, uint32_t n)
{
    const uint32_t idx = queue->avail_idx, slot = virtqueue_slot(queue, idx);
    const uint32_t write = lengths == NULL ? (uint32_t)VIRTQ_DESC_F_WRITE << 16 : 0;
    const uint32_t flags = virtqueue_packed_available(queue, idx, 0) | write;
    struct virtqueue_sight sight = {0};

    for (uint32_t i = 0; i < n; i++) {
        struct pvirtq_desc *const desc = &queue->packed_desc[slot + i];
        const uint32_t length = lengths == NULL ? queue->room : lengths[i];
        queue->tokens[slot + i] = buffers[i];
        desc->addr = io_physical(buffers[i]) + queue->start;
        desc->len = queue->header + length;
        if (i != 0) /* the first one's flags show the burst */
            write_word(desc, flags | queue->ids[slot + i]);
        if (lengths == NULL)
            continue;
        sight.bytes += length;
        virtqueue_see(&sight, virtqueue_header(queue, buffers[i]));
    }
    virtqueue_packed_note(queue, n, flags | queue->ids[slot]);
    return sight;
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
    if (__builtin_expect(queue->laid > n, 0))
        hide(queue, n, queue->laid);
    queue->laid = 0;
    return virtqueue_packed_publish(queue, n);
}

bool virtqueue_packed_add_parts(struct virtqueue *queue, const struct virtqueue_part *parts,
                                unsigned count, void *token)
{
    const uint32_t id = queue->ids[virtqueue_slot(queue, queue->avail_idx)];

    for (unsigned i = 0; i < count; i++) {
        const uint32_t idx = queue->avail_idx + i;
        /* The id of the slot is not given to the device: one that says it lies. */
        queue->tokens[virtqueue_slot(queue, idx)] = i == 0 ? token : NULL;
        struct pvirtq_desc *const desc = &queue->packed_desc[virtqueue_slot(queue, idx)];
        const uint32_t flags =
            (parts[i].write ? VIRTQ_DESC_F_WRITE : 0) | (i + 1 < count ? VIRTQ_DESC_F_NEXT : 0);
        const uint32_t word = virtqueue_packed_available(queue, idx, id) | flags << 16;
        desc->addr = io_physical(parts[i].start);
        desc->len = parts[i].length;
        if (i == 0)
            queue->laid_word = word;
        else
            write_word(desc, word);
    }
    return virtqueue_packed_publish(queue, count);
}

/* In a table neither ids nor flags but WRITE count (§2.8.7); the whole is one descriptor of the ring. */
void virtqueue_packed_lay_indirect(struct virtqueue *queue, uint32_t ahead,
                                   const struct virtqueue_part *parts, uint32_t count,
                                   struct pvirtq_desc *table)
{
    const uint32_t idx = queue->avail_idx + ahead, slot = virtqueue_slot(queue, idx);
    struct pvirtq_desc *const desc = &queue->packed_desc[slot];
    const uint32_t word = virtqueue_packed_available(queue, idx, queue->ids[slot]) |
                          (uint32_t)VIRTQ_DESC_F_INDIRECT << 16;

    for (uint32_t i = 0; i < count; i++)
        virtqueue_packed_describe(&table[i], io_physical(parts[i].start), parts[i].length);
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

struct virtqueue_burst virtqueue_packed_pop(struct virtqueue *queue, void **tokens,
                                            uint32_t *lengths, uint32_t n)
{
    const uint32_t slot = virtqueue_slot(queue, queue->used_idx);
    const struct pvirtq_desc *const desc = &queue->packed_desc[slot];
    const uint32_t flags = virtqueue_packed_used(queue, queue->used_idx, 0);
    struct virtqueue_burst burst = {0};

    if (virtqueue_packed_is_idle(queue))
        return burst;
    n = virtqueue_packed_at_most(queue, n);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t word = virtqueue_packed_load(&desc[i]);
        if ((word & VIRTQUEUE_PACKED_FLAGS) != flags ||
            !virtqueue_bring_forward(queue, (uint16_t)word, i))
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
