/* Somebody at the console. */
#include "tests/host/sim/console_user.h"

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
} user;

void user_reset(void)
{
    memset(&user, 0, sizeof(user));
    user.addressed = USER_ALL;
    user.settings.promisc = true;
}

void user_type(unsigned channel, const char *line)
{
    ensure(user.typed[channel] - user.taken[channel] < LINES_MAX);
    snprintf(user.lines[channel][user.typed[channel]++ % LINES_MAX], CONSOLE_LINE_MAX, "%s", line);
}

void user_away(unsigned channel, bool on)
{
    user.away[channel] = on;
}

int user_addressed(void)
{
    return user.addressed;
}

bool user_has_json(unsigned channel)
{
    return user.json[channel];
}

bool user_knows_phrase(const char *phrase)
{
    for (const char *const *at = user.phrases; at != NULL && *at != NULL; at++)
        if (strcmp(*at, phrase) == 0)
            return true;
    return false;
}

const char *user_changed(void)
{
    return user.changed;
}

/* ---- machine/console.h ---- */

SEAM bool console_take_line(unsigned channel, char line[CONSOLE_LINE_MAX])
{
    if (user.taken[channel] == user.typed[channel])
        return false;
    memcpy(line, user.lines[channel][user.taken[channel]++ % LINES_MAX], CONSOLE_LINE_MAX);
    return true;
}

SEAM void console_expect_input(void)
{
    user.expected++;
}

unsigned user_expected(void)
{
    return user.expected;
}

SEAM bool console_has_room(unsigned channel)
{
    return !user.away[channel];
}

SEAM void console_address(unsigned channel)
{
    user.addressed = (int)channel;
}

SEAM void console_address_all(void)
{
    user.addressed = USER_ALL;
}

SEAM void console_set_json(unsigned channel, bool on)
{
    user.json[channel] = on;
}

SEAM void console_set_phrases(const char *const *phrases)
{
    user.phrases = phrases;
}

/* ---- machine/settings.h ---- */

SEAM const char *settings_change(const char *word, struct settings *settings)
{
    if (strncmp(word, "stats=", 6) == 0)
        user.settings.stats_seconds = (unsigned)strtoul(word + 6, NULL, 10);
    else if (strncmp(word, "promisc=", 8) == 0)
        user.settings.promisc = strcmp(word + 8, "on") == 0;
    else if (strncmp(word, "allmulti=", 9) == 0)
        user.settings.allmulti = strcmp(word + 9, "on") == 0;
    else if (strncmp(word, "idle=", 5) == 0)
        user.settings.idle_adaptive = strcmp(word + 5, "adaptive") == 0;
    else if (strncmp(word, "mac=", 4) == 0) {
        user.settings.mac_port = (unsigned)strtoul(word + 4, NULL, 10);
        memcpy(user.settings.mac, (uint8_t[]){2, 0, 0, 0, 0, 9}, 6);
    } else if (strcmp(word, "good=1") != 0 && strcmp(word, "log=warn") != 0)
        return "good=1";
    snprintf(user.changed, sizeof(user.changed), "%s", word);
    *settings = user.settings;
    return NULL;
}

SEAM void settings_report(void)
{
    log_event(LOG_REPORT, "settings", "good=1");
}
