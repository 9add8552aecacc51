/* The packed virtqueue. */
#include "drivers/virtio/virtqueue_packed.h"

#include "drivers/virtio/virtqueue_packed_burst.h"

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

uint32_t virtqueue_packed_unfinished(const struct virtqueue *queue)
{
    uint32_t idx = queue->used_idx;

    while (idx != queue->avail_idx && virtqueue_packed_is_used(queue, idx))
        idx++;
    return queue->avail_idx - idx;
}

/* ---- adding ---- */

/* Id and flags. Relaxed: nobody looks at it yet. */
static void write_word(struct pvirtq_desc *desc, uint32_t word)
{
    atomic_store_explicit((_Atomic uint32_t *)&desc->id, word, memory_order_relaxed);
}

/* Id and flags of the chain `ahead` slots behind the next one, once it is available. */
static uint32_t word_at(const struct virtqueue *queue, uint32_t ahead, uint16_t flags)
{
    const uint32_t idx = queue->avail_idx + ahead;

    return virtqueue_packed_available(queue, idx, queue->ids[virtqueue_slot(queue, idx)]) |
           (uint32_t)flags << 16;
}

void virtqueue_packed_put(struct virtqueue *queue, const uint8_t *buffer, uint32_t length,
                          uint16_t flags, uint32_t ahead)
{
    struct pvirtq_desc *const desc =
        &queue->packed_desc[virtqueue_slot(queue, queue->avail_idx + ahead)];

    desc->addr = io_physical(buffer) + queue->start;
    desc->len = queue->header + length;
    const uint32_t word = word_at(queue, ahead, flags);
    if (ahead == 0)
        queue->publish_word = word;
    else
        write_word(desc, word);
}

bool virtqueue_packed_add_parts(struct virtqueue *queue, const struct virtqueue_part *parts,
                                unsigned count, void *cookie)
{
    const uint32_t id = queue->ids[virtqueue_slot(queue, queue->avail_idx)];

    for (unsigned i = 0; i < count; i++) {
        const uint32_t idx = queue->avail_idx + i;
        /* The id of the slot is not given to the device: one that says it lies. */
        queue->cookies[virtqueue_slot(queue, idx)] = i == 0 ? cookie : NULL;
        struct pvirtq_desc *const desc = &queue->packed_desc[virtqueue_slot(queue, idx)];
        const uint32_t flags =
            (parts[i].write ? VIRTQ_DESC_F_WRITE : 0) | (i + 1 < count ? VIRTQ_DESC_F_NEXT : 0);
        const uint32_t word = virtqueue_packed_available(queue, idx, id) | flags << 16;
        desc->addr = io_physical(parts[i].start);
        desc->len = parts[i].length;
        if (i == 0)
            queue->publish_word = word;
        else
            write_word(desc, word);
    }
    return virtqueue_packed_publish(queue, count);
}

/* In a table neither ids nor flags but WRITE count (§2.8.7); the whole is one descriptor of the ring. */
void virtqueue_packed_stage_indirect(struct virtqueue *queue, uint32_t ahead,
                                     const struct virtqueue_part *parts, uint32_t count,
                                     struct pvirtq_desc *table)
{
    const uint32_t idx = queue->avail_idx + ahead, slot = virtqueue_slot(queue, idx);
    struct pvirtq_desc *const desc = &queue->packed_desc[slot];
    const uint32_t word = virtqueue_packed_available(queue, idx, queue->ids[slot]) |
                          (uint32_t)VIRTQ_DESC_F_INDIRECT << 16;

    for (uint32_t i = 0; i < count; i++)
        virtqueue_describe(&table[i], io_physical(parts[i].start), parts[i].length);
    desc->addr = io_physical(table);
    desc->len = count * (uint32_t)sizeof(*table);
    if (ahead == 0)
        queue->publish_word = word;
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
        virtqueue_fail(queue, VIRTQUEUE_USED_IDX, virtqueue_packed_load(desc) >> 16);
    return true;
}

bool virtqueue_packed_said_at(const struct virtqueue *queue, uint32_t idx, uint32_t *id,
                              uint32_t *length)
{
    const uint64_t word = virtqueue_packed_said(&queue->packed_desc[virtqueue_slot(queue, idx)]);

    *id = (uint16_t)word;
    *length = (uint32_t)(word >> 32);
    return (word & VIRTQUEUE_PACKED_FLAGS) == virtqueue_packed_used(queue, idx, 0);
}
