/* Pairs of ports, from their order or from the text of wire=. */
#include "net/wiring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <machine/log.h>

#define END_MAX 32 /* bytes of one end's text, with NUL */
#define PAIR_MAX (2 * END_MAX)
#define WARNINGS_MAX 8 /* about pairs; the rest are summed up in one more */
#define ACCEPTED "wire=A-B,C-D with each end a port number, a PCI address or a MAC, used once"

static void warn_pair(const char *pair, const char *reason)
{
    log_event(LOG_WARN, "warn", "word=wire pair=%s reason=\"%s\" accepted=\"%s\"",
              log_quote(pair).text, reason, ACCEPTED);
}

static bool parse_port_number(const char *text, unsigned long long *number)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false; /* strtoull takes blanks and signs, we do not */
    *number = strtoull(text, &end, 10);
    return *end == '\0';
}

static bool port_is_named(const struct netdev *port, const char *name)
{
    const char *address = strncmp(name, "0000:", 5) == 0 ? name + 5 : name;

    return strcasecmp(address, port->address) == 0 ||
           strcasecmp(name, netdev_mac_text(&port->mac).text) == 0;
}

int wiring_find_port(struct netdev *const *ports, unsigned count, const char *name)
{
    unsigned long long number;
    int found = WIRING_NOT_FOUND;

    if (parse_port_number(name, &number))
        return number < count ? (int)number : WIRING_NOT_FOUND;
    for (unsigned i = 0; i < count; i++) {
        if (port_is_named(ports[i], name))
            found = found == WIRING_NOT_FOUND ? (int)i : WIRING_AMBIGUOUS;
    }
    return found;
}

static const char *why_not(const struct wiring *wiring, int a, int b)
{
    if (a == WIRING_NOT_FOUND || b == WIRING_NOT_FOUND)
        return "no such port";
    if (a == WIRING_AMBIGUOUS || b == WIRING_AMBIGUOUS)
        return "several ports have this address";
    if (a == b)
        return "a port joined to itself";
    if (wiring->partner[a] != WIRING_IDLE || wiring->partner[b] != WIRING_IDLE)
        return "a port used twice";
    return NULL;
}

static void join(struct wiring *wiring, int a, int b)
{
    wiring->partner[a] = b;
    wiring->partner[b] = a;
}

/* Joins the `length` bytes "A-B" at `text`. NULL, or why they are no pair. */
static const char *plan_pair(struct wiring *wiring, struct netdev *const *ports, const char *text,
                             size_t length)
{
    char pair[PAIR_MAX];

    if (length >= sizeof(pair))
        return "too long";
    snprintf(pair, sizeof(pair), "%.*s", (int)length, text);
    char *dash = strchr(pair, '-');
    if (dash == NULL)
        return "no '-' between two ends";
    *dash = '\0';
    int a = wiring_find_port(ports, wiring->count, pair);
    int b = wiring_find_port(ports, wiring->count, dash + 1);
    const char *reason = why_not(wiring, a, b);
    if (reason == NULL)
        join(wiring, a, b);
    return reason;
}

/* One line for all wrong pairs behind the first few, with the first of these. */
static void warn_more(unsigned count, const char *first)
{
    if (count > 0)
        log_event(LOG_WARN, "warn", "word=wire reason=more-wrong-pairs count=%u first=%s", count,
                  log_quote(first).text);
}

static void plan_by_text(struct wiring *wiring, struct netdev *const *ports, const char *text)
{
    char pair[PAIR_MAX], first[PAIR_MAX] = "";
    unsigned wrong = 0;

    for (;; text++) {
        const size_t length = strcspn(text, ",");
        const char *reason = plan_pair(wiring, ports, text, length);

        if (reason != NULL) {
            snprintf(pair, sizeof(pair), "%.*s", (int)length, text);
            if (wrong < WARNINGS_MAX)
                warn_pair(pair, reason);
            else if (wrong == WARNINGS_MAX)
                memcpy(first, pair, sizeof(first));
            wrong++;
        }
        text += length;
        if (*text == '\0')
            break;
    }
    warn_more(wrong > WARNINGS_MAX ? wrong - WARNINGS_MAX : 0, first);
}

void wiring_plan(struct wiring *wiring, struct netdev *const *ports, unsigned count,
                 const char *text)
{
    wiring->count = count;
    for (unsigned i = 0; i < count; i++)
        wiring->partner[i] = WIRING_IDLE;
    if (text[0] != '\0') {
        plan_by_text(wiring, ports, text);
        return;
    }
    for (unsigned i = 0; i + 1 < count; i += 2)
        join(wiring, (int)i, (int)i + 1);
}

void wiring_loopback(struct wiring *wiring, unsigned count)
{
    wiring->count = count;
    for (unsigned i = 0; i < count; i++)
        wiring->partner[i] = (int)i;
}

static bool is_out(const struct netdev *port)
{
    return port->state == NETDEV_DOWN;
}

/* A port that works but has nobody to send to. A failed one has had its `error` already. */
static void warn_idle(const struct netdev *port, int partner)
{
    if (is_out(port))
        return;
    if (partner == WIRING_IDLE)
        log_event(LOG_WARN, "warn", "port=%u reason=idle detail=\"no partner\"", port->id);
    else
        log_event(LOG_WARN, "warn",
                  "port=%u reason=idle detail=\"its partner, port %d, is out of service\"",
                  port->id, partner);
}

void wiring_settle(struct wiring *wiring, struct netdev *const *ports)
{
    for (unsigned i = 0; i < wiring->count; i++) {
        int partner = wiring->partner[i];
        if (partner == WIRING_IDLE) {
            warn_idle(ports[i], WIRING_IDLE);
        } else if (is_out(ports[i]) || is_out(ports[partner])) {
            warn_idle(ports[i], partner);
            wiring->partner[i] = WIRING_IDLE;
        }
    }
}

/* Appends to a list whose room was computed for the largest number of ports. */
static void append(char text[WIRING_TEXT], const char *entry)
{
    size_t used = strlen(text);
    int length = snprintf(text + used, WIRING_TEXT - used, "%s%s", used != 0 ? "," : "", entry);

    ensure(length > 0 && (size_t)length < WIRING_TEXT - used);
}

void wiring_wires_text(const struct wiring *wiring, char text[WIRING_TEXT])
{
    char entry[24];

    text[0] = '\0';
    for (unsigned i = 0; i < wiring->count; i++) {
        if (wiring->partner[i] <= (int)i)
            continue; /* idle, or named from its partner's side */
        snprintf(entry, sizeof(entry), "%u-%d", i, wiring->partner[i]);
        append(text, entry);
    }
    if (text[0] == '\0')
        snprintf(text, WIRING_TEXT, "none");
}

void wiring_idle_text(const struct wiring *wiring, char text[WIRING_TEXT])
{
    char entry[24];

    text[0] = '\0';
    for (unsigned i = 0; i < wiring->count; i++) {
        if (wiring->partner[i] != WIRING_IDLE)
            continue;
        snprintf(entry, sizeof(entry), "%u", i);
        append(text, entry);
    }
    if (text[0] == '\0')
        snprintf(text, WIRING_TEXT, "none");
}
