/* The split virtqueue (virtio 1.2 §2.7), the device's side. */
#include <err.h>
#include <stdatomic.h>

#include "drivers/virtio/virtio_spec.h"
#include "tests/bench/testbed/device_queue.h"

#define NEVER 0x8000 /* as far from any index as can be */

static struct virtq_avail *avail_of(const struct device_queue *queue)
{
    return queue->areas.driver;
}

static struct virtq_used *used_of(const struct device_queue *queue)
{
    return queue->areas.device;
}

/* The event words are behind the rings (§2.7.6, §2.7.8). */
static _Atomic uint16_t *used_event(const struct device_queue *queue)
{
    return (_Atomic uint16_t *)&avail_of(queue)->ring[queue->size];
}

static _Atomic uint16_t *avail_event(const struct device_queue *queue)
{
    return (_Atomic uint16_t *)&used_of(queue)->ring[queue->size];
}

static void split_begin(struct device_queue *queue, uint32_t base)
{
    queue->taken = queue->offered = (uint16_t)base;
    queue->finished = queue->published =
        atomic_load_explicit(&used_of(queue)->idx, memory_order_relaxed);
}

static uint32_t split_end(const struct device_queue *queue)
{
    return queue->taken;
}

/* Follows the chain from descriptor `index` of a table of `size` on. */
static void follow(const struct device_queue *queue, struct chain *chain,
                   const struct virtq_desc *table, uint32_t size, uint32_t index)
{
    for (;;) {
        if (index >= size || chain->count == CHAIN_SPANS_MAX)
            errx(1, "a chain that leads to descriptor %u of %u, or has no end", index, size);
        const struct virtq_desc desc = table[index];
        if (desc.flags & VIRTQ_DESC_F_INDIRECT) { /* §2.7.5.3: it is the only one of its chain */
            follow(queue, chain,
                   (const struct virtq_desc *)guest_memory_at(queue->memory, desc.addr, desc.len),
                   desc.len / sizeof(desc), 0);
            return;
        }
        chain->spans[chain->count++] = (struct span){
            .bytes = guest_memory_at(queue->memory, desc.addr, desc.len),
            .length = desc.len,
            .write = desc.flags & VIRTQ_DESC_F_WRITE,
        };
        if (!(desc.flags & VIRTQ_DESC_F_NEXT))
            return;
        index = desc.next;
    }
}

static bool split_take(struct device_queue *queue, struct chain *chain)
{
    const struct virtq_avail *const avail = avail_of(queue);

    if (queue->taken == queue->offered) {
        /* Acquire: the index before ring entries and descriptors. Partner: the guest's release
         * when it publishes them (§2.7.13.3). */
        queue->offered = atomic_load_explicit(&avail->idx, memory_order_acquire);
        if ((uint16_t)(queue->offered - queue->taken) > queue->size)
            errx(1, "avail.idx %u is more than a ring of %u ahead of %u", queue->offered,
                 queue->size, queue->taken);
    }
    if (queue->taken == queue->offered)
        return false;
    chain->id = avail->ring[queue->taken++ & (queue->size - 1)];
    chain->count = 0;
    chain->descriptors = 1;
    follow(queue, chain, queue->areas.descriptors, queue->size, chain->id);
    return true;
}

static void split_finish(struct device_queue *queue, const struct chain *chain, uint32_t written)
{
    used_of(queue)->ring[queue->finished++ & (queue->size - 1)] =
        (struct virtq_used_elem){.id = chain->id, .len = written};
}

/* §2.7.10, §2.7.7: the flag, or with EVENT_IDX the index that a doorbell is wanted for. */
static void ask_for_doorbells(struct device_queue *queue)
{
    if (queue->event_idx)
        atomic_store_explicit(avail_event(queue),
                              queue->wants_doorbells ? queue->taken : queue->taken - NEVER,
                              memory_order_relaxed);
    else
        atomic_store_explicit(&used_of(queue)->flags,
                              queue->wants_doorbells ? 0 : VIRTQ_USED_F_NO_NOTIFY,
                              memory_order_relaxed);
}

static bool split_publish(struct device_queue *queue)
{
    const uint16_t old = queue->published, new = queue->finished;

    /* Release: entries and buffers before the index. Partner: the guest's acquire of used.idx. */
    atomic_store_explicit(&used_of(queue)->idx, new, memory_order_release);
    queue->published = new;
    ask_for_doorbells(queue);

    /* Full fence: our index before our look at the guest's suppression word. Partner: the guest
     * arms its interrupt, fences and looks at used.idx again (§2.7.7.2). */
    atomic_thread_fence(memory_order_seq_cst);
    if (queue->event_idx) {
        const uint16_t event = atomic_load_explicit(used_event(queue), memory_order_relaxed);
        return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
    }
    return !(*(volatile uint16_t *)&avail_of(queue)->flags & VIRTQ_AVAIL_F_NO_INTERRUPT);
}

const struct queue_format split_queue_format = {
    .begin = split_begin,
    .end = split_end,
    .take = split_take,
    .finish = split_finish,
    .publish = split_publish,
};
