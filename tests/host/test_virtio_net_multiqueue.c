/*
 * A device with several pairs of queues, of which one is used: the place of its control queue, and
 * the commands (virtio 1.2 §5.1.2, §5.1.6.5.5).
 */
#include <stdio.h>

#include <machine/clock.h>

#include "tests/host/fixture/test.h"
#include "tests/host/fixture/virtio_fixture.h"
#include "tests/host/fixture/wanted.h"
#include "tests/host/sim/machine.h"

#define SEVERAL (SIM_FEATURES_USUAL | SIM_F(MQ))
#define CLASS_MQ 4
#define STEP_NS CLOCK_NS_PER_MS

static void add_with(uint16_t pairs, uint64_t features)
{
    machine_clock_step(CLOCK_NS_PER_US); /* so that no wait is for ever */
    fixture_add(0, features);
    one->net->max_pairs = pairs;
}

static void start_with(uint16_t pairs, uint64_t features)
{
    add_with(pairs, features);
    fixture_probe_all(1);
    assert_true(fixture_start(one));
}

static void serve(uint64_t ns)
{
    for (uint64_t passed = 0; passed < ns; passed += STEP_NS) {
        machine_clock_advance(STEP_NS);
        one->dev->ops->service(one->dev, clock_ns());
    }
}

static uint16_t control_index(void)
{
    return ((struct virtio_net *)one->dev)->control.queue.index;
}

/* The filter can be set, so that the control queue was found. */
static void assert_controllable(void)
{
    for (unsigned on = 0; on < 3; on++) {
        assert_true(wanted_promisc(one->dev, on % 2 == 0));
        assert_int_equal(one->net->promisc, on % 2 == 0);
    }
}

TEST_FIXTURE(.setup = fixture_setup, .teardown = fixture_teardown, .variants = fixture_variants);

TEST(the_control_queue_is_behind_all_pairs_of_queues)
{
    static const uint16_t pairs[] = {1, 2, 3, 8, 256, 0x7fff};

    for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        fixture_renew(state);
        start_with(pairs[i], SEVERAL);
        assert_true(fixture_took(0, SIM_F_MQ));
        assert_int_equal(sim_virtio_net_control_index(one->net), 2 * pairs[i]);
        assert_int_equal(control_index(), 2 * pairs[i]);
        assert_controllable();
        assert_true(one->net->queues[SIM_CONTROL].doorbells >= 4);
        fixture_forward(one, 300);
        assert_int_equal(machine_log_count("warn", ""), 0);
    }
}

TEST(without_the_feature_it_is_behind_the_first_pair)
{
    start_with(8, SIM_FEATURES_USUAL);
    assert_int_equal(control_index(), 2);
    assert_controllable();
    assert_int_equal(one->net->pairs, 0); /* nothing was said of pairs */
}

TEST(the_device_is_told_first_that_one_pair_is_used)
{
    start_with(4, SEVERAL);
    assert_int_equal(one->net->commands, 0); /* nobody has waited for it */
    serve(20 * STEP_NS);
    assert_int_equal(one->net->pairs, 1);
    assert_int_equal(one->net->commands, 1);
    serve(CLOCK_NS_PER_S);
    port_want_filter(one->dev, false, true);
    serve(20 * STEP_NS);
    assert_int_equal(one->net->commands, 4); /* both modes and the table, but not that once more */
}

TEST(it_is_told_so_before_the_settings_of_start_up)
{
    start_with(4, SEVERAL);
    assert_controllable();
    assert_int_equal(one->net->first_class, CLASS_MQ);
    assert_int_equal(one->net->pairs, 1);
}

TEST(it_is_told_so_first_again_after_a_reset)
{
    start_with(4, SEVERAL);
    assert_controllable();
    one->net->max_pairs = 6; /* as after a migration: it may be another one */
    assert_true(wanted_reset(one->dev));
    assert_int_equal(one->net->pairs, 0);
    serve(50 * STEP_NS);
    assert_int_equal(one->dev->state, PORT_UP);
    assert_int_equal(control_index(), 12);
    assert_int_equal(one->net->pairs, 1);
    assert_int_equal(one->net->first_class, CLASS_MQ);
    assert_true(one->net->promisc);
    assert_int_equal(machine_log_count("warn", ""), 0);
    fixture_forward(one, 300);
}

TEST(a_device_that_has_the_feature_no_more_after_a_reset_is_followed)
{
    start_with(4, SEVERAL);
    assert_controllable();
    one->net->features &= ~SIM_F(MQ);
    assert_true(wanted_reset(one->dev));
    serve(50 * STEP_NS);
    assert_int_equal(one->dev->state, PORT_UP);
    assert_int_equal(control_index(), 2);
    assert_int_equal(one->net->pairs, 0);
    assert_controllable();
}

TEST(one_that_refuses_is_named_and_used_all_the_same)
{
    add_with(4, SEVERAL);
    one->net->refused = 1u << CLASS_MQ;
    fixture_probe_all(1);
    assert_true(fixture_start(one));
    serve(20 * STEP_NS);
    assert_int_equal(machine_log_count("warn", "port=0 reason=control-refused command=queue-pairs"),
                     1);
    assert_int_equal(one->dev->state, PORT_UP);
    assert_controllable();
    fixture_forward(one, 300);
    serve(CLOCK_NS_PER_S);
    assert_int_equal(machine_log_count("warn", ""), 1);
}

TEST(one_that_never_answers_holds_up_no_round)
{
    add_with(4, SEVERAL);
    one->net->answer = SIM_ANSWER_NEVER;
    fixture_probe_all(1);
    assert_true(fixture_start(one));
    for (unsigned round = 0; round < 1500; round++) {
        const uint64_t before = machine_clock_now();
        one->dev->ops->service(one->dev, clock_ns());
        assert_true(machine_clock_now() - before < STEP_NS); /* as looks at the clock take */
        machine_clock_advance(STEP_NS);
    }
    assert_int_equal(
        machine_log_count("warn", "port=0 reason=control-no-answer command=queue-pairs"), 1);
    assert_int_equal(one->dev->state, PORT_UP);
    fixture_forward(one, 300);
}

TEST(a_number_of_pairs_that_cannot_be_is_named_and_one_pair_is_used)
{
    static const uint16_t pairs[] = {0, 0x8001, 0xffff};

    for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char expected[96];

        fixture_renew(state);
        start_with(pairs[i], SEVERAL);
        snprintf(expected, sizeof(expected),
                 "port=0 reason=queue-pairs queue_pairs=%u accepted=1-32768", pairs[i]);
        assert_int_equal(machine_log_count("warn", expected), 1);
        assert_false(fixture_took(0, SIM_F_MQ));
        assert_int_equal(control_index(), 2);
        assert_controllable();
        fixture_forward(one, 300);
        assert_int_equal(machine_log_count("warn", ""), 1);
    }
}

/* So many may be stated, and then the control queue would have number 0x10000. */
TEST(with_the_most_pairs_there_is_no_number_for_the_control_queue)
{
    start_with(0x8000, SEVERAL);
    assert_int_equal(
        machine_log_count("warn", "port=0 reason=queue-pairs queue_pairs=32768 detail="), 1);
    assert_false(fixture_took(0, SIM_F_MQ));
    assert_int_equal(control_index(), 2);
    assert_controllable();
    fixture_forward(one, 300);
}

TEST(a_control_queue_that_is_not_behind_all_pairs_is_looked_for_behind_the_first)
{
    add_with(3, SEVERAL);
    one->net->control_stays = true;
    fixture_probe_all(1);
    assert_true(fixture_start(one));
    assert_int_equal(machine_log_count("warn", "port=0 reason=queue-pairs queue_pairs=3 detail="),
                     1);
    assert_false(fixture_took(0, SIM_F_MQ));
    assert_int_equal(control_index(), 2);
    assert_controllable();
    fixture_forward(one, 300);
}

TEST(one_that_is_too_small_wherever_it_is_costs_commands_alone)
{
    add_with(3, SEVERAL);
    one->net->queues[SIM_CONTROL].size = 2;
    fixture_probe_all(1);
    assert_true(fixture_start(one));
    assert_int_equal(machine_log_count("warn", "port=0 reason=queue-pairs queue_pairs=3 detail="),
                     1);
    assert_int_equal(machine_log_count("warn", "port=0 reason=control-queue-too-small "), 1);
    assert_false(fixture_took(0, SIM_F_MQ) || fixture_took(0, SIM_F_CTRL_VQ));
    fixture_forward(one, 300);
}

TEST(without_the_control_queue_nothing_is_said_of_pairs)
{
    start_with(0xffff, SEVERAL & ~SIM_F(CTRL_VQ));
    assert_false(fixture_took(0, SIM_F_MQ));
    assert_int_equal(machine_log_count("warn", ""), 0);
    fixture_forward(one, 300);
}

TEST(a_device_error_of_the_control_queue_is_told_with_its_number)
{
    start_with(4, SEVERAL);
    assert_controllable();
    one->net->queues[SIM_CONTROL].fault = SIM_USED_ID_HUGE;
    assert_false(wanted_promisc(one->dev, true));
    assert_int_equal(machine_log_count("error", "port=0 pci=00:01.0 reason=used-id-range queue=8 "),
                     1);
    assert_string_equal(one->dev->reason, "resetting");
    serve(50 * STEP_NS);
    assert_int_equal(one->dev->state, PORT_UP);
    assert_int_equal(one->net->pairs, 1);
}

/* ---- the modern interface ---- */

/* Number 14, and the doorbell is where and what the device says of that one. */
TEST_ON(its_doorbell_is_the_one_that_the_device_states_for_it, FIXTURE_MODERN_ALL)
{
    for (unsigned data = 0; data < 2; data++) {
        fixture_renew(state);
        add_with(7, SEVERAL | (data ? SIM_F(NOTIF_CONFIG_DATA) : 0));
        one->net->modern.notify_off[SIM_CONTROL] = 900;
        one->net->modern.notify_data[SIM_CONTROL] = 0xbeef;
        fixture_probe_all(1);
        assert_true(fixture_start(one));
        assert_controllable();
        fixture_forward(one, 300);
        for (unsigned queue = 0; queue < SIM_QUEUES; queue++)
            assert_true(one->net->queues[queue].doorbells > 0);
    }
}

TEST_ON(it_alone_is_reset_by_its_own_number, FIXTURE_MODERN_ALL)
{
    add_with(7, SEVERAL | SIM_F(RING_RESET));
    one->net->answer = SIM_ANSWER_NEVER;
    fixture_probe_all(1);
    assert_true(fixture_start(one));
    serve(CLOCK_NS_PER_S + 200 * STEP_NS); /* it falls silent */
    assert_int_equal(one->net->modern.queue_resets, 1);
    one->net->answer = SIM_ANSWER_OK;
    serve(20 * STEP_NS);
    assert_controllable();
    assert_int_equal(one->dev->state, PORT_UP);
}
