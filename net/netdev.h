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

/* Counted since start, frames and frame bytes (without FCS and device header). Never reset. */
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

/* What `describe` tells. Texts are static. */
struct netdev_description {
    const char *transport;                    /* how the device is reached */
    const char *duplex;                       /* "full", "half", "unknown" */
    const char *interrupt;                    /* how it interrupts: "message", "line", "none" */
    uint32_t speed;                           /* Mbit/s; 0: unknown */
    uint64_t features;                        /* that were negotiated */
    char features_text[NETDEV_FEATURES_TEXT]; /* their names, with commas, or "none" */
    uint32_t rx_descriptors, tx_descriptors;  /* of the rings */
};

/* What lies in a port's rings: what `count` tells. */
struct netdev_filling {
    uint32_t rx_buffers;        /* that the device has, to receive into */
    uint32_t tx_frames;         /* that have not come back from it, */
    uint32_t tx_buffers;        /* and buffers: more where frames lie in several */
    uint32_t tx_unsent;         /* frames that it has not sent yet; 0 where it is out of service */
    const struct pool *tx_pool; /* where tx_buffers will return to; NULL: never started */
};

/* Addresses of one kind, stations' or groups'. */
struct netdev_addresses {
    uint32_t count;
    struct mac_address macs[NETDEV_FILTER_MAX];
};

/* What has changed in it, as a set: netdev_wanted.changed. */
#define NETDEV_WANT_FILTER 0x01u
#define NETDEV_WANT_MAC 0x02u
#define NETDEV_WANT_ADDRESSES 0x04u
#define NETDEV_WANT_VLANS 0x08u
#define NETDEV_WANT_RESET 0x10u /* of the device, where can_reset says so */

/*
 * What is wanted of a port. Whoever wants something writes it here, by the functions netdev_want_…,
 * and `service` brings the device to it: at the start, after a change, and after each reset. What the
 * device cannot do, or refuses, is a `warn`.
 */
struct netdev_wanted {
    uint32_t changed;       /* since `service` has looked, which clears it */
    bool filter;            /* promisc and allmulti are to be given to the device */
    bool promisc, allmulti; /* receive all frames; all multicast frames */
    struct mac_address mac; /* a station's; zero: the device's own */
    struct netdev_addresses stations, groups; /* received besides the port's own */
    uint32_t vlan_count;
    uint16_t vlans[NETDEV_FILTER_MAX]; /* whose tags are received; none is ever taken back */

    /* Followed without being marked in `changed`. */
    uint32_t payload_max; /* bytes; a batch with a frame that has more is marked for checking */
    uint32_t offloads;    /* that frames may come in with: the port cuts back to these, but takes
                           * none in addition before it is negotiated with again */
};

/* What a lane wants of its rx queue. */
struct netdev_rx_setup {
    struct pool *pool; /* where buffers come from; always the same one */
    uint32_t buffers;  /* to post to the device, at most rx_size */
};

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

/* The directions of `arm`. */
#define NETDEV_RX 0x1u
#define NETDEV_TX 0x2u

struct netdev;

/* The functions of a driver, none of which ever waits. Those that say so are for the data path, the others
 * are called between two rounds. */
struct netdev_ops {
    const char *driver; /* driver= of the port event */

    /*
     * Agrees with a device that is NETDEV_STARTING on how it is used. Frames may come in with
     * `offloads` and no others, and its buffers may be for frames of up to `frame_max` bytes (at
     * least NETDEV_FRAME_USUAL); what becomes of both stands in rx_offloads and frame_max then.
     * Returns false after an `error` event: the port is NETDEV_DOWN, or as it was before where a new
     * device was to take the place of one that went.
     */
    bool (*negotiate)(struct netdev *dev, uint32_t offloads, uint32_t frame_max);

    /*
     * From now on the port's lanes are as `setup` says. The first time, this brings the port into
     * service: buffers posted, device running. It refuses, naming the number, more queues than the
     * port has. Pools stay the lane's; what is posted is the device's. Returns false after an
     * `error` event; the port is NETDEV_DOWN then.
     *
     * Later another pool may stand behind a tx queue. Frames that a tx ring still holds are another
     * lane's then. They are sent and their buffers go back to the pool they came from before the
     * first frame of the new lane gets room: for a tenth of a second at most. What is left then
     * counts as tx_dropped, and the port is reset. So a buffer always comes back to the lane that it
     * was taken from. What is wanted of the port is followed before any frame of the new lane.
     */
    bool (*start)(struct netdev *dev, const struct netdev_setup *setup);

    /*
     * Fills `batch` with up to `n` (at most BURST) received frames of rx queue `queue`, and returns
     * its count; the caller owns them. It may be fewer than there are: the next call gives the rest.
     * Buffers to refill the ring come out of the queue's pool. Data path.
     */
    uint32_t (*rx)(struct netdev *dev, unsigned queue, struct batch *batch, uint32_t n);

    /*
     * How many frames tx would take now, at most `n` (at most BURST). Buffers that the device is done
     * with return to the queue's pool here, when descriptors or buffers run short. Data path.
     */
    uint32_t (*room)(struct netdev *dev, unsigned queue, uint32_t n);

    /*
     * Sends the frames of `batch`: the first r of them, r being the result, are the driver's now,
     * the others stay the caller's. The bytes in front of a frame are the driver's to overwrite
     * (its header goes there). One doorbell at most. A port that is out of service, or has its link
     * down, takes all of them, counts them as dropped and returns their buffers. Data path.
     */
    uint32_t (*tx)(struct netdev *dev, unsigned queue, const struct batch *batch);

    /*
     * Bytes of the largest frame that `frame`, `length` bytes long and received by this port, is to be
     * cut into; `length` if it is to stay whole. Data path, for frames above an mtu.
     */
    uint32_t (*segment_length)(const struct netdev *dev, const uint8_t *frame, uint32_t length);

    /*
     * For a core about to sleep. Asks for an interrupt when a frame comes in on rx queue `queue`
     * (`directions` has NETDEV_RX), and when tx queue `queue`, which had none, has room (NETDEV_TX);
     * it may be asked for again. Then, and not before, looks whether that is so already, and if it is
     * returns true: no interrupt may come then. True also while the port has work that no interrupt
     * announces. Sets dev->hurries.
     */
    bool (*arm)(struct netdev *dev, unsigned queue, unsigned directions);

    /* After the sleep: no interrupts from the queue pair any more; one that is under way may still come.
     * What the device has announced so far is acknowledged. */
    void (*disarm)(struct netdev *dev, unsigned queue);

    /*
     * Looks after the port: what its queues have met, whether its device is still well, what is wanted
     * of it, and what a reset has still to do. For housekeeping, every quarter of a millisecond,
     * `now_ns` being clock_ns().
     */
    void (*service)(struct netdev *dev, uint64_t now_ns);

    /* Fills `description` with what is so at this moment. Reads the device's configuration, and formats. */
    void (*describe)(const struct netdev *dev, struct netdev_description *description);

    /* The same for `filling`. Touches no register. */
    void (*count)(const struct netdev *dev, struct netdev_filling *filling);
};

enum netdev_state {
    NETDEV_DOWN,     /* never came into service: swallows and counts, for good */
    NETDEV_STARTING, /* found, and not yet in service; swallows and counts */
    NETDEV_UP,       /* in service */
    NETDEV_RESETTING, /* its device is being reset, or out of service for a while after many resets */
    NETDEV_GONE       /* without a device: swallows and counts, until a new one takes its place */
};

/*
 * The part of a port that net/ sees; a driver has it as the first member of its own structure. All of it
 * is the driver's to write, but for `wanted`. What the data path writes stands first.
 */
struct netdev {
    const struct netdev_ops *ops; /* constant */
    uint32_t tx_ready; /* frames that tx takes at once; where fewer, room is asked first */
    enum netdev_state state;
    struct netdev_stats stats;
    const char *reason;                /* why that state: state= of the `ports` event */
    unsigned id;                       /* port number; in PCI order at the start */
    char address[NETDEV_ADDRESS_TEXT]; /* "BB:DD.F", or a name for ports that are not on PCI */
    struct mac_address mac;
    bool link_up;           /* and in service */
    bool can_interrupt;     /* so that `arm` is worth something */
    bool hurries;           /* a look by `service` may be needed within milliseconds */
    bool can_reset;         /* it is in service, or out of it for a while */
    bool settled;           /* all that is wanted has been given to the device, or refused */
    uint16_t num_rx_queues; /* that the port has */
    uint16_t num_tx_queues;
    uint32_t rx_size; /* frames that fit into an rx ring, a tx ring; 0 before negotiation */
    uint32_t tx_size;
    uint32_t mtu;       /* payload of the largest frame it sends, VLAN tags not counted; 0: none is
                           * stated; `service` may change it, after a reset */
    uint32_t frame_max; /* bytes: buffers for its rx must hold frames of this size */
    uint32_t tx_offloads; /* what its device can do for a frame that is to be sent */
    uint32_t rx_offloads; /* with what frames may come in: what the device offers; once negotiated,
                           * what was taken, though cut back since */
    uint32_t rx_header;   /* bytes in front of a received frame that say what it wants */
    struct netdev_wanted wanted;
};

static inline uint32_t netdev_rx(struct netdev *dev, unsigned queue, struct batch *batch,
                                 uint32_t n)
{
    return dev->ops->rx(dev, queue, batch, n);
}

/* Most rounds need not ask. */
static inline uint32_t netdev_room(struct netdev *dev, unsigned queue, uint32_t n)
{
    return dev->tx_ready >= n ? n : dev->ops->room(dev, queue, n);
}

static inline uint32_t netdev_tx(struct netdev *dev, unsigned queue, const struct batch *batch)
{
    return dev->ops->tx(dev, queue, batch);
}

/* True for an address that one station may have: neither a group's nor zero. */
bool netdev_mac_is_station(const struct mac_address *mac);

/* Changes of what is wanted, between two rounds. `mac` is a station's; `id` at most NETDEV_VLAN_MAX. */
void netdev_want_filter(struct netdev *dev, bool promisc, bool allmulti);
void netdev_want_mac(struct netdev *dev, struct mac_address mac);

/* The same for one more address, a station's or a group's, or one more VLAN. False, after a `warn`, if
 * there are NETDEV_FILTER_MAX already. */
bool netdev_want_address(struct netdev *dev, struct mac_address mac);
bool netdev_want_vlan(struct netdev *dev, uint16_t id);

/* Has the device reset, which ends the pause of a retired port. False if there is nothing to reset: the
 * port was never in service, or is being reset, or has no device. What its tx ring holds counts as
 * tx_dropped; the `reset` event tells the end. */
bool netdev_want_reset(struct netdev *dev);

/* "02:00:00:00:00:01", and "10000" or "unknown", as values. */
struct netdev_text {
    char text[sizeof("00:00:00:00:00:00")];
};
struct netdev_text netdev_mac_text(const struct mac_address *mac);
struct netdev_text netdev_speed_text(uint32_t speed);

/* Queues the `port` event of a port that is not NETDEV_DOWN. */
void netdev_report(const struct netdev *dev);

#endif
