/*
 * The monitor: commands typed on the console, answered by events.
 *
 * One command at a time on each channel. An answer is events of the command's own name (`help` has
 * the list), to that channel alone, then `done command=NAME`; or an `error` that names the word that
 * was wrong and what would be accepted. One event is queued a call, and only while the channel has
 * room: a slow terminal gets its answer slowly, and nobody else notices.
 */
#ifndef NET_MONITOR_H
#define NET_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

#include <machine/console.h>

#include "net/command.h"
#include "net/topology.h"
#include "net/loop.h"
#include "net/stats.h"

/* What only main can tell. */
struct monitor_machine {
    const char *version;
    unsigned (*pci_count)(void); /* PCI functions, or places of such … */
    void (*pci_report)(
        unsigned index); /* … and what queues the `pci` event of one, if it is there */
};

/* One channel's last look at a port's counters, and where those that it is shown begin. */
struct monitor_view {
    uint64_t since_ns;
    uint64_t looked_ns;
    struct stats_counters base;
    struct stats_counters last;
};

/* One channel. */
struct monitor_session {
    char line[CONSOLE_LINE_MAX];
    struct command_call
        call; /* that is being answered, its words in `line`; .command is NULL: none */
    bool clear;
    struct monitor_view views[PORTS_MAX];
};

struct monitor {
    struct topology *topology; /* the caller's */
    struct loop *loop;
    struct monitor_machine machine;
    struct monitor_session sessions[CONSOLE_CHANNELS];
};

/* Prepares `monitor` to be asked about `topology` and `loop`, which outlive it; `loop` serves it from then
 * on. Start-up only. */
void monitor_init(struct monitor *monitor, struct topology *topology, struct loop *loop,
                  const struct monitor_machine *machine);

/* Takes what was typed, and goes on with the answers. For housekeeping, between two rounds. */
void monitor_service(struct monitor *monitor);

#endif
