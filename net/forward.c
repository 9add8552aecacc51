/* What happens to frames between rx and tx. Each function sees a whole batch, in place. */
#include "net/forward.h"

#include <string.h>

#define GROUP_ADDRESS 0x01 /* the first bit on the wire: multicast, broadcast */

void forward_wire(struct lane *lane, struct batch *batch)
{
    (void)lane;
    (void)batch;
}

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

void forward_idle(struct lane *lane, struct batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++)
        lane_drop(lane, batch->buffers[i], DROP_IDLE);
    batch->count = 0;
}

const char *forward_name(forward_fn *forward)
{
    if (forward == forward_wire)
        return "wire";
    return forward == forward_reflect ? "reflect" : "idle";
}
