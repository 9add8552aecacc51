/*
 * Inside the monitor:
 *
 *     monitor.c          a line to words, words to a command, its answer step by step
 *     monitor_show.c     commands that show something
 *     monitor_set.c      commands that change something
 *     monitor_session.c  what both need of the session
 *     monitor_phrases.c  what Tab completes to
 */
#ifndef NET_MONITOR_INTERNAL_H
#define NET_MONITOR_INTERNAL_H

#include "net/command.h"
#include "net/monitor.h"

/* What monitor_port takes, as `error` shows it. */
#define MONITOR_PORT_ACCEPTED "the number, PCI address or MAC of a port"

/* True and the port's number in *port, if `word` is the number, PCI address or MAC of a port. */
bool monitor_port(const struct monitor *monitor, const char *word, unsigned *port);

/* Put these commands to use, on `monitor`. */
void monitor_show_init(struct monitor *monitor);
void monitor_set_init(struct monitor *monitor);

/* All phrases, made of the tables of commands and options; NULL behind the last. Start-up only. */
const char *const *monitor_phrases(void);

#endif
