/* The split virtqueue, with the test in the device's place: drivers/virtio/virtqueue.c and .h. */
#include <machine/memory.h>

#include "drivers/virtio/virtqueue_burst.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/machine.h"

#define CHAINS_MAX 32768

static struct virtqueue queue;

static int setup(void **state)
{
    (void)state;
    machine_reset();
    return 0;
}

TEST_FIXTURE(.setup = setup);

static void make(uint32_t size, uint16_t chain, bool event_idx)
{
    const struct virtqueue_shape shape = {
        .size = size, .index = 5, .chain = chain, .event_idx = event_idx};
    void *ring = memory_alloc(virtqueue_layout(size, false).total, 4096);
    void *private = memory_alloc(virtqueue_private_bytes(size), 64);

    assert_non_null(ring);
    assert_non_null(private);
    virtqueue_init(&queue, &shape, ring, private);
}

/* Buffers, of which only the addresses are of use: that of chain `id` is the one of its number. */
static _Alignas(8) uint8_t buffers[CHAINS_MAX][PACKET_HEADROOM];

static uint32_t next_id(uint32_t ahead)
{
    return queue.ids[virtqueue_slot(&queue, queue.avail_idx + ahead)];
}

/* Adds `n` chains, each with the buffer of its id; returns whether the last of it wants a doorbell. */
static bool offer(uint32_t n)
{
    static uint8_t *given[CHAINS_MAX];
    bool wanted = false;

    while (n > 0) {
        const uint32_t count = virtqueue_smaller(n, virtqueue_room(&queue));

        assert_true(count > 0);
        for (uint32_t i = 0; i < count; i++)
            given[i] = buffers[next_id(i)];
        wanted = virtqueue_add(&queue, given, NULL, count);
        n -= count;
    }
    return wanted;
}

/* Takes back up to `n` adjacent chains, as the driver does; returns their number. */
static uint32_t pop_many(void **popped, uint32_t *lengths, uint32_t n)
{
    const uint32_t count = lengths != NULL
                               ? virtqueue_take(&queue, popped, lengths, n, VIRTQUEUE_LENGTHS).count
                               : virtqueue_take(&queue, popped, NULL, n, VIRTQUEUE_IDS).count;

    virtqueue_release(&queue, count);
    return count;
}

/* By the plain loop alone. */
static struct virtqueue_burst take_plain(void **popped, uint32_t *lengths, uint32_t n,
                                         enum virtqueue_look look)
{
    return virtqueue_take_plain(&queue, popped, lengths, virtqueue_takeable(&queue, n), look,
                                (struct virtqueue_burst){0});
}

/* One chain, in both ways that there are, which must agree; NULL on a device error, or if there is none. */
static void *pop(void)
{
    void *cookie = NULL, *again = NULL;
    uint32_t length;

    const struct virtqueue_burst one =
        virtqueue_take(&queue, &cookie, &length, 1, VIRTQUEUE_LENGTHS);
    assert_int_equal(take_plain(&again, NULL, 1, VIRTQUEUE_IDS).count, one.count);
    if (one.count == 0)
        return NULL;
    assert_ptr_equal(cookie, again);
    assert_int_equal(one.bytes, length);
    virtqueue_release(&queue, 1);
    return cookie;
}

/* The device's side: one used element, and how far its index is. */
static void use(uint16_t at, uint32_t id, uint32_t length)
{
    queue.used->ring[at % queue.size].id = id;
    queue.used->ring[at % queue.size].len = length;
    queue.used->idx = (uint16_t)(at + 1);
}

TEST(ring_layout_matches_figures_worked_out_by_hand)
{
    /*
     * virtio 1.2 §2.7: descriptors 16·n; available ring 4 + 2·n and used_event 2; used ring 4 + 8·n
     * and avail_event 2. §2.7.2, legacy: the used ring on the next multiple of 4096, and the whole
     * padded to one.
     */
    static const struct {
        uint32_t size;
        size_t avail, used_event, used, avail_event, total;
    } rows[] = {
        {1, 16, 22, 4096, 4108, 8192},
        {2, 32, 40, 4096, 4116, 8192},
        {4, 64, 76, 4096, 4132, 8192},
        {64, 1024, 1156, 4096, 4612, 8192},
        {128, 2048, 2308, 4096, 5124, 8192},
        {256, 4096, 4612, 8192, 10244, 12288},
        {512, 8192, 9220, 12288, 16388, 20480},
        {1024, 16384, 18436, 20480, 28676, 32768},
        {2048, 32768, 36868, 40960, 57348, 61440},
        {32768, 524288, 589828, 593920, 856068, 860160},
    };

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct virtqueue_layout layout = virtqueue_layout(rows[i].size, false);

        assert_int_equal(layout.desc, 0);
        assert_int_equal(layout.avail, rows[i].avail);
        assert_int_equal(layout.used_event, rows[i].used_event);
        assert_int_equal(layout.used, rows[i].used);
        assert_int_equal(layout.avail_event, rows[i].avail_event);
        assert_int_equal(layout.total, rows[i].total);
    }
}

TEST(queue_sizes_are_powers_of_two_up_to_32768)
{
    for (uint32_t size = 1; size <= 32768; size *= 2)
        assert_true(virtqueue_size_valid(size));
    static const uint32_t bad[] = {0, 3, 5, 255, 257, 32767, 32769, 40000, 65535, 65536, ~0u};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(virtqueue_size_valid(bad[i]));
}

TEST(a_queue_of_a_wrong_shape_is_our_own_bug)
{
    assert_true(machine_panics(make(3, 1, false)));
    assert_true(machine_panics(make(8, 0, false)));
    assert_true(machine_panics(make(1, 2, false)));
}

TEST(a_new_queue_has_all_chains_free_and_interrupts_off)
{
    make(8, 1, false);
    assert_int_equal(virtqueue_free(&queue), 8);
    assert_int_equal(virtqueue_outstanding(&queue), 0);
    assert_int_equal(virtqueue_split_pending(&queue), 0);
    assert_int_equal(queue.avail->flags, 1);
    assert_int_equal(queue.index, 5);

    make(8, 1, true); /* §2.7.7.1: the flags must be 0 then, and the event word does it */
    assert_int_equal(queue.avail->flags, 0);
    assert_int_equal(*queue.used_event, 0xffff);
}

TEST(every_chain_can_be_offered_once)
{
    static const uint16_t chains[] = {1, 2, 4};

    for (unsigned i = 0; i < 3; i++) {
        bool seen[8] = {false};

        make(8, chains[i], false);
        assert_int_equal(virtqueue_room(&queue), 8 / chains[i]);
        for (uint32_t chain = 0; chain < 8u / chains[i]; chain++) {
            uint32_t id = next_id(chain);
            assert_true(id % chains[i] == 0 && id < 8 && !seen[id]);
            seen[id] = true;
        }
        offer(8 / chains[i]);
        assert_int_equal(virtqueue_free(&queue), 0);
        assert_int_equal(virtqueue_room(&queue), 0);
    }
}

TEST(a_header_of_its_own_is_linked_to_the_rest)
{
    static _Alignas(16) uint8_t frames[2][PACKET_HEADROOM];
    static uint8_t *const given[] = {frames[0], frames[1]};
    static const uint32_t lengths[] = {60, 61};

    make(8, 2, false);
    virtqueue_set_buffers(&queue, &(struct virtqueue_buffers){.start = 6, .header = 10});
    assert_int_equal(virtqueue_free(&queue), 4);
    virtqueue_add(&queue, given, lengths, 2);
    for (unsigned i = 0; i < 2; i++) {
        const struct virtq_desc *desc = &queue.desc[2 * i];
        assert_int_equal(desc[0].addr, io_physical(given[i]) + 6);
        assert_int_equal(desc[0].len, 10);
        assert_int_equal(desc[0].flags, 1);
        assert_int_equal(desc[0].next, 2 * i + 1);
        assert_int_equal(desc[1].addr, io_physical(given[i]) + 16);
        assert_int_equal(desc[1].len, 60 + i);
        assert_int_equal(desc[1].flags, 0);
    }
}

TEST(a_chain_of_parts_is_linked_and_comes_back_as_one)
{
    static uint8_t memory[4];
    const struct virtqueue_part parts[] = {
        {&memory[0], 2, false}, {&memory[1], 3, false}, {&memory[2], 1, true}};
    uint32_t slots;

    make(8, 4, false);
    assert_true(virtqueue_add_parts(&queue, parts, 3, memory, &slots));
    assert_int_equal(slots, 1);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(queue.desc[i].addr, io_physical(&memory[i]));
        assert_int_equal(queue.desc[i].len, parts[i].length);
        assert_int_equal(queue.desc[i].flags, i < 2 ? 1 : 2);
    }
    assert_int_equal(queue.desc[0].next, 1);
    assert_int_equal(queue.desc[1].next, 2);
    use(0, 0, 1);
    assert_ptr_equal(pop(), memory);
    assert_int_equal(virtqueue_free(&queue), 2);
}

TEST(chains_are_seen_once_they_are_added)
{
    make(8, 1, false);
    assert_true(offer(3));
    assert_int_equal(queue.avail->idx, 3);
    for (uint16_t i = 0; i < 3; i++)
        assert_int_equal(queue.avail->ring[i], i);
    assert_int_equal(virtqueue_outstanding(&queue), 3);
}

TEST(no_doorbell_is_wanted_while_the_device_sets_no_notify)
{
    make(8, 1, false);
    queue.used->flags = 1;
    assert_false(offer(1));
    queue.used->flags = 2; /* some other bit */
    assert_true(offer(1));
}

TEST(with_event_idx_a_doorbell_is_wanted_once_the_event_is_passed)
{
    /* §2.7.10: wanted if the entry that avail_event names is among those just published. */
    static const struct {
        uint16_t old, burst, event;
        bool wanted;
    } rows[] = {
        {0, 1, 0, true},          {0, 1, 1, false},        {0, 4, 3, true},
        {0, 4, 4, false},         {0, 4, 0xffff, false},   {10, 4, 9, false},
        {10, 4, 10, true},        {10, 4, 13, true},       {10, 4, 14, false},
        {65534, 4, 65533, false}, {65534, 4, 65534, true}, {65534, 4, 0, true},
        {65534, 4, 1, true},      {65534, 4, 2, false},    {100, 4, 100 + 0x8000, false},
    };

    make(8, 1, true);
    queue.used->flags = 1; /* §2.7.10: to be ignored */
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        queue.avail_idx = rows[i].old;
        *queue.avail_event = rows[i].event;
        assert_int_equal(virtqueue_publish(&queue, rows[i].burst), rows[i].wanted);
        assert_int_equal(queue.avail_idx, rows[i].old + rows[i].burst);
    }
}

TEST(chains_come_back_in_the_order_of_the_device)
{
    static const uint16_t order[] = {2, 0, 3, 1};

    make(4, 1, false);
    offer(4);
    for (uint16_t i = 0; i < 4; i++)
        use(i, order[i], 100u + i);
    assert_int_equal(virtqueue_split_pending(&queue), 4);
    for (unsigned i = 0; i < 4; i++)
        assert_ptr_equal(pop(), buffers[order[i]]);
    assert_int_equal(virtqueue_split_pending(&queue), 0);
    assert_int_equal(virtqueue_outstanding(&queue), 0);
    assert_int_equal(queue.error, VIRTQUEUE_OK);
    /* They are made available again in that order. */
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(next_id(i), order[i]);
        assert_int_equal(queue.avail->ring[i], order[i]);
    }
}

TEST(a_burst_ends_where_the_slots_end)
{
    void *popped[8];

    make(8, 1, false);
    offer(5);
    for (uint16_t i = 0; i < 5; i++) {
        use(i, i, 10);
        assert_non_null(pop());
    }
    assert_int_equal(virtqueue_free(&queue), 8);
    assert_int_equal(virtqueue_room(&queue), 3);

    make(8, 2, false); /* four chains: ids come back four entries further on */
    offer(4);
    for (uint16_t i = 0; i < 3; i++) {
        use(i, 2u * i, 10);
        assert_non_null(pop());
    }
    offer(3);
    for (uint16_t i = 3; i < 7; i++)
        use(i, 2u * (i % 4), 10);
    assert_int_equal(virtqueue_split_pending(&queue), 4);
    assert_int_equal(pop_many(popped, NULL, 0), 0);
    assert_int_equal(pop_many(popped, NULL, 8), 1);
    assert_int_equal(pop_many(popped, NULL, 2), 2);
    assert_int_equal(pop_many(popped, NULL, 8), 1);
    assert_int_equal(pop_many(popped, NULL, 8), 0);
}

static const struct virtqueue_buffers ethernet = {
    .start = PACKET_HEADROOM - 10, .header = 10, .room = 1600, .shortest = 14, .span = 1500};

/* Every number of chains at once, so that four at a time and the rest are each seen. */
TEST(bursts_of_every_length_bring_tokens_and_lengths)
{
    void *popped[BURST];
    uint32_t lengths[BURST];

    make(64, 1, false);
    virtqueue_set_buffers(&queue, &ethernet);
    for (uint16_t n = 1, at = 0; n <= BURST; at = (uint16_t)(at + n++)) {
        uint32_t bytes = 0;
        offer(n);
        for (uint16_t i = 0; i < n; i++) {
            use((uint16_t)(at + i), (at + i) % 64u, 100u + i);
            bytes += 90u + i;
        }
        const struct virtqueue_burst burst =
            virtqueue_take(&queue, popped, lengths, BURST, VIRTQUEUE_LENGTHS);
        const uint32_t count = at % 64u + n <= 64 ? n : 64 - at % 64u;
        assert_int_equal(burst.count, count);
        assert_false(burst.needs_check);
        for (uint32_t i = 0; i < count; i++) {
            assert_ptr_equal(popped[i], buffers[(at + i) % 64u]);
            assert_int_equal(lengths[i], 90 + i);
            bytes -= 90 + i;
        }
        virtqueue_release(&queue, count);
        virtqueue_release(&queue, virtqueue_split_pending(&queue)); /* what lay behind the end */
        assert_true(count < n || (bytes == 0 && burst.bytes > 0));
    }
    assert_int_equal(queue.error, VIRTQUEUE_OK);
}

TEST(one_odd_length_makes_a_burst_odd)
{
    static const struct {
        uint32_t length; /* as the device gives it, header included */
        bool needs_check;
    } rows[] = {{0, true},   {9, true},     {10, true},   {23, true},
                {24, false}, {1524, false}, {1525, true}, {UINT32_MAX, true}};

    for (unsigned row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        for (uint16_t odd = 0; odd < 7; odd++) {
            void *popped[8];
            uint32_t lengths[8];
            make(8, 1, false);
            virtqueue_set_buffers(&queue, &ethernet);
            offer(7);
            for (uint16_t i = 0; i < 7; i++)
                use(i, i, i == odd ? rows[row].length : 24);
            assert_int_equal(take_plain(popped, lengths, 7, VIRTQUEUE_LENGTHS).needs_check,
                             rows[row].needs_check);
            assert_int_equal(
                virtqueue_take(&queue, popped, lengths, 7, VIRTQUEUE_LENGTHS).needs_check,
                rows[row].needs_check);
            assert_int_equal(lengths[odd], rows[row].length - 10);
        }
    }
}

/* The longer header's first four bytes, which are the shorter one's first two with what is in front. */
TEST(flags_in_one_header_make_a_burst_odd)
{
    static const unsigned first = PACKET_HEADROOM - VIRTIO_NET_HDR_BYTES;

    for (uint16_t odd = 0; odd < 11; odd++) {
        for (unsigned at = first - 1; at <= first + 4; at++) {
            void *popped[16];
            uint32_t lengths[16];
            make(16, 1, false);
            virtqueue_set_buffers(&queue, &ethernet);
            offer(11);
            for (uint16_t i = 0; i < 11; i++)
                use(i, i, 24);
            buffers[odd][at] = 1;
            const struct virtqueue_burst burst =
                virtqueue_take(&queue, popped, lengths, 11, VIRTQUEUE_HEADERS);
            buffers[odd][at] = 0;
            assert_int_equal(burst.count, 11);
            assert_int_equal(burst.bytes, 11 * 14);
            assert_int_equal(burst.needs_check, at >= first && at < first + 4);
            assert_false(
                virtqueue_take(&queue, popped, lengths, 11, VIRTQUEUE_LENGTHS).needs_check);
        }
    }
}

TEST(an_odd_length_in_front_of_chains_in_another_order_makes_a_burst_odd)
{
    void *popped[8];
    uint32_t lengths[8];

    make(8, 1, false);
    virtqueue_set_buffers(&queue, &ethernet);
    offer(8);
    for (uint16_t i = 0; i < 8; i++)
        use(i, i < 4 ? i : 11u - i, i == 1 ? 23 : 24);
    const struct virtqueue_burst burst =
        virtqueue_take(&queue, popped, lengths, 8, VIRTQUEUE_LENGTHS);
    assert_int_equal(burst.count, 8);
    assert_int_equal(burst.bytes, 8 * 14 - 1);
    assert_true(burst.needs_check);
}

/* One id is wrong, wherever in a burst: what comes before it is sound, and it is named. */
TEST(a_burst_is_sound_up_to_the_wrong_id)
{
    for (uint16_t wrong = 0; wrong < 7; wrong++) {
        void *popped[8];
        uint32_t lengths[8];
        make(8, 1, false);
        offer(7);
        for (uint16_t i = 0; i < 7; i++)
            use(i, i == wrong ? 7 : i, 10u + i);
        assert_int_equal(pop_many(popped, lengths, 7), wrong);
        for (uint16_t i = 0; i < wrong; i++) {
            assert_ptr_equal(popped[i], buffers[i]);
            assert_int_equal(lengths[i], 10 + i);
        }
        assert_int_equal(queue.error, VIRTQUEUE_ID_NOT_OUT);
        assert_int_equal(queue.error_value, 7);
    }
}

/* In any order: cookies and lengths belong together, and the queue is no longer plain. */
TEST(a_shuffled_burst_keeps_tokens_and_lengths_together)
{
    static const uint16_t order[] = {3, 0, 6, 1, 2, 5, 4};
    void *popped[8];
    uint32_t lengths[8];

    make(8, 1, false);
    assert_true(queue.ids_match_slots);
    offer(7);
    for (uint16_t i = 0; i < 7; i++)
        use(i, order[i], 100u + order[i]);
    assert_int_equal(pop_many(popped, lengths, 7), 7);
    for (unsigned i = 0; i < 7; i++) {
        assert_ptr_equal(popped[i], buffers[order[i]]);
        assert_int_equal(lengths[i], 100 + order[i]);
    }
    assert_false(queue.ids_match_slots);
}

/* Three of eight chains out, one used element: the pop must fail for `reason`. */
static void assert_pop_breaks(uint32_t id, enum virtqueue_error reason)
{
    offer(3);
    use(0, id, 10);
    assert_int_equal(virtqueue_split_pending(&queue), 1);
    assert_null(pop());
    assert_int_equal(queue.error, reason);
    assert_int_equal(queue.error_value, id);
    assert_int_equal(queue.used_idx, 0);
}

TEST(pop_rejects_id_out_of_range)
{
    static const uint32_t bad[] = {8, 9, 0xffff, 0x10000, 0x10001, 0x80000000, 0xffffffff};

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        make(8, 1, false);
        assert_pop_breaks(bad[i], VIRTQUEUE_ID_RANGE);
    }
}

TEST(pop_rejects_id_that_is_not_outstanding)
{
    make(8, 1, false);
    assert_pop_breaks(3, VIRTQUEUE_ID_NOT_OUT);
    make(8, 1, false);
    assert_pop_breaks(7, VIRTQUEUE_ID_NOT_OUT);
}

TEST(pop_rejects_id_of_a_second_descriptor)
{
    make(8, 2, false);
    assert_pop_breaks(1, VIRTQUEUE_ID_NOT_OUT);
}

TEST(pop_rejects_the_same_id_twice)
{
    make(8, 1, false);
    offer(3);
    use(0, 1, 10);
    use(1, 1, 10);
    assert_int_equal(virtqueue_split_pending(&queue), 2);
    assert_ptr_equal(pop(), buffers[1]);
    assert_null(pop());
    assert_int_equal(queue.error, VIRTQUEUE_ID_NOT_OUT);
}

TEST(pending_rejects_an_index_that_moves_too_far)
{
    static const uint16_t steps[] = {4, 8, 9, 0x7fff, 0x8000, 0xffff};

    for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        make(8, 1, false);
        offer(3);
        queue.used->idx = steps[i];
        assert_int_equal(virtqueue_split_pending(&queue), 0);
        assert_int_equal(queue.error, VIRTQUEUE_USED_IDX);
        assert_int_equal(queue.error_value, steps[i]);
    }
    make(8, 1, false);
    queue.used->idx = 1; /* nothing is out at all */
    assert_int_equal(virtqueue_split_pending(&queue), 0);
    assert_int_equal(queue.error, VIRTQUEUE_USED_IDX);
}

TEST(the_first_device_error_is_the_one_that_is_told)
{
    make(8, 1, false);
    virtqueue_fail(&queue, VIRTQUEUE_LENGTH_LONG, 4711);
    virtqueue_fail(&queue, VIRTQUEUE_USED_IDX, 1);
    assert_int_equal(queue.error, VIRTQUEUE_LENGTH_LONG);
    assert_int_equal(queue.error_value, 4711);
}

TEST(what_the_device_writes_into_our_parts_is_never_read_back)
{
    make(8, 1, false);
    offer(2);
    queue.avail->idx = 0x4242;
    for (unsigned i = 0; i < 8; i++) {
        queue.avail->ring[i] = 0xffff;
        queue.desc[i] = (struct virtq_desc){~0ull, ~0u, 0xffff, 0xffff};
    }
    use(0, 1, 10);
    assert_ptr_equal(pop(), buffers[1]);
    assert_int_equal(next_id(0), 2);
    offer(1);
    assert_int_equal(queue.avail->idx, 3);
    assert_int_equal(virtqueue_outstanding(&queue), 2);
}

/* Everything out and back again and again, past the end of the 16-bit indices more than once. */
static void go_round(uint32_t size, uint16_t chain, bool backwards)
{
    const uint32_t chains = size / chain;
    uint16_t at = 0;

    make(size, chain, true);
    for (uint32_t total = 0; total < 3 * 65536; total += chains) {
        uint16_t before = at;

        assert_int_equal(virtqueue_free(&queue), chains);
        offer(chains);
        for (uint32_t i = 0; i < chains; i++, at++) {
            uint32_t entry = before + (backwards ? chains - 1 - i : i);
            use(at, queue.avail->ring[entry % size], 10);
        }
        /* §2.7.8.2: the device interrupts if the entry that used_event names is among these. */
        assert_false((uint16_t)(at - *queue.used_event - 1) < (uint16_t)(at - before));
        assert_int_equal(virtqueue_split_pending(&queue), chains);
        for (uint32_t i = 0; i < chains; i++)
            assert_non_null(pop());
        virtqueue_suppress_interrupts(&queue);
    }
    assert_int_equal(queue.error, VIRTQUEUE_OK);
}

TEST(indices_wrap_and_no_interrupt_is_asked_for)
{
    for (unsigned backwards = 0; backwards < 2; backwards++) {
        go_round(1, 1, backwards != 0);
        go_round(8, 1, backwards != 0);
        go_round(4, 4, backwards != 0);
        go_round(256, 2, backwards != 0);
        go_round(32768, 1, backwards != 0);
    }
}

TEST(every_device_error_has_a_name_of_its_own)
{
    for (unsigned i = 0; i < VIRTQUEUE_ERRORS; i++) {
        assert_non_null(virtqueue_error_name((enum virtqueue_error)i));
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(virtqueue_error_name((enum virtqueue_error)i),
                                    virtqueue_error_name((enum virtqueue_error)j));
    }
}
