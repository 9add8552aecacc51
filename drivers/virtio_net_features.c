/* One table for all that is to be known of a feature bit. */
#include "drivers/virtio_net_features.h"

#include <stdbool.h>
#include <stdio.h>

#include "drivers/virtio.h"
#include "drivers/virtio_spec.h"

#define FEATURE(bit) [VIRTIO_NET_F_##bit] = {#bit, false, 0}
#define TAKEN(bit) [VIRTIO_NET_F_##bit] = {#bit, true, 0}
#define TAKEN_WITH(bit, needed)                                                                    \
    [VIRTIO_NET_F_##bit] = {#bit, true, VIRTIO_BIT(VIRTIO_NET_F_##needed)}

/*
 * Not taken, with the reason: GUEST_CSUM and the segmentation bits, so that no frame with an
 * unfinished checksum comes in; MRG_RXBUF, since one buffer holds any frame we let in;
 * NOTIFY_ON_EMPTY, since it overrides the suppression of interrupts; MQ, since one pair of queues is
 * used, which is what a device without MQ has; INDIRECT_DESC saves nothing where a frame is one
 * descriptor; NOTIFICATION_DATA would have each doorbell carry what the ring says anyway.
 *
 * ACCESS_PLATFORM (§6) says that addresses go through the platform's translation: nothing has
 * switched one on here, so they are physical ones all the same, and to refuse the bit is to lose the
 * device. ORDER_PLATFORM asks for the order of the platform's own memory: on x86 the ring's release
 * stores and full fences are that.
 */
static const struct feature {
    const char *name;
    bool wanted;
    uint64_t needs; /* §5.1.3.1 "Feature bit requirements" */
} features[] = {
    FEATURE(CSUM),
    FEATURE(GUEST_CSUM),
    TAKEN_WITH(CTRL_GUEST_OFFLOADS, CTRL_VQ),
    TAKEN(MTU),
    TAKEN(MAC),
    FEATURE(GSO),
    FEATURE(GUEST_TSO4),
    FEATURE(GUEST_TSO6),
    FEATURE(GUEST_ECN),
    FEATURE(GUEST_UFO),
    FEATURE(HOST_TSO4),
    FEATURE(HOST_TSO6),
    FEATURE(HOST_ECN),
    FEATURE(HOST_UFO),
    FEATURE(MRG_RXBUF),
    TAKEN(STATUS),
    TAKEN(CTRL_VQ),
    TAKEN_WITH(CTRL_RX, CTRL_VQ),
    TAKEN_WITH(CTRL_VLAN, CTRL_VQ), /* if VLANs are configured: see negotiate() */
    TAKEN_WITH(CTRL_RX_EXTRA, CTRL_RX),
    TAKEN_WITH(GUEST_ANNOUNCE, CTRL_VQ),
    FEATURE(MQ),
    TAKEN_WITH(CTRL_MAC_ADDR, CTRL_VQ),
    [VIRTIO_F_NOTIFY_ON_EMPTY] = {"NOTIFY_ON_EMPTY", false, 0},
    [VIRTIO_F_ANY_LAYOUT] = {"ANY_LAYOUT", true, 0},
    [VIRTIO_F_INDIRECT_DESC] = {"INDIRECT_DESC", false, 0},
    [VIRTIO_F_EVENT_IDX] = {"EVENT_IDX", true, 0},
    [VIRTIO_F_VERSION_1] = {"VERSION_1", true, 0},
    [VIRTIO_F_ACCESS_PLATFORM] = {"ACCESS_PLATFORM", true, 0},
    [VIRTIO_F_RING_PACKED] = {"RING_PACKED", true, 0},
    [VIRTIO_F_IN_ORDER] = {"IN_ORDER", true, 0},
    [VIRTIO_F_ORDER_PLATFORM] = {"ORDER_PLATFORM", true, 0},
    [VIRTIO_F_SR_IOV] = {"SR_IOV", false, 0},
    [VIRTIO_F_NOTIFICATION_DATA] = {"NOTIFICATION_DATA", false, 0},
    [VIRTIO_F_NOTIF_CONFIG_DATA] = {"NOTIF_CONFIG_DATA", true, 0},
    [VIRTIO_F_RING_RESET] = {"RING_RESET", true, 0},
    FEATURE(NOTF_COAL),
    FEATURE(GUEST_USO4),
    FEATURE(GUEST_USO6),
    FEATURE(HOST_USO),
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
            if ((taken & features[bit].needs) != features[bit].needs)
                taken &= ~VIRTIO_BIT(bit);
        }
    } while (taken != before);
    return taken;
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
