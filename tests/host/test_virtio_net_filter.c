/*
 * The control queue besides modes and address: tables of addresses and of VLANs, offloads, and a
 * reset of the queue alone.
 */
#include <string.h>

#include <machine/clock.h>

#include "drivers/virtio/virtio_net_internal.h"
#include "tests/host/fixture/test.h"
#include "tests/host/fixture/virtio_fixture.h"
#include "tests/host/fixture/wanted.h"
#include "tests/host/sim/machine.h"

#define STEP_NS (10 * CLOCK_NS_PER_MS)

static const struct mac_address station = {{0x02, 0, 0, 0, 0, 7}};
static const struct mac_address group = {{0x01, 0, 0x5e, 0, 0, 7}};

static void serve(uint64_t ns)
{
    for (uint64_t passed = 0; passed < ns; passed += STEP_NS) {
        machine_clock_advance(STEP_NS);
        one->dev->ops->service(one->dev, clock_ns());
    }
}

static void reset_by_a_device_error(void)
{
    struct batch batch;

    one->net->queues[SIM_RX].fault = SIM_LENGTH_MAX;
    fixture_deliver(one, 1);
    assert_int_equal(fixture_receive(one, &batch), 0);
    fixture_notice(one);
    assert_string_equal(one->dev->reason, "resetting");
    serve(CLOCK_NS_PER_S);
    assert_int_equal(one->dev->state, PORT_UP);
}

static void start_with_vlans(uint64_t features)
{
    fixture_vlan = true;
    fixture_start_one(features);
}

static const struct virtio_net_control *control(void)
{
    return &((const struct virtio_net *)one->dev)->control;
}

/* ---- addresses ---- */

TEST_FIXTURE(.setup = fixture_setup, .teardown = fixture_teardown, .variants = fixture_variants);

TEST(addresses_go_into_the_table_of_their_kind)
{
    static const uint64_t features[] = {SIM_FEATURES_USUAL,
                                        SIM_FEATURES_USUAL & ~SIM_F(ANY_LAYOUT)};

    for (unsigned i = 0; i < 2; i++) {
        fixture_renew(state);
        fixture_start_one(features[i]);
        assert_true(wanted_promisc(one->dev, false));
        assert_true(wanted_address(one->dev, group));
        assert_true(wanted_address(one->dev, station));
        assert_int_equal(one->net->table_entries, 2);
        assert_int_equal(one->net->multicast_entries, 1);
        assert_memory_equal(one->net->table[0], station.bytes, 6);
        assert_memory_equal(one->net->table[1], group.bytes, 6);
    }
}

TEST(a_table_takes_as_many_as_it_says_and_refuses_one_more)
{
    struct mac_address mac = station;

    fixture_start_one(SIM_FEATURES_USUAL);
    for (unsigned kind = 0; kind < 2; kind++, mac = group) {
        for (uint8_t i = 0; i < PORT_FILTER_MAX; i++) {
            mac.bytes[5] = i;
            assert_true(wanted_address(one->dev, mac));
        }
        assert_false(wanted_address(one->dev, mac));
        assert_int_equal(machine_log_count("warn", "port=0 reason=filter-full command=mac-table "),
                         kind + 1);
    }
    assert_int_equal(one->net->table_entries, 2 * PORT_FILTER_MAX);
    assert_int_equal(one->net->multicast_entries, PORT_FILTER_MAX);
    mac.bytes[5] = PORT_FILTER_MAX - 1;
    assert_memory_equal(one->net->table[2 * PORT_FILTER_MAX - 1], mac.bytes, 6);
}

TEST(an_address_that_the_device_refuses_is_tried_again_with_the_next_one)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    one->net->answer = SIM_ANSWER_REFUSE;
    assert_false(wanted_address(one->dev, station));
    one->net->answer = SIM_ANSWER_OK;
    assert_true(wanted_address(one->dev, group));
    assert_int_equal(one->net->table_entries, 2);
    assert_memory_equal(one->net->table[0], station.bytes, 6);
    assert_memory_equal(one->net->table[1], group.bytes, 6);
}

TEST(without_the_feature_an_address_is_refused_with_a_warning)
{
    fixture_start_one(SIM_FEATURES_USUAL & ~SIM_F(CTRL_RX));
    assert_false(wanted_address(one->dev, station));
    assert_int_equal(
        machine_log_count("warn", "port=0 reason=control-not-offered command=mac-table"), 1);
}

/* ---- VLANs ---- */

/* Accepted and left empty, the filter would keep every tagged frame out. */
TEST(the_vlan_filter_is_not_taken_where_no_vlan_is_asked_for)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    assert_false(fixture_took(0, SIM_F_CTRL_VLAN));
    assert_false(wanted_vlan(one->dev, 5));
    assert_int_equal(machine_log_count("warn", "port=0 reason=control-not-offered command=vlan"),
                     1);
}

TEST(vlans_are_given_to_the_device_one_by_one)
{
    start_with_vlans(SIM_FEATURES_USUAL);
    assert_true(fixture_took(0, SIM_F_CTRL_VLAN));
    assert_true(wanted_settle(one->dev)); /* FIXTURE_VLAN */
    assert_true(wanted_vlan(one->dev, PORT_VLAN_MAX));
    assert_int_equal(one->net->vlan_count, 2);
    assert_int_equal(one->net->vlans[0], 0);
    assert_int_equal(one->net->vlans[1], PORT_VLAN_MAX);
    for (uint16_t i = 2; i < PORT_FILTER_MAX; i++)
        assert_true(wanted_vlan(one->dev, i));
    assert_false(wanted_vlan(one->dev, 100));
    assert_int_equal(machine_log_count("warn", "port=0 reason=filter-full command=vlan "), 1);
    assert_int_equal(one->net->vlan_count, PORT_FILTER_MAX);
}

TEST(a_vlan_that_does_not_exist_is_our_own_mistake)
{
    start_with_vlans(SIM_FEATURES_USUAL);
    assert_true(machine_panics(wanted_vlan(one->dev, PORT_VLAN_MAX + 1)));
}

/* ---- after a reset ---- */

TEST(tables_and_vlans_survive_a_reset)
{
    start_with_vlans(SIM_FEATURES_USUAL);
    assert_true(wanted_promisc(one->dev, false));
    assert_true(wanted_address(one->dev, station));
    assert_true(wanted_address(one->dev, group));
    for (uint16_t id = 10; id < 15; id++)
        assert_true(wanted_vlan(one->dev, id));
    assert_true(wanted_promisc(one->dev, true)); /* it may go off again */
    reset_by_a_device_error();
    assert_int_equal(one->net->table_entries, 2);
    assert_int_equal(one->net->multicast_entries, 1);
    assert_int_equal(one->net->vlan_count, 6);
    assert_int_equal(one->net->vlans[0], FIXTURE_VLAN);
    for (uint16_t i = 0; i < 5; i++)
        assert_int_equal(one->net->vlans[i + 1], 10 + i);
}

/* The device must get each once and the new one last, in either order. */
TEST(a_vlan_that_is_added_while_others_are_given_again_spoils_none)
{
    start_with_vlans(SIM_FEATURES_USUAL);
    for (uint16_t id = 10; id < 13; id++)
        assert_true(wanted_vlan(one->dev, id));
    reset_by_a_device_error();
    one->net->vlan_count = 0;
    virtio_net_settings_restart((struct virtio_net *)one->dev);
    assert_true(wanted_vlan(one->dev, 13));
    assert_int_equal(one->net->vlan_count, 5);
    assert_int_equal(one->net->vlans[0], FIXTURE_VLAN);
    for (uint16_t i = 0; i < 4; i++)
        assert_int_equal(one->net->vlans[i + 1], 10 + i);
}

/* ---- offloads ---- */

TEST(offloads_in_use_are_set_by_a_command)
{
    struct virtio_net *net;
    enum virtio_net_control_result result;

    fixture_start_one(SIM_FEATURES_USUAL | SIM_F(CTRL_GUEST_OFFLOADS));
    assert_true(fixture_took(0, SIM_F_CTRL_GUEST_OFFLOADS));
    net = (struct virtio_net *)one->dev;
    result = virtio_net_control_set_offloads(&net->control, 0);
    while (result == CONTROL_PENDING)
        result = virtio_net_control_poll(&net->control);
    assert_int_equal(result, CONTROL_OK);
    assert_int_equal(one->net->offloads, 0);
}

/* ---- a queue that falls silent (§2.6.1) ---- */

#define WITH_RESET (SIM_FEATURES_USUAL | SIM_F(RING_RESET))

TEST_ON(a_silent_control_queue_is_reset_alone_and_goes_on, FIXTURE_MODERN_ALL)
{
    fixture_start_one(WITH_RESET);
    machine_clock_step(CLOCK_NS_PER_US);
    one->net->answer = SIM_ANSWER_NEVER;
    port_want_filter(one->dev, false, true);
    while (machine_log_count("warn", "reason=control-no-answer") == 0)
        one->dev->ops->service(one->dev, clock_ns());
    assert_int_equal(one->net->modern.queue_resets, 1);
    one->net->answer = SIM_ANSWER_OK;
    fixture_forward(one, 100);
    assert_true(wanted_settle(one->dev));
    assert_true(one->net->allmulti);
    assert_int_equal(one->net->resets, 1); /* the one at start-up */
    assert_int_equal(one->dev->state, PORT_UP);
    assert_int_equal(machine_log_count("error", ""), 0);
}

TEST_ON(a_queue_that_is_silent_again_is_left_alone, FIXTURE_MODERN_ALL)
{
    uint64_t before;

    fixture_start_one(WITH_RESET);
    machine_clock_step(CLOCK_NS_PER_US);
    one->net->answer = SIM_ANSWER_NEVER;
    before = machine_clock_now();
    for (unsigned i = 0; i < 100; i++)
        assert_false(wanted_promisc(one->dev, true));
    assert_in_range(machine_clock_now() - before, 2 * CLOCK_NS_PER_S,
                    2 * CLOCK_NS_PER_S + 100 * CLOCK_NS_PER_MS);
    assert_int_equal(one->net->modern.queue_resets, 1);
    fixture_forward(one, 100);
    one->net->answer = SIM_ANSWER_OK; /* the device's own reset mends it */
    reset_by_a_device_error();
    assert_true(wanted_promisc(one->dev, false));
}

TEST_ON(a_queue_reset_that_never_ends_holds_up_nobody, FIXTURE_MODERN_ALL)
{
    uint64_t before;

    fixture_start_one(WITH_RESET);
    machine_clock_step(CLOCK_NS_PER_US);
    one->net->answer = SIM_ANSWER_NEVER;
    one->net->modern.queue_reset_stuck = true;
    assert_false(wanted_promisc(one->dev, true));
    fixture_forward(one, 100);
    serve(2 * CLOCK_NS_PER_S); /* gives it up meanwhile */
    before = machine_clock_now();
    assert_false(wanted_promisc(one->dev, true));
    assert_true(machine_clock_now() - before < CLOCK_NS_PER_MS);
    assert_false(control()->resetting);
    assert_int_equal(one->dev->state, PORT_UP);
    fixture_forward(one, 100);
}

TEST_ON(a_queue_that_does_not_come_back_from_its_reset_stays_silent, FIXTURE_MODERN_ALL)
{
    fixture_start_one(WITH_RESET);
    machine_clock_step(CLOCK_NS_PER_US);
    one->net->answer = SIM_ANSWER_NEVER;
    one->net->modern.enable_refused = true;
    assert_false(wanted_promisc(one->dev, true));
    one->net->answer = SIM_ANSWER_OK;
    assert_false(wanted_promisc(one->dev, true));
    assert_int_equal(machine_log_count("warn", "reason=control-no-answer "), 4);
    assert_int_equal(one->dev->state, PORT_UP);
    fixture_forward(one, 100);
}
