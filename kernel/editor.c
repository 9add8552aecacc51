/*
 * Editing: each key changes the line, and showing it is one comparison of what the terminal has with
 * what it should have.
 */
#include "kernel/editor.h"

#include <string.h>

#define PROMPT "> "
#define PROMPT_LENGTH (sizeof(PROMPT) - 1)
#define TEXT_MAX (CONSOLE_LINE_MAX - 1)

/* A line too long for its row is scrolled by half a row, so that few keys redraw it. */
#define SCROLL_STEP ((EDITOR_ROW_MAX - 1) / 2)
#define MORE_BEFORE '<'
#define MORE_BEHIND '>'

/* Choices are separated by blanks. Their line begins as the prompt does, so that programs ignore
 * it. */
#define LIST_START "\r\n> "
#define LIST_GAP "  "
#define LIST_END "\r\n"

#define CTRL(letter) ((letter)&0x1f)
#define BACKSPACE 0x08
#define TAB 0x09
#define ESCAPE 0x1b
#define DELETE 0x7f
#define SUBSTITUTE 0x1a /* ASCII's own sign for a byte that is not known */
#define UNPRINTABLE '?'

/* The position in an escape sequence (ECMA-48 5.4: ESC [ parameters final; SS3 is ESC O final). */
enum { PLAIN, AFTER_ESCAPE, IN_SEQUENCE, IN_SS3 };

void editor_init(struct editor *editor)
{
    memset(editor, 0, sizeof(*editor));
}

/* ---- changing the line ---- */

static void line_insert(struct editor_line *line, const char *text, size_t length)
{
    if (length > TEXT_MAX - line->length)
        length = TEXT_MAX - line->length; /* a line that is full takes no more */
    memmove(line->text + line->cursor + length, line->text + line->cursor,
            line->length - line->cursor + 1);
    memcpy(line->text + line->cursor, text, length);
    line->cursor += length;
    line->length += length;
}

/* Takes a byte that is no key of ours. One that no command has stays in the line: see editor_feed. */
static void line_insert_byte(struct editor_line *line, uint8_t byte)
{
    const char text = byte != 0 ? (char)byte : SUBSTITUTE; /* the line ends with a NUL */

    line_insert(line, &text, 1);
}

/* Removes the bytes from `from` up to `to` and puts the cursor there. */
static void line_remove(struct editor_line *line, size_t from, size_t to)
{
    memmove(line->text + from, line->text + to, line->length - to + 1);
    line->length -= to - from;
    line->cursor = from;
}

static void line_set(struct editor_line *line, const char *text)
{
    line->length = line->cursor = strlen(text);
    memcpy(line->text, text, line->length + 1);
}

static size_t word_start(const struct editor_line *line)
{
    size_t at = line->cursor;

    while (at > 0 && line->text[at - 1] == ' ')
        at--;
    while (at > 0 && line->text[at - 1] != ' ')
        at--;
    return at;
}

void editor_clear(struct editor *editor)
{
    line_set(&editor->line, "");
    editor->history_back = 0;
}

/* ---- history ---- */

static const char *history_line(const struct editor *editor, unsigned back)
{
    return editor->history[(editor->history_count - back) % EDITOR_HISTORY];
}

static void history_go(struct editor *editor, bool back)
{
    const unsigned kept =
        editor->history_count < EDITOR_HISTORY ? editor->history_count : EDITOR_HISTORY;

    if (back ? editor->history_back == kept : editor->history_back == 0)
        return;
    if (editor->history_back == 0)
        memcpy(editor->typed, editor->line.text, editor->line.length + 1);
    editor->history_back += back ? 1 : -1u;
    line_set(&editor->line, editor->history_back == 0 ? editor->typed
                                                      : history_line(editor, editor->history_back));
}

/* The same line twice in a row, and an empty one, are not worth an entry. */
static void history_add(struct editor *editor, const char *text)
{
    if (text[0] == '\0' ||
        (editor->history_count > 0 && strcmp(history_line(editor, 1), text) == 0))
        return;
    memcpy(editor->history[editor->history_count % EDITOR_HISTORY], text, strlen(text) + 1);
    editor->history_count++;
}

void editor_next(struct editor *editor)
{
    history_add(editor, editor->line.text);
    editor_clear(editor);
}

/* ---- completion ---- */

/* How far `phrase` goes on in the same way as `common`, of whose bytes `length` count. */
static size_t same_length(const char *phrase, const char *common, size_t length)
{
    size_t same = 0;

    while (same < length && phrase[same] == common[same])
        same++;
    return same;
}

/* The next phrase from `at` on that begins like the line, or NULL. */
static const char *const *next_match(const struct editor_line *line, const char *const *at)
{
    while (*at != NULL && strncmp(*at, line->text, line->length) != 0)
        at++;
    return *at != NULL ? at : NULL;
}

/*
 * Completes the line as far as all phrases that begin like it agree, but to the end of one word at
 * most. The only phrase left gets its blank, if more may follow.
 */
static void complete(struct editor *editor)
{
    struct editor_line *line = &editor->line;
    const char *common = NULL;
    size_t length = 0;

    if (editor->phrases == NULL || line->cursor != line->length)
        return;
    for (const char *const *at = editor->phrases; (at = next_match(line, at)) != NULL; at++) {
        length = common == NULL ? strlen(*at) : same_length(*at, common, length);
        if (common == NULL)
            common = *at;
    }
    editor->wants_list = common != NULL && length <= line->length && length > 0;
    if (common == NULL || length <= line->length)
        return;
    const char *blank = memchr(common + line->length, ' ', length - line->length);
    const size_t stop = blank != NULL ? (size_t)(blank - common) + 1 : length;
    line_insert(line, common + line->length, stop - line->length);
}

/* True if the word of `length` bytes at `from` was in a phrase before `end` that begins like the
 * line. */
static bool was_listed(const struct editor *editor, const char *const *end, size_t from,
                       size_t length)
{
    const char *const *at = editor->phrases;

    while ((at = next_match(&editor->line, at)) != end) {
        if (strcspn(*at + from, " ") == length && memcmp(*at + from, *end + from, length) == 0)
            return true;
        at++;
    }
    return false;
}

/* ---- keys ---- */

static void key_left(struct editor_line *line)
{
    if (line->cursor > 0)
        line->cursor--;
}

static void key_right(struct editor_line *line)
{
    if (line->cursor < line->length)
        line->cursor++;
}

static void key_delete(struct editor_line *line)
{
    if (line->cursor < line->length)
        line_remove(line, line->cursor, line->cursor + 1);
}

static void key_backspace(struct editor_line *line)
{
    if (line->cursor > 0)
        line_remove(line, line->cursor - 1, line->cursor);
}

/* The last byte of a sequence; those that mean no key of ours mean nothing. */
static void key_of_sequence(struct editor *editor, uint8_t final)
{
    struct editor_line *line = &editor->line;
    /* ESC [ 1 ~ and its like: what else is written H, F and, for delete, has no letter. */
    static const char of_number[] = {[1] = 'H', [3] = 'x', [4] = 'F', [7] = 'H', [8] = 'F'};

    if (final == '~')
        final = editor->parameter < sizeof(of_number) ? (uint8_t)of_number[editor->parameter] : 0;
    switch (final) {
    case 'A':
    case 'B':
        history_go(editor, final == 'A');
        break;
    case 'C':
        key_right(line);
        break;
    case 'D':
        key_left(line);
        break;
    case 'H':
        line->cursor = 0;
        break;
    case 'F':
        line->cursor = line->length;
        break;
    case 'x':
        key_delete(line);
        break;
    default:
        break;
    }
}

static void key_control(struct editor *editor, uint8_t byte)
{
    struct editor_line *line = &editor->line;

    switch (byte) {
    case BACKSPACE:
    case DELETE:
        key_backspace(line);
        break;
    case TAB:
        complete(editor);
        break;
    case CTRL('A'):
        line->cursor = 0;
        break;
    case CTRL('B'):
        key_left(line);
        break;
    case CTRL('C'):
        editor_clear(editor);
        break;
    case CTRL('D'):
        key_delete(line);
        break;
    case CTRL('E'):
        line->cursor = line->length;
        break;
    case CTRL('F'):
        key_right(line);
        break;
    case CTRL('K'):
        line_remove(line, line->cursor, line->length);
        break;
    case CTRL('N'):
    case CTRL('P'):
        history_go(editor, byte == CTRL('P'));
        break;
    case CTRL('U'):
        line_remove(line, 0, line->cursor);
        break;
    case CTRL('W'):
        line_remove(line, word_start(line), line->cursor);
        break;
    default:
        line_insert_byte(line, byte);
        break;
    }
}

/* A byte of an escape sequence. A key that is none of ours does nothing. */
static void feed_sequence(struct editor *editor, uint8_t byte)
{
    if (editor->escape == AFTER_ESCAPE) {
        editor->parameter = 0;
        editor->escape = byte == '[' ? IN_SEQUENCE : IN_SS3;
    } else if (editor->escape == IN_SEQUENCE && byte >= '0' && byte <= '9') {
        editor->parameter = (editor->parameter * 10 + byte - '0') % 1000;
    } else if (editor->escape == IN_SEQUENCE && byte >= 0x20 && byte < 0x40) {
        editor->parameter = 999; /* a second parameter: a key with shift or the like */
    } else {
        editor->escape = PLAIN;
        key_of_sequence(editor, byte);
    }
}

/* A sequence that is cut off, or never was one: its ESC is a byte like any other. */
static void end_sequence(struct editor *editor)
{
    if (editor->escape != PLAIN)
        line_insert_byte(&editor->line, ESCAPE);
    editor->escape = PLAIN;
}

/* True if `byte` goes on with the sequence that has begun. */
static bool is_of_sequence(const struct editor *editor, uint8_t byte)
{
    if (editor->escape == AFTER_ESCAPE)
        return byte == '[' || byte == 'O';
    return editor->escape != PLAIN && byte >= 0x20 && byte < DELETE;
}

bool editor_feed(struct editor *editor, uint8_t byte)
{
    const bool after_return = editor->after_return;

    editor->wants_list = false;
    editor->after_return = byte == '\r';
    if (byte == '\n' && after_return)
        return false;
    if (is_of_sequence(editor, byte)) {
        feed_sequence(editor, byte);
        return false;
    }
    end_sequence(editor);
    if (byte == '\r' || byte == '\n')
        return true;
    if (byte == ESCAPE)
        editor->escape = AFTER_ESCAPE;
    else if (byte < 0x20 || byte == DELETE)
        key_control(editor, byte);
    else
        line_insert_byte(&editor->line, byte);
    return false;
}

void editor_feed_unknown(struct editor *editor)
{
    end_sequence(editor);
    line_insert_byte(&editor->line, SUBSTITUTE);
}

/* ---- showing ---- */

/* Appends `count` times `byte`. */
static size_t fill(char *out, size_t at, char byte, size_t count)
{
    memset(out + at, byte, count);
    return at + count;
}

static size_t copy(char *out, size_t at, const char *text, size_t length)
{
    memcpy(out + at, text, length);
    return at + length;
}

/* Copies text of the line: a terminal must not act on a byte that is no character. */
static size_t copy_visible(char *out, size_t at, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        out[at + i] = text[i] >= ' ' && text[i] < DELETE ? text[i] : UNPRINTABLE;
    return at + length;
}

/* The first character that the row shows, chosen so that the cursor is neither on a mark nor
 * behind the row. */
static size_t row_start(const struct editor_line *line)
{
    if (line->length <= EDITOR_ROW_MAX || line->cursor < 2 * SCROLL_STEP)
        return 0;
    return (line->cursor / SCROLL_STEP - 1) * SCROLL_STEP;
}

/* The part of the line that a terminal's row has room for. */
static struct editor_row row_of(const struct editor_line *line)
{
    const size_t start = row_start(line), left = line->length - start;
    struct editor_row row = {.length = left < EDITOR_ROW_MAX ? left : EDITOR_ROW_MAX,
                             .cursor = line->cursor - start};

    copy_visible(row.text, 0, line->text + start, row.length);
    if (start > 0)
        row.text[0] = MORE_BEFORE;
    if (left > EDITOR_ROW_MAX)
        row.text[EDITOR_ROW_MAX - 1] = MORE_BEHIND;
    return row;
}

size_t editor_show(const struct editor *editor, char out[static EDITOR_SHOW_MAX])
{
    const struct editor_row want = row_of(&editor->line), *have = &editor->shown;
    const size_t same =
        same_length(want.text, have->text, want.length < have->length ? want.length : have->length);
    const size_t surplus = have->length > want.length ? have->length - want.length : 0;
    size_t at = 0, cursor = have->cursor;

    if (!editor->open) {
        if (want.length == 0)
            return 0; /* nothing is being typed: no prompt disturbs a program that reads */
        at = copy(out, at, PROMPT, PROMPT_LENGTH);
    }
    if (same < want.length || surplus > 0) {
        /* To where they differ, by what the terminal has there or back over it. */
        if (cursor < same)
            at = copy(out, at, want.text + cursor, same - cursor);
        else
            at = fill(out, at, BACKSPACE, cursor - same);
        at = copy(out, at, want.text + same, want.length - same);
        at = fill(out, at, ' ', surplus);
        at = fill(out, at, BACKSPACE, surplus);
        cursor = want.length;
    }
    if (cursor < want.cursor)
        return copy(out, at, want.text + cursor, want.cursor - cursor);
    return fill(out, at, BACKSPACE, cursor - want.cursor);
}

/* A line of which only a part is shown comes once more, whole: it belongs to the transcript. */
size_t editor_end(const struct editor *editor, char out[static EDITOR_END_MAX])
{
    const struct editor_line *line = &editor->line;
    size_t at = 0;

    if (!editor->open && line->length == 0)
        return 0;
    if (line->length <= EDITOR_ROW_MAX) {
        at = editor_show(editor, out);
    } else {
        at = copy(out, at, "\r", editor->open ? 1 : 0);
        at = copy(out, at, PROMPT, PROMPT_LENGTH);
        at = copy_visible(out, at, line->text, line->length);
    }
    return copy(out, at, "\r\n", 2);
}

/* Only the word at the cursor: those before it are shown already. */
size_t editor_list(const struct editor *editor, char out[static EDITOR_LIST_MAX])
{
    const struct editor_line *line = &editor->line;
    const size_t from = line->text[line->length - 1] == ' ' ? line->length : word_start(line);
    const size_t end_length = sizeof(LIST_END) - 1, gap = sizeof(LIST_GAP) - 1;
    size_t used = copy(out, 0, LIST_START, sizeof(LIST_START) - 1);
    bool news = false;

    for (const char *const *at = editor->phrases; (at = next_match(line, at)) != NULL; at++) {
        const size_t length = strcspn(*at + from, " ");
        if (length == 0 || was_listed(editor, at, from, length) ||
            used + gap + length + end_length > EDITOR_LIST_MAX)
            continue;
        used = copy(out, used, LIST_GAP, gap);
        used = copy(out, used, *at + from, length);
        news = news || from + length > line->length;
    }
    return news ? copy(out, used, LIST_END, end_length) : 0;
}

void editor_was_shown(struct editor *editor)
{
    editor->open = editor->open || editor->line.length > 0;
    editor->shown = row_of(&editor->line);
}

void editor_was_hidden(struct editor *editor)
{
    editor->open = false;
    editor->shown.length = editor->shown.cursor = 0;
}
