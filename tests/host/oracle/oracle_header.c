/* Device headers, held against the frames behind them. */
#include "tests/host/oracle/oracle_header.h"

#include <string.h>

#include <machine/panic.h>

#include "drivers/virtio/virtio_net_header.h"

#define FRAME_MAX PORT_FRAME_SEGMENTS

static struct virtio_net_hdr read_header(const struct virtio_net *net, const uint8_t *bytes)
{
    struct virtio_net_hdr header = {0};

    memcpy(&header, bytes, net->header_size);
    return header;
}

static bool is_zero(const struct virtio_net_hdr *header)
{
    static const struct virtio_net_hdr zero;

    return memcmp(header, &zero, sizeof(zero)) == 0;
}

/* As the driver sees a frame in one buffer. */
static struct virtio_net_frame whole(const uint8_t *frame, uint32_t length)
{
    return (struct virtio_net_frame){.start = (uint8_t *)frame, .length = length, .here = length};
}

void oracle_header_check_sent(const struct virtio_net *to, const uint8_t *header,
                              const uint8_t *frame, uint32_t length)
{
    const struct virtio_net_hdr sent = read_header(to, header);
    const struct virtio_net_frame seen = whole(frame, length);
    struct virtio_net_hdr checked = sent;

    if (is_zero(&sent))
        return;
    ensure((to->port.tx_offloads & PORT_OFFLOAD_CSUM) && sent.num_buffers == 0);
    /* The frame is only read, as its checksum is not finished here. */
    ensure(virtio_net_header_validate(&checked, &seen, UINT32_MAX, to->port.tx_offloads) ==
           HEADER_PASSES);
    ensure(memcmp(&checked, &sent, sizeof(sent)) == 0);
}

bool oracle_header_passes(const struct virtio_net *from, const struct virtio_net *to,
                          const uint8_t *frame, uint32_t length)
{
    static uint8_t copy[FRAME_MAX]; /* whose checksum may be finished */
    struct virtio_net_hdr header = read_header(from, frame - from->header_size);
    const struct virtio_net_frame seen = whole(copy, length);

    ensure(length <= sizeof(copy));
    memcpy(copy, frame, length);
    return virtio_net_header_validate(&header, &seen, from->port.rx_offloads,
                                      to->port.tx_offloads) == HEADER_PASSES;
}

uint32_t oracle_header_piece(const struct virtio_net *to, const uint8_t *frame, uint32_t length)
{
    const struct virtio_net_hdr header = read_header(to, frame - to->header_size);
    const struct virtio_net_frame seen = whole(frame, length);

    return is_zero(&header) ? length : virtio_net_header_piece(&header, &seen, UINT32_MAX);
}
