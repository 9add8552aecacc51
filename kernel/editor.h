/*
 * The line editor of one channel: it makes a line of the bytes that were typed, and the output
 * that shows it on a plain terminal. It touches no port and no clock.
 *
 * A terminal needs to know no more than backspace, carriage return and line feed. Nothing is sent
 * before something printable was typed; from then on the line stands behind "> ", on one row.
 *
 *     backspace, ^H     the character before the cursor     ^U  all before the cursor
 *     delete, ^D        the one under it                     ^K  all from the cursor on
 *     ^W                the word before it                   ^C  the whole line
 *     left, right, ^B, ^F, home, end, ^A, ^E                 up, down, ^P, ^N: earlier lines
 *     Tab               completes, or shows what there is to choose from
 */
#ifndef KERNEL_EDITOR_H
#define KERNEL_EDITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <machine/console.h>

#define EDITOR_HISTORY 16

/*
 * The terminal's width is unknown, and none is narrower than this. The last column stays free: behind
 * it a terminal would begin another row, from which no backspace leads back.
 */
#define EDITOR_COLUMNS 80
#define EDITOR_ROW_MAX (EDITOR_COLUMNS - 3) /* characters between the prompt and that column */

/* The longest output of editor_show: back to the start, prompt, row, blanks, back again. */
#define EDITOR_SHOW_MAX (4 * EDITOR_COLUMNS)

/* The longest output of editor_end: that or the whole line, and the line's end. */
#define EDITOR_END_MAX (CONSOLE_LINE_MAX + EDITOR_SHOW_MAX)

/* The longest output of editor_list. */
#define EDITOR_LIST_MAX 512

struct editor_line {
    char text[CONSOLE_LINE_MAX]; /* NUL-terminated */
    size_t length;
    size_t cursor;
};

/* The part of a line that a terminal shows behind the prompt. */
struct editor_row {
    char text[EDITOR_ROW_MAX];
    size_t length;
    size_t cursor;
};

struct editor {
    struct editor_line line; /* what was typed */
    struct editor_row shown; /* what the terminal has of it */
    bool open;               /* the terminal has a prompt */
    bool after_return;       /* a line feed that follows belongs to it */
    unsigned escape;         /* how far into an escape sequence we are */
    unsigned parameter;      /* … and its number */
    bool wants_list;         /* the last byte was a Tab that could complete nothing */
    const char *const *phrases;
    char history[EDITOR_HISTORY][CONSOLE_LINE_MAX]; /* a ring of the last lines */
    unsigned history_count;                         /* of all lines so far */
    unsigned history_back;        /* how far back the line on show is; 0: the one being typed */
    char typed[CONSOLE_LINE_MAX]; /* that one, meanwhile */
};

/* An empty line, no history, nothing to complete to. */
void editor_init(struct editor *editor);

/*
 * Takes one byte. True if it ended the line: editor->line.text is it, until editor_next. A byte
 * that is neither a key nor a printable character stays in the line and is shown as '?': nothing
 * typed vanishes, and the reader of the line can reject it. A NUL becomes SUB (0x1a).
 */
bool editor_feed(struct editor *editor, uint8_t byte);

/* Puts a SUB in place of bytes that arrived damaged or were lost on the way. */
void editor_feed_unknown(struct editor *editor);

/* The line was taken: it goes into the history, and an empty one follows. */
void editor_next(struct editor *editor);

/* Forgets what was typed so far, but not the history. */
void editor_clear(struct editor *editor);

/*
 * Writes to `out` the bytes that make the terminal show the line as it is now, and returns the
 * length. If the line is too long for a row, the part round the cursor is shown; '<' and '>' at
 * its ends mark the rest. Call editor_was_shown once it is on its way.
 */
size_t editor_show(const struct editor *editor, char out[static EDITOR_SHOW_MAX]);
void editor_was_shown(struct editor *editor);

/*
 * Writes to `out` what the terminal must be sent to have the whole line and its end, and returns the
 * length; 0 if nothing was typed. Call editor_was_hidden once it is on its way.
 */
size_t editor_end(const struct editor *editor, char out[static EDITOR_END_MAX]);

/*
 * After editor_feed, while editor->wants_list: writes to `out` a line of its own with the words
 * that are possible at the cursor, and returns the length; 0 if there are none. It ends the row of
 * the line being typed, which must be shown again.
 */
size_t editor_list(const struct editor *editor, char out[static EDITOR_LIST_MAX]);

/* The terminal's cursor is on an empty line again: an event came, or a line was ended. */
void editor_was_hidden(struct editor *editor);

#endif
