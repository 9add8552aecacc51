/*
 * The virtio network device (virtio 1.2 §5.1) as a port.
 *
 * A port's life: virtio_net_probe (reset, offers and configuration read), then through the port
 * interface negotiate (features, rings made), start (buffers posted, DRIVER_OK) and batches. A
 * device that breaks the rules is reset and comes back; one that does it ten times within a minute
 * is retired, and tried again after growing pauses.
 */
#ifndef DRIVERS_VIRTIO_NET_H
#define DRIVERS_VIRTIO_NET_H

#include <stdbool.h>
#include <stdint.h>

#include <machine/settings.h>

#include "drivers/pci/pci.h"
#include "drivers/virtio/virtio.h"
#include "drivers/virtio/virtio_net_control.h"
#include "drivers/virtio/virtqueue.h"
#include "net/netdev.h"

/* Stated mtus above this are not agreed to: buffers are one piece and one size. */
#define VIRTIO_NET_MTU_MAX 9216

/* Descriptors of an rx or tx ring, unless the options say otherwise. QEMU 10 states 1024 for each card:
 * four times the memory, and four times the buffers that go through the cache. */
#define VIRTIO_NET_RING_USUAL 256

/* One direction. */
/* What a burst needs of it fills two cache lines. */
struct virtio_net_queue {
    uint64_t packets;
    struct pool *pool; /* the lane's */
    uint64_t bytes;
    uint32_t posted;    /* rx: buffers that the device shall have */
    uint32_t low_water; /* rx: with so many left, the ring is refilled */
    uint32_t rung;      /* avail_idx of the queue when its doorbell was last rung */
    bool chained;       /* rx: MRG_RXBUF was negotiated; tx: the pool has chains */
    struct virtqueue queue;
} __attribute__((aligned(CACHE_LINE)));

/* The settings that a reset must not lose, in the order in which the device gets them. */
enum virtio_net_setting {
    SETTING_PAIRS, /* of queues: one, with which each device begins; told all the same */
    SETTING_MAC,
    SETTING_OFFLOADS, /* wanted only until the device has been told: a reset has other ways */
    SETTING_PROMISC,
    SETTING_ALLMULTI,
    SETTING_TABLE,
    SETTING_VLAN,         /* a command for each */
    SETTING_ANNOUNCE_ACK, /* no setting, but a command as they are; wanted until it was done */
    SETTINGS
};

struct virtio_net_settings {
    bool wanted[SETTINGS]; /* asked for by somebody; else it is left as the device has it */
    bool promisc;
    bool allmulti;
    struct mac_address mac;
    bool mac_made_up;            /* `mac` is ours, for want of a usable one of the device's */
    struct mac_address mac_kept; /* the port's if the device refuses that one */
    struct virtio_net_mac_table unicast; /* received besides the port's own */
    struct virtio_net_mac_table multicast;
    uint16_t vlans[NETDEV_FILTER_MAX];
    uint32_t vlan_count;
    uint32_t vlan_next;           /* of these, to be given to the device */
    enum virtio_net_setting next; /* to be given to the device again; SETTINGS: all done */
    uint64_t offloads;            /* that it was told of by the last SETTING_OFFLOADS */
    bool again;                   /* something was changed meanwhile: once more from the start */
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

/* What is known of the device's bad behaviour, and of resets and drains. Times are clock_ns. */
struct virtio_net_recovery {
    const char *reason;                       /* of the reset that is under way or was last */
    uint64_t started_ns;                      /* when that was begun */
    uint32_t looks;                           /* how often its end was looked for */
    uint32_t resets;                          /* since start, whoever was the cause */
    uint32_t faults;                          /* those of which the device was the cause */
    uint64_t times_ns[VIRTIO_NET_RESETS_MAX]; /* of the last faults, a ring */
    uint64_t pause_ns;                        /* the last one of a retired port; doubles */
    uint64_t retry_ns;                        /* when it ends */
    uint64_t watched_ns;                      /* when the running device was last looked at, */
    uint64_t looked_ns;                       /* and when its queues were */
    struct virtio_net_progress rx_progress;
    struct virtio_net_progress tx_progress;
    uint64_t doorbell_rescues; /* doorbells that were missing, since start */
};

struct virtio_net_link {
    bool up;            /* as it was last read */
    uint64_t read_ns;   /* when that was */
    uint64_t swallowed; /* frames that were to leave while it was down; also in tx_dropped */
    uint64_t announces; /* how often the device has asked for an announcement */
};

/* What is asked of a port before it is negotiated with. */
struct virtio_net_options {
    enum settings_transport transport; /* AUTO: modern, else legacy */
    bool vlans; /* add_vlan will be called; till then nothing with a tag comes in (§5.1.6.5.3) */
    bool
        offloads; /* frames may leave it and come in with work left to do, where the others allow it */
    uint32_t rx_ring, tx_ring; /* descriptors, a power of two each; 0: VIRTIO_NET_RING_USUAL */
};

struct virtio_net {
    struct netdev netdev; /* first: the port interface hands out its address */
    struct virtio_device virtio;
    struct interrupt_message message; /* by which the device interrupts, if it does so */
    struct virtio_net_queue rx;
    struct virtio_net_queue tx;
    struct virtio_net_control control;
    struct virtio_net_options options; /* for this device and for the next */
    struct netdev_setup setup;         /* as start was given it */
    struct mac_address mac;
    uint16_t stated_mtu;    /* by the device, unchecked; 0: none */
    uint16_t stated_pairs;  /* of queues, likewise */
    uint16_t control_index; /* number of the control queue, if CTRL_VQ was negotiated */
    uint32_t header_size;   /* bytes of the device header in front of each frame */
    uint32_t offloads;      /* that its frames may come in with, if the device gives them */
    uint32_t frame_room;    /* bytes of frame that its buffers have or may be made for */
    uint64_t
        guest_offloads; /* GUEST_* bits in use: those negotiated, or what a command left of them */
    enum netdev_state
        before; /* the state to go back to if the device is refused; NETDEV_FOUND: none */
    struct virtio_net_settings settings;
    struct virtio_net_recovery recovery;
    struct virtio_net_link link;
    uint64_t tx_dropped;
    uint64_t tx_bad_offload;             /* of these: the header was a lie, */
    uint64_t tx_no_offload;              /* or asked for more than the device offers */
    uint64_t breaches[VIRTQUEUE_ERRORS]; /* by kind, since start */
};

/* True for a network device of virtio, transitional or modern, whether or not we can drive it. */
bool virtio_net_matches(const struct pci_device *pci);

/*
 * Takes a running port out of the loop's way without touching its device (NETDEV_HALTED): nothing
 * comes in, and those who send there wait. What lies in its tx ring goes on leaving. Another state
 * stays what it is. virtio_net_resume lets it go on as if nothing had been.
 */
void virtio_net_halt(struct netdev *dev);
void virtio_net_resume(struct netdev *dev);

/*
 * The port's device is gone, for `reason` (a literal), and writes no more: all its buffers go back to
 * their pools, and the port is NETDEV_UNPLUGGED (or stays NETDEV_FAILED). An `unplug` event tells.
 */
void virtio_net_remove(struct netdev *dev, const char *reason);

/*
 * Makes port `id` out of the function `pci` (which must live as long as the port). Always returns a
 * port: one that cannot be used has had its `error` event and state NETDEV_FAILED, and keeps its
 * number. Waits for the device's reset, a second at most. Start-up only; the port is never given back.
 */
struct netdev *virtio_net_probe(const struct pci_device *pci, unsigned id,
                                const struct virtio_net_options *options);

/*
 * The same in `net`, the caller's, which lives as long as the port, and without waiting, so that it
 * may be done between two rounds: the port is NETDEV_PROBING until virtio_net_probe_step, called
 * again and again, returns true.
 */
struct netdev *virtio_net_probe_begin(struct virtio_net *net, const struct pci_device *pci,
                                      unsigned id, const struct virtio_net_options *options);
bool virtio_net_probe_step(struct netdev *dev);

/*
 * In the same way a new device, the function `pci`, for a port without one, which keeps number,
 * counters and settings. It is NETDEV_FOUND in the end, or, after an `error`, as it was before; and
 * so it is if the device is refused when it is negotiated with.
 */
void virtio_net_replace(struct netdev *dev, const struct pci_device *pci);

#endif
