/*
 * Inside the monitor: the table of commands.
 *
 *     monitor.c          a line to words, words to a command, its answer step by step
 *     monitor_show.c     commands that show something
 *     monitor_set.c      commands that change something
 *     monitor_session.c  what both need of the session
 */
#ifndef NET_MONITOR_INTERNAL_H
#define NET_MONITOR_INTERNAL_H

#include "net/monitor.h"

/* What monitor_port takes, as `error` shows it. */
#define MONITOR_PORT_ACCEPTED "the number, PCI address or MAC of a port"

struct monitor_command {
    const char *name;
    const char *arguments; /* what is accepted, as `help` and `error` show it */
    const char *purpose;

    /*
     * Reads session->words and sets session->next and end. False if a word is wrong, after
     * monitor_refuse. An order is carried out here.
     */
    bool (*begin)(struct monitor *monitor, struct monitor_session *session);

    /* Queues one event, about item session->next. NULL where begin does all. */
    void (*tell)(struct monitor *monitor, struct monitor_session *session);
};

/* ---- monitor_session.c ---- */

/* All commands, by number; NULL behind the last. */
const struct monitor_command *monitor_command(const struct monitor *monitor, unsigned number);

/* Queues `error reason=bad-argument` for `word`, which is wrong in this session's command. Returns
 * false, so that it can be returned. */
bool monitor_refuse(const struct monitor_session *session, const char *word, const char *accepted);

/* The word behind the command, or NULL. */
const char *monitor_argument(const struct monitor_session *session, unsigned number);

/* True and the port's number in *port, if `word` is the number, PCI address or MAC of a port. */
bool monitor_port(const struct monitor *monitor, const char *word, unsigned *port);

/* ---- monitor_show.c ---- */

bool monitor_begin_help(struct monitor *monitor, struct monitor_session *session);
bool monitor_begin_ports(struct monitor *monitor, struct monitor_session *session);
bool monitor_begin_stats(struct monitor *monitor, struct monitor_session *session);
bool monitor_begin_pools(struct monitor *monitor, struct monitor_session *session);
bool monitor_begin_pci(struct monitor *monitor, struct monitor_session *session);
bool monitor_begin_once(struct monitor *monitor, struct monitor_session *session);

void monitor_tell_help(struct monitor *monitor, struct monitor_session *session);
void monitor_tell_port(struct monitor *monitor, struct monitor_session *session);
void monitor_tell_stats(struct monitor *monitor, struct monitor_session *session);
void monitor_tell_lane(struct monitor *monitor, struct monitor_session *session);
void monitor_tell_drops(struct monitor *monitor, struct monitor_session *session);
void monitor_tell_pci(struct monitor *monitor, struct monitor_session *session);
void monitor_tell_memory(struct monitor *monitor, struct monitor_session *session);
void monitor_tell_uptime(struct monitor *monitor, struct monitor_session *session);
void monitor_tell_version(struct monitor *monitor, struct monitor_session *session);

/* ---- monitor_set.c ---- */

bool monitor_begin_log(struct monitor *monitor, struct monitor_session *session);
bool monitor_begin_set(struct monitor *monitor, struct monitor_session *session);
bool monitor_begin_mode(struct monitor *monitor, struct monitor_session *session);
bool monitor_begin_wire(struct monitor *monitor, struct monitor_session *session);
bool monitor_begin_reset(struct monitor *monitor, struct monitor_session *session);
bool monitor_begin_json(struct monitor *monitor, struct monitor_session *session);
bool monitor_begin_reboot(struct monitor *monitor, struct monitor_session *session);
bool monitor_begin_poweroff(struct monitor *monitor, struct monitor_session *session);

#endif
