/*
 * Functions that come and go while the machine runs: who is to be removed, what has come.
 *
 * Two ways lead there. QEMU's machines pc and q35 have a block of registers which their firmware
 * tables would have an operating system use; it is used behind a known host bridge only, and if it
 * gives a plausible answer. And a PCI Express root or downstream port may have a slot of its own
 * (PCI Express 3.0 §6.7). A device that is to be removed stays until it is ejected.
 *
 * Registers are looked at when asked, never otherwise: three port accesses a bus, two a slot. Not for
 * the data path.
 */
#ifndef DRIVERS_PCI_HOTPLUG_H
#define DRIVERS_PCI_HOTPLUG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drivers/pci/pci.h"

#define PCI_HOTPLUG_BUSES_MAX 64 /* of QEMU's register block, by its own numbers */
#define PCI_HOTPLUG_SLOTS_MAX 64 /* PCI Express slots */

/* One of the register block's buses. Only on the root bus of pc is it known which one it is: the
 * others are learned when one of their devices comes or goes. */
struct pci_hotplug_bus {
    bool known;
    uint8_t bus;
    uint32_t inserted; /* devices seen as inserted and not yet given out */
    uint32_t refused;  /* devices that did not go when they were ejected */
};

struct pci_hotplug_slot {
    struct pci_device port; /* the root or downstream port: a copy */
    uint8_t express;        /* offset of its capability */
    bool powered_on;        /* a device came, and is given out at the next look */
};

struct pci_hotplug {
    uint16_t block; /* the register block's first port; 0: there is none */
    unsigned bus_count;
    struct pci_hotplug_bus buses[PCI_HOTPLUG_BUSES_MAX];
    unsigned slot_count;
    struct pci_hotplug_slot slots[PCI_HOTPLUG_SLOTS_MAX];
};

enum pci_hotplug_what {
    PCI_HOTPLUG_NOTHING,
    PCI_HOTPLUG_INSERTED,      /* something has come */
    PCI_HOTPLUG_REMOVAL_ASKED, /* the host wants it ejected */
};

/* What has happened, and where. */
struct pci_hotplug_event {
    enum pci_hotplug_what what;
    uint8_t device; /* device number */
    bool bus_known;
    uint8_t bus;    /* if it is known; else any behind a bridge */
    bool is_slot;   /* a PCI Express slot, else of the register block */
    unsigned index; /* of slots[] or buses[] */
};

/* Looks what there is, in the `count` functions that the scan has found. Start-up only. */
void pci_hotplug_init(struct pci_hotplug *hotplug, const struct pci_device *functions,
                      size_t count);

/* The next event; `what` is PCI_HOTPLUG_NOTHING if there is none at the moment. A wish for removal is
 * the caller's to remember until the device is ejected. */
struct pci_hotplug_event pci_hotplug_look(struct pci_hotplug *hotplug);

/* Nobody uses the device of the event any more: lets it go. It may be gone when this returns. */
void pci_hotplug_eject(struct pci_hotplug *hotplug, const struct pci_hotplug_event *event);

/* The event was about a device on `bus`. */
void pci_hotplug_learn(struct pci_hotplug *hotplug, const struct pci_hotplug_event *event,
                       uint8_t bus);

/* The device is still there after it was ejected: it is not asked about again. */
void pci_hotplug_refuse(struct pci_hotplug *hotplug, const struct pci_hotplug_event *event);

#endif
