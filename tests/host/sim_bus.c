/*
 * Ports and configuration space. Offsets and bits are typed in from PCI 3.0 once more, not taken
 * from drivers/pci_spec.h, so that an error there shows here.
 */
#include "tests/host/sim_bus.h"

#include <stdio.h>
#include <string.h>

#include <machine/io.h>

enum {
    PORT_ADDRESS = 0xcf8,
    PORT_DATA = 0xcfc,
    COMMAND = 0x04,
    COMMAND_IO = 1,
    COMMAND_MEMORY = 2,
    STATUS = 0x06,
    STATUS_CAPABILITIES = 0x10,
    REVISION = 0x08,
    HEADER_TYPE = 0x0e,
    BARS = 0x10,
    SECONDARY = 0x19,
    CAPABILITIES = 0x34,
    INTERRUPT_LINE = 0x3c,
};

static struct {
    bool pci_present;
    uint32_t address;
    uint64_t accesses;
    uint64_t config_accesses;
    char complaint[160];
    struct sim_pci_function functions[SIM_PCI_FUNCTIONS_MAX];
    size_t count;
} bus;

void sim_bus_reset(void)
{
    memset(&bus, 0, sizeof(bus));
    bus.pci_present = true;
}

void sim_bus_remove_pci(void)
{
    bus.pci_present = false;
}

uint64_t sim_bus_accesses(void)
{
    return bus.accesses;
}

uint64_t sim_bus_config_accesses(void)
{
    return bus.config_accesses;
}

const char *sim_bus_complaint(void)
{
    return bus.complaint[0] != '\0' ? bus.complaint : NULL;
}

static void complain(const char *what, unsigned value)
{
    snprintf(bus.complaint, sizeof(bus.complaint), "%s: 0x%x", what, value);
}

/* --- functions, as a test builds them --- */

uint32_t sim_pci_get(const struct sim_pci_function *function, uint8_t offset, unsigned width)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < width; i++)
        value |= (uint32_t)function->config[offset + i] << 8 * i;
    return value;
}

void sim_pci_set(struct sim_pci_function *function, uint8_t offset, unsigned width, uint32_t value)
{
    for (unsigned i = 0; i < width; i++)
        function->config[offset + i] = (uint8_t)(value >> 8 * i);
}

static void set_writable(struct sim_pci_function *function, uint8_t offset, unsigned width,
                         uint32_t mask)
{
    for (unsigned i = 0; i < width; i++)
        function->writable[offset + i] = (uint8_t)(mask >> 8 * i);
}

struct sim_pci_function *sim_pci_add(uint8_t bus_number, uint8_t device, uint8_t function,
                                     uint32_t id, uint32_t class_code)
{
    struct sim_pci_function *added = &bus.functions[bus.count++];

    *added = (struct sim_pci_function){
        .bus = bus_number,
        .device = device,
        .function = function,
        .capability_end = 0x40,
        .capability_last = CAPABILITIES,
    };
    sim_pci_set(added, 0, 4, id);
    sim_pci_set(added, REVISION, 4, class_code << 8);
    set_writable(added, COMMAND, 2, 0x0407); /* I/O, memory, bus master, interrupt disable */
    set_writable(added, INTERRUPT_LINE, 1, 0xff);
    return added;
}

void sim_pci_make_bridge(struct sim_pci_function *function, uint8_t secondary)
{
    function->config[HEADER_TYPE] = (uint8_t)(function->config[HEADER_TYPE] | 1);
    function->config[SECONDARY] = secondary;
}

void sim_pci_add_bar(struct sim_pci_function *function, unsigned index, uint32_t flags,
                     uint64_t size, uint64_t base)
{
    uint8_t offset = (uint8_t)(BARS + 4 * index);
    uint64_t mask = ~(size - 1);

    sim_pci_set(function, offset, 4, (uint32_t)base | flags);
    set_writable(function, offset, 4, (uint32_t)mask);
    if ((flags & 7) == 4) { /* memory, 64 bit */
        sim_pci_set(function, (uint8_t)(offset + 4), 4, (uint32_t)(base >> 32));
        set_writable(function, (uint8_t)(offset + 4), 4, (uint32_t)(mask >> 32));
    }
}

uint8_t sim_pci_add_capability(struct sim_pci_function *function, uint8_t id, uint8_t length)
{
    uint8_t offset = function->capability_end;

    function->config[STATUS] |= STATUS_CAPABILITIES;
    function->config[function->capability_last] = offset;
    function->config[offset] = id;
    function->capability_last = (uint8_t)(offset + 1);
    function->capability_end = (uint8_t)(offset + ((length + 3) & ~3));
    return offset;
}

/* --- configuration space, as software reaches it --- */

static struct sim_pci_function *addressed(void)
{
    if (!(bus.address & 0x80000000u))
        return NULL;
    for (size_t i = 0; i < bus.count; i++) {
        struct sim_pci_function *function = &bus.functions[i];
        uint32_t address = (uint32_t)function->bus << 16 | (uint32_t)function->device << 11 |
                           (uint32_t)function->function << 8;

        if ((bus.address & 0x00ffff00u) == address)
            return function;
    }
    return NULL;
}

static uint32_t config_read(uint16_t port, unsigned width)
{
    struct sim_pci_function *function = addressed();

    bus.config_accesses++;
    if (function == NULL)
        return 0xffffffffu;
    return sim_pci_get(function, (uint8_t)((bus.address & 0xfc) + (port & 3)), width);
}

static void config_write(uint16_t port, unsigned width, uint32_t value)
{
    struct sim_pci_function *function = addressed();
    uint8_t offset = (uint8_t)((bus.address & 0xfc) + (port & 3));
    unsigned bars = 0;

    bus.config_accesses++;
    if (function == NULL)
        return;
    bars = (function->config[HEADER_TYPE] & 0x7f) == 0 ? 6 : 2;
    if (offset >= BARS && offset < BARS + 4 * bars &&
        (function->config[COMMAND] & (COMMAND_IO | COMMAND_MEMORY)))
        complain("BAR written while the function decodes addresses", offset);
    for (unsigned i = 0; i < width; i++) {
        uint8_t mask = function->writable[offset + i];
        uint8_t byte = (uint8_t)(value >> 8 * i);

        function->config[offset + i] =
            (uint8_t)((function->config[offset + i] & ~mask) | (byte & mask));
    }
}

/* --- ports --- */

/* The function whose I/O BAR covers all of [port, port + width), with the offset in that BAR. */
static struct sim_pci_function *port_owner(uint16_t port, unsigned width, uint16_t *offset)
{
    struct sim_pci_function *owner = NULL;

    for (size_t i = 0; i < bus.count; i++) {
        struct sim_pci_function *function = &bus.functions[i];

        if (!(function->config[COMMAND] & COMMAND_IO))
            continue;
        for (unsigned bar = 0; bar < 6; bar++) {
            uint8_t at = (uint8_t)(BARS + 4 * bar);
            uint32_t value = sim_pci_get(function, at, 4);
            uint32_t size = ~((uint32_t)function->writable[at] |
                              (uint32_t)function->writable[at + 1] << 8 | 0xffff0000u) +
                            1;

            if (!(value & 1) || function->port_read == NULL || port < (value & ~3u) ||
                port + width > (value & ~3u) + size)
                continue;
            if (owner != NULL)
                complain("two functions answer one port", port);
            owner = function;
            *offset = (uint16_t)(port - (value & ~3u));
        }
    }
    return owner;
}

static uint32_t bus_read(uint16_t port, unsigned width)
{
    struct sim_pci_function *owner;
    uint16_t offset;

    bus.accesses++;
    if (port % width != 0)
        complain("misaligned read of port", port);
    if (bus.pci_present && port == PORT_ADDRESS && width == 4)
        return bus.address;
    if (bus.pci_present && port >= PORT_DATA && port < PORT_DATA + 4)
        return config_read(port, width);
    owner = port_owner(port, width, &offset);
    return owner != NULL ? owner->port_read(owner->context, offset, width) : 0xffffffffu;
}

static void bus_write(uint16_t port, unsigned width, uint32_t value)
{
    struct sim_pci_function *owner;
    uint16_t offset;

    bus.accesses++;
    if (port % width != 0)
        complain("misaligned write to port", port);
    if (bus.pci_present && port == PORT_ADDRESS && width == 4) {
        if (value & ~0x80fffffcu)
            complain("reserved bits of the configuration address set", value);
        bus.address = value & 0x80fffffcu;
        return;
    }
    if (bus.pci_present && port >= PORT_DATA && port < PORT_DATA + 4) {
        config_write(port, width, value);
        return;
    }
    owner = port_owner(port, width, &offset);
    if (owner != NULL)
        owner->port_write(owner->context, offset, width, value);
}

uint8_t io_read8(uint16_t port)
{
    return (uint8_t)bus_read(port, 1);
}

uint16_t io_read16(uint16_t port)
{
    return (uint16_t)bus_read(port, 2);
}

uint32_t io_read32(uint16_t port)
{
    return bus_read(port, 4);
}

void io_write8(uint16_t port, uint8_t value)
{
    bus_write(port, 1, value);
}

void io_write16(uint16_t port, uint16_t value)
{
    bus_write(port, 2, value);
}

void io_write32(uint16_t port, uint32_t value)
{
    bus_write(port, 4, value);
}
