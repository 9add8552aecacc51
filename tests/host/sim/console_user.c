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
} user;

void user_reset(void)
{
    memset(&user, 0, sizeof(user));
    user.addressed = USER_ALL;
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
