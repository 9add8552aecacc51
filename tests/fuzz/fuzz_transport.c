/*
 * The registers and the configuration space of a device that answers from the input: probe, start,
 * settings, and the watch over a port that runs. Behind it is a correct simulated device; the input
 * replaces some of its answers. The driver's writes are checked against the answers that it got,
 * true or not.
 *
 * The input: which interfaces there are and which is asked for; the device's shape; with the modern
 * interface, bytes of configuration space that are written over, which may lead anywhere; memory, or
 * that frames may have something left to do on them; then a decision for each reading.
 */
#include "tests/fuzz/target.h"

#include <stdlib.h>
#include <string.h>

#include <machine/clock.h>
#include <machine/log.h>
#include <machine/panic.h>

#include "drivers/virtio/virtio_net.h"
#include "net/lane.h"
#include "net/lane.h"
#include "tests/fuzz/input.h"
#include "tests/host/fixture/adversary_frame.h"
#include "tests/host/oracle/oracle_header.h"
#include "tests/host/sim/machine.h"
#include "tests/host/sim/virtio_net.h"
#include "tests/host/fixture/wanted.h"

#define CLOCK_STEP_NS CLOCK_NS_PER_MS /* so that a device that never answers is soon given up */
#define RING_MAX 1024                 /* larger ones only cost time */
#define TX_POOL 64
#define OFFLOADS_FROM 0xf0 /* of the byte that else says how much memory there is */
#define FRAME_ROOM 8192
#define MODERN_BASE 0xe000000000ULL
#define MODERN_PORTS 0xd000
#define NOTIFY_AT 0x3000
#define NOTIFY_BYTES 0x1000

/* The registers of both interfaces. */
enum what {
    NOTHING,
    DEVICE_FEATURES,
    DRIVER_FEATURES,
    QUEUE_SELECT,
    QUEUE_SIZE,
    QUEUE_PAGE,
    QUEUE_ENABLE,
    QUEUE_NOTIFY_OFF,
    QUEUE_NOTIFY_DATA,
    QUEUE_ADDRESS,
    DEVICE_FEATURE_SELECT,
    DRIVER_FEATURE_SELECT,
    DEVICE_STATUS,
};

static struct {
    struct input *input;
    struct sim_virtio_net *sim;
    uint32_t (*honest_port_read)(void *context, uint16_t offset, unsigned width);
    void (*honest_port_write)(void *context, uint16_t offset, unsigned width, uint32_t value);
    uint32_t (*honest_read)(void *context, unsigned bar, uint32_t offset, unsigned width);
    void (*honest_write)(void *context, unsigned bar, uint32_t offset, unsigned width,
                         uint32_t value);
    bool patched;      /* capabilities lead elsewhere: offsets mean nothing */
    uint64_t features; /* as read last */
    uint64_t taken;    /* of them, as the driver said last */
    uint32_t device_select, driver_select;
    uint32_t status;
    uint32_t sizes[SIM_QUEUES];
    uint32_t notify_off[SIM_QUEUES];
    uint32_t notify_data[SIM_QUEUES];
    uint64_t addresses[SIM_QUEUES][3];
    uint16_t selected;
    bool offloads;    /* frames may want something */
    uint16_t control; /* number of the one queue that is neither of the first two */
} liar;

/* The place of the selected queue in the arrays: the control queue, with any number, behind the
 * others. */
static unsigned slot(void)
{
    return liar.selected < SIM_CONTROL ? liar.selected : SIM_CONTROL;
}

/* Legacy: virtio 1.2 §4.1.4.10. */
static enum what port_register(uint16_t offset)
{
    static const enum what registers[] = {
        [0] = DEVICE_FEATURES, [4] = DRIVER_FEATURES, [8] = QUEUE_PAGE,
        [12] = QUEUE_SIZE,     [14] = QUEUE_SELECT,   [18] = DEVICE_STATUS,
    };

    return offset < sizeof(registers) / sizeof(registers[0]) ? registers[offset] : NOTHING;
}

/* Modern: §4.1.4.3, which the simulated device has at the start of its BAR. */
static enum what memory_register(unsigned bar, uint32_t offset)
{
    static const enum what registers[] = {
        [0] = DEVICE_FEATURE_SELECT, [4] = DEVICE_FEATURES, [8] = DRIVER_FEATURE_SELECT,
        [12] = DRIVER_FEATURES,      [20] = DEVICE_STATUS,  [22] = QUEUE_SELECT,
        [24] = QUEUE_SIZE,           [28] = QUEUE_ENABLE,   [30] = QUEUE_NOTIFY_OFF,
        [32] = QUEUE_ADDRESS,        [36] = QUEUE_ADDRESS,  [40] = QUEUE_ADDRESS,
        [44] = QUEUE_ADDRESS,        [48] = QUEUE_ADDRESS,  [52] = QUEUE_ADDRESS,
        [56] = QUEUE_NOTIFY_DATA,
    };

    if (liar.patched || bar != SIM_MODERN_BAR)
        return NOTHING;
    return offset < sizeof(registers) / sizeof(registers[0]) ? registers[offset] : NOTHING;
}

static void note_half(uint64_t *features, uint32_t select, uint32_t value)
{
    const unsigned shift = 32 * (select & 1);

    *features = (*features & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
}

/* One byte decides: the truth, or the bytes behind it. When they are used up, all is true. */
static uint32_t lie(enum what what, uint32_t value, unsigned width)
{
    if (input_8(liar.input) & 1) {
        value = (uint32_t)input_bytes(liar.input, width);
        if (what == QUEUE_SIZE && value > RING_MAX && (value & (value - 1)) == 0)
            value = RING_MAX;
    }
    if (what == DEVICE_FEATURES)
        note_half(&liar.features, liar.device_select, value);
    if (what == DEVICE_STATUS)
        liar.status = value;
    if (what == QUEUE_SIZE)
        liar.sizes[slot()] = value;
    if (what == QUEUE_NOTIFY_OFF)
        liar.notify_off[slot()] = value;
    if (what == QUEUE_NOTIFY_DATA)
        liar.notify_data[slot()] = value;
    return value;
}

/* All of a ring must be in allocated memory, with any size that the device states. */
static void check_page(uint32_t page)
{
    const uint32_t size = liar.sizes[slot()];

    ensure(virtqueue_size_valid(size));
    ensure(machine_dma((uint64_t)page << 12, virtqueue_layout(size, false).total) != NULL);
}

static void check_addresses(void)
{
    const uint64_t *const at = liar.addresses[slot()];
    const uint32_t size = liar.sizes[slot()];

    ensure(virtqueue_size_valid(size));
    ensure(at[0] % 16 == 0 && machine_dma(at[0], 16 * size) != NULL);
    if (liar.taken & SIM_F(RING_PACKED)) { /* §2.8.10.1 */
        ensure(at[1] % 4 == 0 && machine_dma(at[1], 4) != NULL);
        ensure(at[2] % 4 == 0 && machine_dma(at[2], 4) != NULL);
        return;
    }
    ensure(at[1] % 2 == 0 && machine_dma(at[1], 6 + 2 * size) != NULL);
    ensure(at[2] % 4 == 0 && machine_dma(at[2], 6 + 8 * size) != NULL);
}

static void note_address(uint32_t offset, uint32_t half)
{
    memcpy((uint8_t *)liar.addresses[slot()] + (offset - 32), &half, sizeof(half));
}

static void check_write(enum what what, uint32_t offset, uint32_t value)
{
    switch (what) {
    case DRIVER_FEATURES:
        ensure((value & ~(uint32_t)(liar.features >> 32 * (liar.driver_select & 1))) == 0);
        note_half(&liar.taken, liar.driver_select, value);
        break;
    case DEVICE_STATUS:
        ensure(value == 0 || (value & liar.status) == liar.status);
        break;
    case QUEUE_SELECT:
        liar.selected = (uint16_t)value;
        break;
    case QUEUE_SIZE:
        ensure(virtqueue_size_valid(value));
        liar.sizes[slot()] = value;
        break;
    case QUEUE_PAGE:
        check_page(value);
        break;
    case QUEUE_ENABLE:
        ensure(value == 1);
        check_addresses();
        if (slot() == SIM_CONTROL)
            liar.control = liar.selected;
        break;
    case QUEUE_ADDRESS:
        note_address(offset, value);
        break;
    case DEVICE_FEATURE_SELECT:
        liar.device_select = value;
        break;
    case DRIVER_FEATURE_SELECT:
        liar.driver_select = value;
        break;
    default:
        break;
    }
}

static uint32_t liar_port_read(void *context, uint16_t offset, unsigned width)
{
    liar.device_select = liar.driver_select = 0; /* there is but one half here */
    return lie(port_register(offset), liar.honest_port_read(context, offset, width), width);
}

static void liar_port_write(void *context, uint16_t offset, unsigned width, uint32_t value)
{
    check_write(port_register(offset), offset, value);
    liar.honest_port_write(context, offset, width, value);
}

static uint32_t liar_read(void *context, unsigned bar, uint32_t offset, unsigned width)
{
    return lie(memory_register(bar, offset), liar.honest_read(context, bar, offset, width), width);
}

static uint64_t notify_offset(uint32_t index)
{
    return (uint64_t)liar.notify_off[index] * liar.sim->modern.multiplier;
}

/* With NOTIF_CONFIG_DATA, the device's value. */
static uint32_t notify_value(uint32_t index)
{
    if (liar.taken & SIM_F(NOTIF_CONFIG_DATA))
        return liar.notify_data[index];
    return index == SIM_CONTROL ? liar.control : index;
}

/* A doorbell belongs where the queue was said to have it, and that is within the structure. */
static void check_doorbell(uint32_t offset, uint32_t value)
{
    uint32_t index = 0;

    while (index < SIM_QUEUES && (notify_value(index) != value || notify_offset(index) != offset))
        index++;
    ensure(index < SIM_QUEUES && offset + 2 <= NOTIFY_BYTES);
}

static void liar_write(void *context, unsigned bar, uint32_t offset, unsigned width, uint32_t value)
{
    check_write(memory_register(bar, offset), offset, value);
    if (!liar.patched && bar == SIM_MODERN_BAR && offset >= NOTIFY_AT)
        check_doorbell(offset - NOTIFY_AT, value);
    liar.honest_write(context, bar, offset, width, value);
}

/* Bytes over the capabilities, whose list may lead anywhere then. */
static void patch_capabilities(struct input *input)
{
    struct sim_pci_function *pci = liar.sim->pci;

    for (unsigned n = input_8(input) & 7; n > 0; n--) {
        const uint8_t at = 0x40 + input_8(input) % 0xc0;
        pci->config[at] = input_8(input);
        liar.patched = true;
    }
}

/* The interfaces: legacy, modern, both, or both with the memory nowhere. */
static void add_interfaces(struct input *input, uint8_t choice)
{
    static const uint64_t bases[] = {MODERN_BASE, MODERN_BASE, MODERN_BASE, 0};
    struct sim_virtio_net *sim = liar.sim;

    if ((choice & 3) == 0)
        return;
    sim_virtio_net_modernise(sim, bases[choice & 3], (choice & 3) == 1);
    if (choice & 4) {
        sim_pci_add_bar(sim->pci, SIM_MODERN_PORTS, 1, 16, MODERN_PORTS);
        sim_modern_add_capability(sim, SIM_NOTIFY, SIM_MODERN_PORTS, 0, 16);
    }
    sim->modern.features_refused = choice & 8;
    sim->modern.generation_moves = choice & 16 ? SIM_ALWAYS : 0;
    sim->modern.size_kept = choice & 32;
    patch_capabilities(input);
    liar.honest_read = sim->pci->memory_read;
    liar.honest_write = sim->pci->memory_write;
    sim->pci->memory_read = liar_read;
    sim->pci->memory_write = liar_write;
}

static void add_device(struct input *input, uint8_t interfaces)
{
    static const uint8_t bars[] = {0xc0, 0xe0, 0xf0, 0x80}; /* of 64, 32, 16 and 128 bytes */
    const uint8_t choice = input_8(input);
    struct sim_virtio_net *sim = sim_virtio_net_add(1, input_bytes(input, 8));

    liar.sim = sim;
    if (choice & 1)
        sim_virtio_net_enable_msix(sim);
    sim->pci->writable[0x10] = bars[choice >> 1 & 3];
    for (unsigned i = 0; i < SIM_QUEUES; i++)
        sim->queues[i].size = (uint16_t)(8u << (choice >> 3 & 3));
    sim->link_status = choice & 0x20 ? 0 : 1;
    if (choice & 0x40)
        sim->pci->writable[0x04] = 3; /* no bus master */
    sim->page_refused = choice & 0x80;
    liar.honest_port_read = sim->pci->port_read;
    liar.honest_port_write = sim->pci->port_write;
    sim->pci->port_read = liar_port_read;
    sim->pci->port_write = liar_port_write;
    add_interfaces(input, interfaces);
}

static void check_probed(const struct virtio_net *net)
{
    const struct port *dev = &net->port;

    ensure(net->step == STEP_NEGOTIATED || net->step == STEP_FAILED);
    ensure(dev->state != PORT_DOWN || machine_log_count("error", "port=0 ") == 1);
    if (net->step != STEP_NEGOTIATED)
        return;
    ensure(virtqueue_size_valid(net->rx.queue.size) && virtqueue_size_valid(net->tx.queue.size));
    ensure(dev->rx_size != 0 && dev->tx_size != 0 && dev->mtu <= VIRTIO_NET_MTU_MAX);
    ensure(dev->frame_max >= dev->mtu + ETHERNET_HEADER_SIZE);
    ensure((dev->mac.bytes[0] & 1) == 0);
}

/* All operations of a port, in any state. The input chooses. */
static void ask_everything(struct port *dev, uint8_t choice)
{
    static const enum sim_answer answers[] = {SIM_ANSWER_OK,    SIM_ANSWER_OK,    SIM_ANSWER_REFUSE,
                                              SIM_ANSWER_NEVER, SIM_ANSWER_LATE,  SIM_ANSWER_TWICE,
                                              SIM_ANSWER_BLANK, SIM_ANSWER_BAD_ID};
    const struct mac_address mac = {{2, 0, 0, 0, 0, choice}};

    liar.sim->answer = answers[choice >> 5];
    liar.sim->answer_delay_ns = 3 * CLOCK_STEP_NS;
    (void)wanted_promisc(dev, choice & 1);
    (void)wanted_allmulti(dev, choice & 2);
    (void)wanted_mac(dev, mac);
    (void)wanted_address(dev, mac);
    (void)wanted_vlan(dev, choice);
    (void)wanted_description(dev);
    port_report(dev);
    ensure((dev->mac.bytes[0] & 1) == 0);
}

static void check_buffers(const struct virtio_net *net, const struct lane *lane)
{
    const uint32_t in_rings =
        virtqueue_outstanding(&net->rx.queue) + virtqueue_outstanding(&net->tx.queue);

    ensure(lane->pool->count + in_rings == lane->pool->capacity);
}

/* One frame comes in: an ordinary one, or one that asks for something. */
static void deliver(struct input *input)
{
    static uint8_t frame[FRAME_ROOM];

    if (liar.offloads)
        sim_virtio_net_deliver(liar.sim, frame,
                               adversary_frame_make(liar.sim->header, frame, FRAME_ROOM, input));
    else
        sim_virtio_net_deliver(liar.sim, "a frame of twenty by", 20);
}

/* The device gets only frames that fit the features it has stated. */
static void check_sent(const struct virtio_net *net)
{
    for (unsigned i = 0; i < liar.sim->sent_count; i++) {
        const struct sim_frame *frame = &liar.sim->sent[i];
        oracle_header_check_sent(net, frame->header, frame->data, frame->length);
    }
    sim_virtio_net_forget_sent(liar.sim);
}

/* The port runs, or is reset and comes back, or is retired. */
static void live(struct port *dev, struct lane *lane, struct input *input)
{
    while (input->left > 0) {
        const uint8_t choice = input_8(input);
        machine_log_forget();
        machine_clock_advance((choice & 0x80 ? 10000u : 1u) * (choice & 0x1f) * CLOCK_NS_PER_MS);
        if (choice & 0x20)
            lane_run(lane);
        check_sent((struct virtio_net *)dev);
        if (choice & 0x40)
            deliver(input);
        dev->ops->service(dev, clock_ns());
        if ((choice & 0x7f) == 0)
            ask_everything(dev, input_8(input));
        check_buffers((struct virtio_net *)dev, lane);
    }
    ask_everything(dev, 0);
}

static void start(struct port *dev, struct input *input)
{
    static const uint8_t queues[][2] = {{1, 1}, {1, 1}, {1, 2}, {0, 1},
                                        {2, 1}, {1, 1}, {1, 1}, {1, 1}};
    const uint8_t choice = input_8(input);
    const uint8_t *wanted = queues[choice & 7];
    struct lane lane;
    struct pool pool;
    struct port_setup setup = {.rx_queues = wanted[0], .tx_queues = wanted[1]};

    lane_init(&lane, dev, dev, app_find("reflect"));
    if (!pool_create(&pool, choice & 8 ? TX_POOL : dev->rx_size + dev->tx_size + BURST,
                     dev->frame_max, dev->rx_offloads & PORT_OFFLOAD_CHAINS))
        return;
    lane.pool = &pool;
    setup.rx[0] =
        (struct port_rx_setup){.pool = &pool, .buffers = choice & 8 ? choice >> 4 : dev->rx_size};
    dev->wanted.payload_max = 1500;
    dev->wanted.offloads = liar.offloads ? dev->tx_offloads : 0;
    setup.tx[0] =
        (struct port_tx_setup){.pool = &pool, .buffers = choice & 8 ? TX_POOL / 4 : dev->tx_size};
    const bool started = dev->ops->start(dev, &setup);
    ensure(started == (dev->state == PORT_UP));
    ask_everything(dev, input_8(input));
    if (started && setup.rx_queues == 1)
        live(dev, &lane, input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum virtio_net_transport choices[] = {TRANSPORT_AUTO, TRANSPORT_MODERN,
                                                        TRANSPORT_LEGACY, TRANSPORT_AUTO};
    struct input input = {data, size};
    struct pci_device pci;

    machine_reset();
    machine_clock_step(CLOCK_STEP_NS);
    memset(&liar, 0, sizeof(liar));
    liar.input = &input;
    const uint8_t interfaces = input_8(&input);
    add_device(&input, interfaces);
    const uint8_t memory = input_8(&input);
    liar.offloads = memory >= OFFLOADS_FROM;
    if (memory != 0 && !liar.offloads)
        machine_memory_limit(memory * 4096u);
    ensure(pci_scan(&pci, 1) == 1);
    const struct virtio_net_options options = {.transport = choices[interfaces >> 6],
                                               .rx_ring = memory & 4 ? 16u << (memory >> 3 & 7) : 0,
                                               .offloads = memory & 2 || liar.offloads};
    struct port *dev = virtio_net_probe(&pci, 0, &options);
    if (memory & 1)
        (void)port_want_vlan(dev, 1);
    if (dev->state == PORT_STARTING)
        (void)dev->ops->negotiate(dev, liar.offloads ? dev->tx_offloads : interfaces,
                                  liar.offloads ? PORT_FRAME_SEGMENTS : PORT_FRAME_JUMBO);
    check_probed((struct virtio_net *)dev);
    ask_everything(dev, 0);
    if (((struct virtio_net *)dev)->step == STEP_NEGOTIATED)
        start(dev, &input);
    ensure(sim_bus_complaint() == NULL);
    free(dev);
    sim_virtio_net_remove_all();
    return 0;
}
