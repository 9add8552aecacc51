/*
 * A million completions by a hostile device. Its acts are pseudo-random and always the same. The
 * oracle (tests/host/fixture/adversary.h) and the sanitizers check each step; this file checks
 * that every kind of act occurred.
 */
#include "tests/host/fixture/adversary.h"
#include "tests/host/fixture/test.h"

#define COMPLETIONS 1000000
#define PLAY_BYTES 20000 /* of lots for one pair of devices, then others take their place */

/* One lot after the other, from a seed: xorshift64*. */
static uint64_t draw(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dULL;
}

static void draw_all(uint64_t *state, uint8_t *lots)
{
    for (unsigned i = 0; i < PLAY_BYTES; i++)
        lots[i] = (uint8_t)(draw(state) >> 56);
}

static void add(struct adversary_account *sum, const struct adversary_account *part)
{
    sum->completions += part->completions;
    sum->taken += part->taken;
    sum->frames += part->frames;
    sum->checksums += part->checksums;
    sum->segments += part->segments;
    sum->large += part->large;
    sum->invalid += part->invalid;
    sum->too_much += part->too_much;
    sum->cuts += part->cuts;
    sum->resets += part->resets;
    sum->retired += part->retired;
    for (unsigned i = 0; i < VIRTQUEUE_ERRORS; i++)
        sum->errors[i] += part->errors[i];
    for (unsigned i = 0; i < ADVERSARY_RINGS; i++)
        sum->by_rings[i] += part->by_rings[i];
}

TEST(a_million_adversarial_completions_break_nothing)
{
    static uint8_t lots[PLAY_BYTES];
    struct adversary_account sum = {0};
    uint64_t seed = 1;

    while (sum.completions < COMPLETIONS) {
        struct input input = {lots, sizeof(lots)};
        draw_all(&seed, lots);
        adversary_begin(&input);
        adversary_play(&input);
        adversary_end();
        add(&sum, adversary_account());
    }
    print_message("completions=%llu taken=%llu frames=%llu resets=%llu retired=%llu\n",
                  (unsigned long long)sum.completions, (unsigned long long)sum.taken,
                  (unsigned long long)sum.frames, (unsigned long long)sum.resets,
                  (unsigned long long)sum.retired);
    print_message("checksums=%llu segments=%llu large=%llu invalid=%llu too_much=%llu cuts=%llu\n",
                  (unsigned long long)sum.checksums, (unsigned long long)sum.segments,
                  (unsigned long long)sum.large, (unsigned long long)sum.invalid,
                  (unsigned long long)sum.too_much, (unsigned long long)sum.cuts);
    for (unsigned i = 0; i < ADVERSARY_RINGS; i++)
        print_message("completions in rings of kind %u: %llu\n", i,
                      (unsigned long long)sum.by_rings[i]);

    /* No account of a device that never got anywhere. */
    assert_true(sum.taken > COMPLETIONS / 4 && sum.frames > COMPLETIONS / 8);
    assert_true(sum.checksums > COMPLETIONS / 20 && sum.segments > COMPLETIONS / 50);
    assert_true(sum.large > COMPLETIONS / 50 && sum.invalid > COMPLETIONS / 50);
    assert_true(sum.too_much > 500 && sum.cuts > 100);
    assert_true(sum.resets > 1000 && sum.retired > 100);
    for (unsigned i = VIRTQUEUE_OK + 1; i < VIRTQUEUE_NUM_BUFFERS; i++)
        assert_true(sum.errors[i] > 100); /* of frames in several buffers there are none here */
    for (unsigned i = 0; i < ADVERSARY_RINGS; i++)
        assert_true(sum.by_rings[i] > COMPLETIONS / 20);
}
