/*
 * What the plugin inside QEMU (icount.c) counts and the testbed reads while the guest runs. It is one
 * page of a file that both map. Bytes of it are only ever written by the plugin.
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
