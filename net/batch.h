/*
 * Frames on their way from an rx ring to a tx ring. A batch lies on the stack of the lane, so that
 * forwarding a frame touches no memory but the rings and, if the function asks for it, the frame.
 */
#ifndef NET_BATCH_H
#define NET_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#define CACHE_LINE 64

/* A lane takes, changes and sends at most this many frames at a time. */
#define BURST 32

/*
 * A received frame starts this many bytes into its buffer. In front of it is room for the device's
 * header, which so shares a cache line with the Ethernet header, and for headers put on in passing.
 */
#define PACKET_HEADROOM 80

/* Ethernet, as barewire counts it: without preamble and FCS. */
#define ETHERNET_ADDRESS_SIZE 6
#define ETHERNET_HEADER_SIZE 14
#define ETHERNET_VLAN_SIZE 4
#define ETHERNET_MTU 1500

struct port;

/*
 * A frame that is longer than its pool's frame_max is a chain (net/pool.h): the first buffer holds
 * frame_max bytes of it, and what hangs on that the rest, each as much as it can. There it goes on
 * where in the first one the device's header begins (port.rx_header bytes in front of the frame).
 * Only ports that were negotiated with PORT_OFFLOAD_CHAINS receive such frames.
 *
 * Whoever holds the batch owns the buffers in it. They and the lengths stand in two arrays, so that
 * a loop over the frames needs one index.
 */
struct batch {
    uint32_t count;
    const struct port *in; /* by which the frames came in; set before anything else sees them */
    /* Some frame is shorter than an Ethernet header, or longer than the lane's tx may send. */
    bool needs_check;
    /* Some frame has work left on it, or lies in several buffers: PORT_OFFLOAD_… (net/port.h). Where
     * none has, what lies in front of the frames means nothing, and tx writes over it. */
    bool has_offloads;
    uint8_t *buffers[BURST]; /* as the pool gave them out; a frame starts PACKET_HEADROOM into it */
    uint32_t lengths[BURST]; /* of the frames, destination MAC to end of payload, bytes */
};

/* The first byte of frame `i`. Data path. */
static inline uint8_t *batch_frame(const struct batch *batch, uint32_t i)
{
    return batch->buffers[i] + PACKET_HEADROOM;
}

#endif
