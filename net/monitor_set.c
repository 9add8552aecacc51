/* Commands that change something. What comes of it is everybody's to know, so all channels have it. */
#include <stdio.h>
#include <string.h>

#include <machine/log.h>
#include <machine/option.h>
#include <machine/power.h>

#include "net/monitor_internal.h"
#include "net/pairs.h"

/* ---- set, log ---- */

static bool change(const struct command_call *call, const char *word)
{
    console_address_all();
    const char *const accepted = option_change(word);
    if (accepted == NULL)
        return true;
    console_address(call->channel);
    return command_refuse(call, command_argument(call, 1), accepted);
}

static bool run_set(struct command_call *call)
{
    if (call->word_count == 1) {
        call->end = 1;
        return true;
    }
    const char *word = command_only_argument(call);
    return word != NULL && change(call, word);
}

static void tell_settings(struct command_call *call)
{
    if (option_report(call->next))
        call->end++;
}

static bool run_log(struct command_call *call)
{
    const char *word = command_only_argument(call);
    char setting[16]; /* a level has no more than 5 letters; what is longer is wrong anyway */

    if (word == NULL)
        return false;
    snprintf(setting, sizeof(setting), "log=%.8s", word);
    return change(call, setting);
}

/* ---- mode, wire ---- */

static void reconfigure(struct monitor *monitor, const char *wire, bool reflect)
{
    console_address_all();
    topology_reconfigure(monitor->topology, wire, reflect);
}

static bool run_mode(struct command_call *call)
{
    struct monitor *const monitor = call->owner;

    if (call->word_count == 1) {
        topology_report_wires(monitor->topology);
        return true;
    }
    const char *word = command_only_argument(call);
    if (word == NULL)
        return false;
    const bool reflect = strcmp(word, "reflect") == 0;
    if (!reflect && strcmp(word, "wire") != 0)
        return command_refuse(call, word, call->command->arguments);
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

static bool run_wire(struct command_call *call)
{
    struct monitor *const monitor = call->owner;

    if (call->word_count == 1) {
        topology_report_wires(monitor->topology);
        return true;
    }
    const char *word = command_only_argument(call);
    if (word == NULL)
        return false;
    const char *text = strcmp(word, "auto") == 0 ? "" : word;
    if (text[0] != '\0' && !wires_are_good(monitor, text))
        return command_refuse(call, word, "A-B,C-D, each port once; nothing was changed");
    reconfigure(monitor, text, false);
    return true;
}

/* ---- ports, channel, machine ---- */

static bool run_reset(struct command_call *call)
{
    struct monitor *const monitor = call->owner;

    const char *word = command_only_argument(call);
    unsigned number;

    if (word == NULL)
        return false;
    if (!monitor_port(monitor, word, &number))
        return command_refuse(call, word, MONITOR_PORT_ACCEPTED);
    struct port *port = monitor->topology->ports[number];
    return port_want_reset(port) ||
           command_refuse(call, word, "a port that is in service, or retired");
}

static bool run_json(struct command_call *call)
{
    const char *word = command_only_argument(call);

    if (word == NULL)
        return false;
    const bool on = strcmp(word, "on") == 0;
    if (!on && strcmp(word, "off") != 0)
        return command_refuse(call, word, call->command->arguments);
    console_set_json(call->channel, on);
    return true;
}

static bool end_by(const struct command_call *call, enum power_action action)
{
    if (!command_nothing_behind(call, 1))
        return false;
    power_request(action, "operator");
    return true;
}

static bool run_reboot(struct command_call *call)
{
    return end_by(call, POWER_REBOOT);
}

static bool run_poweroff(struct command_call *call)
{
    return end_by(call, POWER_OFF);
}

/* ---- the table ---- */

static const struct command commands[] = {
    {"log", "error|warn|info|debug", "which events are shown", run_log, NULL},
    {"set", "[KEY=VALUE]", "a word of the command line that may change while running", run_set,
     tell_settings},
    {"mode", "[wire|reflect]", "what is done with frames", run_mode, NULL},
    {"wire", "[A-B,...|auto]", "which ports are joined; auto: 0-1, 2-3, ...", run_wire, NULL},
    {"reset", "PORT", "take a port out of service and back", run_reset, NULL},
    {"json", "on|off", "events on this channel as JSON objects", run_json, NULL},
    {"reboot", "", "end in order, and start again", run_reboot, NULL},
    {"poweroff", "", "end in order, and switch off", run_poweroff, NULL},
};

static struct command_table set = {
    .place = 2, .count = sizeof(commands) / sizeof(commands[0]), .commands = commands};
COMMAND_TABLE(set);

void monitor_set_init(struct monitor *monitor)
{
    set.owner = monitor;
}
