/*
 * The console: whole lines in a ring of 64 KiB in front of each serial port, and what is typed there.
 * COM1 is channel 0, COM2, if the machine has one, channel 1.
 *
 * Output never waits. A ring that is full costs whole lines, never parts of one, and the line that
 * follows the gap is `warn t=… lost_lines=N`. Only the way out (panic, power off) writes
 * synchronously, and that is bounded too. One core.
 *
 * The echo of a line belongs to the transcript: nothing is taken from a serial port while its ring has
 * no room for what that would bring to the terminal, so that each answer stands below its line.
 */
#ifndef KERNEL_CONSOLE_H
#define KERNEL_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <machine/console.h>

/* Sets the serial ports up and queues a CR LF, so that the first event starts a line of its own. */
void console_init(void);

/*
 * Takes a whole line, CR LF included (`length` at most LOG_LINE_MAX), for every channel that is
 * addressed; `line` is copied. A line that doesn't fit is lost and counted; a quarter of each ring
 * is reserved for events at level `always`. After console_flush_sync the line is written at once
 * instead, on every channel.
 */
void console_write_line(const char *line, size_t length, bool always);

/*
 * Gives each serial port one FIFO's worth (16 bytes) if it has room. Costs one port read if it
 * hasn't, none if there is nothing to write. True if something was written: `while
 * (console_drain()) {}` writes all that goes without waiting.
 */
bool console_drain(void);

/*
 * True if console_drain has or soon will have something to write, or if something was typed within
 * the last second. Then console_drain and console_take_line should be called often. No port
 * access.
 */
bool console_pending(void);

/*
 * For the end of the machine: writes the content of the rings and makes the console synchronous.
 * From now on every line (log_event's too) is written before the call returns. All waiting
 * together takes at most about `budget_ns`, with any serial port. The rings get half of it at
 * most; the rest of their content is counted as lost. A further call goes on with the first one's
 * budget. Safe at any moment, also out of an exception in the middle of any function here.
 */
void console_flush_sync(uint64_t budget_ns);

#endif
