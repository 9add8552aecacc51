/*
 * The seam: the input of the console, and which channels get events.
 *
 * A console has one or two channels (COM1, COM2), each with a line editor of its own. Nothing here
 * waits, and a terminal costs at most a few port reads a call.
 */
#ifndef MACHINE_CONSOLE_H
#define MACHINE_CONSOLE_H

#include <stdbool.h>

#define CONSOLE_CHANNELS 2
#define CONSOLE_LINE_MAX 256 /* of what is typed, with the NUL */

/*
 * Looks whether something was typed on `channel` (below CONSOLE_CHANNELS), a few bytes at most, and
 * echoes it. True if it completes a line: then `line` has it, without its end. Bytes that are neither
 * keys nor printable ASCII are in it; SUB (0x1a) is there for a NUL and for damaged or lost bytes. A
 * line that was too long comes as one of CONSOLE_LINE_MAX - 1 bytes. For housekeeping.
 */
bool console_take_line(unsigned channel, char line[CONSOLE_LINE_MAX]);

/* A serial port has interrupted: console_take_line looks at its next call, however soon that is. */
void console_expect_input(void);

/* True if the next event, however long, will find room on `channel`: answers of many lines wait for
 * that, where a terminal is slow. */
bool console_has_room(unsigned channel);

/* From now on events reach `channel` only, until console_address_all. For answers. */
void console_address(unsigned channel);
void console_address_all(void);

/* Whether `channel` has each event as a JSON object (and no echo) instead of a line of text. */
void console_set_json(unsigned channel, bool on);

/*
 * Sets the completions of the Tab key, on all channels: `phrases`, which ends with NULL and is not
 * copied. A phrase is one word or several with single blanks between them.
 */
void console_set_phrases(const char *const *phrases);

#endif
