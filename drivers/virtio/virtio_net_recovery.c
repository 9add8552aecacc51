/*
 * What becomes of a port whose device breaks the rules, or whose operator asks for it: reset and back
 * in service, or, if the device is the cause too often, retired for a while.
 */
#include <machine/clock.h>
#include <machine/log.h>

#include "drivers/virtio/virtio_net_internal.h"

#define RESETS_WINDOW_NS (60 * CLOCK_NS_PER_S)
#define PAUSE_FIRST_NS (60 * CLOCK_NS_PER_S)
#define PAUSE_MAX_NS (3600 * CLOCK_NS_PER_S)

/* A reset is given up after VIRTIO_TIMEOUT_NS, but not before so many looks: if the whole machine
 * stood still in the meantime, the clock has jumped and the device has had no time. */
#define RESET_POLLS_MIN 100

/* ---- out of service ---- */

static void retire(struct virtio_net *net, uint64_t now, const char *reason)
{
    struct virtio_net_recovery *recovery = &net->recovery;

    /* Twice as long as the last time, unless it was well for longer than any pause since then. */
    if (recovery->pause_ns == 0 || now - recovery->retry_ns > PAUSE_MAX_NS)
        recovery->pause_ns = PAUSE_FIRST_NS;
    else if (recovery->pause_ns < PAUSE_MAX_NS / 2)
        recovery->pause_ns *= 2;
    else
        recovery->pause_ns = PAUSE_MAX_NS;
    recovery->retry_ns = now + recovery->pause_ns;
    net->netdev.state = NETDEV_RETIRED;
    net->netdev.ops = &virtio_net_stopped_ops;
    log_event(LOG_ERROR, "error", "port=%u pci=%s reason=retired cause=%s resets=%u retry_s=%llu",
              net->netdev.id, net->netdev.address, reason, recovery->resets,
              (unsigned long long)(recovery->pause_ns / CLOCK_NS_PER_S));
}

/* Asks for a reset; service looks for its end. Until then rings and buffers are the device's. */
static void begin_reset(struct virtio_net *net, uint64_t now)
{
    struct virtio_net_recovery *recovery = &net->recovery;

    net->netdev.state = NETDEV_RESETTING;
    net->netdev.tx_ready = 0;
    /* With its link down it goes on swallowing; else those who send there wait. */
    net->netdev.ops = net->link.up ? &virtio_net_waiting_ops : &virtio_net_stopped_ops;
    recovery->started_ns = now;
    recovery->looks = 0;
    net->virtio.transport->set_status(&net->virtio, 0);
}

/* True if the last VIRTIO_NET_RESETS_MAX faults, the one that is asked for not counted, were within
 * the last minute. */
static bool too_often(const struct virtio_net_recovery *recovery, uint64_t now)
{
    const uint64_t oldest = recovery->times_ns[recovery->faults % VIRTIO_NET_RESETS_MAX];

    return recovery->faults >= VIRTIO_NET_RESETS_MAX && now - oldest < RESETS_WINDOW_NS;
}

uint32_t virtio_net_reclaim_all(struct virtio_net *net)
{
    uint32_t before;

    do { /* as far as the ring's end, and from its start on */
        before = net->tx.queue.used_idx;
        if (net->tx.queue.error == VIRTQUEUE_OK)
            virtio_net_reclaim_tx(net);
    } while (net->tx.queue.used_idx != before);
    return virtqueue_outstanding(&net->tx.queue);
}

void virtio_net_begin_reset(struct virtio_net *net, const char *reason, bool fault)
{
    struct virtio_net_recovery *recovery = &net->recovery;
    const uint64_t now = clock_ns();

    /* Frames that lie in the tx ring are lost with it; those that were sent already are not. */
    net->tx_dropped += virtio_net_reclaim_all(net);
    if (fault)
        virtio_fail(&net->virtio);
    begin_reset(net, now);
    recovery->reason = reason;
    if (fault && too_often(recovery, now)) {
        retire(net, now, reason);
        return;
    }
    if (fault)
        recovery->times_ns[recovery->faults++ % VIRTIO_NET_RESETS_MAX] = now;
    recovery->resets++;
}

void virtio_net_device_error(struct virtio_net *net, const struct virtqueue *queue)
{
    const uint64_t count = ++net->breaches[queue->error];

    log_event(LOG_ERROR, "error",
              "port=%u pci=%s reason=%s queue=%u value=%u used_idx=%u count=%llu", net->netdev.id,
              net->netdev.address, virtqueue_error_name(queue->error), queue->index,
              queue->error_value, (uint16_t)queue->used_idx, (unsigned long long)count);
    virtio_net_begin_reset(net, virtqueue_error_name(queue->error), true);
}

bool virtio_net_reset(struct netdev *dev)
{
    struct virtio_net *net = virtio_net_of(dev);

    switch (dev->state) {
    case NETDEV_RUNNING:
    case NETDEV_DRAINING:
        virtio_net_begin_reset(net, "operator", false);
        return true;
    case NETDEV_RETIRED:
        begin_reset(net, clock_ns());
        net->recovery.reason = "operator";
        net->recovery.resets++;
        return true;
    default:
        return false; /* never in service, or on its way back */
    }
}

/* ---- back into service ---- */

static void return_buffers(struct virtio_net_queue *queue)
{
    struct virtqueue *const ring = &queue->queue;

    for (; virtqueue_outstanding(ring) != 0; ring->used_idx++)
        pool_put(queue->pool, ring->cookies[virtqueue_slot(ring, ring->used_idx)]);
}

void virtio_net_return_buffers(struct virtio_net *net)
{
    return_buffers(&net->rx);
    return_buffers(&net->tx);
}

static void finish_reset(struct virtio_net *net, uint64_t now)
{
    struct virtio_net_recovery *recovery = &net->recovery;
    const uint32_t mtu = net->netdev.mtu;

    virtio_net_return_buffers(net);
    if (!virtio_net_configure(net) || !virtio_net_go_live(net)) {
        retire(net, now, "start"); /* its own `error` has told what was wrong */
        return;
    }
    virtio_net_settings_restart(net);
    log_event(LOG_REPORT, "reset", "port=%u pci=%s reason=%s state=done resets=%u us=%llu",
              net->netdev.id, net->netdev.address, recovery->reason, recovery->resets,
              (unsigned long long)((now - recovery->started_ns) / CLOCK_NS_PER_US));
    if (net->netdev.mtu != mtu)
        net->netdev.ops->report(&net->netdev);
}

/* A device that does not read back 0 may still write: its rings and buffers stay where they are. */
static void look_for_end_of_reset(struct virtio_net *net, uint64_t now)
{
    struct virtio_net_recovery *recovery = &net->recovery;

    if (net->virtio.transport->get_status(&net->virtio) == 0)
        finish_reset(net, now);
    else if (++recovery->looks >= RESET_POLLS_MIN && now - recovery->started_ns > VIRTIO_TIMEOUT_NS)
        retire(net, now, "reset-timeout");
}

/* ---- every now and then ---- */

void virtio_net_service(struct netdev *dev, uint64_t now_ns)
{
    struct virtio_net *net = virtio_net_of(dev);

    switch (dev->state) {
    case NETDEV_RUNNING:
        virtio_net_settings_step(net);
        if (dev->state == NETDEV_RUNNING)
            virtio_net_cut_offloads(net);
        if (dev->state == NETDEV_RUNNING)
            virtio_net_watch(net, now_ns);
        if (dev->state == NETDEV_RUNNING)
            virtio_net_link_watch(net, now_ns);
        break;
    case NETDEV_DRAINING:
        virtio_net_look_at_queues(net, now_ns);
        virtio_net_drain(net, now_ns);
        break;
    case NETDEV_RESETTING:
        look_for_end_of_reset(net, now_ns);
        break;
    case NETDEV_RETIRED:
        if (now_ns >= net->recovery.retry_ns)
            begin_reset(net, now_ns);
        break;
    default:
        break; /* not in service, and nothing to look for */
    }
}
