/*
 * Two lengths side by side in one 64-bit word, so that general registers add and compare both at once.
 * For the bursts of the data path.
 */
#ifndef DRIVERS_VIRTQUEUE_PAIR_H
#define DRIVERS_VIRTQUEUE_PAIR_H

#include <stdint.h>
#include <string.h>

/* The halves' sign bits. */
#define PAIR_SIGNS 0x8000000080000000ull

/* The same value in both halves. */
static inline uint64_t pair_of(uint32_t value)
{
    return (uint64_t)value << 32 | value;
}

static inline uint32_t pair_sum(uint64_t pair)
{
    return (uint32_t)pair + (uint32_t)(pair >> 32);
}

/* Two lengths in memory, of any alignment: the first one is the lower half. */
static inline uint64_t pair_load(const uint32_t *from)
{
    uint64_t pair;

    memcpy(&pair, from, sizeof(pair));
    return pair;
}

static inline void pair_store(uint32_t *to, uint64_t pair)
{
    memcpy(to, &pair, sizeof(pair));
}

#endif
