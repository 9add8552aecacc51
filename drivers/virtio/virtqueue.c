/* A queue's making, and the split ring's bursts. */
#include "drivers/virtio/virtqueue.h"

#include <string.h>

#include <machine/panic.h>

#include "drivers/virtio/virtqueue_burst.h"
#include "drivers/virtio/virtqueue_packed.h"
#include "drivers/virtio/virtqueue_pair.h"

bool virtqueue_size_valid(uint32_t size)
{
    return size >= 1 && size <= VIRTQ_SIZE_MAX && (size & (size - 1)) == 0;
}

struct virtqueue_layout virtqueue_layout(uint32_t size, bool packed)
{
    const size_t align = VIRTIO_PCI_LEGACY_QUEUE_ALIGN;
    struct virtqueue_layout layout = {.desc = 0};

    if (packed)
        return virtqueue_packed_layout(size);
    /* §2.7.2: descriptors and available ring (with used_event) together, then, on the next page,
     * the used ring (with avail_event); each of the two parts is padded to whole pages. */
    layout.avail = size * sizeof(struct virtq_desc);
    layout.used_event = layout.avail + sizeof(struct virtq_avail) + size * sizeof(uint16_t);
    layout.used = (layout.used_event + sizeof(uint16_t) + align - 1) & ~(align - 1);
    layout.avail_event =
        layout.used + sizeof(struct virtq_used) + size * sizeof(struct virtq_used_elem);
    layout.total = (layout.avail_event + sizeof(uint16_t) + align - 1) & ~(align - 1);
    return layout;
}

size_t virtqueue_private_bytes(uint32_t size)
{
    return size * (sizeof(void *) + 2 * sizeof(uint32_t));
}

/*
 * Puts a chain into a slot, in our own table and in a split ring's available ring. That has `chain`
 * entries for each slot, since it is `chain` times as long as there are slots; all of them are
 * written. The device reads none of them before they are offered again.
 */
static void fill_slot(struct virtqueue *queue, uint32_t slot, uint32_t id)
{
    queue->ids[slot] = id;
    queue->slots[id] = slot;
    if (queue->packed)
        return;
    for (uint32_t i = slot; i < queue->size; i += queue->capacity)
        queue->avail->ring[i] = (uint16_t)id;
}

static void make_slots(struct virtqueue *queue)
{
    for (uint32_t slot = 0; slot < queue->capacity; slot++)
        fill_slot(queue, slot, slot * queue->chain);
}

void virtqueue_init(struct virtqueue *queue, const struct virtqueue_shape *shape, void *ring,
                    void *private)
{
    const uint16_t chain = shape->packed ? 1 : shape->chain;
    const struct virtqueue_layout layout = virtqueue_layout(shape->size, shape->packed);
    uint8_t *base = ring;
    void **cookies = private;

    ensure(virtqueue_size_valid(shape->size) && chain <= shape->size &&
           (chain == 1 || chain == 2 || chain == 4));
    *queue = (struct virtqueue){
        .desc = (struct virtq_desc *)(base + layout.desc),
        .avail = (struct virtq_avail *)(base + layout.avail),
        .used = (struct virtq_used *)(base + layout.used),
        .used_event = (_Atomic uint16_t *)(base + layout.used_event),
        .avail_event = (_Atomic uint16_t *)(base + layout.avail_event),
        .cookies = cookies,
        .ids = (uint32_t *)(cookies + shape->size),
        .slots = (uint32_t *)(cookies + shape->size) + shape->size,
        .size = shape->size,
        .capacity = shape->size / chain,
        .limit = shape->size / chain,
        .mask = shape->size / chain - 1,
        .chain = chain,
        .index = shape->index,
        .packed = shape->packed,
        .event_idx = shape->event_idx,
        .split_ids_match_slots = !shape->packed && chain == 1,
        .packed_ids_match_slots = shape->packed,
    };
    make_slots(queue);
    for (uint32_t slot = 0; shape->packed && slot < queue->capacity; slot++)
        queue->packed_desc[slot].id = (uint16_t)slot; /* as if used before: virtqueue_audit */

    if (shape->packed)
        atomic_store_explicit(&queue->driver_event->flags, RING_EVENT_FLAGS_DISABLE,
                              memory_order_relaxed);
    else if (shape->event_idx) /* §2.7.7.1: the flags stay 0 then, and used_event does it */
        atomic_store_explicit(queue->used_event, (uint16_t)(queue->suppressed_at - 1),
                              memory_order_relaxed);
    else
        queue->avail->flags = VIRTQ_AVAIL_F_NO_INTERRUPT;
}

void virtqueue_set_span(struct virtqueue *queue, uint32_t span)
{
    queue->span = span;
    queue->below = -pair_of(queue->shortest);
    queue->above = pair_of(INT32_MAX - queue->shortest - span);
}

void virtqueue_set_buffers(struct virtqueue *queue, const struct virtqueue_buffers *buffers)
{
    queue->start = buffers->start;
    queue->header = buffers->header;
    queue->room = buffers->room;
    queue->shortest = buffers->shortest;
    virtqueue_set_span(queue, buffers->span);
}

const char *virtqueue_error_name(enum virtqueue_error error)
{
    static const char *const names[VIRTQUEUE_ERRORS] = {
        [VIRTQUEUE_OK] = "none",
        [VIRTQUEUE_USED_IDX] = "used-idx",
        [VIRTQUEUE_ID_RANGE] = "used-id-range",
        [VIRTQUEUE_ID_NOT_OUT] = "used-id-not-outstanding",
        [VIRTQUEUE_LENGTH_SHORT] = "used-length-short",
        [VIRTQUEUE_LENGTH_LONG] = "used-length-long",
        [VIRTQUEUE_NUM_BUFFERS] = "num-buffers",
        [VIRTQUEUE_USED_ORDER] = "used-order",
        [VIRTQUEUE_USED_FLAGS] = "used-flags",
        [VIRTQUEUE_OVERWRITTEN] = "ring-overwritten",
    };
    return names[error];
}

uint32_t virtqueue_unfinished(const struct virtqueue *queue)
{
    if (queue->packed)
        return virtqueue_packed_unfinished(queue);
    return (uint16_t)(queue->avail_idx -
                      atomic_load_explicit(&queue->used->idx, memory_order_relaxed));
}

/* ---- adding ---- */

/* One buffer, `ahead` slots behind the next one. `length` is of what follows the header. */
static void split_put(struct virtqueue *queue, const uint8_t *buffer, uint32_t length,
                      uint16_t flags, uint32_t ahead)
{
    const uint32_t id = queue->ids[virtqueue_slot(queue, queue->avail_idx + ahead)];
    const uint32_t header = queue->header;
    const uint64_t addr = io_physical(buffer) + queue->start;
    struct virtq_desc *const desc = &queue->desc[id];

    if (queue->chain == 1) {
        virtqueue_describe(desc, addr, virtqueue_split_rest(header + length, flags, 0));
        return;
    }
    virtqueue_describe(desc, addr,
                       virtqueue_split_rest(header, VIRTQ_DESC_F_NEXT | flags, (uint16_t)(id + 1)));
    virtqueue_describe(desc + 1, addr + header, virtqueue_split_rest(length, flags, 0));
}

__attribute__((noinline)) uint64_t virtqueue_put_more(struct virtqueue *queue,
                                                      uint8_t *const *buffers,
                                                      const uint32_t *lengths, uint32_t done,
                                                      uint32_t n)
{
    const uint32_t slot = virtqueue_slot(queue, queue->avail_idx);
    const uint16_t flags = lengths == NULL ? VIRTQ_DESC_F_WRITE : 0;
    uint64_t bytes = 0;

    for (uint32_t i = done; i < n; i++) {
        const uint32_t length = lengths == NULL ? queue->room : lengths[i];
        queue->cookies[slot + i] = buffers[i];
        if (queue->packed)
            virtqueue_packed_put(queue, buffers[i], length, flags, i);
        else
            split_put(queue, buffers[i], length, flags, i);
        bytes += length;
    }
    return bytes;
}

uint64_t virtqueue_put_any(struct virtqueue *queue, uint8_t *const *buffers,
                           const uint32_t *lengths, uint32_t n)
{
    return virtqueue_put_more(queue, buffers, lengths, 0, n);
}

bool virtqueue_add_parts(struct virtqueue *queue, const struct virtqueue_part *parts,
                         unsigned count, void *cookie, uint32_t *slots)
{
    const uint32_t slot = virtqueue_slot(queue, queue->avail_idx);

    *slots = queue->packed ? count : 1;
    ensure(count >= 1 && *slots <= virtqueue_free(queue));
    if (queue->packed)
        return virtqueue_packed_add_parts(queue, parts, count, cookie);
    ensure(count <= queue->chain);
    queue->cookies[slot] = cookie;
    for (unsigned i = 0; i < count; i++) {
        const uint32_t id = queue->ids[slot] + i;
        const uint16_t link = i + 1 < count ? VIRTQ_DESC_F_NEXT : 0;
        const uint16_t flags = (parts[i].write ? VIRTQ_DESC_F_WRITE : 0) | link;
        virtqueue_describe(
            &queue->desc[id], io_physical(parts[i].start),
            virtqueue_split_rest(parts[i].length, flags, link != 0 ? (uint16_t)(id + 1) : 0));
    }
    return virtqueue_publish(queue, 1);
}

/* A split ring's table is linked as the ring itself would be; its descriptor must not be (§2.7.5.3.1).
 * Where the header has a descriptor of its own the table takes the place of both. */
static void split_stage_indirect(struct virtqueue *queue, uint32_t ahead,
                                 const struct virtqueue_part *parts, uint32_t count,
                                 struct virtq_desc *table)
{
    const uint32_t slot = virtqueue_slot(queue, queue->avail_idx + ahead);

    for (uint32_t i = 0; i < count; i++) {
        const bool last = i + 1 == count;
        virtqueue_describe(&table[i], io_physical(parts[i].start),
                           virtqueue_split_rest(parts[i].length, last ? 0 : VIRTQ_DESC_F_NEXT,
                                                last ? 0 : (uint16_t)(i + 1)));
    }
    virtqueue_describe(
        &queue->desc[queue->ids[slot]], io_physical(table),
        virtqueue_split_rest(count * (uint32_t)sizeof(*table), VIRTQ_DESC_F_INDIRECT, 0));
}

void virtqueue_stage_indirect(struct virtqueue *queue, uint32_t ahead,
                              const struct virtqueue_part *parts, uint32_t count, void *table)
{
    queue->indirect = true;
    if (queue->packed)
        virtqueue_packed_stage_indirect(queue, ahead, parts, count, table);
    else
        split_stage_indirect(queue, ahead, parts, count, table);
}

/* ---- taking back ---- */

/* Lets the chains in two slots change their places. */
static void exchange(struct virtqueue *queue, uint32_t slot, uint32_t other)
{
    void *const cookie = queue->cookies[slot];
    const uint32_t id = queue->ids[slot];

    queue->split_ids_match_slots = queue->packed_ids_match_slots = false;
    queue->cookies[slot] = queue->cookies[other];
    queue->cookies[other] = cookie;
    fill_slot(queue, slot, queue->ids[other]);
    fill_slot(queue, other, id);
}

/*
 * The device has finished `id`, `ahead` slots behind used_idx. True if that is the chain in that slot;
 * or is now, for where another one was expected the two change their slots. False, and the queue is
 * broken, if the device has no such chain.
 */
static bool bring_forward(struct virtqueue *queue, uint32_t id, uint32_t ahead)
{
    const uint32_t at = queue->used_idx + ahead, expected = virtqueue_slot(queue, at);

    if (id == queue->ids[expected])
        return true;
    if (id >= queue->size) {
        virtqueue_fail(queue, VIRTQUEUE_ID_RANGE, id);
        return false;
    }
    /* The device has the chains in the slots from here to avail_idx, and no others. */
    const uint32_t slot = queue->slots[id];
    if (id % queue->chain != 0 || virtqueue_slot(queue, slot - at) >= queue->avail_idx - at ||
        queue->cookies[slot] == NULL) {
        virtqueue_fail(queue, VIRTQUEUE_ID_NOT_OUT, id);
        return false;
    }
    exchange(queue, slot, expected);
    return true;
}

/* What the device says of the chain `i` slots behind used_idx: each word is read once, since the device
 * may change it at any time. False if it has not finished it. */
static bool said(const struct virtqueue *queue, uint32_t i, uint32_t *id, uint32_t *length)
{
    if (queue->packed)
        return virtqueue_packed_said_at(queue, queue->used_idx + i, id, length);
    const uint64_t word =
        *(const virtqueue_used_word *)&queue->used->ring[(queue->used_idx + i) & (queue->size - 1)];
    *id = (uint32_t)word;
    *length = (uint32_t)(word >> 32);
    return true;
}

/* Goes on by fours, as far as ids match slots. */
static struct virtqueue_burst pop_more_fours(const struct virtqueue *queue, void **cookies,
                                             uint32_t *lengths, uint32_t n,
                                             struct virtqueue_burst burst)
{
    const uint32_t idx = queue->used_idx + burst.count, fours = VIRTQUEUE_FOURS(n - burst.count);

    if (fours == 0 || !virtqueue_ids_match_slots(queue))
        return burst;
    cookies += burst.count;
    lengths += burst.count;
    const struct virtqueue_burst more =
        queue->packed
            ? virtqueue_pop_fours(queue, cookies, lengths, idx, fours, LOOK_AT_LENGTH, true)
            : virtqueue_pop_fours(queue, cookies, lengths, idx, fours, LOOK_AT_LENGTH, false);
    return (struct virtqueue_burst){
        .bytes = burst.bytes + more.bytes,
        .count = burst.count + more.count,
        .needs_check = burst.needs_check || more.needs_check,
    };
}

__attribute__((noinline)) struct virtqueue_burst virtqueue_pop_more(struct virtqueue *queue,
                                                                    void **cookies,
                                                                    uint32_t *lengths, uint32_t n,
                                                                    struct virtqueue_burst burst)
{
    const uint32_t slot = virtqueue_slot(queue, queue->used_idx);
    uint32_t id, length;

    if (queue->packed && virtqueue_packed_is_idle(queue))
        return burst;
    if (lengths != NULL)
        burst = pop_more_fours(queue, cookies, lengths, n, burst);
    for (uint32_t i = burst.count; i < n; i++) {
        if (!said(queue, i, &id, &length) || !bring_forward(queue, id, i))
            break;
        cookies[i] = queue->cookies[slot + i];
        burst.count++;
        if (lengths == NULL)
            continue;
        lengths[i] = length - queue->header;
        burst.bytes += lengths[i];
        burst.needs_check |= virtqueue_needs_check(queue, lengths[i]);
    }
    return burst;
}

struct virtqueue_burst virtqueue_pop_any(struct virtqueue *queue, void **cookies, uint32_t *lengths,
                                         uint32_t n)
{
    return virtqueue_pop_more(queue, cookies, lengths, virtqueue_at_most(queue, n),
                              (struct virtqueue_burst){0});
}
