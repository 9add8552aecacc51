/*
 * The structures that a virtio PCI function offers by vendor capabilities (virtio 1.2 §4.1.4): found,
 * checked, and reached through device memory, ports, or, where the BAR has no usable address, the
 * window in configuration space (§4.1.4.9). Not for the data path, but for what a doorbell is made of.
 */
#ifndef DRIVERS_VIRTIO_PCI_REGION_H
#define DRIVERS_VIRTIO_PCI_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/pci/pci.h"

/* How a structure is reached. */
enum virtio_pci_way { VIRTIO_PCI_MEMORY, VIRTIO_PCI_PORTS, VIRTIO_PCI_WINDOW };

struct virtio_pci_region {
    const struct pci_device *pci;
    enum virtio_pci_way way;
    volatile uint8_t *memory; /* MEMORY: its first byte, mapped */
    uint16_t port;            /* PORTS: its first port */
    uint8_t window;           /* WINDOW: the PCI-access capability */
    uint8_t capability;       /* where it is described in configuration space */
    uint8_t bar;
    uint32_t offset; /* in the BAR */
    uint32_t length; /* bytes that may be touched; 0: there is no such structure */
};

/*
 * Finds the first structure of `cfg_type` (VIRTIO_PCI_CAP_…_CFG, but not PCI_CFG) that can be used,
 * in the order of the list (§4.1.4.1), and maps it. False if there is none. One that is there and
 * makes no sense is told by a `warn` with the value that is wrong. `pci` must outlive the region.
 */
bool virtio_pci_region_find(struct virtio_pci_region *region, const struct pci_device *pci,
                            uint8_t cfg_type);

/* Reads or writes `width` (1, 2 or 4) bytes at `offset`, a multiple of the width within the region. */
uint32_t virtio_pci_region_read(const struct virtio_pci_region *region, uint32_t offset,
                                unsigned width);
void virtio_pci_region_write(const struct virtio_pci_region *region, uint32_t offset,
                             unsigned width, uint32_t value);

#endif
