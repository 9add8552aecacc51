/*
 * A virtqueue (virtio 1.2 §2.6), the driver's side, in either of its formats: split (§2.7) or
 * packed (§2.8). Who uses it does not ask which.
 *
 * The device may write anything anywhere into the shared part at any time, so nothing of ours is
 * ever read back from it: which chains are out, with which buffer, and how far both rings have been
 * followed is kept in private memory. What the device writes is checked where it is read, here and
 * in virtqueue.c and virtqueue_burst.h; a queue that finds a device error stays broken until it is made
 * anew.
 *
 * What is added goes into slots, one after the other and round and round. A device that finishes
 * chains in the order in which it got them (most do) takes them from the slots in the same order:
 * the next slot is the one that comes back next, so that one comparison tells that its id is right.
 * Where the device takes another order, chains change their slots.
 *
 * A chain of the data path is one descriptor: the device's header and what follows it in one
 * buffer. Where a split ring's device wants the header in a descriptor of its own it is two, and a
 * command has up to four. In a split ring all chains of a queue have the same number, and lie side
 * by side.
 *
 * The data path works on bursts that lie side by side, up to the end of a ring. All of it is for
 * one core.
 */
#ifndef DRIVERS_VIRTQUEUE_H
#define DRIVERS_VIRTQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <machine/io.h>

#include "drivers/virtio/virtio_spec.h"
#include "net/batch.h"

/* 64 bits, and 32 bits, of the bytes in front of a frame. */
typedef uint64_t __attribute__((may_alias)) virtqueue_aligned_word;
typedef const uint32_t __attribute__((may_alias)) virtqueue_flags_word;

/* The bytes in front of a frame: the device's header (§5.1.6), and what fills it up to two words. */
#define VIRTQUEUE_HEADER_ROOM 16

#define VIRTQUEUE_PARTS_MAX 4 /* of a chain that is added in parts */

/* Where the parts lie: offsets in bytes from the start of the ring's memory. Of a packed ring: the
 * descriptors, and as `avail` and `used` the driver's and the device's event suppression. */
struct virtqueue_layout {
    size_t desc;
    size_t avail;
    size_t used_event; /* split rings only */
    size_t used;
    size_t avail_event; /* split rings only */
    size_t total;
};

/* What a device can do wrong on a queue. The names are in virtqueue_error_name. */
enum virtqueue_error {
    VIRTQUEUE_OK,
    VIRTQUEUE_USED_IDX,     /* used.idx moved by more than is outstanding, or backwards; packed: a
                               descriptor is used where none is outstanding */
    VIRTQUEUE_ID_RANGE,     /* the id of a used chain is no descriptor of the queue */
    VIRTQUEUE_ID_NOT_OUT,   /* it is no chain that the device has: never given, or twice */
    VIRTQUEUE_LENGTH_SHORT, /* its length is less than a device header */
    VIRTQUEUE_LENGTH_LONG,  /* its length is more than the buffer */
    VIRTQUEUE_NUM_BUFFERS, /* a frame is said to lie in more buffers than it can, or than are used */
    /* In packed rings alone, by virtqueue_audit: */
    VIRTQUEUE_USED_ORDER,  /* a descriptor is used that is not the next one */
    VIRTQUEUE_USED_FLAGS,  /* flags are neither as the driver wrote them nor those of a used one */
    VIRTQUEUE_OVERWRITTEN, /* what the device has not used is not as the driver wrote it */
    VIRTQUEUE_ERRORS
};

/* What every burst needs stands first, so that it lies in few cache lines. */
struct virtqueue {
    union {
        struct virtq_desc *desc;
        struct pvirtq_desc *packed_desc;
    };
    union {
        struct virtq_avail *avail;
        struct pvirtq_event_suppress *driver_event;
    };
    union {
        struct virtq_used *used;
        struct pvirtq_event_suppress *device_event;
    };
    void **cookies;     /* by slot: the owner's buffer in the chain that is out; packed: NULL in the
                           slots of its further descriptors */
    uint32_t mask;      /* of slots: capacity - 1 */
    uint32_t avail_idx; /* next slot to be filled; the low 16 bits are a split ring's */
    uint32_t used_idx;  /* next slot to come back; likewise */

    /* how a buffer of the owner's is described to the device; set by virtqueue_set_buffers */
    uint32_t start;    /* bytes into the buffer at which the device's header begins */
    uint32_t header;   /* bytes of that header */
    uint32_t room;     /* bytes behind it that the device may write; 0: it is to read */
    uint32_t shortest; /* a length is odd if it is less than this, */
    uint32_t span;     /* or more by more than this */
    /* The same for two lengths side by side, each below 2^31: added to them, `below` sets the sign bit
     * of one that is less, and `above` that of one that is more. What carries into or borrows from its
     * neighbour is itself odd. */
    uint64_t below, above;

    uint32_t capacity;             /* slots: size ÷ chain, */
    uint32_t limit;                /* and how many of them may be filled */
    enum virtqueue_error error;    /* the first one */
    bool ids_match_slots;          /* chains of one, and slot i has id i so far */
    bool packed;                   /* VIRTIO_F_RING_PACKED was negotiated */
    bool event_idx;                /* VIRTIO_F_EVENT_IDX was negotiated */
    uint32_t suppressed_at;        /* used_idx when used_event was last moved */
    _Atomic uint16_t *avail_event; /* split: the device's, when to be notified */

    _Atomic uint16_t *used_event; /* split: ours, when to be interrupted */
    uint32_t *ids;                /* by slot: the chain; a split ring's avail.ring holds the same */
    uint32_t *slots;              /* by id: the slot */
    uint32_t size;                /* descriptors; a power of two */
    uint16_t chain;               /* descriptors a slot: 1, 2 or 4; 1 in a packed ring */
    uint16_t index;               /* the queue's number at its device */
    uint32_t error_value;         /* what the device had written */
    uint32_t publish_word; /* packed: id and flags of the first descriptor that is staged, which
                                     show it and those behind it */
    bool indirect;         /* virtqueue_stage_indirect has staged a table */
};

/* What a queue is made of. */
struct virtqueue_shape {
    uint32_t size; /* descriptors */
    uint16_t index;
    uint16_t chain; /* descriptors a chain; counts in a split ring */
    bool packed;
    bool event_idx;
};

/* The layout for `size` descriptors: split with the ring parts aligned as the legacy interface has
 * it (§2.7.2), or packed (§2.8.10.1). */
struct virtqueue_layout virtqueue_layout(uint32_t size, bool packed);

/* True for a size that §2.7 allows: a power of two, 1 to 32768. (A packed ring may have any, but its
 * driver may also choose a smaller one.) */
bool virtqueue_size_valid(uint32_t size);

/* Bytes of private memory that virtqueue_init wants besides the ring. */
size_t virtqueue_private_bytes(uint32_t size);

/*
 * Makes a queue of this shape: size valid, chains of 1, 2 or 4 and at most size. `ring` is zeroed
 * memory of layout.total bytes, 4096-aligned, the device's to write from now on; `private` is memory
 * of virtqueue_private_bytes, 8-aligned. Both stay the caller's to reuse when the queue is no longer
 * used. Interrupts are off. Not for the data path.
 */
void virtqueue_init(struct virtqueue *queue, const struct virtqueue_shape *shape, void *ring,
                    void *private);

/* How the buffers of virtqueue_stage look: bytes, as in struct virtqueue. Before the first one. */
struct virtqueue_buffers {
    uint32_t start;
    uint32_t header;
    uint32_t room;
    uint32_t shortest;
    uint32_t span;
};
void virtqueue_set_buffers(struct virtqueue *queue, const struct virtqueue_buffers *buffers);

/* Sets the span alone. */
void virtqueue_set_span(struct virtqueue *queue, uint32_t span);

/* "used-idx", …: reason= of the error event. */
const char *virtqueue_error_name(enum virtqueue_error error);

/* Marks the queue as broken, for good. The first reason counts. */
static inline __attribute__((cold)) void virtqueue_fail(struct virtqueue *queue,
                                                        enum virtqueue_error error, uint32_t value)
{
    if (queue->error == VIRTQUEUE_OK) {
        queue->error = error;
        queue->error_value = value;
    }
}

/* Chains that the device has and has not finished, as far as it says. Not for the data path: it may
 * walk over all of them. */
uint32_t virtqueue_unfinished(const struct virtqueue *queue);

/* Slots that are filled: what the device has, finished or not. */
static inline uint32_t virtqueue_outstanding(const struct virtqueue *queue)
{
    return queue->avail_idx - queue->used_idx;
}

/* Lets at most `limit` slots be filled; none may be filled now. */
static inline void virtqueue_set_limit(struct virtqueue *queue, uint32_t limit)
{
    queue->limit = limit < queue->capacity ? limit : queue->capacity;
}

static inline uint32_t virtqueue_free(const struct virtqueue *queue)
{
    return queue->limit - virtqueue_outstanding(queue);
}

/* The slot that either index stands for. */
static inline uint32_t virtqueue_slot(const struct virtqueue *queue, uint32_t idx)
{
    return idx & queue->mask;
}

static inline uint32_t virtqueue_smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* ---- adding ---- */

/* How many slots lie side by side from that of either index on, up to the end of the ring. */
static inline uint32_t virtqueue_side_by_side(const struct virtqueue *queue, uint32_t idx)
{
    return queue->capacity - virtqueue_slot(queue, idx);
}

/* How many chains can be added at once: free slots that lie side by side. */
static inline uint32_t virtqueue_room(const struct virtqueue *queue)
{
    return virtqueue_smaller(virtqueue_free(queue),
                             virtqueue_side_by_side(queue, queue->avail_idx));
}

/*
 * Writes a descriptor of either format, whole: so whatever the device may have scribbled over it is
 * gone. `rest` is all but the address, which goes by one store: the length in the lower half, what
 * the format has there in the upper half.
 */
static inline void virtqueue_describe(void *desc, uint64_t addr, uint64_t rest)
{
    memcpy(desc, &addr, sizeof(addr));
    memcpy((uint8_t *)desc + sizeof(addr), &rest, sizeof(rest));
}

/* The first four bytes of a header of the longer form. Both forms have flags and gso_type in them: in an
 * ordinary header they are 0. */
static inline uint32_t virtqueue_header_flags(const uint8_t *buffer)
{
    return *(virtqueue_flags_word *)(buffer + PACKET_HEADROOM - VIRTIO_NET_HDR_BYTES);
}

/* Writes a header of either form that wants nothing done. */
static inline void virtqueue_clear_header(uint8_t *buffer)
{
    virtqueue_aligned_word *const words =
        (virtqueue_aligned_word *)(buffer + PACKET_HEADROOM - VIRTQUEUE_HEADER_ROOM);

    words[0] = 0;
    words[1] = 0;
}

/*
 * Continues a virtqueue_stage that has staged the first `done` of the `n` buffers. Works for every queue,
 * and leaves headers as they are. Returns the sum of the other lengths.
 */
uint64_t virtqueue_stage_plain(struct virtqueue *queue, uint8_t *const *buffers,
                               const uint32_t *lengths, uint32_t done, uint32_t n);

/* A piece of memory for the device to read or write. */
struct virtqueue_part {
    const void *start;
    uint32_t length; /* bytes */
    bool write;
};

/*
 * Gives the device one chain of `count` parts (at most VIRTQUEUE_PARTS_MAX, and what the shape or the
 * ring has room for), those to read first. It comes back as `cookie`, not NULL, and fills as many slots
 * as are stored in `slots`: that is what virtqueue_release must be told. Returns as virtqueue_add.
 */
bool virtqueue_add_parts(struct virtqueue *queue, const struct virtqueue_part *parts,
                         unsigned count, void *cookie, uint32_t *slots);

/*
 * The chain that virtqueue_stage has staged `ahead` slots behind the next one, and that is not published yet,
 * becomes one of `count` parts, all to be read, by an indirect descriptor (§2.7.5.3, §2.8.7). `table` has
 * 16 bytes for each part, and is the device's with them. INDIRECT_DESC was negotiated, and the queue has
 * at least `count` descriptors. Data path.
 */
void virtqueue_stage_indirect(struct virtqueue *queue, uint32_t ahead,
                              const struct virtqueue_part *parts, uint32_t count, void *table);

/* ---- taking back ---- */

/* What a look at chains is for: their ids, their lengths besides, and the headers of their frames besides.
 * For the last one cookies are buffers, aligned to 8 bytes, whose header ends at PACKET_HEADROOM. */
enum virtqueue_look { VIRTQUEUE_IDS, VIRTQUEUE_LENGTHS, VIRTQUEUE_HEADERS };

/* What virtqueue_take has found. */
struct virtqueue_burst {
    uint64_t bytes;   /* the sum of their lengths */
    uint32_t count;   /* chains */
    bool needs_check; /* virtqueue_needs_check for some length, or some header has flags */
};

/* A length below the shortest wraps and fails the same comparison. */
static inline bool virtqueue_needs_check(const struct virtqueue *queue, uint32_t length)
{
    return length - queue->shortest > queue->span;
}

/*
 * Continues a virtqueue_take that has found `burst` so far, up to `n` chains (virtqueue_takeable). Works
 * for every queue.
 */
struct virtqueue_burst virtqueue_take_plain(struct virtqueue *queue, void **cookies,
                                            uint32_t *lengths, uint32_t n, enum virtqueue_look look,
                                            struct virtqueue_burst burst);

/* The first `n` slots that virtqueue_take has found are free, and their buffers are the caller's. */
static inline void virtqueue_release(struct virtqueue *queue, uint32_t n)
{
    queue->used_idx += n;
}

/* ---- interrupts ---- */

/*
 * Asks for an interrupt at the next completion. To be followed by virtqueue_has_finished: a completion
 * that it does not see is announced.
 */
static inline void virtqueue_arm(struct virtqueue *queue)
{
    if (queue->packed)
        atomic_store_explicit(&queue->driver_event->flags, RING_EVENT_FLAGS_ENABLE,
                              memory_order_relaxed);
    else if (queue->event_idx)
        atomic_store_explicit(queue->used_event, (uint16_t)queue->used_idx, memory_order_relaxed);
    else
        atomic_store_explicit(&queue->avail->flags, 0, memory_order_relaxed);

    /* Full fence: the request before the last look. Partner: the device writes used.idx, or a used
     * descriptor, fences, and looks at the request (§2.7.7.2, §2.7.8.2, §2.8.10). Whichever fence
     * comes first, the other side sees what was written before it: we the completion, or the device
     * the request. */
    atomic_thread_fence(memory_order_seq_cst);
}

/* No interrupts any more; one that is under way may still come. */
static inline void virtqueue_disarm(struct virtqueue *queue)
{
    if (queue->packed) {
        atomic_store_explicit(&queue->driver_event->flags, RING_EVENT_FLAGS_DISABLE,
                              memory_order_relaxed);
    } else if (queue->event_idx) {
        queue->suppressed_at = queue->used_idx;
        atomic_store_explicit(queue->used_event, (uint16_t)(queue->suppressed_at - 1),
                              memory_order_relaxed);
    } else {
        atomic_store_explicit(&queue->avail->flags, VIRTQ_AVAIL_F_NO_INTERRUPT,
                              memory_order_relaxed);
    }
}

/*
 * Keeps interrupts off where EVENT_IDX has taken NO_INTERRUPT's place: used_event is suppressed_at just
 * behind us, 65535 completions away. To be called now and then, once a burst at most.
 */
static inline void virtqueue_suppress_interrupts(struct virtqueue *queue)
{
    if (queue->packed || queue->used_idx - queue->suppressed_at < 0x4000)
        return; /* at most 0x4000 + 0x8000 completions lie between it and the device: not reached */
    queue->suppressed_at = queue->used_idx;
    atomic_store_explicit(queue->used_event, (uint16_t)(queue->suppressed_at - 1),
                          memory_order_relaxed);
}

#endif
