/*
 * kernel/log.c, kernel/console.c, kernel/tty.c and kernel/uart.c together, from log_event to the
 * bytes that leave a simulated 16550.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <machine/clock.h>

#include "kernel/console.h"
#include "kernel/log.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/uart.h"

#define RING (64 * 1024)

#define uart (sim_machine.uarts[0])
#define now_ns (sim_machine.now_ns)

static void drain_all(void)
{
    while (console_drain()) {
    }
}

/* A machine whose serial port takes everything at once; the first CR LF is out already. */
static int setup(void **state)
{
    (void)state;
    sim_uart_reset();
    log_set_level(LOG_DEBUG);
    console_init();
    drain_all();
    uart.length = 0;
    now_ns = uart.empty_at_ns = 0;
    return 0;
}

TEST_FIXTURE(.setup = setup);

static const char *output(void)
{
    drain_all();
    return sim_uart_text(&uart);
}

/* --- the serial port --- */

TEST(port_is_set_to_115200_8n1_with_fifo)
{
    assert_int_equal(uart.dll, 1);
    assert_int_equal(uart.dlm, 0);
    assert_int_equal(uart.lcr, 0x03);
    assert_int_equal(uart.ier, 1);
    assert_int_equal(uart.fcr & 1, 1);
    assert_int_equal(uart.mcr & 3, 3);
}

TEST(first_output_is_a_line_end)
{
    console_init();
    now_ns = 0;
    log_event(LOG_REPORT, "boot", "version=%d", 1);
    assert_string_equal(output(), "\r\nboot t=0.000000 version=1\r\n");
}

TEST(machine_without_com1_loses_all_and_waits_for_nothing)
{
    uart.present = false;
    console_init();
    uint64_t accesses = uart.accesses;
    for (int i = 0; i < 10000; i++) {
        log_event(LOG_REPORT, "stats", "port=%d", i);
        log_drain();
    }
    console_flush_sync(CLOCK_NS_PER_S);
    log_event(LOG_REPORT, "panic", "reason=x");
    assert_true(uart.accesses == accesses);
}

/* --- lines --- */

TEST(line_has_event_time_and_text)
{
    now_ns = 12 * CLOCK_NS_PER_S + 34567999;
    log_event(LOG_REPORT, "stats", "port=%u rx_packets=%llu name=%s", 1, 18446744073709551615ULL,
              "x");
    log_event(LOG_REPORT, "bye", "%s", "");
    assert_string_equal(output(),
                        "stats t=12.034567 port=1 rx_packets=18446744073709551615 name=x\r\n"
                        "bye t=12.034567 \r\n");
}

TEST(events_above_the_level_are_dropped)
{
    log_set_level(LOG_WARN);
    assert_true(log_enabled(LOG_REPORT));
    assert_true(log_enabled(LOG_WARN));
    assert_false(log_enabled(LOG_INFO));
    log_event(LOG_INFO, "port", "id=0");
    log_event(LOG_WARN, "warn", "a=1");
    log_event(LOG_REPORT, "boot", "b=1");
    assert_string_equal(output(), "warn t=0.000000 a=1\r\nboot t=0.000000 b=1\r\n");
}

TEST(longest_line_is_kept_and_a_longer_one_cut_with_a_mark)
{
    static char text[4096];
    const size_t before = strlen("e t=0.000000 ");

    memset(text, 'x', sizeof(text) - 1);
    log_event(LOG_REPORT, "e", "%.*s", (int)(LOG_LINE_MAX - 2 - before), text);
    assert_int_equal(strlen(output()), LOG_LINE_MAX);
    assert_null(strstr(uart.output, "..."));
    for (size_t more = 1; more < 5; more++) {
        uart.length = 0;
        log_event(LOG_REPORT, "e", "%.*s", (int)(LOG_LINE_MAX - 2 - before + more), text);
        assert_int_equal(strlen(output()), LOG_LINE_MAX);
        assert_string_equal(uart.output + LOG_LINE_MAX - 6, "x...\r\n");
    }
    uart.length = 0;
    log_event(LOG_REPORT, text, "a=%s", text);
    assert_int_equal(strlen(output()), LOG_LINE_MAX);
}

TEST(control_bytes_cannot_forge_a_line)
{
    log_event(LOG_REPORT, "warn", "word=%s", "a\r\npanic t=0 \x1b[2J\x7f");
    assert_string_equal(output(), "warn t=0.000000 word=a??panic t=0 ?[2J?\r\n");
}

TEST(quote_leaves_plain_words_alone)
{
    assert_string_equal(log_quote("wire|reflect").text, "wire|reflect");
    assert_string_equal(log_quote("52:54:00:12:34:56").text, "52:54:00:12:34:56");
}

TEST(quote_makes_every_text_one_value)
{
    assert_string_equal(log_quote("").text, "\"\"");
    assert_string_equal(log_quote("two words").text, "\"two words\"");
    assert_string_equal(log_quote("a=b").text, "\"a=b\"");
    assert_string_equal(log_quote("say \"hi\\\"").text, "\"say \\\"hi\\\\\\\"\"");
    assert_string_equal(log_quote("\\").text, "\"\\\\\"");
    assert_string_equal(log_quote("a\r\n\x7f\xff").text, "a\\x0d\\x0a\\x7f\\xff");
}

TEST(quote_cuts_between_whole_forms)
{
    for (size_t length = 1; length < 300; length++) {
        for (const char *byte = "x\n\"\\ "; *byte != '\0'; byte++) {
            char raw[301];
            memset(raw, *byte, length);
            raw[length] = '\0';
            struct log_quoted quoted = log_quote(raw);
            size_t shown = strlen(quoted.text);
            assert_true(shown < LOG_QUOTE_MAX);
            assert_true(length > 100 || (quoted.text[0] == '"') == (*byte != 'x' && *byte != '\n'));
            if (quoted.text[0] == '"')
                assert_int_equal(quoted.text[shown - 1], '"');
            if (length > LOG_QUOTE_MAX)
                assert_non_null(strstr(quoted.text, "..."));
        }
    }
}

/* --- the ring --- */

TEST(empty_ring_costs_no_port_access)
{
    uint64_t accesses = uart.accesses;
    assert_false(console_drain());
    log_drain();
    assert_true(uart.accesses == accesses);
}

TEST(drain_gives_one_fifo_and_only_when_there_is_room)
{
    log_event(LOG_REPORT, "stats", "port=0 rx_packets=0");
    uart.stuck = true;
    uint64_t accesses = uart.accesses;
    assert_false(console_drain());
    assert_true(uart.accesses == accesses + 1);
    uart.stuck = false;
    assert_true(console_drain());
    assert_int_equal(uart.length, 16);
    assert_true(uart.accesses == accesses + 1 + 17);
}

/* Every line of the output is whole, `n` counts on but for the gaps announced. Returns the last n. */
static unsigned check_stream(const char *text, unsigned *lost)
{
    unsigned next = 0;

    *lost = 0;
    while (*text != '\0') {
        unsigned n, gap;
        char pad[256];
        const char *end = strstr(text, "\r\n");
        assert_non_null(end);
        if (sscanf(text, "warn t=%*u.%*6u lost_lines=%u\r\n", &gap) == 1) {
            assert_true(gap > 0);
            next += gap;
            *lost += gap;
        } else {
            assert_int_equal(sscanf(text, "line t=%*u.%*6u n=%u pad=%255[x]|\r\n", &n, pad), 2);
            assert_int_equal(n, next);
            assert_int_equal(strlen(pad), 1 + n % 97);
            assert_int_equal(end[-1], '|');
            next++;
        }
        text = end + 2;
    }
    return next;
}

static void write_numbered(unsigned n)
{
    static const char pad[] =
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    log_event(LOG_REPORT, "line", "n=%u pad=%.*s|", n, (int)(1 + n % 97), pad);
}

TEST(unread_console_costs_whole_lines_and_says_how_many)
{
    unsigned lost;

    uart.stuck = true;
    for (unsigned n = 0; n < 3000; n++) {
        write_numbered(n);
        log_drain();
    }
    uart.stuck = false;
    assert_int_equal(check_stream(output(), &lost), 3000);
    assert_true(lost > 1500 && lost < 2500);
    assert_true(uart.length > RING - LOG_LINE_MAX);
}

TEST(lines_that_always_come_find_room_behind_any_number_of_others)
{
    static char expected[64];
    unsigned warnings = 0;

    uart.stuck = true; /* as before the loop: nothing is drained */
    log_event(LOG_REPORT, "boot", "version=1");
    for (unsigned n = 0; n < 5000; n++)
        log_event(LOG_WARN, "warn", "n=%u pad=%0300d", n, 0);
    log_event(LOG_REPORT, "ready", "ports=2");
    uart.stuck = false;
    const char *text = output();
    assert_non_null(strstr(text, "boot t=0.000000 version=1\r\n"));
    for (const char *at = text; (at = strstr(at, " pad=")) != NULL; at++)
        warnings++;
    assert_in_range(warnings, 100, 4000);
    snprintf(expected, sizeof(expected),
             "warn t=0.000000 lost_lines=%u\r\nready t=0.000000 ports=2\r\n", 5000 - warnings);
    assert_string_equal(strstr(text, "warn t=0.000000 lost_lines="), expected);
}

/* A short line that finds room behind the gap takes the notice with it, and the next gap begins. */
TEST(lines_that_always_come_do_not_wait_for_the_notice_of_an_earlier_gap)
{
    uart.stuck = true;
    for (unsigned n = 0; n < 1000; n++)
        log_event(LOG_WARN, "warn", "n=%u pad=%0300d", n, 0);
    for (unsigned n = 0; n < 1000; n++)
        log_event(LOG_DEBUG, "x", "y=%u", n);
    log_event(LOG_WARN, "warn", "pad=%0300d", 0);
    log_event(LOG_REPORT, "ready", "ports=2");
    uart.stuck = false;
    const char *text = output();
    assert_non_null(strstr(text, "x t=0.000000 y=0\r\n"));
    assert_non_null(strstr(text, "ready t=0.000000 ports=2\r\n"));
}

TEST(slow_console_loses_lines_but_never_tears_one)
{
    unsigned lost;

    for (unsigned n = 0; n < 20000; n++) {
        write_numbered(n);
        for (unsigned i = 0; i < n % 5; i++)
            console_drain();
    }
    assert_int_equal(check_stream(output(), &lost), 20000);
    assert_true(lost > 1000);
}

TEST(ring_works_on_after_its_positions_wrap)
{
    unsigned lost;

    for (unsigned n = 0; n < 5000; n++) {
        write_numbered(n);
        drain_all();
    }
    assert_true(uart.length > 2 * RING);
    assert_int_equal(check_stream(output(), &lost), 5000);
    assert_int_equal(lost, 0);
}

/* --- the way out --- */

TEST(flush_writes_all_and_then_every_line_at_once)
{
    unsigned lost;

    for (unsigned n = 0; n < 500; n++)
        write_numbered(n);
    uart.byte_ns = 87000;
    console_flush_sync(10 * CLOCK_NS_PER_S);
    size_t before = uart.length;
    write_numbered(500);
    assert_true(uart.length > before);
    uart.output[uart.length] = '\0';
    assert_int_equal(check_stream(uart.output, &lost), 501);
    assert_int_equal(lost, 0);
}

TEST(port_that_never_has_room_ends_the_flush_in_time)
{
    for (unsigned n = 0; n < 500; n++)
        write_numbered(n);
    uart.stuck = true;
    console_flush_sync(CLOCK_NS_PER_S);
    for (unsigned n = 0; n < 500; n++)
        write_numbered(n);
    console_flush_sync(CLOCK_NS_PER_S);
    assert_true(now_ns < CLOCK_NS_PER_S + CLOCK_NS_PER_MS);
    assert_int_equal(uart.length, 0);
}

TEST(clock_that_stands_still_does_not_hang_the_flush)
{
    write_numbered(0);
    uart.stuck = sim_machine.clock_stands = true;
    uint64_t accesses = uart.accesses;
    console_flush_sync(CLOCK_NS_PER_S);
    for (unsigned n = 0; n < 500; n++)
        write_numbered(n);
    assert_true(uart.accesses - accesses <= CLOCK_NS_PER_S / 100);
}

TEST(last_words_come_through_although_the_ring_is_too_full_for_the_budget)
{
    unsigned lost;

    for (unsigned n = 0; n < 1000; n++)
        write_numbered(n);
    for (int i = 0; i < 7; i++)
        console_drain();  /* leaves a line begun */
    uart.byte_ns = 87000; /* 115200 baud: 5 s for the ring */
    console_flush_sync(2 * CLOCK_NS_PER_S);
    write_numbered(1000);
    uart.output[uart.length] = '\0';
    assert_int_equal(check_stream(uart.output, &lost), 1001);
    assert_true(lost > 500 && lost < 1000);
    assert_true(now_ns < 2 * CLOCK_NS_PER_S);
}

TEST(flush_announces_lines_lost_before)
{
    unsigned lost;

    uart.stuck = true;
    for (unsigned n = 0; n < 2000; n++)
        write_numbered(n);
    uart.stuck = false;
    console_flush_sync(CLOCK_NS_PER_S);
    write_numbered(2000);
    uart.output[uart.length] = '\0';
    assert_int_equal(check_stream(uart.output, &lost), 2001);
    assert_true(lost > 500);
}
