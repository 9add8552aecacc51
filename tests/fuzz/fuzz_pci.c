/*
 * Configuration space: functions as the input describes them, and the walk over them. A function is
 * a sound one of some kind with bytes written over it, and over what a write to it can change.
 */
#include "tests/fuzz/target.h"

#include <stdio.h>
#include <string.h>

#include <machine/panic.h>

#include "drivers/pci/pci.h"
#include "tests/fuzz/input.h"
#include "tests/host/sim/bus.h"
#include "tests/host/sim/machine.h"

#define FUNCTIONS_MAX 12
#define KEPT_MAX 8 /* so that there may be more than there is room for */

enum kind { NETWORK, BRIDGE, EXPANDER, HOST_BRIDGE, KINDS };

static struct sim_pci_function *functions[FUNCTIONS_MAX];
static uint8_t before[FUNCTIONS_MAX][256];
static unsigned count;
static bool honest; /* every function's command register can be written as it should */

static struct sim_pci_function *add_function(enum kind kind, struct input *input)
{
    static const uint32_t ids[] = {
        [NETWORK] = SIM_PCI_ID(0x1af4, 0x1000),
        [BRIDGE] = SIM_PCI_ID(0x8086, 0x244e),
        [EXPANDER] = SIM_PCI_ID(0x1b36, 0x0009),
        [HOST_BRIDGE] = SIM_PCI_ID(0x8086, 0x1237),
    };
    static const uint32_t classes[] = {
        [NETWORK] = 0x020000, [BRIDGE] = 0x060400, [EXPANDER] = 0x060000, [HOST_BRIDGE] = 0x060000};
    const uint8_t bus = input_8(input), place = input_8(input);
    struct sim_pci_function *function =
        sim_pci_add(bus, place / 8, place % 8, ids[kind], classes[kind]);

    if (kind == BRIDGE)
        sim_pci_make_bridge(function, input_8(input));
    if (kind == NETWORK) {
        sim_pci_add_bar(function, 0, 1, 64, 0xc000);
        sim_pci_add_bar(function, 4, 0xc, 0x4000, 0xfe0000000000);
        sim_pci_add_capability(function, 0x11, 12);
        sim_pci_add_capability(function, 0x09, 20);
    }
    return function;
}

static void write_over(struct sim_pci_function *function, struct input *input)
{
    for (uint8_t n = input_8(input) % 32; n > 0; n--) {
        const uint8_t at = input_8(input);
        function->config[at] = input_8(input);
    }
    for (uint8_t n = input_8(input) % 16; n > 0; n--) {
        const uint8_t at = input_8(input);
        function->writable[at] = input_8(input);
        honest = honest && at != 4;
    }
}

static void make_bus(struct input *input)
{
    machine_reset();
    honest = true;
    for (count = 0; count < FUNCTIONS_MAX && input->left > 0; count++) {
        const uint8_t choice = input_8(input);
        functions[count] = add_function(choice % KINDS, input);
        if (choice & 0x40)
            functions[count]->config[0x0e] |= 0x80; /* there are others in the same slot */
        write_over(functions[count], input);
        memcpy(before[count], functions[count]->config, sizeof(before[count]));
    }
}

static void check_bar(const struct pci_bar *bar)
{
    if (bar->size == 0) {
        ensure(bar->base == 0);
        return;
    }
    ensure((bar->size & (bar->size - 1)) == 0 && bar->base % bar->size == 0);
    ensure(bar->base + (bar->size - 1) >= bar->base);
    ensure(!bar->is_io || bar->base + bar->size <= 0x10000);
}

static void check_capabilities(const struct pci_device *device)
{
    bool seen[256] = {false};

    ensure(device->capability_count <= PCI_CAPABILITIES_MAX);
    for (unsigned i = 0; i < device->capability_count; i++) {
        const uint8_t offset = device->capabilities[i].offset;
        ensure(offset >= 0x40 && offset % 4 == 0 && !seen[offset]);
        seen[offset] = true;
        /* Found by its id, from the one before it on. */
        const uint8_t after = i > 0 ? device->capabilities[i - 1].offset : 0;
        ensure(pci_find_capability(device, device->capabilities[i].id, after) == offset);
    }
}

static uint32_t place_of(const struct pci_device *device)
{
    return (uint32_t)device->bus << 8 | (uint32_t)device->device << 3 | device->function;
}

/* Firmware that counts buses upwards never sets up such a bridge: it is reported, and not
 * followed. */
static void check_bridge(const struct pci_device *bridge)
{
    char complaint[48];

    if (bridge->header_type != PCI_HEADER_TYPE_BRIDGE || bridge->secondary_bus > bridge->bus)
        return;
    snprintf(complaint, sizeof(complaint), "pci=%s secondary_bus=", pci_address(bridge).text);
    ensure(machine_log_count("warn", complaint) == 1);
}

static void check_devices(const struct pci_device *devices, size_t found)
{
    ensure(found <= KEPT_MAX && found <= count);
    for (size_t i = 0; i < found; i++) {
        ensure(devices[i].device < 32 && devices[i].function < 8);
        ensure(i == 0 || place_of(&devices[i]) > place_of(&devices[i - 1]));
        for (unsigned bar = 0; bar < PCI_BARS_DEVICE; bar++)
            check_bar(&devices[i].bars[bar]);
        check_capabilities(&devices[i]);
        check_bridge(&devices[i]);
    }
}

/* The walk has put everything back, and never left a register at all ones that was decoded. */
static void check_bus(void)
{
    for (unsigned i = 0; i < count; i++)
        ensure(memcmp(before[i], functions[i]->config, sizeof(before[i])) == 0);
    ensure(!honest || sim_bus_complaint() == NULL);
    /* 256 buses of 32 devices of 8 functions, if every slot said that it has them all. */
    ensure(sim_bus_config_accesses() < 256 * 32 * 2 + count * 8 * 256);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct pci_device devices[KEPT_MAX];

    make_bus(&input);
    const size_t found = pci_scan(devices, KEPT_MAX);
    check_devices(devices, found);
    check_bus();
    for (size_t i = 0; i < found; i++) {
        (void)pci_msix_enabled(&devices[i]);
        (void)pci_is_network(&devices[i]);
        (void)pci_enable(&devices[i]);
    }
    return 0;
}
