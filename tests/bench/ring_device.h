/*
 * A device that works on one virtqueue, split or packed, and does nothing else: no checks, no
 * registers, no simulation. It stands in for the simulated device in the phase that is measured, so
 * that what is counted or timed there is the driver and the ring itself.
 *
 * It finishes chains in the order in which it got them, and knows chains of one descriptor only.
 */
#ifndef TESTS_BENCH_RING_DEVICE_H
#define TESTS_BENCH_RING_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/virtio/virtqueue.h"

#define FRAME_SIZE 64 /* bytes, without FCS */

struct ring_device {
    bool packed;
    union {
        const volatile struct virtq_desc *desc;
        struct pvirtq_desc *packed_desc;
    };
    const struct virtq_avail *avail;
    union {
        struct virtq_used *used;
        struct pvirtq_event_suppress *event;
    };
    uint32_t header; /* bytes in front of each frame */
    uint16_t size;
    uint16_t next; /* entry of the ring or rings: each chain that was taken is finished */
};

/* Takes over the ring of `queue`, of which the device has finished nothing yet, or, in a split ring,
 * as much as used.idx says. */
void ring_device_attach(struct ring_device *device, const struct virtqueue *queue);

/* Whether the device wants doorbells. */
void ring_device_want_doorbells(struct ring_device *device, bool wanted);

/* Chains that the driver has made available. */
uint32_t ring_device_available(const struct ring_device *device);

/* rx: writes header and frame into the next `n` buffers (no more than are available), and shows all
 * of them at once. In a header of 12 bytes num_buffers is 1. */
void ring_device_deliver(struct ring_device *device, uint32_t n);

/* tx: reads all available frames, whose headers must be zero, and marks them used at once; returns
 * their number. */
uint32_t ring_device_transmit(struct ring_device *device);

#endif
