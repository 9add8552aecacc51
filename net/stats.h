/* The stats event: the counters of every port, and its rates since the line before. */
#ifndef NET_STATS_H
#define NET_STATS_H

#include <stdint.h>

#include "net/lane.h"
#include "net/port.h"

/* All that is counted for one port: by itself, and by the lane that takes in its frames. */
struct stats_counters {
    struct port_stats port;
    uint64_t drops[DROP_REASONS];
};

/* What the rates are taken against. Zeroed at the start; owned by the caller. */
struct stats {
    uint64_t reported_ns; /* clock_ns of the last report */
    struct stats_counters last[PORTS_MAX];
};

/* One look at a port's counters, for a stats event. */
struct stats_look {
    unsigned port;
    struct stats_counters now;
    struct stats_counters last; /* at the look before … */
    uint64_t interval_ns;       /* … which is so long ago */
};

/*
 * Queues one `stats` event a port. `lanes[i]` is the lane whose rx is `ports[i]`, or NULL for a port
 * that has none; what a lane discards counts as rx_dropped of the port where it came in.
 * Not for the data path: it formats.
 */
void stats_report(struct stats *stats, struct port *const *ports, struct lane *const *lanes,
                  unsigned count);

/* Reads the counters of `port` and of its lane (NULL: none), as they are since the start. */
void stats_read(struct stats_counters *counters, const struct port *port, const struct lane *lane);

/* Takes `base` off `counters`: what was counted since `base` was read. */
void stats_subtract(struct stats_counters *counters, const struct stats_counters *base);

/* Queues the `stats` event of one look; `tail` is what stands behind its pairs ("" or " key=…"). */
void stats_event(const struct stats_look *look, const char *tail);

#define STATS_DROPS_TEXT 320

/* " drop_runt=0 …", all reasons, into `text`; returns the sum of the lane's: all but the last two. */
uint64_t stats_drops_text(const struct stats_counters *counters, char text[STATS_DROPS_TEXT]);

#endif
