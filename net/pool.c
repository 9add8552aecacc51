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
    return capacity * (buffer_stride(frame_max) + 2 * sizeof(uint8_t *)) +
           POOL_SETTLE_MAX * sizeof(uint8_t *) + CACHE_LINE + PAGE;
}

bool pool_create(struct pool *pool, uint32_t capacity, uint32_t frame_max, bool chains)
{
    const size_t stride = buffer_stride(frame_max);
    const size_t links = chains ? capacity : 0;

    *pool = (struct pool){0};
    /* The stack first: it is small, and if the buffers do not fit nothing large is lost. */
    const size_t room = capacity + POOL_SETTLE_MAX;
    uint8_t **free = memory_alloc((room + links) * sizeof(*free), CACHE_LINE);
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
        .plain = !chains,
        .next = chains ? free + room : NULL,
        .first = buffers,
        .stride = stride,
        .bytes = capacity * stride,
        .other = pool,
    };
    return true;
}

void pool_join(struct pool *pool, struct pool *others)
{
    pool->other = others->other;
    others->other = pool;
    for (struct pool *each = pool->other; each->plain; each = each->other)
        each->plain = false;
    pool->plain = false;
}

struct pool *pool_owner(struct pool *pool, const uint8_t *buffer)
{
    struct pool *owner = pool;

    while ((size_t)(buffer - owner->first) >= owner->bytes) {
        owner = owner->other;
        ensure(owner != pool); /* it is nobody's */
    }
    return owner;
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

uint32_t pool_hung(const struct pool *pool, const uint8_t *buffer)
{
    uint32_t count = 0;

    while (pool->next != NULL && (buffer = pool_next(pool, buffer)) != NULL)
        count++;
    return count;
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

/* Puts back what hangs on `buffer`, which is of this pool. */
static inline uint32_t put_rest(struct pool *pool, const uint8_t *buffer)
{
    uint32_t count = 0;

    if (pool->next == NULL)
        return 0;

    for (uint8_t *next = unlink_next(pool, buffer); next != NULL; next = unlink_next(pool, next)) {
        pool->free[pool->count++] = next;
        count++;
    }
    return count;
}

/* Moves those of the last `n` buffers that are of other pools there, and what hangs on them. Returns how
 * many that is; the others are the last ones then. */
static uint32_t sort_out(struct pool *pool, uint32_t n, uint32_t *others)
{
    const uint32_t start = pool->count - n, end = pool->count;
    uint32_t hung = 0;

    pool->count = start;
    for (uint32_t i = start; i < end; i++) {
        uint8_t *const buffer = pool->free[i];
        struct pool *const owner = pool_owner(pool, buffer);
        owner->free[owner->count++] = buffer;
        if (owner != pool)
            hung += put_rest(owner, buffer);
    }
    *others = end - pool->count;
    return hung;
}

uint32_t pool_settle(struct pool *pool, uint32_t n)
{
    uint32_t hung = 0, others = 0;

    /* First all of other pools: then no more are here than there is room for. */
    if (pool->other != pool)
        hung = sort_out(pool, n, &others);
    for (uint32_t end = pool->count, i = end - (n - others); i < end; i++)
        hung += put_rest(pool, pool->free[i]);
    return hung;
}
