/*
 * A pool: buffers of one size, taken and given back in constant time, last in, first out (the
 * buffer that was touched last is the one still in the cache).
 *
 * A pool belongs to one lane and so to one core: no lock, and no buffer ever holds bytes of another
 * lane. Buffers start zeroed.
 *
 * Where frames may be longer than a buffer a frame is a chain of buffers, and who has the first one
 * has them all. What hangs on which is kept here, out of every device's reach.
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
    uint8_t **next; /* by buffer: the one that hangs on it, or NULL. NULL: there are no chains */
    uint8_t *first; /* of the buffers, by address; */
    size_t stride;  /* and bytes from one to the next */
};

/*
 * Makes a pool of `capacity` buffers with room for `frame_max` bytes of frame; `chains`: frames may be
 * longer. Returns false, and leaves nothing behind but `pool` empty, if memory does not suffice.
 * Start-up only.
 */
bool pool_create(struct pool *pool, uint32_t capacity, uint32_t frame_max, bool chains);

/* Bytes of memory that pool_create takes for such a pool, at most. */
size_t pool_bytes(uint32_t capacity, uint32_t frame_max);

/*
 * Takes `n` buffers (at most pool->count); the caller owns them. They stand in the array that is
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

/* The last `n` buffers were put back by themselves: puts back what hangs on them. The pool has chains.
 * Data path. */
void pool_put_rest(struct pool *pool, uint32_t n);

/* Gives `buffer`, taken from this very pool, back to it, with all that hangs on it. Data path. */
static inline void pool_put(struct pool *pool, uint8_t *buffer)
{
    pool->free[pool->count++] = buffer;
    if (pool->next != NULL)
        pool_put_rest(pool, 1);
}

#endif
