/*
 * Packed rings, with the test in the device's place: drivers/
 * virtqueue_packed.c. Flags and places are typed in a second time here, from
 * virtio 1.2 §2.8, and not taken from drivers/.
 */
#include <string.h>

#include <machine/io.h>
#include <machine/memory.h>

#include "drivers/virtio/virtqueue_burst.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/machine.h"

#define SIZE 8
#define WRITE 2
#define AVAIL 0x80
#define USED 0x8000
#define HEADER 12
#define START (PACKET_HEADROOM - HEADER) /* of the header in a buffer */

static struct virtqueue queue;
static _Alignas(16) uint8_t buffers[64][PACKET_HEADROOM + 64];
static uint32_t device_at; /* descriptors that the device has gone through */

static int setup(void **state)
{
    (void)state;
    machine_reset();
    return 0;
}

TEST_FIXTURE(.setup = setup);

static void make(uint32_t size, bool event_idx)
{
    const struct virtqueue_shape shape = {
        .size = size, .index = 5, .chain = 1, .packed = true, .event_idx = event_idx};
    const struct virtqueue_buffers look = {
        .start = START, .header = HEADER, .room = 40, .shortest = 14, .span = 20};
    void *ring = memory_alloc(virtqueue_layout(size, true).total, 4096);
    void *private = memory_alloc(virtqueue_private_bytes(size), 64);

    virtqueue_init(&queue, &shape, ring, private);
    virtqueue_set_buffers(&queue, &look);
    device_at = 0;
}

static void make_packed(uint32_t size)
{
    make(size, false);
}

/* Adds `n` buffers for the device to write, numbered from `first` on. */
static bool offer(uint32_t first, uint32_t n)
{
    uint8_t *given[SIZE * 4];
    bool wanted = false;

    for (uint32_t i = 0; i < n; i++)
        given[i] = buffers[(first + i) % 64];
    for (uint32_t done = 0; done < n;) {
        const uint32_t count = virtqueue_smaller(n - done, virtqueue_room(&queue));
        assert_true(count > 0);
        wanted = virtqueue_add(&queue, given + done, NULL, count);
        done += count;
    }
    return wanted;
}

/* The device's side: the next descriptor is used, with this id. */
static void use(uint16_t id, uint32_t length)
{
    struct pvirtq_desc *desc = &queue.packed_desc[device_at % queue.size];

    desc->id = id;
    desc->len = length;
    desc->flags = (device_at / queue.size) % 2 == 0 ? AVAIL | USED : 0;
    device_at++;
}

static struct virtqueue_burst pop(void **cookies, uint32_t *lengths, uint32_t n)
{
    const struct virtqueue_burst burst =
        lengths != NULL
            ? virtqueue_take(&queue, cookies, lengths, n, VIRTQUEUE_LENGTHS)
            : (struct virtqueue_burst){
                  .count = virtqueue_take(&queue, cookies, NULL, n, VIRTQUEUE_IDS).count};

    virtqueue_release(&queue, burst.count);
    return burst;
}

TEST(a_new_ring_is_empty_and_wants_no_interrupt)
{
    void *cookie;

    make_packed(SIZE);
    assert_int_equal(virtqueue_free(&queue), SIZE);
    assert_false(virtqueue_has_finished(&queue));
    assert_int_equal(virtqueue_take(&queue, &cookie, NULL, 1, VIRTQUEUE_IDS).count, 0);
    assert_int_equal(queue.driver_event->flags, 1); /* §2.8.14: disabled */
    virtqueue_arm(&queue);
    assert_int_equal(queue.driver_event->flags, 0);
    virtqueue_disarm(&queue);
    assert_int_equal(queue.driver_event->flags, 1);
}

TEST(descriptors_say_what_was_added_and_in_which_round)
{
    static uint8_t *const given[] = {buffers[1], buffers[2]};
    static const uint32_t lengths[] = {60, 61};
    void *cookies[SIZE];

    make_packed(2);
    for (unsigned round = 0; round < 4; round++) {
        virtqueue_add(&queue, given, lengths, 2);
        for (unsigned i = 0; i < 2; i++) {
            const struct pvirtq_desc *desc = &queue.packed_desc[i];
            assert_int_equal(desc->addr, io_physical(given[i]) + START);
            assert_int_equal(desc->len, HEADER + 60 + i);
            assert_int_equal(desc->flags, round % 2 == 0 ? AVAIL : USED);
            assert_int_equal(desc->id, i);
        }
        assert_false(virtqueue_has_finished(&queue));
        use(0, 0);
        use(1, 0);
        assert_true(virtqueue_has_finished(&queue));
        assert_int_equal(pop(cookies, NULL, SIZE).count, 2);
        assert_ptr_equal(cookies[0], buffers[1]);
        assert_ptr_equal(cookies[1], buffers[2]);
    }
    virtqueue_add(&queue, given, NULL, 1);
    assert_int_equal(queue.packed_desc[0].len, HEADER + 40);
    assert_int_equal(queue.packed_desc[0].flags, AVAIL | WRITE);
}

/* Round after round, by the short way: all of the descriptor is written. */
TEST(a_single_chain_is_staged_and_published)
{
    static const uint8_t header[16];
    void *cookie;

    make_packed(2);
    for (uint16_t n = 0; n < 8; n++) {
        const struct pvirtq_desc *const desc = &queue.packed_desc[n % 2];
        memset(buffers[n], 0xff, PACKET_HEADROOM);
        queue.device_event->flags = n % 2;
        assert_int_equal(virtqueue_add_single(&queue, buffers[n], 60u + n, true), n % 2 == 0);
        assert_int_equal(queue.avail_idx, n + 1);
        assert_memory_equal(buffers[n] + PACKET_HEADROOM - sizeof(header), header, sizeof(header));
        assert_int_equal(desc->addr, io_physical(buffers[n]) + START);
        assert_int_equal(desc->len, HEADER + 60 + n);
        assert_int_equal(desc->flags, n / 2 % 2 == 0 ? AVAIL : USED);
        assert_int_equal(desc->id, n % 2);
        use(n % 2, 0);
        assert_int_equal(pop(&cookie, NULL, 1).count, 1);
        assert_ptr_equal(cookie, buffers[n]);
    }
}

/* What is staged is the device's no more than before, however many they are. */
TEST(a_burst_is_not_seen_before_it_is_published)
{
    static const uint32_t lengths[SIZE] = {60, 60, 60, 60, 60};
    uint8_t *given[SIZE];

    for (uint32_t n = 1; n <= 5; n++) {
        for (uint32_t round = 0; round < 2; round++) {
            make_packed(SIZE);
            queue.avail_idx = queue.used_idx = round * SIZE;
            for (uint32_t i = 0; i < n; i++)
                given[i] = buffers[i];
            (void)virtqueue_stage(&queue, given, lengths, n);
            assert_int_not_equal(queue.packed_desc[0].flags & (AVAIL | USED),
                                 round == 0 ? AVAIL : USED);
            (void)virtqueue_publish(&queue, n);
            for (uint32_t i = 0; i < n; i++) {
                assert_int_equal(queue.packed_desc[i].flags, round == 0 ? AVAIL : USED);
                assert_int_equal(queue.packed_desc[i].id, i);
            }
        }
    }
}

/* In each slot of several rounds, the last one of the ring too. */
TEST(a_single_chain_is_told_from_none)
{
    make_packed(SIZE);
    offer(0, 1);
    for (uint32_t n = 0; n < 4 * SIZE; n++) {
        void *cookie = NULL;
        uint32_t length = 0;
        offer(n + 1, 1); /* there is one that is not finished */
        assert_int_equal(virtqueue_take_single(&queue, &cookie, &length, true), VIRTQUEUE_NONE);
        use((uint16_t)(n % SIZE), HEADER + 20 + n % 10);
        assert_int_equal(virtqueue_take_single(&queue, &cookie, &length, true), VIRTQUEUE_SINGLE);
        virtqueue_release(&queue, 1);
        assert_ptr_equal(cookie, buffers[n % 64]);
        assert_int_equal(length, 20 + n % 10);
    }
}

/* Another id, a length that is not ordinary, or more than one: nothing is done then. */
TEST(a_single_chain_that_is_not_as_expected_is_left_to_others)
{
    static const struct {
        uint16_t id;
        uint32_t length, count;
    } rows[] = {{1, HEADER + 20, 1}, {0xffff, HEADER + 20, 1}, {0, 3, 1},
                {0, HEADER + 13, 1}, {0, HEADER + 35, 1},      {0, UINT32_MAX, 1},
                {0, HEADER + 20, 2}};

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        void *cookie = NULL;
        uint32_t length;
        make_packed(SIZE);
        offer(0, 3);
        for (uint16_t n = 0; n < rows[i].count; n++)
            use(rows[i].id + n, rows[i].length);
        assert_int_equal(virtqueue_take_single(&queue, &cookie, &length, true), VIRTQUEUE_OTHER);
        assert_null(cookie);
        assert_int_equal(virtqueue_outstanding(&queue), 3);
        assert_int_equal(queue.error, VIRTQUEUE_OK);
    }
}

/* Bursts of every length, so that four at a time and the rest are each seen, round after round. */
TEST(bursts_of_every_length_come_back_whole)
{
    void *cookies[BURST];
    uint32_t lengths[BURST];

    make_packed(32);
    for (uint32_t n = 1; n <= 32; n++) {
        uint32_t bytes = 0, found = 0;
        const uint32_t at = queue.avail_idx;
        offer(at, n);
        for (uint32_t i = 0; i < n; i++)
            use((uint16_t)((at + i) % 32), HEADER + 14 + i % 20);
        while (found < n) {
            const struct virtqueue_burst burst = pop(cookies, lengths, BURST);
            assert_true(burst.count > 0 && !burst.needs_check);
            for (uint32_t i = 0; i < burst.count; i++, found++) {
                assert_ptr_equal(cookies[i], buffers[(at + found) % 64]);
                assert_int_equal(lengths[i], 14 + found % 20);
            }
            bytes += burst.bytes;
        }
        for (uint32_t i = 0; i < n; i++)
            bytes -= 14 + i % 20;
        assert_int_equal(bytes, 0);
        assert_false(virtqueue_has_finished(&queue));
    }
}

TEST(what_is_not_finished_is_not_taken)
{
    void *cookies[SIZE];

    for (uint32_t finished = 0; finished < SIZE; finished++) {
        make_packed(SIZE);
        offer(0, SIZE);
        for (uint32_t i = 0; i < finished; i++)
            use((uint16_t)i, HEADER + 20);
        assert_int_equal(virtqueue_unfinished(&queue), SIZE - finished);
        assert_int_equal(pop(cookies, NULL, SIZE).count, finished);
        assert_int_equal(queue.error, VIRTQUEUE_OK);
    }
}

TEST(chains_come_back_in_the_order_of_the_device)
{
    static const uint16_t order[] = {2, 0, 3, 1, 7, 6, 5, 4};
    void *cookies[SIZE];
    uint32_t lengths[SIZE];

    make_packed(SIZE);
    for (unsigned round = 0; round < 5; round++) {
        uint32_t ids[SIZE];
        offer(0, SIZE);
        memcpy(ids, queue.ids, sizeof(ids)); /* of the buffers in their order */
        for (unsigned i = 0; i < SIZE; i++)
            use((uint16_t)ids[order[i]], HEADER + 14 + order[i]);
        assert_int_equal(pop(cookies, lengths, SIZE).count, SIZE);
        for (unsigned i = 0; i < SIZE; i++) {
            assert_ptr_equal(cookies[i], buffers[order[i]]);
            assert_int_equal(lengths[i], 14 + order[i]);
        }
    }
    assert_int_equal(queue.error, VIRTQUEUE_OK);
}

TEST(pop_rejects_ids_that_cannot_be)
{
    static const struct {
        uint16_t id;
        enum virtqueue_error error;
    } rows[] = {{8, VIRTQUEUE_ID_RANGE},
                {0xffff, VIRTQUEUE_ID_RANGE},
                {7, VIRTQUEUE_ID_NOT_OUT},
                {0, VIRTQUEUE_ID_NOT_OUT}}; /* twice */

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        void *cookies[SIZE];
        uint32_t lengths[SIZE];
        make_packed(SIZE);
        offer(0, 6);
        use(0, HEADER + 20);
        use(rows[i].id, HEADER + 20);
        assert_int_equal(pop(cookies, lengths, SIZE).count, 1);
        assert_int_equal(queue.error, rows[i].error);
        assert_int_equal(queue.error_value, rows[i].id);
    }
}

TEST(one_odd_length_makes_a_burst_odd)
{
    static const uint32_t odd[] = {0, HEADER - 1, HEADER + 13, HEADER + 35, UINT32_MAX};

    for (unsigned i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        for (uint16_t at = 0; at < 7; at++) {
            void *cookies[SIZE];
            uint32_t lengths[SIZE];
            make_packed(SIZE);
            offer(0, 7);
            for (uint16_t j = 0; j < 7; j++)
                use(j, j == at ? odd[i] : HEADER + 14);
            assert_true(pop(cookies, lengths, SIZE).needs_check);
            assert_int_equal(lengths[at], odd[i] - HEADER);
        }
    }
}

TEST(flags_in_one_header_make_a_burst_odd)
{
    for (uint16_t at = 0; at < 7; at++) {
        uint8_t *const flags = &buffers[at][PACKET_HEADROOM - VIRTIO_NET_HDR_BYTES];
        void *cookies[SIZE];
        uint32_t lengths[SIZE];
        make_packed(SIZE);
        offer(0, 7);
        for (uint16_t j = 0; j < 7; j++)
            use(j, HEADER + 14);
        *flags = 1;
        assert_false(virtqueue_take(&queue, cookies, lengths, SIZE, VIRTQUEUE_LENGTHS).needs_check);
        assert_true(virtqueue_take(&queue, cookies, lengths, SIZE, VIRTQUEUE_HEADERS).needs_check);
        *flags = 0;
        assert_false(virtqueue_take(&queue, cookies, lengths, SIZE, VIRTQUEUE_HEADERS).needs_check);
    }
}

/* The chains that are out are taken. A used descriptor that was never available shows when none is
 * left. */
TEST(more_than_is_out_is_a_device_error_and_never_taken)
{
    void *cookies[SIZE];

    make_packed(SIZE);
    for (unsigned round = 0; round < 3; round++) { /* what is left of one is none of the next */
        offer(0, SIZE);
        for (uint16_t i = 0; i < SIZE; i++)
            use(i, HEADER + 20);
        assert_int_equal(pop(cookies, NULL, SIZE).count, SIZE);
        assert_int_equal(pop(cookies, NULL, SIZE).count, 0);
        assert_int_equal(queue.error, VIRTQUEUE_OK);
    }
    offer(0, 3);
    for (uint16_t i = 0; i < 4; i++)
        use(i, HEADER + 20);
    assert_int_equal(pop(cookies, NULL, SIZE).count, 3);
    assert_int_equal(queue.error, VIRTQUEUE_OK);
    assert_true(virtqueue_has_finished(&queue));
    assert_int_equal(pop(cookies, NULL, SIZE).count, 0);
    assert_int_equal(queue.error, VIRTQUEUE_USED_IDX);
    assert_int_equal(queue.error_value, 0); /* the flags, in the fourth round */
}

TEST(doorbells_are_wanted_as_the_device_says)
{
    make(SIZE, true);
    queue.device_event->flags = 0;
    assert_true(offer(0, 1));
    queue.device_event->flags = 1;
    assert_false(offer(1, 1));

    /* §2.8.10: by descriptor, here number 3 of the first round, which is yet to come, or has come. */
    queue.device_event->flags = 2;
    queue.device_event->desc = 0x8000 | 3;
    assert_false(offer(2, 1));
    assert_true(offer(3, 1));
    assert_true(offer(4, 1));     /* QEMU may have gone on without naming another one */
    queue.device_event->desc = 2; /* of the second round */
    assert_false(offer(5, 3));

    /* Number 3 of the first round again: it may have gone on by a whole ring, and a burst. */
    queue.device_event->desc = 0x8000 | 3;
    for (uint32_t idx = 8, behind = 5; behind < 16; idx++, behind++) {
        void *cookies[SIZE];
        if (virtqueue_free(&queue) == 0) {
            use((uint16_t)(idx % SIZE), 0);
            assert_int_equal(pop(cookies, NULL, 1).count, 1);
        }
        assert_int_equal(offer(idx, 1), behind + 1 <= SIZE + SIZE / 2);
    }
}

TEST(a_chain_of_parts_fills_as_many_slots)
{
    static uint8_t memory[4];
    const struct virtqueue_part parts[] = {
        {&memory[0], 2, false}, {&memory[1], 3, false}, {&memory[2], 1, true}};
    void *cookie;
    uint32_t slots, length;

    make_packed(SIZE);
    for (unsigned round = 0; round < 8; round++) { /* across the end, too */
        const uint32_t first = queue.avail_idx;
        virtqueue_add_parts(&queue, parts, 3, memory, &slots);
        assert_int_equal(slots, 3);
        for (unsigned i = 0; i < 3; i++) {
            const struct pvirtq_desc *desc = &queue.packed_desc[(first + i) % SIZE];
            const bool even = ((first + i) / SIZE) % 2 == 0;
            assert_int_equal(desc->addr, io_physical(&memory[i]));
            assert_int_equal(desc->len, parts[i].length);
            assert_int_equal(desc->id, first % SIZE);
            assert_int_equal(desc->flags, (even ? AVAIL : USED) | (i < 2 ? 1 : WRITE));
        }
        use((uint16_t)(first % SIZE), 1); /* one for the whole chain; the device skips the others */
        device_at += 2;
        assert_int_equal(virtqueue_take(&queue, &cookie, &length, 1, VIRTQUEUE_LENGTHS).count, 1);
        assert_ptr_equal(cookie, memory);
        virtqueue_release(&queue, slots);
    }
    assert_int_equal(virtqueue_free(&queue), SIZE);
}

/* The slots of its further descriptors have ids, too, but the device never got them. */
TEST(a_chain_is_not_known_by_its_further_descriptors)
{
    static uint8_t memory[4];
    const struct virtqueue_part parts[] = {
        {&memory[0], 2, false}, {&memory[1], 3, false}, {&memory[2], 1, true}};

    for (unsigned i = 0; i < 2; i++) {
        void *cookie = NULL;
        uint32_t slots;
        make_packed(SIZE);
        virtqueue_add_parts(&queue, parts, 3, memory, &slots);
        use((uint16_t)(1 + i), 1);
        assert_int_equal(virtqueue_take(&queue, &cookie, NULL, 1, VIRTQUEUE_IDS).count, 0);
        assert_int_equal(queue.error, VIRTQUEUE_ID_NOT_OUT);
        assert_int_equal(queue.error_value, 1 + i);
    }
}
