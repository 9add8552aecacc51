/* Resets, retirement, and the watch over a running device: drivers/virtio/virtio_net_recovery.c. */
#include <stdio.h>
#include <string.h>

#include <machine/clock.h>

#include "tests/host/fixture/test.h"
#include "tests/host/fixture/virtio_fixture.h"
#include "tests/host/fixture/wanted.h"
#include "tests/host/sim/machine.h"

#define STEP_NS (10 * CLOCK_NS_PER_MS)

static const struct mac_address mac = {{2, 0, 0, 0, 0, 7}};

/* The loop's housekeeping for so long. */
static void serve(uint64_t ns)
{
    for (uint64_t passed = 0; passed < ns; passed += STEP_NS) {
        machine_clock_advance(STEP_NS);
        one->dev->ops->service(one->dev, clock_ns());
    }
}

/* The device reports a frame longer than its buffer, and the driver detects it. */
static void break_the_rules(void)
{
    struct batch batch;

    one->net->queues[SIM_RX].fault = SIM_LENGTH_MAX;
    fixture_deliver(one, 1);
    assert_int_equal(fixture_receive(one, &batch), 0);
    fixture_notice(one);
}

static void assert_no_leak(void)
{
    const struct virtio_net *net = (const struct virtio_net *)one->dev;
    const uint32_t out =
        virtqueue_outstanding(&net->rx.queue) + virtqueue_outstanding(&net->tx.queue);

    assert_int_equal(one->pool.count + out, one->pool.capacity);
}

TEST_FIXTURE(.setup = fixture_setup, .teardown = fixture_teardown, .variants = fixture_variants);

TEST(a_status_that_says_broken_or_gone_resets_the_port)
{
    static const uint8_t bad[] = {0, 0x8f, 0x47, 0xff};

    for (unsigned i = 0; i < sizeof(bad); i++) {
        fixture_renew(state);
        fixture_start_one(SIM_FEATURES_USUAL);
        serve(CLOCK_NS_PER_S);
        assert_int_equal(machine_log_count("error", ""), 0);
        one->net->status = bad[i];
        serve(CLOCK_NS_PER_S);
        assert_int_equal(machine_log_count("error", "port=0 pci=00:01.0 reason=status"), 1);
        assert_int_equal(machine_log_count("reset", "reason=status state=done resets=1"), 1);
        fixture_forward(one, 100);
        assert_no_leak();
    }
}

TEST(a_tx_ring_that_stalls_is_told_once_and_no_device_error)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    one->net->transmit_at_once = false;
    struct batch batch;
    fixture_deliver(one, 5);
    assert_int_equal(fixture_receive(one, &batch), 5);
    assert_int_equal(fixture_transmit(one, &batch), 5);
    serve(CLOCK_NS_PER_S / 2);
    assert_int_equal(machine_log_count("warn", "reason=stall"), 0);
    serve(5 * CLOCK_NS_PER_S);
    assert_int_equal(machine_log_count("warn", "port=0 reason=stall queue=1 waiting=5"), 1);
    assert_int_equal(machine_log_count("reset", ""), 0);
    assert_int_equal(one->dev->state, PORT_UP);

    /* It goes on, and a second stall is logged again. */
    assert_int_equal(sim_virtio_net_transmit(one->net, 4), 4);
    serve(5 * CLOCK_NS_PER_S);
    assert_int_equal(machine_log_count("warn", "reason=stall"), 2);
}

/* As a core finds out that is about to sleep. */
static bool hurries(void)
{
    (void)one->dev->ops->arm(one->dev, 0, 0);
    one->dev->ops->disarm(one->dev, 0);
    return one->dev->hurries;
}

/* As it happens where the host does not order fences: the driver has read the suppression word just before
 * the device has asked for a doorbell, and the device the index before the driver has moved it. */
TEST(a_doorbell_that_got_lost_is_rung_within_10_ms)
{
    struct batch batch;

    fixture_start_one(SIM_FEATURES_USUAL);
    sim_virtio_net_suppress(one->net, SIM_TX, true);
    one->net->transmit_at_once = false;
    fixture_forward(one, 8);
    sim_virtio_net_transmit(one->net, 8);
    one->net->transmit_at_once = true;
    serve(50 * CLOCK_NS_PER_MS);
    const uint64_t doorbells = one->net->queues[SIM_TX].doorbells;

    fixture_deliver(one, 1);
    assert_int_equal(fixture_receive(one, &batch), 1);
    assert_int_equal(fixture_transmit(one, &batch), 1);
    assert_int_equal(one->net->queues[SIM_TX].doorbells, doorbells);
    assert_false(hurries());
    sim_virtio_net_suppress(one->net, SIM_TX, false); /* without another look at the index */
    assert_true(hurries());
    serve(11 * CLOCK_NS_PER_MS);
    assert_int_equal(one->net->queues[SIM_TX].doorbells, doorbells + 1);
    assert_int_equal(fixture_stats_of(one).doorbell_rescues, 1);
    assert_false(hurries());

    /* One that was rung is not rung again, however long the device takes. */
    one->net->transmit_at_once = false;
    fixture_deliver(one, 1);
    assert_int_equal(fixture_receive(one, &batch), 1);
    assert_int_equal(fixture_transmit(one, &batch), 1);
    serve(CLOCK_NS_PER_S / 2);
    assert_int_equal(one->net->queues[SIM_TX].doorbells, doorbells + 2);
    assert_int_equal(fixture_stats_of(one).doorbell_rescues, 1);
}

TEST(a_jump_of_the_clock_is_neither_a_stall_nor_a_reset)
{
    struct batch batch;

    fixture_start_one(SIM_FEATURES_USUAL);
    one->net->transmit_at_once = false;
    fixture_deliver(one, 5);
    fixture_receive(one, &batch);
    fixture_transmit(one, &batch);
    for (unsigned i = 0; i < 20; i++) {
        machine_clock_advance(3600 * CLOCK_NS_PER_S);
        one->dev->ops->service(one->dev, clock_ns());
    }
    assert_int_equal(machine_log_count("warn", "stall"), 0);
    assert_int_equal(machine_log_count("error", ""), 0);

    /* Not in the middle of a reset either: the device has had no time to finish it. */
    one->net->reset_delay_ns = 100 * CLOCK_NS_PER_MS;
    break_the_rules();
    machine_clock_advance(3600 * CLOCK_NS_PER_S);
    one->net->reset_done_ns = machine_clock_now() + CLOCK_NS_PER_MS;
    one->dev->ops->service(one->dev, clock_ns());
    assert_string_equal(one->dev->reason, "resetting");
    serve(CLOCK_NS_PER_S);
    assert_int_equal(one->dev->state, PORT_UP);
}

TEST(settings_survive_a_reset_without_waiting)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    assert_true(wanted_mac(one->dev, mac));
    assert_true(wanted_promisc(one->dev, false));
    assert_true(wanted_allmulti(one->dev, true));
    break_the_rules();
    one->net->promisc = true;
    one->net->allmulti = false;
    memset(one->net->filter_mac, 0, sizeof(one->net->filter_mac));
    one->net->answer = SIM_ANSWER_LATE;
    one->net->answer_delay_ns = 50 * CLOCK_NS_PER_MS;
    serve(STEP_NS);
    assert_int_equal(one->dev->state, PORT_UP);
    fixture_forward(one, 100); /* frames flow while the settings are on their way */
    serve(CLOCK_NS_PER_S);
    assert_false(one->net->promisc);
    assert_true(one->net->allmulti);
    assert_memory_equal(one->net->filter_mac, mac.bytes, sizeof(mac.bytes));
    assert_memory_equal(one->dev->mac.bytes, mac.bytes, 6);
}

TEST(a_control_queue_that_is_silent_after_a_reset_holds_up_nobody)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    assert_true(wanted_promisc(one->dev, true));
    break_the_rules();
    one->net->answer = SIM_ANSWER_NEVER;
    for (unsigned i = 0; i < 500; i++) {
        const uint64_t before = machine_clock_now();
        serve(STEP_NS);
        assert_true(machine_clock_now() - before < STEP_NS + CLOCK_NS_PER_MS);
    }
    assert_int_equal(machine_log_count("warn", "control-no-answer command=promisc-on"), 1);
    fixture_forward(one, 100);
}

TEST(ten_resets_in_a_minute_retire_the_port_and_pauses_grow)
{
    struct batch batch;

    fixture_start_one(SIM_FEATURES_USUAL);
    fixture_deliver(one, 3);
    assert_int_equal(fixture_receive(one, &batch), 3); /* in the lane's hands meanwhile */
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < VIRTIO_NET_RESETS_MAX; i++) {
            break_the_rules();
            serve(STEP_NS);
            assert_int_equal(one->dev->state, PORT_UP);
        }
        break_the_rules();
        assert_string_equal(one->dev->reason, "retired");
        assert_int_equal(machine_log_count("error", "reason=retired"), round + 1);
        const uint64_t pause = 60 * CLOCK_NS_PER_S << round;
        serve(pause - CLOCK_NS_PER_S);
        assert_string_equal(one->dev->reason, "retired");
        serve(2 * CLOCK_NS_PER_S);
        assert_int_equal(one->dev->state, PORT_UP);
        fixture_forward(one, 100);
        serve(60 * CLOCK_NS_PER_S);
    }
    assert_int_equal(machine_log_count("error", "retry_s=60"), 1);
    assert_int_equal(machine_log_count("error", "retry_s=120"), 1);
    assert_int_equal(machine_log_count("error", "retry_s=240"), 1);
    assert_int_equal(fixture_stats_of(one).resets, 3 * VIRTIO_NET_RESETS_MAX);
    for (unsigned i = 0; i < 3; i++)
        pool_put(&one->pool, batch.buffers[i]);
    assert_no_leak();
}

TEST(a_reset_that_never_ends_keeps_the_buffers_out_of_use)
{
    struct batch batch;

    fixture_start_one(SIM_FEATURES_USUAL);
    one->net->transmit_at_once = false;
    fixture_deliver(one, 20);
    assert_int_equal(fixture_receive(one, &batch), 20);
    assert_int_equal(fixture_transmit(one, &batch), 20);
    fixture_deliver(one, 4);
    assert_int_equal(fixture_receive(one, &batch), 4);
    one->net->reset_stuck = true;
    break_the_rules();
    const uint32_t idle = one->pool.count;
    serve(2 * CLOCK_NS_PER_S);
    assert_string_equal(one->dev->reason, "retired");
    assert_int_equal(machine_log_count("error", "reason=retired cause=reset-timeout"), 1);
    assert_int_equal(one->pool.count, idle); /* the device may still write to the others */

    /* Whoever sends there is not held up: it swallows and counts. */
    assert_int_equal(port_room(one->dev, 0, BURST), BURST);
    assert_int_equal(port_tx(one->dev, 0, &batch), 4);
    assert_int_equal(fixture_stats_of(one).tx_dropped, 24);
    assert_int_equal(one->pool.count, idle + 4);

    /* When it does end, at the next try, all of them come back. */
    one->net->reset_stuck = false;
    one->net->transmit_at_once = true;
    serve(62 * CLOCK_NS_PER_S);
    assert_int_equal(one->dev->state, PORT_UP);
    assert_no_leak();
    fixture_forward(one, 100);
}

/* The logged time of the port's last retirement. */
static void assert_pause(unsigned seconds, unsigned times)
{
    char told[32];

    assert_string_equal(one->dev->reason, "retired");
    snprintf(told, sizeof(told), " retry_s=%u", seconds);
    assert_int_equal(machine_log_count("error", told), times);
}

TEST(pauses_grow_to_an_hour_and_begin_anew_after_a_good_one)
{
    static const unsigned pauses[] = {60, 120, 240, 480, 960, 1920, 3600, 3600};

    fixture_start_one(SIM_FEATURES_USUAL);
    one->net->reset_stuck = true;
    break_the_rules();
    for (unsigned i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
        serve(3 * CLOCK_NS_PER_S);
        assert_pause(pauses[i], i == 7 ? 2 : 1);
        machine_clock_advance((pauses[i] - 2) * CLOCK_NS_PER_S);
    }
    one->net->reset_stuck = false;
    serve(3 * CLOCK_NS_PER_S);
    fixture_forward(one, 100);

    /* Less than an hour of good conduct does not count, more than an hour does. */
    for (unsigned i = 0; i < 2; i++) {
        machine_clock_advance((i == 0 ? 3000 : 4000) * CLOCK_NS_PER_S);
        one->net->reset_stuck = true;
        break_the_rules();
        serve(3 * CLOCK_NS_PER_S);
        assert_pause(i == 0 ? 3600 : 60, i == 0 ? 3 : 2);
        one->net->reset_stuck = false;
        machine_clock_advance(3600 * CLOCK_NS_PER_S);
        serve(3 * CLOCK_NS_PER_S);
        assert_int_equal(one->dev->state, PORT_UP);
    }
}

/* A larger one will do where the driver may say that it wants less of it. */
TEST(a_queue_that_changes_its_size_at_a_reset_retires_the_port)
{
    static const uint16_t sizes[] = {0, 3, 128, 65535, 512};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]) - fixture_is_modern(); i++) {
        fixture_renew(state);
        fixture_start_one(SIM_FEATURES_USUAL);
        break_the_rules();
        one->net->queues[SIM_RX].size = sizes[i];
        serve(STEP_NS);
        assert_string_equal(one->dev->reason, "retired");
        assert_int_equal(machine_log_count("error", "reason=queue-size queue=0"), 1);
        assert_int_equal(machine_log_count("error", "reason=retired cause=start"), 1);
        assert_true(one->net->status & 0x80 || one->net->status == 0);
    }
}

TEST_ON(a_queue_that_grows_at_a_reset_is_used_as_before, FIXTURE_MODERN_ALL)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    break_the_rules();
    one->net->queues[SIM_RX].size = 512;
    serve(STEP_NS);
    assert_int_equal(one->dev->state, PORT_UP);
    assert_int_equal(one->net->queues[SIM_RX].size, 256);
    fixture_forward(one, 300);
    assert_no_leak();
}

TEST(features_that_shrink_at_a_reset_are_done_without)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    assert_true(wanted_promisc(one->dev, true));
    break_the_rules();
    one->net->features = fixture_taken(SIM_F(MAC));
    serve(CLOCK_NS_PER_S);
    assert_int_equal(one->dev->state, PORT_UP);
    assert_int_equal(one->net->driver_features, fixture_taken(SIM_F(MAC)));
    fixture_forward(one, 300);
    assert_no_leak();
}

TEST(settings_are_given_once_if_there_is_no_reset)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    assert_true(wanted_promisc(one->dev, true));
    assert_true(wanted_allmulti(one->dev, true));
    serve(CLOCK_NS_PER_S);
    assert_int_equal(one->net->commands, 4); /* two modes, twice wanted */
}

TEST(a_setting_that_is_made_while_others_are_given_again_spoils_none)
{
    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->queues[SIM_CONTROL].size = 4; /* room for one command */
    fixture_probe_all(1);
    assert_true(fixture_start(one));
    assert_true(wanted_promisc(one->dev, false));
    one->net->answer = SIM_ANSWER_LATE;
    one->net->answer_delay_ns = 50 * CLOCK_NS_PER_MS;
    break_the_rules();
    serve(3 * STEP_NS);
    assert_int_equal(one->dev->state, PORT_UP);
    wanted_allmulti(one->dev, true);
    serve(CLOCK_NS_PER_S);
    assert_false(one->net->promisc);
    assert_true(one->net->allmulti);
    assert_int_equal(machine_log_count("error", ""), 1);
}

TEST(the_address_of_a_port_is_the_same_after_a_reset)
{
    static const uint64_t features[] = {SIM_FEATURES_USUAL, SIM_FEATURES_USUAL & ~SIM_F(MAC), 0};

    for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        fixture_renew(state);
        fixture_start_one(features[i]);
        const struct mac_address before = one->dev->mac;
        break_the_rules();
        serve(STEP_NS);
        assert_int_equal(one->dev->state, PORT_UP);
        const struct mac_address after = one->dev->mac;
        assert_memory_equal(&before, &after, sizeof(before));
    }
}

/* Its device has what it had then, and is told to let go of it. */
TEST(a_port_that_is_stopped_resets_its_device_and_swallows_what_comes)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    one->net->transmit_at_once = false;
    struct batch batch;
    fixture_deliver(one, 2);
    assert_int_equal(fixture_receive(one, &batch), 2);
    batch.count = 1;
    assert_int_equal(fixture_transmit(one, &batch), 1);
    one->dev->ops->stop(one->dev);
    assert_int_equal(one->net->status, 0);
    assert_int_equal(one->dev->state, PORT_DOWN);
    assert_string_equal(one->dev->reason, "stopped");
    assert_int_equal(fixture_stats_of(one).tx_dropped, 1);
    const unsigned writes = one->net->status_write_count;
    serve(STEP_NS);
    assert_int_equal(one->net->status_write_count, writes);
    batch.buffers[0] = batch.buffers[1];
    assert_int_equal(fixture_transmit(one, &batch), 1);
    assert_int_equal(fixture_stats_of(one).tx_dropped, 2);
    one->dev->ops->stop(one->dev); /* once is enough */
    assert_int_equal(one->net->status_write_count, writes);
}

/* The watch is due in the same moment, and a device that is being reset reads as status 0. */
TEST(a_device_error_in_a_setting_is_one_reset_and_not_two)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    assert_true(wanted_promisc(one->dev, true));
    assert_true(wanted_allmulti(one->dev, true));
    break_the_rules();
    one->net->answer = SIM_ANSWER_TWICE;
    for (unsigned i = 0; i < 100 && fixture_stats_of(one).resets < 2; i++) {
        machine_clock_advance(CLOCK_NS_PER_S / 5);
        one->dev->ops->service(one->dev, clock_ns());
    }
    assert_int_equal(fixture_stats_of(one).resets, 2);
    assert_int_equal(machine_log_count("error", "reason=used-idx queue=2"), 1);
    assert_int_equal(machine_log_count("error", ""), 2);
}

TEST(an_mtu_that_changes_at_a_reset_is_agreed_to_as_far_as_the_buffers_hold_it)
{
    static const struct {
        uint16_t stated;
        uint32_t agreed; /* 0: none */
    } after[] = {{1400, 1400}, {9000, 9000}, {9001, 0}, {65535, 0}, {67, 0}};

    for (unsigned i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL | SIM_F(MTU));
        one->net->mtu = 9000;
        fixture_probe_all(1);
        assert_true(fixture_start(one));
        break_the_rules();
        one->net->mtu = after[i].stated;
        serve(STEP_NS);
        assert_int_equal(one->dev->state, PORT_UP);
        assert_int_equal(one->dev->mtu, after[i].agreed);
        assert_int_equal((one->net->driver_features & SIM_F(MTU)) != 0, after[i].agreed != 0);
        assert_int_equal(machine_log_count("warn", "port=0 reason=mtu mtu="), after[i].agreed == 0);
        assert_int_equal(machine_log_count("warn", "accepted=68-9000"), after[i].agreed == 0);
        assert_int_equal(machine_log_count("port", "id=0 "), after[i].agreed != 9000);
        fixture_forward(one, 100);
        assert_no_leak();
    }
}
