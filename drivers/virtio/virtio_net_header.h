/*
 * The device header in front of a frame (virtio 1.2 §5.1.6), held against the frame: it came from a
 * device, and goes to another one that is to act by it. Data path, for frames that want something.
 */
#ifndef DRIVERS_VIRTIO_NET_HEADER_H
#define DRIVERS_VIRTIO_NET_HEADER_H

#include <stdint.h>

#include "drivers/virtio/virtio_spec.h"

enum virtio_net_verdict {
    HEADER_PASSES,
    HEADER_LIES,         /* it does not go with the frame */
    HEADER_ASKS_TOO_MUCH /* the port it leaves by cannot do what is to be done, and nor do we */
};

struct virtio_net_frame {
    uint8_t *start;
    uint32_t length; /* bytes, at least an Ethernet header's */
    uint32_t here;   /* of these lie behind `start`; the rest of a chain is not looked at */
};

/*
 * Judges the header (a copy, as the device must not change it meanwhile; a legacy one with num_buffers
 * 0) of a frame. `given` are the PORT_OFFLOAD_…
 * with which the port it came in by may give frames, `possible` those of the port it leaves by, each
 * with what it depends on. If it passes, the header is what is to stand in front of the frame now:
 * what was not negotiated, and what a driver must not send, is gone; a checksum that the other device
 * could not finish is finished in the frame (of a chain that is too much).
 */
enum virtio_net_verdict virtio_net_header_validate(struct virtio_net_hdr *header,
                                                   const struct virtio_net_frame *frame,
                                                   uint32_t given, uint32_t possible);

/* Bytes of the largest frame that `frame` becomes on the wire, all headers included; its length if it
 * is not to be cut, or its header is a lie. */
uint32_t virtio_net_header_piece(const struct virtio_net_hdr *header,
                                 const struct virtio_net_frame *frame, uint32_t given);

#endif
