/*
 * The other implementation of the port interface: a port that ends in memory. Tests and benchmarks
 * put frames in at one side and take them out at the other; functions and lanes cannot tell it from
 * a device. It keeps every promise of net/netdev.h, so it is also the shortest driver to read.
 */
#ifndef NET_MEMORY_PORT_H
#define NET_MEMORY_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "net/netdev.h"

#define MEMORY_PORT_RING 256 /* frames that wait in each direction, at most */

struct memory_frame {
    uint8_t *buffer;
    uint32_t length;   /* bytes */
    struct pool *pool; /* where the buffer returns to */
};

/* Frames in the order in which they came; a ring with room for a power of two. */
struct memory_ring {
    struct memory_frame frames[MEMORY_PORT_RING];
    uint32_t head; /* next to take out */
    uint32_t tail; /* next to put in */
};

struct memory_port {
    struct netdev netdev;       /* first: the port interface hands out its address */
    struct memory_ring arrived; /* injected, not yet received */
    struct memory_ring posted;  /* empty buffers for what will arrive */
    struct memory_ring sent;    /* transmitted, not yet collected */
    struct pool *rx_pool;
    struct pool *tx_pool;
    uint32_t payload_max;
    struct netdev_stats stats;
    struct mac_address mac;
    bool promisc;
    bool allmulti;
    bool link_up;
    bool rx_armed; /* whoever injects or collects interrupts the core then */
    bool tx_armed;
};

/* Makes `port` number `id` with address `mac`; `port` is the caller's and outlives its lanes. */
void memory_port_init(struct memory_port *port, unsigned id, struct mac_address mac);

/* Lets a copy of `length` bytes at `data` arrive. False if no buffer is posted, as a full ring. */
bool memory_port_inject(struct memory_port *port, const void *data, uint32_t length);

/*
 * Copies the oldest frame sent into `data` (room for `size` bytes), returns its buffer to the
 * pool it came from, and returns its length in bytes; 0 if there is none. Panics if it is larger.
 */
uint32_t memory_port_collect(struct memory_port *port, void *data, uint32_t size);

#endif
