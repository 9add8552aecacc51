/* Pairs of ports out of wire=: net/pairs.c. */
#include <stdio.h>

#include "net/lane.h"
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
