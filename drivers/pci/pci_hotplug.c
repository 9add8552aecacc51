/* QEMU's hot-plug register block, and the slots of PCI Express. */
#include "drivers/pci/pci_hotplug.h"

#include <machine/io.h>
#include <machine/log.h>

/* ---- the register block ---- */

static uint32_t block_read(const struct pci_hotplug *hotplug, uint16_t offset)
{
    return io_read32((uint16_t)(hotplug->block + offset));
}

static void block_write(const struct pci_hotplug *hotplug, uint16_t offset, uint32_t value)
{
    io_write32((uint16_t)(hotplug->block + offset), value);
}

/* Where the block would be on this machine; 0 on one that is none of QEMU's. */
static uint16_t block_port(const struct pci_device *functions, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct pci_device *function = &functions[i];
        if (function->bus != 0 || function->device != 0 || function->function != 0)
            continue;
        if (function->vendor != PCI_VENDOR_ID_INTEL ||
            function->subsystem_vendor != PCI_SUBSYSTEM_VENDOR_ID_QEMU ||
            function->subsystem_id != PCI_SUBSYSTEM_ID_QEMU)
            return 0;
        if (function->device_id == PCI_DEVICE_ID_INTEL_82441)
            return PCI_QEMU_HOTPLUG_PORT_PC;
        return function->device_id == PCI_DEVICE_ID_INTEL_Q35 ? PCI_QEMU_HOTPLUG_PORT_Q35 : 0;
    }
    return 0;
}

/* The selector keeps what is written, and something is removable; nobody at home reads as ones. */
static bool block_answers(const struct pci_hotplug *hotplug)
{
    for (uint32_t bus = 2; bus-- > 0;) {
        block_write(hotplug, PCI_QEMU_HOTPLUG_SELECT, bus);
        if (block_read(hotplug, PCI_QEMU_HOTPLUG_SELECT) != bus)
            return false;
    }
    return block_read(hotplug, PCI_QEMU_HOTPLUG_REMOVABLE) != 0;
}

/* Every bridge may lead to a bus that has a number there; the root bus of pc has the first. */
static void init_block(struct pci_hotplug *hotplug, const struct pci_device *functions,
                       size_t count)
{
    unsigned buses = 1;

    hotplug->block = block_port(functions, count);
    if (hotplug->block == 0 || !block_answers(hotplug)) {
        hotplug->block = 0;
        return;
    }
    for (size_t i = 0; i < count; i++)
        buses += functions[i].header_type == PCI_HEADER_TYPE_BRIDGE;
    hotplug->bus_count = buses < PCI_HOTPLUG_BUSES_MAX ? buses : PCI_HOTPLUG_BUSES_MAX;
    hotplug->buses[0].known = hotplug->block == PCI_QEMU_HOTPLUG_PORT_PC;
}

static struct pci_hotplug_event block_event(struct pci_hotplug *hotplug, unsigned index)
{
    struct pci_hotplug_bus *bus = &hotplug->buses[index];
    struct pci_hotplug_event event = {.bus_known = bus->known, .bus = bus->bus, .index = index};

    block_write(hotplug, PCI_QEMU_HOTPLUG_SELECT, index);
    /* Reading clears it, so what is not given out at once is kept. */
    bus->inserted |= block_read(hotplug, PCI_QEMU_HOTPLUG_UP);
    const uint32_t down = block_read(hotplug, PCI_QEMU_HOTPLUG_DOWN);
    bus->refused &= down;
    if (bus->inserted != 0) {
        event.what = PCI_HOTPLUG_INSERTED;
        event.device = (uint8_t)__builtin_ctz(bus->inserted);
        bus->inserted &= bus->inserted - 1;
    } else if ((down & ~bus->refused) != 0) {
        event.what = PCI_HOTPLUG_REMOVAL_ASKED;
        event.device = (uint8_t)__builtin_ctz(down & ~bus->refused);
    }
    return event;
}

/* ---- PCI Express slots ---- */

static uint16_t slot_read(const struct pci_hotplug_slot *slot, uint8_t offset)
{
    return pci_read16(&slot->port, (uint8_t)(slot->express + offset));
}

/* The offset of the capability, if the function is a port with a slot that does hot-plug itself;
 * where the register block does it for the slot, that bit is not set. */
static uint8_t slot_of(const struct pci_device *function)
{
    const uint8_t express = pci_find_capability(function, PCI_CAPABILITY_ID_PCI_EXPRESS, 0);

    if (function->header_type != PCI_HEADER_TYPE_BRIDGE || express == 0 ||
        express > PCI_CONFIG_SPACE_SIZE - PCI_EXPRESS_SLOT_STATUS - 2)
        return 0;
    const uint16_t is = pci_read16(function, (uint8_t)(express + PCI_EXPRESS_CAPABILITIES));
    const unsigned type = is >> PCI_EXPRESS_TYPE_SHIFT & 0xf;
    if ((type != PCI_EXPRESS_TYPE_ROOT_PORT && type != PCI_EXPRESS_TYPE_DOWNSTREAM_PORT) ||
        !(is & PCI_EXPRESS_SLOT_IMPLEMENTED))
        return 0;
    const uint32_t can = pci_read32(function, (uint8_t)(express + PCI_EXPRESS_SLOT_CAPABILITIES));
    return can & PCI_EXPRESS_SLOT_HOT_PLUG_CAPABLE ? express : 0;
}

static void init_slots(struct pci_hotplug *hotplug, const struct pci_device *functions,
                       size_t count)
{
    for (size_t i = 0; i < count && hotplug->slot_count < PCI_HOTPLUG_SLOTS_MAX; i++) {
        const uint8_t express = slot_of(&functions[i]);
        if (express != 0)
            hotplug->slots[hotplug->slot_count++] =
                (struct pci_hotplug_slot){.port = functions[i], .express = express};
    }
}

static bool is_off(uint16_t control)
{
    return (control & PCI_EXPRESS_SLOT_POWER_OFF) != 0;
}

static void switch_power(const struct pci_hotplug_slot *slot, bool on)
{
    const uint16_t control = slot_read(slot, PCI_EXPRESS_SLOT_CONTROL);
    const uint16_t mask = PCI_EXPRESS_SLOT_POWER_INDICATOR | PCI_EXPRESS_SLOT_POWER_OFF;
    const uint16_t power = on ? PCI_EXPRESS_SLOT_POWER_INDICATOR_ON
                              : PCI_EXPRESS_SLOT_POWER_INDICATOR_OFF | PCI_EXPRESS_SLOT_POWER_OFF;

    pci_write16(&slot->port, (uint8_t)(slot->express + PCI_EXPRESS_SLOT_CONTROL),
                (uint16_t)((control & ~mask) | power));
}

/*
 * The attention button stands for both wishes: an empty slot's is pressed when a device has come,
 * an occupied one's when it is to go. A slot that was switched on is given until the next look.
 */
static struct pci_hotplug_event slot_event(struct pci_hotplug *hotplug, unsigned index)
{
    struct pci_hotplug_slot *slot = &hotplug->slots[index];
    struct pci_hotplug_event event = {
        .bus_known = true, .bus = slot->port.secondary_bus, .is_slot = true, .index = index};
    const uint16_t status = slot_read(slot, PCI_EXPRESS_SLOT_STATUS);

    if (slot->powered_on) {
        slot->powered_on = false;
        event.what = PCI_HOTPLUG_INSERTED;
        return event;
    }
    if (!(status & (PCI_EXPRESS_SLOT_ATTENTION_BUTTON | PCI_EXPRESS_SLOT_PRESENCE_CHANGED)))
        return event;
    pci_write16(&slot->port, (uint8_t)(slot->express + PCI_EXPRESS_SLOT_STATUS),
                status & PCI_EXPRESS_SLOT_CHANGES);
    if (!(status & PCI_EXPRESS_SLOT_PRESENCE))
        return event; /* whoever used it finds nobody there */
    if (is_off(slot_read(slot, PCI_EXPRESS_SLOT_CONTROL))) {
        switch_power(slot, true);
        slot->powered_on = true;
    } else if (status & PCI_EXPRESS_SLOT_PRESENCE_CHANGED) {
        event.what = PCI_HOTPLUG_INSERTED;
    } else {
        event.what = PCI_HOTPLUG_REMOVAL_ASKED;
    }
    return event;
}

/* ---- both ---- */

void pci_hotplug_init(struct pci_hotplug *hotplug, const struct pci_device *functions, size_t count)
{
    *hotplug = (struct pci_hotplug){0};
    init_block(hotplug, functions, count);
    init_slots(hotplug, functions, count);
    log_event(LOG_DEBUG, "hotplug", "port=0x%x buses=%u slots=%u", hotplug->block,
              hotplug->bus_count, hotplug->slot_count);
}

struct pci_hotplug_event pci_hotplug_look(struct pci_hotplug *hotplug)
{
    struct pci_hotplug_event event = {0};

    for (unsigned i = 0; i < hotplug->bus_count && event.what == PCI_HOTPLUG_NOTHING; i++)
        event = block_event(hotplug, i);
    for (unsigned i = 0; i < hotplug->slot_count && event.what == PCI_HOTPLUG_NOTHING; i++)
        event = slot_event(hotplug, i);
    return event;
}

void pci_hotplug_eject(struct pci_hotplug *hotplug, const struct pci_hotplug_event *event)
{
    if (event->is_slot) {
        switch_power(&hotplug->slots[event->index], false);
        return;
    }
    block_write(hotplug, PCI_QEMU_HOTPLUG_SELECT, event->index);
    block_write(hotplug, PCI_QEMU_HOTPLUG_EJECT, UINT32_C(1) << event->device);
}

void pci_hotplug_learn(struct pci_hotplug *hotplug, const struct pci_hotplug_event *event,
                       uint8_t bus)
{
    if (event->is_slot)
        return;
    hotplug->buses[event->index].known = true;
    hotplug->buses[event->index].bus = bus;
}

void pci_hotplug_refuse(struct pci_hotplug *hotplug, const struct pci_hotplug_event *event)
{
    if (!event->is_slot)
        hotplug->buses[event->index].refused |= UINT32_C(1) << event->device;
}
