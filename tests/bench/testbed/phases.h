/*
 * The phases of a measurement. Each prints one line of JSON at its end: the output of meter_print
 * and meter_print_flows, and its own figures between them. Each ends the program with a message if
 * the guest forwards nothing any more.
 */
#ifndef TESTS_BENCH_TESTBED_PHASES_H
#define TESTS_BENCH_TESTBED_PHASES_H

#include <stdint.h>

#include "tests/bench/testbed/meter.h"
#include "tests/bench/testbed/traffic.h"

#define PHASE_FORWARD 1 /* directions: in at port 0 */
#define PHASE_BACK 2    /* in at port 1 */

struct testbed {
    struct traffic traffic;
    struct meter meter;
    uint64_t served_ns; /* when QEMU's socket was polled last */
};

struct phase {
    const char *name;
    unsigned directions; /* PHASE_… or both */
    uint32_t length;     /* of the frames, bytes */
    uint32_t burst;      /* frames */
    uint32_t count;      /* of bursts */
    double seconds;
};

/*
 * A frame each way now and then until one has come through in both directions, at most for
 * `phase->seconds`. "boot": instructions until then, and at the marks of the plugin.
 */
void phase_boot(struct testbed *testbed, const struct phase *phase);

/* The rx rings of `directions` are kept full for `seconds` of QEMU's processor time (not more than ten
 * times as long by the clock): instructions per frame, and frames per second of processor time, over
 * short windows. */
void phase_saturate(struct testbed *testbed, const struct phase *phase);

/* `burst` frames are shown at once, and the next ones when they have all come through, `count`
 * times, in `directions` by turns: instructions and microseconds of each. */
void phase_burst(struct testbed *testbed, const struct phase *phase);

/* Nothing is sent for `seconds`. */
void phase_idle(struct testbed *testbed, const struct phase *phase);

/* After the last phase: QEMU waits for answers also while it ends. */
void serve_until_qemu_ends(struct testbed *testbed);

#endif
