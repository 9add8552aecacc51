/* Capabilities to regions, and the three ways into one. */
#include "drivers/virtio/virtio_pci_region.h"

#include <stddef.h>

#include <machine/io.h>
#include <machine/log.h>
#include <machine/memory.h>
#include <machine/panic.h>

#include "drivers/virtio/virtio_spec.h"

#define NOTIFY_BYTES (16u << 20) /* doorbells beyond them are refused; QEMU has 4 MiB at most */
#define DEVICE_CFG_BYTES 64      /* more than any field that is read needs */

/* What each structure must have, and how much of it is mapped: a device may state any length, and
 * page tables for it come out of our memory. */
static const struct kind {
    const char *name;
    uint32_t length_min;
    uint32_t length_used;
    uint8_t cap_len_min;
    uint8_t alignment; /* of its offset: §4.1.4.3.1, §4.1.4.4.1, §4.1.4.6 */
} kinds[] = {
    [VIRTIO_PCI_CAP_COMMON_CFG] = {"common",
                                   offsetof(struct virtio_pci_common_cfg, queue_notify_data),
                                   VIRTIO_PCI_COMMON_CFG_BYTES, VIRTIO_PCI_CAP_BYTES, 4},
    [VIRTIO_PCI_CAP_NOTIFY_CFG] = {"notify", sizeof(uint16_t), NOTIFY_BYTES,
                                   VIRTIO_PCI_NOTIFY_CAP_BYTES, 2},
    [VIRTIO_PCI_CAP_ISR_CFG] = {"isr", 1, 1, VIRTIO_PCI_CAP_BYTES, 1},
    [VIRTIO_PCI_CAP_DEVICE_CFG] = {"device", 1, DEVICE_CFG_BYTES, VIRTIO_PCI_CAP_BYTES, 4},
};

/* ---- finding ---- */

/* A capability of a kind that we know makes no sense: `what` is the field, `value` what it holds. */
static bool unusable(const struct virtio_pci_region *region, const struct kind *kind,
                     const char *what, uint64_t value)
{
    log_event(LOG_WARN, "warn", "pci=%s reason=virtio-capability structure=%s at=0x%02x %s=0x%llx",
              pci_address(region->pci).text, kind->name, region->capability, what,
              (unsigned long long)value);
    return false;
}

/* The capability that gives access without a BAR, or 0. What its other fields hold is ours to set. */
static uint8_t find_window(const struct pci_device *pci)
{
    uint8_t at = 0;

    while ((at = pci_find_capability(pci, PCI_CAPABILITY_ID_VENDOR, at)) != 0) {
        if (at + VIRTIO_PCI_CFG_CAP_BYTES <= PCI_CONFIG_SPACE_SIZE &&
            pci_read8(pci, at + VIRTIO_PCI_CAP_CFG_TYPE) == VIRTIO_PCI_CAP_PCI_CFG &&
            pci_read8(pci, at + VIRTIO_PCI_CAP_LEN) >= VIRTIO_PCI_CFG_CAP_BYTES)
            return at;
    }
    return 0;
}

/* Chooses the way in. The offset and the length lie within the BAR. */
static bool reach(struct virtio_pci_region *region, const struct pci_bar *bar)
{
    if (bar->base != 0 && bar->is_io) {
        region->way = VIRTIO_PCI_PORTS;
        region->port = (uint16_t)(bar->base + region->offset); /* the scan has seen to the range */
        return true;
    }
    if (bar->base != 0) {
        region->way = VIRTIO_PCI_MEMORY;
        region->memory = memory_map_device(bar->base + region->offset, region->length);
        if (region->memory != NULL)
            return true;
    }
    region->way = VIRTIO_PCI_WINDOW;
    region->window = find_window(region->pci);
    return region->window != 0;
}

/* Reads what the capability says, and believes it as far as it makes sense. */
static bool open_region(struct virtio_pci_region *region, const struct kind *kind)
{
    const uint8_t at = region->capability;
    const uint8_t cap_len = pci_read8(region->pci, at + VIRTIO_PCI_CAP_LEN);
    const struct pci_bar *bar;

    if (cap_len < kind->cap_len_min || at + cap_len > PCI_CONFIG_SPACE_SIZE)
        return unusable(region, kind, "cap_len", cap_len);
    region->bar = pci_read8(region->pci, at + VIRTIO_PCI_CAP_BAR);
    if (region->bar >= PCI_BARS_DEVICE)
        return unusable(region, kind, "bar", region->bar);
    bar = &region->pci->bars[region->bar];
    region->offset = pci_read32(region->pci, at + VIRTIO_PCI_CAP_OFFSET);
    region->length = pci_read32(region->pci, at + VIRTIO_PCI_CAP_LENGTH);
    if (bar->size == 0)
        return unusable(region, kind, "absent_bar", region->bar);
    if (region->offset % kind->alignment != 0)
        return unusable(region, kind, "offset", region->offset);
    if (region->length < kind->length_min)
        return unusable(region, kind, "length", region->length);
    /* Both have 32 bits: the sum of 64 cannot wrap. */
    if ((uint64_t)region->offset + region->length > bar->size)
        return unusable(region, kind, "end_beyond_bar", (uint64_t)region->offset + region->length);
    if (region->length > kind->length_used)
        region->length = kind->length_used;
    return reach(region, bar) || unusable(region, kind, "unreachable_bar", bar->base);
}

bool virtio_pci_region_find(struct virtio_pci_region *region, const struct pci_device *pci,
                            uint8_t cfg_type)
{
    uint8_t at = 0;

    ensure(cfg_type < sizeof(kinds) / sizeof(kinds[0]) && kinds[cfg_type].name != NULL);
    while ((at = pci_find_capability(pci, PCI_CAPABILITY_ID_VENDOR, at)) != 0) {
        *region = (struct virtio_pci_region){.pci = pci, .capability = at};
        if (at + VIRTIO_PCI_CAP_BYTES <= PCI_CONFIG_SPACE_SIZE &&
            pci_read8(pci, at + VIRTIO_PCI_CAP_CFG_TYPE) == cfg_type &&
            open_region(region, &kinds[cfg_type]))
            return true;
    }
    *region = (struct virtio_pci_region){0};
    return false;
}

/* ---- access ---- */

/* Points the window at `width` bytes of the region (§4.1.4.9): pci_cfg_data then stands for them. */
static uint8_t aim_window(const struct virtio_pci_region *region, uint32_t offset, unsigned width)
{
    const uint8_t at = region->window;

    pci_write8(region->pci, at + VIRTIO_PCI_CAP_BAR, region->bar);
    pci_write32(region->pci, at + VIRTIO_PCI_CAP_OFFSET, region->offset + offset);
    pci_write32(region->pci, at + VIRTIO_PCI_CAP_LENGTH, width);
    return at + VIRTIO_PCI_CFG_CAP_DATA;
}

static uint32_t read_window(const struct virtio_pci_region *region, uint32_t offset, unsigned width)
{
    const uint8_t data = aim_window(region, offset, width);

    switch (width) {
    case 1:
        return pci_read8(region->pci, data);
    case 2:
        return pci_read16(region->pci, data);
    default:
        return pci_read32(region->pci, data);
    }
}

static void write_window(const struct virtio_pci_region *region, uint32_t offset, unsigned width,
                         uint32_t value)
{
    const uint8_t data = aim_window(region, offset, width);

    switch (width) {
    case 1:
        pci_write8(region->pci, data, (uint8_t)value);
        break;
    case 2:
        pci_write16(region->pci, data, (uint16_t)value);
        break;
    default:
        pci_write32(region->pci, data, value);
        break;
    }
}

static uint32_t read_memory(const volatile uint8_t *address, unsigned width)
{
    switch (width) {
    case 1:
        return mmio_read8(address);
    case 2:
        return mmio_read16(address);
    default:
        return mmio_read32(address);
    }
}

static void write_memory(volatile uint8_t *address, unsigned width, uint32_t value)
{
    switch (width) {
    case 1:
        mmio_write8(address, (uint8_t)value);
        break;
    case 2:
        mmio_write16(address, (uint16_t)value);
        break;
    default:
        mmio_write32(address, value);
        break;
    }
}

static uint32_t read_ports(uint16_t port, unsigned width)
{
    switch (width) {
    case 1:
        return io_read8(port);
    case 2:
        return io_read16(port);
    default:
        return io_read32(port);
    }
}

static void write_ports(uint16_t port, unsigned width, uint32_t value)
{
    switch (width) {
    case 1:
        io_write8(port, (uint8_t)value);
        break;
    case 2:
        io_write16(port, (uint16_t)value);
        break;
    default:
        io_write32(port, value);
        break;
    }
}

static void check_access(const struct virtio_pci_region *region, uint32_t offset, unsigned width)
{
    ensure((width == 1 || width == 2 || width == 4) && offset % width == 0);
    ensure(width <= region->length && offset <= region->length - width);
}

uint32_t virtio_pci_region_read(const struct virtio_pci_region *region, uint32_t offset,
                                unsigned width)
{
    check_access(region, offset, width);
    if (region->way == VIRTIO_PCI_MEMORY)
        return read_memory(region->memory + offset, width);
    if (region->way == VIRTIO_PCI_PORTS)
        return read_ports((uint16_t)(region->port + offset), width);
    return read_window(region, offset, width);
}

void virtio_pci_region_write(const struct virtio_pci_region *region, uint32_t offset,
                             unsigned width, uint32_t value)
{
    check_access(region, offset, width);
    if (region->way == VIRTIO_PCI_MEMORY)
        write_memory(region->memory + offset, width, value);
    else if (region->way == VIRTIO_PCI_PORTS)
        write_ports((uint16_t)(region->port + offset), width, value);
    else
        write_window(region, offset, width, value);
}
