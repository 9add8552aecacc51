/* Frames: Ethernet, IPv4, UDP, and behind that a magic number, their own number, and a pattern. */
#include "tests/bench/testbed/traffic.h"

#include <err.h>
#include <string.h>

#include "drivers/virtio/virtio_spec.h"

#define NUM_BUFFERS 10 /* its offset */

#define MAGIC 0x62656472617765ULL
#define IP 14            /* offset of the IPv4 header, */
#define UDP (IP + 20)    /* of UDP's, */
#define TAG (UDP + 8)    /* of the magic number, */
#define NUMBER (TAG + 8) /* of the frame's number, */
#define PATTERN (NUMBER + 8)

static void put16(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

/* RFC 1071, over the IPv4 header, whose own field is 0 before. */
static uint32_t ip_checksum(const uint8_t *header)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < 20; i += 2)
        sum += (uint32_t)header[i] << 8 | header[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    return ~(sum + (sum >> 16)) & 0xffff;
}

/* From host 10.0.<direction>.2 to the one at the other side; all but the number. */
static void make_frame(struct flow *flow, uint8_t direction, uint32_t length)
{
    uint8_t *const frame = flow->frame;
    const uint8_t from[] = {0x02, 0, 0, 0, direction, 2}, to[] = {0x02, 0, 0, 0, !direction, 2};
    const uint8_t ip[] = {0x45, 0, 0,  0, 0,         0, 0,  0, 64,         17,
                          0,    0, 10, 0, direction, 2, 10, 0, !direction, 2};
    const uint64_t magic = MAGIC + direction;

    for (uint32_t i = PATTERN; i < length; i++)
        frame[i] = (uint8_t)(i * 7 + direction);
    memcpy(frame, to, sizeof(to));
    memcpy(frame + 6, from, sizeof(from));
    put16(frame + 12, 0x0800);
    memcpy(frame + IP, ip, sizeof(ip));
    put16(frame + IP + 2, length - IP);
    put16(frame + IP + 10, ip_checksum(frame + IP));
    put16(frame + UDP, 4096);
    put16(frame + UDP + 2, 4096);
    put16(frame + UDP + 4, length - UDP);
    put16(frame + UDP + 6, 0); /* no checksum */
    memcpy(frame + TAG, &magic, sizeof(magic));
    flow->length = length;
}

void traffic_restart(struct traffic *traffic, uint32_t length)
{
    traffic->foreign = 0;
    for (unsigned i = 0; i < PORTS; i++) {
        struct flow *const flow = &traffic->flows[i];
        flow->first = flow->next = flow->first + flow->sent;
        flow->sent = flow->received = flow->disordered = flow->corrupt = 0;
        make_frame(flow, (uint8_t)i, length);
    }
}

/* ---- in ---- */

/* Copies what fits of `length` bytes to the span from `*used` on; returns how many. */
static uint32_t fill(const struct span *span, uint32_t *used, const uint8_t *bytes, uint32_t length)
{
    const uint32_t room = span->length - *used;
    const uint32_t n = length < room ? length : room;

    memcpy(span->bytes + *used, bytes, n);
    *used += n;
    return n;
}

/* Spreads header and frame over what the device may write; returns the bytes written. */
static uint32_t scatter(const struct chain *chain, const uint8_t *header, uint32_t header_length,
                        const struct flow *flow)
{
    uint32_t in_header = 0, in_frame = 0;

    for (unsigned i = 0; i < chain->count && in_frame < flow->length; i++) {
        const struct span *const span = &chain->spans[i];
        uint32_t used = 0;
        if (!span->write)
            errx(1, "an rx descriptor that the device may not write");
        in_header += fill(span, &used, header + in_header, header_length - in_header);
        in_frame += fill(span, &used, flow->frame + in_frame, flow->length - in_frame);
    }
    if (in_frame < flow->length)
        errx(1, "an rx buffer of %u bytes for a frame of %u", in_header + in_frame, flow->length);
    return in_header + in_frame;
}

uint32_t traffic_deliver(struct traffic *traffic, unsigned flow_number, uint32_t n)
{
    struct vhost_user_port *const port = &traffic->ports[flow_number];
    struct device_queue *const rx = &port->queues[VIRTIO_NET_QUEUE_RECEIVE].ring;
    struct flow *const flow = &traffic->flows[flow_number];
    const uint8_t header[VIRTIO_NET_HDR_BYTES] = {[NUM_BUFFERS] = 1};
    struct chain chain;
    uint32_t done;

    for (done = 0; done < n && device_queue_take(rx, &chain); done++) {
        const uint64_t number = flow->first + flow->sent++;
        memcpy(flow->frame + NUMBER, &number, sizeof(number));
        device_queue_finish(rx, &chain, scatter(&chain, header, port->header, flow));
    }
    return done;
}

void traffic_show(struct traffic *traffic, unsigned flow)
{
    device_queue_publish(&traffic->ports[flow].queues[VIRTIO_NET_QUEUE_RECEIVE].ring);
}

/* ---- out ---- */

static void check_order(struct flow *flow, uint64_t number)
{
    if (number < flow->next) {
        flow->disordered++;
    } else {
        flow->received++;
        flow->next = number + 1;
    }
}

/* Looks at one frame that came out of the port that `flow` leads to. */
static void check(struct traffic *traffic, struct flow *flow, const uint8_t *frame, uint32_t length)
{
    uint64_t number;

    if (length < PATTERN || memcmp(frame + TAG, flow->frame + TAG, sizeof(uint64_t)) != 0) {
        traffic->foreign++;
        return;
    }
    memcpy(&number, frame + NUMBER, sizeof(number));
    if (number < flow->first) {
        traffic->foreign++;
        return;
    }
    if (length != flow->length || memcmp(frame, flow->frame, NUMBER) != 0 ||
        memcmp(frame + PATTERN, flow->frame + PATTERN, length - PATTERN) != 0)
        flow->corrupt++;
    check_order(flow, number);
}

/* Header and frame in one piece: in place if they are contiguous, else copied to `copy`. */
static const uint8_t *gather(const struct chain *chain, uint8_t *copy, uint32_t *length)
{
    uint32_t at = 0;

    *length = chain->spans[0].length;
    if (chain->count == 1)
        return chain->spans[0].bytes;
    for (unsigned i = 0; i < chain->count; i++) {
        const struct span *const span = &chain->spans[i];
        if (span->length > VIRTIO_NET_HDR_BYTES + FRAME_MAX - at)
            errx(1, "a tx chain of more than %u bytes", VIRTIO_NET_HDR_BYTES + FRAME_MAX);
        memcpy(copy + at, span->bytes, span->length);
        at += span->length;
    }
    *length = at;
    return copy;
}

uint32_t traffic_collect(struct traffic *traffic, unsigned port_number, uint32_t n)
{
    struct vhost_user_port *const port = &traffic->ports[port_number];
    struct device_queue *const tx = &port->queues[VIRTIO_NET_QUEUE_TRANSMIT].ring;
    struct flow *const flow = &traffic->flows[!port_number];
    uint8_t copy[VIRTIO_NET_HDR_BYTES + FRAME_MAX];
    struct chain chain;
    uint32_t done;

    for (done = 0; done < n && device_queue_take(tx, &chain); done++) {
        uint32_t length;
        const uint8_t *const packet = gather(&chain, copy, &length);
        if (length < port->header)
            errx(1, "a tx chain of %u bytes", length);
        check(traffic, flow, packet + port->header, length - port->header);
        device_queue_finish(tx, &chain, 0);
    }
    device_queue_publish(tx);
    return done;
}

uint64_t traffic_received(const struct traffic *traffic)
{
    return traffic->flows[0].received + traffic->flows[1].received;
}
