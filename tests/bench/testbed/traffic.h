/*
 * Frames into one port of the guest and out of the other. They are numbered and written straight
 * into the guest's rx ring. Each frame from a tx ring is compared with the one sent.
 */
#ifndef TESTS_BENCH_TESTBED_TRAFFIC_H
#define TESTS_BENCH_TESTBED_TRAFFIC_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/testbed/vhost_user.h"

#define FRAME_MIN 60
#define FRAME_MAX 9018
#define PORTS 2

/* The frames of one direction. All counters are of frames and since traffic_restart. */
struct flow {
    uint64_t sent;
    uint64_t received; /* for the first time, whatever their order */
    uint64_t
        disordered;   /* with a number below one that was received already, or for a second time */
    uint64_t corrupt; /* of another length or content than sent */
    uint64_t next;    /* number of the next frame to be received */
    uint64_t first;   /* number of the first frame since traffic_restart */
    uint32_t length;  /* bytes, without FCS */
    uint8_t frame[FRAME_MAX];
};

struct traffic {
    struct vhost_user_port ports[PORTS];
    struct flow flows[PORTS]; /* flow i goes in at port i, and out at the other */
    uint64_t foreign;         /* frames that the guest sent on its own, or late ones */
};

/* New frames of `length` bytes (FRAME_MIN to FRAME_MAX), counters at 0. What is still under way from
 * before counts as foreign. */
void traffic_restart(struct traffic *traffic, uint32_t length);

/*
 * Puts up to `n` frames of flow `flow` into buffers of the guest's, which does not see them before
 * traffic_show. Returns how many it had buffers for.
 */
uint32_t traffic_deliver(struct traffic *traffic, unsigned flow, uint32_t n);

/* Shows the guest what was delivered to the port of `flow`. */
void traffic_show(struct traffic *traffic, unsigned flow);

/* Takes up to `n` frames that the guest has sent to `port`; returns how many there were. */
uint32_t traffic_collect(struct traffic *traffic, unsigned port, uint32_t n);

/* Frames received in both directions. */
uint64_t traffic_received(const struct traffic *traffic);

#endif
