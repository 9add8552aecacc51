/*
 * The console's channels: what is typed, what comes back, and that neither channel is anything to the
 * other. kernel/console.c and all below it, on two simulated serial ports.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <machine/clock.h>

#include "kernel/console.h"
#include "kernel/log.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/uart.h"

#define com1 (sim_machine.uarts[0])
#define com2 (sim_machine.uarts[1])

static const char *const phrases[] = {"stats", "ports", "pci", NULL};
static char line[CONSOLE_LINE_MAX];

static void begin(bool second)
{
    sim_uart_reset();
    com2.present = second;
    log_set_level(LOG_INFO);
    console_init();
    console_set_phrases(phrases);
    while (console_drain()) {
    }
    com1.length = com2.length = 0;
    com1.accesses = com2.accesses = 0;
    sim_machine.now_ns = com1.empty_at_ns = com2.empty_at_ns = 0;
}

static int setup(void **state)
{
    (void)state;
    begin(true);
    return 0;
}

TEST_FIXTURE(.setup = setup);

/* Housekeeping for a while; true as soon as a line has been typed. */
static bool run(unsigned channel, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        sim_machine.now_ns += 250 * CLOCK_NS_PER_US;
        log_drain();
        if (console_take_line(channel, line))
            return true;
    }
    return false;
}

static void type(struct sim_uart *uart, const char *text)
{
    sim_uart_type(uart, text, strlen(text), 0);
}

static void expect_line(unsigned channel, const char *text)
{
    assert_true(run(channel, 1000));
    assert_string_equal(line, text);
}

TEST(ports_are_found_and_set_up)
{
    for (unsigned i = 0; i < SIM_UARTS; i++) {
        const struct sim_uart *uart = &sim_machine.uarts[i];
        assert_int_equal(uart->dll, 1);
        assert_int_equal(uart->dlm, 0);
        assert_int_equal(uart->lcr, 0x03);
        assert_int_equal(uart->ier, 1);    /* received bytes alone */
        assert_int_equal(uart->mcr, 0x0b); /* loopback off again */
    }
}

TEST(a_second_port_that_is_none_costs_nothing)
{
    begin(false);
    log_event(LOG_REPORT, "warn", "a=1");
    assert_false(run(1, 100));
    assert_true(com2.accesses == 0);
    assert_string_equal(sim_uart_text(&com1), "warn t=0.000000 a=1\r\n");
}

TEST(a_register_that_holds_bytes_is_no_serial_port)
{
    sim_uart_reset();
    com2.scratch_only = true;
    console_init();
    com2.accesses = 0;
    log_event(LOG_REPORT, "warn", "a=1");
    assert_false(run(1, 100));
    assert_true(com2.accesses == 0);
}

TEST(events_go_to_all_channels_and_answers_to_one)
{
    log_event(LOG_REPORT, "stats", "port=0");
    console_address(1);
    log_event(LOG_REPORT, "stats", "port=1");
    console_address(0);
    log_event(LOG_REPORT, "stats", "port=2");
    console_address_all();
    log_event(LOG_REPORT, "stats", "port=3");
    run(0, 100);
    assert_string_equal(sim_uart_text(&com1),
                        "stats t=0.000000 port=0\r\nstats t=0.000000 port=2\r\n"
                        "stats t=0.000000 port=3\r\n");
    assert_string_equal(sim_uart_text(&com2),
                        "stats t=0.000000 port=0\r\nstats t=0.000000 port=1\r\n"
                        "stats t=0.000000 port=3\r\n");
}

TEST(a_channel_nobody_reads_takes_nothing_from_the_other)
{
    com2.stuck = true;
    for (unsigned i = 0; i < 5000; i++) {
        log_event(LOG_REPORT, "stats", "port=%u", i);
        while (console_drain()) {
        }
    }
    assert_null(strstr(sim_uart_text(&com1), "lost_lines"));
    assert_non_null(strstr(com1.output, "port=4999\r\n"));
    com2.stuck = false;
    while (console_drain()) {
    }
    assert_non_null(strstr(sim_uart_text(&com2), "warn t="));
    assert_non_null(strstr(com2.output, " lost_lines="));
    assert_null(strstr(com2.output, "port=4999\r\n"));
}

TEST(a_channel_in_json_has_objects_and_no_echo)
{
    console_set_json(1, true);
    type(&com2, "stats\r");
    expect_line(1, "stats");
    log_event(LOG_REPORT, "stats", "port=0 name=\"a b\"");
    run(1, 100);
    assert_null(strchr(sim_uart_text(&com1), '{'));
    assert_non_null(strstr(sim_uart_text(&com2), "{\"event\":\"stats\",\"t\":0.0"));
    assert_non_null(strstr(com2.output, ",\"port\":0,\"name\":\"a b\"}\r\n"));
    assert_null(strchr(com2.output, '>'));
}

TEST(a_gap_is_told_in_the_channels_own_form)
{
    console_set_json(1, true);
    com1.stuck = com2.stuck = true;
    for (unsigned i = 0; i < 5000; i++)
        log_event(LOG_REPORT, "stats", "port=%u", i);
    com1.stuck = com2.stuck = false;
    while (console_drain()) {
    }
    assert_non_null(strstr(sim_uart_text(&com1), "\r\nwarn t=0.0"));
    assert_non_null(strstr(sim_uart_text(&com2), "\r\n{\"event\":\"warn\",\"t\":0.0"));
    assert_non_null(strstr(com2.output, ",\"lost_lines\":"));
}

TEST(what_is_typed_is_echoed_behind_a_prompt)
{
    type(&com1, "statx");
    assert_false(run(0, 100));
    type(&com1, "\bs");
    assert_false(run(0, 100));
    assert_string_equal(sim_uart_text(&com1), "> statx\bs");
    type(&com1, "\r\n");
    expect_line(0, "stats");
    log_event(LOG_REPORT, "stats", "port=0");
    assert_false(run(0, 100));
    assert_non_null(strstr(sim_uart_text(&com1), "\bs\r\nstats t="));
    assert_int_equal(com2.length, strlen("stats t=0.000000 port=0\r\n"));
}

TEST(an_event_starts_a_line_of_its_own_and_what_was_typed_follows)
{
    char expected[128];

    type(&com1, "sta");
    assert_false(run(0, 20));
    log_event(LOG_REPORT, "warn", "a=1");
    log_event(LOG_REPORT, "warn", "a=2");
    const unsigned us = (unsigned)(sim_machine.now_ns / 1000);
    assert_false(run(0, 100));
    snprintf(expected, sizeof(expected), "> sta\r\nwarn t=0.%06u a=1\r\nwarn t=0.%06u a=2\r\n> sta",
             us, us);
    assert_string_equal(sim_uart_text(&com1), expected);
    type(&com1, "ts\r");
    expect_line(0, "stats");
}

TEST(empty_lines_send_nothing)
{
    type(&com1, "\r\n\r\n\n");
    expect_line(0, "");
    expect_line(0, "");
    expect_line(0, "");
    assert_false(run(0, 100));
    assert_int_equal(com1.length, 0);
}

TEST(each_channel_edits_a_line_of_its_own)
{
    type(&com1, "po");
    type(&com2, "stats\r");
    expect_line(1, "stats");
    assert_false(run(0, 100));
    type(&com1, "\t\r");
    expect_line(0, "ports");
    assert_false(run(0, 100));
    assert_non_null(strstr(sim_uart_text(&com1), "> ports\r\n"));
    assert_string_equal(sim_uart_text(&com2), "> stats\r\n");
}

TEST(tab_shows_what_there_is_to_choose_from_to_whoever_pressed_it)
{
    type(&com1, "x");
    assert_false(run(0, 20));
    type(&com2, "p\to\t\r");
    expect_line(1, "ports");
    assert_false(run(1, 100));
    assert_string_equal(sim_uart_text(&com2), "> p\r\n>   ports  pci\r\n> ports\r\n");
    assert_string_equal(sim_uart_text(&com1), "> x");
}

TEST(a_program_that_reads_objects_is_shown_no_choices)
{
    console_set_json(0, true);
    type(&com1, "p\t\r");
    expect_line(0, "p");
    assert_false(run(0, 100));
    assert_int_equal(com1.length, 0);
}

TEST(damaged_and_lost_bytes_leave_a_mark_and_a_break_forgets_the_line)
{
    type(&com1, "por");
    sim_uart_type(&com1, "xy", 2, SIM_UART_FRAMING);
    sim_uart_type(&com1, "q", 1, SIM_UART_PARITY);
    type(&com1, "ts");
    sim_uart_type(&com1, "1", 1, SIM_UART_OVERRUN);
    type(&com1, "\rhalf a li");
    sim_uart_type(&com1, "\0", 1, SIM_UART_BREAK | SIM_UART_FRAMING);
    type(&com1, "stats\r");
    expect_line(0, "por\x1a\x1a\x1ats\x1a"
                   "1");
    expect_line(0, "stats");
    assert_non_null(strstr(sim_uart_text(&com1), "por???ts?1\r\n"));
}

TEST(an_error_seen_while_writing_is_the_next_bytes_still)
{
    type(&com1, "half");
    assert_false(run(0, 100));
    sim_uart_type(&com1, "\0", 1, SIM_UART_BREAK);
    type(&com1, "stats\r");
    log_event(LOG_REPORT, "warn", "a=1");
    assert_true(console_drain()); /* a look at the line status, before input is taken */
    expect_line(0, "stats");
}

TEST(bytes_that_are_no_characters_come_with_the_line)
{
    sim_uart_type(&com1, "ports \xc2\xb9\0\x07\x1b\r", 12, 0);
    expect_line(0, "ports \xc2\xb9\x1a\x07\x1b");
    assert_false(run(0, 100));
    assert_string_equal(sim_uart_text(&com1), "> ports ?????\r\n");
}

TEST(looking_for_input_is_seldom_and_taking_it_is_bounded)
{
    assert_false(run(0, 4000)); /* a second */
    assert_in_range(com1.accesses, 90, 110);
    type(&com1, "x"); /* more input is likely, so the port is polled more often for a while */
    assert_false(run(0, 40));
    com1.accesses = 0;
    assert_false(run(0, 3600));
    assert_in_range(com1.accesses, 850, 1000);
    assert_false(run(0, 400));
    com1.accesses = 0;
    assert_false(run(0, 4000));
    assert_in_range(com1.accesses, 90, 110);
    for (unsigned i = 0; i < 1000; i++)
        type(&com1, "junk that never ends ");
    for (unsigned i = 0; i < 1000; i++) {
        sim_machine.now_ns += 250 * CLOCK_NS_PER_US;
        const uint64_t before = com1.accesses;
        assert_false(console_take_line(0, line));
        assert_true(com1.accesses - before <= 24);
    }
}

/* How many whole stats lines have come out; what came out is forgotten. */
static unsigned take_stats(void)
{
    unsigned count = 0;

    while (console_drain()) {
    }
    for (const char *at = sim_uart_text(&com1); (at = strstr(at, " end=yes\r\n")) != NULL; at++)
        count++;
    assert_null(strstr(com1.output, "lost_lines"));
    com1.length = 0;
    return count;
}

TEST(what_an_interrupt_has_announced_is_taken_at_once)
{
    assert_false(run(0, 41)); /* it has just been looked */
    type(&com1, "stats\r");
    assert_false(run(0, 1));
    console_expect_input();
    assert_true(run(0, 1));
    assert_string_equal(line, "stats");
}

TEST(a_megabyte_without_a_line_end_costs_no_event)
{
    static char junk[1024 * 1024];
    unsigned events = 0, shown = 0;

    for (size_t i = 0; i < sizeof(junk); i++) {
        junk[i] = (char)(i * 2654435761u >> 13);
        if (junk[i] == '\r' || junk[i] == '\n')
            junk[i] = '\x1b';
    }
    sim_uart_type(&com1, junk, sizeof(junk), 0);
    for (unsigned round = 0; com1.input_at < com1.input_length; round++) {
        assert_false(run(0, 1));
        if (round % 100 == 0)
            log_event(LOG_REPORT, "stats", "port=%u end=yes", events++);
        if (round % 10000 == 0)
            shown += take_stats();
    }
    shown += take_stats();
    assert_true(events > 800);
    assert_int_equal(shown, events);
    type(&com1, "\rstats\r");
    assert_true(run(0, 1000));
    assert_true(strlen(line) < CONSOLE_LINE_MAX);
    expect_line(0, "stats");
}

TEST(typing_takes_no_more_than_its_part_of_a_ring_that_nobody_empties)
{
    unsigned lines = 0;

    com1.stuck = true;
    for (unsigned i = 0; i < 200; i++) /* each time the whole line is shown again */
        type(&com1, "a long line, so that much is to be shown\x01\x0b");
    type(&com1, "stats\r");
    assert_false(run(0, 20000));
    assert_in_range(com1.input_at, 1000, com1.input_length - 1000); /* the rest waits */
    while (console_has_room(0)) {
        log_event(LOG_REPORT, "e", "a=%01000d", 0);
        lines++;
    }
    assert_in_range(lines, 40, 64);
    com1.stuck = false;
    assert_true(run(0, 100000));
    assert_string_equal(line, "stats");
    while (console_drain()) {
    }
    assert_null(strstr(sim_uart_text(&com1), "lost_lines"));
    assert_non_null(strstr(com1.output, "stats\r\n"));
}

/* The lines that were typed and their answers, as a terminal of 115200 baud has them. */
TEST(each_answer_stands_below_its_line_however_many_are_pasted)
{
    static char expected[300 * 2200];
    size_t length = 0;
    unsigned answered = 0;
    char text[16];

    com1.byte_ns = 87000;
    for (unsigned i = 0; i < 300; i++) {
        snprintf(text, sizeof(text), "ports %u\r", i);
        type(&com1, text);
    }
    for (unsigned round = 0; answered < 300 && round < 1000000; round++) {
        sim_machine.now_ns += 250 * CLOCK_NS_PER_US;
        log_drain();
        if (!console_has_room(0) || !console_take_line(0, line))
            continue;
        snprintf(text, sizeof(text), "ports %u", answered);
        assert_string_equal(line, text);
        for (unsigned i = 0; i < 2; i++)
            log_event(LOG_REPORT, "ports", "n=%u a=%0900d", answered, 0);
        answered++;
    }
    assert_int_equal(answered, 300);
    com1.byte_ns = 0;
    sim_machine.now_ns += 100 * CLOCK_NS_PER_S;
    while (console_drain()) {
    }
    /* Without the times, which are not all the same. */
    sim_uart_text(&com1);
    for (char *at = com1.output; (at = strstr(at, " t=")) != NULL;)
        memmove(at, at + strcspn(at + 1, " ") + 1, strlen(at + strcspn(at + 1, " ")));
    for (unsigned n = 0; n < 300; n++) {
        length += (size_t)sprintf(expected + length, "> ports %u\r\n", n);
        for (unsigned i = 0; i < 2; i++)
            length += (size_t)sprintf(expected + length, "ports n=%u a=%0900d\r\n", n, 0);
    }
    assert_string_equal(com1.output, expected);
}

TEST(an_overlong_line_comes_as_a_full_one)
{
    for (unsigned i = 0; i < 300; i++)
        type(&com1, "x");
    type(&com1, "\r");
    assert_true(run(0, 10000));
    assert_int_equal(strlen(line), CONSOLE_LINE_MAX - 1);
}

TEST(a_port_that_vanishes_gives_no_input)
{
    com1.vanished = true;
    for (unsigned i = 0; i < 1000; i++) {
        const uint64_t before = com1.accesses;
        assert_false(run(0, 1));
        assert_true(com1.accesses - before <= 2);
    }
}

TEST(room_is_said_to_be_there_only_where_the_longest_line_fits)
{
    unsigned lines = 0;

    com2.stuck = true;
    console_set_json(1, true);
    for (; console_has_room(1); lines++) {
        console_address(1);
        log_event(LOG_REPORT, "e", "a=%0900d", 0);
        console_address_all();
    }
    assert_in_range(lines, 40, 64);
    assert_true(console_has_room(0));
    com2.stuck = false;
    while (console_drain()) {
    }
    assert_null(strstr(sim_uart_text(&com2), "lost_lines"));
}

TEST(the_console_is_pending_while_it_writes_and_while_somebody_types)
{
    assert_false(console_pending());
    log_event(LOG_REPORT, "warn", "a=1");
    assert_true(console_pending());
    assert_false(run(0, 100));
    assert_false(console_pending());
    type(&com2, "x");
    assert_false(run(1, 100));
    assert_true(console_pending());
    const uint64_t accesses = com1.accesses + com2.accesses;
    assert_true(console_pending());
    assert_true(com1.accesses + com2.accesses == accesses);
    assert_false(run(1, 4100));
    assert_false(console_pending());
    console_set_json(1, true);
    com2.stuck = true;
    console_address(1);
    while (console_has_room(1))
        log_event(LOG_REPORT, "e", "a=%0900d", 0);
    console_address_all();
    assert_true(console_pending());
}

TEST(last_words_reach_both_and_a_stuck_second_takes_no_time_from_the_first)
{
    type(&com1, "half");
    assert_false(run(0, 20));
    console_address(1);
    com2.stuck = true;
    com1.byte_ns = 87000;
    const uint64_t start = sim_machine.now_ns;
    console_flush_sync(4 * CLOCK_NS_PER_S);
    for (unsigned i = 0; i < 100; i++)
        log_event(LOG_REPORT, "regs", "i=%u pad=%0200d", i, 0);
    assert_true(sim_machine.now_ns - start < 4 * CLOCK_NS_PER_S + CLOCK_NS_PER_S / 10);
    assert_non_null(strstr(sim_uart_text(&com1), "> half\r\nregs t="));
    assert_non_null(strstr(com1.output, "i=99 "));
}
