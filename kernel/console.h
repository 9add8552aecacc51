/*
 * The console: whole lines in a ring of 64 KiB in front of the serial port.
 *
 * Output never waits. A ring that is full costs whole lines, never parts of one, and the line that
 * follows the gap is `warn t=… lost_lines=N`. Only the way out (panic, power off) writes
 * synchronously, and that is bounded too. One core.
 */
#ifndef KERNEL_CONSOLE_H
#define KERNEL_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sets the serial port up and queues a CR LF, so that the first event starts a line of its own. */
void console_init(void);

/*
 * Takes a whole line, CR LF included (`length` at most LOG_LINE_MAX); `line` is copied. False if it
 * didn't fit: it is lost and counted. After console_flush_sync it writes at once instead.
 */
bool console_write_line(const char *line, size_t length);

/*
 * Gives the serial port one FIFO's worth (16 bytes) if it has room. Costs one port read if it
 * hasn't, none if there is nothing to write. True if something was written: `while
 * (console_drain()) {}` writes all that goes without waiting.
 */
bool console_drain(void);

/*
 * For the end of the machine: writes what the ring holds and makes the console synchronous, so that
 * every line from now on (log_event's too) is written before the call returns. All of that together
 * takes at most about `budget_ns`, however the serial port behaves; what the ring holds gets half
 * of it at most (the rest is counted as lost). A further call goes on with the first one's budget.
 * Safe at any moment, also out of an exception in the middle of any function here.
 */
void console_flush_sync(uint64_t budget_ns);

/* Writes a whole line now, out of the budget of console_flush_sync (which must have been called). */
void console_write_sync(const char *line, size_t length);

#endif
