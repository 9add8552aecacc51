/*
 * The four functions that the compiler calls on its own account, for packets and small structures.
 *
 * newlib's store past the caches from 256 bytes on, which throws every copied frame out of them.
 * Short blocks are copied by unaligned moves of 8 bytes, and by a last one that overlaps what is
 * already done; a hypervisor that emulates the guest runs long ones faster by `rep movsq`, which
 * QEMU without KVM counts as one instruction for 8 bytes.
 *
 * The Makefile keeps the compiler from recognising memcpy in memcpy's loop and calling it.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define REP_MIN 256 /* bytes from which on the start of a rep instruction pays */

/* 8 bytes at any address, of an object of any type. */
typedef uint64_t word __attribute__((aligned(1), may_alias));

#define WORD sizeof(word)

/* Up to 16 bytes, all of them loaded before the first is stored: right for every overlap. */
static inline void copy_short(unsigned char *to, const unsigned char *from, size_t length)
{
    if (length >= WORD) {
        word first = *(const word *)from;
        word last = *(const word *)(from + length - WORD);
        *(word *)to = first;
        *(word *)(to + length - WORD) = last;
        return;
    }
    unsigned char bytes[WORD];
    for (size_t i = 0; i < length; i++)
        bytes[i] = from[i];
    for (size_t i = 0; i < length; i++)
        to[i] = bytes[i];
}

/* Upwards; also right when `to` is below `from`. More than 8 bytes. */
static void copy_up(unsigned char *to, const unsigned char *from, size_t length)
{
    /* Loaded now: with an overlap the loop may have written over it by the time it is needed. */
    const word last = *(const word *)(from + length - WORD);
    unsigned char *const last_to = to + length - WORD;

    if (length >= REP_MIN) {
        size_t words = length / WORD;
        __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
    } else {
#pragma GCC unroll 4
        for (; to < last_to; to += WORD, from += WORD)
            *(word *)to = *(const word *)from;
    }
    *(word *)last_to = last;
}

/* Downwards, for `to` above `from`. More than 8 bytes. */
static void copy_down(unsigned char *to, const unsigned char *from, size_t length)
{
    const word first = *(const word *)from;

#pragma GCC unroll 4
    for (size_t i = length; i > WORD; i -= WORD)
        *(word *)(to + i - WORD) = *(const word *)(from + i - WORD);
    *(word *)to = first;
}

void *memcpy(void *restrict to, const void *restrict from, size_t length)
{
    if (length <= 2 * WORD)
        copy_short(to, from, length);
    else
        copy_up(to, from, length);
    return to;
}

void *memmove(void *to, const void *from, size_t length)
{
    if (length <= 2 * WORD)
        copy_short(to, from, length);
    else if ((uintptr_t)to - (uintptr_t)from >= length) /* wraps to something large if below */
        copy_up(to, from, length);
    else
        copy_down(to, from, length);
    return to;
}

void *memset(void *to, int value, size_t length)
{
    unsigned char *bytes = to;
    const word pattern = (unsigned char)value * 0x0101010101010101ULL;

    if (length < WORD) {
        for (size_t i = 0; i < length; i++)
            bytes[i] = (unsigned char)value;
        return to;
    }
    unsigned char *const last = bytes + length - WORD;
    if (length >= REP_MIN) {
        size_t words = length / WORD;
        __asm__ volatile("rep stosq" : "+D"(bytes), "+c"(words) : "a"(pattern) : "memory");
    } else {
#pragma GCC unroll 4
        for (; bytes < last; bytes += WORD)
            *(word *)bytes = pattern;
    }
    *(word *)last = pattern;
    return to;
}

int memcmp(const void *left, const void *right, size_t length)
{
    const unsigned char *a = left;
    const unsigned char *b = right;
    size_t i = 0;

    while (i + WORD <= length && *(const word *)(a + i) == *(const word *)(b + i))
        i += WORD;
    for (; i < length; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return 0;
}
