/*
 * The packed ring by bytes: offsets and flags are typed in from virtio 1.2 §2.8 once more. Both
 * sides share one ring, so the device keeps a copy of each fetched chain: a used descriptor may
 * overwrite a chain that is still in work.
 */
#include "tests/host/sim/virtqueue_format.h"

#include <stdlib.h>
#include <string.h>

#define CHAIN_MAX 8 /* descriptors that a chain of a sane driver never has more of here */

enum {
    /* struct pvirtq_desc, §2.8.13 */
    DESC_BYTES = 16,
    DESC_LEN = 8,
    DESC_ID = 12,
    DESC_FLAGS = 14,
    DESC_AVAIL = 1 << 7,
    DESC_USED = 1 << 15,

    /* struct pvirtq_event_suppress, §2.8.14 */
    EVENT_BYTES = 4,
    EVENT_FLAGS = 2,
    EVENT_ENABLE = 0,
    EVENT_DISABLE = 1,
    EVENT_DESC = 2,
    EVENT_WRAP = 0x8000,
};

struct sim_copy {
    uint16_t count;
    struct sim_descriptor parts[CHAIN_MAX];
};

/* --- places --- */

static uint8_t *ring_at(struct sim_queue *queue)
{
    return sim_queue_dma(queue, queue->place.desc, (uint64_t)DESC_BYTES * queue->size);
}

/* Of a ring that was placed, and so is where it may be. */
static uint8_t *desc_at(struct sim_queue *queue, uint16_t position)
{
    uint8_t *ring = ring_at(queue);

    if (ring == NULL)
        abort();
    return ring + DESC_BYTES * (position % queue->size);
}

static uint8_t *driver_event(struct sim_queue *queue)
{
    return sim_queue_dma(queue, queue->place.avail, EVENT_BYTES);
}

static uint8_t *device_event(struct sim_queue *queue)
{
    return sim_queue_dma(queue, queue->place.used, EVENT_BYTES);
}

/* §2.8.1: both wrap counters are 1 in the first round, and change at the ring's end. Positions here
 * are counted on and on, which works since no size is larger than half their range. */
static bool wrap_counter(const struct sim_queue *queue, uint16_t position)
{
    return position / queue->size % 2 == 0;
}

/* §2.8.10.1 has the table of alignments. */
bool sim_packed_place(struct sim_queue *queue)
{
    const struct sim_place place = queue->place;

    if (place.desc % 16 != 0 || place.avail % 4 != 0 || place.used % 4 != 0)
        sim_queue_complain(queue, "packed ring misaligned: 0x%llx 0x%llx 0x%llx",
                           (unsigned long long)place.desc, (unsigned long long)place.avail,
                           (unsigned long long)place.used);
    if (place.desc == 0 || ring_at(queue) == NULL || driver_event(queue) == NULL ||
        device_event(queue) == NULL)
        return false;
    free(queue->copies);
    queue->copies = calloc(queue->size, sizeof(*queue->copies));
    return true;
}

struct sim_ring sim_packed_ring(struct sim_queue *queue)
{
    uint8_t *used = device_event(queue);

    return (struct sim_ring){desc_at(queue, 0), driver_event(queue), used, used + EVENT_BYTES};
}

static void scribble_each(uint8_t *desc, const uint8_t *first, enum sim_scribble what)
{
    const uint16_t kept = sim_get16(desc + DESC_FLAGS) & (DESC_AVAIL | DESC_USED);
    const uint16_t rest = (uint16_t) ~(DESC_AVAIL | DESC_USED);
    uint16_t flags = kept;

    if (what == SIM_SCRIBBLE_TABLE) {
        memset(desc, 0xff, DESC_FLAGS);
        flags |= rest;
    } else if (what == SIM_SCRIBBLE_TABLE_LOOP) {
        sim_put16(desc + DESC_ID, 0);
        flags |= SIM_DESC_NEXT;
    } else if (what == SIM_SCRIBBLE_AVAIL_LOOP) {
        memmove(desc, first, DESC_ID);
    } else {
        memset(desc, 0, DESC_FLAGS);
    }
    sim_put16(desc + DESC_FLAGS, flags);
}

void sim_packed_scribble(struct sim_queue *queue, enum sim_scribble what)
{
    if (what == SIM_SCRIBBLE_AVAIL) {
        memset(driver_event(queue), 0xff, EVENT_BYTES);
        queue->spoiled = true;
        return;
    }
    for (uint16_t position = 0; position < queue->size; position++)
        scribble_each(desc_at(queue, position), desc_at(queue, 0), what);
}

/* --- available --- */

/* §2.8.1: AVAIL is as the wrap counter is, and USED is not. */
static bool is_available(struct sim_queue *queue, uint16_t position)
{
    const uint16_t flags = sim_get16(desc_at(queue, position) + DESC_FLAGS);
    const bool wrap = wrap_counter(queue, position);

    return !!(flags & DESC_AVAIL) == wrap && !!(flags & DESC_USED) != wrap;
}

uint16_t sim_packed_posted(struct sim_queue *queue)
{
    uint16_t count = 0;

    while (count < queue->size && is_available(queue, count))
        count++;
    return count;
}

static struct sim_descriptor copy_descriptor(struct sim_queue *queue, uint16_t position)
{
    const uint8_t *bytes = desc_at(queue, position);
    const uint16_t flags = sim_get16(bytes + DESC_FLAGS);
    struct sim_descriptor desc = {.flags = (uint16_t)(flags & ~(DESC_AVAIL | DESC_USED))};

    memcpy(&desc.physical, bytes, 8);
    memcpy(&desc.length, bytes + DESC_LEN, 4);
    return desc;
}

/* Descriptors that the device has and has not marked as used. */
static uint16_t held(const struct sim_queue *queue)
{
    return (uint16_t)(queue->avail_seen - queue->used_next);
}

/* Copies a chain whose first descriptor is available. The others must be so, too: the driver has
 * written that of the first one last (§2.8.6). False after a complaint. */
static bool copy_chain(struct sim_queue *queue, struct sim_copy *copy)
{
    const uint16_t start = queue->avail_seen;

    for (copy->count = 0; copy->count < CHAIN_MAX;) {
        const uint16_t position = (uint16_t)(start + copy->count);

        if (held(queue) + copy->count >= queue->size || !is_available(queue, position)) {
            sim_queue_complain(queue, "chain at %u is longer than what is available",
                               start % queue->size);
            return false;
        }
        copy->parts[copy->count] = copy_descriptor(queue, position);
        if (!(copy->parts[copy->count++].flags & SIM_DESC_NEXT))
            return true;
    }
    sim_queue_complain(queue, "chain at %u does not end", start % queue->size);
    return false;
}

/* The id is that of the last descriptor (§2.8.6). Any would do, but ours has to find it again. */
void sim_packed_fetch(struct sim_queue *queue)
{
    struct sim_copy copy;

    while (held(queue) < queue->size && is_available(queue, queue->avail_seen)) {
        if (!copy_chain(queue, &copy))
            return;
        const uint16_t last = (uint16_t)(queue->avail_seen + copy.count - 1);
        const uint16_t id = sim_get16(desc_at(queue, last) + DESC_ID);
        if (!sim_queue_fetched(queue, id))
            return;
        queue->copies[id] = copy;
        queue->avail_seen = (uint16_t)(queue->avail_seen + copy.count);
    }
}

bool sim_packed_read(struct sim_queue *queue, struct sim_chain *chain)
{
    const struct sim_copy *copy = &queue->copies[chain->head];

    for (unsigned i = 0; i < copy->count; i++)
        if (!sim_queue_append(queue, chain, &copy->parts[i]))
            return false;
    return true;
}

uint16_t sim_packed_count(const struct sim_queue *queue, uint16_t head)
{
    return queue->copies[head].count;
}

/* --- used --- */

/*
 * §2.8.10, §2.8.14: does the driver want to know that the descriptors from `old` on up to the next one
 * were used?
 */
static bool wants_interrupt(struct sim_queue *queue, uint16_t old)
{
    const uint8_t *event = driver_event(queue);
    const uint16_t flags = sim_get16(event + EVENT_FLAGS), desc = sim_get16(event);

    if (!queue->spoiled &&
        (flags > EVENT_DESC || (flags == EVENT_DESC && !queue->format.event_idx)))
        sim_queue_complain(queue, "driver event suppression has flags 0x%x", flags);
    if (flags != EVENT_DESC)
        return flags == EVENT_ENABLE;
    for (uint16_t position = old; position != queue->used_next; position++)
        if (position % queue->size == (desc & ~EVENT_WRAP) &&
            wrap_counter(queue, position) == !!(desc & EVENT_WRAP))
            return true;
    return false;
}

/* §2.8.1: AVAIL and USED are both as the wrap counter is. */
static uint16_t used_flags(const struct sim_queue *queue, uint16_t position)
{
    return wrap_counter(queue, position) ? DESC_AVAIL | DESC_USED : 0;
}

/* The flags that are written instead of `right`. */
static uint16_t distort_flags(const struct sim_queue *queue, uint16_t right)
{
    if (queue->fault == SIM_USED_FLAGS_WRAP)
        return right ^ (DESC_AVAIL | DESC_USED);
    if (queue->fault == SIM_USED_FLAGS_HALF)
        return right ^ DESC_AVAIL;
    return right;
}

/* Marks all descriptors that the device has as used, and one more. */
static void mark_ahead(struct sim_queue *queue)
{
    const uint16_t end = (uint16_t)(queue->avail_seen + 1);

    for (; queue->used_next != end; queue->used_next++) {
        sim_put16(desc_at(queue, queue->used_next) + DESC_FLAGS,
                  used_flags(queue, queue->used_next));
    }
}

/* The position of the next used descriptor. */
static uint16_t place_of_used(const struct sim_queue *queue)
{
    if (queue->fault == SIM_USED_THREE_AHEAD)
        return (uint16_t)(queue->used_next + 3);
    if (queue->fault == SIM_USED_TWO_BEHIND)
        return (uint16_t)(queue->used_next - 2);
    return queue->used_next;
}

static void overwrite_others(struct sim_queue *queue, uint16_t kept)
{
    for (uint16_t i = 1; i < queue->size; i++) {
        const uint16_t position = (uint16_t)(kept + i);
        uint8_t *desc = desc_at(queue, position);
        memset(desc, queue->fault == SIM_OVERWRITE_ZEROS ? 0 : 0x5a, DESC_FLAGS);
        sim_put16(desc + DESC_FLAGS, queue->fault == SIM_OVERWRITE_ZEROS ? 0
                                     : wrap_counter(queue, position)     ? DESC_USED
                                                                         : DESC_AVAIL);
    }
}

/* The device skips as many descriptors as the chain has (§2.8.8). */
void sim_packed_use(struct sim_queue *queue, uint32_t id, uint32_t length, uint16_t descriptors)
{
    const uint16_t place = place_of_used(queue);
    uint8_t *desc = desc_at(queue, place);
    const uint16_t right = used_flags(queue, place) | (length != 0 ? SIM_DESC_WRITE : 0);
    const uint16_t old = queue->used_next;

    sim_put16(desc + DESC_ID, (uint16_t)id);
    sim_put32(desc + DESC_LEN, length);
    sim_put16(desc + DESC_FLAGS, distort_flags(queue, right));
    queue->used_next = (uint16_t)(queue->used_next + descriptors);
    if (queue->fault == SIM_USED_FLAGS_AHEAD)
        mark_ahead(queue);
    if (queue->fault == SIM_OVERWRITE_ZEROS || queue->fault == SIM_OVERWRITE_GARBAGE)
        overwrite_others(queue, place);
    queue->used_shown = queue->used_next;
    sim_queue_announce(queue, wants_interrupt(queue, old));
}

/* If doorbells are wanted again, the event is the next descriptor (§2.8.10). */
void sim_packed_ask(struct sim_queue *queue)
{
    uint8_t *event = device_event(queue);
    const uint16_t next = queue->avail_seen;
    const uint16_t wrap = wrap_counter(queue, next) ? EVENT_WRAP : 0;

    if (event == NULL)
        return;
    sim_put16(event, (uint16_t)(next % queue->size | wrap));
    sim_put16(event + EVENT_FLAGS, queue->suppress           ? EVENT_DISABLE
                                   : queue->format.event_idx ? EVENT_DESC
                                                             : EVENT_ENABLE);
}
