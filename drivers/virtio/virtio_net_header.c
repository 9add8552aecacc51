/* Judges device headers: checksums to be finished, and frames to be cut into segments. */
#include "drivers/virtio/virtio_net_header.h"

#include <stdbool.h>
#include <string.h>

#include "net/ethernet.h"
#include "net/port.h"

#define IPV4_HEADER_MIN 20
#define IPV4_FRAGMENT 0x3fff /* more fragments, or not the first one */
#define IPV6_HEADER 40
#define IPV6_EXTENSIONS_MAX 8 /* of 2 KiB at most: so hdr_len can say where headers end */
#define PROTOCOL_HOP_BY_HOP 0
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ROUTING 43
#define PROTOCOL_DESTINATION 60
#define TCP_HEADER_MIN 20
#define TCP_CHECKSUM_AT 16
#define UDP_HEADER 8
#define UDP_CHECKSUM_AT 6

/* Where things lie in a frame, bytes from its start. */
struct transport {
    bool ipv6;
    uint8_t protocol;
    uint32_t start;   /* of the TCP or UDP header */
    uint32_t payload; /* behind it */
};

/* ---- the frame ---- */

static bool find_ipv4(const uint8_t *frame, uint32_t at, uint32_t length, struct transport *found)
{
    const uint8_t *const ip = frame + at;

    if (length - at < IPV4_HEADER_MIN || ip[0] >> 4 != 4 || (ip[0] & 0xf) * 4 < IPV4_HEADER_MIN ||
        (ethernet_load16(ip + 6) & IPV4_FRAGMENT))
        return false;
    found->protocol = ip[9];
    found->start = at + (ip[0] & 0xf) * 4;
    return true;
}

/* Extension headers that every segment repeats may stand in between. */
static bool find_ipv6(const uint8_t *frame, uint32_t at, uint32_t length, struct transport *found)
{
    const uint8_t *const ip = frame + at;

    if (length - at < IPV6_HEADER || ip[0] >> 4 != 6)
        return false;
    uint8_t next = ip[6];
    at += IPV6_HEADER;
    for (unsigned i = 0; i < IPV6_EXTENSIONS_MAX && at + 2 <= length; i++) {
        if (next != PROTOCOL_HOP_BY_HOP && next != PROTOCOL_ROUTING && next != PROTOCOL_DESTINATION)
            break;
        next = frame[at];
        at += (frame[at + 1] + 1) * 8;
    }
    found->ipv6 = true;
    found->protocol = next;
    found->start = at;
    return true;
}

/* True for TCP or UDP over IP whose headers lie within the frame. */
static bool find_transport(const struct virtio_net_frame *whole, struct transport *found)
{
    const uint8_t *const frame = whole->start;
    const uint32_t length = whole->here;
    const uint32_t at =
        ETHERNET_HEADER_SIZE + ethernet_vlan_bytes(frame, length, ETHERNET_VLAN_TAGS_MAX);
    const unsigned type = ethernet_load16(frame + at - 2);
    uint32_t size = UDP_HEADER;

    *found = (struct transport){0};
    if (type == ETHERTYPE_IPV4 ? !find_ipv4(frame, at, length, found)
                               : type != ETHERTYPE_IPV6 || !find_ipv6(frame, at, length, found))
        return false;
    if (found->protocol == PROTOCOL_TCP) {
        if (found->start + TCP_HEADER_MIN > length)
            return false;
        size = (frame[found->start + 12] >> 4) * 4;
        if (size < TCP_HEADER_MIN)
            return false;
    } else if (found->protocol != PROTOCOL_UDP) {
        return false;
    }
    found->payload = found->start + size;
    return found->payload <= length;
}

/* ---- the header ---- */

/* The ways of cutting that the header may mean: more than one where the frame decides; 0 for none. */
static uint32_t meant_by(const struct virtio_net_hdr *header)
{
    switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_TCPV4:
        return PORT_OFFLOAD_TSO4;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        return PORT_OFFLOAD_TSO6;
    case VIRTIO_NET_HDR_GSO_UDP:
        return PORT_OFFLOAD_UFO;
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        return PORT_OFFLOAD_USO4 | PORT_OFFLOAD_USO6;
    default:
        return 0;
    }
}

/* What the header asks for, of which the frame is what it says, as PORT_OFFLOAD_…; 0 for a lie. */
static uint32_t wanted_by(const struct virtio_net_hdr *header, const struct transport *transport,
                          uint32_t length)
{
    const bool tcp = transport->protocol == PROTOCOL_TCP;
    uint32_t wanted = meant_by(header);

    if (wanted == (PORT_OFFLOAD_USO4 | PORT_OFFLOAD_USO6))
        wanted = transport->ipv6 ? PORT_OFFLOAD_USO6 : PORT_OFFLOAD_USO4;
    if (tcp != (wanted == PORT_OFFLOAD_TSO4 || wanted == PORT_OFFLOAD_TSO6) ||
        (tcp && transport->ipv6 != (wanted == PORT_OFFLOAD_TSO6)))
        return 0;
    if (header->csum_start != transport->start ||
        header->csum_offset != (tcp ? TCP_CHECKSUM_AT : UDP_CHECKSUM_AT))
        return 0;
    /* hdr_len is a hint (§5.1.6.4.2), but none that may point beyond the frame. */
    if (header->gso_size == 0 || length == transport->payload || header->hdr_len > length)
        return 0;
    if (header->gso_type & VIRTIO_NET_HDR_GSO_ECN)
        wanted = tcp ? wanted | PORT_OFFLOAD_ECN : 0;
    return wanted;
}

/* Garbage in fields of features that the source has not negotiated is not looked at (§5.1.6.4). */
static void drop_what_was_not_negotiated(struct virtio_net_hdr *header, uint32_t given)
{
    header->num_buffers = 0; /* §5.1.6.2 */
    header->flags &=
        VIRTIO_NET_HDR_F_NEEDS_CSUM; /* DATA_VALID and RSC_INFO are not for us to send */
    if (!(given & PORT_OFFLOAD_CSUM))
        *header = (struct virtio_net_hdr){0};
    if (!(given & PORT_OFFLOAD_ECN))
        header->gso_type &= (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
    if (!(given & meant_by(header)))
        header->gso_type = VIRTIO_NET_HDR_GSO_NONE;
    if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE)
        header->hdr_len = header->gso_size = 0;
}

static bool checksum_lies_within(const struct virtio_net_hdr *header, uint32_t length)
{
    return header->csum_start >= ETHERNET_HEADER_SIZE &&
           (uint32_t)header->csum_start + header->csum_offset + sizeof(uint16_t) <= length;
}

/*
 * The sum of all 16-bit words from csum_start on; the field itself holds that of the pseudo header
 * (§5.1.6.2). Byte order does not matter to a ones' complement sum. 0 would mean to UDP that there is
 * no checksum, and all ones say the same to others.
 */
static void finish_checksum(const struct virtio_net_hdr *header, uint8_t *frame, uint32_t length)
{
    uint64_t sum = 0;
    uint16_t word;

    for (uint32_t at = header->csum_start; at < length; at += sizeof(word)) {
        word = 0;
        memcpy(&word, frame + at, at + 1 < length ? sizeof(word) : 1);
        sum += word;
    }
    while (sum >> 16 != 0)
        sum = (sum & UINT16_MAX) + (sum >> 16);
    word = (uint16_t)~sum;
    if (word == 0)
        word = UINT16_MAX;
    memcpy(frame + header->csum_start + header->csum_offset, &word, sizeof(word));
}

static enum virtio_net_verdict judge_segments(struct virtio_net_hdr *header,
                                              const struct virtio_net_frame *frame, uint32_t given,
                                              uint32_t possible)
{
    struct transport transport;

    if (!find_transport(frame, &transport))
        return HEADER_LIES;
    const uint32_t wanted = wanted_by(header, &transport, frame->length);
    if (wanted == 0 || (wanted & ~given))
        return HEADER_LIES;
    if (wanted & ~possible)
        return HEADER_ASKS_TOO_MUCH;
    if (header->hdr_len < transport.payload) /* §5.1.6.2: it should be no less */
        header->hdr_len = (uint16_t)transport.payload;
    return HEADER_PASSES;
}

enum virtio_net_verdict virtio_net_header_validate(struct virtio_net_hdr *header,
                                                   const struct virtio_net_frame *frame,
                                                   uint32_t given, uint32_t possible)
{
    drop_what_was_not_negotiated(header, given);
    if (!(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
        if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE)
            return HEADER_LIES; /* every segment needs a checksum of its own */
        *header = (struct virtio_net_hdr){0};
        return HEADER_PASSES;
    }
    if (!checksum_lies_within(header, frame->length))
        return HEADER_LIES;
    if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE)
        return judge_segments(header, frame, given, possible);
    if (!(possible & PORT_OFFLOAD_CSUM)) {
        if (frame->here < frame->length)
            return HEADER_ASKS_TOO_MUCH;
        finish_checksum(header, frame->start, frame->length);
        *header = (struct virtio_net_hdr){0};
    }
    return HEADER_PASSES;
}

uint32_t virtio_net_header_piece(const struct virtio_net_hdr *header,
                                 const struct virtio_net_frame *frame, uint32_t given)
{
    const uint32_t length = frame->length;
    struct virtio_net_hdr judged = *header;
    struct transport transport;

    drop_what_was_not_negotiated(&judged, given);
    if (judged.gso_type == VIRTIO_NET_HDR_GSO_NONE || !find_transport(frame, &transport) ||
        !wanted_by(&judged, &transport, length))
        return length;
    /* UDP fragments repeat the IP header alone. */
    const uint32_t repeated =
        meant_by(&judged) == PORT_OFFLOAD_UFO ? transport.start : transport.payload;
    const uint32_t segment = repeated + judged.gso_size;
    return segment < length ? segment : length;
}
