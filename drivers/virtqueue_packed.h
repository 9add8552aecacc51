/*
 * The packed virtqueue (virtio 1.2 §2.8): what drivers/virtqueue.h does with a ring of that format,
 * by small plain loops; the bursts of one that is straight_packed are in virtqueue_packed_burst.h.
 * Only the queue's own files include this.
 *
 * Descriptors are made available and come back in one ring. A slot is a descriptor; the chain in it is
 * known by a buffer id, which is the slot's number until a device takes another order. A chain of
 * several parts fills several slots, and comes back in the first one.
 */
#ifndef DRIVERS_VIRTQUEUE_PACKED_H
#define DRIVERS_VIRTQUEUE_PACKED_H

#include "drivers/virtqueue.h"

/* The functions of drivers/virtqueue.h of the same names, but for `packed`. */
struct virtqueue_layout virtqueue_packed_layout(uint32_t size);
uint32_t virtqueue_packed_unfinished(const struct virtqueue *queue);
struct virtqueue_sight virtqueue_packed_put(struct virtqueue *queue, uint8_t *const *buffers,
                                            const uint32_t *lengths, uint32_t n);
bool virtqueue_packed_add_parts(struct virtqueue *queue, const struct virtqueue_part *parts,
                                unsigned count, void *token);
void virtqueue_packed_lay_indirect(struct virtqueue *queue, uint32_t ahead,
                                   const struct virtqueue_part *parts, uint32_t count,
                                   struct pvirtq_desc *table);
struct virtqueue_burst virtqueue_packed_pop(struct virtqueue *queue, void **tokens,
                                            uint32_t *lengths, uint32_t n);

/* True if nothing is outstanding. Breaks the queue if a descriptor is used all the same. */
bool virtqueue_packed_is_idle(struct virtqueue *queue);

/* True if the device has finished what is in the slot of `idx`, whichever id that has. */
bool virtqueue_packed_is_used(const struct virtqueue *queue, uint32_t idx);

#endif
