/*
 * Which functions on PCI are ports, at the start and later: devices may come and go while the machine
 * runs. A port keeps its number for ever; a device in the slot of one that went takes its place.
 */
#ifndef DRIVERS_PROBE_H
#define DRIVERS_PROBE_H

#include <stdbool.h>
#include <stddef.h>

#include "drivers/pci/pci.h"
#include "drivers/pci/pci_hotplug.h"
#include "drivers/virtio/virtio_net.h"
#include "net/topology.h"
#include "net/port.h"

#define PORTS_FUNCTIONS_MAX 256

struct ports {
    struct topology *topology; /* the caller's: where ports are put in */
    struct virtio_net *spares; /* for ports that come later, as nothing comes from the heap then */
    unsigned spare_count;
    size_t function_count;
    struct pci_device functions[PORTS_FUNCTIONS_MAX];
    const struct pci_device *of_port[PORTS_MAX]; /* one of functions[], by port number */
    struct pci_hotplug hotplug;
    struct pci_hotplug_event removal; /* that is under way; else it is about nothing */
    const struct pci_device *coming[PORTS_FUNCTIONS_MAX]; /* to become ports, one by one */
    unsigned coming_count, coming_next;
    struct port *opening; /* the one that is being reset; NULL: none */
};

/*
 * Makes a port of every function that can be one, in PCI order; a card that is no virtio card gets a
 * `warn`. All get their numbers before any is started, so that one that fails moves no other.
 * Start-up only.
 */
void ports_find(struct ports *ports, struct topology *topology);

/*
 * Looks for devices that have come, are to go or have gone, and does what is to be done; true if the
 * topology has other ports or lanes now. Between two rounds, every now and then. Never waits: a device
 * whose reset takes its time is looked at again the next time, and what else happens waits for it.
 */
bool ports_look(struct ports *ports);

#endif
