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
 * back-pressure, so it is no device error: the lanes that lead here wait, and all others go on. Nor from a
 * device that sleeps and says it does not want to be woken (virtio_net.c knows one, and a link
 * that is down for a moment is never seen here): hence a doorbell all the same.
 */
static void report_stall(struct virtio_net *net, uint32_t waiting)
{
    const struct virtqueue *const queue = &net->tx.queue;

    net->watch.tx.stalled = true;
    log_event(LOG_WARN, "warn", "port=%u reason=stall queue=%u waiting=%u used_idx=%u",
              net->port.id, queue->index, waiting, (uint16_t)(queue->avail_idx - waiting));
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
        net->port.stats.doorbell_rescues++;
        virtio_net_ring(net, queue);
    } else if (queue == &net->tx && !progress->stalled && now - progress->moved_ns >= STALL_NS) {
        report_stall(net, waiting);
    }
}

void virtio_net_look_at_queues(struct virtio_net *net, uint64_t now)
{
    struct virtio_net_watch *watch = &net->watch;
    const uint64_t gap = now - watch->queues_ns;

    if (gap < LOOK_NS)
        return;
    watch->queues_ns = now;
    if (gap > LOOK_GAP_NS) /* and its device stood still with it */
        watch->rx.moved_ns = watch->tx.moved_ns = now;
    look_at_queue(net, &net->rx, &watch->rx, now);
    look_at_queue(net, &net->tx, &watch->tx, now);
}

/* ---- the device ---- */

/* True if the device reports that it cannot continue, or no device answers. */
static bool status_is_bad(const struct virtio_net *net)
{
    const uint8_t status = net->virtio.transport->get_status(&net->virtio);
    const uint8_t bad = VIRTIO_STATUS_FAILED | VIRTIO_STATUS_DEVICE_NEEDS_RESET;

    if (status != 0 && !(status & bad)) /* all ones, where nobody answers, are bad too */
        return false;
    log_event(LOG_ERROR, "error", "port=%u pci=%s reason=status status=0x%02x", net->port.id,
              net->port.address, status);
    return true;
}

/*
 * A device can spoil a packed ring so that each side waits for the other, and nothing is found by
 * taking chains back. So the ring of a queue that does not move is compared with what it must be. One
 * that was wrong too often in a row is marked as broken.
 */
static void audit(const struct virtio_net *net, struct virtio_net_queue *queue,
                  struct virtio_net_progress *progress)
{
    const bool may_hold_back = queue == &net->tx && virtqueue_free(&queue->queue) >= BURST;
    const struct virtqueue_finding finding = virtqueue_audit(&queue->queue, may_hold_back);

    progress->wrong = finding.error != VIRTQUEUE_OK ? progress->wrong + 1 : 0;
    if (progress->wrong >= AUDITS_WRONG_MAX)
        virtqueue_fail(&queue->queue, finding.error, finding.value);
}

bool virtio_net_watch(struct virtio_net *net, uint64_t now)
{
    struct virtio_net_watch *watch = &net->watch;

    virtio_net_look_at_queues(net, now);
    if (now - watch->device_ns < WATCH_NS)
        return true;
    watch->device_ns = now;
    if (status_is_bad(net))
        return false;
    audit(net, &net->rx, &watch->rx);
    audit(net, &net->tx, &watch->tx);
    return true;
}

void virtio_net_watch_restart(struct virtio_net *net, uint64_t now)
{
    struct virtio_net_watch *watch = &net->watch;

    watch->rx = watch->tx = (struct virtio_net_progress){.moved_ns = now};
    watch->queues_ns = watch->device_ns = now;
}
