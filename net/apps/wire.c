/* Every frame leaves as it came, by the other port of its pair. */
#include "net/app.h"

static const struct app wire = {
    .place = 1,
    .name = "wire",
    .help = "frames of one port leave by the other, as they are",
    .group_ports = APP_PAIR,
};
APP(wire);
