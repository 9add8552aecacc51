/* A missing doorbell, and a ring that the device has spoiled. */
#include "drivers/virtio/virtqueue_watch.h"

#include "drivers/virtio/virtqueue_packed.h"

/* ---- doorbells ---- */

bool virtqueue_awaits_doorbell(const struct virtqueue *queue, uint32_t rung)
{
    const uint32_t n = virtqueue_smaller(queue->avail_idx - rung,
                                         virtqueue_unfinished(queue)); /* and unheard of */

    if (n == 0)
        return false;
    if (queue->packed) {
        const uint16_t flags =
            atomic_load_explicit(&queue->device_event->flags, memory_order_relaxed);
        return flags != RING_EVENT_FLAGS_DISABLE; /* a descriptor named long ago says nothing */
    }
    if (queue->event_idx) {
        const uint16_t event = atomic_load_explicit(queue->avail_event, memory_order_relaxed);
        return (uint16_t)(queue->avail_idx - event - 1) < n; /* §2.7.10 */
    }
    return !(atomic_load_explicit(&queue->used->flags, memory_order_relaxed) &
             VIRTQ_USED_F_NO_NOTIFY);
}

/* ---- the audit ---- */

/* Bits that the device may set as it likes in a used descriptor, and a table has where we staged one. */
#define INDIRECT ((uint32_t)VIRTQ_DESC_F_INDIRECT << 16)

static const struct virtqueue_finding sound = {VIRTQUEUE_OK, 0};

static struct virtqueue_finding find(enum virtqueue_error error, uint32_t value)
{
    return (struct virtqueue_finding){error, value};
}

/* True if the flags say that the device has used the descriptor, in this round or in the one before. */
static bool looks_used(const struct virtqueue *queue, uint32_t idx, uint32_t flags)
{
    return flags == virtqueue_packed_used(queue, idx, 0) ||
           flags == virtqueue_packed_used(queue, idx - queue->capacity, 0);
}

/* Id and flags as the driver wrote them into the slot of `idx`, which is out. */
static uint32_t word_written(const struct virtqueue *queue, uint32_t idx)
{
    const uint32_t id = queue->ids[virtqueue_slot(queue, idx)];
    const uint32_t write = queue->room != 0 ? (uint32_t)VIRTQ_DESC_F_WRITE << 16 : 0;

    return virtqueue_packed_word(queue, idx, id, 0) | write;
}

/* True if the address in a slot is as we wrote it. Where a table was staged its address is not kept. */
static bool address_is_kept(const struct virtqueue *queue, uint32_t slot)
{
    const volatile struct pvirtq_desc *const desc = &queue->packed_desc[slot];

    return queue->indirect || desc->addr == io_physical(queue->cookies[slot]) + queue->start;
}

/* The same of the length. That of a frame to be sent is not kept. */
static bool length_is_kept(const struct virtqueue *queue, uint32_t slot)
{
    const volatile struct pvirtq_desc *const desc = &queue->packed_desc[slot];

    return queue->room == 0 || desc->len == queue->header + queue->room;
}

/* A descriptor that is out and not used. Where chains have changed their slots, ids and buffers in the
 * ring are those of earlier chains until the slots are filled anew: only flags can be compared. */
static struct virtqueue_finding check_out(const struct virtqueue *queue, uint32_t idx)
{
    const bool straight = queue->ids_match_slots;
    const uint32_t slot = virtqueue_slot(queue, idx), written = word_written(queue, idx);
    const uint32_t word = virtqueue_packed_load(&queue->packed_desc[slot]);
    const uint32_t may_differ =
        (queue->indirect ? INDIRECT : 0) | (straight ? 0 : (uint32_t)UINT16_MAX);

    if (straight && !address_is_kept(queue, slot))
        return find(VIRTQUEUE_OVERWRITTEN, slot);
    if (looks_used(queue, idx, word & VIRTQUEUE_PACKED_FLAGS))
        return find(VIRTQUEUE_USED_ORDER, slot);
    if ((word ^ written) & VIRTQUEUE_PACKED_FLAGS)
        return find(VIRTQUEUE_USED_FLAGS, word >> 16);
    if (((word ^ written) & ~may_differ) != 0 || (straight && !length_is_kept(queue, slot)))
        return find(VIRTQUEUE_OVERWRITTEN, slot);
    return sound;
}

/* A descriptor that is not out, `idx` being its next use: it stays as the device has used it in the
 * round before, or, in the first round, as virtqueue_init left it. */
static struct virtqueue_finding check_free(const struct virtqueue *queue, uint32_t idx)
{
    const uint32_t slot = virtqueue_slot(queue, idx), before = idx - queue->capacity;
    const uint32_t word = virtqueue_packed_load(&queue->packed_desc[slot]) & VIRTQUEUE_PACKED_MASK;

    if (word == virtqueue_packed_used(queue, before, queue->ids[slot]))
        return sound;
    if (looks_used(queue, idx, word & VIRTQUEUE_PACKED_FLAGS))
        return find(VIRTQUEUE_USED_ORDER, slot);
    return find(VIRTQUEUE_USED_FLAGS, word >> 16);
}

/* The first chain that the device has to finish next; or, where it may hold that one back, the first
 * one behind those that it has finished since. */
static uint32_t first_unused(const struct virtqueue *queue, bool may_hold_back)
{
    uint32_t idx = queue->avail_idx - virtqueue_unfinished(queue);

    if (idx == queue->avail_idx || !may_hold_back || check_out(queue, idx).error != VIRTQUEUE_OK)
        return idx;
    do
        idx++;
    while (idx != queue->avail_idx && virtqueue_packed_is_used(queue, idx));
    return idx;
}

struct virtqueue_finding virtqueue_audit(const struct virtqueue *queue, bool may_hold_back)
{
    struct virtqueue_finding finding = sound;

    if (!queue->packed)
        return sound;
    for (uint32_t idx = first_unused(queue, may_hold_back);
         idx != queue->avail_idx && finding.error == VIRTQUEUE_OK; idx++)
        finding = check_out(queue, idx);
    for (uint32_t idx = queue->avail_idx;
         idx - queue->used_idx < queue->capacity && finding.error == VIRTQUEUE_OK; idx++)
        finding = check_free(queue, idx);
    return finding;
}
