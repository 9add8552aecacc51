/* Somebody at the console. */
#include "tests/host/sim/operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <machine/console.h>
#include <machine/log.h>
#include <machine/panic.h>

#include "tests/host/sim/machine.h"

#define LINES_MAX 64

static struct {
    char lines[CONSOLE_CHANNELS][LINES_MAX][CONSOLE_LINE_MAX];
    unsigned typed[CONSOLE_CHANNELS];
    unsigned taken[CONSOLE_CHANNELS];
    bool away[CONSOLE_CHANNELS];
    bool json[CONSOLE_CHANNELS];
    int addressed;
    const char *const *phrases;
    unsigned expected;
    char changed[64];
    struct settings settings;
} operator;

void operator_reset(void)
{
    memset(&operator, 0, sizeof(operator));
    operator.addressed = OPERATOR_ALL;
    operator.settings.promisc = true;
}

void operator_type(unsigned channel, const char *line)
{
    ensure(operator.typed[channel] - operator.taken[channel]<LINES_MAX);
    snprintf(operator.lines[channel]
                           [operator.typed[channel]++ % LINES_MAX], CONSOLE_LINE_MAX, "%s", line);
}

void operator_away(unsigned channel, bool on)
{
    operator.away[channel] = on;
}

int operator_addressed(void)
{
    return operator.addressed;
}

bool operator_has_json(unsigned channel)
{
    return operator.json[channel];
}

bool operator_knows_phrase(const char *phrase)
{
    for (const char *const *at = operator.phrases; at != NULL && *at != NULL; at++)
        if (strcmp(*at, phrase) == 0)
            return true;
    return false;
}

const char *operator_changed(void)
{
    return operator.changed;
}

/* ---- machine/console.h ---- */

SEAM bool console_take_line(unsigned channel, char line[CONSOLE_LINE_MAX])
{
    if (operator.taken[channel] == operator.typed[channel])
        return false;
    memcpy(line, operator.lines[channel][operator.taken[channel]++ % LINES_MAX], CONSOLE_LINE_MAX);
    return true;
}

SEAM void console_expect_input(void)
{
    operator.expected++;
}

unsigned operator_expected(void)
{
    return operator.expected;
}

SEAM bool console_has_room(unsigned channel)
{
    return !operator.away[channel];
}

SEAM void console_address(unsigned channel)
{
    operator.addressed =(int) channel;
}

SEAM void console_address_all(void)
{
    operator.addressed = OPERATOR_ALL;
}

SEAM void console_set_json(unsigned channel, bool on)
{
    operator.json[channel] = on;
}

SEAM void console_set_phrases(const char *const *phrases)
{
    operator.phrases = phrases;
}

/* ---- machine/settings.h ---- */

SEAM const char *settings_change(const char *word, struct settings *settings)
{
    if (strncmp(word, "stats=", 6) == 0)
        operator.settings.stats_seconds =(unsigned) strtoul(word + 6, NULL, 10);
    else if (strncmp(word, "promisc=", 8) == 0)
        operator.settings.promisc = strcmp(word + 8, "on") == 0;
    else if (strncmp(word, "allmulti=", 9) == 0)
        operator.settings.allmulti = strcmp(word + 9, "on") == 0;
    else if (strncmp(word, "idle=", 5) == 0)
        operator.settings.idle_adaptive = strcmp(word + 5, "adaptive") == 0;
    else if (strncmp(word, "mac=", 4) == 0) {
        operator.settings.mac_port =(unsigned) strtoul(word + 4, NULL, 10);
        memcpy(operator.settings.mac, (uint8_t[]){2, 0, 0, 0, 0, 9}, 6);
    } else if (strcmp(word, "good=1") != 0 && strcmp(word, "log=warn") != 0)
        return "good=1";
    snprintf(operator.changed, sizeof(operator.changed), "%s", word);
    *settings = operator.settings;
    return NULL;
}

SEAM void settings_report(void)
{
    log_event(LOG_REPORT, "settings", "good=1");
}
