/*
 * The counters of the plugin inside QEMU (icount.c), which the testbed reads while the guest runs.
 * They are one page of a file that both map. Only the plugin writes them.
 */
#ifndef TESTS_BENCH_TESTBED_ICOUNT_H
#define TESTS_BENCH_TESTBED_ICOUNT_H

#include <stdint.h>

#define ICOUNT_BYTES 4096
#define ICOUNT_MARKS 4

struct icount {
    uint64_t instructions;        /* that the guest has executed, each iteration of a REP one */
    uint64_t repeats;             /* those among them that are iterations */
    uint64_t port_io;             /* IN, OUT, INS, OUTS */
    uint64_t marks[ICOUNT_MARKS]; /* `instructions` when an address was first reached; 0: not yet */
};

#endif
