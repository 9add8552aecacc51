/*
 * Addresses for a function that came when the firmware had long finished: its BARs hold none.
 *
 * Not for the data path. The function must not be in use.
 */
#ifndef DRIVERS_PCI_ASSIGN_H
#define DRIVERS_PCI_ASSIGN_H

#include <stddef.h>

#include "drivers/pci/pci.h"

/*
 * Gives every BAR of `device` that has no address one out of the window of its bridge (on bus 0: out
 * of the ranges of QEMU's pc and q35), where none of the `count` known `functions` has a BAR or a
 * bridge a window, and opens the bridge. What found no room is left at 0, after a `warn` that names
 * it.
 */
void pci_assign_bars(struct pci_device *device, const struct pci_device *functions, size_t count);

#endif
