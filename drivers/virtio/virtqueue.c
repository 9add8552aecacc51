/* A queue's making, and the plain loops: for chains of several descriptors, and for what is rare. */
#include "drivers/virtio/virtqueue.h"

#include <string.h>

#include <machine/panic.h>

#include "drivers/virtio/virtqueue_burst.h"

bool virtqueue_size_valid(uint32_t size)
{
    return size >= 1 && size <= VIRTQ_SIZE_MAX && (size & (size - 1)) == 0;
}

static struct virtqueue_layout packed_layout(uint32_t size)
{
    struct virtqueue_layout layout = {.desc = 0};

    /* §2.8.10.1: the two event suppression structures want an alignment of 4. Each has a cache line of
     * its own, since one side writes it and the other one reads. */
    layout.avail = size * sizeof(struct pvirtq_desc);
    layout.avail = (layout.avail + 63) & ~(size_t)63;
    layout.used = layout.avail + 64;
    layout.total = layout.used + 64;
    return layout;
}

struct virtqueue_layout virtqueue_layout(uint32_t size, bool packed)
{
    const size_t align = VIRTIO_PCI_LEGACY_QUEUE_ALIGN;
    struct virtqueue_layout layout = {.desc = 0};

    if (packed)
        return packed_layout(size);
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
        .ids_match_slots = chain == 1,
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
    uint32_t idx = queue->used_idx;

    if (!queue->packed)
        return (uint16_t)(virtqueue_outstanding(queue) - virtqueue_split_finished(queue));
    while (idx != queue->avail_idx && virtqueue_packed_is_used(queue, idx))
        idx++;
    return queue->avail_idx - idx;
}

/* ---- adding ---- */

/*
 * Writes descriptor `part` of the chain that is staged `ahead` slots behind the next one. A packed
 * ring's very first one publishes the burst, so its id and flags go to publish_word.
 */
static void write_descriptor(struct virtqueue *queue, uint32_t ahead, uint32_t part, uint64_t addr,
                             uint32_t length, uint32_t flags)
{
    const uint32_t idx = queue->avail_idx + ahead;
    const uint32_t id = queue->ids[virtqueue_slot(queue, idx)];

    if (!queue->packed) {
        const uint32_t next = flags & VIRTQ_DESC_F_NEXT ? id + part + 1 : 0;
        const uint64_t word = virtqueue_split_word(flags, next);
        virtqueue_describe(&queue->desc[id + part], addr, word << 32 | length);
        return;
    }
    struct pvirtq_desc *const desc = &queue->packed_desc[virtqueue_slot(queue, idx + part)];
    const uint32_t word = virtqueue_packed_word(queue, idx + part, id, flags);
    desc->addr = addr;
    desc->len = length;
    if (ahead + part == 0)
        queue->publish_word = word;
    else /* relaxed: the device does not look at it yet */
        atomic_store_explicit((_Atomic uint32_t *)&desc->id, word, memory_order_relaxed);
}

/* One buffer, `ahead` slots behind the next one. `length` is of what follows the header. */
static void stage_buffer(struct virtqueue *queue, const uint8_t *buffer, uint32_t length,
                         uint32_t flags, uint32_t ahead)
{
    const uint32_t header = queue->header;
    const uint64_t addr = io_physical(buffer) + queue->start;

    if (queue->chain == 1) {
        write_descriptor(queue, ahead, 0, addr, header + length, flags);
        return;
    }
    write_descriptor(queue, ahead, 0, addr, header, VIRTQ_DESC_F_NEXT | flags);
    write_descriptor(queue, ahead, 1, addr + header, length, flags);
}

__attribute__((noinline)) uint64_t virtqueue_stage_plain(struct virtqueue *queue,
                                                         uint8_t *const *buffers,
                                                         const uint32_t *lengths, uint32_t done,
                                                         uint32_t n)
{
    const uint32_t slot = virtqueue_slot(queue, queue->avail_idx);
    const uint32_t flags = lengths == NULL ? VIRTQ_DESC_F_WRITE : 0;
    uint64_t bytes = 0;

    for (uint32_t i = done; i < n; i++) {
        const uint32_t length = lengths == NULL ? queue->room : lengths[i];
        queue->cookies[slot + i] = buffers[i];
        stage_buffer(queue, buffers[i], length, flags, i);
        bytes += length;
    }
    return bytes;
}

bool virtqueue_add_parts(struct virtqueue *queue, const struct virtqueue_part *parts,
                         unsigned count, void *cookie, uint32_t *slots)
{
    *slots = queue->packed ? count : 1;
    ensure(count >= 1 && *slots <= virtqueue_free(queue));
    ensure(queue->packed || count <= queue->chain);
    /* The ids of a packed chain's further slots are not given to the device: it cannot return them. */
    for (uint32_t i = 0; i < *slots; i++)
        queue->cookies[virtqueue_slot(queue, queue->avail_idx + i)] = i == 0 ? cookie : NULL;
    for (uint32_t i = 0; i < count; i++)
        write_descriptor(queue, 0, i, io_physical(parts[i].start), parts[i].length,
                         (parts[i].write ? VIRTQ_DESC_F_WRITE : 0) |
                             (i + 1 < count ? VIRTQ_DESC_F_NEXT : 0));
    return virtqueue_publish(queue, *slots);
}

/*
 * A split ring's table is linked as the ring itself would be, and its descriptor must not be
 * (§2.7.5.3.1). In a packed one neither ids nor flags but WRITE count (§2.8.7). Where the header has a
 * descriptor of its own the table takes the place of both.
 */
void virtqueue_stage_indirect(struct virtqueue *queue, uint32_t ahead,
                              const struct virtqueue_part *parts, uint32_t count, void *table)
{
    struct virtq_desc *const descs = table;

    queue->indirect = true;
    for (uint32_t i = 0; i < count; i++) {
        const bool linked = !queue->packed && i + 1 < count;
        const uint64_t word = linked ? virtqueue_split_word(VIRTQ_DESC_F_NEXT, i + 1) : 0;
        virtqueue_describe(&descs[i], io_physical(parts[i].start), word << 32 | parts[i].length);
    }
    write_descriptor(queue, ahead, 0, io_physical(table), count * (uint32_t)sizeof(*descs),
                     VIRTQ_DESC_F_INDIRECT);
}

/* ---- taking back ---- */

/* Lets the chains in two slots change their places. */
static void exchange(struct virtqueue *queue, uint32_t slot, uint32_t other)
{
    void *const cookie = queue->cookies[slot];
    const uint32_t id = queue->ids[slot];

    queue->ids_match_slots = false;
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

/*
 * With nothing out, a packed ring's next slot holds what the round before has left there: used or
 * available then, and neither by the wrap counter of this round. A device that makes it used answers
 * what was not asked.
 */
static void check_idle(struct virtqueue *queue)
{
    const uint32_t slot = virtqueue_slot(queue, queue->used_idx);

    if (virtqueue_packed_is_used(queue, queue->used_idx))
        virtqueue_fail(queue, VIRTQUEUE_USED_IDX,
                       virtqueue_packed_load(&queue->packed_desc[slot]) >> 16);
}

/* What the device says of the chain `i` slots behind used_idx: each word is read once, since the device
 * may change it at any time. False if it has not finished it. */
static bool read_used(const struct virtqueue *queue, uint32_t i, uint32_t *id, uint32_t *length)
{
    const uint32_t idx = queue->used_idx + i;
    const uint64_t said =
        queue->packed ? virtqueue_packed_read(&queue->packed_desc[virtqueue_slot(queue, idx)])
                      : virtqueue_split_read(&queue->used->ring[idx & (queue->size - 1)]);

    *id = queue->packed ? (uint16_t)said : (uint32_t)said;
    *length = (uint32_t)(said >> 32);
    return !queue->packed ||
           (said & VIRTQUEUE_PACKED_FLAGS) == virtqueue_packed_used(queue, idx, 0);
}

__attribute__((noinline)) struct virtqueue_burst
virtqueue_take_plain(struct virtqueue *queue, void **cookies, uint32_t *lengths, uint32_t n,
                     enum virtqueue_look look, struct virtqueue_burst burst)
{
    const uint32_t slot = virtqueue_slot(queue, queue->used_idx);
    uint32_t id, length;

    if (queue->packed && virtqueue_outstanding(queue) == 0)
        check_idle(queue);
    for (uint32_t i = burst.count; i < n; i++) {
        if (!read_used(queue, i, &id, &length) || !bring_forward(queue, id, i))
            break;
        cookies[i] = queue->cookies[slot + i];
        burst.count++;
        if (look == VIRTQUEUE_IDS)
            continue;
        lengths[i] = length - queue->header;
        burst.bytes += lengths[i];
        burst.needs_check |= virtqueue_needs_check(queue, lengths[i]) ||
                             (look == VIRTQUEUE_HEADERS && virtqueue_header_flags(cookies[i]) != 0);
    }
    return burst;
}
