/* The rings of a port: their memory, for good, and what they are made of at each reset. */
#include <string.h>

#include <machine/log.h>
#include <machine/memory.h>

#include "drivers/virtio/virtio_net_internal.h"
#include "drivers/virtio/virtio_pci_legacy.h"

#define QUEUE_SIZE_ENOUGH 16 /* of a queue that is cut for want of memory, and goes on */

/* Room for a ring of either format: after a reset the device may offer the other one. */
static size_t ring_bytes(uint32_t size)
{
    const size_t split = virtqueue_layout(size, false).total;
    const size_t packed = virtqueue_layout(size, true).total;

    return split > packed ? split : packed;
}

/* What the options ask for; 0: nothing. The control queue has no option. */
static uint32_t asked_size(const struct virtio_net *net, uint16_t index)
{
    if (index == VIRTIO_NET_QUEUE_RECEIVE)
        return net->options.rx_ring;
    return index == VIRTIO_NET_QUEUE_TRANSMIT ? net->options.tx_ring : 0;
}

uint32_t virtio_net_ring_size(const struct virtio_net *net, uint16_t index, uint32_t stated)
{
    const uint32_t asked = asked_size(net, index);
    const uint32_t wanted = asked != 0 ? asked : VIRTIO_NET_RING_USUAL;

    if (index > VIRTIO_NET_QUEUE_TRANSMIT || !net->virtio.transport->resizes || wanted > stated)
        return stated;
    return wanted;
}

static void warn_of_size(const struct virtio_net *net, uint16_t index, uint32_t wanted,
                         uint32_t size, const char *detail)
{
    log_event(LOG_WARN, "warn", "port=%u reason=ring-size word=%s=%u accepted=%u detail=\"%s\"",
              net->port.id, index == VIRTIO_NET_QUEUE_RECEIVE ? "rx_ring" : "tx_ring", wanted, size,
              detail);
}

/*
 * Settles how many descriptors a new ring has. shape->size is what the device states, as far as we can
 * use it. A device may keep the size that it states, but must not answer with a third one.
 */
static bool settle_size(struct virtio_net *net, struct virtqueue_shape *shape, uint32_t stated)
{
    const struct virtio_transport *const transport = net->virtio.transport;
    const uint32_t asked = asked_size(net, shape->index), usable = shape->size;
    const uint32_t wanted = virtio_net_ring_size(net, shape->index, usable);
    const uint32_t kept =
        wanted != usable ? transport->resize_queue(&net->virtio, shape->index, wanted) : wanted;

    if (kept != wanted && kept != stated) {
        return virtio_net_refuse(net, "reason=queue-size-kept queue=%u size=%u kept=%u",
                                 shape->index, wanted, kept);
    }
    if (kept == wanted)
        shape->size = wanted;
    else
        warn_of_size(net, shape->index, wanted, usable, "the device does not take another size");
    if (asked != 0 && asked != wanted)
        warn_of_size(net, shape->index, asked, wanted,
                     transport->resizes ? "the device states no more"
                                        : "a legacy device has rings of its own size");
    return true;
}

/*
 * Memory for a new queue of the size that the shape wants, or of less where that is short and the
 * transport can say so. What was found for the ring is kept while the rest is looked for.
 */
static bool allocate_queue(struct virtio_net *net, struct virtqueue_shape *shape, void **ring,
                           void **private)
{
    const uint32_t wanted = shape->size;

    for (;; shape->size /= 2) {
        if (*ring == NULL)
            *ring = memory_alloc(ring_bytes(shape->size), VIRTIO_PCI_LEGACY_QUEUE_ALIGN);
        if (*ring != NULL)
            *private = memory_alloc(virtqueue_private_bytes(shape->size), CACHE_LINE);
        if (*private != NULL)
            break;
        if (!net->virtio.transport->resizes || shape->size <= QUEUE_SIZE_ENOUGH) {
            return virtio_net_refuse(
                net, "reason=memory queue=%u size=%u bytes=%zu remedy=\"more RAM\"", shape->index,
                wanted, ring_bytes(wanted) + virtqueue_private_bytes(wanted));
        }
    }
    if (shape->size != wanted)
        log_event(LOG_WARN, "warn", "port=%u reason=memory queue=%u size=%u stated=%u",
                  net->port.id, shape->index, shape->size, wanted);
    return true;
}

/*
 * The memory of a ring is given to the device for good, so a ring that is made anew is made where it
 * was, and as large; the device must not have come to want less in the meantime.
 */
static bool make_anew(struct virtio_net *net, struct virtqueue *queue,
                      struct virtqueue_shape *shape, uint32_t stated)
{
    if (shape->size < queue->size ||
        (shape->size > queue->size && !net->virtio.transport->resizes)) {
        return virtio_net_refuse(net, "reason=queue-size queue=%u size=%u accepted=%u",
                                 shape->index, stated, queue->size);
    }
    shape->size = queue->size;
    memset(queue->desc, 0, ring_bytes(shape->size));
    virtqueue_init(queue, shape, queue->desc, queue->cookies);
    return true;
}

static bool make_queue(struct virtio_net *net, struct virtqueue *queue, uint16_t index,
                       uint16_t chain)
{
    void *ring = NULL, *private = NULL;
    const uint32_t stated = net->virtio.transport->get_queue_size(&net->virtio, index);
    struct virtqueue_shape shape = {
        .size = stated,
        .index = index,
        .chain = chain,
        .packed = virtio_has(&net->virtio, VIRTIO_F_RING_PACKED),
        .event_idx = virtio_has(&net->virtio, VIRTIO_F_EVENT_IDX),
    };

    /* §2.8: a packed ring may have any size, and its driver may choose a smaller one (§4.1.5.1.3). */
    while (shape.packed && !virtqueue_size_valid(shape.size) && shape.size > chain &&
           shape.size <= VIRTQ_SIZE_MAX)
        shape.size &= shape.size - 1; /* its lowest bit goes, till one is left */
    if (!virtqueue_size_valid(shape.size) || shape.size < chain) {
        return virtio_net_refuse(
            net, "reason=queue-size queue=%u size=%u accepted=\"a power of two from %u to %u\"",
            index, stated, chain, VIRTQ_SIZE_MAX);
    }
    if (queue->desc != NULL)
        return make_anew(net, queue, &shape, stated);
    if (!settle_size(net, &shape, stated) || !allocate_queue(net, &shape, &ring, &private))
        return false;
    virtqueue_init(queue, &shape, ring, private);
    return true;
}

static bool make_control(struct virtio_net *net)
{
    struct virtio_net_control *control = &net->control;

    control->device = &net->virtio;
    control->pending = control->silent = control->resetting = control->was_reset = false;
    if (!virtio_has(&net->virtio, VIRTIO_NET_F_CTRL_VQ))
        return true;
    if (!make_queue(net, &control->queue, net->control_index, VIRTIO_NET_CONTROL_CHAIN))
        return false;
    if (control->buffer == NULL)
        control->buffer = memory_alloc(sizeof(*control->buffer), CACHE_LINE);
    if (control->buffer == NULL)
        virtio_net_refuse(net, "reason=memory bytes=%zu remedy=\"more RAM\"",
                          sizeof(*control->buffer));
    return control->buffer != NULL;
}

bool virtio_net_renew_control(struct virtio_net *net)
{
    struct virtqueue *queue = &net->control.queue;
    const struct virtqueue_shape shape = {
        .size = queue->size,
        .index = queue->index,
        .chain = queue->chain,
        .packed = queue->packed,
        .event_idx = queue->event_idx,
    };

    memset(queue->desc, 0, ring_bytes(shape.size));
    virtqueue_init(queue, &shape, queue->desc, queue->cookies);
    return net->virtio.transport->enable_queue(&net->virtio, queue) == NULL;
}

bool virtio_net_make_queues(struct virtio_net *net)
{
    /* §2.7.4.1: a legacy device without ANY_LAYOUT wants the header in a descriptor of its own. */
    const bool any_layout = virtio_has(&net->virtio, VIRTIO_F_ANY_LAYOUT) ||
                            virtio_has(&net->virtio, VIRTIO_F_VERSION_1);
    const uint16_t chain = any_layout ? 1 : 2;

    if (!make_queue(net, &net->rx.queue, VIRTIO_NET_QUEUE_RECEIVE, chain) ||
        !make_queue(net, &net->tx.queue, VIRTIO_NET_QUEUE_TRANSMIT, chain) || !make_control(net))
        return false;
    virtqueue_set_buffers(&net->tx.queue,
                          &(struct virtqueue_buffers){.start = PACKET_HEADROOM - net->header_size,
                                                      .header = net->header_size});
    net->port.rx_size = virtqueue_free(&net->rx.queue);
    net->port.tx_size = virtqueue_free(&net->tx.queue);
    return true;
}

static bool enable_queue(struct virtio_net *net, const struct virtqueue *queue)
{
    const char *reason = net->virtio.transport->enable_queue(&net->virtio, queue);

    if (reason != NULL)
        virtio_net_refuse(net, "reason=%s queue=%u size=%u address=%p", reason, queue->index,
                          queue->size, (void *)queue->desc);
    return reason == NULL;
}

bool virtio_net_enable_queues(struct virtio_net *net)
{
    return enable_queue(net, &net->rx.queue) && enable_queue(net, &net->tx.queue) &&
           (!virtio_has(&net->virtio, VIRTIO_NET_F_CTRL_VQ) ||
            enable_queue(net, &net->control.queue));
}
