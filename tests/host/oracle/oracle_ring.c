/* One ring's books, split and packed. */
#include "tests/host/oracle/oracle_ring.h"

#include <string.h>

#include <machine/io.h>
#include <machine/panic.h>

#include "net/batch.h"
#include "tests/host/sim/virtio_net.h"

#define PACKED_FLAGS (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED)

/* The ring is new: all of it is as the driver made it. */
static void note_all_written(struct oracle_ring *ring)
{
    if (ring->exists && ring->queue->packed)
        memcpy(ring->written, ring->queue->packed_desc,
               ring->queue->size * sizeof(ring->written[0]));
}

void oracle_ring_open(struct oracle_ring *ring, const struct virtqueue *queue, unsigned index)
{
    ensure(queue->size <= ORACLE_RING_MAX);
    *ring = (struct oracle_ring){.queue = queue,
                                 .exists = queue->desc != NULL,
                                 .index = index,
                                 .header = queue->header,
                                 .room = queue->room};
    note_all_written(ring);
}

void oracle_ring_forget(struct oracle_ring *ring)
{
    memset(ring->chains, 0, sizeof(ring->chains));
    ring->order_count = 0;
    ring->avail_spoiled = false;
    note_all_written(ring);
}

void oracle_ring_look(struct oracle_ring *ring)
{
    if (!ring->exists)
        return;
    if (ring->queue->packed)
        memcpy(ring->copy, ring->queue->packed_desc, ring->queue->size * sizeof(ring->copy[0]));
    else
        ring->shown = atomic_load(&ring->queue->used->idx);
}

/* --- what the device says --- */

static uint32_t position_of(const struct oracle_ring *ring, uint32_t idx)
{
    return idx & (ring->queue->size - 1);
}

/* §2.8.1: the wrap counter is 1 in the first round. */
static bool wrap_counter(const struct oracle_ring *ring, uint32_t idx)
{
    return (idx / ring->queue->size & 1) == 0;
}

static bool is_used_at(const struct oracle_ring *ring, uint32_t idx)
{
    const uint16_t flags = ring->copy[position_of(ring, idx)].flags & PACKED_FLAGS;

    return flags == (wrap_counter(ring, idx) ? PACKED_FLAGS : 0);
}

static bool is_used(const struct oracle_ring *ring)
{
    return is_used_at(ring, ring->used_idx);
}

static struct virtq_used_elem element_of(const struct oracle_ring *ring)
{
    const uint32_t position = position_of(ring, ring->used_idx);

    if (ring->queue->packed)
        return (struct virtq_used_elem){ring->copy[position].id, ring->copy[position].len};
    return ring->queue->used->ring[position]; /* the driver does not write there */
}

static uint32_t outstanding(const struct oracle_ring *ring)
{
    return ring->avail_idx - ring->used_idx;
}

/* Chains that are finished as far as the ring says, at most; all of them where each speaks for
 * itself. */
static uint32_t pending(const struct oracle_ring *ring)
{
    return ring->queue->packed ? outstanding(ring) : (uint16_t)(ring->shown - ring->used_idx);
}

/* Whether there is a word about the next chain, or one that no chain is there for. */
static struct oracle_said heard(const struct oracle_ring *ring)
{
    struct oracle_said said = {0};

    if (!ring->queue->packed) {
        said.anything = pending(ring) != 0;
        if (pending(ring) > outstanding(ring)) {
            said.error = VIRTQUEUE_USED_IDX;
            said.value = ring->shown;
        }
        return said;
    }
    said.anything = is_used(ring);
    if (said.anything && outstanding(ring) == 0) {
        said.error = VIRTQUEUE_USED_IDX;
        said.value = ring->copy[position_of(ring, ring->used_idx)].flags;
    }
    return said;
}

/* How many chains were offered before `id`, which is out, and have not come back. */
static uint32_t age_of(const struct oracle_ring *ring, uint32_t id)
{
    uint32_t at = 0;

    while (ring->order[at] != id)
        at++;
    return at;
}

static void check_length(const struct oracle_ring *ring, struct oracle_said *said)
{
    if (ring->index != SIM_RX)
        return;
    said->value = said->length;
    if (said->length < ring->header)
        said->error = VIRTQUEUE_LENGTH_SHORT;
    else if (said->length - ring->header > ring->room)
        said->error = VIRTQUEUE_LENGTH_LONG;
}

struct oracle_said oracle_ring_said(const struct oracle_ring *ring)
{
    struct oracle_said said = heard(ring);
    const struct virtq_used_elem element = element_of(ring);

    if (said.error != VIRTQUEUE_OK || !said.anything)
        return said;
    said.id = said.value = element.id;
    said.length = element.len;
    if (element.id >= ring->queue->size)
        said.error = VIRTQUEUE_ID_RANGE;
    else if (!ring->chains[element.id].out)
        said.error = VIRTQUEUE_ID_NOT_OUT;
    else
        check_length(ring, &said);
    return said;
}

bool oracle_ring_is_spoiled(const struct oracle_ring *ring)
{
    uint32_t idx = ring->used_idx;

    while (idx != ring->avail_idx && is_used_at(ring, idx))
        idx++;
    for (; idx != ring->used_idx + ring->queue->size; idx++) {
        const uint32_t position = position_of(ring, idx);
        if (memcmp(&ring->copy[position], &ring->written[position], sizeof(ring->copy[0])) != 0)
            return true;
    }
    return false;
}

/* --- what the driver takes --- */

static void remove_from_order(struct oracle_ring *ring, uint32_t id)
{
    const unsigned at = age_of(ring, id);

    ring->order_count--;
    memmove(&ring->order[at], &ring->order[at + 1],
            (ring->order_count - at) * sizeof(ring->order[0]));
}

void oracle_ring_take(struct oracle_ring *ring, const struct oracle_said *said)
{
    struct oracle_chain *chain = &ring->chains[said->id];
    struct oracle_load *load = &ring->taken[ring->taken_count++];

    ensure(chain->out);
    ring->written[position_of(ring, ring->used_idx)] =
        ring->copy[position_of(ring, ring->used_idx)];
    *load = chain->load;
    if (ring->index == SIM_RX)
        load->length = said->length - ring->header;
    ring->used_idx += chain->slots;
    *chain = (struct oracle_chain){.out = false};
    remove_from_order(ring, said->id);
}

/* --- what the driver offers --- */

static uint8_t *buffer_at(uint64_t frame)
{
    return (uint8_t *)(uintptr_t)(frame - PHYSICAL_OFFSET) - PACKET_HEADROOM;
}

static struct oracle_load load_in_one(const struct oracle_ring *ring, uint64_t addr, uint32_t len)
{
    ensure(len >= ring->header);
    return (struct oracle_load){.buffer = buffer_at(addr + ring->header),
                                .length = len - ring->header};
}

static uint16_t direction(const struct oracle_ring *ring)
{
    return ring->index == SIM_RX ? VIRTQ_DESC_F_WRITE : 0;
}

/* Looks through the descriptors of a split chain with a frame or room for one. */
static struct oracle_load split_load(const struct oracle_ring *ring, uint32_t id)
{
    const struct virtq_desc *desc = &ring->queue->desc[id];
    const uint16_t write = direction(ring);

    if (ring->queue->chain == 1) {
        ensure(desc->flags == write && desc->next == 0);
        return load_in_one(ring, desc->addr, desc->len);
    }
    ensure(desc[0].flags == (VIRTQ_DESC_F_NEXT | write) && desc[0].next == id + 1);
    ensure(desc[0].len == ring->header && desc[0].addr + ring->header == desc[1].addr);
    ensure(desc[1].flags == write && desc[1].next == 0);
    return (struct oracle_load){.buffer = buffer_at(desc[1].addr), .length = desc[1].len};
}

/* Each descriptor of a packed chain is available in this round, and has the chain's id. */
static uint32_t packed_slots(struct oracle_ring *ring, uint32_t id)
{
    uint32_t slots = 0;
    uint16_t flags;

    do {
        const uint32_t idx = ring->avail_idx + slots++;
        const struct pvirtq_desc *desc = &ring->queue->packed_desc[position_of(ring, idx)];
        flags = desc->flags;
        ensure(desc->id == id && slots <= VIRTQUEUE_PARTS_MAX);
        ring->written[position_of(ring, idx)] = *desc;
        ensure((flags & PACKED_FLAGS) ==
               (wrap_counter(ring, idx) ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED));
    } while (flags & VIRTQ_DESC_F_NEXT);
    return slots;
}

static struct oracle_load packed_load(const struct oracle_ring *ring)
{
    const struct pvirtq_desc *desc = &ring->queue->packed_desc[position_of(ring, ring->avail_idx)];

    ensure((desc->flags & ~PACKED_FLAGS) == direction(ring));
    return load_in_one(ring, desc->addr, desc->len);
}

void oracle_ring_offer(struct oracle_ring *ring)
{
    const struct virtqueue *queue = ring->queue;
    const uint32_t id = queue->ids[virtqueue_slot(queue, ring->avail_idx)];
    struct oracle_chain *chain = &ring->chains[id];

    ensure(id < queue->size && id % queue->chain == 0 && !chain->out);
    if (!queue->packed && !ring->avail_spoiled)
        ensure(queue->avail->ring[position_of(ring, ring->avail_idx)] == id);
    *chain =
        (struct oracle_chain){.out = true, .slots = queue->packed ? packed_slots(ring, id) : 1};
    ring->order[ring->order_count++] = id;
    if (ring->index != SIM_CONTROL)
        chain->load = queue->packed ? packed_load(ring) : split_load(ring, id);
    ring->avail_idx += chain->slots;
    ring->offered[ring->offered_count++] = chain->load;
}
