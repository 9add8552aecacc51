/*
 * A tty: the serial port of one console channel, with a ring of whole lines in front of it.
 *
 * Each counts and reports its own lost lines, and formats them as text or as JSON; the terminals
 * do not affect each other. Internal to the console: all others use kernel/console.h. One core.
 */
#ifndef KERNEL_TTY_H
#define KERNEL_TTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/uart.h"

#define TTY_RING_SIZE (64u * 1024) /* a power of two: positions count on, masked when used */

/* The time left for waiting once a tty has become synchronous. */
struct tty_budget {
    bool on;
    uint64_t cycles;
    uint64_t cycles_kept; /* for what comes after the ring's content */
    uint64_t polls;       /* in case the clock has stopped */
    uint64_t polls_kept;
};

struct tty {
    bool present;
    bool json;
    bool echo_open; /* the last that was put is the line being typed: an event must end it first */
    struct uart uart;
    size_t head;          /* where the next line goes; moves by whole lines, after the copy */
    size_t tail;          /* the next byte for the serial port */
    uint64_t lost_lines;  /* since the last notice */
    size_t notice_end;    /* where the last notice ends in the ring */
    uint64_t notice_says; /* how many lost lines it announces */
    struct tty_budget budget;
    char ring[TTY_RING_SIZE];
};

/* An empty tty on the serial port at I/O port `base`; see uart_init for `optional`. Without a
 * port it takes everything and costs nothing. */
void tty_init(struct tty *tty, uint16_t base, bool optional);

/*
 * Takes a whole event line, CR LF included (at most LOG_LINE_MAX), or writes it at once if the
 * tty is synchronous. False if it didn't fit: it is lost and counted. The last quarter of the ring
 * is for lines of events at level `always`.
 */
bool tty_write_line(struct tty *tty, const char *line, size_t length, bool always);

/*
 * True if `length` bytes of echo find room. It is a part of the ring only, events go first; where they
 * find none, input must wait.
 */
bool tty_has_echo_room(const struct tty *tty, size_t length);

/* Takes a part of the line that is being typed, for which there is room. */
void tty_echo(struct tty *tty, const char *bytes, size_t length);

/* True if at least one more line, as long as any can be, would find room now. */
bool tty_has_room(const struct tty *tty);

/* Nothing waits to be written. */
bool tty_is_empty(const struct tty *tty);

/* Gives the serial port one FIFO's worth if it has room. True if something was written. */
bool tty_drain(struct tty *tty);

/*
 * Writes what the ring holds and makes the tty synchronous: from now on lines are written before
 * tty_write_line returns. All waiting together takes at most `budget_ns`, the ring's content half
 * of it (the rest is counted as lost). A further call goes on with the first one's budget.
 */
void tty_flush_sync(struct tty *tty, uint64_t budget_ns);

#endif
