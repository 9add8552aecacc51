/*
 * PCI functions, found by walking configuration space through ports 0xCF8/0xCFC.
 *
 * All of it is for start-up, not for the data path: each access is two exits to the hypervisor.
 * Only the first 256 bytes of configuration space can be reached this way; virtio needs no more.
 */
#ifndef DRIVERS_PCI_H
#define DRIVERS_PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <machine/log.h>

#include "drivers/pci/pci_spec.h"

/* A base address register. An absent one, or one that makes no sense, has size 0 and base 0. */
struct pci_bar {
    uint64_t base; /* port number or physical address; 0: the firmware gave it no address */
    uint64_t size; /* bytes, a power of two */
    bool is_io;
    bool is_64bit; /* takes two registers: the next entry of bars[] is absent */
    bool prefetchable;
};

struct pci_capability {
    uint8_t id;
    uint8_t offset; /* in configuration space, a multiple of 4, at least 0x40 */
};

/* One function. A copy, checked when it was read; nothing in it changes after the scan. */
struct pci_device {
    uint8_t bus;
    uint8_t device;
    uint8_t function;
    uint8_t header_type; /* without the multi-function bit */
    uint16_t vendor;
    uint16_t device_id;
    uint16_t subsystem_vendor; /* both 0 for a bridge: its header has no such registers */
    uint16_t subsystem_id;
    uint32_t class_code; /* 24 bits: base class, sub-class, programming interface */
    uint8_t revision;
    uint8_t interrupt_line;
    uint8_t secondary_bus; /* PCI-PCI bridges only, else 0 */
    uint8_t capability_count;
    struct pci_bar bars[PCI_BARS_DEVICE];
    struct pci_capability capabilities[PCI_CAPABILITIES_MAX]; /* in the order of the list */
};

/*
 * Finds every function on every bus that bridges lead to, and fills `devices` (room for `max`) in
 * the order of bus, device, function. Returns how many were filled in; functions that found no room
 * are counted in a `warn`. A machine without configuration mechanism #1 gives 0. Each function is
 * told by a `pci` event at log=debug; a bridge that leads nowhere by a `warn`.
 *
 * To learn the sizes of BARs it switches a function's address decoding off and on again: no device
 * may be in use yet.
 */
size_t pci_scan(struct pci_device *devices, size_t max);

/*
 * Reads the function at device->bus, device and function into the rest of `device`, as the scan does.
 * False, and vendor is PCI_VENDOR_ID_NONE, if there is none. While it runs the function answers no
 * address: it must not be in use.
 */
bool pci_read_function(struct pci_device *device);

/* True if the function that `device` describes is still there. Two port accesses. */
bool pci_is_present(const struct pci_device *device);

/* True if it is there, and pci_enable was called for it: a card that was put into its place since then
 * has come out of a reset, and its command register is clear. */
bool pci_is_enabled(const struct pci_device *device);

/*
 * Lets the function answer I/O and memory accesses and read and write RAM, and keeps it from
 * raising INTx (which pci_interrupt_open lets it again). False if it didn't take the bus master
 * bit: it is gone, or no bus master.
 */
bool pci_enable(const struct pci_device *device);

/*
 * The offset of the capability with `id` that comes next in the list after the one at offset
 * `after` (0: from the start of the list), or 0 if there is none. Touches no port.
 */
uint8_t pci_find_capability(const struct pci_device *device, uint8_t id, uint8_t after);

/* True if MSI-X is switched on at this moment (it moves virtio's legacy device configuration). */
bool pci_msix_enabled(const struct pci_device *device);

/* True for every network card, virtio or not. */
bool pci_is_network(const struct pci_device *device);

/* Configuration space at `offset`, which must be a multiple of the width. */
uint8_t pci_read8(const struct pci_device *device, uint8_t offset);
uint16_t pci_read16(const struct pci_device *device, uint8_t offset);
uint32_t pci_read32(const struct pci_device *device, uint8_t offset);
void pci_write8(const struct pci_device *device, uint8_t offset, uint8_t value);
void pci_write16(const struct pci_device *device, uint8_t offset, uint16_t value);
void pci_write32(const struct pci_device *device, uint8_t offset, uint32_t value);

/* Queues the `pci` event of the function, at `level`. Touches no port. */
void pci_report(const struct pci_device *device, enum log_level level);

/* "BB:DD.F" in hexadecimal. By value, so that it may stand in an argument list: `.text`. */
struct pci_address {
    char text[8];
};

struct pci_address pci_address(const struct pci_device *device);

#endif
