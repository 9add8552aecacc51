/* Frames that want something done, and lies about it. */
#include "tests/host/adversary_frame.h"

#include <stdbool.h>
#include <string.h>

#include "net/netdev.h"
#include "tests/host/sim_virtio_net.h"

#define KINDS 8 /* chosen by three bits */

enum {
    NEEDS_CSUM = 1,
    GSO_ECN = 0x80,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
    GARBAGE = 0xff /* of a gso_type: all of the header is what the input says */
};

static const struct kind {
    uint32_t offload; /* without which it may not be given */
    uint8_t flags, gso_type;
    bool ipv6;
    uint8_t protocol;
} kinds[KINDS] = {
    {0, 0, 0, false, PROTOCOL_TCP},
    {NETDEV_OFFLOAD_CSUM, NEEDS_CSUM, 0, true, PROTOCOL_UDP},
    {NETDEV_OFFLOAD_TSO4, NEEDS_CSUM, 1, false, PROTOCOL_TCP},
    {NETDEV_OFFLOAD_TSO6, NEEDS_CSUM, 4, true, PROTOCOL_TCP},
    {NETDEV_OFFLOAD_UFO, NEEDS_CSUM, 3, false, PROTOCOL_UDP},
    {NETDEV_OFFLOAD_USO4, NEEDS_CSUM, 5, false, PROTOCOL_UDP},
    {NETDEV_OFFLOAD_USO6, NEEDS_CSUM, 5, true, PROTOCOL_UDP},
    {UINT32_MAX, 0, GARBAGE, false, PROTOCOL_TCP},
};

uint64_t adversary_frame_features(struct input *input)
{
    static const unsigned bits[] = {
        SIM_F_GUEST_CSUM, SIM_F_GUEST_TSO4, SIM_F_GUEST_TSO6, SIM_F_GUEST_ECN, SIM_F_GUEST_UFO,
        SIM_F_GUEST_USO4, SIM_F_GUEST_USO6, SIM_F_HOST_TSO4,  SIM_F_HOST_TSO6, SIM_F_HOST_ECN,
        SIM_F_HOST_UFO,   SIM_F_HOST_USO,   SIM_F_CSUM,
    };
    const uint16_t without = input_16(input), also_without = input_16(input);
    uint64_t features = 0;

    for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
        features |= without & also_without & 1u << i ? 0 : 1ull << bits[i];
    return features;
}

static void put16(uint8_t *at, uint32_t value)
{
    const uint16_t word = (uint16_t)value;

    memcpy(at, &word, sizeof(word));
}

/* Headers alone, the addresses out of `seed`; returns their length. */
static uint32_t build(uint8_t *header, uint8_t *frame, const struct kind *kind, uint8_t seed)
{
    const uint32_t start = kind->ipv6 ? 54 : 34; /* of TCP or UDP */
    const bool tcp = kind->protocol == PROTOCOL_TCP;
    const uint32_t payload = start + (tcp ? 20 : 8);

    memset(frame, 0, ADVERSARY_FRAME_ROOM);
    memset(header, 0, ADVERSARY_HEADER);
    memset(frame, seed & 0xfe, 12);
    memcpy(frame + 12, kind->ipv6 ? "\x86\xdd\x60" : "\x08\x00\x45", 3);
    frame[kind->ipv6 ? 20 : 23] = kind->protocol;
    frame[start + 12] = 0x50; /* of a TCP header: 20 bytes */
    header[0] = kind->flags;
    header[1] = kind->gso_type;
    if (kind->flags != 0) {
        put16(header + 6, start);
        put16(header + 8, tcp ? 16 : 6);
    }
    if (kind->gso_type != 0) {
        put16(header + 2, payload);
        put16(header + 4, 1400);
    }
    return payload;
}

/* Some byte of the first `room` becomes another one. */
static void spoil(uint8_t *bytes, uint32_t room, struct input *input)
{
    const uint8_t at = input_8(input);

    bytes[at % room] = input_8(input);
}

uint32_t adversary_frame_make(uint8_t *header, uint8_t *frame, uint32_t room, struct input *input)
{
    const uint8_t choice = input_8(input), size = input_8(input);
    const struct kind *kind = &kinds[choice % KINDS];
    uint32_t length = build(header, frame, kind, input_8(input));

    if (kind->gso_type == GARBAGE)
        input_fill(input, header, ADVERSARY_HEADER);
    if (choice & 8 && kind->protocol == PROTOCOL_TCP)
        header[1] |= GSO_ECN;
    if (choice & 16)
        spoil(header, ADVERSARY_HEADER, input);
    if (choice & 32)
        spoil(frame, length, input);
    if (choice & 64) /* cut short, perhaps within the headers */
        length = ETHERNET_HEADER_SIZE + size % 64;
    else
        length += size * (choice & 128 ? 256 : 6);
    return length < room ? length : room;
}

uint32_t adversary_frame_make_fair(uint8_t *header, uint8_t *frame, uint32_t room, uint32_t given,
                                   uint8_t choice)
{
    const struct kind *kind = &kinds[choice % KINDS];

    if ((kind->offload & given) != kind->offload)
        kind = &kinds[0];
    const uint32_t payload = build(header, frame, kind, choice);
    const uint32_t length = payload + 1 + (kind->gso_type != 0 ? choice * 64 : choice % 64);
    return length < room ? length : room;
}
