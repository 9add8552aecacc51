/* kernel/calibrate.c: the measurement against a simulated 8254, undisturbed and disturbed. */
#include <stdbool.h>
#include <string.h>

#include <machine/clock.h>
#include <machine/io.h>

#include "kernel/calibrate.h"
#include "tests/host/fixture/test.h"

#define TSC_HZ 2345678901ULL
#define PIT_HZ 1193182ULL
#define ACCESS_NS 700

static struct {
    uint64_t now_ns;
    unsigned accesses;
    unsigned pause_every;  /* accesses between two disturbances; 0: none */
    uint64_t pause_ns;     /* how long each takes */
    bool counts;           /* false: the counter stands still */
    bool present;          /* false: reads as all ones */
    unsigned reload_bytes; /* of the counter's start value, so far */
    uint64_t started_ns;
    uint16_t latched;
    bool high_byte_next;
} pit;

static void reset(void)
{
    memset(&pit, 0, sizeof(pit));
    pit.counts = pit.present = true;
}

static void pass(void)
{
    pit.accesses++;
    pit.now_ns += ACCESS_NS;
    if (pit.pause_every != 0 && pit.accesses % pit.pause_every == 0)
        pit.now_ns += pit.pause_ns;
}

uint64_t clock_cycles(void)
{
    pit.now_ns += 20;
    return (uint64_t)((unsigned __int128)pit.now_ns * TSC_HZ / CLOCK_NS_PER_S);
}

void clock_relax(void)
{
}

static uint16_t counter(void)
{
    uint64_t ticks = (pit.now_ns - pit.started_ns) * PIT_HZ / CLOCK_NS_PER_S;
    return pit.counts ? (uint16_t)(0 - ticks) : 0x1234;
}

void io_write8(uint16_t port, uint8_t value)
{
    pass();
    if (port == 0x43 && value == 0x00) {
        pit.latched = counter();
        pit.high_byte_next = false;
    } else if (port == 0x43) {
        assert_int_equal(value, 0x34); /* channel 0, both bytes, rate generator, binary */
        pit.reload_bytes = 0;
    } else {
        assert_int_equal(port, 0x40);
        assert_int_equal(value, 0);
        assert_true(++pit.reload_bytes <= 2);
        pit.started_ns = pit.now_ns;
    }
}

uint8_t io_read8(uint16_t port)
{
    pass();
    assert_int_equal(port, 0x40);
    assert_int_equal(pit.reload_bytes, 2);
    if (!pit.present)
        return 0xff;
    pit.high_byte_next = !pit.high_byte_next;
    return (uint8_t)(pit.high_byte_next ? pit.latched : pit.latched >> 8);
}

/* Off by no more than one part in `parts`. */
static void assert_rate(uint64_t rate_hz, uint64_t parts)
{
    uint64_t off = rate_hz > TSC_HZ ? rate_hz - TSC_HZ : TSC_HZ - rate_hz;
    if (off > TSC_HZ / parts)
        fail_msg("measured %llu Hz instead of %llu", (unsigned long long)rate_hz,
                 (unsigned long long)TSC_HZ);
}

TEST(quiet_machine_is_measured_to_a_thousandth)
{
    reset();
    assert_rate(calibrate_pit(), 1000);
    assert_true(pit.now_ns < 50 * CLOCK_NS_PER_MS);
}

TEST(pauses_of_the_host_spoil_single_windows_only)
{
    static const uint64_t pauses_ns[] = {10000, 300000, 5000000, 40000000, 54925415, 60000000};
    for (size_t i = 0; i < sizeof(pauses_ns) / sizeof(pauses_ns[0]); i++)
        for (unsigned every = 4001; every < 6000; every += 97) {
            reset();
            pit.pause_every = every;
            pit.pause_ns = pauses_ns[i];
            assert_rate(calibrate_pit(), 500);
        }
}

TEST(counter_that_stands_still_is_given_up)
{
    reset();
    pit.counts = false;
    assert_true(calibrate_pit() == 0);
    assert_true(pit.accesses < 1000000);
}

TEST(machine_without_a_pit_is_given_up)
{
    reset();
    pit.present = false;
    assert_true(calibrate_pit() == 0);
    assert_true(pit.accesses < 1000000);
}

/* By KVM's rule, a second's worth of cycles must come out as a second. */
TEST(rate_of_kvms_clock_follows_from_its_rule)
{
    static const struct {
        uint32_t mul;
        int8_t shift;
        uint64_t hz;
    } rules[] = {
        {0x80000000, 1, 1000000000},  {0x80000000, 0, 2000000000}, {3579139413, -1, 2400000000},
        {2863311530, 0, 1500000000},  {4294967295, 0, 1000000000}, {2454267026, -1, 3500000000},
        {0x80000000, -2, 8000000000}, {3435973836, 3, 156250000},
    };
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        uint64_t hz = calibrate_pvclock_hz(rules[i].mul, rules[i].shift);
        assert_true(hz <= rules[i].hz + 10 && hz + 10 >= rules[i].hz);
    }
    assert_true(calibrate_pvclock_hz(0, 0) == 0);
    assert_true(calibrate_pvclock_hz(0x80000000, 32) == 0);
    assert_true(calibrate_pvclock_hz(0x80000000, -128) == 0);
}
