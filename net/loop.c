/* The loop. Which lanes there are, and what they do with frames, was settled before it starts. */
#include "net/loop.h"

#include <machine/clock.h>
#include <machine/console.h>
#include <machine/interrupt.h>
#include <machine/log.h>
#include <machine/power.h>

/*
 * How often housekeeping looks round: the console, the ports (which look at their devices more
 * seldom), the stats event. A 16550 at 115200 baud sends its FIFO of 16 bytes in 1.4 ms;
 * looking a little more often keeps it busy and costs one or two port reads each time, and none as
 * long as there is nothing to print.
 */
#define HOUSEKEEPING_NS (250 * CLOCK_NS_PER_US)

/* How often loop_run lets its caller look after other things: hot-plug. */
#define LEAVE_NS (100 * CLOCK_NS_PER_MS)

/* So many meals in a watchdog's timeout: one that comes late does no harm. */
#define FEEDS_PER_TIMEOUT 8

/*
 * A device shows a frame first and interrupts then. The host may take the processor away from it in
 * between, so a timer that strikes in that moment proves nothing. So many waits of a millisecond do: a
 * clock that jumps, because the host has paused this core too, does not shorten them.
 */
#define LATE_LOOKS 100

/* A device may never take what it was given: the machine ends all the same. */
#define DRAIN_NS CLOCK_NS_PER_S

void loop_set_ports(struct loop *loop, struct port *const *ports, struct lane *const *port_lanes,
                    unsigned port_count)
{
    ensure(port_count <= PORTS_MAX);
    loop->port_count = port_count;
    loop->lane_count = 0;
    for (unsigned i = 0; i < port_count; i++) {
        loop->ports[i] = ports[i];
        loop->port_lanes[i] = port_lanes[i];
        if (port_lanes[i] != NULL)
            loop->lanes[loop->lane_count++] = port_lanes[i];
    }
}

void loop_init(struct loop *loop, struct port *const *ports, struct lane *const *port_lanes,
               unsigned port_count, unsigned stats_seconds)
{
    *loop = (struct loop){
        .period_cycles = clock_cycles_of_ns(HOUSEKEEPING_NS),
        .leave_period_cycles = clock_cycles_of_ns(LEAVE_NS),
    };
    loop_set_ports(loop, ports, port_lanes, port_count);
    idle_init(&loop->idle);
    loop->due_cycles = loop->leave_cycles = clock_cycles();
    loop->stats.reported_ns = clock_ns();
    loop_set_stats(loop, stats_seconds);
}

void loop_set_stats(struct loop *loop, unsigned stats_seconds)
{
    loop->stats_period_ns = stats_seconds * CLOCK_NS_PER_S;
    loop->stats_due_ns = clock_ns() + loop->stats_period_ns;
}

void loop_watch(struct loop *loop, struct watchdog *watchdog)
{
    loop->watchdog = watchdog;
    if (watchdog == NULL)
        return;
    loop->feed_period = clock_cycles_of_ns(watchdog->timeout_ns / FEEDS_PER_TIMEOUT);
    loop->feed_due = clock_cycles() + loop->feed_period;
}

static void feed_when_due(struct loop *loop, uint64_t now)
{
    if (loop->watchdog == NULL || (int64_t)(now - loop->feed_due) < 0)
        return;
    loop->watchdog->ops->feed(loop->watchdog);
    loop->feed_due = now + loop->feed_period;
}

static void report(struct loop *loop)
{
    idle_report(&loop->idle);
    stats_report(&loop->stats, loop->ports, loop->port_lanes, loop->port_count);
}

/* A period that was missed (the whole machine stood still) is skipped, not made up for. */
static void report_when_due(struct loop *loop)
{
    uint64_t now = clock_ns();

    if (loop->stats_period_ns == 0 || now < loop->stats_due_ns)
        return;
    report(loop);
    loop->stats_due_ns += loop->stats_period_ns;
    if (loop->stats_due_ns <= now)
        loop->stats_due_ns = now + loop->stats_period_ns;
}

static void housekeeping(struct loop *loop, uint64_t now)
{
    loop->due_cycles = now + loop->period_cycles;
    log_drain();
    for (unsigned i = 0; i < loop->port_count; i++)
        loop->ports[i]->ops->service(loop->ports[i], clock_ns());
    for (unsigned i = 0; i < loop->lane_count; i++)
        lane_follow_mtu(loop->lanes[i]);
    report_when_due(loop);
    if (loop->serve != NULL)
        loop->serve(loop->server);
    feed_when_due(loop, now);
    loop->ending = power_requested();
    if ((int64_t)(now - loop->leave_cycles) < 0)
        return;
    loop->leave_cycles = now + loop->leave_period_cycles;
    loop->leaving = true;
}

/* ---- sleep ---- */

/* Asks every lane's devices for an interrupt, then looks at their rings. True if there is work
 * already. */
static bool arm_lanes(struct loop *loop)
{
    bool work = false;

    for (unsigned i = 0; i < loop->lane_count; i++)
        work |= lane_arm(loop->lanes[i]);
    return work;
}

/* Arm, fence, look: in this order no wake-up is lost (drivers/virtio/virtqueue.h). The last look comes
 * behind a fence that holds everywhere. */
static bool arm(struct loop *loop)
{
    if (arm_lanes(loop))
        return true;
    interrupt_fence();
    return arm_lanes(loop);
}

static void disarm(struct loop *loop)
{
    for (unsigned i = 0; i < loop->lane_count; i++)
        lane_disarm(loop->lanes[i]);
}

/* How long the stats event leaves, in cycles. */
static uint64_t until_stats(const struct loop *loop)
{
    const uint64_t now = clock_ns();

    if (loop->stats_period_ns == 0)
        return UINT64_MAX;
    return loop->stats_due_ns > now ? clock_cycles_of_ns(loop->stats_due_ns - now) : 0;
}

/* How long to sleep at most. */
static uint64_t tick(const struct loop *loop)
{
    if (log_pending())
        return loop->idle.short_tick;
    for (unsigned i = 0; i < loop->port_count; i++) {
        const struct port *const port = loop->ports[i];
        if ((port->state == PORT_UP && !port->can_interrupt) || port->hurries)
            return loop->idle.short_tick;
    }
    const uint64_t stats = until_stats(loop);
    return stats < loop->idle.tick ? stats : loop->idle.tick;
}

/* Asks once more, and takes nothing back: what a device announces meanwhile is still to be seen. */
static bool announced_work(struct loop *loop)
{
    for (unsigned i = 0; i < loop->lane_count; i++) {
        struct lane *const lane = loop->lanes[i];
        if (lane->rx->can_interrupt && lane->tx->can_interrupt && lane_arm(lane))
            return true;
    }
    return false;
}

/*
 * The timer has ended a sleep, and there is work, which a device must have announced, or be about to:
 * all is still armed. If it doesn't, the timer has rescued us. It never should.
 */
static void look_for_announcement(struct loop *loop)
{
    for (unsigned looks = 0; looks < LATE_LOOKS; looks++) {
        if (interrupt_wait(clock_cycles() + loop->idle.short_tick) & INTERRUPT_DEVICE)
            return;
    }
    idle_rescued(&loop->idle);
}

/* The core has had nothing to do for a while. */
static void rest(struct loop *loop)
{
    if (!arm(loop)) {
        /* From here on, not from before: where every instruction is emulated, that took its time. */
        const uint64_t longest = tick(loop), start = clock_cycles();
        const unsigned woken = interrupt_wait(start + longest);
        idle_slept(&loop->idle, start, clock_cycles(), woken);
        if (woken & INTERRUPT_CONSOLE) {
            console_expect_input();
            loop->due_cycles = start; /* housekeeping takes it */
        }
        if (!(woken & INTERRUPT_DEVICE) && announced_work(loop))
            look_for_announcement(loop);
    }
    disarm(loop);
}

void loop_round(struct loop *loop)
{
    struct idle *const idle = &loop->idle;
    uint32_t frames = 0;

    for (unsigned i = 0; i < loop->lane_count; i++)
        frames |= lane_run(loop->lanes[i]);
    const uint64_t now = clock_cycles();
    if ((int64_t)(now - loop->due_cycles) >= 0)
        housekeeping(loop, now);
    if (frames != 0)
        idle->busy = now;
    else if (__builtin_expect(now - idle->busy > idle->quiet_max, 0) && !loop->ending)
        rest(loop);
}

bool loop_run(struct loop *loop)
{
    loop->leaving = false;
    while (!loop->leaving && !loop->ending)
        loop_round(loop);
    return !loop->ending;
}

/* Frames that the ports have taken over and their devices have not sent. */
static uint32_t unsent_frames(struct loop *loop)
{
    struct port_filling filling;
    uint32_t sum = 0;

    for (unsigned i = 0; i < loop->port_count; i++) {
        loop->ports[i]->ops->service(loop->ports[i], clock_ns());
        loop->ports[i]->ops->count(loop->ports[i], &filling);
        sum += filling.tx_unsent;
    }
    return sum;
}

uint32_t loop_close(struct loop *loop)
{
    const uint64_t start = clock_ns();
    uint32_t unsent;

    /* A frame that a lane has taken in lies in a tx ring before the round is over, so there is
     * nothing else to wait for. */
    while ((unsent = unsent_frames(loop)) != 0 && clock_ns() - start < DRAIN_NS)
        clock_relax();
    report(loop);
    return unsent;
}
