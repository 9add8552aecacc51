/* The monitor on memory ports, asked by a simulated operator: net/monitor*.c. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <machine/clock.h>
#include <machine/power.h>

#include "tests/host/fixture/memory_port.h"
#include "kernel/log.h"
#include "net/loop_options.h"
#include "net/monitor.h"
#include "net/port_options.h"
#include "net/topology_options.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/machine.h"
#include "tests/host/sim/console_user.h"

#define PORTS 4

static struct memory_port ports[PORTS];
static struct topology topology;
static struct loop loop;
static struct monitor monitor;

static unsigned pci_count(void)
{
    return 3;
}

static void report_pci(unsigned index)
{
    log_event(LOG_REPORT, "pci", "address=00:%02x.0", index);
}

/* Four ports, 0 with 1 and 2 with 3; nothing in the log. */
static int setup(void **state)
{
    const struct monitor_machine machine = {
        .version = "v1-test", .pci_count = pci_count, .pci_report = report_pci};

    (void)state;
    machine_reset();
    log_set_level(LOG_DEBUG);
    memset(&topology, 0, sizeof(topology));
    topology.port_count = PORTS;
    for (unsigned i = 0; i < PORTS; i++) {
        struct mac_address mac = {{2, 0, 0, 0, 0, (uint8_t)i}};
        memory_port_init(&ports[i], i, mac);
        topology.ports[i] = &ports[i].port;
    }
    topology_plan(&topology, "", false);
    assert_int_equal(topology_allot(&topology, UINT64_MAX), 0);
    topology_start(&topology);
    topology_settle(&topology);
    loop_init(&loop, topology.ports, topology.port_lanes, PORTS, 0);
    loop_options_begin(&loop);
    port_options_begin(topology.ports, &topology.port_count);
    topology_options_begin(&topology);
    monitor_init(&monitor, &topology, &loop, &machine);
    machine_log_forget();
    return 0;
}

TEST_FIXTURE(.setup = setup);

static void serve(unsigned times)
{
    while (times-- > 0) {
        monitor_service(&monitor);
        assert_int_equal(user_addressed(), USER_ALL);
    }
}

/* Types a command on channel 0 into an empty log, and lets it be answered. */
static void ask(const char *line)
{
    machine_log_forget();
    user_type(0, line);
    serve(100);
}

static void expect(const char *event, const char *fragment, size_t count)
{
    if (machine_log_count(event, fragment) == count)
        return;
    machine_log_print();
    fail_msg("not %zu times: %s %s", count, event, fragment);
}

static void expect_done(const char *command)
{
    char fragment[64];

    snprintf(fragment, sizeof(fragment), "command=%s", command);
    expect("done", fragment, 1);
    expect("done", "", 1);
    expect("error", "", 0);
}

static void expect_refused(const char *command, const char *word)
{
    char fragment[160];

    snprintf(fragment, sizeof(fragment),
             "reason=bad-argument command=%s word=%s accepted=", command, word);
    expect("error", fragment, 1);
    expect("error", "", 1);
    expect("done", "", 0);
}

/* ---- lines ---- */

TEST(every_command_is_in_help_and_has_a_phrase)
{
    static const char *const names[] = {"help",   "ports",  "stats",   "lanes",  "drops",   "pci",
                                        "memory", "uptime", "version", "log",    "set",     "mode",
                                        "wire",   "reset",  "json",    "reboot", "poweroff"};

    ask("help");
    expect_done("help");
    expect("help", "", sizeof(names) / sizeof(names[0]));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char fragment[64];
        snprintf(fragment, sizeof(fragment), "command=%s arguments=", names[i]);
        expect("help", fragment, 1);
    }
    assert_true(user_knows_phrase("ports"));
    assert_true(user_knows_phrase("set log=warn"));
    ask("help reset");
    expect("help", "command=reset arguments=PORT", 1);
    expect("help", "", 1);
    expect_done("help");
}

/* Commands of another module, as it would bring them along. */
static unsigned others;

static bool run_other(struct command_call *call)
{
    assert_ptr_equal(call->owner, &others);
    others++;
    call->end = 2;
    return command_nothing_behind(call, 2);
}

static void tell_other(struct command_call *call)
{
    log_event(LOG_REPORT, "other", "item=%u argument=%s", call->next, call->words[1]);
}

static const struct command other_commands[] = {
    {"other", "[clear]", "one word", run_other, tell_other},
    {"other entries", "NUMBER", "two words", run_other, tell_other},
};

static struct command_table other = {.count = 2, .commands = other_commands};
COMMAND_TABLE(other);

TEST(a_table_of_commands_elsewhere_is_found_and_comes_last)
{
    ask("other");
    expect("error", "reason=unknown-command word=other", 1);
    other.owner = &others;
    setup(state);
    ask("other entries 7");
    expect("other", "item=0 argument=7", 1);
    expect("other", "item=1 argument=7", 1);
    expect("done", "command=\"other entries\"", 1);
    ask("other entries 7 x");
    expect_refused("\"other entries\"", "x");
    ask("other clear");
    expect("other", "argument=clear", 2);
    assert_int_equal(others, 3);
    ask("help other");
    expect("help", "command=other arguments=[clear] purpose=\"one word\"", 1);
    expect("help", "", 2);
    ask("othe");
    expect("error", "reboot poweroff other other entries\"", 1);
    assert_true(user_knows_phrase("other clear"));
    assert_true(user_knows_phrase("other entries "));
    other.owner = NULL;
}

TEST(an_unknown_command_is_named_with_those_there_are)
{
    ask("prots 0");
    expect("error", "reason=unknown-command word=prots accepted=\"help ports stats", 1);
    expect("error", "reboot poweroff\"", 1);
    ask("STATS");
    expect("error", "word=STATS", 1);
    ask("\"x y\" = \\");
    expect("error", "reason=unknown-command", 1);
}

TEST(an_empty_line_is_no_command)
{
    ask("");
    ask("   \t  ");
    expect("error", "", 0);
    expect("done", "", 0);
    ask("  \t stats   0  ");
    expect_done("stats");
}

TEST(a_line_that_is_too_long_is_refused)
{
    char line[CONSOLE_LINE_MAX];

    memset(line, 'x', sizeof(line));
    line[CONSOLE_LINE_MAX - 1] = '\0';
    ask(line);
    expect("error", "reason=line-too-long accepted=\"up to 254 characters\"", 1);
    line[CONSOLE_LINE_MAX - 2] = '\0';
    ask(line);
    expect("error", "reason=unknown-command", 1);
}

TEST(a_byte_that_no_command_has_refuses_the_line_and_is_named)
{
    ask("ports \xc2\xb9 0");
    expect("error", "reason=bad-byte byte=0xc2 place=7 word=\xc2\xb9 accepted=\"printable ASCII\"",
           1);
    expect("ports", "", 0);
    ask("wire 0-2,1\xe2\x80\x93"
        "3");
    expect("error", "reason=bad-byte byte=0xe2 place=11 word=0-2,1\xe2\x80\x93", 1);
    ask("\x7fports");
    expect("error", "reason=bad-byte byte=0x7f place=1 ", 1);
    expect("done", "", 0);
}

TEST(words_too_many_are_named)
{
    static const char *const lines[] = {
        "help stats x",   "ports 0 x",   "stats 0 clear x", "lanes 0 x", "drops 0 x",
        "pci x",          "memory x",    "uptime x",        "version x", "log warn x",
        "set log=warn x", "mode wire x", "wire 0-1 x",      "reset 0 x", "json on x",
        "reboot x",       "poweroff x"};

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        ask(lines[i]);
        expect("error", "word=x ", 1);
        expect("done", "", 0);
    }
    assert_false(power_requested());
    ask("set");
    expect("settings", "words=\"\"", 1);
    ask("stats 0 clear x y z a b c");
    expect_refused("stats", "x");
}

TEST(one_event_is_queued_a_call_and_only_while_there_is_room)
{
    user_type(0, "ports");
    serve(2);
    expect("ports", "", 2);
    user_away(0, true);
    serve(50);
    expect("ports", "", 2);
    user_type(1, "uptime"); /* the other channel is not held up */
    serve(2);
    expect("done", "command=uptime", 1);
    user_away(0, false);
    serve(3);
    expect("ports", "", 4);
    expect("done", "command=ports", 1);
}

TEST(commands_are_answered_one_after_the_other)
{
    user_type(0, "version");
    user_type(0, "uptime");
    serve(1);
    expect("uptime", "", 0);
    serve(10);
    expect("version", "version=v1-test", 1);
    expect("uptime", "seconds=0.00", 1);
    expect("done", "", 2);
}

/* ---- questions ---- */

TEST(ports_tell_what_they_are)
{
    ports[1].port.link_up = false;
    ports[2].port.reason = "retired";
    ask("ports");
    expect("ports",
           "port=0 address=memory0 driver=memory transport=memory state=running link=up "
           "speed=unknown mac=02:00:00:00:00:00 mtu=1500 rx_size=256 rx_filled=256 tx_size=256 "
           "tx_filled=0 features=none",
           1);
    expect("ports", "port=1 address=memory1 driver=memory transport=memory state=running link=down",
           1);
    expect("ports", "port=2 address=memory2 driver=memory transport=memory state=retired", 1);
    expect_done("ports");
    ask("ports memory3");
    expect("ports", "port=3", 1);
    expect("ports", "", 1);
    ask("ports 02:00:00:00:00:01");
    expect("ports", "port=1", 1);
    ask("ports 4");
    expect_refused("ports", "4");
    ask("ports -1");
    expect_refused("ports", "-1");
    expect("error", "accepted=\"the number, PCI address or MAC of a port\"", 1);
}

TEST(stats_show_counters_and_the_rates_since_this_channel_asked_last)
{
    machine_clock_step(0);
    ask("stats 0");
    ports[0].port.stats.rx_packets = 1000;
    ports[0].port.stats.rx_bytes = 1000000;
    machine_clock_advance(2 * CLOCK_NS_PER_S);
    ask("stats 0");
    expect("stats", "port=0 rx_packets=1000 rx_bytes=1000000 ", 1);
    expect("stats", " rx_pps=500 tx_pps=0 rx_mbps=4 ", 1);
    expect("stats", " since=0.000000", 1);
    expect("stats", "", 1);
    expect_done("stats");
    machine_clock_advance(2 * CLOCK_NS_PER_S);
    machine_log_forget();
    user_type(1, "stats 0");
    serve(3);
    expect("stats", " rx_pps=250 ", 1);
    ask("stats 0");
    expect("stats", " rx_pps=0 ", 1);
    ask("stats");
    expect("stats", "", PORTS);
}

TEST(clear_lets_the_counters_of_this_channel_start_anew)
{
    struct stats events = {0};

    machine_clock_step(0);
    ports[0].port.stats = (struct port_stats){.rx_packets = 7, .tx_dropped = 5, .resets = 1};
    topology.lanes[0].drops[DROP_RUNT] = 3;
    machine_clock_advance(CLOCK_NS_PER_S);
    ask("stats 0 clear");
    expect("stats", "port=0 rx_packets=7 ", 1); /* up to here, and shown */
    ports[0].port.stats.rx_packets += 2;
    topology.lanes[0].drops[DROP_RUNT]++;
    machine_clock_advance(CLOCK_NS_PER_S);
    ask("stats 0");
    expect("stats",
           "port=0 rx_packets=2 rx_bytes=0 tx_packets=0 tx_bytes=0 rx_dropped=1 tx_dropped=0 "
           "rx_pps=2 ",
           1);
    expect("stats",
           "drop_runt=1 drop_oversize=0 drop_idle=0 drop_stopped=0 drop_link_down=0 "
           "drop_bad_offload=0 drop_no_offload=0 resets=0 "
           "announces=0 since=1.000000",
           1);
    ask("drops 0");
    expect("drops",
           "port=0 drop_runt=1 drop_oversize=0 drop_idle=0 drop_stopped=0 drop_link_down=0 "
           "drop_bad_offload=0 drop_no_offload=0 "
           "since=1.000000",
           1);
    /* Neither the other channel nor the stats event is touched. */
    machine_log_forget();
    user_type(1, "drops 0");
    serve(3);
    expect("drops",
           "port=0 drop_runt=4 drop_oversize=0 drop_idle=0 drop_stopped=5 drop_link_down=0 "
           "drop_bad_offload=0 drop_no_offload=0 "
           "since=0.000000",
           1);
    stats_report(&events, topology.ports, topology.port_lanes, PORTS);
    expect("stats", "port=0 rx_packets=9 ", 1);
    ask("stats clear");
    expect("stats", "", PORTS);
    ask("stats 0");
    expect("stats", "port=0 rx_packets=0 ", 1);
    ask("stats 1 clean");
    expect_refused("stats", "clean");
}

TEST(lanes_tell_where_frames_go)
{
    ask("wire 0-1");
    topology.port_lanes[3] = NULL;
    ask("lanes");
    expect("lanes", "port=0 function=wire buffers=544 to=1 ", 1);
    expect("lanes", "port=2 function=idle buffers=544", 1);
    expect("lanes", "port=3 function=none", 1);
    ask("mode reflect");
    ask("lanes 1");
    expect("lanes", "port=1 function=reflect buffers=544 to=1 ", 1);
}

TEST(memory_finds_every_buffer_and_a_leak)
{
    static const uint8_t frame[60] = {2};

    for (unsigned i = 0; i < 10; i++)
        assert_true(memory_port_inject(&ports[0], frame, sizeof(frame)));
    loop_round(&loop);
    ask("memory");
    expect("memory", "free=", 1);
    expect("memory",
           "port=0 buffers=544 frame_max=2048 in_pool=278 in_rx_ring=256 in_tx_ring=10 missing=0",
           1);
    expect("memory", "missing=0", PORTS + 1);
    expect("memory", "core=0 buffers=2112 in_pools=1078 in_rings=1034 kept=0 missing=0", 1);
    expect_done("memory");
    (void)pool_take(topology.lanes[1].pool, 2);
    ask("memory");
    expect("memory",
           "port=1 buffers=544 frame_max=2048 in_pool=288 in_rx_ring=256 in_tx_ring=0 "
           "missing=2",
           1);
}

TEST(pci_functions_are_told_one_by_one)
{
    ask("pci");
    expect("pci", "address=00:02.0", 1);
    expect("pci", "", 3);
    expect_done("pci");
}

TEST(uptime_is_told_in_seconds_and_in_days)
{
    machine_clock_step(0);
    machine_clock_advance(93784 * CLOCK_NS_PER_S + 500000);
    ask("uptime");
    expect("uptime", "seconds=93784.000500 days=1 hours=2 minutes=3", 1);
}

/* ---- orders ---- */

TEST(the_reason_of_a_port_is_its_state)
{
    ports[2].port.reason = "draining";
    ask("ports 2");
    expect("ports", "transport=memory state=draining ", 1);
}

static const struct port_ops *slow;

static void describe_25_gbit(const struct port *dev, struct port_description *description)
{
    slow->describe(dev, description);
    description->speed = 25000;
}

TEST(a_port_shows_the_speed_and_the_mtu_that_it_has)
{
    struct port_ops fast = *ports[1].port.ops;

    slow = ports[1].port.ops;
    fast.describe = describe_25_gbit;
    ports[1].port.ops = &fast;
    ports[1].port.mtu = 9000;
    ask("ports 1");
    expect("ports", "link=up speed=25000 ", 1);
    expect("ports", " mtu=9000 ", 1);
    ports[1].port.ops = slow;
}

TEST(a_port_without_a_lane_has_no_pool_to_tell_of)
{
    topology.port_lanes[3] = NULL;
    ask("memory");
    expect("memory", "port=", PORTS - 1);
    expect("memory", "port=3 ", 0);
    expect_done("memory");
}

TEST(words_behind_a_command_that_takes_none_are_refused)
{
    ask("uptime now");
    expect_refused("uptime", "now");
    expect("error", "accepted=\"nothing behind it\"", 1);
    ask("ports 1 2");
    expect_refused("ports", "2");
    expect("error", "accepted=[PORT]", 1);
}

TEST(settings_change_by_their_words)
{
    ask("set stats=5");
    expect_done("set");
    assert_true(loop.stats_period_ns == 5 * CLOCK_NS_PER_S);
    ask("set promisc=off");
    assert_false(ports[0].port.wanted.promisc);
    ask("set allmulti=on");
    for (unsigned i = 0; i < PORTS; i++)
        assert_true(ports[i].port.wanted.allmulti);
    ask("set mac=1/02:00:00:00:00:09");
    expect_done("set");
    assert_int_equal(ports[1].port.wanted.mac.bytes[5], 9);
    assert_int_not_equal(ports[0].port.wanted.mac.bytes[5], 9);
    ports[1].port.state = PORT_DOWN; /* another device may take its place */
    ask("set promisc=on");
    assert_true(ports[1].port.wanted.promisc);
    assert_true(ports[2].port.wanted.promisc);
    ports[1].port.mac.bytes[5] = 1;
    ask("set mac=1:02:00:00:00:00:08");
    assert_int_equal(ports[1].port.mac.bytes[5], 1);
    assert_int_equal(ports[1].port.wanted.mac.bytes[5], 8);
    ask("set mac=1:off"); /* its device's own again */
    expect_done("set");
    assert_int_equal(ports[1].port.wanted.mac.bytes[5], 1);
    ask("set promisc=\"off\"");
    assert_false(ports[0].port.wanted.promisc);
    ask("set idle=adaptive");
    expect_done("set");
    assert_true(loop.idle.quiet_max != UINT64_MAX);
    ask("set idle=poll");
    assert_true(loop.idle.quiet_max == UINT64_MAX);
    ask("set mac=31/02:00:00:00:00:07"); /* for when it comes */
    expect("warn", "word=mac port=31 reason=\"no such port yet\" ports=", 1);
    expect_done("set");
    ask("set bad=1");
    expect("error",
           "reason=bad-argument command=set word=\"bad=1\" accepted=\"stats=SECONDS log=LEVEL "
           "promisc=on|off "
           "allmulti=on|off mac=PORT/ADDRESS idle=adaptive|poll\"",
           1);
    ask("set stats=often");
    expect("error", "word=\"stats=often\" accepted=\"seconds from 0 (off) to 86400\"", 1);
    ask("set");
    expect("settings",
           "stats=5 log=info promisc=off allmulti=on idle=poll "
           "words=\"stats=5 promisc=off allmulti=on mac=31/02:00:00:00:00:07 idle=poll\"",
           1);
    expect_done("set");
}

TEST(settings_tell_other_wires_as_the_words_for_them)
{
    ask("wire 0-2,1-3");
    ask("set");
    expect("settings", "words=\"wire=0-2,1-3\"", 1);
    ask("mode reflect");
    ask("set");
    expect("settings", "words=\"mode=reflect wire=0-2,1-3\"", 1);
    ask("wire auto");
    ask("set");
    expect("settings", "stats=10 log=info promisc=on allmulti=off idle=adaptive words=\"\"", 1);
}

TEST(settings_that_are_long_are_told_in_several_events)
{
    char line[CONSOLE_LINE_MAX];

    for (unsigned port = 0; port < 32; port++) {
        snprintf(line, sizeof(line), "set mac=%u/02:00:00:00:01:%02x", port, port);
        ask(line);
    }
    ask("set");
    expect("settings", "stats=10 ", 1);
    expect("settings", "words=\"", 2);
    expect_done("set");
}

TEST(words_are_shown_by_help_with_what_they_take)
{
    ask("help stats=");
    expect("help",
           "word=stats accepted=\"seconds from 0 (off) to 86400\" running=yes purpose=\"time "
           "between stats events\"",
           1);
    expect("help", "", 1);
    expect_done("help");
    ask("help wire=");
    expect("help", "word=wire accepted=\"A-B,... ", 1);
    expect("help", " running=no ", 1);
    ask("help =");
    expect("help", "word=", 11);
    expect("help", "command=", 0);
    ask("help stat=");
    expect_refused("help", "\"stat=\"");
}

TEST(log_is_a_setting)
{
    ask("log warn");
    expect_done("log");
    ask("set");
    expect("settings", " log=warn ", 1);
    ask("log");
    expect_refused("log", "\"\"");
    ask("log warnings");
    expect_refused("log", "warnings");
    ask("log warnwarnwarnwarnwarn");
    expect_refused("log", "warnwarnwarnwarnwarn");
}

static bool goes(unsigned from, unsigned to)
{
    uint8_t frame[60] = {2}, out[60];

    frame[20] = (uint8_t)from;
    assert_true(memory_port_inject(&ports[from], frame, sizeof(frame)));
    loop_round(&loop);
    return memory_port_collect(&ports[to], out, sizeof(out)) == sizeof(frame) && out[20] == from;
}

TEST(wires_and_mode_change_between_two_rounds)
{
    assert_true(goes(0, 1));
    ask("wire 0-2,3-1");
    expect("wires", "mode=wire wires=0-2,1-3 idle_ports=none", 1);
    expect_done("wire");
    assert_true(goes(0, 2));
    assert_true(goes(1, 3));
    ask("mode reflect");
    expect("wires", "mode=reflect", 1);
    assert_true(goes(0, 0));
    ask("mode wire"); /* those that were before */
    expect("wires", "mode=wire wires=0-2,1-3", 1);
    ask("wire auto");
    expect("wires", "mode=wire wires=0-1,2-3", 1);
    ask("mode");
    expect("wires", "mode=wire wires=0-1,2-3 idle_ports=none", 1);
    expect_done("mode");
    ask("wire");
    expect("wires", "", 1);
    ask("mode bridge");
    expect_refused("mode", "bridge");
}

TEST(a_wrong_pair_changes_nothing)
{
    static const char *const wrong[] = {"0-9", "0-2,1-9", "0-0", "0-1,1-2", "0", "0-2,", ",", "-"};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char line[64];
        snprintf(line, sizeof(line), "wire %s", wrong[i]);
        ask(line);
        expect_refused("wire", wrong[i]);
        expect("warn", "word=wire pair=", strcmp(wrong[i], ",") == 0 ? 2 : 1); /* and why */
        expect("wires", "", 0);
        assert_true(goes(0, 1));
        assert_true(goes(3, 2));
    }
}

TEST(a_port_is_reset_by_number_or_address)
{
    ask("reset 1");
    expect_done("reset");
    assert_true(ports[1].port.wanted.changed & PORT_WANT_RESET);
    ask("reset memory2");
    assert_true(ports[2].port.wanted.changed & PORT_WANT_RESET);
    ask("reset 7");
    expect_refused("reset", "7");
    ask("reset");
    expect_refused("reset", "\"\"");
    ports[3].port.can_reset = false;
    ask("reset 3");
    expect_refused("reset", "3");
}

TEST(json_is_the_channels_own)
{
    user_type(1, "json on");
    serve(3);
    assert_true(user_has_json(1));
    assert_false(user_has_json(0));
    user_type(1, "json off");
    serve(3);
    assert_false(user_has_json(1));
    ask("json yes");
    expect_refused("json", "yes");
}

TEST(reboot_and_poweroff_ask_for_the_end)
{
    ask("poweroff");
    expect_done("poweroff");
    assert_true(power_requested());
    setup(state);
    assert_false(power_requested());
    ask("reboot");
    expect_done("reboot");
    assert_true(power_requested());
}

TEST(the_loop_serves_the_monitor)
{
    user_type(0, "version");
    for (unsigned i = 0; i < 10; i++) {
        machine_clock_advance(CLOCK_NS_PER_MS);
        loop_round(&loop);
    }
    expect_done("version");
}
