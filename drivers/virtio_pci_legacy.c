/* Registers to ports, one function a register. */
#include "drivers/virtio_pci_legacy.h"

#include <machine/io.h>

#define IO_SPACE_END 0x10000
#define BAR_BYTES_MIN 32 /* the registers, MSI-X vectors, and configuration up to status */

static uint8_t get_status(const struct virtio_device *device)
{
    return io_read8(device->io_base + VIRTIO_PCI_LEGACY_STATUS);
}

static void set_status(const struct virtio_device *device, uint8_t status)
{
    io_write8(device->io_base + VIRTIO_PCI_LEGACY_STATUS, status);
}

static uint64_t get_features(const struct virtio_device *device)
{
    return io_read32(device->io_base + VIRTIO_PCI_LEGACY_DEVICE_FEATURES);
}

static void set_features(const struct virtio_device *device, uint64_t features)
{
    io_write32(device->io_base + VIRTIO_PCI_LEGACY_DRIVER_FEATURES, (uint32_t)features);
}

static void select_queue(const struct virtio_device *device, uint16_t index)
{
    io_write16(device->io_base + VIRTIO_PCI_LEGACY_QUEUE_SELECT, index);
}

static uint32_t get_queue_size(const struct virtio_device *device, uint16_t index)
{
    select_queue(device, index);
    return io_read16(device->io_base + VIRTIO_PCI_LEGACY_QUEUE_SIZE);
}

static bool enable_queue(const struct virtio_device *device, const struct virtqueue *queue)
{
    const uint64_t address = io_physical(queue->desc);
    const uint64_t page = address >> VIRTIO_PCI_LEGACY_QUEUE_ADDRESS_SHIFT;

    if (address % VIRTIO_PCI_LEGACY_QUEUE_ALIGN != 0 || page > UINT32_MAX)
        return false; /* the register holds 32 bits of pages: rings below 16 TiB */
    select_queue(device, queue->index);
    io_write32(device->io_base + VIRTIO_PCI_LEGACY_QUEUE_ADDRESS, (uint32_t)page);
    return io_read32(device->io_base + VIRTIO_PCI_LEGACY_QUEUE_ADDRESS) == (uint32_t)page;
}

/* The port behind the BAR's end is another device's: fields beyond it are not there. */
static uint8_t read_config(const struct virtio_device *device, uint16_t offset)
{
    if (offset >= device->config_size)
        return UINT8_MAX;
    return io_read8((uint16_t)(device->io_base + device->config_offset + offset));
}

static void write_config(const struct virtio_device *device, uint16_t offset, uint8_t value)
{
    if (offset < device->config_size)
        io_write8((uint16_t)(device->io_base + device->config_offset + offset), value);
}

static void notify(const struct virtio_device *device, uint16_t index)
{
    io_write16(device->io_base + VIRTIO_PCI_LEGACY_QUEUE_NOTIFY, index);
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
    .notify = notify,
};

bool virtio_pci_legacy_open(struct virtio_device *device, const struct pci_device *pci)
{
    const struct pci_bar *bar = &pci->bars[0];

    /* §4.1.3: device ids 0x1000 to 0x103f are transitional and have the interface, if the I/O
     * window in which it lies was given an address. */
    if (pci->device_id != VIRTIO_PCI_DEVICE_NET_TRANSITIONAL || !bar->is_io || bar->base == 0 ||
        bar->size < BAR_BYTES_MIN || bar->base + bar->size > IO_SPACE_END)
        return false;
    const uint16_t config =
        pci_msix_enabled(pci) ? VIRTIO_PCI_LEGACY_CONFIG_MSIX : VIRTIO_PCI_LEGACY_CONFIG;
    *device = (struct virtio_device){
        .transport = &legacy,
        .pci = pci,
        .io_base = (uint16_t)bar->base,
        .config_offset = config,
        .config_size = (uint16_t)(bar->size - config),
    };
    return true;
}
