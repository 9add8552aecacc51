/*
 * The seam: tables that stand with their modules. The linker gathers pointers to them in a section, so
 * that nothing lists them; a table begins with its place among the others.
 */
#ifndef MACHINE_TABLE_H
#define MACHINE_TABLE_H

#include <stddef.h>

/* Puts `table`, whose first field is `unsigned place`, into `section`. Its bounds are __start_SECTION and
 * __stop_SECTION; a new section needs its lines in linker.ld. */
#define TABLE_IN(section_name, table)                                                              \
    _Static_assert(__builtin_offsetof(__typeof__(table), place) == 0, "a table begins with it");   \
    static unsigned *const table##_entry __attribute__((section(section_name), used)) =            \
        (unsigned *)&(table).place

/*
 * The table in [start, stop) that `number` others come before, in the order of their places, and of
 * linking where these are equal; those of place 0 come last. NULL behind the last one.
 */
void *table_at(unsigned *const *start, unsigned *const *stop, size_t number);

#endif
