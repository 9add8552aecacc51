/*
 * The virtio network device (virtio 1.2 §5.1) as a port.
 *
 * A port's life: virtio_net_probe (reset, features, configuration, rings made), then through the
 * port interface start (buffers posted, DRIVER_OK), batches, and, if the device breaks the rules,
 * the end: the breach is counted and named, the device reset, the port NETDEV_FAILED.
 */
#ifndef DRIVERS_VIRTIO_NET_H
#define DRIVERS_VIRTIO_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/pci.h"
#include "drivers/virtio.h"
#include "drivers/virtio_net_control.h"
#include "drivers/virtqueue.h"
#include "net/netdev.h"

/* Largest frame that fits a buffer of a port whose device states no mtu: room for two VLAN tags and
 * what else providers put around 1500 bytes. */
#define VIRTIO_NET_FRAME_MAX 1600

/* Stated mtus above this are not agreed to: buffers are one piece and one size. */
#define VIRTIO_NET_MTU_MAX 9216

/* One direction. */
struct virtio_net_queue {
    struct virtqueue queue;
    struct pool *pool;    /* the lane's */
    uint32_t payload_max; /* rx: of an ordinary frame; it fits the buffer, too */
    uint32_t posted;      /* rx: buffers that the device shall have */
    uint32_t low_water;   /* rx: with so many left, the ring is refilled */
    uint64_t packets;
    uint64_t bytes;
};

struct virtio_net {
    struct netdev netdev; /* first: the port interface hands out its address */
    struct virtio_device virtio;
    struct virtio_net_queue rx;
    struct virtio_net_queue tx;
    struct virtio_net_control control;
    struct mac_address mac;
    uint64_t tx_dropped;
    uint64_t breaches[VIRTQUEUE_BREACHES]; /* by kind, since start */
};

/* True for a network device of virtio, transitional or modern, whether or not we can drive it. */
bool virtio_net_matches(const struct pci_device *pci);

/*
 * Makes port `id` out of the function `pci` (which must live as long as the port). Always returns a
 * port: one that cannot be used has had its `error` event and state NETDEV_FAILED, and keeps its
 * number. Start-up only; the port is never given back.
 */
struct netdev *virtio_net_probe(const struct pci_device *pci, unsigned id);

#endif
