/*
 * The seam: events, one a line, for the person and the program at the serial console.
 *
 *     event t=SECONDS.MICROSECONDS key=value key="value with a space" …
 *
 * Nothing here waits: a line goes into the console's ring whole, or is counted as lost.
 */
#ifndef MACHINE_LOG_H
#define MACHINE_LOG_H

#include <stdbool.h>

/* A line is at most this long, CR LF included; longer ones are cut before the CR LF. */
#define LOG_LINE_MAX 1024

enum log_level {
    LOG_REPORT, /* answers, and events that always appear: boot, ready, stats, panic, bye */
    LOG_ERROR,  /* a part is out of service: a port, a device */
    LOG_WARN,   /* runs on, but not as configured or not as well as it could */
    LOG_INFO,   /* start-up and state: port */
    LOG_DEBUG,  /* pci, features, memory */
};

/*
 * Queues one line: event name `event`, the time, then `format` (printf-style: "key=%u key=%s", no
 * newline; not empty). Dropped if `level` is above log=. Not for the data path: it formats.
 */
void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* True if an event of `level` would be printed: to save the work of composing it. */
bool log_enabled(enum log_level level);

/* Up to this many bytes of a foreign text are shown. */
#define LOG_QUOTE_MAX 160

/* A foreign text made fit for a value. By value, so that it can be an argument. */
struct log_quoted {
    char text[LOG_QUOTE_MAX];
};

/*
 * Makes `raw` (NUL-terminated, from the command line, a boot loader, a device) a safe value: quoted
 * when it has a space, a quote, an equals sign or nothing at all; quotes and backslashes escaped by
 * a backslash; control and non-ASCII bytes as \xNN; cut with "..." when too long. Use as
 * `log_event(…, "word=%s", log_quote(word).text)`.
 */
struct log_quoted log_quote(const char *raw);

/*
 * Moves what the UART has room for (one FIFO at most) out of the ring. Called by the loop's
 * housekeeping at its slow rate; an empty ring costs no port access.
 */
void log_drain(void);

/* True if the ring holds something that is to go out. No port access. */
bool log_pending(void);

#endif
