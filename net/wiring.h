/*
 * Wiring: which port's frames leave by which. Decided once, before any port starts, out of the
 * ports in PCI order and the text of wire=.
 */
#ifndef NET_WIRING_H
#define NET_WIRING_H

#include "net/netdev.h"

#define WIRING_IDLE (-1) /* a port without a partner */
#define WIRING_NOT_FOUND (-1)
#define WIRING_AMBIGUOUS (-2)
#define WIRING_WORD 640 /* bytes of the longest text that says which ports are wired, with NUL */
#define WIRING_TEXT 192 /* enough for NETDEV_PORTS_MAX ports in wires= or idle_ports= */

struct wiring {
    unsigned count;                /* ports */
    int partner[NETDEV_PORTS_MAX]; /* by port number: where its frames go, or WIRING_IDLE */
};

/*
 * Joins ports in order: 0 with 1, 2 with 3, … if `text` is empty; else as `text` says: "A-B,C-D",
 * each end a port number, a PCI address ("00:03.0", with or without "0000:") or a MAC address. A pair
 * with an end that does not exist, is taken already, is ambiguous or is its own partner is left
 * idle, after a `warn` that names it (after eight of these one more counts the others). Ports that have failed are paired all the same: nobody moves
 * up; wiring_settle parts them.
 */
void wiring_plan(struct wiring *wiring, struct netdev *const *ports, unsigned count,
                 const char *text);

/*
 * The number of the port that `name` means, as one end of a pair; WIRING_NOT_FOUND or
 * WIRING_AMBIGUOUS (several ports have this address) if it means none.
 */
int wiring_find_port(struct netdev *const *ports, unsigned count, const char *name);

/* Every port its own partner: for functions that send a frame back. */
void wiring_loopback(struct wiring *wiring, unsigned count);

/* Idles the partners of failed ports, and gives a `warn` for each port left without a partner. */
void wiring_settle(struct wiring *wiring, struct netdev *const *ports);

/* The values of wires= ("0-1,2-3" or "none") and idle_ports= ("2,3" or "none"), into `text`. */
void wiring_wires_text(const struct wiring *wiring, char text[WIRING_TEXT]);
void wiring_idle_text(const struct wiring *wiring, char text[WIRING_TEXT]);

#endif
