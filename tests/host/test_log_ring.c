/* The last events before a panic: kernel/log_ring.c. */
#include <stdio.h>
#include <string.h>

#include <machine/log.h>

#include "kernel/log_ring.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/machine.h"

static int setup(void **state)
{
    (void)state;
    machine_reset();
    return 0;
}

TEST_FIXTURE(.setup = setup);

static void keep(const char *line)
{
    log_ring_keep(line, strlen(line));
}

static void keep_numbered(unsigned first, unsigned count)
{
    char line[32];

    for (unsigned i = first; i < first + count; i++) {
        snprintf(line, sizeof(line), "stats t=0.1 n=%u.", i);
        keep(line);
    }
}

/* As the panic report does. */
static void report(void)
{
    for (unsigned age = LOG_RING_LINES; age-- > 0;) {
        const char *line = log_ring_value(age);
        if (line != NULL)
            log_event(LOG_REPORT, "history", "line=\"%s\"", line);
    }
}

TEST(fewer_events_than_there_is_room_for_are_all_there)
{
    report();
    assert_int_equal(machine_log_count("history", ""), 0);
    keep_numbered(0, 3);
    report();
    assert_int_equal(machine_log_count("history", ""), 3);
    assert_int_equal(machine_log_count("history", "line=\"stats t=0.1 n=0.\""), 1);
}

TEST(only_the_last_ones_are_kept)
{
    keep_numbered(100, 3 * LOG_RING_LINES + 7);
    report();
    assert_int_equal(machine_log_count("history", ""), LOG_RING_LINES);
    for (unsigned i = 0; i < LOG_RING_LINES; i++) {
        char fragment[16];
        snprintf(fragment, sizeof(fragment), "n=%u.\"", 100 + 2 * LOG_RING_LINES + 7 + i);
        assert_int_equal(machine_log_count("history", fragment), 1);
    }
}

TEST(every_text_stays_one_value)
{
    char line[LOG_LINE_MAX];

    keep("warn t=1.0 word=\"a \\\"b\\\\\"");
    report();
    assert_int_equal(machine_log_count("history", "word=\\\"a \\\\\\\"b\\\\\\\\\\\"\""), 1);

    /* The longest line, even if each of its bytes takes two: the simulated log refuses a longer. */
    memset(line, '"', sizeof(line));
    log_ring_keep(line, sizeof(line));
    report();
    assert_int_equal(machine_log_count("history", "\\\"\\\"...\""), 1);
}

/* Last: there is no way back. */
TEST(what_a_panic_says_itself_is_no_history)
{
    keep("boot t=1.0 kept");
    log_ring_freeze();
    keep_numbered(0, LOG_RING_LINES);
    report();
    assert_int_equal(machine_log_count("history", "boot t=1.0 kept"), 1);
}
