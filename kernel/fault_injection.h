/*
 * Debug word fault=NAME: breaks one rule on purpose, to show that the panic report works.
 */
#ifndef KERNEL_FAULT_INJECTION_H
#define KERNEL_FAULT_INJECTION_H

/* Commits the fault that the word names, each in a function fault_NAME of its own. Returns if there is
 * none. */
void fault_inject(void);

#endif
