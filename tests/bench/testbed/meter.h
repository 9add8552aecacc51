/* The counters that are read before and after a phase, and the output of their difference. */
#ifndef TESTS_BENCH_TESTBED_METER_H
#define TESTS_BENCH_TESTBED_METER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "tests/bench/testbed/icount.h"
#include "tests/bench/testbed/traffic.h"

struct meter {
    const volatile struct icount *icount;
    clockid_t qemu; /* processor time of QEMU's process */
};

/* A moment. */
struct reading {
    uint64_t ns;     /* monotonic clock */
    uint64_t cpu_ns; /* processor time of QEMU, nearly all of it the vCPU's */
    uint64_t instructions;
    uint64_t port_io;
    uint64_t received;
    uint64_t doorbells[VHOST_USER_QUEUES]; /* of both ports' rx queues, and tx queues */
    uint64_t interrupts;
};

/* Opens the counters in file `path` (icount.h). */
void meter_open(struct meter *meter, const char *path);

/*
 * Follows QEMU's process `qemu`, which must have been started with -name …,debug-threads=on. Binds its
 * vCPU's thread to the second core that this process may use and this process to the first, so that
 * the two never share one, if there are two.
 */
void meter_follow(struct meter *meter, pid_t qemu);

uint64_t meter_now_ns(void);
struct reading meter_read(const struct meter *meter, struct traffic *traffic);

/*
 * Starts a line of JSON on standard output with `"phase": "<name>"` and what has happened between
 * two readings; meter_print_flows adds the flows and ends the line.
 */
void meter_print(const char *name, const struct reading *before, const struct reading *after);
void meter_print_flows(const struct traffic *traffic);

/* A series of values, of which the percentiles are wanted. Room for as many as `series_make` says;
 * more are forgotten. */
struct series {
    double *values;
    size_t count;
    size_t capacity;
};

struct series series_make(size_t capacity);
void series_free(struct series *series);
void series_add(struct series *series, double value);

/* Prints `, "name": {"min": …, "p10": …, "median": …, "p90": …, "max": …}`, nothing if empty. */
void series_print(struct series *series, const char *name);

#endif
