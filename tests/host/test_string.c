/*
 * kernel/string.c against the host's own functions: every small length at every alignment, and every
 * overlap. Its functions get other names here, for the host needs its own.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/host/fixture/test.h"

void *kernel_memcpy(void *restrict to, const void *restrict from, size_t length);
void *kernel_memmove(void *to, const void *from, size_t length);
void *kernel_memset(void *to, int value, size_t length);
int kernel_memcmp(const void *left, const void *right, size_t length);

#define memcpy kernel_memcpy
#define memmove kernel_memmove
#define memset kernel_memset
#define memcmp kernel_memcmp
#include "kernel/string.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp

#define LENGTH_MAX 300
#define ALIGNMENTS 17
#define AREA (LENGTH_MAX + 2 * ALIGNMENTS)

/* Different bytes from one place to the next, and from one `seed` to the next. */
static void fill(uint8_t *bytes, size_t length, unsigned seed)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(i * 7 + seed * 31 + i / 256);
}

TEST(memcpy_copies_exactly_and_nothing_beside)
{
    uint8_t from[AREA], to[AREA], expected[AREA];

    fill(from, sizeof(from), 1);
    for (size_t length = 0; length <= LENGTH_MAX; length++)
        for (size_t source = 0; source < ALIGNMENTS; source++)
            for (size_t target = 0; target < ALIGNMENTS; target++) {
                fill(to, sizeof(to), 2);
                fill(expected, sizeof(expected), 2);
                memcpy(expected + target, from + source, length);
                assert_ptr_equal(kernel_memcpy(to + target, from + source, length), to + target);
                assert_true(memcmp(to, expected, sizeof(to)) == 0);
            }
}

TEST(memcpy_of_a_frame_is_exact)
{
    for (size_t length = 1000; length <= 1518; length++) {
        /* Exact pieces of memory: the address sanitizer sees a byte too much on either side. */
        uint8_t *from = malloc(length), *to = malloc(length);
        fill(from, length, 3);
        kernel_memcpy(to, from, length);
        assert_true(memcmp(to, from, length) == 0);
        free(from);
        free(to);
    }
}

TEST(memmove_is_right_for_every_overlap)
{
    uint8_t area[3 * LENGTH_MAX], expected[3 * LENGTH_MAX];
    const size_t source = LENGTH_MAX;

    for (size_t length = 0; length <= LENGTH_MAX; length += length < 70 ? 1 : 23)
        for (size_t target = source - length; target <= source + length; target++) {
            fill(area, sizeof(area), 4);
            fill(expected, sizeof(expected), 4);
            memmove(expected + target, expected + source, length);
            assert_ptr_equal(kernel_memmove(area + target, area + source, length), area + target);
            assert_true(memcmp(area, expected, sizeof(area)) == 0);
        }
}

TEST(memset_sets_exactly_and_nothing_beside)
{
    static const int values[] = {0, 1, 0x80, 0xff, -1, 0x1234};
    uint8_t area[AREA], expected[AREA];

    for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++)
        for (size_t length = 0; length <= LENGTH_MAX; length++)
            for (size_t target = 0; target < ALIGNMENTS; target++) {
                fill(area, sizeof(area), 5);
                fill(expected, sizeof(expected), 5);
                memset(expected + target, values[v], length);
                assert_ptr_equal(kernel_memset(area + target, values[v], length), area + target);
                assert_true(memcmp(area, expected, sizeof(area)) == 0);
            }
}

static int sign(int value)
{
    return (value > 0) - (value < 0);
}

TEST(memcmp_finds_the_first_difference)
{
    for (size_t length = 0; length <= LENGTH_MAX; length += length < 40 ? 1 : 13) {
        uint8_t *left = malloc(length + 1), *right = malloc(length + 1);
        fill(left + 1, length, 6);
        memcpy(right + 1, left + 1, length);
        assert_int_equal(kernel_memcmp(left + 1, right + 1, length), 0);
        for (size_t i = 1; i <= length; i++) {
            right[i] = (uint8_t)(left[i] + 0x80); /* signs decide: bytes are unsigned */
            right[length]++;
            assert_int_equal(sign(kernel_memcmp(left + 1, right + 1, length)),
                             sign(memcmp(left + 1, right + 1, length)));
            right[length]--;
            right[i] = left[i];
        }
        free(left);
        free(right);
    }
}
