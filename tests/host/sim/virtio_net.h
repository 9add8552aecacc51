/*
 * The device side of virtio-net, legacy and modern interface, written from virtio 1.2 and not from
 * drivers/: numbers and layouts are typed in a second time, so that a mistake has to be made twice.
 *
 * It works only when asked to: a test delivers frames and lets it transmit (or lets doorbells start
 * it). It watches the driver and keeps the first thing that the specification forbids as a
 * complaint. And it breaks the rules itself when told to.
 */
#ifndef TESTS_HOST_SIM_VIRTIO_NET_H
#define TESTS_HOST_SIM_VIRTIO_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/host/sim/bus.h"
#include "tests/host/sim/virtqueue.h"

/* The queues that are worked on, by what they are for. The control queue's number is another one as
 * soon as MQ is negotiated (§5.1.2), and queues of further pairs are only stated. */
#define SIM_QUEUES 3
#define SIM_RX 0
#define SIM_TX 1
#define SIM_CONTROL 2
#define SIM_SENT_MAX 4096
#define SIM_STATUS_WRITES_MAX 32

/* Feature bits by number, virtio 1.2 §5.1.3 and §6. */
#define SIM_F(bit) (1ull << SIM_F_##bit)
enum {
    SIM_F_CSUM = 0,
    SIM_F_GUEST_CSUM = 1,
    SIM_F_CTRL_GUEST_OFFLOADS = 2,
    SIM_F_MTU = 3,
    SIM_F_MAC = 5,
    SIM_F_GUEST_TSO4 = 7,
    SIM_F_GUEST_TSO6 = 8,
    SIM_F_GUEST_ECN = 9,
    SIM_F_GUEST_UFO = 10,
    SIM_F_HOST_TSO4 = 11,
    SIM_F_HOST_TSO6 = 12,
    SIM_F_HOST_ECN = 13,
    SIM_F_HOST_UFO = 14,
    SIM_F_MRG_RXBUF = 15,
    SIM_F_STATUS = 16,
    SIM_F_CTRL_VQ = 17,
    SIM_F_CTRL_RX = 18,
    SIM_F_CTRL_VLAN = 19,
    SIM_F_CTRL_RX_EXTRA = 20,
    SIM_F_GUEST_ANNOUNCE = 21,
    SIM_F_MQ = 22,
    SIM_F_CTRL_MAC_ADDR = 23,
    SIM_F_NOTIFY_ON_EMPTY = 24,
    SIM_F_ANY_LAYOUT = 27,
    SIM_F_INDIRECT_DESC = 28,
    SIM_F_EVENT_IDX = 29,
    SIM_F_VERSION_1 = 32,
    SIM_F_ACCESS_PLATFORM = 33,
    SIM_F_RING_PACKED = 34,
    SIM_F_ORDER_PLATFORM = 36,
    SIM_F_NOTIF_CONFIG_DATA = 39,
    SIM_F_RING_RESET = 40,
    SIM_F_GUEST_USO4 = 54,
    SIM_F_GUEST_USO6 = 55,
    SIM_F_HOST_USO = 56,
    SIM_F_SPEED_DUPLEX = 63,
};

/* The features of QEMU's virtio-net-pci on a tap with vnet headers. */
#define SIM_FEATURES_USUAL                                                                         \
    (SIM_F(CSUM) | SIM_F(GUEST_CSUM) | SIM_F(MAC) | SIM_F(HOST_TSO4) | SIM_F(MRG_RXBUF) |          \
     SIM_F(STATUS) | SIM_F(CTRL_VQ) | SIM_F(CTRL_RX) | SIM_F(CTRL_VLAN) | SIM_F(CTRL_RX_EXTRA) |   \
     SIM_F(GUEST_ANNOUNCE) | SIM_F(CTRL_MAC_ADDR) | SIM_F(NOTIFY_ON_EMPTY) | SIM_F(ANY_LAYOUT) |   \
     SIM_F(INDIRECT_DESC) | SIM_F(EVENT_IDX))

/* How commands are answered. */
enum sim_answer {
    SIM_ANSWER_OK,
    SIM_ANSWER_REFUSE, /* acknowledged with an error */
    SIM_ANSWER_NEVER,
    SIM_ANSWER_LATE,  /* after answer_delay_ns of the simulated clock */
    SIM_ANSWER_TWICE, /* the used element again */
    SIM_ANSWER_BLANK, /* finished, the acknowledge byte left as it was */
    SIM_ANSWER_BAD_ID,
};

/* One frame that the driver sent. */
struct sim_frame {
    uint64_t physical; /* of its first byte */
    uint32_t length;
    uint8_t header[12]; /* in front of it; num_buffers 0 where there is none */
    uint8_t *data;      /* a copy */
};

/* Structures of the modern interface, by cfg_type. */
enum sim_structure { SIM_COMMON = 1, SIM_NOTIFY, SIM_ISR, SIM_DEVICE, SIM_WINDOW, SIM_STRUCTURES };

#define SIM_MODERN_BAR 4         /* 64 bit, in memory: common, ISR, device, notify, a page each */
#define SIM_MODERN_PORTS 2       /* an I/O BAR that can hold the doorbells */
#define SIM_MODERN_BYTES 0x4000u /* of the memory BAR */
#define SIM_ALWAYS UINT32_MAX

/* The modern interface of a device that has one. */
struct sim_modern {
    /* set by the test */
    bool features_refused;     /* FEATURES_OK does not stay set */
    uint32_t generation_moves; /* so many readings of config_generation differ from the last */
    bool size_kept;            /* what is written to queue_size is not taken */
    uint16_t size_lie;         /* unless 0: what queue_size reads as once it was written */
    bool enable_refused;       /* nor what is written to queue_enable */
    bool queue_reset_stuck;    /* queue_reset never reads 0 again */
    uint32_t multiplier;       /* as the capability states it */
    uint16_t notify_off[SIM_QUEUES];
    uint16_t notify_data[SIM_QUEUES]; /* what NOTIF_CONFIG_DATA would have written */

    /* the device's */
    bool present;
    uint8_t capabilities[SIM_STRUCTURES]; /* where each is described */
    uint32_t device_feature_select, driver_feature_select;
    uint8_t generation;
    bool enabled[SIM_QUEUES];
    struct sim_place places[SIM_QUEUES];
    uint16_t sizes[SIM_QUEUES]; /* as stated; the queue's own may have been reduced */
    unsigned size_writes;       /* of queue_size */
    bool resetting[SIM_QUEUES];
    unsigned queue_resets;
    unsigned window_accesses;
};

#define SIM_MSIX_BAR 1 /* in memory */
#define SIM_MSIX_TABLE 0x40u
#define SIM_MSIX_ENTRIES 3

struct sim_virtio_net {
    /* set by the test before the driver looks */
    uint64_t features;
    uint8_t mac[6];
    uint16_t link_status; /* bit 0: up; bit 1: an announcement is wanted, until acknowledged */
    uint16_t max_pairs;   /* of queues, if MQ is offered */
    bool control_stays;   /* the control queue has number 2 with MQ, too */
    uint16_t mtu;
    uint8_t mac_later[6]; /* unless zero: what mac becomes once half of it is read */
    uint16_t mtu_later;   /* if not 0: what mtu becomes once it was read twice */
    uint32_t speed;
    uint8_t duplex;
    uint8_t header[12];       /* what is written in front of delivered frames; zero */
    uint16_t num_buffers_lie; /* what num_buffers is too high by, modulo 2^16 */
    uint32_t gap;             /* bytes that stay free in each buffer of a frame but the last */
    bool transmit_at_once;    /* a doorbell of the tx queue finishes all that is there; on */
    enum sim_answer answer;
    uint32_t refused; /* classes of commands, each a bit: these are refused in any case */
    uint64_t answer_delay_ns;

    /* ways to go wrong that are no queue's */
    bool reset_stuck;            /* the status never reads 0 again, and the device goes on */
    bool gone;                   /* unplugged: all registers read as ones */
    uint64_t reset_delay_ns;     /* or only after so long */
    uint8_t status_set;          /* bits that read as set once DRIVER_OK is written */
    uint8_t status_cleared;      /* bits that read as clear then */
    const uint8_t *status_fault; /* what the status reads as instead, until the next reset */
    bool page_refused;           /* the queue address register stays 0 */
    bool vectors_refused;        /* vector registers stay at none */
    bool scribbles;              /* the descriptor table is overwritten as soon as it is known */

    /* what the driver did */
    struct sim_pci_function *pci;
    uint8_t msix; /* where its capability is */
    uint8_t status;
    uint64_t driver_features;
    uint16_t selected;
    struct sim_modern modern;
    struct sim_queue queues[SIM_QUEUES];
    uint8_t status_writes[SIM_STATUS_WRITES_MAX]; /* since sim_virtio_net_add */
    unsigned status_write_count;
    unsigned resets;
    uint16_t rx_posted_at_driver_ok;
    struct sim_frame sent[SIM_SENT_MAX];
    unsigned sent_count;
    char complaint[SIM_COMPLAINT_MAX]; /* "": none; a ring's are in queues[] */

    /* interrupts */
    uint32_t msix_table[SIM_MSIX_ENTRIES * 4];
    uint16_t config_vector;
    uint16_t queue_vectors[SIM_QUEUES];
    uint8_t isr;
    bool line_asserted;

    /* what commands have brought about */
    unsigned commands;
    bool promisc, allmulti;
    uint8_t filter_mac[6];
    uint32_t table_entries;
    unsigned announce_acks;
    uint32_t multicast_entries; /* of these */
    uint8_t table[64][6];
    uint32_t vlan_count;
    uint16_t vlans[64];
    uint64_t offloads;
    uint16_t pairs;       /* of queues, by the last command since the reset; 0: none */
    uint8_t first_class;  /* of the commands since then */
    unsigned since_reset; /* how many these are */

    unsigned mtu_reads;
    uint64_t reset_done_ns;
    uint64_t answer_due_ns;
};

/*
 * A transitional device at 00:`slot`.0 with the legacy interface alone: I/O BAR 0, MSI-X in its
 * capabilities (not enabled), and rings of 256, 256 and 64. Lives until the next machine_reset,
 * which must have come before.
 */
struct sim_virtio_net *sim_virtio_net_add(uint8_t slot, uint64_t features);

/*
 * Gives it the modern interface besides, with VERSION_1 among its features: BAR 4 at `base`. And, for
 * `only`, takes the legacy one away.
 */
void sim_virtio_net_modernise(struct sim_virtio_net *net, uint64_t base, bool only);

/* One more capability at the list's end; returns where it is. */
uint8_t sim_modern_add_capability(struct sim_virtio_net *net, enum sim_structure structure,
                                  uint8_t bar, uint32_t offset, uint32_t length);

/* The first complaint of any device about its driver, or NULL. */
const char *sim_virtio_net_complaint(void);

/* Frees what the devices of this test have recorded. */
void sim_virtio_net_remove_all(void);

/* Switches MSI-X on, as firmware may have left it: the configuration is at offset 24 then. */
void sim_virtio_net_enable_msix(struct sim_virtio_net *net);

/*
 * Delivers one frame to the rx queue: next available buffer, header, frame, used ring. With MRG_RXBUF
 * it takes as many as it needs. False, and nothing happens, if there are not enough.
 */
bool sim_virtio_net_deliver(struct sim_virtio_net *net, const void *frame, uint32_t length);

/* Finishes up to `max` chains of the tx queue; returns how many. */
unsigned sim_virtio_net_transmit(struct sim_virtio_net *net, unsigned max);

/* Chains of `queue` that the driver has made available and the device has not finished. */
unsigned sim_virtio_net_available(struct sim_virtio_net *net, unsigned queue);

/* The number of the control queue, by what was negotiated. */
uint32_t sim_virtio_net_control_index(const struct sim_virtio_net *net);

/* Finishes the last command a second time. */
void sim_virtio_net_answer_again(struct sim_virtio_net *net);

/* Wants doorbells of `queue` no more, or again (from what was seen of the available ring on). */
void sim_virtio_net_suppress(struct sim_virtio_net *net, unsigned queue, bool suppress);

/* Forgets the frames in sent[]. */
void sim_virtio_net_forget_sent(struct sim_virtio_net *net);

#endif
