/* Drives the traffic of each phase and measures it. */
#include "tests/bench/bed/phases.h"

#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#define NS_PER_S 1000000000ULL
#define NS_PER_MS 1000000ULL
#define NS_PER_US 1000ULL

#define SERVE_NS (500 * NS_PER_US)  /* between two looks at QEMU's sockets */
#define SPIN_NS (100 * NS_PER_US)   /* without anything to do: more will come any moment */
#define PAUSE_NS (20 * NS_PER_US)   /* after that: the core may be needed */
#define PATIENCE_NS (30 * NS_PER_S) /* without a frame: the machine may be busy with other things */
#define SETTLE_NS (300 * NS_PER_MS) /* what is under way at the end of a phase comes out */
#define BOOT_FRAME_NS NS_PER_MS     /* between two attempts */
#define LOOK_NS (2 * NS_PER_MS)     /* between two looks at the clocks while traffic runs */

#define WARM_UP_VCPU_NS (200 * NS_PER_MS)
#define WINDOW_VCPU_NS (100 * NS_PER_MS) /* many times what the kernel's accounting is coarse by */
#define WINDOWS_MAX 4096
#define TIMES_SLOWER 10 /* than on a machine of its own, at most */

#define DELIVER_MAX 64 /* frames at a time */
#define COLLECT_MAX 256
#define WARM_UP_BURSTS 50

static bool goes(const struct phase *phase, unsigned flow)
{
    return phase->directions >> flow & 1;
}

/* Gives QEMU what it asks for; it is asked often, but not each time. */
static void serve(struct bed *bed, uint64_t now)
{
    if (now - bed->served_ns < SERVE_NS)
        return;
    bed->served_ns = now;
    for (unsigned i = 0; i < PORTS; i++) {
        if (!vhost_user_serve(&bed->traffic.ports[i]))
            errx(1, "QEMU has ended");
    }
}

static void pause_shortly(void)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};

    nanosleep(&pause, NULL);
}

static uint32_t collect(struct bed *bed)
{
    return traffic_collect(&bed->traffic, 0, COLLECT_MAX) +
           traffic_collect(&bed->traffic, 1, COLLECT_MAX);
}

/* Collects until `ns` from now, with nothing delivered. */
static void wait_and_collect(struct bed *bed, uint64_t ns)
{
    const uint64_t end = meter_now_ns() + ns;

    for (uint64_t now; (now = meter_now_ns()) < end;) {
        serve(bed, now);
        if (collect(bed) == 0)
            pause_shortly();
    }
}

static void end_if_stuck(uint64_t now, uint64_t progress_ns)
{
    if (now > progress_ns && now - progress_ns > PATIENCE_NS)
        errx(1, "the guest has forwarded nothing for %llu seconds", PATIENCE_NS / NS_PER_S);
}

/* ---- boot ---- */

static void print_boot(const struct bed *bed, uint64_t instructions, uint64_t started_ns)
{
    const volatile struct icount *const icount = bed->meter.icount;
    const struct vhost_user_port *const port = &bed->traffic.ports[0];

    printf("{\"phase\": \"boot\", \"seconds\": %.3f, \"instructions\": %llu, \"marks\": [",
           (double)(meter_now_ns() - started_ns) / 1e9, (unsigned long long)instructions);
    for (unsigned i = 0; i < ICOUNT_MARKS; i++)
        printf("%s%llu", i != 0 ? ", " : "", (unsigned long long)icount->marks[i]);
    printf("], \"features\": \"0x%llx\", \"rx_size\": %u, \"tx_size\": %u",
           (unsigned long long)port->features, port->queues[0].ring.size,
           port->queues[1].ring.size);
    meter_print_flows(&bed->traffic);
}

void phase_boot(struct bed *bed, const struct phase *phase)
{
    const uint64_t start = meter_now_ns();
    const uint64_t end = start + (uint64_t)(phase->seconds * 1e9);
    struct flow *const flows = bed->traffic.flows;
    uint64_t deliver_ns = 0;

    traffic_restart(&bed->traffic, phase->length);
    while (flows[0].received == 0 || flows[1].received == 0) {
        const uint64_t now = meter_now_ns();
        if (now > end)
            errx(3, "no frame came through within %.0f seconds", phase->seconds);
        serve(bed, now);
        for (unsigned i = 0; i < PORTS && now > deliver_ns; i++) {
            if (flows[i].received == 0 && traffic_deliver(&bed->traffic, i, 1) != 0)
                traffic_show(&bed->traffic, i);
        }
        if (now > deliver_ns)
            deliver_ns = now + BOOT_FRAME_NS;
        if (collect(bed) == 0)
            pause_shortly();
    }
    const uint64_t instructions = bed->meter.icount->instructions;
    wait_and_collect(bed, SETTLE_NS);
    print_boot(bed, instructions, start);
}

/* ---- saturation ---- */

/*
 * The phase is cut into windows of the vCPU's time. On a busy machine this process may not run for a
 * while in which the guest does, and finds nothing to forward: the best windows know least of that.
 */
struct windows {
    struct series instructions; /* per frame */
    struct series frames;       /* per second of the vCPU's time */
    struct reading start;
};

static void windows_begin(struct windows *windows, struct bed *bed)
{
    windows->start = meter_read(&bed->meter, &bed->traffic);
}

static void windows_look(struct windows *windows, struct bed *bed)
{
    const struct reading now = meter_read(&bed->meter, &bed->traffic);
    const double frames = (double)(now.received - windows->start.received);

    if (now.vcpu_ns - windows->start.vcpu_ns < WINDOW_VCPU_NS || frames == 0)
        return;
    series_add(&windows->instructions,
               (double)(now.instructions - windows->start.instructions) / frames);
    series_add(&windows->frames, frames * 1e9 / (double)(now.vcpu_ns - windows->start.vcpu_ns));
    windows->start = now;
}

/* One turn: fills the rx rings, empties the tx rings; returns the frames moved. */
static uint32_t turn(struct bed *bed, const struct phase *phase)
{
    uint32_t moved = 0;

    for (unsigned i = 0; i < PORTS; i++) {
        if (!goes(phase, i))
            continue;
        moved += traffic_deliver(&bed->traffic, i, DELIVER_MAX);
        traffic_show(&bed->traffic, i);
    }
    return moved + collect(bed);
}

/* Keeps the rings full until the vCPU has run for `vcpu_ns`, or TIMES_SLOWER as long has passed. */
static void keep_full(struct bed *bed, const struct phase *phase, struct windows *windows,
                      uint64_t vcpu_ns)
{
    const struct reading start = meter_read(&bed->meter, &bed->traffic);
    const uint64_t end = start.ns + TIMES_SLOWER * vcpu_ns;
    uint64_t progress_ns = start.ns, look_ns = start.ns, received = start.received;

    for (uint64_t now, moved_ns = start.ns; (now = meter_now_ns()) < end;) {
        serve(bed, now);
        if (turn(bed, phase) != 0)
            moved_ns = now;
        else if (now - moved_ns > SPIN_NS)
            pause_shortly();
        if (now < look_ns)
            continue;
        look_ns = now + LOOK_NS;
        windows_look(windows, bed);
        if (traffic_received(&bed->traffic) != received)
            progress_ns = now;
        received = traffic_received(&bed->traffic);
        end_if_stuck(now, progress_ns);
        if (meter_read(&bed->meter, &bed->traffic).vcpu_ns - start.vcpu_ns >= vcpu_ns)
            break;
    }
}

void phase_saturate(struct bed *bed, const struct phase *phase)
{
    struct windows windows = {.instructions = series_make(WINDOWS_MAX),
                              .frames = series_make(WINDOWS_MAX)};

    traffic_restart(&bed->traffic, phase->length);
    windows_begin(&windows, bed);
    keep_full(bed, phase, &windows, WARM_UP_VCPU_NS);
    windows.instructions.count = windows.frames.count = 0;
    windows_begin(&windows, bed);
    const struct reading before = windows.start;
    keep_full(bed, phase, &windows, (uint64_t)(phase->seconds * 1e9));
    const struct reading after = meter_read(&bed->meter, &bed->traffic);
    wait_and_collect(bed, SETTLE_NS);
    meter_print(phase->name, &before, &after);
    series_print(&windows.instructions, "instructions_per_frame");
    series_print(&windows.frames, "frames_per_vcpu_second");
    meter_print_flows(&bed->traffic);
    series_free(&windows.instructions);
    series_free(&windows.frames);
}

/* ---- bursts ---- */

/* What one burst took. */
struct trip {
    uint64_t instructions;
    uint64_t ns;
};

/* Sends one burst through and waits for all of it. */
static struct trip send_burst(struct bed *bed, unsigned flow, uint32_t burst)
{
    struct traffic *const traffic = &bed->traffic;
    const uint64_t goal = traffic->flows[flow].received + burst;
    const uint64_t start = meter_now_ns();
    struct trip trip;

    for (uint32_t delivered = 0; delivered < burst;) {
        delivered += traffic_deliver(traffic, flow, burst - delivered);
        if (delivered == burst)
            break;
        collect(bed); /* the guest may want buffers back before it offers others */
        serve(bed, meter_now_ns());
        end_if_stuck(meter_now_ns(), start);
    }
    const uint64_t instructions = bed->meter.icount->instructions;
    const uint64_t shown_ns = meter_now_ns();
    traffic_show(traffic, flow);
    do {
        traffic_collect(traffic, !flow, COLLECT_MAX);
        trip.instructions = bed->meter.icount->instructions - instructions;
        trip.ns = meter_now_ns() - shown_ns;
        end_if_stuck(shown_ns + trip.ns, shown_ns);
    } while (traffic->flows[flow].received < goal);
    serve(bed, meter_now_ns());
    return trip;
}

void phase_burst(struct bed *bed, const struct phase *phase)
{
    struct series instructions = series_make(phase->count), us = series_make(phase->count);
    struct reading before;

    traffic_restart(&bed->traffic, phase->length);
    for (uint32_t i = 0; i < WARM_UP_BURSTS + phase->count; i++) {
        if (i == WARM_UP_BURSTS)
            before = meter_read(&bed->meter, &bed->traffic);
        const unsigned flow = phase->directions == (PHASE_FORWARD | PHASE_BACK)
                                  ? i & 1
                                  : phase->directions == PHASE_BACK;
        const struct trip trip = send_burst(bed, flow, phase->burst);
        if (i < WARM_UP_BURSTS)
            continue;
        series_add(&instructions, (double)trip.instructions / phase->burst);
        series_add(&us, (double)trip.ns / 1e3);
    }
    const struct reading after = meter_read(&bed->meter, &bed->traffic);
    wait_and_collect(bed, SETTLE_NS);
    meter_print(phase->name, &before, &after);
    series_print(&instructions, "instructions_per_frame");
    series_print(&us, "microseconds");
    meter_print_flows(&bed->traffic);
    series_free(&instructions);
    series_free(&us);
}

/* ---- idle ---- */

void phase_idle(struct bed *bed, const struct phase *phase)
{
    traffic_restart(&bed->traffic, FRAME_MIN);
    const struct reading before = meter_read(&bed->meter, &bed->traffic);
    wait_and_collect(bed, (uint64_t)(phase->seconds * 1e9));
    const struct reading after = meter_read(&bed->meter, &bed->traffic);
    meter_print(phase->name, &before, &after);
    meter_print_flows(&bed->traffic);
}

void serve_until_qemu_ends(struct bed *bed)
{
    while (vhost_user_serve(&bed->traffic.ports[0]) && vhost_user_serve(&bed->traffic.ports[1])) {
        (void)collect(bed);
        pause_shortly();
    }
}
