/*
 * The watchdog of Intel's 6300ESB, which QEMU and libvirt offer to PCI machines.
 */
#ifndef DRIVERS_I6300ESB_H
#define DRIVERS_I6300ESB_H

#include <stdbool.h>

#include "drivers/pci/pci.h"
#include "net/watchdog.h"

#define I6300ESB_SECONDS_MAX 1800

bool i6300esb_matches(const struct pci_device *pci);

/*
 * Lets it act `seconds` (1 to I6300ESB_SECONDS_MAX) after it was last fed, by whatever the host has
 * chosen. The watchdog is for the loop to feed, and exists once. NULL after a `warn`: it cannot be
 * used. Start-up only.
 */
struct watchdog *i6300esb_start(const struct pci_device *pci, unsigned seconds);

/* Starts the first one among `functions` by the word watchdog=. NULL: there is none, or it is left
 * alone, or cannot be used. */
struct watchdog *i6300esb_find(const struct pci_device *functions, size_t count);

#endif
