/* The registers of the legacy interface: virtio 1.2 §4.1.4.10, and the page of a ring §4.1.5.1.3. */
#include <string.h>

#include "tests/host/sim/virtio_registers.h"

enum {
    DEVICE_FEATURES = 0,
    DRIVER_FEATURES = 4,
    QUEUE_ADDRESS = 8,
    QUEUE_SIZE = 12,
    QUEUE_SELECT = 14,
    QUEUE_NOTIFY = 16,
    DEVICE_STATUS = 18,
    ISR_STATUS = 19,
    CONFIG = 20,
    CONFIG_VECTOR = 20, /* with MSI-X */
    QUEUE_VECTOR = 22,
    CONFIG_WITH_MSIX = 24,
    DRIVER_OK = 4,
    PAGE = 4096,
};

static uint16_t config_start(const struct sim_virtio_net *net)
{
    return sim_msix_enabled(net) ? CONFIG_WITH_MSIX : CONFIG;
}

static uint32_t page_of(const struct sim_queue *queue)
{
    return queue != NULL && queue->in_use ? (uint32_t)(queue->place.desc / PAGE) : 0;
}

uint32_t sim_legacy_read(void *context, uint16_t offset, unsigned width)
{
    struct sim_virtio_net *net = context;
    const struct sim_queue *queue = sim_selected_queue(net);

    if (net->gone)
        return 0xffffffffu;
    if (offset >= config_start(net))
        return sim_read_config(net, (uint16_t)(offset - config_start(net)), width);
    if (offset == DEVICE_FEATURES && width == 4)
        return (uint32_t)net->features;
    if (offset == DRIVER_FEATURES && width == 4)
        return (uint32_t)net->driver_features;
    if (offset == QUEUE_ADDRESS && width == 4)
        return page_of(queue);
    if (offset == QUEUE_SIZE && width == 2)
        return sim_read_queue_size(net);
    if (offset == QUEUE_SELECT && width == 2)
        return net->selected;
    if (offset == DEVICE_STATUS && width == 1)
        return sim_read_status(net);
    if (offset == ISR_STATUS && width == 1)
        return sim_read_isr(net);
    if (offset == CONFIG_VECTOR && width == 2)
        return net->config_vector;
    if (offset == QUEUE_VECTOR && width == 2)
        return queue != NULL ? net->queue_vectors[queue->index] : 0xffff;
    sim_complain(net, "read of %u bytes at register %u", width, offset);
    return 0xffffffffu;
}

static void write_page(struct sim_virtio_net *net, uint32_t page)
{
    const struct sim_queue *queue = sim_selected_queue(net);

    if (net->status & DRIVER_OK)
        sim_complain(net, "queue %u set up after DRIVER_OK", net->selected);
    if (!net->page_refused && queue != NULL)
        sim_place_queue(net, sim_queue_legacy_place(queue, page));
    if (queue == NULL)
        sim_complain(net, "address of queue %u, which nobody may set up", net->selected);
}

/* Without the command the MAC may be written byte by byte: §5.1.4.3. */
static void write_config(struct sim_virtio_net *net, uint16_t offset, unsigned width,
                         uint32_t value)
{
    if (offset + width > 6 || sim_negotiated(net, SIM_F_CTRL_MAC_ADDR)) {
        sim_complain(net, "configuration byte %u written", offset);
        return;
    }
    memcpy(net->mac + offset, &value, width);
    memcpy(net->filter_mac, net->mac, 6);
}

void sim_legacy_write(void *context, uint16_t offset, unsigned width, uint32_t value)
{
    struct sim_virtio_net *net = context;
    const struct sim_queue *queue = sim_selected_queue(net);

    if (net->gone)
        return;
    if (offset >= config_start(net))
        write_config(net, (uint16_t)(offset - config_start(net)), width, value);
    else if (offset == DRIVER_FEATURES && width == 4)
        sim_write_features(net, value);
    else if (offset == QUEUE_ADDRESS && width == 4)
        write_page(net, value);
    else if (offset == QUEUE_SELECT && width == 2)
        net->selected = (uint16_t)value;
    else if (offset == CONFIG_VECTOR && width == 2)
        net->config_vector = sim_take_vector(net, (uint16_t)value);
    else if (offset == QUEUE_VECTOR && width == 2 && queue != NULL)
        net->queue_vectors[queue->index] = sim_take_vector(net, (uint16_t)value);
    else if (offset == QUEUE_NOTIFY && width == 2)
        sim_doorbell(net, sim_slot_of(net, value));
    else if (offset == DEVICE_STATUS && width == 1)
        sim_write_status(net, (uint8_t)value);
    else
        sim_complain(net, "write of %u bytes at register %u", width, offset);
}
