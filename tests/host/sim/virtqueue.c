/* The common part of both formats of a ring. */
#include "tests/host/sim/virtqueue_format.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/host/sim/machine.h"

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
    [SIM_USED_FLAGS_AHEAD] = "used-flags-ahead",
    [SIM_USED_FLAGS_WRAP] = "used-flags-wrap",
    [SIM_USED_FLAGS_HALF] = "used-flags-half",
    [SIM_USED_THREE_AHEAD] = "used-three-ahead",
    [SIM_USED_TWO_BEHIND] = "used-two-behind",
    [SIM_OVERWRITE_ZEROS] = "overwrite-zeros",
    [SIM_OVERWRITE_GARBAGE] = "overwrite-garbage",
    [SIM_LENGTH_ZERO] = "length-zero",
    [SIM_LENGTH_HEADER] = "length-header",
    [SIM_LENGTH_BUFFER] = "length-buffer",
    [SIM_LENGTH_BELOW_HEADER] = "length-below-header",
    [SIM_LENGTH_ABOVE_BUFFER] = "length-above-buffer",
    [SIM_LENGTH_MAX] = "length-max",
};

void sim_queue_complain(struct sim_queue *queue, const char *format, ...)
{
    va_list arguments;

    if (queue->complaint[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(queue->complaint, sizeof(queue->complaint), format, arguments);
    va_end(arguments);
}

uint8_t *sim_queue_dma(struct sim_queue *queue, uint64_t physical, uint64_t size)
{
    uint8_t *bytes = machine_dma(physical, size);

    if (bytes == NULL)
        sim_queue_complain(queue, "address 0x%llx with length %llu is not in memory given out",
                           (unsigned long long)physical, (unsigned long long)size);
    return bytes;
}

void sim_queue_reset(struct sim_queue *queue)
{
    queue->in_use = false;
    queue->avail_seen = queue->used_next = queue->used_shown = 0;
    queue->pending_count = 0;
    queue->spoiled = false;
    memset(queue->out, 0, queue->size); /* no more of it is in use */
    free(queue->copies);
    queue->copies = NULL;
}

bool sim_queue_place(struct sim_queue *queue, struct sim_place place, struct sim_format format)
{
    queue->place = place;
    queue->format = format;
    queue->in_use = format.packed ? sim_packed_place(queue) : sim_split_place(queue);
    return queue->in_use;
}

struct sim_ring sim_queue_ring(struct sim_queue *queue)
{
    return queue->format.packed ? sim_packed_ring(queue) : sim_split_ring(queue);
}

void sim_queue_scribble(struct sim_queue *queue, enum sim_scribble what)
{
    if (queue->format.packed)
        sim_packed_scribble(queue, what);
    else
        sim_split_scribble(queue, what);
}

/* --- available --- */

uint16_t sim_queue_posted(struct sim_queue *queue)
{
    return queue->format.packed ? sim_packed_posted(queue) : sim_split_posted(queue);
}

bool sim_queue_fetched(struct sim_queue *queue, uint16_t head)
{
    if (head >= queue->size || queue->out[head]) {
        sim_queue_complain(queue, "available chain %u is out of range or out already", head);
        return false;
    }
    queue->out[head] = true;
    queue->pending[queue->pending_count++] = head;
    return true;
}

unsigned sim_queue_available(struct sim_queue *queue)
{
    if (queue->format.packed)
        sim_packed_fetch(queue);
    else
        sim_split_fetch(queue);
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

static bool append_one(struct sim_queue *queue, struct sim_chain *chain,
                       const struct sim_descriptor *desc)
{
    struct sim_span *span = &chain->spans[chain->count];

    *span = (struct sim_span){.physical = desc->physical,
                              .length = desc->length,
                              .write = (desc->flags & SIM_DESC_WRITE) != 0};
    if (desc->length == 0 || desc->flags & ~(SIM_DESC_NEXT | SIM_DESC_WRITE))
        sim_queue_complain(queue, "descriptor %u of chain %u has length %u and flags 0x%x",
                           chain->count, chain->head, desc->length, desc->flags);
    if (chain->count > 0 && chain->spans[chain->count - 1].write && !span->write)
        sim_queue_complain(queue, "chain %u: for reading behind for writing", chain->head);
    span->bytes = sim_queue_dma(queue, span->physical, span->length);
    chain->count++;
    chain->capacity += span->length;
    return span->bytes != NULL;
}

/* A descriptor of a table has 16 bytes in both formats. Only a split ring's has NEXT and an index;
 * in a packed ring's the only flag is WRITE (§2.7.5.3, §2.8.7). Stores the next one's index. */
static struct sim_descriptor read_table(struct sim_queue *queue, const uint8_t *table,
                                        uint32_t index, uint32_t *next)
{
    const uint8_t *bytes = table + 16 * index;
    struct sim_descriptor desc;

    memcpy(&desc.physical, bytes, 8);
    memcpy(&desc.length, bytes + 8, 4);
    desc.flags = sim_get16(bytes + (queue->format.packed ? 14 : 12));
    *next = queue->format.packed ? index + 1 : sim_get16(bytes + 14);
    if (queue->format.packed && (desc.flags & ~SIM_DESC_WRITE) != 0)
        sim_queue_complain(queue, "descriptor %u of a table has flags 0x%x", index, desc.flags);
    return desc;
}

static bool append_table(struct sim_queue *queue, struct sim_chain *chain,
                         const struct sim_descriptor *desc)
{
    const uint8_t *table = sim_queue_dma(queue, desc->physical, desc->length);
    const uint32_t entries = desc->length / 16;
    uint32_t index = 0, read = 0;

    if (!queue->format.indirect || desc->flags != SIM_DESC_INDIRECT || desc->length % 16 != 0 ||
        entries == 0 || entries > queue->size || entries > SIM_CHAIN_MAX || table == NULL) {
        sim_queue_complain(queue, "table of %u bytes, flags 0x%x", desc->length, desc->flags);
        return false;
    }
    while (index < entries && read++ < entries) {
        const struct sim_descriptor each = read_table(queue, table, index, &index);
        if (!append_one(queue, chain, &each))
            return false;
        if (!queue->format.packed && !(each.flags & SIM_DESC_NEXT))
            index = entries;
    }
    if (index != entries || read != entries)
        sim_queue_complain(queue, "table of %u descriptors, %u used", entries, read);
    return true;
}

bool sim_queue_append(struct sim_queue *queue, struct sim_chain *chain,
                      const struct sim_descriptor *desc)
{
    return desc->flags & SIM_DESC_INDIRECT ? append_table(queue, chain, desc)
                                           : append_one(queue, chain, desc);
}

bool sim_queue_take(struct sim_queue *queue, struct sim_chain *chain)
{
    chain->head = take_pending(queue);
    chain->count = 0;
    chain->capacity = 0;
    return queue->format.packed ? sim_packed_read(queue, chain) : sim_split_read(queue, chain);
}

/* --- used --- */

void sim_queue_announce(struct sim_queue *queue, bool wanted)
{
    queue->interrupts += wanted;
    if (wanted && queue->interrupt != NULL)
        queue->interrupt(queue->interrupt_context, queue->index);
}

/* A descriptor that is no head of a chain the device has; the test must have left one. */
static uint16_t free_id(const struct sim_queue *queue, uint32_t head)
{
    for (uint16_t id = 0; id < queue->size; id++)
        if (!queue->out[id] && id != head && id != head + 1)
            return id;
    abort();
}

/* Changes `id` and `length` of the used element. */
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
        *id |= queue->format.packed ? 0x8000 : 0x10000; /* there an id has 16 bits */
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

/* Everything that the device has is used, by the flags that were written. */
static void drop_pending(struct sim_queue *queue)
{
    while (queue->pending_count > 0)
        queue->out[take_pending(queue)] = false;
}

void sim_queue_finish(struct sim_queue *queue, uint16_t head, uint32_t length, uint32_t capacity)
{
    uint32_t id = head;

    queue->out[head] = false;
    distort(queue, capacity, &id, &length);
    if (queue->format.packed)
        sim_packed_use(queue, id, length, sim_packed_count(queue, head));
    else
        sim_split_use(queue, id, length);
    if (queue->fault == SIM_USED_FLAGS_AHEAD)
        drop_pending(queue);
    queue->fault = SIM_SOUND;
    queue->last_id = head;
}

void sim_queue_finish_blind(struct sim_queue *queue, uint32_t length)
{
    if (queue->pending_count == 0)
        abort();
    sim_queue_finish(queue, take_pending(queue), length, length);
}

void sim_queue_ask_for_doorbells(struct sim_queue *queue)
{
    if (!queue->in_use)
        return;
    if (queue->format.packed)
        sim_packed_ask(queue);
    else
        sim_split_ask(queue);
}
