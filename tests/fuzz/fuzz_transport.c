/*
 * The registers and the configuration space of a device that answers from the input: probe, start,
 * settings, and the watch over a port that runs. Behind it stands a simulated device that works as
 * it should; the input says which of its answers are replaced. What the driver writes is judged by
 * what it was told, true or not.
 */
#include "tests/fuzz/target.h"

#include <stdlib.h>
#include <string.h>

#include <machine/clock.h>
#include <machine/log.h>
#include <machine/panic.h>

#include "drivers/virtio_net.h"
#include "net/lane.h"
#include "net/forward.h"
#include "tests/fuzz/input.h"
#include "tests/host/machine.h"
#include "tests/host/sim_virtio_net.h"

#define CLOCK_STEP_NS CLOCK_NS_PER_MS /* so that a device that never answers is soon given up */
#define RING_MAX 1024                 /* larger ones only cost time */
#define TX_POOL 64

/* Registers, virtio 1.2 §4.1.4.10. */
enum {
    DEVICE_FEATURES = 0,
    DRIVER_FEATURES = 4,
    QUEUE_ADDRESS = 8,
    QUEUE_SIZE = 12,
    QUEUE_SELECT = 14,
    DEVICE_STATUS = 18,
};

static struct {
    struct input *input;
    struct sim_virtio_net *sim;
    uint32_t (*honest_read)(void *context, uint16_t offset, unsigned width);
    void (*honest_write)(void *context, uint16_t offset, unsigned width, uint32_t value);
    uint32_t features; /* as told last */
    uint32_t status;
    uint32_t sizes[SIM_QUEUES];
    uint16_t selected;
} liar;

/* One byte decides: the truth, or the bytes behind it. When they are used up, all is true. */
static uint32_t liar_read(void *context, uint16_t offset, unsigned width)
{
    uint32_t value = liar.honest_read(context, offset, width);

    if (input_8(liar.input) & 1) {
        value = (uint32_t)input_bytes(liar.input, width);
        if (offset == QUEUE_SIZE && value > RING_MAX && (value & (value - 1)) == 0)
            value = RING_MAX;
    }
    if (offset == DEVICE_FEATURES)
        liar.features = value;
    if (offset == DEVICE_STATUS)
        liar.status = value;
    if (offset == QUEUE_SIZE && liar.selected < SIM_QUEUES)
        liar.sizes[liar.selected] = value;
    return value;
}

/* A ring must lie in memory that was given out, all of it, whatever its size was said to be. */
static void judge_ring(uint32_t page)
{
    ensure(liar.selected < SIM_QUEUES);
    const uint32_t size = liar.sizes[liar.selected];

    ensure(virtqueue_size_valid(size));
    ensure(machine_dma((uint64_t)page << 12, virtqueue_layout(size).total) != NULL);
}

static void liar_write(void *context, uint16_t offset, unsigned width, uint32_t value)
{
    if (offset == DRIVER_FEATURES)
        ensure((value & ~liar.features) == 0);
    if (offset == DEVICE_STATUS)
        ensure(value == 0 || (value & liar.status) == liar.status);
    if (offset == QUEUE_SELECT)
        liar.selected = (uint16_t)value;
    if (offset == QUEUE_ADDRESS)
        judge_ring(value);
    liar.honest_write(context, offset, width, value);
}

static void add_device(struct input *input)
{
    static const uint8_t bars[] = {0xc0, 0xe0, 0xf0, 0x80}; /* of 64, 32, 16 and 128 bytes */
    const uint8_t choice = input_8(input);
    struct sim_virtio_net *sim = sim_virtio_net_add(1, input_32(input));

    if (choice & 1)
        sim_virtio_net_enable_msix(sim);
    sim->pci->writable[0x10] = bars[choice >> 1 & 3];
    for (unsigned i = 0; i < SIM_QUEUES; i++)
        sim->queues[i].size = (uint16_t)(8u << (choice >> 3 & 3));
    sim->link_status = choice & 0x20 ? 0 : 1;
    if (choice & 0x40)
        sim->pci->writable[0x04] = 3; /* no bus master */
    sim->page_refused = choice & 0x80;
    liar.sim = sim;
    liar.honest_read = sim->pci->port_read;
    liar.honest_write = sim->pci->port_write;
    sim->pci->port_read = liar_read;
    sim->pci->port_write = liar_write;
}

static void judge_probed(const struct virtio_net *net)
{
    const struct netdev *dev = &net->netdev;

    ensure(dev->state == NETDEV_PROBED || dev->state == NETDEV_FAILED);
    ensure(dev->state != NETDEV_FAILED || machine_log_count("error", "port=0 ") == 1);
    if (dev->state != NETDEV_PROBED)
        return;
    ensure(virtqueue_size_valid(net->rx.queue.size) && virtqueue_size_valid(net->tx.queue.size));
    ensure(dev->rx_size != 0 && dev->tx_size != 0 && dev->mtu <= VIRTIO_NET_MTU_MAX);
    ensure(dev->frame_max >= dev->mtu + ETHERNET_HEADER_SIZE);
    ensure((net->mac.bytes[0] & 1) == 0);
}

/* All that may be asked of a port, whatever became of it. The choice is the input's. */
static void ask_everything(struct netdev *dev, uint8_t choice)
{
    static const enum sim_answer answers[] = {SIM_ANSWER_OK,    SIM_ANSWER_OK,    SIM_ANSWER_REFUSE,
                                              SIM_ANSWER_NEVER, SIM_ANSWER_LATE,  SIM_ANSWER_TWICE,
                                              SIM_ANSWER_BLANK, SIM_ANSWER_BAD_ID};
    const struct mac_address mac = {{2, 0, 0, 0, 0, choice}};
    struct netdev_stats stats;

    liar.sim->answer = answers[choice >> 5];
    liar.sim->answer_delay_ns = 3 * CLOCK_STEP_NS;
    (void)dev->ops->set_promisc(dev, choice & 1);
    (void)dev->ops->set_allmulti(dev, choice & 2);
    (void)dev->ops->set_mac_addr(dev, mac);
    (void)dev->ops->get_link_up(dev);
    (void)dev->ops->get_link_speed(dev);
    dev->ops->read_stats(dev, &stats);
    dev->ops->report(dev);
    ensure((dev->ops->get_mac_addr(dev).bytes[0] & 1) == 0);
}

static void judge_buffers(const struct virtio_net *net, const struct lane *lane)
{
    const uint32_t in_rings =
        virtqueue_outstanding(&net->rx.queue) + virtqueue_outstanding(&net->tx.queue);

    ensure(lane->pool.count + in_rings == lane->pool.capacity);
}

/* The port runs, or is reset and comes back, or is retired. */
static void live(struct netdev *dev, struct lane *lane, struct input *input)
{
    while (input->left > 0) {
        const uint8_t choice = input_8(input);
        machine_log_forget();
        machine_clock_advance((choice & 0x80 ? 10000u : 1u) * (choice & 0x1f) * CLOCK_NS_PER_MS);
        if (choice & 0x20)
            lane_run(lane);
        if (choice & 0x40)
            sim_virtio_net_deliver(liar.sim, "a frame of twenty by", 20);
        dev->ops->service(dev, clock_ns());
        if ((choice & 0x7f) == 0)
            ask_everything(dev, input_8(input));
        judge_buffers((struct virtio_net *)dev, lane);
    }
    ask_everything(dev, 0);
}

static void start(struct netdev *dev, struct input *input)
{
    static const uint8_t queues[][2] = {{1, 1}, {1, 1}, {1, 2}, {0, 1},
                                        {2, 1}, {1, 1}, {1, 1}, {1, 1}};
    const uint8_t choice = input_8(input);
    const uint8_t *wanted = queues[choice & 7];
    struct lane lane;
    struct netdev_setup setup = {.rx_queues = wanted[0], .tx_queues = wanted[1]};

    lane_init(&lane, dev, dev, forward_reflect);
    if (!pool_create(&lane.pool, choice & 8 ? TX_POOL : dev->rx_size + dev->tx_size + BURST,
                     dev->frame_max))
        return;
    setup.rx[0] = (struct netdev_rx_setup){.pool = &lane.pool,
                                           .buffers = choice & 8 ? choice >> 4 : dev->rx_size,
                                           .payload_max = 1500};
    setup.tx[0] = (struct netdev_tx_setup){.pool = &lane.pool};
    const bool started = dev->ops->start(dev, &setup);
    ensure(started == (dev->state == NETDEV_RUNNING));
    ask_everything(dev, input_8(input));
    if (started && setup.rx_queues == 1)
        live(dev, &lane, input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct pci_device pci;

    machine_reset();
    machine_clock_step(CLOCK_STEP_NS);
    memset(&liar, 0, sizeof(liar));
    liar.input = &input;
    add_device(&input);
    const uint8_t memory = input_8(&input);
    if (memory != 0)
        machine_memory_limit(memory * 4096u);
    ensure(pci_scan(&pci, 1) == 1);
    struct netdev *dev = virtio_net_probe(&pci, 0, VIRTIO_TRANSPORT_AUTO);
    judge_probed((struct virtio_net *)dev);
    ask_everything(dev, 0);
    if (dev->state == NETDEV_PROBED)
        start(dev, &input);
    free(dev);
    sim_virtio_net_remove_all();
    return 0;
}
