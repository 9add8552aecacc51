/* The legacy transport: virtio over port I/O in BAR 0 (virtio 1.2 §4.1.4.10). */
#ifndef DRIVERS_VIRTIO_PCI_LEGACY_H
#define DRIVERS_VIRTIO_PCI_LEGACY_H

#include "drivers/virtio/virtio.h"

/*
 * Makes `device` reach the function `pci` through its legacy interface. NULL, or why it cannot: a text
 * to be shown. `pci` must live as long as `device`. Touches no register of the device.
 */
const char *virtio_pci_legacy_open(struct virtio_device *device, const struct pci_device *pci);

#endif
