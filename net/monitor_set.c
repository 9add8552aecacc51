/* Commands that change something. What comes of it is everybody's to know, so all channels have it. */
#include <stdio.h>
#include <string.h>

#include <machine/log.h>
#include <machine/power.h>
#include <machine/settings.h>

#include "net/monitor_internal.h"
#include "net/pairs.h"

/* The only argument of a command that has one; NULL, after an error, if there are none or more. */
static const char *only_argument(const struct monitor_session *session)
{
    const char *word = monitor_argument(session, 1), *more = monitor_argument(session, 2);

    if (word == NULL || more != NULL) {
        monitor_refuse(session, word == NULL ? "" : more, session->command->arguments);
        return NULL;
    }
    return word;
}

/* ---- set, log ---- */

/* A port that is not there yet gets it when it comes. */
static void want_mac(struct monitor *monitor, const struct settings *now)
{
    struct mac_address mac;

    memcpy(mac.bytes, now->mac, sizeof(mac.bytes));
    if (now->mac_port >= monitor->topology->port_count) {
        log_event(LOG_WARN, "warn", "word=mac port=%u reason=\"no such port yet\" ports=%u",
                  now->mac_port, monitor->topology->port_count);
        return;
    }
    port_want_mac(monitor->topology->ports[now->mac_port], mac);
}

static void want_filter(struct monitor *monitor, const struct settings *now)
{
    for (unsigned i = 0; i < monitor->topology->port_count; i++)
        port_want_filter(monitor->topology->ports[i], now->promisc, now->allmulti);
}

static bool change(struct monitor *monitor, const struct monitor_session *session,
                   const char *setting)
{
    struct settings now;
    const char *accepted = settings_change(setting, &now);

    if (accepted != NULL)
        return monitor_refuse(session, monitor_argument(session, 1), accepted);
    console_address_all();
    if (strncmp(setting, "stats=", 6) == 0)
        loop_set_stats(monitor->loop, now.stats_seconds);
    if (strncmp(setting, "idle=", 5) == 0)
        idle_set_adaptive(&monitor->loop->idle, now.idle_adaptive);
    if (strncmp(setting, "mac=", 4) == 0)
        want_mac(monitor, &now);
    if (strncmp(setting, "promisc=", 8) == 0 || strncmp(setting, "allmulti=", 9) == 0)
        want_filter(monitor, &now);
    return true;
}

bool monitor_begin_set(struct monitor *monitor, struct monitor_session *session)
{
    if (session->word_count == 1) {
        settings_report();
        return true;
    }
    const char *word = only_argument(session);
    return word != NULL && change(monitor, session, word);
}

bool monitor_begin_log(struct monitor *monitor, struct monitor_session *session)
{
    const char *word = only_argument(session);
    char setting[16]; /* a level has no more than 5 letters; what is longer is wrong anyway */

    if (word == NULL)
        return false;
    snprintf(setting, sizeof(setting), "log=%.8s", word);
    return change(monitor, session, setting);
}

/* ---- mode, wire ---- */

static void reconfigure(struct monitor *monitor, const char *wire, bool reflect)
{
    console_address_all();
    topology_reconfigure(monitor->topology, wire, reflect);
}

bool monitor_begin_mode(struct monitor *monitor, struct monitor_session *session)
{
    if (session->word_count == 1) {
        topology_report_wires(monitor->topology);
        return true;
    }
    const char *word = only_argument(session);
    if (word == NULL)
        return false;
    const bool reflect = strcmp(word, "reflect") == 0;
    if (!reflect && strcmp(word, "wire") != 0)
        return monitor_refuse(session, word, session->command->arguments);
    reconfigure(monitor, monitor->topology->wire, reflect);
    return true;
}

/*
 * True if every pair in `text` can be wired. At start-up a wrong one is left idle and the others go
 * on; here they go on already, and one slip of a finger must not stop them.
 */
static bool wires_are_good(const struct monitor *monitor, const char *text)
{
    struct pairs trial;
    unsigned wanted = 1, joined = 0;

    for (const char *at = text; *at != '\0'; at++)
        wanted += *at == ',';
    pairs_plan(&trial, monitor->topology->ports, monitor->topology->port_count, text);
    for (unsigned i = 0; i < trial.count; i++)
        joined += trial.partner[i] > (int)i;
    return joined == wanted;
}

bool monitor_begin_wire(struct monitor *monitor, struct monitor_session *session)
{
    if (session->word_count == 1) {
        topology_report_wires(monitor->topology);
        return true;
    }
    const char *word = only_argument(session);
    if (word == NULL)
        return false;
    const char *text = strcmp(word, "auto") == 0 ? "" : word;
    if (text[0] != '\0' && !wires_are_good(monitor, text))
        return monitor_refuse(session, word, "A-B,C-D, each port once; nothing was changed");
    reconfigure(monitor, text, false);
    return true;
}

/* ---- ports, channel, machine ---- */

bool monitor_begin_reset(struct monitor *monitor, struct monitor_session *session)
{
    const char *word = only_argument(session);
    unsigned number;

    if (word == NULL)
        return false;
    if (!monitor_port(monitor, word, &number))
        return monitor_refuse(session, word, MONITOR_PORT_ACCEPTED);
    struct port *port = monitor->topology->ports[number];
    return port_want_reset(port) ||
           monitor_refuse(session, word, "a port that is in service, or retired");
}

bool monitor_begin_json(struct monitor *monitor, struct monitor_session *session)
{
    const char *word = only_argument(session);

    (void)monitor;
    if (word == NULL)
        return false;
    const bool on = strcmp(word, "on") == 0;
    if (!on && strcmp(word, "off") != 0)
        return monitor_refuse(session, word, session->command->arguments);
    console_set_json(session->channel, on);
    return true;
}

static bool end_by(const struct monitor_session *session, enum power_action action)
{
    const char *word = monitor_argument(session, 1);

    if (word != NULL)
        return monitor_refuse(session, word, "nothing behind it");
    power_request(action, "operator");
    return true;
}

bool monitor_begin_reboot(struct monitor *monitor, struct monitor_session *session)
{
    (void)monitor;
    return end_by(session, POWER_REBOOT);
}

bool monitor_begin_poweroff(struct monitor *monitor, struct monitor_session *session)
{
    (void)monitor;
    return end_by(session, POWER_OFF);
}
