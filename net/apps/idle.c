/* A port without a partner: its frames are dropped and counted, so that its sender is not held up. */
#include "net/forward.h"

void forward_idle(struct lane *lane, struct batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++)
        lane_drop(lane, batch->buffers[i], DROP_IDLE);
    batch->count = 0;
}
