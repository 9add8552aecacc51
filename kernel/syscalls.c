/*
 * newlib's system below: sbrk on a fixed heap for start-up. There are no files and no processes.
 */
#include "kernel/syscalls.h"

#include <errno.h>
#include <reent.h>
#include <stdbool.h>
#include <stddef.h>

#include <machine/panic.h>

/* Twice the need of PORTS_MAX ports; rings and packets come from memory_alloc. With more the image would not
 * fit into 2 MiB, and could not say there that it needs 4. */
#define HEAP_SIZE (160 * 1024)

static char heap[HEAP_SIZE] __attribute__((aligned(16)));
static size_t heap_end; /* the heap is in use up to this offset */
static bool heap_sealed;

/* errno and what else newlib keeps for each thread. One core, so there is one. */
static struct _reent reent; /* all zero: no streams, and the "C" locale */

void *sbrk(ptrdiff_t increment);
struct _reent *__getreent(void);
void __malloc_lock(struct _reent *caller);
void __malloc_unlock(struct _reent *caller);

void heap_seal(void)
{
    heap_sealed = true;
}

void *sbrk(ptrdiff_t increment)
{
    bool fits =
        increment >= 0 ? (size_t)increment <= HEAP_SIZE - heap_end : (size_t)-increment <= heap_end;
    if (!fits) {
        errno = ENOMEM;
        return (void *)-1;
    }
    void *before = heap + heap_end;
    heap_end += (size_t)increment;
    return before;
}

struct _reent *__getreent(void)
{
    return &reent;
}

/* Every function of malloc's family starts here, which makes it the place to catch a late one. */
void __malloc_lock(struct _reent *caller)
{
    (void)caller;
    if (heap_sealed)
        panic("malloc, realloc or free after start-up");
}

void __malloc_unlock(struct _reent *caller)
{
    (void)caller;
}
