/* mode=, wire= and mergeable=: the words that a topology is made by. */
#ifndef NET_TOPOLOGY_OPTIONS_H
#define NET_TOPOLOGY_OPTIONS_H

#include "net/topology.h"

/* The words are read into `topology`: reflect, wire and mergeable. Before the command line is read. */
void topology_options_begin(struct topology *topology);

#endif
