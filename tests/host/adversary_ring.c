/* The bytes of a ring, as a device that keeps no rule writes them. */
#include "tests/host/adversary_ring.h"

static struct pvirtq_desc *descriptor_at(const struct virtqueue *queue, uint16_t next)
{
    return &queue->packed_desc[next & (queue->size - 1)];
}

/* §2.8.1: both as the wrap counter, which is 1 in the first round. */
static uint16_t used_flags(const struct virtqueue *queue, uint16_t next)
{
    return next / queue->size % 2 == 0 ? VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED : 0;
}

void adversary_ring_put(const struct virtqueue *queue, uint16_t next, uint32_t id, uint32_t length)
{
    if (!queue->packed) {
        queue->used->ring[next & (queue->size - 1)] = (struct virtq_used_elem){id, length};
        return;
    }
    struct pvirtq_desc *desc = descriptor_at(queue, next);
    desc->id = (uint16_t)id;
    desc->len = length;
    desc->flags = used_flags(queue, next);
}

/* The flags of a packed ring: ahead of the next descriptor or at it, and of which round. */
static void mark(const struct virtqueue *queue, uint16_t *next, uint8_t choice)
{
    static const uint16_t others[] = {0, 0, VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED,
                                      VIRTQ_DESC_F_USED};
    const uint16_t at = (uint16_t)(*next + (choice & 8 ? choice >> 5 : 0));

    descriptor_at(queue, at)->flags = used_flags(queue, at) ^ others[choice & 3];
    if (choice & 16)
        *next = (uint16_t)(at + 1);
}

void adversary_ring_move(const struct virtqueue *queue, uint16_t *next, struct input *input)
{
    static const uint16_t steps[] = {1, 2, 0xffff, 0xfffe, 0x8000, 0x7fff, 64, 65};
    const uint8_t choice = input_8(input);

    if (queue->packed) {
        mark(queue, next, choice);
        return;
    }
    const uint16_t step = choice & 8 ? input_16(input) : steps[choice & 7];
    atomic_fetch_add(&queue->used->idx, step);
    if (choice & 16)
        *next = (uint16_t)(*next + step); /* and goes on from there */
}

/* Writes a row of bytes into [start, start + room). */
static void scribble(uint8_t *start, size_t room, struct input *input)
{
    size_t at = input_16(input) % room;
    size_t size = input_8(input) % 32 + 1;

    input_fill(input, start + at, size < room - at ? size : room - at);
}

static void scribble_packed(const struct virtqueue *queue, uint8_t what, struct input *input)
{
    if (what < 2) {
        scribble((uint8_t *)queue->packed_desc, queue->size * sizeof(*queue->packed_desc), input);
    } else if (what == 2) {
        scribble((uint8_t *)queue->driver_event, sizeof(*queue->driver_event), input);
    } else {
        atomic_store(&queue->device_event->flags, input_16(input));
        atomic_store(&queue->device_event->desc, input_16(input));
    }
}

static void scribble_split(const struct virtqueue *queue, uint8_t what, struct input *input)
{
    const struct virtqueue_layout layout = virtqueue_layout(queue->size, false);
    uint8_t *base = (uint8_t *)queue->desc;

    switch (what) {
    case 0:
        scribble(base, layout.avail, input);
        break;
    case 1:
        scribble(base + layout.avail, layout.used_event + 2 - layout.avail, input);
        break;
    case 2:
        scribble(base + layout.used, layout.avail_event + 2 - layout.used, input);
        break;
    default: /* the suppression words alone, which is no breach at all */
        atomic_store(&queue->used->flags, input_16(input));
        atomic_store(queue->avail_event, input_16(input));
        break;
    }
}

bool adversary_ring_scribble(const struct virtqueue *queue, struct input *input)
{
    const uint8_t what = input_8(input) % 4;

    if (queue->packed)
        scribble_packed(queue, what, input);
    else
        scribble_split(queue, what, input);
    return what == 1;
}
