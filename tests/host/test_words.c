/* Every word with the values that it takes and refuses, where it is obeyed, and the warnings. */
#include <stdio.h>
#include <string.h>

#include <machine/clock.h>
#include <machine/option.h>

#include "drivers/i6300esb.h"
#include "drivers/virtio/virtio_net.h"
#include "kernel/fault_injection.h"
#include "kernel/image.h"
#include "kernel/log.h"
#include "kernel/memory.h"
#include "kernel/panic_action.h"
#include "net/loop_options.h"
#include "net/port_options.h"
#include "net/topology_options.h"
#include "tests/host/fixture/settings.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/machine.h"

#define ACCEPTS_MAX 64
#define VLANS_MAX 64

static struct topology topology;
static struct loop loop;

void image_layout_get(struct image_layout *layout)
{
    memset(layout, 0, sizeof(*layout));
}

static int setup(void **state)
{
    (void)state;
    machine_reset();
    /* A table comes with its file, and the file with what is called of it. */
    assert_null(i6300esb_find(NULL, 0));
    memory_set_reach(0);
    topology_options_begin(&topology);
    loop_init(&loop, NULL, NULL, 0, 0);
    loop_options_begin(&loop);
    return 0;
}

TEST_FIXTURE(.setup = setup);

static size_t warnings(void)
{
    return machine_log_count("warn", "");
}

/* Parses, and expects as many `warn` events. */
static void parse(const char *cmdline, size_t warnings_expected)
{
    machine_reset();
    log_set_level(LOG_INFO);
    machine_command_line(cmdline);
    loop_options_begin(&loop);
    if (warnings() != warnings_expected) {
        machine_log_print();
        fail_msg("%s: %zu warnings", cmdline, warnings());
    }
}

/* Parses without a warning; then these words are in force. */
static void parse_to(const char *cmdline, const char *words)
{
    parse(cmdline, 0);
    assert_string_equal(settings_words(), words);
}

static void assert_defaults(void)
{
    assert_string_equal(settings_words(), "");
}

static void assert_level(enum log_level level)
{
    assert_true(log_enabled(level));
    assert_false(log_enabled(level + 1));
}

/* What the words want of port `number`. */
static const struct port_wanted *wanted_of(unsigned number)
{
    static struct port port;

    port = (struct port){.id = number};
    port_options_apply(&port);
    return &port.wanted;
}

/* Each is refused with one `warn` that holds the word and what is accepted. */
static void assert_refused(const char *const *words, const char *accepted)
{
    for (; *words != NULL; words++) {
        char shown[256];
        parse(*words, 1);
        snprintf(shown, sizeof(shown), "word=\"%s\" accepted=%s", *words, accepted);
        if (machine_log_count("warn", shown) != 1) {
            machine_log_print();
            fail_msg("no such warning: %s", shown);
        }
        assert_defaults();
    }
}

TEST(empty_line_gives_the_defaults)
{
    parse("", 0);
    assert_defaults();
    assert_false(topology.reflect);
    assert_string_equal(topology.wire, "");
    assert_int_equal(topology.mergeable, MERGEABLE_AUTO);
    assert_true(loop.stats_period_ns == 10 * CLOCK_NS_PER_S);
    assert_true(loop.idle.quiet_max != UINT64_MAX);
    assert_int_equal(virtio_net_options()->transport, TRANSPORT_AUTO);
    assert_true(virtio_net_options()->offloads);
    assert_int_equal(virtio_net_options()->rx_ring, 0);
    assert_int_equal(virtio_net_options()->tx_ring, 0);
    assert_int_equal(panic_action(), PANIC_REBOOT);
    assert_true(log_enabled(LOG_INFO));
    assert_false(log_enabled(LOG_DEBUG));
    fault_inject(); /* none */
    parse(" \t  ", 0);
    assert_defaults();
}

TEST(mode_takes_wire_and_reflect)
{
    parse("mode=reflect", 0);
    assert_true(topology.reflect);
    parse("mode=wire", 0);
    assert_false(topology.reflect);
    assert_refused((const char *const[]){"mode=", "mode=Wire", "mode=wires", "mode=wir", NULL},
                   "wire|reflect");
}

TEST(offload_is_on_unless_switched_off)
{
    parse("", 0);
    assert_true(virtio_net_options()->offloads);
    parse("offload=off", 0);
    assert_false(virtio_net_options()->offloads);
    parse("offload=on", 0);
    assert_true(virtio_net_options()->offloads);
    assert_refused((const char *const[]){"offload=", "offload=yes", "offload=ON", NULL}, "on|off");
}

TEST(buffers_are_merged_where_memory_is_short_unless_told_otherwise)
{
    parse("", 0);
    assert_int_equal(topology.mergeable, MERGEABLE_AUTO);
    parse("mergeable=on", 0);
    assert_int_equal(topology.mergeable, MERGEABLE_ON);
    parse("mergeable=off", 0);
    assert_int_equal(topology.mergeable, MERGEABLE_OFF);
    assert_refused((const char *const[]){"mergeable=", "mergeable=yes", "mergeable=ON", NULL},
                   "auto|on|off");
}

TEST(transport_takes_the_two_interfaces_and_auto)
{
    parse("transport=legacy", 0);
    assert_int_equal(virtio_net_options()->transport, TRANSPORT_LEGACY);
    parse("transport=modern", 0);
    assert_int_equal(virtio_net_options()->transport, TRANSPORT_MODERN);
    parse("transport=auto", 0);
    assert_int_equal(virtio_net_options()->transport, TRANSPORT_AUTO);
    assert_refused((const char *const[]){"transport=", "transport=pci", "transport=Modern", NULL},
                   "auto|legacy|modern");
}

TEST(wire_is_kept_as_given_up_to_its_longest)
{
    char word[PAIRS_WORD + 16] = "wire=";

    parse("wire=0-3,00:03.0-52:54:00:12:34:56", 0);
    assert_string_equal(topology.wire, "0-3,00:03.0-52:54:00:12:34:56");
    memset(word + 5, '1', PAIRS_WORD - 1);
    parse(word, 0);
    assert_int_equal(strlen(topology.wire), PAIRS_WORD - 1);
    word[5 + PAIRS_WORD - 1] = '1';
    parse(word, 1);
    assert_defaults();
    assert_refused((const char *const[]){"wire=", NULL}, "\"A-B");
}

TEST(wire_takes_every_port_by_its_mac)
{
    char word[PAIRS_WORD + 16] = "wire=";

    for (unsigned i = 0; i < PORTS_MAX; i++)
        snprintf(word + strlen(word), sizeof(word) - strlen(word), "%s52:54:00:12:34:%02x",
                 i == 0       ? ""
                 : i % 2 == 1 ? "-"
                              : ",",
                 i);
    parse(word, 0);
    assert_string_equal(topology.wire, word + strlen("wire="));
}

TEST(stats_takes_seconds_from_0_to_86400)
{
    parse("stats=0", 0);
    assert_true(loop.stats_period_ns == 0 * CLOCK_NS_PER_S);
    parse("stats=86400", 0);
    assert_true(loop.stats_period_ns == 86400 * CLOCK_NS_PER_S);
    parse("stats=007", 0);
    assert_true(loop.stats_period_ns == 7 * CLOCK_NS_PER_S);
    assert_refused((const char *const[]){"stats=", "stats=86401", "stats=-1", "stats=+1",
                                         "stats=1s", "stats=0x10", "stats=1.5",
                                         "stats=18446744073709551616",
                                         "stats=99999999999999999999999999", NULL},
                   "\"seconds from 0 (off) to 86400\"");
}

TEST(log_takes_the_four_levels)
{
    parse("log=error", 0);
    assert_level(LOG_ERROR);
    parse("log=warn", 0);
    assert_level(LOG_WARN);
    parse("log=info", 0);
    assert_level(LOG_INFO);
    parse("log=debug", 0);
    assert_level(LOG_DEBUG);
    assert_refused((const char *const[]){"log=", "log=report", "log=4", NULL},
                   "error|warn|info|debug");
}

TEST(switches_take_on_and_off)
{
    parse("promisc=off allmulti=on", 0);
    assert_false(wanted_of(0)->promisc);
    assert_true(wanted_of(3)->allmulti);
    parse("promisc=on allmulti=off", 0);
    assert_true(wanted_of(0)->promisc);
    assert_false(wanted_of(3)->allmulti);
    assert_refused((const char *const[]){"promisc=1", "promisc=", "allmulti=yes", NULL}, "on|off");
}

TEST(rings_take_powers_of_two_from_16_to_32768)
{
    for (unsigned size = 16; size <= 32768; size *= 2) {
        char line[48];

        snprintf(line, sizeof(line), "rx_ring=%u", size);
        parse(line, 0);
        assert_int_equal(virtio_net_options()->rx_ring, size);
        assert_int_equal(virtio_net_options()->tx_ring, 0);
        snprintf(line, sizeof(line), "tx_ring=%u", size);
        parse(line, 0);
        assert_int_equal(virtio_net_options()->tx_ring, size);
        assert_int_equal(virtio_net_options()->rx_ring, 0);
    }
    assert_refused((const char *const[]){"rx_ring=", "rx_ring=0", "rx_ring=3", "rx_ring=8",
                                         "rx_ring=17", "rx_ring=300", "rx_ring=32769",
                                         "rx_ring=65536", "rx_ring=-256", "rx_ring=256k",
                                         "rx_ring=0x100", "rx_ring=4294967552",
                                         "rx_ring=18446744073709551872", "tx_ring=", "tx_ring=0",
                                         "tx_ring=1", "tx_ring=1000", "tx_ring=65536", NULL},
                   "\"a power of two from 16 to 32768\"");
}

TEST(panic_takes_the_three_actions)
{
    parse("panic=halt", 0);
    assert_int_equal(panic_action(), PANIC_HALT);
    parse("panic=poweroff", 0);
    assert_int_equal(panic_action(), PANIC_POWEROFF);
    parse("panic=reboot", 0);
    assert_int_equal(panic_action(), PANIC_REBOOT);
    assert_refused((const char *const[]){"panic=reset", "panic=", NULL}, "reboot|halt|poweroff");
}

TEST(idle_takes_the_two_ways)
{
    parse("idle=poll", 0);
    assert_true(loop.idle.quiet_max == UINT64_MAX);
    parse("idle=adaptive", 0);
    assert_true(loop.idle.quiet_max != UINT64_MAX);
    assert_refused((const char *const[]){"idle=on", "idle=", NULL}, "adaptive|poll");
}

TEST(watchdog_takes_seconds_from_0_to_1800)
{
    parse_to("watchdog=30", "");
    parse_to("watchdog=0", "watchdog=0");
    parse_to("watchdog=1800", "watchdog=1800");
    assert_refused((const char *const[]){"watchdog=1801", "watchdog=", "watchdog=5s", NULL},
                   "\"seconds from 0 (off) to 1800\"");
}

TEST(mac_takes_a_port_and_a_unicast_address)
{
    parse("mac=0/52:54:00:AB:cd:0f mac=31/02:00:00:00:00:01", 0);
    assert_memory_equal(wanted_of(0)->mac.bytes, "\x52\x54\x00\xab\xcd\x0f", 6);
    assert_memory_equal(wanted_of(31)->mac.bytes, "\x02\0\0\0\0\1", 6);
    assert_false(wanted_of(1)->changed & PORT_WANT_MAC);
    parse_to("mac=0:52:54:00:AB:cd:0f mac=31/02:00:00:00:00:01",
             "mac=0/52:54:00:ab:cd:0f mac=31/02:00:00:00:00:01");
    parse_to("mac=12:52:54:00:12:34:56", "mac=12/52:54:00:12:34:56");
}

TEST(mac_refuses_what_no_port_can_have)
{
    assert_refused((const char *const[]){"mac=",
                                         "mac=0",
                                         "mac=0/",
                                         "mac=/52:54:00:12:34:56",
                                         "mac=52:54:00:12:34:56",
                                         "mac=32/52:54:00:12:34:56",
                                         "mac=-1/52:54:00:12:34:56",
                                         "mac=0/52:54:00:12:34",
                                         "mac=0/52:54:00:12:34:56:78",
                                         "mac=0/52:54:00:12:34:5",
                                         "mac=0/52:54:00:12:34:5g",
                                         "mac=0/52-54-00-12-34-56",
                                         "mac=0/52:54:00:12:34:+6",
                                         "mac=0/5:254:00:12:34:56",
                                         "mac=0/00:00:00:00:00:00",
                                         "mac=0/01:00:00:00:00:00",
                                         "mac=0/ff:ff:ff:ff:ff:ff",
                                         "mac=0/33:33:00:00:00:01",
                                         "mac=99999999999999999999/52:54:00:12:34:56",
                                         NULL},
                   "\"PORT/xx:xx:xx:xx:xx:xx (port 0 to 31, unicast, not zero)\"");
}

TEST(mac_of_one_port_given_twice_counts_the_last_time)
{
    parse("mac=3/02:00:00:00:00:01 mac=4/02:00:00:00:00:02 mac=3/02:00:00:00:00:03", 1);
    assert_int_equal(
        machine_log_count("warn", "reason=repeated-word word=\"mac=3/02:00:00:00:00:03\""), 1);
    assert_int_equal(wanted_of(3)->mac.bytes[5], 3);
    assert_int_equal(wanted_of(4)->mac.bytes[5], 2);
    assert_string_equal(settings_words(), "mac=3/02:00:00:00:00:03 mac=4/02:00:00:00:00:02");
    parse("mac=3/02:00:00:00:00:01 mac=3/off", 1);
    assert_defaults();
}

TEST(every_port_may_have_a_mac)
{
    char line[PORTS_MAX * 32] = "";

    for (unsigned port = 0; port < PORTS_MAX; port++) {
        char word[32];
        snprintf(word, sizeof(word), "mac=%u/02:00:00:00:00:%02x ", port, port);
        strcat(line, word);
    }
    parse(line, 0);
    for (unsigned port = 0; port < PORTS_MAX; port++)
        assert_int_equal(wanted_of(port)->mac.bytes[5], port);
}

TEST(accept_takes_stations_and_groups_often)
{
    char line[(ACCEPTS_MAX + 1) * 32] = "";

    for (unsigned i = 0; i < ACCEPTS_MAX; i++)
        snprintf(line + strlen(line), 32, "accept=%u/%02x:00:5e:00:00:%02x ", i % 32, i % 2, i);
    parse(line, 0);
    for (unsigned port = 0; port < 32; port++) {
        const struct port_wanted *const wanted = wanted_of(port);
        assert_int_equal(wanted->stations.count, port % 2 == 0 ? 2 : 0);
        assert_int_equal(wanted->groups.count, port % 2 == 0 ? 0 : 2);
    }
    assert_int_equal(wanted_of(1)->groups.macs[1].bytes[0], 1);
    assert_int_equal(wanted_of(1)->groups.macs[1].bytes[5], 33);
    strcat(line, "accept=1/02:00:00:00:00:01");
    parse(line, 1);
    assert_int_equal(wanted_of(1)->stations.count, 0);
    parse_to("accept=1/02:00:00:00:00:01 accept=0/02:00:00:00:00:02 accept=1/off",
             "accept=0/02:00:00:00:00:02");
    assert_refused((const char *const[]){"accept=", "accept=32/02:00:00:00:00:01",
                                         "accept=0/00:00:00:00:00:00", "accept=0/ff:ff:ff:ff:ff:ff",
                                         "accept=0-02:00:00:00:00:01", "accept=0/02:00:00:00:00",
                                         NULL},
                   "\"PORT/xx:xx:xx:xx:xx:xx (port 0 to 31, not zero, not broadcast), 64 times\"");
}

TEST(vlan_takes_ids_of_a_port_often)
{
    char line[(VLANS_MAX + 1) * 16] = "";

    for (unsigned i = 0; i < VLANS_MAX; i++)
        snprintf(line + strlen(line), 16, "vlan=%u/%u ", i % 32, 4094 - i);
    parse(line, 0);
    for (unsigned port = 0; port < 32; port++)
        assert_int_equal(wanted_of(port)->vlan_count, 2);
    assert_int_equal(wanted_of(2)->vlans[1], 4060);
    strcat(line, "vlan=0/1");
    parse(line, 1);
    assert_int_equal(wanted_of(0)->vlan_count, 2);
    parse_to("vlan=1/7 vlan=0/8 vlan=1/9 vlan=1:off", "vlan=0/8");
    assert_refused((const char *const[]){"vlan=", "vlan=5", "vlan=0/", "vlan=0/4095", "vlan=32/1",
                                         "vlan=0/1x", "vlan=0/-1", "vlan=0-1", NULL},
                   "\"PORT/ID (port 0 to 31, id 0 to 4094), 64 times\"");
}

TEST(debug_words_are_checked_like_the_others)
{
    parse_to("buffers=high fault=divide", "buffers=high fault=divide");
    parse_to("buffers=low", "");
    assert_refused((const char *const[]){"fault=", "fault=unheard-of", NULL},
                   "text|null|stack|exec|divide|opcode|nested|hang");
    assert_refused((const char *const[]){"buffers=", "buffers=top", NULL}, "low|high");
}

TEST(unknown_words_are_named_with_what_would_be_known)
{
    static const char *const words[] = {
        "idel=poll", "offloads=on", "transports=modern", "quiet",   "=",
        "=on",       "stat=1",      "stats =1",          "STATS=1", NULL};
    for (const char *const *word = words; *word != NULL; word++) {
        size_t pieces = strcmp(*word, "stats =1") == 0 ? 2 : 1;
        parse(*word, pieces);
        assert_int_equal(machine_log_count("warn", "reason=unknown-word"), pieces);
        assert_int_equal(machine_log_count("warn",
                                           "accepted=\"mode= wire= stats= log= promisc= "
                                           "allmulti= mac= accept= vlan= transport= offload= "
                                           "mergeable= rx_ring= tx_ring= panic= watchdog= idle= "
                                           "buffers= fault=\""),
                         pieces);
        assert_defaults();
    }
}

TEST(good_words_count_beside_bad_ones)
{
    parse("foo stats=5 mode=none\tlog=warn\nbar=1", 3);
    assert_true(loop.stats_period_ns == 5 * CLOCK_NS_PER_S);
    assert_level(LOG_WARN);
    assert_false(topology.reflect);
}

TEST(path_is_passed_over_as_first_word_only)
{
    parse("/boot/barewire.elf stats=1", 0);
    assert_true(loop.stats_period_ns == 1 * CLOCK_NS_PER_S);
    parse("  barewire.elf", 0);
    parse("build/a=b/barewire.elf stats=1", 0);
    parse("stats=1 /boot/barewire.elf", 1);
    parse("barewire stats=1", 1);
    parse("wire=00:03.0-1", 0);
    assert_string_equal(topology.wire, "00:03.0-1");
}

TEST(key_given_twice_counts_the_last_time_with_a_warning)
{
    parse("stats=1 mode=reflect stats=2", 1);
    assert_int_equal(machine_log_count("warn", "reason=repeated-word word=\"stats=2\""), 1);
    assert_true(loop.stats_period_ns == 2 * CLOCK_NS_PER_S);
    parse("stats=1 stats=x", 1);
    assert_true(loop.stats_period_ns == 1 * CLOCK_NS_PER_S);
    parse("stats=x stats=1", 1);
    assert_true(loop.stats_period_ns == 1 * CLOCK_NS_PER_S);
}

TEST(warnings_about_words_are_summed_up_after_eight)
{
    static char line[4096];

    parse("a b c d e f g h", 8);
    assert_int_equal(machine_log_count("warn", "reason=more-wrong-words"), 0);
    parse("a b c d e f g stats=x i=1 j stats=1 stats=2", 9);
    assert_int_equal(machine_log_count("warn", "reason=bad-value"), 1);
    assert_int_equal(machine_log_count("warn", "reason=more-wrong-words count=3 first=\"i=1\""), 1);
    assert_true(loop.stats_period_ns == 2 * CLOCK_NS_PER_S);
    for (size_t i = 0; i + 2 < sizeof(line); i += 2)
        memcpy(line + i, "x ", 2);
    parse(line, 9);
    assert_int_equal(machine_log_count("warn", "reason=more-wrong-words count=2039 first="), 1);
}

TEST(quotes_round_words_are_passed_over)
{
    static const char *const lines[] = {"/b.elf \"stats=3 log=warn\"", "\"stats=3 log=warn\"",
                                        "\"/b.elf stats=3 log=warn\"", "b.elf 'stats=3 log=warn' ",
                                        "\"stats=3\" 'log=warn'",      "\" stats=3 log=warn \"",
                                        "\"stats=3 log=warn\" \"\""};

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        parse(lines[i], 0);
        assert_true(loop.stats_period_ns == 3 * CLOCK_NS_PER_S);
        assert_level(LOG_WARN);
    }
    parse("\"stats=3 log=warn", 1); /* no pair */
    assert_int_equal(machine_log_count("warn", "reason=unknown-word word=\"\"stats=3\""), 1);
    assert_level(LOG_WARN);
    parse("\"stats=3\"log=warn", 1);    /* inside a word */
    parse("'stats=3 log=\"warn\"'", 0); /* of a value */
    assert_level(LOG_WARN);
    assert_true(loop.stats_period_ns == 3 * CLOCK_NS_PER_S);
}

TEST(monstrous_words_are_refused_whole)
{
    static char line[4096];

    memset(line, 'x', sizeof(line) - 1);
    parse(line, 1);
    memcpy(line, "stats=1", 7);
    memset(line + 7, '0', sizeof(line) - 8);
    memcpy(line + 3000, " log=warn ", 10);
    parse(line, 2);
    assert_level(LOG_WARN);
    assert_true(loop.stats_period_ns == 10 * CLOCK_NS_PER_S);
}

TEST(words_that_may_change_are_taken_while_running_and_others_are_not)
{
    static const char *const wrong[] = {"mode=reflect",
                                        "wire=0-1",
                                        "buffers=high",
                                        "fault=text",
                                        "rx_ring=512",
                                        "tx_ring=512",
                                        "accept=0/02:00:00:00:00:01",
                                        "stats",
                                        "x=1",
                                        "",
                                        "="};

    parse("", 0);
    assert_null(option_change("stats=3"));
    assert_null(option_change("stats=4")); /* again is no repetition here */
    assert_true(loop.stats_period_ns == 4 * CLOCK_NS_PER_S);
    assert_null(option_change("log=debug"));
    assert_level(LOG_DEBUG);
    assert_null(option_change("promisc=off"));
    assert_null(option_change("allmulti=on"));
    assert_false(wanted_of(0)->promisc);
    assert_true(wanted_of(3)->allmulti);
    assert_null(option_change("panic=halt"));
    assert_int_equal(panic_action(), PANIC_HALT);
    assert_string_equal(panic_action_name(), "halt");

    assert_null(option_change("mac=2/02:00:00:00:00:01"));
    assert_null(option_change("mac=3/02:00:00:00:00:02"));
    assert_null(option_change("mac=2/02:00:00:00:00:03"));
    static const char *const words = "stats=4 log=debug promisc=off allmulti=on "
                                     "mac=2/02:00:00:00:00:03 mac=3/02:00:00:00:00:02 panic=halt";
    assert_string_equal(settings_words(), words);

    assert_non_null(strstr(option_change("mac=2/01:00:00:00:00:01"), "unicast"));
    assert_string_equal(option_change("log=loud"), "error|warn|info|debug");
    assert_string_equal(option_change("stats=86401"), "seconds from 0 (off) to 86400");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_non_null(strstr(option_change(wrong[i]), "stats=SECONDS"));
    assert_string_equal(settings_words(), words);
    assert_int_equal(machine_log_count("warn", ""), 0);
}
