/*
 * The last events, kept for the panic report: the console may have lost them, and a reader may
 * have the report only.
 */
#ifndef KERNEL_LOG_RING_H
#define KERNEL_LOG_RING_H

#include <stddef.h>

#define LOG_RING_LINES 20

/* Keeps a copy of an event's line (`length` bytes without CR LF, at most LOG_LINE_MAX), in place of
 * the oldest one. No effect after log_ring_freeze. */
void log_ring_keep(const char *line, size_t length);

/* Keeps no further lines: called when a panic begins, whose own lines are not to be reported
 * again. */
void log_ring_freeze(void);

/*
 * The line that `age` others have followed (0 to LOG_RING_LINES - 1). It is escaped as the inside
 * of a quoted value, and cut to fit into an event. Static text, valid until the next call; NULL:
 * no such line.
 */
const char *log_ring_value(unsigned age);

#endif
