/* When the loop sleeps and what wakes it: net/idle.c, and the sleeping half of net/loop.c. */
#include <machine/clock.h>

#include "net/lane.h"
#include "net/loop.h"
#include "tests/host/fixture/memory_port.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/machine.h"
#include "tests/host/sim/console_user.h"

#define BUFFERS (2 * MEMORY_PORT_RING + BURST)
#define LONG_NS CLOCK_NS_PER_S

static struct memory_port memory_ports[2];
static struct port *ports[2];
static struct lane lanes[2];
static struct lane *port_lanes[2];
static struct pool pool; /* for all */
static struct loop loop;

/* Two ports on a wire, under a loop that may sleep. */
static int setup(void **state)
{
    (void)state;
    machine_reset();
    for (unsigned i = 0; i < 2; i++) {
        struct mac_address mac = {{2, 0, 0, 0, 0, (uint8_t)i}};
        memory_port_init(&memory_ports[i], i, mac);
        ports[i] = &memory_ports[i].port;
        ports[i]->can_interrupt = true;
    }
    assert_true(pool_create(&pool, 2 * BUFFERS, 1600, false));
    for (unsigned i = 0; i < 2; i++) {
        lane_init(&lanes[i], ports[i], ports[1 - i], app_find("wire"));
        lanes[i].pool = &pool;
        port_lanes[i] = &lanes[i];
    }
    for (unsigned i = 0; i < 2; i++) {
        ports[i]->wanted.payload_max = 1600;
        const struct port_setup wire = {
            .rx_queues = 1,
            .tx_queues = 1,
            .rx = {{.pool = &pool, .buffers = MEMORY_PORT_RING}},
            .tx = {{.pool = &pool, .buffers = MEMORY_PORT_RING}},
        };
        assert_true(ports[i]->ops->start(ports[i], &wire));
    }
    loop_init(&loop, ports, port_lanes, 2, 0);
    assert_true(idle_set_adaptive(&loop.idle, true));
    return 0;
}

TEST_FIXTURE(.setup = setup);

/* A frame comes in at port `i`, whose device interrupts if the driver wants it. */
static void deliver(unsigned i)
{
    const uint8_t frame[60] = {2};

    assert_true(memory_port_inject(&memory_ports[i], frame, sizeof(frame)));
    if (memory_ports[i].rx_armed)
        machine_interrupt();
}

static unsigned collect(unsigned i)
{
    uint8_t out[60];
    unsigned count = 0;

    while (memory_port_collect(&memory_ports[i], out, sizeof(out)) != 0)
        count++;
    return count;
}

/* Rounds until the loop has slept once more. */
static void run_until_sleep(void)
{
    const unsigned waits = machine_waits();

    while (machine_waits() == waits)
        loop_round(&loop);
}

static void run_for(uint64_t ns)
{
    for (const uint64_t end = machine_clock_now() + ns; machine_clock_now() < end;)
        loop_round(&loop);
}

/* Concurrent work while the core sleeps: `work` runs once, at `at_ns`. */
static struct {
    uint64_t at_ns;
    void (*work)(void);
} later;

static void do_later(void *context)
{
    (void)context;
    if (later.work != NULL && machine_clock_now() >= later.at_ns) {
        void (*work)(void) = later.work;
        later.work = NULL;
        work();
    }
}

static void after(uint64_t ns, void (*work)(void))
{
    later.at_ns = machine_clock_now() + ns;
    later.work = work;
    machine_clock_hook(do_later, NULL);
}

static void deliver_first(void)
{
    deliver(0);
}

/* As a device that has shown the frame and hangs before it interrupts. */
static void deliver_in_silence(void)
{
    const uint8_t frame[60] = {2};

    assert_true(memory_port_inject(&memory_ports[0], frame, sizeof(frame)));
}

static void deliver_then_interrupt_late(void)
{
    deliver_in_silence();
    after(100 * CLOCK_NS_PER_MS, machine_interrupt); /* the tick comes before */
}

static void pause_then_interrupt(void)
{
    machine_clock_advance(CLOCK_NS_PER_S);
    after(5 * CLOCK_NS_PER_MS, machine_interrupt);
}

/* The host pauses the whole machine while the core waits for the interrupt. */
static void deliver_then_pause(void)
{
    deliver_in_silence();
    after(71 * CLOCK_NS_PER_MS, pause_then_interrupt); /* the tick comes before */
}

TEST(idle_poll_never_sleeps)
{
    assert_true(idle_set_adaptive(&loop.idle, false));
    run_for(10 * CLOCK_NS_PER_MS);
    assert_int_equal(machine_waits(), 0);
    machine_clock_advance(LONG_NS);
    loop_round(&loop);
    assert_int_equal(machine_waits(), 0);
    assert_int_equal(loop.idle.halts, 0);
}

TEST(a_core_that_nothing_wakes_stays_awake)
{
    loop_init(&loop, ports, port_lanes, 2, 0);
    machine_can_wait(false);
    assert_false(idle_set_adaptive(&loop.idle, true));
    assert_true(loop.idle.quiet_max == UINT64_MAX);
    run_for(10 * CLOCK_NS_PER_MS);
    assert_int_equal(machine_waits(), 0);
}

TEST(it_spins_before_it_sleeps)
{
    deliver(0);
    loop_round(&loop);
    const uint64_t busy = machine_clock_now();
    run_until_sleep();
    assert_true(loop.idle.slept > 0);
    const uint64_t slept_ns = loop.idle.slept / (MACHINE_CLOCK_HZ / CLOCK_NS_PER_S);
    assert_in_range(machine_clock_now() - slept_ns - busy, 190 * CLOCK_NS_PER_US,
                    210 * CLOCK_NS_PER_US);
}

TEST(without_traffic_it_wakes_ten_times_a_second)
{
    run_for(10 * LONG_NS);
    assert_in_range(machine_waits(), 99, 102);
    assert_in_range(loop.idle.timer_wakes, 99, 102);
    assert_int_equal(loop.idle.timer_rescues, 0);
    assert_true(loop.idle.slept > 99 * MACHINE_CLOCK_HZ / 10);
}

TEST(a_frame_wakes_it_at_once_and_leaves_in_the_next_round)
{
    run_until_sleep();
    after(30 * CLOCK_NS_PER_MS, deliver_first);
    const uint64_t start = machine_clock_now();
    run_until_sleep();
    assert_in_range(machine_clock_now() - start, 30 * CLOCK_NS_PER_MS,
                    30 * CLOCK_NS_PER_MS + 10 * CLOCK_NS_PER_US);
    loop_round(&loop);
    assert_int_equal(collect(1), 1);
    assert_int_equal(loop.idle.device_wakes, 1);
    assert_int_equal(loop.idle.timer_rescues, 0);
}

TEST(awake_it_wants_no_interrupts)
{
    run_until_sleep();
    assert_false(memory_ports[0].rx_armed || memory_ports[1].rx_armed);
    assert_false(memory_ports[0].tx_armed || memory_ports[1].tx_armed);
}

/* The frame comes between the last round and the request for an interrupt. */
TEST(work_found_by_the_last_look_keeps_it_awake)
{
    machine_clock_step(0);
    loop_round(&loop);
    machine_clock_advance(CLOCK_NS_PER_MS);
    after(0, deliver_in_silence);
    /* The clock's first reading of the round is behind the lanes: there the frame comes. */
    loop_round(&loop);
    assert_int_equal(machine_waits(), 0);
    loop_round(&loop);
    assert_int_equal(collect(1), 1);
    assert_int_equal(loop.idle.halts, 0);
}

/* A device that has not seen the request when it shows its frame raises no interrupt. */
TEST(frame_shown_before_the_request_is_seen_keeps_it_awake)
{
    machine_clock_step(0);
    loop_round(&loop);
    machine_clock_advance(CLOCK_NS_PER_MS);
    machine_at_fence(deliver_in_silence);
    loop_round(&loop);
    assert_int_equal(machine_waits(), 0);
    loop_round(&loop);
    assert_int_equal(collect(1), 1);
    assert_int_equal(loop.idle.halts, 0);
}

TEST(frames_at_short_intervals_teach_it_patience_and_at_long_ones_haste)
{
    run_for(LONG_NS);
    assert_int_equal(loop.idle.quiet_max, loop.idle.quiet_low);
    run_until_sleep();
    for (unsigned i = 0; i < 10; i++) {
        const uint64_t halts = loop.idle.halts;
        after(50 * CLOCK_NS_PER_US, deliver_first);
        run_for(55 * CLOCK_NS_PER_US);
        assert_int_equal(loop.idle.halts, i < 2 ? halts + 1 : halts); /* 20, 40, 80 microseconds */
    }
    for (unsigned i = 0; i < 10; i++) {
        run_until_sleep();
        after(5 * CLOCK_NS_PER_MS, deliver_first);
        run_until_sleep();
        loop_round(&loop);
    }
    assert_int_equal(loop.idle.quiet_max, loop.idle.quiet_low);
    assert_int_equal(loop.idle.timer_rescues, 0);
}

TEST(a_frame_that_no_interrupt_announces_is_a_rescue)
{
    run_until_sleep();
    after(30 * CLOCK_NS_PER_MS, deliver_in_silence);
    run_until_sleep();
    assert_int_equal(loop.idle.timer_rescues, 1);
    assert_int_equal(machine_log_count("warn", "reason=interrupt-missing"), 1);
    loop_round(&loop);
    assert_int_equal(collect(1), 1);

    /* From now on it looks more often, and says no more. */
    after(30 * CLOCK_NS_PER_MS, deliver_in_silence);
    const unsigned waits = machine_waits();
    run_for(30 * CLOCK_NS_PER_MS);
    assert_true(machine_waits() - waits > 25);
    run_for(LONG_NS);
    assert_int_equal(loop.idle.timer_rescues, 2);
    assert_int_equal(machine_log_count("warn", ""), 1);
}

TEST(somebody_who_types_wakes_it_and_is_looked_after_at_once)
{
    run_until_sleep();
    assert_int_equal(user_expected(), 0);
    after(30 * CLOCK_NS_PER_MS, machine_console_interrupt);
    const uint64_t start = machine_clock_now();
    run_until_sleep();
    assert_in_range(machine_clock_now() - start, 30 * CLOCK_NS_PER_MS, 31 * CLOCK_NS_PER_MS);
    assert_int_equal(user_expected(), 1);
    assert_int_equal(loop.idle.console_wakes, 1);
    const uint64_t due = loop.due_cycles;
    loop_round(&loop); /* housekeeping, which takes it */
    assert_true(loop.due_cycles > due);
    assert_int_equal(loop.idle.timer_rescues, 0);
}

TEST(an_interrupt_that_comes_late_is_no_rescue)
{
    run_until_sleep();
    after(30 * CLOCK_NS_PER_MS, deliver_then_interrupt_late);
    run_until_sleep();
    assert_int_equal(loop.idle.timer_wakes, 2);
    assert_int_equal(loop.idle.timer_rescues, 0);
    loop_round(&loop);
    assert_int_equal(collect(1), 1);
}

TEST(a_pause_of_the_machine_is_no_missing_interrupt)
{
    run_until_sleep();
    after(30 * CLOCK_NS_PER_MS, deliver_then_pause);
    run_until_sleep();
    assert_int_equal(loop.idle.timer_wakes, 2);
    assert_int_equal(loop.idle.timer_rescues, 0);
    loop_round(&loop);
    assert_int_equal(collect(1), 1);
}

TEST(a_port_that_announces_nothing_is_looked_after_every_millisecond)
{
    ports[0]->can_interrupt = false;
    run_until_sleep();
    after(30 * CLOCK_NS_PER_MS, deliver_in_silence);
    const uint64_t start = machine_clock_now();
    while (lanes[0].rx->ops->arm(lanes[0].rx, 0, PORT_RX) == false)
        loop_round(&loop);
    loop_round(&loop);
    assert_in_range(machine_clock_now() - start, 30 * CLOCK_NS_PER_MS, 32 * CLOCK_NS_PER_MS);
    assert_int_equal(collect(1), 1);
    assert_in_range(machine_waits(), 28, 33);
    assert_int_equal(loop.idle.timer_rescues, 0);
    assert_int_equal(machine_log_count("warn", ""), 0);
}

static void collect_one_and_interrupt(void)
{
    uint8_t out[60];

    memory_port_collect(&memory_ports[1], out, sizeof(out));
    if (memory_ports[1].tx_armed)
        machine_interrupt();
}

/* Frames that wait for room are no work: it is the room that is waited for. */
TEST(a_lane_that_waits_for_room_sleeps_until_there_is_some)
{
    for (unsigned i = 0; i < MEMORY_PORT_RING + 1; i++) {
        deliver(0);
        loop_round(&loop);
    }
    run_until_sleep();
    assert_int_equal(loop.idle.timer_wakes, 1); /* although a frame waits in the rx ring */
    after(10 * CLOCK_NS_PER_MS, collect_one_and_interrupt);
    run_until_sleep();
    assert_int_equal(loop.idle.device_wakes, 1);
    loop_round(&loop);
    assert_int_equal(lanes[0].rx->ops->arm(lanes[0].rx, 0, PORT_RX), 0);
    assert_int_equal(collect(1), MEMORY_PORT_RING);
    assert_int_equal(loop.idle.timer_rescues, 0);
}

TEST(what_it_did_is_told_with_the_stats)
{
    loop_init(&loop, ports, port_lanes, 2, 1);
    assert_true(idle_set_adaptive(&loop.idle, true));
    run_for(LONG_NS + LONG_NS / 5);
    assert_int_equal(machine_log_count("idle", "slept_percent=99 halts="), 1);
    assert_int_equal(machine_log_count("idle", "device_wakes=0 timer_wakes="), 1);
    assert_int_equal(machine_log_count("idle", "timer_rescues=0"), 1);
    idle_set_adaptive(&loop.idle, false);
    run_for(2 * LONG_NS);
    assert_int_equal(machine_log_count("idle", ""), 1);
    assert_int_equal(machine_log_count("stats", ""), 6);
}
