/* stats= and idle=: the words that the loop obeys. */
#ifndef NET_LOOP_OPTIONS_H
#define NET_LOOP_OPTIONS_H

#include "net/loop.h"

/* `loop` goes by the words from now on, and by their changes. */
void loop_options_begin(struct loop *loop);

#endif
