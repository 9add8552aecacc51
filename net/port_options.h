/* promisc=, allmulti=, mac=, accept=, vlan=: what the words want of ports. */
#ifndef NET_PORT_OPTIONS_H
#define NET_PORT_OPTIONS_H

#include "net/port.h"

/* The ports are known: each gets what the words want of it, and a word about a port that there is not a
 * `warn`. `all` and `count` are the caller's; words that change later reach the ports that are there then. */
void port_options_begin(struct port *const *all, const unsigned *count);

/* The same for a port that comes later. Its device is brought to it once it runs. */
void port_options_apply(struct port *port);

#endif
