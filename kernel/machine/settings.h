/*
 * The seam: those words of the command line that may change while the machine runs.
 */
#ifndef MACHINE_SETTINGS_H
#define MACHINE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

/* transport=: which transport a device may be driven by. */
enum settings_transport { TRANSPORT_AUTO, TRANSPORT_LEGACY, TRANSPORT_MODERN };

/* mergeable=: whether frames of 64 KiB span several buffers. */
enum settings_mergeable {
    MERGEABLE_AUTO, /* only where memory is too short for a buffer each: that costs less */
    MERGEABLE_ON,   /* wherever both ports can */
    MERGEABLE_OFF
};

/* The settings that net/ applies; the kernel applies the rest. */
struct settings {
    unsigned stats_seconds; /* 0: no stats events */
    bool promisc;
    bool allmulti;
    bool idle_adaptive; /* the core may sleep */
    unsigned mac_port;  /* after mac= only: which port, there already or not, shall have … */
    uint8_t mac[6];     /* … this address, which is one station's */
};

/*
 * Takes `word`, KEY=VALUE, as the command line would. The kernel's own settings (log, panic) have
 * changed when it returns; `settings` is filled with the present values. Returns NULL, or the
 * values that are accepted (static text), and then nothing has changed. Not for the data path.
 */
const char *settings_change(const char *word, struct settings *settings);

/* Queues a `settings` event: what all these words are at the moment. */
void settings_report(void);

#endif
