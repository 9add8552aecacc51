/*
 * A device that goes wrong as a whole, beside three that don't: its status, its queues, its
 * features, its control queue, and resets that it does not do. On two wires under the loop.
 */
#include <stdio.h>
#include <string.h>

#include <machine/clock.h>

#include "tests/host/fixture/test.h"
#include "tests/host/fixture/wire_fixture.h"
#include "tests/host/sim/machine.h"

#define WARM_UP_NS (20 * CLOCK_NS_PER_MS)
#define PAUSE_NS (60 * CLOCK_NS_PER_S)

static struct sim_virtio_net *bad; /* the device of port 0 */

static void new_wires(void **state)
{
    assert_int_equal(fixture_teardown(state), 0);
    wires_setup(state);
    bad = wires_device(0);
    wires_run(WARM_UP_NS);
    wires_spoil_first();
}

/* Port 0 meets a device error and is to be reset. */
static void break_the_rules(void)
{
    wires.flows[0].per_round = 1;
    bad->queues[SIM_RX].fault = SIM_LENGTH_MAX;
    wires_run(1);
    fixture_notice(&fixtures[0]);
    wires.flows[0].per_round = 2;
}

/* Few rounds for much time: a pause would take too many. */
static void let_pass(uint64_t ns)
{
    wires.round_ns = 50 * CLOCK_NS_PER_MS;
    wires_run(ns);
    wires.round_ns = WIRE_ROUND_NS;
}

static void assert_forwards_again(void)
{
    const uint32_t out = wires.flows[0].arrived, in = wires.flows[1].arrived;

    assert_int_equal(fixtures[0].dev->state, PORT_UP);
    wires_run(WARM_UP_NS);
    assert_true(wires.flows[0].arrived > out + 100 && wires.flows[1].arrived > in + 100);
}

TEST_FIXTURE(.setup = wires_setup, .teardown = fixture_teardown, .variants = fixture_variants,
             .run_on = FIXTURE_LEGACY | FIXTURE_MODERN | FIXTURE_PACKED);

/* The device's rings go on: only the check of the status finds the error. */
TEST(a_status_that_is_bad_while_running_costs_one_reset)
{
    static const uint8_t statuses[] = {0, 0x80, 0x87, 0x47, 0xff};

    for (unsigned i = 0; i < sizeof(statuses); i++) {
        char told[80];

        new_wires(state);
        bad->status_fault = &statuses[i];
        wires_run(CLOCK_NS_PER_S / 2);
        snprintf(told, sizeof(told), "port=0 pci=00:01.0 reason=status status=0x%02x", statuses[i]);
        assert_int_equal(machine_log_count("error", told), 1);
        assert_int_equal(machine_log_count("error", ""), 1);
        assert_int_equal(machine_log_count("reset", "port=0 pci=00:01.0 reason=status "), 1);
        assert_forwards_again();
        wires_settle(true);
    }
}

/* As after an unplug: registers read as ones, its rings stop. */
TEST(a_device_that_is_gone_is_retired_until_it_is_back)
{
    new_wires(state);
    bad->gone = true;
    bad->transmit_at_once = false;
    wires_run_until(0, "retired", 2 * CLOCK_NS_PER_S);
    assert_int_equal(machine_log_count("error", "reason=status status=0xff"), 1);
    assert_int_equal(machine_log_count("error", "reason=retired cause=reset-timeout"), 1);
    assert_int_equal(machine_log_count("error", ""), 2);
    wires_assert_buffers();
    bad->gone = false;
    bad->transmit_at_once = true;
    let_pass(PAUSE_NS + CLOCK_NS_PER_S);
    assert_forwards_again();
    wires_settle(true);
}

/* --- resets that are not done --- */

TEST(a_device_that_is_never_reset_writes_into_nobodys_frames)
{
    new_wires(state);
    wires_run(WARM_UP_NS);
    bad->transmit_at_once = false;
    wires_run(WARM_UP_NS); /* some of port 1's frames are in its tx ring */
    bad->reset_stuck = true;
    break_the_rules();
    assert_string_equal(fixtures[0].dev->reason, "resetting");
    const uint32_t posted = virtqueue_outstanding(&wires_driver(0)->rx.queue);
    const uint32_t waiting = virtqueue_outstanding(&wires_driver(0)->tx.queue);
    assert_true(posted > 200 && waiting > 50);

    /* It goes on writing what it likes into the buffers that it has, and sends what it finds there:
     * still the frames of the port that it is wired to, each once. */
    wires_run_until(0, "retired", 2 * CLOCK_NS_PER_S);
    sim_virtio_net_transmit(bad, 30);
    wires_round();
    assert_int_equal(machine_log_count("error", "reason=retired cause=reset-timeout"), 1);
    assert_int_equal(virtqueue_outstanding(&wires_driver(0)->rx.queue), posted);
    assert_int_equal(virtqueue_outstanding(&wires_driver(0)->tx.queue), waiting);
    wires_run(CLOCK_NS_PER_S);
    wires_assert_buffers(); /* none of them was given out a second time */

    bad->reset_stuck = false;
    bad->transmit_at_once = true;
    let_pass(PAUSE_NS + CLOCK_NS_PER_S);
    assert_forwards_again();
    wires_settle(false);
}

/* Frames may wait only while the port may come back at once. Later they would fill the other
 * port's rx ring, and its peer would take that port for broken. */
TEST(who_sends_to_a_retired_port_is_not_held_up)
{
    new_wires(state);
    bad->reset_stuck = true;
    break_the_rules();
    /* While the reset may still be done, frames wait where they are. */
    const uint64_t taken = fixture_stats_of(&fixtures[1]).rx_packets;
    wires.flows[1].per_round = 1;
    wires_run(100 * WIRE_ROUND_NS);
    assert_string_equal(fixtures[0].dev->reason, "resetting");
    assert_int_equal(fixture_stats_of(&fixtures[1]).rx_packets, taken);
    assert_int_equal(wires.flows[1].refused, 0);
    const uint64_t dropped = fixture_stats_of(&fixtures[0]).tx_dropped;

    wires_run_until(0, "retired", 2 * CLOCK_NS_PER_S);
    wires_run(100 * WIRE_ROUND_NS);
    const uint32_t refused = wires.flows[1].refused;
    wires_run(CLOCK_NS_PER_S);
    assert_int_equal(wires.flows[1].refused, refused);
    wires_round();
    assert_int_equal(fixture_stats_of(&fixtures[0]).tx_dropped - dropped,
                     fixture_stats_of(&fixtures[1]).rx_packets - taken);
    bad->reset_stuck = false;
    let_pass(PAUSE_NS + CLOCK_NS_PER_S);
    assert_forwards_again();
    wires_settle(true);
}

/* As often as allowed, each is one line; then one more that says what is going on; then silence. */
TEST(ten_resets_within_a_minute_retire_one_port_for_a_pause)
{
    new_wires(state);
    for (unsigned i = 1; i <= VIRTIO_NET_RESETS_MAX; i++) {
        break_the_rules();
        wires_run_until(0, "running", CLOCK_NS_PER_S);
        assert_int_equal(fixture_stats_of(&fixtures[0]).resets, i);
        wires_run(WARM_UP_NS);
    }
    assert_int_equal(machine_log_count("error", ""), VIRTIO_NET_RESETS_MAX);
    break_the_rules();
    assert_string_equal(fixtures[0].dev->reason, "retired");
    assert_int_equal(machine_log_count("error", "port=0 pci=00:01.0 reason=retired "
                                                "cause=used-length-long resets=10 retry_s=60"),
                     1);
    assert_int_equal(machine_log_count("error", ""), VIRTIO_NET_RESETS_MAX + 2);
    let_pass(PAUSE_NS - CLOCK_NS_PER_S);
    assert_string_equal(fixtures[0].dev->reason, "retired");
    assert_int_equal(machine_log_count("error", ""), VIRTIO_NET_RESETS_MAX + 2);
    let_pass(2 * CLOCK_NS_PER_S);
    assert_forwards_again();
    wires_settle(true);
}

/* Ten of them take a little more than a minute, for as long as it goes on. */
TEST(resets_that_are_rare_never_retire_a_port)
{
    new_wires(state);
    for (unsigned i = 0; i < 3 * VIRTIO_NET_RESETS_MAX; i++) {
        break_the_rules();
        wires_run_until(0, "running", CLOCK_NS_PER_S);
        let_pass(6100 * CLOCK_NS_PER_MS);
    }
    assert_int_equal(machine_log_count("error", "retired"), 0);
    wires_settle(true);
}

/* --- what it offers after a reset --- */

/* The rings' memory was given out for one size, at start-up, and nothing is allocated later. */
TEST(sizes_that_change_at_a_reset_retire_it_until_they_are_right)
{
    static const uint16_t sizes[] = {0, 1, 3, 128, 65535, 512, 32768};
    /* Of a larger ring, the modern interface lets us use as much as before. */
    const size_t count = sizeof(sizes) / sizeof(sizes[0]) - (fixture_is_modern() ? 2 : 0);

    for (unsigned i = 0; i < 2 * count; i++) {
        struct sim_queue *queue;
        char told[80];

        new_wires(state);
        queue = &bad->queues[i % 2];
        bad->reset_delay_ns = CLOCK_NS_PER_MS;
        break_the_rules();
        queue->size = sizes[i / 2];
        wires_run_until(0, "retired", CLOCK_NS_PER_S);
        snprintf(told, sizeof(told), "port=0 pci=00:01.0 reason=queue-size queue=%u size=%u ",
                 i % 2, sizes[i / 2]);
        assert_int_equal(machine_log_count("error", told), 1);
        assert_int_equal(machine_log_count("error", "reason=retired cause=start"), 1);
        wires_run(WARM_UP_NS);
        wires_assert_buffers();
        queue->size = 256;
        let_pass(PAUSE_NS + CLOCK_NS_PER_S);
        assert_forwards_again();
        wires_settle(true);
    }
}

/* The first look is whether the control queue can be used at all, the second makes the ring. */
TEST(a_size_that_changes_between_two_looks_is_judged_again)
{
    static const uint16_t sizes[] = {3, 65535, 2};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL);
        one->net->queues[SIM_CONTROL].size_later = sizes[i];
        fixture_probe_all(1);
        assert_int_equal(one->dev->state, PORT_DOWN);
        assert_int_equal(machine_log_count("error", "reason=queue-size queue=2 "), 1);
    }
}

/* Fewer, none, or all features: the simulated device complains of a bit that it did not offer, and
 * of a configuration field whose feature it lacks. */
TEST(features_that_change_at_a_reset_are_taken_as_they_are)
{
    static const uint64_t features[] = {0, SIM_F(MAC), SIM_F(EVENT_IDX), SIM_F(ANY_LAYOUT),
                                        0xffffffff & ~SIM_F(MTU)};

    for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        new_wires(state);
        bad->reset_delay_ns = CLOCK_NS_PER_MS;
        break_the_rules();
        bad->features = fixture_taken(features[i]);
        wires_run_until(0, "running", CLOCK_NS_PER_S);
        assert_int_equal(bad->driver_features & ~bad->features, 0);
        assert_forwards_again();
        wires_settle(true);
    }
}

/* Rings that were made for one feature set serve the other one, back and forth. */
TEST(features_that_come_and_go_with_each_reset_lose_no_buffer)
{
    new_wires(state);
    bad->reset_delay_ns = CLOCK_NS_PER_MS;
    for (unsigned i = 0; i < 8; i++) {
        break_the_rules();
        bad->features ^= SIM_F(ANY_LAYOUT) | SIM_F(CTRL_VQ) | SIM_F(EVENT_IDX);
        wires_run_until(0, "running", CLOCK_NS_PER_S);
        assert_forwards_again();
        wires_assert_buffers();
    }
    wires_settle(true);
}

/* It is found out after the buffers were posted, so these are the device's until the next reset. */
TEST(a_status_that_does_not_take_driver_ok_after_a_reset_retires_the_port)
{
    new_wires(state);
    bad->reset_delay_ns = CLOCK_NS_PER_MS;
    break_the_rules();
    bad->status_set = 0x80;
    wires_run_until(0, "retired", CLOCK_NS_PER_S);
    assert_int_equal(machine_log_count("error", fixture_is_modern() ? "reason=status status=0x8f"
                                                                    : "reason=status status=0x87"),
                     1);
    assert_int_equal(machine_log_count("error", "reason=retired cause=start"), 1);
    wires_assert_buffers(); /* also the buffers that were posted since */
    bad->status_set = 0;
    let_pass(PAUSE_NS + CLOCK_NS_PER_S);
    assert_forwards_again();
    wires_settle(true);
}
