/* Counters to text. Counters are 64 bits wide and never reset; the rates are plain differences. */
#include "net/stats.h"

#include <stdio.h>

#include <machine/clock.h>
#include <machine/log.h>

void stats_read(struct stats_counters *counters, const struct port *port, const struct lane *lane)
{
    counters->port = port->stats;
    for (unsigned reason = 0; reason < DROP_REASONS; reason++)
        counters->drops[reason] = lane != NULL ? lane->drops[reason] : 0;
}

void stats_subtract(struct stats_counters *counters, const struct stats_counters *base)
{
    struct port_stats *port = &counters->port;

    port->rx_packets -= base->port.rx_packets;
    port->rx_bytes -= base->port.rx_bytes;
    port->tx_packets -= base->port.tx_packets;
    port->tx_bytes -= base->port.tx_bytes;
    port->tx_dropped -= base->port.tx_dropped;
    port->tx_link_down -= base->port.tx_link_down;
    port->tx_bad_offload -= base->port.tx_bad_offload;
    port->tx_no_offload -= base->port.tx_no_offload;
    port->resets -= base->port.resets;
    port->announces -= base->port.announces;
    port->doorbell_rescues -= base->port.doorbell_rescues;
    for (unsigned reason = 0; reason < DROP_REASONS; reason++)
        counters->drops[reason] -= base->drops[reason];
}

uint64_t stats_drops_text(const struct stats_counters *counters, char text[STATS_DROPS_TEXT])
{
    uint64_t sum = 0;
    size_t used = 0;

    for (unsigned reason = 0; reason < DROP_REASONS; reason++) {
        int length =
            snprintf(text + used, STATS_DROPS_TEXT - used, " %s=%llu", drop_reason_name(reason),
                     (unsigned long long)counters->drops[reason]);
        ensure(length > 0 && (size_t)length < STATS_DROPS_TEXT - used);
        used += (size_t)length;
        sum += counters->drops[reason];
    }
    const struct port_stats *port = &counters->port;
    const uint64_t named = port->tx_link_down + port->tx_bad_offload + port->tx_no_offload;
    int length = snprintf(
        text + used, STATS_DROPS_TEXT - used,
        " drop_stopped=%llu drop_link_down=%llu drop_bad_offload=%llu drop_no_offload=%llu",
        (unsigned long long)(port->tx_dropped - named), (unsigned long long)port->tx_link_down,
        (unsigned long long)port->tx_bad_offload, (unsigned long long)port->tx_no_offload);
    ensure(length > 0 && (size_t)length < STATS_DROPS_TEXT - used);
    return sum;
}

/* Microseconds keep a day of 100 Gbit/s within 64 bits: packets × 10^6, bits × 1. */
void stats_event(const struct stats_look *look, const char *tail)
{
    const struct port_stats *now = &look->now.port, *last = &look->last.port;
    uint64_t interval_us = look->interval_ns / CLOCK_NS_PER_US;
    char drops[STATS_DROPS_TEXT];

    if (interval_us == 0)
        interval_us = 1;
    uint64_t lane_drops = stats_drops_text(&look->now, drops);
    log_event(LOG_REPORT, "stats",
              "port=%u rx_packets=%llu rx_bytes=%llu tx_packets=%llu tx_bytes=%llu "
              "rx_dropped=%llu tx_dropped=%llu rx_pps=%llu tx_pps=%llu rx_mbps=%llu tx_mbps=%llu"
              "%s resets=%llu announces=%llu%s doorbell_rescues=%llu",
              look->port, (unsigned long long)now->rx_packets, (unsigned long long)now->rx_bytes,
              (unsigned long long)now->tx_packets, (unsigned long long)now->tx_bytes,
              (unsigned long long)lane_drops, (unsigned long long)now->tx_dropped,
              (unsigned long long)((now->rx_packets - last->rx_packets) * 1000000 / interval_us),
              (unsigned long long)((now->tx_packets - last->tx_packets) * 1000000 / interval_us),
              (unsigned long long)((now->rx_bytes - last->rx_bytes) * 8 / interval_us),
              (unsigned long long)((now->tx_bytes - last->tx_bytes) * 8 / interval_us), drops,
              (unsigned long long)now->resets, (unsigned long long)now->announces, tail,
              (unsigned long long)now->doorbell_rescues);
}

void stats_report(struct stats *stats, struct port *const *ports, struct lane *const *lanes,
                  unsigned count)
{
    const uint64_t now = clock_ns();
    struct stats_look look = {.interval_ns = now - stats->reported_ns};

    for (unsigned i = 0; i < count; i++) {
        look.port = ports[i]->id;
        look.last = stats->last[i];
        stats_read(&look.now, ports[i], lanes[i]);
        stats_event(&look, "");
        stats->last[i] = look.now;
    }
    stats->reported_ns = now;
}
