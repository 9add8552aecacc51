/* What is wanted of a port, and what is told of it. */
#include "net/netdev.h"

#include <stdio.h>
#include <string.h>

#include <machine/log.h>
#include <machine/panic.h>

#define GROUP_ADDRESS 0x01 /* a bit of an address's first byte */

bool netdev_mac_is_station(const struct mac_address *mac)
{
    static const struct mac_address zero;

    return !(mac->bytes[0] & GROUP_ADDRESS) && memcmp(mac, &zero, sizeof(zero)) != 0;
}

void netdev_want_filter(struct netdev *dev, bool promisc, bool allmulti)
{
    dev->wanted.filter = true;
    dev->wanted.promisc = promisc;
    dev->wanted.allmulti = allmulti;
    dev->wanted.changed |= NETDEV_WANT_FILTER;
}

void netdev_want_mac(struct netdev *dev, struct mac_address mac)
{
    ensure(netdev_mac_is_station(&mac));
    dev->wanted.mac = mac;
    dev->wanted.changed |= NETDEV_WANT_MAC;
}

static bool refuse_more(const struct netdev *dev, const char *command)
{
    log_event(LOG_WARN, "warn", "port=%u reason=filter-full command=%s accepted=%u", dev->id,
              command, NETDEV_FILTER_MAX);
    return false;
}

bool netdev_want_address(struct netdev *dev, struct mac_address mac)
{
    struct netdev_addresses *const list =
        mac.bytes[0] & GROUP_ADDRESS ? &dev->wanted.groups : &dev->wanted.stations;

    if (list->count == NETDEV_FILTER_MAX)
        return refuse_more(dev, "mac-table");
    list->macs[list->count++] = mac;
    dev->wanted.changed |= NETDEV_WANT_ADDRESSES;
    return true;
}

bool netdev_want_vlan(struct netdev *dev, uint16_t id)
{
    ensure(id <= NETDEV_VLAN_MAX);
    if (dev->wanted.vlan_count == NETDEV_FILTER_MAX)
        return refuse_more(dev, "vlan");
    dev->wanted.vlans[dev->wanted.vlan_count++] = id;
    dev->wanted.changed |= NETDEV_WANT_VLANS;
    return true;
}

bool netdev_want_reset(struct netdev *dev)
{
    if (!dev->can_reset)
        return false;
    dev->wanted.changed |= NETDEV_WANT_RESET;
    return true;
}

struct netdev_text netdev_mac_text(const struct mac_address *mac)
{
    const uint8_t *const bytes = mac->bytes;
    struct netdev_text text;

    snprintf(text.text, sizeof(text.text), "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1],
             bytes[2], bytes[3], bytes[4], bytes[5]);
    return text;
}

struct netdev_text netdev_speed_text(uint32_t speed)
{
    struct netdev_text text = {"unknown"};

    if (speed != 0)
        snprintf(text.text, sizeof(text.text), "%u", speed);
    return text;
}

void netdev_report(const struct netdev *dev)
{
    struct netdev_description is;
    struct netdev_filling filling;

    if (dev->state == NETDEV_DOWN)
        return; /* its `error` event has said all */
    dev->ops->describe(dev, &is);
    dev->ops->count(dev, &filling);
    log_event(LOG_INFO, "port",
              "id=%u pci=%s driver=%s transport=%s mac=%s rx_size=%u "
              "tx_size=%u rx_buffers=%u mtu=%u link=%s speed=%s duplex=%s features=0x%llx "
              "interrupt=%s",
              dev->id, dev->address, dev->ops->driver, is.transport,
              netdev_mac_text(&dev->mac).text, is.rx_descriptors, is.tx_descriptors,
              filling.rx_buffers, dev->mtu != 0 ? dev->mtu : ETHERNET_MTU,
              dev->link_up ? "up" : "down", netdev_speed_text(is.speed).text, is.duplex,
              (unsigned long long)is.features, is.interrupt);
}
