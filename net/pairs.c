/* Pairs of ports, from their order or from the text of wire=. */
#include "net/pairs.h"

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

static bool port_is_named(const struct port *port, const char *name)
{
    const char *address = strncmp(name, "0000:", 5) == 0 ? name + 5 : name;

    return strcasecmp(address, port->address) == 0 ||
           strcasecmp(name, port_mac_text(&port->mac).text) == 0;
}

int pairs_find_port(struct port *const *ports, unsigned count, const char *name)
{
    unsigned long long number;
    int found = PAIRS_NOT_FOUND;

    if (parse_port_number(name, &number))
        return number < count ? (int)number : PAIRS_NOT_FOUND;
    for (unsigned i = 0; i < count; i++) {
        if (port_is_named(ports[i], name))
            found = found == PAIRS_NOT_FOUND ? (int)i : PAIRS_AMBIGUOUS;
    }
    return found;
}

static const char *why_not(const struct pairs *pairs, int a, int b)
{
    if (a == PAIRS_NOT_FOUND || b == PAIRS_NOT_FOUND)
        return "no such port";
    if (a == PAIRS_AMBIGUOUS || b == PAIRS_AMBIGUOUS)
        return "several ports have this address";
    if (a == b)
        return "a port joined to itself";
    if (pairs->partner[a] != PAIRS_IDLE || pairs->partner[b] != PAIRS_IDLE)
        return "a port used twice";
    return NULL;
}

static void join(struct pairs *pairs, int a, int b)
{
    pairs->partner[a] = b;
    pairs->partner[b] = a;
}

/* Joins the `length` bytes "A-B" at `text`. NULL, or why they are no pair. */
static const char *plan_pair(struct pairs *pairs, struct port *const *ports, const char *text,
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
    int a = pairs_find_port(ports, pairs->count, pair);
    int b = pairs_find_port(ports, pairs->count, dash + 1);
    const char *reason = why_not(pairs, a, b);
    if (reason == NULL)
        join(pairs, a, b);
    return reason;
}

/* One line for all wrong pairs behind the first few, with the first of these. */
static void warn_more(unsigned count, const char *first)
{
    if (count > 0)
        log_event(LOG_WARN, "warn", "word=wire reason=more-wrong-pairs count=%u first=%s", count,
                  log_quote(first).text);
}

static void plan_by_text(struct pairs *pairs, struct port *const *ports, const char *text)
{
    char pair[PAIR_MAX], first[PAIR_MAX] = "";
    unsigned wrong = 0;

    for (;; text++) {
        const size_t length = strcspn(text, ",");
        const char *reason = plan_pair(pairs, ports, text, length);

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

void pairs_plan(struct pairs *pairs, struct port *const *ports, unsigned count, const char *text)
{
    pairs->count = count;
    for (unsigned i = 0; i < count; i++)
        pairs->partner[i] = PAIRS_IDLE;
    if (text[0] != '\0') {
        plan_by_text(pairs, ports, text);
        return;
    }
    for (unsigned i = 0; i + 1 < count; i += 2)
        join(pairs, (int)i, (int)i + 1);
}

void pairs_loopback(struct pairs *pairs, unsigned count)
{
    pairs->count = count;
    for (unsigned i = 0; i < count; i++)
        pairs->partner[i] = (int)i;
}

static bool is_out(const struct port *port)
{
    return port->state == PORT_DOWN;
}

/* A port that works but has nobody to send to. A failed one has had its `error` already. */
static void warn_idle(const struct port *port, int partner)
{
    if (is_out(port))
        return;
    if (partner == PAIRS_IDLE)
        log_event(LOG_WARN, "warn", "port=%u reason=idle detail=\"no partner\"", port->id);
    else
        log_event(LOG_WARN, "warn",
                  "port=%u reason=idle detail=\"its partner, port %d, is out of service\"",
                  port->id, partner);
}

void pairs_settle(struct pairs *pairs, struct port *const *ports)
{
    for (unsigned i = 0; i < pairs->count; i++) {
        int partner = pairs->partner[i];
        if (partner == PAIRS_IDLE) {
            warn_idle(ports[i], PAIRS_IDLE);
        } else if (is_out(ports[i]) || is_out(ports[partner])) {
            warn_idle(ports[i], partner);
            pairs->partner[i] = PAIRS_IDLE;
        }
    }
}

/* Appends to a list whose room was computed for the largest number of ports. */
static void append(char text[PAIRS_TEXT], const char *entry)
{
    size_t used = strlen(text);
    int length = snprintf(text + used, PAIRS_TEXT - used, "%s%s", used != 0 ? "," : "", entry);

    ensure(length > 0 && (size_t)length < PAIRS_TEXT - used);
}

void pairs_wires_text(const struct pairs *pairs, char text[PAIRS_TEXT])
{
    char entry[24];

    text[0] = '\0';
    for (unsigned i = 0; i < pairs->count; i++) {
        if (pairs->partner[i] <= (int)i)
            continue; /* idle, or named from its partner's side */
        snprintf(entry, sizeof(entry), "%u-%d", i, pairs->partner[i]);
        append(text, entry);
    }
    if (text[0] == '\0')
        snprintf(text, PAIRS_TEXT, "none");
}

void pairs_idle_text(const struct pairs *pairs, char text[PAIRS_TEXT])
{
    char entry[24];

    text[0] = '\0';
    for (unsigned i = 0; i < pairs->count; i++) {
        if (pairs->partner[i] != PAIRS_IDLE)
            continue;
        snprintf(entry, sizeof(entry), "%u", i);
        append(text, entry);
    }
    if (text[0] == '\0')
        snprintf(text, PAIRS_TEXT, "none");
}
