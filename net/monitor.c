/* Sessions: from a line that was typed to a command, and from there to its answer, step by step. */
#include "net/monitor.h"

#include <stdio.h>
#include <string.h>

#include <machine/clock.h>
#include <machine/log.h>

#include "net/monitor_internal.h"

#define BLANKS " \t"

static const struct monitor_command commands[] = {
    {"help", "[COMMAND]", "what can be typed", monitor_begin_help, monitor_tell_help},
    {"ports", "[PORT]", "driver, transport, features, rings, link", monitor_begin_ports,
     monitor_tell_port},
    {"stats", "[PORT] [clear]", "counters and rates; clear: shown from here on, on this channel",
     monitor_begin_stats, monitor_tell_stats},
    {"lanes", "[PORT]", "where the frames of a port go", monitor_begin_ports, monitor_tell_lane},
    {"drops", "[PORT]", "discarded frames, by reason", monitor_begin_ports, monitor_tell_drops},
    {"pci", "", "every PCI function", monitor_begin_pci, monitor_tell_pci},
    {"memory", "", "bytes free, and where buffers are", monitor_begin_pools, monitor_tell_memory},
    {"uptime", "", "time since the start", monitor_begin_once, monitor_tell_uptime},
    {"version", "", "what was built", monitor_begin_once, monitor_tell_version},
    {"log", "error|warn|info|debug", "which events are shown", monitor_begin_log, NULL},
    {"set", "[KEY=VALUE]", "a word of the command line that may change while running",
     monitor_begin_set, NULL},
    {"mode", "[wire|reflect]", "what is done with frames", monitor_begin_mode, NULL},
    {"wire", "[A-B,...|auto]", "which ports are joined; auto: 0-1, 2-3, ...", monitor_begin_wire,
     NULL},
    {"reset", "PORT", "take a port out of service and back", monitor_begin_reset, NULL},
    {"json", "on|off", "events on this channel as JSON objects", monitor_begin_json, NULL},
    {"reboot", "", "end in order, and start again", monitor_begin_reboot, NULL},
    {"poweroff", "", "end in order, and switch off", monitor_begin_poweroff, NULL},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* What Tab completes to. */
static const char *const phrases[] = {
    "help",
    "ports",
    "stats",
    "stats clear",
    "lanes",
    "drops",
    "pci",
    "memory",
    "uptime",
    "version",
    "log error",
    "log warn",
    "log info",
    "log debug",
    "set stats=",
    "set log=error",
    "set log=warn",
    "set log=info",
    "set log=debug",
    "set promisc=on",
    "set promisc=off",
    "set allmulti=on",
    "set allmulti=off",
    "set panic=reboot",
    "set panic=halt",
    "set panic=poweroff",
    "set mac=",
    "set idle=adaptive",
    "set idle=poll",
    "mode wire",
    "mode reflect",
    "wire ",
    "wire auto",
    "reset ",
    "json on",
    "json off",
    "reboot",
    "poweroff",
    NULL,
};

static void serve(void *monitor)
{
    monitor_service(monitor);
}

void monitor_init(struct monitor *monitor, struct topology *topology, struct loop *loop,
                  const struct monitor_machine *machine)
{
    *monitor = (struct monitor){
        .commands = commands,
        .command_count = COMMANDS,
        .topology = topology,
        .loop = loop,
        .machine = *machine,
    };
    for (unsigned i = 0; i < CONSOLE_CHANNELS; i++)
        monitor->sessions[i].channel = i;
    loop->serve = serve;
    loop->server = monitor;
    console_set_phrases(phrases);
}

/* The command called `name`, or NULL. */
static const struct monitor_command *find_command(const char *name)
{
    for (unsigned i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* Cuts session->line into words; those beyond the last place are not needed to find it wrong. */
static void split(struct monitor_session *session)
{
    char *at = session->line + strspn(session->line, BLANKS);

    session->word_count = 0;
    while (*at != '\0' && session->word_count < MONITOR_WORDS_MAX) {
        session->words[session->word_count++] = at;
        at += strcspn(at, BLANKS);
        if (*at != '\0')
            *at++ = '\0';
        at += strspn(at, BLANKS);
    }
}

static void refuse_command(const char *word)
{
    char names[LOG_QUOTE_MAX] = "";
    size_t used = 0;

    for (unsigned i = 0; i < COMMANDS; i++) {
        int length = snprintf(names + used, sizeof(names) - used, "%s%s", i != 0 ? " " : "",
                              commands[i].name);
        ensure(length > 0 && (size_t)length < sizeof(names) - used);
        used += (size_t)length;
    }
    log_event(LOG_REPORT, "error", "reason=unknown-command word=%s accepted=\"%s\"",
              log_quote(word).text, names);
}

/* The first byte of `line` that no command has, or NULL. */
static char *find_bad_byte(char *line)
{
    for (; *line != '\0'; line++)
        if ((*line < ' ' || *line > '~') && strchr(BLANKS, *line) == NULL)
            return line;
    return NULL;
}

/* Names the byte, its place in the line, and the word that has it. */
static void refuse_byte(char *line, char *bad)
{
    char *word = bad;

    while (word > line && strchr(BLANKS, word[-1]) == NULL)
        word--;
    bad[strcspn(bad, BLANKS)] = '\0';
    log_event(LOG_REPORT, "error",
              "reason=bad-byte byte=0x%02x place=%u word=%s accepted=\"printable ASCII\"",
              (unsigned char)*bad, (unsigned)(bad - line) + 1, log_quote(word).text);
}

/* Takes the line that was typed. */
static void begin(struct monitor *monitor, struct monitor_session *session)
{
    if (strlen(session->line) == CONSOLE_LINE_MAX - 1) {
        log_event(LOG_REPORT, "error", "reason=line-too-long accepted=\"up to %d characters\"",
                  CONSOLE_LINE_MAX - 2);
        return;
    }
    char *bad = find_bad_byte(session->line);
    if (bad != NULL) {
        refuse_byte(session->line, bad);
        return;
    }
    split(session);
    if (session->word_count == 0)
        return;
    session->command = find_command(session->words[0]);
    session->next = session->end = 0;
    if (session->command == NULL)
        refuse_command(session->words[0]);
    else if (!session->command->begin(monitor, session))
        session->command = NULL;
}

/* One event of the answer, or its end. */
static void go_on(struct monitor *monitor, struct monitor_session *session)
{
    if (session->next < session->end) {
        session->command->tell(monitor, session);
        session->next++;
        return;
    }
    log_event(LOG_REPORT, "done", "command=%s", session->command->name);
    session->command = NULL;
}

void monitor_service(struct monitor *monitor)
{
    for (unsigned i = 0; i < CONSOLE_CHANNELS; i++) {
        struct monitor_session *session = &monitor->sessions[i];

        if (!console_has_room(i))
            continue;
        console_address(i);
        if (session->command == NULL && console_take_line(i, session->line))
            begin(monitor, session);
        if (session->command != NULL) {
            console_address(i); /* an order's effects are everybody's */
            go_on(monitor, session);
        }
        console_address_all();
    }
}
