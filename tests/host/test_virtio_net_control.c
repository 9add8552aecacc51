/* The control queue of virtio-net against the simulated device: drivers/virtio/virtio_net_control.c. */
#include <string.h>
#include <stdio.h>

#include <machine/clock.h>

#include "tests/host/fixture/test.h"
#include "tests/host/fixture/virtio_fixture.h"
#include "tests/host/fixture/wanted.h"
#include "tests/host/sim/machine.h"

TEST_FIXTURE(.setup = fixture_setup, .teardown = fixture_teardown, .variants = fixture_variants);

TEST(promiscuous_mode_goes_on_off_and_on_again)
{
    static const uint64_t features[] = {SIM_FEATURES_USUAL, SIM_FEATURES_USUAL & ~SIM_F(ANY_LAYOUT),
                                        SIM_F(CTRL_VQ) | SIM_F(CTRL_RX)};

    for (unsigned i = 0; i < 3; i++) {
        fixture_renew(state);
        fixture_start_one(features[i]);
        for (unsigned on = 1; on < 6; on++) {
            assert_true(wanted_promisc(one->dev, on % 2 != 0));
            assert_int_equal(one->net->promisc, on % 2);
            assert_true(wanted_allmulti(one->dev, on % 2 != 0));
            assert_int_equal(one->net->allmulti, on % 2);
        }
        assert_int_equal(machine_log_count("warn", ""), 0);
    }
}

TEST(the_mac_is_set_by_command)
{
    static const struct mac_address mac = {{0x02, 1, 2, 3, 4, 5}};
    static const uint64_t features[] = {SIM_FEATURES_USUAL,
                                        SIM_FEATURES_USUAL & ~SIM_F(ANY_LAYOUT)};

    for (unsigned i = 0; i < 2; i++) {
        fixture_renew(state);
        fixture_start_one(features[i]);
        assert_true(wanted_mac(one->dev, mac));
        assert_memory_equal(one->net->filter_mac, mac.bytes, 6);
        assert_memory_equal(one->dev->mac.bytes, mac.bytes, 6);
        assert_int_equal(one->net->commands, 1);
    }
}

TEST_ON(without_the_command_the_mac_is_written_into_the_configuration, FIXTURE_LEGACY)
{
    static const struct mac_address mac = {{0x02, 1, 2, 3, 4, 5}};

    fixture_start_one(SIM_FEATURES_USUAL & ~SIM_F(CTRL_MAC_ADDR));
    assert_true(wanted_mac(one->dev, mac));
    assert_memory_equal(one->net->mac, mac.bytes, 6);
    assert_memory_equal(one->dev->mac.bytes, mac.bytes, 6);
    assert_int_equal(one->net->commands, 0);
}

/* With VERSION_1 the configuration is read-only (§5.1.4). */
TEST_ON(without_the_command_a_modern_device_keeps_its_mac, FIXTURE_MODERN_ALL)
{
    static const struct mac_address mac = {{0x02, 1, 2, 3, 4, 5}};

    fixture_start_one(SIM_FEATURES_USUAL & ~SIM_F(CTRL_MAC_ADDR));
    assert_false(wanted_mac(one->dev, mac));
    assert_int_equal(machine_log_count("warn", "reason=control-not-offered command=mac"), 1);
    assert_memory_equal(one->dev->mac.bytes, one->net->mac, 6);
}

TEST(a_mode_that_was_not_offered_is_refused_with_a_warning)
{
    static const uint32_t missing[] = {SIM_F(CTRL_VQ), SIM_F(CTRL_RX)};

    for (unsigned i = 0; i < 2; i++) {
        fixture_renew(state);
        fixture_start_one(SIM_FEATURES_USUAL & ~missing[i]);
        assert_false(wanted_promisc(one->dev, true));
        assert_false(wanted_allmulti(one->dev, true));
        assert_int_equal(machine_log_count("warn", "port=0 reason=control-not-offered "), 3);
        assert_int_equal(one->net->commands, 0);
        assert_int_equal(one->dev->state, PORT_UP);
    }
}

TEST(a_refused_command_is_reported)
{
    struct mac_address before;

    fixture_start_one(SIM_FEATURES_USUAL);
    before = one->dev->mac;
    one->net->answer = SIM_ANSWER_REFUSE;
    assert_false(wanted_promisc(one->dev, false));
    assert_false(wanted_mac(one->dev, (struct mac_address){{2, 0, 0, 0, 0, 1}}));
    assert_memory_equal(one->dev->mac.bytes, before.bytes, 6);
    assert_int_equal(machine_log_count("warn", "port=0 reason=control-refused "), 4);
    one->net->answer = SIM_ANSWER_OK;
    assert_true(wanted_promisc(one->dev, true));
    one->net->answer = SIM_ANSWER_BLANK; /* neither yes nor no is no yes, nor the last one's yes */
    assert_false(wanted_promisc(one->dev, true));
    assert_int_equal(one->dev->state, PORT_UP);
}

TEST(a_late_answer_is_waited_for)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    machine_clock_step(CLOCK_NS_PER_US);
    one->net->answer = SIM_ANSWER_LATE;
    one->net->answer_delay_ns = 900 * CLOCK_NS_PER_MS;
    assert_true(wanted_promisc(one->dev, true));
    assert_true(machine_clock_now() >= 900 * CLOCK_NS_PER_MS);
}

TEST(a_command_that_is_never_answered_costs_one_second_once)
{
    uint64_t before;

    fixture_start_one(SIM_FEATURES_USUAL);
    machine_clock_step(CLOCK_NS_PER_US);
    one->net->answer = SIM_ANSWER_NEVER;
    before = machine_clock_now();
    assert_false(wanted_promisc(one->dev, true));
    assert_true(machine_clock_now() - before >= CLOCK_NS_PER_S);
    assert_true(machine_clock_now() - before < CLOCK_NS_PER_S + CLOCK_NS_PER_MS);
    before = machine_clock_now();
    for (unsigned i = 0; i < 100; i++)
        assert_false(wanted_promisc(one->dev, i % 2 != 0));
    assert_true(machine_clock_now() - before < 10 * CLOCK_NS_PER_MS);
    assert_int_equal(machine_log_count("warn", "port=0 reason=control-no-answer "), 252);
    assert_int_equal(one->dev->state, PORT_UP);
    fixture_forward(one, 100);
}

TEST(a_control_queue_that_is_too_small_is_not_used)
{
    static const uint16_t sizes[] = {0, 1, 2, 3, 65535};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL);
        one->net->queues[SIM_CONTROL].size = sizes[i];
        fixture_probe_all(1);
        assert_true(fixture_start(one));
        assert_int_equal(machine_log_count("warn", "port=0 reason=control-queue-too-small "), 1);
        assert_int_equal(one->net->driver_features,
                         fixture_taken(SIM_FEATURES_USUAL & WANTED &
                                       ~(SIM_F(CTRL_VQ) | SIM_F(CTRL_RX) | SIM_F(CTRL_RX_EXTRA) |
                                         SIM_F(CTRL_MAC_ADDR) | SIM_F(GUEST_ANNOUNCE))));
        fixture_forward(one, 100);
    }
}

TEST(the_smallest_usable_control_queue_carries_every_command)
{
    fixture_add(0, SIM_FEATURES_USUAL & ~SIM_F(ANY_LAYOUT));
    one->net->queues[SIM_CONTROL].size = 4;
    fixture_probe_all(1);
    assert_true(fixture_start(one));
    for (unsigned i = 0; i < 100; i++)
        assert_true(wanted_promisc(one->dev, i % 2 != 0));
}

TEST(no_answer_ever_interrupts)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    for (unsigned i = 0; i < 70000; i++) /* once round the 16-bit index */
        assert_true(wanted_allmulti(one->dev, i % 2 != 0));
    assert_int_equal(one->net->queues[SIM_CONTROL].interrupts, 0);
}

TEST(switching_promiscuous_mode_off_empties_the_address_table)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    one->net->table_entries = 7; /* left by firmware */
    assert_true(wanted_promisc(one->dev, false));
    assert_int_equal(one->net->table_entries, 0);
}

/* Housekeeping, a millisecond apart. */
static void serve(unsigned times)
{
    while (times-- > 0) {
        machine_clock_advance(CLOCK_NS_PER_MS);
        one->dev->ops->service(one->dev, machine_clock_now());
    }
}

TEST(a_filter_that_is_wanted_reaches_the_device_without_waiting)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    assert_true(wanted_promisc(one->dev, true));
    one->net->table_entries = 7;
    one->net->answer = SIM_ANSWER_LATE;
    one->net->answer_delay_ns = 50 * CLOCK_NS_PER_MS;
    machine_clock_step(CLOCK_NS_PER_US);
    const uint64_t before = machine_clock_now();
    port_want_filter(one->dev, false, true);
    assert_true(machine_clock_now() - before < CLOCK_NS_PER_MS);
    serve(1000);
    assert_false(one->net->promisc);
    assert_true(one->net->allmulti);
    assert_int_equal(one->net->table_entries, 0);
    /* Another wish while the first is on its way: the last one counts. */
    port_want_filter(one->dev, true, true);
    serve(10);
    port_want_filter(one->dev, false, false);
    port_want_filter(one->dev, true, false);
    serve(1000);
    assert_true(one->net->promisc);
    assert_false(one->net->allmulti);
    assert_int_equal(machine_log_count("warn", ""), 0);
}

/* An acknowledgement is always on its way. */
static void serve_while_it_asks(unsigned times)
{
    while (times-- > 0) {
        one->net->link_status |= VIRTIO_NET_S_ANNOUNCE;
        serve(1);
        (void)clock_ns(); /* time passes for the device too */
    }
}

TEST(a_device_that_asks_for_announcements_without_end_gets_its_settings)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    one->net->answer = SIM_ANSWER_LATE;
    one->net->answer_delay_ns = 20 * CLOCK_NS_PER_MS;
    serve_while_it_asks(100);
    assert_true(fixture_stats_of(one).announces > 2);
    assert_true(one->dev->settled);
    port_want_filter(one->dev, false, true);
    serve_while_it_asks(200);
    assert_true(one->dev->settled);
    assert_false(one->net->promisc);
    assert_true(one->net->allmulti);
}

TEST(a_command_that_is_out_when_the_control_queue_goes_is_forgotten)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    one->net->answer = SIM_ANSWER_NEVER;
    port_want_filter(one->dev, false, true);
    serve(2);
    assert_true(((const struct virtio_net *)one->dev)->control.pending);
    one->net->features = fixture_taken(SIM_F(MAC));
    assert_true(wanted_reset(one->dev));
    serve(100);
    assert_int_equal(one->dev->state, PORT_UP);
    assert_true(one->dev->settled);
    fixture_forward(one, 100);
}

static const struct mac_address wished = {{2, 0, 0, 0, 0, 9}};

static bool is_wished(const uint8_t bytes[static 6])
{
    return memcmp(bytes, wished.bytes, sizeof(wished.bytes)) == 0;
}

static bool port_has_wished(void)
{
    const struct mac_address mac = one->dev->mac;

    return is_wished(mac.bytes);
}

TEST(an_address_that_is_wanted_reaches_the_device_and_survives_a_reset)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    const uint64_t before = machine_clock_now();
    port_want_mac(one->dev, wished);
    assert_true(machine_clock_now() - before < CLOCK_NS_PER_MS);
    assert_false(port_has_wished()); /* not before the device has taken it */
    serve(100);
    assert_true(is_wished(one->net->filter_mac) && port_has_wished());
    memset(one->net->filter_mac, 0, 6);
    assert_true(wanted_reset(one->dev));
    serve(1000);
    assert_true(is_wished(one->net->filter_mac) && port_has_wished());
    assert_int_equal(machine_log_count("warn", ""), 0);
}

TEST(an_address_that_the_device_refuses_is_not_the_ports)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    one->net->answer = SIM_ANSWER_REFUSE;
    port_want_mac(one->dev, wished);
    serve(100);
    assert_int_equal(machine_log_count("warn", "reason=control-refused command=mac"), 1);
    assert_false(port_has_wished());
    fixture_renew(state);
    fixture_start_one(SIM_FEATURES_USUAL);
    assert_true(wanted_mac(one->dev, wished));
    one->net->answer = SIM_ANSWER_REFUSE;
    assert_true(wanted_reset(one->dev));
    serve(1000);
    assert_false(port_has_wished()); /* it had its own again, and kept it */
}

TEST(a_filter_that_cannot_be_or_is_refused_is_warned_of)
{
    fixture_start_one(SIM_FEATURES_USUAL & ~SIM_F(CTRL_RX));
    port_want_filter(one->dev, false, false);
    serve(10);
    assert_int_equal(machine_log_count("warn", "port=0 reason=control-not-offered "), 1);
    fixture_renew(state);
    fixture_start_one(SIM_FEATURES_USUAL);
    one->net->answer = SIM_ANSWER_REFUSE;
    port_want_filter(one->dev, false, false);
    serve(100);
    assert_int_equal(machine_log_count("warn", "port=0 reason=control-refused "), 3);
    assert_int_equal(one->dev->state, PORT_UP);
    fixture_forward(one, 100);
}

TEST(a_filter_is_wanted_of_a_port_that_is_being_reset_and_survives)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    assert_true(wanted_reset(one->dev));
    port_want_filter(one->dev, false, true);
    serve(1000);
    assert_int_equal(one->dev->state, PORT_UP);
    assert_false(one->net->promisc);
    assert_true(one->net->allmulti);
}

TEST_ON(a_wanted_address_without_the_command_is_written_once_the_device_is_there, FIXTURE_LEGACY)
{
    fixture_start_one(SIM_FEATURES_USUAL & ~SIM_F(CTRL_MAC_ADDR));
    port_want_mac(one->dev, wished);
    serve(1);
    assert_true(is_wished(one->net->mac) && port_has_wished());
    assert_true(wanted_reset(one->dev));
    memset(one->net->mac, 2, 6);
    port_want_mac(one->dev, wished);
    assert_false(is_wished(one->net->mac));
    serve(1000);
    assert_true(is_wished(one->net->mac) && port_has_wished());
}

TEST_ON(a_wanted_address_without_the_command_cannot_be_a_modern_devices, FIXTURE_MODERN_ALL)
{
    fixture_start_one(SIM_FEATURES_USUAL & ~SIM_F(CTRL_MAC_ADDR));
    assert_false(wanted_mac(one->dev, wished));
    assert_int_equal(machine_log_count("warn", "reason=control-not-offered command=mac"), 1);
    assert_false(is_wished(one->net->mac) || port_has_wished());
}

TEST(the_status_tells_where_the_buffers_are)
{
    struct port_description status;
    struct port_filling filling;
    char expected[64];
    struct batch batch;

    fixture_start_one(SIM_F(MAC) | SIM_F(STATUS) | SIM_F(ANY_LAYOUT));
    status = wanted_description(one->dev);
    const uint64_t accesses = sim_bus_accesses();
    filling = wanted_filling(one->dev);
    assert_int_equal(sim_bus_accesses(), accesses);
    assert_string_equal(status.transport, fixture_is_modern() ? "modern" : "legacy");
    assert_int_equal(filling.rx_buffers, one->dev->rx_size);
    assert_int_equal(filling.tx_frames, 0);
    snprintf(expected, sizeof(expected), "MAC,STATUS,ANY_LAYOUT%s%s",
             fixture_is_modern() ? ",VERSION_1" : "", fixture_is_packed() ? ",RING_PACKED" : "");
    assert_string_equal(status.features_text, expected);
    fixture_deliver(one, 5);
    assert_int_equal(fixture_receive(one, &batch), 5);
    assert_int_equal(fixture_transmit(one, &batch), 5);
    filling = wanted_filling(one->dev);
    assert_int_equal(filling.rx_buffers, one->dev->rx_size - 5); /* refilled by the burst */
    assert_int_equal(filling.tx_frames, 5);
    assert_int_equal(one->pool.count + filling.rx_buffers + filling.tx_frames, one->pool.capacity);
}

/* Else it would receive frames for an address that is never announced. */
TEST(a_device_that_states_a_group_address_gets_a_usable_one)
{
    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->mac[0] |= 1;
    fixture_probe_all(1);
    assert_true(fixture_start(one));
    for (unsigned i = 0; i < 20; i++)
        one->dev->ops->service(one->dev, clock_ns());
    const struct mac_address mac = one->dev->mac;
    assert_int_equal(mac.bytes[0] & 3, 2);
    assert_memory_equal(one->net->filter_mac, mac.bytes, sizeof(mac.bytes));
}
