/*
 * Interrupts of virtio-net: how its device comes to raise them, and the queues' requests for them
 * before the core sleeps. Awake, it wants none.
 */
#include <machine/log.h>

#include "drivers/virtio/virtio_net_internal.h"
#include "drivers/virtio/virtqueue_burst.h"
#include "drivers/virtio/virtqueue_watch.h"

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

    net->port.can_interrupt = interrupt != PCI_INTERRUPT_NONE &&
                              (interrupt != PCI_INTERRUPT_BY_MESSAGE || set_vectors(net));
    if (!net->port.can_interrupt)
        log_event(LOG_WARN, "warn",
                  "port=%u reason=no-interrupt interrupt=%s line=%u "
                  "effect=\"looked at a thousand times a second while idle\"",
                  net->port.id, pci_interrupt_name(interrupt), net->virtio.pci->interrupt_line);
}

/* True if the queue has something for us already, were it a device error. */
static bool arm(struct virtqueue *queue)
{
    if (queue->error != VIRTQUEUE_OK)
        return true;
    virtqueue_arm(queue);
    return virtqueue_has_finished(queue);
}

/* While a reset, or what is wanted of the port, is under way, `service` has to be called often. */
static bool is_busy(const struct virtio_net *net)
{
    const uint32_t changed = net->port.wanted.changed;

    if (net->step == STEP_RUNNING)
        return net->settings.due != 0 || changed != 0;
    return net->step == STEP_RESETTING || (changed & PORT_WANT_RESET) != 0;
}

/* True if a doorbell may have been lost: virtio_net_watch.c looks for it. */
static bool awaits_doorbell(const struct virtio_net_queue *queue)
{
    return queue->queue.error == VIRTQUEUE_OK &&
           virtqueue_awaits_doorbell(&queue->queue, queue->rung);
}

bool virtio_net_arm(struct port *port, unsigned queue_number, unsigned directions)
{
    struct virtio_net *net = virtio_net_of(port);
    bool work = false;

    (void)queue_number;
    if (is_busy(net))
        return true;
    port->hurries = false;
    if (net->step != STEP_RUNNING)
        return false;
    port->hurries = awaits_doorbell(&net->rx) || awaits_doorbell(&net->tx);
    /* Buffers that were sent may have come back: a device without any has nothing to announce. */
    if (directions & PORT_RX)
        work |= virtio_net_wants_refill(&net->rx) || arm(&net->rx.queue);
    if (directions & PORT_TX)
        work |= arm(&net->tx.queue);
    return work;
}

/* One line and one register for all queues, and whoever reads it makes the device release the line. */
void virtio_net_disarm(struct port *port, unsigned queue_number)
{
    struct virtio_net *net = virtio_net_of(port);

    (void)queue_number;
    if (net->step != STEP_RUNNING)
        return;
    virtqueue_disarm(&net->rx.queue);
    virtqueue_disarm(&net->tx.queue);
    if (net->virtio.interrupt == PCI_INTERRUPT_BY_LINE)
        net->virtio.transport->release_line(&net->virtio);
}
