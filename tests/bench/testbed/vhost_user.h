/*
 * A vhost-user back end for one network card: QEMU passes the guest's memory and the two rings
 * over a socket, and we move the frames ("Vhost-user Protocol", QEMU's documentation). The card's
 * address, its link and its control queue stay QEMU's.
 */
#ifndef TESTS_BENCH_TESTBED_VHOST_USER_H
#define TESTS_BENCH_TESTBED_VHOST_USER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/bench/testbed/device_queue.h"

#define VHOST_USER_QUEUES 2 /* receive and transmit, VIRTIO_NET_QUEUE_… */

struct vhost_user_settings {
    uint64_t features;    /* to offer */
    bool wants_doorbells; /* or polls */
};

/* A queue, and what QEMU has said of it. */
struct vhost_user_queue {
    struct device_queue ring;
    uint64_t descriptors, driver, device; /* addresses of the areas, QEMU's; 0: not known */
    uint32_t base;
    bool enabled;
};

struct vhost_user_port {
    const struct vhost_user_settings *settings;
    int listener;
    int connection;
    uint64_t features; /* that the guest has taken */
    uint32_t header;   /* bytes of the device header in front of each frame */
    struct guest_memory memory;
    struct vhost_user_queue queues[VHOST_USER_QUEUES];
};

/* Makes the socket `path` for QEMU to connect to. The path and `settings` are the caller's. */
void vhost_user_listen(struct vhost_user_port *port, const char *path,
                       const struct vhost_user_settings *settings);

/* Waits until QEMU connects, and returns its process id. Meanwhile `other` (may be NULL), a port that
 * is connected, is served: QEMU connects to one after the other, and asks the first one first. */
pid_t vhost_user_accept(struct vhost_user_port *port, struct vhost_user_port *other);

/* Answers QEMU's messages since the last call. QEMU and the guest wait for the answers, so call it
 * often. False if QEMU has closed the socket. */
bool vhost_user_serve(struct vhost_user_port *port);

#endif
