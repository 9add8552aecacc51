/*
 * The kernel's side of the panic report: the entry for exceptions, and the choice of the action
 * after the report.
 */
#ifndef KERNEL_PANIC_H
#define KERNEL_PANIC_H

#include <machine/panic.h>

#include "kernel/trap.h"

enum panic_action { PANIC_REBOOT, PANIC_HALT, PANIC_POWEROFF };

/* Sets the action after the report: panic= of the command line. The default is reboot. */
void panic_set_action(enum panic_action action);

/* "reboot", "halt", "poweroff" */
const char *panic_action_name(enum panic_action action);

/* Reports exception `frame` (trap.S calls it) and acts. Does not return. */
_Noreturn void panic_exception(const struct trap_frame *frame);

#endif
