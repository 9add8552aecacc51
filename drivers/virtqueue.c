/* A queue's making, and the split ring's bursts. */
#include "drivers/virtqueue.h"

#include <string.h>

#include <machine/panic.h>

#include "drivers/virtqueue_four.h"
#include "drivers/virtqueue_in_order.h"
#include "drivers/virtqueue_packed.h"

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
 * Puts a chain into a slot, in our own table and in a split ring's available ring. That has `chain` entries
 * for each slot, since it is `chain` times as long as there are slots; all of them are written. The
 * device reads none of them before they are offered again.
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
    void **tokens = private;

    ensure(virtqueue_size_valid(shape->size) && chain <= shape->size &&
           (chain == 1 || chain == 2 || chain == 4));
    *queue = (struct virtqueue){
        .desc = (struct virtq_desc *)(base + layout.desc),
        .avail = (struct virtq_avail *)(base + layout.avail),
        .used = (struct virtq_used *)(base + layout.used),
        .used_event = (_Atomic uint16_t *)(base + layout.used_event),
        .avail_event = (_Atomic uint16_t *)(base + layout.avail_event),
        .tokens = tokens,
        .ids = (uint32_t *)(tokens + shape->size),
        .slots = (uint32_t *)(tokens + shape->size) + shape->size,
        .size = shape->size,
        .capacity = shape->size / chain,
        .chain = chain,
        .index = shape->index,
        .packed = shape->packed,
        .event_idx = shape->event_idx,
        .in_order = shape->in_order,
        .ordinary = !shape->packed && !shape->in_order,
        .plain = !shape->packed && chain == 1,
    };
    make_slots(queue);

    if (shape->packed)
        atomic_store_explicit(&queue->driver_event->flags, RING_EVENT_FLAGS_DISABLE,
                              memory_order_relaxed);
    else if (shape->event_idx) /* §2.7.7.1: the flags stay 0 then, and used_event does it */
        atomic_store_explicit(queue->used_event, (uint16_t)(queue->parked - 1),
                              memory_order_relaxed);
    else
        queue->avail->flags = VIRTQ_AVAIL_F_NO_INTERRUPT;
}

void virtqueue_set_buffers(struct virtqueue *queue, const struct virtqueue_buffers *buffers)
{
    queue->start = buffers->start;
    queue->header = buffers->header;
    queue->room = buffers->room;
    queue->shortest = buffers->shortest;
    queue->span = buffers->span;
}

void virtqueue_break(struct virtqueue *queue, enum virtqueue_breach breach, uint32_t value)
{
    if (queue->breach == VIRTQUEUE_SOUND) {
        queue->breach = breach;
        queue->breach_value = value;
    }
}

const char *virtqueue_breach_name(enum virtqueue_breach breach)
{
    static const char *const names[VIRTQUEUE_BREACHES] = {
        [VIRTQUEUE_SOUND] = "none",
        [VIRTQUEUE_USED_IDX] = "used-idx",
        [VIRTQUEUE_ID_RANGE] = "used-id-range",
        [VIRTQUEUE_ID_NOT_OUT] = "used-id-not-outstanding",
        [VIRTQUEUE_LENGTH_SHORT] = "used-length-short",
        [VIRTQUEUE_LENGTH_LONG] = "used-length-long",
    };
    return names[breach];
}

uint32_t virtqueue_unfinished(const struct virtqueue *queue)
{
    if (queue->packed)
        return virtqueue_packed_unfinished(queue);
    return (uint16_t)(queue->avail_idx -
                      atomic_load_explicit(&queue->used->idx, memory_order_relaxed));
}

/* ---- adding ---- */

/* Next slots side by side, of a split ring. */
struct slots {
    void **tokens;
    const uint32_t *ids;
    struct virtq_desc *desc; /* of a plain ring */
};

static struct slots next_slots(const struct virtqueue *queue)
{
    const uint32_t slot = virtqueue_slot(queue, queue->avail_idx);

    return (struct slots){&queue->tokens[slot], &queue->ids[slot], &queue->desc[slot]};
}

static void describe_for_reading(struct virtqueue *queue, uint8_t *const *buffers,
                                 const uint32_t *lengths, uint32_t n)
{
    const struct slots slots = next_slots(queue);
    const uint64_t start = queue->start;
    const uint32_t header = queue->header;

#pragma GCC unroll 4
    for (uint64_t i = 0; i < n; i++) {
        slots.tokens[i] = buffers[i];
        virtqueue_describe(&slots.desc[i], io_physical(buffers[i]) + start, header + lengths[i], 0,
                           0);
    }
}

static void describe_for_writing(struct virtqueue *queue, uint8_t *const *buffers, uint32_t n)
{
    const struct slots slots = next_slots(queue);
    const uint64_t start = queue->start;
    const uint32_t length = queue->header + queue->room;

#pragma GCC unroll 4
    for (uint64_t i = 0; i < n; i++) {
        slots.tokens[i] = buffers[i];
        virtqueue_describe(&slots.desc[i], io_physical(buffers[i]) + start, length,
                           VIRTQ_DESC_F_WRITE, 0);
    }
}

/* Where chains have changed their slots, or where the header has a descriptor of its own. */
static void describe_any(struct virtqueue *queue, uint8_t *const *buffers, const uint32_t *lengths,
                         uint32_t n)
{
    const struct slots slots = next_slots(queue);
    const uint16_t flags = lengths == NULL ? VIRTQ_DESC_F_WRITE : 0;
    const uint32_t header = queue->header;

    for (uint32_t i = 0; i < n; i++) {
        const uint32_t id = slots.ids[i], length = lengths == NULL ? queue->room : lengths[i];
        const uint64_t addr = io_physical(buffers[i]) + queue->start;
        struct virtq_desc *const desc = &queue->desc[id];
        slots.tokens[i] = buffers[i];
        if (queue->chain == 1) {
            virtqueue_describe(desc, addr, header + length, flags, 0);
            continue;
        }
        virtqueue_describe(desc, addr, header, VIRTQ_DESC_F_NEXT | flags, (uint16_t)(id + 1));
        virtqueue_describe(desc + 1, addr + header, length, flags, 0);
    }
}

bool virtqueue_add_many(struct virtqueue *queue, uint8_t *const *buffers, const uint32_t *lengths,
                        uint32_t n)
{
    if (queue->packed)
        return virtqueue_packed_add(queue, buffers, lengths, n);
    if (!queue->plain)
        describe_any(queue, buffers, lengths, n);
    else if (lengths != NULL)
        describe_for_reading(queue, buffers, lengths, n);
    else
        describe_for_writing(queue, buffers, n);
    return virtqueue_publish(queue, n);
}

bool virtqueue_add_parts(struct virtqueue *queue, const struct virtqueue_part *parts,
                         unsigned count, void *token, uint32_t *slots)
{
    const struct slots next = next_slots(queue);

    *slots = queue->packed ? count : 1;
    ensure(count >= 1 && *slots <= virtqueue_free(queue));
    if (queue->packed)
        return virtqueue_packed_add_parts(queue, parts, count, token);
    ensure(count <= queue->chain);
    next.tokens[0] = token;
    for (unsigned i = 0; i < count; i++) {
        const uint32_t id = next.ids[0] + i;
        const uint16_t link = i + 1 < count ? VIRTQ_DESC_F_NEXT : 0;
        virtqueue_describe(&queue->desc[id], io_physical(parts[i].start), parts[i].length,
                           (parts[i].write ? VIRTQ_DESC_F_WRITE : 0) | link,
                           link != 0 ? (uint16_t)(id + 1) : 0);
    }
    return virtqueue_publish(queue, 1);
}

/* ---- taking back ---- */

/*
 * The device has finished `id` where another chain was expected, `ahead` slots behind used_idx. Lets
 * the two change their slots, or breaks the queue and returns false if the device has no such chain.
 */
static bool bring_forward(struct virtqueue *queue, uint32_t id, uint32_t ahead)
{
    const uint32_t at = queue->used_idx + ahead;

    if (id >= queue->size) {
        virtqueue_break(queue, VIRTQUEUE_ID_RANGE, id);
        return false;
    }
    /* The device has the chains in the slots from here to avail_idx, and no others. */
    const uint32_t slot = queue->slots[id];
    if (id % queue->chain != 0 || virtqueue_slot(queue, slot - at) >= queue->avail_idx - at) {
        virtqueue_break(queue, VIRTQUEUE_ID_NOT_OUT, id);
        return false;
    }
    const uint32_t expected_slot = virtqueue_slot(queue, at);
    void *token = queue->tokens[slot];
    queue->plain = false;
    queue->tokens[slot] = queue->tokens[expected_slot];
    queue->tokens[expected_slot] = token;
    fill_slot(queue, slot, queue->ids[expected_slot]);
    fill_slot(queue, expected_slot, id);
    return true;
}

struct virtqueue_burst virtqueue_pop_each(struct virtqueue *queue, void **tokens,
                                          const uint32_t *lengths, const uint32_t *ids, uint32_t n)
{
    const uint32_t slot = virtqueue_slot(queue, queue->used_idx);
    struct virtqueue_burst burst = {0};

    for (uint32_t i = 0; i < n; i++) {
        if (ids[i] != queue->ids[slot + i] && !bring_forward(queue, ids[i], i))
            break;
        tokens[i] = queue->tokens[slot + i];
        if (lengths != NULL) {
            burst.bytes += lengths[i];
            burst.odd |= virtqueue_is_odd(queue, lengths[i]);
        }
        burst.count++;
    }
    return burst;
}

/* Most frames come in bursts, so four are looked at at a time. */
static inline __attribute__((always_inline)) struct virtqueue_burst
pop_by_four(struct virtqueue *queue, void **tokens, uint32_t *lengths, uint32_t n)
{
    const uint32_t slot = virtqueue_slot(queue, queue->used_idx);
    const volatile struct virtq_used_elem *const used = virtqueue_used(queue);
    const uint32_t *const expected = &queue->ids[slot];
    void *const *const given = &queue->tokens[slot];
    const uint32_t header = queue->header, shortest = queue->shortest, span = queue->span;
    four bytes_four = {0}, odd_four = {0}, wrong_four = {0};
    uint32_t ids[VIRTQUEUE_BURST];
    uint64_t i;

    n = virtqueue_smaller(n, queue->capacity - slot);
    for (i = 0; i + 4 <= n; i += 4) {
        const four low = four_load(&used[i]), high = four_load(&used[i + 2]);
        const four id = __builtin_shufflevector(low, high, 0, 2, 4, 6);
        const four length = __builtin_shufflevector(low, high, 1, 3, 5, 7) - header;
        wrong_four |= id ^ four_load(&expected[i]);
        four_store(&ids[i], id);
        memcpy(&tokens[i], &given[i], 4 * sizeof(*tokens));
        if (lengths == NULL)
            continue;
        four_store(&lengths[i], length);
        bytes_four += length;
        odd_four |= (four)(length - shortest > span);
    }

    uint32_t bytes = four_sum(bytes_four);
    bool odd = four_any(odd_four), wrong = four_any(wrong_four);
    for (; i < n; i++) {
        ids[i] = used[i].id;
        wrong |= ids[i] != expected[i];
        tokens[i] = given[i];
        if (lengths == NULL)
            continue;
        const uint32_t length = used[i].len - header;
        lengths[i] = length;
        bytes += length;
        odd |= length - shortest > span;
    }
    if (__builtin_expect(wrong, 0))
        return virtqueue_pop_each(queue, tokens, lengths, ids, n);
    return (struct virtqueue_burst){n, bytes, odd};
}

struct virtqueue_burst virtqueue_pop_many(struct virtqueue *queue, void **tokens, uint32_t *lengths,
                                          uint32_t n)
{
    return lengths != NULL ? pop_by_four(queue, tokens, lengths, n)
                           : pop_by_four(queue, tokens, NULL, n);
}

struct virtqueue_burst virtqueue_pop_other(struct virtqueue *queue, void **tokens,
                                           uint32_t *lengths, uint32_t n)
{
    if (queue->in_order)
        return virtqueue_in_order_pop(queue, tokens, lengths, n);
    return virtqueue_packed_pop(queue, tokens, lengths, n);
}
