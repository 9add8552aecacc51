/*
 * Receive filter and MAC address. At start-up a setting is waited for; after a reset all of them are
 * given to the device again, a step at a time, while frames already flow.
 */
#include <string.h>

#include <machine/clock.h>
#include <machine/log.h>
#include <machine/panic.h>

#include "drivers/virtio/virtio_net_internal.h"

#define GROUP_ADDRESS 0x01 /* a bit of a MAC's first byte */

bool virtio_net_mac_usable(const struct mac_address *mac)
{
    static const struct mac_address zero;

    return !(mac->bytes[0] & GROUP_ADDRESS) && memcmp(mac, &zero, sizeof(zero)) != 0;
}

static const char *name_of(const struct virtio_net *net, enum virtio_net_setting setting)
{
    switch (setting) {
    case SETTING_PAIRS:
        return "queue-pairs";
    case SETTING_MAC:
        return "mac";
    case SETTING_OFFLOADS:
        return "offloads";
    case SETTING_PROMISC:
        return net->settings.promisc ? "promisc-on" : "promisc-off";
    case SETTING_ALLMULTI:
        return net->settings.allmulti ? "allmulti-on" : "allmulti-off";
    case SETTING_VLAN:
        return "vlan";
    case SETTING_TABLE:
        return "mac-table";
    default:
        return "announce-ack";
    }
}

/* The feature without which the device has no such command. */
static unsigned feature_of(enum virtio_net_setting setting)
{
    switch (setting) {
    case SETTING_PAIRS:
        return VIRTIO_NET_F_MQ;
    case SETTING_MAC:
        return VIRTIO_NET_F_CTRL_MAC_ADDR;
    case SETTING_OFFLOADS:
        return VIRTIO_NET_F_CTRL_GUEST_OFFLOADS;
    case SETTING_VLAN:
        return VIRTIO_NET_F_CTRL_VLAN;
    case SETTING_ANNOUNCE_ACK:
        return VIRTIO_NET_F_GUEST_ANNOUNCE;
    default:
        return VIRTIO_NET_F_CTRL_RX;
    }
}

static enum virtio_net_control_result send(struct virtio_net *net, enum virtio_net_setting setting)
{
    struct virtio_net_control *control = &net->control;
    struct virtio_net_settings *settings = &net->settings;

    switch (setting) {
    case SETTING_PAIRS:
        return virtio_net_control_set_pairs(control, 1);
    case SETTING_MAC:
        return virtio_net_control_set_mac(control, settings->mac);
    case SETTING_OFFLOADS:
        settings->offloads = virtio_net_offloads_left(net);
        return virtio_net_control_set_offloads(control, settings->offloads);
    case SETTING_PROMISC:
        return virtio_net_control_rx_mode(control, VIRTIO_NET_CTRL_RX_PROMISC,
                                          net->settings.promisc);
    case SETTING_ALLMULTI:
        return virtio_net_control_rx_mode(control, VIRTIO_NET_CTRL_RX_ALLMULTI,
                                          net->settings.allmulti);
    case SETTING_VLAN:
        return virtio_net_control_add_vlan(control, settings->vlans[settings->vlan_next]);
    case SETTING_TABLE:
        return virtio_net_control_set_table(control, &settings->unicast, &settings->multicast);
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
        virtio_net_device_error(net, &net->control.queue);
    if (result == CONTROL_SILENT)
        (void)virtio_net_control_reset(&net->control);
    return false;
}

/* A reset's settings are still on their way, or the control queue is being reset. */
static bool is_busy(const struct virtio_net *net)
{
    return net->settings.next != SETTINGS || net->control.resetting;
}

static void finish_what_is_under_way(struct virtio_net *net)
{
    while (is_busy(net) && net->netdev.state == NETDEV_RUNNING) {
        clock_relax();
        virtio_net_settings_step(net);
    }
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
    finish_what_is_under_way(net);
    if (net->netdev.state != NETDEV_RUNNING)
        return false;
    enum virtio_net_control_result result = send(net, setting);
    while (result == CONTROL_PENDING) {
        clock_relax();
        result = virtio_net_control_poll(&net->control);
    }
    return done(net, setting, result);
}

/* Without promiscuous mode the table counts, and whoever had the device before may have left
 * something in it. */
static bool table_counts(const struct virtio_net_settings *settings)
{
    return !settings->promisc || settings->unicast.entries + settings->multicast.entries != 0;
}

bool virtio_net_set_promisc(struct netdev *dev, bool on)
{
    struct virtio_net *net = virtio_net_of(dev);

    net->settings.promisc = on;
    net->settings.wanted[SETTING_PROMISC] = true;
    if (!apply_and_wait(net, SETTING_PROMISC))
        return false;
    net->settings.wanted[SETTING_TABLE] = table_counts(&net->settings);
    return on || apply_and_wait(net, SETTING_TABLE);
}

static bool refuse_more(const struct virtio_net *net, enum virtio_net_setting setting)
{
    log_event(LOG_WARN, "warn", "port=%u reason=filter-full command=%s accepted=%u", net->netdev.id,
              name_of(net, setting), NETDEV_FILTER_MAX);
    return false;
}

bool virtio_net_add_address(struct netdev *dev, struct mac_address mac)
{
    struct virtio_net *net = virtio_net_of(dev);
    const bool group = mac.bytes[0] & GROUP_ADDRESS;
    struct virtio_net_mac_table *table = group ? &net->settings.multicast : &net->settings.unicast;

    if (table->entries == NETDEV_FILTER_MAX)
        return refuse_more(net, SETTING_TABLE);
    finish_what_is_under_way(net);
    table->macs[table->entries++] = mac;
    if (apply_and_wait(net, SETTING_TABLE)) {
        net->settings.wanted[SETTING_TABLE] = true;
        return true;
    }
    table->entries--;
    return false;
}

bool virtio_net_add_vlan(struct netdev *dev, uint16_t id)
{
    struct virtio_net *net = virtio_net_of(dev);
    struct virtio_net_settings *settings = &net->settings;

    ensure(id <= NETDEV_VLAN_MAX);
    if (settings->vlan_count == NETDEV_FILTER_MAX)
        return refuse_more(net, SETTING_VLAN);
    finish_what_is_under_way(net);
    settings->vlan_next = settings->vlan_count;
    settings->vlans[settings->vlan_next] = id;
    if (!apply_and_wait(net, SETTING_VLAN))
        return false;
    settings->vlan_count++;
    settings->wanted[SETTING_VLAN] = true;
    return true;
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
    settings->wanted[SETTING_TABLE] = table_counts(settings);
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

/* Else a `warn` says that it cannot. */
static bool mac_can_be_set(const struct virtio_net *net)
{
    if (!mac_by_command(&net->virtio) || virtio_has(&net->virtio, feature_of(SETTING_MAC)))
        return true;
    log_event(LOG_WARN, "warn", "port=%u reason=control-not-offered command=mac", net->netdev.id);
    return false;
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
    net->settings.mac_kept = net->mac;
    net->settings.mac = mac;
    if (!mac_by_command(&net->virtio)) {
        write_mac(net);
    } else if (!apply_and_wait(net, SETTING_MAC)) {
        net->settings.mac = before;
        return false;
    }
    net->settings.wanted[SETTING_MAC] = true;
    net->settings.mac_made_up = false;
    net->mac = mac;
    return true;
}

bool virtio_net_want_mac_addr(struct netdev *dev, struct mac_address mac)
{
    struct virtio_net *net = virtio_net_of(dev);
    struct virtio_net_settings *settings = &net->settings;

    ensure(virtio_net_mac_usable(&mac));
    if (dev->state != NETDEV_FOUND && !mac_can_be_set(net))
        return false;
    settings->mac_kept = net->mac;
    settings->mac = mac;
    settings->wanted[SETTING_MAC] = true;
    settings->mac_made_up = false;
    settings->again = true;
    if (dev->state != NETDEV_RUNNING || mac_by_command(&net->virtio))
        return true; /* the device is told of it later */
    net->mac = mac;
    write_mac(net);
    return true;
}

void virtio_net_forget_made_up_mac(struct virtio_net *net)
{
    if (net->settings.mac_made_up)
        net->settings.wanted[SETTING_MAC] = net->settings.mac_made_up = false;
}

void virtio_net_settings_restart(struct virtio_net *net)
{
    net->settings.next = SETTING_PAIRS;
    net->settings.vlan_next = 0;
    net->settings.wanted[SETTING_ANNOUNCE_ACK] = false;
    net->settings.wanted[SETTING_OFFLOADS] = false; /* negotiated anew */
    net->settings.again = false;
    if (!net->settings.wanted[SETTING_MAC] || !mac_can_be_set(net))
        return;
    net->settings.mac_kept = net->mac;
    net->mac = net->settings.mac;
    if (!mac_by_command(&net->virtio))
        write_mac(net);
}

/* The control queue alone was reset: makes it anew as soon as the device has let go of it. */
static void revive_control(struct virtio_net *net)
{
    if (virtio_net_control_look(&net->control))
        net->control.silent = !virtio_net_renew_control(net);
}

/* Who does not take fewer offloads by a command gets them by a reset. */
static void offloads_told(struct virtio_net *net, bool carried_out)
{
    net->settings.wanted[SETTING_OFFLOADS] = false;
    if (carried_out)
        net->guest_offloads = net->settings.offloads;
    else if (net->netdev.state == NETDEV_RUNNING)
        virtio_net_begin_reset(net, "offloads", false);
}

/* One command of this setting is done with: to the next one of the same, or of the next setting. */
static void advance(struct virtio_net_settings *settings)
{
    if (settings->next == SETTING_VLAN && ++settings->vlan_next < settings->vlan_count)
        return;
    settings->next++;
}

/* What the port knows of itself follows what the device has made of a command. */
static void note(struct virtio_net *net, enum virtio_net_setting setting, bool done)
{
    struct virtio_net_settings *settings = &net->settings;

    if (setting == SETTING_MAC)
        net->mac = done ? settings->mac : settings->mac_kept;
    if (setting == SETTING_ANNOUNCE_ACK && done)
        settings->wanted[setting] = false; /* else it stays, and is not tried again */
}

void virtio_net_settings_step(struct virtio_net *net)
{
    struct virtio_net_settings *settings = &net->settings;
    enum virtio_net_control_result result;

    if (net->control.resetting) {
        revive_control(net);
        return;
    }
    if (settings->next == SETTINGS && settings->again) {
        settings->again = false;
        settings->next = SETTING_MAC; /* the pairs stay what they are */
        settings->vlan_next = 0;
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
    const bool carried_out = done(net, settings->next, result);
    note(net, settings->next, carried_out);
    if (settings->next == SETTING_OFFLOADS)
        offloads_told(net, carried_out);
    advance(settings);
}
