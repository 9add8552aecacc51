/*
 * The virtio network device (virtio 1.2 §5.1) as a port.
 *
 * A port's life: virtio_net_probe (reset, offers and configuration read), then through the port
 * interface negotiate (features, rings made), start (buffers posted, DRIVER_OK) and batches. A
 * device that breaks the rules is reset and comes back; one that does it ten times within a minute
 * is retired, and tried again after growing pauses. virtio_net.c tells it from top to bottom.
 */
#ifndef DRIVERS_VIRTIO_NET_H
#define DRIVERS_VIRTIO_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/pci/pci.h"
#include "drivers/virtio/virtio.h"
#include "drivers/virtio/virtio_net_control.h"
#include "drivers/virtio/virtqueue.h"
#include "net/port.h"

/* Stated mtus above this are not agreed to: buffers are one piece and one size. */
#define VIRTIO_NET_MTU_MAX 9216

#define VIRTIO_NET_REFUSAL 256 /* bytes of the text */

/* Descriptors of an rx or tx ring, unless the options say otherwise. QEMU 10 states 1024 for each card:
 * four times the memory, and four times the buffers that go through the cache. */
#define VIRTIO_NET_RING_USUAL 256

/* Whether a direction of a port is open. For tx also what happens to frames to be sent if it is not. */
enum virtio_net_gate {
    GATE_OPEN,
    GATE_WAITS,   /* has no room */
    GATE_SWALLOWS /* takes, counts and gives back */
};

/* One direction. What a burst needs of it fills two cache lines. */
struct virtio_net_queue {
    struct pool *pool;  /* rx: buffers come from it; tx: any of the core's */
    uint32_t posted;    /* rx: buffers that the device shall have */
    uint32_t low_water; /* rx: with so many left, the ring is refilled */
    uint32_t attend;    /* rx: with so many left, rx goes the long way: low_water, or always */
    uint32_t rung;      /* avail_idx of the queue when its doorbell was last rung */
    enum virtio_net_gate gate; /* rx: not open, nothing comes in */
    bool chained;              /* rx: MRG_RXBUF was negotiated */
    uint32_t hung;             /* tx: buffers in the ring that hang on others */
    struct virtqueue queue;
} __attribute__((aligned(CACHE_LINE)));

/* Commands of the control queue, in the order in which they are sent. Bit 1 << n stands for command n. */
enum virtio_net_setting {
    SETTING_PAIRS, /* of queues: one, with which each device begins; told all the same */
    SETTING_MAC,
    SETTING_OFFLOADS, /* fewer than were negotiated; a reset has other ways */
    SETTING_PROMISC,
    SETTING_ALLMULTI,
    SETTING_TABLE,
    SETTING_VLAN,         /* a command for each */
    SETTING_ANNOUNCE_ACK, /* no setting, but a command as they are */
    SETTINGS
};

/* How far the device has been brought to port.wanted. */
struct virtio_net_settings {
    uint32_t due;                 /* settings to be given to the device */
    uint32_t fresh;               /* of these: those that it was not asked for yet */
    enum virtio_net_setting sent; /* whose command is out, if one is */
    uint32_t vlan_next;           /* of the VLANs, to be given to the device */
    uint64_t offloads;            /* that it was told of by the last SETTING_OFFLOADS */
    struct mac_address mac;       /* likewise, SETTING_MAC */
    struct mac_address mac_kept;  /* the port's, if the device refuses that one */
    bool mac_made_up;             /* port.mac is ours, for want of a usable one of the device's */
    bool announce_ack_refused;    /* by the device, since its reset */
};

#define VIRTIO_NET_RESETS_MAX 10 /* within a minute; then the port is retired */

/* How a queue of a running device gets on, as it was last looked at. */
struct virtio_net_progress {
    uint32_t finished;    /* chains that the device had finished, counted as the queue counts */
    uint64_t moved_ns;    /* when that changed, or nothing waited; 0: just now */
    bool awaits_doorbell; /* it asked for one that was not rung */
    bool stalled;         /* that it does not move was told */
    uint32_t wrong;       /* audits in a row that found its ring spoiled */
};

/* The watch over a running device. Times are clock_ns. */
struct virtio_net_watch {
    uint64_t device_ns; /* when the device was last looked at, */
    uint64_t queues_ns; /* its queues were, */
    uint64_t link_ns;   /* and its link was */
    struct virtio_net_progress rx;
    struct virtio_net_progress tx;
};

/* What is known of the device's bad behaviour, and of resets. Times are clock_ns. */
struct virtio_net_recovery {
    const char *reason;                       /* of the reset that is under way or was last */
    uint64_t started_ns;                      /* when that was begun */
    uint32_t looks;                           /* how often its end was looked for */
    uint32_t faults;                          /* resets of which the device was the cause */
    uint64_t times_ns[VIRTIO_NET_RESETS_MAX]; /* of the last faults, a ring */
    uint64_t pause_ns;                        /* the last one of a retired port; doubles */
    uint64_t retry_ns;                        /* when it ends */
};

/* Which transport a device may be driven by. */
enum virtio_net_transport { TRANSPORT_AUTO, TRANSPORT_LEGACY, TRANSPORT_MODERN };

/* What is asked of a port before it is negotiated with. */
struct virtio_net_options {
    enum virtio_net_transport transport; /* AUTO: modern, else legacy */
    bool
        offloads; /* frames may leave it and come in with work left to do, where the others allow it */
    uint32_t rx_ring, tx_ring; /* descriptors, a power of two each; 0: VIRTIO_NET_RING_USUAL */
};

/* By the words in force. */
const struct virtio_net_options *virtio_net_options(void);

/* Where a port is in its life. port.reason has the same words. */
enum virtio_net_step {
    STEP_PROBING,    /* its device is being reset for the first time */
    STEP_FOUND,      /* what its device offers has been read */
    STEP_NEGOTIATED, /* and what is used of that is agreed */
    STEP_RUNNING,
    STEP_HALTED, /* neither receives nor takes frames, until it is resumed or its device is removed */
    STEP_RESETTING,
    STEP_RETIRED,   /* after too many resets, until it is tried again */
    STEP_UNPLUGGED, /* its device is gone */
    STEP_FAILED,    /* its device cannot be used */
    STEP_STOPPED,   /* for good: the machine ends */
    STEPS
};

struct virtio_net {
    struct port port; /* first: the port interface hands out its address */
    struct virtio_device virtio;
    struct interrupt_message message; /* by which the device interrupts, if it does so */
    struct virtio_net_queue rx;
    struct virtio_net_queue tx;
    struct virtio_net_control control;
    struct virtio_net_options options; /* for this device and for the next */
    struct port_setup setup;           /* as start was given it */
    enum virtio_net_step step;
    enum virtio_net_step before; /* to go back to if the device is refused; STEP_FOUND: none */
    uint16_t stated_mtu;         /* by the device, unchecked; 0: none */
    uint16_t stated_pairs;       /* of queues, likewise */
    uint16_t control_index;      /* number of the control queue, if CTRL_VQ was negotiated */
    uint32_t header_size;        /* bytes of the device header in front of each frame */
    uint32_t frame_room;         /* bytes of frame that its buffers have or may be made for */
    uint64_t
        guest_offloads; /* GUEST_* bits in use: those negotiated, or what a command left of them */
    bool link_up;       /* as the device last said */
    char refusal[VIRTIO_NET_REFUSAL]; /* why it cannot be used: "reason=… key=value" */
    struct virtio_net_settings settings;
    struct virtio_net_recovery recovery;
    struct virtio_net_watch watch;
    uint64_t errors[VIRTQUEUE_ERRORS]; /* by kind, since start */
};

/* True for a network device of virtio, transitional or modern, whether or not we can drive it. */
bool virtio_net_matches(const struct pci_device *pci);

/*
 * Takes a running port out of the loop's way without touching its device: nothing comes in, and those
 * who send there wait. What lies in its tx ring goes on leaving. Another port stays what it is.
 * virtio_net_resume lets it go on as if nothing had been.
 */
void virtio_net_halt(struct port *port);
void virtio_net_resume(struct port *port);

/*
 * The port's device is gone, for `reason` (a literal), and writes no more: all its buffers go back to
 * their pools, and the port is PORT_GONE (or stays PORT_DOWN). An `unplug` event tells.
 */
void virtio_net_remove(struct port *port, const char *reason);

/*
 * Makes port `id` out of the function `pci` (which must live as long as the port). Always returns a
 * port: one that cannot be used has had its `error` event and is PORT_DOWN, and keeps its number. Waits for the device's reset, a second at most. Start-up only; the port is never given back.
 */
struct port *virtio_net_probe(const struct pci_device *pci, unsigned id,
                              const struct virtio_net_options *options);

/*
 * The same in `net`, the caller's, which lives as long as the port, and without waiting, so that it
 * may be done between two rounds. The port is PORT_STARTING; virtio_net_probe_step, called again and
 * again, returns true once it can be negotiated with, or is PORT_DOWN.
 */
struct port *virtio_net_probe_begin(struct virtio_net *net, const struct pci_device *pci,
                                    unsigned id, const struct virtio_net_options *options);
bool virtio_net_probe_step(struct port *port);

/*
 * In the same way a new device, the function `pci`, for a port without one, which keeps number,
 * counters and settings. It is PORT_STARTING in the end, or, after an `error`, as it was before; and
 * so it is if the device is refused when it is negotiated with.
 */
void virtio_net_replace(struct port *port, const struct pci_device *pci);

#endif
