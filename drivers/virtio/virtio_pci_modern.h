/* The modern transport: virtio over the structures of vendor capabilities (virtio 1.2 §4.1). */
#ifndef DRIVERS_VIRTIO_PCI_MODERN_H
#define DRIVERS_VIRTIO_PCI_MODERN_H

#include "drivers/virtio/virtio.h"

/*
 * Makes `device` reach the function `pci` through its modern interface, and maps what that needs.
 * NULL, or why it cannot: a text to be shown; what was wrong with which capability has been told by a
 * `warn` then. `pci` must live as long as `device`. Touches no register of the device.
 */
const char *virtio_pci_modern_open(struct virtio_device *device, const struct pci_device *pci);

#endif
