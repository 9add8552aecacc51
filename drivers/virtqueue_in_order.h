/*
 * Queues whose device has agreed to keep the order (VIRTIO_F_IN_ORDER, virtio 1.2 §2.7.9, §2.8.4), in
 * either format. Such a device may tell of several chains at once: by the id of the last one, written
 * where the first one's would stand. The others then count as used completely. Nobody but the
 * queue's own files includes this.
 */
#ifndef DRIVERS_VIRTQUEUE_IN_ORDER_H
#define DRIVERS_VIRTQUEUE_IN_ORDER_H

#include "drivers/virtqueue.h"

/* The function of drivers/virtqueue.h of the same name, but for `in_order`. */
struct virtqueue_burst virtqueue_in_order_pop(struct virtqueue *queue, void **tokens,
                                              uint32_t *lengths, uint32_t n);

/* How many chains from `idx` on, that one included, `id` tells of; 0 if it is the id of no chain. More
 * than the device has is for the caller to judge. */
uint32_t virtqueue_in_order_told(const struct virtqueue *queue, uint32_t idx, uint32_t id);

#endif
