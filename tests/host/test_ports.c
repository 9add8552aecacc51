/*
 * Devices that come and go under the loop: drivers/probe.c, pci_hotplug.c, pci_assign.c and
 * virtio_net_plug.c, on a simulated bus with QEMU's hot-plug registers or PCI Express slots.
 */
#include <string.h>

#include <machine/clock.h>
#include <machine/memory.h>

#include "drivers/pci/pci_assign.h"
#include "drivers/probe.h"
#include "drivers/virtio/virtio_net.h"
#include "net/loop.h"
#include "tests/host/fixture/test.h"
#include "tests/host/fixture/wanted.h"
#include "tests/host/sim/machine.h"
#include "tests/host/sim/virtio_net.h"

#define BLOCK 0xae00
#define SLOTS 8
#define MODERN_BASE 0xfe000000u

enum { UP = 0, DOWN = 4, EJECT = 8, REMOVABLE = 12, SELECT = 16 };

/* The register block: what the host wants, and what the guest has done. */
static struct {
    uint32_t select;
    uint32_t up[4], down[4];
    uint32_t ejected;
    bool sticks; /* an eject has no effect */
    bool lies;   /* the selector reads as something else */
    unsigned accesses;
} block;

static unsigned
    replaced_by; /* device number: ejected, it is followed by another at once; 0: none */

static struct ports ports;
static struct topology topology;
static struct loop loop;
static struct sim_virtio_net *devices[SLOTS]; /* by device number */

/* --- the machine --- */

static uint32_t block_read(uint16_t offset)
{
    uint32_t value = 0;

    block.accesses++;
    switch (offset) {
    case UP:
        value = block.up[block.select & 3];
        block.up[block.select & 3] = 0;
        return value;
    case DOWN:
        return block.down[block.select & 3];
    case REMOVABLE:
        return 0xfffffffe;
    case SELECT:
        return block.lies ? 7 : block.select;
    default:
        return 0;
    }
}

static void plug(uint8_t slot);

static void eject(uint32_t bits)
{
    block.ejected |= bits;
    for (unsigned i = 0; i < SLOTS; i++) {
        if (!(bits >> i & 1) || block.sticks)
            continue;
        block.down[block.select & 3] &= ~(1u << i);
        if (devices[i] != NULL)
            devices[i]->gone = devices[i]->pci->absent = true;
        if (replaced_by == i)
            plug((uint8_t)i);
    }
}

static void block_write(uint16_t offset, uint32_t value)
{
    block.accesses++;
    if (offset == SELECT)
        block.select = value;
    if (offset == EJECT)
        eject(value);
}

static void add_host_bridge(uint16_t subsystem)
{
    struct sim_pci_function *host = sim_pci_add(0, 0, 0, SIM_PCI_ID(0x8086, 0x1237), 0x060000);

    sim_pci_set(host, 0x2c, 2, subsystem);
    sim_pci_set(host, 0x2e, 2, 0x1100);
}

static void add_device(uint8_t slot)
{
    devices[slot] = sim_virtio_net_add(slot, SIM_FEATURES_USUAL);
}

/* As QEMU adds one: without addresses. */
static void plug(uint8_t slot)
{
    add_device(slot);
    sim_pci_set(devices[slot]->pci, 0x10, 4, 1);
    sim_pci_set(devices[slot]->pci, 0x14, 4, 0);
    block.up[0] |= 1u << slot;
}

static void assemble(void)
{
    memset(&ports, 0, sizeof(ports));
    memset(&topology, 0, sizeof(topology));
    ports_find(&ports, &topology);
    topology_plan(&topology, "", false);
    topology_allot(&topology, memory_available() / 2);
    topology_start(&topology);
    topology_settle(&topology);
    loop_init(&loop, topology.ports, topology.port_lanes, topology.port_count, 0);
}

static int setup(void **state)
{
    (void)state;
    machine_reset();
    memset(&block, 0, sizeof(block));
    replaced_by = 0;
    memset(devices, 0, sizeof(devices));
    sim_bus_claim(BLOCK, 24, block_read, block_write);
    return 0;
}

/* The usual machine: `count` ports at device numbers 1 and up. */
static void start(unsigned count)
{
    add_host_bridge(0x1af4);
    for (uint8_t i = 1; i <= count; i++)
        add_device(i);
    assemble();
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(topology.ports[i]->state, PORT_UP);
}

static int teardown(void **state)
{
    const char *complaint = sim_virtio_net_complaint();

    (void)state;
    if (complaint == NULL)
        complaint = sim_bus_complaint();
    if (complaint != NULL)
        print_error("device: %s\n", complaint);
    sim_virtio_net_remove_all();
    return complaint != NULL;
}

TEST_FIXTURE(.setup = setup, .teardown = teardown);

/* --- what goes on --- */

static void rounds(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        loop_round(&loop);
        machine_clock_advance(CLOCK_NS_PER_MS);
    }
}

/* As kernel/main.c does it, for `n` tenths of a second. */
static void look(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        rounds(100);
        if (ports_look(&ports))
            loop_set_ports(&loop, topology.ports, topology.port_lanes, topology.port_count);
    }
}

/* One frame in at the device at `from`; how many come out at the one at `to`. */
static unsigned crosses(unsigned from, unsigned to)
{
    const uint8_t frame[60] = {2, 0, 0, 0, 0, 1, 2};
    const unsigned before = devices[to]->sent_count;

    assert_true(sim_virtio_net_deliver(devices[from], frame, sizeof(frame)));
    rounds(3);
    return devices[to]->sent_count - before;
}

static struct port_stats stats_of(unsigned port)
{
    struct port_stats stats;

    stats = topology.ports[port]->stats;
    return stats;
}

static void assert_no_buffer_lost(void)
{
    struct core_account account;

    core_count(&topology.core, topology.ports, topology.port_count, &account);
    assert_true(account.buffers > 0);
    assert_int_equal(account.missing, 0);
}

/* --- going --- */

TEST(a_device_that_is_asked_to_go_is_stopped_and_ejected)
{
    start(4);
    assert_int_equal(crosses(1, 2), 1);
    block.down[0] = 1u << 2;
    look(3);
    assert_int_equal(block.ejected, 1u << 2);
    assert_int_equal(machine_log_count("unplug", "port=1 pci=00:02.0 reason=ejected lost=0"), 1);
    assert_int_equal(topology.ports[1]->state, PORT_GONE);
    assert_false(topology.ports[1]->link_up);
    assert_no_buffer_lost();

    /* Its partner's frames are taken and counted, and the other pair has noticed nothing. */
    for (unsigned i = 0; i < 1000; i++)
        crosses(1, 2);
    assert_int_equal(stats_of(1).tx_dropped, 1000);
    assert_int_equal(stats_of(1).tx_link_down, 0);
    assert_int_equal(crosses(3, 4) + crosses(4, 3), 2);
    assert_int_equal(stats_of(2).resets + stats_of(3).resets, 0);
    assert_int_equal(machine_log_count("error", ""), 0);
    assert_no_buffer_lost();
}

TEST(frames_that_were_in_its_ring_are_counted)
{
    start(2);
    devices[2]->transmit_at_once = false;
    for (unsigned i = 0; i < 10; i++)
        crosses(1, 2);
    block.down[0] = 1u << 2;
    look(3);
    assert_int_equal(machine_log_count("unplug", "port=1 pci=00:02.0 reason=ejected lost=10"), 1);
    assert_int_equal(stats_of(1).tx_dropped, 10);
    assert_no_buffer_lost();
}

TEST(frames_in_its_ring_have_time_to_leave)
{
    start(2);
    devices[2]->transmit_at_once = false;
    crosses(1, 2);
    block.down[0] = 1u << 2;
    look(1);
    assert_string_equal(topology.ports[1]->reason, "halted");
    assert_int_equal(sim_virtio_net_transmit(devices[2], 10), 1);
    look(1);
    assert_int_equal(machine_log_count("unplug", "lost=0"), 1);
    assert_no_buffer_lost();
}

TEST(a_device_that_does_not_go_goes_on_and_is_asked_once)
{
    start(2);
    block.sticks = true;
    block.down[0] = 1u << 2;
    look(10);
    assert_int_equal(block.ejected, 1u << 2);
    block.ejected = 0;
    look(10);
    assert_int_equal(block.ejected, 0);
    assert_int_equal(topology.ports[1]->state, PORT_UP);
    assert_int_equal(crosses(1, 2) + crosses(2, 1), 2);
    assert_int_equal(machine_log_count("unplug", ""), 0);

    /* The host withdraws its request, and repeats it. */
    block.down[0] = 0;
    look(1);
    block.sticks = false;
    block.down[0] = 1u << 2;
    look(3);
    assert_int_equal(machine_log_count("unplug", "port=1"), 1);
}

TEST(a_device_that_is_no_port_is_ejected_too)
{
    sim_pci_add(0, 5, 0, SIM_PCI_ID(0x1234, 0x5678), 0x030000);
    start(2);
    block.down[0] = 1u << 5;
    look(3);
    assert_int_equal(block.ejected, 1u << 5);
    assert_int_equal(crosses(1, 2), 1);
}

/* Only the removal of the port's own device is logged, once. */
TEST(another_card_in_the_slot_of_a_port_is_not_that_port)
{
    start(2);
    block.down[0] = 1u << 2;
    look(3);
    assert_int_equal(machine_log_count("unplug", "port=1"), 1);
    struct sim_pci_function *other = sim_pci_add(0, 2, 0, SIM_PCI_ID(0x8086, 0x100e), 0x020000);
    block.up[0] = 1u << 2;
    look(3);
    assert_int_equal(machine_log_count("warn", "pci=00:02.0 vendor=0x8086 device=0x100e"), 1);
    block.down[0] = 1u << 2;
    other->absent = true; /* as soon as it is ejected */
    look(3);
    assert_int_equal(machine_log_count("unplug", "port=1"), 1);
    plug(2);
    look(3);
    assert_int_equal(crosses(1, 2), 1);
}

TEST(a_device_that_vanishes_unasked_is_noticed)
{
    start(4);
    assert_int_equal(crosses(1, 2), 1);
    devices[2]->gone = devices[2]->pci->absent = true;
    look(5);
    assert_int_equal(machine_log_count("error", "port=1 pci=00:02.0 reason=status status=0xff"), 1);
    assert_int_equal(machine_log_count("unplug", "port=1 pci=00:02.0 reason=vanished"), 1);
    assert_int_equal(topology.ports[1]->state, PORT_GONE);
    assert_int_equal(crosses(3, 4), 1);
    assert_no_buffer_lost();
}

TEST(a_port_that_is_being_reset_can_be_unplugged)
{
    start(2);
    devices[2]->reset_delay_ns = CLOCK_NS_PER_S / 2;
    assert_true(wanted_reset(topology.ports[1]));
    block.down[0] = 1u << 2;
    look(3);
    assert_int_equal(topology.ports[1]->state, PORT_GONE);
    assert_no_buffer_lost();
}

/* --- coming --- */

/* It is back in service before it is ejected, so its ring may hold frames. */
TEST(a_port_that_comes_back_from_its_reset_before_it_is_ejected_loses_by_count)
{
    start(2);
    devices[2]->reset_delay_ns = CLOCK_NS_PER_S / 20;
    assert_true(wanted_reset(topology.ports[1]));
    block.down[0] = 1u << 2;
    devices[2]->transmit_at_once = false;
    if (ports_look(&ports))
        fail();
    assert_string_equal(topology.ports[1]->reason, "resetting");
    rounds(60);
    assert_int_equal(topology.ports[1]->state, PORT_UP);
    for (unsigned i = 0; i < 5; i++)
        crosses(1, 2);
    ports_look(&ports);
    assert_int_equal(machine_log_count("unplug", "port=1 pci=00:02.0 reason=ejected lost=5"), 1);
    assert_int_equal(stats_of(1).tx_dropped, 5);
    assert_no_buffer_lost();
}

TEST(a_port_in_its_reset_whose_device_does_not_go_comes_back_by_itself)
{
    start(2);
    devices[2]->reset_delay_ns = CLOCK_NS_PER_S / 2;
    assert_true(wanted_reset(topology.ports[1]));
    block.sticks = true;
    block.down[0] = 1u << 2;
    look(2);
    assert_string_equal(topology.ports[1]->reason, "resetting");
    look(5);
    assert_int_equal(topology.ports[1]->state, PORT_UP);
    assert_int_equal(crosses(1, 2) + crosses(2, 1), 2);
}

TEST(a_retired_port_whose_device_has_gone_is_unplugged)
{
    start(2);
    devices[2]->reset_stuck = true;
    assert_true(wanted_reset(topology.ports[1]));
    look(12);
    assert_string_equal(topology.ports[1]->reason, "retired");
    assert_false(topology.ports[1]->link_up);
    devices[2]->gone = devices[2]->pci->absent = true;
    look(1);
    assert_int_equal(machine_log_count("unplug", "port=1 pci=00:02.0 reason=vanished"), 1);
    assert_int_equal(wanted_description(topology.ports[1]).speed, 0);
    assert_no_buffer_lost();
    block.down[0] = 1u << 2; /* the host removes the slot, too: it is empty */
    look(3);
    assert_int_equal(machine_log_count("unplug", ""), 1);
}

/* 2: the slot had a port before, 4: it is new. */
TEST(a_device_whose_reset_takes_its_time_holds_nobody_up)
{
    for (uint8_t slot = 2; slot <= 4; slot += 2) {
        if (slot == 4) {
            teardown(state);
            setup(state);
        }
        start(3);
        block.down[0] = slot == 2 ? 1u << 2 : 0;
        look(3);
        plug(slot);
        plug(5);
        devices[slot]->reset_delay_ns = CLOCK_NS_PER_S / 2;
        rounds(1);
        uint64_t before = machine_clock_now();
        assert_false(ports_look(&ports));
        assert_true(machine_clock_now() - before < CLOCK_NS_PER_MS);
        assert_string_equal(ports.opening->reason, "probing");
        assert_false(ports.opening->link_up);
        look(2);
        assert_string_equal(ports.opening->reason, "probing");
        assert_int_equal(topology.port_count, 3); /* the other one waits for its number */
        crosses(3, 1);
        look(6);
        assert_null(ports.opening);
        assert_int_equal(topology.port_count, slot == 2 ? 4 : 5);
        if (slot == 2)
            assert_int_equal(crosses(1, 2) + crosses(2, 1) + crosses(3, 5), 3);
        else
            assert_int_equal(crosses(1, 2) + crosses(3, 4) + crosses(4, 3), 3);
        assert_no_buffer_lost();
    }
}

TEST(a_device_that_never_resets_does_not_take_the_place_of_the_one_before)
{
    start(2);
    block.down[0] = 1u << 2;
    look(3);
    plug(2);
    devices[2]->reset_stuck = true;
    look(12);
    assert_int_equal(machine_log_count("error", "port=1 pci=00:02.0 reason=reset-timeout"), 1);
    assert_int_equal(topology.ports[1]->state, PORT_GONE);
    crosses(1, 1);
    assert_int_equal(stats_of(1).tx_dropped, 1);
    assert_no_buffer_lost();
}

TEST(a_refilled_slot_gets_its_old_port)
{
    start(4);
    for (unsigned turn = 1; turn <= 3; turn++) {
        block.down[0] = 1u << 2;
        look(3);
        crosses(1, 2);
        plug(2);
        look(2);
        assert_int_equal(topology.port_count, 4);
        assert_int_equal(topology.ports[1]->state, PORT_UP);
        assert_int_equal(crosses(1, 2) + crosses(2, 1), 2);
        assert_int_equal(crosses(3, 4) + crosses(4, 3), 2);
        assert_int_equal(stats_of(1).tx_dropped, turn);
        assert_no_buffer_lost();
    }
    assert_int_equal(machine_log_count("wires", "wires=0-1,2-3 idle_ports=none"), 3);
    assert_int_equal(machine_log_count("error", ""), 0);
}

/* The bus complains if two devices answer one port. */
/* The host puts a card into the slot before the guest has looked whether the other one is gone. */
TEST(a_card_that_comes_the_moment_another_goes_is_that_port)
{
    start(4);
    block.down[0] = 1u << 2;
    replaced_by = 2;
    look(5);
    assert_int_equal(machine_log_count("unplug", "port=1 pci=00:02.0 reason=ejected"), 1);
    assert_int_equal(machine_log_count("error", ""), 0);
    assert_int_equal(topology.ports[1]->state, PORT_UP);
    assert_int_equal(topology.port_count, 4);
    assert_int_equal(crosses(1, 2) + crosses(2, 1), 2);
    assert_no_buffer_lost();
}

/* There was no event: a reset of the port detects it. */
TEST(a_port_whose_device_was_exchanged_starts_anew_when_it_is_reset)
{
    start(4);
    devices[2]->gone = devices[2]->pci->absent = true;
    plug(2);
    block.up[0] = 0;
    assert_true(wanted_reset(topology.ports[1]));
    look(30);
    assert_int_equal(machine_log_count("unplug", "port=1 pci=00:02.0 reason=vanished"), 1);
    assert_int_equal(topology.ports[1]->state, PORT_UP);
    assert_no_buffer_lost();
}

TEST(new_slots_get_the_next_numbers_and_addresses_of_their_own)
{
    start(3);
    assert_int_equal(topology.pairs.partner[2], PAIRS_IDLE);
    plug(5);
    look(2);
    assert_int_equal(topology.port_count, 4);
    assert_int_equal(crosses(3, 5) + crosses(5, 3), 2);
    plug(4);
    plug(6);
    look(3);
    assert_int_equal(topology.port_count, 6);
    assert_int_equal(crosses(4, 6) + crosses(6, 4), 2);
    assert_int_equal(crosses(1, 2) + crosses(2, 1), 2);
    assert_int_equal(machine_log_count("wires", "wires=0-1,2-3,4-5 idle_ports=none"), 1);
    for (unsigned slot = 4; slot <= 6; slot++) {
        assert_true(sim_pci_get(devices[slot]->pci, 0x10, 4) > 1);
        assert_true(sim_pci_get(devices[slot]->pci, 0x14, 4) >= 0xf0000000u);
    }
    assert_no_buffer_lost();
}

TEST(a_late_port_gets_the_filter_that_was_asked_for)
{
    start(1);
    machine_command_line("promisc=off allmulti=on");
    plug(2);
    look(2);
    rounds(100);
    assert_false(devices[2]->promisc);
    assert_true(devices[2]->allmulti);
}

TEST(a_late_port_gets_the_address_that_was_asked_for_its_number)
{
    static const struct mac_address wanted = {{2, 0, 0, 0, 0, 9}};

    start(1);
    machine_command_line("mac=2/02:00:00:00:00:09");
    plug(2);
    look(2);
    rounds(100);
    assert_memory_not_equal(devices[2]->filter_mac, wanted.bytes, 6);
    plug(3);
    look(2);
    rounds(100);
    assert_memory_equal(devices[3]->filter_mac, wanted.bytes, 6);
    assert_int_equal(machine_log_count("port", "mac=02:00:00:00:00:09"), 1);
}

/* An old Intel card, which is not what the host should give us. */
static struct sim_pci_function *add_card(uint8_t bus, uint8_t device, uint32_t class_code)
{
    return sim_pci_add(bus, device, 0, SIM_PCI_ID(0x8086, 0x100e), class_code);
}

TEST(a_network_card_of_another_kind_is_told_and_everything_else_is_passed_over)
{
    add_card(0, 6, 0x020000);
    add_card(0, 5, 0x030000);
    start(2);
    assert_int_equal(machine_log_count("warn", "vendor=0x8086 device=0x100e"), 1);
    add_card(0, 7, 0x020000);
    add_card(0, 4, 0x030000);
    block.up[0] = 1u << 7 | 1u << 4;
    look(3);
    assert_int_equal(machine_log_count("warn", "vendor=0x8086 device=0x100e"), 2);
    assert_int_equal(machine_log_count("warn", "pci=00:07.0 vendor=0x8086"), 1);
    assert_int_equal(topology.port_count, 2);
    assert_int_equal(ports.function_count, 1 + 4 + 2);
    block.up[0] = 1u << 7; /* it has been there for a while */
    look(1);
    assert_int_equal(machine_log_count("warn", ""), 2);
}

TEST(a_card_that_comes_behind_a_bridge_is_found_there)
{
    struct sim_pci_function *bridge = sim_pci_add(0, 7, 0, SIM_PCI_ID(0x1b36, 0x0001), 0x060400);
    sim_pci_make_bridge(bridge, 1);
    sim_pci_set(bridge, 0x1c, 2, 0xd1d1);
    sim_pci_set(bridge, 0x20, 4, 0xfe30fe20u);
    start(2);
    add_device(3);
    sim_pci_set(devices[3]->pci, 0x10, 4, 1);
    sim_pci_set(devices[3]->pci, 0x14, 4, 0);
    devices[3]->pci->bus = 1;
    block.up[1] = 1u << 3; /* on the bus that the block calls 1; its number is not known yet */
    look(2);
    assert_int_equal(topology.port_count, 3);
    assert_string_equal(topology.ports[2]->address, "01:03.0");
    assert_true(ports.hotplug.buses[1].known);
    assert_int_equal(ports.hotplug.buses[1].bus, 1);
    assert_int_equal(sim_pci_get(devices[3]->pci, 0x10, 4), 0xd001);
    assert_int_equal(crosses(1, 2), 1);
}

TEST(more_functions_than_are_kept_are_told)
{
    start(2);
    while (ports.function_count < PORTS_FUNCTIONS_MAX)
        ports.functions[ports.function_count++] =
            (struct pci_device){.bus = 9, .vendor = PCI_VENDOR_ID_NONE};
    plug(4);
    look(2);
    assert_int_equal(machine_log_count("warn", "pci=00:04.0 reason=too-many-functions"), 1);
    assert_int_equal(topology.port_count, 2);
    assert_int_equal(crosses(1, 2), 1);
}

TEST(more_cards_than_ports_at_the_start_are_told)
{
    add_host_bridge(0x1af4);
    add_device(1);
    memset(&ports, 0, sizeof(ports));
    memset(&topology, 0, sizeof(topology));
    topology.port_count = PORTS_MAX; /* as if */
    ports_find(&ports, &topology);
    assert_int_equal(machine_log_count("warn", "pci=00:01.0 reason=too-many-ports"), 1);
    assert_int_equal(topology.port_count, PORTS_MAX);
    assert_int_equal(ports.spare_count, 0);
}

TEST(a_late_port_that_cannot_start_leaves_the_others_alone)
{
    start(3);
    plug(4);
    devices[4]->page_refused = true;
    look(2);
    assert_int_equal(topology.ports[3]->state, PORT_DOWN);
    assert_int_equal(machine_log_count("error", "port=3"), 1);
    assert_int_equal(topology.pairs.partner[2], PAIRS_IDLE);
    assert_int_equal(crosses(1, 2) + crosses(2, 1), 2);
    crosses(3, 1);
    assert_int_equal(topology.lanes[2].drops[DROP_IDLE], 1);

    /* A better one in the same slot has the number. */
    block.down[0] = 1u << 4;
    look(3);
    plug(4);
    look(2);
    assert_int_equal(topology.ports[3]->state, PORT_UP);
    assert_int_equal(crosses(3, 4) + crosses(4, 3), 2);
    assert_no_buffer_lost();
}

TEST(a_late_port_that_cannot_be_driven_takes_its_number_and_no_more)
{
    start(2);
    plug(4);
    devices[4]->reset_stuck = true;
    look(13); /* it gets a second */
    assert_int_equal(machine_log_count("error", "port=2 pci=00:04.0 reason=reset-timeout"), 1);
    assert_int_equal(topology.port_count, 3);
    plug(5);
    look(2);
    assert_int_equal(topology.port_count, 4);
    assert_int_equal(machine_log_count("wires", "wires=0-1 idle_ports=2,3"), 1);
    assert_int_equal(crosses(1, 2) + crosses(2, 1), 2);
    crosses(5, 1);
    assert_int_equal(topology.lanes[3].drops[DROP_IDLE], 1);
    assert_no_buffer_lost();
}

TEST(a_device_with_other_rings_is_refused_and_the_next_is_tried)
{
    start(2);
    block.down[0] = 1u << 2;
    look(3);
    plug(2);
    devices[2]->queues[SIM_RX].size = 512;
    look(2);
    assert_int_equal(machine_log_count("error", "port=1 pci=00:02.0 reason=queue-size"), 1);
    assert_int_equal(topology.ports[1]->state, PORT_GONE);
    block.down[0] = 1u << 2;
    look(3);
    plug(2);
    look(2);
    assert_int_equal(crosses(1, 2) + crosses(2, 1), 2);
    assert_no_buffer_lost();
}

static void plug_modern(uint8_t slot)
{
    plug(slot);
    sim_virtio_net_modernise(devices[slot], MODERN_BASE + slot * SIM_MODERN_BYTES, true);
    devices[slot]->queues[SIM_RX].size = devices[slot]->queues[SIM_TX].size = 1024;
}

TEST(rings_of_a_card_that_comes_are_as_the_words_say)
{
    start(2);
    machine_command_line("tx_ring=64");
    plug_modern(4);
    look(2);
    assert_int_equal(topology.port_count, 3);
    assert_int_equal(topology.ports[2]->rx_size, 256);
    assert_int_equal(topology.ports[2]->tx_size, 64);
    assert_int_equal(devices[4]->queues[SIM_RX].size, 256);
    assert_int_equal(devices[4]->queues[SIM_TX].size, 64);
    assert_int_equal(machine_log_count("warn", "reason=ring-size"), 0);
    plug(5);
    look(2);
    assert_int_equal(topology.ports[3]->tx_size, 256);
    assert_int_equal(
        machine_log_count("warn", "port=3 reason=ring-size word=tx_ring=64 accepted=256"), 1);
}

/* The port keeps the rings' memory and size, with any size of the next device. */
TEST(the_next_device_of_a_port_uses_as_much_of_a_larger_ring)
{
    start(2);
    block.down[0] = 1u << 2;
    look(3);
    plug_modern(2);
    look(2);
    assert_int_equal(topology.port_count, 2);
    assert_int_equal(topology.ports[1]->rx_size, 256);
    assert_int_equal(devices[2]->queues[SIM_RX].size, 256);
    assert_int_equal(devices[2]->queues[SIM_TX].size, 256);
    assert_int_equal(crosses(1, 2) + crosses(2, 1), 2);
    assert_no_buffer_lost();
}

TEST(no_more_ports_than_there_is_room_for)
{
    start(1);
    topology.port_count = PORTS_MAX; /* as if */
    for (unsigned i = 1; i < PORTS_MAX; i++) {
        topology.ports[i] = topology.ports[0];
        ports.of_port[i] = ports.of_port[0];
    }
    plug(2);
    look(1);
    assert_int_equal(machine_log_count("warn", "pci=00:02.0 reason=too-many-ports"), 1);
}

/* --- where the registers are used --- */

TEST(the_registers_are_left_alone_behind_an_unknown_host_bridge)
{
    add_host_bridge(0x1234);
    add_device(1);
    assemble();
    look(3);
    assert_int_equal(block.accesses, 0);
    assert_int_equal(ports.hotplug.block, 0);
}

TEST(registers_that_give_no_plausible_answer_are_left_alone)
{
    block.lies = true;
    start(1);
    assert_int_equal(ports.hotplug.block, 0);
    setup(state);
    sim_bus_claim(0, 0, NULL, NULL);
    sim_virtio_net_remove_all();
    start(1);
    assert_int_equal(ports.hotplug.block, 0);
}

/* Behind bridges the block's own numbers say nothing of the bus: those with the same device number
 * stop for a moment, and lose nothing. */
TEST(where_the_bus_is_unknown_only_the_right_device_goes)
{
    struct sim_pci_function *bridge = sim_pci_add(0, 7, 0, SIM_PCI_ID(0x1b36, 0x0001), 0x060400);
    sim_pci_make_bridge(bridge, 1);
    add_host_bridge(0x1af4);
    for (uint8_t i = 1; i <= 2; i++)
        add_device(i);
    add_device(3);
    devices[3]->pci->bus = 1;
    devices[3]->pci->device = 2;
    assemble();
    assert_int_equal(ports.hotplug.bus_count, 2);
    block.down[1] = 1u << 2; /* device 2 of the bus that the block calls 1 */
    look(1);
    assert_string_equal(topology.ports[1]->reason, "halted");
    assert_string_equal(topology.ports[2]->reason, "halted");
    devices[2] = NULL; /* so that it is device 3 of the list that goes */
    block.sticks = true;
    devices[3]->gone = devices[3]->pci->absent = true;
    look(1);
    assert_int_equal(block.ejected, 1u << 2);
    assert_int_equal(topology.ports[1]->state, PORT_UP);
    assert_int_equal(topology.ports[2]->state, PORT_GONE);
    assert_true(ports.hotplug.buses[1].known);
    assert_int_equal(ports.hotplug.buses[1].bus, 1);
    assert_int_equal(stats_of(1).resets, 0);
}

/* --- PCI Express slots --- */

#define EXPRESS_CONTROL 0x18
#define EXPRESS_STATUS 0x1a

static struct sim_pci_function *root_port;
static uint8_t express;

/* A root port at 00:07.0 that leads to bus 1, with one device behind it. */
static void start_with_slot(void)
{
    add_host_bridge(0x1234);
    root_port = sim_pci_add(0, 7, 0, SIM_PCI_ID(0x1b36, 0x000c), 0x060400);
    sim_pci_make_bridge(root_port, 1);
    express = sim_pci_add_capability(root_port, 0x10, 0x3c);
    sim_pci_set(root_port, (uint8_t)(express + 2), 2, 0x0142); /* root port with a slot */
    sim_pci_set(root_port, (uint8_t)(express + 0x14), 4, 0x43);
    sim_pci_set(root_port, (uint8_t)(express + EXPRESS_CONTROL), 2, 0x0100);
    sim_pci_set(root_port, (uint8_t)(express + EXPRESS_STATUS), 2, 0x0040);
    memset(&root_port->writable[express + EXPRESS_CONTROL], 0xff, 4);
    add_device(1);
    add_device(2);
    devices[2]->pci->bus = 1;
    devices[2]->pci->device = 0;
    assemble();
    assert_int_equal(ports.hotplug.slot_count, 1);
    assert_int_equal(crosses(1, 2), 1);
}

static void set_slot_status(uint16_t status)
{
    sim_pci_set(root_port, (uint8_t)(express + EXPRESS_STATUS), 2, status);
}

static uint16_t slot_control(void)
{
    return (uint16_t)sim_pci_get(root_port, (uint8_t)(express + EXPRESS_CONTROL), 2);
}

TEST(the_attention_button_of_an_occupied_slot_ejects_its_device)
{
    start_with_slot();
    set_slot_status(0x0041);
    look(1);
    assert_string_equal(topology.ports[1]->reason, "halted");
    assert_int_equal(slot_control(), 0x0100);
    devices[2]->gone = devices[2]->pci->absent = true; /* QEMU does it at the write that follows */
    set_slot_status(0);
    look(1);
    assert_int_equal(slot_control(), 0x0700); /* indicator and power off */
    assert_int_equal(machine_log_count("unplug", "port=1 pci=01:00.0 reason=ejected"), 1);
    assert_no_buffer_lost();

    /* A device comes: the slot is switched on, and looked at a while later. */
    devices[2]->gone = devices[2]->pci->absent = false;
    devices[2]->status = 0;
    set_slot_status(0x0049);
    look(1);
    assert_int_equal(slot_control(), 0x0100);
    assert_int_equal(topology.ports[1]->state, PORT_GONE);
    set_slot_status(0x0040);
    look(1);
    assert_int_equal(topology.ports[1]->state, PORT_UP);
    assert_int_equal(crosses(1, 2) + crosses(2, 1), 2);
}

/* --- addresses behind a bridge --- */

TEST(addresses_behind_a_bridge_come_out_of_its_windows)
{
    start_with_slot();
    sim_pci_set(root_port, 0x1c, 2, 0xd1d1);      /* I/O 0xd000 to 0xdfff, 16 bits wide */
    sim_pci_set(root_port, 0x20, 4, 0xfe30fe20u); /* memory 0xfe200000 to 0xfe3fffff */
    struct sim_pci_function *new = sim_pci_add(1, 3, 0, SIM_PCI_ID(0x1234, 0x1111), 0x020000);
    sim_pci_add_bar(new, 0, 1, 32, 0);
    sim_pci_add_bar(new, 1, 0, 4096, 0);
    sim_pci_add_bar(new, 2, 0xc, 16384, 0);
    sim_pci_add_bar(new, 4, 0, 1u << 30, 0);
    struct pci_device device = {.bus = 1, .device = 3};
    assert_true(pci_read_function(&device));
    pci_assign_bars(&device, ports.functions, ports.function_count);
    assert_int_equal(device.bars[0].base, 0xd000);
    assert_int_equal(sim_pci_get(new, 0x10, 4), 0xd001);
    assert_int_equal(device.bars[1].base, 0xfe200000u);
    assert_int_equal(device.bars[2].base, 0xfe204000u);
    assert_int_equal(sim_pci_get(new, 0x18, 4), 0xfe20400cu);
    assert_int_equal(sim_pci_get(new, 0x1c, 4), 0);
    assert_int_equal(device.bars[4].base, 0);
    assert_int_equal(machine_log_count("warn", "pci=01:03.0 bar=4 size=0x40000000"), 1);
    assert_int_equal(sim_pci_get(root_port, 0x04, 2) & 7, 7);
}

TEST(without_a_window_it_is_said_which_address_is_missing)
{
    start_with_slot();
    sim_pci_set(root_port, 0x1c, 2, 0x00f0); /* base above limit: closed */
    struct sim_pci_function *new = sim_pci_add(1, 3, 0, SIM_PCI_ID(0x1af4, 0x1000), 0x020000);
    sim_pci_add_bar(new, 0, 1, 32, 0);
    struct pci_device device = {.bus = 1, .device = 3};
    assert_true(pci_read_function(&device));
    pci_assign_bars(&device, ports.functions, ports.function_count);
    assert_int_equal(device.bars[0].base, 0);
    assert_int_equal(machine_log_count("warn", "pci=01:03.0 bar=0 size=0x20 reason=\"no room in "
                                               "the I/O window of its bridge\""),
                     1);
}
