/* First fit, in the window of one bridge, round all that is known to lie there. */
#include "drivers/pci/pci_assign.h"

#include <machine/log.h>

enum kind { IO, MEMORY, PREFETCHABLE, KINDS };

/* [start, end); none if they are equal. */
struct range {
    uint64_t start;
    uint64_t end;
};

struct windows {
    struct range of[KINDS];
};

/* What is not free; I/O ports and memory are different spaces. */
#define TAKEN_MAX 1024

static struct {
    struct range ranges[2][TAKEN_MAX]; /* memory, I/O */
    size_t count[2];
} taken;

/* ---- windows ---- */

/* An empty window has its base above its limit. One that starts at 0 was never set up, and one up to
 * the last address there is has no end that could be written. */
static struct range range_of(uint64_t base, uint64_t limit)
{
    return base != 0 && base <= limit && limit != UINT64_MAX ? (struct range){base, limit + 1}
                                                             : (struct range){0, 0};
}

static struct windows windows_of_bridge(const struct pci_device *bridge)
{
    const uint32_t io = pci_read16(bridge, PCI_IO_BASE);
    const uint32_t memory = pci_read32(bridge, PCI_MEMORY_BASE);
    const uint32_t prefetchable = pci_read32(bridge, PCI_PREFETCHABLE_BASE);
    uint64_t base = (prefetchable & 0xfff0u) << 16, limit = prefetchable | 0xfffffu;

    if ((prefetchable & PCI_PREFETCHABLE_TYPE) == PCI_PREFETCHABLE_TYPE_64) {
        base |= (uint64_t)pci_read32(bridge, PCI_PREFETCHABLE_BASE_UPPER) << 32;
        limit |= (uint64_t)pci_read32(bridge, PCI_PREFETCHABLE_LIMIT_UPPER) << 32;
    }
    return (struct windows){.of = {[IO] = range_of((io & 0xf0u) << 8, (io & 0xf000u) | 0xfffu),
                                   [MEMORY] = range_of((memory & 0xfff0u) << 16, memory | 0xfffffu),
                                   [PREFETCHABLE] = range_of(base, limit)}};
}

/* The window behind which `device` lies. False if there is no bridge that leads to it. */
static bool find_windows(const struct pci_device *device, const struct pci_device *functions,
                         size_t count, struct windows *windows)
{
    *windows = (struct windows){.of = {[IO] = {PCI_QEMU_IO_START, PCI_QEMU_IO_END},
                                       [MEMORY] = {PCI_QEMU_MEMORY_START, PCI_QEMU_MEMORY_END}}};
    if (device->bus == 0)
        return true;
    for (size_t i = 0; i < count; i++) {
        const struct pci_device *bridge = &functions[i];
        if (bridge->header_type != PCI_HEADER_TYPE_BRIDGE || bridge->secondary_bus != device->bus)
            continue;
        *windows = windows_of_bridge(bridge);
        /* Firmware may have left a bridge closed behind which it found nothing. */
        pci_write16(bridge, PCI_COMMAND,
                    (uint16_t)(pci_read16(bridge, PCI_COMMAND) | PCI_COMMAND_IO_SPACE |
                               PCI_COMMAND_MEMORY_SPACE | PCI_COMMAND_BUS_MASTER));
        return true;
    }
    return false;
}

/* ---- what is taken ---- */

/* What the list has no room for is no loss as long as nothing is placed over it: see find_room. */
static void take(bool is_io, struct range range)
{
    if (range.start == range.end)
        return;
    if (taken.count[is_io] < TAKEN_MAX)
        taken.ranges[is_io][taken.count[is_io]] = range;
    taken.count[is_io]++;
}

static void take_bar(const struct pci_bar *bar)
{
    if (bar->size != 0 && bar->base != 0)
        take(bar->is_io, (struct range){bar->base, bar->base + bar->size});
}

/* The windows of the bridges on the same bus, too: what lies behind them is theirs. */
static void note_taken(uint8_t bus, const struct pci_device *functions, size_t count)
{
    taken.count[false] = taken.count[true] = 0;
    for (size_t i = 0; i < count; i++) {
        const struct pci_device *function = &functions[i];
        if (function->vendor == PCI_VENDOR_ID_NONE)
            continue; /* it was removed */
        for (unsigned bar = 0; bar < PCI_BARS_DEVICE; bar++)
            take_bar(&function->bars[bar]);
        if (function->bus != bus || function->header_type != PCI_HEADER_TYPE_BRIDGE)
            continue;
        const struct windows windows = windows_of_bridge(function);
        for (unsigned kind = 0; kind < KINDS; kind++)
            take(kind == IO, windows.of[kind]);
    }
}

/* The end of something that lies in [start, end), or 0: it is free. */
static uint64_t obstacle(bool is_io, uint64_t start, uint64_t end)
{
    for (size_t i = 0; i < taken.count[is_io]; i++) {
        const struct range *range = &taken.ranges[is_io][i];
        if (range->start < end && start < range->end)
            return range->end;
    }
    return 0;
}

/* Where in `window` a BAR finds room, on its natural boundary; 0: nowhere. */
static uint64_t find_room(const struct pci_bar *bar, const struct range *window)
{
    uint64_t at = window->start, behind;

    if (taken.count[bar->is_io] > TAKEN_MAX || window->end - window->start < bar->size)
        return 0;
    for (;; at = behind) {
        at = (at + bar->size - 1) & ~(bar->size - 1);
        if (at < window->start || at > window->end - bar->size)
            return 0;
        behind = obstacle(bar->is_io, at, at + bar->size);
        if (behind == 0)
            return at;
    }
}

/* ---- BARs ---- */

/* A prefetchable BAR may lie in either memory window, another one only in that for all. */
static uint64_t place(const struct pci_bar *bar, const struct windows *windows)
{
    uint64_t at = 0;

    if (bar->is_io)
        return find_room(bar, &windows->of[IO]);
    if (bar->prefetchable && (bar->is_64bit || windows->of[PREFETCHABLE].end <= UINT32_MAX))
        at = find_room(bar, &windows->of[PREFETCHABLE]);
    return at != 0 ? at : find_room(bar, &windows->of[MEMORY]);
}

static void assign_bar(struct pci_device *device, unsigned index, const struct windows *windows)
{
    struct pci_bar *bar = &device->bars[index];
    const uint8_t offset = (uint8_t)(PCI_BASE_ADDRESS_REGISTERS + 4 * index);

    if (bar->size == 0 || bar->base != 0)
        return;
    bar->base = place(bar, windows);
    if (bar->base == 0) {
        log_event(LOG_WARN, "warn",
                  "pci=%s bar=%u size=0x%llx reason=\"no room in the %s window of its bridge\"",
                  pci_address(device).text, index, (unsigned long long)bar->size,
                  bar->is_io ? "I/O" : "memory");
        return;
    }
    take_bar(bar);
    pci_write32(device, offset, (uint32_t)bar->base);
    if (bar->is_64bit)
        pci_write32(device, (uint8_t)(offset + 4), (uint32_t)(bar->base >> 32));
}

void pci_assign_bars(struct pci_device *device, const struct pci_device *functions, size_t count)
{
    struct windows windows;

    if (device->header_type != PCI_HEADER_TYPE_DEVICE ||
        !find_windows(device, functions, count, &windows))
        return;
    /* A function that decodes while its BARs change would answer in somebody else's place. */
    const uint16_t command = pci_read16(device, PCI_COMMAND);
    pci_write16(device, PCI_COMMAND,
                (uint16_t)(command & ~(PCI_COMMAND_IO_SPACE | PCI_COMMAND_MEMORY_SPACE)));
    note_taken(device->bus, functions, count);
    for (unsigned i = 0; i < PCI_BARS_DEVICE; i++)
        assign_bar(device, i, &windows);
}
