/*
 * The control queue of the network device (virtio 1.2 §5.1.6.5): one command at a time, sent by one
 * call and looked after by another, so that a device that takes its time holds up nobody. Not for
 * the data path.
 */
#ifndef DRIVERS_VIRTIO_NET_CONTROL_H
#define DRIVERS_VIRTIO_NET_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/virtio/virtio.h"
#include "drivers/virtio/virtqueue.h"
#include "net/port.h"

/* Command, two tables, answer: the longest command of the fixed legacy layout. */
#define VIRTIO_NET_CONTROL_CHAIN 4

enum virtio_net_control_result {
    CONTROL_PENDING, /* sent, not answered yet */
    CONTROL_OK,
    CONTROL_REFUSED, /* the device answered, but not with OK */
    CONTROL_SILENT, /* no answer within VIRTIO_TIMEOUT_NS; the queue is not used until it is reset */
    CONTROL_BROKEN  /* a device error: see queue.error */
};

/* A table of §5.1.6.5.2: struct virtio_net_ctrl_mac, with room for as many as we ever give. */
struct virtio_net_mac_table {
    uint32_t entries;
    struct mac_address macs[PORT_FILTER_MAX];
};

/* What the device reads and writes. The layout is the fixed one that devices without ANY_LAYOUT
 * want; the others take it as well. */
struct virtio_net_control_buffer {
    struct virtio_net_ctrl_hdr command;
    uint8_t data[8]; /* on or off, a MAC address, a number of pairs, a VLAN, or offloads */
    struct virtio_net_mac_table unicast;
    struct virtio_net_mac_table multicast;
    uint8_t ack;
};

struct virtio_net_control {
    const struct virtio_device *device;
    struct virtqueue queue;
    struct virtio_net_control_buffer *buffer;
    uint64_t sent_ns; /* when the command that is out was sent */
    uint32_t looks;   /* how often its answer was looked for */
    uint32_t slots;   /* of the queue that it fills */
    bool pending;     /* a command is out, so the buffer is the device's */
    bool silent;      /* and it was given up, until the queue or the device is reset */
    bool resetting;   /* the queue alone is being reset; sent_ns and looks are of that */
    bool was_reset;   /* once; a second time it stays silent */
};

/* Each of these sends a command (none may be pending) and returns CONTROL_PENDING, or why not. */

/* So many pairs of queues are used, at least 1 and not more than there are. Needs MQ. */
enum virtio_net_control_result virtio_net_control_set_pairs(struct virtio_net_control *control,
                                                            uint16_t pairs);

/* VIRTIO_NET_CTRL_RX `command` (…_PROMISC, …_ALLMULTI) on or off. */
enum virtio_net_control_result virtio_net_control_rx_mode(struct virtio_net_control *control,
                                                          uint8_t command, bool on);

/* Gives the device the addresses that are received besides the port's own, in place of those that it
 * has. */
enum virtio_net_control_result virtio_net_control_set_table(struct virtio_net_control *control,
                                                            const struct port_addresses *stations,
                                                            const struct port_addresses *groups);

/* Frames with the tag of VLAN `id` are received, too. Needs CTRL_VLAN. */
enum virtio_net_control_result virtio_net_control_add_vlan(struct virtio_net_control *control,
                                                           uint16_t id);

/* The GUEST_* offloads that are in use from now on, a set of feature bits among those that were
 * negotiated. Needs CTRL_GUEST_OFFLOADS. */
enum virtio_net_control_result virtio_net_control_set_offloads(struct virtio_net_control *control,
                                                               uint64_t offloads);

enum virtio_net_control_result virtio_net_control_set_mac(struct virtio_net_control *control,
                                                          struct mac_address mac);

/* Tells the device that its wish for an announcement has been seen. */
enum virtio_net_control_result virtio_net_control_announce_ack(struct virtio_net_control *control);

/*
 * A queue that has fallen silent is reset once, it alone, if the device can do that (RING_RESET):
 * frames go on meanwhile. _reset asks for it, and false means that it can not be had. Then, as long
 * as `resetting` is set, _look tells how it goes: true once the device has let go of the queue,
 * which can be made anew then. It never waits, and gives up after VIRTIO_TIMEOUT_NS.
 */
bool virtio_net_control_reset(struct virtio_net_control *control);
bool virtio_net_control_look(struct virtio_net_control *control);

/* Looks for the answer to the command that is pending; never waits. */
enum virtio_net_control_result virtio_net_control_poll(struct virtio_net_control *control);

/* "ok", "refused", "no-answer", "breach": reason= of the warn. */
const char *virtio_net_control_result_name(enum virtio_net_control_result result);

#endif
