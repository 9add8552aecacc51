/*
 * Other wires while traffic runs: net/topology.c. No buffer is lost, with any behaviour of the
 * devices.
 */
#include <machine/clock.h>

#include "net/lane.h"
#include "tests/host/fixture/test.h"
#include "tests/host/fixture/wire_fixture.h"
#include "tests/host/fixture/wanted.h"
#include "tests/host/sim/machine.h"

#define WARM_UP_NS (20 * CLOCK_NS_PER_MS)
#define MARGIN_NS (2 * CLOCK_NS_PER_MS) /* housekeeping looks every now and then */

static struct lane *lane_of(unsigned port)
{
    return &wires.topology.lanes[port];
}

static void reconfigure(const char *wire, bool reflect)
{
    topology_reconfigure(&wires.topology, wire, reflect);
}

static uint64_t dropped_in_all(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < WIRE_PORTS; i++) {
        sum += fixture_stats_of(&fixtures[i]).tx_dropped;
        for (unsigned reason = 0; reason < DROP_REASONS; reason++)
            sum += lane_of(i)->drops[reason];
    }
    return sum;
}

/* Lets everything arrive; what was taken in has left or is in a counter, and `twice` are both: sent
 * by a device that has denied it. */
static void settle_with(unsigned twice)
{
    uint64_t taken = 0, arrived = 0;

    for (unsigned i = 0; i < WIRE_PORTS; i++) {
        wires_device(i)->transmit_at_once = true;
        sim_virtio_net_transmit(wires_device(i), 256);
    }
    for (unsigned i = 0; i < 3000; i++)
        wires_round();
    for (unsigned i = 0; i < WIRE_PORTS; i++) {
        assert_int_equal(fixtures[i].dev->state, PORT_UP);
        assert_in_range(virtqueue_outstanding(&wires_driver(i)->rx.queue), 256 - 2 * BURST, 256);
        taken += fixture_stats_of(&fixtures[i]).rx_packets;
        arrived += wires.flows[i].arrived;
    }
    assert_int_equal(taken, arrived + dropped_in_all() - twice);
    wires_assert_buffers();
}

static void settle(void)
{
    settle_with(0);
}

static int setup(void **state)
{
    wires_setup(state);
    wires.reconfigured = true;
    return 0;
}

TEST_FIXTURE(.setup = setup, .teardown = fixture_teardown, .variants = fixture_variants,
             .run_on = FIXTURE_LEGACY | FIXTURE_PACKED);

TEST(frames_leave_by_the_new_wire_and_none_is_lost)
{
    wires_run(WARM_UP_NS);
    reconfigure("0-2,1-3", false);
    wires_run(WARM_UP_NS);
    const uint32_t crossed = wires.next[0][2];
    assert_true(crossed > 0 && wires.next[2][0] > 0 && wires.next[1][3] > 0);
    reconfigure("", false);
    wires_run(WARM_UP_NS);
    settle();
    assert_int_equal(wires.next[0][2], crossed);
    assert_int_equal(dropped_in_all(), 0);
    assert_int_equal(machine_log_count("wires", "mode=wire wires=0-2,1-3 idle_ports=none"), 1);
    assert_int_equal(machine_log_count("wires", "mode=wire wires=0-1,2-3 idle_ports=none"), 1);
    assert_int_equal(machine_log_count("reset", ""), 0);
}

TEST(a_mode_may_be_changed_to_reflection_and_back)
{
    wires_run(WARM_UP_NS);
    reconfigure("", true);
    for (unsigned i = 0; i < WIRE_PORTS; i++) {
        assert_ptr_equal(lane_of(i)->app, app_find("reflect"));
        assert_ptr_equal(lane_of(i)->tx, fixtures[i].dev);
        wires.flows[i].per_round =
            0; /* the fixture doesn't know frames whose addresses are swapped */
    }
    for (unsigned i = 0; i < 100; i++)
        wires_round();
    assert_int_equal(machine_log_count("wires", "mode=reflect wires=none idle_ports=none"), 1);
    reconfigure("0-1,2-3", false);
    for (unsigned i = 0; i < WIRE_PORTS; i++)
        wires.flows[i].per_round = 2;
    wires_run(WARM_UP_NS);
    settle();
    assert_int_equal(dropped_in_all(), 0);
}

TEST(a_wrong_pair_is_idle_after_a_warning_and_the_others_forward)
{
    wires_run(WARM_UP_NS);
    reconfigure("0-9,2-3", false);
    assert_int_equal(machine_log_count("warn", "word=wire pair=0-9"), 1);
    assert_int_equal(machine_log_count("warn", "port=0 reason=idle"), 1);
    assert_int_equal(machine_log_count("wires", "wires=2-3 idle_ports=0,1"), 1);
    const uint32_t before = wires.flows[0].announced;
    wires_run(WARM_UP_NS);
    settle();
    assert_int_equal(lane_of(0)->drops[DROP_IDLE], wires.flows[0].announced - before);
    assert_int_equal(wires.flows[2].arrived, wires.flows[2].announced);
}

/* The ring of a port holds frames of both wires for a while; nobody waits for that. */
TEST(what_lies_in_a_ring_leaves_although_others_send_there_now)
{
    wires_device(1)->transmit_at_once = false;
    wires_run(MARGIN_NS);
    const uint32_t waiting = virtqueue_outstanding(&wires_driver(1)->tx.queue);
    assert_true(waiting > 0);
    reconfigure("0-3,1-2", false);
    assert_int_equal(fixtures[1].dev->state, PORT_UP);
    wires_run(MARGIN_NS);
    assert_true(virtqueue_outstanding(&wires_driver(1)->tx.queue) > waiting);
    assert_true(wires.next[0][3] > 0); /* its frames leave by the new way */
    sim_virtio_net_transmit(wires_device(1), 256);
    wires_device(1)->transmit_at_once = true;
    wires_run(MARGIN_NS);
    assert_true(wires.next[0][1] >= waiting && wires.next[2][1] > 0);
    wires_run(WARM_UP_NS);
    settle();
    assert_int_equal(dropped_in_all(), 0);
    assert_int_equal(machine_log_count("reset", ""), 0);
}

/* A device that takes nothing more holds up only those who send there. */
TEST(a_ring_that_stays_full_holds_up_the_new_wire_alone)
{
    wires_device(1)->transmit_at_once = false;
    for (unsigned i = 0; i < WIRE_PORTS; i++)
        wires.flows[i].per_round = i == 0 || i == 2 ? 8 : 0;
    wires_run(MARGIN_NS * 2);
    reconfigure("0-3,1-2", false);
    wires_run(WARM_UP_NS);
    assert_int_equal(virtqueue_outstanding(&wires_driver(1)->tx.queue), 256);
    assert_int_equal(virtqueue_outstanding(&wires_driver(0)->rx.queue), 256);
    wires_assert_buffers();
    wires_device(1)->transmit_at_once = true;
    sim_virtio_net_transmit(wires_device(1), 256);
    settle();
    assert_int_equal(dropped_in_all(), 0);
}

/* A port that is out of service keeps its buffers until its device gives them up. */
TEST(a_port_that_is_being_reset_can_be_rewired)
{
    wires_device(1)->transmit_at_once = false;
    wires_run(MARGIN_NS);
    wires_device(1)->reset_delay_ns = 50 * CLOCK_NS_PER_MS;
    assert_true(wanted_reset(fixtures[1].dev));
    reconfigure("0-3,1-2", false);
    wires_run(MARGIN_NS);
    wires_assert_buffers();
    wires_device(1)->transmit_at_once = true;
    wires_run_until(1, "running", CLOCK_NS_PER_S);
    wires_run(WARM_UP_NS);
    settle();
}

TEST(a_device_error_after_a_change_of_wires_resets_the_port)
{
    wires_device(1)->transmit_at_once = false;
    wires_run(MARGIN_NS);
    reconfigure("0-3,1-2", false);
    wires_device(1)->queues[SIM_TX].fault = SIM_USED_ID_HUGE;
    sim_virtio_net_transmit(wires_device(1), 1);
    wires_run(WARM_UP_NS); /* until the ring is full, and so looked at */
    assert_int_equal(machine_log_count("error", "port=1"), 1);
    settle_with(1);
}

TEST(an_operators_reset_is_told_and_never_retires_a_port)
{
    for (unsigned i = 1; i <= 30; i++) {
        wires_run(MARGIN_NS);
        assert_true(wanted_reset(fixtures[0].dev));
        assert_false(wanted_reset(fixtures[0].dev)); /* it is under way */
        wires_run(MARGIN_NS);
        assert_int_equal(fixture_stats_of(&fixtures[0]).resets, i);
    }
    assert_int_equal(machine_log_count("reset", "port=0 pci=00:01.0 reason=operator state=done"),
                     30);
    assert_int_equal(machine_log_count("error", ""), 0);
    settle();
}

TEST(an_operators_reset_brings_a_retired_port_back)
{
    static const uint8_t failed = 0x87;

    for (unsigned i = 0; i < 100 && strcmp(fixtures[0].dev->reason, "retired") != 0; i++) {
        wires_device(0)->status_fault = &failed;
        wires_run(CLOCK_NS_PER_S / 5);
    }
    assert_string_equal(fixtures[0].dev->reason, "retired");
    reconfigure("0-3,1-2", false); /* what lane 3 sends there is swallowed */
    wires_run(WARM_UP_NS);
    wires_assert_buffers();
    assert_true(wanted_reset(fixtures[0].dev));
    wires_run(WARM_UP_NS);
    settle();
}

/* Hundreds of rewirings at random moments, with devices that work at random and resets in between. */
static void rewire_at_random(void)
{
    static const char *const texts[] = {"", "0-1,2-3", "0-2,1-3", "0-3,1-2", "0-1", "2-1", "3-9"};
    uint32_t random = 12345;

    for (unsigned i = 0; i < 600; i++) {
        random = random * 1664525 + 1013904223;
        const unsigned port = random >> 8 & 3, what = random >> 12 & 7;
        reconfigure(texts[(random >> 16) % 7], false);
        wires_device(port)->transmit_at_once = what < 5;
        sim_virtio_net_transmit(wires_device(port), random >> 20 & 63);
        if (what == 7)
            wanted_reset(fixtures[port].dev);
        wires_run((random >> 24) * WIRE_ROUND_NS / 16);
        wires_assert_buffers();
        machine_log_forget();
    }
    settle();
}

TEST(no_buffer_is_lost_in_many_rewirings)
{
    assert_int_equal(wires.topology.core.pool_count, 1);
    rewire_at_random();
}

/* A tx ring has buffers of both sizes then, in any order. */
TEST(no_buffer_is_lost_in_many_rewirings_of_ports_with_other_sizes)
{
    fixture_renew(state);
    wires_add(SIM_FEATURES_USUAL | SIM_F(MTU));
    wires_device(1)->features &= ~SIM_F(MTU);
    wires_device(2)->features &= ~SIM_F(MTU);
    wires.topology.memory = 256ull << 20; /* enough for jumbo frames, where no mtu is stated */
    wires_start();
    wires.reconfigured = true;
    assert_int_equal(wires.topology.core.pool_count, 2);
    rewire_at_random();
}

/* Without traffic: a frame of `payload` bytes comes in on port 0. True if it leaves by port 1. */
static bool passes(uint32_t payload)
{
    static const uint8_t frame[9100] = {2};
    const unsigned before = wires_device(1)->sent_count;

    assert_true(sim_virtio_net_deliver(wires_device(0), frame, ETHERNET_HEADER_SIZE + payload));
    machine_clock_advance(CLOCK_NS_PER_MS);
    loop_round(&wires.loop);
    sim_virtio_net_transmit(wires_device(1), 256);
    return wires_device(1)->sent_count == before + 1;
}

static void come_back_with_mtu(uint16_t mtu)
{
    wires_device(1)->mtu = mtu;
    assert_true(wanted_reset(fixtures[1].dev));
    for (unsigned i = 0; i < 100 && fixtures[1].dev->state != PORT_UP; i++) {
        machine_clock_advance(CLOCK_NS_PER_MS);
        loop_round(&wires.loop);
    }
    assert_int_equal(fixtures[1].dev->state, PORT_UP);
}

TEST(a_lane_goes_by_the_mtu_with_which_the_port_it_leads_to_has_come_back)
{
    fixture_renew(state);
    wires_add(SIM_FEATURES_USUAL | SIM_F(MTU));
    wires_start();
    assert_true(passes(1500));
    assert_false(passes(1501));
    come_back_with_mtu(1000);
    assert_true(passes(1000));
    assert_false(passes(1001));
    assert_int_equal(lane_of(0)->drops[DROP_OVERSIZE], 2);
    come_back_with_mtu(1578); /* as much as the buffers hold, with two tags */
    assert_true(passes(1578));
    assert_false(passes(1579));
    come_back_with_mtu(9000); /* that much they don't: no bound but theirs */
    assert_int_equal(machine_log_count("warn", "port=1 reason=mtu mtu=9000 accepted=68-1578"), 1);
    assert_true(passes(1586));
    assert_int_equal(lane_of(0)->drops[DROP_OVERSIZE], 3);
    assert_int_equal(lane_of(1)->drops[DROP_OVERSIZE], 0);
    assert_int_equal(machine_log_count("port", "id=1 "), 1 + 3);
}
