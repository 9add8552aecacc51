/* The split ring by bytes: offsets and flags are typed in from virtio 1.2 §2.7 once more. */
#include "tests/host/sim/virtqueue_format.h"

#include <string.h>

#define PAGE 4096u

enum {
    AVAIL_NO_INTERRUPT = 1,
    USED_NO_NOTIFY = 1,
};

struct sim_place sim_queue_legacy_place(const struct sim_queue *queue, uint32_t page)
{
    const uint64_t desc = (uint64_t)page * PAGE, avail = desc + 16u * queue->size;
    const uint64_t avail_end = avail + 2 * (3u + queue->size);

    return (struct sim_place){desc, avail, (avail_end + PAGE - 1) / PAGE * PAGE};
}

static uint8_t *desc_at(struct sim_queue *queue)
{
    return sim_queue_dma(queue, queue->place.desc, 16u * queue->size);
}

static uint8_t *avail_at(struct sim_queue *queue)
{
    return sim_queue_dma(queue, queue->place.avail, 2 * (3u + queue->size));
}

static uint8_t *used_at(struct sim_queue *queue)
{
    return sim_queue_dma(queue, queue->place.used, 2 * 3u + 8u * queue->size);
}

/* §2.7 has the table of alignments. */
bool sim_split_place(struct sim_queue *queue)
{
    const struct sim_place place = queue->place;

    if (place.desc % 16 != 0 || place.avail % 2 != 0 || place.used % 4 != 0)
        sim_queue_complain(queue, "ring misaligned: 0x%llx 0x%llx 0x%llx",
                           (unsigned long long)place.desc, (unsigned long long)place.avail,
                           (unsigned long long)place.used);
    return place.desc != 0 && desc_at(queue) != NULL && avail_at(queue) != NULL &&
           used_at(queue) != NULL;
}

struct sim_ring sim_split_ring(struct sim_queue *queue)
{
    uint8_t *used = used_at(queue);

    return (struct sim_ring){desc_at(queue), avail_at(queue), used, used + 6 + 8 * queue->size};
}

/* Every descriptor is followed by itself: who walks the chain walks for ever. */
static void loop_table(struct sim_queue *queue, uint8_t *desc)
{
    for (uint16_t id = 0; id < queue->size; id++, desc += 16) {
        sim_put16(desc + 12, SIM_DESC_NEXT);
        sim_put16(desc + 14, id);
    }
}

void sim_split_scribble(struct sim_queue *queue, enum sim_scribble what)
{
    struct sim_ring at = sim_split_ring(queue);

    switch (what) {
    case SIM_SCRIBBLE_TABLE:
        memset(at.desc, 0xff, 16u * queue->size);
        break;
    case SIM_SCRIBBLE_TABLE_LOOP:
        loop_table(queue, at.desc);
        break;
    case SIM_SCRIBBLE_AVAIL:
        memset(at.avail, 0xff, 2 * (3u + queue->size));
        break;
    case SIM_SCRIBBLE_AVAIL_LOOP:
        for (unsigned i = 1; i < queue->size; i++)
            memcpy(at.avail + 4 + 2 * i, at.avail + 4, 2);
        break;
    default:
        memset(at.used + 4, 0xff, 8u * queue->size);
        break;
    }
}

uint16_t sim_split_posted(struct sim_queue *queue)
{
    return sim_get16(avail_at(queue) + 2);
}

void sim_split_fetch(struct sim_queue *queue)
{
    uint8_t *avail = avail_at(queue);
    uint16_t idx;

    if (avail == NULL)
        return;
    idx = sim_get16(avail + 2);
    if ((uint16_t)(idx - queue->avail_seen) > queue->size - queue->pending_count) {
        sim_queue_complain(queue, "avail.idx %u is further ahead than the ring of %u is large", idx,
                           queue->size);
        return;
    }
    for (; queue->avail_seen != idx; queue->avail_seen++) {
        uint16_t head = sim_get16(avail + 4 + 2 * (queue->avail_seen % queue->size));

        if (!sim_queue_fetched(queue, head))
            return;
    }
}

static struct sim_descriptor read_descriptor(struct sim_queue *queue, uint16_t index)
{
    const uint8_t *bytes = desc_at(queue) + 16u * index;
    struct sim_descriptor desc = {.flags = sim_get16(bytes + 12)};

    memcpy(&desc.physical, bytes, 8);
    memcpy(&desc.length, bytes + 8, 4);
    return desc;
}

/* Follows the chain from its head. */
bool sim_split_read(struct sim_queue *queue, struct sim_chain *chain)
{
    uint16_t index = chain->head;

    for (unsigned n = 0; n < SIM_CHAIN_MAX; n++) {
        const struct sim_descriptor desc = read_descriptor(queue, index);

        if (!sim_queue_append(queue, chain, &desc))
            return false;
        if (!(desc.flags & SIM_DESC_NEXT))
            return true;
        index = sim_get16(desc_at(queue) + 16u * index + 14);
        if (index >= queue->size || queue->out[index]) {
            sim_queue_complain(
                queue, "descriptor %u is linked into a chain and is none or another's", index);
            return false;
        }
    }
    sim_queue_complain(queue, "chain %u does not end", chain->head);
    return false;
}

/* §2.7.7.1, §2.7.10: does the driver want to know that used.idx has become this, and not `old`? */
static bool wants_interrupt(struct sim_queue *queue, uint16_t new, uint16_t old)
{
    const uint8_t *avail = avail_at(queue);
    const uint16_t event = sim_get16(avail + 4 + 2 * queue->size);

    return queue->format.event_idx ? (uint16_t)(new - event - 1) < (uint16_t)(new - old)
                                   : !(sim_get16(avail) & AVAIL_NO_INTERRUPT);
}

/* The used.idx that is shown after the element, given that `right` would be. */
static uint16_t distort_idx(const struct sim_queue *queue, uint16_t right)
{
    switch (queue->fault) {
    case SIM_USED_IDX_AHEAD:
        return (uint16_t)(right + queue->pending_count + 1);
    case SIM_USED_IDX_BACK:
        return (uint16_t)(right - 2);
    case SIM_USED_IDX_FAR:
        return (uint16_t)(right + 0x8000);
    default:
        return right;
    }
}

void sim_split_use(struct sim_queue *queue, uint32_t id, uint32_t length)
{
    uint8_t *used = used_at(queue);
    uint8_t *element = used + 4 + 8 * (queue->used_next % queue->size);
    const uint16_t old = queue->used_shown;

    sim_put32(element, id);
    sim_put32(element + 4, length);
    queue->used_next++;
    queue->used_shown = distort_idx(queue, queue->used_next);
    sim_put16(used + 2, queue->used_shown);
    sim_queue_announce(queue, wants_interrupt(queue, queue->used_shown, old));
}

/* If doorbells are wanted again, avail_event is the last index seen (§2.7.10). */
void sim_split_ask(struct sim_queue *queue)
{
    uint8_t *used = used_at(queue);

    if (used == NULL)
        return;
    if (!queue->format.event_idx)
        sim_put16(used, queue->suppress ? USED_NO_NOTIFY : 0);
    else /* suppressed: far behind, so that the driver doesn't pass it for 32768 frames */
        sim_put16(used + 4 + 8 * queue->size,
                  (uint16_t)(queue->suppress ? queue->avail_seen - 0x8000 : queue->avail_seen));
}
