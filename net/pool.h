/*
 * A pool: buffers of one size, taken and given back in constant time, last in, first out (the
 * buffer that was touched last is the one still in the cache).
 *
 * A pool belongs to one lane and so to one core: no lock, and no buffer ever holds bytes of another
 * lane. Buffers start zeroed.
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
};

/*
 * Makes a pool of `capacity` buffers for frames of up to `frame_max` bytes. Returns false, and
 * leaves nothing behind but `pool` empty, if memory does not suffice. Start-up only.
 */
bool pool_create(struct pool *pool, uint32_t capacity, uint32_t frame_max);

/* Bytes of memory that pool_create takes for such a pool. */
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

/* Gives `buffer`, taken from this very pool, back to it. Data path. */
static inline void pool_put(struct pool *pool, uint8_t *buffer)
{
    pool->free[pool->count++] = buffer;
}

#endif
