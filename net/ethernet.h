/* What stands in front of a frame's payload: EtherTypes and VLAN tags (802.1Q, 802.1ad). */
#ifndef NET_ETHERNET_H
#define NET_ETHERNET_H

#include <stdint.h>

#include "net/batch.h"

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_SERVICE_VLAN 0x88a8
#define ETHERNET_VLAN_TAGS_MTU                                                                     \
    2 /* so many do not count against an mtu: buffers have room for them */
#define ETHERNET_VLAN_TAGS_MAX 8 /* of a frame that is looked into; further ones nobody sends */

/* The two bytes at `at` as a number. */
static inline unsigned ethernet_load16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

/* Bytes of VLAN tags in front of the payload of a frame of `length` bytes, `tags_max` of them at most;
 * the EtherType behind them lies within the frame. */
static inline uint32_t ethernet_vlan_bytes(const uint8_t *frame, uint32_t length, uint32_t tags_max)
{
    uint32_t tags = 0;

    while (tags < tags_max) {
        const uint32_t at = 2 * ETHERNET_ADDRESS_SIZE + tags * ETHERNET_VLAN_SIZE;
        if (at + ETHERNET_VLAN_SIZE + 2 > length)
            break;
        const unsigned type = ethernet_load16(frame + at);
        if (type != ETHERTYPE_VLAN && type != ETHERTYPE_SERVICE_VLAN)
            break;
        tags++;
    }
    return tags * ETHERNET_VLAN_SIZE;
}

#endif
