/* The parts of the split virtqueue that are not in the data path: layout and making. */
#include "drivers/virtqueue.h"

#include <machine/panic.h>

bool virtqueue_size_valid(uint32_t size)
{
    return size >= 1 && size <= VIRTQ_SIZE_MAX && (size & (size - 1)) == 0;
}

struct virtqueue_layout virtqueue_layout(uint32_t size)
{
    const size_t align = VIRTIO_PCI_LEGACY_QUEUE_ALIGN;
    struct virtqueue_layout layout;

    /* §2.7.2: descriptors and available ring (with used_event) together, then, on the next page,
     * the used ring (with avail_event); each of the two parts is padded to whole pages. */
    layout.desc = 0;
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
 * Puts a chain into a slot, in our own table and in the available ring. The ring has `chain` entries
 * for each slot, since it is `chain` times as long as there are slots; all of them are written. The
 * device reads none of them before they are offered again.
 */
static void fill_slot(struct virtqueue *queue, uint32_t slot, uint32_t id)
{
    queue->ids[slot] = id;
    queue->slots[id] = slot;
    for (uint32_t i = slot; i < queue->size; i += queue->capacity)
        queue->avail->ring[i] = (uint16_t)id;
}

/* Links each chain's descriptors and puts it into a slot. */
static void make_chains(struct virtqueue *queue)
{
    for (uint32_t slot = 0; slot < queue->capacity; slot++) {
        const uint32_t id = slot * queue->chain;
        fill_slot(queue, slot, id);
        for (uint32_t link = id; link + 1 < id + queue->chain; link++) {
            queue->desc[link].flags = VIRTQ_DESC_F_NEXT;
            queue->desc[link].next = (uint16_t)(link + 1);
        }
    }
}

void virtqueue_init(struct virtqueue *queue, const struct virtqueue_shape *shape, void *ring,
                    void *private)
{
    const struct virtqueue_layout layout = virtqueue_layout(shape->size);
    uint8_t *base = ring;
    void **tokens = private;

    ensure(virtqueue_size_valid(shape->size) && shape->chain <= shape->size &&
           (shape->chain == 1 || shape->chain == 2 || shape->chain == 4));
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
        .capacity = shape->size / shape->chain,
        .chain = shape->chain,
        .event_idx = shape->event_idx,
        .plain = shape->chain == 1,
        .index = shape->index,
    };
    make_chains(queue);

    /* §2.7.7.1: with EVENT_IDX the flags stay 0 and used_event does it, else NO_INTERRUPT. */
    if (shape->event_idx)
        atomic_store_explicit(queue->used_event, (uint16_t)(queue->parked - 1),
                              memory_order_relaxed);
    else
        queue->avail->flags = VIRTQ_AVAIL_F_NO_INTERRUPT;
}

void virtqueue_break(struct virtqueue *queue, enum virtqueue_breach breach, uint32_t value)
{
    if (queue->breach == VIRTQUEUE_SOUND) {
        queue->breach = breach;
        queue->breach_value = value;
    }
}

/*
 * The device has finished `id` where another chain was expected, `ahead` entries behind used_idx. Lets
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

struct virtqueue_burst virtqueue_pop_any(struct virtqueue *queue, void **tokens, uint32_t *lengths,
                                         uint32_t n)
{
    const volatile struct virtq_used_elem *const used = virtqueue_used(queue);
    uint32_t ids[VIRTQUEUE_BURST];

    n = virtqueue_smaller(n, queue->capacity - virtqueue_slot(queue, queue->used_idx));
    for (uint32_t i = 0; i < n; i++) {
        ids[i] = used[i].id;
        if (lengths != NULL)
            lengths[i] = used[i].len - queue->header;
    }
    return virtqueue_pop_each(queue, tokens, lengths, ids, n);
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
