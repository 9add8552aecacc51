/*
 * Other lanes for a running port. Its tx ring may hold buffers of the lane that led here before, and
 * all that comes out of a tx ring goes to one pool: so the ring is emptied before that pool changes.
 */
#include <machine/clock.h>
#include <machine/panic.h>

#include "drivers/virtio/virtio_net_internal.h"

#define DRAIN_NS (100 * CLOCK_NS_PER_MS)
#define DRAIN_POLLS_MIN 100 /* as for a reset: the whole machine may have stood still meanwhile */

/* Whoever sends here waits, and so does what comes in: neither is lost. */
static void begin_drain(struct virtio_net *net)
{
    net->netdev.state = NETDEV_DRAINING;
    net->netdev.ops = &virtio_net_waiting_ops;
    net->netdev.tx_ready = 0;
    net->recovery.started_ns = clock_ns();
    net->recovery.looks = 0;
}

/* The tx ring is empty: the new lane's buffers may come. */
static void end_drain(struct virtio_net *net)
{
    net->tx.pool = net->setup.tx[0].pool;
    virtio_net_run(net);
}

void virtio_net_drain(struct virtio_net *net, uint64_t now_ns)
{
    struct virtio_net_recovery *recovery = &net->recovery;
    const uint32_t left = virtio_net_reclaim_all(net);

    if (net->tx.queue.error != VIRTQUEUE_OK)
        virtio_net_device_error(net, &net->tx.queue);
    else if (left == 0)
        end_drain(net);
    else if (++recovery->looks >= DRAIN_POLLS_MIN && now_ns - recovery->started_ns > DRAIN_NS)
        virtio_net_begin_reset(net, "drain-timeout", false);
}

/*
 * Where the device is being reset or is retired, its ring is the old lane's until it comes back:
 * buffers return to tx.pool first, and only then tx.pool becomes what the setup says.
 */
void virtio_net_rewire(struct netdev *dev, const struct netdev_setup *setup)
{
    struct virtio_net *net = virtio_net_of(dev);

    ensure(setup->rx[0].pool == net->setup.rx[0].pool);
    net->setup = *setup;
    net->offloads = setup->rx[0].offloads;
    if (dev->state == NETDEV_RUNNING) /* before any frame leaves by the new lane */
        virtio_net_cut_offloads(net);
    if (dev->state == NETDEV_RUNNING)
        virtio_net_run_or_drain(net);
}

void virtio_net_run_or_drain(struct virtio_net *net)
{
    virtio_net_set_payload_max(net, net->setup.rx[0].payload_max);
    if (net->tx.pool == net->setup.tx[0].pool) {
        virtio_net_run(net);
        return;
    }
    begin_drain(net);
    virtio_net_drain(net, net->recovery.started_ns);
}
