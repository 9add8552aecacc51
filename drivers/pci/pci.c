/*
 * One function of PCI: where its registers lie, and what it can do. pci_scan.c finds them.
 *
 * Nothing that configuration space says is believed further than it makes sense: every capability
 * is passed once, and a BAR that cannot be is left out.
 */
#include "drivers/pci/pci_internal.h"

#include <stdarg.h>
#include <stdio.h>

#include <machine/io.h>
#include <machine/log.h>
#include <machine/panic.h>

#define IO_PORTS 0x10000u /* that an x86 processor can address */

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

void pci_warn(const struct pci_device *device, const char *what, unsigned value, const char *reason)
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

/*
 * A memory register, with the next one as its upper half if it says so and there is a next one. The
 * low bits are read from what stands there: where a BAR is smaller than PCI allows (2 bytes of QEMU's
 * pvpanic-pci) all ones leave address bits in them. Such a BAR counts as one of 16 bytes.
 */
static void read_memory_bar(const struct pci_device *device, struct pci_bar *bar, uint8_t offset,
                            uint32_t old, uint32_t mask)
{
    uint32_t old_high = 0, mask_high = 0xffffffffu;

    bar->is_64bit = (old & PCI_BAR_MEMORY_TYPE) == PCI_BAR_MEMORY_TYPE_64;
    if (bar->is_64bit)
        mask_high = probe_bar(device, (uint8_t)(offset + 4), &old_high);
    bar->prefetchable = (old & PCI_BAR_MEMORY_PREFETCHABLE) != 0;
    bar->base = (uint64_t)old_high << 32 | (old & PCI_BAR_MEMORY_MASK);
    bar->size = bar_size((uint64_t)mask_high << 32 | (mask & PCI_BAR_MEMORY_MASK));
}

/* Firmware that has no room for a register may leave it as sizing does: with all bits set that can be. */
static bool bar_is_unset(const struct pci_bar *bar)
{
    const uint64_t end = bar->base + bar->size;

    return end == 0 || end == UINT64_C(1) << 32;
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
    bool reserved = (old & PCI_BAR_MEMORY_TYPE) == PCI_BAR_MEMORY_TYPE;
    bool cut = (old & PCI_BAR_MEMORY_TYPE) == PCI_BAR_MEMORY_TYPE_64 && index + 1 == count;
    unsigned registers;

    if (mask == 0)
        return 1; /* no bit can be set: there is no such register, and that is quite ordinary */
    if (mask & PCI_BAR_IO)
        read_io_bar(bar, old, mask);
    else if (!reserved && !cut)
        read_memory_bar(device, bar, offset, old, mask);
    registers = bar->is_64bit ? 2 : 1;
    if (bar->size != 0 && bar_is_unset(bar))
        bar->base = 0;
    if (!bar_makes_sense(bar)) {
        pci_warn(device, "bar", index, "base address register makes no sense: not used");
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
            pci_warn(device, "capability", offset,
                     "capability list leads astray, the rest not used");
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

void pci_read_registers(struct pci_device *device)
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

/* ---- what others ask of it ---- */

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
    pci_read_registers(device);
    pci_report(device, LOG_DEBUG);
    return true;
}

bool pci_is_present(const struct pci_device *device)
{
    return pci_read32(device, PCI_VENDOR_ID) ==
           ((uint32_t)device->device_id << 16 | device->vendor);
}

bool pci_is_enabled(const struct pci_device *device)
{
    return pci_is_present(device) &&
           (pci_read16(device, PCI_COMMAND) & PCI_COMMAND_BUS_MASTER) != 0;
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
