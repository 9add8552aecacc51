/*
 * One lane between two virtio-net ports, driven a burst at a time, to be counted by callgrind
 * (tests/bench/count): only what lane_run executes is counted, the simulated devices are not.
 *
 *     wire BURST ROUNDS
 */
#include <stdio.h>
#include <stdlib.h>

#include "drivers/virtio_net.h"
#include "net/assembly.h"
#include "tests/host/machine.h"
#include "tests/host/sim_virtio_net.h"

#define FRAME 64

static struct pci_device devices[2];
static struct assembly assembly;
static struct sim_virtio_net *sims[2];

static void set_up(void)
{
    machine_reset();
    for (unsigned i = 0; i < 2; i++)
        sims[i] = sim_virtio_net_add((uint8_t)(i + 1), SIM_FEATURES_USUAL & ~SIM_F(EVENT_IDX));
    pci_scan(devices, 2);
    for (unsigned i = 0; i < 2; i++)
        assembly.ports[i] = virtio_net_probe(&devices[i], i);
    assembly.port_count = 2;
    assembly_plan(&assembly, "", false);
    assembly_allot(&assembly, UINT64_MAX);
    assembly_start(&assembly);
    assembly_settle(&assembly);
    for (unsigned i = 0; i < 2; i++) {
        sims[i]->transmit_at_once = false;
        sim_virtio_net_suppress(sims[i], SIM_RX, true);
        sim_virtio_net_suppress(sims[i], SIM_TX, true);
    }
}

/* A burst arrives, the lane runs until it is through, the other device sends it. */
static void forward(unsigned burst)
{
    static const uint8_t frame[FRAME] = {2};

    for (unsigned i = 0; i < burst; i++) {
        if (!sim_virtio_net_deliver(sims[0], frame, sizeof(frame)))
            abort();
    }
    for (unsigned rounds = burst == 0 ? 1 : (burst + BURST - 1) / BURST; rounds != 0; rounds--)
        lane_run(assembly.port_lanes[0]);
    sim_virtio_net_transmit(sims[1], burst);
    sim_virtio_net_forget_sent(sims[1]);
}

int main(int count, char **words)
{
    const unsigned burst = count == 3 ? (unsigned)atoi(words[1]) : 0;
    const unsigned rounds = count == 3 ? (unsigned)atoi(words[2]) : 0;
    struct netdev_stats stats;

    if (rounds == 0 || burst > 200) {
        fprintf(stderr, "usage: wire BURST ROUNDS (0 to 200 frames, at least one round)\n");
        return 2;
    }
    set_up();
    for (unsigned i = 0; i < rounds; i++)
        forward(burst);
    assembly.ports[1]->ops->read_stats(assembly.ports[1], &stats);
    return stats.tx_packets == (uint64_t)burst * rounds ? 0 : 1;
}
