/* The ring by bytes: offsets and flags are typed in from virtio 1.2 §2.7 once more. */
#include "tests/host/sim_virtqueue.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/host/machine.h"

#define PAGE 4096u

enum {
    DESC_NEXT = 1,
    DESC_WRITE = 2,
    AVAIL_NO_INTERRUPT = 1,
    USED_NO_NOTIFY = 1,
};

const char *const sim_fault_names[SIM_FAULTS] = {
    [SIM_SOUND] = "sound",
    [SIM_USED_ID_SIZE] = "used-id-size",
    [SIM_USED_ID_HUGE] = "used-id-huge",
    [SIM_USED_ID_HIGH_BITS] = "used-id-high-bits",
    [SIM_USED_ID_FREE] = "used-id-free",
    [SIM_USED_ID_TWICE] = "used-id-twice",
    [SIM_USED_ID_SECOND] = "used-id-second",
    [SIM_USED_IDX_AHEAD] = "used-idx-ahead",
    [SIM_USED_IDX_BACK] = "used-idx-back",
    [SIM_USED_IDX_FAR] = "used-idx-far",
    [SIM_LENGTH_ZERO] = "length-zero",
    [SIM_LENGTH_HEADER] = "length-header",
    [SIM_LENGTH_BUFFER] = "length-buffer",
    [SIM_LENGTH_BELOW_HEADER] = "length-below-header",
    [SIM_LENGTH_ABOVE_BUFFER] = "length-above-buffer",
    [SIM_LENGTH_MAX] = "length-max",
};

/* The first complaint stays: what follows is often its consequence. */
static void __attribute__((format(printf, 2, 3)))
complain(struct sim_queue *queue, const char *format, ...)
{
    va_list arguments;

    if (queue->complaint[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(queue->complaint, sizeof(queue->complaint), format, arguments);
    va_end(arguments);
}

/* A piece of the driver's memory, or NULL with a complaint. */
static uint8_t *dma(struct sim_queue *queue, uint64_t physical, uint64_t size)
{
    uint8_t *bytes = machine_dma(physical, size);

    if (bytes == NULL)
        complain(queue, "address 0x%llx with length %llu is not in memory given out",
                 (unsigned long long)physical, (unsigned long long)size);
    return bytes;
}

struct sim_place sim_queue_legacy_place(const struct sim_queue *queue, uint32_t page)
{
    const uint64_t desc = (uint64_t)page * PAGE, avail = desc + 16u * queue->size;
    const uint64_t avail_end = avail + 2 * (3u + queue->size);

    return (struct sim_place){desc, avail, (avail_end + PAGE - 1) / PAGE * PAGE};
}

static uint8_t *desc_at(struct sim_queue *queue)
{
    return dma(queue, queue->place.desc, 16u * queue->size);
}

static uint8_t *avail_at(struct sim_queue *queue)
{
    return dma(queue, queue->place.avail, 2 * (3u + queue->size));
}

static uint8_t *used_at(struct sim_queue *queue)
{
    return dma(queue, queue->place.used, 2 * 3u + 8u * queue->size);
}

static uint16_t get16(const uint8_t *bytes)
{
    return __atomic_load_n((const uint16_t *)bytes, __ATOMIC_ACQUIRE);
}

static void put16(uint8_t *bytes, uint16_t value)
{
    __atomic_store_n((uint16_t *)bytes, value, __ATOMIC_RELEASE);
}

static void put32(uint8_t *bytes, uint32_t value)
{
    __atomic_store_n((uint32_t *)bytes, value, __ATOMIC_RELAXED);
}

void sim_queue_reset(struct sim_queue *queue)
{
    queue->in_use = false;
    queue->avail_seen = queue->used_next = queue->used_shown = 0;
    queue->pending_count = 0;
    memset(queue->out, 0, queue->size); /* no more of it is in use */
}

/* §2.7 has the table of alignments. */
bool sim_queue_place(struct sim_queue *queue, struct sim_place place, bool event_idx)
{
    queue->place = place;
    queue->event_idx = event_idx;
    if (place.desc % 16 != 0 || place.avail % 2 != 0 || place.used % 4 != 0)
        complain(queue, "ring misaligned: 0x%llx 0x%llx 0x%llx", (unsigned long long)place.desc,
                 (unsigned long long)place.avail, (unsigned long long)place.used);
    queue->in_use = place.desc != 0 && desc_at(queue) != NULL && avail_at(queue) != NULL &&
                    used_at(queue) != NULL;
    return queue->in_use;
}

struct sim_ring sim_queue_ring(struct sim_queue *queue)
{
    uint8_t *used = used_at(queue);

    return (struct sim_ring){desc_at(queue), avail_at(queue), used, used + 6 + 8 * queue->size};
}

/* Every descriptor is followed by itself: who walks the chain walks for ever. */
static void loop_table(struct sim_queue *queue, uint8_t *desc)
{
    for (uint16_t id = 0; id < queue->size; id++, desc += 16) {
        put16(desc + 12, DESC_NEXT);
        put16(desc + 14, id);
    }
}

void sim_queue_scribble(struct sim_queue *queue, enum sim_scribble what)
{
    struct sim_ring at = sim_queue_ring(queue);

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

uint16_t sim_queue_posted(struct sim_queue *queue)
{
    return get16(avail_at(queue) + 2);
}

/* Fetches what the driver has newly made available into pending[]. */
static void fetch(struct sim_queue *queue)
{
    uint8_t *avail = avail_at(queue);
    uint16_t idx;

    if (avail == NULL)
        return;
    idx = get16(avail + 2);
    if ((uint16_t)(idx - queue->avail_seen) > queue->size - queue->pending_count) {
        complain(queue, "avail.idx %u is further ahead than the ring of %u is large", idx,
                 queue->size);
        return;
    }
    for (; queue->avail_seen != idx; queue->avail_seen++) {
        uint16_t head = get16(avail + 4 + 2 * (queue->avail_seen % queue->size));

        if (head >= queue->size || queue->out[head]) {
            complain(queue, "available chain %u is out of range or out already", head);
            return;
        }
        queue->out[head] = true;
        queue->pending[queue->pending_count++] = head;
    }
}

unsigned sim_queue_available(struct sim_queue *queue)
{
    fetch(queue);
    return queue->pending_count;
}

static uint16_t take_pending(struct sim_queue *queue)
{
    uint32_t at = 0;
    uint16_t head;

    if (queue->order == SIM_REVERSED)
        at = queue->pending_count - 1;
    if (queue->order == SIM_SHUFFLED) {
        queue->random = queue->random * 1664525 + 1013904223;
        at = (queue->random >> 8) % queue->pending_count;
    }
    head = queue->pending[at];
    queue->pending_count--;
    memmove(&queue->pending[at], &queue->pending[at + 1],
            (queue->pending_count - at) * sizeof(queue->pending[0]));
    return head;
}

/* Reads descriptor `index` into `span`; returns its flags. */
static uint16_t read_descriptor(struct sim_queue *queue, uint16_t index, struct sim_span *span)
{
    const uint8_t *desc = desc_at(queue) + 16u * index;
    uint16_t flags = get16(desc + 12);

    memcpy(&span->physical, desc, 8);
    memcpy(&span->length, desc + 8, 4);
    span->write = (flags & DESC_WRITE) != 0;
    span->bytes = dma(queue, span->physical, span->length);
    if (span->length == 0 || flags & ~(DESC_NEXT | DESC_WRITE))
        complain(queue, "descriptor %u has length %u and flags 0x%x", index, span->length, flags);
    return flags;
}

/* Follows the chain from its head. */
static bool follow(struct sim_queue *queue, struct sim_chain *chain)
{
    uint16_t index = chain->head;

    for (unsigned n = 0; n < SIM_CHAIN_MAX; n++) {
        struct sim_span *span = &chain->spans[n];
        uint16_t flags = read_descriptor(queue, index, span);

        if (span->bytes == NULL)
            return false;
        if (n > 0 && chain->spans[n - 1].write && !span->write)
            complain(queue, "descriptor %u is for reading behind one for writing", index);
        chain->count = n + 1;
        chain->capacity += span->length;
        if (!(flags & DESC_NEXT))
            return true;
        index = get16(desc_at(queue) + 16u * index + 14);
        if (index >= queue->size || queue->out[index]) {
            complain(queue, "descriptor %u is linked into a chain and is none or another's", index);
            return false;
        }
    }
    complain(queue, "chain %u does not end", chain->head);
    return false;
}

bool sim_queue_take(struct sim_queue *queue, struct sim_chain *chain)
{
    chain->head = take_pending(queue);
    chain->count = 0;
    chain->capacity = 0;
    return follow(queue, chain);
}

/* §2.7.7.1, §2.7.10: would this have interrupted the driver? */
static void count_interrupt(struct sim_queue *queue, uint16_t old)
{
    uint8_t *avail = avail_at(queue);
    uint16_t event = get16(avail + 4 + 2 * queue->size);
    uint16_t new = queue->used_shown;

    const bool wanted = queue->event_idx ? (uint16_t)(new - event - 1) < (uint16_t)(new - old)
                                         : !(get16(avail) & AVAIL_NO_INTERRUPT);

    queue->interrupts += wanted;
    if (wanted && queue->interrupt != NULL)
        queue->interrupt(queue->interrupt_context, queue->index);
}

static void show_used(struct sim_queue *queue, uint16_t idx)
{
    uint16_t old = queue->used_shown;

    queue->used_shown = idx;
    put16(used_at(queue) + 2, idx);
    count_interrupt(queue, old);
}

/* A descriptor that is no head of a chain the device has; the test must have left one. */
static uint16_t free_id(const struct sim_queue *queue, uint32_t head)
{
    for (uint16_t id = 0; id < queue->size; id++)
        if (!queue->out[id] && id != head && id != head + 1)
            return id;
    abort();
}

/* What the used element says instead of `id` and `length`. */
static void distort(struct sim_queue *queue, uint32_t capacity, uint32_t *id, uint32_t *length)
{
    switch (queue->fault) {
    case SIM_USED_ID_SIZE:
        *id = queue->size;
        break;
    case SIM_USED_ID_HUGE:
        *id = UINT32_MAX;
        break;
    case SIM_USED_ID_HIGH_BITS:
        *id |= 0x10000;
        break;
    case SIM_USED_ID_FREE:
        *id = free_id(queue, *id);
        break;
    case SIM_USED_ID_TWICE:
        *id = queue->last_id;
        break;
    case SIM_USED_ID_SECOND:
        *id += 1;
        break;
    case SIM_LENGTH_ZERO:
        *length = 0;
        break;
    case SIM_LENGTH_HEADER:
        *length = queue->header;
        break;
    case SIM_LENGTH_BUFFER:
        *length = capacity;
        break;
    case SIM_LENGTH_BELOW_HEADER:
        *length = queue->header - 1;
        break;
    case SIM_LENGTH_ABOVE_BUFFER:
        *length = capacity + 1;
        break;
    case SIM_LENGTH_MAX:
        *length = UINT32_MAX;
        break;
    default:
        break;
    }
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

void sim_queue_finish(struct sim_queue *queue, uint16_t head, uint32_t length, uint32_t capacity)
{
    uint8_t *used = used_at(queue);
    uint8_t *element = used + 4 + 8 * (queue->used_next % queue->size);
    uint32_t id = head;

    queue->out[head] = false;
    distort(queue, capacity, &id, &length);
    put32(element, id);
    put32(element + 4, length);
    queue->used_next++;
    if (!queue->held)
        show_used(queue, distort_idx(queue, queue->used_next));
    queue->fault = SIM_SOUND;
    queue->last_id = head;
}

void sim_queue_finish_blind(struct sim_queue *queue, uint32_t length)
{
    if (queue->pending_count == 0)
        abort();
    sim_queue_finish(queue, take_pending(queue), length, length);
}

void sim_queue_show(struct sim_queue *queue)
{
    show_used(queue, queue->used_next);
}

/* Where doorbells are wanted again, avail_event follows what was seen (§2.7.10). */
void sim_queue_ask_for_doorbells(struct sim_queue *queue)
{
    uint8_t *used = queue->in_use ? used_at(queue) : NULL;

    if (used == NULL)
        return;
    if (!queue->event_idx)
        put16(used, queue->suppress ? USED_NO_NOTIFY : 0);
    else /* suppressed: far behind, so that the driver doesn't pass it for 32768 frames */
        put16(used + 4 + 8 * queue->size,
              (uint16_t)(queue->suppress ? queue->avail_seen - 0x8000 : queue->avail_seen));
}
