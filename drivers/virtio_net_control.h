/*
 * The control queue of the network device (virtio 1.2 §5.1.6.5): one command at a time, sent by one
 * call and looked after by another, so that a device that takes its time holds up nobody. Not for
 * the data path.
 */
#ifndef DRIVERS_VIRTIO_NET_CONTROL_H
#define DRIVERS_VIRTIO_NET_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/virtio.h"
#include "drivers/virtqueue.h"
#include "net/netdev.h"

/* Command, two tables, answer: the longest command of the fixed legacy layout. */
#define VIRTIO_NET_CONTROL_CHAIN 4

enum virtio_net_control_result {
    CONTROL_PENDING, /* sent, not answered yet */
    CONTROL_OK,
    CONTROL_REFUSED, /* the device answered, but not with OK */
    CONTROL_SILENT,  /* no answer within VIRTIO_PATIENCE_NS; the queue is not used again */
    CONTROL_BROKEN   /* a breach: see queue.breach */
};

/* What the device reads and writes. The layout is the fixed one that devices without ANY_LAYOUT
 * want; the others take it as well. */
struct virtio_net_control_buffer {
    struct virtio_net_ctrl_hdr command;
    uint8_t data[6];          /* one byte of on/off, or a MAC address */
    uint32_t unicast_entries; /* MAC_TABLE_SET: two empty tables */
    uint32_t multicast_entries;
    uint8_t ack;
};

struct virtio_net_control {
    const struct virtio_device *device;
    struct virtqueue queue;
    struct virtio_net_control_buffer *buffer;
    uint64_t sent_ns; /* when the command that is out was sent */
    uint32_t looks;   /* how often its answer was looked for */
    bool pending;     /* a command is out, so the buffer is the device's */
    bool silent;      /* and it was given up: for good, until the device is reset */
};

/* Each of these sends a command (none may be pending) and returns CONTROL_PENDING, or why not. */

/* VIRTIO_NET_CTRL_RX `command` (…_PROMISC, …_ALLMULTI) on or off. */
enum virtio_net_control_result virtio_net_control_rx_mode(struct virtio_net_control *control,
                                                          uint8_t command, bool on);

/* Empties the table of addresses that are received besides the port's own. */
enum virtio_net_control_result virtio_net_control_clear_table(struct virtio_net_control *control);

enum virtio_net_control_result virtio_net_control_set_mac(struct virtio_net_control *control,
                                                          struct mac_address mac);

/* Tells the device that its wish for an announcement has been seen. */
enum virtio_net_control_result virtio_net_control_announce_ack(struct virtio_net_control *control);

/* Looks for the answer to the command that is pending; never waits. */
enum virtio_net_control_result virtio_net_control_poll(struct virtio_net_control *control);

/* "ok", "refused", "no-answer", "breach": reason= of the warn. */
const char *virtio_net_control_result_name(enum virtio_net_control_result result);

#endif
