/*
 * The oracle's books of one ring, in whichever format: what the device has, what it says of that, and
 * what the driver must make of it (tests/host/oracle/oracle.h).
 */
#ifndef TESTS_HOST_ORACLE_ORACLE_RING_H
#define TESTS_HOST_ORACLE_ORACLE_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/virtio/virtqueue.h"

#define ORACLE_RING_MAX 64
#define ORACLE_STAMP 8 /* first bytes of a frame, by which it is known again */

/* The content of a chain. */
struct oracle_load {
    uint8_t *buffer; /* as the pool gave it out */
    uint32_t length; /* of the frame, or the room for one; without the header */
    bool stamped;    /* the device has written into it, and these were the first bytes: */
    uint8_t stamp[ORACLE_STAMP];
};

struct oracle_chain {
    struct oracle_load load;
    bool out;       /* the device has it, as far as the driver knows */
    bool finished;  /* the device has put it into the used ring */
    uint32_t slots; /* of the ring that it fills: those of all its descriptors, if packed */
};

struct oracle_ring {
    const struct virtqueue *queue;
    bool exists;
    unsigned index;
    uint32_t header;    /* bytes of the device's header; of a command: none */
    uint32_t room;      /* bytes behind it that the device may write */
    bool avail_spoiled; /* the device has written there: the driver never looks, nor do we */
    uint32_t used_idx;  /* how far the driver was at the last look */
    uint32_t avail_idx;
    uint16_t shown;                              /* split: used.idx then */
    struct pvirtq_desc copy[ORACLE_RING_MAX];    /* packed: all descriptors then */
    struct pvirtq_desc written[ORACLE_RING_MAX]; /* packed: as the last valid write left them */
    struct oracle_chain chains[ORACLE_RING_MAX]; /* by id */
    uint32_t order[ORACLE_RING_MAX];             /* ids of those that are out, oldest first */
    unsigned order_count;
    struct oracle_load taken[ORACLE_RING_MAX]; /* in the last step, by the driver */
    unsigned taken_count;
    struct oracle_load offered[ORACLE_RING_MAX];
    unsigned offered_count;
};

/* The ring's statement about the next chain at the last check. */
struct oracle_said {
    bool anything;
    enum virtqueue_error error; /* the rule that it breaks, and what was written there; else: */
    uint32_t value;
    uint32_t id;
    uint32_t length; /* with the header */
};

void oracle_ring_open(struct oracle_ring *ring, const struct virtqueue *queue, unsigned index);

/* No chain is out, and none was. */
void oracle_ring_forget(struct oracle_ring *ring);

/* Looks at what the device has written. */
void oracle_ring_look(struct oracle_ring *ring);

struct oracle_said oracle_ring_said(const struct oracle_ring *ring);

/* True if the device has written over something in a packed ring but for the used descriptors that are
 * next, each in its place. */
bool oracle_ring_is_spoiled(const struct oracle_ring *ring);

/* The driver has taken the next chain, of which `said` was said, without a device error. */
void oracle_ring_take(struct oracle_ring *ring, const struct oracle_said *said);

/* The driver has offered the next chain. Panics if it may not look like that. */
void oracle_ring_offer(struct oracle_ring *ring);

#endif
