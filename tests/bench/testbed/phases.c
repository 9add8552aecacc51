/* Drives the traffic of each phase and measures it. */
#include "tests/bench/testbed/phases.h"

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
#define TIMEOUT_NS (30 * NS_PER_S)  /* without a frame: the machine may be busy with other things */
#define SETTLE_NS (300 * NS_PER_MS) /* what is under way at the end of a phase comes out */
#define BOOT_FRAME_NS NS_PER_MS     /* between two attempts */
#define LOOK_NS (2 * NS_PER_MS)     /* between two looks at the clocks while traffic runs */

#define WARM_UP_CPU_NS (200 * NS_PER_MS)
#define WINDOW_FRAMES 4096 /* many times what is under way when a window begins or ends */
#define WINDOW_CPU_NS (100 * NS_PER_MS) /* many ticks: the kernel's accounting is that coarse */
#define WINDOWS_MAX 65536
#define TIMES_SLOWER 10 /* than on a machine of its own, at most */

#define DELIVER_MAX 64 /* frames at a time */
#define COLLECT_MAX 256
#define WARM_UP_BURSTS 50

static bool goes(const struct phase *phase, unsigned flow)
{
    return phase->directions >> flow & 1;
}

/* Answers QEMU's messages; polls often, but not each time. */
static void serve(struct testbed *testbed, uint64_t now)
{
    if (now - testbed->served_ns < SERVE_NS)
        return;
    testbed->served_ns = now;
    for (unsigned i = 0; i < PORTS; i++) {
        if (!vhost_user_serve(&testbed->traffic.ports[i]))
            errx(1, "QEMU has ended");
    }
}

static void pause_shortly(void)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};

    nanosleep(&pause, NULL);
}

static uint32_t collect(struct testbed *testbed)
{
    return traffic_collect(&testbed->traffic, 0, COLLECT_MAX) +
           traffic_collect(&testbed->traffic, 1, COLLECT_MAX);
}

/* Collects until `ns` from now, with nothing delivered. */
static void wait_and_collect(struct testbed *testbed, uint64_t ns)
{
    const uint64_t end = meter_now_ns() + ns;

    for (uint64_t now; (now = meter_now_ns()) < end;) {
        serve(testbed, now);
        if (collect(testbed) == 0)
            pause_shortly();
    }
}

static void end_if_stuck(uint64_t now, uint64_t progress_ns)
{
    if (now > progress_ns && now - progress_ns > TIMEOUT_NS)
        errx(1, "the guest has forwarded nothing for %llu seconds", TIMEOUT_NS / NS_PER_S);
}

/* ---- boot ---- */

static void print_boot(const struct testbed *testbed, uint64_t instructions, uint64_t started_ns)
{
    const volatile struct icount *const icount = testbed->meter.icount;
    const struct vhost_user_port *const port = &testbed->traffic.ports[0];

    printf("{\"phase\": \"boot\", \"seconds\": %.3f, \"instructions\": %llu, \"marks\": [",
           (double)(meter_now_ns() - started_ns) / 1e9, (unsigned long long)instructions);
    for (unsigned i = 0; i < ICOUNT_MARKS; i++)
        printf("%s%llu", i != 0 ? ", " : "", (unsigned long long)icount->marks[i]);
    printf("], \"features\": \"0x%llx\", \"rx_size\": %u, \"tx_size\": %u",
           (unsigned long long)port->features, port->queues[0].ring.size,
           port->queues[1].ring.size);
    meter_print_flows(&testbed->traffic);
}

void phase_boot(struct testbed *testbed, const struct phase *phase)
{
    const uint64_t start = meter_now_ns();
    const uint64_t end = start + (uint64_t)(phase->seconds * 1e9);
    struct flow *const flows = testbed->traffic.flows;
    uint64_t deliver_ns = 0;

    traffic_restart(&testbed->traffic, phase->length);
    while (flows[0].received == 0 || flows[1].received == 0) {
        const uint64_t now = meter_now_ns();
        if (now > end)
            errx(3, "no frame came through within %.0f seconds", phase->seconds);
        serve(testbed, now);
        for (unsigned i = 0; i < PORTS && now > deliver_ns; i++) {
            if (flows[i].received == 0 && traffic_deliver(&testbed->traffic, i, 1) != 0)
                traffic_show(&testbed->traffic, i);
        }
        if (now > deliver_ns)
            deliver_ns = now + BOOT_FRAME_NS;
        if (collect(testbed) == 0)
            pause_shortly();
    }
    const uint64_t instructions = testbed->meter.icount->instructions;
    wait_and_collect(testbed, SETTLE_NS);
    print_boot(testbed, instructions, start);
}

/* ---- saturation ---- */

/*
 * The phase is cut into windows. On a busy machine this process may stop for a while, and the
 * guest runs idle. The better windows have least of that.
 */
struct windows {
    struct series instructions; /* per frame, over WINDOW_FRAMES */
    struct reading frames_start;
    struct series rates; /* frames per second of QEMU's processor time, over WINDOW_CPU_NS */
    struct reading cpu_start;
};

static void windows_begin(struct windows *windows, struct testbed *testbed)
{
    windows->frames_start = windows->cpu_start = meter_read(&testbed->meter, &testbed->traffic);
    windows->instructions.count = windows->rates.count = 0;
}

static void windows_look_at_frames(struct windows *windows, struct testbed *testbed)
{
    const uint64_t frames = traffic_received(&testbed->traffic) - windows->frames_start.received;

    if (frames < WINDOW_FRAMES)
        return;
    const struct reading now = meter_read(&testbed->meter, &testbed->traffic);
    const uint64_t instructions = now.instructions - windows->frames_start.instructions;
    series_add(&windows->instructions, (double)instructions / (double)frames);
    windows->frames_start = now;
}

static void windows_look_at_time(struct windows *windows, const struct reading *now)
{
    const uint64_t cpu_ns = now->cpu_ns - windows->cpu_start.cpu_ns;

    if (cpu_ns < WINDOW_CPU_NS)
        return;
    series_add(&windows->rates,
               (double)(now->received - windows->cpu_start.received) * 1e9 / (double)cpu_ns);
    windows->cpu_start = *now;
}

/* One turn: fills the rx rings, empties the tx rings; returns the frames moved. */
static uint32_t turn(struct testbed *testbed, const struct phase *phase)
{
    uint32_t moved = 0;

    for (unsigned i = 0; i < PORTS; i++) {
        if (!goes(phase, i))
            continue;
        moved += traffic_deliver(&testbed->traffic, i, DELIVER_MAX);
        traffic_show(&testbed->traffic, i);
    }
    return moved + collect(testbed);
}

/* Keeps the rings full until QEMU has run for `cpu_ns`, or TIMES_SLOWER as long has passed. */
static void keep_full(struct testbed *testbed, const struct phase *phase, struct windows *windows,
                      uint64_t cpu_ns)
{
    const struct reading start = meter_read(&testbed->meter, &testbed->traffic);
    const uint64_t end = start.ns + TIMES_SLOWER * cpu_ns;
    struct reading look = start, progress = start; /* the last one; the last with more frames */

    for (uint64_t now, moved_ns = start.ns; (now = meter_now_ns()) < end;) {
        serve(testbed, now);
        if (turn(testbed, phase) != 0)
            moved_ns = now;
        else if (now - moved_ns > SPIN_NS)
            pause_shortly();
        windows_look_at_frames(windows, testbed);
        if (now - look.ns < LOOK_NS)
            continue;
        look = meter_read(&testbed->meter, &testbed->traffic);
        windows_look_at_time(windows, &look);
        if (look.received != progress.received)
            progress = look;
        end_if_stuck(look.ns, progress.ns);
        if (look.cpu_ns - start.cpu_ns >= cpu_ns)
            break;
    }
}

void phase_saturate(struct testbed *testbed, const struct phase *phase)
{
    struct windows windows = {.instructions = series_make(WINDOWS_MAX),
                              .rates = series_make(WINDOWS_MAX)};

    traffic_restart(&testbed->traffic, phase->length);
    windows_begin(&windows, testbed);
    keep_full(testbed, phase, &windows, WARM_UP_CPU_NS);
    windows_begin(&windows, testbed);
    const struct reading before = windows.cpu_start;
    keep_full(testbed, phase, &windows, (uint64_t)(phase->seconds * 1e9));
    const struct reading after = meter_read(&testbed->meter, &testbed->traffic);
    wait_and_collect(testbed, SETTLE_NS);
    meter_print(phase->name, &before, &after);
    series_print(&windows.instructions, "instructions_per_frame");
    series_print(&windows.rates, "frames_per_cpu_second");
    meter_print_flows(&testbed->traffic);
    series_free(&windows.instructions);
    series_free(&windows.rates);
}

/* ---- bursts ---- */

/* The duration of one burst. */
struct trip {
    uint64_t instructions;
    uint64_t ns;
};

/* Sends one burst through and waits for all of it. */
static struct trip send_burst(struct testbed *testbed, unsigned flow, uint32_t burst)
{
    struct traffic *const traffic = &testbed->traffic;
    const uint64_t goal = traffic->flows[flow].received + burst;
    const uint64_t start = meter_now_ns();
    struct trip trip;

    for (uint32_t delivered = 0; delivered < burst;) {
        delivered += traffic_deliver(traffic, flow, burst - delivered);
        if (delivered == burst)
            break;
        collect(testbed); /* the guest may want buffers back before it offers others */
        serve(testbed, meter_now_ns());
        end_if_stuck(meter_now_ns(), start);
    }
    const uint64_t instructions = testbed->meter.icount->instructions;
    const uint64_t shown_ns = meter_now_ns();
    traffic_show(traffic, flow);
    do {
        traffic_collect(traffic, !flow, COLLECT_MAX);
        trip.instructions = testbed->meter.icount->instructions - instructions;
        trip.ns = meter_now_ns() - shown_ns;
        end_if_stuck(shown_ns + trip.ns, shown_ns);
    } while (traffic->flows[flow].received < goal);
    serve(testbed, meter_now_ns());
    return trip;
}

void phase_burst(struct testbed *testbed, const struct phase *phase)
{
    struct series instructions = series_make(phase->count), us = series_make(phase->count);
    struct reading before;

    traffic_restart(&testbed->traffic, phase->length);
    for (uint32_t i = 0; i < WARM_UP_BURSTS + phase->count; i++) {
        if (i == WARM_UP_BURSTS)
            before = meter_read(&testbed->meter, &testbed->traffic);
        const unsigned flow = phase->directions == (PHASE_FORWARD | PHASE_BACK)
                                  ? i & 1
                                  : phase->directions == PHASE_BACK;
        const struct trip trip = send_burst(testbed, flow, phase->burst);
        if (i < WARM_UP_BURSTS)
            continue;
        series_add(&instructions, (double)trip.instructions / phase->burst);
        series_add(&us, (double)trip.ns / 1e3);
    }
    const struct reading after = meter_read(&testbed->meter, &testbed->traffic);
    wait_and_collect(testbed, SETTLE_NS);
    meter_print(phase->name, &before, &after);
    series_print(&instructions, "instructions_per_frame");
    series_print(&us, "microseconds");
    meter_print_flows(&testbed->traffic);
    series_free(&instructions);
    series_free(&us);
}

/* ---- idle ---- */

void phase_idle(struct testbed *testbed, const struct phase *phase)
{
    traffic_restart(&testbed->traffic, FRAME_MIN);
    const struct reading before = meter_read(&testbed->meter, &testbed->traffic);
    wait_and_collect(testbed, (uint64_t)(phase->seconds * 1e9));
    const struct reading after = meter_read(&testbed->meter, &testbed->traffic);
    meter_print(phase->name, &before, &after);
    meter_print_flows(&testbed->traffic);
}

void serve_until_qemu_ends(struct testbed *testbed)
{
    while (vhost_user_serve(&testbed->traffic.ports[0]) &&
           vhost_user_serve(&testbed->traffic.ports[1])) {
        (void)collect(testbed);
        pause_shortly();
    }
}
