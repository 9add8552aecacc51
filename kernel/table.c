/* Tables in order. There are few, and they are walked rarely: nothing is sorted, nothing is kept. */
#include <machine/table.h>

#include <stdbool.h>

static bool comes_before(unsigned *const *one, unsigned *const *other)
{
    const unsigned one_place = **one - 1, other_place = **other - 1; /* 0 becomes the last */

    return one_place != other_place ? one_place < other_place : one < other;
}

void *table_at(unsigned *const *start, unsigned *const *stop, size_t number)
{
    for (unsigned *const *table = start; table < stop; table++) {
        size_t before = 0;
        for (unsigned *const *other = start; other < stop; other++)
            before += comes_before(other, table);
        if (before == number)
            return *table;
    }
    return NULL;
}
