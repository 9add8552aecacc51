/*
 * Inside the virtio-net driver: its data path (virtio_net_data.c) and its life (virtio_net.c) as
 * they know each other. Everybody else uses the port interface.
 */
#ifndef DRIVERS_VIRTIO_NET_DATA_H
#define DRIVERS_VIRTIO_NET_DATA_H

#include "drivers/virtio_net.h"

/* The tables of functions: in service, and out of it. */
extern const struct netdev_ops virtio_net_ops;
extern const struct netdev_ops virtio_net_stopped_ops;

/* Offers as many buffers to the device as `setup` says (at most as many as the ring and the pool
 * have), without a doorbell. Before DRIVER_OK. */
void virtio_net_fill_rx(struct virtio_net *net, const struct netdev_rx_setup *setup);

/* Buffers that the device has sent go back to the pool they came from. On a breach, tx.queue.breach
 * is set, and that is all. */
void virtio_net_reclaim_tx(struct virtio_net *net);

/* Puts the port out of service for the breach that `queue` has met. */
void virtio_net_stop(struct virtio_net *net, const struct virtqueue *queue);

/* The functions of net/netdev.h of the same names. */
void virtio_net_rx_batch(struct netdev *dev, unsigned queue, struct batch *batch, uint32_t n);
uint32_t virtio_net_tx_room(struct netdev *dev, unsigned queue, uint32_t n);
uint32_t virtio_net_tx_batch(struct netdev *dev, unsigned queue, const struct batch *batch);

/* The same out of service: nothing comes in; what is to go out is counted and given back. */
void virtio_net_stopped_rx_batch(struct netdev *dev, unsigned queue, struct batch *batch,
                                 uint32_t n);
uint32_t virtio_net_stopped_tx_room(struct netdev *dev, unsigned queue, uint32_t n);
uint32_t virtio_net_stopped_tx_batch(struct netdev *dev, unsigned queue, const struct batch *batch);

#endif
