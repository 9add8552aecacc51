/*
 * Offloads carried from one simulated device to another: drivers/virtio/virtio_net_offload.c,
 * virtio_net_header.c, and what virtio_net_negotiate.c takes of them. Two ports on a wire, put
 * together as the kernel does it; frames and headers are written here as §5.1.6 has them.
 */
#include <stdlib.h>
#include <string.h>

#include <machine/clock.h>

#include "net/stats.h"
#include "tests/host/fixture/offload_fixture.h"
#include "drivers/virtio/virtio_net_internal.h"
#include "tests/host/fixture/test.h"
#include "tests/host/fixture/wanted.h"
#include "tests/host/sim/machine.h"

static uint64_t taken(unsigned i)
{
    return fixtures[i].net->driver_features;
}

static uint64_t offload_bits(unsigned i)
{
    return taken(i) & (CHECKSUM | HOST_SEGMENTS | GUEST_SEGMENTS | DATAGRAMS);
}

static struct header sent_header(void)
{
    struct header header;

    assert_int_equal(fixtures[1].net->sent_count, 1);
    memcpy(&header, fixtures[1].net->sent[0].header, sizeof(header));
    return header;
}

static void assert_arrived(struct header expected, uint32_t length)
{
    const struct header header = sent_header();

    assert_memory_equal(&header, &expected, sizeof(header));
    assert_int_equal(fixtures[1].net->sent[0].length, length);
    assert_memory_equal(fixtures[1].net->sent[0].data, frame, length);
    sim_virtio_net_forget_sent(fixtures[1].net);
}

static void assert_dropped(uint64_t bad, uint64_t not_possible)
{
    const struct port_stats stats = fixture_stats_of(&fixtures[1]);

    assert_int_equal(fixtures[1].net->sent_count, 0);
    assert_int_equal(stats.tx_bad_offload, bad);
    assert_int_equal(stats.tx_no_offload, not_possible);
    assert_int_equal(stats.tx_dropped, bad + not_possible);
}

/* --- frames --- */

/* The checksum of `length` bytes, as RFC 1071 has it, over big-endian words. */
static uint16_t checksum(const uint8_t *bytes, uint32_t length)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < length; i++)
        sum += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* --- negotiation --- */

TEST_FIXTURE(.setup = offload_setup, .teardown = fixture_teardown);

TEST(offloads_are_taken_on_both_sides_of_a_wire_that_offers_all)
{
    pair(ALL, ALL);
    assert_int_equal(offload_bits(0), ALL & ~BASE);
    assert_int_equal(offload_bits(1), ALL & ~BASE);
    assert_false(fixture_took(0, SIM_F_MRG_RXBUF));
}

TEST(no_more_is_let_in_than_the_partner_can_send)
{
    /* The offloads that the partner lacks, and those not negotiated because of it. */
    static const uint64_t rows[][2] = {
        {SIM_F(CSUM), SIM_F(GUEST_CSUM) | GUEST_SEGMENTS | SIM_F(GUEST_USO4) | SIM_F(GUEST_USO6)},
        {SIM_F(HOST_TSO4), SIM_F(GUEST_TSO4)},
        {SIM_F(HOST_TSO6), SIM_F(GUEST_TSO6)},
        {SIM_F(HOST_TSO4) | SIM_F(HOST_TSO6),
         SIM_F(GUEST_TSO4) | SIM_F(GUEST_TSO6) | SIM_F(GUEST_ECN)},
        {SIM_F(HOST_ECN), SIM_F(GUEST_ECN)},
        {SIM_F(HOST_UFO), SIM_F(GUEST_UFO)},
        {SIM_F(HOST_USO), SIM_F(GUEST_USO4) | SIM_F(GUEST_USO6)},
    };
    const uint64_t guest =
        SIM_F(GUEST_CSUM) | GUEST_SEGMENTS | SIM_F(GUEST_USO4) | SIM_F(GUEST_USO6);

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        again(state);
        pair(ALL, ALL & ~rows[i][0]);
        assert_int_equal(taken(0) & guest, guest & ~rows[i][1]);
        assert_int_equal(taken(1) & guest, guest); /* the other direction is another matter */
    }
}

TEST(no_offload_is_taken_without_what_it_depends_on)
{
    again(state);
    pair(ALL & ~SIM_F(GUEST_CSUM), ALL);
    assert_int_equal(taken(0) & (GUEST_SEGMENTS | SIM_F(GUEST_USO4) | SIM_F(GUEST_USO6)), 0);
    again(state);
    pair(ALL & ~SIM_F(CSUM), ALL);
    assert_int_equal(taken(0) & (HOST_SEGMENTS | SIM_F(HOST_USO)), 0);
    again(state);
    pair(ALL & ~(SIM_F(GUEST_TSO4) | SIM_F(GUEST_TSO6)), ALL);
    assert_false(fixture_took(0, SIM_F_GUEST_ECN));
}

TEST(offload_off_refuses_them_all)
{
    fixture_options.offloads = false;
    pair(ALL, ALL);
    assert_int_equal(offload_bits(0) | offload_bits(1), 0);
}

TEST(an_idle_port_lets_nothing_unfinished_in)
{
    add(0, ALL, true);
    assemble(1, 30 * MIB);
    assert_int_equal(taken(0) & SIM_F(GUEST_CSUM), 0);
}

TEST(a_partner_that_fails_takes_the_offloads_with_it)
{
    add(0, ALL | CONTROL, true);
    add(1, ALL, true);
    fixtures[1].net->modern.features_refused = true;
    assemble(2, 30 * MIB);
    assert_int_equal(fixtures[1].dev->state, PORT_DOWN);
    topology_refresh(&topology);
    assert_int_equal(fixtures[0].dev->wanted.offloads, 0);
}

/* --- a frame's way --- */

TEST(a_large_tcp_segment_crosses_in_one_piece_byte_for_byte)
{
    pair(ALL, ALL);
    const struct header four = tcp4(BIG, 1460);
    pass(four, BIG);
    assert_arrived(four, BIG);
    const struct header six = tcp6(BIG, 1440);
    pass(six, BIG);
    assert_arrived(six, BIG);
    assert_int_equal(fixture_stats_of(&fixtures[1]).tx_bytes, 2 * BIG);
}

TEST(every_kind_of_frame_keeps_its_header)
{
    pair(ALL, ALL);
    struct header header = udp4(9000, UDP, 1480);
    pass(header, 9000);
    assert_arrived(header, 9000);
    header = udp4(9000, UDP_L4, 1200);
    pass(header, 9000);
    assert_arrived(header, 9000);
    header = tcp4(9000, 1448);
    header.type |= ECN;
    pass(header, 9000);
    assert_arrived(header, 9000);
    header = (struct header){NEEDS_CSUM, 0, 0, 0, 34, 16};
    pass(header, 9000);
    assert_arrived(header, 9000);
}

TEST(a_vlan_tag_moves_the_headers)
{
    pair(ALL, ALL);
    struct header header = tcp4(9000, 1460);
    memmove(frame + 16, frame + 12, 9000);
    memcpy(frame + 12, "\x81\x00\x00\x05", 4);
    header.csum_start += 4;
    header.hdr_len += 4;
    pass(header, 9004);
    assert_arrived(header, 9004);
}

/* Providers nest two tags, and sometimes three. */
TEST(three_vlan_tags_move_the_headers_too)
{
    pair(ALL, ALL);
    struct header header = tcp4(9000, 1460);
    memmove(frame + 24, frame + 12, 9000);
    memcpy(frame + 12, "\x88\xa8\x00\x07\x88\xa8\x00\x06\x81\x00\x00\x05", 12);
    header.csum_start += 12;
    header.hdr_len += 12;
    pass(header, 9012);
    assert_arrived(header, 9012);
    assert_int_equal(fixture_stats_of(&fixtures[1]).tx_bad_offload, 0);
}

TEST(what_a_driver_must_not_send_is_cleared)
{
    pair(ALL, ALL);
    make(100, 0x0800, 34, 6);
    pass((struct header){DATA_VALID, 0, 0, 0, 0, 0}, 100);
    assert_arrived((struct header){0}, 100);
    pass((struct header){DATA_VALID | RSC_INFO | 0xf8, 0, 7, 7, 7, 7}, 100);
    assert_arrived((struct header){0}, 100);
    pass((struct header){0, 0, 0, 0, 0, 7}, 100);
    assert_arrived((struct header){0}, 100);
    pass((struct header){NEEDS_CSUM | DATA_VALID, 0, 0, 0, 34, 16}, 100);
    assert_arrived((struct header){NEEDS_CSUM, 0, 0, 0, 34, 16}, 100);
    memcpy(fixtures[0].net->header + 10, "\xff\xff", 2); /* num_buffers */
    pass((struct header){NEEDS_CSUM, 0, 0, 0, 34, 16}, 100);
    assert_arrived((struct header){NEEDS_CSUM, 0, 0, 0, 34, 16}, 100);
}

TEST(fields_of_features_not_negotiated_do_not_pass)
{
    again(state);
    pair(ALL & ~SIM_F(GUEST_CSUM), ALL);
    struct header header = tcp4(1000, 500);
    pass(header, 1000);
    assert_arrived((struct header){0}, 1000);
    again(state);
    pair(ALL & ~(SIM_F(GUEST_TSO4) | SIM_F(GUEST_ECN)), ALL);
    header = tcp4(1000, 500);
    pass(header, 1000); /* the checksum is another feature's, and was negotiated */
    assert_arrived((struct header){NEEDS_CSUM, 0, 0, 0, 34, 16}, 1000);
    header = tcp6(1000, 500);
    header.type |= ECN;
    pass(header, 1000);
    header.type = TCPV6;
    assert_arrived(header, 1000);
}

TEST(long_and_short_headers_meet)
{
    for (unsigned way = 0; way < 4; way++) {
        again(state);
        add(0, ALL & 0xffffffff, way & 1);
        add(1, ALL & 0xffffffff, way & 2);
        assemble(2, 30 * MIB);
        for (unsigned i = 0; i < 600; i++) { /* each buffer more than once */
            const struct header header = i % 3 == 0   ? tcp4(3000, 1460)
                                         : i % 3 == 1 ? (struct header){NEEDS_CSUM, 0, 0, 0, 34, 16}
                                                      : (struct header){0};
            pass(header, 3000);
            assert_arrived(header, 3000);
        }
    }
}

TEST(a_header_that_is_a_lie_drops_its_frame_and_no_other)
{
    const struct header good = {NEEDS_CSUM, TCPV4, IP4_TCP, 1460, 34, 16};
    const struct header lies[] = {
        {NEEDS_CSUM, 0, 0, 0, 2985, 16},             /* beyond the end */
        {NEEDS_CSUM, 0, 0, 0, 65535, 65535},         /* and round it */
        {NEEDS_CSUM, 0, 0, 0, 13, 16},               /* in the Ethernet header */
        {NEEDS_CSUM, 0, 0, 0, 0, 0},                 /* whose fields are all zero */
        {0, TCPV4, 0, 0, 0, 0},                      /* and so are these */
        {0, TCPV4, IP4_TCP, 1460, 34, 16},           /* segments need checksums */
        {NEEDS_CSUM, TCPV4, IP4_TCP, 0, 34, 16},     /* of nothing */
        {NEEDS_CSUM, TCPV4, 3001, 1460, 34, 16},     /* headers longer than the frame */
        {NEEDS_CSUM, TCPV4, IP4_TCP, 1460, 35, 16},  /* not where the TCP header is */
        {NEEDS_CSUM, TCPV4, IP4_TCP, 1460, 34, 6},   /* not where its checksum is */
        {NEEDS_CSUM, TCPV6, IP4_TCP, 1460, 34, 16},  /* it is no IPv6 */
        {NEEDS_CSUM, UDP, IP4_TCP, 1460, 34, 6},     /* nor UDP */
        {NEEDS_CSUM, UDP_L4, IP4_TCP, 1460, 34, 16}, /* … */
    };

    pair(ALL, ALL);
    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        tcp4(3000, 0);
        pass(lies[i], 3000);
        assert_dropped(i + 1, 0);
        pass(good, 3000);
        assert_arrived(good, 3000);
    }
    assert_int_equal(fixtures[0].dev->state, PORT_UP);
}

TEST(a_frame_that_is_not_what_its_header_says_is_dropped)
{
    uint64_t dropped = 0;

    pair(ALL, ALL);
    for (unsigned i = 0; i < 6; i++) {
        const struct header header = tcp4(3000, 1460);
        uint32_t length = 3000;
        switch (i) {
        case 0:
            frame[14] = 0x65;
            break; /* IP of version 6 */
        case 1:
            frame[14] = 0x44;
            break; /* with a header too short */
        case 2:
            frame[14 + 6] = 0x20;
            break; /* a fragment */
        case 3:
            frame[34 + 12] = 0x40;
            break; /* a TCP header too short */
        case 4:
            frame[34 + 12] = 0xf0;
            length = 90;
            break; /* or longer than the frame */
        default:
            length = IP4_TCP;
            break; /* nothing to cut */
        }
        pass(header, length);
        assert_dropped(++dropped, 0);
    }
}

/* Eight extension headers of 2 KiB each are walked over, and no more of them. */
TEST(extension_headers_are_walked_over_but_not_for_ever)
{
    for (unsigned count = 8; count <= 9; count++) {
        uint32_t at = 54; /* of the TCP header in the end */
        again(state);
        pair(ALL, ALL);
        make(BIG, 0x86dd, 54, 0);
        for (unsigned i = 0; i < count; i++, at += 2048) {
            frame[at] = i + 1 < count ? 60 : 6;
            frame[at + 1] = 255;
        }
        frame[at + 12] = 0x50;
        const struct header header = {NEEDS_CSUM, TCPV6,        (uint16_t)(at + 20),
                                      100,        (uint16_t)at, 16};
        pass(header, BIG);
        if (count == 8)
            assert_arrived(header, BIG);
        else
            assert_dropped(1, 0);
    }
}

TEST(a_length_of_headers_that_is_too_small_is_set_right)
{
    pair(ALL, ALL);
    struct header header = tcp4(3000, 1460);
    header.hdr_len = 14;
    pass(header, 3000);
    header.hdr_len = IP4_TCP;
    assert_arrived(header, 3000);
}

TEST(good_and_bad_frames_of_one_burst_are_told_apart)
{
    struct port_stats stats;

    pair(ALL, ALL);
    const uint32_t buffers = topology.lanes[0].pool->count;
    for (unsigned i = 0; i < BURST; i++) {
        struct header header = tcp4(3000, 1460);
        if (i % 3 == 1)
            header.gso_size = 0;
        else if (i % 3 == 2)
            header = (struct header){0};
        memcpy(fixtures[0].net->header, &header, sizeof(header));
        frame[100] = (uint8_t)i;
        assert_true(sim_virtio_net_deliver(fixtures[0].net, frame, 3000));
    }
    assert_int_equal(lane_run(topology.port_lanes[0]), BURST);
    for (unsigned i = 0, n = 0; i < BURST; i++)
        if (i % 3 != 1)
            assert_int_equal(fixtures[1].net->sent[n++].data[100], i);
    stats = fixture_stats_of(&fixtures[1]);
    assert_int_equal(stats.tx_packets, BURST - 11);
    assert_int_equal(stats.tx_bytes, (BURST - 11) * 3000);
    assert_int_equal(stats.tx_bad_offload, 11);
    (void)virtio_net_reclaim_all((struct virtio_net *)fixtures[1].dev);
    /* The rx ring is refilled when two bursts are missing. */
    assert_int_equal(topology.lanes[0].pool->count, buffers + BURST);
}

/* The device may write into its buffer again once the frame was received. The other device gets a header
 * of ours. */
TEST(a_header_that_is_written_late_does_not_leave)
{
    static const unsigned counts[] = {1, 4, 7, BURST};
    static const struct header late = {NEEDS_CSUM, TCPV4, 7, 7, 34, 16}, none;
    struct batch batch;

    for (unsigned way = 0; way < 4; way++) {
        again(state);
        add(0, ALL & 0xffffffff, way & 1);
        add(1, ALL & 0xffffffff, way & 2);
        assemble(2, 30 * MIB);
        make(100, 0x0800, 34, 6);
        memset(fixtures[0].net->header, 0, sizeof(fixtures[0].net->header));
        for (unsigned i = 0; i < 40; i++) { /* around the rings */
            for (unsigned n = 0; n < counts[i % 4]; n++)
                assert_true(sim_virtio_net_deliver(fixtures[0].net, frame, 100));
            while (port_rx(fixtures[0].dev, 0, &batch, BURST) != 0) {
                assert_false(batch.has_offloads);
                for (unsigned n = 0; n < batch.count; n++)
                    memcpy(batch_frame(&batch, n) - fixtures[0].dev->rx_header, &late,
                           sizeof(late));
                fixtures[1].dev->ops->room(fixtures[1].dev, 0, BURST); /* buffers come back */
                assert_int_equal(port_tx(fixtures[1].dev, 0, &batch), batch.count);
            }
            assert_int_equal(fixtures[1].net->sent_count, counts[i % 4]);
            for (unsigned n = 0; n < counts[i % 4]; n++)
                assert_memory_equal(fixtures[1].net->sent[n].header, &none, sizeof(none));
            sim_virtio_net_forget_sent(fixtures[1].net);
        }
    }
}

/* Such frames are not staged in the ring. */
TEST(a_single_frame_leaves_alone_where_a_burst_was_dropped_whole)
{
    struct header bad = tcp4(3000, 1460);

    for (unsigned i = 0; i < 2; i++) {
        fixture_packed(NULL);
        fixture_add(i, ALL);
    }
    assemble(2, 30 * MIB);
    for (unsigned burst = 1; burst <= 300; burst++) { /* all around the ring */
        bad.gso_size = 0;
        memcpy(fixtures[0].net->header, &bad, sizeof(bad));
        for (unsigned i = 0; i < 5; i++)
            assert_true(sim_virtio_net_deliver(fixtures[0].net, frame, 3000));
        const uint32_t taken = lane_run(topology.port_lanes[0]); /* up to the rx ring's end */
        assert_int_equal(taken + lane_run(topology.port_lanes[0]), 5);
        assert_dropped(5ull * burst, 0);
        pass((struct header){0}, 64);
        assert_arrived((struct header){0}, 64);
    }
}

TEST(a_device_that_says_one_buffer_each_time_costs_no_frame)
{
    pair(ALL, ALL);
    make(64, 0x0800, 34, 6);
    for (unsigned i = 0; i < 1000; i++) {
        pass((struct header){0}, 64); /* num_buffers is 1: the device of VERSION_1 writes it */
        assert_arrived((struct header){0}, 64);
    }
}

/* --- the partner can do less --- */

/* Leaves something in every buffer behind where a later frame ends. */
static void dirty_all_buffers(void)
{
    memset(frame, 0x55, 1700);
    for (unsigned i = 0; i < 2 * topology.lanes[0].pool->capacity; i++) {
        pass((struct header){0}, 1700);
        sim_virtio_net_forget_sent(fixtures[1].net);
    }
}

TEST(an_unfinished_checksum_is_finished_where_the_partner_cannot)
{
    static const uint32_t lengths[] = {60, 61, 1514, 1601, 64};

    for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        const uint32_t length = lengths[i];
        again(state);
        pair(ALL, ALL);
        dirty_all_buffers();
        fixtures[1].dev->tx_offloads = 0; /* as after a reset of its device, and before ours */
        const struct header header = {NEEDS_CSUM, 0, 0, 0, 34, 6};
        make(length, 0x0800, 34, 17);
        if (i == 4)
            memset(frame + 34, 0xff, length - 34); /* its sum is zero */
        pass(header, length);
        uint8_t expected[2] = {0xff, 0xff};
        const uint16_t sum = checksum(frame + 34, length - 34);
        if (sum != 0) {
            expected[0] = (uint8_t)(sum >> 8);
            expected[1] = (uint8_t)sum;
        }
        memcpy(frame + 40, expected, 2);
        assert_arrived((struct header){0}, length);
    }
}

TEST(a_frame_to_be_cut_is_counted_where_the_partner_cannot)
{
    pair(ALL, ALL);
    fixtures[1].dev->tx_offloads &= ~(uint32_t)PORT_OFFLOAD_TSO4;
    struct header header = tcp4(9000, 1460);
    pass(header, 9000);
    assert_dropped(0, 1);
    fixtures[1].dev->tx_offloads &= ~(uint32_t)PORT_OFFLOAD_ECN;
    header = tcp6(9000, 1440);
    header.type |= ECN;
    pass(header, 9000);
    assert_dropped(0, 2);
    struct stats_counters counters;
    char text[STATS_DROPS_TEXT];
    stats_read(&counters, fixtures[1].dev, NULL);
    stats_drops_text(&counters, text);
    assert_non_null(strstr(text, " drop_stopped=0 drop_link_down=0 drop_bad_offload=0 "
                                 "drop_no_offload=2"));
}

/* The partner's device comes back from a reset with fewer offers. */
static void shrink(uint64_t features)
{
    fixtures[1].net->features = features;
    assert_true(wanted_reset(fixtures[1].dev));
    fixtures[1].dev->ops->service(fixtures[1].dev, clock_ns());
    assert_int_equal(fixtures[1].dev->state, PORT_UP);
    topology_refresh(&topology);
}

static void service_until_settled(void)
{
    for (unsigned i = 0; i < 100; i++)
        fixtures[0].dev->ops->service(fixtures[0].dev, clock_ns());
}

TEST(a_partner_that_offers_less_after_a_reset_cuts_the_ports_offloads_by_a_command)
{
    pair(ALL | CONTROL, ALL | SIM_F(VERSION_1));
    shrink((ALL | SIM_F(VERSION_1)) & ~(SIM_F(HOST_TSO4) | SIM_F(HOST_TSO6)));
    service_until_settled();
    assert_int_equal(fixtures[0].net->offloads,
                     SIM_F(GUEST_CSUM) | SIM_F(GUEST_UFO) | SIM_F(GUEST_USO4) | SIM_F(GUEST_USO6));
    assert_int_equal(fixtures[0].dev->state, PORT_UP);
    assert_int_equal(fixture_stats_of(&fixtures[0]).resets, 0);
    /* Frames in progress still follow the old negotiation. */
    const struct header header = tcp4(9000, 1460);
    pass(header, 9000);
    assert_dropped(0, 1);
    service_until_settled();
    assert_int_equal(fixtures[0].net->commands, 1);
}

TEST(without_the_command_or_if_it_is_refused_the_port_is_reset)
{
    for (unsigned way = 0; way < 2; way++) {
        again(state);
        pair(way == 0 ? ALL : ALL | CONTROL, ALL);
        fixtures[0].net->answer = SIM_ANSWER_REFUSE;
        shrink((ALL | SIM_F(VERSION_1)) & ~SIM_F(CSUM));
        service_until_settled();
        assert_int_equal(machine_log_count("reset", "port=0 pci=00:01.0 reason=offloads"), 1);
        assert_int_equal(fixtures[0].dev->state, PORT_UP);
        assert_int_equal(taken(0) & (SIM_F(GUEST_CSUM) | GUEST_SEGMENTS), 0);
    }
}

TEST(a_partner_that_offers_more_again_is_believed_at_the_next_reset)
{
    pair(ALL, BASE);
    assert_int_equal(taken(0) & SIM_F(GUEST_CSUM), 0);
    shrink(ALL | SIM_F(VERSION_1));
    service_until_settled();
    assert_int_equal(taken(0) & SIM_F(GUEST_CSUM), 0);
    assert_int_equal(fixture_stats_of(&fixtures[0]).resets, 0);
    assert_true(wanted_reset(fixtures[0].dev));
    service_until_settled();
    assert_true(fixture_took(0, SIM_F_GUEST_CSUM));
    assert_false(fixture_took(0, SIM_F_GUEST_TSO4)); /* its buffers were made for small frames */
}

TEST(another_wire_cuts_the_offloads_before_a_frame_takes_it)
{
    add(0, ALL | CONTROL, true);
    add(1, ALL, true);
    add(2, BASE, true);
    assemble(3, 48 * MIB);
    assert_true(fixture_took(0, SIM_F_GUEST_TSO4));
    topology_reconfigure(&topology, "0-2", false);
    service_until_settled();
    assert_int_equal(fixtures[0].net->commands, 1);
    assert_int_equal(fixtures[0].net->offloads, 0);
}

/* The second port's new device; its reset is over at once. */
static void plug_in_second(void)
{
    virtio_net_replace(fixtures[1].dev, &devices[1]);
    assert_true(virtio_net_probe_step(fixtures[1].dev));
    assert_string_equal(fixtures[1].dev->reason, "found");
}

TEST(a_device_plugged_in_with_fewer_offers_cuts_its_partner)
{
    pair(ALL | CONTROL, ALL);
    assert_true(fixture_took(0, SIM_F_GUEST_TSO6));
    virtio_net_remove(fixtures[1].dev, "ejected");
    fixtures[1].net->features = BASE | SIM_F(VERSION_1) | SIM_F(CSUM);
    plug_in_second();
    assert_true(topology_hotplug(&topology, 1, MIB));
    service_until_settled();
    assert_int_equal(fixtures[0].net->offloads, SIM_F(GUEST_CSUM));
    assert_int_equal(fixtures[1].dev->state, PORT_UP);
    const struct header header = {NEEDS_CSUM, 0, 0, 0, 34, 16};
    make(100, 0x0800, 34, 6);
    pass(header, 100);
    assert_arrived(header, 100);
}

TEST(a_new_device_that_is_refused_leaves_the_port_without_one)
{
    pair(ALL | CONTROL, ALL);
    virtio_net_remove(fixtures[1].dev, "ejected");
    fixtures[1].net->modern.features_refused = true;
    plug_in_second();
    assert_false(topology_hotplug(&topology, 1, MIB));
    assert_int_equal(fixtures[1].dev->state, PORT_GONE);
    fixtures[1].net->modern.features_refused = false;
    plug_in_second();
    assert_true(topology_hotplug(&topology, 1, MIB));
    assert_int_equal(fixtures[1].dev->state, PORT_UP);
}

TEST(a_port_that_reflects_accepts_what_it_can_send_itself)
{
    add(0, ALL & ~SIM_F(HOST_TSO4), true);
    memset(&topology, 0, sizeof(topology));
    fixture_find_all(1);
    topology.port_count = 1;
    topology.memory = 30 * MIB;
    topology.ports[0] = fixtures[0].dev;
    topology_plan(&topology, "", true);
    assert_true(fixture_took(0, SIM_F_GUEST_TSO6));
    assert_false(fixture_took(0, SIM_F_GUEST_TSO4));
}

/* --- length and memory --- */

TEST(buffers_are_large_only_where_such_frames_come_in)
{
    again(state);
    pair(ALL, ALL & ~HOST_SEGMENTS & ~SIM_F(HOST_USO));
    assert_true(topology.lanes[0].pool->frame_max < 10000);
    assert_true(topology.lanes[1].pool->frame_max + 10 >= 65562);
    assert_true(topology.lanes[1].pool->capacity >= 128 + BURST);
}

TEST(where_memory_is_short_segments_are_refused_and_checksums_stay)
{
    add(0, ALL, true);
    add(1, ALL, true);
    assemble(2, 12 * MIB);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(fixture_took(i, SIM_F_GUEST_CSUM));
        assert_int_equal(taken(i) & GUEST_SEGMENTS, 0);
        assert_int_equal(topology.core.quotas[i].rx, 256);
    }
    assert_int_equal(machine_log_count("warn", "reason=memory detail=\"too little RAM for frames"),
                     2);
}

TEST(jumbo_frames_come_in_whole_where_there_is_memory)
{
    pair(BASE, BASE);
    make(9018, 0x0800, 34, 6);
    pass((struct header){0}, 9018);
    assert_arrived((struct header){0}, 9018);
}

TEST(with_little_memory_and_no_mtu_frames_are_small)
{
    add(0, BASE, true);
    add(1, BASE, true);
    assemble(2, 4 * MIB);
    assert_int_equal(topology.lanes[0].pool->frame_max, 1600);
    assert_int_equal(topology.core.quotas[0].rx, 256);
}

/* The partner states an mtu of 1500: the pieces count, not the whole. */
TEST(an_mtu_counts_for_the_pieces_of_a_frame_that_is_cut)
{
    pair(ALL, ALL | SIM_F(MTU));
    struct header header = tcp4(BIG, 1460);
    pass(header, BIG);
    assert_arrived(header, BIG);
    header = udp4(9000, UDP, 1480);
    pass(header, 9000);
    assert_arrived(header, 9000);
    header = tcp4(9000, 1461);
    pass(header, 9000);
    header = udp4(9000, UDP, 1481);
    pass(header, 9000);
    make(2000, 0x0800, 34, 6);
    pass((struct header){0}, 2000);
    assert_int_equal(fixtures[1].net->sent_count, 0);
    assert_int_equal(topology.lanes[0].drops[DROP_OVERSIZE], 3);
}
