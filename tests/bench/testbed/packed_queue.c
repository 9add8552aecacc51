/* The packed virtqueue (virtio 1.2 §2.8), the device's side. */
#include <err.h>
#include <stdatomic.h>

#include "drivers/virtio/virtio_spec.h"
#include "tests/bench/testbed/device_queue.h"

/* §2.8.10.1: flags beside those of split descriptors; both bits go by the wrap counters. */
#define PACKED_DESC_F_AVAIL (1U << 7)
#define PACKED_DESC_F_USED (1U << 15)

struct packed_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t id;
    _Atomic uint16_t flags;
};
_Static_assert(sizeof(struct packed_desc) == 16, "§2.8.13");

/* §2.8.14: event suppression, by which each side asks for notifications. */
#define PACKED_EVENT_ENABLE 0
#define PACKED_EVENT_DISABLE 1
#define PACKED_EVENT_DESC 2 /* only when the descriptor in off_wrap is reached */

struct packed_event {
    _Atomic uint16_t off_wrap; /* 15 bits of offset, then the wrap counter */
    _Atomic uint16_t flags;
};
_Static_assert(sizeof(struct packed_event) == 4, "§2.8.14");

#define OFFSET 0x7fff
#define WRAP 0x8000

static struct packed_desc *desc_at(const struct device_queue *queue, uint16_t position)
{
    struct packed_desc *const ring = queue->areas.descriptors;

    return &ring[position & OFFSET];
}

/* Positions are an offset with a wrap counter in bit 15, as in off_wrap. */
static uint16_t advance(const struct device_queue *queue, uint16_t position, uint16_t n)
{
    const uint32_t offset = (position & OFFSET) + n;

    if (offset < queue->size)
        return position + n;
    return (uint16_t)((offset - queue->size) | (~position & WRAP));
}

/* `base`: the position to take from, and in the upper half the one to finish at (QEMU). */
static void packed_begin(struct device_queue *queue, uint32_t base)
{
    queue->taken = (uint16_t)base;
    queue->finished = queue->published = (uint16_t)(base >> 16);
}

static uint32_t packed_end(const struct device_queue *queue)
{
    return queue->taken | (uint32_t)queue->finished << 16;
}

/* §2.8.1: available if AVAIL is as the wrap counter is, and USED is not. */
static bool is_available(uint16_t flags, uint16_t position)
{
    const bool wrap = position & WRAP;

    return !!(flags & PACKED_DESC_F_AVAIL) == wrap && !!(flags & PACKED_DESC_F_USED) != wrap;
}

static void add_span(const struct device_queue *queue, struct chain *chain,
                     const struct packed_desc *desc, uint16_t flags)
{
    if (chain->count == CHAIN_SPANS_MAX)
        errx(1, "a chain of more than %d descriptors", CHAIN_SPANS_MAX);
    chain->spans[chain->count++] = (struct span){
        .bytes = guest_memory_at(queue->memory, desc->addr, desc->len),
        .length = desc->len,
        .write = flags & VIRTQ_DESC_F_WRITE,
    };
}

/* §2.8.7: a table of descriptors that are simply one behind the other. */
static void add_indirect(const struct device_queue *queue, struct chain *chain,
                         const struct packed_desc *desc)
{
    const struct packed_desc *const table =
        (const struct packed_desc *)guest_memory_at(queue->memory, desc->addr, desc->len);

    for (uint32_t i = 0; i < desc->len / sizeof(*table); i++)
        add_span(queue, chain, &table[i],
                 atomic_load_explicit(&table[i].flags, memory_order_relaxed));
}

static bool packed_take(struct device_queue *queue, struct chain *chain)
{
    const struct packed_desc *desc = desc_at(queue, queue->taken);
    /* Acquire: the flags before the rest of the descriptors. Partner: the guest's release when it
     * writes the flags of a chain's first descriptor last (§2.8.21). */
    uint16_t flags = atomic_load_explicit(&desc->flags, memory_order_acquire);

    if (!is_available(flags, queue->taken))
        return false;
    chain->count = 0;
    chain->descriptors = 1;
    while (flags & VIRTQ_DESC_F_NEXT) {
        add_span(queue, chain, desc, flags);
        desc = desc_at(queue, advance(queue, queue->taken, chain->descriptors++));
        flags = atomic_load_explicit(&desc->flags, memory_order_relaxed);
    }
    if (flags & VIRTQ_DESC_F_INDIRECT)
        add_indirect(queue, chain, desc);
    else
        add_span(queue, chain, desc, flags);
    chain->id = desc->id; /* of a chain the last one counts */
    queue->taken = advance(queue, queue->taken, chain->descriptors);
    return true;
}

static uint16_t used_flags(uint16_t position, bool written)
{
    return (uint16_t)((position & WRAP ? PACKED_DESC_F_AVAIL | PACKED_DESC_F_USED : 0) |
                      (written ? VIRTQ_DESC_F_WRITE : 0));
}

/* The first of a batch keeps its flags until `publish`: the guest, which goes in order, stops there. */
static void packed_finish(struct device_queue *queue, const struct chain *chain, uint32_t written)
{
    struct packed_desc *const desc = desc_at(queue, queue->finished);
    const uint16_t flags = used_flags(queue->finished, written != 0);

    desc->id = chain->id;
    desc->len = written;
    if (queue->finished == queue->published)
        queue->first_flags = flags;
    else
        atomic_store_explicit(&desc->flags, flags, memory_order_release);
    queue->finished = advance(queue, queue->finished, chain->descriptors);
}

static void ask_for_doorbells(struct device_queue *queue)
{
    struct packed_event *const event = queue->areas.device;
    const uint16_t wanted = queue->event_idx ? PACKED_EVENT_DESC : PACKED_EVENT_ENABLE;

    atomic_store_explicit(&event->off_wrap, queue->taken, memory_order_relaxed);
    atomic_store_explicit(&event->flags, queue->wants_doorbells ? wanted : PACKED_EVENT_DISABLE,
                          memory_order_release);
}

/* §2.8.14, with the arithmetic of split rings: whether the event's descriptor is between the two
 * positions, `new` not included. Both are counted from the begin of `new`'s round. */
static bool passed(const struct device_queue *queue, uint16_t off_wrap, uint16_t old, uint16_t new)
{
    const int round = queue->size, end = new &OFFSET;
    const int event = (off_wrap & OFFSET) - ((off_wrap ^ new) & WRAP ? round : 0);
    const int begin = (old & OFFSET) - ((old ^ new) & WRAP ? round : 0);

    return begin <= event && event < end;
}

static bool packed_publish(struct device_queue *queue)
{
    struct packed_event *const event = queue->areas.driver;
    const uint16_t old = queue->published, new = queue->finished;

    /* Release: the whole batch before the first one's flags. Partner: the guest's acquire. */
    if (old != new)
        atomic_store_explicit(&desc_at(queue, old)->flags, queue->first_flags,
                              memory_order_release);
    queue->published = new;
    ask_for_doorbells(queue);

    /* Full fence, as for split rings: our flags before our look at the guest's event area. */
    atomic_thread_fence(memory_order_seq_cst);
    switch (atomic_load_explicit(&event->flags, memory_order_acquire) & 3) {
    case PACKED_EVENT_ENABLE:
        return true;
    case PACKED_EVENT_DESC:
        return passed(queue, atomic_load_explicit(&event->off_wrap, memory_order_relaxed), old,
                      new);
    default:
        return false;
    }
}

const struct queue_format packed_queue_format = {
    .begin = packed_begin,
    .end = packed_end,
    .take = packed_take,
    .finish = packed_finish,
    .publish = packed_publish,
};
