/* The legacy transport: virtio over port I/O in BAR 0 (virtio 1.2 §4.1.4.10). */
#ifndef DRIVERS_VIRTIO_PCI_LEGACY_H
#define DRIVERS_VIRTIO_PCI_LEGACY_H

#include <stdbool.h>

#include "drivers/virtio.h"

/*
 * Makes `device` reach the function `pci` through its legacy interface. False if it has none: not
 * a transitional device, or no I/O BAR that is large enough and has an address. `pci` must live
 * as long as `device` and be enabled (pci_enable). Touches no register of the device.
 */
bool virtio_pci_legacy_open(struct virtio_device *device, const struct pci_device *pci);

#endif
