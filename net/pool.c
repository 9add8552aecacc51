/* Buffers of one size out of one piece of memory. */
#include "net/pool.h"

#include <machine/memory.h>

#include "net/batch.h"

#define PAGE 4096

/*
 * The distance between two buffers is an odd number of cache lines. A power of two would put the
 * first lines of all frames into the same one or two sets of the first-level cache.
 */
static size_t buffer_stride(uint32_t frame_max)
{
    size_t lines = (PACKET_HEADROOM + (size_t)frame_max + CACHE_LINE - 1) / CACHE_LINE;
    return (lines | 1) * CACHE_LINE;
}

size_t pool_bytes(uint32_t capacity, uint32_t frame_max)
{
    return capacity * (buffer_stride(frame_max) + 2 * sizeof(uint8_t *)) + CACHE_LINE + PAGE;
}

bool pool_create(struct pool *pool, uint32_t capacity, uint32_t frame_max, bool chains)
{
    const size_t stride = buffer_stride(frame_max);
    const size_t links = chains ? capacity : 0;

    *pool = (struct pool){0};
    /* The stack first: it is small, and if the buffers do not fit nothing large is lost. */
    uint8_t **free = memory_alloc((capacity + links) * sizeof(*free), CACHE_LINE);
    uint8_t *buffers = free != NULL ? memory_alloc(capacity * stride, PAGE) : NULL;
    if (buffers == NULL)
        return false;

    /* Pushed from the last to the first, so that they are taken in the order of their addresses. */
    for (uint32_t i = 0; i < capacity; i++)
        free[i] = buffers + (capacity - 1 - i) * stride;
    *pool = (struct pool){
        .free = free,
        .count = capacity,
        .capacity = capacity,
        .frame_max = frame_max,
        .next = chains ? free + capacity : NULL,
        .first = buffers,
        .stride = stride,
    };
    return true;
}

/* ---- chains ---- */

static uint8_t **link_of(const struct pool *pool, const uint8_t *buffer)
{
    return &pool->next[(size_t)(buffer - pool->first) / pool->stride];
}

uint8_t *pool_next(const struct pool *pool, const uint8_t *buffer)
{
    return *link_of(pool, buffer);
}

void pool_link(struct pool *pool, uint8_t *buffer, uint8_t *next)
{
    uint8_t **const link = link_of(pool, buffer);

    if (*link != NULL)
        *link_of(pool, next) = *link;
    *link = next;
}

/* Takes off what hangs on `buffer`. */
static uint8_t *unlink_next(struct pool *pool, const uint8_t *buffer)
{
    uint8_t **const link = link_of(pool, buffer);
    uint8_t *const next = *link;

    *link = NULL;
    return next;
}

void pool_put_rest(struct pool *pool, uint32_t n)
{
    for (uint32_t i = pool->count - n, end = pool->count; i < end; i++) {
        for (uint8_t *next = unlink_next(pool, pool->free[i]); next != NULL;
             next = unlink_next(pool, next))
            pool->free[pool->count++] = next;
    }
}
