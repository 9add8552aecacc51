/*
 * The walk over PCI: which functions there are, where their registers lie, what they can do.
 *
 * Nothing that configuration space says is believed further than it makes sense: every bus is
 * visited once, every capability is passed once, and a BAR that cannot be is left out.
 */
#include "drivers/pci.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <machine/io.h>
#include <machine/log.h>
#include <machine/panic.h>

#define IO_PORTS 0x10000u /* that an x86 processor can address */

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

/* ---- configuration space ---- */

/*
 * Mechanism #1 moves whole doublewords; the data port's low bits choose bytes out of them.
 * An access that crosses a doubleword would reach another register, hence the alignment.
 */
static uint16_t select_register(const struct pci_device *device, uint8_t offset, unsigned width)
{
    ensure(offset % width == 0);
    io_write32(PCI_CONFIG_ADDRESS, PCI_CONFIG_ENABLE | (uint32_t)device->bus << 16 |
                                       (uint32_t)device->device << 11 |
                                       (uint32_t)device->function << 8 | (offset & 0xfcu));
    return (uint16_t)(PCI_CONFIG_DATA + (offset & 3u));
}

uint8_t pci_read8(const struct pci_device *device, uint8_t offset)
{
    return io_read8(select_register(device, offset, 1));
}

uint16_t pci_read16(const struct pci_device *device, uint8_t offset)
{
    return io_read16(select_register(device, offset, 2));
}

uint32_t pci_read32(const struct pci_device *device, uint8_t offset)
{
    return io_read32(select_register(device, offset, 4));
}

void pci_write8(const struct pci_device *device, uint8_t offset, uint8_t value)
{
    io_write8(select_register(device, offset, 1), value);
}

void pci_write16(const struct pci_device *device, uint8_t offset, uint16_t value)
{
    io_write16(select_register(device, offset, 2), value);
}

void pci_write32(const struct pci_device *device, uint8_t offset, uint32_t value)
{
    io_write32(select_register(device, offset, 4), value);
}

/* The masks change nothing but what the compiler can know of the text's length. */
struct pci_address pci_address(const struct pci_device *device)
{
    struct pci_address address;

    snprintf(address.text, sizeof(address.text), "%02x:%02x.%x", device->bus,
             device->device & (PCI_DEVICES_PER_BUS - 1u),
             device->function & (PCI_FUNCTIONS_PER_DEVICE - 1u));
    return address;
}

/* One finding about one function: `what` is the register, `value` what it held. */
static void warn(const struct pci_device *device, const char *what, unsigned value,
                 const char *reason)
{
    log_event(LOG_WARN, "warn", "pci=%s %s=0x%x reason=\"%s\"", pci_address(device).text, what,
              value, reason);
}

/* ---- base address registers ---- */

/* Writes all ones, sees which bits stay, and puts the old value back: 3.0 §6.2.5.1. */
static uint32_t probe_bar(const struct pci_device *device, uint8_t offset, uint32_t *old)
{
    uint32_t mask;

    *old = pci_read32(device, offset);
    pci_write32(device, offset, 0xffffffffu);
    mask = pci_read32(device, offset);
    pci_write32(device, offset, *old);
    return mask;
}

/*
 * The size that the address bits `mask` stand for, or 0 if they stand for none: writable bits are
 * an unbroken row down from the top, so their complement plus one is a power of two.
 */
static uint64_t bar_size(uint64_t mask)
{
    uint64_t size = ~mask + 1;

    return (size & (size - 1)) == 0 ? size : 0;
}

/* An I/O register may leave its upper 16 bits at 0, as a PC has no ports there. */
static void read_io_bar(struct pci_bar *bar, uint32_t old, uint32_t mask)
{
    mask &= PCI_BAR_IO_MASK;
    if (mask >> 16 == 0)
        mask |= 0xffff0000u;
    bar->is_io = true;
    bar->base = old & PCI_BAR_IO_MASK;
    bar->size = bar_size(0xffffffff00000000u | mask);
}

/* A memory register, with the next one as its upper half if it says so and there is a next one. */
static void read_memory_bar(const struct pci_device *device, struct pci_bar *bar, uint8_t offset,
                            uint32_t old, uint32_t mask)
{
    uint32_t old_high = 0, mask_high = 0xffffffffu;

    bar->is_64bit = (mask & PCI_BAR_MEMORY_TYPE) == PCI_BAR_MEMORY_TYPE_64;
    if (bar->is_64bit)
        mask_high = probe_bar(device, (uint8_t)(offset + 4), &old_high);
    bar->prefetchable = (mask & PCI_BAR_MEMORY_PREFETCHABLE) != 0;
    bar->base = (uint64_t)old_high << 32 | (old & PCI_BAR_MEMORY_MASK);
    bar->size = bar_size((uint64_t)mask_high << 32 | (mask & PCI_BAR_MEMORY_MASK));
}

/* True if the whole of a range lies at ports or addresses that exist, on its natural boundary. */
static bool bar_makes_sense(const struct pci_bar *bar)
{
    if (bar->size == 0 || bar->base % bar->size != 0)
        return false;
    return !bar->is_io || (bar->size <= IO_PORTS && bar->base <= IO_PORTS - bar->size);
}

/* Reads what starts at register `index` of `count`; returns how many registers it took. */
static unsigned read_bar(struct pci_device *device, unsigned index, unsigned count)
{
    struct pci_bar *bar = &device->bars[index];
    uint8_t offset = (uint8_t)(PCI_BASE_ADDRESS_REGISTERS + 4 * index);
    uint32_t old;
    uint32_t mask = probe_bar(device, offset, &old);
    bool reserved = (mask & PCI_BAR_MEMORY_TYPE) == PCI_BAR_MEMORY_TYPE;
    bool cut = (mask & PCI_BAR_MEMORY_TYPE) == PCI_BAR_MEMORY_TYPE_64 && index + 1 == count;
    unsigned registers;

    if (mask == 0)
        return 1; /* no bit can be set: there is no such register, and that is quite ordinary */
    if (mask & PCI_BAR_IO)
        read_io_bar(bar, old, mask);
    else if (!reserved && !cut)
        read_memory_bar(device, bar, offset, old, mask);
    registers = bar->is_64bit ? 2 : 1;
    if (!bar_makes_sense(bar)) {
        warn(device, "bar", index, "base address register makes no sense: not used");
        *bar = (struct pci_bar){0};
    }
    return registers;
}

/* The registers behind the second one of a bridge are bus numbers and windows: never probed. */
static void read_bars(struct pci_device *device)
{
    unsigned count =
        device->header_type == PCI_HEADER_TYPE_DEVICE ? PCI_BARS_DEVICE : PCI_BARS_BRIDGE;

    for (unsigned i = 0; i < count;)
        i += read_bar(device, i, count);
}

/*
 * While a BAR holds all ones the function must not decode addresses: it would answer in somebody
 * else's place. Host and ISA bridges are left alone: the console and the timer sit behind them.
 */
static void size_bars(struct pci_device *device)
{
    uint16_t command;

    if (device->header_type == PCI_HEADER_TYPE_DEVICE &&
        PCI_BASE_CLASS(device->class_code) == PCI_BASE_CLASS_BRIDGE)
        return;
    command = pci_read16(device, PCI_COMMAND);
    pci_write16(device, PCI_COMMAND,
                (uint16_t)(command & ~(PCI_COMMAND_IO_SPACE | PCI_COMMAND_MEMORY_SPACE)));
    read_bars(device);
    pci_write16(device, PCI_COMMAND, command);
}

/* ---- one function ---- */

/*
 * Notes the capabilities. The list is the device's, so it may lead into the header, or round in a
 * circle; the first link that makes no sense ends it, and what came before remains of use.
 */
static void read_capabilities(struct pci_device *device)
{
    bool passed[PCI_CAPABILITIES_MAX] = {false};
    uint8_t offset, slot;

    if (!(pci_read16(device, PCI_STATUS) & PCI_STATUS_CAPABILITIES_LIST))
        return;
    /* The two low bits of every link are reserved and to be masked: 3.0 §6.7. */
    offset = pci_read8(device, PCI_CAPABILITIES_POINTER) & 0xfcu;
    while (offset != 0) {
        slot = (uint8_t)((offset - PCI_CAPABILITY_FIRST) / PCI_CAPABILITY_ALIGNMENT);
        if (offset < PCI_CAPABILITY_FIRST || passed[slot]) {
            warn(device, "capability", offset, "capability list leads astray, the rest not used");
            return;
        }
        passed[slot] = true;
        device->capabilities[device->capability_count++] = (struct pci_capability){
            .id = pci_read8(device, (uint8_t)(offset + PCI_CAPABILITY_ID)),
            .offset = offset,
        };
        offset = pci_read8(device, (uint8_t)(offset + PCI_CAPABILITY_NEXT)) & 0xfcu;
    }
}

/* Reads everything but the address, which is set already. */
static void read_function(struct pci_device *device)
{
    uint32_t class_and_revision = pci_read32(device, PCI_REVISION_ID);

    device->vendor = pci_read16(device, PCI_VENDOR_ID);
    device->device_id = pci_read16(device, PCI_DEVICE_ID);
    device->revision = (uint8_t)class_and_revision;
    device->class_code = class_and_revision >> 8;
    device->header_type = pci_read8(device, PCI_HEADER_TYPE) & PCI_HEADER_TYPE_LAYOUT;
    device->interrupt_line = pci_read8(device, PCI_INTERRUPT_LINE);
    switch (device->header_type) {
    case PCI_HEADER_TYPE_DEVICE:
        device->subsystem_vendor = pci_read16(device, PCI_SUBSYSTEM_VENDOR_ID);
        device->subsystem_id = pci_read16(device, PCI_SUBSYSTEM_ID);
        break;
    case PCI_HEADER_TYPE_BRIDGE:
        device->secondary_bus = pci_read8(device, PCI_SECONDARY_BUS_NUMBER);
        break;
    default: /* a CardBus bridge or worse: nothing beyond the common part can be relied on */
        return;
    }
    size_bars(device);
    read_capabilities(device);
}

/* ---- the pci event ---- */

/* Appends printf-style to `text`, as much as finds room. */
static void __attribute__((format(printf, 3, 4)))
append(char *text, size_t size, const char *format, ...)
{
    size_t length = 0;
    va_list arguments;

    while (text[length] != '\0')
        length++;
    va_start(arguments, format);
    vsnprintf(text + length, size - length, format, arguments);
    va_end(arguments);
}

/* " bar0=io:0xc000+0x20 bar4=mem64p:0xfe000000+0x4000": kind, base, size of each that is there. */
static void append_bars(char *text, size_t size, const struct pci_device *device)
{
    for (unsigned i = 0; i < PCI_BARS_DEVICE; i++) {
        const struct pci_bar *bar = &device->bars[i];

        if (bar->size == 0)
            continue;
        append(text, size, " bar%u=%s%s%s:0x%llx+0x%llx", i, bar->is_io ? "io" : "mem",
               bar->is_64bit ? "64" : "", bar->prefetchable ? "p" : "",
               (unsigned long long)bar->base, (unsigned long long)bar->size);
    }
}

/* " capabilities=0x11@0x98,0x09@0x84": ids and where they are, in list order. */
static void append_capabilities(char *text, size_t size, const struct pci_device *device)
{
    append(text, size, " capabilities=%s", device->capability_count == 0 ? "none" : "");
    for (unsigned i = 0; i < device->capability_count; i++)
        append(text, size, "%s0x%02x@0x%02x", i == 0 ? "" : ",", device->capabilities[i].id,
               device->capabilities[i].offset);
}

void pci_report(const struct pci_device *device, enum log_level level)
{
    /* Six BARs of 47 characters, 48 capabilities of 10, and some: under a console line's room. */
    char text[LOG_LINE_MAX - 192] = "";

    if (!log_enabled(level))
        return; /* nobody will see it: save the formatting */
    append_bars(text, sizeof(text), device);
    append_capabilities(text, sizeof(text), device);
    log_event(level, "pci",
              "address=%s vendor=0x%04x device=0x%04x class=0x%06lx revision=0x%02x "
              "subsystem=0x%04x:0x%04x header=%u secondary_bus=0x%02x irq=%u%s",
              pci_address(device).text, device->vendor, device->device_id,
              (unsigned long)device->class_code, device->revision, device->subsystem_vendor,
              device->subsystem_id, device->header_type, device->secondary_bus,
              device->interrupt_line, text);
}

/* ---- the walk ---- */

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
        warn(bridge, "secondary_bus", bus,
             "bridge without a bus number: devices behind it are not found; let the machine's "
             "firmware set up PCI, or put the device on the root bus");
    } else if (bus <= bridge->bus || scan->claimed[bus]) {
        warn(bridge, "secondary_bus", bus,
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
    read_function(device);
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

bool pci_read_function(struct pci_device *device)
{
    *device = (struct pci_device){
        .bus = device->bus,
        .device = device->device,
        .function = device->function,
        .vendor = PCI_VENDOR_ID_NONE,
    };
    if (pci_read16(device, PCI_VENDOR_ID) == PCI_VENDOR_ID_NONE)
        return false;
    read_function(device);
    pci_report(device, LOG_DEBUG);
    return true;
}

bool pci_is_present(const struct pci_device *device)
{
    return pci_read32(device, PCI_VENDOR_ID) ==
           ((uint32_t)device->device_id << 16 | device->vendor);
}

bool pci_enable(const struct pci_device *device)
{
    uint16_t command = pci_read16(device, PCI_COMMAND);

    command |= PCI_COMMAND_IO_SPACE | PCI_COMMAND_MEMORY_SPACE | PCI_COMMAND_BUS_MASTER |
               PCI_COMMAND_INTERRUPT_DISABLE;
    pci_write16(device, PCI_COMMAND, command);
    /* The other bits may be read-only: a function without I/O ports has no use for that bit. */
    return (pci_read16(device, PCI_COMMAND) & PCI_COMMAND_BUS_MASTER) != 0;
}

uint8_t pci_find_capability(const struct pci_device *device, uint8_t id, uint8_t after)
{
    bool reached = after == 0;

    for (unsigned i = 0; i < device->capability_count; i++) {
        if (reached && device->capabilities[i].id == id)
            return device->capabilities[i].offset;
        reached = reached || device->capabilities[i].offset == after;
    }
    return 0;
}

bool pci_msix_enabled(const struct pci_device *device)
{
    uint8_t offset = pci_find_capability(device, PCI_CAPABILITY_ID_MSIX, 0);

    /* Where it is was noted by the scan; whether it is on may have changed since. */
    if (offset == 0)
        return false;
    return (pci_read16(device, (uint8_t)(offset + PCI_MSIX_MESSAGE_CONTROL)) &
            PCI_MSIX_MESSAGE_CONTROL_ENABLE) != 0;
}

bool pci_is_network(const struct pci_device *device)
{
    return PCI_BASE_CLASS(device->class_code) == PCI_BASE_CLASS_NETWORK;
}
