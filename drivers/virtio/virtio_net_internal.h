/*
 * Inside the virtio-net driver: what its parts know of each other. Everybody else uses the port
 * interface.
 *
 *     virtio_net.c            life, from probe to unplug; the table of functions
 *     virtio_net_negotiate.c  features, and what the configuration states
 *     virtio_net_queues.c     the rings: memory, making, enabling
 *     virtio_net_data.c       the data path
 *     virtio_net_offload.c    frames with something left to do on them; virtio_net_header.c judges them
 *     virtio_net_chain.c      frames in several buffers
 *     virtio_net_interrupt.c  interrupts, for a core that sleeps
 *     virtio_net_settings.c   what is wanted of the port, given to the device over the control queue
 *     virtio_net_watch.c      the watch over a running device: its status, doorbells, rings
 *     virtio_net_describe.c   what a port tells of itself
 *
 * Calls go down only, from the life to the others. A device error stays in its queue (virtqueue.error), and a
 * device that cannot be used in net->refusal, until the life looks.
 */
#ifndef DRIVERS_VIRTIO_NET_INTERNAL_H
#define DRIVERS_VIRTIO_NET_INTERNAL_H

#include "drivers/virtio/virtio_net.h"

static inline struct virtio_net *virtio_net_of(struct port *port)
{
    return (struct virtio_net *)port; /* its first member */
}

static inline const struct virtio_net *virtio_net_of_const(const struct port *port)
{
    return (const struct virtio_net *)port;
}

/* ---- virtio_net_refuse.c ---- */

/* The device cannot be used: `format` is "reason=… key=value" of the `error` event. Returns false. */
__attribute__((format(printf, 2, 3))) bool virtio_net_refuse(struct virtio_net *net,
                                                             const char *format, ...);

/* ---- virtio_net_negotiate.c ---- */

/*
 * Of a device that has been reset, _look reads what it offers and states (§3.1.1 steps 2 to 4). Then
 * net->port has its address, and what its frames may want and what it can do for others. _negotiate
 * agrees on features within what is wanted and net->frame_room (steps 4 to 6). False after
 * virtio_net_refuse.
 */
bool virtio_net_look(struct virtio_net *net);
bool virtio_net_negotiate(struct virtio_net *net);

/* ---- virtio_net_queues.c ---- */

/* How many of the `stated` descriptors of queue `index` a new ring takes: as the options say, or all
 * where the transport leaves no choice. */
uint32_t virtio_net_ring_size(const struct virtio_net *net, uint16_t index, uint32_t stated);

/* The rings that what was negotiated wants: at the first time they are allocated, later on made again
 * where they are. False after virtio_net_refuse. */
bool virtio_net_make_queues(struct virtio_net *net);

/* Tells the device where they are. False after virtio_net_refuse. */
bool virtio_net_enable_queues(struct virtio_net *net);

/* Makes the control queue again after it alone was reset, and enables it. False if the device does not
 * take it. */
bool virtio_net_renew_control(struct virtio_net *net);

/* ---- virtio_net_data.c ---- */

/* Offers as many buffers to the device as net->setup says (at most as many as the ring and the pool
 * have), without a doorbell. Before DRIVER_OK. */
void virtio_net_fill_rx(struct virtio_net *net);

/* Lets the tx ring have the quota of buffers that net->setup says. Before DRIVER_OK. */
void virtio_net_set_tx_quota(struct virtio_net *net);

/* True if the rx ring is to be refilled, and can be. */
bool virtio_net_wants_refill(const struct virtio_net_queue *rx);

/* Longer frames than port.wanted.payload_max says mark their batch for checking from now on. */
void virtio_net_follow_payload_max(struct virtio_net *net);

/* What the data path does from now on. A queue that has met a device error stays closed. */
void virtio_net_set_gates(struct virtio_net *net, enum virtio_net_gate rx, enum virtio_net_gate tx);

/* Rings the doorbell of a queue, and records for which chains. Data path. */
void virtio_net_ring(const struct virtio_net *net, struct virtio_net_queue *queue);

/* Buffers of all chains that the device has sent go back to their pools; returns how many
 * chains it still has. A device error stays in tx.queue.error. */
uint32_t virtio_net_reclaim_all(struct virtio_net *net);

/* The functions of net/port.h of the same names. */
uint32_t virtio_net_rx(struct port *port, unsigned queue, struct batch *batch, uint32_t n);
uint32_t virtio_net_room(struct port *port, unsigned queue, uint32_t n);
uint32_t virtio_net_tx(struct port *port, unsigned queue, const struct batch *batch);

/* ---- virtio_net_chain.c ---- */

/* A queue needs so many descriptors for a frame in several buffers, of whatever size (§2.7.5.3.1). */
#define VIRTIO_NET_CHAIN_QUEUE_MIN 64

/*
 * Moves up to `n` received frames to `batch`, which is not marked yet, where MRG_RXBUF was negotiated: up
 * to the first device error, which is left in rx.queue.error. Returns how many. No more than the pool has
 * buffers: each frame may want one when it is sent.
 */
uint32_t virtio_net_take_merged(struct virtio_net *net, struct batch *batch, uint32_t n);

/* Of the `n` frames, received by `from`, that virtqueue_stage_plain has staged into the tx ring and
 * that are not published yet: those that are chains are staged as such. Takes a buffer out of the pool
 * for each. */
void virtio_net_stage_chains(struct virtio_net *net, const struct port *from,
                             uint8_t *const *buffers, const uint32_t *lengths, uint32_t n);

/* ---- virtio_net_offload.c ---- */

/*
 * Makes a frame of a batch that has_offloads, received by `from`, fit to be sent: what the partner may
 * do stays in the header, what it cannot is done here. False: it may not leave; it was dropped and
 * counted.
 */
bool virtio_net_finish(struct virtio_net *net, const struct port *from, uint8_t *buffer,
                       uint32_t length);

/* The function of net/port.h of the same name. */
uint32_t virtio_net_segment_length(const struct port *port, const uint8_t *frame, uint32_t length);

/* Offloads that a command can cut: whether frames come in several buffers stays till the next reset. */
#define VIRTIO_NET_OFFLOADS_BY_COMMAND (~(uint32_t)PORT_OFFLOAD_CHAINS)

/* If more GUEST_* bits are in use than frames of this port may want by now: has the settings cut them,
 * by a command; or returns the reason of a reset, which cuts them too. NULL: all is well. _left are
 * those that may stay. */
const char *virtio_net_cut_offloads(struct virtio_net *net);
uint64_t virtio_net_offloads_left(const struct virtio_net *net);

/* ---- virtio_net_interrupt.c ---- */

/* After a reset, queues enabled: lets the device interrupt. If it cannot, a `warn`, and
 * port.can_interrupt is false. */
void virtio_net_enable_interrupts(struct virtio_net *net);

/* The functions of net/port.h of the same names. */
bool virtio_net_arm(struct port *port, unsigned queue, unsigned directions);
void virtio_net_disarm(struct port *port, unsigned queue);

/* ---- virtio_net_settings.c ---- */

/* The device has been reset: it is to be given all that is wanted of the port. */
void virtio_net_settings_restart(struct virtio_net *net);

/* Of a running device: takes one step towards what is wanted, if the device is ready for it. Returns
 * NULL, or the reason (a literal) for which it has to be reset. */
const char *virtio_net_settings_step(struct virtio_net *net);

/*
 * §5.1.6.5.4 "Gratuitous Packet Sending": the host wants the guest's addresses announced, as after a
 * migration. barewire has none of its own; those behind it are announced by their own traffic. So it
 * acknowledges, else the device would ask for ever, and sends nothing.
 */
void virtio_net_acknowledge_announcement(struct virtio_net *net);

/* ---- virtio_net_watch.c ---- */

/* Looks at a device in service. False: it is not well, which an `error` tells. A ring that it has
 * spoiled is marked in its queue. */
bool virtio_net_watch(struct virtio_net *net, uint64_t now_ns);

/* Only at its queues: a doorbell that is missing is rung. */
void virtio_net_look_at_queues(struct virtio_net *net, uint64_t now_ns);

/* The device has just begun to run. */
void virtio_net_watch_restart(struct virtio_net *net, uint64_t now_ns);

/* ---- virtio_net_describe.c ---- */

/* The functions of net/port.h of the same names. */
void virtio_net_describe(const struct port *port, struct port_description *description);
void virtio_net_count(const struct port *port, struct port_filling *filling);

#endif
