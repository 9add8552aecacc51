/*
 * Frames of up to 64 KiB across one lane, in one buffer each or in several, between two simulated
 * devices that take checksums and segments.
 *
 *     large BUFFERS LENGTH BURST FRAMES
 *
 * BUFFERS is whole, or the bytes that a buffer of a chain has (9022 or 1600); LENGTH is that of a frame,
 * BURST the number that the device delivers at once. What the lane runs is counted by valgrind, as
 * tests/bench/native.py tells it; prints the bytes of memory that the pool has.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <machine/panic.h>

#include "net/topology.h"
#include "drivers/virtio/virtio_net.h"
#include "tests/host/sim/machine.h"
#include "tests/host/sim/virtio_net.h"

#define LENGTH_MIN 60
#define LENGTH_MAX 65549
#define BURST_MAX 32
#define FEATURES ((SIM_FEATURES_USUAL & ~SIM_F(EVENT_IDX)) | SIM_F(GUEST_TSO4))

struct plan {
    const char *buffers;
    uint32_t length;
    uint32_t burst;
    uint32_t frames;
};

static struct topology topology;
static struct sim_virtio_net *devices[2];
static uint8_t frame[LENGTH_MAX];

/* The memory that makes net/topology.c choose such buffers. */
static uint64_t memory_for(const char *buffers)
{
    return strcmp(buffers, "1600") == 0 ? 4u << 20 : UINT64_MAX;
}

static void set_up(const struct plan *plan)
{
    static struct pci_device pci[2];
    static const struct virtio_net_options options = {.offloads = true};

    machine_reset();
    for (unsigned i = 0; i < 2; i++)
        devices[i] = sim_virtio_net_add((uint8_t)(i + 1), FEATURES);
    ensure(pci_scan(pci, 2) == 2);
    for (unsigned i = 0; i < 2; i++)
        topology.ports[i] = virtio_net_probe(&pci[i], i, &options);
    topology.port_count = 2;
    topology.memory = memory_for(plan->buffers);
    topology.mergeable = plan->buffers[0] == 'w' ? MERGEABLE_OFF : MERGEABLE_ON;
    topology_plan(&topology, "", false);
    topology_allot(&topology, topology.memory);
    topology_start(&topology);
    topology_settle(&topology);
    for (unsigned i = 0; i < 2; i++)
        for (unsigned queue = SIM_RX; queue <= SIM_TX; queue++)
            sim_virtio_net_suppress(devices[i], queue, true);
}

/* A segment of TCP over IPv4, to be cut if it is long. */
static void make_frame(uint32_t length)
{
    static const uint8_t large[10] = {1, 1, 54, 0, 1448 & 0xff, 1448 >> 8, 34, 0, 16, 0};

    frame[12] = 0x08;
    frame[14] = 0x45;
    frame[14 + 9] = 6;
    frame[34 + 12] = 0x50;
    if (length > ETHERNET_HEADER_SIZE + ETHERNET_MTU)
        memcpy(devices[0]->header, large, sizeof(large));
}

static void forward(const struct plan *plan)
{
    uint32_t delivered = 0;

    while (delivered < plan->burst && sim_virtio_net_deliver(devices[0], frame, plan->length))
        delivered++;
    ensure(delivered != 0);
    for (uint32_t sent = 0, rounds = 0; sent < delivered; rounds++) {
        lane_run(topology.port_lanes[0]);
        sent += sim_virtio_net_transmit(devices[1], BURST_MAX);
        ensure(rounds < 2 * BURST_MAX);
    }
    ensure(devices[1]->sent[0].length == plan->length &&
           memcmp(devices[1]->sent[0].data, frame, plan->length) == 0);
    sim_virtio_net_forget_sent(devices[1]);
}

/* callgrind counts from where this is entered to where it is left. */
void measured_part(const struct plan *plan);
__attribute__((noinline)) void measured_part(const struct plan *plan)
{
    for (uint32_t done = 0; done < plan->frames; done += plan->burst)
        forward(plan);
}

int main(int count, char **words)
{
    struct plan plan = {0};

    if (count == 5)
        plan = (struct plan){words[1], (uint32_t)strtoul(words[2], NULL, 10),
                             (uint32_t)strtoul(words[3], NULL, 10),
                             (uint32_t)strtoul(words[4], NULL, 10)};
    if (plan.frames == 0 || plan.length < LENGTH_MIN || plan.length > LENGTH_MAX ||
        plan.burst == 0 || plan.burst > BURST_MAX) {
        fprintf(stderr, "usage: large BUFFERS LENGTH BURST FRAMES\n"
                        "  whole, 9022 or 1600; 60 to 65549 bytes; bursts of 1 to 32\n");
        return 2;
    }
    set_up(&plan);
    make_frame(plan.length);
    measured_part(&plan); /* each ring has gone round */
    measured_part(&plan);
    const struct pool *const pool = topology.lanes[0].pool;
    printf("frame_max=%u pool_bytes=%zu\n", pool->frame_max,
           pool_bytes(pool->capacity, pool->frame_max));
    return 0;
}
