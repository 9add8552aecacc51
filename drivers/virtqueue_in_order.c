/* Chains that come back in order, and perhaps several by one word. */
#include "drivers/virtqueue_in_order.h"

#include "drivers/virtqueue_packed.h"

/* What the device has written in the place of `idx`, each word read once. */
static uint32_t read_told(struct virtqueue *queue, uint32_t idx)
{
    if (queue->packed) {
        const struct pvirtq_desc *const desc = &queue->packed_desc[virtqueue_slot(queue, idx)];
        const uint32_t id = (uint16_t)virtqueue_packed_load(desc);
        queue->told_length = *(const volatile uint32_t *)&desc->len - queue->header;
        return id;
    }
    const volatile struct virtq_used_elem *const used = &queue->used->ring[idx & (queue->size - 1)];
    queue->told_length = used->len - queue->header;
    return used->id;
}

uint32_t virtqueue_in_order_told(const struct virtqueue *queue, uint32_t idx, uint32_t id)
{
    if (id >= queue->size || id % queue->chain != 0 || queue->tokens[queue->slots[id]] == NULL)
        return 0;
    return virtqueue_slot(queue, queue->slots[id] - idx) + 1;
}

/*
 * Learns how many chains from `idx` on the device tells of. False, and the queue is broken, if the
 * id is that of no chain which it has, or of one behind what a split ring's index says.
 */
static bool learn(struct virtqueue *queue, uint32_t idx, uint32_t limit)
{
    const uint32_t id = read_told(queue, idx);
    const uint32_t told = virtqueue_in_order_told(queue, idx, id);

    if (told == 0 || told > limit) {
        virtqueue_break(queue, id >= queue->size ? VIRTQUEUE_ID_RANGE : VIRTQUEUE_ID_NOT_OUT, id);
        return false;
    }
    queue->told = told;
    return true;
}

/* How many chains from used_idx on there may be, at most: what a split ring's index says, or whatever
 * is outstanding where each descriptor speaks for itself. */
static uint32_t finished_at_most(struct virtqueue *queue)
{
    return queue->packed ? virtqueue_outstanding(queue) : virtqueue_pending(queue);
}

struct virtqueue_burst virtqueue_in_order_pop(struct virtqueue *queue, void **tokens,
                                              uint32_t *lengths, uint32_t n)
{
    const uint32_t slot = virtqueue_slot(queue, queue->used_idx);
    const uint32_t limit = finished_at_most(queue);
    struct virtqueue_burst burst = {0};

    if (queue->packed && virtqueue_packed_is_idle(queue))
        return burst;
    n = virtqueue_smaller(virtqueue_smaller(n, limit), queue->capacity - slot);
    while (burst.count < n) {
        const uint32_t i = burst.count, idx = queue->used_idx + i;
        if (queue->told == 0) {
            if (queue->packed && !virtqueue_packed_is_used(queue, idx))
                break;
            if (!learn(queue, idx, limit - i))
                break;
        }
        queue->told--;
        tokens[i] = queue->tokens[slot + i];
        burst.count++;
        if (lengths == NULL)
            continue;
        lengths[i] = queue->told == 0 ? queue->told_length : queue->room;
        burst.bytes += lengths[i];
        burst.odd |= virtqueue_is_odd(queue, lengths[i]);
    }
    return burst;
}
