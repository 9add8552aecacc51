/*
 * When a core sleeps, and for how long: it polls while there is traffic, and halts once there has
 * been none for a while. How long that is adapts: going to sleep and being woken cost more than a
 * short wait, and a long wait costs the processor time of the whole machine.
 */
#ifndef NET_IDLE_H
#define NET_IDLE_H

#include <stdbool.h>
#include <stdint.h>

struct idle {
    uint64_t quiet_max; /* cycles without frames after which to sleep; UINT64_MAX: never */
    uint64_t busy;      /* when frames were last seen, in clock_cycles */

    uint64_t quiet_low; /* quiet_max moves between these two */
    uint64_t quiet_high;
    uint64_t tick; /* the longest sleep: housekeeping wants its turn */
    uint64_t
        short_tick; /* where a device does not announce its frames, or the console has output */

    /* Since the start. */
    uint64_t halts;
    uint64_t device_wakes;
    uint64_t timer_wakes;
    uint64_t console_wakes;
    uint64_t timer_rescues; /* wakes by the timer that found frames which no device had announced */
    uint64_t slept;         /* cycles */

    uint64_t reported; /* when, and how much was slept by then */
    uint64_t reported_slept;
};

/* Makes `idle` for a core that never sleeps until idle_set_adaptive says so. Start-up only. */
void idle_init(struct idle *idle);

/* idle=adaptive or idle=poll from now on. Where the core cannot be woken it stays at poll, and false
 * is returned. Between two rounds. */
bool idle_set_adaptive(struct idle *idle, bool on);

/*
 * To be told of each sleep: it lasted from `start` to `end` (clock_cycles), and `woken` is what
 * interrupt_wait returned.
 */
void idle_slept(struct idle *idle, uint64_t start, uint64_t end, unsigned woken);

/* Counts a rescue, and trusts no device's announcements any more: a sleep is a short one from now
 * on. The first one is a `warn`. */
void idle_rescued(struct idle *idle);

/* Queues the `idle` event, if the core may sleep. Not for the data path. */
void idle_report(struct idle *idle);

#endif
