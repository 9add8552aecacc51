/*
 * Four words side by side, worked on at once: the compiler's vectors, one SSE register each. For the
 * bursts of the data path in drivers/virtqueue.c and drivers/virtqueue_packed.c.
 */
#ifndef DRIVERS_VIRTQUEUE_FOUR_H
#define DRIVERS_VIRTQUEUE_FOUR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef uint32_t four __attribute__((vector_size(16)));

/* One instruction, of any alignment. */
static inline four four_load(const volatile void *from)
{
    four words;

    memcpy(&words, (const void *)from, sizeof(words));
    return words;
}

static inline void four_store(void *to, four words)
{
    memcpy(to, &words, sizeof(words));
}

/* True if some bit of some word is set. */
static inline bool four_any(four words)
{
    uint64_t halves[2];

    memcpy(halves, &words, sizeof(words));
    return (halves[0] | halves[1]) != 0;
}

static inline uint32_t four_sum(four words)
{
    return words[0] + words[1] + words[2] + words[3];
}

#endif
