/*
 * The packed virtqueue (virtio 1.2 §2.8): what drivers/virtio/virtqueue.h does with a ring of that format,
 * by small plain functions; the format as bursts need it is in virtqueue_packed_burst.h.
 * Only the queue's own files include this.
 *
 * Descriptors are made available and come back in one ring. A slot is a descriptor; the chain in it is
 * known by a buffer id, which is the slot's number until a device takes another order. A chain of
 * several parts fills several slots, and comes back in the first one.
 */
#ifndef DRIVERS_VIRTQUEUE_PACKED_H
#define DRIVERS_VIRTQUEUE_PACKED_H

#include "drivers/virtio/virtqueue.h"

/* The functions of drivers/virtio/virtqueue.h of the same names, but for `packed`. */
struct virtqueue_layout virtqueue_packed_layout(uint32_t size);
uint32_t virtqueue_packed_unfinished(const struct virtqueue *queue);
bool virtqueue_packed_add_parts(struct virtqueue *queue, const struct virtqueue_part *parts,
                                unsigned count, void *cookie);
void virtqueue_packed_stage_indirect(struct virtqueue *queue, uint32_t ahead,
                                     const struct virtqueue_part *parts, uint32_t count,
                                     struct pvirtq_desc *table);

/* Stages one buffer `ahead` slots behind the next one, `flags` beside those of availability. Id and flags
 * of the first one, which show the burst, go to publish_word. */
void virtqueue_packed_put(struct virtqueue *queue, const uint8_t *buffer, uint32_t length,
                          uint16_t flags, uint32_t ahead);

/* True if the device has finished what is in the slot of `idx`; `id` and `length` are what it says. */
bool virtqueue_packed_said_at(const struct virtqueue *queue, uint32_t idx, uint32_t *id,
                              uint32_t *length);

/* True if nothing is outstanding. Breaks the queue if a descriptor is used all the same. */
bool virtqueue_packed_is_idle(struct virtqueue *queue);

#endif
