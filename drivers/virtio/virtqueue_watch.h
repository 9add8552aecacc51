/*
 * A slow look at a queue whose device gets no further: does it wait for a doorbell, and is its ring
 * as it must be? Not for the data path. The queue's chains have one slot each.
 */
#ifndef DRIVERS_VIRTQUEUE_WATCH_H
#define DRIVERS_VIRTQUEUE_WATCH_H

#include "drivers/virtio/virtqueue.h"

/*
 * True if the device asks for a doorbell at a chain that it has not finished, and none was rung for
 * that chain: the last doorbell was rung when avail_idx was `rung`. The device may be about to take
 * the chain by itself, so this proves nothing unless it lasts.
 */
bool virtqueue_awaits_doorbell(const struct virtqueue *queue, uint32_t rung);

/* What is wrong with a ring; VIRTQUEUE_OK: nothing. */
struct virtqueue_finding {
    enum virtqueue_error error;
    uint32_t value; /* the slot, or for VIRTQUEUE_USED_FLAGS the flags in it */
};

/*
 * Compares a packed ring with what the driver wrote and the device has used so far. A split ring's
 * index leaves nothing to compare, so that is always sound.
 *
 * An honest device may be in the middle of a write: a finding proves nothing unless it lasts while the
 * device finishes nothing. With `may_hold_back` the first used descriptor may be missing however
 * long, as long as those behind it have no gap: DPDK before 20.02 so keeps back finished chains of a tx
 * queue until the ring is nearly full.
 */
struct virtqueue_finding virtqueue_audit(const struct virtqueue *queue, bool may_hold_back);

#endif
