/*
 * The format of a packed ring (virtio 1.2 §2.8), inline, and single frames of a queue whose
 * ids match its slots: slot i has id i, so that the id in a descriptor is known from its place. As
 * virtqueue.h says of the functions without `packed` in their names.
 */
#ifndef DRIVERS_VIRTQUEUE_PACKED_BURST_H
#define DRIVERS_VIRTQUEUE_PACKED_BURST_H

#include "drivers/virtio/virtqueue.h"

/* ---- adding ---- */

/* Id and flags that make the descriptor of `idx` available: AVAIL is the wrap counter, USED is not
 * (§2.8.1). */
static inline uint32_t virtqueue_packed_available(const struct virtqueue *queue, uint32_t idx,
                                                  uint32_t id)
{
    const uint32_t flags = idx & queue->capacity ? VIRTQ_DESC_F_USED : VIRTQ_DESC_F_AVAIL;

    return flags << 16 | id;
}

/* virtqueue_put_single of a packed queue. */
static inline void virtqueue_packed_put_single(struct virtqueue *queue, uint8_t *buffer,
                                               uint32_t length)
{
    const uint32_t idx = queue->avail_idx, slot = virtqueue_slot(queue, idx);
    struct pvirtq_desc *const desc = &queue->packed_desc[slot];

    desc->addr = io_physical(buffer) + queue->start;
    desc->len = queue->header + length;
    queue->cookies[slot] = buffer;
    queue->publish_word = virtqueue_packed_available(queue, idx, slot);
}

/*
 * True if the device's event suppression wants a notification now that the slots before `idx` are
 * shown: the device names the descriptor whose availability it wants to be notified of (§2.8.10).
 *
 * Offset and wrap counter tell where that lies within two rounds of the ring: up to one and a half
 * behind `idx` it has been passed, else it is still to come. Also a burst that begins behind it rings:
 * QEMU 7.2 names the descriptor that it will look at next, and goes on by itself beyond it when a frame
 * that was held up has left, perhaps by a whole ring. It names no other one, and waits.
 */
static inline bool virtqueue_packed_passed(const struct virtqueue *queue, uint32_t idx)
{
    const uint16_t desc = atomic_load_explicit(&queue->device_event->desc, memory_order_relaxed);
    const uint32_t round = desc & RING_EVENT_DESC_WRAP ? 0 : queue->capacity;
    const uint32_t event = round + (desc & ~RING_EVENT_DESC_WRAP);
    const uint32_t behind = (idx - event) & (2 * queue->capacity - 1);

    return behind - 1 < queue->capacity + queue->capacity / 2;
}

/* Shows the device the chains that were staged into the next `n` slots, and returns whether it wants to
 * be notified (§2.8.21). */
static inline bool virtqueue_packed_publish(struct virtqueue *queue, uint32_t n)
{
    struct pvirtq_desc *const first = &queue->packed_desc[virtqueue_slot(queue, queue->avail_idx)];
    const uint32_t idx = queue->avail_idx + n;

    queue->avail_idx = idx;
    /* Release: everything before the first descriptor's flags. The device looks at no descriptor
     * behind one that is not available yet, so this one store shows it all of them (§2.8.21.1.1
     * "Updating flags"). Partner: the device's read of these flags before it reads the rest. */
    atomic_store_explicit((_Atomic uint32_t *)&first->id, queue->publish_word,
                          memory_order_release);

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
 * What the device says in a descriptor, by one load, so that a length belongs to the flags beside it:
 * the length in the upper half, id and flags in the lower half, but only the flags that tell of use.
 * Acquire, as in virtqueue_packed_load.
 */
static inline uint64_t virtqueue_packed_said(const struct pvirtq_desc *desc)
{
    const uint64_t half =
        atomic_load_explicit((const _Atomic uint64_t *)&desc->len, memory_order_acquire);

    return (half << 32 | half >> 32) & ((uint64_t)UINT32_MAX << 32 | VIRTQUEUE_PACKED_MASK);
}

/* virtqueue_pop_single. The last slot of the ring is for virtqueue_pop: behind it another round begins. */
static inline enum virtqueue_found virtqueue_packed_pop_single(const struct virtqueue *queue,
                                                               void **cookie, uint32_t *length)
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
    if (__builtin_expect(virtqueue_needs_check(queue, behind_header), 0))
        return VIRTQUEUE_OTHER;
    *cookie = queue->cookies[slot];
    *length = behind_header;
    return VIRTQUEUE_SINGLE;
}

#endif
