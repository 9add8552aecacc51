/*
 * Two wires, four ports, under the loop: the driver, the lanes and the loop as the kernel puts them
 * together, with a simulated device behind each port and traffic on all of them. Every frame says
 * which port it was announced on and which number it has, so what leaves by a port is known for
 * what it is.
 */
#ifndef TESTS_HOST_WIRE_BENCH_H
#define TESTS_HOST_WIRE_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/virtio_net.h"
#include "net/assembly.h"
#include "net/loop.h"
#include "tests/host/virtio_bench.h"

#define WIRE_PORTS 4
#define WIRE_ROUND_NS (100 * CLOCK_NS_PER_US) /* simulated time that a round takes */

/* One direction: from the port of the same number to the one it is wired to. */
struct wire_flow {
    unsigned per_round; /* frames that come in each round; 0: none */
    uint32_t announced; /* put into the rx ring of the first port */
    uint32_t refused;   /* for which that ring had no buffer */
    uint32_t arrived;   /* seen leaving the second port's device */
    uint32_t next;      /* number that the next one must have, or more than that */
    uint32_t missing;   /* numbers that were skipped */
    bool lossy;         /* frames may get lost here */
};

struct wires {
    struct assembly assembly;
    struct loop loop;
    struct wire_flow flows[WIRE_PORTS];
    uint8_t **owned[WIRE_PORTS]; /* all buffers of the lane's pool, sorted */
    uint64_t round_ns;
    bool rewired;                          /* frames may leave by any port */
    uint32_t next[WIRE_PORTS][WIRE_PORTS]; /* then: by port in and port out, as in a flow */
};

extern struct wires wires;

/* cmocka's setup: four ports with the usual features, all running. The teardown is the bench's. */
int wires_setup(void **state);

/* In two steps, for what is to be set in between. */
void wires_add(uint64_t features);
void wires_start(void);

/* The driver's side and the device of port `i`. */
struct virtio_net *wires_driver(unsigned i);
struct sim_virtio_net *wires_device(unsigned i);

/* Frame `number` (BENCH_FRAME bytes) of those announced on `port`. All bytes behind the number are the
 * port's: so a frame that shows more shows whose it is. */
void wires_make_frame(uint8_t *frame, unsigned port, uint32_t number);

/* Wire 0-1 may lose frames from now on; wire 2-3 never may. */
void wires_spoil_first(void);

/* Rounds with traffic for `ns` of simulated time. Each frame that leaves is looked at. */
void wires_run(uint64_t ns);

/* One round without new frames, but with all that was set up. */
void wires_round(void);

/* Runs with traffic until port `i` is in `state`, for `ns` at most; returns how long it took. */
uint64_t wires_run_until(unsigned i, enum netdev_state state, uint64_t ns);

/*
 * Lets all frames that are under way arrive and closes the account: wire 2-3 has lost nothing and
 * was never made to wait; on wire 0-1 all that lanes took in and that did not arrive is in the
 * tx_dropped of the port it was for; without `exactly` some of what arrived may be in it, too,
 * since a device that lies about what it has sent leaves the driver to guess. All buffers are where
 * they belong.
 */
void wires_settle(bool exactly);

/* Every buffer of every lane is in its pool or in one of the two rings it may be in: once. */
void wires_assert_buffers(void);

#endif
