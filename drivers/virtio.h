/*
 * A virtio device of any kind behind any transport: reset, status, features (virtio 1.2 §2.1, §3.1).
 *
 * A transport is a small table of functions that moves register values; the life cycle above it is
 * written once. All of it is for start-up but `notify`, which is the doorbell of the data path.
 */
#ifndef DRIVERS_VIRTIO_H
#define DRIVERS_VIRTIO_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/pci.h"
#include "drivers/virtio_spec.h"
#include "drivers/virtqueue.h"

#define VIRTIO_BIT(feature) (1ULL << (feature))

/* How long a device may take to answer anything before it is given up. */
#define VIRTIO_PATIENCE_NS 1000000000ULL

struct virtio_device;

struct virtio_transport {
    const char *name; /* transport= of the port event */

    uint8_t (*get_status)(const struct virtio_device *device);
    void (*set_status)(const struct virtio_device *device, uint8_t status); /* 0 asks for a reset */
    uint64_t (*get_features)(const struct virtio_device *device);
    void (*set_features)(const struct virtio_device *device, uint64_t features);

    /* Descriptors of queue `index` as the device states them, unchecked; 0: no such queue. */
    uint32_t (*get_queue_size)(const struct virtio_device *device, uint16_t index);

    /* Tells the device where the ring lies. False if the address is out of its reach or it did not
     * take it. */
    bool (*enable_queue)(const struct virtio_device *device, const struct virtqueue *queue);

    /* One byte of the device's configuration space; all ones beyond its end. */
    uint8_t (*read_config)(const struct virtio_device *device, uint16_t offset);
    void (*write_config)(const struct virtio_device *device, uint16_t offset, uint8_t value);

    /* The doorbell: queue `index` has new buffers. Data path, but an exit to the hypervisor. */
    void (*notify)(const struct virtio_device *device, uint16_t index);
};

struct virtio_device {
    const struct virtio_transport *transport;
    const struct pci_device *pci; /* the caller's; lives as long as the device */
    uint16_t io_base;             /* legacy: port of BAR 0 */
    uint16_t config_offset;       /* legacy: depends on MSI-X */
    uint16_t config_size;         /* bytes of configuration space within BAR 0 */
    uint64_t offered;             /* features */
    uint64_t taken;
};

/* Resets the device and waits until it reads back 0, VIRTIO_PATIENCE_NS at most. */
bool virtio_reset(const struct virtio_device *device);

/* Sets `bits` besides those that are set, the device's own ones too (§2.1.1: a driver must clear
 * none but by a reset). */
void virtio_add_status(const struct virtio_device *device, uint8_t bits);

/* Gives the device up, telling it so. */
void virtio_fail(const struct virtio_device *device);

/* True if every bit of the feature numbered `feature` was negotiated. */
static inline bool virtio_has(const struct virtio_device *device, unsigned feature)
{
    return (device->taken & VIRTIO_BIT(feature)) != 0;
}

static inline bool virtio_offers(const struct virtio_device *device, unsigned feature)
{
    return (device->offered & VIRTIO_BIT(feature)) != 0;
}

/* Configuration fields, in the byte order of the legacy interface on this machine (little). */
uint16_t virtio_read_config16(const struct virtio_device *device, uint16_t offset);

/* Shows the device the chains in the next `n` slots, and rings the doorbell if it wants that. Data
 * path. */
static inline void virtio_kick(const struct virtio_device *device, struct virtqueue *queue,
                               uint32_t n)
{
    if (virtqueue_publish(queue, n))
        device->transport->notify(device, queue->index);
}

#endif
