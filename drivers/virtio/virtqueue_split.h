/*
 * A split ring (virtio 1.2 §2.7): how a descriptor is staged, how a burst is published, and how the
 * used ring is read. Only the queue's own files include this.
 */
#ifndef DRIVERS_VIRTQUEUE_SPLIT_H
#define DRIVERS_VIRTQUEUE_SPLIT_H

#include "drivers/virtio/virtqueue.h"

/* 64 bits of a used ring, where elements are aligned to 4 bytes only. */
typedef const volatile uint64_t __attribute__((aligned(4), may_alias)) virtqueue_used_word;

/* ---- adding ---- */

/* Flags and next: the last four bytes of a descriptor. */
static inline uint32_t virtqueue_split_word(uint32_t flags, uint32_t next)
{
    return next << 16 | flags;
}

/* virtqueue_publish of a split ring (§2.7.13). */
static inline bool virtqueue_split_publish(struct virtqueue *queue, uint32_t n)
{
    const uint32_t idx = queue->avail_idx + n;

    queue->avail_idx = idx;
    /* Release: descriptors and ring entries before the index. Partner: the device's read of
     * avail.idx before it reads them (§2.7.13.3 "Updating idx"). */
    atomic_store_explicit(&queue->avail->idx, (uint16_t)idx, memory_order_release);

    /* Full fence: our index before our look at the suppression word. Partner: the device enables
     * notifications, fences, and looks at avail.idx again. Without both fences each side could miss
     * the other's step, and the frames would wait for ever (§2.7.13.4). */
    atomic_thread_fence(memory_order_seq_cst);
    if (queue->event_idx) {
        const uint16_t event = atomic_load_explicit(queue->avail_event, memory_order_relaxed);
        return (uint16_t)(idx - event - 1) < (uint16_t)n; /* §2.7.10: passed it? */
    }
    return !(atomic_load_explicit(&queue->used->flags, memory_order_relaxed) &
             VIRTQ_USED_F_NO_NOTIFY);
}

/* ---- taking back ---- */

/* How many chains the device has finished, unchecked. Acquire: the index before the entries and buffers
 * behind it. Partner: the device's release of used.idx after it has written them (§2.7.8.2). */
static inline uint32_t virtqueue_split_finished(const struct virtqueue *queue)
{
    const uint32_t used_idx = queue->used_idx;

    return (uint16_t)(atomic_load_explicit(&queue->used->idx, memory_order_acquire) - used_idx);
}

/* The same, checked: 0 on a device error. */
static inline uint32_t virtqueue_split_pending(struct virtqueue *queue)
{
    const uint32_t outstanding = virtqueue_outstanding(queue);
    const uint32_t finished = virtqueue_split_finished(queue);

    if (__builtin_expect(finished > outstanding, 0)) {
        virtqueue_fail(queue, VIRTQUEUE_USED_IDX, (uint16_t)(queue->used_idx + finished));
        return 0;
    }
    return finished;
}

/* An element of the used ring by one load: the id in the lower half, the length in the upper half. */
static inline uint64_t virtqueue_split_read(const struct virtq_used_elem *used)
{
    return *(virtqueue_used_word *)used;
}

#endif
