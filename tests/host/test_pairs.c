/* Pairs of ports out of wire=, and shares of memory: net/pairs.c, net/topology_buffers.c. */
#include <stdio.h>

#include "net/topology_buffers.h"
#include "net/forward.h"
#include "tests/host/fixture/memory_port.h"
#include "net/pairs.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/machine.h"

#define PORTS 6

static struct memory_port memory_ports[PORTS];
static struct port *ports[PORTS];
static struct pairs pairs;
static char text[PAIRS_TEXT];

static int setup(void **state)
{
    (void)state;
    machine_reset();
    for (unsigned i = 0; i < PORTS; i++) {
        struct mac_address mac = {{0x52, 0x54, 0, 0, 0xAB, (uint8_t)i}};
        memory_port_init(&memory_ports[i], i, mac);
        ports[i] = &memory_ports[i].port;
        snprintf(ports[i]->address, sizeof(ports[i]->address), "00:%02x.0", 10 + i);
    }
    return 0;
}

TEST_FIXTURE(.setup = setup);

static void assert_wires(const char *wires, const char *idle)
{
    pairs_wires_text(&pairs, text);
    assert_string_equal(text, wires);
    pairs_idle_text(&pairs, text);
    assert_string_equal(text, idle);
}

TEST(without_words_ports_pair_in_order)
{
    pairs_plan(&pairs, ports, PORTS, "");
    assert_wires("0-1,2-3,4-5", "none");
    pairs_plan(&pairs, ports, 3, "");
    assert_wires("0-1", "2");
    pairs_plan(&pairs, ports, 0, "");
    assert_wires("none", "none");
    assert_int_equal(machine_log_count("warn", ""), 0);
}

TEST(ends_are_numbers_pci_addresses_or_macs)
{
    pairs_plan(&pairs, ports, PORTS, "5-00:0a.0,52:54:00:00:AB:01-0000:00:0C.0");
    assert_wires("0-5,1-2", "3,4");
    assert_int_equal(machine_log_count("warn", ""), 0);
}

TEST(a_wrong_pair_is_named_and_stays_idle)
{
    static const struct {
        const char *words, *reason, *wires, *idle;
    } cases[] = {
        {"0-9,2-3", "no such port", "2-3", "0,1,4,5"},
        {"0-00:1f.0", "no such port", "none", "0,1,2,3,4,5"},
        {"0-1,1-2", "a port used twice", "0-1", "2,3,4,5"},
        {"3-3,0-1", "a port joined to itself", "0-1", "2,3,4,5"},
        {"0,2-3", "no '-' between two ends", "2-3", "0,1,4,5"},
        {"0-,2-3", "no such port", "2-3", "0,1,4,5"},
        {"-", "no such port", "none", "0,1,2,3,4,5"},
        {",2-3", "no '-' between two ends", "2-3", "0,1,4,5"},
        {"+0-1", "no such port", "none", "0,1,2,3,4,5"},
        {"0-1-2", "no such port", "none", "0,1,2,3,4,5"},
        {"0-18446744073709551616", "no such port", "none", "0,1,2,3,4,5"},
        {"0-1111111111111111111111111111111111111111111111111111111111111111111", "too long",
         "none", "0,1,2,3,4,5"},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        machine_reset();
        pairs_plan(&pairs, ports, PORTS, cases[i].words);
        assert_wires(cases[i].wires, cases[i].idle);
        assert_int_equal(machine_log_count("warn", cases[i].reason), 1);
        assert_int_equal(machine_log_count("warn", ""), 1);
    }
}

TEST(wrong_pairs_are_summed_up_after_eight)
{
    pairs_plan(&pairs, ports, PORTS, "0-9,1-9,2-9,3-9,4-9,5-9,6-9,7-9");
    assert_int_equal(machine_log_count("warn", ""), 8);
    machine_reset();
    pairs_plan(&pairs, ports, PORTS, "0-9,1-9,2-9,3-9,4-9,5-9,6-9,7-9,8-9,0-1,x");
    assert_int_equal(machine_log_count("warn", " reason=\"no such port\""), 8);
    assert_int_equal(machine_log_count("warn", "reason=more-wrong-pairs count=2 first=8-9"), 1);
    assert_int_equal(machine_log_count("warn", ""), 9);
    assert_wires("0-1", "2,3,4,5");
}

TEST(a_mac_of_two_ports_names_neither)
{
    memory_ports[4].port.mac = memory_ports[3].port.mac;
    pairs_plan(&pairs, ports, PORTS, "0-52:54:00:00:ab:03");
    assert_wires("none", "0,1,2,3,4,5");
    assert_int_equal(machine_log_count("warn", "several ports"), 1);
}

TEST(a_failed_port_leaves_its_partner_idle_and_moves_nobody)
{
    ports[1]->state = PORT_DOWN;
    pairs_plan(&pairs, ports, 5, "");
    pairs_settle(&pairs, ports);
    assert_wires("2-3", "0,1,4");
    assert_int_equal(machine_log_count("warn", "port=0 reason=idle detail=\"its partner, port 1"),
                     1);
    assert_int_equal(machine_log_count("warn", "port=1 "), 0);
    assert_int_equal(machine_log_count("warn", "port=4 reason=idle detail=\"no partner"), 1);
}

TEST(loopback_has_neither_wires_nor_idle_ports)
{
    pairs_loopback(&pairs, 3);
    pairs_settle(&pairs, ports);
    assert_wires("none", "none");
    for (int i = 0; i < 3; i++)
        assert_int_equal(pairs.partner[i], i);
}

/* ---- shares of memory ---- */

static struct lane lanes[PORTS];
static struct lane *lane_list[PORTS];
static uint32_t rx_buffers[PORTS];

static void make_lanes(unsigned count, uint32_t rx_size, uint32_t tx_size)
{
    for (unsigned i = 0; i < count; i++) {
        ports[i]->rx_size = rx_size;
        ports[i]->tx_size = tx_size;
        lane_init(&lanes[i], ports[i], ports[i ^ 1], forward_wire);
        lane_list[i] = &lanes[i];
    }
}

TEST(memory_for_all_fills_the_rings_and_keeps_a_burst)
{
    make_lanes(4, 256, 128);
    assert_int_equal(topology_make_pools(lane_list, 4, UINT64_MAX, rx_buffers), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(lanes[i].pool.capacity, 256 + 128 + BURST);
        assert_int_equal(rx_buffers[i], 256);
    }
}

TEST(short_memory_is_shared_fairly_and_the_lack_is_told)
{
    const uint64_t memory = 4 * pool_bytes(100, 2048);

    make_lanes(4, 1024, 256);
    uint64_t missing = topology_make_pools(lane_list, 4, memory, rx_buffers);
    assert_int_equal(missing, 4 * pool_bytes(1024 + 256 + BURST, 2048) - memory);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(lanes[i].pool.capacity, 100);
        assert_int_equal(rx_buffers[i], (100 - BURST) * 1024 / (1024 + 256));
    }
}

TEST(who_wishes_for_less_leaves_the_rest_to_the_others)
{
    make_lanes(2, 1024, 256);
    ports[0]->rx_size = 16; /* its lane is small: 16 + 256 + BURST */
    const uint64_t memory = pool_bytes(16 + 256 + BURST, 2048) + pool_bytes(500, 2048);
    assert_true(topology_make_pools(lane_list, 2, memory, rx_buffers) > 0);
    assert_int_equal(lanes[0].pool.capacity, 16 + 256 + BURST);
    assert_int_equal(lanes[1].pool.capacity, 500);
}

TEST(memory_in_pieces_makes_smaller_pools_than_its_sum_would)
{
    make_lanes(2, 256, 256);
    machine_memory_limit(pool_bytes(300, 2048));
    assert_int_equal(topology_make_pools(lane_list, 1, UINT64_MAX, rx_buffers), 0);
    assert_in_range(lanes[0].pool.capacity, 200, 300);
    assert_in_range(rx_buffers[0], BURST, lanes[0].pool.capacity - BURST);
    assert_int_equal(lanes[0].pool.count, lanes[0].pool.capacity);
    /* Nothing is left for the other one, not even the list of its buffers. */
    machine_memory_limit(0);
    topology_make_pools(lane_list + 1, 1, UINT64_MAX, rx_buffers + 1);
    assert_int_equal(lanes[1].pool.capacity, 0);
    assert_int_equal(rx_buffers[1], 0);
}

TEST(no_memory_at_all_is_shared_without_harm)
{
    make_lanes(2, 256, 256);
    assert_true(topology_make_pools(lane_list, 2, 10, rx_buffers) > 0);
    assert_int_equal(rx_buffers[0] + rx_buffers[1], 0);
}

TEST(less_than_two_bursts_is_nothing)
{
    make_lanes(2, 256, 256);
    assert_true(topology_make_pools(lane_list, 2, 2 * pool_bytes(2 * BURST - 1, 2048), rx_buffers) >
                0);
    assert_int_equal(rx_buffers[0], 0);
    assert_int_equal(lanes[0].pool.capacity, 0);
    assert_true(topology_make_pools(lane_list, 2, 2 * pool_bytes(2 * BURST, 2048), rx_buffers) > 0);
    assert_int_equal(rx_buffers[0], BURST);
    assert_int_equal(lanes[0].pool.capacity, 2 * BURST);
}
