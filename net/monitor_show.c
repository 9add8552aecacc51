/* Commands that tell: each event is one item, found by its number. */
#include <stdio.h>
#include <string.h>

#include <machine/clock.h>
#include <machine/log.h>
#include <machine/memory.h>

#include "net/forward.h"
#include "net/monitor_internal.h"

#define US_PER_S (CLOCK_NS_PER_S / CLOCK_NS_PER_US)

/* Seconds and microseconds, for "%llu.%06llu". */
#define TIME_PARTS(ns)                                                                             \
    (unsigned long long)((ns) / CLOCK_NS_PER_S),                                                   \
        (unsigned long long)((ns) / CLOCK_NS_PER_US % US_PER_S)

static bool nothing_behind(const struct monitor_session *session, unsigned number)
{
    const char *word = monitor_argument(session, number);
    const char *accepted = session->command->arguments;

    return word == NULL ||
           monitor_refuse(session, word, accepted[0] != '\0' ? accepted : "nothing behind it");
}

/* ---- help ---- */

bool monitor_begin_help(struct monitor *monitor, struct monitor_session *session)
{
    const char *name = monitor_argument(session, 1);

    while (monitor_command(monitor, session->end) != NULL)
        session->end++;
    if (name == NULL)
        return true;
    for (; session->next < session->end; session->next++) {
        if (strcmp(monitor_command(monitor, session->next)->name, name) != 0)
            continue;
        session->end = session->next + 1;
        return nothing_behind(session, 2);
    }
    return monitor_refuse(session, name, "a command that help alone shows");
}

void monitor_tell_help(struct monitor *monitor, struct monitor_session *session)
{
    const struct monitor_command *command = monitor_command(monitor, session->next);

    log_event(LOG_REPORT, "help", "command=%s arguments=%s purpose=%s", command->name,
              log_quote(command->arguments).text, log_quote(command->purpose).text);
}

/* ---- by port ---- */

/* Item `number`, if the word means a port, else all of them. */
static bool begin_port(struct monitor *monitor, struct monitor_session *session, const char *word,
                       const char *accepted)
{
    unsigned port;

    session->end = monitor->topology->port_count;
    if (word == NULL)
        return true;
    if (!monitor_port(monitor, word, &port))
        return monitor_refuse(session, word, accepted);
    session->next = port;
    session->end = port + 1;
    return true;
}

bool monitor_begin_ports(struct monitor *monitor, struct monitor_session *session)
{
    return nothing_behind(session, 2) &&
           begin_port(monitor, session, monitor_argument(session, 1), MONITOR_PORT_ACCEPTED);
}

void monitor_tell_port(struct monitor *monitor, struct monitor_session *session)
{
    const struct port *port = monitor->topology->ports[session->next];
    struct port_description is;
    struct port_filling filling;

    port->ops->describe(port, &is);
    port->ops->count(port, &filling);
    log_event(LOG_REPORT, "ports",
              "port=%u address=%s driver=%s transport=%s state=%s link=%s speed=%s "
              "mac=%s mtu=%u rx_size=%u rx_filled=%u tx_size=%u "
              "tx_filled=%u features=%s",
              port->id, port->address, port->ops->driver, is.transport, port->reason,
              port->link_up ? "up" : "down", port_speed_text(is.speed).text,
              port_mac_text(&port->mac).text, port->mtu != 0 ? port->mtu : ETHERNET_MTU,
              port->rx_size, filling.rx_buffers, port->tx_size, filling.tx_frames,
              is.features_text);
}

void monitor_tell_lane(struct monitor *monitor, struct monitor_session *session)
{
    const struct lane *lane = monitor->topology->port_lanes[session->next];

    if (lane == NULL)
        log_event(LOG_REPORT, "lanes", "port=%u function=none", session->next);
    else if (lane->forward == forward_idle)
        log_event(LOG_REPORT, "lanes", "port=%u function=idle buffers=%u", session->next,
                  core_quota_of_lane(&monitor->topology->core, lane));
    else
        log_event(LOG_REPORT, "lanes", "port=%u function=%s buffers=%u to=%u mtu=%u", session->next,
                  forward_name(lane->forward), core_quota_of_lane(&monitor->topology->core, lane),
                  lane->tx->id,
                  lane->tx->mtu); /* 0: it states none, whatever fits a buffer may leave */
}

/* ---- counters ---- */

bool monitor_begin_stats(struct monitor *monitor, struct monitor_session *session)
{
    const char *port = monitor_argument(session, 1);
    unsigned behind = port != NULL ? 2 : 1;

    if (port != NULL && strcmp(port, "clear") == 0) {
        port = NULL;
        behind = 1;
    }
    const char *clear = monitor_argument(session, behind);
    session->clear = clear != NULL;
    if (clear != NULL && strcmp(clear, "clear") != 0)
        return monitor_refuse(session, clear, session->command->arguments);
    return nothing_behind(session, behind + 1) &&
           begin_port(monitor, session, port, MONITOR_PORT_ACCEPTED ", or clear");
}

/* The counters of the item, as this channel sees them, into look->now and last. */
static void look_at(const struct monitor *monitor, const struct monitor_session *session,
                    struct stats_look *look)
{
    const unsigned port = session->next;
    const struct monitor_view *view = &session->views[port];

    look->port = port;
    stats_read(&look->now, monitor->topology->ports[port], monitor->topology->port_lanes[port]);
    look->last = view->last;
    stats_subtract(&look->now, &view->base);
    stats_subtract(&look->last, &view->base);
    look->interval_ns = clock_ns() - view->looked_ns;
}

void monitor_tell_stats(struct monitor *monitor, struct monitor_session *session)
{
    struct monitor_view *view = &session->views[session->next];
    struct stats_look look;
    char tail[48];

    look_at(monitor, session, &look);
    snprintf(tail, sizeof(tail), " since=%llu.%06llu", TIME_PARTS(view->since_ns));
    stats_event(&look, tail);
    view->looked_ns += look.interval_ns;
    stats_read(&view->last, monitor->topology->ports[session->next],
               monitor->topology->port_lanes[session->next]);
    if (session->clear) {
        view->base = view->last;
        view->since_ns = view->looked_ns;
    }
}

void monitor_tell_drops(struct monitor *monitor, struct monitor_session *session)
{
    const struct monitor_view *view = &session->views[session->next];
    struct stats_look look;
    char text[STATS_DROPS_TEXT];

    look_at(monitor, session, &look);
    stats_drops_text(&look.now, text);
    log_event(LOG_REPORT, "drops", "port=%u%s since=%llu.%06llu", session->next, text,
              TIME_PARTS(view->since_ns));
}

/* ---- memory: item 0 is the machine's, item n + 1 port n's, the last one the core's ---- */

bool monitor_begin_pools(struct monitor *monitor, struct monitor_session *session)
{
    session->end = monitor->topology->port_count + 2;
    return nothing_behind(session, 1);
}

/* The quotas of the rings that a lane joins, and what these hold. */
static void tell_quotas(const struct topology *topology, const struct lane *lane,
                        const struct core_account *core)
{
    const uint32_t quota = core_quota_of_lane(&topology->core, lane);
    struct port_filling rx, tx;

    lane->rx->ops->count(lane->rx, &rx);
    lane->tx->ops->count(lane->tx, &tx);
    const uint32_t held = rx.rx_buffers + tx.tx_buffers;
    log_event(LOG_REPORT, "memory",
              "port=%u buffers=%u frame_max=%u in_pool=%u in_rx_ring=%u in_tx_ring=%u missing=%lld",
              lane->rx->id, quota, lane->pool != NULL ? lane->pool->frame_max : 0,
              quota > held ? quota - held : 0, rx.rx_buffers, tx.tx_buffers,
              (long long)core->missing);
}

static void tell_core(const struct core_account *core)
{
    log_event(LOG_REPORT, "memory",
              "core=0 buffers=%u in_pools=%u in_rings=%u kept=%u missing=%lld", core->buffers,
              core->in_pools, core->in_rings, core->kept, (long long)core->missing);
}

void monitor_tell_memory(struct monitor *monitor, struct monitor_session *session)
{
    const struct topology *const topology = monitor->topology;
    struct core_account core;

    if (session->next == 0) {
        log_event(LOG_REPORT, "memory", "free=%llu", (unsigned long long)memory_available());
        return;
    }
    core_count(&topology->core, topology->ports, topology->port_count, &core);
    if (session->next > topology->port_count)
        tell_core(&core);
    else if (topology->port_lanes[session->next - 1] != NULL)
        tell_quotas(topology, topology->port_lanes[session->next - 1], &core);
}

/* ---- the machine ---- */

bool monitor_begin_pci(struct monitor *monitor, struct monitor_session *session)
{
    session->end = monitor->machine.pci_count();
    return nothing_behind(session, 1);
}

void monitor_tell_pci(struct monitor *monitor, struct monitor_session *session)
{
    monitor->machine.pci_report(session->next);
}

bool monitor_begin_once(struct monitor *monitor, struct monitor_session *session)
{
    (void)monitor;
    session->end = 1;
    return nothing_behind(session, 1);
}

void monitor_tell_uptime(struct monitor *monitor, struct monitor_session *session)
{
    const uint64_t ns = clock_ns();
    const unsigned long long minutes = ns / CLOCK_NS_PER_S / 60;

    (void)monitor;
    (void)session;
    log_event(LOG_REPORT, "uptime", "seconds=%llu.%06llu days=%llu hours=%llu minutes=%llu",
              TIME_PARTS(ns), minutes / 60 / 24, minutes / 60 % 24, minutes % 60);
}

void monitor_tell_version(struct monitor *monitor, struct monitor_session *session)
{
    (void)session;
    log_event(LOG_REPORT, "version", "version=%s", monitor->machine.version);
}
