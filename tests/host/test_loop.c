/* The loop and the stats event on a simulated clock: net/loop.c, net/stats.c. */
#include <string.h>

#include <machine/clock.h>
#include <machine/power.h>

#include "net/lane.h"
#include "net/loop.h"
#include "tests/host/fixture/memory_port.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/machine.h"

#define BUFFERS (2 * MEMORY_PORT_RING + BURST)

static struct memory_port memory_ports[PORTS_MAX];
static struct port *ports[PORTS_MAX];
static struct lane lanes[PORTS_MAX];
static struct lane *port_lanes[PORTS_MAX];
static struct pool pool; /* for all */
static struct loop loop;

/* The port at the other end of the wire: 0 with 1, 2 with 3, … */
static unsigned partner(unsigned port)
{
    return port ^ 1;
}

/* A new machine with `count` ports, wired in pairs. */
static void start_wires(unsigned count)
{
    machine_reset();
    for (unsigned i = 0; i < count; i++) {
        struct mac_address mac = {{2, 0, 0, 0, 0, (uint8_t)i}};
        memory_port_init(&memory_ports[i], i, mac);
        ports[i] = &memory_ports[i].port;
    }
    assert_true(pool_create(&pool, count * BUFFERS, 1600, false));
    for (unsigned i = 0; i < count; i++) {
        lane_init(&lanes[i], ports[i], ports[partner(i)], app_find("wire"));
        lanes[i].pool = &pool;
        port_lanes[i] = &lanes[i];
    }
    for (unsigned i = 0; i < count; i++) {
        ports[i]->wanted.payload_max = 1600;
        const struct port_setup wire = {
            .rx_queues = 1,
            .tx_queues = 1,
            .rx = {{.pool = &pool, .buffers = MEMORY_PORT_RING}},
            .tx = {{.pool = &pool, .buffers = MEMORY_PORT_RING}},
        };
        assert_true(ports[i]->ops->start(ports[i], &wire));
    }
}

static int setup(void **state)
{
    (void)state;
    start_wires(2);
    return 0;
}

TEST_FIXTURE(.setup = setup);

TEST(a_round_runs_every_lane)
{
    uint8_t frame[100] = {2}, out[100];

    loop_init(&loop, ports, port_lanes, 2, 0);
    frame[50] = 1;
    assert_true(memory_port_inject(&memory_ports[0], frame, sizeof(frame)));
    frame[50] = 2;
    assert_true(memory_port_inject(&memory_ports[1], frame, 60));
    loop_round(&loop);
    assert_int_equal(memory_port_collect(&memory_ports[1], out, sizeof(out)), 100);
    assert_int_equal(out[50], 1);
    assert_int_equal(memory_port_collect(&memory_ports[0], out, sizeof(out)), 60);
    assert_int_equal(out[50], 2);
}

/* Half of the lanes have more to do than they can; on the others a frame comes in each round. */
TEST(a_lane_at_full_rate_delays_no_other_beyond_its_round)
{
    const uint8_t frame[60] = {2};
    uint8_t out[60];

    start_wires(PORTS_MAX);
    loop_init(&loop, ports, port_lanes, PORTS_MAX, 0);
    for (uint64_t round = 1; round <= 4 * MEMORY_PORT_RING / BURST; round++) {
        for (unsigned i = 0; i < PORTS_MAX; i += 2) {
            while (memory_port_inject(&memory_ports[i], frame, sizeof(frame)))
                ;
            assert_true(memory_port_inject(&memory_ports[i + 1], frame, sizeof(frame)));
        }
        loop_round(&loop);
        for (unsigned i = 0; i < PORTS_MAX; i += 2) {
            assert_int_equal(memory_ports[i + 1].port.stats.tx_packets, round * BURST);
            assert_int_equal(memory_ports[i].port.stats.tx_packets, round);
            while (memory_port_collect(&memory_ports[i + 1], out, sizeof(out)) != 0)
                ;
            assert_int_equal(memory_port_collect(&memory_ports[i], out, sizeof(out)), 60);
        }
    }
}

TEST(a_port_without_a_lane_is_reported_all_the_same)
{
    struct lane *const one[] = {&lanes[0], NULL};

    loop_init(&loop, ports, one, 2, 1);
    assert_int_equal(loop.lane_count, 1);
    machine_clock_advance(CLOCK_NS_PER_S);
    loop_round(&loop);
    assert_int_equal(machine_log_count("stats", "port=1 "), 1);
}

TEST(stats_come_at_their_period_and_never_twice)
{
    loop_init(&loop, ports, port_lanes, 2, 10);
    machine_clock_advance(9 * CLOCK_NS_PER_S);
    loop_round(&loop);
    assert_int_equal(machine_log_count("stats", ""), 0);
    machine_clock_advance(CLOCK_NS_PER_S);
    loop_round(&loop);
    loop_round(&loop);
    assert_int_equal(machine_log_count("stats", ""), 2); /* one a port */
}

TEST(a_pause_of_the_machine_gives_one_report_not_many)
{
    loop_init(&loop, ports, port_lanes, 2, 1);
    machine_clock_advance(1000 * CLOCK_NS_PER_S);
    for (unsigned i = 0; i < 10; i++)
        loop_round(&loop);
    assert_int_equal(machine_log_count("stats", ""), 2);
}

TEST(no_stats_when_they_are_off)
{
    loop_init(&loop, ports, port_lanes, 2, 0);
    machine_clock_advance(1000 * CLOCK_NS_PER_S);
    loop_round(&loop);
    assert_int_equal(machine_log_count("stats", ""), 0);
}

TEST(the_loop_is_left_ten_times_a_second_for_other_things)
{
    loop_init(&loop, ports, port_lanes, 2, 0);
    machine_clock_step(10 * CLOCK_NS_PER_US);
    assert_true(loop_run(&loop)); /* the first time at once */
    const uint64_t start = machine_clock_now();
    for (unsigned i = 0; i < 10; i++)
        assert_true(loop_run(&loop));
    assert_in_range(machine_clock_now() - start, CLOCK_NS_PER_S,
                    CLOCK_NS_PER_S + 20 * CLOCK_NS_PER_MS);
}

TEST(the_loop_ends_with_the_round_in_which_it_is_asked_to)
{
    const uint8_t frame[100] = {2};
    uint8_t out[100];

    loop_init(&loop, ports, port_lanes, 2, 0);
    assert_true(memory_port_inject(&memory_ports[0], frame, sizeof(frame)));
    power_request(POWER_OFF, "test");
    assert_false(loop_run(&loop)); /* returns */
    assert_int_equal(memory_port_collect(&memory_ports[1], out, sizeof(out)), sizeof(frame));
}

/* The clock's hook: a device that takes one frame at each reading. */
static void collect_one(void *context)
{
    uint8_t out[100];

    memory_port_collect(context, out, sizeof(out));
}

TEST(the_end_waits_for_frames_in_flight_and_tells_the_last_counters)
{
    const uint8_t frame[100] = {2};

    loop_init(&loop, ports, port_lanes, 2, 0);
    for (unsigned i = 0; i < BURST; i++)
        assert_true(memory_port_inject(&memory_ports[0], frame, sizeof(frame)));
    loop_round(&loop);
    assert_true(memory_port_inject(&memory_ports[0], frame, sizeof(frame)));
    machine_clock_hook(collect_one, &memory_ports[1]);
    assert_int_equal(loop_close(&loop), 0);
    assert_true(machine_clock_now() < CLOCK_NS_PER_MS);
    /* The last one came too late to be taken in. */
    assert_int_equal(machine_log_count("stats", "port=0 rx_packets=32 "), 1);
    assert_int_equal(machine_log_count("stats", "port=1 rx_packets=0 rx_bytes=0 tx_packets=32 "),
                     1);
}

TEST(the_end_does_not_wait_for_ever_for_a_device_that_takes_nothing)
{
    const uint8_t frame[100] = {2};

    loop_init(&loop, ports, port_lanes, 2, 0);
    for (unsigned i = 0; i < 3; i++)
        assert_true(memory_port_inject(&memory_ports[0], frame, sizeof(frame)));
    loop_round(&loop);
    const uint64_t start = machine_clock_now();
    assert_int_equal(loop_close(&loop), 3);
    assert_in_range(machine_clock_now() - start, CLOCK_NS_PER_S, CLOCK_NS_PER_S + CLOCK_NS_PER_MS);
    assert_int_equal(machine_log_count("stats", ""), 2);
}

static unsigned feeds;

static void feed(struct watchdog *watchdog)
{
    (void)watchdog;
    feeds++;
}

TEST(a_watchdog_is_fed_several_times_in_its_timeout)
{
    static const struct watchdog_ops dog = {.feed = feed};
    struct watchdog watchdog = {.ops = &dog, .timeout_ns = 8 * CLOCK_NS_PER_S};

    loop_init(&loop, ports, port_lanes, 2, 0);
    loop_watch(&loop, NULL);
    loop_round(&loop);
    loop_watch(&loop, &watchdog);
    for (unsigned i = 0; i < 1000; i++) {
        machine_clock_advance(CLOCK_NS_PER_S / 10);
        loop_round(&loop);
    }
    assert_in_range(feeds, 99, 100);
}

TEST(stats_show_counters_drops_and_rates_of_the_interval)
{
    struct stats stats = {0};

    machine_clock_step(0);
    memory_ports[0].port.stats = (struct port_stats){.rx_packets = 1000, .rx_bytes = 1000000};
    memory_ports[1].port.stats =
        (struct port_stats){.tx_packets = 400, .tx_bytes = 50000, .tx_dropped = 7};
    lanes[0].drops[DROP_RUNT] = 2;
    lanes[0].drops[DROP_OVERSIZE] = 3;
    lanes[1].drops[DROP_IDLE] = 5;
    machine_clock_advance(2 * CLOCK_NS_PER_S);
    stats_report(&stats, ports, port_lanes, 2);
    assert_int_equal(
        machine_log_count("stats",
                          "port=0 rx_packets=1000 rx_bytes=1000000 tx_packets=0 tx_bytes=0 "
                          "rx_dropped=5 tx_dropped=0 rx_pps=500 tx_pps=0 rx_mbps=4 tx_mbps=0 "
                          "drop_runt=2 drop_oversize=3 drop_idle=0 drop_stopped=0"),
        1);
    assert_int_equal(
        machine_log_count("stats", "port=1 rx_packets=0 rx_bytes=0 tx_packets=400 tx_bytes=50000 "
                                   "rx_dropped=5 tx_dropped=7 rx_pps=0 tx_pps=200 rx_mbps=0 "
                                   "tx_mbps=0 drop_runt=0 drop_oversize=0 drop_idle=5 "
                                   "drop_stopped=7"),
        1);

    /* The next line's rates are of the next interval alone. */
    memory_ports[0].port.stats.rx_packets += 30;
    machine_clock_advance(CLOCK_NS_PER_S);
    stats_report(&stats, ports, port_lanes, 2);
    assert_int_equal(machine_log_count("stats", "rx_packets=1030 "), 1);
    assert_int_equal(machine_log_count("stats", "rx_pps=30 "), 1);
}

TEST(rates_hold_for_a_day_of_a_fast_port)
{
    struct stats stats = {0};
    const uint64_t day = 86400;

    machine_clock_step(0);
    memory_ports[0].port.stats.rx_packets = day * 150000000;
    memory_ports[0].port.stats.rx_bytes = day * 12500000000; /* 100 Gbit/s */
    machine_clock_advance(day * CLOCK_NS_PER_S);
    stats_report(&stats, ports, port_lanes, 2);
    assert_int_equal(machine_log_count("stats", "rx_pps=150000000 tx_pps=0 rx_mbps=100000 "), 1);
}
