/*
 * Inside the virtio-net driver: what its parts know of each other. Everybody else uses the port
 * interface.
 *
 *     virtio_net.c            life: probe, start; the tables of functions
 *     virtio_net_negotiate.c  features, and what the configuration states
 *     virtio_net_queues.c     the rings: memory, making, enabling
 *     virtio_net_data.c       the data path
 *     virtio_net_offload.c    frames with something left to do on them; virtio_net_header.c judges them
 *     virtio_net_chain.c      frames in several buffers
 *     virtio_net_interrupt.c  interrupts, for a core that sleeps
 *     virtio_net_settings.c   receive filter and MAC address, over the control queue
 *     virtio_net_recovery.c   breaches, resets, retirement
 *     virtio_net_watch.c      the watch over a running device: its status, doorbells, rings
 *     virtio_net_plug.c       the device of a port goes, another one comes
 *     virtio_net_link.c       link down and up, and announcements
 *     virtio_net_rewire.c     other lanes for a running port: its tx ring is drained first
 */
#ifndef DRIVERS_VIRTIO_NET_INTERNAL_H
#define DRIVERS_VIRTIO_NET_INTERNAL_H

#include "drivers/virtio/virtio_net.h"

static inline struct virtio_net *virtio_net_of(struct netdev *dev)
{
    return (struct virtio_net *)dev; /* its first member */
}

static inline const struct virtio_net *virtio_net_of_const(const struct netdev *dev)
{
    return (const struct virtio_net *)dev;
}

/* ---- virtio_net.c ---- */

/* The tables of functions: in service; in service with the link down (what is to go out is counted and
 * given back); both where frames may be chains; while it is being reset (nothing comes in, and the lanes that
 * lead to it wait); out of service (what is to go out is counted and given back). */
extern const struct netdev_ops virtio_net_ops;
extern const struct netdev_ops virtio_net_down_ops;
extern const struct netdev_ops virtio_net_chain_ops;
extern const struct netdev_ops virtio_net_chain_down_ops;
extern const struct netdev_ops virtio_net_waiting_ops;
extern const struct netdev_ops virtio_net_stopped_ops;

/* The device cannot be used, and is told so: `format` is "reason=… key=value" of the `error` event.
 * The port is FAILED. */
__attribute__((format(printf, 2, 3))) void virtio_net_refuse(struct virtio_net *net,
                                                             const char *format, ...);

/* Takes hold of a device and asks it for a reset: the port is PROBING. FAILED after an `error`. */
void virtio_net_open(struct virtio_net *net, const struct pci_device *pci);

/* From a device that is configured to one that is live (§3.1.1 steps 7 and 8). False after an `error`
 * event: the device is FAILED and so is the port. */
bool virtio_net_go_live(struct virtio_net *net);

/* The port is in service (again): state and table of functions. */
void virtio_net_run(struct virtio_net *net);

/* ---- virtio_net_negotiate.c ---- */

/*
 * From a device that has been reset to one that is configured (§3.1.1 steps 2 to 6): _look reads
 * what it offers and states, and net->netdev says what its frames may want and what it can do for
 * others; _agree negotiates within net->offloads and net->frame_room, and makes the rings.
 * _configure is both. False after an `error` event: the device is FAILED and so is the port.
 */
bool virtio_net_look(struct virtio_net *net);
bool virtio_net_agree(struct virtio_net *net);
bool virtio_net_configure(struct virtio_net *net);

/* The function of net/netdev.h of the same name. */
bool virtio_net_negotiate(struct netdev *dev, uint32_t offloads, uint32_t frame_max);

/* ---- virtio_net_queues.c ---- */

/* How many of the `stated` descriptors of queue `index` a new ring takes: as the options say, or all
 * where the transport leaves no choice. */
uint32_t virtio_net_ring_size(const struct virtio_net *net, uint16_t index, uint32_t stated);

/* The rings that what was negotiated wants: at the first time they are allocated, later on made anew
 * where they are. False after an `error` event. */
bool virtio_net_make_queues(struct virtio_net *net);

/* Tells the device where they are. False after an `error` event. */
bool virtio_net_enable_queues(struct virtio_net *net);

/* Makes the control queue anew after it alone was reset, and enables it. False if the device does not
 * take it. */
bool virtio_net_renew_control(struct virtio_net *net);

/* ---- virtio_net_data.c ---- */

/* Offers as many buffers to the device as net->setup says (at most as many as the ring and the pool
 * have), without a doorbell. Before DRIVER_OK. */
void virtio_net_fill_rx(struct virtio_net *net);

/* True if the rx ring is to be refilled, and can be. */
bool virtio_net_wants_refill(const struct virtio_net_queue *rx);

/* An rx ring of the lane whose frames have at most `payload_max` bytes: the bound for odd ones. */
void virtio_net_set_payload_max(struct virtio_net *net, uint32_t payload_max);

/* Buffers that the device has sent go back to the pool they came from. On a breach, tx.queue.error
 * is set, and that is all. */
void virtio_net_reclaim_tx(struct virtio_net *net);

/* The functions of net/netdev.h of the same names. */
uint32_t virtio_net_rx_batch(struct netdev *dev, unsigned queue, struct batch *batch, uint32_t n);
uint32_t virtio_net_tx_room(struct netdev *dev, unsigned queue, uint32_t n);
uint32_t virtio_net_tx_batch(struct netdev *dev, unsigned queue, const struct batch *batch);

/* The same where frames come in in several buffers, or are sent so, or both. */
uint32_t virtio_net_rx_batch_merged(struct netdev *dev, unsigned queue, struct batch *batch,
                                    uint32_t n);
uint32_t virtio_net_tx_batch_chained(struct netdev *dev, unsigned queue, const struct batch *batch);

uint32_t virtio_net_tx_pending(struct netdev *dev);

/* The same where nothing comes in: `waiting` has no room, `stopped` takes, counts and gives back. */
uint32_t virtio_net_no_rx_batch(struct netdev *dev, unsigned queue, struct batch *batch,
                                uint32_t n);
uint32_t virtio_net_waiting_tx_room(struct netdev *dev, unsigned queue, uint32_t n);
uint32_t virtio_net_stopped_tx_room(struct netdev *dev, unsigned queue, uint32_t n);
uint32_t virtio_net_stopped_tx_batch(struct netdev *dev, unsigned queue, const struct batch *batch);

/* ---- virtio_net_chain.c ---- */

/* A queue needs so many descriptors for a frame in several buffers, of whatever size (§2.7.5.3.1). */
#define VIRTIO_NET_CHAIN_QUEUE_MIN 64

/*
 * Moves up to `n` received frames to `batch` where MRG_RXBUF was negotiated, up to the first breach,
 * which is left in rx.queue.error. Returns how many. No more than the pool has buffers: each frame may
 * want one when it is sent.
 */
uint32_t virtio_net_take_merged(struct virtio_net *net, struct batch *batch, uint32_t n);

/* Of the `n` frames that virtqueue_put has staged into the tx ring and not shown yet: those that are
 * chains are staged as such. Takes a buffer out of the pool for each. */
void virtio_net_stage_chains(struct virtio_net *net, uint8_t *const *buffers,
                             const uint32_t *lengths, uint32_t n);

/* ---- virtio_net_offload.c ---- */

/* What is looked at of the headroom, and cleared: the longest header, and what fills it up to a
 * power of two. */
#define VIRTIO_NET_HDR_ROOM 16

/*
 * Makes a frame of a tx batch whose header may not be all zero fit to be sent: what the partner may
 * do stays in the header, what it cannot is done here. False: it may not leave; it was dropped and
 * counted.
 */
bool virtio_net_finish(struct virtio_net *net, uint8_t *buffer, uint32_t length);

/* The function of net/netdev.h of the same name. */
uint32_t virtio_net_segment_length(const struct netdev *dev, const uint8_t *frame, uint32_t length);

/* Offloads that a command can cut: whether frames come in several buffers stays till the next reset. */
#define VIRTIO_NET_OFFLOADS_BY_COMMAND (~(uint32_t)NETDEV_OFFLOAD_CHAINS)

/* If more GUEST_* bits are in use than frames of this port may want by now: begins to cut them, by a
 * command, else by a reset. _left are those that may stay. */
void virtio_net_cut_offloads(struct virtio_net *net);
uint64_t virtio_net_offloads_left(const struct virtio_net *net);

/* ---- virtio_net_interrupt.c ---- */

/* After a reset, queues enabled: lets the device interrupt. If it cannot, a `warn`, and
 * netdev.announces is false. */
void virtio_net_enable_interrupts(struct virtio_net *net);

/* The functions of net/netdev.h of the same names. */
void virtio_net_acknowledge(struct netdev *dev);
bool virtio_net_arm_rx(struct netdev *dev, unsigned queue);
bool virtio_net_arm_tx(struct netdev *dev, unsigned queue);
void virtio_net_disarm_rx(struct netdev *dev, unsigned queue);
void virtio_net_disarm_tx(struct netdev *dev, unsigned queue);

/* ---- virtio_net_settings.c ---- */

/* The functions of net/netdev.h of the same names. */
bool virtio_net_want_filter(struct netdev *dev, bool promisc, bool allmulti);
bool virtio_net_want_mac_addr(struct netdev *dev, struct mac_address mac);

/* The functions of net/netdev.h of the same names. Each waits for the device, a second at most. */
bool virtio_net_set_promisc(struct netdev *dev, bool on);
bool virtio_net_set_allmulti(struct netdev *dev, bool on);
bool virtio_net_set_mac_addr(struct netdev *dev, struct mac_address mac);
bool virtio_net_add_address(struct netdev *dev, struct mac_address mac);
bool virtio_net_add_vlan(struct netdev *dev, uint16_t id);

/* True for an address that one station may have: neither a group's nor zero. */
bool virtio_net_mac_usable(const struct mac_address *mac);

/* The device has a usable address of its own by now. */
void virtio_net_forget_made_up_mac(struct virtio_net *net);

/* After a reset: starts to give the device the settings it had, without waiting for it; each call of
 * _go_on takes one step, if the device is ready for it. */
void virtio_net_settings_restart(struct virtio_net *net);
void virtio_net_settings_step(struct virtio_net *net);

/* ---- virtio_net_recovery.c ---- */

/* The breach that `queue` has met is counted and told, and the port is reset. */
void virtio_net_device_error(struct virtio_net *net, const struct virtqueue *queue);

/*
 * Takes a port in service out of it to reset its device, for `reason`, which stays the caller's (a
 * literal). What lies in its tx ring is lost and counted. `fault`: the device is the cause, and after
 * too many of these the port is retired.
 */
void virtio_net_begin_reset(struct virtio_net *net, const char *reason, bool fault);

/* Once the device writes no more: the buffers it had go back to the lanes they belong to, those of
 * the rx ring to the port's own, those of the tx ring to the one that leads here. */
void virtio_net_return_buffers(struct virtio_net *net);

/* Chains that the device has sent are taken back, all of them; returns how many it still has. */
uint32_t virtio_net_reclaim_all(struct virtio_net *net);

/* The functions of net/netdev.h of the same names. */
bool virtio_net_reset(struct netdev *dev);
void virtio_net_service(struct netdev *dev, uint64_t now_ns);

/* ---- virtio_net_watch.c ---- */

/* Rings the doorbell of a queue, and records for which chains. Data path. */
void virtio_net_ring(const struct virtio_net *net, struct virtio_net_queue *queue);

/* Looks at a device in service; it is being reset afterwards if it is not well. */
void virtio_net_watch(struct virtio_net *net, uint64_t now_ns);

/* Only at its queues: a doorbell that is missing is rung. */
void virtio_net_look_at_queues(struct virtio_net *net, uint64_t now_ns);

/* The device has just begun to run. */
void virtio_net_watch_anew(struct virtio_net *net, uint64_t now_ns);

/* The function of net/netdev.h of the same name. */
bool virtio_net_hurries(const struct netdev *dev);

/* ---- virtio_net_link.c ---- */

/* Reads the link's state of a device that has just been configured; tells if it is another one than
 * before a reset. */
void virtio_net_link_refresh(struct virtio_net *net);

/* Looks after the link of a running port, and acknowledges announcements. */
void virtio_net_link_watch(struct virtio_net *net, uint64_t now_ns);

/* ---- virtio_net_rewire.c ---- */

/* The function of net/netdev.h of the same name. */
void virtio_net_rewire(struct netdev *dev, const struct netdev_setup *setup);

/* Puts a halted port back into service, or lets it drain first if it was rewired meanwhile. */
void virtio_net_run_or_drain(struct virtio_net *net);

/* A draining port: looks whether its tx ring is empty by now, or its time is up. */
void virtio_net_drain(struct virtio_net *net, uint64_t now_ns);

#endif
