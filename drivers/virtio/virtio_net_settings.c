/*
 * Receive filter, MAC address, offloads: brings the device to what is wanted of its port
 * (port.wanted), a command at a time over the control queue, while frames flow.
 */
#include <machine/log.h>

#include "drivers/virtio/virtio_net_internal.h"

static const char *name_of(const struct virtio_net *net, enum virtio_net_setting setting)
{
    const struct port_wanted *const wanted = &net->port.wanted;

    switch (setting) {
    case SETTING_PAIRS:
        return "queue-pairs";
    case SETTING_MAC:
        return "mac";
    case SETTING_OFFLOADS:
        return "offloads";
    case SETTING_PROMISC:
        return wanted->promisc ? "promisc-on" : "promisc-off";
    case SETTING_ALLMULTI:
        return wanted->allmulti ? "allmulti-on" : "allmulti-off";
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

/* The address that the device shall have. */
static struct mac_address wanted_mac(const struct virtio_net *net)
{
    const struct port *const port = &net->port;

    return port_mac_is_station(&port->wanted.mac) ? port->wanted.mac : port->mac;
}

/* The settings that changes of port.wanted concern. */
static uint32_t settings_of(const struct virtio_net *net, uint32_t changed)
{
    const struct port_wanted *const wanted = &net->port.wanted;
    uint32_t settings = 0;

    if (changed & PORT_WANT_MAC)
        settings |= 1u << SETTING_MAC;
    if (changed & PORT_WANT_FILTER)
        settings |= 1u << SETTING_PROMISC | 1u << SETTING_ALLMULTI;
    /* Without promiscuous mode the table counts, and whoever had the device before may have left
     * something in it. */
    if ((changed & PORT_WANT_ADDRESSES) || ((changed & PORT_WANT_FILTER) && !wanted->promisc))
        settings |= 1u << SETTING_TABLE;
    if ((changed & PORT_WANT_VLANS) && net->settings.vlan_next < wanted->vlan_count)
        settings |= 1u << SETTING_VLAN;
    return settings;
}

/* All that is wanted of the port and that its device has not after a reset. */
static uint32_t all_settings(const struct virtio_net *net)
{
    const struct port_wanted *const wanted = &net->port.wanted;
    uint32_t changed = 0;

    if (port_mac_is_station(&wanted->mac) || net->settings.mac_made_up)
        changed |= PORT_WANT_MAC;
    if (wanted->filter)
        changed |= PORT_WANT_FILTER;
    if (wanted->stations.count + wanted->groups.count != 0)
        changed |= PORT_WANT_ADDRESSES;
    if (wanted->vlan_count != 0)
        changed |= PORT_WANT_VLANS;
    return settings_of(net, changed) | virtio_has(&net->virtio, VIRTIO_NET_F_MQ) << SETTING_PAIRS;
}

/* True if nothing that is wanted is due. A device may ask for acknowledgements without end. */
static bool is_settled(const struct virtio_net_settings *settings)
{
    return (settings->due & ~(1u << SETTING_ANNOUNCE_ACK)) == 0;
}

/* Once what was wanted before has been given to the device. */
static void follow_changes(struct virtio_net *net)
{
    struct virtio_net_settings *const settings = &net->settings;

    if (is_settled(settings)) {
        settings->fresh = settings_of(net, net->port.wanted.changed);
        settings->due |= settings->fresh;
        net->port.wanted.changed = 0;
    }
    net->port.settled = is_settled(settings);
}

/*
 * By which way the device is told of an address: by a command, or, without one, by a legacy driver
 * byte by byte (§5.1.4.3). With VERSION_1 the configuration is not ours to write, so that then the
 * command is missing. A device that states no address has none of its own.
 */
static bool mac_is_by_command(const struct virtio_device *virtio)
{
    return virtio_has(virtio, VIRTIO_NET_F_CTRL_MAC_ADDR) ||
           (virtio_has(virtio, VIRTIO_NET_F_MAC) && virtio_has(virtio, VIRTIO_F_VERSION_1));
}

static bool mac_can_be_set(const struct virtio_device *virtio)
{
    return !mac_is_by_command(virtio) || virtio_has(virtio, VIRTIO_NET_F_CTRL_MAC_ADDR);
}

static void write_mac(const struct virtio_net *net, struct mac_address mac)
{
    const struct virtio_device *virtio = &net->virtio;

    for (uint16_t i = 0; i < ETHERNET_ADDRESS_SIZE && virtio_has(virtio, VIRTIO_NET_F_MAC); i++)
        virtio->transport->write_config(virtio, (uint16_t)(VIRTIO_NET_CONFIG_MAC + i),
                                        mac.bytes[i]);
}

void virtio_net_settings_restart(struct virtio_net *net)
{
    struct virtio_net_settings *const settings = &net->settings;
    struct port *const port = &net->port;

    settings->vlan_next = 0;
    settings->announce_ack_refused = false;
    settings->due = all_settings(net);
    settings->fresh = settings_of(net, port->wanted.changed) | 1u << SETTING_MAC;
    port->wanted.changed = 0;
    port->settled = false;
    /* It has this address unless the device refuses it. */
    settings->mac_kept = port->mac;
    if (mac_can_be_set(&net->virtio))
        port->mac = wanted_mac(net);
}

static enum virtio_net_control_result send(struct virtio_net *net, enum virtio_net_setting setting)
{
    const struct port_wanted *const wanted = &net->port.wanted;
    struct virtio_net_control *const control = &net->control;
    struct virtio_net_settings *const settings = &net->settings;

    switch (setting) {
    case SETTING_PAIRS:
        return virtio_net_control_set_pairs(control, 1);
    case SETTING_MAC:
        return virtio_net_control_set_mac(control, settings->mac);
    case SETTING_OFFLOADS:
        settings->offloads = virtio_net_offloads_left(net);
        return virtio_net_control_set_offloads(control, settings->offloads);
    case SETTING_PROMISC:
        return virtio_net_control_rx_mode(control, VIRTIO_NET_CTRL_RX_PROMISC, wanted->promisc);
    case SETTING_ALLMULTI:
        return virtio_net_control_rx_mode(control, VIRTIO_NET_CTRL_RX_ALLMULTI, wanted->allmulti);
    case SETTING_VLAN:
        return virtio_net_control_add_vlan(control, wanted->vlans[settings->vlan_next]);
    case SETTING_TABLE:
        return virtio_net_control_set_table(control, &wanted->stations, &wanted->groups);
    default:
        return virtio_net_control_announce_ack(control);
    }
}

static void warn(const struct virtio_net *net, const char *reason, enum virtio_net_setting setting)
{
    log_event(LOG_WARN, "warn", "port=%u reason=control-%s command=%s", net->port.id, reason,
              name_of(net, setting));
}

/* True if a device that has no such command is as it is wanted nevertheless. */
static bool is_default(const struct port_wanted *wanted, enum virtio_net_setting setting)
{
    if (setting == SETTING_ALLMULTI)
        return !wanted->allmulti;
    return setting == SETTING_TABLE && wanted->stations.count + wanted->groups.count == 0;
}

/* The device has no such command. */
static void skip(struct virtio_net *net, enum virtio_net_setting setting)
{
    if ((net->settings.fresh & 1u << setting) && !is_default(&net->port.wanted, setting))
        warn(net, "not-offered", setting);
    net->settings.due &= ~(1u << setting);
}

/* The device has carried out a command, or has not: then a `warn` has told. Returns as
 * virtio_net_settings_step. */
static const char *note(struct virtio_net *net, enum virtio_net_setting setting, bool done)
{
    struct virtio_net_settings *const settings = &net->settings;

    if (setting != SETTING_VLAN || ++settings->vlan_next >= net->port.wanted.vlan_count)
        settings->due &= ~(1u << setting);
    if (setting == SETTING_MAC && done)
        settings->mac_kept = settings->mac;
    if (setting == SETTING_MAC)
        net->port.mac = settings->mac_kept;
    if (setting == SETTING_ANNOUNCE_ACK)
        settings->announce_ack_refused = !done;
    if (setting == SETTING_OFFLOADS && done)
        net->guest_offloads = settings->offloads;
    /* If the device refuses to have fewer offloads, it is reset and negotiated with again. */
    return setting == SETTING_OFFLOADS && !done ? "offloads" : NULL;
}

/* The control queue alone was reset: makes it again as soon as the device has released it. */
static void revive_control(struct virtio_net *net)
{
    if (virtio_net_control_look(&net->control))
        net->control.silent = !virtio_net_renew_control(net);
}

const char *virtio_net_settings_step(struct virtio_net *net)
{
    struct virtio_net_control *const control = &net->control;
    enum virtio_net_control_result result;

    if (control->resetting) {
        revive_control(net);
        return NULL;
    }
    follow_changes(net);
    if (net->settings.due == 0)
        return NULL;
    const bool is_out = control->pending && !control->silent;
    const enum virtio_net_setting setting =
        is_out ? net->settings.sent : (enum virtio_net_setting)__builtin_ctz(net->settings.due);
    if (setting == SETTING_MAC && !is_out)
        net->settings.mac = wanted_mac(net);
    if (setting == SETTING_MAC && !mac_is_by_command(&net->virtio)) {
        write_mac(net, net->settings.mac);
        return note(net, setting, true);
    }
    if (!virtio_has(&net->virtio, feature_of(setting))) {
        skip(net, setting);
        return NULL;
    }
    net->settings.sent = setting;
    result = is_out ? virtio_net_control_poll(control) : send(net, setting);
    if (result == CONTROL_PENDING)
        return NULL;
    if (result != CONTROL_OK)
        warn(net, virtio_net_control_result_name(result), setting);
    if (result == CONTROL_SILENT)
        (void)virtio_net_control_reset(control);
    return note(net, setting, result == CONTROL_OK);
}

void virtio_net_acknowledge_announcement(struct virtio_net *net)
{
    struct virtio_net_settings *const settings = &net->settings;

    if (settings->due != 0 || settings->announce_ack_refused)
        return; /* the device asks until it is answered */
    net->port.stats.announces++;
    settings->due = 1u << SETTING_ANNOUNCE_ACK;
}
