/* Functions to ports, at the start and while the machine runs. */
#include "drivers/probe.h"

#include <malloc.h>

#include <machine/log.h>
#include <machine/memory.h>
#include <machine/panic.h>

#include "drivers/pci/pci_assign.h"
#include "net/port_options.h"

/* ---- at the start ---- */

static bool has_room(const struct ports *ports, const struct pci_device *pci)
{
    if (ports->topology->port_count < PORTS_MAX)
        return true;
    log_event(LOG_WARN, "warn", "pci=%s reason=too-many-ports accepted=\"up to %u\"",
              pci_address(pci).text, PORTS_MAX);
    return false;
}

static void warn_of_card(const struct pci_device *pci)
{
    log_event(LOG_WARN, "warn",
              "pci=%s vendor=0x%04x device=0x%04x reason=\"not virtio: use model virtio\" "
              "remedy=\"QEMU: -device virtio-net-pci\"",
              pci_address(pci).text, pci->vendor, pci->device_id);
}

static void add_port(struct ports *ports, const struct pci_device *pci)
{
    const unsigned id = ports->topology->port_count;

    if (!has_room(ports, pci))
        return;
    ports->of_port[id] = pci;
    ports->topology->ports[id] = virtio_net_probe(pci, id, virtio_net_options());
    ports->topology->port_count++;
}

static void keep_spares(struct ports *ports)
{
    ports->spare_count = PORTS_MAX - ports->topology->port_count;
    ports->spares = memalign(CACHE_LINE, (ports->spare_count + 1) * sizeof(*ports->spares));
    ensure(ports->spares != NULL);
}

void ports_find(struct ports *ports, struct topology *topology)
{
    ports->topology = topology;
    ports->function_count = pci_scan(ports->functions, PORTS_FUNCTIONS_MAX);
    for (size_t i = 0; i < ports->function_count; i++) {
        const struct pci_device *pci = &ports->functions[i];
        if (virtio_net_matches(pci))
            add_port(ports, pci);
        else if (pci_is_network(pci))
            warn_of_card(pci);
    }
    keep_spares(ports);
    pci_hotplug_init(&ports->hotplug, ports->functions, ports->function_count);
}

/* ---- a device goes ---- */

/* True if the event may be about that function. */
static bool concerns(const struct pci_hotplug_event *event, const struct pci_device *pci)
{
    if (pci->device != event->device || pci->vendor == PCI_VENDOR_ID_NONE)
        return false;
    return !event->bus_known || pci->bus == event->bus;
}

static struct port *port_of(const struct ports *ports, const struct pci_device *pci)
{
    for (unsigned i = 0; i < ports->topology->port_count; i++)
        if (ports->of_port[i] == pci)
            return ports->topology->ports[i];
    return NULL;
}

/* True if the device that `pci` describes is there, and is the one that we know: another one may have
 * been put into its place the moment it was gone. */
static bool is_same(const struct ports *ports, const struct pci_device *pci)
{
    const struct port *port = port_of(ports, pci);
    const bool was_enabled = port != NULL && port->state != PORT_GONE;

    return was_enabled ? pci_is_enabled(pci) : pci_is_present(pci);
}

/* Where the bus is not known all devices of that number stop for the moment: the one that is ejected
 * must not be in use, and the others lose nothing by it. */
static void begin_removal(struct ports *ports, const struct pci_hotplug_event *event)
{
    ports->removal = *event;
    for (unsigned i = 0; i < ports->topology->port_count; i++)
        if (concerns(event, ports->of_port[i]))
            virtio_net_halt(ports->topology->ports[i]);
}

static void forget(struct ports *ports, struct pci_device *pci, const char *reason)
{
    struct port *port = port_of(ports, pci);

    if (port != NULL && virtio_net_matches(pci)) /* else a card of another kind stood in its slot */
        virtio_net_remove(port, reason);
    pci->vendor = PCI_VENDOR_ID_NONE;
}

/* What was in the tx rings has had a look's time to leave. */
static void end_removal(struct ports *ports)
{
    struct pci_hotplug_event *event = &ports->removal;
    bool gone = false;

    pci_hotplug_eject(&ports->hotplug, event);
    for (size_t i = 0; i < ports->function_count; i++) {
        struct pci_device *pci = &ports->functions[i];
        struct port *port = port_of(ports, pci);
        if (!concerns(event, pci))
            continue;
        if (!is_same(ports, pci)) { /* what is there by now is told of as inserted */
            pci_hotplug_learn(&ports->hotplug, event, pci->bus);
            forget(ports, pci, "ejected");
            gone = true;
        } else if (port != NULL) {
            virtio_net_resume(port);
        }
    }
    if (!gone)
        pci_hotplug_refuse(&ports->hotplug, event);
    event->what = PCI_HOTPLUG_NOTHING;
}

/* ---- a device comes ---- */

static struct pci_device *find_entry(struct ports *ports, const struct pci_device *address)
{
    for (size_t i = 0; i < ports->function_count; i++) {
        struct pci_device *known = &ports->functions[i];
        if (known->bus == address->bus && known->device == address->device &&
            known->function == address->function)
            return known;
    }
    return NULL;
}

/* Where a function that was found is kept: in the place of the one that was there before. */
static struct pci_device *keep(struct ports *ports, struct pci_device *entry,
                               const struct pci_device *found)
{
    if (entry == NULL && ports->function_count < PORTS_FUNCTIONS_MAX)
        entry = &ports->functions[ports->function_count++];
    if (entry != NULL)
        *entry = *found;
    else
        log_event(LOG_WARN, "warn", "pci=%s reason=too-many-functions accepted=\"up to %u\"",
                  pci_address(found).text, PORTS_FUNCTIONS_MAX);
    return entry;
}

/* A refilled slot gets its old port, another one the next number. Nothing is being opened if there is
 * no room. */
static void begin_hotplug(struct ports *ports, const struct pci_device *pci)
{
    const unsigned id = ports->topology->port_count;

    ports->opening = port_of(ports, pci);
    if (ports->opening != NULL) {
        virtio_net_replace(ports->opening, pci);
    } else if (has_room(ports, pci)) {
        ports->of_port[id] = pci;
        ports->opening = virtio_net_probe_begin(&ports->spares[--ports->spare_count], pci, id,
                                                virtio_net_options());
    }
}

/* The device has been reset, or has failed. True if there is a port now. */
static bool end_hotplug(struct ports *ports)
{
    struct topology *topology = ports->topology;
    struct port *port = ports->opening;
    const bool is_new = port->id == topology->port_count;

    ports->opening = NULL;
    if (is_new) {
        topology->ports[port->id] = port;
        port_options_apply(port);
    } else if (port->state != PORT_STARTING) {
        return false; /* as it was before */
    }
    return topology_hotplug(topology, port->id, memory_available());
}

/* As far as it goes without waiting. True if there are other ports. */
static bool step_hotplug(struct ports *ports)
{
    bool changed = false;

    while (ports->opening != NULL || ports->coming_next < ports->coming_count) {
        if (ports->opening == NULL)
            begin_hotplug(ports, ports->coming[ports->coming_next++]);
        if (ports->opening == NULL)
            continue;
        if (!virtio_net_probe_step(ports->opening))
            return changed;
        changed |= end_hotplug(ports);
    }
    ports->coming_count = ports->coming_next = 0;
    return changed;
}

/* A function was found where none was, or another one: `pci` is its entry, NULL if there is none yet. */
static void welcome(struct ports *ports, struct pci_device *pci, const struct pci_device *found)
{
    pci = keep(ports, pci, found);
    if (pci == NULL)
        return;
    pci_assign_bars(pci, ports->functions, ports->function_count);
    if (virtio_net_matches(pci))
        ports->coming[ports->coming_count++] = pci;
    else if (pci_is_network(pci))
        warn_of_card(pci);
}

/* Whether there is a new port at `address`. Something that was there before is no news. */
static void look_at_function(struct ports *ports, const struct pci_hotplug_event *event,
                             struct pci_device address)
{
    struct pci_device *pci = find_entry(ports, &address);

    if (pci != NULL && pci->vendor != PCI_VENDOR_ID_NONE) {
        if (is_same(ports, pci))
            return;
        forget(ports, pci, "vanished"); /* and nobody has told */
    }
    if (!pci_read_function(&address))
        return;
    pci_hotplug_learn(&ports->hotplug, event, address.bus);
    welcome(ports, pci, &address);
}

/* Unasked: the device of a port that is being reset, or was given up, may simply not be there any more,
 * or be another one by now. */
static void look_for_vanished(struct ports *ports)
{
    for (unsigned i = 0; i < ports->topology->port_count; i++) {
        const struct port *port = ports->topology->ports[i];
        struct pci_device *pci = &ports->functions[ports->of_port[i] - ports->functions];
        struct pci_device found = *pci;
        if (port->state != PORT_RESETTING || is_same(ports, pci))
            continue;
        forget(ports, pci, "vanished");
        if (pci_read_function(&found))
            welcome(ports, pci, &found);
    }
}

static void look_at_slot(struct ports *ports, const struct pci_hotplug_event *event, uint8_t bus)
{
    for (uint8_t i = 0; i < PCI_FUNCTIONS_PER_DEVICE; i++) {
        struct pci_device address = {.bus = bus, .device = event->device, .function = i};
        look_at_function(ports, event, address);
    }
}

/* Where the bus is not known, it is behind one of the bridges. */
static void look_for_new(struct ports *ports, const struct pci_hotplug_event *event)
{
    if (event->bus_known)
        look_at_slot(ports, event, event->bus);
    for (size_t i = 0; i < ports->function_count && !event->bus_known; i++) {
        const struct pci_device *bridge = &ports->functions[i];
        if (bridge->vendor != PCI_VENDOR_ID_NONE && bridge->header_type == PCI_HEADER_TYPE_BRIDGE &&
            bridge->secondary_bus != 0)
            look_at_slot(ports, event, bridge->secondary_bus);
    }
}

bool ports_look(struct ports *ports)
{
    look_for_vanished(ports);
    if (ports->opening != NULL)
        return step_hotplug(ports);
    if (ports->removal.what != PCI_HOTPLUG_NOTHING) {
        end_removal(ports);
        return false;
    }
    const struct pci_hotplug_event event = pci_hotplug_look(&ports->hotplug);
    if (event.what == PCI_HOTPLUG_REMOVAL_ASKED)
        begin_removal(ports, &event);
    if (event.what == PCI_HOTPLUG_INSERTED)
        look_for_new(ports, &event);
    return step_hotplug(ports);
}
