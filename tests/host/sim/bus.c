/*
 * Ports, device memory and configuration space. Offsets and bits are typed in from PCI 3.0 once
 * more, not taken from drivers/pci/pci_spec.h, so that an error there shows here.
 */
#include "tests/host/sim/bus.h"

#include <stdio.h>
#include <string.h>

#include <machine/io.h>
#include <machine/memory.h>

#include "tests/host/sim/machine.h"

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

#define MAPPINGS_MAX 1024
#define PAGE 4096u

/* The result of memory_map_device: not an address of this process, so that a driver that
 * dereferences it faults. */
#define MAPPED 0x4000000000000000ULL

struct mapping {
    uint64_t start, end; /* whole pages */
};

static struct {
    bool pci_present;
    bool mapping_refused;
    size_t mapping_count;
    struct mapping mappings[MAPPINGS_MAX];
    uint32_t address;
    uint64_t accesses;
    uint64_t config_accesses;
    char complaint[160];
    struct sim_pci_function functions[SIM_PCI_FUNCTIONS_MAX];
    size_t count;
    uint16_t claim_first, claim_count;
    uint32_t (*claim_read)(uint16_t offset);
    void (*claim_write)(uint16_t offset, uint32_t value);
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

void sim_bus_refuse_mapping(void)
{
    bus.mapping_refused = true;
}

void sim_bus_claim(uint16_t first, uint16_t count, uint32_t (*port_read)(uint16_t offset),
                   void (*port_write)(uint16_t offset, uint32_t value))
{
    bus.claim_first = first;
    bus.claim_count = count;
    bus.claim_read = port_read;
    bus.claim_write = port_write;
}

static bool claimed(uint16_t port)
{
    return port >= bus.claim_first && port - bus.claim_first < bus.claim_count;
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

        if ((bus.address & 0x00ffff00u) == address && !function->absent)
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
    const uint8_t offset = (uint8_t)((bus.address & 0xfc) + (port & 3));
    if (function->config_read != NULL)
        function->config_read(function->context, offset, width);
    return sim_pci_get(function, offset, width);
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
    if (function->config_written != NULL)
        function->config_written(function->context, offset, width);
}

/* --- who answers --- */

/* One access as one function sees it. */
struct target {
    struct sim_pci_function *function;
    unsigned bar;
    uint32_t offset;
};

/* The range of BAR `bar`, if it is one of this kind: its first address, and its size. */
static bool bar_range(const struct sim_pci_function *function, unsigned bar, bool io,
                      uint64_t *base, uint64_t *size)
{
    const uint8_t at = (uint8_t)(BARS + 4 * bar);
    const uint32_t value = sim_pci_get(function, at, 4);
    uint64_t mask = 0xffffffff00000000u;

    for (unsigned i = 0; i < 4; i++)
        mask |= (uint64_t)function->writable[at + i] << 8 * i;
    *base = value & (io ? ~3u : ~15u);
    if (io)
        mask |= 0xffff0000u;
    if (!io && (value & 7) == 4) {
        *base |= (uint64_t)sim_pci_get(function, (uint8_t)(at + 4), 4) << 32;
        for (unsigned i = 4; i < 8; i++)
            mask &= ~(0xffull << 8 * i) | (uint64_t)function->writable[at + i] << 8 * i;
    }
    *size = ~mask + 1;
    return (value & 1) == io && (mask & 0xffffffffu) != 0;
}

/* True if BAR `bar` is the upper half of the one before it. */
static bool is_upper_half(const struct sim_pci_function *function, unsigned bar)
{
    bool upper = false;

    for (unsigned i = 0; i < bar; i++)
        upper = !upper && (function->config[BARS + 4 * i] & 7) == 4;
    return upper;
}

/* True if BAR `bar` covers all of [address, address + width), with the offset in it. */
static bool covers(const struct sim_pci_function *function, unsigned bar, bool io, uint64_t address,
                   unsigned width, uint32_t *offset)
{
    const bool first_port = io && bar == 0;
    uint64_t base, size;

    if (first_port ? function->port_read == NULL : function->memory_read == NULL)
        return false;
    if (is_upper_half(function, bar) || !bar_range(function, bar, io, &base, &size) || base == 0 ||
        address < base || address - base > size - width)
        return false;
    *offset = (uint32_t)(address - base);
    return true;
}

/* The function whose BAR covers all of [address, address + width), decoding being on. */
static struct target find_target(bool io, uint64_t address, unsigned width)
{
    struct target target = {0};
    uint32_t offset;

    for (size_t i = 0; i < bus.count; i++) {
        struct sim_pci_function *function = &bus.functions[i];

        if (function->absent || !(function->config[COMMAND] & (io ? COMMAND_IO : COMMAND_MEMORY)))
            continue;
        for (unsigned bar = 0; bar < 6; bar++) {
            if (!covers(function, bar, io, address, width, &offset))
                continue;
            if (target.function != NULL)
                complain("two functions answer one address", (unsigned)address);
            target = (struct target){function, bar, offset};
        }
    }
    return target;
}

static uint32_t target_read(const struct target *target, bool io, unsigned width)
{
    struct sim_pci_function *function = target->function;

    if (function == NULL)
        return 0xffffffffu >> (32 - 8 * width);
    if (io && target->bar == 0)
        return function->port_read(function->context, (uint16_t)target->offset, width);
    return function->memory_read(function->context, target->bar, target->offset, width);
}

static void target_write(const struct target *target, bool io, unsigned width, uint32_t value)
{
    struct sim_pci_function *function = target->function;

    if (function == NULL)
        return;
    if (io && target->bar == 0)
        function->port_write(function->context, (uint16_t)target->offset, width, value);
    else
        function->memory_write(function->context, target->bar, target->offset, width, value);
}

/* --- device memory --- */

SEAM volatile void *memory_map_device(uint64_t physical, uint64_t size)
{
    struct mapping *mapping = &bus.mappings[bus.mapping_count];

    /* As the kernel: not page zero, nothing that cannot be addressed, no RAM. */
    if (bus.mapping_refused || bus.mapping_count == MAPPINGS_MAX || size == 0 || physical < PAGE ||
        physical >= 1ULL << 47 || size > (1ULL << 47) - physical || machine_is_ram(physical, size))
        return NULL;
    mapping->start = physical & ~(uint64_t)(PAGE - 1);
    mapping->end = (physical + size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    bus.mapping_count++;
    return (volatile void *)(uintptr_t)(MAPPED + physical);
}

static struct target memory_target(const volatile void *address, unsigned width)
{
    const uint64_t physical = (uint64_t)(uintptr_t)address - MAPPED;
    struct target target;
    size_t i = 0;

    bus.accesses++;
    while (i < bus.mapping_count &&
           (physical < bus.mappings[i].start || physical + width > bus.mappings[i].end))
        i++;
    if (i == bus.mapping_count) /* the kernel would have died of it */
        complain("access to device memory that is not mapped", (unsigned)physical);
    if (physical % width != 0)
        complain("misaligned access to device memory", (unsigned)physical);
    target = find_target(false, physical, width);
    if (target.function == NULL)
        complain("access to device memory where nobody answers", (unsigned)physical);
    return target;
}

static uint32_t mmio_read(const volatile void *address, unsigned width)
{
    const struct target target = memory_target(address, width);

    return target_read(&target, false, width);
}

static void mmio_write(volatile void *address, unsigned width, uint32_t value)
{
    const struct target target = memory_target(address, width);

    target_write(&target, false, width, value);
}

SEAM uint8_t mmio_read8(const volatile void *address)
{
    return (uint8_t)mmio_read(address, 1);
}

SEAM uint16_t mmio_read16(const volatile void *address)
{
    return (uint16_t)mmio_read(address, 2);
}

SEAM uint32_t mmio_read32(const volatile void *address)
{
    return mmio_read(address, 4);
}

SEAM void mmio_write8(volatile void *address, uint8_t value)
{
    mmio_write(address, 1, value);
}

SEAM void mmio_write16(volatile void *address, uint16_t value)
{
    mmio_write(address, 2, value);
}

SEAM void mmio_write32(volatile void *address, uint32_t value)
{
    mmio_write(address, 4, value);
}

/* --- ports --- */

static uint32_t bus_read(uint16_t port, unsigned width)
{
    struct target target;

    bus.accesses++;
    if (port % width != 0)
        complain("misaligned read of port", port);
    if (bus.pci_present && port == PORT_ADDRESS && width == 4)
        return bus.address;
    if (bus.pci_present && port >= PORT_DATA && port < PORT_DATA + 4)
        return config_read(port, width);
    if (claimed(port))
        return bus.claim_read((uint16_t)(port - bus.claim_first));
    target = find_target(true, port, width);
    return target_read(&target, true, width);
}

static void bus_write(uint16_t port, unsigned width, uint32_t value)
{
    struct target target;

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
    if (claimed(port)) {
        bus.claim_write((uint16_t)(port - bus.claim_first), value);
        return;
    }
    target = find_target(true, port, width);
    target_write(&target, true, width, value);
}

SEAM uint8_t io_read8(uint16_t port)
{
    return (uint8_t)bus_read(port, 1);
}

SEAM uint16_t io_read16(uint16_t port)
{
    return (uint16_t)bus_read(port, 2);
}

SEAM uint32_t io_read32(uint16_t port)
{
    return bus_read(port, 4);
}

SEAM void io_write8(uint16_t port, uint8_t value)
{
    bus_write(port, 1, value);
}

SEAM void io_write16(uint16_t port, uint16_t value)
{
    bus_write(port, 2, value);
}

SEAM void io_write32(uint16_t port, uint32_t value)
{
    bus_write(port, 4, value);
}
