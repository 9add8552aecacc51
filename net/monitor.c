/* Sessions: from a line that was typed to a command, and from there to its answer, step by step. */
#include "net/monitor.h"

#include <stdio.h>
#include <string.h>

#include <machine/clock.h>
#include <machine/log.h>
#include <machine/option.h>

#include "net/monitor_internal.h"

#define BLANKS " \t" /* that may stand in a line that was typed */

static void serve(void *monitor)
{
    monitor_service(monitor);
}

void monitor_init(struct monitor *monitor, struct topology *topology, struct loop *loop,
                  const struct monitor_machine *machine)
{
    *monitor = (struct monitor){.topology = topology, .loop = loop, .machine = *machine};
    for (unsigned i = 0; i < CONSOLE_CHANNELS; i++)
        monitor->sessions[i].call.channel = i;
    loop->serve = serve;
    loop->server = monitor;
    monitor_show_init(monitor);
    monitor_set_init(monitor);
    console_set_phrases(monitor_phrases());
}

/* Cuts session->line into words; those beyond the last place are not needed to find it wrong. */
static void split(struct monitor_session *session)
{
    char *line = session->line, *word;

    session->call.word_count = 0;
    while (session->call.word_count < COMMAND_WORDS_MAX && (word = option_next_word(&line)) != NULL)
        session->call.words[session->call.word_count++] = word;
}

static void refuse_command(const char *word)
{
    char names[LOG_QUOTE_MAX] = "";
    const struct command *command;

    for (unsigned i = 0; (command = command_at(i)) != NULL; i++) {
        const size_t used = strlen(names);
        snprintf(names + used, sizeof(names) - used, "%s%s", i != 0 ? " " : "", command->words);
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
static void begin(struct monitor_session *session)
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
    if (session->call.word_count == 0)
        return;
    session->call.next = session->call.end = 0;
    if (!command_find(&session->call))
        refuse_command(session->call.words[0]);
    else if (!session->call.command->run(&session->call))
        session->call.command = NULL;
}

/* One event of the answer, or its end. */
static void go_on(struct command_call *call)
{
    if (call->next < call->end) {
        call->command->tell(call);
        call->next++;
        return;
    }
    log_event(LOG_REPORT, "done", "command=%s", log_quote(call->command->words).text);
    call->command = NULL;
}

void monitor_service(struct monitor *monitor)
{
    for (unsigned i = 0; i < CONSOLE_CHANNELS; i++) {
        struct monitor_session *session = &monitor->sessions[i];

        if (!console_has_room(i))
            continue;
        console_address(i);
        if (session->call.command == NULL && console_take_line(i, session->line))
            begin(session);
        if (session->call.command != NULL) {
            console_address(i); /* an order's effects are everybody's */
            go_on(&session->call);
        }
        console_address_all();
    }
}
