/* Devices that break the rules, one way after the other: each costs its own port, by name. */
#include <stdio.h>

#include <machine/clock.h>
#include <machine/interrupt.h>

#include "tests/host/fixture/test.h"
#include "tests/host/fixture/virtio_fixture.h"
#include "tests/host/fixture/wanted.h"
#include "tests/host/sim/machine.h"

struct error_row {
    enum sim_fault fault;
    enum virtqueue_error error;
    const char *reason;
};

/* By whichever ring: */
static const struct error_row ring_errors[] = {
    {SIM_USED_ID_SIZE, VIRTQUEUE_ID_RANGE, "used-id-range"},
    {SIM_USED_ID_HUGE, VIRTQUEUE_ID_RANGE, "used-id-range"},
    {SIM_USED_ID_HIGH_BITS, VIRTQUEUE_ID_RANGE, "used-id-range"},
    {SIM_USED_ID_FREE, VIRTQUEUE_ID_NOT_OUT, "used-id-not-outstanding"},
    {SIM_USED_ID_TWICE, VIRTQUEUE_ID_NOT_OUT, "used-id-not-outstanding"},
    /* by a split one, which has an index: */
    {SIM_USED_IDX_AHEAD, VIRTQUEUE_USED_IDX, "used-idx"},
    {SIM_USED_IDX_BACK, VIRTQUEUE_USED_IDX, "used-idx"},
    {SIM_USED_IDX_FAR, VIRTQUEUE_USED_IDX, "used-idx"},
};
#define RING_BREACHES_ANY 5u
#define RING_BREACHES_SPLIT (sizeof(ring_errors) / sizeof(ring_errors[0]))

static unsigned ring_error_count(void)
{
    return fixture_is_packed() ? RING_BREACHES_ANY : RING_BREACHES_SPLIT;
}

static const struct error_row length_errors[] = {
    {SIM_LENGTH_ZERO, VIRTQUEUE_LENGTH_SHORT, "used-length-short"},
    {SIM_LENGTH_BELOW_HEADER, VIRTQUEUE_LENGTH_SHORT, "used-length-short"},
    {SIM_LENGTH_ABOVE_BUFFER, VIRTQUEUE_LENGTH_LONG, "used-length-long"},
    {SIM_LENGTH_MAX, VIRTQUEUE_LENGTH_LONG, "used-length-long"},
};
#define LENGTH_BREACHES (sizeof(length_errors) / sizeof(length_errors[0]))

/* Two running ports, the first of which has done `n` frames; not all of its buffers are posted. */
static void start_two(void **state, uint64_t features, unsigned n)
{
    fixture_renew(state);
    fixture_add(0, features);
    fixture_add(1, features);
    /* Room for one burst, so that the driver has to look at what is used before the next. */
    fixtures[0].net->queues[SIM_TX].size = features & SIM_F(ANY_LAYOUT) ? BURST : 2 * BURST;
    /* Room for one command, so that the next one has the same id. */
    fixtures[0].net->queues[SIM_CONTROL].size = 4;
    /* Even where any length is usual, invalid lengths must be detected. */
    if (features & SIM_F(ANY_LAYOUT))
        fixtures[0].payload_max = UINT32_MAX - ETHERNET_HEADER_SIZE;
    fixture_probe_all(2);
    assert_true(fixture_start_with(&fixtures[0], 100));
    assert_true(fixture_start(&fixtures[1]));
    fixture_forward(&fixtures[0], n);
}

/* Every buffer is in the pool or with the device; none is lost, none is there twice. */
static void assert_no_leak(void)
{
    const struct virtio_net *net = (const struct virtio_net *)one->dev;
    const uint32_t out =
        virtqueue_outstanding(&net->rx.queue) + virtqueue_outstanding(&net->tx.queue);

    assert_int_equal(one->pool.count + out, one->pool.capacity);
    for (uint32_t i = 0; i < one->pool.count; i++) {
        assert_non_null(one->pool.free[i]);
        for (uint32_t j = 0; j < i; j++)
            assert_ptr_not_equal(one->pool.free[i], one->pool.free[j]);
    }
}

/* The first port is being reset, for this reason and once, and comes back as good as new within a
 * second; the second one is as before. */
static void assert_reset(const struct error_row *row, unsigned queue)
{
    const struct virtio_net *net = (const struct virtio_net *)one->dev;
    struct batch batch;
    char told[96];

    fixture_notice(one);
    snprintf(told, sizeof(told), "port=0 pci=00:01.0 reason=%s queue=%u ", row->reason, queue);
    if (machine_log_count("error", told) != 1) {
        print_error("%s on queue %u:\n", sim_fault_names[row->fault], queue);
        machine_log_print();
    }
    assert_int_equal(machine_log_count("error", told), 1);
    assert_int_equal(machine_log_count("error", ""), 1);
    assert_int_equal(net->errors[row->error], 1);
    assert_string_equal(one->dev->reason, "resetting");
    assert_int_equal(one->net->status, 0); /* so that it writes no more */
    assert_int_equal(fixture_receive(one, &batch), 0);
    assert_int_equal(port_room(one->dev, 0, BURST), 0); /* who sends there waits */
    assert_int_equal(fixtures[1].dev->state, PORT_UP);
    fixture_forward(&fixtures[1], 200);

    const uint64_t before = machine_clock_now();
    one->net->answer = SIM_ANSWER_OK;
    one->dev->ops->service(one->dev, clock_ns());
    assert_int_equal(one->dev->state, PORT_UP);
    assert_true(machine_clock_now() - before < CLOCK_NS_PER_S);
    snprintf(told, sizeof(told), "port=0 pci=00:01.0 reason=%s state=done resets=1 ", row->reason);
    assert_int_equal(machine_log_count("reset", told), 1);
    assert_no_leak();
    one->net->transmit_at_once = true;
    fixture_forward(one, 300);
    assert_no_leak();
}

TEST_FIXTURE(.setup = fixture_setup, .teardown = fixture_teardown, .variants = fixture_variants);

TEST(a_device_error_on_the_rx_ring_resets_that_port_by_name)
{
    static const uint64_t features[] = {SIM_FEATURES_USUAL, 0};

    const unsigned rings = ring_error_count();

    for (unsigned i = 0; i < 2 * (rings + LENGTH_BREACHES); i++) {
        unsigned at = i / 2;
        const struct error_row *row = at < rings ? &ring_errors[at] : &length_errors[at - rings];
        struct batch batch;

        start_two(state, features[i % 2], 64);
        if (row->fault != SIM_USED_IDX_BACK) /* which nothing may come in front of */
            fixture_deliver(one, 3);
        one->net->queues[SIM_RX].fault = row->fault;
        fixture_deliver(one, 1);
        /* The frames before it were sound; an index that is wrong spoils them all. */
        assert_int_equal(fixture_receive(one, &batch), row->error == VIRTQUEUE_USED_IDX ? 0 : 3);
        for (uint32_t taken = 0; taken < batch.count; taken++)
            pool_put(&one->pool, batch.buffers[taken]);
        assert_reset(row, SIM_RX);
    }
}

TEST(a_device_error_on_the_tx_ring_resets_that_port_by_name)
{
    for (unsigned i = 0; i < ring_error_count(); i++) {
        struct batch batch;
        uint32_t before;

        start_two(state, SIM_FEATURES_USUAL, 64);
        one->net->transmit_at_once = false;
        fixture_deliver(one, 10);
        assert_int_equal(fixture_receive(one, &batch), 10);
        assert_int_equal(port_room(one->dev, 0, BURST), BURST);
        assert_int_equal(fixture_transmit(one, &batch), 10);
        if (ring_errors[i].fault != SIM_USED_IDX_BACK) /* which nothing may come in front of */
            sim_virtio_net_transmit(one->net, 3);
        one->net->queues[SIM_TX].fault = ring_errors[i].fault;
        sim_virtio_net_transmit(one->net, 1);
        before = one->pool.count;
        assert_int_equal(port_room(one->dev, 0, BURST), 0);
        /* What came before the device error is back in the pool, and nothing else is. */
        assert_int_equal(one->pool.count - before,
                         ring_errors[i].error == VIRTQUEUE_USED_IDX ? 0 : 3);
        for (uint32_t buffer = 0; buffer < one->pool.count; buffer++)
            assert_non_null(one->pool.free[buffer]);
        assert_reset(&ring_errors[i], SIM_TX);
    }
}

/* All that was out counts as sent, since nothing else can be known; then comes what was never
 * given. */
TEST_ON(a_descriptor_that_is_used_and_was_never_given_resets_the_port, FIXTURE_PACKED)
{
    static const struct error_row row = {SIM_USED_FLAGS_AHEAD, VIRTQUEUE_USED_IDX, "used-idx"};
    struct batch batch;

    start_two(state, SIM_FEATURES_USUAL, 64);
    one->net->transmit_at_once = false;
    fixture_deliver(one, 10);
    assert_int_equal(fixture_receive(one, &batch), 10);
    assert_int_equal(port_room(one->dev, 0, BURST), BURST);
    assert_int_equal(fixture_transmit(one, &batch), 10);
    const uint32_t before = one->pool.count;
    one->net->queues[SIM_TX].fault = row.fault;
    sim_virtio_net_transmit(one->net, 1);
    assert_int_equal(port_room(one->dev, 0, BURST), 0);
    assert_int_equal(one->pool.count - before, 10);
    assert_reset(&row, SIM_TX);
}

/* A used descriptor that has the other round's flags, or only one of both right, is none. */
TEST_ON(flags_of_another_round_say_nothing, FIXTURE_PACKED)
{
    static const enum sim_fault faults[] = {SIM_USED_FLAGS_WRAP, SIM_USED_FLAGS_HALF};

    for (unsigned i = 0; i < 2; i++) {
        struct batch batch;

        start_two(state, SIM_FEATURES_USUAL, 64);
        fixture_deliver(one, 3);
        one->net->queues[SIM_RX].fault = faults[i];
        fixture_deliver(one, 2);
        assert_int_equal(fixture_receive(one, &batch), 3); /* those behind it wait with it */
        for (uint32_t taken = 0; taken < batch.count; taken++)
            pool_put(&one->pool, batch.buffers[taken]);
        assert_int_equal(fixture_receive(one, &batch), 0);
        assert_int_equal(one->dev->state, PORT_UP);
        assert_int_equal(machine_log_count("error", ""), 0);
        assert_no_leak();

        /* A device that finds out for itself asks to be reset. */
        one->net->status |= 0x40;
        machine_clock_advance(CLOCK_NS_PER_S / 2);
        one->dev->ops->service(one->dev, clock_ns());
        assert_int_equal(machine_log_count("error", "reason=status status=0x4f"), 1);
        one->dev->ops->service(one->dev, clock_ns());
        fixture_forward(one, 300);
        assert_no_leak();
    }
}

/* The ids of its further descriptors are in the ring, too, but belong to no chain. */
TEST_ON(an_answer_for_the_second_part_of_a_command_resets_the_port, FIXTURE_PACKED)
{
    static const struct error_row row = {SIM_USED_ID_SECOND, VIRTQUEUE_ID_NOT_OUT,
                                         "used-id-not-outstanding"};

    start_two(state, SIM_FEATURES_USUAL, 5);
    one->net->queues[SIM_CONTROL].fault = row.fault;
    assert_false(wanted_promisc(one->dev, true));
    assert_reset(&row, SIM_CONTROL);
}

TEST_ON(an_id_of_a_second_descriptor_resets_the_port, FIXTURE_LEGACY)
{
    static const struct error_row row = {SIM_USED_ID_SECOND, VIRTQUEUE_ID_NOT_OUT,
                                         "used-id-not-outstanding"};
    struct batch batch;

    start_two(state, 0, 5);
    one->net->queues[SIM_RX].fault = row.fault;
    fixture_deliver(one, 1);
    assert_int_equal(fixture_receive(one, &batch), 0);
    assert_reset(&row, SIM_RX);
}

TEST(descriptors_overwritten_by_the_device_are_not_read_back)
{
    struct batch batch;

    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->scribbles = true;
    fixture_probe_all(1);
    assert_true(fixture_start(one));
    fixture_deliver(one, BURST); /* the device complains of flags that it had put there itself */
    assert_int_equal(fixture_receive(one, &batch), BURST);
}

/* ---- from the device error to the reset ---- */

static const struct virtqueue *queue_of(unsigned queue)
{
    const struct virtio_net *net = (const struct virtio_net *)one->dev;

    return queue == SIM_RX ? &net->rx.queue : &net->tx.queue;
}

/* The device takes its first lie back: whoever read the queue again would find nothing wrong. */
static void mend(unsigned queue)
{
    const struct virtqueue *const ring = queue_of(queue);
    const uint32_t slot = virtqueue_slot(ring, ring->used_idx);

    if (ring->packed) {
        ring->packed_desc[slot].id = (uint16_t)slot;
        ring->packed_desc[slot].len = ring->header + FIXTURE_FRAME;
    } else {
        ring->used->ring[slot].id = slot;
        ring->used->ring[slot].len = ring->header + FIXTURE_FRAME;
    }
}

/* Nothing is read of a queue that has met a device error, nor is it armed; service alone goes on. */
static void assert_left_alone(unsigned queue, unsigned direction)
{
    const uint32_t used_idx = queue_of(queue)->used_idx, avail_idx = queue_of(queue)->avail_idx;

    (void)interrupt_wait(0);
    assert_true(one->dev->ops->arm(one->dev, 0, direction));
    if (queue == SIM_RX)
        fixture_deliver(one, 5);
    else
        sim_virtio_net_transmit(one->net, 5);
    assert_int_equal(interrupt_wait(0), INTERRUPT_TIMER); /* no device was asked for one */
    assert_int_equal(queue_of(queue)->used_idx, used_idx);
    assert_int_equal(queue_of(queue)->avail_idx, avail_idx);
    assert_string_equal(one->dev->reason, "running");
    assert_int_equal(machine_log_count("error", ""), 0);
}

TEST(a_broken_rx_queue_yields_nothing_until_its_reset)
{
    static const struct error_row row = {SIM_LENGTH_MAX, VIRTQUEUE_LENGTH_LONG, "used-length-long"};
    struct batch batch;

    start_two(state, SIM_FEATURES_USUAL, 5);
    one->net->queues[SIM_RX].fault = row.fault;
    fixture_deliver(one, 1);
    assert_int_equal(fixture_receive(one, &batch), 0);
    mend(SIM_RX);
    assert_int_equal(fixture_receive(one, &batch), 0);
    assert_left_alone(SIM_RX, PORT_RX);
    assert_reset(&row, SIM_RX);
}

TEST(a_broken_tx_queue_has_no_room_and_takes_nothing_until_its_reset)
{
    static const struct error_row row = {SIM_USED_ID_HUGE, VIRTQUEUE_ID_RANGE, "used-id-range"};
    struct batch batch, more;

    start_two(state, SIM_FEATURES_USUAL, 0);
    one->net->transmit_at_once = false;
    fixture_deliver(one, BURST);
    assert_int_equal(fixture_receive(one, &batch), BURST);
    fixture_deliver(one, 2);
    assert_int_equal(fixture_receive(one, &more), 2);
    assert_int_equal(fixture_transmit(one, &batch), BURST); /* the ring is full */
    one->net->queues[SIM_TX].fault = row.fault;
    sim_virtio_net_transmit(one->net, 1);
    assert_int_equal(port_room(one->dev, 0, 2), 0);
    mend(SIM_TX);
    sim_virtio_net_transmit(one->net, 10);
    assert_int_equal(port_room(one->dev, 0, 2), 0);
    assert_int_equal(port_tx(one->dev, 0, &more), 0);
    assert_left_alone(SIM_TX, PORT_TX);
    for (uint32_t i = 0; i < more.count; i++) /* they are ours still */
        pool_put(&one->pool, more.buffers[i]);
    assert_reset(&row, SIM_TX);
}

TEST(frames_in_the_tx_ring_are_lost_with_it_and_counted)
{
    struct batch batch, more;

    start_two(state, SIM_FEATURES_USUAL, 5);
    one->net->transmit_at_once = false;
    fixture_deliver(one, 20);
    assert_int_equal(fixture_receive(one, &batch), 20);
    fixture_deliver(one, 6);
    assert_int_equal(fixture_receive(one, &more), 6);
    port_room(one->dev, 0, 20);
    assert_int_equal(fixture_transmit(one, &batch), 20);
    one->net->queues[SIM_RX].fault = SIM_LENGTH_MAX;
    fixture_deliver(one, 1);
    assert_int_equal(fixture_receive(one, &batch), 0);

    /* A burst that was under way goes into the tx ring: that is not the one with the device error. */
    assert_int_equal(one->dev->ops->tx(one->dev, 0, &more), 6);
    assert_int_equal(fixture_stats_of(one).tx_packets, 31);
    fixture_notice(one);
    assert_string_equal(one->dev->reason, "resetting");
    assert_int_equal(fixture_stats_of(one).tx_dropped, 26); /* what was in the tx ring */
    assert_no_leak();
    assert_true(wanted_promisc(one->dev, true)); /* once it is back */
    assert_true(one->net->promisc);
}

TEST(an_answer_with_a_bad_id_resets_the_port)
{
    static const struct error_row row = {SIM_USED_ID_HUGE, VIRTQUEUE_ID_RANGE, "used-id-range"};

    start_two(state, SIM_FEATURES_USUAL, 5);
    one->net->answer = SIM_ANSWER_BAD_ID;
    assert_false(wanted_promisc(one->dev, true));
    assert_reset(&row, SIM_CONTROL);
}

TEST(an_answer_that_comes_twice_resets_the_port)
{
    static const struct error_row row = {SIM_USED_ID_TWICE, VIRTQUEUE_USED_IDX, "used-idx"};

    start_two(state, SIM_FEATURES_USUAL, 5);
    one->net->answer = SIM_ANSWER_TWICE;
    assert_false(wanted_promisc(one->dev, true));
    assert_reset(&row, SIM_CONTROL);
}

TEST(an_answer_is_not_taken_for_that_of_the_next_command)
{
    static const struct error_row row = {SIM_USED_ID_TWICE, VIRTQUEUE_USED_IDX, "used-idx"};

    start_two(state, SIM_FEATURES_USUAL, 5);
    assert_true(wanted_promisc(one->dev, true));
    sim_virtio_net_answer_again(one->net);
    one->net->answer = SIM_ANSWER_LATE;
    one->net->answer_delay_ns = CLOCK_NS_PER_MS;
    assert_false(wanted_promisc(one->dev, true));
    assert_reset(&row, SIM_CONTROL);
}
