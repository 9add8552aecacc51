/*
 * One lane between two virtio-net ports on this machine: drivers/ and net/ as they are, brought up
 * on the simulated bus, then measured against a lean device (tests/bench/ring_device.h).
 *
 *     native CORES BURST FRAMES DOORBELLS RING HEADER
 *
 * CORES is 1 (device and driver in turns in one thread) or 2 (each on a core of its own), BURST is
 * the number of frames that the device delivers at once (0: none, the lane polls in vain), DOORBELLS
 * is 1 where the device asks for them, RING is split or packed, HEADER is the bytes of the device
 * header: 10, or the 12 of a modern device. A burst is delivered when the one before it has been sent.
 * Prints one line of key=value words. tests/bench/native.py runs it, under valgrind too.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <x86intrin.h>

#include <machine/io.h>
#include <machine/panic.h>

#include "drivers/virtio/virtio_net_internal.h"
#include "net/topology.h"
#include "tests/bench/ring_device.h"
#include "tests/host/sim/machine.h"
#include "tests/host/sim/virtio_net.h"

#define RING_SIZE 256
#define BURST_MAX RING_SIZE
#define WARM_UP_FRAMES 2048 /* each ring has gone round several times */
#define FRAMES_MAX (1u << 22)
#define VAIN_ROUNDS_MAX 16 /* in turns: so many without a frame, and something is stuck */

/* Features with which the ports are brought up; interrupts and doorbells go by the flags words. */
#define FEATURES (SIM_FEATURES_USUAL & ~SIM_F(EVENT_IDX))

struct plan {
    uint32_t burst;
    uint32_t rounds; /* bursts to be measured, or polls */
    bool doorbells;
    bool two_cores;
    bool packed;
    uint32_t header;
};

static struct topology topology;
static struct ring_device rx, tx;

static bool simulation_is_over;
static uint64_t doorbells[2]; /* by queue: rx and tx */

/* Stores to these mark, in a trace of memory accesses, the begin and the end of the measured part
 * and each round of the lane. native.py looks their addresses up. */
static volatile uint64_t mark_measurement, mark_round;

/* The linker sends the driver's doorbells here. After the simulated devices have been replaced,
 * doorbells are only counted. */
void __real_io_write16(uint16_t port, uint16_t value);
void __wrap_io_write16(uint16_t port, uint16_t value);
void __wrap_io_write16(uint16_t port, uint16_t value)
{
    if (simulation_is_over)
        doorbells[value & 1]++;
    else
        __real_io_write16(port, value);
}

/* ---- setting up ---- */

static struct virtio_net *net_of(unsigned port)
{
    return (struct virtio_net *)topology.ports[port];
}

/*
 * Replaces the split ring that the simulated device has set up by a packed one. The measured part
 * has devices of its own, which work on either.
 */
static void make_packed(struct virtqueue *queue)
{
    const struct virtqueue_shape shape = {
        .size = queue->size, .index = queue->index, .packed = true};
    const struct virtqueue_buffers buffers = {.start = queue->start, .header = queue->header};

    memset(queue->desc, 0, virtqueue_layout(queue->size, false).total);
    virtqueue_init(queue, &shape, queue->desc, queue->cookies);
    virtqueue_set_buffers(queue, &buffers);
}

static void make_all_packed(void)
{
    struct virtio_net_queue *const filled = &net_of(0)->rx;

    for (; virtqueue_outstanding(&filled->queue) != 0; filled->queue.used_idx++)
        pool_put(filled->pool,
                 filled->queue.cookies[virtqueue_slot(&filled->queue, filled->queue.used_idx)]);
    make_packed(&filled->queue);
    make_packed(&net_of(1)->tx.queue);
    virtio_net_fill_rx(net_of(0));
}

/* The simulated device is a legacy one, so that doorbells are port writes. The measured part has
 * devices of its own, which write either header. */
static void set_header(struct virtio_net *net, uint32_t header)
{
    const struct virtqueue_buffers buffers = {.start = PACKET_HEADROOM - header, .header = header};

    net->header_size = net->port.rx_header = header;
    virtqueue_set_buffers(&net->tx.queue, &buffers);
}

static void set_up(const struct plan *plan)
{
    static struct pci_device pci[2];

    machine_reset();
    for (unsigned i = 0; i < 2; i++)
        sim_virtio_net_add((uint8_t)(i + 1), FEATURES);
    ensure(pci_scan(pci, 2) == 2);
    for (unsigned i = 0; i < 2; i++)
        topology.ports[i] = virtio_net_probe(&pci[i], i, &(struct virtio_net_options){0});
    topology.port_count = 2;
    topology_plan(&topology, "", false);
    for (unsigned i = 0; i < 2; i++)
        set_header(net_of(i), plan->header);
    topology_allot(&topology, UINT64_MAX);
    topology_start(&topology);
    topology_settle(&topology);
    ensure(sim_virtio_net_complaint() == NULL);

    if (plan->packed)
        make_all_packed();
    ensure(net_of(0)->rx.queue.size == RING_SIZE && net_of(1)->tx.queue.size == RING_SIZE);
    ring_device_attach(&rx, &net_of(0)->rx.queue);
    ring_device_attach(&tx, &net_of(1)->tx.queue);
    ring_device_want_doorbells(&rx, plan->doorbells);
    ring_device_want_doorbells(&tx, plan->doorbells);
    simulation_is_over = true;
}

static uint64_t frames_received(void)
{
    struct port_stats stats;

    stats = topology.ports[0]->stats;
    return stats.rx_packets;
}

/* ---- time ---- */

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static uint64_t median(uint64_t *values, uint32_t count)
{
    qsort(values, count, sizeof(*values), compare);
    return values[count / 2];
}

/* Everything before it is done, and nothing behind it begun. (valgrind knows no rdtscp.) */
static uint64_t read_cycles(void)
{
    _mm_lfence();
    const uint64_t now = __rdtsc();
    _mm_lfence();
    return now;
}

/* The time between two readings of the clock, one directly after the other. */
static uint64_t clock_cost(void)
{
    static uint64_t costs[1001];

    for (unsigned i = 0; i < 1001; i++) {
        const uint64_t start = read_cycles();
        costs[i] = read_cycles() - start;
    }
    return median(costs, 1001);
}

/* One round of the lane; returns its cycles. */
static uint64_t run_lane(void)
{
    struct lane *const lane = topology.port_lanes[0];

    mark_round = 1;
    const uint64_t start = read_cycles();
    lane_run(lane);
    const uint64_t cycles = read_cycles() - start;
    mark_round = 0;
    return cycles;
}

/* ---- one burst after the other ---- */

static uint32_t at_most(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* In turns: returns the cycles of the rounds that it took to forward the burst. */
static uint64_t forward_in_turns(uint32_t burst, uint64_t cost)
{
    const uint64_t start = frames_received();
    uint64_t done = 0, cycles = 0;
    uint32_t delivered = 0, vain = 0;

    if (burst == 0)
        return run_lane() - cost;
    while (done < burst) {
        const uint32_t n = at_most(burst - delivered, ring_device_available(&rx));
        ring_device_deliver(&rx, n);
        delivered += n;
        cycles += run_lane() - cost;
        const uint64_t now = frames_received() - start;
        vain = now == done ? vain + 1 : 0;
        ensure(vain < VAIN_ROUNDS_MAX);
        done = now;
    }
    ring_device_transmit(&tx);
    return cycles;
}

/* The other core works on the rings: the rounds that find nothing yet are not counted. */
static uint64_t forward_across(uint32_t burst, uint64_t cost)
{
    const uint64_t goal = frames_received() + burst;
    uint64_t cycles = 0;

    for (uint64_t seen = goal - burst; seen < goal;) {
        const uint64_t round = run_lane();
        if (frames_received() == seen)
            continue;
        seen = frames_received();
        cycles += round - cost;
    }
    return cycles;
}

/* Binds the calling thread to the first (0) or second (1) of the cores that the process may use. */
static void pin(int number)
{
    cpu_set_t allowed, one;

    ensure(sched_getaffinity(0, sizeof(allowed), &allowed) == 0);
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, &allowed) || number-- != 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(core, &one);
        ensure(pthread_setaffinity_np(pthread_self(), sizeof(one), &one) == 0);
        return;
    }
    fprintf(stderr, "native: two cores are needed for CORES=2\n");
    exit(1);
}

/* The device's thread: a burst in, and when it has come out again the next one. */
static void *work_as_device(void *context)
{
    const struct plan *plan = context;
    uint32_t rounds = plan->rounds + WARM_UP_FRAMES / plan->burst + 1;

    pin(1);
    while (rounds-- != 0) {
        uint32_t to_deliver = plan->burst;
        for (uint32_t sent = 0; sent < plan->burst; sent += ring_device_transmit(&tx)) {
            const uint32_t n = at_most(to_deliver, ring_device_available(&rx));
            if (n != 0)
                ring_device_deliver(&rx, n);
            to_deliver -= n;
        }
    }
    return NULL;
}

/* ---- the whole ---- */

static uint64_t forward(const struct plan *plan, uint64_t cost)
{
    return plan->two_cores ? forward_across(plan->burst, cost)
                           : forward_in_turns(plan->burst, cost);
}

/* Forwards the bursts that count. A function of its own, because callgrind counts from its entry
 * to its return. */
void measured_part(const struct plan *plan, uint64_t cost, uint64_t *cycles);
__attribute__((noinline)) void measured_part(const struct plan *plan, uint64_t cost,
                                             uint64_t *cycles)
{
    doorbells[0] = doorbells[1] = 0;
    mark_measurement = 1;
    for (uint32_t i = 0; i < plan->rounds; i++)
        cycles[i] = forward(plan, cost);
    mark_measurement = 0;
}

static void measure(const struct plan *plan)
{
    uint64_t *const cycles = calloc(plan->rounds, sizeof(*cycles));
    const uint64_t cost = clock_cost();
    const uint32_t frames = plan->burst != 0 ? plan->burst : 1;
    pthread_t device;

    ensure(cycles != NULL);
    if (plan->two_cores) {
        ensure(pthread_create(&device, NULL, work_as_device, (void *)plan) == 0);
        pin(0); /* after the thread is made: it would inherit this */
    }
    for (uint32_t i = 0; i < WARM_UP_FRAMES / frames + 1; i++)
        forward(plan, cost);
    measured_part(plan, cost, cycles);
    if (plan->two_cores)
        pthread_join(device, NULL);
    printf("rounds=%u rx_doorbells=%llu tx_doorbells=%llu cycles=%.1f\n", plan->rounds,
           (unsigned long long)doorbells[0], (unsigned long long)doorbells[1],
           (double)median(cycles, plan->rounds) / frames);
    free(cycles);
}

static struct plan read_words(char **words)
{
    const uint32_t burst = (uint32_t)strtoul(words[2], NULL, 10);
    const uint32_t frames = (uint32_t)strtoul(words[3], NULL, 10);

    return (struct plan){
        .burst = burst,
        .rounds = frames / (burst != 0 ? burst : 1),
        .doorbells = words[4][0] == '1',
        .two_cores = words[1][0] == '2',
        .packed = words[5][0] == 'p',
        .header = (uint32_t)strtoul(words[6], NULL, 10),
    };
}

int main(int count, char **words)
{
    const struct plan plan = count == 7 ? read_words(words) : (struct plan){0};

    if (plan.rounds == 0 || plan.rounds > FRAMES_MAX || plan.burst > BURST_MAX ||
        (plan.two_cores && plan.burst == 0) ||
        (plan.header != VIRTIO_NET_HDR_BYTES_LEGACY && plan.header != VIRTIO_NET_HDR_BYTES)) {
        fprintf(stderr, "usage: native CORES BURST FRAMES DOORBELLS RING HEADER\n"
                        "  1 core or 2; bursts of 0 (with 1 core) to 256; 1 if the device asks for "
                        "doorbells; split or packed; headers of 10 bytes or 12\n");
        return 2;
    }
    set_up(&plan);
    measure(&plan);
    return 0;
}
