/*
 * Frames in several buffers, from one simulated device to another: drivers/virtio/virtio_net_chain.c, and
 * who is allowed such frames. In both forms of rings.
 */
#include <stdio.h>
#include <string.h>

#include <machine/clock.h>

#include "tests/host/fixture/offload_fixture.h"
#include "drivers/virtio/virtio_net_internal.h"
#include "tests/host/fixture/test.h"
#include "tests/host/fixture/wanted.h"
#include "tests/host/sim/machine.h"

#define LITTLE (4 * MIB) /* for two pools: buffers of 1600 bytes */
#define MORE (20 * MIB)  /* of 9022 */
#define CHAINS (SIM_F(MRG_RXBUF) | SIM_F(INDIRECT_DESC))
#define FULL 1612 /* bytes that a buffer of a chain holds behind the first one */

static void put_together(uint64_t first, uint64_t second, uint64_t memory)
{
    add(0, first, true);
    add(1, second, true);
    assemble(2, memory);
}

static void chained_pair(void)
{
    put_together(ALL | CHAINS, ALL | CHAINS, LITTLE);
    assert_true(fixture_took(0, SIM_F_MRG_RXBUF) && fixture_took(1, SIM_F_INDIRECT_DESC));
    assert_int_equal(fixtures[0].dev->frame_max, PORT_FRAME_USUAL);
}

/* All buffers are in pools or rx rings, once what was sent has come back. */
static void assert_no_buffer_lost(void)
{
    struct core_account account;
    uint32_t posted = 0;

    for (unsigned i = 0; i < 2; i++) {
        (void)virtio_net_reclaim_all((struct virtio_net *)fixtures[i].dev);
        posted += wanted_filling(fixtures[i].dev).rx_buffers;
    }
    core_count(&topology.core, topology.ports, 2, &account);
    assert_int_equal(account.missing, 0);
    assert_int_equal(account.in_rings, posted);
}

/* Frame `n` of those that left port 1 is `frame` as it is now. */
static void assert_sent(unsigned n, struct header header, uint32_t length)
{
    const struct sim_frame *sent = &fixtures[1].net->sent[n];

    assert_true(n < fixtures[1].net->sent_count);
    assert_int_equal(sent->length, length);
    assert_memory_equal(sent->header, &header, sizeof(header));
    assert_memory_equal(sent->data, frame, length);
}

static void assert_passes(struct header header, uint32_t length)
{
    pass(header, length);
    assert_sent(0, header, length);
    assert_int_equal(fixtures[1].net->sent_count, 1);
    sim_virtio_net_forget_sent(fixtures[1].net);
}

static struct virtio_net *net_of(unsigned i)
{
    return (struct virtio_net *)fixtures[i].dev;
}

/* Both ports until they have nothing left to do. */
static void service(void)
{
    for (unsigned i = 0; i < 100; i++)
        for (unsigned port = 0; port < 2; port++)
            fixtures[port].dev->ops->service(fixtures[port].dev, clock_ns());
}

/* --- who has them --- */

TEST_FIXTURE(.setup = offload_setup, .teardown = fixture_teardown, .variants = fixture_variants,
             .run_on = FIXTURE_MODERN_ALL);

TEST(buffers_are_merged_only_where_memory_is_too_short_for_large_ones)
{
    chained_pair();
    assert_int_equal(machine_log_count("warn", ""), 0);
    again(state);
    put_together(ALL | CHAINS, ALL | CHAINS, MORE);
    assert_true(fixture_took(0, SIM_F_MRG_RXBUF) && fixture_took(0, SIM_F_GUEST_TSO4));
    assert_int_equal(fixtures[0].dev->frame_max, PORT_FRAME_JUMBO);
    again(state);
    pair(ALL | CHAINS, ALL | CHAINS);
    assert_false(fixture_took(0, SIM_F_MRG_RXBUF));
    assert_int_equal(fixtures[0].dev->frame_max, PORT_FRAME_SEGMENTS);
}

TEST(the_command_line_may_ask_for_merging_or_forbid_it)
{
    mergeable = MERGEABLE_ON;
    pair(ALL | CHAINS, ALL | CHAINS);
    assert_true(fixture_took(0, SIM_F_MRG_RXBUF) && fixture_took(0, SIM_F_GUEST_TSO4));
    again(state);
    mergeable = MERGEABLE_ON;
    pair(ALL, ALL); /* that cannot */
    assert_int_equal(fixtures[0].dev->frame_max, PORT_FRAME_SEGMENTS);
    again(state);
    mergeable = MERGEABLE_OFF;
    put_together(ALL | CHAINS, ALL | CHAINS, LITTLE);
    assert_false(fixture_took(0, SIM_F_MRG_RXBUF) || fixture_took(0, SIM_F_GUEST_TSO4));
    assert_int_equal(machine_log_count("warn", "too little RAM for frames of 64 KiB"), 2);
}

TEST(without_all_that_it_takes_no_buffers_are_merged)
{
    static const struct {
        uint64_t first, second; /* features that are missing */
        uint64_t memory;
        uint16_t rx, tx; /* sizes of the rings on either side */
    } rows[] = {
        {SIM_F(MRG_RXBUF), 0, LITTLE, 256, 256},
        {0, SIM_F(INDIRECT_DESC), LITTLE, 256, 256},
        {0, 0, 500 * 1024, 256, 256},
        {0, 0, LITTLE, 32, 256},
        {0, 0, LITTLE, 256, 32},
        {GUEST_SEGMENTS | DATAGRAMS, 0, LITTLE, 256, 256},
    };

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        again(state);
        add(0, (ALL | CHAINS) & ~rows[i].first, true);
        add(1, (ALL | CHAINS) & ~rows[i].second, true);
        fixtures[0].net->queues[SIM_RX].size = rows[i].rx;
        fixtures[1].net->queues[SIM_TX].size = rows[i].tx;
        assemble(2, rows[i].memory);
        assert_false(fixture_took(0, SIM_F_MRG_RXBUF) || fixture_took(0, SIM_F_GUEST_TSO4));
    }
    for (unsigned tx = 0; tx < 2; tx++) {
        again(state);
        *(tx ? &fixture_options.tx_ring : &fixture_options.rx_ring) = 32;
        put_together(ALL | CHAINS, ALL | CHAINS, LITTLE);
        assert_false(fixture_took(0, SIM_F_MRG_RXBUF) || fixture_took(0, SIM_F_GUEST_TSO4));
    }
    again(state);
    fixture_options.offloads = false;
    put_together(ALL | CHAINS, ALL | CHAINS, LITTLE);
    assert_false(fixture_took(0, SIM_F_MRG_RXBUF) || fixture_took(0, SIM_F_INDIRECT_DESC));
}

/* --- a frame's way --- */

TEST(a_frame_of_64_kib_crosses_byte_for_byte)
{
    static const uint64_t memory[] = {LITTLE, MORE};

    for (unsigned i = 0; i < 2; i++) {
        again(state);
        put_together(ALL | CHAINS, ALL | CHAINS, memory[i]);
        for (unsigned n = 0; n < 30; n++) { /* also round the end of the ring */
            assert_passes(tcp4(BIG, 1460), BIG);
            assert_passes(tcp6(BIG, 1440), BIG);
        }
        assert_int_equal(fixture_stats_of(&fixtures[0]).rx_packets, 60);
        assert_int_equal(fixture_stats_of(&fixtures[0]).rx_bytes, 60 * BIG);
        assert_int_equal(fixture_stats_of(&fixtures[1]).tx_bytes, 60 * BIG);
        assert_no_buffer_lost();
    }
}

TEST(a_frame_may_end_anywhere_in_a_buffer)
{
    static const uint32_t lengths[] = {60,
                                       PORT_FRAME_USUAL - 1,
                                       PORT_FRAME_USUAL,
                                       PORT_FRAME_USUAL + 1,
                                       PORT_FRAME_USUAL + FULL - 1,
                                       PORT_FRAME_USUAL + FULL,
                                       PORT_FRAME_USUAL + FULL + 1,
                                       PORT_FRAME_USUAL + 30 * FULL,  /* 31 buffers, */
                                       PORT_FRAME_USUAL + 31 * FULL,  /* 32: a burst, */
                                       PORT_FRAME_USUAL + 32 * FULL}; /* and one more */

    chained_pair();
    for (unsigned n = 0; n < 20; n++)
        for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
            assert_passes(tcp4(lengths[i], 1460), lengths[i]);
    assert_no_buffer_lost();
}

/* Lengths of a burst, by its number. */
static uint32_t length_in_burst(unsigned burst, unsigned i)
{
    return (burst + i) % 3 == 0 ? 60 + i : 60 + (burst * 7919 + i * 104729) % (BIG / 8);
}

TEST(long_and_short_frames_keep_their_order_within_bursts)
{
    uint64_t packets = 0;

    chained_pair();
    for (unsigned burst = 0; burst < 200; burst++) {
        const unsigned n = 1 + burst % 12;
        for (unsigned i = 0; i < n; i++) {
            const uint32_t length = length_in_burst(burst, i);
            const struct header header = tcp4(length, 1460);
            memcpy(fixtures[0].net->header, &header, sizeof(header));
            assert_true(sim_virtio_net_deliver(fixtures[0].net, frame, length));
        }
        for (unsigned rounds = 0; fixtures[1].net->sent_count < n && rounds < 2 * n; rounds++)
            lane_run(topology.port_lanes[0]);
        for (unsigned i = 0; i < n; i++) {
            const uint32_t length = length_in_burst(burst, i);
            const struct header header = tcp4(length, 1460);
            assert_sent(i, header, length);
        }
        assert_int_equal(fixtures[1].net->sent_count, n);
        sim_virtio_net_forget_sent(fixtures[1].net);
        packets += n;
    }
    assert_int_equal(fixture_stats_of(&fixtures[1]).tx_packets, packets);
    assert_no_buffer_lost();
}

TEST(a_device_never_waits_for_buffers_that_it_cannot_get)
{
    add(0, ALL | CHAINS, true);
    add(1, ALL | CHAINS, true);
    fixtures[0].net->queues[SIM_RX].size = 64;
    assemble(2, LITTLE);
    assert_true(fixture_took(0, SIM_F_MRG_RXBUF));
    for (unsigned i = 0; i < 200; i++) {
        const uint32_t length = i % 2 == 0 ? BIG : 60 + 1000 * (i % 60);
        while (lane_arm(topology.port_lanes[0])) /* as long as there is something to do */
            lane_run(topology.port_lanes[0]);
        lane_disarm(topology.port_lanes[0]);
        assert_passes(tcp4(length, 1460), length);
    }
}

TEST(a_large_tx_ring_leaves_the_rx_ring_enough_for_a_frame)
{
    add(0, ALL | CHAINS, true);
    add(1, ALL | CHAINS, true);
    fixtures[0].net->queues[SIM_RX].size = 64;
    fixtures[1].net->queues[SIM_TX].size = 1024;
    assemble(2, 2 * pool_bytes(300, PORT_FRAME_USUAL));
    assert_true(fixture_took(0, SIM_F_MRG_RXBUF));
    for (unsigned i = 0; i < 20; i++) {
        assert_passes(tcp4(BIG, 1460), BIG);
        lane_run(topology.port_lanes[0]);
    }
}

/* Most of the pool is in the tx ring: with what is left the rx ring is too short for a frame. */
TEST(a_sleeper_is_woken_by_what_was_sent_if_buffers_are_short)
{
    const struct header header = tcp4(BIG, 1460);

    chained_pair();
    fixtures[1].net->transmit_at_once = false;
    memcpy(fixtures[0].net->header, &header, sizeof(header));
    while (sim_virtio_net_deliver(fixtures[0].net, frame, BIG))
        lane_run(topology.port_lanes[0]);
    assert_false(lane_arm(topology.port_lanes[0]));
    const uint64_t before = fixtures[1].net->queues[SIM_TX].interrupts;
    assert_int_equal(sim_virtio_net_transmit(fixtures[1].net, 1), 1);
    assert_true(fixtures[1].net->queues[SIM_TX].interrupts > before);
    assert_true(lane_arm(topology.port_lanes[0]));
    lane_disarm(topology.port_lanes[0]);
    lane_run(topology.port_lanes[0]);
    assert_true(sim_virtio_net_deliver(fixtures[0].net, frame, BIG));
}

/* As many as a frame needs, and no more: the ring is low when it is full. */
TEST(a_sleeper_sleeps_where_buffers_are_few)
{
    chained_pair();
    net_of(0)->setup.rx[0].buffers = port_chain_max(PORT_FRAME_USUAL);
    assert_true(wanted_reset(fixtures[0].dev));
    service();
    assert_passes(tcp4(BIG, 1460), BIG);
    lane_run(topology.port_lanes[0]);
    assert_false(lane_arm(topology.port_lanes[0]));
    lane_disarm(topology.port_lanes[0]);
    assert_passes(tcp4(BIG, 1460), BIG);
}

/* The other device sends nothing: what its ring holds is all of the pool, and nothing is lost. */
TEST(a_full_tx_ring_holds_frames_back_until_it_has_room)
{
    const struct header header = tcp4(BIG, 1460);
    unsigned delivered = 0;

    chained_pair();
    fixtures[1].net->transmit_at_once = false;
    memcpy(fixtures[0].net->header, &header, sizeof(header));
    for (unsigned i = 0; i < 200; i++) {
        delivered += sim_virtio_net_deliver(fixtures[0].net, frame, BIG);
        lane_run(topology.port_lanes[0]);
    }
    assert_in_range(delivered, 5, 199);
    while (fixtures[1].net->sent_count < delivered) {
        lane_run(topology.port_lanes[0]);
        assert_true(sim_virtio_net_transmit(fixtures[1].net, 1) == 1);
    }
    for (unsigned i = 0; i < delivered; i++)
        assert_sent(i, header, BIG);
    assert_no_buffer_lost();
}

TEST(a_link_that_is_down_swallows_chains_whole)
{
    chained_pair();
    fixtures[1].net->link_status = 0;
    machine_clock_advance(CLOCK_NS_PER_S);
    service();
    for (unsigned i = 0; i < 100; i++)
        pass(tcp4(BIG, 1460), BIG);
    assert_int_equal(fixture_stats_of(&fixtures[1]).tx_link_down, 100);
    assert_int_equal(fixtures[1].net->sent_count, 0);
    assert_no_buffer_lost();
}

TEST(chains_in_the_ring_of_a_port_that_is_reset_come_back)
{
    chained_pair();
    fixtures[1].net->transmit_at_once = false;
    for (unsigned i = 0; i < 5; i++)
        pass(tcp4(BIG, 1460), BIG);
    const struct port_filling out = wanted_filling(fixtures[1].dev);
    assert_int_equal(out.tx_frames, 5);
    assert_int_equal(out.tx_buffers, 5 * (port_chain_max(PORT_FRAME_USUAL) + 1));
    assert_true(wanted_reset(fixtures[1].dev));
    service();
    assert_int_equal(fixture_stats_of(&fixtures[1]).tx_dropped, 5);
    fixtures[1].net->transmit_at_once = true;
    assert_passes(tcp4(BIG, 1460), BIG);
    assert_no_buffer_lost();
}

TEST(a_header_that_does_not_fit_a_chain_drops_all_of_it)
{
    struct header header = tcp4(BIG, 1460);

    chained_pair();
    header.csum_start = 35;
    pass(header, BIG);
    assert_int_equal(fixture_stats_of(&fixtures[1]).tx_bad_offload, 1);
    /* Headers that go on in another buffer are rejected. */
    make(BIG, 0x86dd, 54, 0);
    frame[54] = 6;
    frame[55] = 255;
    frame[54 + 2048 + 12] = 0x50;
    pass((struct header){NEEDS_CSUM, TCPV6, 54 + 2048 + 20, 100, 54 + 2048, 16}, BIG);
    assert_int_equal(fixture_stats_of(&fixtures[1]).tx_bad_offload, 2);
    /* A checksum that the partner no longer finishes is not finished here, either. */
    fixtures[1].dev->tx_offloads &= ~(uint32_t)PORT_OFFLOAD_CSUM;
    pass((struct header){NEEDS_CSUM, 0, 0, 0, 34, 16}, 3000);
    assert_int_equal(fixture_stats_of(&fixtures[1]).tx_no_offload, 1);
    assert_int_equal(fixtures[1].net->sent_count, 0);
    assert_no_buffer_lost();
}

/* --- a partner that cannot any more --- */

TEST(a_partner_without_tables_after_a_reset_ends_the_merging)
{
    chained_pair();
    fixtures[1].net->features &= ~SIM_F(INDIRECT_DESC);
    assert_true(wanted_reset(fixtures[1].dev));
    fixtures[1].dev->ops->service(fixtures[1].dev, clock_ns());
    assert_int_equal(fixtures[1].dev->state, PORT_UP);
    pass(tcp4(BIG, 1460), BIG); /* what was under way */
    assert_int_equal(fixture_stats_of(&fixtures[1]).tx_no_offload, 1);
    topology_refresh(&topology);
    service();
    assert_int_equal(machine_log_count("reset", "port=0 pci=00:01.0 reason=offloads"), 1);
    assert_false(fixture_took(0, SIM_F_MRG_RXBUF) || fixture_took(0, SIM_F_GUEST_TSO4));
    assert_passes((struct header){NEEDS_CSUM, 0, 0, 0, 34, 16}, 1000);
    assert_no_buffer_lost();
}

/* --- invalid counts and lengths --- */

static void assert_device_error(const char *reason, uint32_t value)
{
    char text[64];

    snprintf(text, sizeof(text), "reason=%s queue=0 value=%u ", reason, value);
    lane_run(topology.port_lanes[0]);
    fixture_notice(&fixtures[0]);
    assert_int_equal(machine_log_count("error", text), 1);
    service();
    assert_int_equal(machine_log_count("reset", reason), 1);
    assert_int_equal(fixtures[1].net->sent_count, 0);
    fixtures[0].net->num_buffers_lie = 0;
    fixtures[0].net->gap = 0;
    assert_passes(tcp4(BIG, 1460), BIG);
    assert_no_buffer_lost();
}

TEST(num_buffers_that_lies_is_a_device_error)
{
    static const struct {
        uint16_t lie;
        uint32_t length, value;
    } rows[] = {
        {0xffff, 60, 0}, {1, 60, 2},          {1, 5000, 5},        {40, 60, 41},
        {41, 60, 42},    {0x7fff, 60, 32768}, {0xfffe, 60, 65535}, {1, BIG, 42},
    };

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        again(state);
        chained_pair();
        const struct header header = tcp4(rows[i].length, 1460);
        memcpy(fixtures[0].net->header, &header, sizeof(header));
        fixtures[0].net->num_buffers_lie = rows[i].lie;
        assert_true(sim_virtio_net_deliver(fixtures[0].net, frame, rows[i].length));
        assert_device_error("num-buffers", rows[i].value);
    }
}

/* A frame of 3 buffers is said to be of 2: the third is a frame of its own then, whose header is what
 * was to be its bytes. */
TEST(num_buffers_too_low_makes_other_frames_of_the_same_bytes)
{
    const uint32_t length = PORT_FRAME_USUAL + FULL + 500;

    chained_pair();
    tcp4(length, 1460);
    memset(frame + PORT_FRAME_USUAL + FULL, 0, 12);
    frame[PORT_FRAME_USUAL + FULL + 10] = 1;
    fixtures[0].net->num_buffers_lie = 0xffff;
    pass((struct header){0}, length);
    assert_int_equal(fixtures[1].net->sent_count, 2);
    assert_int_equal(fixtures[1].net->sent[0].length, PORT_FRAME_USUAL + FULL);
    assert_memory_equal(fixtures[1].net->sent[0].data, frame, PORT_FRAME_USUAL + FULL);
    assert_int_equal(fixtures[1].net->sent[1].length, 488);
    assert_memory_equal(fixtures[1].net->sent[1].data, frame + length - 488, 488);
    assert_no_buffer_lost();
}

TEST(a_buffer_that_is_not_full_ends_no_frame)
{
    const struct header header = tcp4(5000, 1460);

    chained_pair();
    memcpy(fixtures[0].net->header, &header, sizeof(header));
    fixtures[0].net->gap = 1;
    assert_true(sim_virtio_net_deliver(fixtures[0].net, frame, 5000));
    assert_device_error("used-length-short", FULL - 1);
}

TEST(a_part_with_a_length_that_cannot_be_is_a_device_error)
{
    static const struct {
        enum sim_fault fault;
        const char *reason;
        uint32_t value;
    } rows[] = {{SIM_LENGTH_ZERO, "used-length-short", 0},
                {SIM_LENGTH_BELOW_HEADER, "used-length-short", 11},
                {SIM_LENGTH_HEADER, "used-length-short", 12},
                {SIM_LENGTH_ABOVE_BUFFER, "used-length-long", FULL + 1},
                {SIM_LENGTH_MAX, "used-length-long", UINT32_MAX}};

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        again(state);
        chained_pair();
        const struct header header = tcp4(5000, 1460);
        memcpy(fixtures[0].net->header, &header, sizeof(header));
        fixtures[0].net->queues[SIM_RX].fault = rows[i].fault;
        assert_true(sim_virtio_net_deliver(fixtures[0].net, frame, 5000));
        assert_device_error(rows[i].reason, rows[i].value);
    }
}

TEST(a_last_part_without_a_byte_is_a_device_error)
{
    const struct header header = tcp4(PORT_FRAME_USUAL, 1460);

    chained_pair();
    memcpy(fixtures[0].net->header, &header, sizeof(header));
    fixtures[0].net->num_buffers_lie = 1;
    assert_true(sim_virtio_net_deliver(fixtures[0].net, frame, PORT_FRAME_USUAL));
    fixtures[0].net->queues[SIM_RX].fault = SIM_LENGTH_ZERO;
    assert_true(sim_virtio_net_deliver(fixtures[0].net, frame, 60));
    assert_device_error("used-length-short", 0);
}

TEST(a_frame_longer_than_any_may_be_is_a_device_error)
{
    const uint32_t most = PORT_FRAME_USUAL + 40 * FULL;

    chained_pair();
    tcp4(BIG, 1460);
    assert_true(most > PORT_FRAME_SEGMENTS && most <= sizeof(frame) + 600);
    static uint8_t longer[PORT_FRAME_USUAL + 40 * FULL];
    assert_true(sim_virtio_net_deliver(fixtures[0].net, longer, sizeof(longer)));
    assert_device_error("used-length-long", most + 12);
}

TEST(frames_before_a_device_error_in_the_same_burst_are_sent)
{
    const struct header header = tcp4(5000, 1460);

    chained_pair();
    memcpy(fixtures[0].net->header, &header, sizeof(header));
    for (unsigned i = 0; i < 4; i++) {
        fixtures[0].net->num_buffers_lie = i == 3 ? 0xfffb : 0; /* none */
        assert_true(sim_virtio_net_deliver(fixtures[0].net, frame, 5000));
    }
    for (unsigned i = 0; i < 4; i++)
        lane_run(topology.port_lanes[0]);
    fixture_notice(&fixtures[0]);
    assert_int_equal(machine_log_count("error", "reason=num-buffers queue=0 value=65535 "), 1);
    assert_int_equal(fixtures[1].net->sent_count, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_sent(i, header, 5000);
    sim_virtio_net_forget_sent(fixtures[1].net);
    service();
    assert_no_buffer_lost();
}

/* --- any of it, at random --- */

static uint64_t lot = 1;

static uint32_t draw(uint32_t below)
{
    lot = lot * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(lot >> 33) % below;
}

/* The next frame has an error, perhaps several. */
static void draw_faults(struct sim_virtio_net *net)
{
    static const enum sim_fault faults[] = {
        SIM_USED_ID_SIZE,  SIM_USED_ID_HUGE,        SIM_LENGTH_ZERO,         SIM_LENGTH_HEADER,
        SIM_LENGTH_BUFFER, SIM_LENGTH_BELOW_HEADER, SIM_LENGTH_ABOVE_BUFFER, SIM_LENGTH_MAX};

    if (draw(2) != 0)
        net->num_buffers_lie = (uint16_t)(draw(3) == 0 ? draw(0x10000) : draw(5) - 2);
    if (draw(3) == 0)
        net->gap = 1 + draw(100);
    if (draw(3) == 0)
        net->queues[SIM_RX].fault = faults[draw(sizeof(faults) / sizeof(faults[0]))];
}

static void run_both(void)
{
    for (unsigned i = 0; i < 8; i++) {
        lane_run(topology.port_lanes[0]);
        service();
    }
    machine_clock_advance(60 * CLOCK_NS_PER_S); /* so that no port is retired */
}

/* With any statement of a device on its buffers, none is lost, only frames leave, and a valid
 * frame arrives afterwards. The sanitizers watch. */
TEST(faults_at_random_lose_no_buffer_and_no_true_frame)
{
    struct sim_virtio_net *net;

    chained_pair();
    net = fixtures[0].net;
    for (unsigned n = 0; n < 300; n++) {
        for (unsigned i = draw(4); i > 0; i--) {
            const uint32_t length = 60 + draw(draw(2) != 0 ? 5000 : BIG - 60);
            const struct header header = tcp4(length, 1460);
            memcpy(net->header, &header, sizeof(header));
            draw_faults(net);
            (void)sim_virtio_net_deliver(net, frame, length);
        }
        net->num_buffers_lie = 0;
        net->gap = 0;
        net->queues[SIM_RX].fault = SIM_SOUND;
        run_both();
        sim_virtio_net_forget_sent(fixtures[1].net);
        assert_int_equal(fixtures[0].dev->state, PORT_UP);
        const uint32_t length = 60 + draw(BIG - 60);
        assert_passes(tcp4(length, 1460), length);
        assert_no_buffer_lost();
    }
    assert_in_range(fixture_stats_of(&fixtures[0]).resets, 100, 300);
    assert_true(net_of(0)->errors[VIRTQUEUE_NUM_BUFFERS] > 20);
}
