/*
 * The port interface: what a driver offers and all that net/ knows of it. The table of functions
 * has ixy's shape; the count that a batch function returns is the transfer of ownership.
 *
 * A port is used by the one core that runs its lanes, so nothing here locks.
 */
#ifndef NET_PORT_H
#define NET_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "net/batch.h"
#include "net/pool.h"

#define PORTS_MAX 32
#define PORT_QUEUES_MAX 1 /* of each direction, for a port of any driver so far */
#define PORT_ADDRESS_TEXT 24
#define PORT_FEATURES_TEXT 440

/*
 * Offloads: work that is left on a frame for whoever sends it on, as a set of these bits. Its checksum
 * is to be finished, or it is to be cut into segments as well. What a frame wants stands in front of
 * it, in the form of the driver that received it.
 */
#define PORT_OFFLOAD_CSUM 0x01
#define PORT_OFFLOAD_TSO4 0x02     /* TCP segments over IPv4 */
#define PORT_OFFLOAD_TSO6 0x04     /* TCP segments over IPv6 */
#define PORT_OFFLOAD_ECN 0x08      /* those with congestion marks, too */
#define PORT_OFFLOAD_UFO 0x10      /* UDP datagrams into fragments */
#define PORT_OFFLOAD_USO4 0x20     /* many UDP datagrams over IPv4 in one */
#define PORT_OFFLOAD_USO6 0x40     /* the same over IPv6 */
#define PORT_OFFLOAD_SEGMENTS 0x7e /* all by which a frame may be longer than its wire allows */
#define PORT_OFFLOAD_CHAINS 0x80   /* frames that lie in several buffers (net/batch.h) */

/* Bytes of the largest frame: with room for two VLAN tags and what else providers put around 1500
 * bytes; a jumbo frame; and one of 64 KiB that is still to be cut. */
#define PORT_FRAME_USUAL 1600
#define PORT_FRAME_JUMBO 9022
#define PORT_FRAME_SEGMENTS 65552

/* Buffers for `frame_max` bytes that the longest frame needs. */
static inline uint32_t port_chain_max(uint32_t frame_max)
{
    return (PORT_FRAME_SEGMENTS + frame_max - 1) / frame_max;
}

#define PORT_FILTER_MAX 16 /* addresses of a port's filter, and VLANs, each */
#define PORT_VLAN_MAX 4094

struct mac_address {
    uint8_t bytes[ETHERNET_ADDRESS_SIZE];
};

/* Counted since start, frames and frame bytes (without FCS and device header). Never reset. */
struct port_stats {
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
struct port_description {
    const char *transport;                   /* how the device is reached */
    const char *duplex;                      /* "full", "half", "unknown" */
    const char *interrupt;                   /* how it interrupts: "message", "line", "none" */
    uint32_t speed;                          /* Mbit/s; 0: unknown */
    uint64_t features;                       /* that were negotiated */
    char features_text[PORT_FEATURES_TEXT];  /* their names, with commas, or "none" */
    uint32_t rx_descriptors, tx_descriptors; /* of the rings */
};

/* What lies in a port's rings: what `count` tells. */
struct port_filling {
    uint32_t rx_buffers; /* that the device has, to receive into */
    uint32_t tx_frames;  /* that have not come back from it, */
    uint32_t tx_buffers; /* and buffers: more where frames lie in several */
    uint32_t tx_unsent;  /* frames that it has not sent yet; 0 where it is out of service */
};

/* Addresses of one kind, stations' or groups'. */
struct port_addresses {
    uint32_t count;
    struct mac_address macs[PORT_FILTER_MAX];
};

/* What has changed in it, as a set: port_wanted.changed. */
#define PORT_WANT_FILTER 0x01u
#define PORT_WANT_MAC 0x02u
#define PORT_WANT_ADDRESSES 0x04u
#define PORT_WANT_VLANS 0x08u
#define PORT_WANT_RESET 0x10u /* of the device, where can_reset says so */

/*
 * What is wanted of a port. Whoever wants something writes it here, by the functions port_want_…,
 * and `service` brings the device to it: at the start, after a change, and after each reset. What the
 * device cannot do, or refuses, is a `warn`.
 */
struct port_wanted {
    uint32_t changed;                       /* since `service` has looked, which clears it */
    bool filter;                            /* promisc and allmulti are to be given to the device */
    bool promisc, allmulti;                 /* receive all frames; all multicast frames */
    struct mac_address mac;                 /* a station's; zero: the device's own */
    struct port_addresses stations, groups; /* received besides the port's own */
    uint32_t vlan_count;
    uint16_t vlans[PORT_FILTER_MAX]; /* whose tags are received; none is ever taken back */

    /* Followed without being marked in `changed`. */
    uint32_t payload_max; /* bytes; a batch with a frame that has more is marked for checking */
    uint32_t offloads;    /* that frames may come in with: the port cuts back to these, but takes
                           * none in addition before it is negotiated with again */
};

/* An rx queue's quota of the core's buffers. */
struct port_rx_setup {
    struct pool *pool; /* where buffers come from */
    uint32_t buffers;  /* to post to the device, at most rx_size */
};

/* A tx queue's quota. */
struct port_tx_setup {
    struct pool *pool; /* any pool of the core: each buffer returns to its own */
    uint32_t buffers; /* that it may hold: frames, at most tx_size, or more where they are chains */
};

/* What a port is started with. A direction that is not used has count 0. */
struct port_setup {
    unsigned rx_queues;
    unsigned tx_queues;
    struct port_rx_setup rx[PORT_QUEUES_MAX];
    struct port_tx_setup tx[PORT_QUEUES_MAX];
};

/* The directions of `arm`. */
#define PORT_RX 0x1u
#define PORT_TX 0x2u

struct port;

/* The functions of a driver, none of which ever waits. Those that say so are for the data path, the others
 * are called between two rounds. */
struct port_ops {
    const char *driver; /* driver= of the port event */

    /*
     * Agrees with a device that is PORT_STARTING on how it is used. Frames may come in with
     * `offloads` and no others, and its buffers may be for frames of up to `frame_max` bytes (at
     * least PORT_FRAME_USUAL); what becomes of both stands in rx_offloads and frame_max then.
     * Returns false after an `error` event: the port is PORT_DOWN, or as it was before where a new
     * device was to take the place of one that went.
     */
    bool (*negotiate)(struct port *port, uint32_t offloads, uint32_t frame_max);

    /*
     * Brings the port into service: buffers posted, device running. It refuses, naming the number, more
     * queues than the port has. Pools stay the caller's; what is posted is the device's. Returns false
     * after an `error` event; the port is PORT_DOWN then.
     */
    bool (*start)(struct port *port, const struct port_setup *setup);

    /*
     * Takes the port out of service for good: PORT_DOWN. Its device is told to reset, and is not waited
     * for. Frames that its tx ring still holds count as tx_dropped; buffers in its rings stay there.
     */
    void (*stop)(struct port *port);

    /*
     * Fills `batch` with up to `n` (at most BURST) received frames of rx queue `queue`, and returns
     * its count; the caller owns them. It may be fewer than there are: the next call gives the rest.
     * Buffers to refill the ring come out of the queue's pool. Data path.
     */
    uint32_t (*rx)(struct port *port, unsigned queue, struct batch *batch, uint32_t n);

    /*
     * How many frames tx would take now, at most `n` (at most BURST). Buffers that the device is done
     * with return to their pools here, when the quota runs short. Data path.
     */
    uint32_t (*room)(struct port *port, unsigned queue, uint32_t n);

    /*
     * Sends the frames of `batch`: the first r of them, r being the result, are the driver's now,
     * the others stay the caller's. The bytes in front of a frame are the driver's to overwrite
     * (its header goes there). One doorbell at most. A port that is out of service, or has its link
     * down, takes all of them, counts them as dropped and returns their buffers. Data path.
     */
    uint32_t (*tx)(struct port *port, unsigned queue, const struct batch *batch);

    /*
     * Bytes of the largest frame that `frame`, `length` bytes long and received by this port, is to be
     * cut into; `length` if it is to stay whole. Data path, for frames above an mtu.
     */
    uint32_t (*segment_length)(const struct port *port, const uint8_t *frame, uint32_t length);

    /*
     * For a core about to sleep. Asks for an interrupt when a frame comes in on rx queue `queue`
     * (`directions` has PORT_RX), and when tx queue `queue`, which had none, has room (PORT_TX);
     * it may be asked for again. Then, and not before, looks whether that is so already, and if it is
     * returns true: no interrupt may come then. True also while the port has work that no interrupt
     * announces. Sets port->hurries.
     */
    bool (*arm)(struct port *port, unsigned queue, unsigned directions);

    /* After the sleep: no interrupts from the queue pair any more; one that is under way may still come.
     * What the device has announced so far is acknowledged. */
    void (*disarm)(struct port *port, unsigned queue);

    /*
     * Looks after the port: what its queues have met, whether its device is still well, what is wanted
     * of it, and what a reset has still to do. For housekeeping, every quarter of a millisecond,
     * `now_ns` being clock_ns().
     */
    void (*service)(struct port *port, uint64_t now_ns);

    /* Fills `description` with what is so at this moment. Reads the device's configuration, and formats. */
    void (*describe)(const struct port *port, struct port_description *description);

    /* The same for `filling`. Touches no register. */
    void (*count)(const struct port *port, struct port_filling *filling);
};

enum port_state {
    PORT_DOWN,      /* never came into service, or was stopped: swallows and counts, for good */
    PORT_STARTING,  /* found, and not yet in service; swallows and counts */
    PORT_UP,        /* in service */
    PORT_RESETTING, /* its device is being reset, or out of service for a while after many resets */
    PORT_GONE       /* without a device: swallows and counts, until a new one takes its place */
};

/*
 * The part of a port that net/ sees; a driver has it as the first member of its own structure. All of it
 * is the driver's to write, but for `wanted`. What the data path writes stands first.
 */
struct port {
    const struct port_ops *ops; /* constant */
    uint32_t tx_ready;          /* frames that tx takes at once; where fewer, room is asked first */
    enum port_state state;
    struct port_stats stats;
    const char *reason;              /* why that state: state= of the `ports` event */
    unsigned id;                     /* port number; in PCI order at the start */
    char address[PORT_ADDRESS_TEXT]; /* "BB:DD.F", or a name for ports that are not on PCI */
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
    struct port_wanted wanted;
};

static inline uint32_t port_rx(struct port *port, unsigned queue, struct batch *batch, uint32_t n)
{
    return port->ops->rx(port, queue, batch, n);
}

/* Most rounds need not ask. */
static inline uint32_t port_room(struct port *port, unsigned queue, uint32_t n)
{
    return port->tx_ready >= n ? n : port->ops->room(port, queue, n);
}

static inline uint32_t port_tx(struct port *port, unsigned queue, const struct batch *batch)
{
    return port->ops->tx(port, queue, batch);
}

/* True for an address that one station may have: neither a group's nor zero. */
bool port_mac_is_station(const struct mac_address *mac);

/* Changes of what is wanted, between two rounds. `mac` is a station's; `id` at most PORT_VLAN_MAX. */
void port_want_filter(struct port *port, bool promisc, bool allmulti);
void port_want_mac(struct port *port, struct mac_address mac);

/* The same for one more address, a station's or a group's, or one more VLAN. False, after a `warn`, if
 * there are PORT_FILTER_MAX already. */
bool port_want_address(struct port *port, struct mac_address mac);
bool port_want_vlan(struct port *port, uint16_t id);

/* Has the device reset, which ends the pause of a retired port. False if there is nothing to reset: the
 * port was never in service, or is being reset, or has no device. What its tx ring holds counts as
 * tx_dropped; the `reset` event tells the end. */
bool port_want_reset(struct port *port);

/* "02:00:00:00:00:01", and "10000" or "unknown", as values. */
struct port_text {
    char text[sizeof("00:00:00:00:00:00")];
};
struct port_text port_mac_text(const struct mac_address *mac);
struct port_text port_speed_text(uint32_t speed);

/* Queues the `port` event of a port that is not PORT_DOWN. */
void port_report(const struct port *port);

#endif
