/*
 * The kernel's side of interrupts (machine/interrupt.h has the rest): which vector is whose.
 */
#ifndef KERNEL_INTERRUPT_H
#define KERNEL_INTERRUPT_H

#include <machine/interrupt.h>

#include "kernel/trap_vectors.h"

/* The 8259s' sixteen, the timer, devices' messages, and the spurious one, which must end in 0xf. */
#define INTERRUPT_VECTOR_LINES TRAP_VECTORS
#define INTERRUPT_VECTOR_TIMER (INTERRUPT_VECTOR_LINES + 16)
#define INTERRUPT_VECTOR_MESSAGES (INTERRUPT_VECTOR_TIMER + 1)
#define INTERRUPT_VECTOR_SPURIOUS (TRAP_VECTORS + TRAP_INTERRUPTS - 1)

/*
 * Sets up the 8259s and the local APIC; interrupts stay disabled. Without a usable APIC there is a
 * `warn`, and interrupt_can_wait is false. Call after paging_init.
 */
void interrupt_init(void);

/* Lets line `line` of the 8259s wake the core as INTERRUPT_CONSOLE, if there is such a line. */
void interrupt_open_console(unsigned line);

/* The handler: interrupt `vector` has come. Only trap.S calls it. */
void interrupt_taken(uint64_t vector);

#endif
