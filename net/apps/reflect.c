/*
 * Every frame goes back to where it came from: source and destination MAC change places. A group address
 * must not become a source (802.3 clause 3.2.3 has the bit reserved there), so a multicast or broadcast
 * frame goes back to its sender from the port's own address.
 */
#include <string.h>

#include "net/app.h"
#include "net/lane.h"

#define GROUP_ADDRESS 0x01 /* the first bit on the wire: multicast, broadcast */

static void swap_addresses(const struct lane *lane, uint8_t *destination)
{
    uint8_t *source = destination + ETHERNET_ADDRESS_SIZE;
    struct mac_address answer;

    if (destination[0] & GROUP_ADDRESS)
        answer = lane->rx->mac;
    else
        memcpy(answer.bytes, destination, sizeof(answer));
    memcpy(destination, source, sizeof(answer));
    memcpy(source, answer.bytes, sizeof(answer));
}

static void burst(struct lane *lane, struct batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++)
        swap_addresses(lane, batch_frame(batch, i));
}

static const struct app reflect = {
    .place = 2,
    .name = "reflect",
    .help = "every frame goes back to its sender, by the port that it came by",
    .group_ports = APP_SINGLE,
    .burst = burst,
};
APP(reflect);
