/*
 * Two ports joined by lanes: one has an honest device, the other one that does with the memory it
 * shares whatever a row of bytes tells it. Between its acts the driver takes steps, and the referee
 * watches every one of them (tests/host/referee.h); it panics where the driver is at fault.
 */
#ifndef TESTS_HOST_ADVERSARY_H
#define TESTS_HOST_ADVERSARY_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/virtqueue.h"
#include "tests/fuzz/input.h"

/* Which rings the hostile device has. */
enum adversary_rings {
    ADVERSARY_LEGACY, /* split, behind the legacy interface; the others have the modern one */
    ADVERSARY_SPLIT,
    ADVERSARY_PACKED,
    ADVERSARY_RINGS
};

/* What has happened since adversary_begin. */
struct adversary_account {
    uint64_t completions; /* elements put into its used rings while the port was in service */
    uint64_t by_rings[ADVERSARY_RINGS];
    uint64_t taken;     /* of these, by the driver */
    uint64_t frames;    /* that left by either port; of these: */
    uint64_t checksums; /* with an unfinished checksum, */
    uint64_t segments;  /* and to be cut */
    uint64_t large;     /* longer than any that is not to be cut */
    uint64_t lies;      /* frames that did not leave because of their header, */
    uint64_t too_much;  /* or because the device could not do what it asked for */
    uint64_t cuts;      /* how often a running port was told to let less in */
    uint64_t breaches[VIRTQUEUE_BREACHES];
    uint64_t resets; /* that the driver came back from */
    uint64_t retired;
};

/* A new machine with both ports running. The input chooses sizes, features and where frames go. */
void adversary_begin(struct input *input);

/* One act of a device, or one step of the driver. */
void adversary_act(struct input *input);

/* The same, over and over, until the input is used up. */
void adversary_play(struct input *input);

/* Frees what is not the machine's. */
void adversary_end(void);

const struct adversary_account *adversary_account(void);

#endif
