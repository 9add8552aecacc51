/* What a port tells of itself: its device's features and speed, and where its buffers are. */
#include "drivers/virtio/virtio_net_features.h"
#include "drivers/virtio/virtio_net_internal.h"

/* Buffers of all frames that the device has, tables included. */
static uint32_t count_tx_buffers(const struct virtio_net *net)
{
    const struct virtqueue *const queue = &net->tx.queue;
    return virtqueue_outstanding(queue) + net->tx.hung;
}

static uint32_t count_unsent(const struct virtio_net *net)
{
    if (net->step != STEP_RUNNING)
        return 0;
    return net->tx.queue.error == VIRTQUEUE_OK ? virtqueue_unfinished(&net->tx.queue) : 0;
}

/*
 * Speed and duplex of one moment (§5.1.4), read whenever they are asked for: so a change of the
 * configuration is seen without being told of it. Unknown where the device does not say, or says
 * something new each time; the legacy interface never says, as its features end before bit 63.
 */
static void read_speed(const struct virtio_net *net, struct port_description *description)
{
    const struct virtio_device *virtio = &net->virtio;

    description->duplex = "unknown";
    if (net->step == STEP_UNPLUGGED)
        return; /* its registers are somebody else's by now */
    for (unsigned tries = 0;
         tries < VIRTIO_CONFIG_TRIES && virtio_has(virtio, VIRTIO_NET_F_SPEED_DUPLEX); tries++) {
        const uint32_t generation = virtio_config_generation(virtio);
        const uint32_t speed = virtio_read_config32(virtio, VIRTIO_NET_CONFIG_SPEED);
        const uint8_t duplex = virtio_read_config8(virtio, VIRTIO_NET_CONFIG_DUPLEX);

        if (virtio_config_generation(virtio) != generation)
            continue;
        description->speed = speed <= VIRTIO_NET_SPEED_MAX ? speed : 0;
        if (duplex == VIRTIO_NET_DUPLEX_FULL)
            description->duplex = "full";
        else if (duplex == VIRTIO_NET_DUPLEX_HALF)
            description->duplex = "half";
        return;
    }
}

void virtio_net_describe(const struct port *port, struct port_description *description)
{
    const struct virtio_net *net = virtio_net_of_const(port);
    const struct virtio_transport *transport = net->virtio.transport;

    *description = (struct port_description){
        .transport = transport != NULL ? transport->name : "none",
        .interrupt = pci_interrupt_name(net->virtio.interrupt),
        .features = net->virtio.taken,
        .rx_descriptors = net->rx.queue.size,
        .tx_descriptors = net->tx.queue.size,
    };
    virtio_net_features_text(net->virtio.taken, description->features_text);
    read_speed(net, description);
}

void virtio_net_count(const struct port *port, struct port_filling *filling)
{
    const struct virtio_net *net = virtio_net_of_const(port);

    *filling = (struct port_filling){
        .rx_buffers = virtqueue_outstanding(&net->rx.queue),
        .tx_frames = virtqueue_outstanding(&net->tx.queue),
        .tx_buffers = count_tx_buffers(net),
        .tx_unsent = count_unsent(net),
    };
}
