/*
 * An event line as a JSON object, for programs that would rather not take lines apart.
 */
#ifndef KERNEL_JSON_H
#define KERNEL_JSON_H

#include <stddef.h>

#include <machine/log.h>

/* An object needs no more than this for any line that log_event makes of plain text. */
#define JSON_LINE_MAX (3 * LOG_LINE_MAX)

/*
 * Writes the event of `length` bytes at `line` (`event t=… key=value …`, with CR LF or without) to
 * `out` as one line:
 *
 *     {"event":"stats","t":12.034567,"port":0,"mac":"52:54:00:12:34:56"}
 *
 * The keys and their order are the line's. A value that is a plain decimal number is a number, unless
 * it was quoted; all others are strings, escapes resolved. Always a whole object, ending with CR LF:
 * pairs that would not fit are left out, and "cut":true says so. Returns its length, at most
 * JSON_LINE_MAX. Pure.
 */
size_t json_of_event(const char *line, size_t length, char out[static JSON_LINE_MAX]);

#endif
