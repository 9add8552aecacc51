/* One command at a time over the control queue. */
#include "drivers/virtio/virtio_net_control.h"

#include <string.h>

#include <machine/clock.h>
#include <machine/panic.h>

#include "drivers/virtio/virtqueue_burst.h"

/* As for a reset: where the whole machine stood still, the device has had no time. */
#define POLLS_MIN 100

#define ACK_NONE 0xff /* neither OK nor ERR: the device has not written it */

/* True if nothing has come of it for so long that nothing will. Called once a look. */
static bool is_overdue(struct virtio_net_control *control)
{
    return ++control->looks >= POLLS_MIN && clock_ns() - control->sent_ns > VIRTIO_TIMEOUT_NS;
}

bool virtio_net_control_reset(struct virtio_net_control *control)
{
    const struct virtio_device *device = control->device;

    if (control->was_reset || !virtio_has(device, VIRTIO_F_RING_RESET))
        return false;
    control->was_reset = control->resetting = true;
    control->sent_ns = clock_ns();
    control->looks = 0;
    device->transport->reset_queue(device, control->queue.index);
    return true;
}

bool virtio_net_control_look(struct virtio_net_control *control)
{
    const struct virtio_device *device = control->device;

    if (device->transport->queue_is_reset(device, control->queue.index)) {
        control->resetting = control->silent = control->pending = false;
        return true;
    }
    control->resetting = !is_overdue(control);
    return false;
}

/* True if the device has finished the command that is out. A device error stays in queue->error. */
static bool is_answered(struct virtqueue *queue)
{
    void *cookie;

    return virtqueue_take(queue, &cookie, NULL, 1, VIRTQUEUE_IDS).count != 0;
}

enum virtio_net_control_result virtio_net_control_poll(struct virtio_net_control *control)
{
    struct virtqueue *queue = &control->queue;

    if (!is_answered(queue)) {
        if (queue->error != VIRTQUEUE_OK)
            return CONTROL_BROKEN;
        control->silent = is_overdue(control);
        return control->silent ? CONTROL_SILENT : CONTROL_PENDING;
    }
    virtqueue_release(queue, control->slots);
    virtqueue_suppress_interrupts(queue);
    control->pending = false;
    (void)is_answered(queue); /* nothing is out now */
    if (queue->error != VIRTQUEUE_OK)
        return CONTROL_BROKEN;
    return *(volatile uint8_t *)&control->buffer->ack == VIRTIO_NET_OK ? CONTROL_OK
                                                                       : CONTROL_REFUSED;
}

/* Sends the command in the buffer with `count` (0 to 2) parts of data. */
static enum virtio_net_control_result send(struct virtio_net_control *control,
                                           struct virtio_net_ctrl_hdr command,
                                           const struct virtqueue_part *data, unsigned count)
{
    struct virtqueue *queue = &control->queue;
    struct virtio_net_control_buffer *buffer = control->buffer;
    struct virtqueue_part parts[VIRTIO_NET_CONTROL_CHAIN];

    if (control->silent)
        return CONTROL_SILENT;
    /* Nothing is out: an answer now is a device error, not ours. */
    (void)is_answered(queue);
    if (queue->error != VIRTQUEUE_OK)
        return CONTROL_BROKEN;
    ensure(count + 2 <= VIRTIO_NET_CONTROL_CHAIN);

    buffer->command = command;
    buffer->ack = ACK_NONE;
    parts[0] = (struct virtqueue_part){&buffer->command, sizeof(command), false};
    for (unsigned i = 0; i < count; i++)
        parts[i + 1] = data[i];
    parts[count + 1] = (struct virtqueue_part){&buffer->ack, sizeof(buffer->ack), true};
    control->pending = true;
    control->sent_ns = clock_ns();
    control->looks = 0;
    if (virtqueue_add_parts(queue, parts, count + 2, buffer, &control->slots))
        virtio_notify(control->device, queue);
    return CONTROL_PENDING;
}

/* A command with `size` bytes of data in one part. */
static enum virtio_net_control_result send_data(struct virtio_net_control *control,
                                                struct virtio_net_ctrl_hdr command,
                                                const void *data, uint32_t size)
{
    const struct virtqueue_part part = {control->buffer->data, size, false};

    if (!control->silent) /* else the buffer is the device's */
        memcpy(control->buffer->data, data, size);
    return send(control, command, &part, 1);
}

enum virtio_net_control_result virtio_net_control_set_pairs(struct virtio_net_control *control,
                                                            uint16_t pairs)
{
    return send_data(
        control, (struct virtio_net_ctrl_hdr){VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET},
        &pairs, sizeof(pairs));
}

enum virtio_net_control_result virtio_net_control_rx_mode(struct virtio_net_control *control,
                                                          uint8_t command, bool on)
{
    const uint8_t data = on;

    return send_data(control, (struct virtio_net_ctrl_hdr){VIRTIO_NET_CTRL_RX, command}, &data,
                     sizeof(data));
}

/* Fills a table of the command, which is as long as it has entries. */
static struct virtqueue_part fill_table(struct virtio_net_mac_table *table,
                                        const struct port_addresses *addresses)
{
    const size_t bytes = addresses->count * sizeof(addresses->macs[0]);

    ensure(addresses->count <= PORT_FILTER_MAX);
    table->entries = addresses->count;
    memcpy(table->macs, addresses->macs, bytes);
    /* By our own count: the one in the table is the device's to read, and so to be doubted. */
    return (struct virtqueue_part){
        table, (uint32_t)(offsetof(struct virtio_net_mac_table, macs) + bytes), false};
}

enum virtio_net_control_result virtio_net_control_set_table(struct virtio_net_control *control,
                                                            const struct port_addresses *stations,
                                                            const struct port_addresses *groups)
{
    struct virtio_net_control_buffer *buffer = control->buffer;

    if (control->silent)
        return CONTROL_SILENT; /* the buffer is the device's */
    const struct virtqueue_part parts[] = {fill_table(&buffer->unicast, stations),
                                           fill_table(&buffer->multicast, groups)};
    return send(control,
                (struct virtio_net_ctrl_hdr){VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET},
                parts, 2);
}

enum virtio_net_control_result virtio_net_control_set_mac(struct virtio_net_control *control,
                                                          struct mac_address mac)
{
    return send_data(
        control, (struct virtio_net_ctrl_hdr){VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET},
        mac.bytes, sizeof(mac.bytes));
}

enum virtio_net_control_result virtio_net_control_add_vlan(struct virtio_net_control *control,
                                                           uint16_t id)
{
    return send_data(control,
                     (struct virtio_net_ctrl_hdr){VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD},
                     &id, sizeof(id));
}

enum virtio_net_control_result virtio_net_control_set_offloads(struct virtio_net_control *control,
                                                               uint64_t offloads)
{
    return send_data(control,
                     (struct virtio_net_ctrl_hdr){VIRTIO_NET_CTRL_GUEST_OFFLOADS,
                                                  VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET},
                     &offloads, sizeof(offloads));
}

enum virtio_net_control_result virtio_net_control_announce_ack(struct virtio_net_control *control)
{
    return send(
        control,
        (struct virtio_net_ctrl_hdr){VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK}, NULL,
        0);
}

const char *virtio_net_control_result_name(enum virtio_net_control_result result)
{
    static const char *const names[] = {
        [CONTROL_PENDING] = "pending",  [CONTROL_OK] = "ok",         [CONTROL_REFUSED] = "refused",
        [CONTROL_SILENT] = "no-answer", [CONTROL_BROKEN] = "breach",
    };
    return names[result];
}
