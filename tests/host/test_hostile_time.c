/*
 * A device that takes its time: a tx ring that stalls, settings that are not answered after a
 * reset, and a clock that jumps because the whole machine stood still. On two wires under the loop.
 */
#include <stdio.h>
#include <string.h>

#include <machine/clock.h>

#include "tests/host/fixture/test.h"
#include "tests/host/fixture/wire_fixture.h"
#include "tests/host/fixture/wanted.h"
#include "tests/host/sim/machine.h"

#define WARM_UP_NS (20 * CLOCK_NS_PER_MS)
#define JUMP_NS (10 * CLOCK_NS_PER_S)

static const struct mac_address mac = {{2, 0, 0, 0, 0, 7}};
static struct sim_virtio_net *slow; /* the device of port 0 */

static int setup(void **state)
{
    wires_setup(state);
    slow = wires_device(0);
    wires_run(WARM_UP_NS);
    wires_spoil_first();
    return 0;
}

/* Tests that do not depend on the rings, or take long, run on fewer. */
TEST_FIXTURE(.setup = setup, .teardown = fixture_teardown, .variants = fixture_variants,
             .run_on = FIXTURE_LEGACY | FIXTURE_MODERN | FIXTURE_PACKED);

static void break_the_rules(void)
{
    wires.flows[0].per_round = 1;
    slow->queues[SIM_RX].fault = SIM_LENGTH_MAX;
    wires_run(1);
    wires.flows[0].per_round = 2;
}

/* The machine stops, and its devices with it: their operations take that much longer. */
static void stand_still(void)
{
    machine_clock_advance(JUMP_NS);
    for (unsigned i = 0; i < WIRE_PORTS; i++) {
        wires_device(i)->reset_done_ns += JUMP_NS;
        wires_device(i)->answer_due_ns += JUMP_NS;
    }
}

static void assert_nothing_was_told(void)
{
    assert_int_equal(machine_log_count("warn", ""), 0);
    assert_int_equal(machine_log_count("error", ""), 0);
    assert_int_equal(machine_log_count("reset", ""), 0);
}

/* --- stall --- */

/* It is logged once, after a second, and is no error: an overloaded host looks the same. */
TEST_ON(a_stall_holds_up_the_lane_that_leads_there_and_nobody_else, FIXTURE_LEGACY | FIXTURE_MODERN)
{
    slow->transmit_at_once = false;
    wires_run(9 * CLOCK_NS_PER_S / 10);
    assert_nothing_was_told();
    wires_run(3 * CLOCK_NS_PER_S / 10);
    assert_int_equal(machine_log_count("warn", "port=0 reason=stall queue=1 waiting=2"), 1);
    const uint32_t out = wires.flows[0].arrived, in = wires.flows[1].arrived;
    wires_run(3 * CLOCK_NS_PER_S);
    assert_int_equal(machine_log_count("warn", ""), 1);
    assert_int_equal(machine_log_count("error", ""), 0);
    assert_int_equal(fixture_stats_of(&fixtures[0]).resets, 0);
    assert_true(wires.flows[0].arrived > out + 50000);
    assert_int_equal(wires.flows[1].arrived, in);
    assert_int_equal(wires.flows[0].refused, 0);

    /* All that was waiting goes out, in order and without a gap. */
    slow->transmit_at_once = true;
    assert_true(sim_virtio_net_transmit(slow, 256) > 200);
    wires_run(WARM_UP_NS);
    wires_settle(true);
    assert_true(wires.flows[1].arrived > in + 500);
    assert_int_equal(wires.flows[1].arrived, wires.flows[1].announced);
    assert_int_equal(wires.flows[0].missing + wires.flows[1].missing, 0);
    assert_int_equal(fixture_stats_of(&fixtures[0]).tx_dropped, 0);
}

/* It sleeps and asks for no doorbell. A link that was down for less than a look does that to QEMU. */
TEST(a_stalled_device_that_wants_no_doorbell_gets_one_and_goes_on)
{
    sim_virtio_net_suppress(slow, SIM_TX, true);
    const uint64_t doorbells = slow->queues[SIM_TX].doorbells;
    wires_run(6 * CLOCK_NS_PER_S / 5);
    assert_int_equal(machine_log_count("warn", "port=0 reason=stall queue=1"), 1);
    assert_int_equal(slow->queues[SIM_TX].doorbells, doorbells + 1);
    sim_virtio_net_suppress(slow, SIM_TX, false);
    sim_virtio_net_transmit(slow, 256); /* what came after the doorbell */
    wires_run(WARM_UP_NS);
    wires_settle(true);
    assert_int_equal(wires.flows[1].arrived, wires.flows[1].announced);
}

/* Slow is not stalled: a frame a time, with most of a second between. */
TEST_ON(a_ring_that_moves_is_not_stalled, FIXTURE_LEGACY | FIXTURE_MODERN)
{
    slow->transmit_at_once = false;
    for (unsigned i = 0; i < 10; i++) {
        wires_run(8 * CLOCK_NS_PER_S / 10);
        assert_int_equal(sim_virtio_net_transmit(slow, 1), 1);
    }
    assert_nothing_was_told();
}

/* Frames sent before the stall are not lost, so they are not counted: `waiting` is the rest. One
 * frame more may have been on its way into the ring. */
TEST(a_stalled_device_whose_status_is_bad_is_reset)
{
    static const uint8_t failed = 0x87;

    slow->transmit_at_once = false;
    wires_run(3 * CLOCK_NS_PER_S / 2);
    assert_int_equal(machine_log_count("warn", "reason=stall"), 1);
    const uint32_t waiting =
        virtqueue_outstanding(&wires_driver(0)->tx.queue) -
        (uint16_t)(slow->queues[SIM_TX].used_shown - (uint16_t)wires_driver(0)->tx.queue.used_idx);
    slow->status_fault = &failed;
    wires_run(CLOCK_NS_PER_S / 5);
    slow->transmit_at_once = true;
    assert_int_equal(machine_log_count("reset", "reason=status state=done"), 1);
    wires_run(WARM_UP_NS);
    assert_in_range(fixture_stats_of(&fixtures[0]).tx_dropped, waiting - 1, waiting);
    sim_virtio_net_transmit(slow, 256);
    wires_settle(true);
}

/* The end of the machine waits for what is in flight, but for no device that will not have it. */
TEST(a_device_that_takes_nothing_holds_the_end_up_for_a_second)
{
    slow->transmit_at_once = false;
    wires_device(2)->transmit_at_once = false;
    wires_run(1); /* frames for both, one round's */
    const uint32_t waiting = wanted_filling(fixtures[0].dev).tx_unsent;
    assert_int_equal(waiting, wires.flows[1].per_round);
    sim_virtio_net_transmit(wires_device(2), 256);
    const uint64_t start = machine_clock_now();
    assert_int_equal(loop_close(&wires.loop), waiting);
    assert_in_range(machine_clock_now() - start, CLOCK_NS_PER_S, CLOCK_NS_PER_S + CLOCK_NS_PER_MS);
    assert_int_equal(machine_log_count("stats", ""), WIRE_PORTS);

    sim_virtio_net_transmit(slow, 256);
    assert_int_equal(loop_close(&wires.loop), 0);
    assert_int_equal(wanted_filling(fixtures[0].dev).tx_unsent, 0);
    wires_settle(true);
}

/* --- jumps --- */

/* Paused, migrated or without its processor: a machine cannot know why its clock jumped. But its
 * devices had no more time than itself. */
TEST_ON(a_jump_of_the_clock_is_no_stall, FIXTURE_LEGACY | FIXTURE_MODERN)
{
    slow->transmit_at_once = false;
    for (unsigned i = 0; i < 20; i++) {
        wires_run(9 * CLOCK_NS_PER_S / 10);
        stand_still();
        wires_run(WIRE_ROUND_NS);
        assert_nothing_was_told();
        sim_virtio_net_transmit(slow, 8);
    }
    for (unsigned i = 0; i < 20; i++) { /* the machine hardly runs at all */
        wires_run(CLOCK_NS_PER_S / 20);
        stand_still();
    }
    assert_nothing_was_told();

    /* A queue that really stalls is still found. */
    wires_run(3 * CLOCK_NS_PER_S / 2);
    assert_int_equal(machine_log_count("warn", "reason=stall"), 1);
}

/* By the clock the device has had ten seconds, of which it was running for two milliseconds. */
TEST_ON(a_jump_in_the_middle_of_a_reset_gives_nobody_up, FIXTURE_LEGACY | FIXTURE_MODERN)
{
    slow->reset_delay_ns = 10 * CLOCK_NS_PER_MS;
    break_the_rules();
    wires_run(2 * CLOCK_NS_PER_MS);
    stand_still();
    wires_run(2 * CLOCK_NS_PER_MS);
    stand_still();
    assert_string_equal(fixtures[0].dev->reason, "resetting");
    wires_run(10 * CLOCK_NS_PER_MS);
    assert_int_equal(fixtures[0].dev->state, PORT_UP);
    assert_int_equal(machine_log_count("error", ""), 1);
    assert_int_equal(machine_log_count("warn", ""), 0);
    wires_run(WARM_UP_NS);
    wires_settle(true);
}

/* A promiscuous mode that got lost would leave a port that looks well and receives next to nothing. */
TEST_ON(a_jump_while_settings_are_given_again_loses_none, FIXTURE_LEGACY | FIXTURE_MODERN)
{
    assert_true(wanted_promisc(fixtures[0].dev, false));
    assert_true(wanted_allmulti(fixtures[0].dev, true));
    slow->answer = SIM_ANSWER_LATE;
    slow->answer_delay_ns = 10 * CLOCK_NS_PER_MS;
    break_the_rules();
    wires_run(5 * CLOCK_NS_PER_MS);
    assert_int_equal(fixtures[0].dev->state, PORT_UP);
    assert_true(slow->promisc); /* the first one is still on its way */
    stand_still();
    wires_run(CLOCK_NS_PER_S / 10);
    assert_int_equal(machine_log_count("warn", ""), 0);
    assert_false(slow->promisc);
    assert_true(slow->allmulti);
}

/* --- settings after a reset --- */

/* The simulated device forgets them at a reset, as real ones do. */
TEST(settings_are_given_again_while_frames_flow)
{
    struct port *dev = fixtures[0].dev;

    assert_true(wanted_mac(dev, mac));
    assert_true(wanted_promisc(dev, false));
    assert_true(wanted_allmulti(dev, true));
    slow->answer = SIM_ANSWER_LATE;
    slow->answer_delay_ns = 50 * CLOCK_NS_PER_MS;
    break_the_rules();
    wires_run(10 * CLOCK_NS_PER_MS);
    assert_int_equal(dev->state, PORT_UP);
    assert_memory_not_equal(slow->filter_mac, mac.bytes, sizeof(mac.bytes));
    const uint32_t out = wires.flows[0].arrived, in = wires.flows[1].arrived;
    wires_run(WARM_UP_NS);
    assert_true(wires.flows[0].arrived > out + 100 && wires.flows[1].arrived > in + 100);
    wires_run(CLOCK_NS_PER_S / 2);
    assert_memory_equal(slow->filter_mac, mac.bytes, sizeof(mac.bytes));
    assert_false(slow->promisc);
    assert_true(slow->allmulti);
    wires_settle(true);
}

TEST(settings_that_are_never_answered_again_cost_no_frame)
{
    assert_true(wanted_promisc(fixtures[0].dev, true));
    slow->answer = SIM_ANSWER_NEVER;
    break_the_rules();
    wires_run(3 * CLOCK_NS_PER_S);
    assert_int_equal(machine_log_count("warn", "port=0 reason=control-no-answer"), 2);
    assert_int_equal(machine_log_count("error", ""), 1); /* the device error that it began with */
    assert_int_equal(fixture_stats_of(&fixtures[0]).resets, 1);
    wires_settle(true);

    /* The next reset is a new chance. */
    slow->answer = SIM_ANSWER_OK;
    break_the_rules();
    slow->promisc = false;
    wires_run(WARM_UP_NS);
    assert_true(slow->promisc);
}

TEST(a_second_answer_after_a_reset_is_a_device_error_as_ever)
{
    assert_true(wanted_promisc(fixtures[0].dev, false));
    slow->answer = SIM_ANSWER_TWICE;
    break_the_rules();
    wires_run_until(0, "retired", CLOCK_NS_PER_S);
    /* The device never stops, so the port does: after ten resets, each told once. */
    assert_int_equal(machine_log_count("error", "port=0 pci=00:01.0 reason=used-idx queue=2 "),
                     VIRTIO_NET_RESETS_MAX);
    assert_int_equal(machine_log_count("reset", "reason="), VIRTIO_NET_RESETS_MAX);
    assert_int_equal(machine_log_count("error", "reason=retired cause=used-idx"), 1);
    slow->answer = SIM_ANSWER_OK;
    wires_settle(true);
}
