/*
 * The seam: the end of the road.
 *
 * For our own bugs (ensure) and for a machine that cannot be started (panic). Never for what a
 * device, a frame or a user did: that is counted, reported and survived.
 */
#ifndef MACHINE_PANIC_H
#define MACHINE_PANIC_H

/*
 * Reports `panic … reason="…"` (printf-style `format`, one line, no newline) with registers and
 * backtrace, then acts on panic= of the command line. Does not return. May be called anywhere.
 */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2), cold));

/* Panics with the text of `condition` unless it holds. Always compiled in; `condition` is pure. */
#define ensure(condition)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            panic("%s:%d: not true: %s", __FILE__, __LINE__, #condition);                          \
    } while (0)

#endif
