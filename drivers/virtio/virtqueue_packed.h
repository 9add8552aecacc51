/*
 * A packed ring (virtio 1.2 §2.8): how a descriptor is staged, how a burst is published, and how used
 * descriptors are read. Only the queue's own files include this.
 *
 * Descriptors are made available and come back in one ring. A slot is a descriptor; the chain in it is
 * known by a buffer id, which is the slot's number until a device takes another order. A chain of
 * several parts fills several slots, and comes back in the first one.
 */
#ifndef DRIVERS_VIRTQUEUE_PACKED_H
#define DRIVERS_VIRTQUEUE_PACKED_H

#include "drivers/virtio/virtqueue.h"

/* Of id and flags, the bits that tell whether a descriptor is used, and by which chain (§2.8.1). */
#define VIRTQUEUE_PACKED_FLAGS ((uint32_t)(VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED) << 16)
#define VIRTQUEUE_PACKED_MASK (VIRTQUEUE_PACKED_FLAGS | UINT16_MAX)

/* ---- adding ---- */

/* Id and flags that make the descriptor of `idx` available: AVAIL is the wrap counter, USED is not
 * (§2.8.1). They are the last four bytes of a descriptor. */
static inline uint32_t virtqueue_packed_word(const struct virtqueue *queue, uint32_t idx,
                                             uint32_t id, uint32_t flags)
{
    const uint32_t round = idx & queue->capacity ? VIRTQ_DESC_F_USED : VIRTQ_DESC_F_AVAIL;

    return (round | flags) << 16 | id;
}

/*
 * True if the device's event suppression wants a notification now that the slots before `idx` are
 * published: the device names the descriptor whose availability it wants to be notified of (§2.8.10).
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

/* virtqueue_publish of a packed ring (§2.8.21). */
static inline bool virtqueue_packed_publish(struct virtqueue *queue, uint32_t n)
{
    struct pvirtq_desc *const first = &queue->packed_desc[virtqueue_slot(queue, queue->avail_idx)];
    const uint32_t idx = queue->avail_idx + n;

    queue->avail_idx = idx;
    /* Release: everything before the first descriptor's flags. The device looks at no descriptor
     * behind one that is not available yet, so this one store publishes all of them (§2.8.21.1.1
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

/* Id and flags of the descriptor of `idx` once the device has finished it, but for flags that do not
 * count: both bits are the wrap counter, 1 in the first round of the ring, then 0, and so on. */
static inline uint32_t virtqueue_packed_used(const struct virtqueue *queue, uint32_t idx,
                                             uint32_t id)
{
    return (idx & queue->capacity ? 0 : VIRTQUEUE_PACKED_FLAGS) | id;
}

/* Acquire: id and flags before the length and the buffer. Partner: the device's release of flags,
 * after it has written the rest (§2.8.9). One load of both: neither changes without the other. */
static inline uint32_t virtqueue_packed_load(const struct pvirtq_desc *desc)
{
    return atomic_load_explicit((const _Atomic uint32_t *)&desc->id, memory_order_acquire);
}

/* The same with the length, which so belongs to the flags beside it: id and flags in the lower half,
 * the length in the upper half. */
static inline uint64_t virtqueue_packed_read(const struct pvirtq_desc *desc)
{
    const uint64_t half =
        atomic_load_explicit((const _Atomic uint64_t *)&desc->len, memory_order_acquire);

    return half << 32 | half >> 32;
}

/* True if the device has finished what is in the slot of `idx`, whichever id that has. */
static inline bool virtqueue_packed_is_used(const struct virtqueue *queue, uint32_t idx)
{
    const uint32_t word = virtqueue_packed_load(&queue->packed_desc[virtqueue_slot(queue, idx)]);

    return (word & VIRTQUEUE_PACKED_FLAGS) == virtqueue_packed_used(queue, idx, 0);
}

/* How many chains the device has finished: none, one, or more than one, which is 2. */
static inline uint32_t virtqueue_packed_finished(const struct virtqueue *queue)
{
    if (!virtqueue_packed_is_used(queue, queue->used_idx))
        return 0;
    return virtqueue_packed_is_used(queue, queue->used_idx + 1) ? 2 : 1;
}

#endif
