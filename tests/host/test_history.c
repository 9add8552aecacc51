/* The last events before a panic: kernel/history.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <machine/log.h>

#include "kernel/history.h"
#include "tests/host/sim/machine.h"

static int setup(void **state)
{
    (void)state;
    machine_reset();
    return 0;
}

static void keep(const char *line)
{
    history_keep(line, strlen(line));
}

static void keep_numbered(unsigned first, unsigned count)
{
    char line[32];

    for (unsigned i = first; i < first + count; i++) {
        snprintf(line, sizeof(line), "stats t=0.1 n=%u.", i);
        keep(line);
    }
}

static void fewer_events_than_there_is_room_for_are_all_there(void **state)
{
    (void)state;
    history_report();
    assert_int_equal(machine_log_count("history", ""), 0);
    keep_numbered(0, 3);
    history_report();
    assert_int_equal(machine_log_count("history", ""), 3);
    assert_int_equal(machine_log_count("history", "line=\"stats t=0.1 n=0.\""), 1);
}

static void only_the_last_ones_are_kept(void **state)
{
    (void)state;
    keep_numbered(100, 3 * HISTORY_LINES + 7);
    history_report();
    assert_int_equal(machine_log_count("history", ""), HISTORY_LINES);
    for (unsigned i = 0; i < HISTORY_LINES; i++) {
        char fragment[16];
        snprintf(fragment, sizeof(fragment), "n=%u.\"", 100 + 2 * HISTORY_LINES + 7 + i);
        assert_int_equal(machine_log_count("history", fragment), 1);
    }
}

static void every_text_stays_one_value(void **state)
{
    char line[LOG_LINE_MAX];

    (void)state;
    keep("warn t=1.0 word=\"a \\\"b\\\\\"");
    history_report();
    assert_int_equal(machine_log_count("history", "word=\\\"a \\\\\\\"b\\\\\\\\\\\"\""), 1);

    /* The longest line, even if each of its bytes takes two: the simulated log refuses a longer. */
    memset(line, '"', sizeof(line));
    history_keep(line, sizeof(line));
    history_report();
    assert_int_equal(machine_log_count("history", "\\\"\\\"...\""), 1);
}

/* Last: there is no way back. */
static void what_a_panic_says_itself_is_no_history(void **state)
{
    (void)state;
    keep("boot t=1.0 kept");
    history_freeze();
    keep_numbered(0, HISTORY_LINES);
    history_report();
    assert_int_equal(machine_log_count("history", "boot t=1.0 kept"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(fewer_events_than_there_is_room_for_are_all_there, setup),
        cmocka_unit_test_setup(only_the_last_ones_are_kept, setup),
        cmocka_unit_test_setup(every_text_stays_one_value, setup),
        cmocka_unit_test_setup(what_a_panic_says_itself_is_no_history, setup),
    };
    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
