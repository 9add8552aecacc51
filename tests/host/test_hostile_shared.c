/*
 * A device that writes to shared memory at any time. The driver reads each word of the device
 * once, or checks the value read last, and never reads its own words back.
 */
#include <string.h>

#include <machine/clock.h>

#include "tests/host/fixture/access_watch.h"
#include "tests/host/fixture/test.h"
#include "tests/host/fixture/virtio_fixture.h"
#include "tests/host/sim/machine.h"

#define ELEMENT_AT 4 /* in the used ring, behind flags and index */
#define LEGACY_HEADER 10

/* --- every access seen --- */

static struct {
    struct sim_ring ring;
    unsigned index_reads;             /* of used.idx */
    unsigned element_reads[2 * 4096]; /* by word: id, length, id, … */
    unsigned own_reads;               /* of what the driver itself has written */
    unsigned writes;
    bool burst_begun; /* packed: more was read than flags */
    bool spoil;       /* a word that was read is another one from then on */
} seen;

/* With `spoil`, a second read of the word returns ones: an invalid id and length. */
static void note_element(uint8_t *address)
{
    const size_t offset = (size_t)(address - seen.ring.used) - ELEMENT_AT;

    seen.element_reads[offset / sizeof(uint32_t)]++;
    if (seen.spoil)
        memset(address, 0xff, sizeof(uint32_t));
}

/*
 * In a packed ring the device writes where we have written before: length, id and flags of a
 * descriptor. All three are one access. What tells that a burst is worth it are looks at id and flags
 * alone. The flags are not spoiled: by them the device would say something else.
 */
static void note_descriptor(uint8_t *address, unsigned bytes)
{
    const size_t offset = (size_t)(address - seen.ring.desc), at = offset / 16;

    if (offset % 16 < 8) {
        seen.own_reads++;
    } else if (offset % 16 == 8 && bytes == 8) {
        seen.burst_begun = true;
        seen.element_reads[2 * at]++;
        seen.element_reads[2 * at + 1]++;
        if (seen.spoil)
            memset(address, 0xff, 6);
    } else if (!seen.burst_begun) {
        seen.index_reads++;
    } else {
        seen.element_reads[2 * at + offset % 16 / 12]++;
    }
}

static void note(uint8_t *address, unsigned bytes, bool write)
{
    if (write)
        seen.writes++;
    else if (fixture_is_packed() && address < seen.ring.avail)
        note_descriptor(address, bytes);
    else if (fixture_is_packed())
        seen.own_reads += address < seen.ring.used;
    else if (address < seen.ring.used)
        seen.own_reads++;
    else if (address >= seen.ring.used + ELEMENT_AT && address + 2 < seen.ring.end)
        for (unsigned i = 0; i < bytes / sizeof(uint32_t); i++)
            note_element(address + i * sizeof(uint32_t));
    else if (address == seen.ring.used + 2)
        seen.index_reads++;
}

static void watch_queue(unsigned queue, bool spoil)
{
    memset(&seen, 0, sizeof(seen));
    seen.ring = sim_queue_ring(&one->net->queues[queue]);
    seen.spoil = spoil;
    access_watch_start(seen.ring.desc, seen.ring.end, note);
}

static void unwatch(void)
{
    access_watch_stop();
    assert_int_equal(seen.own_reads, 0);
    assert_int_equal(one->dev->state, PORT_UP);
    assert_int_equal(machine_log_count("error", ""), 0);
}

/* How many words of the elements were read; none of them twice. */
static unsigned words_read(void)
{
    unsigned words = 0;

    for (unsigned i = 0; i < sizeof(seen.element_reads) / sizeof(seen.element_reads[0]); i++) {
        assert_in_range(seen.element_reads[i], 0, 1);
        words += seen.element_reads[i];
    }
    return words;
}

/* The device touches the ring when a doorbell asks it to, which must not look like the driver. */
static void start_quietly(uint64_t features)
{
    fixture_start_one(features);
    one->net->transmit_at_once = false;
    sim_virtio_net_suppress(one->net, SIM_RX, true);
    sim_virtio_net_suppress(one->net, SIM_TX, true);
}

/* BURST frames through rx, the device's words being watched while they are taken. */
static void receive_watched(uint64_t features, enum sim_order order, bool spoil,
                            struct batch *batch)
{
    start_quietly(features);
    one->net->queues[SIM_RX].order = order;
    fixture_deliver(one, BURST);
    watch_queue(SIM_RX, spoil);
    port_rx(one->dev, 0, batch, BURST);
    access_watch_stop();
    assert_int_equal(seen.own_reads, 0);
}

TEST_FIXTURE(.setup = fixture_setup, .teardown = fixture_teardown, .variants = fixture_variants);

/* In both layouts; and where chains come back in another order than the one expected, in that with a
 * header of its own, which is looked at one by one. */
TEST(what_changes_after_it_was_read_is_not_read_again)
{
    static const struct {
        uint64_t features;
        enum sim_order order;
    } ways[] = {{SIM_FEATURES_USUAL, SIM_IN_ORDER}, {0, SIM_IN_ORDER}, {0, SIM_REVERSED}};

    /* Another order makes a packed ring's driver look twice. */
    const unsigned count = fixture_is_packed() ? 2 : sizeof(ways) / sizeof(ways[0]);

    for (unsigned i = 0; i < count; i++) {
        struct batch batch = {.count = 0};

        fixture_renew(state);
        receive_watched(ways[i].features, ways[i].order, true, &batch);
        if (fixture_is_modern() && ways[i].order != SIM_IN_ORDER)
            return; /* no header of its own there */
        assert_int_equal(one->dev->state, PORT_UP);
        assert_int_equal(machine_log_count("error", ""), 0);
        assert_int_equal(batch.count, BURST);
        for (uint32_t frame = 0; frame < BURST; frame++)
            assert_int_equal(batch.lengths[frame], FIXTURE_FRAME);
        assert_int_equal(words_read(), 2 * BURST);
        assert_in_range(seen.index_reads, 1,
                        2); /* the first read may only detect that there is work */
    }
}

/*
 * If the chains of a burst are read at once and one is not the expected one, all of them are read
 * again. The second reading is checked; the first has no effect. In order, nothing is ever read
 * again.
 */
TEST_ON(what_is_read_again_is_judged_again, FIXTURE_LEGACY | FIXTURE_MODERN | FIXTURE_PACKED)
{
    for (unsigned i = 0; i < 2; i++) {
        const bool spoil = i != 0;
        struct batch batch = {.count = 0};

        fixture_renew(state);
        receive_watched(SIM_FEATURES_USUAL, SIM_REVERSED, spoil, &batch);
        assert_int_equal(batch.count, spoil ? 0 : BURST);
        fixture_notice(one);
        assert_int_equal(machine_log_count("error", "reason=used-id-range"), spoil ? 1 : 0);
        assert_int_equal(one->dev->state, spoil ? PORT_RESETTING : PORT_UP);
        for (uint32_t frame = 0; frame < batch.count; frame++)
            assert_int_equal(batch.lengths[frame], FIXTURE_FRAME);
    }
}

/* Their way through the driver is another one than that of ordinary lengths. Four frames, since of a
 * packed ring's so many are read at once: fewer are looked at twice, and doubted twice. */
TEST(odd_lengths_are_judged_and_used_as_they_were_first_read)
{
    static const uint32_t lengths[] = {3, 1600, 64, 64};
    static const uint8_t frame[1600];
    struct batch batch;

    start_quietly(SIM_FEATURES_USUAL);
    for (unsigned i = 0; i < 4; i++)
        assert_true(sim_virtio_net_deliver(one->net, frame, lengths[i]));
    watch_queue(SIM_RX, true);
    port_rx(one->dev, 0, &batch, 4);
    unwatch();
    assert_int_equal(batch.count, 4);
    assert_true(batch.needs_check);
    assert_memory_equal(batch.lengths, lengths, sizeof(lengths));
    assert_int_equal(words_read(), 8);
}

/* The device says nothing about a frame that it has sent but which: its length has no meaning where it
 * comes along with an id, and of a packed ring's descriptor only id and flags are read. */
TEST(finished_tx_chains_are_read_once_whatever_their_length)
{
    struct batch batch;

    start_quietly(SIM_FEATURES_USUAL);
    fixture_deliver(one, BURST);
    assert_int_equal(fixture_receive(one, &batch), BURST);
    watch_queue(SIM_TX, true);
    assert_int_equal(port_room(one->dev, 0, BURST), BURST);
    assert_int_equal(port_tx(one->dev, 0, &batch), BURST);
    unwatch();
    assert_true(seen.writes > BURST); /* it does see what it is there to see */
    assert_int_equal(sim_virtio_net_transmit(one->net, BURST), BURST);
    const uint32_t before = one->pool.count;
    virtqueue_set_limit(&((struct virtio_net *)one->dev)->tx.queue, BURST); /* so it is looked at */
    watch_queue(SIM_TX, true);
    assert_int_equal(one->dev->ops->room(one->dev, 0, BURST), BURST);
    unwatch();
    assert_int_equal(one->pool.count, before + BURST);
    assert_int_equal(words_read(), fixture_is_packed() ? 0 : 2 * BURST);
    if (fixture_is_packed()) /* each once, and a look whether there is more */
        assert_in_range(seen.index_reads, BURST, BURST + 1);
    else
        assert_int_equal(seen.index_reads, 1);
}

/* --- written over --- */

/* The driver's part of a ring is for the device. If it overwrites it, it knows only the chains
 * that it fetched. */
TEST_ON(a_ring_that_is_written_over_does_not_mislead_the_driver, FIXTURE_ALL)
{
    for (unsigned what = 0; what < SIM_SCRIBBLES; what++) {
        struct sim_queue *rx, *tx;
        struct batch batch;

        fixture_renew(state);
        start_quietly(what % 2 != 0 ? SIM_FEATURES_USUAL : 0);
        rx = &one->net->queues[SIM_RX];
        tx = &one->net->queues[SIM_TX];
        fixture_deliver(one, BURST);
        assert_int_equal(fixture_receive(one, &batch), BURST);
        assert_int_equal(fixture_transmit(one, &batch), BURST);
        assert_int_equal(sim_virtio_net_available(one->net, SIM_TX), BURST);
        assert_true(sim_virtio_net_available(one->net, SIM_RX) >= 2 * BURST);
        sim_queue_scribble(rx, what);
        sim_queue_scribble(tx, what);
        for (unsigned i = 0; i < BURST; i++) {
            sim_queue_finish_blind(rx, 10 + FIXTURE_FRAME);
            sim_queue_finish_blind(tx, 0);
        }
        assert_int_equal(fixture_receive(one, &batch), BURST);
        assert_int_equal(one->dev->ops->room(one->dev, 0, BURST), BURST);
        assert_int_equal(fixture_transmit(one, &batch), BURST);
        assert_int_equal(machine_log_count("error", ""), 0);

        /* A device that despairs of it says so, and after the reset all is as it was. */
        one->net->status |= 0x80;
        one->net->transmit_at_once = true;
        rx->suppress = tx->suppress = false;
        for (unsigned i = 0; i < 2; i++) {
            machine_clock_advance(CLOCK_NS_PER_S / 2);
            one->dev->ops->service(one->dev, clock_ns());
        }
        assert_int_equal(one->dev->state, PORT_UP);
        assert_int_equal(fixture_receive(one, &batch), 0); /* nothing of before is seen */
        fixture_forward(one, 300);
    }
}

/* No feature was negotiated that gives the header a meaning, so it is ignored and not passed on,
 * with any byte set. */
TEST_ON(garbage_in_the_header_goes_no_further, FIXTURE_ALL)
{
    static const uint64_t features[] = {SIM_FEATURES_USUAL, 0};
    static const uint8_t values[] = {1, 0x80, 0xff};

    for (unsigned i = 0; i < 2 * LEGACY_HEADER * sizeof(values); i++) {
        fixture_renew(state);
        fixture_start_one(features[i % 2]);
        one->net->header[i / 2 % LEGACY_HEADER] = values[i / 2 / LEGACY_HEADER];
        fixture_forward(one, 2 * BURST); /* the device complains of a header that is not zero */
        assert_int_equal(one->net->sent_count, 2 * BURST);
        assert_int_equal(machine_log_count("error", ""), 0);
        for (unsigned sent = 0; sent < one->net->sent_count; sent++)
            assert_int_equal(one->net->sent[sent].length, FIXTURE_FRAME);
    }
}
