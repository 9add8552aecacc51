/* What the words want of ports, by number: of those that there are, and of those that will come. */
#include "net/port_options.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <machine/log.h>
#include <machine/option.h>

#define ACCEPTS_MAX 64 /* of all ports together */
#define VLANS_MAX 64
#define STRING(text) #text
#define TEXT_OF(number) STRING(number)

/* Warnings about words for ports that there are not; the rest are summed up in one more. */
#define MISSING_PORT_WARNINGS 8

struct address_word {
    unsigned port;
    struct mac_address mac;
};

struct vlan_word {
    unsigned port, id;
};

static struct {
    bool promisc, allmulti;
    struct mac_address macs[PORTS_MAX]; /* zero: the device's own */
    struct address_word accepts[ACCEPTS_MAX];
    unsigned accept_count;
    struct vlan_word vlans[VLANS_MAX];
    unsigned vlan_count;
} wanted;

static struct port *const *ports; /* NULL: they are not known yet */
static const unsigned *port_count;
static struct mac_address own[PORTS_MAX]; /* the devices' addresses */

/* ---- reading ---- */

static bool read_port(const char *text, unsigned *port)
{
    *port = strlen(text) <= 9 ? (unsigned)strtoull(text, NULL, 10) : PORTS_MAX;
    return *port < PORTS_MAX;
}

/* Reads `xx:xx:xx:xx:xx:xx`, the whole of `text`. */
static bool read_address(const char *text, struct mac_address *mac)
{
    if (strlen(text) != sizeof("xx:xx:xx:xx:xx:xx") - 1)
        return false;
    for (int i = 0; i < 6; i++) {
        const char *digits = text + 3 * i;
        if (!isxdigit((unsigned char)digits[0]) || !isxdigit((unsigned char)digits[1]) ||
            digits[2] != (i < 5 ? ':' : '\0'))
            return false;
        mac->bytes[i] = (uint8_t)strtoull(digits, NULL, 16);
    }
    return true;
}

/* ---- mac= ---- */

/* A port that is not there yet gets it when it comes. */
static void change_mac(unsigned port)
{
    const struct mac_address *const mac =
        port_mac_is_station(&wanted.macs[port]) ? &wanted.macs[port] : &own[port];

    if (ports == NULL)
        return;
    if (port >= *port_count)
        log_event(LOG_WARN, "warn", "word=mac port=%u reason=\"no such port yet\" ports=%u", port,
                  *port_count);
    else if (port_mac_is_station(mac))
        port_want_mac(ports[port], *mac);
}

static bool put_mac(void *values, const char *subject, const char *value)
{
    struct mac_address mac = {{0}};
    unsigned port;

    (void)values;
    if (subject == NULL) {
        memset(wanted.macs, 0, sizeof(wanted.macs));
        return true;
    }
    if (!read_port(subject, &port) ||
        (value != NULL && (!read_address(value, &mac) || !port_mac_is_station(&mac))))
        return false;
    wanted.macs[port] = mac;
    change_mac(port);
    return true;
}

static bool get_mac(const void *values, unsigned number, struct option_text out)
{
    (void)values;
    for (unsigned port = 0; port < PORTS_MAX; port++) {
        if (!port_mac_is_station(&wanted.macs[port]) || number-- > 0)
            continue;
        snprintf(out.text, out.size, "%u/%s", port, port_mac_text(&wanted.macs[port]).text);
        return true;
    }
    return false;
}

/* ---- accept= ---- */

/* Removes the addresses of `port`. */
static void forget_accepts(unsigned port)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < wanted.accept_count; i++)
        if (wanted.accepts[i].port != port)
            wanted.accepts[kept++] = wanted.accepts[i];
    wanted.accept_count = kept;
}

/* Of a station or a group; broadcast comes in anyway. */
static bool put_accept(void *values, const char *subject, const char *value)
{
    static const struct mac_address nobody, everybody = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    struct address_word word;

    (void)values;
    if (subject == NULL) {
        wanted.accept_count = 0;
        return true;
    }
    if (!read_port(subject, &word.port))
        return false;
    if (value == NULL) {
        forget_accepts(word.port);
        return true;
    }
    if (wanted.accept_count == ACCEPTS_MAX || !read_address(value, &word.mac) ||
        memcmp(&word.mac, &nobody, sizeof(nobody)) == 0 ||
        memcmp(&word.mac, &everybody, sizeof(everybody)) == 0)
        return false;
    wanted.accepts[wanted.accept_count++] = word;
    return true;
}

static bool get_accept(const void *values, unsigned number, struct option_text out)
{
    const struct address_word *const word = &wanted.accepts[number];

    (void)values;
    if (number >= wanted.accept_count)
        return false;
    snprintf(out.text, out.size, "%u/%s", word->port, port_mac_text(&word->mac).text);
    return true;
}

/* ---- vlan= ---- */

static bool read_vlan(const char *text, unsigned *id)
{
    const size_t length = strspn(text, "0123456789");

    if (length == 0 || length > 9 || text[length] != '\0')
        return false;
    *id = (unsigned)strtoull(text, NULL, 10);
    return *id <= PORT_VLAN_MAX;
}

/* Removes the ids of `port`. */
static void forget_vlans(unsigned port)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < wanted.vlan_count; i++)
        if (wanted.vlans[i].port != port)
            wanted.vlans[kept++] = wanted.vlans[i];
    wanted.vlan_count = kept;
}

static bool put_vlan(void *values, const char *subject, const char *value)
{
    struct vlan_word word;

    (void)values;
    if (subject == NULL) {
        wanted.vlan_count = 0;
        return true;
    }
    if (!read_port(subject, &word.port))
        return false;
    if (value == NULL) {
        forget_vlans(word.port);
        return true;
    }
    if (wanted.vlan_count == VLANS_MAX || !read_vlan(value, &word.id))
        return false;
    wanted.vlans[wanted.vlan_count++] = word;
    return true;
}

static bool get_vlan(const void *values, unsigned number, struct option_text out)
{
    (void)values;
    if (number >= wanted.vlan_count)
        return false;
    snprintf(out.text, out.size, "%u/%u", wanted.vlans[number].port, wanted.vlans[number].id);
    return true;
}

/* ---- in force ---- */

void port_options_apply(struct port *port)
{
    own[port->id] = port->mac;
    if (port_mac_is_station(&wanted.macs[port->id]))
        port_want_mac(port, wanted.macs[port->id]);
    port_want_filter(port, wanted.promisc, wanted.allmulti);
    for (unsigned i = 0; i < wanted.accept_count; i++)
        if (wanted.accepts[i].port == port->id)
            port_want_address(port, wanted.accepts[i].mac);
    for (unsigned i = 0; i < wanted.vlan_count; i++)
        if (wanted.vlans[i].port == port->id)
            port_want_vlan(port, (uint16_t)wanted.vlans[i].id);
}

/* promisc= or allmulti= was changed. */
static void change_filter(void *values)
{
    (void)values;
    for (unsigned i = 0; ports != NULL && i < *port_count; i++)
        port_want_filter(ports[i], wanted.promisc, wanted.allmulti);
}

/* Words about ports that there are not: after the first few they are only counted. */
struct missing_ports {
    unsigned count;
    const char *word; /* of the first that is only counted */
    unsigned port;
};

static void warn_of_missing_port(struct missing_ports *missing, const char *word, unsigned port)
{
    if (port < *port_count)
        return;
    if (missing->count < MISSING_PORT_WARNINGS) {
        log_event(LOG_WARN, "warn", "word=%s port=%u reason=\"no such port\" ports=%u", word, port,
                  *port_count);
    } else if (missing->count == MISSING_PORT_WARNINGS) {
        missing->word = word;
        missing->port = port;
    }
    missing->count++;
}

static void warn_of_missing_ports(void)
{
    struct missing_ports missing = {0};

    for (unsigned i = 0; i < PORTS_MAX; i++)
        if (port_mac_is_station(&wanted.macs[i]))
            warn_of_missing_port(&missing, "mac", i);
    for (unsigned i = 0; i < wanted.accept_count; i++)
        warn_of_missing_port(&missing, "accept", wanted.accepts[i].port);
    for (unsigned i = 0; i < wanted.vlan_count; i++)
        warn_of_missing_port(&missing, "vlan", wanted.vlans[i].port);
    if (missing.count > MISSING_PORT_WARNINGS)
        log_event(LOG_WARN, "warn", "word=%s port=%u reason=more-missing-ports count=%u ports=%u",
                  missing.word, missing.port, missing.count - MISSING_PORT_WARNINGS, *port_count);
}

void port_options_begin(struct port *const *all, const unsigned *count)
{
    ports = all;
    port_count = count;
    for (unsigned i = 0; i < *count; i++)
        port_options_apply(ports[i]);
    warn_of_missing_ports();
}

/* ---- the table ---- */

#define PORT_ACCEPTED "(port 0 to 31, "

static const struct option options[] = {
    {.key = "promisc",
     .help = "receive frames for any address",
     .type = OPTION_SWITCH,
     .flags = OPTION_LIVE | OPTION_SHOWN,
     .offset = __builtin_offsetof(__typeof__(wanted), promisc),
     .initial = true,
     .changed = change_filter},
    {.key = "allmulti",
     .help = "receive frames for any group",
     .type = OPTION_SWITCH,
     .flags = OPTION_LIVE | OPTION_SHOWN,
     .offset = __builtin_offsetof(__typeof__(wanted), allmulti),
     .changed = change_filter},
    {.key = "mac",
     .help = "a port's address in place of its device's",
     .accepted = "PORT/xx:xx:xx:xx:xx:xx " PORT_ACCEPTED "unicast, not zero)",
     .argument = "PORT/ADDRESS",
     .type = OPTION_SUBJECTS,
     .flags = OPTION_LIVE | OPTION_PORT,
     .put = put_mac,
     .get = get_mac},
    {.key = "accept",
     .help = "with promisc=off: an address that a port receives besides its own",
     .accepted = "PORT/xx:xx:xx:xx:xx:xx " PORT_ACCEPTED
                 "not zero, not broadcast), " TEXT_OF(ACCEPTS_MAX) " times",
     .argument = "PORT/ADDRESS",
     .type = OPTION_SUBJECTS,
     .flags = OPTION_PORT | OPTION_MANY,
     .put = put_accept,
     .get = get_accept},
    {.key = "vlan",
     .help = "with promisc=off: a tag of the frames that a port receives",
     .accepted = "PORT/ID " PORT_ACCEPTED
                 "id 0 to " TEXT_OF(PORT_VLAN_MAX) "), " TEXT_OF(VLANS_MAX) " times",
     .argument = "PORT/ID",
     .type = OPTION_SUBJECTS,
     .flags = OPTION_PORT | OPTION_MANY,
     .put = put_vlan,
     .get = get_vlan},
};

static struct option_table port_words = {.place = 4,
                                         .count = sizeof(options) / sizeof(options[0]),
                                         .options = options,
                                         .values = &wanted};
OPTION_TABLE(port_words);
