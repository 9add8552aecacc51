/*
 * What is agreed with a device before it is live: features, and what its configuration states
 * (virtio 1.2 §3.1.1 steps 2 to 6).
 *
 * Offloads are carried, not computed: a frame that comes in unfinished must be able to leave so. So
 * GUEST_CSUM and the GUEST_* segmentation bits are taken only as far as the device by which the frames
 * leave can do that work, which net/topology.c says when all devices have been looked at. What our
 * own device can do for others is taken whenever it is offered.
 */
#include <string.h>

#include <machine/clock.h>
#include <machine/log.h>
#include <machine/panic.h>

#include "drivers/virtio/virtio_net_features.h"
#include "drivers/virtio/virtio_net_internal.h"

#define GROUP_ADDRESS 0x01 /* the two bits of a MAC's first byte */
#define LOCAL_ADDRESS 0x02
#define MTU_MIN 68 /* virtio 1.2 §5.1.4.1: a device must not state less */

/* What a frame has besides that which counts against the mtu. */
#define FRAME_OVERHEAD (ETHERNET_HEADER_SIZE + 2 * ETHERNET_VLAN_SIZE)

static void warn(const struct virtio_net *net, const char *reason, const char *detail)
{
    log_event(LOG_WARN, "warn", "port=%u reason=%s detail=\"%s\"", net->port.id, reason, detail);
}

/* ---- features ---- */

/*
 * Looks for the control queue behind `pairs` of queues (§5.1.2). Many devices lay out their queues by
 * the features that they were told last, so they are told of `acceptable` ones first; nothing is
 * settled by that before FEATURES_OK. One that cannot hold the longest command is not used.
 */
static bool find_control_queue(struct virtio_net *net, uint64_t acceptable, uint32_t pairs)
{
    const struct virtio_transport *const transport = net->virtio.transport;
    const uint32_t index = VIRTIO_NET_QUEUE_CONTROL(pairs);
    uint32_t size = 0;

    transport->set_features(&net->virtio, virtio_net_features_choose(acceptable));
    if (index <= UINT16_MAX) /* 0x8000 pairs leave no number for it */
        size = transport->get_queue_size(&net->virtio, (uint16_t)index);
    net->control_index = (uint16_t)index;
    return virtqueue_size_valid(size) && size >= VIRTIO_NET_CONTROL_CHAIN;
}

/* §5.1.4.1 says how many pairs of queues a device may state. */
static bool pairs_are_usable(const struct virtio_net *net)
{
    if (net->stated_pairs >= VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN &&
        net->stated_pairs <= VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX)
        return true;
    log_event(LOG_WARN, "warn", "port=%u reason=queue-pairs queue_pairs=%u accepted=%u-%u",
              net->port.id, net->stated_pairs, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN,
              VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX);
    return false;
}

/* True if there is a control queue behind all pairs that the device states. */
static bool multiqueue_is_usable(struct virtio_net *net, uint64_t acceptable)
{
    if (!pairs_are_usable(net))
        return false;
    if (find_control_queue(net, acceptable, net->stated_pairs))
        return true;
    log_event(LOG_WARN, "warn", "port=%u reason=queue-pairs queue_pairs=%u detail=\"%s\"",
              net->port.id, net->stated_pairs, "no control queue behind so many");
    return false;
}

/* What is left of `acceptable` features once it is known whether and where there is a control queue:
 * without one, all that hangs on it goes. */
static uint64_t settle_control_queue(struct virtio_net *net, uint64_t acceptable)
{
    const uint64_t control = VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ),
                   several = VIRTIO_BIT(VIRTIO_NET_F_MQ);

    if (!(acceptable & control))
        return acceptable;
    if (acceptable & several) {
        if (multiqueue_is_usable(net, acceptable))
            return acceptable;
        acceptable &= ~several;
    }
    if (find_control_queue(net, acceptable, 1))
        return acceptable;
    warn(net, "control-queue-too-small", "promiscuous mode and addresses cannot be set");
    return acceptable & ~control;
}

/* §5.1.4.2: who agrees to an mtu must have buffers for it. Those of a port that was in service before
 * were made for what was stated then. */
static uint32_t mtu_max(const struct virtio_net *net)
{
    const struct pool *pool = net->setup.rx[0].pool;

    if (pool == NULL || pool->frame_max > VIRTIO_NET_MTU_MAX + FRAME_OVERHEAD)
        return VIRTIO_NET_MTU_MAX;
    return pool->frame_max - FRAME_OVERHEAD;
}

static bool mtu_is_usable(const struct virtio_net *net, uint16_t mtu)
{
    if (mtu >= MTU_MIN && mtu <= mtu_max(net))
        return true;
    log_event(LOG_WARN, "warn", "port=%u reason=mtu mtu=%u accepted=%u-%u", net->port.id, mtu,
              MTU_MIN, mtu_max(net));
    return false;
}

static void report_features(const struct virtio_net *net)
{
    char offered[VIRTIO_NET_FEATURES_TEXT], taken[VIRTIO_NET_FEATURES_TEXT];

    virtio_net_features_text(net->virtio.offered, offered);
    virtio_net_features_text(net->virtio.taken, taken);
    log_event(LOG_DEBUG, "features", "port=%u offered=%s taken=%s offered_bits=0x%llx",
              net->port.id, offered, taken, (unsigned long long)net->virtio.offered);
}

/* The device has refused what it had offered. */
static bool refuse_features(struct virtio_net *net)
{
    char taken[VIRTIO_NET_FEATURES_TEXT];

    virtio_net_features_text(net->virtio.taken, taken);
    return virtio_net_refuse(net, "reason=features-refused features=%s bits=0x%llx", taken,
                             (unsigned long long)net->virtio.taken);
}

/* PORT_OFFLOAD_CHAINS if a ring is too small for them. */
static uint32_t without_room(const struct virtio_net *net)
{
    const struct virtio_transport *const transport = net->virtio.transport;

    for (uint16_t queue = VIRTIO_NET_QUEUE_RECEIVE; queue <= VIRTIO_NET_QUEUE_TRANSMIT; queue++)
        if (virtio_net_ring_size(net, queue, transport->get_queue_size(&net->virtio, queue)) <
            VIRTIO_NET_CHAIN_QUEUE_MIN)
            return PORT_OFFLOAD_CHAINS;
    return 0;
}

/* Offloads out of `offered`, by the command line and by what frames of this port may want. Who has no
 * buffers for a frame of 64 KiB, and cannot take it in several, does not let it come. */
static uint64_t acceptable_offloads(const struct virtio_net *net, uint64_t offered)
{
    uint32_t offloads = net->port.wanted.offloads;

    if (!net->options.offloads)
        return offered & ~virtio_net_features_offload();
    offloads &= ~without_room(net) & virtio_net_features_rx(offered);
    if (net->frame_room < PORT_FRAME_SEGMENTS && !(offloads & PORT_OFFLOAD_CHAINS))
        offloads &= ~(uint32_t)PORT_OFFLOAD_SEGMENTS;
    return offered & ~virtio_net_features_guest(~offloads);
}

/* What the port interface tells of features: `features` as taken, or, before that, as offered. */
static void tell_offloads(struct virtio_net *net, uint64_t features)
{
    net->guest_offloads = features & virtio_net_features_guest(VIRTIO_NET_OFFLOADS_BY_COMMAND);
    net->port.rx_offloads = virtio_net_features_rx(features) & ~without_room(net);
    net->port.tx_offloads = virtio_net_features_tx(features) & ~without_room(net);
}

/* Takes what is of use to us out of what is offered, given the mtu that the device states. */
static bool negotiate(struct virtio_net *net, uint16_t mtu)
{
    struct virtio_device *virtio = &net->virtio;
    uint64_t acceptable = acceptable_offloads(net, virtio->offered);

    if (virtio->transport->version_1 && !virtio_offers(virtio, VIRTIO_F_VERSION_1)) {
        return virtio_net_refuse(net,
                                 "reason=no-version-1 offered=0x%llx remedy=\"transport=legacy\"",
                                 (unsigned long long)virtio->offered);
    }
    if (net->port.wanted.vlan_count == 0) /* an empty filter would let no tag in (§5.1.6.5.3) */
        acceptable &= ~VIRTIO_BIT(VIRTIO_NET_F_CTRL_VLAN);
    const bool agreed = virtio_offers(virtio, VIRTIO_NET_F_MTU) && mtu_is_usable(net, mtu);
    if (!agreed)
        acceptable &= ~VIRTIO_BIT(VIRTIO_NET_F_MTU);
    net->port.mtu = agreed ? mtu : 0;
    acceptable = settle_control_queue(net, acceptable);
    if (!virtio_take_features(virtio, virtio_net_features_choose(acceptable)))
        return refuse_features(net);
    /* §5.1.6.1: num_buffers is a part of the header with either of them. */
    net->header_size =
        virtio_has(virtio, VIRTIO_F_VERSION_1) || virtio_has(virtio, VIRTIO_NET_F_MRG_RXBUF)
            ? VIRTIO_NET_HDR_BYTES
            : VIRTIO_NET_HDR_BYTES_LEGACY;
    net->port.rx_header = net->header_size;
    tell_offloads(net, virtio->taken);
    report_features(net);
    return true;
}

/* ---- configuration ---- */

/* What the device states, as far as it has offered to. */
struct stated {
    struct mac_address mac;
    uint16_t mtu;
    uint16_t pairs;
};

/*
 * Byte by byte, and the bytes of two addresses must not be mixed: the legacy interface has no
 * generation that would tell, so there two readings must be equal (§2.5.4).
 */
static void read_mac(const struct virtio_device *virtio, struct mac_address *mac)
{
    struct mac_address last;
    unsigned tries = 0;

    do {
        last = *mac;
        for (uint16_t i = 0; i < ETHERNET_ADDRESS_SIZE; i++)
            mac->bytes[i] = virtio_read_config8(virtio, VIRTIO_NET_CONFIG_MAC + i);
    } while (!virtio->transport->version_1 && memcmp(&last, mac, sizeof(last)) != 0 &&
             ++tries < VIRTIO_CONFIG_TRIES);
}

static void read_fields(const struct virtio_net *net, struct stated *stated)
{
    const struct virtio_device *virtio = &net->virtio;

    if (virtio_offers(virtio, VIRTIO_NET_F_MAC))
        read_mac(virtio, &stated->mac);
    if (virtio_offers(virtio, VIRTIO_NET_F_MTU))
        stated->mtu = virtio_read_config16(virtio, VIRTIO_NET_CONFIG_MTU);
    if (virtio_offers(virtio, VIRTIO_NET_F_MQ))
        stated->pairs = virtio_read_config16(virtio, VIRTIO_NET_CONFIG_MAX_VIRTQUEUE_PAIRS);
}

/* Reads each field once only, as the device might state another value the next time; and all of them
 * anew if they have changed meanwhile, so that they belong together. */
static bool read_config(struct virtio_net *net, struct stated *stated)
{
    uint32_t generation = virtio_config_generation(&net->virtio), before;

    for (unsigned tries = 0; tries < VIRTIO_CONFIG_TRIES; tries++) {
        before = generation;
        read_fields(net, stated);
        generation = virtio_config_generation(&net->virtio);
        if (generation == before)
            return true;
    }
    return virtio_net_refuse(net, "reason=config-generation generation=%u tries=%u", generation,
                             VIRTIO_CONFIG_TRIES);
}

/* §5.1.5: without a MAC of the device's, a locally administered random one. */
static struct mac_address random_mac(const struct pci_device *pci)
{
    /* The counter differs from boot to boot, the address from port to port; a multiplication by an
     * odd constant and a shift spread both over all bits. */
    uint64_t mix = clock_cycles() ^ (uint64_t)pci->bus << 56 ^ (uint64_t)pci->device << 48 ^
                   (uint64_t)pci->function << 40;
    struct mac_address mac;

    for (unsigned i = 0; i < ETHERNET_ADDRESS_SIZE; i++) {
        mix = (mix ^ mix >> 29) * 0xd1342543de82ef95ULL;
        mac.bytes[i] = (uint8_t)(mix >> 56);
    }
    mac.bytes[0] = (uint8_t)((mac.bytes[0] & ~GROUP_ADDRESS) | LOCAL_ADDRESS);
    return mac;
}

/* The device's own address, if it has a usable one; else, until it has, one of ours. */
static void choose_mac(struct virtio_net *net, const struct mac_address *stated)
{
    struct mac_address *const mac = &net->port.mac;
    const bool states = virtio_offers(&net->virtio, VIRTIO_NET_F_MAC); /* and it will be taken */

    net->settings.mac_made_up = !states || !port_mac_is_station(stated);
    if (states && net->settings.mac_made_up)
        warn(net, "mac", "the device states a group or zero address; a random one is used");
    if (!net->settings.mac_made_up)
        *mac = *stated;
    else if (!port_mac_is_station(mac)) /* else it was made before a reset */
        *mac = random_mac(net->virtio.pci);
}

/*
 * §5.1.6.3.1 has 65562 bytes, header included, for frames that are still to be cut. Without an mtu
 * the device may give a frame of any length that fits: a jumbo frame where there is memory for it.
 * Chains are the shorter, too, the more a buffer holds.
 */
static void choose_frame_max(struct virtio_net *net)
{
    struct port *const port = &net->port;
    const uint32_t stated = FRAME_OVERHEAD + port->mtu;
    const bool chains = port->rx_offloads & PORT_OFFLOAD_CHAINS;

    if ((port->rx_offloads & PORT_OFFLOAD_SEGMENTS) && !chains)
        port->frame_max = PORT_FRAME_SEGMENTS;
    else if ((port->mtu == 0 || chains) && net->frame_room >= PORT_FRAME_JUMBO)
        port->frame_max = PORT_FRAME_JUMBO;
    else
        port->frame_max = stated > PORT_FRAME_USUAL ? stated : PORT_FRAME_USUAL;
}

bool virtio_net_look(struct virtio_net *net)
{
    struct stated stated = {0};

    virtio_add_status(&net->virtio, VIRTIO_STATUS_ACKNOWLEDGE);
    virtio_add_status(&net->virtio, VIRTIO_STATUS_DRIVER);
    net->virtio.offered = net->virtio.transport->get_features(&net->virtio);
    if (!read_config(net, &stated))
        return false;
    choose_mac(net, &stated.mac);
    net->stated_mtu = stated.mtu;
    net->stated_pairs = stated.pairs;
    tell_offloads(net, net->options.offloads ? virtio_net_features_choose(net->virtio.offered) : 0);
    return true;
}

bool virtio_net_negotiate(struct virtio_net *net)
{
    if (!negotiate(net, net->stated_mtu))
        return false;
    choose_frame_max(net);
    return true;
}
