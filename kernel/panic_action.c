/* A word of its own beside the report, which must do without it where that fails. */
#include "kernel/panic_action.h"

#include <machine/option.h>

static unsigned action = PANIC_REBOOT;

enum panic_action panic_action(void)
{
    return action;
}

/* Written out: a report that has failed may call nothing that could fail, too. */
const char *panic_action_name(void)
{
    switch (action) {
    case PANIC_HALT:
        return "halt";
    case PANIC_POWEROFF:
        return "poweroff";
    default:
        return "reboot";
    }
}

static const struct option option = {
    .key = "panic",
    .help = "what to do after a panic report",
    .argument = "ACTION",
    .type = OPTION_CHOICE,
    .flags = OPTION_LIVE | OPTION_SHOWN,
    .choices = "reboot|halt|poweroff",
    .initial = PANIC_REBOOT,
};

static struct option_table panic_word = {
    .place = 8, .count = 1, .options = &option, .values = &action};
OPTION_TABLE(panic_word);
