/* The stats event: the counters of every port, and its rates since the line before. */
#ifndef NET_STATS_H
#define NET_STATS_H

#include <stdint.h>

#include "net/lane.h"
#include "net/netdev.h"

/* What the rates are taken against. Zeroed at the start; owned by the caller. */
struct stats {
    uint64_t reported_ns; /* clock_ns of the last report */
    struct netdev_stats last[NETDEV_PORTS_MAX];
};

/*
 * Queues one `stats` event a port. `lanes[i]` is the lane whose rx is `ports[i]`, or NULL for a port
 * that has none; what a lane discards counts as rx_dropped of the port where it came in.
 * Not for the data path: it formats.
 */
void stats_report(struct stats *stats, struct netdev *const *ports, struct lane *const *lanes,
                  unsigned count);

#endif
