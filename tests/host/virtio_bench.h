/*
 * The bench on which virtio-net is tested: simulated devices at slots 1, 2, … of bus 0, each with
 * the port that the driver made of it. The functions assert what must hold for a test to go on.
 */
#ifndef TESTS_HOST_VIRTIO_BENCH_H
#define TESTS_HOST_VIRTIO_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/pci.h"
#include "drivers/virtio_net.h"
#include "net/netdev.h"
#include "net/pool.h"
#include "tests/host/sim_virtio_net.h"

#define BENCHES_MAX 4
#define BENCH_FRAME 64 /* bytes of the frames that bench_deliver makes */

/* The features that the driver has a use for; the legacy interface can carry the lower half. */
#define WANTED                                                                                     \
    (SIM_F(MQ) | SIM_F(VERSION_1) | SIM_F(ACCESS_PLATFORM) | SIM_F(RING_PACKED) |                  \
     SIM_F(ORDER_PLATFORM) | SIM_F(RING_RESET) | SIM_F(NOTIF_CONFIG_DATA) | SIM_F(SPEED_DUPLEX) |  \
     SIM_F(CTRL_GUEST_OFFLOADS) | SIM_F(MTU) | SIM_F(MAC) | SIM_F(STATUS) | SIM_F(CTRL_VQ) |       \
     SIM_F(CTRL_RX) | SIM_F(CTRL_RX_EXTRA) | SIM_F(GUEST_ANNOUNCE) | SIM_F(CTRL_MAC_ADDR) |        \
     SIM_F(ANY_LAYOUT) | SIM_F(EVENT_IDX))

/* One device with its port; rx and tx share the pool, as in a lane that sends where it receives. */
struct bench {
    struct sim_virtio_net *net;
    struct netdev *dev;
    struct pool pool;
    uint32_t payload_max; /* of a frame that is not odd; 0: ETHERNET_MTU */
};

extern struct pci_device devices[BENCHES_MAX];
extern struct bench benches[BENCHES_MAX];
extern struct bench *const one; /* the first of them */

/* Setups of a group of tests: its devices have the legacy interface alone, or the modern one alone
 * and VERSION_1 among their features, and those that say so RING_PACKED, whatever
 * else bench_add is told. */
int bench_legacy(void **state);
int bench_modern(void **state);
int bench_packed(void **state);

bool bench_is_modern(void);
bool bench_is_packed(void);

/* `features` as they come through the interface: with VERSION_1 and what the group has of rings, or
 * the lower half of them. */
uint64_t bench_taken(uint64_t features);
unsigned bench_feature_bits(void);

/* A device status, with FEATURES_OK if the interface has it. */
uint8_t bench_status(uint8_t status);

/* Before and after each test. The teardown fails the test if the driver did what the specification
 * forbids, whatever the test was about. */
int bench_setup(void **state);
int bench_teardown(void **state);

/* The one and then the other, for the next row of a table. */
void bench_renew(void **state);

/* What the ports of a test are probed with; nothing, unless it says so before. */
extern struct virtio_net_options bench_options;

/* With what they are negotiated: offloads of frames that come in, and bytes of the largest frame. */
extern uint32_t bench_allowed, bench_room;

/* Puts device `i` on the bus. */
void bench_add(unsigned i, uint64_t features);

/* Finds all `n` functions on the bus and makes a port of each; then negotiates with each. */
void bench_find_all(unsigned n);
void bench_probe_all(unsigned n);

/* Puts rx buffers in, `buffers` of them or as many as the ring holds, and starts the port. */
bool bench_start_with(struct bench *bench, uint32_t buffers);
bool bench_start(struct bench *bench);

/* The usual case: one device, one port of it, running. */
void bench_probe_one(uint64_t features);
void bench_start_one(uint64_t features);

/* Whether the driver of device `i` took feature number `feature`. */
bool bench_took(unsigned i, uint32_t feature);

/* Frame number `number`: every byte depends on it and on its place. */
void bench_make_frame(uint8_t *frame, uint32_t length, unsigned number);

/* The device delivers `n` frames. */
void bench_deliver(struct bench *bench, unsigned n);

/*
 * A burst at most by rx_batch, which may take two calls; the frames of `batch` by tx_room and
 * tx_batch, until all are sent or no more are taken. Both return how many.
 */
uint32_t bench_receive(struct bench *bench, struct batch *batch);
uint32_t bench_transmit(struct bench *bench, const struct batch *batch);

/* `n` frames in and out again, a burst at a time. */
void bench_forward(struct bench *bench, unsigned n);

struct netdev_stats bench_stats_of(const struct bench *bench);

#endif
