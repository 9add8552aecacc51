/*
 * Frames with something left to do on them (virtio 1.2 §5.1.6.2), and the end of what a port's frames
 * may want, when the port they leave by can do less.
 */
#include <string.h>

#include "drivers/virtio/virtio_net_features.h"
#include "drivers/virtio/virtio_net_header.h"
#include "drivers/virtio/virtio_net_internal.h"

/* ---- a frame ---- */

/* The header in front of `frame` as the port that received it has left it there; of none where it has
 * no part in this. */
static struct virtio_net_hdr read_header(const struct port *from, const uint8_t *frame)
{
    struct virtio_net_hdr header = {0};

    if (from->rx_header != 0)
        memcpy(&header, frame - from->rx_header, VIRTIO_NET_HDR_BYTES_LEGACY);
    return header;
}

/* Both forms end where the frame begins. What is in front of them is cleared, as it would look like
 * a part of a header later. */
static void write_header(const struct virtio_net *net, uint8_t *frame,
                         const struct virtio_net_hdr *header)
{
    memset(frame - VIRTQUEUE_HEADER_ROOM, 0, VIRTQUEUE_HEADER_ROOM);
    memcpy(frame - net->header_size, header, VIRTIO_NET_HDR_BYTES_LEGACY);
}

static struct virtio_net_frame frame_of(uint8_t *buffer, uint32_t length, uint32_t frame_max)
{
    return (struct virtio_net_frame){
        .start = buffer + PACKET_HEADROOM,
        .length = length,
        .here = virtqueue_smaller(length, frame_max),
    };
}

static enum virtio_net_verdict validate(const struct virtio_net *net, struct virtio_net_hdr *header,
                                        const struct virtio_net_frame *frame, uint32_t given)
{
    const uint32_t possible = net->port.tx_offloads;

    if (frame->here < frame->length && !(possible & PORT_OFFLOAD_CHAINS))
        return HEADER_ASKS_TOO_MUCH;
    return virtio_net_header_validate(header, frame, given, possible);
}

bool virtio_net_finish(struct virtio_net *net, const struct port *from, uint8_t *buffer,
                       uint32_t length)
{
    struct pool *const pool = pool_owner(net->tx.pool, buffer);
    const struct virtio_net_frame frame = frame_of(buffer, length, pool->frame_max);
    struct virtio_net_hdr header = read_header(from, frame.start);

    switch (validate(net, &header, &frame, from->rx_offloads)) {
    case HEADER_LIES:
        net->port.stats.tx_bad_offload++;
        break;
    case HEADER_ASKS_TOO_MUCH:
        net->port.stats.tx_no_offload++;
        break;
    default:
        write_header(net, frame.start, &header);
        return true;
    }
    net->port.stats.tx_dropped++;
    pool_put(pool, buffer);
    return false;
}

uint32_t virtio_net_segment_length(const struct port *port, const uint8_t *frame, uint32_t length)
{
    const struct virtio_net *const net = virtio_net_of_const(port);
    const struct virtio_net_hdr header = read_header(port, frame);
    const struct virtio_net_frame whole =
        frame_of((uint8_t *)frame - PACKET_HEADROOM, length, net->rx.pool->frame_max);

    return virtio_net_header_piece(&header, &whole, port->rx_offloads);
}

/* ---- less than before ---- */

uint64_t virtio_net_offloads_left(const struct virtio_net *net)
{
    const uint64_t guest = virtio_net_features_guest(VIRTIO_NET_OFFLOADS_BY_COMMAND);
    const uint64_t rest = net->virtio.taken & ~guest;
    const uint64_t allowed =
        net->guest_offloads & virtio_net_features_guest(net->port.wanted.offloads);

    return virtio_net_features_choose(rest | allowed) & guest; /* none without what it depends on */
}

const char *virtio_net_cut_offloads(struct virtio_net *net)
{
    const uint32_t wanted = net->port.wanted.offloads;

    if (virtio_has(&net->virtio, VIRTIO_NET_F_MRG_RXBUF) && !(wanted & PORT_OFFLOAD_CHAINS))
        return "offloads"; /* no command cuts that */
    if ((net->guest_offloads & ~virtio_net_features_guest(wanted)) == 0)
        return NULL; /* as nearly always */
    if (!virtio_has(&net->virtio, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS))
        return "offloads";
    net->settings.due |= 1u << SETTING_OFFLOADS;
    return NULL;
}
