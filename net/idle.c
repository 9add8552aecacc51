/* The patience of a core. What it does when that has run out is in net/loop.c. */
#include "net/idle.h"

#include <machine/clock.h>
#include <machine/interrupt.h>
#include <machine/log.h>

/*
 * Halting and waking cost some 10 microseconds under KVM. Whoever sees frames come at shorter
 * intervals than the upper bound polls through, who sees them come at longer ones sleeps soon. (KVM's
 * own halt polling works with the same bounds on the host's side.)
 */
#define QUIET_LOW_NS (20 * CLOCK_NS_PER_US)
#define QUIET_HIGH_NS (200 * CLOCK_NS_PER_US)

/* Ten looks a second at devices and power button, as long as nobody comes by. */
#define TICK_NS (100 * CLOCK_NS_PER_MS)
#define SHORT_TICK_NS CLOCK_NS_PER_MS

void idle_init(struct idle *idle)
{
    const uint64_t now = clock_cycles();

    *idle = (struct idle){
        .quiet_max = UINT64_MAX,
        .busy = now,
        .quiet_low = clock_cycles_of_ns(QUIET_LOW_NS),
        .quiet_high = clock_cycles_of_ns(QUIET_HIGH_NS),
        .tick = clock_cycles_of_ns(TICK_NS),
        .short_tick = clock_cycles_of_ns(SHORT_TICK_NS),
        .reported = now,
    };
}

bool idle_set_adaptive(struct idle *idle, bool on)
{
    if (on && !interrupt_can_wait())
        return false;
    idle->quiet_max = on ? idle->quiet_high : UINT64_MAX;
    idle->reported = clock_cycles();
    idle->reported_slept = idle->slept;
    return true;
}

static bool is_adaptive(const struct idle *idle)
{
    return idle->quiet_max != UINT64_MAX;
}

/* A device's wake-up that came soon would have been waited for better, had there been the patience. */
static void adapt(struct idle *idle, uint64_t slept, unsigned woken)
{
    if ((woken & INTERRUPT_DEVICE) && slept < idle->quiet_high)
        idle->quiet_max =
            idle->quiet_max < idle->quiet_high / 2 ? idle->quiet_max * 2 : idle->quiet_high;
    else
        idle->quiet_max =
            idle->quiet_max > idle->quiet_low * 2 ? idle->quiet_max / 2 : idle->quiet_low;
}

void idle_slept(struct idle *idle, uint64_t start, uint64_t end, unsigned woken)
{
    idle->halts++;
    idle->slept += end - start;
    if (woken & INTERRUPT_DEVICE)
        idle->device_wakes++;
    else if (woken & INTERRUPT_CONSOLE)
        idle->console_wakes++;
    else if (woken & INTERRUPT_TIMER)
        idle->timer_wakes++;
    adapt(idle, end - start, woken);
}

void idle_rescued(struct idle *idle)
{
    if (idle->timer_rescues++ == 0)
        log_event(LOG_WARN, "warn",
                  "reason=interrupt-missing effect=\"looks for frames a thousand times a second\"");
    idle->tick = idle->short_tick;
}

void idle_report(struct idle *idle)
{
    const uint64_t now = clock_cycles();
    const uint64_t interval = now - idle->reported, slept = idle->slept - idle->reported_slept;

    if (!is_adaptive(idle))
        return;
    log_event(LOG_REPORT, "idle",
              "slept_percent=%llu halts=%llu device_wakes=%llu timer_wakes=%llu timer_rescues=%llu "
              "console_wakes=%llu",
              (unsigned long long)(slept / (interval / 100 + 1)), (unsigned long long)idle->halts,
              (unsigned long long)idle->device_wakes, (unsigned long long)idle->timer_wakes,
              (unsigned long long)idle->timer_rescues, (unsigned long long)idle->console_wakes);
    idle->reported = now;
    idle->reported_slept = idle->slept;
}
