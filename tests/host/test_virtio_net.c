/* A virtio-net port's life against the simulated device: from probe to DRIVER_OK. */
#include <stdio.h>
#include <string.h>

#include <machine/clock.h>

#include "tests/host/fixture/test.h"
#include "tests/host/fixture/virtio_fixture.h"
#include "tests/host/fixture/wanted.h"
#include "tests/host/sim/machine.h"

/* ---- initialisation ---- */

TEST_FIXTURE(.setup = fixture_setup, .teardown = fixture_teardown, .variants = fixture_variants);

TEST(initialisation_writes_status_by_the_book)
{
    static const uint8_t legacy[] = {0, 1, 1 | 2, 1 | 2 | 4};
    static const uint8_t modern[] = {0, 1, 1 | 2, 1 | 2 | 8, 1 | 2 | 8 | 4};
    const size_t count = fixture_is_modern() ? sizeof(modern) : sizeof(legacy);

    fixture_start_one(SIM_FEATURES_USUAL);
    assert_int_equal(one->net->status_write_count, count);
    assert_memory_equal(one->net->status_writes, fixture_is_modern() ? modern : legacy, count);
}

TEST(the_rx_ring_is_full_before_driver_ok)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    assert_int_equal(one->net->rx_posted_at_driver_ok, 256);
    assert_int_equal(one->net->queues[SIM_RX].doorbells, 1);
    assert_int_equal(one->net->queues[SIM_TX].doorbells, 0);
}

TEST(fewer_rx_buffers_are_posted_when_memory_is_short)
{
    fixture_probe_one(SIM_FEATURES_USUAL);
    assert_true(fixture_start_with(one, 40));
    assert_int_equal(one->net->rx_posted_at_driver_ok, 40);
    fixture_forward(one, 500);
}

TEST(a_slow_reset_is_waited_for)
{
    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->reset_delay_ns = 900 * CLOCK_NS_PER_MS;
    machine_clock_step(CLOCK_NS_PER_US);
    fixture_probe_all(1);
    assert_string_equal(one->dev->reason, "probed");
    assert_true(machine_clock_now() >= 900 * CLOCK_NS_PER_MS);
    assert_true(fixture_start(one));
}

TEST(a_reset_that_never_ends_is_given_up_after_a_second)
{
    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->reset_stuck = true;
    machine_clock_step(CLOCK_NS_PER_US);
    fixture_probe_all(1);
    assert_int_equal(one->dev->state, PORT_DOWN);
    assert_true(machine_clock_now() >= CLOCK_NS_PER_S);
    assert_true(machine_clock_now() < CLOCK_NS_PER_S + CLOCK_NS_PER_MS);
    assert_int_equal(machine_log_count("error", "port=0 pci=00:01.0 reason=reset-timeout "), 1);
    assert_true(one->net->status & 0x80);
}

TEST(status_after_driver_ok_is_judged_bit_by_bit)
{
    static const struct {
        uint8_t set, cleared, read;
    } rows[] = {
        {0x80, 0, 0x87}, /* FAILED */
        {0x40, 0, 0x47}, /* DEVICE_NEEDS_RESET */
        {0, 0x04, 0x03}, /* no DRIVER_OK */
        {0, 0xff, 0x00}, {0xff, 0, 0xff},
    };
    char told[32];

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL);
        one->net->status_set = rows[i].set;
        one->net->status_cleared = rows[i].cleared;
        fixture_probe_all(1);
        assert_false(fixture_start(one));
        assert_int_equal(one->dev->state, PORT_DOWN);
        snprintf(told, sizeof(told), "status=0x%02x",
                 rows[i].read == 0 ? 0 : fixture_status(rows[i].read));
        assert_int_equal(machine_log_count("error", told), 1);
        assert_true(one->net->status & 0x80);
    }
}

/* A packed ring may have other sizes than powers of two. */
TEST(a_queue_size_that_cannot_be_refuses_the_port)
{
    static const uint16_t bad[] = {0, 32769, 65535, 3, 100, 257, 32767};

    for (unsigned queue = SIM_RX; queue <= SIM_TX; queue++) {
        for (unsigned i = 0; i < (fixture_is_packed() ? 3 : sizeof(bad) / sizeof(bad[0])); i++) {
            char told[64];

            fixture_renew(state);
            fixture_add(0, SIM_FEATURES_USUAL);
            one->net->queues[queue].size = bad[i];
            fixture_probe_all(1);
            assert_int_equal(one->dev->state, PORT_DOWN);
            snprintf(told, sizeof(told), "reason=queue-size queue=%u size=%u ", queue, bad[i]);
            assert_int_equal(machine_log_count("error", told), 1);
            assert_int_equal(one->net->status, fixture_status(1 | 2 | 0x80));
        }
    }
}

TEST(queues_of_every_size_carry_frames)
{
    for (uint32_t size = 1; size <= 32768; size *= 2) {
        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL);
        one->net->queues[SIM_RX].size = one->net->queues[SIM_TX].size = (uint16_t)size;
        fixture_options.rx_ring = fixture_options.tx_ring = size;
        fixture_probe_all(1);
        assert_int_equal(one->dev->rx_size, size);
        assert_int_equal(one->dev->tx_size, size);
        assert_true(fixture_start(one));
        assert_int_equal(one->net->rx_posted_at_driver_ok, size);
        for (unsigned i = 0; i < 5; i++)
            fixture_forward(one, size < BURST ? size : BURST);
    }
}

TEST_ON(a_packed_ring_of_an_odd_size_is_cut_to_a_power_of_two, FIXTURE_PACKED)
{
    static const struct {
        uint16_t stated, used;
    } sizes[] = {{1, 1}, {3, 2}, {100, 64}, {257, 256}, {32767, 16384}};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL);
        one->net->queues[SIM_RX].size = one->net->queues[SIM_TX].size = sizes[i].stated;
        fixture_options.rx_ring = fixture_options.tx_ring = 32768;
        fixture_probe_all(1);
        assert_int_equal(one->dev->rx_size, sizes[i].used);
        assert_int_equal(one->dev->tx_size, sizes[i].used);
        assert_true(fixture_start(one));
        for (unsigned round = 0; round < 5; round++)
            fixture_forward(one, sizes[i].used < BURST ? sizes[i].used : BURST);
        assert_int_equal(machine_log_count("error", ""), 0);
    }
}

/* Only the modern interface lets the driver take less than is stated (§4.1.4.3). */
TEST(a_ring_has_256_descriptors_or_what_its_word_says_where_there_is_a_choice)
{
    static const struct {
        uint16_t stated, word, used;
    } rows[] = {
        {1024, 0, 256},     {256, 0, 256},   {128, 0, 128},       {32768, 0, 256},
        {1024, 512, 512},   {1024, 16, 16},  {256, 64, 64},       {256, 256, 256},
        {1024, 1024, 1024}, {256, 512, 256}, {1024, 32768, 1024},
    };

    for (unsigned i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        const bool tx = i % 2 == 1;
        const uint16_t stated = rows[i / 2].stated, word = rows[i / 2].word;
        const uint16_t used = fixture_is_modern() ? rows[i / 2].used : stated;
        const bool warned = word != 0 && word != used;
        char told[128];

        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL);
        one->net->queues[tx ? SIM_TX : SIM_RX].size = stated;
        *(tx ? &fixture_options.tx_ring : &fixture_options.rx_ring) = word;
        fixture_probe_all(1);
        assert_int_equal(tx ? one->dev->tx_size : one->dev->rx_size, used);
        assert_int_equal(tx ? one->dev->rx_size : one->dev->tx_size, 256);
        assert_true(fixture_start(one));
        assert_int_equal(one->net->queues[tx ? SIM_TX : SIM_RX].size, used);
        fixture_forward(one, used < BURST ? used : 600);
        snprintf(
            told, sizeof(told), "port=0 reason=ring-size word=%s_ring=%u accepted=%u detail=\"%s",
            tx ? "tx" : "rx", word, used,
            fixture_is_modern() ? "the device states no more" : "a legacy device has rings of its");
        assert_int_equal(machine_log_count("warn", told), warned);
        assert_int_equal(machine_log_count("warn", ""), warned);
    }
}

TEST(a_small_ring_is_the_same_after_a_reset)
{
    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->queues[SIM_RX].size = one->net->queues[SIM_TX].size = 1024;
    fixture_options.tx_ring = 512;
    fixture_probe_all(1);
    assert_true(fixture_start(one));
    const uint32_t rx_size = one->dev->rx_size, tx_size = one->dev->tx_size;
    const size_t warnings = machine_log_count("warn", "");

    assert_int_equal(rx_size, fixture_is_modern() ? 256 : 1024);
    assert_int_equal(tx_size, fixture_is_modern() ? 512 : 1024);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(wanted_reset(one->dev));
        one->dev->ops->service(one->dev, clock_ns());
        assert_int_equal(one->dev->state, PORT_UP);
        assert_int_equal(one->net->queues[SIM_RX].size, rx_size);
        assert_int_equal(one->net->queues[SIM_TX].size, tx_size);
        fixture_forward(one, 600);
    }
    assert_int_equal(machine_log_count("warn", ""), warnings); /* it was logged once */
}

TEST_ON(one_descriptor_is_too_few_where_the_header_needs_its_own, FIXTURE_LEGACY)
{
    fixture_add(0, SIM_FEATURES_USUAL & ~SIM_F(ANY_LAYOUT));
    one->net->queues[SIM_TX].size = 1;
    fixture_probe_all(1);
    assert_int_equal(one->dev->state, PORT_DOWN);
    assert_int_equal(machine_log_count("error", "reason=queue-size queue=1 size=1 "), 1);
}

TEST_ON(a_ring_that_the_device_does_not_take_refuses_the_port, FIXTURE_LEGACY)
{
    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->page_refused = true;
    fixture_probe_all(1);
    assert_false(fixture_start(one));
    assert_int_equal(one->dev->state, PORT_DOWN);
    assert_int_equal(machine_log_count("error", "reason=queue-address queue=0 "), 1);
    assert_int_equal(one->net->status, 1 | 2 | 0x80);
}

TEST(a_port_without_memory_for_its_rings_is_refused)
{
    fixture_add(0, SIM_FEATURES_USUAL);
    machine_memory_limit(20000);
    fixture_probe_all(1);
    assert_int_equal(one->dev->state, PORT_DOWN);
    assert_int_equal(machine_log_count("error", "reason=memory queue=1 size=256 "), 1);
}

TEST_ON(a_device_without_a_usable_interface_is_named, FIXTURE_LEGACY)
{
    static const char *const legacy[] = {"legacy=\"not a transitional device\"",
                                         "legacy=\"its I/O ports were given no address\"",
                                         "legacy=\"no I/O ports in BAR 0\""};

    for (unsigned way = 0; way < 3; way++) {
        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL);
        if (way == 0)
            sim_pci_set(one->net->pci, 0x02, 2, 0x1041);
        if (way == 1)
            sim_pci_set(one->net->pci, 0x10, 4, 1); /* the firmware gave it no ports */
        if (way == 2)
            sim_pci_add_bar(one->net->pci, 0, 0, 4096, 0xfec00000);
        fixture_probe_all(1);
        assert_true(virtio_net_matches(&devices[0]));
        assert_int_equal(one->dev->state, PORT_DOWN);
        assert_int_equal(machine_log_count("error", "port=0 pci=00:01.0 reason=no-transport"), 1);
        assert_int_equal(machine_log_count("error", "modern=\"no usable common "), 1);
        assert_int_equal(machine_log_count("error", legacy[way]), 1);
        assert_int_equal(one->net->status_write_count, 0);
    }
}

TEST(a_refused_port_does_not_start_and_swallows_nothing)
{
    struct batch batch;
    struct port_setup nothing = {0};

    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->queues[SIM_RX].size = 0;
    fixture_probe_all(1);
    assert_false(one->dev->ops->start(one->dev, &nothing));
    assert_false(one->dev->ops->arm(one->dev, 0, PORT_RX)); /* it has nothing that could come */
    assert_false(one->dev->ops->arm(one->dev, 0, PORT_TX));
    one->dev->ops->disarm(one->dev, 0);
    one->dev->ops->disarm(one->dev, 0);
    assert_int_equal(wanted_filling(one->dev).tx_unsent, 0);
    assert_int_equal(fixture_receive(one, &batch), 0);
    assert_false(wanted_promisc(one->dev, true));
}

TEST(more_queues_than_the_port_has_are_refused_by_number)
{
    struct port_setup with = {.rx_queues = 2, .tx_queues = 1};

    fixture_probe_one(SIM_FEATURES_USUAL);
    assert_int_equal(one->dev->num_rx_queues, 1);
    assert_int_equal(one->dev->num_tx_queues, 1);
    assert_false(one->dev->ops->start(one->dev, &with));
    assert_int_equal(one->dev->state, PORT_DOWN);
    assert_int_equal(machine_log_count("error", "reason=queues rx_queues=2 tx_queues=1 "), 1);
    fixture_renew(state);
    fixture_probe_one(SIM_FEATURES_USUAL);
    with = (struct port_setup){.rx_queues = 1, .tx_queues = 2};
    assert_false(one->dev->ops->start(one->dev, &with));
    assert_int_equal(machine_log_count("error", "reason=queues rx_queues=1 tx_queues=2 "), 1);
}

TEST(a_lane_that_does_not_fit_the_port_is_refused)
{
    struct pool pool = {.capacity = 100, .frame_max = 1599};
    struct port_setup with = {.rx_queues = 1,
                              .tx_queues = 1,
                              .rx = {{.pool = &pool, .buffers = 10}},
                              .tx = {{.pool = &pool}}};

    fixture_probe_one(SIM_FEATURES_USUAL);
    assert_false(one->dev->ops->start(one->dev, &with));
    assert_int_equal(
        machine_log_count("error", "reason=mtu-changed mtu=0 frame=1600 accepted=1599"), 1);
    fixture_renew(state);
    fixture_probe_one(SIM_FEATURES_USUAL);
    pool.frame_max = 1600;
    with.rx[0].buffers = 0;
    assert_false(one->dev->ops->start(one->dev, &with));
    assert_int_equal(machine_log_count("error", "reason=memory rx_buffers=0 remedy="), 1);
    assert_int_equal(one->dev->state, PORT_DOWN);
}

TEST(a_port_that_only_sends_posts_nothing)
{
    fixture_probe_one(SIM_FEATURES_USUAL);
    const struct port_setup with = {.tx_queues = 1, .tx = {{.pool = &one->pool}}};
    assert_true(one->dev->ops->start(one->dev, &with));
    assert_int_equal(one->dev->state, PORT_UP);
    assert_int_equal(sim_virtio_net_available(one->net, SIM_RX), 0);
}

TEST(only_transitional_and_modern_network_devices_match)
{
    struct pci_device device = {.vendor = 0x1af4, .device_id = 0x1000};

    assert_true(virtio_net_matches(&device));
    device.device_id = 0x1041;
    assert_true(virtio_net_matches(&device));
    device.device_id = 0x1001; /* a disk */
    assert_false(virtio_net_matches(&device));
    device = (struct pci_device){.vendor = 0x8086, .device_id = 0x1000};
    assert_false(virtio_net_matches(&device));
}

/* ---- features ---- */

TEST(features_are_taken_when_offered_and_wanted)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    assert_int_equal(one->net->driver_features, fixture_taken(SIM_FEATURES_USUAL & WANTED));
    assert_int_equal(machine_log_count("features", "port=0 "), 1);
}

TEST(of_all_bits_only_the_wanted_ones_are_taken)
{
    fixture_start_one(UINT64_MAX);
    assert_int_equal(one->net->driver_features, fixture_taken(WANTED));
    fixture_forward(one, 100);
}

TEST(frames_pass_with_any_one_feature_missing)
{
    for (unsigned bit = 0; bit < fixture_feature_bits(); bit++) {
        uint64_t expected = fixture_taken(WANTED & ~(1ull << bit));

        if (bit == SIM_F_CTRL_VQ)
            expected &= ~(SIM_F(CTRL_RX) | SIM_F(CTRL_RX_EXTRA) | SIM_F(CTRL_MAC_ADDR) |
                          SIM_F(GUEST_ANNOUNCE) | SIM_F(CTRL_GUEST_OFFLOADS) | SIM_F(MQ));
        if (bit == SIM_F_CTRL_RX)
            expected &= ~SIM_F(CTRL_RX_EXTRA);
        fixture_renew(state);
        fixture_start_one(~(1ull << bit));
        assert_int_equal(fixture_taken(one->net->features | 3ull << 34),
                         fixture_taken(~(1ull << bit) | 3ull << 34));
        assert_int_equal(one->net->driver_features, expected);
        fixture_forward(one, 300);
    }
}

TEST(frames_pass_with_any_one_feature_alone)
{
    for (unsigned bit = 0; bit < fixture_feature_bits(); bit++) {
        uint64_t expected = fixture_taken(WANTED & 1ull << bit);

        if (bit == SIM_F_CTRL_RX || bit == SIM_F_CTRL_RX_EXTRA || bit == SIM_F_CTRL_MAC_ADDR ||
            bit == SIM_F_GUEST_ANNOUNCE || bit == SIM_F_CTRL_GUEST_OFFLOADS || bit == SIM_F_MQ)
            expected = fixture_taken(0); /* §5.1.3.1: nothing without CTRL_VQ */
        fixture_renew(state);
        fixture_start_one(1ull << bit);
        assert_int_equal(one->net->driver_features, expected);
        fixture_forward(one, 300);
    }
}

TEST(frames_pass_without_any_feature)
{
    const uint32_t frames = fixture_is_modern() ? 256 : 128; /* there: two descriptors a frame */

    fixture_start_one(0);
    assert_int_equal(one->net->driver_features, fixture_taken(0));
    assert_int_equal(one->dev->rx_size, frames);
    assert_int_equal(one->dev->tx_size, frames);
    assert_int_equal(one->net->rx_posted_at_driver_ok, frames);
    fixture_forward(one, 1000);
}

/* ---- configuration ---- */

TEST(the_mac_is_the_one_of_the_device)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    assert_memory_equal(one->dev->mac.bytes, one->net->mac, 6);
}

TEST(a_mac_that_changes_while_it_is_read_is_not_half_of_either)
{
    static const uint8_t later[6] = {0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee};

    fixture_add(0, SIM_FEATURES_USUAL);
    memcpy(one->net->mac_later, later, sizeof(later));
    fixture_probe_all(1);
    assert_memory_equal(one->dev->mac.bytes, later, sizeof(later));
}

TEST(without_a_mac_each_port_gets_a_local_one_of_its_own)
{
    struct mac_address macs[2];

    for (unsigned boot = 0; boot < 16; boot++) { /* each at another moment */
        fixture_renew(state);
        machine_clock_advance(boot * 12345);
        fixture_add(0, SIM_FEATURES_USUAL & ~SIM_F(MAC));
        fixture_add(1, SIM_FEATURES_USUAL & ~SIM_F(MAC));
        fixture_probe_all(2);
        for (unsigned i = 0; i < 2; i++) {
            macs[i] = fixtures[i].dev->mac;
            assert_int_equal(macs[i].bytes[0] & 3, 2); /* local, not a group */
        }
        assert_memory_not_equal(&macs[0], &macs[1], 6);
    }
}

TEST(a_group_or_zero_mac_is_replaced_with_a_warning)
{
    for (unsigned way = 0; way < 2; way++) {
        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL);
        memset(one->net->mac, way == 0 ? 0 : 0xff, 6);
        fixture_probe_all(1);
        assert_int_equal(one->dev->mac.bytes[0] & 3, 2);
        assert_int_equal(machine_log_count("warn", "port=0 reason=mac "), 1);
    }
}

TEST(the_configuration_moves_when_msix_is_enabled)
{
    fixture_add(0, SIM_FEATURES_USUAL | SIM_F(MTU));
    one->net->mtu = 1400;
    sim_virtio_net_enable_msix(one->net);
    fixture_probe_all(1);
    assert_true(fixture_start(one));
    assert_memory_equal(one->dev->mac.bytes, one->net->mac, 6);
    assert_int_equal(one->dev->mtu, 1400);
    assert_true(one->dev->link_up);
    fixture_forward(one, 100);
}

TEST(a_stated_mtu_is_agreed_to_with_buffers_that_hold_it)
{
    fixture_add(0, SIM_FEATURES_USUAL | SIM_F(MTU));
    one->net->mtu = 9000;
    fixture_probe_all(1);
    assert_int_equal(one->dev->mtu, 9000);
    assert_true(one->dev->frame_max >= 14 + 4 + 9000);
    assert_int_equal(fixture_took(0, SIM_F_MTU), 1);
}

TEST(an_mtu_that_cannot_be_is_not_agreed_to)
{
    static const uint16_t bad[] = {0, 67, 9217, 65535};

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL | SIM_F(MTU));
        one->net->mtu = bad[i];
        fixture_probe_all(1);
        assert_string_equal(one->dev->reason, "probed");
        assert_int_equal(fixture_took(0, SIM_F_MTU), 0);
        assert_int_equal(machine_log_count("warn", "reason=mtu "), 1);
        assert_true(one->dev->frame_max < 2000);
    }
}

TEST(an_mtu_that_grows_after_it_was_read_makes_no_larger_buffers)
{
    fixture_add(0, SIM_FEATURES_USUAL | SIM_F(MTU));
    one->net->mtu = 1500;
    one->net->mtu_later = 65535;
    fixture_probe_all(1);
    assert_true(one->dev->mtu <= 9216);
    assert_true(one->dev->frame_max <= 9216 + 14 + 8);
}

TEST_ON(registers_beyond_the_bar_are_not_touched, FIXTURE_LEGACY)
{
    /* 24 bytes of registers and 12 of configuration do not fit into 32 ports. */
    fixture_add(0, SIM_FEATURES_USUAL | SIM_F(MTU));
    sim_pci_add_bar(one->net->pci, 0, 1, 32, 0xc040);
    sim_virtio_net_enable_msix(one->net);
    fixture_add(1, SIM_FEATURES_USUAL);
    sim_pci_add_bar(fixtures[1].net->pci, 0, 1, 32, 0xc060); /* the neighbour watches */
    sim_pci_set(fixtures[1].net->pci, 0x04, 2, 1);
    fixture_probe_all(2);
    assert_true(one->dev->state == PORT_DOWN || fixture_took(0, SIM_F_MTU) == 0);
}

TEST(link_status_is_read_where_offered_and_else_taken_as_up)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    assert_true(one->dev->link_up);
    for (uint16_t down = 0; down <= 2; down += 2) { /* an announcement is no link */
        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL);
        one->net->link_status = down;
        fixture_probe_all(1);
        assert_true(fixture_start(one));
        assert_false(one->dev->link_up);
    }
    fixture_renew(state);
    fixture_add(0, SIM_FEATURES_USUAL & ~SIM_F(STATUS));
    one->net->link_status = 0;
    fixture_probe_all(1);
    assert_true(fixture_start(one));
    assert_true(one->dev->link_up);
}

TEST(speed_is_never_invented)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    assert_int_equal(wanted_description(one->dev).speed, 0);
    port_report(one->dev);
    assert_int_equal(machine_log_count("port", "link=up speed=unknown duplex=unknown"), 1);
}

TEST(the_port_event_tells_what_was_found)
{
    char told[256];

    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->queues[SIM_RX].size = 512;
    fixture_options.rx_ring = 512;
    fixture_probe_all(1);
    assert_true(fixture_start_with(one, 300));
    port_report(one->dev);
    snprintf(told, sizeof(told),
             " id=0 pci=00:01.0 driver=virtio-net transport=%s mac=52:54:00:12:34:01 rx_size=512 "
             "tx_size=256 rx_buffers=300 mtu=1500 link=up ",
             fixture_is_modern() ? "modern" : "legacy");
    assert_int_equal(machine_log_count("port", told), 1);
}
