/* What every command needs of its session. */
#include "net/monitor_internal.h"
#include "net/pairs.h"

bool monitor_port(const struct monitor *monitor, const char *word, unsigned *port)
{
    const int found =
        pairs_find_port(monitor->topology->ports, monitor->topology->port_count, word);

    if (found < 0)
        return false;
    *port = (unsigned)found;
    return true;
}
