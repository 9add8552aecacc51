/*
 * Four words side by side, worked on at once: the compiler's vectors, one SSE register each. For the
 * bursts of the data path in drivers/virtqueue_burst.h and drivers/virtqueue_packed_burst.h.
 */
#ifndef DRIVERS_VIRTQUEUE_FOUR_H
#define DRIVERS_VIRTQUEUE_FOUR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef uint32_t four __attribute__((vector_size(16), may_alias));

/* Does `body` for `i` from `first` to n - 1: four in a row, so that one step of the loop serves
 * them all. */
#define FOUR_AT_A_TIME(i, first, n, body)                                                          \
    do {                                                                                           \
        uint64_t i = (first);                                                                      \
        for (; i + 4 <= (n); i++) {                                                                \
            body;                                                                                  \
            i++;                                                                                   \
            body;                                                                                  \
            i++;                                                                                   \
            body;                                                                                  \
            i++;                                                                                   \
            body;                                                                                  \
        }                                                                                          \
        for (; i < (n); i++)                                                                       \
            body;                                                                                  \
    } while (0)

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

static inline four four_of(uint32_t word)
{
    return (four){word, word, word, word};
}

/* All bits that are set in some word. */
static inline uint64_t four_or(four words)
{
    uint64_t halves[2];

    memcpy(halves, &words, sizeof(words));
    return halves[0] | halves[1];
}

/* True if each word equals the other's. */
static inline bool four_equal(four a, four b)
{
    typedef float four_signs __attribute__((vector_size(16)));

    return __builtin_ia32_movmskps((four_signs)(a == b)) == 0xf;
}

/* A range of words: `first`, and the `more` that follow it. SSE2 compares signed words only, so both
 * ends are moved to where a signed comparison finds the same. */
struct four_bounds {
    four first;
    four last;
};

static inline struct four_bounds four_bounds(uint32_t first, uint32_t more)
{
    return (struct four_bounds){four_of(first + 0x80000000), four_of(more + 0x80000000)};
}

/* All bits of the words that are outside the range. */
static inline four four_outside(four words, struct four_bounds bounds)
{
    typedef int32_t four_signed __attribute__((vector_size(16)));

    return (four)((four_signed)(words - bounds.first) > (four_signed)bounds.last);
}

static inline uint32_t four_sum(four words)
{
    uint64_t halves[2];

    memcpy(halves, &words, sizeof(words));
    halves[0] += halves[1];
    return (uint32_t)halves[0] + (uint32_t)(halves[0] >> 32);
}

#endif
