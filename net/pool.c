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
    return capacity * (buffer_stride(frame_max) + sizeof(uint8_t *)) + CACHE_LINE + PAGE;
}

bool pool_create(struct pool *pool, uint32_t capacity, uint32_t frame_max)
{
    const size_t stride = buffer_stride(frame_max);

    *pool = (struct pool){0};
    /* The stack first: it is small, and if the buffers do not fit nothing large is lost. */
    uint8_t **free = memory_alloc(capacity * sizeof(*free), CACHE_LINE);
    uint8_t *buffers = free != NULL ? memory_alloc(capacity * stride, PAGE) : NULL;
    if (buffers == NULL)
        return false;

    /* Pushed from the last to the first, so that they are taken in the order of their addresses. */
    for (uint32_t i = 0; i < capacity; i++)
        free[i] = buffers + (capacity - 1 - i) * stride;
    *pool = (struct pool){
        .free = free, .count = capacity, .capacity = capacity, .frame_max = frame_max};
    return true;
}
