/* One table for all that is to be known of a feature bit. */
#include "drivers/virtio/virtio_net_features.h"

#include <stdbool.h>
#include <stdio.h>

#include "drivers/virtio/virtio.h"
#include "drivers/virtio/virtio_spec.h"

#define FEATURE(bit) [VIRTIO_NET_F_##bit] = {#bit, false, 0, 0}
#define TAKEN(bit) [VIRTIO_NET_F_##bit] = {#bit, true, 0, 0}
#define TAKEN_WITH(bit, needed)                                                                    \
    [VIRTIO_NET_F_##bit] = {#bit, true, VIRTIO_BIT(VIRTIO_NET_F_##needed), 0}
#define TAKEN_WITH_ONE(bit, needed, other)                                                         \
    [VIRTIO_NET_F_##bit] = {#bit, true, 0,                                                         \
                            VIRTIO_BIT(VIRTIO_NET_F_##needed) | VIRTIO_BIT(VIRTIO_NET_F_##other)}

/* A header that is no descriptor of its own: chains are made so, and it is nearly everybody's way. */
#define ANY_LAYOUT (VIRTIO_BIT(VIRTIO_F_ANY_LAYOUT) | VIRTIO_BIT(VIRTIO_F_VERSION_1))

/*
 * Taken as far as what is said of offloads in virtio_net_negotiate.c lets them: GUEST_CSUM, the
 * segmentation bits and what they are taken across with.
 *
 * Not taken, with the reason: NOTIFY_ON_EMPTY, since it overrides the suppression of interrupts;
 * NOTIFICATION_DATA would have each doorbell carry what the ring says anyway.
 *
 * MQ is taken although one pair of queues is used: so the device is told of that number, and its control
 * queue is found where some have it whatever was negotiated, behind all pairs.
 *
 * RING_PACKED is taken wherever it is offered, although our side of a split ring is the shorter one
 * (README has the figures): hosts offer it only where somebody has asked for it.
 *
 * ACCESS_PLATFORM (§6) says that addresses go through the platform's translation: nothing has
 * switched one on here, so they are physical ones all the same, and to refuse the bit is to lose the
 * device. ORDER_PLATFORM asks for the order of the platform's own memory: on x86 the ring's release
 * stores and full fences are that.
 */
static const struct feature {
    const char *name;
    bool wanted;
    uint64_t needs;     /* §5.1.3.1 "Feature bit requirements": all of these, */
    uint64_t needs_one; /* and, unless that is 0, at least one of those */
} features[] = {
    TAKEN(CSUM),
    TAKEN(GUEST_CSUM),
    TAKEN_WITH(CTRL_GUEST_OFFLOADS, CTRL_VQ),
    TAKEN(MTU),
    TAKEN(MAC),
    FEATURE(GSO),
    TAKEN_WITH(GUEST_TSO4, GUEST_CSUM),
    TAKEN_WITH(GUEST_TSO6, GUEST_CSUM),
    TAKEN_WITH_ONE(GUEST_ECN, GUEST_TSO4, GUEST_TSO6),
    TAKEN_WITH(GUEST_UFO, GUEST_CSUM),
    TAKEN_WITH(HOST_TSO4, CSUM),
    TAKEN_WITH(HOST_TSO6, CSUM),
    TAKEN_WITH_ONE(HOST_ECN, HOST_TSO4, HOST_TSO6),
    TAKEN_WITH(HOST_UFO, CSUM),
    [VIRTIO_NET_F_MRG_RXBUF] = {"MRG_RXBUF", true, 0, ANY_LAYOUT},
    TAKEN(STATUS),
    TAKEN(CTRL_VQ),
    TAKEN_WITH(CTRL_RX, CTRL_VQ),
    TAKEN_WITH(CTRL_VLAN, CTRL_VQ), /* if VLANs are configured: see negotiate() */
    TAKEN_WITH(CTRL_RX_EXTRA, CTRL_RX),
    TAKEN_WITH(GUEST_ANNOUNCE, CTRL_VQ),
    TAKEN_WITH(MQ, CTRL_VQ), /* if the number of pairs makes sense: see negotiate() */
    TAKEN_WITH(CTRL_MAC_ADDR, CTRL_VQ),
    [VIRTIO_F_NOTIFY_ON_EMPTY] = {"NOTIFY_ON_EMPTY", false, 0, 0},
    [VIRTIO_F_ANY_LAYOUT] = {"ANY_LAYOUT", true, 0, 0},
    [VIRTIO_F_INDIRECT_DESC] = {"INDIRECT_DESC", true, 0, ANY_LAYOUT},
    [VIRTIO_F_EVENT_IDX] = {"EVENT_IDX", true, 0, 0},
    [VIRTIO_F_VERSION_1] = {"VERSION_1", true, 0, 0},
    [VIRTIO_F_ACCESS_PLATFORM] = {"ACCESS_PLATFORM", true, 0, 0},
    [VIRTIO_F_RING_PACKED] = {"RING_PACKED", true, 0, 0},
    [VIRTIO_F_IN_ORDER] = {"IN_ORDER", false, 0, 0},
    [VIRTIO_F_ORDER_PLATFORM] = {"ORDER_PLATFORM", true, 0, 0},
    [VIRTIO_F_SR_IOV] = {"SR_IOV", false, 0, 0},
    [VIRTIO_F_NOTIFICATION_DATA] = {"NOTIFICATION_DATA", false, 0, 0},
    [VIRTIO_F_NOTIF_CONFIG_DATA] = {"NOTIF_CONFIG_DATA", true, 0, 0},
    [VIRTIO_F_RING_RESET] = {"RING_RESET", true, 0, 0},
    FEATURE(NOTF_COAL),
    TAKEN_WITH(GUEST_USO4, GUEST_CSUM),
    TAKEN_WITH(GUEST_USO6, GUEST_CSUM),
    TAKEN_WITH(HOST_USO, CSUM),
    FEATURE(HASH_REPORT),
    FEATURE(GUEST_HDRLEN),
    FEATURE(RSS),
    FEATURE(RSC_EXT),
    FEATURE(STANDBY),
    TAKEN(SPEED_DUPLEX),
};

#define FEATURES (sizeof(features) / sizeof(features[0]))

uint64_t virtio_net_features_choose(uint64_t offered)
{
    uint64_t taken = 0, before;

    for (unsigned bit = 0; bit < FEATURES; bit++)
        taken |= features[bit].wanted ? offered & VIRTIO_BIT(bit) : 0;
    /* What has lost a bit that it needs may in turn be needed: until nothing goes any more. */
    do {
        before = taken;
        for (unsigned bit = 0; bit < FEATURES; bit++) {
            const struct feature *feature = &features[bit];
            if ((taken & feature->needs) != feature->needs ||
                (feature->needs_one != 0 && !(taken & feature->needs_one)))
                taken &= ~VIRTIO_BIT(bit);
        }
    } while (taken != before);
    return taken;
}

/* What net/ calls an offload, and the bits for the one direction and the other. */
static const struct offload {
    uint32_t offload;
    unsigned guest, host;
} offloads[] = {
    {PORT_OFFLOAD_CSUM, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_CSUM},
    {PORT_OFFLOAD_TSO4, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_HOST_TSO4},
    {PORT_OFFLOAD_TSO6, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_HOST_TSO6},
    {PORT_OFFLOAD_ECN, VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_HOST_ECN},
    {PORT_OFFLOAD_UFO, VIRTIO_NET_F_GUEST_UFO, VIRTIO_NET_F_HOST_UFO},
    {PORT_OFFLOAD_USO4, VIRTIO_NET_F_GUEST_USO4, VIRTIO_NET_F_HOST_USO},
    {PORT_OFFLOAD_USO6, VIRTIO_NET_F_GUEST_USO6, VIRTIO_NET_F_HOST_USO},
    {PORT_OFFLOAD_CHAINS, VIRTIO_NET_F_MRG_RXBUF, VIRTIO_F_INDIRECT_DESC},
};

#define OFFLOADS (sizeof(offloads) / sizeof(offloads[0]))

uint64_t virtio_net_features_offload(void)
{
    uint64_t all = 0;

    for (unsigned i = 0; i < OFFLOADS; i++)
        all |= VIRTIO_BIT(offloads[i].guest) | VIRTIO_BIT(offloads[i].host);
    return all;
}

uint32_t virtio_net_features_tx(uint64_t features_set)
{
    uint32_t set = 0;

    for (unsigned i = 0; i < OFFLOADS; i++)
        set |= features_set & VIRTIO_BIT(offloads[i].host) ? offloads[i].offload : 0;
    return set;
}

uint32_t virtio_net_features_rx(uint64_t features_set)
{
    uint32_t set = 0;

    for (unsigned i = 0; i < OFFLOADS; i++)
        set |= features_set & VIRTIO_BIT(offloads[i].guest) ? offloads[i].offload : 0;
    return set;
}

uint64_t virtio_net_features_guest(uint32_t offload_set)
{
    uint64_t features_set = 0;

    for (unsigned i = 0; i < OFFLOADS; i++)
        features_set |= offload_set & offloads[i].offload ? VIRTIO_BIT(offloads[i].guest) : 0;
    return features_set;
}

void virtio_net_features_text(uint64_t features_set, char text[VIRTIO_NET_FEATURES_TEXT])
{
    size_t used = 0;

    snprintf(text, VIRTIO_NET_FEATURES_TEXT, "none");
    for (unsigned bit = 0; bit < 64; bit++) {
        char unnamed[8];
        const char *name = bit < FEATURES ? features[bit].name : NULL;
        if (!(features_set & VIRTIO_BIT(bit)))
            continue;
        if (name == NULL) {
            snprintf(unnamed, sizeof(unnamed), "bit%u", bit);
            name = unnamed;
        }
        int length = snprintf(text + used, VIRTIO_NET_FEATURES_TEXT - used, "%s%s",
                              used != 0 ? "," : "", name);
        if (length < 0 || (size_t)length >= VIRTIO_NET_FEATURES_TEXT - used) {
            text[used] = '\0'; /* no name is shown in part */
            return;
        }
        used += (size_t)length;
    }
}
