/*
 * Debug word fault=NAME: breaks one rule on purpose, to show that the panic report works.
 */
#ifndef KERNEL_FAULT_INJECTION_H
#define KERNEL_FAULT_INJECTION_H

#include <stdbool.h>

/* True if `name` is one of fault_list's. */
bool fault_known(const char *name);

/* The names as the command line's messages show them: "text|null|stack|…". */
const char *fault_list(void);

/* Commits fault `name`, each in a function fault_NAME of its own. Returns only if unknown. */
void fault_inject(const char *name);

#endif
