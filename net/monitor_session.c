/* What every command needs of its session. */
#include <machine/log.h>

#include "net/monitor_internal.h"
#include "net/pairs.h"

const struct monitor_command *monitor_command(const struct monitor *monitor, unsigned number)
{
    return number < monitor->command_count ? &monitor->commands[number] : NULL;
}

const char *monitor_argument(const struct monitor_session *session, unsigned number)
{
    return number < session->word_count ? session->words[number] : NULL;
}

bool monitor_refuse(const struct monitor_session *session, const char *word, const char *accepted)
{
    log_event(LOG_REPORT, "error", "reason=bad-argument command=%s word=%s accepted=%s",
              session->command->name, log_quote(word).text, log_quote(accepted).text);
    return false;
}

bool monitor_port(const struct monitor *monitor, const char *word, unsigned *port)
{
    const int found =
        pairs_find_port(monitor->topology->ports, monitor->topology->port_count, word);

    if (found < 0)
        return false;
    *port = (unsigned)found;
    return true;
}
