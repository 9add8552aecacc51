/*
 * A pool: buffers of one size, taken and given back in constant time, last in, first out (the
 * buffer that was touched last is the one still in the cache).
 *
 * A pool belongs to one core, which alone uses it: no lock. Each rx ring, tx ring and burst on its way has
 * a quota of it (net/topology.h), so whatever one port keeps, the others have theirs. Buffers start
 * zeroed.
 *
 * A core has as many pools as its ports need sizes of buffers; a port plugged in later brings one more.
 * A buffer leaves by any port and returns to its own pool, which its address tells.
 *
 * Where frames may be longer than a buffer a frame is a chain of buffers, and the owner of the first one
 * owns them all. The links are kept here, out of every device's reach.
 */
#ifndef NET_POOL_H
#define NET_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <machine/panic.h>

struct pool {
    uint8_t **free;     /* a stack: free[0 … count) are in the pool */
    uint32_t count;     /* buffers in the pool now */
    uint32_t capacity;  /* buffers that belong to it */
    uint32_t frame_max; /* bytes of frame behind PACKET_HEADROOM in each */
    bool plain;         /* no chains, and no other pool on this core */
    uint8_t **next; /* by buffer: the one that hangs on it, or NULL. NULL: there are no chains */
    uint8_t *first; /* of the buffers, by address; */
    size_t stride;  /* bytes from one to the next, */
    size_t bytes;   /* and of all */
    struct pool *other; /* the core's pools, in a circle; itself where it is the only one */
};

/* How many buffers of other pools may be put at once, before pool_settle. */
#define POOL_SETTLE_MAX 64

/*
 * Makes a pool of `capacity` buffers with room for `frame_max` bytes of frame; `chains`: frames may be
 * longer. Returns false, and leaves nothing behind but `pool` empty, if memory does not suffice.
 * Start-up only.
 */
bool pool_create(struct pool *pool, uint32_t capacity, uint32_t frame_max, bool chains);

/* Adds `pool` to the core that has `others`. Between two rounds. */
void pool_join(struct pool *pool, struct pool *others);

/* Bytes of memory that pool_create takes for such a pool, at most. */
size_t pool_bytes(uint32_t capacity, uint32_t frame_max);

/*
 * Takes `n` buffers (at most pool->count); the caller owns them. They are in the array that is
 * returned until the next call that gives something back. Data path.
 */
static inline uint8_t *const *pool_take(struct pool *pool, uint32_t n)
{
    pool->count -= n;
    return &pool->free[pool->count];
}

/* Hangs `next`, and what hangs on it, on `buffer`, which ends a chain; or inserts `next`, on which
 * nothing hangs, behind `buffer`. Both were taken from this pool, which has chains. Data path. */
void pool_link(struct pool *pool, uint8_t *buffer, uint8_t *next);

/* What hangs on `buffer`; NULL: nothing. The pool has chains. Data path. */
uint8_t *pool_next(const struct pool *pool, const uint8_t *buffer);

/* How many buffers hang on `buffer`. Data path. */
uint32_t pool_hung(const struct pool *pool, const uint8_t *buffer);

/* The pool that `buffer` was taken from; `pool` is any of the same core. Data path. */
struct pool *pool_owner(struct pool *pool, const uint8_t *buffer);

/*
 * The last `n` buffers (POOL_SETTLE_MAX at most) were put back as they came, the first ones of their
 * chains alone and whichever pool of the core they are from: moves those of other pools there, and puts
 * back what hangs on them. Returns how many buffers have hung on them. For a pool that is not plain.
 * Data path.
 */
uint32_t pool_settle(struct pool *pool, uint32_t n);

/* Gives `buffer` back to the pool of this core that it was taken from, with all that hangs on it. Data
 * path. */
static inline void pool_put(struct pool *pool, uint8_t *buffer)
{
    pool->free[pool->count++] = buffer;
    if (!pool->plain)
        (void)pool_settle(pool, 1);
}

#endif
