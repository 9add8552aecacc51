/*
 * The command line's words at run time: read by the same table, and put into effect.
 */
#include "kernel/settings.h"

#include <string.h>

#include <machine/log.h>

#include "kernel/log.h"
#include "kernel/panic.h"

static struct config *current;

void settings_init(struct config *config)
{
    current = config;
}

const char *settings_change(const char *word, struct settings *settings)
{
    const char *accepted = config_change(current, word);

    if (accepted != NULL)
        return accepted;
    log_set_level(current->log);
    panic_set_action(current->panic);
    *settings = (struct settings){
        .stats_seconds = current->stats_seconds,
        .promisc = current->promisc,
        .allmulti = current->allmulti,
        .idle_adaptive = !current->idle_poll,
        .mac_port = current->macs[current->mac_last].port,
    };
    memcpy(settings->mac, current->macs[current->mac_last].address, sizeof(settings->mac));
    return NULL;
}

static const char *on_off(bool on)
{
    return on ? "on" : "off";
}

void settings_report(void)
{
    log_event(LOG_REPORT, "settings", "stats=%u log=%s promisc=%s allmulti=%s panic=%s idle=%s",
              current->stats_seconds, config_log_name(current->log), on_off(current->promisc),
              on_off(current->allmulti), panic_action_name(current->panic),
              current->idle_poll ? "poll" : "adaptive");
}
