/*
 * Receive filter and MAC address. At start-up a setting is waited for; after a reset all of them are
 * given to the device again, a step at a time, while frames already flow.
 */
#include <string.h>

#include <machine/clock.h>
#include <machine/log.h>
#include <machine/panic.h>

#include "drivers/virtio_net_internal.h"

#define GROUP_ADDRESS 0x01 /* a bit of a MAC's first byte */

bool virtio_net_mac_usable(const struct mac_address *mac)
{
    static const struct mac_address zero;

    return !(mac->bytes[0] & GROUP_ADDRESS) && memcmp(mac, &zero, sizeof(zero)) != 0;
}

static const char *name_of(const struct virtio_net *net, enum virtio_net_setting setting)
{
    switch (setting) {
    case SETTING_MAC:
        return "mac";
    case SETTING_PROMISC:
        return net->settings.promisc ? "promisc-on" : "promisc-off";
    case SETTING_ALLMULTI:
        return net->settings.allmulti ? "allmulti-on" : "allmulti-off";
    case SETTING_TABLE:
        return "mac-table";
    default:
        return "announce-ack";
    }
}

/* The feature without which the device has no such command. */
static unsigned feature_of(enum virtio_net_setting setting)
{
    if (setting == SETTING_ANNOUNCE_ACK)
        return VIRTIO_NET_F_GUEST_ANNOUNCE;
    return setting == SETTING_MAC ? VIRTIO_NET_F_CTRL_MAC_ADDR : VIRTIO_NET_F_CTRL_RX;
}

static enum virtio_net_control_result send(struct virtio_net *net, enum virtio_net_setting setting)
{
    struct virtio_net_control *control = &net->control;

    switch (setting) {
    case SETTING_MAC:
        return virtio_net_control_set_mac(control, net->settings.mac);
    case SETTING_PROMISC:
        return virtio_net_control_rx_mode(control, VIRTIO_NET_CTRL_RX_PROMISC,
                                          net->settings.promisc);
    case SETTING_ALLMULTI:
        return virtio_net_control_rx_mode(control, VIRTIO_NET_CTRL_RX_ALLMULTI,
                                          net->settings.allmulti);
    case SETTING_TABLE:
        return virtio_net_control_clear_table(control);
    default:
        return virtio_net_control_announce_ack(control);
    }
}

/* What became of a command. True if it was carried out; else a `warn` says what was not, and why. */
static bool done(struct virtio_net *net, enum virtio_net_setting setting,
                 enum virtio_net_control_result result)
{
    if (result == CONTROL_OK)
        return true;
    log_event(LOG_WARN, "warn", "port=%u reason=control-%s command=%s", net->netdev.id,
              virtio_net_control_result_name(result), name_of(net, setting));
    if (result == CONTROL_BROKEN)
        virtio_net_breach(net, &net->control.queue);
    return false;
}

static bool apply_and_wait(struct virtio_net *net, enum virtio_net_setting setting)
{
    if (net->netdev.state != NETDEV_RUNNING)
        return false;
    if (!virtio_has(&net->virtio, feature_of(setting))) {
        log_event(LOG_WARN, "warn", "port=%u reason=control-not-offered command=%s", net->netdev.id,
                  name_of(net, setting));
        return false;
    }
    while (net->settings.next != SETTINGS && net->netdev.state == NETDEV_RUNNING) {
        clock_relax(); /* a reset's are still on their way */
        virtio_net_settings_go_on(net);
    }
    if (net->netdev.state != NETDEV_RUNNING)
        return false;
    enum virtio_net_control_result result = send(net, setting);
    while (result == CONTROL_PENDING) {
        clock_relax();
        result = virtio_net_control_poll(&net->control);
    }
    return done(net, setting, result);
}

bool virtio_net_set_promisc(struct netdev *dev, bool on)
{
    struct virtio_net *net = virtio_net_of(dev);

    net->settings.promisc = on;
    net->settings.wanted[SETTING_PROMISC] = true;
    if (!apply_and_wait(net, SETTING_PROMISC))
        return false;
    /* Without promiscuous mode the table counts, and whoever had the device before may have left
     * something in it. */
    net->settings.wanted[SETTING_TABLE] = !on;
    return on || apply_and_wait(net, SETTING_TABLE);
}

bool virtio_net_set_allmulti(struct netdev *dev, bool on)
{
    struct virtio_net *net = virtio_net_of(dev);

    net->settings.allmulti = on;
    net->settings.wanted[SETTING_ALLMULTI] = true;
    return apply_and_wait(net, SETTING_ALLMULTI);
}

bool virtio_net_want_filter(struct netdev *dev, bool promisc, bool allmulti)
{
    struct virtio_net *net = virtio_net_of(dev);
    struct virtio_net_settings *settings = &net->settings;

    if (!virtio_has(&net->virtio, feature_of(SETTING_PROMISC))) {
        log_event(LOG_WARN, "warn", "port=%u reason=control-not-offered command=filter", dev->id);
        return false;
    }
    settings->promisc = promisc;
    settings->allmulti = allmulti;
    settings->wanted[SETTING_PROMISC] = settings->wanted[SETTING_ALLMULTI] = true;
    settings->wanted[SETTING_TABLE] = !promisc;
    settings->again = true;
    return true;
}

/*
 * By which way the device is told of an address: by a command, or, without one, by a legacy driver
 * byte by byte (§5.1.4.3). With VERSION_1 the configuration is not ours to write, so that then the
 * command is missing. A device that states no address has none of its own.
 */
static bool mac_by_command(const struct virtio_device *virtio)
{
    return virtio_has(virtio, VIRTIO_NET_F_CTRL_MAC_ADDR) ||
           (virtio_has(virtio, VIRTIO_NET_F_MAC) && virtio_has(virtio, VIRTIO_F_VERSION_1));
}

static void write_mac(const struct virtio_net *net)
{
    const struct virtio_device *virtio = &net->virtio;

    if (!virtio_has(virtio, VIRTIO_NET_F_MAC))
        return;
    for (uint16_t i = 0; i < ETHERNET_ADDRESS_SIZE; i++)
        virtio->transport->write_config(virtio, (uint16_t)(VIRTIO_NET_CONFIG_MAC + i),
                                        net->settings.mac.bytes[i]);
}

bool virtio_net_set_mac_addr(struct netdev *dev, struct mac_address mac)
{
    struct virtio_net *net = virtio_net_of(dev);

    ensure(virtio_net_mac_usable(&mac));
    if (dev->state != NETDEV_RUNNING)
        return false;
    const struct mac_address before = net->settings.mac;
    net->settings.mac = mac;
    if (!mac_by_command(&net->virtio)) {
        write_mac(net);
    } else if (!apply_and_wait(net, SETTING_MAC)) {
        net->settings.mac = before;
        return false;
    }
    net->settings.wanted[SETTING_MAC] = true;
    net->mac = mac;
    return true;
}

void virtio_net_settings_restart(struct virtio_net *net)
{
    net->settings.next = SETTING_MAC;
    net->settings.wanted[SETTING_ANNOUNCE_ACK] = false;
    net->settings.again = false;
    if (!net->settings.wanted[SETTING_MAC])
        return;
    net->mac = net->settings.mac;
    if (!mac_by_command(&net->virtio))
        write_mac(net);
}

void virtio_net_settings_go_on(struct virtio_net *net)
{
    struct virtio_net_settings *settings = &net->settings;
    enum virtio_net_control_result result;

    if (settings->next == SETTINGS && settings->again) {
        settings->again = false;
        settings->next = SETTING_PROMISC;
    }
    if (settings->next == SETTINGS)
        return;
    if (net->control.pending && !net->control.silent) {
        result = virtio_net_control_poll(&net->control);
    } else if (settings->wanted[settings->next] &&
               virtio_has(&net->virtio, feature_of(settings->next))) {
        result = send(net, settings->next);
    } else {
        settings->next++;
        return;
    }
    if (result == CONTROL_PENDING)
        return;
    if (done(net, settings->next, result) && settings->next == SETTING_ANNOUNCE_ACK)
        settings->wanted[SETTING_ANNOUNCE_ACK] = false; /* else it stays, and is not tried again */
    settings->next++;
}
