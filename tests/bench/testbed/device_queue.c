/* The common part of all formats of rings: start and stop, doorbells and interrupts. */
#include "tests/bench/testbed/device_queue.h"

#include <err.h>
#include <errno.h>
#include <unistd.h>

void device_queue_start(struct device_queue *queue, uint32_t base)
{
    queue->format->begin(queue, base);
    queue->running = true;
    /* Before the guest looks for the first time, it knows whether doorbells are wanted. */
    (void)queue->format->publish(queue);
}

uint32_t device_queue_stop(struct device_queue *queue)
{
    queue->running = false;
    return queue->format->end(queue);
}

bool device_queue_take(struct device_queue *queue, struct chain *chain)
{
    return queue->running && queue->format->take(queue, chain);
}

void device_queue_finish(struct device_queue *queue, const struct chain *chain, uint32_t written)
{
    queue->format->finish(queue, chain, written);
    queue->chains++;
}

void device_queue_publish(struct device_queue *queue)
{
    const uint64_t one = 1;

    if (!queue->running || queue->published == queue->finished)
        return;
    if (!queue->format->publish(queue) || queue->call < 0)
        return;
    queue->interrupts++;
    if (write(queue->call, &one, sizeof(one)) != sizeof(one))
        err(1, "cannot interrupt the guest");
}

void device_queue_count_doorbells(struct device_queue *queue)
{
    uint64_t rung;

    /* QEMU adds one for each doorbell, and reading sets back to 0: none is lost. */
    if (queue->kick >= 0 && read(queue->kick, &rung, sizeof(rung)) == sizeof(rung))
        queue->doorbells += rung;
}
