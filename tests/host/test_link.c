/* Link down, link up, announcements: drivers/virtio/virtio_net.c, under the loop with traffic. */
#include <machine/clock.h>

#include "tests/host/fixture/test.h"
#include "tests/host/fixture/wire_fixture.h"
#include "tests/host/fixture/wanted.h"
#include "tests/host/sim/machine.h"

#define WARM_UP_NS (20 * CLOCK_NS_PER_MS)
#define SEEN_NS (12 * CLOCK_NS_PER_MS) /* the bound that README states, and a round or two */
#define ANNOUNCE 2

/* Port 1 is the one whose link goes up and down: the frames of port 0 are to leave there. */
static struct sim_virtio_net *device(void)
{
    return wires_device(1);
}

static struct port_stats stats(void)
{
    return fixture_stats_of(&fixtures[1]);
}

/* The device works again, and on what waits there first of all. */
static void wake_up(void)
{
    device()->transmit_at_once = true;
    sim_virtio_net_transmit(device(), 256);
}

/* A few frames stay in its tx ring. */
static void fall_asleep(void)
{
    device()->transmit_at_once = false;
    wires_run(5 * WIRE_ROUND_NS);
    wires.flows[0].per_round = 0;
}

static int setup(void **state)
{
    wires_setup(state);
    wires_spoil_first();
    wires_run(WARM_UP_NS);
    return 0;
}

TEST_FIXTURE(.setup = setup, .teardown = fixture_teardown, .variants = fixture_variants,
             .run_on = FIXTURE_LEGACY | FIXTURE_PACKED);

TEST(a_port_whose_link_is_down_swallows_by_name_and_forwards_once_it_is_up)
{
    assert_true(fixtures[1].dev->link_up);
    device()->link_status = 0;
    wires_run(SEEN_NS);
    assert_int_equal(machine_log_count("link", "port=1 state=down pci=00:02.0 lost=0"), 1);
    assert_false(fixtures[1].dev->link_up);
    const uint32_t left = wires.flows[0].arrived, announced = wires.flows[0].announced;
    const uint64_t swallowed = stats().tx_link_down;
    wires_run(WARM_UP_NS);
    assert_int_equal(wires.flows[0].arrived, left);
    assert_int_equal(stats().tx_link_down - swallowed, wires.flows[0].announced - announced);
    assert_int_equal(wires.flows[0].refused, 0); /* no other port had to wait */
    assert_int_equal(stats().tx_dropped, stats().tx_link_down);

    device()->link_status = 1;
    wires_run(SEEN_NS);
    assert_int_equal(machine_log_count("link", "port=1 state=up pci=00:02.0"), 1);
    const uint64_t dropped = stats().tx_dropped;
    wires_run(WARM_UP_NS);
    wires_settle(true);
    assert_int_equal(stats().tx_dropped, dropped);
    assert_int_equal(stats().resets,
                     fixture_is_packed() ? 1 : 0); /* the back end may be a new one */
    assert_int_equal(machine_log_count("link", ""), 2);
}

/* Frames that the device had not sent when the link went down must not leave later. */
TEST(what_lies_in_the_ring_when_the_link_goes_down_never_leaves)
{
    fall_asleep();
    const uint32_t left = wires.flows[0].arrived;
    device()->link_status = 0;
    wires_run(SEEN_NS);
    wires_run(WARM_UP_NS);
    assert_int_equal(machine_log_count("link", "state=down"), 1);
    assert_int_equal(machine_log_count("link", "lost=0"), 0);
    assert_int_equal(machine_log_count("reset", "port=1 pci=00:02.0 reason=link-down"), 1);
    wires.flows[0].per_round = 2;
    wires_run(WARM_UP_NS);
    wires.flows[0].per_round = 0;
    device()->link_status = 1;
    wires_run(SEEN_NS);
    wake_up();
    wires_run(WARM_UP_NS);
    assert_int_equal(wires.flows[0].arrived, left);
    wires.flows[0].per_round = 2;
    wires_run(WARM_UP_NS);
    wires_settle(true);
    assert_true(wires.flows[0].arrived > left);
    assert_true(stats().tx_dropped > stats().tx_link_down);
}

/* As QEMU's does whose ring is packed: it sleeps, asks for no doorbell, and looks when one comes. */
TEST(a_device_that_wants_no_doorbells_since_its_link_was_down_gets_one)
{
    wires.flows[0].per_round = 0;
    device()->link_status = 0;
    wires_run(SEEN_NS);
    wires_run(WARM_UP_NS);
    sim_virtio_net_suppress(device(), SIM_TX, true);
    const uint64_t doorbells = device()->queues[SIM_TX].doorbells;
    device()->link_status = 1;
    wires_run(SEEN_NS);
    assert_int_equal(machine_log_count("link", "port=1 state=up"), 1);
    assert_int_equal(device()->queues[SIM_TX].doorbells, doorbells + 1);
}

/* A device with a slow reset delays no other port: frames for it are dropped. */
TEST(while_a_port_is_reset_with_its_link_down_nobody_waits)
{
    fall_asleep();
    device()->reset_delay_ns = CLOCK_NS_PER_S / 2;
    device()->link_status = 0;
    wires_run(SEEN_NS);
    wires.flows[0].per_round = 2;
    wires_run(CLOCK_NS_PER_S / 4);
    assert_string_equal(fixtures[1].dev->reason, "resetting");
    assert_int_equal(wires.flows[0].refused, 0);
    wires_run(CLOCK_NS_PER_S);
    assert_int_equal(fixtures[1].dev->state, PORT_UP);
    assert_int_equal(wires.flows[0].refused, 0);
    wires_settle(true);
}

TEST(a_link_that_comes_back_during_a_reset_is_told)
{
    device()->link_status = 0;
    wires_run(SEEN_NS);
    device()->link_status = 1;
    assert_true(wanted_reset(fixtures[1].dev));
    wires_run(5 * WIRE_ROUND_NS);
    assert_int_equal(machine_log_count("link", "port=1 state=up"), 1);
    wires_run(WARM_UP_NS);
    wires_settle(true);
}

TEST(a_port_may_start_with_its_link_down)
{
    fixture_renew(state);
    wires_add(SIM_FEATURES_USUAL);
    device()->link_status = 0;
    wires_start();
    wires_spoil_first();
    assert_int_equal(machine_log_count("port", "id=1"), 1);
    assert_int_equal(machine_log_count("port", "link=down"), 1);
    wires_run(SEEN_NS);
    assert_int_equal(stats().tx_link_down, wires.flows[0].announced);
    assert_int_equal(machine_log_count("link", ""), 0);
    device()->link_status = 1;
    wires_run(SEEN_NS);
    assert_int_equal(machine_log_count("link", "port=1 state=up"), 1);
    wires_settle(true);
    assert_int_equal(wires.flows[0].arrived + stats().tx_link_down, wires.flows[0].announced);
}

/* As often as anybody can pull a cable, and the port is not taken for broken. */
TEST(a_link_that_flaps_loses_no_buffer_and_retires_nothing)
{
    for (unsigned i = 0; i < 100; i++) {
        if (i % 3 == 0)
            device()->transmit_at_once = false;
        else
            wake_up();
        device()->link_status = i % 2;
        wires_run(SEEN_NS + i % 7 * CLOCK_NS_PER_MS);
        wires_assert_buffers();
        machine_log_forget();
    }
    wake_up();
    device()->link_status = 1;
    wires_run(SEEN_NS);
    wires_settle(true);
    assert_int_equal(fixtures[1].dev->state, PORT_UP);
}

TEST(an_announcement_is_acknowledged_counted_and_sends_nothing)
{
    wires.flows[0].per_round = 0;
    for (unsigned i = 1; i <= 3; i++) {
        const uint32_t sent = wires.flows[0].arrived;
        device()->link_status |= ANNOUNCE;
        wires_run(SEEN_NS);
        assert_int_equal(device()->announce_acks, i);
        assert_int_equal(device()->link_status, 1);
        assert_int_equal(stats().announces, i);
        assert_int_equal(wires.flows[0].arrived, sent);
    }
    assert_int_equal(machine_log_count("warn", ""), 0);
    wires_settle(true);
}

TEST(an_announcement_that_cannot_be_acknowledged_is_told_once)
{
    device()->answer = SIM_ANSWER_REFUSE;
    device()->link_status |= ANNOUNCE;
    wires_run(CLOCK_NS_PER_S);
    assert_int_equal(
        machine_log_count("warn", "port=1 reason=control-refused command=announce-ack"), 1);
    wires_settle(true);
}

TEST(an_announcement_during_a_reset_is_not_forgotten)
{
    device()->link_status |= ANNOUNCE;
    wanted_reset(fixtures[1].dev);
    wires_run(2 * SEEN_NS);
    assert_int_equal(device()->announce_acks, 1);
    wires_settle(true);
}
