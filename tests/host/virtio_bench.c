/* Ports of the driver over simulated devices: what the tests of virtio-net start with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/host/virtio_bench.h"

#include "tests/host/machine.h"

struct pci_device devices[BENCHES_MAX];
struct bench benches[BENCHES_MAX];
struct bench *const one = &benches[0];

struct virtio_net_options bench_options;
uint32_t bench_allowed, bench_room;
static bool modern;
static uint64_t rings; /* what there is among the features besides, whatever a test asks for */

static int choose(bool is_modern, uint64_t ring_features)
{
    modern = is_modern;
    rings = ring_features;
    return 0;
}

int bench_legacy(void **state)
{
    (void)state;
    return choose(false, 0);
}

int bench_modern(void **state)
{
    (void)state;
    return choose(true, 0);
}

int bench_packed(void **state)
{
    (void)state;
    return choose(true, SIM_F(RING_PACKED));
}

bool bench_is_packed(void)
{
    return (rings & SIM_F(RING_PACKED)) != 0;
}

bool bench_is_modern(void)
{
    return modern;
}

uint64_t bench_taken(uint64_t features)
{
    return modern ? features | SIM_F(VERSION_1) | rings : (uint32_t)features;
}

unsigned bench_feature_bits(void)
{
    return modern ? 64 : 32;
}

uint8_t bench_status(uint8_t status)
{
    return modern ? status | 8 : status;
}

int bench_setup(void **state)
{
    (void)state;
    machine_reset();
    memset(benches, 0, sizeof(benches));
    bench_options = (struct virtio_net_options){0};
    bench_allowed = 0;
    bench_room = NETDEV_FRAME_USUAL;
    return 0;
}

int bench_teardown(void **state)
{
    const char *complaint = sim_virtio_net_complaint();

    (void)state;
    if (complaint == NULL)
        complaint = sim_bus_complaint();
    if (complaint != NULL)
        print_error("device: %s\n", complaint);
    sim_virtio_net_remove_all();
    return complaint != NULL;
}

void bench_renew(void **state)
{
    assert_int_equal(bench_teardown(state), 0);
    bench_setup(state);
}

void bench_find_all(unsigned n)
{
    assert_int_equal(pci_scan(devices, BENCHES_MAX), n);
    for (unsigned i = 0; i < n; i++)
        benches[i].dev = virtio_net_probe(&devices[i], i, &bench_options);
}

void bench_probe_all(unsigned n)
{
    bench_find_all(n);
    for (unsigned i = 0; i < n; i++)
        if (benches[i].dev->state == NETDEV_FOUND)
            (void)benches[i].dev->ops->negotiate(benches[i].dev, bench_allowed, bench_room);
}

void bench_add(unsigned i, uint64_t features)
{
    /* As OVMF does it: above 4 GiB, beyond what one table of the highest level maps. */
    const uint64_t base = 0xe000000000ULL + i * SIM_MODERN_BYTES;

    benches[i].net = sim_virtio_net_add((uint8_t)(i + 1), features | rings);
    if (modern)
        sim_virtio_net_modernise(benches[i].net, base, true);
}

void bench_probe_one(uint64_t features)
{
    bench_add(0, features);
    bench_probe_all(1);
}

bool bench_start_with(struct bench *bench, uint32_t buffers)
{
    uint32_t capacity = bench->dev->rx_size + bench->dev->tx_size + BURST;
    uint32_t payload_max = bench->payload_max != 0 ? bench->payload_max : ETHERNET_MTU;
    struct netdev_setup with = {.rx_queues = 1, .tx_queues = 1};

    assert_true(pool_create(&bench->pool, capacity, bench->dev->frame_max, false));
    with.rx[0] = (struct netdev_rx_setup){
        .pool = &bench->pool, .buffers = buffers, .payload_max = payload_max};
    with.tx[0] = (struct netdev_tx_setup){.pool = &bench->pool};
    return bench->dev->ops->start(bench->dev, &with);
}

bool bench_start(struct bench *bench)
{
    return bench_start_with(bench, bench->dev->rx_size);
}

void bench_start_one(uint64_t features)
{
    bench_probe_one(features);
    assert_true(bench_start(one));
    assert_int_equal(one->dev->state, NETDEV_RUNNING);
}

bool bench_took(unsigned i, uint32_t feature)
{
    return (benches[i].net->driver_features >> feature & 1) != 0;
}

void bench_make_frame(uint8_t *frame, uint32_t length, unsigned number)
{
    for (uint32_t i = 0; i < length; i++)
        frame[i] = (uint8_t)(number * 31 + i * 7 + (i >> 8));
}

void bench_deliver(struct bench *bench, unsigned n)
{
    uint8_t frame[BENCH_FRAME];

    for (unsigned i = 0; i < n; i++) {
        bench_make_frame(frame, BENCH_FRAME, i);
        assert_true(sim_virtio_net_deliver(bench->net, frame, BENCH_FRAME));
    }
}

static void append(struct batch *batch, const struct batch *part)
{
    for (uint32_t i = 0; i < part->count; i++) {
        batch->buffers[batch->count] = part->buffers[i];
        batch->lengths[batch->count++] = part->lengths[i];
    }
    if (part->count > 0)
        batch->odd |= part->odd;
}

uint32_t bench_receive(struct bench *bench, struct batch *batch)
{
    struct batch part = {.count = BURST, .odd = true}; /* as a stack is: not empty */

    *batch = (struct batch){0};
    for (unsigned call = 0; call < 2; call++) { /* the ring's end may lie between */
        netdev_rx_batch(bench->dev, 0, &part, BURST - batch->count);
        append(batch, &part);
    }
    return batch->count;
}

uint32_t bench_transmit(struct bench *bench, const struct batch *batch)
{
    uint32_t sent = 0, taken = 1;

    while (sent < batch->count && taken > 0) {
        struct batch rest = {0};

        for (uint32_t i = sent; i < batch->count; i++) {
            rest.buffers[rest.count] = batch->buffers[i];
            rest.lengths[rest.count++] = batch->lengths[i];
        }
        netdev_tx_room(bench->dev, 0, rest.count);
        taken = netdev_tx_batch(bench->dev, 0, &rest);
        sent += taken;
    }
    return sent;
}

void bench_forward(struct bench *bench, unsigned n)
{
    struct batch batch;

    for (unsigned burst; n > 0; n -= burst) {
        burst = n < BURST ? n : BURST;
        bench_deliver(bench, burst);
        assert_int_equal(bench_receive(bench, &batch), burst);
        assert_int_equal(bench_transmit(bench, &batch), burst);
    }
}

struct netdev_stats bench_stats_of(const struct bench *bench)
{
    struct netdev_stats stats;

    bench->dev->ops->read_stats(bench->dev, &stats);
    return stats;
}
