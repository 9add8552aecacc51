/*
 * Watches memory: every access to some pages, in the order in which the program makes them, with
 * something to be done after each. For x86-64 under Linux: the pages are taken away, and given back
 * for one instruction at a time.
 */
#ifndef TESTS_HOST_ACCESS_WATCH_H
#define TESTS_HOST_ACCESS_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `address` is where the access begins, which is one of 8 `bytes`, or of at most 4. It has been made,
 * and the pages can be used meanwhile. */
typedef void access_seen(uint8_t *address, unsigned bytes, bool write);

/* Watches the pages in which [start, end) lies; one piece at a time. Nobody else may use them, so
 * no system call may be given a pointer to them. */
void access_watch_start(uint8_t *start, uint8_t *end, access_seen *seen);
void access_watch_stop(void);

#endif
