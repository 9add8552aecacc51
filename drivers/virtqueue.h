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
#include <string.h>

#include "drivers/virtio_spec.h"

#define VIRTQUEUE_BURST 32 /* chains that virtqueue_pop takes back at a time */

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
    uint32_t header;               /* bytes in front of what a length means */
    uint32_t shortest;             /* a length is odd if it is less than this, */
    uint32_t span;                 /* or more by more than this */
    bool event_idx;                /* VIRTIO_F_EVENT_IDX was negotiated */
    bool plain; /* chain 1, and slot i has descriptor i: no change of slots yet */

    /* written by every burst; the low 16 bits are the rings' */
    uint32_t avail_idx;           /* next entry of the available ring */
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

/* How many slots lie side by side that can be offered next. */
static inline uint32_t virtqueue_room(const struct virtqueue *queue)
{
    const uint32_t slot = virtqueue_slot(queue, queue->avail_idx);

    return virtqueue_smaller(virtqueue_free(queue), queue->capacity - slot);
}

/* Slots side by side. */
struct virtqueue_slots {
    const uint32_t *ids;     /* their chains, for the caller to fill in */
    struct virtq_desc *desc; /* these very chains, if queue->plain */
    void **tokens;           /* where the caller puts what shall come back with each, not NULL */
};

/* The next virtqueue_room slots. */
static inline struct virtqueue_slots virtqueue_next(const struct virtqueue *queue)
{
    const uint32_t slot = virtqueue_slot(queue, queue->avail_idx);

    return (struct virtqueue_slots){
        .ids = &queue->ids[slot], .desc = &queue->desc[slot], .tokens = &queue->tokens[slot]};
}

/*
 * Shows the device the chains in the next `n` slots, which are filled in, and returns whether it wants
 * to be notified: once a burst (§2.7.13).
 */
static inline bool virtqueue_publish(struct virtqueue *queue, uint32_t n)
{
    const uint32_t idx = queue->avail_idx + n;

    queue->avail_idx = idx;
    /* Release: descriptors and ring entries before the index. Partner: the device's read of
     * avail.idx before it reads them (§2.7.13.3 "Updating idx"). */
    atomic_store_explicit(&queue->avail->idx, (uint16_t)idx, memory_order_release);

    /* Full fence: our index before our look at the suppression word. Partner: the device enables
     * notifications, fences, and looks at avail.idx again; without both fences each side could miss
     * the other's step, and the frames would lie there unseen (§2.7.13.4). */
    atomic_thread_fence(memory_order_seq_cst);
    if (queue->event_idx) {
        const uint16_t event = atomic_load_explicit(queue->avail_event, memory_order_relaxed);
        return (uint16_t)(idx - event - 1) < (uint16_t)n; /* §2.7.10: passed it? */
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

/* True if the device has finished something; or has broken a rule, as virtqueue_pending will tell. */
static inline bool virtqueue_has_finished(const struct virtqueue *queue)
{
    return atomic_load_explicit(&queue->used->idx, memory_order_relaxed) !=
           (uint16_t)queue->used_idx;
}

/* The next element of the used ring. */
static inline const volatile struct virtq_used_elem *virtqueue_used(const struct virtqueue *queue)
{
    return &queue->used->ring[queue->used_idx & (queue->size - 1)];
}

/* Four words side by side, worked on at once. */
typedef uint32_t virtqueue_four __attribute__((vector_size(16)));

static inline virtqueue_four virtqueue_load_four(const volatile void *from)
{
    virtqueue_four four;

    memcpy(&four, (const void *)from, sizeof(four)); /* one instruction, of any alignment */
    return four;
}

static inline bool virtqueue_any_of_four(virtqueue_four four)
{
    uint64_t halves[2];

    memcpy(halves, &four, sizeof(four));
    return (halves[0] | halves[1]) != 0;
}

/* What virtqueue_pop has found. */
struct virtqueue_burst {
    uint32_t count; /* chains */
    uint32_t bytes; /* the sum of their lengths */
    bool odd;       /* virtqueue_is_odd for some length */
};

/* What is shorter than the shortest wraps to something very long. */
static inline bool virtqueue_is_odd(const struct virtqueue *queue, uint32_t length)
{
    return length - queue->shortest > queue->span;
}

/* virtqueue_pop of a queue that is not plain. */
__attribute__((noinline)) struct virtqueue_burst
virtqueue_pop_any(struct virtqueue *queue, void **tokens, uint32_t *lengths, uint32_t n);

/*
 * The rare case of virtqueue_pop: the device has finished `n` chains, `ids`, and not all of them are
 * the expected ones. Lets chains change their slots until they are; `lengths` (or NULL) is what was
 * read of them before.
 */
__attribute__((cold)) struct virtqueue_burst virtqueue_pop_each(struct virtqueue *queue,
                                                                void **tokens,
                                                                const uint32_t *lengths,
                                                                const uint32_t *ids, uint32_t n);

/*
 * Looks at the next finished chains: as many as lie side by side, at most `n` (at most
 * virtqueue_pending and VIRTQUEUE_BURST). Stores the token of each and, unless `lengths` is NULL, how
 * many bytes the device claims to have written behind queue->header, unchecked but for `odd`. They
 * stay in their slots until virtqueue_popped: a caller that does not like the length of one takes
 * only those before it. Fewer than there should be are a breach: look at queue->breach.
 *
 * Each word of the used ring is read once, since the device may change it at any time. Most frames
 * come in bursts, so four are looked at at a time.
 */
static inline __attribute__((always_inline)) struct virtqueue_burst
virtqueue_pop(struct virtqueue *queue, void **tokens, uint32_t *lengths, uint32_t n)
{
    const uint32_t slot = virtqueue_slot(queue, queue->used_idx);
    const volatile struct virtq_used_elem *const used = virtqueue_used(queue);
    void *const *const given = &queue->tokens[slot];
    const uint32_t header = queue->header, shortest = queue->shortest, span = queue->span;
    virtqueue_four bytes_four = {0}, odd_four = {0}, wrong_four = {0};
    virtqueue_four expected = (virtqueue_four){0, 1, 2, 3} + slot;
    uint32_t ids[VIRTQUEUE_BURST];
    uint64_t i;

    if (__builtin_expect(!queue->plain, 0))
        return virtqueue_pop_any(queue, tokens, lengths, n);
    n = virtqueue_smaller(n, queue->capacity - slot);
    for (i = 0; i + 4 <= n; i += 4) {
        const virtqueue_four low = virtqueue_load_four(&used[i]);
        const virtqueue_four high = virtqueue_load_four(&used[i + 2]);
        const virtqueue_four id = __builtin_shufflevector(low, high, 0, 2, 4, 6);
        const virtqueue_four length = __builtin_shufflevector(low, high, 1, 3, 5, 7) - header;
        wrong_four |= id ^ expected;
        expected += 4;
        memcpy(&ids[i], &id, sizeof(id));
        memcpy(&tokens[i], &given[i], 4 * sizeof(*tokens));
        if (lengths == NULL)
            continue;
        memcpy(&lengths[i], &length, sizeof(length));
        bytes_four += length;
        odd_four |= (virtqueue_four)(length - shortest > span);
    }

    uint32_t bytes = bytes_four[0] + bytes_four[1] + bytes_four[2] + bytes_four[3];
    bool odd = virtqueue_any_of_four(odd_four), wrong = virtqueue_any_of_four(wrong_four);
    for (; i < n; i++) {
        ids[i] = used[i].id;
        wrong |= ids[i] != slot + i;
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

/* virtqueue_pop for a lone chain. */
static inline __attribute__((always_inline)) struct virtqueue_burst
virtqueue_pop_one(struct virtqueue *queue, void **token, uint32_t *length)
{
    const uint32_t slot = virtqueue_slot(queue, queue->used_idx);
    const volatile struct virtq_used_elem *const used = virtqueue_used(queue);
    const uint32_t id = used->id;

    *token = queue->tokens[slot];
    *length = used->len - queue->header;
    if (__builtin_expect(id != queue->ids[slot], 0))
        return virtqueue_pop_each(queue, token, length, &(const uint32_t){id}, 1);
    return (struct virtqueue_burst){1, *length, virtqueue_is_odd(queue, *length)};
}

/* The first `n` chains that virtqueue_pop has told of are the caller's, and their slots are free. */
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
