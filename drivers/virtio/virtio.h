/*
 * A virtio device of any kind behind any transport: reset, status, features (virtio 1.2 §2.1, §3.1).
 *
 * A transport is a small table of functions that moves register values; the life cycle above it is
 * written once, and who drives a kind of device does not ask which transport there is. All of it is
 * for start-up but `notify`, which is the doorbell of the data path.
 */
#ifndef DRIVERS_VIRTIO_H
#define DRIVERS_VIRTIO_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/pci/pci.h"
#include "drivers/pci/pci_interrupt.h"
#include "drivers/virtio/virtio_pci_region.h"
#include "drivers/virtio/virtio_spec.h"
#include "drivers/virtio/virtqueue.h"

#define VIRTIO_BIT(feature) (1ULL << (feature))

/* How long a device may take to answer anything before it is given up. */
#define VIRTIO_TIMEOUT_NS 1000000000ULL

/* Queues that are enabled of a device of ours: the first ones by number, 0 and 1, and one other, which
 * may have any number. */
#define VIRTIO_QUEUES_MAX 3

struct virtio_device;

struct virtio_transport {
    const char *name; /* transport= of the port event */
    bool version_1;   /* VERSION_1 must be offered and taken: there is nothing else to speak */
    bool resizes;     /* a queue may be made smaller than the device states, by resize_queue */

    uint8_t (*get_status)(const struct virtio_device *device);
    void (*set_status)(const struct virtio_device *device, uint8_t status); /* 0 asks for a reset */
    uint64_t (*get_features)(const struct virtio_device *device);
    void (*set_features)(const struct virtio_device *device, uint64_t features);

    /* Descriptors of queue `index` as the device states them, unchecked; 0: no such queue. */
    uint32_t (*get_queue_size)(const struct virtio_device *device, uint16_t index);

    /* Asks for a queue of `size` descriptors, a power of two below what is stated. Returns the size that
     * the device states from then on, unchecked. */
    uint32_t (*resize_queue)(const struct virtio_device *device, uint16_t index, uint32_t size);

    /* Tells the device where the ring lies, and how large it is, if that is less than it states.
     * NULL, or what went wrong: reason= of the error event. */
    const char *(*enable_queue)(struct virtio_device *device, const struct virtqueue *queue);

    /* With RING_RESET (§2.6.1): asks that one queue be reset, and whether it is. Enabled again, the
     * queue starts anew. */
    void (*reset_queue)(const struct virtio_device *device, uint16_t index);
    bool (*queue_is_reset)(const struct virtio_device *device, uint16_t index);

    /* Differs as soon as several fields of the configuration may not belong together. */
    uint32_t (*config_generation)(const struct virtio_device *device);

    /* A field of `width` 1, 2 or 4 bytes of the device's configuration space, which `offset` is a
     * multiple of; all ones beyond its end. The legacy interface alone can write some (a byte). */
    uint32_t (*read_config)(const struct virtio_device *device, uint16_t offset, unsigned width);
    void (*write_config)(const struct virtio_device *device, uint16_t offset, uint8_t value);

    /*
     * With PCI_INTERRUPT_BY_MESSAGE: the entry of the MSI-X table by which the device tells of a
     * changed configuration, or of queue `index`. False if it did not take it; a reset takes all
     * away again.
     */
    bool (*set_config_vector)(const struct virtio_device *device, uint16_t vector);
    bool (*set_queue_vector)(const struct virtio_device *device, uint16_t index, uint16_t vector);

    /* With PCI_INTERRUPT_BY_LINE: makes the device release the line. */
    void (*release_line)(const struct virtio_device *device);

    /* The doorbell: queue `index` has new buffers. Data path, but an exit to the hypervisor. */
    void (*notify)(const struct virtio_device *device, uint16_t index);
};

struct virtio_pci_legacy {
    uint16_t io_base;                /* port of BAR 0 */
    struct virtio_pci_region config; /* the device's configuration, up to the BAR's end */
};

/* Where a write rings for a queue: in mapped memory, at a port, or behind the window. */
struct virtio_pci_doorbell {
    volatile uint8_t *memory;
    uint16_t port;
    uint16_t value;  /* what is written: the queue's number, or what the device wants instead */
    uint32_t offset; /* in the notification structure */
};

struct virtio_pci_modern {
    struct virtio_pci_region common;
    struct virtio_pci_region notify;
    struct virtio_pci_region isr;
    struct virtio_pci_region config;
    uint32_t notify_off_multiplier;
    struct virtio_pci_doorbell
        doorbells[VIRTIO_QUEUES_MAX]; /* of enabled queues, the other one last */
};

struct virtio_device {
    const struct virtio_transport *transport;
    const struct pci_device *pci; /* the caller's; lives as long as the device */
    enum pci_interrupt interrupt; /* how it interrupts us */
    uint64_t offered;             /* features */
    uint64_t taken;
    union { /* the transport's own */
        struct virtio_pci_legacy legacy;
        struct virtio_pci_modern modern;
    };
};

/* Asks the device for a reset; it is done once virtio_is_reset says so, and not before (§2.1.2,
 * §4.1.4.3.2). Neither waits. */
void virtio_begin_reset(const struct virtio_device *device);
bool virtio_is_reset(const struct virtio_device *device);

/* Sets `bits` besides those that are set, the device's own ones too (§2.1.1: a driver must clear
 * none but by a reset). */
void virtio_add_status(const struct virtio_device *device, uint8_t bits);

/*
 * Takes the features `features` out of device->offered, and makes sure that the device agrees, if it
 * speaks VERSION_1 (§3.1.1 steps 4 to 6). False if it does not. Then device->taken are those that it
 * was asked for.
 */
bool virtio_take_features(struct virtio_device *device, uint64_t features);

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

/*
 * Fields of the configuration, each whole. Several that must belong together are read between two
 * equal readings of virtio_config_generation, VIRTIO_CONFIG_TRIES times at most (§2.5.1).
 */
#define VIRTIO_CONFIG_TRIES 16

uint32_t virtio_config_generation(const struct virtio_device *device);
uint8_t virtio_read_config8(const struct virtio_device *device, uint16_t offset);
uint16_t virtio_read_config16(const struct virtio_device *device, uint16_t offset);
uint32_t virtio_read_config32(const struct virtio_device *device, uint16_t offset);

/* Rings the doorbell: the device wants to know of what was added to the queue. Data path. */
static inline void virtio_notify(const struct virtio_device *device, const struct virtqueue *queue)
{
    device->transport->notify(device, queue->index);
}

#endif
