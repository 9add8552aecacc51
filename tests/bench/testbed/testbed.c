/*
 * The testbed: a traffic source, sink and meter for any guest with two virtio-net ports. It is the back
 * end of both ports (vhost_user.h), so frames go straight into the guest's rings and out of them,
 * without a network interface or root.
 *
 *     testbed [--OPTION...] FOLDER PHASE...
 *
 * FOLDER gets the sockets port0 and port1, which QEMU is to connect to, and has the file `counters`
 * (icount.h). Says "listening", waits for QEMU, runs a phase `boot`, then the others; each prints a
 * line of JSON. After the last one it goes on serving QEMU until that ends. Status 1 if QEMU or the
 * guest does not play along, 3 if the guest never forwards.
 */
#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "drivers/virtio/virtio_spec.h"
#include "tests/bench/testbed/phases.h"

static const char usage[] =
    "usage: testbed [--OPTION...] FOLDER PHASE...\n"
    "  --doorbells       the device wants doorbells; else it polls and says so\n"
    "  --event-idx       offers EVENT_IDX\n"
    "  --modern          offers VERSION_1\n"
    "  --packed          offers RING_PACKED\n"
    "  --no-mergeable    does not offer MRG_RXBUF\n"
    "  --boot=SECONDS    at most, until the guest forwards (60)\n"
    "phases; DIRECTIONS are 1 (port 0 to 1), 2 (1 to 0) or 3 (both), LENGTH is in bytes:\n"
    "  saturate:DIRECTIONS:LENGTH:SECONDS    rx rings are kept full\n"
    "  burst:DIRECTIONS:LENGTH:BURST:COUNT   BURST frames at once, the next when they are through\n"
    "  idle:SECONDS\n";

#define BIT(feature) (1ULL << VIRTIO_##feature)

/* The features of a present-day back end, except those that change the frames. */
#define FEATURES                                                                                   \
    (BIT(NET_F_CSUM) | BIT(NET_F_GUEST_CSUM) | BIT(NET_F_MRG_RXBUF) | BIT(NET_F_CTRL_VQ) |         \
     BIT(NET_F_CTRL_RX) | BIT(F_ANY_LAYOUT) | BIT(F_INDIRECT_DESC))

struct options {
    struct vhost_user_settings settings;
    double boot_seconds;
};

static void show_usage(void)
{
    fputs(usage, stderr);
    exit(2);
}

static struct options read_options(int count, char **words)
{
    static const struct option known[] = {
        {"doorbells", no_argument, NULL, 'd'},
        {"event-idx", no_argument, NULL, 'e'},
        {"modern", no_argument, NULL, 'm'},
        {"packed", no_argument, NULL, 'p'},
        {"no-mergeable", no_argument, NULL, 'n'},
        {"boot", required_argument, NULL, 'b'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.settings.features = FEATURES, .boot_seconds = 60};

    for (int option; (option = getopt_long(count, words, "+", known, NULL)) != -1;) {
        switch (option) {
        case 'd':
            options.settings.wants_doorbells = true;
            break;
        case 'e':
            options.settings.features |= BIT(F_EVENT_IDX);
            break;
        case 'm':
            options.settings.features |= BIT(F_VERSION_1);
            break;
        case 'p':
            options.settings.features |= BIT(F_RING_PACKED);
            break;
        case 'n':
            options.settings.features &= ~BIT(NET_F_MRG_RXBUF);
            break;
        case 'b':
            options.boot_seconds = strtod(optarg, NULL);
            break;
        default:
            show_usage();
        }
    }
    return options;
}

/* Runs the phase that `word` describes. */
static void run_phase(struct testbed *testbed, const char *word)
{
    struct phase phase = {.name = word};

    if (sscanf(word, "saturate:%u:%u:%lf", &phase.directions, &phase.length, &phase.seconds) == 3)
        phase_saturate(testbed, &phase);
    else if (sscanf(word, "burst:%u:%u:%u:%u", &phase.directions, &phase.length, &phase.burst,
                    &phase.count) == 4)
        phase_burst(testbed, &phase);
    else if (sscanf(word, "idle:%lf", &phase.seconds) == 1)
        phase_idle(testbed, &phase);
    else
        show_usage();
}

/* Waits for QEMU, which connects to one port after the other; returns its process id. */
static pid_t connect_ports(struct traffic *traffic, const char *folder,
                           const struct vhost_user_settings *settings)
{
    char path[256];
    pid_t qemu;

    for (unsigned i = 0; i < PORTS; i++) {
        snprintf(path, sizeof(path), "%s/port%u", folder, i);
        vhost_user_listen(&traffic->ports[i], path, settings);
    }
    puts("listening");
    fflush(stdout);
    qemu = vhost_user_accept(&traffic->ports[0], NULL);
    (void)vhost_user_accept(&traffic->ports[1], &traffic->ports[0]);
    return qemu;
}

int main(int count, char **words)
{
    static struct testbed testbed; /* with room for two large frames */
    const struct options options = read_options(count, words);
    const struct phase boot = {
        .name = "boot", .length = FRAME_MIN, .seconds = options.boot_seconds};
    char path[256];

    if (optind >= count)
        show_usage();
    prctl(PR_SET_TIMERSLACK, 1000UL); /* ns: a pause shall not last three times as long */
    snprintf(path, sizeof(path), "%s/counters", words[optind]);
    meter_open(&testbed.meter, path);
    const pid_t qemu = connect_ports(&testbed.traffic, words[optind], &options.settings);
    phase_boot(&testbed, &boot);
    meter_follow(&testbed.meter, qemu);
    for (int i = optind + 1; i < count; i++)
        run_phase(&testbed, words[i]);
    serve_until_qemu_ends(&testbed);
    return 0;
}
