/* Interrupts of virtio-net, against the simulated device: enabled, raised, released, and the loop
 * that sleeps with them. */
#include <machine/clock.h>
#include <machine/interrupt.h>

#include "tests/host/fixture/test.h"
#include "tests/host/fixture/wire_fixture.h"
#include "tests/host/sim/bus.h"
#include "tests/host/sim/machine.h"

#define NO_VECTOR 0xffff

static const uint64_t ways[] = {SIM_FEATURES_USUAL, SIM_FEATURES_USUAL & ~SIM_F(EVENT_IDX)};

/* Lets in what has come. */
static unsigned came(void)
{
    return interrupt_wait(0);
}

static bool arm_rx(void)
{
    return one->dev->ops->arm(one->dev, 0, PORT_RX);
}

static bool arm_tx(void)
{
    return one->dev->ops->arm(one->dev, 0, PORT_TX);
}

static void disarm(void)
{
    one->dev->ops->disarm(one->dev, 0);
}

/* One device, with MSI-X or with its line alone. */
static void start_one(uint64_t features, bool message)
{
    fixture_add(0, features);
    if (!message) /* the table's BAR has no address */
        sim_pci_add_bar(one->net->pci, SIM_MSIX_BAR, 0, 4096, 0);
    fixture_probe_all(1);
    assert_true(fixture_start(one));
    assert_true(one->dev->can_interrupt);
    port_report(one->dev);
    assert_int_equal(machine_log_count("port", message ? " interrupt=message" : " interrupt=line"),
                     1);
}

static void take_in(unsigned n)
{
    struct batch batch;
    uint32_t taken = 0;

    while (taken < n) {
        assert_int_not_equal(fixture_receive(one, &batch), 0);
        taken += batch.count;
        for (uint32_t i = 0; i < batch.count; i++)
            pool_put(&one->pool, batch.buffers[i]);
    }
}

static void assert_announced_once(bool message)
{
    assert_false(arm_rx());
    assert_int_equal(came(), INTERRUPT_TIMER); /* nothing */
    fixture_deliver(one, 3);
    assert_int_equal(came(), INTERRUPT_DEVICE);
    if (message) /* else the line is held */
        assert_int_equal(came(), INTERRUPT_TIMER);
    disarm();
    take_in(3);
    fixture_deliver(one, 5); /* while it is awake */
    take_in(5);
    assert_false(arm_rx());
    assert_int_equal(came(), INTERRUPT_TIMER);
    disarm();
}

TEST_FIXTURE(.setup = fixture_setup, .teardown = fixture_teardown, .variants = fixture_variants);

TEST(a_frame_is_announced_to_whoever_asked_and_to_nobody_else)
{
    for (unsigned way = 0; way < 4; way++) {
        fixture_renew(state);
        start_one(ways[way % 2], way < 2);
        for (unsigned i = 0; i < 30000 / 8; i++) /* the 16 bits of the indices wrap in between */
            assert_announced_once(way < 2);
        for (unsigned i = 0; i < 66000 / 8; i++) {
            fixture_deliver(one, 8);
            take_in(8);
        }
        assert_announced_once(way < 2);
    }
}

TEST(what_came_before_it_was_asked_for_is_seen_by_the_look)
{
    for (unsigned way = 0; way < 4; way++) {
        fixture_renew(state);
        start_one(ways[way % 2], way < 2);
        fixture_deliver(one, 1);
        assert_true(arm_rx());
        assert_true(arm_rx()); /* for as often as one asks */
        take_in(1);
        assert_false(arm_rx());
        fixture_deliver(one, 1);
        assert_int_equal(came(), INTERRUPT_DEVICE);
        assert_true(arm_rx());
    }
}

TEST(room_is_announced_as_frames_are)
{
    for (unsigned way = 0; way < 4; way++) {
        struct batch batch;

        fixture_renew(state);
        fixture_add(0, ways[way % 2]);
        one->net->queues[SIM_TX].size = 4;
        one->net->transmit_at_once = false;
        if (way >= 2)
            sim_pci_add_bar(one->net->pci, SIM_MSIX_BAR, 0, 4096, 0);
        fixture_probe_all(1);
        assert_true(fixture_start(one));
        fixture_deliver(one, 4);
        assert_int_equal(fixture_receive(one, &batch), 4);
        assert_int_equal(port_room(one->dev, 0, 4), 4);
        assert_int_equal(port_tx(one->dev, 0, &batch), 4);
        assert_int_equal(port_room(one->dev, 0, BURST), 0);
        assert_false(arm_tx());
        assert_int_equal(came(), INTERRUPT_TIMER);
        assert_int_equal(sim_virtio_net_transmit(one->net, 1), 1);
        assert_int_equal(came(), INTERRUPT_DEVICE);
        assert_true(arm_tx());
        disarm();
        assert_int_equal(port_room(one->dev, 0, BURST), 1);
    }
}

/* A line that is held would wake the core for ever. */
TEST(the_line_is_released_after_the_sleep)
{
    start_one(SIM_FEATURES_USUAL, false);
    arm_rx();
    fixture_deliver(one, 1);
    assert_int_equal(came(), INTERRUPT_DEVICE);
    assert_int_equal(came(), INTERRUPT_DEVICE);
    assert_true(one->net->line_asserted);
    take_in(1);
    disarm();
    assert_false(one->net->line_asserted);
    arm_rx();
    assert_int_equal(came(), INTERRUPT_TIMER);
}

/* One register serves all queues of a device. */
TEST(what_one_queue_has_announced_is_not_lost_when_the_other_is_asked)
{
    start_one(SIM_FEATURES_USUAL, false);
    assert_false(arm_rx());
    fixture_deliver(one, 1);
    assert_false(arm_tx());
    assert_int_equal(came(), INTERRUPT_DEVICE);
}

TEST(a_message_costs_no_port_access_when_it_is_asked_for)
{
    start_one(SIM_FEATURES_USUAL, true);
    const uint64_t accesses = sim_bus_accesses();
    arm_rx();
    disarm();
    assert_int_equal(sim_bus_accesses(), accesses);
}

TEST(a_device_that_takes_no_vector_is_one_that_announces_nothing)
{
    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->vectors_refused = true;
    fixture_probe_all(1);
    assert_true(fixture_start(one));
    assert_int_equal(one->dev->state, PORT_UP);
    assert_false(one->dev->can_interrupt);
    assert_int_equal(machine_log_count("warn", "port=0 reason=no-interrupt interrupt=message"), 1);
    fixture_forward(one, 100);
}

TEST(a_port_without_line_and_message_says_so_and_works)
{
    static const uint8_t lines[] = {0, 255};

    for (unsigned i = 0; i < 2; i++) {
        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL);
        sim_pci_add_bar(one->net->pci, SIM_MSIX_BAR, 0, 4096, 0);
        one->net->pci->config[0x3c] = lines[i];
        fixture_probe_all(1);
        assert_true(fixture_start(one));
        assert_false(one->dev->can_interrupt);
        assert_int_equal(machine_log_count("warn", "port=0 reason=no-interrupt interrupt=none"), 1);
        fixture_forward(one, 100);
    }
}

/* A core that slept would make it wait for the timer. */
TEST(what_is_wanted_of_a_port_keeps_the_core_awake_until_it_is_done)
{
    start_one(SIM_FEATURES_USUAL, true);
    assert_false(arm_rx());
    disarm();
    port_want_filter(one->dev, false, true);
    for (unsigned i = 0; arm_rx(); i++) {
        disarm();
        assert_true(i < 100);
        one->dev->ops->service(one->dev, clock_ns());
    }
    assert_true(one->net->allmulti);
    disarm();
    assert_true(port_want_reset(one->dev));
    assert_true(arm_rx());
}

TEST(vectors_are_set_again_after_a_reset)
{
    start_one(SIM_FEATURES_USUAL, true);
    assert_int_equal(one->net->queue_vectors[SIM_RX], 0);
    assert_int_equal(one->net->queue_vectors[SIM_TX], 0);
    assert_int_equal(one->net->queue_vectors[SIM_CONTROL], NO_VECTOR);
    assert_int_equal(one->net->config_vector, 0);
    one->net->queues[SIM_RX].fault = SIM_LENGTH_MAX;
    fixture_deliver(one, 1);
    assert_true(arm_rx()); /* it knows of something, not yet of what */
    struct batch batch;
    one->dev->ops->rx(one->dev, 0, &batch, BURST);
    assert_string_equal(one->dev->reason, "running");
    assert_true(arm_rx()); /* it wants its service */
    one->dev->ops->service(one->dev, clock_ns());
    assert_string_equal(one->dev->reason, "resetting");
    assert_int_equal(one->net->queue_vectors[SIM_RX], NO_VECTOR);
    assert_true(arm_rx()); /* it wants its service */
    disarm();
    while (one->dev->state == PORT_RESETTING || arm_rx())
        one->dev->ops->service(one->dev, clock_ns());
    assert_int_equal(one->dev->state, PORT_UP);
    assert_int_equal(one->net->queue_vectors[SIM_RX], 0);
    fixture_deliver(one, 1);
    assert_int_equal(came(), INTERRUPT_DEVICE);
}

/* ---- under the loop ---- */

static struct {
    uint64_t due_ns;
    uint32_t random;
    bool waiting; /* a frame is on its way */
} host;

static uint32_t next_random(void)
{
    return host.random = host.random * 1664525 + 1013904223;
}

/* The host's side goes on whenever the clock is read: before, between and after the steps by which
 * the core goes to sleep. */
static void deliver_when_due(void *context)
{
    uint8_t frame[FIXTURE_FRAME];
    struct wire_flow *flow = &wires.flows[0];

    (void)context;
    if (host.waiting || machine_clock_now() < host.due_ns)
        return;
    wires_make_frame(frame, 0, flow->announced);
    assert_true(sim_virtio_net_deliver(wires_device(0), frame, sizeof(frame)));
    flow->announced++;
    host.waiting = true;
}

/* `tick_ns` is how long it sleeps at most: a short one strikes again and again while frames come. */
static void assert_wakes(bool message, uint64_t features, uint64_t tick_ns)
{
    struct wire_flow *flow = &wires.flows[0];

    wires_add(features);
    for (unsigned i = 0; i < WIRE_PORTS && !message; i++)
        sim_pci_add_bar(wires_device(i)->pci, SIM_MSIX_BAR, 0, 4096, 0);
    wires_start();
    wires.round_ns = 0;
    machine_clock_step(300);
    idle_set_adaptive(&wires.loop.idle, true);
    wires.loop.idle.tick = clock_cycles_of_ns(tick_ns);
    host.random = 1;
    host.waiting = false;
    host.due_ns = machine_clock_now();
    machine_clock_hook(deliver_when_due, NULL);
    while (flow->announced < 3000) {
        const uint32_t before = flow->arrived;
        while (flow->arrived == before) {
            wires_round();
            /* Not by the tick: an interrupt wakes it, or it was awake. */
            assert_true(!host.waiting || machine_clock_now() - host.due_ns < CLOCK_NS_PER_MS);
        }
        host.waiting = false;
        /* From less than a round to much more than it waits before it sleeps. */
        const uint32_t longest = 1u << (next_random() >> 24) % 23; /* up to 4 ms */
        host.due_ns = machine_clock_now() + (next_random() >> 8) % longest;
    }
    assert_true(wires.loop.idle.halts > 100);
    assert_int_equal(wires.loop.idle.timer_rescues, 0);
}

TEST(no_frame_that_comes_at_any_moment_waits_for_the_timer)
{
    for (unsigned way = 0; way < 4; way++) {
        fixture_renew(state);
        assert_wakes(way < 2, ways[way % 2], 100 * CLOCK_NS_PER_MS);
    }
}

TEST(no_frame_that_comes_as_the_timer_strikes_is_taken_for_one_without_an_interrupt)
{
    for (unsigned way = 0; way < 4; way++) {
        fixture_renew(state);
        assert_wakes(way < 2, ways[way % 2], 3 * CLOCK_NS_PER_US);
    }
}
