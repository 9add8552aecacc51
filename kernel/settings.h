/*
 * The kernel's side of machine/settings.h: what it leaves to main.
 */
#ifndef KERNEL_SETTINGS_H
#define KERNEL_SETTINGS_H

#include <machine/settings.h>

#include "kernel/config.h"

/* `config` is what the command line said; it stays the caller's, and is changed from now on. */
void settings_init(struct config *config);

#endif
