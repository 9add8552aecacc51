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

#define MONITOR_WORDS_MAX 4 /* a command and its arguments */

/* One channel's last look at a port's counters, and where those that it is shown begin. */
struct monitor_view {
    uint64_t since_ns;
    uint64_t looked_ns;
    struct stats_counters base;
    struct stats_counters last;
};

struct monitor_command;

/* One channel. */
struct monitor_session {
    unsigned channel;
    const struct monitor_command *command; /* that is being answered; NULL: none */
    char line[CONSOLE_LINE_MAX];
    unsigned word_count;
    char *words[MONITOR_WORDS_MAX]; /* in line */
    unsigned next;                  /* what the next event of the answer is about … */
    unsigned end;                   /* … and the first that is not asked for */
    bool clear;
    struct monitor_view views[PORTS_MAX];
};

struct monitor {
    const struct monitor_command *commands; /* the table */
    unsigned command_count;
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
