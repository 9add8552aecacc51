/* The data path of virtio-net against the simulated device: drivers/virtio/virtio_net_data.c. */
#include <string.h>

#include "tests/host/fixture/test.h"
#include "tests/host/fixture/virtio_fixture.h"
#include "tests/host/sim/machine.h"

TEST_FIXTURE(.setup = fixture_setup, .teardown = fixture_teardown, .variants = fixture_variants);

TEST(frames_come_in_and_go_out_byte_for_byte_in_order)
{
    static const uint64_t features[] = {SIM_FEATURES_USUAL, 0, SIM_F(EVENT_IDX), SIM_F(ANY_LAYOUT)};

    for (unsigned way = 0; way < 4; way++) {
        fixture_renew(state);
        fixture_start_one(features[way]);
        for (uint32_t length = 14; length <= 1518; length++) {
            uint8_t frame[1518];
            struct batch batch;

            fixture_make_frame(frame, length, length);
            assert_true(sim_virtio_net_deliver(one->net, frame, length));
            assert_int_equal(fixture_receive(one, &batch), 1);
            assert_int_equal(batch.lengths[0], length);
            assert_memory_equal(batch_frame(&batch, 0), frame, length);
            assert_int_equal(fixture_transmit(one, &batch), 1);
            assert_int_equal(one->net->sent_count, 1);
            assert_int_equal(one->net->sent[0].length, length);
            assert_memory_equal(one->net->sent[0].data, frame, length);
            sim_virtio_net_forget_sent(one->net);
        }
    }
}

TEST(a_frame_leaves_from_where_it_was_received)
{
    struct batch batch;

    fixture_start_one(SIM_FEATURES_USUAL);
    fixture_deliver(one, BURST);
    assert_int_equal(fixture_receive(one, &batch), BURST);
    port_room(one->dev, 0, BURST);
    assert_int_equal(fixture_transmit(one, &batch), BURST);
    assert_int_equal(one->net->sent_count, BURST);
    for (unsigned i = 0; i < BURST; i++)
        assert_ptr_equal(machine_dma(one->net->sent[i].physical, FIXTURE_FRAME),
                         batch_frame(&batch, i));
}

TEST(more_frames_than_asked_for_wait_in_the_ring)
{
    static const uint32_t asked[] = {0, 5, BURST, BURST, BURST};
    static const uint32_t given[] = {0, 5, BURST, 13, 0};
    struct batch batch;

    fixture_start_one(SIM_FEATURES_USUAL);
    fixture_deliver(one, 50);
    for (unsigned i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        port_rx(one->dev, 0, &batch, asked[i]);
        assert_int_equal(batch.count, given[i]);
    }
}

TEST(an_empty_poll_touches_no_port)
{
    struct batch batch;
    uint64_t accesses;

    fixture_start_one(SIM_FEATURES_USUAL);
    accesses = sim_bus_accesses();
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(fixture_receive(one, &batch), 0);
        assert_int_equal(port_room(one->dev, 0, BURST), BURST);
    }
    assert_int_equal(sim_bus_accesses(), accesses);
}

/* Bursts in and out, with the doorbells that they may cost: the rx ring gets buffers for two bursts at
 * a time. */
static void assert_doorbells(uint64_t features, bool suppressed)
{
    fixture_start_one(features);
    sim_virtio_net_suppress(one->net, SIM_RX, suppressed);
    sim_virtio_net_suppress(one->net, SIM_TX, suppressed);
    for (unsigned i = 0; i < 20; i++) {
        const uint64_t expected_rx = !suppressed && i % 2 == 1, expected_tx = !suppressed;
        const uint64_t rx = one->net->queues[SIM_RX].doorbells;
        const uint64_t tx = one->net->queues[SIM_TX].doorbells;
        const uint64_t accesses = sim_bus_accesses();
        fixture_forward(one, BURST);
        sim_virtio_net_transmit(one->net, BURST);
        assert_int_equal(one->net->queues[SIM_RX].doorbells - rx, expected_rx);
        assert_int_equal(one->net->queues[SIM_TX].doorbells - tx, expected_tx);
        assert_int_equal(sim_bus_accesses() - accesses, expected_rx + expected_tx);
    }
}

TEST(one_doorbell_a_burst_and_none_when_suppressed)
{
    static const uint64_t features[] = {SIM_FEATURES_USUAL, SIM_FEATURES_USUAL & ~SIM_F(EVENT_IDX),
                                        SIM_F(EVENT_IDX), 0};

    for (unsigned i = 0; i < 4; i++) {
        for (unsigned suppressed = 0; suppressed < 2; suppressed++) {
            fixture_renew(state);
            assert_doorbells(features[i], suppressed != 0);
        }
    }
}

TEST(no_interrupt_is_ever_asked_for)
{
    static const uint64_t features[] = {SIM_FEATURES_USUAL, SIM_FEATURES_USUAL & ~SIM_F(EVENT_IDX)};

    for (unsigned i = 0; i < 2; i++) {
        fixture_renew(state);
        fixture_start_one(features[i]);
        for (unsigned n = 0; n < 70; n++) {
            fixture_forward(one, 1000);
            sim_virtio_net_forget_sent(one->net);
        }
        for (unsigned queue = SIM_RX; queue <= SIM_TX; queue++)
            assert_int_equal(one->net->queues[queue].interrupts, 0);
    }
}

TEST(the_header_of_a_sent_frame_is_zero_whatever_came_in)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    memset(one->net->header, 0xa5, sizeof(one->net->header));
    fixture_forward(one, 100); /* the device complains of a header that isn't zero */
    for (unsigned i = 0; i < 10; i++) {
        memset(one->net->header, 0, sizeof(one->net->header));
        one->net->header[i] = 1;
        fixture_forward(one, 1);
    }
    assert_int_equal(one->net->sent_count, 110);
}

TEST(frames_completed_in_any_order_give_all_buffers_back)
{
    for (enum sim_order order = SIM_IN_ORDER; order <= SIM_SHUFFLED; order++) {
        struct batch batch;
        uint32_t buffers;
        unsigned sent = 0;

        fixture_renew(state);
        fixture_add(0, SIM_FEATURES_USUAL);
        one->net->queues[SIM_TX].size = BURST;
        one->net->queues[SIM_RX].order = one->net->queues[SIM_TX].order = order;
        one->net->transmit_at_once = false;
        fixture_probe_all(1);
        assert_true(fixture_start(one));
        buffers = one->pool.capacity;
        for (unsigned round = 0; round < 900; round++) {
            fixture_deliver(one, 4);
            assert_int_equal(fixture_receive(one, &batch), 4);
            assert_int_equal(fixture_transmit(one, &batch), 4);
            sent += 4;
            /* Partly: now less, now more than there was added. */
            sim_virtio_net_transmit(one->net, round % 9);
        }
        sim_virtio_net_transmit(one->net, SIM_RING_MAX);
        assert_int_equal(one->net->sent_count, sent);
        port_room(one->dev, 0, BURST); /* takes back what is left */
        const struct virtio_net *net = (const struct virtio_net *)one->dev;
        assert_int_equal(virtqueue_outstanding(&net->tx.queue), 0);
        assert_int_equal(one->pool.count + virtqueue_outstanding(&net->rx.queue), buffers);
    }
}

TEST(tx_takes_what_fits_and_leaves_the_rest_to_the_caller)
{
    struct batch batch;
    unsigned total = 0;

    fixture_add(0, SIM_FEATURES_USUAL);
    one->net->queues[SIM_TX].size = 64;
    one->net->transmit_at_once = false;
    fixture_probe_all(1);
    assert_true(fixture_start(one));
    for (unsigned i = 0; i < 3; i++) {
        fixture_deliver(one, 30);
        assert_int_equal(fixture_receive(one, &batch), 30);
        assert_int_equal(port_room(one->dev, 0, 30), i < 2 ? 30 : 4);
        total += port_tx(one->dev, 0, &batch);
    }
    assert_int_equal(total, 64);
    assert_int_equal(port_room(one->dev, 0, BURST), 0);
    assert_int_equal(port_tx(one->dev, 0, &batch), 0);
    assert_int_equal(sim_virtio_net_transmit(one->net, 10), 10);
    assert_int_equal(port_room(one->dev, 0, BURST), 10);
    assert_int_equal(fixture_stats_of(one).tx_packets, 64);
}

TEST(buffers_are_taken_back_when_the_quota_runs_short)
{
    struct batch batch;
    uint32_t idle;

    fixture_start_one(SIM_FEATURES_USUAL);
    fixture_forward(one, BURST);
    idle = one->pool.count;
    assert_int_equal(one->dev->ops->room(one->dev, 0, BURST), BURST);
    assert_int_equal(one->pool.count, idle); /* there is plenty: the used ring is left alone */
    virtqueue_set_limit(&((struct virtio_net *)one->dev)->tx.queue, BURST);
    assert_int_equal(one->dev->ops->room(one->dev, 0, BURST), BURST);
    assert_int_equal(one->pool.count, idle + BURST);
    fixture_deliver(one, 1);
    assert_int_equal(fixture_receive(one, &batch), 1);
}

TEST(the_rx_ring_is_filled_again_once_the_pool_has_buffers)
{
    struct batch batch, kept = {0};
    uint8_t frame[FIXTURE_FRAME] = {0};
    uint32_t received = 0;
    uint64_t doorbells;

    /* Without EVENT_IDX, where a publication of nothing would ring. */
    fixture_start_one(SIM_FEATURES_USUAL & ~SIM_F(EVENT_IDX));
    while (sim_virtio_net_deliver(one->net, frame, sizeof(frame))) { /* the caller keeps them all */
        assert_int_equal(fixture_receive(one, &batch), 1);
        received++;
        if (kept.count < BURST)
            kept.buffers[kept.count++] = batch.buffers[0];
    }
    assert_int_equal(one->pool.count, 0);
    assert_int_equal(received, one->pool.capacity);
    doorbells = one->net->queues[SIM_RX].doorbells;
    assert_int_equal(fixture_receive(one, &batch), 0);
    assert_int_equal(one->net->queues[SIM_RX].doorbells, doorbells);
    while (kept.count > 0)
        pool_put(&one->pool, kept.buffers[--kept.count]);
    assert_int_equal(fixture_receive(one, &batch), 0);
    assert_int_equal(sim_virtio_net_available(one->net, SIM_RX), BURST);
    fixture_deliver(one, BURST);
    assert_int_equal(fixture_receive(one, &batch), BURST);
    assert_int_equal(one->dev->state, PORT_UP);
}

TEST(the_smallest_and_the_largest_frame_pass_the_driver_as_odd)
{
    static uint8_t frame[20000];
    struct batch batch;

    fixture_start_one(SIM_FEATURES_USUAL);
    assert_true(sim_virtio_net_deliver(one->net, frame, ETHERNET_HEADER_SIZE + ETHERNET_MTU));
    assert_int_equal(fixture_receive(one, &batch), 1);
    assert_false(batch.needs_check);
    assert_true(sim_virtio_net_deliver(one->net, frame, 0)); /* a header alone: a runt */
    assert_int_equal(fixture_receive(one, &batch), 1);
    assert_int_equal(batch.lengths[0], 0);
    assert_true(batch.needs_check);
    assert_true(sim_virtio_net_deliver(one->net, frame, ETHERNET_HEADER_SIZE - 1));
    assert_int_equal(fixture_receive(one, &batch), 1);
    assert_true(batch.needs_check);
    assert_true(sim_virtio_net_deliver(one->net, frame, ETHERNET_HEADER_SIZE + ETHERNET_MTU + 1));
    assert_int_equal(fixture_receive(one, &batch), 1);
    assert_true(batch.needs_check);
    assert_true(sim_virtio_net_deliver(one->net, frame, sizeof(frame))); /* cut by the device */
    assert_int_equal(fixture_receive(one, &batch), 1);
    assert_int_equal(batch.lengths[0], one->dev->frame_max);
    assert_true(batch.needs_check);
    assert_false(batch.has_offloads);
    assert_int_equal(one->dev->state, PORT_UP);
}

/* `n` frames come in, and leave again: frame `at` with `flags`, in front of all that the header has
 * besides. */
static struct batch pass_with_flags(unsigned n, unsigned at, const uint8_t flags[2])
{
    uint8_t frame[60];
    struct batch batch;

    fixture_make_frame(frame, sizeof(frame), n);
    for (unsigned i = 0; i < n; i++) {
        memset(one->net->header, 0, sizeof(one->net->header));
        if (i == at)
            memcpy(one->net->header, flags, 2);
        assert_true(sim_virtio_net_deliver(one->net, frame, sizeof(frame)));
    }
    assert_int_equal(fixture_receive(one, &batch), n);
    assert_int_equal(fixture_transmit(one, &batch), n);
    sim_virtio_net_forget_sent(one->net);
    return batch;
}

TEST(a_header_with_flags_or_a_gso_type_marks_its_burst_and_no_other)
{
    static const unsigned counts[] = {1, 3, 4, 7, BURST};
    static const uint8_t rows[][2] = {{1, 0}, {0x80, 0}, {0, 1}, {0, 0x80}};

    fixture_start_one(SIM_FEATURES_USUAL);
    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        for (unsigned at = 0; at <= counts[i]; at++) {
            const struct batch batch = pass_with_flags(counts[i], at, rows[at % 4]);
            assert_int_equal(batch.has_offloads, at < counts[i]); /* the last time there is none */
            assert_false(batch.needs_check);
        }
    }
}

TEST(counters_count_frames_and_their_bytes)
{
    fixture_start_one(SIM_FEATURES_USUAL);
    fixture_forward(one, 1000);
    assert_int_equal(fixture_stats_of(one).rx_packets, 1000);
    assert_int_equal(fixture_stats_of(one).rx_bytes, 1000 * FIXTURE_FRAME);
    assert_int_equal(fixture_stats_of(one).tx_packets, 1000);
    assert_int_equal(fixture_stats_of(one).tx_bytes, 1000 * FIXTURE_FRAME);
    assert_int_equal(fixture_stats_of(one).tx_dropped, 0);
}
