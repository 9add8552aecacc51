/* Commands that tell: each event is one item, found by its number. */
#include <stdio.h>
#include <string.h>

#include <machine/clock.h>
#include <machine/log.h>
#include <machine/memory.h>
#include <machine/option.h>

#include "net/monitor_internal.h"

#define US_PER_S (CLOCK_NS_PER_S / CLOCK_NS_PER_US)

/* Seconds and microseconds, for "%llu.%06llu". */
#define TIME_PARTS(ns)                                                                             \
    (unsigned long long)((ns) / CLOCK_NS_PER_S),                                                   \
        (unsigned long long)((ns) / CLOCK_NS_PER_US % US_PER_S)

static struct monitor *monitor_of(const struct command_call *call)
{
    return call->owner;
}

/* ---- help ---- */

/* True if `name` is a command, or the first word of several. */
static bool is_called(const struct command *command, const char *name)
{
    const size_t length = strlen(name);

    return length != 0 && strncmp(command->words, name, length) == 0 &&
           (command->words[length] == '\0' || command->words[length] == ' ');
}

static unsigned command_count(void)
{
    unsigned count = 0;

    while (command_at(count) != NULL)
        count++;
    return count;
}

/* Items: commands, and behind them options. `name` is a command, "KEY=", or "=" for all words. */
static bool is_asked_for(unsigned item, const char *name)
{
    const unsigned commands = command_count();
    const size_t length = strcspn(name, "=");

    if (item < commands)
        return is_called(command_at(item), name);
    const char *const key = option_at(item - commands)->key;
    return strcmp(name + length, "=") == 0 &&
           (length == 0 || (strlen(key) == length && memcmp(key, name, length) == 0));
}

static bool run_help(struct command_call *call)
{
    const char *name = command_argument(call, 1);
    const unsigned commands = command_count();
    unsigned items = commands;

    call->end = commands;
    if (name == NULL)
        return true;
    while (option_at(items - commands) != NULL)
        items++;
    while (call->next < items && !is_asked_for(call->next, name))
        call->next++;
    call->end = call->next;
    while (call->end < items && is_asked_for(call->end, name))
        call->end++;
    if (call->next == call->end)
        return command_refuse(call, name,
                              "a command that help alone shows, or a word that help = shows");
    return command_nothing_behind(call, 2);
}

static void tell_word(const struct option *option)
{
    log_event(LOG_REPORT, "help", "word=%s accepted=%s running=%s purpose=%s", option->key,
              log_quote(option_accepted(option)).text, option->flags & OPTION_LIVE ? "yes" : "no",
              log_quote(option->help).text);
}

static void tell_help(struct command_call *call)
{
    const struct command *const command = command_at(call->next);

    if (command == NULL)
        tell_word(option_at(call->next - command_count()));
    else
        log_event(LOG_REPORT, "help", "command=%s arguments=%s purpose=%s",
                  log_quote(command->words).text, log_quote(command->arguments).text,
                  log_quote(command->help).text);
}

/* ---- by port ---- */

/* Item `number`, if the word means a port, else all of them. */
static bool choose_port(struct command_call *call, const char *word, const char *accepted)
{
    const struct monitor *const monitor = monitor_of(call);
    unsigned port;

    call->end = monitor->topology->port_count;
    if (word == NULL)
        return true;
    if (!monitor_port(monitor, word, &port))
        return command_refuse(call, word, accepted);
    call->next = port;
    call->end = port + 1;
    return true;
}

static bool run_ports(struct command_call *call)
{
    return command_nothing_behind(call, 2) &&
           choose_port(call, command_argument(call, 1), MONITOR_PORT_ACCEPTED);
}

static void tell_port(struct command_call *call)
{
    const struct monitor *const monitor = monitor_of(call);
    const struct port *port = monitor->topology->ports[call->next];
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

static void tell_lane(struct command_call *call)
{
    const struct monitor *const monitor = monitor_of(call);
    const struct lane *lane = monitor->topology->port_lanes[call->next];

    if (lane == NULL)
        log_event(LOG_REPORT, "lanes", "port=%u function=none", call->next);
    else if (lane->app->group_ports == 0)
        log_event(LOG_REPORT, "lanes", "port=%u function=%s buffers=%u", call->next,
                  lane->app->name, core_quota_of_lane(&monitor->topology->core, lane));
    else
        log_event(LOG_REPORT, "lanes", "port=%u function=%s buffers=%u to=%u mtu=%u", call->next,
                  lane->app->name, core_quota_of_lane(&monitor->topology->core, lane), lane->tx->id,
                  lane->tx->mtu); /* 0: it states none, whatever fits a buffer may leave */
}

/* ---- counters ---- */

static struct monitor_session *session_of(const struct command_call *call)
{
    return &monitor_of(call)->sessions[call->channel];
}

static struct monitor_view *view_of(const struct command_call *call)
{
    return &session_of(call)->views[call->next];
}

static bool run_stats(struct command_call *call)
{
    const char *port = command_argument(call, 1);
    unsigned behind = port != NULL ? 2 : 1;

    if (port != NULL && strcmp(port, "clear") == 0) {
        port = NULL;
        behind = 1;
    }
    const char *clear = command_argument(call, behind);
    session_of(call)->clear = clear != NULL;
    if (clear != NULL && strcmp(clear, "clear") != 0)
        return command_refuse(call, clear, call->command->arguments);
    return command_nothing_behind(call, behind + 1) &&
           choose_port(call, port, MONITOR_PORT_ACCEPTED ", or clear");
}

/* The counters of the item, as this channel sees them, into look->now and last. */
static void look_at(const struct command_call *call, struct stats_look *look)
{
    const struct monitor *const monitor = monitor_of(call);
    const unsigned port = call->next;
    const struct monitor_view *view = view_of(call);

    look->port = port;
    stats_read(&look->now, monitor->topology->ports[port], monitor->topology->port_lanes[port]);
    look->last = view->last;
    stats_subtract(&look->now, &view->base);
    stats_subtract(&look->last, &view->base);
    look->interval_ns = clock_ns() - view->looked_ns;
}

static void tell_stats(struct command_call *call)
{
    const struct monitor *const monitor = monitor_of(call);
    struct monitor_view *const view = view_of(call);
    struct stats_look look;
    char tail[48];

    look_at(call, &look);
    snprintf(tail, sizeof(tail), " since=%llu.%06llu", TIME_PARTS(view->since_ns));
    stats_event(&look, tail);
    view->looked_ns += look.interval_ns;
    stats_read(&view->last, monitor->topology->ports[call->next],
               monitor->topology->port_lanes[call->next]);
    if (session_of(call)->clear) {
        view->base = view->last;
        view->since_ns = view->looked_ns;
    }
}

static void tell_drops(struct command_call *call)
{
    const struct monitor_view *const view = view_of(call);
    struct stats_look look;
    char text[STATS_DROPS_TEXT];

    look_at(call, &look);
    stats_drops_text(&look.now, text);
    log_event(LOG_REPORT, "drops", "port=%u%s since=%llu.%06llu", call->next, text,
              TIME_PARTS(view->since_ns));
}

/* ---- memory: item 0 is the machine's, item n + 1 port n's, the last one the core's ---- */

static bool run_pools(struct command_call *call)
{
    call->end = monitor_of(call)->topology->port_count + 2;
    return command_nothing_behind(call, 1);
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

static void tell_memory(struct command_call *call)
{
    const struct topology *const topology = monitor_of(call)->topology;
    struct core_account core;

    if (call->next == 0) {
        log_event(LOG_REPORT, "memory", "free=%llu", (unsigned long long)memory_available());
        return;
    }
    core_count(&topology->core, topology->ports, topology->port_count, &core);
    if (call->next > topology->port_count)
        tell_core(&core);
    else if (topology->port_lanes[call->next - 1] != NULL)
        tell_quotas(topology, topology->port_lanes[call->next - 1], &core);
}

/* ---- the machine ---- */

static bool run_pci(struct command_call *call)
{
    call->end = monitor_of(call)->machine.pci_count();
    return command_nothing_behind(call, 1);
}

static void tell_pci(struct command_call *call)
{
    monitor_of(call)->machine.pci_report(call->next);
}

static bool run_once(struct command_call *call)
{
    call->end = 1;
    return command_nothing_behind(call, 1);
}

static void tell_uptime(struct command_call *call)
{
    const uint64_t ns = clock_ns();
    const unsigned long long minutes = ns / CLOCK_NS_PER_S / 60;

    (void)call;
    log_event(LOG_REPORT, "uptime", "seconds=%llu.%06llu days=%llu hours=%llu minutes=%llu",
              TIME_PARTS(ns), minutes / 60 / 24, minutes / 60 % 24, minutes % 60);
}

static void tell_version(struct command_call *call)
{
    const struct monitor *const monitor = monitor_of(call);

    log_event(LOG_REPORT, "version", "version=%s", monitor->machine.version);
}

/* ---- the table ---- */

static const struct command commands[] = {
    {"help", "[COMMAND|WORD=]", "what can be typed; =: words of the command line", run_help,
     tell_help},
    {"ports", "[PORT]", "driver, transport, features, rings, link", run_ports, tell_port},
    {"stats", "[PORT] [clear]", "counters and rates; clear: shown from here on, on this channel",
     run_stats, tell_stats},
    {"lanes", "[PORT]", "where the frames of a port go", run_ports, tell_lane},
    {"drops", "[PORT]", "discarded frames, by reason", run_ports, tell_drops},
    {"pci", "", "every PCI function", run_pci, tell_pci},
    {"memory", "", "bytes free, and where buffers are", run_pools, tell_memory},
    {"uptime", "", "time since the start", run_once, tell_uptime},
    {"version", "", "what was built", run_once, tell_version},
};

static struct command_table show = {
    .place = 1, .count = sizeof(commands) / sizeof(commands[0]), .commands = commands};
COMMAND_TABLE(show);

void monitor_show_init(struct monitor *monitor)
{
    show.owner = monitor;
}
