/* Lanes and apps on ports in memory: net/lane.c, net/apps, net/pool.c. */
#include <string.h>

#include "net/lane.h"
#include "tests/host/fixture/memory_port.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/machine.h"

#define FRAME_BYTES 2048
#define BUFFERS (2 * MEMORY_PORT_RING + BURST)

static const struct mac_address mac_a = {{0x02, 0, 0, 0, 0, 0xa}};
static const struct mac_address mac_b = {{0x02, 0, 0, 0, 0, 0xb}};

static struct memory_port a, b;
static struct pool pool;
static struct lane lane; /* from a to b, or from a back to a */
static uint8_t out[FRAME_BYTES];

static void start_lane(struct memory_port *to, const struct app *app)
{
    lane_init(&lane, &a.port, &to->port, app);
    assert_true(pool_create(&pool, BUFFERS, FRAME_BYTES, false));
    lane.pool = &pool;
    const struct port_setup receive = {
        .rx_queues = 1,
        .tx_queues = 1,
        .rx = {{.pool = &pool, .buffers = MEMORY_PORT_RING}},
        .tx = {{.pool = &pool, .buffers = MEMORY_PORT_RING}},
    };
    const struct port_setup transmit = {.tx_queues = 1, .tx = {receive.tx[0]}};
    a.port.wanted.payload_max = lane.payload_max;
    assert_true(a.port.ops->start(&a.port, &receive));
    if (to != &a)
        assert_true(to->port.ops->start(&to->port, &transmit));
}

static int setup(void **state)
{
    (void)state;
    machine_reset();
    memory_port_init(&a, 0, mac_a);
    memory_port_init(&b, 1, mac_b);
    return 0;
}

TEST_FIXTURE(.setup = setup);

/* A frame of `length` bytes whose content depends on its number. */
static void make_frame(uint8_t *frame, uint32_t length, unsigned number)
{
    for (uint32_t i = 0; i < length; i++)
        frame[i] = (uint8_t)(number * 31 + i * 7);
    frame[0] &= 0xfe; /* unicast */
}

static void inject(uint32_t length, unsigned number)
{
    uint8_t frame[FRAME_BYTES];

    make_frame(frame, length, number);
    assert_true(memory_port_inject(&a, frame, length));
}

static void assert_comes_out(struct memory_port *port, uint32_t length, unsigned number)
{
    uint8_t frame[FRAME_BYTES];

    make_frame(frame, length, number);
    assert_int_equal(memory_port_collect(port, out, sizeof(out)), length);
    assert_memory_equal(out, frame, length);
}

/* Every buffer is in the pool or in a ring: none was lost, none is there twice. */
static void assert_no_leak(void)
{
    uint32_t posted = a.posted.tail - a.posted.head;

    assert_int_equal(pool.count + posted, BUFFERS);
}

TEST(wire_passes_every_size_unchanged_and_in_order)
{
    start_lane(&b, app_find("wire"));
    for (uint32_t length = 14; length <= FRAME_BYTES; length += 113) {
        inject(length, length);
        lane_run(&lane);
        assert_comes_out(&b, length, length);
    }
    assert_int_equal(memory_port_collect(&b, out, sizeof(out)), 0);
    assert_int_equal(memory_port_collect(&a, out, sizeof(out)), 0);
    assert_no_leak();
}

TEST(a_round_takes_at_most_one_burst)
{
    start_lane(&b, app_find("wire"));
    for (unsigned i = 0; i < 2 * BURST + 1; i++)
        inject(60, i);
    lane_run(&lane);
    assert_int_equal(b.port.stats.tx_packets, BURST);
    lane_run(&lane);
    lane_run(&lane);
    for (unsigned i = 0; i < 2 * BURST + 1; i++)
        assert_comes_out(&b, 60, i);
}

TEST(a_full_tx_ring_leaves_frames_in_the_rx_ring_and_loses_none)
{
    unsigned sent = 0;

    start_lane(&b, app_find("wire"));
    for (unsigned round = 0; round < 20; round++) {
        uint8_t frame[60];
        make_frame(frame, sizeof(frame), sent);
        while (memory_port_inject(&a, frame, sizeof(frame)))
            make_frame(frame, sizeof(frame), ++sent);
        lane_run(&lane);
    }
    assert_int_equal(sent, 2 * MEMORY_PORT_RING); /* one ring gone out, one waiting */
    assert_int_equal(b.port.stats.tx_packets, MEMORY_PORT_RING);
    for (unsigned i = 0; i < sent; i++) {
        assert_comes_out(&b, 60, i);
        lane_run(&lane);
    }
    assert_no_leak();
}

TEST(runts_are_dropped_by_name_and_the_rest_closes_up)
{
    start_lane(&b, app_find("wire"));
    inject(13, 0);
    inject(14, 1);
    inject(0, 2);
    inject(60, 3);
    lane_run(&lane);
    assert_comes_out(&b, 14, 1);
    assert_comes_out(&b, 60, 3);
    assert_int_equal(memory_port_collect(&b, out, sizeof(out)), 0);
    assert_int_equal(lane.drops[DROP_RUNT], 2);
    assert_no_leak();
}

TEST(frames_above_the_mtu_of_tx_are_dropped_tags_not_counted)
{
    uint8_t tagged[1522];

    b.port.mtu = 1500;
    start_lane(&b, app_find("wire"));
    inject(1514, 0);
    inject(1515, 1);
    make_frame(tagged, sizeof(tagged), 2);
    memcpy(tagged + 12, "\x88\xa8\x00\x01\x81\x00\x00\x02\x08\x00", 10);
    assert_true(memory_port_inject(&a, tagged, 1522)); /* two tags, 1500 bytes of payload */
    memcpy(tagged + 12, "\x81\x00\x00\x02\x08\x00", 6);
    assert_true(memory_port_inject(&a, tagged, 1518)); /* one tag */
    assert_true(memory_port_inject(&a, tagged, 1519));
    lane_run(&lane);
    assert_comes_out(&b, 1514, 0);
    assert_int_equal(memory_port_collect(&b, out, sizeof(out)), 1522);
    assert_int_equal(memory_port_collect(&b, out, sizeof(out)), 1518);
    assert_int_equal(memory_port_collect(&b, out, sizeof(out)), 0);
    assert_int_equal(lane.drops[DROP_OVERSIZE], 2);
    assert_no_leak();
}

/* An mtu this small no device may state, but a lane must not read behind a frame for that. */
TEST(tags_that_are_cut_off_are_no_tags)
{
    uint8_t frame[17];

    b.port.mtu = 1;
    start_lane(&b, app_find("wire"));
    make_frame(frame, sizeof(frame), 1);
    memcpy(frame + 12, "\x81\x00\x00\x02\x08", 5); /* the type behind the tag is missing */
    assert_true(memory_port_inject(&a, frame, sizeof(frame)));
    lane_run(&lane);
    assert_int_equal(memory_port_collect(&b, out, sizeof(out)), 0);
    assert_int_equal(lane.drops[DROP_OVERSIZE], 1);
    assert_no_leak();
}

TEST(reflect_swaps_the_addresses_and_nothing_else)
{
    uint8_t frame[60];

    start_lane(&a, app_find("reflect"));
    inject(60, 5);
    lane_run(&lane);
    make_frame(frame, sizeof(frame), 5);
    assert_int_equal(memory_port_collect(&a, out, sizeof(out)), 60);
    assert_memory_equal(out, frame + 6, 6);
    assert_memory_equal(out + 6, frame, 6);
    assert_memory_equal(out + 12, frame + 12, 48);
    assert_no_leak();
}

TEST(reflect_answers_group_addresses_from_its_own)
{
    uint8_t frame[60];

    start_lane(&a, app_find("reflect"));
    make_frame(frame, sizeof(frame), 5);
    memset(frame, 0xff, 6);
    assert_true(memory_port_inject(&a, frame, sizeof(frame)));
    frame[0] = 0x01; /* multicast */
    assert_true(memory_port_inject(&a, frame, sizeof(frame)));
    lane_run(&lane);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(memory_port_collect(&a, out, sizeof(out)), 60);
        assert_memory_equal(out, frame + 6, 6);
        assert_memory_equal(out + 6, mac_a.bytes, 6);
        assert_memory_equal(out + 12, frame + 12, 48);
    }
}

TEST(an_idle_port_swallows_and_counts)
{
    start_lane(&a, app_find("idle"));
    for (unsigned i = 0; i < 3 * MEMORY_PORT_RING; i++) {
        inject(60, i);
        lane_run(&lane);
    }
    assert_int_equal(lane.drops[DROP_IDLE], 3 * MEMORY_PORT_RING);
    assert_int_equal(memory_port_collect(&a, out, sizeof(out)), 0);
    assert_no_leak();
}

TEST(more_queues_than_a_port_has_are_refused_by_number)
{
    const struct port_setup two = {.rx_queues = 2, .tx_queues = 1};

    assert_false(a.port.ops->start(&a.port, &two));
    assert_int_equal(machine_log_count("error", "rx_queues=2"), 1);
    assert_int_equal(a.port.state, PORT_DOWN);
}

TEST(buffers_start_zeroed_apart_and_off_each_others_cache_sets)
{
    struct pool made;
    uint8_t *first, *second;

    assert_true(pool_create(&made, 8, 2048 - PACKET_HEADROOM, false));
    first = *pool_take(&made, 1);
    second = *pool_take(&made, 1);
    assert_true(second - first >= 2048);
    assert_int_equal((second - first) % CACHE_LINE, 0);
    assert_int_equal((second - first) / CACHE_LINE % 2, 1);
    for (unsigned i = 0; i < 2048; i++)
        assert_int_equal(first[i], 0);
    pool_put(&made, first);
    assert_ptr_equal(*pool_take(&made, 1), first);
}

TEST(a_pool_without_memory_stays_empty)
{
    struct pool made;

    machine_memory_limit(64 * 1024);
    assert_false(pool_create(&made, 1000, 1600, false));
    assert_int_equal(made.count, 0);
    assert_int_equal(made.capacity, 0);
}
