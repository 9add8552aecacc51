/* kernel/option.c: every type of option, words and quotes, warnings, and settings that give the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <machine/option.h>

#include "tests/host/fixture/settings.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/machine.h"

#define SUBJECTS 4
#define PROGRAM_MAX 256

static struct {
    unsigned seconds;
    unsigned size;
    unsigned level;
    bool on, high;
    char text[41];
    char program[PROGRAM_MAX];
    unsigned ports[SUBJECTS]; /* of port=, by number; 0: none */
    char subjects[SUBJECTS][PROGRAM_MAX];
    char programs[SUBJECTS][PROGRAM_MAX];
    unsigned subject_count;
    unsigned changes;
} now;

static void count_change(void *values)
{
    assert_ptr_equal(values, &now);
    now.changes++;
}

/* port=PORT/NUMBER */
static bool put_port(void *values, const char *subject, const char *value)
{
    (void)values;
    if (subject == NULL) {
        memset(now.ports, 0, sizeof(now.ports));
        return true;
    }
    const unsigned long port = strtoul(subject, NULL, 10);
    const unsigned long number = value == NULL ? 0 : strtoul(value, NULL, 10);
    if (port >= SUBJECTS || (value != NULL && number == 0))
        return false;
    now.ports[port] = (unsigned)number;
    return true;
}

static bool get_port(const void *values, unsigned number, struct option_text out)
{
    (void)values;
    for (unsigned port = 0; port < SUBJECTS; port++) {
        if (now.ports[port] == 0 || number-- > 0)
            continue;
        snprintf(out.text, out.size, "%u/%u", port, now.ports[port]);
        return true;
    }
    return false;
}

/* program=SUBJECT:TEXT, in the order in which subjects were given first. */
static bool put_program(void *values, const char *subject, const char *value)
{
    unsigned at = 0;

    (void)values;
    if (subject == NULL) {
        now.subject_count = 0;
        return true;
    }
    while (at < now.subject_count && strcmp(now.subjects[at], subject) != 0)
        at++;
    if (at == SUBJECTS || (value != NULL && (value[0] == '\0' || strlen(value) >= PROGRAM_MAX)))
        return false;
    if (value == NULL && at < now.subject_count) {
        now.subject_count--;
        memmove(now.subjects[at], now.subjects[at + 1],
                (now.subject_count - at) * sizeof(now.subjects[0]));
        memmove(now.programs[at], now.programs[at + 1],
                (now.subject_count - at) * sizeof(now.programs[0]));
    }
    if (value == NULL)
        return true;
    now.subject_count += at == now.subject_count;
    snprintf(now.subjects[at], PROGRAM_MAX, "%s", subject);
    snprintf(now.programs[at], PROGRAM_MAX, "%s", value);
    return true;
}

static bool get_program(const void *values, unsigned number, struct option_text out)
{
    (void)values;
    if (number >= now.subject_count)
        return false;
    snprintf(out.text, out.size, "%s:%s", now.subjects[number], now.programs[number]);
    return true;
}

#define AT(field) __builtin_offsetof(__typeof__(now), field)

static const struct option later_options[] = {
    {.key = "port",
     .accepted = "PORT/NUMBER",
     .argument = "PORT/NUMBER",
     .type = OPTION_SUBJECTS,
     .flags = OPTION_LIVE | OPTION_PORT,
     .put = put_port,
     .get = get_port,
     .changed = count_change},
    {.key = "program",
     .accepted = "SUBJECT:TEXT",
     .type = OPTION_SUBJECTS,
     .flags = OPTION_LIVE,
     .put = put_program,
     .get = get_program},
};

static struct option_table later = {.options = later_options, .count = 2, .values = &now};
OPTION_TABLE(later);

static const struct option options[] = {
    {.key = "seconds",
     .accepted = "seconds",
     .argument = "SECONDS",
     .type = OPTION_NUMBER,
     .flags = OPTION_LIVE | OPTION_SHOWN | OPTION_ZERO_IS_OFF,
     .offset = AT(seconds),
     .max = 86400,
     .initial = 10,
     .changed = count_change},
    {.key = "size",
     .type = OPTION_NUMBER,
     .flags = OPTION_POWER_OF_TWO,
     .offset = AT(size),
     .min = 16,
     .max = 32768},
    {.key = "level",
     .type = OPTION_CHOICE,
     .flags = OPTION_LIVE | OPTION_SHOWN,
     .offset = AT(level),
     .choices = "error|warn|info",
     .min = 1,
     .initial = 3,
     .changed = count_change},
    {.key = "on", .type = OPTION_SWITCH, .flags = OPTION_SHOWN, .offset = AT(on), .initial = true},
    {.key = "end", .type = OPTION_SWITCH, .offset = AT(high), .choices = "low|high"},
    {.key = "text",
     .accepted = "a text",
     .type = OPTION_TEXT,
     .offset = AT(text),
     .min = 1,
     .max = 40},
    {.key = "long",
     .accepted = "a text",
     .type = OPTION_TEXT,
     .flags = OPTION_LIVE,
     .offset = AT(program),
     .max = PROGRAM_MAX - 1},
};

/* Linked behind the other, and before it in lists. */
static struct option_table table = {
    .options = options, .count = sizeof(options) / sizeof(options[0]), .place = 1, .values = &now};
OPTION_TABLE(table);

static struct option_table unused = {.options = later_options, .count = 1, .place = 1};
OPTION_TABLE(unused);

/* Reads a command line, and expects as many `warn` events. */
static void parse(const char *line, size_t warnings)
{
    static char bytes[OPTION_LINE_MAX + 1];

    snprintf(bytes, sizeof(bytes), "%s", line);
    machine_reset();
    now.changes = 0;
    option_read_line(bytes);
    if (machine_log_count("warn", "") != warnings) {
        machine_log_print();
        fail_msg("%s: not %zu warnings", line, warnings);
    }
}

static void expect_warning(const char *fragment)
{
    if (machine_log_count("warn", fragment) == 1)
        return;
    machine_log_print();
    fail_msg("not once: %s", fragment);
}

/* ---- types ---- */

TEST(an_empty_line_gives_initial_values)
{
    parse("seconds=7 size=64 level=warn on=off end=high text=x port=1/2 program=0:a", 0);
    parse(" \t \r\n ", 0);
    assert_int_equal(now.seconds, 10);
    assert_int_equal(now.size, 0);
    assert_int_equal(now.level, 3);
    assert_true(now.on);
    assert_false(now.high);
    assert_string_equal(now.text, "");
    assert_int_equal(now.ports[1], 0);
    assert_int_equal(now.subject_count, 0);
    assert_int_equal(now.changes, 0);
}

TEST(numbers_are_decimal_and_within_their_bounds)
{
    static const char *const wrong[] = {"",
                                        "86401",
                                        "-1",
                                        "+1",
                                        "1s",
                                        "0x10",
                                        "1.5",
                                        " 1",
                                        "18446744073709551616",
                                        "99999999999999999999999999",
                                        NULL};

    parse("seconds=0", 0);
    assert_int_equal(now.seconds, 0);
    parse("seconds=86400", 0);
    assert_int_equal(now.seconds, 86400);
    parse("seconds=007", 0);
    assert_int_equal(now.seconds, 7);
    for (const char *const *value = wrong; *value != NULL; value++) {
        assert_string_equal(option_read(&options[0], &now, *value),
                            "seconds from 0 (off) to 86400");
        assert_int_equal(now.seconds, 7);
    }
}

TEST(a_power_of_two_is_one)
{
    parse("size=16", 0);
    assert_int_equal(now.size, 16);
    parse("size=32768", 0);
    assert_int_equal(now.size, 32768);
    parse("size=17", 1);
    expect_warning(
        "reason=bad-value word=\"size=17\" accepted=\"a power of two from 16 to 32768\"");
    parse("size=0", 1);
    parse("size=65536", 1);
    assert_int_equal(now.size, 0);
}

TEST(choices_and_switches_take_their_words_and_no_part_of_them)
{
    parse("level=error on=off end=high", 0);
    assert_int_equal(now.level, 1);
    assert_false(now.on);
    assert_true(now.high);
    parse("level=warn level=", 1);
    expect_warning("word=\"level=\" accepted=error|warn|info");
    assert_int_equal(now.level, 2);
    parse("on=on|off", 1);
    expect_warning("accepted=on|off");
    parse("level=warning end=hig on=On", 3);
    expect_warning("accepted=low|high");
}

TEST(a_text_is_as_long_as_it_may_be)
{
    parse("text=a123456789b123456789c123456789d123456789", 0);
    assert_int_equal(strlen(now.text), 40);
    parse("text=a123456789b123456789c123456789d123456789e", 1);
    expect_warning("accepted=\"a text, 1 to 40 characters\"");
    parse("text=", 1);
    parse("long=", 0);
}

TEST(subjects_are_replaced_and_removed)
{
    parse("program=0:one program=1>2:two program=0:three", 1);
    expect_warning("reason=repeated-word word=\"program=0:three\"");
    assert_int_equal(now.subject_count, 2);
    assert_string_equal(now.programs[0], "three");
    assert_null(option_change("program=0:off"));
    assert_int_equal(now.subject_count, 1);
    assert_string_equal(now.subjects[0], "1>2");
    parse("port=1/5 port=2:6 port=1:off", 1);
    assert_int_equal(now.ports[1], 0);
    assert_int_equal(now.ports[2], 6);
    parse("port=1 port=4/1 port=/1 port=1-1 port=1/x", 5);
}

TEST(a_subject_is_made_of_ports_by_any_name)
{
    static const char *const subjects[] = {"0",
                                           "12",
                                           "*",
                                           "0>1",
                                           "*>3",
                                           "5-6-7",
                                           "0,1,2",
                                           "00:03.0",
                                           "00:03.0>0000:00:04.0",
                                           "3>*",
                                           "52:54:00:12:34:56>1"};

    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
        char word[128];
        snprintf(word, sizeof(word), "program=%s:a:b/c", subjects[i]);
        parse(word, 0);
        assert_string_equal(now.subjects[0], subjects[i]);
        assert_string_equal(now.programs[0], "a:b/c");
    }
    parse("program=:a program=x:a program=0>:a program=>0:a program=0/a program=0", 6);
}

/* ---- words ---- */

static void expect_words(const char *text, const char *const *words)
{
    char line[256], *at = line;
    const char *word;

    snprintf(line, sizeof(line), "%s", text);
    while ((word = option_next_word(&at)) != NULL) {
        assert_non_null(*words);
        assert_string_equal(word, *words++);
    }
    assert_null(*words);
    assert_null(option_next_word(&at));
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

TEST(words_are_cut_and_the_quotes_of_values_taken_off)
{
    expect_words("  a=1\tb c=2 ", WORDS("a=1", "b", "c=2"));
    expect_words("a=\"1 2\" b='3 4' c", WORDS("a=1 2", "b=3 4", "c"));
    expect_words("f=0>1:\"tcp port 80\" x", WORDS("f=0>1:tcp port 80", "x"));
    expect_words("a=\"\" b=''", WORDS("a=", "b="));
    expect_words("a=\"it's\" b='a \"b\" c'", WORDS("a=it's", "b=a \"b\" c"));
    expect_words("a=\"x\"y\" b", WORDS("a=x\"y", "b"));
    expect_words("a=\\\"1 2\\\" b=\\'3 4\\'", WORDS("a=1 2", "b=3 4"));
}

TEST(a_quote_without_its_partner_is_a_character)
{
    expect_words("a=\"1 2", WORDS("a=\"1", "2"));
    expect_words("a=\"1\"x 2", WORDS("a=\"1\"x", "2"));
    expect_words("a=x\"1 2\"", WORDS("a=x\"1", "2\""));
    expect_words("\"a=1 b:\"x\"", WORDS("\"a=1", "b:\"x\""));
    expect_words("say:\"x y\"", WORDS("say:\"x", "y\""));
}

TEST(quotes_of_values_are_taken_off_inside_those_round_the_line)
{
    parse("/b.elf \"text=\\\"a b\\\" seconds=3\"", 0);
    assert_string_equal(now.text, "a b");
    assert_int_equal(now.seconds, 3);
    parse("'text=\"a b\" seconds=3'", 0);
    assert_string_equal(now.text, "a b");
    assert_int_equal(now.seconds, 3);
    parse("/b.elf \"text='a b'\" \"seconds=3\"", 0);
    assert_string_equal(now.text, "a b");
    assert_int_equal(now.seconds, 3);
}

TEST(words_may_fill_the_whole_line)
{
    static char line[OPTION_LINE_MAX + 1];

    memset(line, 'x', OPTION_LINE_MAX);
    parse(line, 1);
    memcpy(line, "seconds=1", 9);
    memset(line + 9, '0', OPTION_LINE_MAX - 9);
    memcpy(line + OPTION_LINE_MAX - 11, " level=warn", 11);
    parse(line, 1);
    assert_int_equal(now.level, 2);
    assert_int_equal(now.seconds, 10);
    memcpy(line, "text=\"", 6);
    memset(line + 6, ' ', OPTION_LINE_MAX - 6);
    line[OPTION_LINE_MAX - 1] = '"';
    parse(line, 1);
    expect_warning("reason=bad-value");
}

TEST(tables_are_listed_by_place_and_those_without_values_are_not)
{
    static const char *const keys[] = {"seconds", "size", "level", "on",     "end",
                                       "text",    "long", "port",  "program"};

    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        assert_string_equal(option_at(i)->key, keys[i]);
    assert_null(option_at(9));
    parse("foo=1", 1);
    expect_warning(
        "reason=unknown-word word=\"foo=1\" accepted=\"seconds= size= level= on= end= text= "
        "long= port= program=\"");
}

TEST(what_obeys_is_told_once_the_whole_line_was_read)
{
    parse("seconds=1 seconds=2 size=16 level=warn foo", 2);
    assert_int_equal(now.changes, 2); /* seconds and level */
    parse("seconds=x", 1);
    assert_int_equal(now.changes, 0);
}

/* ---- while the machine runs ---- */

TEST(live_words_change_and_others_are_refused_with_those_that_may)
{
    static const char *const wrong[] = {"size=16", "text=a", "seconds", "", "=", "x=1"};

    parse("", 0);
    assert_null(option_change("seconds=5"));
    assert_null(option_change("seconds=6"));
    assert_int_equal(now.seconds, 6);
    assert_int_equal(now.changes, 2);
    assert_string_equal(option_change("level=loud"), "error|warn|info");
    assert_int_equal(now.changes, 2);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_string_equal(
            option_change(wrong[i]),
            "seconds=SECONDS level=error|warn|info long=a text, 0 to 255 characters "
            "port=PORT/NUMBER program=SUBJECT:TEXT");
    assert_int_equal(machine_log_count("warn", ""), 0);
}

/* What `line` sets is set again by the settings. */
static void expect_same_again(const char *line, const char *words)
{
    memset(&now, 0, sizeof(now));
    parse(line, 0);
    const __typeof__(now) before = now;
    const char *const settings = settings_words();
    if (words != NULL)
        assert_string_equal(settings, words);
    memset(&now, 0, sizeof(now));
    parse(settings, 0);
    now.changes = before.changes;
    assert_memory_equal(&now, &before, sizeof(now));
}

TEST(settings_are_the_words_that_differ_from_none)
{
    expect_same_again("", "");
    expect_same_again("seconds=10 on=on level=info end=low", "");
    assert_false(option_report(0));
    assert_int_equal(machine_log_count("settings", "seconds=10 level=info on=on words=\"\""), 1);
    expect_same_again(
        "program=1>0:x port=3/9 end=high seconds=0 on=off level=error size=64 port=0/7",
        "seconds=0 size=64 level=error on=off end=high port=0/7 port=3/9 program=1>0:x");
}

TEST(settings_quote_what_needs_it)
{
    expect_same_again("text=\"a b\"", "text=\"a b\"");
    expect_same_again("text='a \"b\" c'", "text='a \"b\" c'");
    expect_same_again("text=a\"b", NULL);
    expect_same_again("text='x' program=0:\"tcp port 80\"", "text=x program=\"0:tcp port 80\"");
    expect_same_again("text=\\\"it's \"a\" 'b' c\\\"", NULL);
    expect_same_again("text=back\\slash", NULL);
    expect_same_again("text='ends with \\ '", NULL);
    expect_same_again("text=\\\"ends with \\\\\"", NULL);
    expect_same_again("text=\"x program=0:y\" end=high", NULL);
}

TEST(settings_that_are_long_come_in_several_events)
{
    char line[3 * PROGRAM_MAX] = "long=\"";

    for (size_t i = 6; i < 200; i++)
        line[i] = " \"\\xyz"[i % 6];
    strcpy(line + 200, "'\" program=0:");
    memset(line + strlen(line), 'p', PROGRAM_MAX - 1);
    expect_same_again(line, NULL);
    snprintf(line, sizeof(line), "program=0:%0255d program=1:%0255d program=2:%0200d", 1, 2, 3);
    expect_same_again(line, line);
    assert_false(option_report(3));
    assert_true(option_report(0));
}
