/* The modern interface: drivers/virtio/virtio_pci_region.c and drivers/virtio/virtio_pci_modern.c. */
#include <stdio.h>
#include <string.h>

#include <machine/clock.h>
#include <machine/io.h>
#include <machine/memory.h>

#include "tests/host/fixture/test.h"
#include "tests/host/fixture/virtio_fixture.h"
#include "tests/host/fixture/wanted.h"
#include "tests/host/sim/machine.h"

#define BASE 0xe000000000ULL
#define PORTS 0xd000

/* Fields of a capability, virtio 1.2 §4.1.4. */
enum { NEXT = 1, LEN = 2, TYPE = 3, BAR = 4, OFFSET = 8, LENGTH = 12, MULTIPLIER = 16 };

static const char *const structures[] = {
    [SIM_COMMON] = "common", [SIM_NOTIFY] = "notify", [SIM_ISR] = "isr", [SIM_DEVICE] = "device"};

/* A transitional device with both interfaces at their best. */
static void add_transitional(void)
{
    one->net = sim_virtio_net_add(1, SIM_FEATURES_USUAL);
    sim_virtio_net_modernise(one->net, BASE, false);
}

static void set_capability(enum sim_structure structure, unsigned field, unsigned width,
                           uint32_t value)
{
    sim_pci_set(one->net->pci, (uint8_t)(one->net->modern.capabilities[structure] + field), width,
                value);
}

/* No way round: what cannot be reached by its BAR cannot be reached at all. */
static void remove_window(void)
{
    set_capability(SIM_WINDOW, TYPE, 1, 0x77);
}

static void probe(enum virtio_net_transport choice)
{
    assert_int_equal(pci_scan(devices, FIXTURES_MAX), 1);
    one->dev = virtio_net_probe(&devices[0], 0, &(struct virtio_net_options){.transport = choice});
    if (one->dev->state == PORT_STARTING)
        (void)one->dev->ops->negotiate(one->dev, 0, PORT_FRAME_USUAL);
}

static const char *transport(void)
{
    const struct virtio_net *net = (const struct virtio_net *)one->dev;

    return net->virtio.transport != NULL ? net->virtio.transport->name : "none";
}

static void assert_forwards_by(const char *name)
{
    assert_string_equal(transport(), name);
    assert_true(fixture_start(one));
    fixture_forward(one, 600);
}

static void assert_refused(const char *reason)
{
    char told[128];

    snprintf(told, sizeof(told), "port=0 pci=00:01.0 reason=%s", reason);
    if (machine_log_count("error", told) != 1)
        machine_log_print();
    assert_int_equal(machine_log_count("error", told), 1);
    assert_int_equal(one->dev->state, PORT_DOWN);
}

/* ---- which transport ---- */

TEST_FIXTURE(.setup = fixture_setup, .teardown = fixture_teardown, .variants = fixture_variants,
             .run_on = FIXTURE_MODERN);

TEST(modern_is_preferred_and_the_word_forces_either)
{
    static const struct {
        enum virtio_net_transport choice;
        const char *name;
    } rows[] = {
        {TRANSPORT_AUTO, "modern"}, {TRANSPORT_LEGACY, "legacy"}, {TRANSPORT_MODERN, "modern"}};

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fixture_renew(state);
        add_transitional();
        probe(rows[i].choice);
        assert_forwards_by(rows[i].name);
        assert_int_equal(machine_log_count("warn", ""), 0);
    }
}

TEST(a_transport_that_is_forced_and_missing_refuses_the_port)
{
    fixture_add(0, SIM_FEATURES_USUAL);
    probe(TRANSPORT_LEGACY);
    assert_refused("no-transport");
    assert_int_equal(machine_log_count("error", "device=0x1041 modern=\"transport=legacy asked "
                                                "for\" legacy=\"not a transitional device\""),
                     1);
    fixture_renew(state);
    one->net = sim_virtio_net_add(1, SIM_FEATURES_USUAL);
    probe(TRANSPORT_MODERN);
    assert_refused("no-transport");
    assert_int_equal(machine_log_count("error", "modern=\"no usable common configuration structure"
                                                "\" legacy=\"transport=modern asked for\""),
                     1);
}

/* An I/O window without an address, as behind a root port. */
TEST(without_ports_the_modern_interface_is_used)
{
    add_transitional();
    sim_pci_set(one->net->pci, 0x10, 4, 1);
    probe(TRANSPORT_AUTO);
    assert_forwards_by("modern");
}

/* ---- capabilities ---- */

struct defect {
    unsigned field, width;
    uint32_t value;
    const char *told;
};

static const struct defect defects[] = {
    {LEN, 1, 0, "cap_len=0x0"},
    {LEN, 1, 15, "cap_len=0xf"},
    {BAR, 1, 6, "bar=0x6"},
    {BAR, 1, 255, "bar=0xff"},
    {BAR, 1, 3, "absent_bar=0x3"},
    {BAR, 1, 5, "absent_bar=0x5"}, /* the upper half of BAR 4 */
    {LENGTH, 4, 0, "length=0x0"},
    {LENGTH, 4, 0x4004, "end_beyond_bar="},
    {LENGTH, 4, 0xffffffff, "end_beyond_bar="},
    {OFFSET, 4, 0x4000, "end_beyond_bar="},
    {OFFSET, 4, 0xfffff000, "end_beyond_bar=0x100000000"}, /* wraps to 0 in 32 bits */
};

TEST(a_capability_that_makes_no_sense_is_named_and_legacy_used)
{
    for (unsigned structure = SIM_COMMON; structure <= SIM_DEVICE; structure++) {
        for (unsigned i = 0; i < sizeof(defects) / sizeof(defects[0]); i++) {
            const struct defect *defect = &defects[i];
            char told[128];

            fixture_renew(state);
            add_transitional();
            set_capability(structure, defect->field, defect->width, defect->value);
            probe(TRANSPORT_AUTO);
            snprintf(told, sizeof(told),
                     "pci=00:01.0 reason=virtio-capability structure=%s at=0x%02x %s",
                     structures[structure], one->net->modern.capabilities[structure], defect->told);
            if (machine_log_count("warn", told) != 1)
                machine_log_print();
            assert_int_equal(machine_log_count("warn", told), 1);
            assert_forwards_by("legacy");
        }
    }
}

TEST(a_structure_that_is_missing_refuses_a_modern_device)
{
    for (unsigned structure = SIM_COMMON; structure <= SIM_DEVICE; structure++) {
        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL);
        set_capability(structure, TYPE, 1, 0x77); /* of an unknown type */
        probe(TRANSPORT_AUTO);
        assert_refused("no-transport");
        assert_int_equal(machine_log_count("error", "modern=\"no usable "), 1);
        assert_int_equal(machine_log_count("warn", ""), 0); /* what is unknown is passed over */
        assert_int_equal(one->net->status_write_count, 0);
    }
}

TEST(structures_that_are_too_short_or_misaligned_are_not_used)
{
    static const struct {
        enum sim_structure structure;
        struct defect defect;
    } rows[] = {
        {SIM_COMMON, {LENGTH, 4, 55, "length=0x37"}}, {SIM_NOTIFY, {LENGTH, 4, 1, "length=0x1"}},
        {SIM_COMMON, {OFFSET, 4, 2, "offset=0x2"}},   {SIM_DEVICE, {OFFSET, 4, 2, "offset=0x2"}},
        {SIM_NOTIFY, {OFFSET, 4, 1, "offset=0x1"}},   {SIM_NOTIFY, {LEN, 1, 16, "cap_len=0x10"}},
    };

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct defect *defect = &rows[i].defect;

        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL);
        set_capability(rows[i].structure, defect->field, defect->width, defect->value);
        probe(TRANSPORT_AUTO);
        assert_refused("no-transport");
        assert_int_equal(machine_log_count("warn", defect->told), 1);
    }
}

/* §4.1.4.1: later versions may add fields to a capability, and to a structure. */
TEST(what_is_longer_than_is_known_is_used_all_the_same)
{
    for (unsigned structure = SIM_COMMON; structure <= SIM_DEVICE; structure++) {
        uint32_t offset;

        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL);
        offset = sim_pci_get(one->net->pci, one->net->modern.capabilities[structure] + OFFSET, 4);
        set_capability(structure, LEN, 1, 24);
        set_capability(structure, LENGTH, 4, 0x4000 - offset); /* to the BAR's end */
        probe(TRANSPORT_AUTO);
        assert_forwards_by("modern");
        assert_int_equal(machine_log_count("warn", ""), 0);
    }
}

/* §4.1.4.1: in the order of the list, the first that can be used. */
TEST(of_several_structures_of_a_kind_the_first_usable_one_counts)
{
    static const uint8_t bars[] = {3, 7};

    for (unsigned structure = SIM_COMMON; structure <= SIM_DEVICE; structure++) {
        for (unsigned i = 0; i < sizeof(bars); i++) {
            uint32_t offset;

            fixture_renew(state);
            fixture_add(0, SIM_FEATURES_USUAL);
            offset =
                sim_pci_get(one->net->pci, one->net->modern.capabilities[structure] + OFFSET, 4);
            sim_modern_add_capability(one->net, structure, SIM_MODERN_BAR, offset, 0x1000);
            set_capability(structure, BAR, 1, bars[i]);
            probe(TRANSPORT_AUTO);
            assert_forwards_by("modern");
            assert_int_equal(machine_log_count("warn", "virtio-capability"), 1);
        }
        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL);
        sim_modern_add_capability(one->net, structure, 7, 0, 0x1000); /* too late to be looked at */
        probe(TRANSPORT_AUTO);
        assert_forwards_by("modern");
        assert_int_equal(machine_log_count("warn", ""), 0);
    }
}

TEST(a_list_that_leads_back_into_itself_ends_where_it_does)
{
    for (unsigned structure = SIM_COMMON; structure <= SIM_WINDOW; structure++) {
        fixture_renew(state);
        add_transitional();
        set_capability(structure, NEXT, 1, one->net->modern.capabilities[SIM_COMMON]);
        probe(TRANSPORT_AUTO);
        assert_forwards_by(structure == SIM_NOTIFY || structure == SIM_WINDOW ? "modern"
                                                                              : "legacy");
    }
}

TEST(a_capability_at_the_end_of_configuration_space_is_not_read_past_it)
{
    add_transitional();
    set_capability(SIM_WINDOW, NEXT, 1, 0xfc);
    sim_pci_set(one->net->pci, 0xfc, 4, 0x01140009); /* vendor, the last, 20 bytes, common */
    set_capability(SIM_COMMON, BAR, 1, 7);
    probe(TRANSPORT_AUTO);
    assert_forwards_by("legacy");
}

/* Its first 16 bytes are there, and the multiplier behind them is not. */
TEST(a_capability_that_the_end_cuts_off_is_not_used)
{
    add_transitional();
    set_capability(SIM_WINDOW, NEXT, 1, 0xf0);
    memcpy(&one->net->pci->config[0xf0],
           &one->net->pci->config[one->net->modern.capabilities[SIM_NOTIFY]], 16);
    sim_pci_set(one->net->pci, 0xf0 + NEXT, 1, 0);
    set_capability(SIM_NOTIFY, BAR, 1, 7);
    probe(TRANSPORT_AUTO);
    assert_int_equal(machine_log_count("warn", "structure=notify at=0xf0 cap_len=0x14"), 1);
    assert_forwards_by("legacy");
}

/* ---- BARs ---- */

TEST(structures_in_a_bar_of_32_bits_are_reached)
{
    one->net = sim_virtio_net_add(1, SIM_FEATURES_USUAL);
    sim_virtio_net_modernise(one->net, 0, true);
    sim_pci_add_bar(one->net->pci, SIM_MODERN_BAR, 0, SIM_MODERN_BYTES, 0xfebf0000);
    sim_pci_add_bar(one->net->pci, SIM_MODERN_BAR + 1, 0, SIM_MODERN_BYTES, 0xfebe0000);
    probe(TRANSPORT_MODERN);
    assert_forwards_by("modern");
}

/* A BAR over RAM, one that no page table can reach, and one for which there is no page table. */
TEST(a_bar_that_cannot_be_mapped_is_named)
{
    for (unsigned way = 0; way < 3; way++) {
        const uint64_t ram = io_physical(memory_alloc(4096, 0x4000));
        const uint64_t bases[] = {ram, 1ULL << 47, BASE};

        fixture_renew(state);
        one->net = sim_virtio_net_add(1, SIM_FEATURES_USUAL);
        sim_virtio_net_modernise(one->net, bases[way], true);
        remove_window();
        if (way == 2)
            sim_bus_refuse_mapping();
        probe(TRANSPORT_AUTO);
        assert_refused("no-transport");
        assert_int_equal(machine_log_count("warn", "structure=common at=0x4c unreachable_bar=0x"),
                         1);
    }
}

/* §4.1.4.9: configuration space has a window for that. */
TEST(a_bar_without_an_address_is_reached_through_the_window)
{
    one->net = sim_virtio_net_add(1, SIM_FEATURES_USUAL);
    sim_virtio_net_modernise(one->net, 0, true);
    probe(TRANSPORT_AUTO);
    assert_forwards_by("modern");
    assert_true(one->net->modern.window_accesses > 100);
}

TEST(a_window_that_is_too_short_is_no_way_in)
{
    one->net = sim_virtio_net_add(1, SIM_FEATURES_USUAL);
    sim_virtio_net_modernise(one->net, 0, true);
    set_capability(SIM_WINDOW, LEN, 1, 16);
    probe(TRANSPORT_AUTO);
    assert_refused("no-transport");
}

/* ---- doorbells ---- */

TEST(the_doorbell_is_at_the_offset_that_the_queue_states)
{
    static const struct {
        uint32_t multiplier;
        uint16_t off[SIM_QUEUES];
    } rows[] = {
        {4, {0, 1, 2}},  {2, {2, 0, 1}},     {0, {0, 0, 0}},
        {8, {7, 3, 50}}, {1, {0, 4094, 20}}, {0x800, {1, 0, 1}},
    };

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL);
        one->net->modern.multiplier = rows[i].multiplier;
        set_capability(SIM_NOTIFY, MULTIPLIER, 4, rows[i].multiplier);
        memcpy(one->net->modern.notify_off, rows[i].off, sizeof(rows[i].off));
        probe(TRANSPORT_AUTO);
        assert_forwards_by("modern");
        assert_true(wanted_promisc(one->dev, true));
        for (unsigned queue = 0; queue < SIM_QUEUES; queue++)
            assert_true(one->net->queues[queue].doorbells > 0);
    }
}

/* §4.1.5.2, NOTIF_CONFIG_DATA. */
TEST(the_doorbell_says_what_the_device_wants_to_hear)
{
    static const uint16_t data[SIM_QUEUES] = {0xffff, 0, 0x1234};

    for (unsigned taken = 0; taken < 2; taken++) {
        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL | (taken ? SIM_F(NOTIF_CONFIG_DATA) : 0));
        memcpy(one->net->modern.notify_data, data, sizeof(data));
        fixture_probe_all(1);
        assert_forwards_by("modern");
        assert_true(wanted_promisc(one->dev, true));
        assert_int_equal(fixture_took(0, SIM_F_NOTIF_CONFIG_DATA), taken);
        for (unsigned queue = 0; queue < SIM_QUEUES; queue++)
            assert_true(one->net->queues[queue].doorbells > 0);
    }
}

TEST(a_doorbell_beyond_its_structure_refuses_the_port)
{
    static const struct {
        uint32_t multiplier;
        uint16_t off;
    } rows[] = {{4, 0x400}, {1, 4095}, {0xffffffff, 0xffff}, {0x80000000, 2}};

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL);
        set_capability(SIM_NOTIFY, MULTIPLIER, 4, rows[i].multiplier);
        one->net->modern.notify_off[SIM_TX] = rows[i].off;
        fixture_probe_all(1);
        assert_false(fixture_start(one));
        assert_refused("doorbell queue=1");
    }
}

TEST(doorbells_at_ports_are_rung_where_there_are_no_others)
{
    fixture_add(0, SIM_FEATURES_USUAL);
    sim_pci_add_bar(one->net->pci, SIM_MODERN_PORTS, 1, 16, PORTS);
    sim_modern_add_capability(one->net, SIM_NOTIFY, SIM_MODERN_PORTS, 0, 16);
    set_capability(SIM_NOTIFY, TYPE, 1, 0x77);
    probe(TRANSPORT_AUTO);
    assert_forwards_by("modern");
    assert_int_equal(((struct virtio_net *)one->dev)->virtio.modern.doorbells[1].port, PORTS + 4);
}

/* ---- features ---- */

TEST(without_version_1_the_modern_interface_is_refused)
{
    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->features &= ~SIM_F(VERSION_1);
    fixture_probe_all(1);
    assert_refused("no-version-1");
    assert_int_equal(machine_log_count("error", "remedy=\"transport=legacy\""), 1);
    assert_int_equal(one->net->driver_features, 0);
}

/* As QEMU's, where a vhost back end knows nothing newer. */
TEST(a_transitional_device_without_version_1_is_driven_by_legacy)
{
    add_transitional();
    one->net->features &= ~SIM_F(VERSION_1);
    probe(TRANSPORT_AUTO);
    assert_forwards_by("legacy");
    fixture_renew(state);
    add_transitional();
    one->net->features &= ~SIM_F(VERSION_1);
    probe(TRANSPORT_MODERN);
    assert_refused("no-version-1");
}

TEST(features_that_the_device_takes_back_are_named)
{
    fixture_add(0, SIM_F(MAC) | SIM_F(STATUS));
    one->net->modern.features_refused = true;
    fixture_probe_all(1);
    assert_refused("features-refused");
    assert_int_equal(machine_log_count("error", "features=MAC,STATUS,VERSION_1 bits=0x100010020"),
                     1);
    assert_int_equal(one->net->status, 1 | 2 | 0x80);
}

TEST(a_structure_without_queue_reset_does_without_it)
{
    static const uint32_t lengths[] = {56, 59, 60};

    for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL | SIM_F(RING_RESET));
        set_capability(SIM_COMMON, LENGTH, 4, lengths[i]);
        fixture_probe_all(1);
        assert_int_equal(fixture_took(0, SIM_F_RING_RESET), lengths[i] == 60);
        assert_forwards_by("modern");
    }
}

/* ---- configuration ---- */

TEST(configuration_that_changes_while_it_is_read_is_read_again)
{
    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->modern.generation_moves = 5;
    fixture_probe_all(1);
    assert_int_equal(one->net->modern.generation_moves, 0);
    assert_forwards_by("modern");
}

TEST(configuration_that_never_stands_still_refuses_the_port)
{
    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->modern.generation_moves = SIM_ALWAYS;
    fixture_probe_all(1);
    assert_refused("config-generation generation=17 tries=16");
}

TEST(configuration_beyond_its_structure_is_not_there)
{
    fixture_add(0, SIM_FEATURES_USUAL | SIM_F(MTU));
    set_capability(SIM_DEVICE, LENGTH, 4, 11); /* half of mtu */
    fixture_probe_all(1);
    assert_int_equal(fixture_took(0, SIM_F_MTU), 0);
    assert_int_equal(machine_log_count("warn", "reason=mtu mtu=65535 "), 1);
    assert_forwards_by("modern");
}

/* §5.1.4: above 0x7fffffff the speed is unknown, and so is a duplex that is neither. */
TEST(speed_and_duplex_are_told_as_the_device_states_them)
{
    static const struct {
        uint32_t speed, shown;
        uint8_t duplex;
        const char *told;
    } rows[] = {
        {10000, 10000, 1, "speed=10000 duplex=full features="},
        {100, 100, 0, "speed=100 duplex=half features="},
        {0x7fffffff, 0x7fffffff, 2, "speed=2147483647 duplex=unknown features="},
        {0x80000000, 0, 1, "speed=unknown duplex=full features="},
        {0xffffffff, 0, 0xff, "speed=unknown duplex=unknown features="},
        {0, 0, 1, "speed=unknown duplex=full features="},
    };

    fixture_start_one(SIM_FEATURES_USUAL | SIM_F(SPEED_DUPLEX));
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        machine_log_forget();
        one->net->speed = rows[i].speed; /* changed while it runs: the next question shows it */
        one->net->duplex = rows[i].duplex;
        assert_int_equal(wanted_description(one->dev).speed, rows[i].shown);
        port_report(one->dev);
        assert_int_equal(machine_log_count("port", rows[i].told), 1);
    }
    one->net->speed = 1000;
    one->net->modern.generation_moves = 4;
    assert_int_equal(wanted_description(one->dev).speed, 1000);
    one->net->modern.generation_moves = SIM_ALWAYS;
    assert_int_equal(wanted_description(one->dev).speed, 0);
}

/* ---- queues ---- */

/* Rings of 32768 take 1.3 MiB with what is kept beside them, of 16384 half of that. */
#define MEMORY_FOR_HALF ((420 + 256 + 64) * 1024)

TEST(a_queue_is_made_smaller_when_memory_is_short)
{
    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->queues[SIM_RX].size = 32768;
    fixture_options.rx_ring = 32768;
    machine_memory_limit(MEMORY_FOR_HALF);
    fixture_probe_all(1);
    assert_int_equal(
        machine_log_count("warn", "port=0 reason=memory queue=0 size=16384 stated=32768"), 1);
    assert_int_equal(one->dev->rx_size, 16384);
    machine_memory_limit(200 << 20);
    assert_forwards_by("modern");
    assert_int_equal(one->net->queues[SIM_RX].size, 16384);
    assert_int_equal(one->net->queues[SIM_TX].size, 256);
}

/* Registers that can be written are expected, not relied upon: a ring of 1024 carries frames, too. */
TEST(a_device_that_keeps_its_size_gets_a_ring_of_that)
{
    static const uint32_t words[] = {0, 64};

    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        char told[96];

        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL);
        one->net->queues[SIM_TX].size = 1024;
        one->net->modern.size_kept = true;
        fixture_options.tx_ring = words[i];
        fixture_probe_all(1);
        snprintf(told, sizeof(told),
                 "port=0 reason=ring-size word=tx_ring=%u accepted=1024 detail=",
                 words[i] != 0 ? words[i] : 256);
        assert_int_equal(machine_log_count("warn", told), 1);
        assert_int_equal(machine_log_count("warn", ""), 1);
        assert_int_equal(one->dev->tx_size, 1024);
        assert_forwards_by("modern");
        assert_true(wanted_reset(one->dev));
        one->dev->ops->service(one->dev, clock_ns());
        assert_int_equal(one->net->queues[SIM_TX].size, 1024);
        fixture_forward(one, 2000);
    }
}

TEST(a_device_that_answers_with_a_third_size_is_refused)
{
    static const uint16_t lies[] = {1, 128, 255, 257, 512, 2048, 65535};

    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        char told[64];

        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL);
        one->net->queues[SIM_RX].size = 1024;
        one->net->modern.size_lie = lies[i];
        fixture_probe_all(1);
        snprintf(told, sizeof(told), "queue-size-kept queue=0 size=256 kept=%u", lies[i]);
        assert_refused(told);
    }
}

TEST(a_device_that_changes_its_mind_about_a_size_is_refused)
{
    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->queues[SIM_RX].size = 1024;
    fixture_probe_all(1);
    assert_int_equal(one->dev->rx_size, 256);
    one->net->queues[SIM_RX].size = 1024; /* as if nothing had been written */
    one->net->modern.size_kept = true;
    assert_false(fixture_start(one));
    assert_refused("queue-size-kept queue=0 size=256");
}

TEST(a_size_that_is_stated_as_wanted_is_not_written)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    assert_int_equal(one->net->modern.size_writes, 0);
}

TEST(the_control_queue_keeps_the_size_that_is_stated)
{
    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->queues[SIM_CONTROL].size = 1024;
    fixture_options.rx_ring = fixture_options.tx_ring = 64;
    fixture_probe_all(1);
    assert_forwards_by("modern");
    assert_int_equal(one->net->queues[SIM_CONTROL].size, 1024);
    assert_true(wanted_promisc(one->dev, true));
}

TEST(a_queue_that_stays_larger_than_wanted_refuses_the_port)
{
    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->queues[SIM_RX].size = 32768;
    one->net->modern.size_kept = true;
    fixture_options.rx_ring = 32768;
    machine_memory_limit(MEMORY_FOR_HALF);
    fixture_probe_all(1);
    machine_memory_limit(200 << 20);
    assert_false(fixture_start(one));
    assert_refused("queue-size-kept queue=0");
}

TEST(a_queue_that_does_not_become_enabled_refuses_the_port)
{
    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->modern.enable_refused = true;
    fixture_probe_all(1);
    assert_false(fixture_start(one));
    assert_refused("queue-not-enabled queue=0");
}

TEST(a_device_that_is_gone_is_given_up)
{
    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->gone = true;
    machine_clock_step(CLOCK_NS_PER_US);
    fixture_probe_all(1);
    assert_refused("reset-timeout status=0xff");
}
