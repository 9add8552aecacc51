/*
 * The kernel's side of the event log: what machine/log.h leaves to main.
 */
#ifndef KERNEL_LOG_H
#define KERNEL_LOG_H

#include <machine/log.h>

/* Events above `level` are dropped from now on. Before the first call: LOG_INFO. */
void log_set_level(enum log_level level);

#endif
