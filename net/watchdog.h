/*
 * A watchdog: a device that acts on the whole machine unless it is fed in time. What the loop knows of
 * it; a driver has it as the first member of its own structure.
 */
#ifndef NET_WATCHDOG_H
#define NET_WATCHDOG_H

#include <stdint.h>

struct watchdog;

struct watchdog_ops {
    /* Gives the machine another period. A few device accesses: for housekeeping, at its slow rate. */
    void (*feed)(struct watchdog *watchdog);
};

struct watchdog {
    const struct watchdog_ops *ops;
    uint64_t timeout_ns; /* unfed for so long, it acts */
};

#endif
