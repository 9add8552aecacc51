/* Inside drivers/pci*.c: what the walk knows of reading a function. Everybody else uses pci.h. */
#ifndef DRIVERS_PCI_INTERNAL_H
#define DRIVERS_PCI_INTERNAL_H

#include "drivers/pci/pci.h"

/* Reads all of a function but its address, which is set already. Makes a BAR hold ones for a moment, so
 * the function must not be in use. */
void pci_read_registers(struct pci_device *device);

/* One finding about one function: `what` is the register, `value` what it held. */
void pci_warn(const struct pci_device *device, const char *what, unsigned value,
              const char *reason);

#endif
