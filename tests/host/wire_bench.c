/* Two wires under the loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/host/wire_bench.h"

#include <machine/clock.h>
#include <machine/memory.h>

#include "tests/host/machine.h"

#define FRAMES_PER_ROUND 2
#define SETTLE_ROUNDS 300
#define ROUND_NS_MAX (20 * CLOCK_NS_PER_US) /* the clock goes on by 0.1 at each look at it */
#define NUMBER_AT 16 /* where a frame carries its number; its port is in front of that */
#define PORT_AT 15

struct wires wires;

struct virtio_net *wires_driver(unsigned i)
{
    return (struct virtio_net *)benches[i].dev;
}

struct sim_virtio_net *wires_device(unsigned i)
{
    return benches[i].net;
}

/* --- start --- */

static int by_address(const void *a, const void *b)
{
    const uint8_t *const *left = a, *const *right = b;

    return (*left > *right) - (*left < *right);
}

/* Before anything is posted, so all of them are there: that is what they are to come back to. */
static void note_owned(unsigned lane)
{
    const struct pool *pool = &wires.assembly.lanes[lane].pool;
    const size_t bytes = pool->capacity * sizeof(*pool->free);

    assert_int_equal(pool->count, pool->capacity);
    wires.owned[lane] = memory_alloc(bytes, CACHE_LINE);
    assert_non_null(wires.owned[lane]);
    memcpy(wires.owned[lane], pool->free, bytes);
    qsort(wires.owned[lane], pool->capacity, sizeof(*pool->free), by_address);
}

void wires_add(uint64_t features)
{
    memset(&wires, 0, sizeof(wires));
    for (unsigned i = 0; i < WIRE_PORTS; i++)
        bench_add(i, features);
}

void wires_start(void)
{
    bench_find_all(WIRE_PORTS);
    wires.assembly.port_count = WIRE_PORTS;
    for (unsigned i = 0; i < WIRE_PORTS; i++)
        wires.assembly.ports[i] = benches[i].dev;
    assembly_plan(&wires.assembly, "", false);
    assert_int_equal(assembly_allot(&wires.assembly, memory_available() / 2), 0);
    for (unsigned i = 0; i < WIRE_PORTS; i++)
        note_owned(i);
    assembly_start(&wires.assembly);
    assembly_settle(&wires.assembly);
    loop_init(&wires.loop, wires.assembly.ports, wires.assembly.port_lanes, WIRE_PORTS, 0);
    wires.round_ns = WIRE_ROUND_NS;
    for (unsigned i = 0; i < WIRE_PORTS; i++) {
        assert_int_equal(benches[i].dev->state, NETDEV_RUNNING);
        wires.flows[i].per_round = FRAMES_PER_ROUND;
    }
}

int wires_setup(void **state)
{
    bench_setup(state);
    wires_add(SIM_FEATURES_USUAL);
    wires_start();
    return 0;
}

/* --- frames --- */

void wires_make_frame(uint8_t *frame, unsigned port, uint32_t number)
{
    memset(frame, 0xa0 + (int)port, BENCH_FRAME);
    memset(frame, 2, 2 * ETHERNET_ADDRESS_SIZE);
    frame[PORT_AT] = (uint8_t)port;
    memcpy(frame + NUMBER_AT, &number, sizeof(number));
}

/* The host has frames for `port`. One that finds no buffer is the host's to drop, not ours. */
static void announce(unsigned port)
{
    struct wire_flow *flow = &wires.flows[port];
    uint8_t frame[BENCH_FRAME];

    for (unsigned i = 0; i < flow->per_round; i++) {
        wires_make_frame(frame, port, flow->announced);
        if (sim_virtio_net_deliver(benches[port].net, frame, BENCH_FRAME))
            flow->announced++;
        else
            flow->refused++;
    }
}

/* A frame left by port `port`: it must have come from the one that is wired to it, or after a
 * rewiring from one that was. */
static void take(unsigned port, const struct sim_frame *frame)
{
    const unsigned from = frame->data[PORT_AT];
    struct wire_flow *flow = &wires.flows[from % WIRE_PORTS];
    uint8_t expected[BENCH_FRAME];
    uint32_t number;

    assert_true(frame->length >= BENCH_FRAME);
    assert_in_range(from, 0, WIRE_PORTS - 1);
    if (!wires.rewired)
        assert_int_equal(from, port ^ 1);
    memcpy(&number, frame->data + NUMBER_AT, sizeof(number));
    wires_make_frame(expected, from, number);
    assert_memory_equal(frame->data, expected, BENCH_FRAME);
    if (wires.rewired) { /* by two ports two frames may change their order, by one they may not */
        assert_in_range(number, wires.next[from][port], flow->announced - 1);
        wires.next[from][port] = number + 1;
        flow->arrived++;
        return;
    }
    assert_in_range(number, flow->next, flow->announced - 1);
    if (!flow->lossy)
        assert_int_equal(number, flow->next);
    flow->missing += number - flow->next;
    flow->next = number + 1;
    flow->arrived++;
}

static void look_at_what_left(void)
{
    for (unsigned i = 0; i < WIRE_PORTS; i++) {
        struct sim_virtio_net *device = benches[i].net;
        for (unsigned frame = 0; frame < device->sent_count; frame++)
            take(i, &device->sent[frame]);
        sim_virtio_net_forget_sent(device);
    }
}

void wires_spoil_first(void)
{
    wires.flows[0].lossy = wires.flows[1].lossy = true;
}

/* --- time --- */

/* Whatever the devices do, a round never waits for one of them. Sleep is another matter. */
void wires_round(void)
{
    const uint64_t start = machine_clock_now(), halts = wires.loop.idle.halts;

    loop_round(&wires.loop);
    assert_true(wires.loop.idle.halts != halts || machine_clock_now() - start < ROUND_NS_MAX);
    machine_clock_advance(wires.round_ns);
    look_at_what_left();
}

static void round_with_traffic(void)
{
    for (unsigned i = 0; i < WIRE_PORTS; i++)
        announce(i);
    wires_round();
}

void wires_run(uint64_t ns)
{
    for (const uint64_t end = machine_clock_now() + ns; machine_clock_now() < end;)
        round_with_traffic();
}

uint64_t wires_run_until(unsigned i, enum netdev_state state, uint64_t ns)
{
    const uint64_t start = machine_clock_now();

    while (benches[i].dev->state != state && machine_clock_now() - start < ns)
        round_with_traffic();
    assert_int_equal(benches[i].dev->state, state);
    return machine_clock_now() - start;
}

/* --- accounts --- */

/* Appends the buffers that lie in a ring. */
static unsigned collect(uint8_t **buffers, unsigned count, const struct virtqueue *queue)
{
    for (uint32_t idx = queue->used_idx; idx != queue->avail_idx; idx++)
        buffers[count++] = queue->tokens[virtqueue_slot(queue, idx)];
    return count;
}

/*
 * As sorted lists, so that a buffer which is lost, there twice or another lane's shows alike. A tx
 * ring is that of the lane to whose pool its buffers return; there may be several after a rewiring.
 */
static void assert_buffers_of(unsigned lane)
{
    const struct pool *pool = &wires.assembly.lanes[lane].pool;
    const struct virtqueue *rx = &wires_driver(lane)->rx.queue;
    unsigned total = pool->count + virtqueue_outstanding(rx);
    uint8_t **found = calloc(pool->capacity, sizeof(*found));

    for (unsigned i = 0; i < WIRE_PORTS; i++)
        if (wires_driver(i)->tx.pool == pool)
            total += virtqueue_outstanding(&wires_driver(i)->tx.queue);
    assert_int_equal(total, pool->capacity);
    memcpy(found, pool->free, pool->count * sizeof(*found));
    total = collect(found, pool->count, rx);
    for (unsigned i = 0; i < WIRE_PORTS; i++)
        if (wires_driver(i)->tx.pool == pool)
            total = collect(found, total, &wires_driver(i)->tx.queue);
    qsort(found, total, sizeof(*found), by_address);
    for (unsigned i = 0; i < total; i++)
        assert_ptr_equal(found[i], wires.owned[lane][i]);
    free(found);
}

void wires_assert_buffers(void)
{
    for (unsigned i = 0; i < WIRE_PORTS; i++)
        assert_buffers_of(i);
}

void wires_settle(bool exactly)
{
    for (unsigned i = 0; i < SETTLE_ROUNDS; i++)
        wires_round();
    for (unsigned i = 0; i < WIRE_PORTS; i++) {
        const struct wire_flow *flow = &wires.flows[i];
        const uint64_t taken = bench_stats_of(&benches[i]).rx_packets;
        const uint64_t dropped = bench_stats_of(&benches[i ^ 1]).tx_dropped;

        if (!flow->lossy) {
            assert_int_equal(flow->refused, 0);
            assert_int_equal(flow->arrived, flow->announced);
            assert_int_equal(dropped, 0);
        }
        if (exactly)
            assert_int_equal(taken, flow->arrived + dropped);
        else
            assert_in_range(taken, flow->arrived, flow->arrived + dropped);
    }
    wires_assert_buffers();
}
