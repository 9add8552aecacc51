/* Pools of a core, and quotas: net/core.c, and the circle of pools in net/pool.c. */
#include "net/core.h"
#include "net/lane.h"
#include "tests/host/fixture/memory_port.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/machine.h"

#define PORTS 4
#define SIZE 1600
#define LARGE 9022
#define IN_FLIGHT (2 * BURST)

static struct memory_port memory_ports[PORTS];
static struct port *ports[PORTS];
static struct lane lanes[PORTS];
static struct lane *lane_list[PORTS];
static struct core core;

static void set_rings(unsigned port, uint32_t rx_size, uint32_t tx_size, uint32_t frame_max)
{
    ports[port]->rx_size = rx_size;
    ports[port]->tx_size = tx_size;
    ports[port]->frame_max = frame_max;
}

static int setup(void **state)
{
    (void)state;
    machine_reset();
    core = (struct core){.pool_count = 0};
    for (unsigned i = 0; i < PORTS; i++) {
        memory_port_init(&memory_ports[i], i, (struct mac_address){{2, 0, 0, 0, 0, (uint8_t)i}});
        ports[i] = &memory_ports[i].port;
        set_rings(i, 256, 128, SIZE);
    }
    for (unsigned i = 0; i < PORTS; i++) {
        lane_init(&lanes[i], ports[i], ports[i ^ 1], app_find("wire"));
        lane_list[i] = &lanes[i];
    }
    return 0;
}

TEST_FIXTURE(.setup = setup);

static uint64_t make(unsigned count, uint64_t memory)
{
    return core_make_pools(&core, lane_list, count, memory);
}

static void assert_quota(unsigned port, uint32_t rx, uint32_t tx)
{
    assert_int_equal(core.quotas[port].rx, rx);
    assert_int_equal(core.quotas[port].tx, tx);
}

TEST(memory_for_all_fills_the_rings_of_all_and_leaves_two_bursts)
{
    assert_int_equal(make(4, UINT64_MAX), 0);
    assert_int_equal(core.pool_count, 1);
    assert_int_equal(core.pools[0].capacity, 4 * (256 + 128) + IN_FLIGHT);
    for (unsigned i = 0; i < 4; i++) {
        assert_quota(i, 256, 128);
        assert_ptr_equal(lanes[i].pool, &core.pools[0]);
    }
    assert_int_equal(core_quota_of_lane(&core, &lanes[0]), 256 + 128 + BURST);
}

TEST(short_memory_is_shared_in_proportion_and_the_lack_is_told)
{
    const uint32_t rings = 4 * 2 * BURST + 3 * 400; /* a burst each, and 1200 of 1536 - 256 more */

    set_rings(2, 1024, 128, SIZE);
    const uint64_t full = pool_bytes(IN_FLIGHT + 3 * 384 + 1152, SIZE);
    const uint64_t memory = pool_bytes(IN_FLIGHT + rings, SIZE);
    assert_int_equal(make(4, memory), full - memory);
    uint32_t sum = 0;
    for (unsigned i = 0; i < 4; i++) {
        assert_in_range(core.quotas[i].rx, BURST, ports[i]->rx_size);
        assert_in_range(core.quotas[i].tx, BURST, ports[i]->tx_size);
        sum += core.quotas[i].rx + core.quotas[i].tx;
    }
    assert_true(core.quotas[2].rx > 2 * core.quotas[0].rx);
    assert_in_range(sum, rings - 8, core.pools[0].capacity - IN_FLIGHT);
    assert_int_equal(core.quotas[0].rx, core.quotas[3].rx);
}

TEST(where_not_even_bursts_can_be_had_the_last_ports_get_none)
{
    assert_true(make(4, pool_bytes(IN_FLIGHT + 2 * 2 * BURST + 5, SIZE)) > 0);
    assert_in_range(core.quotas[0].rx, BURST, BURST + 5);
    assert_in_range(core.quotas[1].tx, BURST, BURST + 5);
    assert_quota(2, 0, 0);
    assert_quota(3, 0, 0);
}

TEST(no_memory_at_all_is_shared_without_harm)
{
    assert_true(make(4, 10) > 0);
    assert_int_equal(core.pool_count, 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_quota(i, 0, 0);
        assert_null(lanes[i].pool);
    }
}

TEST(no_ports_need_no_memory)
{
    assert_int_equal(make(0, 0), 0);
    assert_int_equal(core.pool_count, 0);
}

TEST(memory_in_pieces_makes_a_smaller_pool_than_its_sum_would)
{
    machine_memory_limit(pool_bytes(300, SIZE));
    assert_int_equal(make(2, UINT64_MAX), 0);
    assert_in_range(core.pools[0].capacity, 200, 300);
    for (unsigned i = 0; i < 2; i++) {
        assert_in_range(core.quotas[i].rx, BURST, 200);
        assert_in_range(core.quotas[i].tx, BURST, 200);
    }
}

TEST(ports_with_frames_of_other_sizes_have_a_pool_of_their_own)
{
    set_rings(1, 256, 128, LARGE);
    set_rings(3, 256, 128, LARGE);
    assert_int_equal(make(4, UINT64_MAX), 0);
    assert_int_equal(core.pool_count, 2);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(lanes[i].pool->frame_max, i & 1 ? LARGE : SIZE);
        assert_int_equal(lanes[i].pool->capacity, 2 * (256 + 128) + IN_FLIGHT);
        assert_false(lanes[i].pool->plain);
    }
}

TEST(a_port_that_comes_later_brings_a_pool_and_the_others_keep_theirs)
{
    assert_int_equal(make(2, UINT64_MAX), 0);
    assert_true(core.pools[0].plain);
    struct lane *const late = &lanes[2];
    assert_int_equal(core_make_pools(&core, &late, 1, UINT64_MAX), 0);
    assert_ptr_equal(late->pool, &core.pools[1]);
    assert_ptr_equal(lanes[0].pool, &core.pools[0]);
    assert_false(core.pools[0].plain || core.pools[1].plain);
}

/* ---- back to their own pools ---- */

static void make_two_sizes_and_one_more(void)
{
    set_rings(1, 256, 128, LARGE);
    assert_int_equal(make(2, UINT64_MAX), 0);
    struct lane *const late = &lanes[2];
    assert_int_equal(core_make_pools(&core, &late, 1, UINT64_MAX), 0);
    assert_int_equal(core.pool_count, 3);
}

static void assert_all_there(void)
{
    for (unsigned i = 0; i < core.pool_count; i++) {
        struct pool *const pool = &core.pools[i];
        assert_int_equal(pool->count, pool->capacity);
        for (uint32_t buffer = 0; buffer < pool->count; buffer++)
            assert_ptr_equal(pool_owner(&core.pools[0], pool->free[buffer]), pool);
    }
}

TEST(a_buffer_returns_to_its_own_pool_whoever_gives_it_back)
{
    make_two_sizes_and_one_more();
    for (unsigned from = 0; from < 3; from++) {
        for (unsigned to = 0; to < 3; to++) {
            uint8_t *const buffer = *pool_take(&core.pools[from], 1);
            assert_ptr_equal(pool_owner(&core.pools[to], buffer), &core.pools[from]);
            pool_put(&core.pools[to], buffer);
            assert_all_there();
        }
    }
}

/* As a tx ring gives them back: onto a pool that is full already, the most there may be at once. */
TEST(buffers_of_three_pools_that_come_back_together_are_sorted)
{
    make_two_sizes_and_one_more();
    struct pool *const pool = &core.pools[0];
    for (unsigned own = 0; own < POOL_SETTLE_MAX; own += 7) {
        uint8_t *mixed[POOL_SETTLE_MAX];
        for (unsigned i = 0; i < POOL_SETTLE_MAX; i++)
            mixed[i] = *pool_take(&core.pools[i < own ? 0 : 1 + (i & 1)], 1);
        for (unsigned i = 0; i < POOL_SETTLE_MAX; i++)
            pool->free[pool->count++] = mixed[(i * 29 + own) % POOL_SETTLE_MAX];
        assert_int_equal(pool_settle(pool, POOL_SETTLE_MAX), 0);
        assert_all_there();
    }
}

TEST(chains_of_another_pool_return_there_whole)
{
    struct pool plain, chained;

    assert_true(pool_create(&plain, 10, SIZE, false));
    assert_true(pool_create(&chained, 10, SIZE, true));
    pool_join(&chained, &plain);
    uint8_t *buffers[6];
    for (unsigned i = 0; i < 6; i++)
        buffers[i] = *pool_take(&chained, 1);
    pool_link(&chained, buffers[0], buffers[1]);
    pool_link(&chained, buffers[1], buffers[2]);
    pool_link(&chained, buffers[3], buffers[4]);
    assert_int_equal(pool_hung(&chained, buffers[0]), 2);
    plain.free[plain.count++] = buffers[0];
    plain.free[plain.count++] = buffers[3];
    plain.free[plain.count++] = buffers[5];
    assert_int_equal(pool_settle(&plain, 3), 3);
    assert_int_equal(plain.count, 10);
    assert_int_equal(chained.count, 10);
    assert_int_equal(pool_hung(&chained, buffers[0]), 0);
}
