/*
 * What newlib asks of the system below it: a heap for start-up, and nothing else.
 */
#ifndef KERNEL_SYSCALLS_H
#define KERNEL_SYSCALLS_H

#include <stddef.h>

/* Ends start-up's allocations: from now on malloc, realloc and free panic. */
void heap_seal(void);

/* Bytes of the heap in use, for the `memory` event. */
size_t heap_used(void);

#endif
