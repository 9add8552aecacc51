/*
 * The ACPI power button, polled. QMP `system_powerdown` or `virsh shutdown` press a virtual
 * machine's.
 */
#ifndef KERNEL_BUTTON_H
#define KERNEL_BUTTON_H

#include <stdbool.h>

/*
 * Makes the button show where acpi_power() says that there is one. The machine must be in ACPI's
 * hands already and paging_init be through.
 */
void button_init(void);

/* True if it was pressed since the last call. One register read for each PM1 block or selector. */
bool button_pressed(void);

#endif
