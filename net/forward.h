/*
 * The forwarding functions. Each is a forward_fn (net/lane.h has the contract); a mode is nothing
 * more than the choice of one for each lane.
 */
#ifndef NET_FORWARD_H
#define NET_FORWARD_H

#include "net/lane.h"

/* mode=wire: every frame leaves as it came. */
forward_fn forward_wire;

/*
 * mode=reflect: source and destination MAC change places. A group address must not become a source
 * (802.3 clause 3.2.3 has the bit reserved there), so a multicast or broadcast frame goes back
 * to its sender from the port's own address.
 */
forward_fn forward_reflect;

/* A port without a partner: every frame is discarded and counted as drop_idle. */
forward_fn forward_idle;

/* "wire", "reflect", "idle": how an operator knows it. */
const char *forward_name(forward_fn *forward);

#endif
