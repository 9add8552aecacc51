/*
 * A function's way to interrupt the core: by message (MSI-X) where it has that, else by its line.
 */
#ifndef DRIVERS_PCI_INTERRUPT_H
#define DRIVERS_PCI_INTERRUPT_H

#include <machine/interrupt.h>

#include "drivers/pci/pci.h"

enum pci_interrupt {
    PCI_INTERRUPT_NONE,
    PCI_INTERRUPT_BY_LINE,   /* INTx: whoever is woken must have the device release it */
    PCI_INTERRUPT_BY_MESSAGE /* entry 0 of the MSI-X table is set up; MSI-X is on */
};

/*
 * Opens the best way that works for a function that is enabled (pci_enable). MSI-X is on afterwards
 * only if it is the one. `message` is the owner's and zero at first: whoever opens another function in
 * the place of one that has gone keeps it, as there are not many. Not for the data path.
 */
enum pci_interrupt pci_interrupt_open(const struct pci_device *device,
                                      struct interrupt_message *message);

/* "message", "line", "none". */
const char *pci_interrupt_name(enum pci_interrupt interrupt);

#endif
