/*
 * Device headers against frames: drivers/virtio/virtio_net_header.c. With any input nothing
 * outside the frame is read, and only headers pass that virtio 1.2 §5.1.6.2 allows a driver.
 *
 * Input: one byte each of what was given and what is possible, the header (10 bytes), then the
 * frame.
 */
#include "tests/fuzz/target.h"

#include <stdlib.h>
#include <string.h>

#include <machine/panic.h>

#include "drivers/virtio/virtio_net_header.h"
#include "net/port.h"
#include "tests/fuzz/input.h"

#define FRAME_MIN 14
#define FRAME_MAX 4096

static void check_passed(const struct virtio_net_hdr *header, uint32_t length, uint32_t possible)
{
    static const struct virtio_net_hdr zero;

    ensure((header->flags & ~1u) == 0 && header->num_buffers == 0);
    if (header->flags == 0) {
        ensure(memcmp(header, &zero, sizeof(zero)) == 0);
        return;
    }
    ensure(possible & PORT_OFFLOAD_CSUM);
    ensure(header->csum_start >= FRAME_MIN &&
           (uint32_t)header->csum_start + header->csum_offset + 2 <= length);
    if (header->gso_type != 0)
        ensure((possible & PORT_OFFLOAD_SEGMENTS) && header->gso_size != 0 &&
               header->hdr_len >= header->csum_start + 8u && header->hdr_len <= length);
}

/* None without checksums: that is how they are negotiated. */
static uint32_t offloads(struct input *input)
{
    const uint32_t choice = input_8(input);

    return choice & PORT_OFFLOAD_CSUM ? choice : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct virtio_net_hdr header = {0};
    const uint32_t given = offloads(&input), possible = offloads(&input);

    input_fill(&input, &header, VIRTIO_NET_HDR_BYTES_LEGACY);
    const uint32_t length = input.left < FRAME_MIN   ? FRAME_MIN
                            : input.left > FRAME_MAX ? FRAME_MAX
                                                     : (uint32_t)input.left;
    uint8_t *const frame = malloc(length), *const before = malloc(length); /* no byte more */
    input_fill(&input, frame, length);
    memcpy(before, frame, length);

    const struct virtio_net_frame whole = {frame, length, length};
    const uint32_t piece = virtio_net_header_piece(&header, &whole, given);
    ensure(piece >= 1 && piece <= length);
    ensure(memcmp(frame, before, length) == 0);
    const enum virtio_net_verdict verdict =
        virtio_net_header_validate(&header, &whole, given, possible);
    if (verdict == HEADER_PASSES)
        check_passed(&header, length, possible);
    if (verdict != HEADER_PASSES || header.flags != 0) /* else a checksum may have been finished */
        ensure(memcmp(frame, before, length) == 0);
    free(frame);
    free(before);
    return 0;
}
