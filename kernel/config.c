/*
 * Reads the command line: a table of keys, each with its own reader and the text that says what it
 * takes.
 */
#include "kernel/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/fault_injection.h"

#define WORD_MAX 1024 /* bytes with the NUL; no key takes as much */
#define STATS_SECONDS_MAX 86400
#define STATS_SECONDS_DEFAULT 10
#define WATCHDOG_SECONDS_MAX 1800
#define WATCHDOG_SECONDS_DEFAULT 30
#define BLANKS " \t\r\n"
#define WARNINGS_MAX 8 /* about words; the rest are summed up in one more */

/* Reads decimal digits only: strtoull would also take blanks, signs and a base of its own. */
static bool read_number(const char *text, unsigned max, unsigned *value, const char **end)
{
    char *after;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    unsigned long long number = strtoull(text, &after, 10);
    if (errno != 0 || number > max)
        return false;
    *value = (unsigned)number;
    *end = after;
    return true;
}

/* The position of `value` in `names` (which ends with NULL), or -1. */
static int read_choice(const char *value, const char *const *names)
{
    for (int i = 0; names[i] != NULL; i++)
        if (strcmp(value, names[i]) == 0)
            return i;
    return -1;
}

static bool read_mode(struct config *config, const char *value)
{
    static const char *const names[] = {"wire", "reflect", NULL};
    int choice = read_choice(value, names);

    if (choice < 0)
        return false;
    config->mode = choice == 0 ? MODE_WIRE : MODE_REFLECT;
    return true;
}

/* net/pairs.c checks the meaning of the pairs, once the ports are known. */
static bool read_wire(struct config *config, const char *value)
{
    size_t length = strlen(value);

    if (length == 0 || length >= CONFIG_WIRE_MAX)
        return false;
    memcpy(config->wire, value, length + 1);
    return true;
}

static bool read_stats(struct config *config, const char *value)
{
    unsigned seconds;
    const char *end;

    if (!read_number(value, STATS_SECONDS_MAX, &seconds, &end) || *end != '\0')
        return false;
    config->stats_seconds = seconds;
    return true;
}

static bool read_watchdog(struct config *config, const char *value)
{
    unsigned seconds;
    const char *end;

    if (!read_number(value, WATCHDOG_SECONDS_MAX, &seconds, &end) || *end != '\0')
        return false;
    config->watchdog_seconds = seconds;
    return true;
}

/* The values of log=. LOG_REPORT has none, as it cannot be switched off. */
static const char *const log_names[] = {
    [LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug", NULL};

static bool read_log(struct config *config, const char *value)
{
    int choice = read_choice(value, &log_names[LOG_ERROR]);

    if (choice < 0)
        return false;
    config->log = (enum log_level)(LOG_ERROR + choice);
    return true;
}

const char *config_log_name(enum log_level level)
{
    return log_names[level];
}

static bool read_switch(const char *value, bool *on)
{
    static const char *const names[] = {"off", "on", NULL};
    int choice = read_choice(value, names);

    if (choice < 0)
        return false;
    *on = choice == 1;
    return true;
}

static bool read_promisc(struct config *config, const char *value)
{
    return read_switch(value, &config->promisc);
}

static bool read_allmulti(struct config *config, const char *value)
{
    return read_switch(value, &config->allmulti);
}

/* Reads `xx:xx:xx:xx:xx:xx`, the whole of `text`. */
static bool read_address(const char *text, uint8_t address[static 6])
{
    if (strlen(text) != sizeof("xx:xx:xx:xx:xx:xx") - 1)
        return false;
    for (int i = 0; i < 6; i++) {
        const char *digits = text + 3 * i;
        if (!isxdigit((unsigned char)digits[0]) || !isxdigit((unsigned char)digits[1]))
            return false;
        if (digits[2] != (i < 5 ? ':' : '\0'))
            return false;
        address[i] = (uint8_t)strtoull(digits, NULL, 16);
    }
    return true;
}

/* A port can have it: it is neither a group's address nor all zeros. */
static bool address_usable(const uint8_t address[static 6])
{
    static const uint8_t nobody[6];
    bool multicast = (address[0] & 1) != 0;

    return !multicast && memcmp(address, nobody, sizeof(nobody)) != 0;
}

static bool read_mac(struct config *config, const char *value)
{
    struct config_mac mac;
    const char *end;

    if (!read_number(value, CONFIG_PORTS_MAX - 1, &mac.port, &end) || *end != '/')
        return false;
    if (!read_address(end + 1, mac.address) || !address_usable(mac.address))
        return false;

    size_t i = 0;
    while (i < config->mac_count && config->macs[i].port != mac.port)
        i++;
    config->mac_repeated = i < config->mac_count;
    if (!config->mac_repeated)
        config->mac_count++; /* never beyond the array: ports are smaller than its size */
    config->macs[i] = mac;
    config->mac_last = i;
    return true;
}

/* Of a station or a group; broadcast comes in anyway. */
static bool read_accept(struct config *config, const char *value)
{
    static const uint8_t nobody[6], everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct config_mac accept;
    const char *end;

    if (config->accept_count == CONFIG_ACCEPTS_MAX ||
        !read_number(value, CONFIG_PORTS_MAX - 1, &accept.port, &end) || *end != '/' ||
        !read_address(end + 1, accept.address))
        return false;
    if (memcmp(accept.address, nobody, sizeof(nobody)) == 0 ||
        memcmp(accept.address, everybody, sizeof(everybody)) == 0)
        return false;
    config->accepts[config->accept_count++] = accept;
    return true;
}

static bool read_vlan(struct config *config, const char *value)
{
    struct config_vlan vlan;
    const char *end;

    if (config->vlan_count == CONFIG_VLANS_MAX ||
        !read_number(value, CONFIG_PORTS_MAX - 1, &vlan.port, &end) || *end != '/' ||
        !read_number(end + 1, CONFIG_VLAN_ID_MAX, &vlan.id, &end) || *end != '\0')
        return false;
    config->vlans[config->vlan_count++] = vlan;
    return true;
}

static bool read_transport(struct config *config, const char *value)
{
    static const char *const names[] = {"auto", "legacy", "modern", NULL};
    static const enum settings_transport choices[] = {TRANSPORT_AUTO, TRANSPORT_LEGACY,
                                                      TRANSPORT_MODERN};
    int choice = read_choice(value, names);

    if (choice < 0)
        return false;
    config->transport = choices[choice];
    return true;
}

static bool read_offload(struct config *config, const char *value)
{
    return read_switch(value, &config->offload);
}

static bool read_mergeable(struct config *config, const char *value)
{
    static const char *const names[] = {"auto", "on", "off", NULL};
    static const enum settings_mergeable choices[] = {MERGEABLE_AUTO, MERGEABLE_ON, MERGEABLE_OFF};
    int choice = read_choice(value, names);

    if (choice < 0)
        return false;
    config->mergeable = choices[choice];
    return true;
}

/* Packed rings could have other sizes (virtio 1.2 §2.8), but ours are powers of two in either format. */
static bool read_ring(const char *value, unsigned *size)
{
    unsigned number;
    const char *end;

    if (!read_number(value, CONFIG_RING_MAX, &number, &end) || *end != '\0')
        return false;
    if (number < CONFIG_RING_MIN || (number & (number - 1)) != 0)
        return false;
    *size = number;
    return true;
}

static bool read_rx_ring(struct config *config, const char *value)
{
    return read_ring(value, &config->rx_ring);
}

static bool read_tx_ring(struct config *config, const char *value)
{
    return read_ring(value, &config->tx_ring);
}

static bool read_panic(struct config *config, const char *value)
{
    static const char *const names[] = {"reboot", "halt", "poweroff", NULL};
    static const enum panic_action actions[] = {PANIC_REBOOT, PANIC_HALT, PANIC_POWEROFF};
    int choice = read_choice(value, names);

    if (choice < 0)
        return false;
    config->panic = actions[choice];
    return true;
}

static bool read_idle(struct config *config, const char *value)
{
    static const char *const names[] = {"adaptive", "poll", NULL};
    int choice = read_choice(value, names);

    if (choice < 0)
        return false;
    config->idle_poll = choice == 1;
    return true;
}

static bool read_buffers(struct config *config, const char *value)
{
    static const char *const names[] = {"low", "high", NULL};
    int choice = read_choice(value, names);

    if (choice < 0)
        return false;
    config->buffers_high = choice == 1;
    return true;
}

static bool read_fault(struct config *config, const char *value)
{
    static char name[32]; /* outlives the command line */

    if (!fault_known(value) || strlen(value) >= sizeof(name))
        return false;
    memcpy(name, value, strlen(value) + 1);
    config->fault = name;
    return true;
}

struct key {
    const char *name;
    bool (*read)(struct config *config, const char *value); /* false: bad value, nothing changed */
    const char *accepted;                                   /* NULL: fault_list() */
    bool many;                                              /* may be given more than once */
};

static const struct key keys[] = {
    {"mode", read_mode, "wire|reflect", false},
    {"wire", read_wire, "A-B,... (port number, PCI address or MAC), 1 to 639 characters", false},
    {"stats", read_stats, "seconds from 0 (off) to 86400", false},
    {"log", read_log, "error|warn|info|debug", false},
    {"promisc", read_promisc, "on|off", false},
    {"allmulti", read_allmulti, "on|off", false},
    {"mac", read_mac, "PORT/xx:xx:xx:xx:xx:xx (port 0 to 31, unicast, not zero)", true},
    {"accept", read_accept,
     "PORT/xx:xx:xx:xx:xx:xx (port 0 to 31, not zero, not broadcast), 64 times", true},
    {"vlan", read_vlan, "PORT/ID (port 0 to 31, id 0 to 4094), 64 times", true},
    {"transport", read_transport, "auto|legacy|modern", false},
    {"offload", read_offload, "on|off", false},
    {"mergeable", read_mergeable, "auto|on|off", false},
    {"rx_ring", read_rx_ring, "a power of two from 16 to 32768", false},
    {"tx_ring", read_tx_ring, "a power of two from 16 to 32768", false},
    {"panic", read_panic, "reboot|halt|poweroff", false},
    {"watchdog", read_watchdog, "seconds from 0 (off) to 1800", false},
    {"idle", read_idle, "adaptive|poll", false},
    {"buffers", read_buffers, "low|high", false},
    {"fault", read_fault, NULL, false},
};
#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

/* How far the command line has been read. */
struct reading {
    struct config *config;
    bool seen[KEY_COUNT]; /* a good value was read before */
    bool first;           /* the next word is the first */
    unsigned warnings;
    struct log_quoted unshown; /* the first word whose warning only counts */
};

/* True if the warning about `word` is to be shown. */
static bool admit_warning(struct reading *reading, const char *word)
{
    if (reading->warnings++ == WARNINGS_MAX)
        reading->unshown = log_quote(word);
    return reading->warnings <= WARNINGS_MAX;
}

static void warn_unknown(const char *word)
{
    log_event(LOG_WARN, "warn",
              "reason=unknown-word word=%s accepted=\"mode= wire= stats= log= promisc= allmulti= "
              "mac= accept= vlan= transport= offload= mergeable= rx_ring= tx_ring= panic= "
              "watchdog= idle= buffers= fault=\"",
              log_quote(word).text);
}

static void warn_bad_value(const char *word, const struct key *key)
{
    const char *accepted = key->accepted != NULL ? key->accepted : fault_list();

    log_event(LOG_WARN, "warn", "reason=bad-value word=%s accepted=%s", log_quote(word).text,
              log_quote(accepted).text);
}

static void warn_repeated(const char *word)
{
    log_event(LOG_WARN, "warn", "reason=repeated-word word=%s effect=\"this one counts\"",
              log_quote(word).text);
}

/* One line for all words whose warnings were not shown: thousands would fill the console's ring. */
static void warn_more(const struct reading *reading)
{
    if (reading->warnings > WARNINGS_MAX)
        log_event(LOG_WARN, "warn", "reason=more-wrong-words count=%u first=%s",
                  reading->warnings - WARNINGS_MAX, reading->unshown.text);
}

static const struct key *key_find(const char *word, size_t length)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (strlen(keys[i].name) == length && memcmp(keys[i].name, word, length) == 0)
            return &keys[i];
    return NULL;
}

static void word_parse(struct reading *reading, const char *word)
{
    const char *equals = strchr(word, '=');
    const struct key *key = equals != NULL ? key_find(word, (size_t)(equals - word)) : NULL;
    struct config *config = reading->config;

    if (key == NULL) {
        if (admit_warning(reading, word))
            warn_unknown(word);
        return;
    }
    if (!key->read(config, equals + 1)) {
        if (admit_warning(reading, word))
            warn_bad_value(word, key);
        return;
    }
    bool *seen = &reading->seen[key - keys];
    const bool repeated = key->read == read_mac ? config->mac_repeated : *seen && !key->many;
    if (repeated && admit_warning(reading, word))
        warn_repeated(word);
    *seen = true;
}

/* QEMU and GRUB put the name of the file first. No key has a '/' or a '.'. */
static bool is_path(const char *word)
{
    size_t before_value = strcspn(word, "=");
    return strcspn(word, "/.") < before_value;
}

/*
 * The second of a pair of quotes of which the first is at `text`, or NULL. GRUB puts such a pair round
 * an argument with blanks in it, and hands it over. One inside a word is the word's.
 */
static const char *closing_quote(const char *text)
{
    const char *close = text;

    if (*text != '"' && *text != '\'')
        return NULL;
    while ((close = strchr(close + 1, *text)) != NULL)
        if (close[1] == '\0' || strchr(BLANKS, close[1]) != NULL)
            return close;
    return NULL;
}

void config_parse(struct config *config, const char *cmdline)
{
    struct reading reading = {.config = config, .first = true};
    const char *close = NULL; /* the second one of the quotes round what is being read */

    *config = (struct config){
        .mode = MODE_WIRE,
        .stats_seconds = STATS_SECONDS_DEFAULT,
        .log = LOG_INFO,
        .promisc = true,
        .offload = true,
        .panic = PANIC_REBOOT,
        .watchdog_seconds = WATCHDOG_SECONDS_DEFAULT,
    };
    while (*(cmdline += strspn(cmdline, BLANKS)) != '\0') {
        if (cmdline == close || (close == NULL && (close = closing_quote(cmdline)) != NULL)) {
            if (cmdline == close)
                close = NULL;
            cmdline++;
            continue;
        }
        size_t length = strcspn(cmdline, BLANKS);
        if (close != NULL && length > (size_t)(close - cmdline))
            length = (size_t)(close - cmdline);
        char word[WORD_MAX];
        const size_t kept = length < WORD_MAX ? length : WORD_MAX - 1;

        memcpy(word, cmdline, kept);
        word[kept] = '\0';
        cmdline += length;
        if (!reading.first || !is_path(word))
            word_parse(&reading, word);
        reading.first = false;
    }
    warn_more(&reading);
}

/* Wires and mode have commands of their own, and the rest is settled once and for all at start-up. */
static const char *const changeable[] = {"stats", "log",  "promisc", "allmulti",
                                         "panic", "idle", "mac"};
#define CHANGEABLE_COUNT (sizeof(changeable) / sizeof(changeable[0]))

static bool is_changeable(const struct key *key)
{
    for (size_t i = 0; i < CHANGEABLE_COUNT; i++)
        if (strcmp(changeable[i], key->name) == 0)
            return true;
    return false;
}

const char *config_change(struct config *config, const char *word)
{
    const char *equals = strchr(word, '=');
    const struct key *key = equals != NULL ? key_find(word, (size_t)(equals - word)) : NULL;

    if (key == NULL || !is_changeable(key))
        return "stats=SECONDS log=LEVEL promisc=on|off allmulti=on|off panic=ACTION "
               "idle=adaptive|poll mac=PORT/ADDRESS";
    return key->read(config, equals + 1) ? NULL : key->accepted;
}
