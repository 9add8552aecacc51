/*
 * The command line, read once at start-up into one structure that main hands round in parts.
 */
#ifndef KERNEL_CONFIG_H
#define KERNEL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <machine/log.h>
#include <machine/settings.h>

#include "kernel/panic.h"

#define CONFIG_MACS_MAX 32 /* mac= may be given once a port */
#define CONFIG_PORTS_MAX CONFIG_MACS_MAX
#define CONFIG_ACCEPTS_MAX 64 /* accept= and vlan= may be given often */
#define CONFIG_VLANS_MAX 64
#define CONFIG_VLAN_ID_MAX 4094
#define CONFIG_WIRE_MAX 640 /* with the NUL: all ports in pairs, each by its MAC */
#define CONFIG_RING_MIN 16  /* of rx_ring= and tx_ring= */
#define CONFIG_RING_MAX 32768

enum config_mode { MODE_WIRE, MODE_REFLECT };

/* mac=PORT/xx:xx:xx:xx:xx:xx, and accept= */
struct config_mac {
    unsigned port;
    uint8_t address[6];
};

/* vlan=PORT/ID */
struct config_vlan {
    unsigned port;
    unsigned id;
};

struct config {
    enum config_mode mode;      /* mode=wire|reflect */
    char wire[CONFIG_WIRE_MAX]; /* wire=A-B,…: as given; net/pairs.c reads it. "": by PCI order */
    unsigned stats_seconds;     /* stats=0…86400, 0: off */
    enum log_level log;         /* log=error|warn|info|debug */
    bool idle_poll;             /* idle=adaptive|poll */
    bool promisc;               /* promisc=on|off */
    bool allmulti;              /* allmulti=on|off */
    enum settings_transport transport; /* transport=auto|legacy|modern */
    bool offload;                      /* offload=on|off */
    enum settings_mergeable mergeable; /* mergeable=auto|on|off */
    unsigned rx_ring;        /* rx_ring=16…32768, a power of two; 0: by the driver's rule */
    unsigned tx_ring;        /* tx_ring=, likewise */
    enum panic_action panic; /* panic=reboot|halt|poweroff */
    struct config_mac macs[CONFIG_MACS_MAX];
    size_t mac_count;
    size_t mac_last;                               /* of macs[], the one that was read last */
    bool mac_repeated;                             /* … and whether its port had one before */
    struct config_mac accepts[CONFIG_ACCEPTS_MAX]; /* received besides a port's own address */
    size_t accept_count;
    struct config_vlan vlans[CONFIG_VLANS_MAX]; /* a port with any receives no others */
    size_t vlan_count;
    unsigned watchdog_seconds; /* watchdog=0…1800, 0: left alone */
    bool buffers_high;         /* debug: buffers=high takes memory from the top of RAM */
    const char *fault;         /* debug: fault=NAME, one that fault_known() knows; NULL: none */
};

/*
 * Reads `cmdline` (NUL-terminated; not kept, not changed) into `config`, defaults first. Words are
 * separated by blanks. A first word with a '/' or '.' before any '=' is the file's own path and is
 * ignored; so are quotes round several words, or round all. Each unknown word or bad value gives
 * one `warn` event with the word and the values accepted, and the default stays. If a key is given
 * twice, the last one counts, with a warn. After eight such warnings one more gives the number of
 * the others and the first of their words.
 */
void config_parse(struct config *config, const char *cmdline);

/*
 * Takes one word, KEY=VALUE, with a key of those that may change while the machine runs. Returns NULL,
 * or what would be accepted (static text) and `config` as it was.
 */
const char *config_change(struct config *config, const char *word);

/* The value of log= that sets `level`, which is above LOG_REPORT. */
const char *config_log_name(enum log_level level);

#endif
