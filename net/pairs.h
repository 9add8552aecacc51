/*
 * Pairs: which port's frames leave by which. Decided once, before any port starts, out of the
 * ports in PCI order and the text of wire=.
 */
#ifndef NET_PAIRS_H
#define NET_PAIRS_H

#include "net/port.h"

#define PAIRS_IDLE (-1) /* a port without a partner */
#define PAIRS_NOT_FOUND (-1)
#define PAIRS_AMBIGUOUS (-2)
#define PAIRS_WORD 640 /* bytes of the longest text that says which ports are wired, with NUL */
#define PAIRS_TEXT 192 /* enough for PORTS_MAX ports in wires= or idle_ports= */

struct pairs {
    unsigned count;         /* ports */
    int partner[PORTS_MAX]; /* by port number: where its frames go, or PAIRS_IDLE */
};

/*
 * Joins ports in order: 0 with 1, 2 with 3, … if `text` is empty; else as `text` says: "A-B,C-D",
 * each end a port number, a PCI address ("00:03.0", with or without "0000:") or a MAC address. A pair
 * with an end that does not exist, is taken already, is ambiguous or is its own partner is left
 * idle, after a `warn` that names it (after eight of these one more counts the others). Ports that have failed are paired all the same: nobody moves
 * up; pairs_settle parts them.
 */
void pairs_plan(struct pairs *pairs, struct port *const *ports, unsigned count, const char *text);

/*
 * The number of the port that `name` means, as one end of a pair; PAIRS_NOT_FOUND or
 * PAIRS_AMBIGUOUS (several ports have this address) if it means none.
 */
int pairs_find_port(struct port *const *ports, unsigned count, const char *name);

/* Every port its own partner: for functions that send a frame back. */
void pairs_loopback(struct pairs *pairs, unsigned count);

/* Idles the partners of failed ports, and gives a `warn` for each port left without a partner. */
void pairs_settle(struct pairs *pairs, struct port *const *ports);

/* The values of wires= ("0-1,2-3" or "none") and idle_ports= ("2,3" or "none"), into `text`. */
void pairs_wires_text(const struct pairs *pairs, char text[PAIRS_TEXT]);
void pairs_idle_text(const struct pairs *pairs, char text[PAIRS_TEXT]);

#endif
