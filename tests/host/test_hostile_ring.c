/*
 * A device with errors in its rings, beside three correct ones. Each error is logged under its own
 * name and costs one reset of its port. The other ports lose no frame.
 */
#include <stdio.h>
#include <string.h>

#include <machine/clock.h>

#include "tests/host/fixture/test.h"
#include "tests/host/fixture/wire_fixture.h"
#include "tests/host/sim/machine.h"

#define WARM_UP_NS (20 * CLOCK_NS_PER_MS)
#define RESET_NS (5 * CLOCK_NS_PER_MS)

/* A ring error, and the name under which it must be logged. */
struct lie {
    enum sim_fault fault;
    const char *reason;
};

/* Errors of any ring. One is an id with wrong high bits only, which a driver that keeps ids in 16
 * bits would miss. */
static const struct lie ring_faults[] = {
    {SIM_USED_ID_SIZE, "used-id-range"},
    {SIM_USED_ID_HUGE, "used-id-range"},
    {SIM_USED_ID_HIGH_BITS, "used-id-range"},
    {SIM_USED_ID_FREE, "used-id-not-outstanding"},
    {SIM_USED_ID_TWICE, "used-id-not-outstanding"},
    /* And those of a split ring, which has an index: */
    {SIM_USED_IDX_AHEAD, "used-idx"},
    {SIM_USED_IDX_BACK, "used-idx"},
    {SIM_USED_IDX_FAR, "used-idx"},
};
#define RING_LIES_ANY 5u
#define RING_LIES_SPLIT (sizeof(ring_faults) / sizeof(ring_faults[0]))

static unsigned ring_lie_count(void)
{
    return fixture_is_packed() ? RING_LIES_ANY : RING_LIES_SPLIT;
}

/* Errors of rx rings only: the length of a tx chain has no meaning (§2.7.8). */
static const struct lie length_faults[] = {
    {SIM_LENGTH_ZERO, "used-length-short"},
    {SIM_LENGTH_BELOW_HEADER, "used-length-short"},
    {SIM_LENGTH_ABOVE_BUFFER, "used-length-long"},
    {SIM_LENGTH_MAX, "used-length-long"},
};
#define LENGTH_LIES (sizeof(length_faults) / sizeof(length_faults[0]))

/* Wires on which all is well until now. */
static void new_wires(void **state, uint64_t features)
{
    fixture_renew(state);
    wires_add(features);
    wires_start();
    wires_device(0)->reset_delay_ns = RESET_NS; /* so that others go on in the middle of it */
    wires_run(WARM_UP_NS);
    wires_spoil_first();
}

/* Port 0 is being reset now, is back within a second and carries frames both ways again. */
static void assert_recovers(const char *reason)
{
    const struct virtio_net *net = wires_driver(0);
    uint64_t errors = 0;
    char told[96];

    fixture_notice(&fixtures[0]);
    assert_string_equal(fixtures[0].dev->reason, "resetting");
    for (unsigned i = 0; i < VIRTQUEUE_ERRORS; i++)
        errors += net->errors[i];
    assert_int_equal(errors, 1);
    const uint64_t took = wires_run_until(0, "running", CLOCK_NS_PER_S);
    const uint32_t out = wires.flows[0].arrived, in = wires.flows[1].arrived;
    wires_run(20 * CLOCK_NS_PER_MS);
    assert_true(took + 20 * CLOCK_NS_PER_MS < CLOCK_NS_PER_S);
    assert_true(wires.flows[0].arrived > out + 100 && wires.flows[1].arrived > in + 100);

    snprintf(told, sizeof(told), "port=0 pci=00:01.0 reason=%s ", reason);
    assert_int_equal(machine_log_count("error", told), 1);
    assert_int_equal(machine_log_count("error", ""), 1);
    snprintf(told, sizeof(told), "port=0 pci=00:01.0 reason=%s state=done resets=1 ", reason);
    assert_int_equal(machine_log_count("reset", told), 1);
    assert_int_equal(fixture_stats_of(&fixtures[0]).resets, 1);
}

/* One frame with an error in its used element, and the round in which the driver reads it. */
static void lie_on_rx(enum sim_fault fault)
{
    struct sim_queue *queue = &wires_device(0)->queues[SIM_RX];

    /* All valid elements before are taken; a ring that is not full has chains for the error. */
    wires.flows[0].per_round = 1;
    wires_run(3 * WIRE_ROUND_NS);
    queue->fault = fault;
    wires_run(1);
    wires.flows[0].per_round = 2;
}

TEST_FIXTURE(.setup = wires_setup, .teardown = fixture_teardown, .variants = fixture_variants);

/* With the header in the frame's descriptor and in one of its own: both have code of their own. */
TEST(faults_on_the_rx_ring)
{
    static const uint64_t features[] = {SIM_FEATURES_USUAL, 0};

    const unsigned rings = ring_lie_count();

    for (unsigned i = 0; i < 2 * (rings + LENGTH_LIES); i++) {
        const unsigned at = i / 2;
        const struct lie *lie = at < rings ? &ring_faults[at] : &length_faults[at - rings];

        new_wires(state, features[i % 2]);
        lie_on_rx(lie->fault);
        assert_recovers(lie->reason);
        wires_settle(true);
    }
}

/* The same in the tx ring, which the driver reads when it is short of room. All chains finished
 * before are reclaimed. */
static void lie_on_tx(enum sim_fault fault)
{
    struct sim_virtio_net *device = wires_device(0);
    struct sim_queue *queue = &device->queues[SIM_TX];
    const struct virtqueue *ours = &wires_driver(0)->tx.queue;

    device->transmit_at_once = false;
    while (virtqueue_free(ours) >= BURST || (uint16_t)ours->used_idx != queue->used_shown)
        wires_run(1);
    sim_virtio_net_transmit(device, 1);
    wires_run(1);
    queue->fault = fault;
    assert_int_equal(sim_virtio_net_transmit(device, 1), 1);
    wires_run(1);
    device->transmit_at_once = true;
}

TEST(faults_on_the_tx_ring)
{
    for (unsigned i = 0; i < ring_lie_count(); i++) {
        new_wires(state, SIM_FEATURES_USUAL);
        lie_on_tx(ring_faults[i].fault);
        assert_recovers(ring_faults[i].reason);
        wires_settle(false); /* the frames sent before the error cannot be known */
        assert_in_range(fixture_stats_of(&fixtures[0]).tx_dropped, 1, 256);
    }
}

/* Frames that were sent before the reset are not lost, at any position in the ring. */
TEST(only_frames_that_were_not_sent_count_as_lost)
{
    for (unsigned before = 0; before < 256; before += 51) {
        struct sim_virtio_net *device;

        new_wires(state, SIM_FEATURES_USUAL);
        device = wires_device(0);
        wires.flows[1].per_round = 1;
        for (unsigned i = 0; i < before; i++)
            wires_run(1); /* so that the ring's end is elsewhere each time */
        device->transmit_at_once = false;
        /* 70 of 100 frames go out, and the driver has not looked since: it has no need to. */
        wires_run(100 * WIRE_ROUND_NS);
        sim_virtio_net_transmit(device, 70);
        device->queues[SIM_RX].fault = SIM_LENGTH_MAX;
        wires_run(1);
        assert_string_equal(fixtures[0].dev->reason, "resetting");
        device->transmit_at_once = true;
        assert_recovers("used-length-long");
        wires_settle(true);
    }
}

/* An empty frame is the device's right, so it costs the frame and nothing else. */
TEST(a_header_and_no_frame_is_a_runt_and_no_device_error)
{
    wires_run(WARM_UP_NS);
    wires_spoil_first();
    lie_on_rx(SIM_LENGTH_HEADER);
    wires_run(WARM_UP_NS);
    for (unsigned i = 0; i < 300; i++)
        wires_round();
    assert_int_equal(fixtures[0].dev->state, PORT_UP);
    assert_int_equal(machine_log_count("error", ""), 0);
    assert_int_equal(wires.topology.lanes[0].drops[DROP_RUNT], 1);
    assert_int_equal(wires.flows[0].missing, 1);
    assert_int_equal(wires.flows[0].arrived, wires.flows[0].announced - 1);
    wires_assert_buffers();
}

/* --- a wrong length that cannot be detected --- */

/* The bytes of a frame beyond those announced: of older frames, or zeros. */
static void assert_shows_only_frames(const struct sim_frame *frame)
{
    for (uint32_t i = FIXTURE_FRAME; i < frame->length; i++) {
        const uint8_t byte = frame->data[i];
        assert_true(byte == 0 || (byte >= 0xa0 && byte < 0xa0 + WIRE_PORTS));
    }
}

/*
 * The driver cannot know how much of the buffer was written. So what such a device gets to see of
 * others depends on who had the buffer before: it was zero at first, and later another frame of the
 * very same lane. Port 3 is busy all the time, and none of its bytes turn up.
 */
TEST(a_lie_within_the_buffer_shows_older_frames_or_nothing)
{
    uint8_t full[ETHERNET_MTU], frame[FIXTURE_FRAME];
    bool older = false;

    for (unsigned n = 0; n < 300 * WIRE_PORTS; n++) { /* through some of the buffers, not all */
        memset(full, 0xa0 + (int)(n % WIRE_PORTS), sizeof(full));
        sim_virtio_net_deliver(wires_device(n % WIRE_PORTS), full, sizeof(full));
        loop_round(&wires.loop);
    }
    for (unsigned i = 0; i < WIRE_PORTS; i++)
        sim_virtio_net_forget_sent(wires_device(i));
    memset(frame, 0xa0, sizeof(frame));
    for (unsigned n = 0; n < 2000; n++) {
        wires_device(0)->queues[SIM_RX].fault = SIM_LENGTH_BUFFER;
        assert_true(sim_virtio_net_deliver(wires_device(0), frame, sizeof(frame)));
        assert_true(sim_virtio_net_deliver(wires_device(3), full, sizeof(full)));
        loop_round(&wires.loop);
    }
    assert_int_equal(wires_device(1)->sent_count, 2000);
    for (unsigned n = 0; n < 2000; n++) {
        const struct sim_frame *sent = &wires_device(1)->sent[n];
        assert_true(sent->length > sizeof(full));
        assert_shows_only_frames(sent);
        older |= sent->data[sizeof(full) - 1] == 0xa0;
    }
    assert_true(older); /* else this would have shown nothing */
    assert_int_equal(machine_log_count("error", ""), 0);
}

/* --- what only packed rings have --- */

/* The frames that the hostile device has sent are unknown. */
static void assert_nobody_else_lost_anything(void)
{
    for (unsigned i = 0; i < 300; i++)
        wires_round();
    wires_assert_buffers();
    for (unsigned i = 2; i < WIRE_PORTS; i++)
        assert_int_equal(wires.flows[i].arrived, wires.flows[i].announced);
}

/* All that was out counts as sent, since nothing else can be known; then comes what was never
 * given. */
TEST_ON(what_is_used_and_was_never_given_is_found_out, FIXTURE_PACKED)
{
    new_wires(state, SIM_FEATURES_USUAL);
    lie_on_tx(SIM_USED_FLAGS_AHEAD);
    assert_recovers("used-idx");
    assert_nobody_else_lost_anything();
}

/*
 * With these faults each side waits for the other, and reclaiming chains shows no error: the audit
 * of the ring finds it. Its finding on an overwritten ring depends on the chains that were out.
 */
static const struct audited {
    enum sim_fault fault;
    const char *reasons;
} audited[] = {
    {SIM_USED_FLAGS_WRAP, "used-order"},
    {SIM_USED_FLAGS_HALF, "used-flags"},
    {SIM_USED_THREE_AHEAD, "used-order"},
    {SIM_USED_TWO_BEHIND, "used-order"},
    {SIM_OVERWRITE_ZEROS, "used-order ring-overwritten used-id-not-outstanding used-length-short"},
    {SIM_OVERWRITE_GARBAGE, "used-flags ring-overwritten used-id-not-outstanding"},
};
#define AUDITED (sizeof(audited) / sizeof(audited[0]))

/* Port 0 is reset, under one of these names, and carries frames again, all within a second. */
static void assert_recovers_within_a_second(const char *reasons)
{
    const struct virtio_net *net = wires_driver(0);
    const char *reason = "";

    const uint64_t took = wires_run_until(0, "resetting", CLOCK_NS_PER_S);
    assert_in_range(took, 0, 900 * CLOCK_NS_PER_MS);
    wires_device(0)->transmit_at_once = true;
    for (unsigned i = 0; i < VIRTQUEUE_ERRORS; i++)
        if (net->errors[i] != 0)
            reason = virtqueue_error_name(i);
    if (strstr(reasons, reason) == NULL)
        fail_msg("%s instead of %s", reason, reasons);
    assert_recovers(reason);
}

/* Some frames wait when the error occurs. After a used element in the wrong place the device goes
 * on behind it. After other errors it has lost its own position, and stops until it is reset. */
static void lie_on_tx_in_passing(enum sim_fault fault)
{
    struct sim_virtio_net *device = wires_device(0);

    device->transmit_at_once = false;
    wires_run(8 * WIRE_ROUND_NS);
    device->queues[SIM_TX].fault = fault;
    assert_int_equal(sim_virtio_net_transmit(device, 1), 1);
    device->transmit_at_once = fault == SIM_USED_THREE_AHEAD || fault == SIM_USED_TWO_BEHIND;
}

/* In either round of the ring, whose wrap counters differ. */
TEST_ON(a_ring_that_is_dead_in_silence_is_found_out, FIXTURE_PACKED)
{
    for (unsigned i = 0; i < 4 * AUDITED; i++) {
        const struct audited *row = &audited[i / 4];
        const unsigned queue = i / 2 % 2 == 0 ? SIM_RX : SIM_TX;

        new_wires(state, SIM_FEATURES_USUAL);
        wires.flows[0].per_round = wires.flows[1].per_round = 1;
        while (wires_device(0)->queues[queue].used_next / 256 % 2 != i % 2)
            wires_run(1);
        if (queue == SIM_TX) {
            lie_on_tx_in_passing(row->fault);
        } else if (row->fault == SIM_OVERWRITE_ZEROS || row->fault == SIM_OVERWRITE_GARBAGE) {
            continue; /* a device that goes on writes over it again: below it does not */
        } else {
            lie_on_rx(row->fault);
        }
        assert_recovers_within_a_second(row->reasons);
        assert_nobody_else_lost_anything();
    }
}

/* The same faults where only a frame now and then goes by. */
TEST_ON(a_ring_that_is_dead_in_silence_is_found_out_without_traffic, FIXTURE_PACKED)
{
    for (unsigned i = 0; i < AUDITED; i++) {
        new_wires(state, SIM_FEATURES_USUAL);
        lie_on_rx(audited[i].fault);
        wires.flows[0].per_round = wires.flows[1].per_round = 0;
        (void)wires_run_until(0, "resetting", CLOCK_NS_PER_S);
        wires.flows[0].per_round = wires.flows[1].per_round = 2;
        assert_recovers_within_a_second(audited[i].reasons);
    }
}

/*
 * An honest device may write the first of several used descriptors last. One that is stopped there for a
 * while, or, as DPDK before 20.02 does on a tx queue, waits for more, is not blamed.
 */
TEST_ON(a_device_that_shows_the_first_used_descriptor_last_is_not_blamed, FIXTURE_PACKED)
{
    for (unsigned i = 0; i < 2; i++) {
        const unsigned queue = i == 0 ? SIM_RX : SIM_TX;
        const uint64_t held_ns = queue == SIM_RX ? 400 * CLOCK_NS_PER_MS : 3 * CLOCK_NS_PER_S;
        struct sim_virtio_net *device;

        new_wires(state, SIM_FEATURES_USUAL);
        device = wires_device(0);
        const struct virtqueue *ours =
            queue == SIM_RX ? &wires_driver(0)->rx.queue : &wires_driver(0)->tx.queue;
        wires.flows[0].per_round = wires.flows[1].per_round = 0;
        device->transmit_at_once = false;
        wires_run(2 * CLOCK_NS_PER_MS);
        wires.flows[queue == SIM_RX ? 0 : 1].per_round = 8;
        struct pvirtq_desc *const first = &ours->packed_desc[virtqueue_slot(ours, ours->used_idx)];
        const struct pvirtq_desc available = *first;
        if (queue == SIM_TX) {
            struct pvirtq_desc *const next =
                &ours->packed_desc[virtqueue_slot(ours, ours->avail_idx)];
            wires_run(1);
            wires.flows[1].per_round = 0;
            const struct pvirtq_desc written = *next;
            sim_virtio_net_transmit(device, 8);
            const struct pvirtq_desc used = *next;
            *next = written;
            wires_run(held_ns);
            *next = used;
        } else {
            uint8_t frame[FIXTURE_FRAME];
            wires.flows[0].per_round = 0;
            for (uint32_t n = 0; n < 8; n++) {
                wires_make_frame(frame, 0, wires.flows[0].announced++);
                assert_true(sim_virtio_net_deliver(device, frame, sizeof(frame)));
            }
            const struct pvirtq_desc used = *first;
            *first = available;
            wires_run(held_ns);
            *first = used;
        }
        device->transmit_at_once = true;
        wires_run(WARM_UP_NS);
        assert_int_equal(machine_log_count("error", ""), 0);
        wires_settle(true);
    }
}

/* Ones over everything make every second round's descriptors used, by an id that is none. */
TEST_ON(ones_over_the_descriptors_are_found_out, FIXTURE_PACKED)
{
    struct sim_queue *queue;

    new_wires(state, SIM_FEATURES_USUAL);
    queue = &wires_device(0)->queues[SIM_RX];
    while (wires_driver(0)->rx.queue.used_idx / queue->size % 2 != 0)
        wires_run(1);
    wires.flows[0].per_round = 0;
    wires_run(WIRE_ROUND_NS);
    memset(sim_queue_ring(queue).desc, 0xff, 16u * queue->size);
    wires_run(1);
    wires.flows[0].per_round = 2;
    assert_recovers("used-id-range");
    wires_settle(true);
}

/* The device's event suppression, written by itself: a reserved value, bits that are reserved, a
 * descriptor that is none. It costs doorbells or saves them, and no frame where the device looks. */
TEST_ON(nonsense_in_the_event_suppression_costs_doorbells_at_most, FIXTURE_PACKED)
{
    static const struct {
        uint16_t flags;
        bool rings;
    } rows[] = {{0, true}, {1, false}, {3, true}, {0xffff, true}, {0x8002, true}};

    for (unsigned i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        const uint16_t flags = rows[i / 2].flags;
        const uint16_t event[] = {i % 2 != 0 ? 0xffff : 0x1234, flags};
        struct sim_virtio_net *device;

        new_wires(state, SIM_FEATURES_USUAL);
        device = wires_device(0);
        device->transmit_at_once = false;
        const uint64_t doorbells = device->queues[SIM_TX].doorbells;
        for (unsigned round = 0; round < 300; round++) {
            memcpy(sim_queue_ring(&device->queues[SIM_RX]).used, event, sizeof(event));
            memcpy(sim_queue_ring(&device->queues[SIM_TX]).used, event, sizeof(event));
            wires_run(1);
            sim_virtio_net_transmit(device, SIM_RING_MAX);
        }
        assert_int_equal(device->queues[SIM_TX].doorbells > doorbells + 200, rows[i / 2].rings);
        assert_int_equal(machine_log_count("error", ""), 0);
        assert_int_equal(wires.flows[0].missing + wires.flows[1].missing, 0);
        device->transmit_at_once = true;
        sim_virtio_net_transmit(device, SIM_RING_MAX);
        wires_settle(true);
    }
}

/* Ours, written over by the device: we never look there. */
TEST_ON(our_own_event_suppression_is_never_read, FIXTURE_PACKED)
{
    new_wires(state, SIM_FEATURES_USUAL);
    for (unsigned round = 0; round < 300; round++) {
        sim_queue_scribble(&wires_device(0)->queues[SIM_RX], SIM_SCRIBBLE_AVAIL);
        sim_queue_scribble(&wires_device(0)->queues[SIM_TX], SIM_SCRIBBLE_AVAIL);
        wires_run(1);
    }
    assert_int_equal(machine_log_count("error", ""), 0);
    assert_int_equal(wires.flows[0].missing + wires.flows[1].missing, 0);
    wires_settle(true);
}
