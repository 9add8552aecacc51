/*
 * The slow watch over a running device: does it say that it is well, do its queues get on, and are its
 * rings as they must be?
 */
#include <machine/clock.h>
#include <machine/log.h>

#include "drivers/virtio/virtio_net_internal.h"
#include "drivers/virtio/virtqueue_watch.h"

#define LOOK_NS (5 * CLOCK_NS_PER_MS)    /* at the queues: two looks find a lost doorbell */
#define WATCH_NS (100 * CLOCK_NS_PER_MS) /* at the status, which is an exit, and at the rings */
#define LOOK_GAP_NS CLOCK_NS_PER_S /* after a longer one the machine stood still, not the device */
#define STALL_NS CLOCK_NS_PER_S
#define AUDITS_WRONG_MAX                                                                           \
    5 /* half a second: the host may have paused the device in the middle of a write */

void virtio_net_ring(const struct virtio_net *net, struct virtio_net_queue *queue)
{
    queue->rung = queue->queue.avail_idx;
    virtio_notify(&net->virtio, &queue->queue);
}

/* ---- the queues ---- */

/*
 * A doorbell can be lost on the way: QEMU's TCG with one processor orders neither side's fence, so that
 * the driver reads a suppression word which the device is just about to change. Then both wait. A device
 * that has asked for two looks, and finished nothing meanwhile, is told after all.
 */
static bool is_forgotten(const struct virtio_net_queue *queue, struct virtio_net_progress *progress)
{
    const bool before = progress->awaits_doorbell;

    progress->awaits_doorbell = virtqueue_awaits_doorbell(&queue->queue, queue->rung);
    return before && progress->awaits_doorbell;
}

/*
 * A tx ring that does not move although frames wait in it is told, once. It cannot be told from
 * back-pressure, so it is no breach: the lanes that lead here wait, and all others go on. Nor from a
 * device that sleeps and says it does not want to be woken (virtio_net_link.c knows one, and a link
 * that is down for a moment is never seen here): hence a doorbell all the same.
 */
static void report_stall(struct virtio_net *net, uint32_t waiting)
{
    const struct virtqueue *const queue = &net->tx.queue;

    net->recovery.tx_progress.stalled = true;
    log_event(LOG_WARN, "warn", "port=%u reason=stall queue=%u waiting=%u used_idx=%u",
              net->netdev.id, queue->index, waiting, (uint16_t)(queue->avail_idx - waiting));
    virtio_net_ring(net, &net->tx);
}

static void look_at_queue(struct virtio_net *net, struct virtio_net_queue *queue,
                          struct virtio_net_progress *progress, uint64_t now)
{
    const uint32_t waiting = virtqueue_unfinished(&queue->queue);
    const uint32_t finished = queue->queue.avail_idx - waiting;

    if (finished != progress->finished)
        *progress = (struct virtio_net_progress){.finished = finished};
    if (progress->moved_ns == 0 || waiting == 0) {
        progress->moved_ns = now;
        progress->stalled = false;
    }
    if (is_forgotten(queue, progress)) {
        net->recovery.doorbell_rescues++;
        virtio_net_ring(net, queue);
    } else if (queue == &net->tx && !progress->stalled && now - progress->moved_ns >= STALL_NS) {
        report_stall(net, waiting);
    }
}

void virtio_net_look_at_queues(struct virtio_net *net, uint64_t now)
{
    struct virtio_net_recovery *recovery = &net->recovery;
    const uint64_t gap = now - recovery->looked_ns;

    if (gap < LOOK_NS)
        return;
    recovery->looked_ns = now;
    if (gap > LOOK_GAP_NS) /* and its device stood still with it */
        recovery->rx_progress.moved_ns = recovery->tx_progress.moved_ns = now;
    look_at_queue(net, &net->rx, &recovery->rx_progress, now);
    look_at_queue(net, &net->tx, &recovery->tx_progress, now);
}

bool virtio_net_hurries(const struct netdev *dev)
{
    const struct virtio_net *net = virtio_net_of_const(dev);

    return dev->state == NETDEV_RUNNING &&
           (virtqueue_awaits_doorbell(&net->rx.queue, net->rx.rung) ||
            virtqueue_awaits_doorbell(&net->tx.queue, net->tx.rung));
}

/* ---- the device ---- */

/* True if the device reports that it cannot continue, or no device answers. */
static bool status_is_bad(const struct virtio_net *net)
{
    const uint8_t status = net->virtio.transport->get_status(&net->virtio);
    const uint8_t bad = VIRTIO_STATUS_FAILED | VIRTIO_STATUS_DEVICE_NEEDS_RESET;

    if (status != 0 && !(status & bad)) /* all ones, where nobody answers, are bad too */
        return false;
    log_event(LOG_ERROR, "error", "port=%u pci=%s reason=status status=0x%02x", net->netdev.id,
              net->netdev.address, status);
    return true;
}

/*
 * A device can spoil a packed ring so that each side waits for the other, and nothing is found by
 * taking chains back. So the ring of a queue that does not move is compared with what it must be.
 * False, and the port is being reset, if it was wrong too often in a row.
 */
static bool audit(struct virtio_net *net, struct virtio_net_queue *queue,
                  struct virtio_net_progress *progress)
{
    const bool may_hold_back =
        queue == &net->tx && virtqueue_free(&queue->queue) >= VIRTQUEUE_BURST;
    const struct virtqueue_finding finding = virtqueue_audit(&queue->queue, may_hold_back);

    progress->wrong = finding.error != VIRTQUEUE_OK ? progress->wrong + 1 : 0;
    if (progress->wrong < AUDITS_WRONG_MAX)
        return true;
    virtqueue_fail(&queue->queue, finding.error, finding.value);
    virtio_net_device_error(net, &queue->queue);
    return false;
}

void virtio_net_watch(struct virtio_net *net, uint64_t now)
{
    struct virtio_net_recovery *recovery = &net->recovery;

    virtio_net_look_at_queues(net, now);
    if (now - recovery->watched_ns < WATCH_NS)
        return;
    recovery->watched_ns = now;
    if (status_is_bad(net))
        virtio_net_begin_reset(net, "status", true);
    else if (audit(net, &net->rx, &recovery->rx_progress))
        (void)audit(net, &net->tx, &recovery->tx_progress);
}

void virtio_net_watch_anew(struct virtio_net *net, uint64_t now)
{
    struct virtio_net_recovery *recovery = &net->recovery;

    recovery->rx_progress = recovery->tx_progress = (struct virtio_net_progress){.moved_ns = now};
    recovery->looked_ns = recovery->watched_ns = now;
}
