/* The loop's words. Each goes to the loop when it changes, once there is one. */
#include "net/loop_options.h"

#include <machine/option.h>

static struct {
    unsigned stats_seconds;
    bool poll;
} wanted;

static struct loop *running;

static void change_stats(void *values)
{
    (void)values;
    if (running != NULL)
        loop_set_stats(running, wanted.stats_seconds);
}

static void change_idle(void *values)
{
    (void)values;
    if (running != NULL)
        idle_set_adaptive(&running->idle, !wanted.poll);
}

void loop_options_begin(struct loop *loop)
{
    running = loop;
    change_stats(&wanted);
    change_idle(&wanted);
}

static const struct option stats_option = {
    .key = "stats",
    .help = "time between stats events",
    .accepted = "seconds",
    .argument = "SECONDS",
    .type = OPTION_NUMBER,
    .flags = OPTION_LIVE | OPTION_SHOWN | OPTION_ZERO_IS_OFF,
    .offset = __builtin_offsetof(__typeof__(wanted), stats_seconds),
    .max = 86400,
    .initial = 10,
    .changed = change_stats,
};

static const struct option idle_option = {
    .key = "idle",
    .help = "whether the core sleeps without traffic",
    .type = OPTION_SWITCH,
    .flags = OPTION_LIVE | OPTION_SHOWN,
    .offset = __builtin_offsetof(__typeof__(wanted), poll),
    .choices = "adaptive|poll",
    .changed = change_idle,
};

static struct option_table stats_word = {
    .place = 2, .count = 1, .options = &stats_option, .values = &wanted};
OPTION_TABLE(stats_word);

static struct option_table idle_word = {
    .place = 10, .count = 1, .options = &idle_option, .values = &wanted};
OPTION_TABLE(idle_word);
