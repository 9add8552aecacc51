/*
 * The four functions that the compiler calls on its own account, for packets and small structures.
 *
 * Why not newlib's: from 256 bytes on they store past the caches, which throws every copied frame
 * out of them. Why not `rep movsb`: QEMU without KVM counts each byte as an instruction. So: plain
 * unaligned 16-byte moves, and at the end one that overlaps what is already done.
 *
 * The Makefile keeps the compiler from recognising memcpy in memcpy's loop and calling it.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* 8 and 16 bytes at any address, whatever type of object lies there. */
typedef uint64_t word __attribute__((aligned(1), may_alias));
typedef long long block __attribute__((vector_size(16), aligned(1), may_alias));

#define WORD sizeof(word)
#define BLOCK sizeof(block)

static inline void copy_block(unsigned char *to, const unsigned char *from)
{
    *(block *)to = *(const block *)from;
}

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

/* Upwards; also right when `to` lies below `from`. More than 16 bytes. */
static void copy_up(unsigned char *to, const unsigned char *from, size_t length)
{
    /* Loaded now: with an overlap the loop may have written over it by the time it is needed. */
    block last = *(const block *)(from + length - BLOCK);
    size_t i = 0;

    for (; i + BLOCK < length; i += BLOCK)
        copy_block(to + i, from + i);
    *(block *)(to + length - BLOCK) = last;
}

/* Downwards, for `to` above `from`. More than 16 bytes. */
static void copy_down(unsigned char *to, const unsigned char *from, size_t length)
{
    block first = *(const block *)from;

    for (size_t i = length; i > BLOCK; i -= BLOCK)
        copy_block(to + i - BLOCK, from + i - BLOCK);
    *(block *)to = first;
}

void *memcpy(void *restrict to, const void *restrict from, size_t length)
{
    if (length <= BLOCK)
        copy_short(to, from, length);
    else
        copy_up(to, from, length);
    return to;
}

void *memmove(void *to, const void *from, size_t length)
{
    if (length <= BLOCK)
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
    if (length >= BLOCK) {
        const block wide = {(long long)pattern, (long long)pattern};
        for (size_t i = 0; i + BLOCK < length; i += BLOCK)
            *(block *)(bytes + i) = wide;
        *(block *)(bytes + length - BLOCK) = wide;
        return to;
    }
    *(word *)bytes = pattern;
    *(word *)(bytes + length - WORD) = pattern;
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
