/*
 * The split virtqueue (virtio 1.2 §2.7), the driver's side.
 *
 * The device may write anything anywhere into the shared part at any time, so nothing of ours is
 * ever read back from it: which chains are out, with which buffer, and how far both rings have been
 * followed is kept in private memory. What the device writes (used.idx, used.ring) is checked here,
 * in the one place that reads it; a queue that finds a breach stays broken until it is made anew.
 *
 * Every chain has the same number of descriptors, chosen when the queue is made: one, or two where
 * the device wants the header in a descriptor of its own, or four for control commands. They lie
 * side by side and are linked; a chain is known by the id of its first one.
 *
 * What is offered goes into slots, one after the other and round and round, and a slot keeps its
 * chain. A device that finishes chains in the order in which it got them (most do) finds the
 * available ring right as it is: then no list of free chains is kept, nothing but the index is
 * written there, and the next slot is the one that comes back next, so that one comparison tells
 * that its id is right. Where the device takes another order, chains change their slots.
 *
 * The data path works on runs: slots that lie side by side, up to the end of a ring. Inline
 * functions are for it, used by one core.
 */
#ifndef DRIVERS_VIRTQUEUE_H
#define DRIVERS_VIRTQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drivers/virtio_spec.h"

/* Where the parts lie: offsets in bytes from the start of the ring's memory. */
struct virtqueue_layout {
    size_t desc;
    size_t avail;
    size_t used_event;
    size_t used;
    size_t avail_event;
    size_t total;
};

/* What a device can do wrong on a queue. The names are in virtqueue_breach_name. */
enum virtqueue_breach {
    VIRTQUEUE_SOUND,
    VIRTQUEUE_USED_IDX,     /* used.idx moved by more than is outstanding, or backwards */
    VIRTQUEUE_ID_RANGE,     /* used.id is no descriptor of the queue */
    VIRTQUEUE_ID_NOT_OUT,   /* used.id is no chain that the device has: never given, or twice */
    VIRTQUEUE_LENGTH_SHORT, /* used.len is less than a device header */
    VIRTQUEUE_LENGTH_LONG,  /* used.len is more than the buffer */
    VIRTQUEUE_BREACHES
};

struct virtqueue {
    /* read by every burst, written by none */
    struct virtq_desc *desc;
    struct virtq_avail *avail;
    struct virtq_used *used;
    _Atomic uint16_t *used_event;  /* ours: when to be interrupted */
    _Atomic uint16_t *avail_event; /* the device's: when to be notified */
    void **tokens;                 /* by slot: what the owner gave with the chain that is out */
    uint32_t *ids;                 /* by slot: the chain; avail.ring holds the same */
    uint32_t *slots;               /* by id: the slot */
    uint32_t size;                 /* descriptors; a power of two */
    uint32_t capacity;             /* slots: size ÷ chain */
    uint16_t chain;                /* descriptors a chain: 1, 2 or 4 */
    uint16_t index;                /* the queue's number at its device */
    bool event_idx;                /* VIRTIO_F_EVENT_IDX was negotiated */

    /* written by every burst; the low 16 bits are the rings' */
    uint32_t avail_idx;           /* next entry of the available ring */
    uint32_t published;           /* avail.idx as the device was told */
    uint32_t used_idx;            /* next entry of the used ring */
    uint32_t parked;              /* used_idx when used_event was last moved */
    enum virtqueue_breach breach; /* the first one */
    uint32_t breach_value;        /* what the device had written */
};

/* The layout for `size` descriptors, ring parts aligned as the legacy interface has it (§2.7.2). */
struct virtqueue_layout virtqueue_layout(uint32_t size);

/* True for a size that §2.7 allows: a power of two, 1 to 32768. */
bool virtqueue_size_valid(uint32_t size);

/* Bytes of private memory that virtqueue_init wants besides the ring. */
size_t virtqueue_private_bytes(uint32_t size);

/*
 * Makes `queue` number `index` with `size` descriptors (valid) in chains of `chain` (1, 2
 * or 4, at most `size`). `ring` is zeroed memory of layout.total bytes, 4096-aligned, the device's to
 * write from now on; `private` is memory of virtqueue_private_bytes, 8-aligned. Both stay the
 * caller's to reuse when the queue is no longer used. Interrupts are off. Not for the data path.
 */
struct virtqueue_shape {
    uint32_t size;
    uint16_t index;
    uint16_t chain;
    bool event_idx;
};
void virtqueue_init(struct virtqueue *queue, const struct virtqueue_shape *shape, void *ring,
                    void *private);

/* "used-idx", …: reason= of the error event. */
const char *virtqueue_breach_name(enum virtqueue_breach breach);

/* Marks the queue as broken, for good. The first reason counts. */
__attribute__((cold)) void virtqueue_break(struct virtqueue *queue, enum virtqueue_breach breach,
                                           uint32_t value);

/* Chains that the device has. */
static inline uint32_t virtqueue_outstanding(const struct virtqueue *queue)
{
    return queue->avail_idx - queue->used_idx;
}

/* Chains that can be offered now. */
static inline uint32_t virtqueue_free(const struct virtqueue *queue)
{
    return queue->capacity - virtqueue_outstanding(queue);
}

/* The slot of the entry that either index stands for. */
static inline uint32_t virtqueue_slot(const struct virtqueue *queue, uint32_t idx)
{
    return idx & (queue->capacity - 1);
}

static inline uint32_t virtqueue_smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* ---- offering ---- */

/* Slots side by side. */
struct virtqueue_slots {
    const uint32_t *ids; /* their chains, for the caller to fill in */
    void **tokens;       /* where the caller puts what shall come back with each, not NULL */
    uint32_t count;
};

/* The slots that can be offered next, at most `n`. */
static inline struct virtqueue_slots virtqueue_next(const struct virtqueue *queue, uint32_t n)
{
    const uint32_t slot = virtqueue_slot(queue, queue->avail_idx);
    const uint32_t free = virtqueue_smaller(virtqueue_free(queue), queue->capacity - slot);

    return (struct virtqueue_slots){
        .ids = &queue->ids[slot],
        .tokens = &queue->tokens[slot],
        .count = virtqueue_smaller(n, free),
    };
}

/*
 * Offers the first `n` of these slots. The device does not see them before virtqueue_publish.
 */
static inline void virtqueue_offer(struct virtqueue *queue, uint32_t n)
{
    queue->avail_idx += n;
}

/*
 * Shows the device all that was offered, and returns whether it wants to be notified: once a burst
 * (§2.7.13).
 */
static inline bool virtqueue_publish(struct virtqueue *queue)
{
    const uint16_t old = (uint16_t)queue->published, new = (uint16_t)queue->avail_idx;

    /* Release: descriptors and ring entries before the index. Partner: the device's read of
     * avail.idx before it reads them (§2.7.13.3 "Updating idx"). */
    atomic_store_explicit(&queue->avail->idx, new, memory_order_release);
    queue->published = queue->avail_idx;

    /* Full fence: our index before our look at the suppression word. Partner: the device enables
     * notifications, fences, and looks at avail.idx again; without both fences each side could miss
     * the other's step, and the frames would lie there unseen (§2.7.13.4). */
    atomic_thread_fence(memory_order_seq_cst);
    if (queue->event_idx) {
        uint16_t event = atomic_load_explicit(queue->avail_event, memory_order_relaxed);
        return (uint16_t)(new - event - 1) < (uint16_t)(new - old); /* §2.7.10: passed it? */
    }
    return !(atomic_load_explicit(&queue->used->flags, memory_order_relaxed) &
             VIRTQ_USED_F_NO_NOTIFY);
}

/* ---- taking back ---- */

/*
 * How many chains the device has finished and may be popped. 0 if none, or on a breach: look at
 * queue->breach.
 */
static inline uint32_t virtqueue_pending(struct virtqueue *queue)
{
    /* Acquire: the index before the entries and buffers behind it. Partner: the device's release of
     * used.idx after it has written them (§2.7.8.2). */
    uint16_t idx = atomic_load_explicit(&queue->used->idx, memory_order_acquire);
    uint32_t pending = (uint16_t)(idx - queue->used_idx);

    if (__builtin_expect(pending > virtqueue_outstanding(queue), 0)) {
        virtqueue_break(queue, VIRTQUEUE_USED_IDX, idx);
        return 0;
    }
    return pending;
}

/* Finished chains side by side. */
struct virtqueue_run {
    const volatile struct virtq_used_elem *used; /* each word to be read once: it may change */
    const uint32_t *ids;                         /* the ids that are expected there */
    void *const *tokens;
    uint32_t length;
};

/* The next finished chains, as many as lie side by side, at most `n`. */
static inline struct virtqueue_run virtqueue_finished(struct virtqueue *queue, uint32_t n)
{
    const uint32_t slot = virtqueue_slot(queue, queue->used_idx);

    n = virtqueue_smaller(n, virtqueue_pending(queue));
    return (struct virtqueue_run){
        .used = &queue->used->ring[queue->used_idx & (queue->size - 1)],
        .ids = &queue->ids[slot],
        .tokens = &queue->tokens[slot],
        .length = virtqueue_smaller(n, queue->capacity - slot),
    };
}

/*
 * The rare case: the device has finished `id` where another chain was expected, `ahead` entries
 * behind used_idx. Lets the two change their slots, or breaks the queue and returns false if the
 * device has no such chain.
 */
__attribute__((cold)) bool virtqueue_reorder(struct virtqueue *queue, uint32_t id, uint32_t ahead);

/*
 * True if chain number `i` of the run, which the device calls `id`, is the caller's again: its token
 * is run->tokens[i]. False on a breach. After the last one, virtqueue_popped.
 */
static inline bool virtqueue_pop(struct virtqueue *queue, const struct virtqueue_run *run,
                                 uint32_t i, uint32_t id)
{
    return __builtin_expect(id == run->ids[i], 1) || virtqueue_reorder(queue, id, i);
}

/* The first `n` chains of the run have been popped, and their slots are free. */
static inline void virtqueue_popped(struct virtqueue *queue, uint32_t n)
{
    queue->used_idx += n;
}

/*
 * Keeps interrupts off where EVENT_IDX has taken NO_INTERRUPT's place: used_event is parked just
 * behind us, 65535 completions away. To be called now and then, once a burst at most.
 */
static inline void virtqueue_park(struct virtqueue *queue)
{
    if (queue->used_idx - queue->parked < 0x4000)
        return; /* at most 0x4000 + 0x8000 completions lie between it and the device: not reached */
    queue->parked = queue->used_idx;
    atomic_store_explicit(queue->used_event, (uint16_t)(queue->parked - 1), memory_order_relaxed);
}

#endif
