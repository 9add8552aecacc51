/* A plain terminal: what a person would see of the bytes that the console sends. */
#ifndef TESTS_HOST_SIM_TERMINAL_H
#define TESTS_HOST_SIM_TERMINAL_H

#include <stddef.h>

#define TERMINAL_COLUMNS 4096

/* The line that the cursor is on; lines above it are kept in `above`, each with its line feed. */
struct terminal {
    char line[TERMINAL_COLUMNS];
    size_t cursor;
    char above[256 * 1024];
    size_t above_length;
};

/* Knows printable bytes, BS, CR and LF; false for any other, or a backspace beyond the start. */
_Bool terminal_take(struct terminal *terminal, const char *bytes, size_t length);

#endif
