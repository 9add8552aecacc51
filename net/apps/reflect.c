/* mode=reflect: every frame goes back to where it came from. */
#include <string.h>

#include "net/forward.h"

#define GROUP_ADDRESS 0x01 /* the first bit on the wire: multicast, broadcast */

static void reflect(const struct lane *lane, uint8_t *destination)
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

void forward_reflect(struct lane *lane, struct batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++)
        reflect(lane, batch_frame(batch, i));
}
