/* A port without a partner: its frames are dropped and counted, so that its sender is not held up. */
#include "net/app.h"
#include "net/lane.h"

static void burst(struct lane *lane, struct batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++)
        lane_drop(lane, batch->buffers[i], DROP_IDLE);
    batch->count = 0;
}

static const struct app idle = {
    .place = 3,
    .name = "idle",
    .help = "frames are dropped and counted",
    .burst = burst,
};
APP(idle);
