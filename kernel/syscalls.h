/* The system below newlib: a heap for start-up, and nothing else. */
#ifndef KERNEL_SYSCALLS_H
#define KERNEL_SYSCALLS_H

/* Ends start-up's allocations: from now on malloc, realloc and free panic. */
void heap_seal(void);

#endif
