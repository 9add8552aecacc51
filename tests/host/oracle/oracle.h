/*
 * The oracle between the driver and a device that keeps no rule. It looks at the rings before and
 * after every step the driver takes and panics if the driver
 *
 *   - takes what the device may not give: a chain that it does not have, a length that cannot be;
 *   - offers a chain that is out already, or memory that is none of the lane's buffers;
 *   - sends a frame that did not come in, changes one, or leaves one out without counting it;
 *   - sends a header that the device may not get, or keeps a frame whose header goes with it;
 *   - loses a buffer or has it twice;
 *   - goes on where a rule was broken, stops where none was, or gives the wrong reason.
 *
 * What the device may have overwritten is only believed in the moment in which the driver reads it;
 * the oracle keeps its own books, and knows the driver's from the inside.
 */
#ifndef TESTS_HOST_ORACLE_ORACLE_H
#define TESTS_HOST_ORACLE_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/virtio/virtio_net.h"
#include "net/lane.h"
#include "tests/host/oracle/oracle_ring.h"

#define ORACLE_PORTS 2
#define ORACLE_QUEUES 3

struct oracle_port {
    struct virtio_net *net;
    struct oracle_ring rings[ORACLE_QUEUES];
    enum virtio_net_step step;                  /* at the last look */
    enum virtqueue_error errors[ORACLE_QUEUES]; /* likewise */
    uint64_t error_count;
    bool hostile;       /* or it keeps all rules, and must never be stopped */
    bool status_faults; /* its status register may be the reason for a stop */
    bool cut;           /* and so may be offloads that it did not let go of by a command */
};

struct oracle_lane {
    struct lane *lane;
    uint8_t *buffers; /* the first one */
    size_t stride;
    struct oracle_said rx_said; /* at the last look, of the next frame to come in */
    bool tx_waits; /* at the last look: nothing could be sent, so nothing had to be taken */
    uint64_t drops;
};

struct oracle {
    bool reflects; /* lanes lead back to where they come from, not to the other port */
    struct oracle_port ports[ORACLE_PORTS];
    struct oracle_lane lanes[ORACLE_PORTS];
};

/* Notes where the lane's buffers are: all of them in its pool so far. */
void oracle_note_lane(struct oracle_lane *lane, struct lane *watched);

/* Opens the books: both ports run, nothing was received yet. The caller has set `reflects`, and of
 * the ports `net` and `hostile`. */
void oracle_open(struct oracle *oracle);

/* Around each step of the driver: a round of lane `step`, or NULL for something else. */
void oracle_before(struct oracle *oracle);
void oracle_after(struct oracle *oracle, const struct lane *step);

#endif
