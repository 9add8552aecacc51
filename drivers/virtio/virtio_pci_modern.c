/* Registers to the fields of struct virtio_pci_common_cfg, one function a register. */
#include "drivers/virtio/virtio_pci_modern.h"

#include <machine/io.h>

/* The width and the place of a field of the common configuration (§4.1.3.1: both as they are). */
#define FIELD(name)                                                                                \
    offsetof(struct virtio_pci_common_cfg, name), sizeof(((struct virtio_pci_common_cfg *)0)->name)
#define LOW_HALF(name) offsetof(struct virtio_pci_common_cfg, name)
#define HIGH_HALF(name) (offsetof(struct virtio_pci_common_cfg, name) + 4)

static uint32_t read_common(const struct virtio_device *device, size_t offset, size_t width)
{
    return virtio_pci_region_read(&device->modern.common, (uint32_t)offset, (unsigned)width);
}

static void write_common(const struct virtio_device *device, size_t offset, size_t width,
                         uint32_t value)
{
    virtio_pci_region_write(&device->modern.common, (uint32_t)offset, (unsigned)width, value);
}

static uint8_t get_status(const struct virtio_device *device)
{
    return (uint8_t)read_common(device, FIELD(device_status));
}

static void set_status(const struct virtio_device *device, uint8_t status)
{
    write_common(device, FIELD(device_status), status);
}

static uint64_t get_features(const struct virtio_device *device)
{
    uint64_t features;

    write_common(device, FIELD(device_feature_select), 0);
    features = read_common(device, FIELD(device_feature));
    write_common(device, FIELD(device_feature_select), 1);
    features |= (uint64_t)read_common(device, FIELD(device_feature)) << 32;
    /* The registers for these are the structure's last, and older devices end before them. */
    if (device->modern.common.length < VIRTIO_PCI_COMMON_CFG_BYTES)
        features &= ~(VIRTIO_BIT(VIRTIO_F_RING_RESET) | VIRTIO_BIT(VIRTIO_F_NOTIF_CONFIG_DATA));
    return features;
}

static void set_features(const struct virtio_device *device, uint64_t features)
{
    write_common(device, FIELD(driver_feature_select), 0);
    write_common(device, FIELD(driver_feature), (uint32_t)features);
    write_common(device, FIELD(driver_feature_select), 1);
    write_common(device, FIELD(driver_feature), (uint32_t)(features >> 32));
}

static void select_queue(const struct virtio_device *device, uint16_t index)
{
    write_common(device, FIELD(queue_select), index);
}

static uint32_t get_queue_size(const struct virtio_device *device, uint16_t index)
{
    select_queue(device, index);
    return read_common(device, FIELD(queue_size));
}

/* §4.1.4.3: queue_size "can be modified by the driver to reduce memory requirements". */
static uint32_t resize_queue(const struct virtio_device *device, uint16_t index, uint32_t size)
{
    select_queue(device, index);
    write_common(device, FIELD(queue_size), size);
    return read_common(device, FIELD(queue_size));
}

/* 64-bit fields are written by halves (§4.1.3.1). */
static void write_address(const struct virtio_device *device, size_t low_half, size_t high_half,
                          const volatile void *part)
{
    const uint64_t address = io_physical(part);

    write_common(device, low_half, 4, (uint32_t)address);
    write_common(device, high_half, 4, (uint32_t)(address >> 32));
}

/* Which of the doorbells is that of queue `index`. */
static inline unsigned doorbell_of(uint16_t index)
{
    return index < VIRTIO_QUEUES_MAX - 1 ? index : VIRTIO_QUEUES_MAX - 1;
}

/* Where the selected queue's doorbell is (§4.1.4.4), worked out once. False: beyond the structure. */
static bool place_doorbell(struct virtio_device *device, uint16_t index)
{
    const struct virtio_pci_region *notify = &device->modern.notify;
    struct virtio_pci_doorbell *doorbell = &device->modern.doorbells[doorbell_of(index)];
    const uint64_t offset = (uint64_t)read_common(device, FIELD(queue_notify_off)) *
                            device->modern.notify_off_multiplier;

    /* §4.1.4.4.1: the multiplier is 0 or an even power of two; an odd one would misalign the write. */
    if (offset % sizeof(uint16_t) != 0 || offset + sizeof(uint16_t) > notify->length)
        return false;
    *doorbell = (struct virtio_pci_doorbell){.offset = (uint32_t)offset, .value = index};
    if (virtio_has(device, VIRTIO_F_NOTIF_CONFIG_DATA)) /* §4.1.5.2 */
        doorbell->value = (uint16_t)read_common(device, FIELD(queue_notify_data));
    if (notify->way == VIRTIO_PCI_MEMORY)
        doorbell->memory = notify->memory + offset;
    else if (notify->way == VIRTIO_PCI_PORTS)
        doorbell->port = (uint16_t)(notify->port + offset);
    return true;
}

static const char *enable_queue(struct virtio_device *device, const struct virtqueue *queue)
{
    const uint16_t index = queue->index;

    if (get_queue_size(device, index) != queue->size && /* less than it states: §4.1.4.3.2 */
        resize_queue(device, index, queue->size) != queue->size)
        return "queue-size-kept";
    if (!place_doorbell(device, index))
        return "doorbell";
    write_address(device, LOW_HALF(queue_desc), HIGH_HALF(queue_desc), queue->desc);
    write_address(device, LOW_HALF(queue_driver), HIGH_HALF(queue_driver), queue->avail);
    write_address(device, LOW_HALF(queue_device), HIGH_HALF(queue_device), queue->used);
    write_common(device, FIELD(queue_enable), 1);
    return read_common(device, FIELD(queue_enable)) == 1 ? NULL : "queue-not-enabled";
}

static void reset_queue(const struct virtio_device *device, uint16_t index)
{
    select_queue(device, index);
    write_common(device, FIELD(queue_reset), 1);
}

/* §4.1.4.3.2: the reset is done when queue_reset reads 0 again. */
static bool queue_is_reset(const struct virtio_device *device, uint16_t index)
{
    select_queue(device, index);
    return read_common(device, FIELD(queue_reset)) == 0;
}

static uint32_t config_generation(const struct virtio_device *device)
{
    return read_common(device, FIELD(config_generation));
}

/* Fields beyond the structure's end are not there. */
static uint32_t read_config(const struct virtio_device *device, uint16_t offset, unsigned width)
{
    const struct virtio_pci_region *config = &device->modern.config;

    if (offset + width > config->length)
        return UINT32_MAX >> (32 - 8 * width);
    return virtio_pci_region_read(config, offset, width);
}

/* §4.1.5.1.2: a vector that cannot be had reads back as another one. */
static bool set_config_vector(const struct virtio_device *device, uint16_t vector)
{
    write_common(device, FIELD(config_msix_vector), vector);
    return read_common(device, FIELD(config_msix_vector)) == vector;
}

static bool set_queue_vector(const struct virtio_device *device, uint16_t index, uint16_t vector)
{
    select_queue(device, index);
    write_common(device, FIELD(queue_msix_vector), vector);
    return read_common(device, FIELD(queue_msix_vector)) == vector;
}

/* §4.1.4.5: a read of the status releases the line. */
static void release_line(const struct virtio_device *device)
{
    (void)virtio_pci_region_read(&device->modern.isr, 0, 1);
}

static void notify(const struct virtio_device *device, uint16_t index)
{
    const struct virtio_pci_doorbell *doorbell = &device->modern.doorbells[doorbell_of(index)];

    if (__builtin_expect(doorbell->memory != NULL, 1))
        mmio_write16(doorbell->memory, doorbell->value);
    else if (doorbell->port != 0)
        io_write16(doorbell->port, doorbell->value);
    else
        virtio_pci_region_write(&device->modern.notify, doorbell->offset, sizeof(doorbell->value),
                                doorbell->value);
}

static const struct virtio_transport modern = {
    .name = "modern",
    .version_1 = true,
    .resizes = true,
    .get_status = get_status,
    .set_status = set_status,
    .get_features = get_features,
    .set_features = set_features,
    .get_queue_size = get_queue_size,
    .resize_queue = resize_queue,
    .enable_queue = enable_queue,
    .reset_queue = reset_queue,
    .queue_is_reset = queue_is_reset,
    .config_generation = config_generation,
    .read_config = read_config,
    .set_config_vector = set_config_vector,
    .set_queue_vector = set_queue_vector,
    .release_line = release_line,
    .notify = notify,
};

const char *virtio_pci_modern_open(struct virtio_device *device, const struct pci_device *pci)
{
    *device = (struct virtio_device){.transport = &modern, .pci = pci};
    struct virtio_pci_modern *parts = &device->modern;

    if (!virtio_pci_region_find(&parts->common, pci, VIRTIO_PCI_CAP_COMMON_CFG))
        return "no usable common configuration structure";
    if (!virtio_pci_region_find(&parts->notify, pci, VIRTIO_PCI_CAP_NOTIFY_CFG))
        return "no usable notification structure";
    if (!virtio_pci_region_find(&parts->isr, pci, VIRTIO_PCI_CAP_ISR_CFG))
        return "no usable ISR structure";
    if (!virtio_pci_region_find(&parts->config, pci, VIRTIO_PCI_CAP_DEVICE_CFG))
        return "no usable device configuration structure";
    parts->notify_off_multiplier =
        pci_read32(pci, parts->notify.capability + VIRTIO_PCI_NOTIFY_CAP_MULTIPLIER);
    return NULL;
}
