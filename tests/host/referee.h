/*
 * The referee between the driver and a device that keeps no rule. It looks at the rings before and
 * after every step the driver takes and panics if the driver
 *
 *   - takes what the device may not give: a chain that it does not have, a length that cannot be;
 *   - offers a chain that is out already, or memory that is none of the lane's buffers;
 *   - sends a frame that did not come in, changes one, or leaves one out without counting it;
 *   - loses a buffer or has it twice;
 *   - goes on where a rule was broken, stops where none was, or gives the wrong reason.
 *
 * What the device may have overwritten is only believed in the moment in which the driver reads it;
 * the referee keeps its own books, and knows the driver's from the inside.
 */
#ifndef TESTS_HOST_REFEREE_H
#define TESTS_HOST_REFEREE_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/virtio_net.h"
#include "net/lane.h"

#define REFEREE_PORTS 2
#define REFEREE_QUEUES 3
#define REFEREE_RING_MAX 64
#define REFEREE_STAMP 8 /* first bytes of a frame, by which it is known again */

/* What a chain carries. */
struct referee_load {
    uint8_t *buffer; /* as the pool gave it out */
    uint32_t length; /* of the frame, or the room for one; without the header */
    bool stamped;    /* the device has written into it, and these were the first bytes: */
    uint8_t stamp[REFEREE_STAMP];
};

struct referee_chain {
    struct referee_load load;
    bool out;      /* the device has it, as far as the driver knows */
    bool finished; /* the device has put it into the used ring */
};

struct referee_ring {
    const struct virtqueue *queue;
    struct virtq_used *used;
    unsigned index;
    bool avail_spoiled; /* the device has written there: the driver never looks, nor do we */
    uint32_t used_idx;  /* how far the driver was at the last look */
    uint32_t avail_idx;
    uint16_t shown;                                /* used.idx then */
    uint32_t had;                                  /* chains that the device had then */
    struct referee_chain chains[REFEREE_RING_MAX]; /* by id */
    uint32_t order[REFEREE_RING_MAX];              /* ids of those that are out, oldest first */
    unsigned order_count;
    struct referee_load taken[REFEREE_RING_MAX]; /* in the last step, by the driver */
    unsigned taken_count;
    struct referee_load offered[REFEREE_RING_MAX];
    unsigned offered_count;
};

struct referee_port {
    struct virtio_net *net;
    struct referee_ring rings[REFEREE_QUEUES];
    enum netdev_state state; /* at the last look */
    uint64_t breaches;
    bool hostile;     /* or it keeps all rules, and must never be stopped */
    bool status_lies; /* its status register may be the reason for a stop */
};

struct referee_lane {
    struct lane *lane;
    uint8_t *buffers; /* the first one */
    size_t stride;
    bool tx_waits; /* at the last look: nothing could be sent, so nothing had to be taken */
    uint64_t drops;
};

struct referee {
    bool reflects; /* lanes lead back to where they come from, not to the other port */
    struct referee_port ports[REFEREE_PORTS];
    struct referee_lane lanes[REFEREE_PORTS];
};

/* Notes where the lane's buffers are: all of them in its pool so far. */
void referee_note_lane(struct referee_lane *lane, struct lane *watched);

/* Opens the books: both ports run, nothing was received yet. The caller has set `reflects`, and of
 * the ports `net` and `hostile`. */
void referee_open(struct referee *referee);

/* Around each step of the driver: a round of lane `step`, or NULL for something else. */
void referee_before(struct referee *referee);
void referee_after(struct referee *referee, const struct lane *step);

#endif
