/* A plain terminal: what a person would see of the bytes that the console sends. */
#ifndef TESTS_HOST_SIM_TERMINAL_H
#define TESTS_HOST_SIM_TERMINAL_H

#include <stddef.h>

#define TERMINAL_COLUMNS 80
#define TERMINAL_LINE_MAX 4096

/*
 * The line that the cursor is on, in rows of TERMINAL_COLUMNS: a terminal goes on to the next row by
 * itself, and neither BS nor CR leads back to the one before. Lines above are kept in `above`, each
 * with its line feed.
 */
struct terminal {
    char line[TERMINAL_LINE_MAX];
    size_t cursor;
    char above[256 * 1024];
    size_t above_length;
};

/* Knows printable bytes, BS, CR and LF; false for any other, or a backspace beyond the row's start. */
_Bool terminal_take(struct terminal *terminal, const char *bytes, size_t length);

/*
 * True if the cursor's row alone shows, behind the prompt "> ", the `length` characters at `text`, the
 * cursor in front of number `cursor`. Where the row is too short for all, '<' and '>' at its ends stand
 * for what is missing, and the cursor is on neither. For an unprintable character '?' is shown.
 */
_Bool terminal_shows(const struct terminal *terminal, const char *text, size_t length,
                     size_t cursor);

#endif
