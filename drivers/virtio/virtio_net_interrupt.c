/*
 * Interrupts of virtio-net: how its device comes to raise them, and the queues' requests for them
 * before the core sleeps. Awake, it wants none.
 */
#include <machine/log.h>

#include "drivers/virtio/virtio_net_internal.h"

/* Entry 0 of the MSI-X table for all; the control queue is polled. */
static bool set_vectors(struct virtio_net *net)
{
    const struct virtio_device *virtio = &net->virtio;

    return virtio->transport->set_config_vector(virtio, 0) &&
           virtio->transport->set_queue_vector(virtio, VIRTIO_NET_QUEUE_RECEIVE, 0) &&
           virtio->transport->set_queue_vector(virtio, VIRTIO_NET_QUEUE_TRANSMIT, 0);
}

/* A port that cannot interrupt works as well, at the price of looking after it. */
void virtio_net_enable_interrupts(struct virtio_net *net)
{
    const enum pci_interrupt interrupt = net->virtio.interrupt;

    net->netdev.announces = interrupt != PCI_INTERRUPT_NONE &&
                            (interrupt != PCI_INTERRUPT_BY_MESSAGE || set_vectors(net));
    if (!net->netdev.announces)
        log_event(LOG_WARN, "warn",
                  "port=%u reason=no-interrupt interrupt=%s line=%u "
                  "effect=\"looked at a thousand times a second while idle\"",
                  net->netdev.id, pci_interrupt_name(interrupt), net->virtio.pci->interrupt_line);
}

/* One line and one register for all queues, and whoever reads it makes the device let go of the
 * line. */
void virtio_net_acknowledge(struct netdev *dev)
{
    const struct virtio_device *virtio = &virtio_net_of(dev)->virtio;

    if (dev->state == NETDEV_RUNNING && virtio->interrupt == PCI_INTERRUPT_BY_LINE)
        virtio->transport->release_line(virtio);
}

/* True if the queue has something for us already. A breach too is something: the next burst tells. */
static bool arm(struct virtqueue *queue)
{
    virtqueue_arm(queue);
    return virtqueue_has_finished(queue) || queue->error != VIRTQUEUE_OK;
}

/* While a reset, or the settings after it, are under way, `service` wants to be called often. */
static bool is_busy(const struct virtio_net *net)
{
    return net->netdev.state == NETDEV_RESETTING || net->netdev.state == NETDEV_DRAINING ||
           (net->netdev.state == NETDEV_RUNNING && net->settings.next != SETTINGS);
}

bool virtio_net_arm_rx(struct netdev *dev, unsigned queue_number)
{
    struct virtio_net *net = virtio_net_of(dev);

    (void)queue_number;
    if (is_busy(net))
        return true;
    /* Buffers that were sent may have come back: a device without any has nothing to announce. */
    return dev->state == NETDEV_RUNNING &&
           (virtio_net_wants_refill(&net->rx) || arm(&net->rx.queue));
}

bool virtio_net_arm_tx(struct netdev *dev, unsigned queue_number)
{
    struct virtio_net *net = virtio_net_of(dev);

    (void)queue_number;
    return is_busy(net) || (dev->state == NETDEV_RUNNING && arm(&net->tx.queue));
}

void virtio_net_disarm_rx(struct netdev *dev, unsigned queue_number)
{
    (void)queue_number;
    if (dev->state == NETDEV_RUNNING)
        virtqueue_disarm(&virtio_net_of(dev)->rx.queue);
}

void virtio_net_disarm_tx(struct netdev *dev, unsigned queue_number)
{
    (void)queue_number;
    if (dev->state == NETDEV_RUNNING)
        virtqueue_disarm(&virtio_net_of(dev)->tx.queue);
}
