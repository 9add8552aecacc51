/*
 * The device's side of a virtqueue in a guest's memory: takes chains, finishes them in the same
 * order, shows them. The format of the ring is a table of functions (split_queue.c,
 * packed_queue.c).
 *
 * The guest is trusted to keep the rules: what breaks them ends the program with a message.
 */
#ifndef TESTS_BENCH_TESTBED_DEVICE_QUEUE_H
#define TESTS_BENCH_TESTBED_DEVICE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/testbed/guest_memory.h"

#define CHAIN_SPANS_MAX 64 /* a segmented frame in pages, with room to spare */

/* One descriptor of a chain. */
struct span {
    uint8_t *bytes;
    uint32_t length;
    bool write; /* the device writes it */
};

struct chain {
    uint16_t id;
    uint16_t descriptors; /* that it takes up in the ring */
    unsigned count;       /* of spans */
    struct span spans[CHAIN_SPANS_MAX];
};

struct device_queue;

struct queue_format {
    /* Begins where the guest's side says (SET_VRING_BASE), and says where it stopped. */
    void (*begin)(struct device_queue *queue, uint32_t base);
    uint32_t (*end)(const struct device_queue *queue);

    /* The next chain that the guest offers; false if there is none. */
    bool (*take)(struct device_queue *queue, struct chain *chain);

    /* Hands a chain back, `written` bytes in it. The guest does not see it before `publish`. */
    void (*finish)(struct device_queue *queue, const struct chain *chain, uint32_t written);

    /* Shows all that was finished since the last time (it may be nothing), says whether doorbells are
     * wanted, and returns whether the guest wants an interrupt. */
    bool (*publish)(struct device_queue *queue);
};

/* The three areas of virtio 1.2 §2.6, named after their writer; split: the table and the two
 * rings. */
struct queue_areas {
    void *descriptors;
    void *driver;
    void *device;
};

struct device_queue {
    const struct queue_format *format;
    const struct guest_memory *memory;
    struct queue_areas areas;
    uint16_t size;
    bool running;
    bool event_idx;       /* VIRTIO_F_EVENT_IDX was negotiated */
    bool wants_doorbells; /* set by the owner at any time, and published with the next buffers */
    int kick;             /* eventfd of the guest's doorbells, -1: none yet */
    int call;             /* eventfd of its interrupts, -1: none */

    /* positions in the ring, as the format counts them */
    uint16_t offered;     /* as far as the guest is known to have offered */
    uint16_t taken;       /* next to take */
    uint16_t finished;    /* next to finish */
    uint16_t published;   /* next to publish */
    uint16_t first_flags; /* packed: written at `published`, after all others */

    /* what was counted since the program began */
    uint64_t doorbells;
    uint64_t interrupts;
    uint64_t chains;
};

extern const struct queue_format split_queue_format;
extern const struct queue_format packed_queue_format;

/* Starts a queue whose format, memory, areas, size and event_idx are set. */
void device_queue_start(struct device_queue *queue, uint32_t base);

/* Stops it and returns where, as GET_VRING_BASE wants it. */
uint32_t device_queue_stop(struct device_queue *queue);

/* As the format's functions; a queue that does not run has nothing to offer. */
bool device_queue_take(struct device_queue *queue, struct chain *chain);
void device_queue_finish(struct device_queue *queue, const struct chain *chain, uint32_t written);

/* Shows all that was finished, if anything was, and interrupts the guest if it wants that. */
void device_queue_publish(struct device_queue *queue);

/* Adds the doorbells since the last call to queue->doorbells. */
void device_queue_count_doorbells(struct device_queue *queue);

#endif
