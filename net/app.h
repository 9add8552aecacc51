/*
 * An app decides what becomes of the frames that come in by its ports. Each one is a file of its own in
 * net/apps, which names it by APP. Nothing else lists it: topology and monitor find it.
 */
#ifndef NET_APP_H
#define NET_APP_H

#include <machine/table.h>

struct batch;
struct lane;

/* Ports that one group of an app joins: frames of each leave by the next one. */
#define APP_SINGLE 1 /* back by the port they came by */
#define APP_PAIR 2

struct app {
    unsigned place;       /* in lists; machine/table.h */
    const char *name;     /* as the user knows it: "wire" */
    const char *help;     /* what it does, in a few words */
    unsigned group_ports; /* APP_SINGLE, APP_PAIR; 0: takes the ports that are in no group */

    /*
     * Looks at, changes or discards the frames of `batch` (one at least) in place, and leaves in it those
     * that are to be sent. It gives what it discards to lane_drop. Every frame has at least
     * ETHERNET_HEADER_SIZE bytes. NULL: all frames go on as they are. Data path: no log, no allocation,
     * no wait.
     */
    void (*burst)(struct lane *lane, struct batch *batch);
};

/* Makes `app`, a static constant, known once its file is linked. */
#define APP(app) TABLE_IN("app_tables", app)

/* App `number`, in the order of lists; NULL behind the last. */
const struct app *app_at(unsigned number);

/* The app that is called `name`; NULL: none. */
const struct app *app_find(const char *name);

/* The first app that joins groups of `group_ports`. One is there: the image has it. */
const struct app *app_for(unsigned group_ports);

#endif
