/* log=: which events are shown. */
#include "kernel/log.h"

#include <machine/option.h>

#define LEVEL_FIRST LOG_INFO

static unsigned level_wanted = LEVEL_FIRST;
static enum log_level level_max = LEVEL_FIRST;

void log_set_level(enum log_level level)
{
    level_max = level;
}

bool log_enabled(enum log_level level)
{
    return level <= level_max;
}

static void change(void *values)
{
    (void)values;
    log_set_level(level_wanted);
}

/* LOG_REPORT has no word, as it cannot be switched off. */
static const struct option option = {
    .key = "log",
    .help = "which events are shown",
    .argument = "LEVEL",
    .type = OPTION_CHOICE,
    .flags = OPTION_LIVE | OPTION_SHOWN,
    .choices = "error|warn|info|debug",
    .min = LOG_ERROR,
    .initial = LEVEL_FIRST,
    .changed = change,
};

static struct option_table log_word = {
    .place = 3, .count = 1, .options = &option, .values = &level_wanted};
OPTION_TABLE(log_word);
