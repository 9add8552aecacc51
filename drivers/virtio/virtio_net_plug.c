/* The device of a port goes, and another one comes: the port, its number and its pool stay. */
#include <machine/clock.h>
#include <machine/log.h>
#include <machine/panic.h>

#include "drivers/virtio/virtio_net_internal.h"

void virtio_net_halt(struct netdev *dev)
{
    if (dev->state != NETDEV_RUNNING && dev->state != NETDEV_DRAINING)
        return;
    dev->state = NETDEV_HALTED;
    dev->ops = &virtio_net_waiting_ops;
    dev->tx_ready = 0;
}

void virtio_net_resume(struct netdev *dev)
{
    if (dev->state == NETDEV_HALTED)
        virtio_net_run_or_drain(virtio_net_of(dev));
}

/* True if what lies in its tx ring has not been counted as lost yet: a reset does that. */
static bool was_in_service(const struct netdev *dev)
{
    return dev->state == NETDEV_RUNNING || dev->state == NETDEV_DRAINING ||
           dev->state == NETDEV_HALTED;
}

void virtio_net_remove(struct netdev *dev, const char *reason)
{
    struct virtio_net *net = virtio_net_of(dev);
    const uint32_t lost = was_in_service(dev) ? virtio_net_reclaim_all(net) : 0;

    log_event(LOG_REPORT, "unplug", "port=%u pci=%s reason=%s lost=%u", dev->id, dev->address,
              reason, lost);
    net->tx_dropped += lost;
    virtio_net_return_buffers(net);
    if (dev->state == NETDEV_FAILED)
        return; /* no lane leads here */
    net->tx.pool = net->setup.tx[0].pool;
    net->link.up = true; /* it has none: from now on frames count as drop_stopped */
    dev->tx_ready = 0;
    dev->state = NETDEV_UNPLUGGED;
    dev->ops = &virtio_net_stopped_ops;
}

void virtio_net_replace(struct netdev *dev, const struct pci_device *pci)
{
    struct virtio_net *net = virtio_net_of(dev);

    ensure(dev->state == NETDEV_UNPLUGGED || dev->state == NETDEV_FAILED);
    net->before = dev->state; /* the next device may be better */
    net->virtio = (struct virtio_device){0};
    net->recovery = (struct virtio_net_recovery){
        .resets = net->recovery.resets,
        .doorbell_rescues = net->recovery.doorbell_rescues,
    };
    net->options.vlans = net->settings.vlan_count != 0; /* an empty filter would let no tag in */
    virtio_net_open(net, pci);
}
