/*
 * Frames with something left to do on them, and the headers in front that say so: as an honest device
 * gives them, and as one does that lies. For tests/host/adversary.c.
 */
#ifndef TESTS_HOST_ADVERSARY_FRAME_H
#define TESTS_HOST_ADVERSARY_FRAME_H

#include <stdint.h>

#include "tests/fuzz/input.h"

#define ADVERSARY_HEADER 12 /* bytes of the longest device header */
#define ADVERSARY_FRAME_ROOM                                                                       \
    128 /* of a frame, that are written; what is behind them does not matter */

/* Features about frames that want something, as many as the input says. */
uint64_t adversary_frame_features(struct input *input);

/* Writes a header and a frame as the input says, true or not; returns the frame's length, `room` at
 * most (at least ADVERSARY_FRAME_ROOM). */
uint32_t adversary_frame_make(uint8_t *header, uint8_t *frame, uint32_t room, struct input *input);

/* The same, but true, and within what a device may give with the NETDEV_OFFLOAD_… of `given`. */
uint32_t adversary_frame_make_fair(uint8_t *header, uint8_t *frame, uint32_t room, uint32_t given,
                                   uint8_t choice);

#endif
