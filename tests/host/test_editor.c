/* The line editor, seen through a plain terminal: kernel/editor.c. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/editor.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/terminal.h"

#define LEFT "\x1b[D"
#define RIGHT "\x1b[C"
#define UP "\x1b[A"
#define DOWN "\x1b[B"

static struct editor editor;
static struct terminal terminal;

static int setup(void **state)
{
    (void)state;
    editor_init(&editor);
    memset(&terminal, 0, sizeof(terminal));
    return 0;
}

TEST_FIXTURE(.setup = setup);

/* The text after the prompt, blanks at the end taken off; the prompt itself must be there. */
static const char *visible(void)
{
    static char text[TERMINAL_LINE_MAX];
    size_t length = strlen(terminal.line);

    while (length > 0 && terminal.line[length - 1] == ' ')
        length--;
    memcpy(text, terminal.line, length);
    text[length] = '\0';
    if (length < 2)
        return "";
    assert_memory_equal(text, "> ", 2);
    return text + 2;
}

/* The terminal shows the editor's line and cursor. */
static void show(void)
{
    char out[EDITOR_SHOW_MAX];
    size_t length = editor_show(&editor, out);

    assert_true(length <= EDITOR_SHOW_MAX);
    assert_true(terminal_take(&terminal, out, length));
    editor_was_shown(&editor);
    assert_int_equal(strlen(editor.line.text), editor.line.length);
    assert_true(editor.line.cursor <= editor.line.length);
    if (!editor.open) {
        assert_int_equal(length, 0);
        return;
    }
    assert_true(
        terminal_shows(&terminal, editor.line.text, editor.line.length, editor.line.cursor));
}

/* As the console does it: the line as it is, the choices below it, and the line once more. */
static void list(void)
{
    char out[EDITOR_LIST_MAX];
    const size_t length = editor_list(&editor, out);

    assert_true(length <= EDITOR_LIST_MAX);
    if (length == 0)
        return;
    show();
    assert_true(terminal_take(&terminal, out, length));
    editor_was_hidden(&editor);
}

/* Types without a line's end, and shows after each byte. */
static void type(const char *keys)
{
    for (; *keys != '\0'; keys++) {
        assert_false(editor_feed(&editor, (uint8_t)*keys));
        if (editor.wants_list)
            list();
        show();
    }
}

/* After the key that ends a line: the terminal has all of it above an empty one. */
static void end(void)
{
    char out[EDITOR_END_MAX];
    const size_t length = editor_end(&editor, out);

    assert_true(length <= EDITOR_END_MAX);
    assert_true(terminal_take(&terminal, out, length));
    editor_next(&editor);
    editor_was_hidden(&editor);
    assert_int_equal(terminal.cursor, 0);
}

static void enter(const char *line)
{
    type(line);
    assert_true(editor_feed(&editor, '\r'));
    assert_string_equal(editor.line.text, line);
    end();
}

TEST(nothing_is_sent_before_something_printable_is_typed)
{
    static const char keys[] =
        "\x01\x02\x05\x06\x08\x0b\x10\x15\x17\x7f\t" LEFT RIGHT UP DOWN "\x1bOH";

    type(keys);
    assert_int_equal(terminal.above_length, 0);
    assert_string_equal(terminal.line, "");
    type("x");
    assert_string_equal(terminal.line, "> x");
}

TEST(a_line_ends_with_return_or_line_feed_or_both)
{
    static const char keys[] = "a\rb\nc\r\nd\n\n";
    static const char *const lines[] = {"a", "b", "c", "d", ""};
    unsigned count = 0;

    for (const char *key = keys; *key != '\0'; key++) {
        if (!editor_feed(&editor, (uint8_t)*key))
            continue;
        assert_string_equal(editor.line.text, lines[count++]);
        editor_next(&editor);
    }
    assert_int_equal(count, 5);
}

TEST(characters_are_inserted_and_removed_where_the_cursor_is)
{
    type("sttsx" LEFT LEFT LEFT "a");
    assert_string_equal(visible(), "statsx");
    type("\x05\x7f");
    assert_string_equal(visible(), "stats");
    type("\x01xx" LEFT LEFT "\x04\x1b[3~");
    assert_string_equal(visible(), "stats");
    type("\x1b[F 1\x1b[Hno " RIGHT RIGHT "\b");
    assert_string_equal(visible(), "no sats 1");
}

TEST(keys_at_the_ends_do_nothing)
{
    type("ab" RIGHT "\x06\x04\x0b");
    assert_string_equal(visible(), "ab");
    type(LEFT LEFT LEFT "\x02\x08\x15\x17");
    assert_string_equal(visible(), "ab");
}

TEST(home_and_end_are_known_in_all_their_forms)
{
    static const char *const homes[] = {"\x01", "\x1b[H", "\x1bOH", "\x1b[1~", "\x1b[7~"};
    static const char *const ends[] = {"\x05", "\x1b[F", "\x1bOF", "\x1b[4~", "\x1b[8~"};

    type("abc");
    for (unsigned i = 0; i < 5; i++) {
        type(homes[i]);
        assert_int_equal(editor.line.cursor, 0);
        type(ends[i]);
        assert_int_equal(editor.line.cursor, 3);
    }
    assert_string_equal(visible(), "abc");
}

TEST(words_and_parts_of_the_line_are_removed_at_once)
{
    type("set log=debug  \x17");
    assert_string_equal(editor.line.text, "set ");
    type("\x17\x17");
    assert_string_equal(editor.line.text, "");
    type("one two three" LEFT LEFT LEFT LEFT LEFT "\x0b");
    assert_string_equal(editor.line.text, "one two ");
    type(LEFT LEFT LEFT "\x15");
    assert_string_equal(editor.line.text, "wo ");
    type("\x03");
    assert_string_equal(editor.line.text, "");
    assert_string_equal(visible(), "");
}

TEST(history_brings_lines_back_and_keeps_the_one_being_typed)
{
    enter("stats");
    enter("ports");
    enter("ports"); /* once is enough */
    enter("");
    type("dr" UP);
    assert_string_equal(visible(), "ports");
    type(UP);
    assert_string_equal(visible(), "stats");
    type(UP "\x10");
    assert_string_equal(visible(), "stats");
    type(DOWN "\x0e");
    assert_string_equal(visible(), "dr");
    type(DOWN DOWN "ops");
    assert_string_equal(visible(), "drops");
    type("\x15" UP UP " clear");
    assert_string_equal(visible(), "stats clear");
}

TEST(history_keeps_the_last_lines_only)
{
    char line[] = "line a";

    for (unsigned i = 0; i < EDITOR_HISTORY + 5; i++) {
        line[5] = (char)('a' + i);
        enter(line);
    }
    for (unsigned i = 0; i < EDITOR_HISTORY + 5; i++)
        type(UP);
    assert_string_equal(visible(), "line f");
}

TEST(tab_completes_as_far_as_all_agree_and_no_further_than_a_word)
{
    static const char *const phrases[] = {"poweroff",      "ports",     "set log=debug",
                                          "set log=error", "set idle=", "stats",
                                          "lanes",         "json on",   NULL};

    type("po\t");
    assert_string_equal(editor.line.text, "po"); /* no phrases yet */
    editor.phrases = phrases;
    type("\t");
    assert_string_equal(editor.line.text, "po");
    type("w\t");
    assert_string_equal(editor.line.text, "poweroff");
    type("\x15s\t");
    assert_string_equal(editor.line.text, "s");
    type("e\t");
    assert_string_equal(editor.line.text, "set ");
    type("l\t");
    assert_string_equal(editor.line.text, "set log=");
    type("d\t\t");
    assert_string_equal(editor.line.text, "set log=debug");
    type("\x15j\t"); /* the only one, but its second word is another question */
    assert_string_equal(editor.line.text, "json ");
    type("\t");
    assert_string_equal(editor.line.text, "json on");
    type("\x15nothing\t");
    assert_string_equal(editor.line.text, "nothing");
    type("\x15"
         "lan" LEFT "\t"); /* only at the end */
    assert_string_equal(editor.line.text, "lan");
}

/* The rows that appeared above the line being typed since the last call, without the blanks that
 * erased a longer line. */
static const char *above(void)
{
    static char text[sizeof(terminal.above)];
    size_t length = 0;

    for (size_t i = 0; i < terminal.above_length; i++) {
        while (terminal.above[i] == '\n' && length > 0 && text[length - 1] == ' ')
            length--;
        text[length++] = terminal.above[i];
    }
    text[length] = '\0';
    terminal.above_length = 0;
    return text;
}

TEST(tab_that_cannot_go_on_shows_the_choices_and_the_line_again)
{
    static const char *const phrases[] = {
        "ports",         "poweroff",     "pci",       "stats",     "stats clear",
        "set log=debug", "set log=info", "set idle=", "mode wire", NULL};

    editor.phrases = phrases;
    type("p\t");
    assert_string_equal(above(), "> p\n>   ports  poweroff  pci\n");
    assert_string_equal(visible(), "p");
    type("o\tr\t");
    assert_string_equal(above(), "> po\n>   ports  poweroff\n");
    assert_string_equal(visible(), "ports");
    type("\t"); /* there is nothing behind it to choose from */
    assert_string_equal(above(), "");
    type("\x15s\t"); /* each word once */
    assert_string_equal(above(), "> s\n>   stats  set\n");
    type("e\t\t"); /* the first completes, the second shows */
    assert_string_equal(above(), "> set\n>   log=debug  log=info  idle=\n");
    type("l\t\t");
    assert_string_equal(above(), "> set log=\n>   log=debug  log=info\n");
    assert_string_equal(visible(), "set log=");
    type("x\t\x15\t"); /* no such word, and nothing typed at all */
    assert_string_equal(above(), "");
}

TEST(more_choices_than_a_line_has_room_for_are_cut)
{
    static char words[40][40];
    static const char *phrases[41];

    for (unsigned i = 0; i < 40; i++) {
        memset(words[i], 'a', 30);
        words[i][1] = (char)('A' + i);
        phrases[i] = words[i];
    }
    editor.phrases = phrases;
    type("a\t");
    const char *choices = above() + strlen("> a\n");
    assert_int_equal(strlen(choices), strlen(">   ") + 15 * 32 - 2 + 1);
    assert_string_equal(visible(), "a");
}

TEST(a_full_line_takes_no_more_and_still_ends)
{
    for (unsigned i = 0; i < 1000; i++)
        type("x");
    assert_int_equal(editor.line.length, CONSOLE_LINE_MAX - 1);
    type("\x01y\x7f\x7f\x04z");
    assert_int_equal(editor.line.length, CONSOLE_LINE_MAX - 1);
    assert_int_equal(editor.line.text[0], 'z');
    assert_true(editor_feed(&editor, '\n'));
}

TEST(keys_that_mean_nothing_do_nothing)
{
    type("a\x1b[1;5Cb\x1b[200~c\x1b[?25hd\x1bOPe\x1b[99999999999999~f\x1b[5~g");
    assert_string_equal(editor.line.text, "abcdefg");
}

TEST(bytes_that_are_no_keys_stay_in_the_line_and_can_be_removed)
{
    type("ports \xc2\xb9");
    assert_string_equal(editor.line.text, "ports \xc2\xb9");
    assert_string_equal(visible(), "ports ??");
    type("\x7f\x7f"
         "1");
    assert_string_equal(editor.line.text, "ports 1");
    type("\x15\x07\x0c\x1c\xff");
    assert_string_equal(editor.line.text, "\x07\x0c\x1c\xff");
    type("\x15");
    assert_false(editor_feed(&editor, 0));
    editor_feed_unknown(&editor);
    assert_string_equal(editor.line.text, "\x1a\x1a");
}

TEST(an_escape_that_begins_no_sequence_hides_no_byte)
{
    type("a\x1bx\x1b\x1b[D1");
    assert_string_equal(editor.line.text, "a\x1bx1\x1b");
    type("\x03\x1b[1\xe4"
         "2");
    assert_string_equal(editor.line.text, "\x1b\xe4"
                                          "2");
    type("\x03p\x1b[12");
    assert_true(editor_feed(&editor, '\r'));
    assert_string_equal(editor.line.text, "p\x1b");
}

/* 100 characters of which no two neighbours of a step are alike. */
static const char long_line[] =
    "wire 52:54:00:12:34:00-52:54:00:12:34:01,52:54:00:12:34:02-52:54:00:12:34:03,"
    "abcdefghijklmnopqrstuvw";

TEST(a_line_longer_than_the_terminal_is_edited_on_one_row)
{
    type(long_line);
    assert_int_equal(editor.line.length, 100);
    assert_string_equal(visible(),
                        "<1,52:54:00:12:34:02-52:54:00:12:34:03,abcdefghijklmnopqrstuvw");
    for (unsigned i = 0; i < 100; i++)
        type(LEFT);
    assert_string_equal(
        visible(), "wire 52:54:00:12:34:00-52:54:00:12:34:01,52:54:00:12:34:02-52:54:00:12:34:03>");
    for (unsigned i = 0; i < 78; i++)
        type(RIGHT);
    type("X\b\bYZ");
    assert_int_equal(editor.line.cursor, 79);
    type("\x01\x05\x01\x04\x0b\x08more"); /* shorter and longer again */
    assert_string_equal(visible(), "more");
    assert_int_equal(terminal.above_length, 0); /* all on one row */
}

TEST(a_long_line_stands_whole_in_the_transcript)
{
    char expected[256];

    enter(long_line);
    enter("stats");
    snprintf(expected, sizeof(expected), "> %s\n> stats\n", long_line);
    assert_string_equal(terminal.above, expected);
    terminal.above_length = 0;
    for (const char *byte = long_line; *byte != '\0'; byte++) /* not shown before its end */
        assert_false(editor_feed(&editor, (uint8_t)*byte));
    assert_true(editor_feed(&editor, '\r'));
    end();
    expected[strlen(long_line) + 3] = '\0';
    assert_string_equal(terminal.above, expected);
}

TEST(a_line_that_an_event_interrupted_comes_again_whole)
{
    type("stats" LEFT LEFT);
    assert_true(terminal_take(&terminal, "\r\nwarn t=1.0 x=1\r\n", 18));
    editor_was_hidden(&editor);
    show();
    assert_string_equal(visible(), "stats");
    assert_int_equal(terminal.cursor, 2 + 3);
    assert_string_equal(terminal.above, "> stats\nwarn t=1.0 x=1\n");
}

TEST(whatever_is_typed_the_terminal_shows_what_the_editor_has)
{
    static const char *const phrases[] = {"aaa bbb", "aab", "abc", NULL};
    static const char keys[] =
        "aaabbb \b\x7f\t\x01\x02\x03\x04\x05\x06\x0b\x0e\x10\x15\x17\r\x1b[ABCDHF~13;O";

    editor.phrases = phrases;
    srand(7);
    for (unsigned i = 0; i < 200000; i++) {
        const bool ended = editor_feed(&editor, (uint8_t)keys[(size_t)rand() % (sizeof(keys) - 1)]);
        if (editor.wants_list)
            list();
        if (ended)
            end();
        if (rand() % 3 == 0)
            show(); /* not after each byte: several come at once */
    }
}
