/*
 * The port interface: what a driver offers and all that net/ knows of it. The table of functions
 * has ixy's shape; the count that a batch function returns is the transfer of ownership.
 *
 * A port is used by the one core that runs its lanes, so nothing here locks.
 */
#ifndef NET_NETDEV_H
#define NET_NETDEV_H

#include <stdbool.h>
#include <stdint.h>

#include "net/batch.h"
#include "net/pool.h"

#define NETDEV_PORTS_MAX 32
#define NETDEV_QUEUES_MAX 1 /* of each direction, for a port of any driver so far */
#define NETDEV_ADDRESS_TEXT 24
#define NETDEV_FEATURES_TEXT 440

/*
 * Offloads: work that is left on a frame for whoever sends it on, as a set of these bits. Its checksum
 * is to be finished, or it is to be cut into segments as well. What a frame wants stands in front of
 * it, in the form of the driver that received it.
 */
#define NETDEV_OFFLOAD_CSUM 0x01
#define NETDEV_OFFLOAD_TSO4 0x02     /* TCP segments over IPv4 */
#define NETDEV_OFFLOAD_TSO6 0x04     /* TCP segments over IPv6 */
#define NETDEV_OFFLOAD_ECN 0x08      /* those with congestion marks, too */
#define NETDEV_OFFLOAD_UFO 0x10      /* UDP datagrams into fragments */
#define NETDEV_OFFLOAD_USO4 0x20     /* many UDP datagrams over IPv4 in one */
#define NETDEV_OFFLOAD_USO6 0x40     /* the same over IPv6 */
#define NETDEV_OFFLOAD_SEGMENTS 0x7e /* all by which a frame may be longer than its wire allows */
#define NETDEV_OFFLOAD_CHAINS 0x80   /* frames that lie in several buffers (net/batch.h) */

/* Bytes of the largest frame: with room for two VLAN tags and what else providers put around 1500
 * bytes; a jumbo frame; and one of 64 KiB that is still to be cut. */
#define NETDEV_FRAME_USUAL 1600
#define NETDEV_FRAME_JUMBO 9022
#define NETDEV_FRAME_SEGMENTS 65552

/* Buffers for `frame_max` bytes that the longest frame needs. */
static inline uint32_t netdev_chain_max(uint32_t frame_max)
{
    return (NETDEV_FRAME_SEGMENTS + frame_max - 1) / frame_max;
}

#define NETDEV_FILTER_MAX 16 /* addresses of a port's filter, and VLANs, each */
#define NETDEV_VLAN_MAX 4094

struct mac_address {
    uint8_t bytes[ETHERNET_ADDRESS_SIZE];
};

/* Counted since start, frames and frame bytes (without FCS and device header). */
struct netdev_stats {
    uint64_t rx_packets; /* frames handed to the lane */
    uint64_t rx_bytes;
    uint64_t tx_packets; /* frames taken over from a lane and given to the device */
    uint64_t tx_bytes;
    uint64_t tx_dropped;       /* frames it took over and could not or can no longer send */
    uint64_t tx_link_down;     /* those of them that were to leave while the link was down, */
    uint64_t tx_bad_offload;   /* that wanted something done which they are not made for, */
    uint64_t tx_no_offload;    /* or which the port cannot do */
    uint64_t resets;           /* of the device, since it was started */
    uint64_t announces;        /* that the host has asked for, and that were acknowledged */
    uint64_t doorbell_rescues; /* doorbells that were missing, and were rung by `service` */
};

/* Where a port's buffers are, and how its device is reached. */
struct netdev_status {
    const char *transport;      /* static text */
    uint32_t rx_filled;         /* buffers that the device has, to receive into */
    uint32_t tx_filled;         /* frames that have not come back from it, */
    uint32_t tx_buffers;        /* and buffers: more where frames lie in several */
    const struct pool *tx_pool; /* where the latter will return to; NULL: never started */
};

/* What a lane wants of its rx queue. */
struct netdev_rx_setup {
    struct pool *pool;    /* where buffers come from */
    uint32_t buffers;     /* to post to the device, at most rx_size */
    uint32_t payload_max; /* bytes; a batch with a frame that has more is marked as odd */
    uint32_t offloads; /* that frames may come in with from now on: the port cuts back to these, */
};                     /* but takes none in addition before it is negotiated with again */

/* What a lane wants of its tx queue. */
struct netdev_tx_setup {
    struct pool *pool;         /* where buffers return to */
    const struct netdev *from; /* where its frames come in; NULL: they want nothing done to them */
};

/* What a port is started with. A direction without a lane has count 0. */
struct netdev_setup {
    unsigned rx_queues;
    unsigned tx_queues;
    struct netdev_rx_setup rx[NETDEV_QUEUES_MAX];
    struct netdev_tx_setup tx[NETDEV_QUEUES_MAX];
};

struct netdev;

struct netdev_ops {
    const char *driver; /* driver= of the port event */

    /*
     * From NETDEV_FOUND to NETDEV_PROBED: agrees with the device on how it is used. Frames may come
     * in with `offloads` and no others, and its buffers may be for frames of up to `frame_max`
     * bytes (at least NETDEV_FRAME_USUAL); what becomes of both stands in rx_offloads and frame_max
     * then. Returns false after an `error` event: NETDEV_FAILED, or the state of before where a new
     * device was to take the place of one that went. Not for the data path.
     */
    bool (*negotiate)(struct netdev *dev, uint32_t offloads, uint32_t frame_max);

    /*
     * Brings the port into service: buffers posted, device running. Refuses, naming the number, more
     * queues than the port has. Returns false after an `error` event; the port is out then
     * (NETDEV_FAILED). Start-up only. Pools stay the lane's; what is posted is the device's.
     */
    bool (*start)(struct netdev *dev, const struct netdev_setup *setup);

    /*
     * From now on the port's lanes are as `setup` says: another pool may stand behind a tx queue,
     * another payload_max, other offloads; all the rest is as at the start. Frames that a tx ring
     * still holds are another lane's. They are sent and their buffers go back to the pool they came
     * from before the first frame of the new lane gets room: until then the port is
     * NETDEV_DRAINING, for a tenth of a second at most; what is left then counts as tx_dropped, and
     * the port is reset. So a buffer always comes back to the lane that it was taken from. Between
     * two rounds; never waits.
     */
    void (*rewire)(struct netdev *dev, const struct netdev_setup *setup);

    /*
     * Frames that come in on rx queue `queue` may have so many bytes behind the Ethernet header from
     * now on, as in the setup: the port that the lane leads to has come back with another mtu.
     * Between two rounds.
     */
    void (*set_payload_max)(struct netdev *dev, unsigned queue, uint32_t payload_max);

    /*
     * Resets the device because somebody asked for it; a retired port is tried again at once. False
     * if there is nothing to reset: it was never in service, or is being reset. What its tx ring
     * holds counts as tx_dropped. Between two rounds; never waits, the `reset` event tells the end.
     */
    bool (*reset)(struct netdev *dev);

    /*
     * Fills `batch` with up to `n` (at most BURST) received frames of rx queue `queue`, and returns
     * its count; the caller owns them. It may be fewer than there are: the next call gives the rest.
     * Buffers to refill the ring come out of the queue's pool. Data path.
     */
    uint32_t (*rx_batch)(struct netdev *dev, unsigned queue, struct batch *batch, uint32_t n);

    /*
     * How many frames tx_batch would take now, at most `n` (at most BURST). Buffers that the device
     * is done with return to the queue's pool here, when chains or buffers run short. Data path,
     * every round.
     */
    uint32_t (*tx_room)(struct netdev *dev, unsigned queue, uint32_t n);

    /*
     * Sends the frames of `batch`: the first r of them, r being the result, are the driver's now,
     * the others stay the caller's. The bytes in front of a frame are the driver's to overwrite
     * (its header goes there). One doorbell at most. Data path.
     */
    uint32_t (*tx_batch)(struct netdev *dev, unsigned queue, const struct batch *batch);

    /*
     * Bytes of the largest frame that `frame`, `length` bytes long and received by this port, is to be
     * cut into; `length` if it is to stay whole. Data path, for frames above an mtu.
     */
    uint32_t (*segment_length)(const struct netdev *dev, const uint8_t *frame, uint32_t length);

    /*
     * Takes back what the device has announced so far, so that it announces anew what comes from now
     * on; before queues are asked, and never once one of them was: that announcement would be lost.
     * For a core about to sleep.
     */
    void (*acknowledge)(struct netdev *dev);

    /* True if the port may need `service` within milliseconds, for something that no interrupt announces.
     * For a core about to sleep. */
    bool (*hurries)(const struct netdev *dev);

    /*
     * Asks for an interrupt when a frame comes in on rx queue `queue`, or when tx queue `queue`,
     * which had none, has room; it may be asked for again. Then, and not before, looks whether that
     * is so already, and if it is returns true: no interrupt may come then. True also while the
     * port has work that no interrupt announces. For a core about to sleep.
     */
    bool (*arm_rx)(struct netdev *dev, unsigned queue);
    bool (*arm_tx)(struct netdev *dev, unsigned queue);

    /* No interrupts from the queue any more; one that is under way may still come. */
    void (*disarm_rx)(struct netdev *dev, unsigned queue);
    void (*disarm_tx)(struct netdev *dev, unsigned queue);

    /*
     * Frames that tx_batch has taken over and the device has not sent yet; buffers of those that it
     * has sent return to their pools. 0 for a port out of service. Not for the data path.
     */
    uint32_t (*tx_pending)(struct netdev *dev);

    /* Cumulative, never reset. May be called between two rounds. */
    void (*read_stats)(const struct netdev *dev, struct netdev_stats *stats);

    /* May be called between two rounds. Touches no register. */
    void (*read_status)(const struct netdev *dev, struct netdev_status *status);

    /* The names of the features that were negotiated, with commas, or "none". Touches no register. */
    void (*features_text)(const struct netdev *dev, char text[NETDEV_FEATURES_TEXT]);

    /*
     * As set_promisc and set_allmulti below, but only notes what is wanted: the device is told by
     * and by, in `service`, and after a reset again. False: it has no such command (a `warn` was
     * given); if it refuses later, a `warn` says so then. Never waits.
     */
    bool (*want_filter)(struct netdev *dev, bool promisc, bool allmulti);

    /* In the same way: `mac`, a unicast address, shall be the port's. If its device refuses later, the
     * port keeps the one that it has. */
    bool (*want_mac_addr)(struct netdev *dev, struct mac_address mac);

    /* Receive all frames / all multicast frames, or only one's own. False: not possible, or the
     * device refused (a `warn` was given). Waits for the device (bounded): not for the data path. */
    bool (*set_promisc)(struct netdev *dev, bool on);
    bool (*set_allmulti)(struct netdev *dev, bool on);

    /* As set_promisc: `mac`, a station's or a group's, is received besides one's own, and frames
     * with the tag of VLAN `id` are. Up to NETDEV_FILTER_MAX each; none is ever taken back. */
    bool (*add_address)(struct netdev *dev, struct mac_address mac);
    bool (*add_vlan)(struct netdev *dev, uint16_t id);

    /* Mbit/s; 0: unknown. */
    uint32_t (*get_link_speed)(const struct netdev *dev);

    /* As it was last looked for (`service` does), and not while the device is out of service. */
    bool (*get_link_up)(const struct netdev *dev);

    struct mac_address (*get_mac_addr)(const struct netdev *dev);

    /* As set_promisc. `mac` is a unicast address. */
    bool (*set_mac_addr)(struct netdev *dev, struct mac_address mac);

    /* Queues the `port` event. */
    void (*report)(const struct netdev *dev);

    /*
     * Looks after the port: whether its device is still well, and what a reset has still to do. For
     * housekeeping, every now and then, `now_ns` being clock_ns(). Never waits.
     */
    void (*service)(struct netdev *dev, uint64_t now_ns);
};

enum netdev_state {
    NETDEV_PROBING, /* being reset for the first time; new, or without a device until then: swallows
                       * and counts */
    NETDEV_FOUND,   /* known: what its device offers has been read */
    NETDEV_PROBED,  /* negotiated, not in service yet */
    NETDEV_RUNNING, /* in service */
    NETDEV_DRAINING,  /* sends what its tx ring holds: receives nothing, has no room for more */
    NETDEV_HALTED,    /* as draining, until somebody lets it go on, or its device is taken away */
    NETDEV_RESETTING, /* its device is being reset: receives nothing, has no room for what is sent */
    NETDEV_RETIRED,   /* out of service for a while: receives nothing, swallows and counts */
    NETDEV_UNPLUGGED, /* without a device: as retired, until a new one takes its place */
    NETDEV_FAILED     /* never came into service: as retired, but for good */
};

/* The part of a port that net/ sees; a driver has it as the first member of its own structure. */
struct netdev {
    const struct netdev_ops *ops;
    unsigned id;                       /* port number; in PCI order at the start */
    char address[NETDEV_ADDRESS_TEXT]; /* "BB:DD.F", or a name for ports that are not on PCI */
    enum netdev_state state;
    bool announces;         /* its device can interrupt, so arm_rx and arm_tx are worth something */
    uint16_t num_rx_queues; /* that the port has */
    uint16_t num_tx_queues;
    uint32_t rx_size; /* frames that fit into an rx ring, a tx ring; 0 before negotiation */
    uint32_t tx_size;
    uint32_t tx_ready;  /* frames that tx_batch takes at once without tx_room being asked first */
    uint32_t mtu;       /* payload of the largest frame it sends, VLAN tags not counted; 0: none is
                           * stated; `service` may change it, after a reset */
    uint32_t frame_max; /* bytes: buffers for its rx must hold frames of this size */
    uint32_t tx_offloads; /* what its device can do for a frame that is to be sent */
    uint32_t
        rx_offloads; /* with what frames may come in: once NETDEV_FOUND, what the device offers; */
                     /* from NETDEV_PROBED on, what was negotiated, though cut back since */
    uint32_t rx_header; /* bytes in front of a received frame that say what it wants */
};

static inline uint32_t netdev_rx_batch(struct netdev *dev, unsigned queue, struct batch *batch,
                                       uint32_t n)
{
    return dev->ops->rx_batch(dev, queue, batch, n);
}

/* Most rounds need not ask. */
static inline uint32_t netdev_tx_room(struct netdev *dev, unsigned queue, uint32_t n)
{
    return dev->tx_ready >= n ? n : dev->ops->tx_room(dev, queue, n);
}

static inline uint32_t netdev_tx_batch(struct netdev *dev, unsigned queue,
                                       const struct batch *batch)
{
    return dev->ops->tx_batch(dev, queue, batch);
}

#endif
