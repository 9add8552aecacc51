/* Counters to text. Counters are 64 bits wide and never reset; the rates are plain differences. */
#include "net/stats.h"

#include <stdio.h>

#include <machine/clock.h>
#include <machine/log.h>

/* " drop_runt=0 drop_oversize=0 …" of a lane, or of a port that has none; returns their sum. */
static uint64_t drops_text(const struct lane *lane, char *text, size_t size)
{
    uint64_t sum = 0;
    size_t used = 0;

    for (unsigned reason = 0; reason < DROP_REASONS; reason++) {
        uint64_t drops = lane != NULL ? lane->drops[reason] : 0;
        int length = snprintf(text + used, size - used, " %s=%llu", drop_reason_name(reason),
                              (unsigned long long)drops);
        ensure(length > 0 && (size_t)length < size - used);
        used += (size_t)length;
        sum += drops;
    }
    return sum;
}

/* Microseconds keep a day of 100 Gbit/s within 64 bits: packets × 10^6, bits × 1. */
static void report_port(struct stats *stats, const struct netdev *port, const struct lane *lane,
                        uint64_t interval_us)
{
    struct netdev_stats now;
    struct netdev_stats *last = &stats->last[port->id];
    char drops[256];

    port->ops->read_stats(port, &now);
    uint64_t lane_drops = drops_text(lane, drops, sizeof(drops));
    log_event(LOG_REPORT, "stats",
              "port=%u rx_packets=%llu rx_bytes=%llu tx_packets=%llu tx_bytes=%llu "
              "rx_dropped=%llu tx_dropped=%llu rx_pps=%llu tx_pps=%llu rx_mbps=%llu tx_mbps=%llu"
              "%s drop_stopped=%llu resets=%llu drop_link_down=%llu announces=%llu",
              port->id, (unsigned long long)now.rx_packets, (unsigned long long)now.rx_bytes,
              (unsigned long long)now.tx_packets, (unsigned long long)now.tx_bytes,
              (unsigned long long)(now.rx_dropped + lane_drops), (unsigned long long)now.tx_dropped,
              (unsigned long long)((now.rx_packets - last->rx_packets) * 1000000 / interval_us),
              (unsigned long long)((now.tx_packets - last->tx_packets) * 1000000 / interval_us),
              (unsigned long long)((now.rx_bytes - last->rx_bytes) * 8 / interval_us),
              (unsigned long long)((now.tx_bytes - last->tx_bytes) * 8 / interval_us), drops,
              (unsigned long long)(now.tx_dropped - now.tx_link_down),
              (unsigned long long)now.resets, (unsigned long long)now.tx_link_down,
              (unsigned long long)now.announces);
    *last = now;
}

void stats_report(struct stats *stats, struct netdev *const *ports, struct lane *const *lanes,
                  unsigned count)
{
    uint64_t now = clock_ns();
    uint64_t interval_us = (now - stats->reported_ns) / CLOCK_NS_PER_US;

    for (unsigned i = 0; i < count; i++)
        report_port(stats, ports[i], lanes[i], interval_us != 0 ? interval_us : 1);
    stats->reported_ns = now;
}
