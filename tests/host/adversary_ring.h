/*
 * What a device that keeps no rule does to the bytes of a ring, split or packed. For
 * tests/host/adversary.c.
 */
#ifndef TESTS_HOST_ADVERSARY_RING_H
#define TESTS_HOST_ADVERSARY_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/virtqueue.h"
#include "tests/fuzz/input.h"

/* Writes used element number `next`, counted on and on. A packed ring's driver may see it at once, a
 * split one's when the index says so. */
void adversary_ring_put(const struct virtqueue *queue, uint16_t next, uint32_t id, uint32_t length);

/* Moves the index, or of a packed ring marks a descriptor, as the input says; and perhaps `next`. */
void adversary_ring_move(const struct virtqueue *queue, uint16_t *next, struct input *input);

/* Writes some bytes of the input over some part of the ring. True if that is the available ring. */
bool adversary_ring_scribble(const struct virtqueue *queue, struct input *input);

#endif
