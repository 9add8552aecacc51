/*
 * The kernel's own symbol table, for backtraces that name functions.
 *
 * tools/symbols writes it out of the first link's symbols; the second link carries it. In the
 * first link, and nowhere else, the table is empty. The tables are at the end of .rodata and
 * constant.
 */
#ifndef KERNEL_SYMBOLS_H
#define KERNEL_SYMBOLS_H

#include <stdint.h>

/* The image is below 4 GiB (linker.ld), so 32 bits hold every address. */
struct symbol {
    uint32_t address;     /* of a function's first byte */
    uint32_t name_offset; /* of its NUL-terminated name in symbol_names[] */
};

_Static_assert(sizeof(struct symbol) == 8, "tools/symbols writes entries of 8 bytes");

extern const struct symbol symbol_table[]; /* sorted by address, no address twice */
extern const uint32_t symbol_count;
extern const char symbol_names[];

#endif
