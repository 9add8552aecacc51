/*
 * The modern interface: vendor capabilities in configuration space, and the structures that they lead
 * to (virtio 1.2 §4.1.4). Accesses must be of a field's own width and place (§4.1.3.1).
 */
#include <string.h>

#include "tests/host/sim/virtio_registers.h"

enum {
    VENDOR_CAPABILITY = 9,

    /* struct virtio_pci_cap */
    CAP_LEN = 2,
    CAP_CFG_TYPE = 3,
    CAP_BAR = 4,
    CAP_OFFSET = 8,
    CAP_LENGTH = 12,
    CAP_MULTIPLIER = 16,
    CAP_DATA = 16,

    /* struct virtio_pci_common_cfg */
    DEVICE_FEATURE_SELECT = 0,
    DEVICE_FEATURE = 4,
    DRIVER_FEATURE_SELECT = 8,
    DRIVER_FEATURE = 12,
    CONFIG_MSIX_VECTOR = 16,
    NUM_QUEUES = 18,
    DEVICE_STATUS = 20,
    CONFIG_GENERATION = 21,
    QUEUE_SELECT = 22,
    QUEUE_SIZE = 24,
    QUEUE_MSIX_VECTOR = 26,
    QUEUE_ENABLE = 28,
    QUEUE_NOTIFY_OFF = 30,
    QUEUE_ADDRESSES = 32, /* three, of 64 bits */
    QUEUE_NOTIFY_DATA = 56,
    QUEUE_RESET = 58,
    COMMON_BYTES = 60,

    /* where each structure is in BAR 4, as QEMU has them */
    COMMON_AT = 0x0000,
    ISR_AT = 0x1000,
    DEVICE_AT = 0x2000,
    NOTIFY_AT = 0x3000,
    STRUCTURE_BYTES = 0x1000,

    FEATURES_OK = 8,
    NO_VECTOR = 0xffff,
};

/* --- queues --- */

/* The selected queue, if there is one that may be set up. */
static struct sim_queue *existing(struct sim_virtio_net *net)
{
    struct sim_queue *queue = sim_selected_queue(net);

    return queue != NULL && queue->size != 0 ? queue : NULL;
}

static void restore_size(struct sim_virtio_net *net, unsigned index)
{
    if (net->modern.sizes[index] != 0)
        net->queues[index].size = net->modern.sizes[index];
    net->modern.sizes[index] = 0;
}

static uint16_t read_queue(struct sim_virtio_net *net, uint32_t offset)
{
    const struct sim_modern *modern = &net->modern;
    const struct sim_queue *queue = existing(net);

    if (offset == QUEUE_SIZE)
        return sim_read_queue_size(net);
    if (queue == NULL)
        return 0;
    switch (offset) {
    case QUEUE_ENABLE:
        return modern->enabled[queue->index];
    case QUEUE_NOTIFY_OFF:
        return modern->notify_off[queue->index];
    case QUEUE_NOTIFY_DATA:
        return modern->notify_data[queue->index];
    case QUEUE_RESET:
        return modern->resetting[queue->index];
    case QUEUE_MSIX_VECTOR:
        return net->queue_vectors[queue->index];
    default:
        return 0;
    }
}

/* §4.1.4.3.2: a power of two, and no more than is stated. */
static void write_size(struct sim_virtio_net *net, struct sim_queue *queue, uint16_t size)
{
    const uint16_t stated =
        net->modern.sizes[queue->index] != 0 ? net->modern.sizes[queue->index] : queue->size;

    if (size == 0 || (size & (size - 1)) != 0 || size > stated)
        sim_complain(net, "queue size %u written where %u is stated", size, stated);
    net->modern.size_writes++;
    if (net->modern.size_kept)
        return;
    net->modern.sizes[queue->index] = stated;
    queue->size = net->modern.size_lie != 0 ? net->modern.size_lie : size;
}

static void enable(struct sim_virtio_net *net, const struct sim_queue *queue, uint16_t value)
{
    if (value != 1)
        sim_complain(net, "%u written to queue_enable", value);
    if (!(net->status & FEATURES_OK))
        sim_complain(net, "queue %u enabled at status 0x%02x", net->selected, net->status);
    if (net->modern.enable_refused)
        return;
    net->modern.enabled[queue->index] = sim_place_queue(net, net->modern.places[queue->index]);
}

/* §2.6.1, §4.1.4.3.1: one queue is reset, and states its size as before. */
static void reset_queue(struct sim_virtio_net *net, struct sim_queue *queue, uint16_t value)
{
    if (value != 1 || !sim_negotiated(net, SIM_F_RING_RESET) || !net->modern.enabled[queue->index])
        sim_complain(net, "%u written to queue_reset of queue %u", value, net->selected);
    net->modern.queue_resets++;
    net->modern.enabled[queue->index] = false;
    net->modern.resetting[queue->index] = net->modern.queue_reset_stuck;
    sim_queue_reset(queue);
    restore_size(net, queue->index);
}

static void write_address(struct sim_virtio_net *net, unsigned slot, uint32_t offset, uint32_t half)
{
    uint8_t *place = (uint8_t *)&net->modern.places[slot];

    memcpy(place + (offset - QUEUE_ADDRESSES), &half, 4); /* desc, avail, used: in this order */
}

static void write_queue(struct sim_virtio_net *net, uint32_t offset, uint32_t value)
{
    struct sim_queue *queue = existing(net);

    if (queue == NULL) {
        sim_complain(net, "register %u of queue %u, which nobody may set up", offset,
                     net->selected);
        return;
    }
    if (net->modern.enabled[queue->index] && offset != QUEUE_RESET && offset != QUEUE_MSIX_VECTOR)
        sim_complain(net, "register %u of queue %u written, which is enabled", offset,
                     net->selected);
    if (offset == QUEUE_SIZE)
        write_size(net, queue, (uint16_t)value);
    else if (offset == QUEUE_ENABLE)
        enable(net, queue, (uint16_t)value);
    else if (offset == QUEUE_RESET)
        reset_queue(net, queue, (uint16_t)value);
    else if (offset == QUEUE_MSIX_VECTOR)
        net->queue_vectors[queue->index] = sim_take_vector(net, (uint16_t)value);
    else
        write_address(net, queue->index, offset, value);
}

/* --- the common configuration --- */

static unsigned width_of(uint32_t offset)
{
    if (offset == DEVICE_STATUS || offset == CONFIG_GENERATION)
        return 1;
    if (offset < CONFIG_MSIX_VECTOR || (offset >= QUEUE_ADDRESSES && offset < QUEUE_NOTIFY_DATA))
        return 4;
    return 2;
}

static uint32_t half_of(uint64_t features, uint32_t select)
{
    return select < 2 ? (uint32_t)(features >> 32 * select) : 0;
}

static uint8_t read_generation(struct sim_virtio_net *net)
{
    if (net->modern.generation_moves > 0) {
        net->modern.generation++;
        if (net->modern.generation_moves != SIM_ALWAYS)
            net->modern.generation_moves--;
    }
    return net->modern.generation;
}

static uint32_t read_common(struct sim_virtio_net *net, uint32_t offset)
{
    switch (offset) {
    case DEVICE_FEATURE:
        return half_of(net->features, net->modern.device_feature_select);
    case DRIVER_FEATURE:
        return half_of(net->driver_features, net->modern.driver_feature_select);
    case NUM_QUEUES:
        return sim_virtio_net_control_index(net) + 1;
    case DEVICE_STATUS:
        return sim_read_status(net);
    case CONFIG_GENERATION:
        return read_generation(net);
    case QUEUE_SELECT:
        return net->selected;
    case CONFIG_MSIX_VECTOR:
        return net->config_vector;
    default:
        return offset > QUEUE_SELECT ? read_queue(net, offset) : NO_VECTOR;
    }
}

static void write_feature_half(struct sim_virtio_net *net, uint32_t half)
{
    const uint32_t select = net->modern.driver_feature_select;
    const uint64_t kept = net->driver_features & ~(0xffffffffull << 32 * (select & 1));

    if (select > 1)
        sim_complain(net, "feature half %u written", select);
    else
        sim_write_features(net, kept | (uint64_t)half << 32 * select);
}

static void write_common(struct sim_virtio_net *net, uint32_t offset, uint32_t value)
{
    switch (offset) {
    case DEVICE_FEATURE_SELECT:
        net->modern.device_feature_select = value;
        break;
    case DRIVER_FEATURE_SELECT:
        net->modern.driver_feature_select = value;
        break;
    case DRIVER_FEATURE:
        write_feature_half(net, value);
        break;
    case DEVICE_STATUS:
        sim_write_status(net, (uint8_t)value);
        break;
    case QUEUE_SELECT:
        net->selected = (uint16_t)value;
        break;
    case CONFIG_MSIX_VECTOR:
        net->config_vector = sim_take_vector(net, (uint16_t)value);
        break;
    default:
        if (offset < QUEUE_SIZE || offset == QUEUE_NOTIFY_OFF || offset == QUEUE_NOTIFY_DATA)
            sim_complain(net, "write to register %u, which is the device's", offset);
        else
            write_queue(net, offset, value);
        break;
    }
}

/* --- one access to BAR 4, or to the ports of BAR 2 --- */

static uint32_t modern_read(void *context, unsigned bar, uint32_t offset, unsigned width)
{
    struct sim_virtio_net *net = context;

    if (net->gone)
        return 0xffffffffu >> (32 - 8 * width);
    if (bar == SIM_MODERN_BAR && offset < COMMON_BYTES && width == width_of(offset))
        return read_common(net, offset);
    if (bar == SIM_MODERN_BAR && offset == ISR_AT && width == 1)
        return sim_read_isr(net);
    if (bar == SIM_MSIX_BAR)
        return sim_msix_read(net, bar, offset, width);
    if (bar == SIM_MODERN_BAR && offset >= DEVICE_AT && offset < NOTIFY_AT)
        return sim_read_config(net, (uint16_t)(offset - DEVICE_AT), width);
    sim_complain(net, "read of %u bytes at 0x%x in BAR %u", width, offset, bar);
    return 0xffffffffu;
}

/* The queue of a doorbell, by its place in queues[]; SIM_QUEUES: none. */
static unsigned rung_for(const struct sim_virtio_net *net, uint32_t value)
{
    if (!sim_negotiated(net, SIM_F_NOTIF_CONFIG_DATA))
        return sim_slot_of(net, value);
    for (unsigned i = 0; i < SIM_QUEUES; i++)
        if (net->modern.notify_data[i] == value)
            return i;
    return SIM_QUEUES;
}

/* §4.1.5.2: the queue's index, or its queue_notify_data, at the queue's doorbell. */
static void ring(struct sim_virtio_net *net, uint32_t offset, unsigned width, uint32_t value)
{
    const unsigned slot = rung_for(net, value);

    if (width != 2 || slot == SIM_QUEUES ||
        offset != net->modern.notify_off[slot] * net->modern.multiplier)
        sim_complain(net, "doorbell %u with width %u at 0x%x", value, width, offset);
    else
        sim_doorbell(net, slot);
}

static void modern_write(void *context, unsigned bar, uint32_t offset, unsigned width,
                         uint32_t value)
{
    struct sim_virtio_net *net = context;

    if (net->gone)
        return;
    if (bar == SIM_MSIX_BAR)
        sim_msix_write(net, bar, offset, width, value);
    else if (bar == SIM_MODERN_PORTS)
        ring(net, offset, width, value);
    else if (bar == SIM_MODERN_BAR && offset >= NOTIFY_AT)
        ring(net, offset - NOTIFY_AT, width, value);
    else if (bar == SIM_MODERN_BAR && offset < COMMON_BYTES && width == width_of(offset))
        write_common(net, offset, value);
    else
        sim_complain(net, "write of %u bytes at 0x%x in BAR %u", width, offset, bar);
}

/* --- the window in configuration space: §4.1.4.9 --- */

static bool window_aimed(struct sim_virtio_net *net, uint8_t offset, unsigned width)
{
    const uint8_t at = net->modern.capabilities[SIM_WINDOW];

    if (at == 0 || offset != at + CAP_DATA)
        return false;
    net->modern.window_accesses++;
    if (sim_pci_get(net->pci, (uint8_t)(at + CAP_LENGTH), 4) != width ||
        sim_pci_get(net->pci, (uint8_t)(at + CAP_OFFSET), 4) % width != 0)
        sim_complain(net, "window of another width than the access, %u, or misaligned", width);
    return true;
}

static void window_read(void *context, uint8_t offset, unsigned width)
{
    struct sim_virtio_net *net = context;
    const uint8_t at = net->modern.capabilities[SIM_WINDOW];

    if (window_aimed(net, offset, width))
        sim_pci_set(net->pci, offset, width,
                    net->pci->memory_read(net, net->pci->config[at + CAP_BAR],
                                          sim_pci_get(net->pci, (uint8_t)(at + CAP_OFFSET), 4),
                                          width));
}

static void window_written(void *context, uint8_t offset, unsigned width)
{
    struct sim_virtio_net *net = context;
    const uint8_t at = net->modern.capabilities[SIM_WINDOW];

    if (window_aimed(net, offset, width))
        net->pci->memory_write(net, net->pci->config[at + CAP_BAR],
                               sim_pci_get(net->pci, (uint8_t)(at + CAP_OFFSET), 4), width,
                               sim_pci_get(net->pci, offset, width));
}

/* --- making --- */

void sim_modern_reset(struct sim_virtio_net *net)
{
    struct sim_modern *modern = &net->modern;

    modern->device_feature_select = modern->driver_feature_select = 0;
    memset(modern->places, 0, sizeof(modern->places));
    for (unsigned i = 0; i < SIM_QUEUES; i++) {
        modern->enabled[i] = modern->resetting[i] = false;
        restore_size(net, i);
    }
}

uint8_t sim_modern_add_capability(struct sim_virtio_net *net, enum sim_structure structure,
                                  uint8_t bar, uint32_t offset, uint32_t length)
{
    const uint8_t cap_len = structure == SIM_NOTIFY || structure == SIM_WINDOW ? 20 : 16;
    const uint8_t at = sim_pci_add_capability(net->pci, VENDOR_CAPABILITY, cap_len);

    net->pci->config[at + CAP_LEN] = cap_len;
    net->pci->config[at + CAP_CFG_TYPE] = (uint8_t)structure;
    net->pci->config[at + CAP_BAR] = bar;
    sim_pci_set(net->pci, (uint8_t)(at + CAP_OFFSET), 4, offset);
    sim_pci_set(net->pci, (uint8_t)(at + CAP_LENGTH), 4, length);
    if (structure == SIM_NOTIFY)
        sim_pci_set(net->pci, (uint8_t)(at + CAP_MULTIPLIER), 4, net->modern.multiplier);
    if (structure == SIM_WINDOW) {
        net->pci->writable[at + CAP_BAR] = 0xff;
        memset(&net->pci->writable[at + CAP_OFFSET], 0xff, 12);
    }
    return at;
}

void sim_virtio_net_modernise(struct sim_virtio_net *net, uint64_t base, bool only)
{
    static const struct {
        enum sim_structure structure;
        uint32_t offset, length;
    } rows[] = {
        {SIM_COMMON, COMMON_AT, STRUCTURE_BYTES},
        {SIM_ISR, ISR_AT, STRUCTURE_BYTES},
        {SIM_DEVICE, DEVICE_AT, STRUCTURE_BYTES},
        {SIM_NOTIFY, NOTIFY_AT, STRUCTURE_BYTES},
        {SIM_WINDOW, 0, 0},
    };

    net->features |= SIM_F(VERSION_1);
    net->modern.present = true;
    net->modern.multiplier = 4;
    for (uint16_t i = 0; i < SIM_QUEUES; i++)
        net->modern.notify_off[i] = net->modern.notify_data[i] = i;
    sim_pci_add_bar(net->pci, SIM_MODERN_BAR, 4 | 8, SIM_MODERN_BYTES, base);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        net->modern.capabilities[rows[i].structure] = sim_modern_add_capability(
            net, rows[i].structure, rows[i].structure == SIM_WINDOW ? 0 : SIM_MODERN_BAR,
            rows[i].offset, rows[i].length);
    net->pci->memory_read = modern_read;
    net->pci->memory_write = modern_write;
    net->pci->config_read = window_read;
    net->pci->config_written = window_written;
    if (only) {
        sim_pci_set(net->pci, 0x02, 2, 0x1041);
        sim_pci_set(net->pci, 0x10, 4, 0);
        memset(&net->pci->writable[0x10], 0, 4);
    }
}
