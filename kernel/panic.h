/*
 * The kernel's side of the panic report: the entry for exceptions.
 */
#ifndef KERNEL_PANIC_H
#define KERNEL_PANIC_H

#include <machine/panic.h>

#include "kernel/trap.h"

/* Reports exception `frame` (trap.S calls it) and acts. Does not return. */
_Noreturn void panic_exception(const struct trap_frame *frame);

#endif
