/* Detection of devices that come and go: drivers/pci/pci_hotplug.c. */
#include <string.h>

#include "drivers/pci/pci_hotplug.h"
#include "drivers/pci/pci_spec.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/bus.h"
#include "tests/host/sim/machine.h"

#define FUNCTIONS_MAX 256
#define CONTROL 0x18
#define STATUS 0x1a

static struct pci_device functions[FUNCTIONS_MAX];
static size_t count;
static struct pci_hotplug hotplug;
static uint32_t selected, up[4], down[4], ejected;

static uint32_t block_read(uint16_t offset)
{
    switch (offset) {
    case PCI_QEMU_HOTPLUG_UP:
        return up[selected & 3];
    case PCI_QEMU_HOTPLUG_DOWN:
        return down[selected & 3];
    case PCI_QEMU_HOTPLUG_REMOVABLE:
        return 0xfffffffe;
    default:
        return selected;
    }
}

static void block_write(uint16_t offset, uint32_t value)
{
    if (offset == PCI_QEMU_HOTPLUG_SELECT)
        selected = value;
    if (offset == PCI_QEMU_HOTPLUG_EJECT)
        ejected = value;
}

static int setup(void **state)
{
    (void)state;
    machine_reset();
    memset(functions, 0, sizeof(functions));
    count = selected = ejected = 0;
    memset(up, 0, sizeof(up));
    memset(down, 0, sizeof(down));
    return 0;
}

TEST_FIXTURE(.setup = setup);

/* ---- the register block ---- */

static struct pci_device *add_function(uint8_t bus, uint8_t device, uint8_t function)
{
    functions[count] = (struct pci_device){.bus = bus, .device = device, .function = function};
    return &functions[count++];
}

/* One of QEMU's. */
static struct pci_device *add_host_bridge(uint16_t id)
{
    struct pci_device *host = add_function(0, 0, 0);

    host->vendor = 0x8086;
    host->device_id = id;
    host->subsystem_vendor = 0x1af4;
    host->subsystem_id = 0x1100;
    return host;
}

/* The block's port, with one claimed at `first`. */
static uint16_t block_at(uint16_t first)
{
    sim_bus_claim(first, 24, block_read, block_write);
    pci_hotplug_init(&hotplug, functions, count);
    return hotplug.block;
}

TEST(the_register_block_is_where_the_machine_has_it)
{
    add_host_bridge(0x1237);
    assert_int_equal(block_at(0xae00), 0xae00);
    assert_true(hotplug.buses[0].known); /* the root bus */
    setup(state);
    add_host_bridge(0x29c0);
    assert_int_equal(block_at(0xcc0), 0xcc0);
    assert_false(hotplug.buses[0].known);
    setup(state);
    add_function(0, 0, 1); /* an entry before the host bridge in the list is no bridge */
    add_function(0, 1, 0);
    add_function(1, 0, 0);
    add_host_bridge(0x1237);
    assert_int_equal(block_at(0xae00), 0xae00);
}

TEST(no_other_machine_is_taken_for_one_of_qemus)
{
    assert_int_equal(block_at(0xae00), 0); /* no host bridge at all */
    add_host_bridge(0x1237)->vendor = 0x1022;
    assert_int_equal(block_at(0xae00), 0);
    setup(state);
    add_host_bridge(0x1237)->subsystem_vendor = 0x15ad;
    assert_int_equal(block_at(0xae00), 0);
    setup(state);
    add_host_bridge(0x1237)->subsystem_id = 0x1101;
    assert_int_equal(block_at(0xae00), 0);
    setup(state);
    add_host_bridge(0x7190);
    assert_int_equal(block_at(0xae00), 0);
    assert_int_equal(selected, 0); /* and nothing was written */
}

TEST(no_more_buses_are_looked_at_than_are_kept)
{
    add_host_bridge(0x1237);
    for (unsigned i = 0; i < PCI_HOTPLUG_BUSES_MAX - 2; i++)
        add_function(0, 2, 0)->header_type = PCI_HEADER_TYPE_BRIDGE;
    block_at(0xae00);
    assert_int_equal(hotplug.bus_count, PCI_HOTPLUG_BUSES_MAX - 1);
    for (unsigned i = 0; i < 3; i++)
        add_function(0, 2, 0)->header_type = PCI_HEADER_TYPE_BRIDGE;
    block_at(0xae00);
    assert_int_equal(hotplug.bus_count, PCI_HOTPLUG_BUSES_MAX);
}

TEST(one_event_comes_at_a_time_and_none_is_lost)
{
    struct pci_hotplug_event event;

    add_host_bridge(0x1237);
    add_function(0, 2, 0)->header_type = PCI_HEADER_TYPE_BRIDGE;
    block_at(0xae00);
    up[0] = 1u << 3 | 1u << 9;
    down[1] = 1u << 4;
    event = pci_hotplug_look(&hotplug);
    assert_int_equal(event.what, PCI_HOTPLUG_INSERTED);
    assert_int_equal(event.device, 3);
    assert_true(event.bus_known);
    up[0] = 0; /* it clears itself */
    event = pci_hotplug_look(&hotplug);
    assert_int_equal(event.device, 9);
    event = pci_hotplug_look(&hotplug);
    assert_int_equal(event.what, PCI_HOTPLUG_REMOVAL_ASKED);
    assert_int_equal(event.index, 1);
    assert_false(event.bus_known);
    pci_hotplug_eject(&hotplug, &event);
    assert_int_equal(selected, 1);
    assert_int_equal(ejected, 1u << 4);
    pci_hotplug_refuse(&hotplug, &event); /* it has not gone */
    assert_int_equal(pci_hotplug_look(&hotplug).what, PCI_HOTPLUG_NOTHING);
    down[1] = 0; /* the request is withdrawn, and comes again */
    assert_int_equal(pci_hotplug_look(&hotplug).what, PCI_HOTPLUG_NOTHING);
    down[1] = 1u << 4;
    assert_int_equal(pci_hotplug_look(&hotplug).what, PCI_HOTPLUG_REMOVAL_ASKED);
}

/* ---- PCI Express slots ---- */

static uint8_t express;

/* A root port with a slot, switched on and occupied. */
static struct sim_pci_function *add_port(uint8_t device, uint8_t secondary)
{
    struct sim_pci_function *port = sim_pci_add(0, device, 0, SIM_PCI_ID(0x1b36, 0x000c), 0x060400);

    sim_pci_make_bridge(port, secondary);
    express = sim_pci_add_capability(port, 0x10, 0x3c);
    sim_pci_set(port, (uint8_t)(express + 0x02), 2, 0x0142);
    sim_pci_set(port, (uint8_t)(express + 0x14), 4, 0x43);
    sim_pci_set(port, (uint8_t)(express + CONTROL), 2, 0x0100);
    sim_pci_set(port, (uint8_t)(express + STATUS), 2, 0x0040);
    memset(&port->writable[express + CONTROL], 0xff, 4);
    return port;
}

static unsigned slots(void)
{
    count = pci_scan(functions, FUNCTIONS_MAX);
    pci_hotplug_init(&hotplug, functions, count);
    return hotplug.slot_count;
}

TEST(a_slot_is_one_only_if_it_says_so_in_all_places)
{
    struct sim_pci_function *port = add_port(3, 1);

    assert_int_equal(slots(), 1);
    sim_pci_set(port, (uint8_t)(express + 0x02), 2, 0x0162); /* a switch's downstream port */
    assert_int_equal(slots(), 1);
    sim_pci_set(port, (uint8_t)(express + 0x02), 2, 0x0152); /* its upstream port */
    assert_int_equal(slots(), 0);
    sim_pci_set(port, (uint8_t)(express + 0x02), 2, 0x0042); /* nothing can be put in */
    assert_int_equal(slots(), 0);
    sim_pci_set(port, (uint8_t)(express + 0x02), 2, 0x0142);
    sim_pci_set(port, (uint8_t)(express + 0x14), 4, 0x03); /* … or not while running */
    assert_int_equal(slots(), 0);
    sim_pci_set(port, (uint8_t)(express + 0x14), 4, 0x43);
    port->config[0x0e] = 0; /* no bridge */
    assert_int_equal(slots(), 0);
}

TEST(a_capability_that_would_reach_beyond_the_space_is_none)
{
    struct sim_pci_function *port = add_port(3, 1);

    memcpy(port->config + 0xe0, port->config + express, 0x1c);
    port->config[0x34] = 0xe0;
    port->config[0xe1] = 0;
    assert_int_equal(slots(), 1);
    memcpy(port->config + 0xe8, port->config + express, 0x18);
    port->config[0x34] = 0xe8;
    port->config[0xe9] = 0;
    assert_int_equal(slots(), 0);
}

TEST(no_more_slots_are_looked_at_than_are_kept)
{
    add_port(3, 1);
    slots();
    for (; count < PCI_HOTPLUG_SLOTS_MAX + 3; count++)
        functions[count] = functions[0];
    pci_hotplug_init(&hotplug, functions, count);
    assert_int_equal(hotplug.slot_count, PCI_HOTPLUG_SLOTS_MAX);
}

static struct pci_hotplug_event look_with_status(struct sim_pci_function *port, uint16_t status)
{
    sim_pci_set(port, (uint8_t)(express + STATUS), 2, status);
    return pci_hotplug_look(&hotplug);
}

TEST(a_slots_events_are_told_from_its_status)
{
    struct sim_pci_function *first = add_port(3, 1), *second = add_port(4, 2);
    struct pci_hotplug_event event;

    slots();
    assert_int_equal(look_with_status(second, 0x0040).what, PCI_HOTPLUG_NOTHING);
    assert_int_equal(look_with_status(second, 0x0001).what, PCI_HOTPLUG_NOTHING); /* nobody there */
    event = look_with_status(second, 0x0048); /* one has come into a slot that was on */
    assert_int_equal(event.what, PCI_HOTPLUG_INSERTED);
    assert_true(event.is_slot && event.bus_known);
    assert_int_equal(event.bus, 2);
    sim_pci_set(first, (uint8_t)(express + STATUS), 2, 0x0041);
    event = look_with_status(second, 0x0048); /* both have news: the first one first */
    assert_int_equal(event.what, PCI_HOTPLUG_REMOVAL_ASKED);
    assert_int_equal(event.bus, 1);
    pci_hotplug_learn(&hotplug, &event, 1); /* there is nothing to learn, or to note, of a slot */
    pci_hotplug_refuse(&hotplug, &event);
    pci_hotplug_eject(&hotplug, &event);
    assert_int_equal(sim_pci_get(first, (uint8_t)(express + CONTROL), 2), 0x0700);
    assert_int_equal(sim_pci_get(second, (uint8_t)(express + CONTROL), 2), 0x0100);
    assert_false(hotplug.buses[0].known);
    assert_int_equal(hotplug.buses[0].refused, 0);
}
