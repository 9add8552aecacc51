/*
 * The walk over PCI: which functions there are. Every bus is visited once, whatever its bridges say.
 */
#include <stdlib.h>

#include <machine/io.h>
#include <machine/log.h>

#include "drivers/pci/pci_internal.h"

/* The state of one walk: what was found, and the buses still to be visited. */
struct scan {
    struct pci_device *devices;
    size_t max;
    size_t found; /* counts on beyond max */
    bool expander_seen;
    size_t bus_count; /* of buses[], which is a queue without reuse: each bus enters it once */
    uint8_t buses[PCI_BUSES];
    bool queued[PCI_BUSES];
    bool claimed[PCI_BUSES]; /* named by a bridge as its secondary bus */
};

/* Each bus enters the queue once, so 256 entries are enough and the walk ends, come what may. */
static void queue_bus(struct scan *scan, uint8_t bus)
{
    if (scan->queued[bus])
        return;
    scan->queued[bus] = true;
    scan->buses[scan->bus_count++] = bus;
}

static void queue_all_buses(struct scan *scan)
{
    for (unsigned bus = 0; bus < PCI_BUSES; bus++)
        queue_bus(scan, (uint8_t)bus);
}

/*
 * Firmware counts buses upwards from the root, so a bridge that leads to its own bus or to a lower
 * one, or to one that another bridge leads to, has never been set up properly.
 */
static void follow_bridge(struct scan *scan, const struct pci_device *bridge)
{
    uint8_t bus = bridge->secondary_bus;

    if (bus == 0) {
        pci_warn(bridge, "secondary_bus", bus,
                 "bridge without a bus number: devices behind it are not found; let the machine's "
                 "firmware set up PCI, or put the device on the root bus");
    } else if (bus <= bridge->bus || scan->claimed[bus]) {
        pci_warn(
            bridge, "secondary_bus", bus,
            "bridge leads to a bus that is not its own: not followed; let the machine's firmware "
            "set up PCI, or put the device on the root bus");
    } else {
        scan->claimed[bus] = true;
        queue_bus(scan, bus);
    }
}

/* QEMU's pxb and pxb-pcie start a bus of their own, whose number they tell to nobody but ACPI. */
static bool is_expander(const struct pci_device *device)
{
    return device->vendor == PCI_VENDOR_ID_REDHAT &&
           (device->device_id == PCI_DEVICE_ID_REDHAT_PXB ||
            device->device_id == PCI_DEVICE_ID_REDHAT_PXB_PCIE);
}

/* Returns false if there is no such function. `multi` tells whether its device has more of them. */
static bool scan_function(struct scan *scan, struct pci_device *device, bool *multi)
{
    if (pci_read16(device, PCI_VENDOR_ID) == PCI_VENDOR_ID_NONE)
        return false;
    *multi = (pci_read8(device, PCI_HEADER_TYPE) & PCI_HEADER_TYPE_MULTI_FUNCTION) != 0;
    pci_read_registers(device);
    if (device->header_type == PCI_HEADER_TYPE_BRIDGE)
        follow_bridge(scan, device);
    if (is_expander(device))
        scan->expander_seen = true;
    if (scan->found < scan->max)
        scan->devices[scan->found] = *device;
    scan->found++;
    return true;
}

/* One slot. A function in it that is missing leaves a gap in the numbers, no end. */
static void scan_device(struct scan *scan, uint8_t bus, uint8_t device)
{
    bool multi = true, ignored;

    for (unsigned i = 0; i < PCI_FUNCTIONS_PER_DEVICE && multi; i++) {
        struct pci_device function = {.bus = bus, .device = device, .function = (uint8_t)i};

        /* Function 0 is always there, and it alone says whether there are others: 3.0 §6.2.1. */
        if (!scan_function(scan, &function, i == 0 ? &multi : &ignored) && i == 0)
            return;
    }
}

static void scan_bus(struct scan *scan, uint8_t bus)
{
    for (unsigned device = 0; device < PCI_DEVICES_PER_BUS; device++)
        scan_device(scan, bus, (uint8_t)device);
}

/* Bus 0 and all that its bridges lead to; with an expander bridge, whatever else answers too. */
static void scan_buses(struct scan *scan)
{
    queue_bus(scan, 0);
    for (size_t i = 0; i < scan->bus_count; i++) {
        scan_bus(scan, scan->buses[i]);
        if (scan->expander_seen)
            queue_all_buses(scan);
    }
}

/* The address register reads back what was written to it; where there is no PCI nothing does. */
static bool mechanism_present(void)
{
    io_write32(PCI_CONFIG_ADDRESS, PCI_CONFIG_ENABLE);
    return io_read32(PCI_CONFIG_ADDRESS) == PCI_CONFIG_ENABLE;
}

/* For qsort: port numbers follow this order, so it must not depend on how bridges are wired. */
static int compare_addresses(const void *left, const void *right)
{
    const struct pci_device *a = left;
    const struct pci_device *b = right;

    if (a->bus != b->bus)
        return a->bus - b->bus;
    if (a->device != b->device)
        return a->device - b->device;
    return a->function - b->function;
}

size_t pci_scan(struct pci_device *devices, size_t max)
{
    struct scan scan = {.devices = devices, .max = max};
    size_t kept;

    if (!mechanism_present())
        return 0;
    scan_buses(&scan);
    kept = scan.found < max ? scan.found : max;
    if (scan.found > max)
        log_event(LOG_WARN, "warn",
                  "pci_functions=%zu kept=%zu reason=\"more PCI functions than "
                  "there is room for: the rest is not used; remove devices\"",
                  scan.found, max);
    if (kept > 0) /* with none, `devices` may be NULL */
        qsort(devices, kept, sizeof(devices[0]), compare_addresses);
    for (size_t i = 0; i < kept; i++)
        pci_report(&devices[i], LOG_DEBUG);
    return kept;
}
