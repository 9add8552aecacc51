/* Ports and lanes put together, on ports in memory: net/topology.c. */
#include <string.h>

#include "net/topology.h"
#include "net/lane.h"
#include "tests/host/fixture/memory_port.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/machine.h"

#define PORTS 5
#define FRAME 60

static struct memory_port ports[PORTS];
static struct topology topology;
static uint8_t out[FRAME];

static int setup(void **state)
{
    (void)state;
    machine_reset();
    memset(&topology, 0, sizeof(topology));
    for (unsigned i = 0; i < PORTS; i++) {
        const struct mac_address mac = {{2, 0, 0, 0, 0, (uint8_t)i}};
        memory_port_init(&ports[i], i, mac);
        topology.ports[i] = &ports[i].port;
    }
    return 0;
}

TEST_FIXTURE(.setup = setup);

static void assemble(unsigned count, const char *wire, bool reflect)
{
    topology.port_count = count;
    topology_plan(&topology, wire, reflect);
    assert_int_equal(topology_allot(&topology, UINT64_MAX), 0);
    topology_start(&topology);
    topology_settle(&topology);
}

static void run_all(void)
{
    for (unsigned i = 0; i < topology.port_count; i++) {
        if (topology.port_lanes[i] != NULL)
            lane_run(topology.port_lanes[i]);
    }
}

static void send_from_each(void)
{
    for (unsigned i = 0; i < topology.port_count; i++) {
        const uint8_t frame[FRAME] = {4, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, (uint8_t)i};
        if (ports[i].port.state == PORT_UP)
            assert_true(memory_port_inject(&ports[i], frame, sizeof(frame)));
    }
    run_all();
}

/* The number of the port whose frame came out of `port`, or -1. */
static int source_of_frame_at(unsigned port)
{
    return memory_port_collect(&ports[port], out, sizeof(out)) == FRAME ? out[11] : -1;
}

TEST(pairs_forward_to_each_other_and_the_odd_port_swallows)
{
    assemble(5, "", false);
    send_from_each();
    assert_int_equal(source_of_frame_at(0), 1);
    assert_int_equal(source_of_frame_at(1), 0);
    assert_int_equal(source_of_frame_at(2), 3);
    assert_int_equal(source_of_frame_at(3), 2);
    assert_int_equal(source_of_frame_at(4), -1);
    assert_int_equal(topology.lanes[4].drops[DROP_IDLE], 1);
    assert_int_equal(machine_log_count("port", ""), 5);
    assert_int_equal(topology_usable(&topology), 5);
}

TEST(wire_words_choose_the_pairs)
{
    assemble(4, "0-3,1-2", false);
    send_from_each();
    for (int i = 0; i < 4; i++)
        assert_int_equal(source_of_frame_at((unsigned)i), 3 - i);
}

TEST(reflection_leads_every_port_back_to_itself)
{
    assemble(3, "", true);
    send_from_each();
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(memory_port_collect(&ports[i], out, sizeof(out)), FRAME);
        assert_int_equal(out[5], i); /* swapped */
    }
}

TEST(a_port_that_failed_before_leaves_its_partner_idle)
{
    ports[1].port.state = PORT_DOWN;
    assemble(4, "", false);
    send_from_each();
    assert_int_equal(source_of_frame_at(0), -1);
    assert_int_equal(source_of_frame_at(2), 3);
    assert_int_equal(source_of_frame_at(3), 2);
    assert_int_equal(topology.lanes[0].drops[DROP_IDLE], 1);
    assert_null(topology.port_lanes[1]);
    assert_int_equal(topology_usable(&topology), 3);
}

TEST(a_port_that_fails_at_the_start_leaves_its_partner_idle)
{
    topology.port_count = 4;
    topology_plan(&topology, "", false);
    topology_allot(&topology, UINT64_MAX);
    topology_start(&topology);
    ports[1].port.state = PORT_DOWN;
    topology_settle(&topology);
    send_from_each();
    assert_int_equal(memory_port_collect(&ports[1], out, sizeof(out)), 0);
    assert_int_equal(topology.lanes[0].drops[DROP_IDLE], 1);
    assert_int_equal(source_of_frame_at(2), 3);
    assert_int_equal(machine_log_count("warn", "port=0 reason=idle"), 1);
}

TEST(no_ports_make_no_lanes)
{
    assemble(0, "", false);
    assert_int_equal(topology_usable(&topology), 0);
}

/* All buffers that are not in the core's pool are in rx rings. */
static void assert_in_rx_rings(unsigned count)
{
    struct core_account account;

    core_count(&topology.core, topology.ports, count, &account);
    assert_int_equal(account.missing, 0);
    assert_int_equal(account.in_rings, count * MEMORY_PORT_RING);
}

TEST(every_buffer_comes_back_to_the_pool)
{
    assemble(2, "", false);
    for (unsigned round = 0; round < 1000; round++) {
        send_from_each();
        assert_int_equal(source_of_frame_at(1), 0);
        assert_int_equal(source_of_frame_at(0), 1);
    }
    assert_in_rx_rings(2);
}

/* Frames of both wires wait at a port. */
TEST(rewiring_leads_frames_elsewhere_and_buffers_back)
{
    static const char *const wires[] = {"0-1,2-3", "0-2,1-3", "0-3", "1-2,0-3"};

    assemble(4, "", false);
    for (unsigned round = 0; round < 100; round++) {
        send_from_each();
        topology_reconfigure(&topology, wires[round % 4], false);
        send_from_each();
        topology_reconfigure(&topology, "", round % 2 == 0);
        send_from_each();
        for (unsigned i = 0; i < 4; i++)
            while (memory_port_collect(&ports[i], out, sizeof(out)) != 0) {
            }
    }
    assert_in_rx_rings(4);
    assert_int_equal(machine_log_count("wires", "mode=wire wires=0-3 idle_ports=1,2"), 25);
    assert_int_equal(machine_log_count("warn", "port=1 reason=idle"), 25);
}

TEST(a_failed_port_stays_out_of_every_rewiring)
{
    ports[1].port.state = PORT_DOWN;
    assemble(4, "", false);
    topology_reconfigure(&topology, "0-1,2-3", false);
    send_from_each();
    assert_int_equal(source_of_frame_at(0), -1);
    assert_int_equal(source_of_frame_at(2), 3);
    assert_null(topology.port_lanes[1]);
    topology_reconfigure(&topology, "0-3", false);
    send_from_each();
    assert_int_equal(source_of_frame_at(0), 3);
    assert_int_equal(source_of_frame_at(3), 2); /* from before */
    assert_int_equal(source_of_frame_at(3), 0);
}
