/*
 * The device's side of a virtqueue, split (virtio 1.2 §2.7; the legacy layout is §2.7.2) or packed
 * (§2.8), written from the specification and by bytes: nothing is shared with drivers/. It watches
 * the driver, keeps the first violation as a complaint, and breaks the rules itself when a test
 * wants it.
 *
 *     virtqueue.c  what both formats have in common: the chains that the device has, and its faults
 *     split.c      the split ring by bytes
 *     packed.c     the packed ring by bytes
 */
#ifndef TESTS_HOST_SIM_VIRTQUEUE_H
#define TESTS_HOST_SIM_VIRTQUEUE_H

#include <stdbool.h>
#include <stdint.h>

#define SIM_RING_MAX 32768
#define SIM_CHAIN_MAX 64 /* descriptors that a chain of a sane driver never has */
#define SIM_COMPLAINT_MAX 200

/* In which order chains are finished. */
enum sim_order { SIM_IN_ORDER, SIM_REVERSED, SIM_SHUFFLED };

/* The fault of the next chain that a queue finishes. sim_fault_names has the names. */
enum sim_fault {
    SIM_SOUND,
    SIM_USED_ID_SIZE,      /* the first id that is none */
    SIM_USED_ID_HUGE,      /* 2^32 - 1 */
    SIM_USED_ID_HIGH_BITS, /* right in the low 16 bits only */
    SIM_USED_ID_FREE,      /* of a descriptor that the driver has not made available */
    SIM_USED_ID_TWICE,     /* of the chain finished before it */
    SIM_USED_ID_SECOND,    /* of the second descriptor of a chain */
    SIM_USED_IDX_AHEAD,    /* split: one more than is outstanding */
    SIM_USED_IDX_BACK,     /* split: one less than before */
    SIM_USED_IDX_FAR,      /* split: 0x8000 further */
    SIM_USED_FLAGS_AHEAD, /* packed: all that is outstanding and one more, as the driver left them */
    SIM_USED_FLAGS_WRAP,  /* packed: with the wrap counter of the other round */
    SIM_USED_FLAGS_HALF,  /* packed: USED as it should be, AVAIL not */
    SIM_USED_THREE_AHEAD,  /* packed: three places further than it should be, */
    SIM_USED_TWO_BEHIND,   /* or two back */
    SIM_OVERWRITE_ZEROS,   /* packed: as it should be, and all other descriptors are zeros, */
    SIM_OVERWRITE_GARBAGE, /* or something that is neither available nor used */
    SIM_LENGTH_ZERO,
    SIM_LENGTH_HEADER,       /* a header and no frame: legal, if of no use */
    SIM_LENGTH_BUFFER,       /* all of the buffer, although less was written */
    SIM_LENGTH_BELOW_HEADER, /* one byte less than that */
    SIM_LENGTH_ABOVE_BUFFER, /* one more than the buffer has */
    SIM_LENGTH_MAX,          /* 2^32 - 1 */
    SIM_FAULTS
};

extern const char *const sim_fault_names[SIM_FAULTS];

/* The parts of a ring that a device can overwrite. In a packed ring AVAIL and USED of each
 * descriptor stay: a write to them would make it used. */
enum sim_scribble {
    SIM_SCRIBBLE_TABLE,      /* ones over the descriptors */
    SIM_SCRIBBLE_TABLE_LOOP, /* every descriptor is its own successor; packed: all have NEXT, and id 0 */
    SIM_SCRIBBLE_AVAIL,      /* ones over the available ring, index and flags included; packed: over
                                the driver's event suppression */
    SIM_SCRIBBLE_AVAIL_LOOP, /* the first chain in all its entries; packed: the first descriptor's
                                address and length in all of them */
    SIM_SCRIBBLE_USED, /* ones over the elements of the used ring; packed: zeros over addresses,
                                lengths and ids */
    SIM_SCRIBBLES
};

/* The physical addresses of the three parts of a ring. Of a packed one: the descriptors, and as
 * `avail` and `used` the event suppression of the driver and of the device. */
struct sim_place {
    uint64_t desc;
    uint64_t avail;
    uint64_t used;
};

/* The negotiated features of the rings. */
struct sim_format {
    bool event_idx;
    bool packed;
    bool indirect;
};

struct sim_copy; /* a packed chain as it was when the device fetched it */

struct sim_queue {
    /* the test's */
    uint16_t size;       /* as the device states it, and the driver may have reduced it */
    uint16_t size_later; /* if not 0: and what it states from the second time on */
    enum sim_order order;
    enum sim_fault fault; /* for the next chain finished; then SIM_SOUND again */
    bool suppress;        /* doorbells are not wanted */

    /* the device's */
    struct sim_place place;
    uint32_t header; /* bytes that a finished chain of received bytes has at least */
    bool in_use;     /* the driver has said where it is */
    struct sim_format format;
    uint16_t avail_seen;     /* how far the available ring was followed; packed: descriptors */
    uint16_t used_next;      /* how far the used ring was filled; packed: descriptors */
    uint16_t used_shown;     /* used.idx as the driver can see it; packed: as used_next */
    uint16_t last_id;        /* of the chain finished last */
    struct sim_copy *copies; /* packed: by id; the queue's, while it is in use */
    bool spoiled;            /* packed: the driver's event suppression is the device's scribble */
    uint32_t random;
    uint32_t pending_count;
    uint16_t pending[SIM_RING_MAX]; /* heads fetched and not finished */
    bool out[SIM_RING_MAX];         /* by id: head of a chain that the device has */

    /* who has the queue: called when the driver wants to be interrupted; may be NULL */
    void (*interrupt)(void *context, unsigned index);
    void *interrupt_context;
    unsigned index;

    /* for the test to look at */
    uint64_t doorbells;
    uint64_t interrupts;               /* that a device which can raise them would have raised */
    char complaint[SIM_COMPLAINT_MAX]; /* "": none */
};

/* One descriptor, looked through to the bytes. */
struct sim_span {
    uint8_t *bytes;
    uint64_t physical;
    uint32_t length;
    bool write;
};

struct sim_chain {
    uint16_t head;
    unsigned count;    /* of spans; never 0 */
    uint32_t capacity; /* bytes in all of them */
    struct sim_span spans[SIM_CHAIN_MAX];
};

/* As after a device reset: not in use. The test's settings stay. */
void sim_queue_reset(struct sim_queue *queue);

/* The driver has said where the ring is. False after a complaint. */
bool sim_queue_place(struct sim_queue *queue, struct sim_place place, struct sim_format format);

/* The place of a ring that starts at `page` and is staged out as the legacy interface has it. */
struct sim_place sim_queue_legacy_place(const struct sim_queue *queue, uint32_t page);

/*
 * Writes over the ring. After it has overwritten the driver's parts, the device knows only the
 * chains fetched before, until the driver sets up the ring again.
 */
void sim_queue_scribble(struct sim_queue *queue, enum sim_scribble what);

/* The driver's addresses of the three parts of the ring, and of their end. */
struct sim_ring {
    uint8_t *desc;
    uint8_t *avail;
    uint8_t *used;
    uint8_t *end;
};
struct sim_ring sim_queue_ring(struct sim_queue *queue);

/* Chains that the driver has made available since it has placed the ring, seen or not; in a packed
 * ring at most one round of them, and descriptors. */
uint16_t sim_queue_posted(struct sim_queue *queue);

/* Chains that the driver has made available and sim_queue_take has not taken. */
unsigned sim_queue_available(struct sim_queue *queue);

/* Takes one of them (there must be one). False after a complaint. */
bool sim_queue_take(struct sim_queue *queue, struct sim_chain *chain);

/* Hands chain `head` back, `length` bytes written into its `capacity`. */
void sim_queue_finish(struct sim_queue *queue, uint16_t head, uint32_t length, uint32_t capacity);

/* Finishes the next of the chains known without reading it or the available ring. */
void sim_queue_finish_blind(struct sim_queue *queue, uint32_t length);

/* Writes the suppression word: doorbells from what was seen on, or none (queue->suppress). */
void sim_queue_ask_for_doorbells(struct sim_queue *queue);

#endif
