/* Registers to ports, one function a register. */
#include "drivers/virtio/virtio_pci_legacy.h"

#include <machine/io.h>

#define IO_SPACE_END 0x10000
#define BAR_BYTES_MIN 32 /* the registers, MSI-X vectors, and configuration up to status */

static uint8_t get_status(const struct virtio_device *device)
{
    return io_read8(device->legacy.io_base + VIRTIO_PCI_LEGACY_STATUS);
}

static void set_status(const struct virtio_device *device, uint8_t status)
{
    io_write8(device->legacy.io_base + VIRTIO_PCI_LEGACY_STATUS, status);
}

static uint64_t get_features(const struct virtio_device *device)
{
    return io_read32(device->legacy.io_base + VIRTIO_PCI_LEGACY_DEVICE_FEATURES);
}

static void set_features(const struct virtio_device *device, uint64_t features)
{
    io_write32(device->legacy.io_base + VIRTIO_PCI_LEGACY_DRIVER_FEATURES, (uint32_t)features);
}

static void select_queue(const struct virtio_device *device, uint16_t index)
{
    io_write16(device->legacy.io_base + VIRTIO_PCI_LEGACY_QUEUE_SELECT, index);
}

static uint32_t get_queue_size(const struct virtio_device *device, uint16_t index)
{
    select_queue(device, index);
    return io_read16(device->legacy.io_base + VIRTIO_PCI_LEGACY_QUEUE_SIZE);
}

static const char *enable_queue(struct virtio_device *device, const struct virtqueue *queue)
{
    const uint64_t address = io_physical(queue->desc);
    const uint64_t page = address >> VIRTIO_PCI_LEGACY_QUEUE_ADDRESS_SHIFT;

    /* The register holds 32 bits of pages: rings below 16 TiB. */
    if (address % VIRTIO_PCI_LEGACY_QUEUE_ALIGN != 0 || page > UINT32_MAX)
        return "queue-address";
    select_queue(device, queue->index);
    io_write32(device->legacy.io_base + VIRTIO_PCI_LEGACY_QUEUE_ADDRESS, (uint32_t)page);
    const uint32_t kept = io_read32(device->legacy.io_base + VIRTIO_PCI_LEGACY_QUEUE_ADDRESS);
    return kept == (uint32_t)page ? NULL : "queue-address";
}

/* The port behind the BAR's end is another device's: fields beyond it are not there. */
static uint32_t read_config(const struct virtio_device *device, uint16_t offset, unsigned width)
{
    const struct virtio_pci_region *config = &device->legacy.config;

    if (offset + width > config->length)
        return UINT32_MAX >> (32 - 8 * width);
    return virtio_pci_region_read(config, offset, width);
}

static void write_config(const struct virtio_device *device, uint16_t offset, uint8_t value)
{
    if (offset < device->legacy.config.length)
        virtio_pci_region_write(&device->legacy.config, offset, sizeof(value), value);
}

/* §4.1.5.1.2: a vector that cannot be had reads back as another one. */
static bool set_config_vector(const struct virtio_device *device, uint16_t vector)
{
    io_write16(device->legacy.io_base + VIRTIO_PCI_LEGACY_CONFIG_VECTOR, vector);
    return io_read16(device->legacy.io_base + VIRTIO_PCI_LEGACY_CONFIG_VECTOR) == vector;
}

static bool set_queue_vector(const struct virtio_device *device, uint16_t index, uint16_t vector)
{
    select_queue(device, index);
    io_write16(device->legacy.io_base + VIRTIO_PCI_LEGACY_QUEUE_VECTOR, vector);
    return io_read16(device->legacy.io_base + VIRTIO_PCI_LEGACY_QUEUE_VECTOR) == vector;
}

static void release_line(const struct virtio_device *device)
{
    (void)io_read8(device->legacy.io_base + VIRTIO_PCI_LEGACY_ISR);
}

static void notify(const struct virtio_device *device, uint16_t index)
{
    io_write16(device->legacy.io_base + VIRTIO_PCI_LEGACY_QUEUE_NOTIFY, index);
}

static const struct virtio_transport legacy = {
    .name = "legacy",
    .get_status = get_status,
    .set_status = set_status,
    .get_features = get_features,
    .set_features = set_features,
    .get_queue_size = get_queue_size,
    .enable_queue = enable_queue,
    .read_config = read_config,
    .write_config = write_config,
    .set_config_vector = set_config_vector,
    .set_queue_vector = set_queue_vector,
    .release_line = release_line,
    .notify = notify,
};

const char *virtio_pci_legacy_open(struct virtio_device *device, const struct pci_device *pci)
{
    const struct pci_bar *bar = &pci->bars[0];

    /* §4.1.3: device ids 0x1000 to 0x103f are transitional and have the interface, if the I/O
     * window in which it lies was given an address. */
    if (pci->device_id != VIRTIO_PCI_DEVICE_NET_TRANSITIONAL)
        return "not a transitional device";
    if (!bar->is_io || bar->size < BAR_BYTES_MIN || bar->base + bar->size > IO_SPACE_END)
        return "no I/O ports in BAR 0";
    if (bar->base == 0)
        return "its I/O ports were given no address";
    const uint16_t config =
        pci_msix_enabled(pci) ? VIRTIO_PCI_LEGACY_CONFIG_MSIX : VIRTIO_PCI_LEGACY_CONFIG;
    *device = (struct virtio_device){
        .transport = &legacy,
        .pci = pci,
        .legacy =
            {
                .io_base = (uint16_t)bar->base,
                .config =
                    {
                        .pci = pci,
                        .way = VIRTIO_PCI_PORTS,
                        .port = (uint16_t)(bar->base + config),
                        .length = (uint32_t)(bar->size - config),
                    },
            },
    };
    return NULL;
}
