/*
 * A row of bytes as a source of decisions. It never runs dry: behind its end are zeros, so that
 * every input, however short, means something.
 */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct input {
    const uint8_t *next;
    size_t left;
};

/* The next `size` (at most 8) bytes as a number, least significant first. */
static inline uint64_t input_bytes(struct input *input, size_t size)
{
    const size_t there = size < input->left ? size : input->left;
    uint64_t value = 0;

    memcpy(&value, input->next, there);
    input->next += there;
    input->left -= there;
    return value;
}

static inline uint8_t input_8(struct input *input)
{
    return (uint8_t)input_bytes(input, 1);
}

static inline uint16_t input_16(struct input *input)
{
    return (uint16_t)input_bytes(input, 2);
}

static inline uint32_t input_32(struct input *input)
{
    return (uint32_t)input_bytes(input, 4);
}

/* Fills `size` bytes at `to`. */
static inline void input_fill(struct input *input, void *to, size_t size)
{
    const size_t there = size < input->left ? size : input->left;

    memset(to, 0, size);
    memcpy(to, input->next, there);
    input->next += there;
    input->left -= there;
}

#endif
