/* What is wanted of a port, and what is told of it. */
#include "net/port.h"

#include <stdio.h>
#include <string.h>

#include <machine/log.h>
#include <machine/panic.h>

#define GROUP_ADDRESS 0x01 /* a bit of an address's first byte */

bool port_mac_is_station(const struct mac_address *mac)
{
    static const struct mac_address zero;

    return !(mac->bytes[0] & GROUP_ADDRESS) && memcmp(mac, &zero, sizeof(zero)) != 0;
}

void port_want_filter(struct port *port, bool promisc, bool allmulti)
{
    port->wanted.filter = true;
    port->wanted.promisc = promisc;
    port->wanted.allmulti = allmulti;
    port->wanted.changed |= PORT_WANT_FILTER;
}

void port_want_mac(struct port *port, struct mac_address mac)
{
    ensure(port_mac_is_station(&mac));
    port->wanted.mac = mac;
    port->wanted.changed |= PORT_WANT_MAC;
}

static bool refuse_more(const struct port *port, const char *command)
{
    log_event(LOG_WARN, "warn", "port=%u reason=filter-full command=%s accepted=%u", port->id,
              command, PORT_FILTER_MAX);
    return false;
}

bool port_want_address(struct port *port, struct mac_address mac)
{
    struct port_addresses *const list =
        mac.bytes[0] & GROUP_ADDRESS ? &port->wanted.groups : &port->wanted.stations;

    if (list->count == PORT_FILTER_MAX)
        return refuse_more(port, "mac-table");
    list->macs[list->count++] = mac;
    port->wanted.changed |= PORT_WANT_ADDRESSES;
    return true;
}

bool port_want_vlan(struct port *port, uint16_t id)
{
    ensure(id <= PORT_VLAN_MAX);
    if (port->wanted.vlan_count == PORT_FILTER_MAX)
        return refuse_more(port, "vlan");
    port->wanted.vlans[port->wanted.vlan_count++] = id;
    port->wanted.changed |= PORT_WANT_VLANS;
    return true;
}

bool port_want_reset(struct port *port)
{
    if (!port->can_reset)
        return false;
    port->wanted.changed |= PORT_WANT_RESET;
    return true;
}

struct port_text port_mac_text(const struct mac_address *mac)
{
    const uint8_t *const bytes = mac->bytes;
    struct port_text text;

    snprintf(text.text, sizeof(text.text), "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1],
             bytes[2], bytes[3], bytes[4], bytes[5]);
    return text;
}

struct port_text port_speed_text(uint32_t speed)
{
    struct port_text text = {"unknown"};

    if (speed != 0)
        snprintf(text.text, sizeof(text.text), "%u", speed);
    return text;
}

void port_report(const struct port *port)
{
    struct port_description is;
    struct port_filling filling;

    if (port->state == PORT_DOWN)
        return; /* its `error` event has said all */
    port->ops->describe(port, &is);
    port->ops->count(port, &filling);
    log_event(LOG_INFO, "port",
              "id=%u pci=%s driver=%s transport=%s mac=%s rx_size=%u "
              "tx_size=%u rx_buffers=%u mtu=%u link=%s speed=%s duplex=%s features=0x%llx "
              "interrupt=%s",
              port->id, port->address, port->ops->driver, is.transport,
              port_mac_text(&port->mac).text, is.rx_descriptors, is.tx_descriptors,
              filling.rx_buffers, port->mtu != 0 ? port->mtu : ETHERNET_MTU,
              port->link_up ? "up" : "down", port_speed_text(is.speed).text, is.duplex,
              (unsigned long long)is.features, is.interrupt);
}
