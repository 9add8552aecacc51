/* kernel/clock.c: the arithmetic behind the time stamps, and the order of the sources. */
#include <string.h>

#include "kernel/calibrate.h"
#include "kernel/clock.h"
#include "tests/host/fixture/test.h"

static uint64_t now_cycles;
static uint64_t kvmclock_hz, cpuid_hz, pit_hz;

uint64_t clock_cycles(void)
{
    return now_cycles;
}

uint64_t calibrate_kvmclock(void)
{
    return kvmclock_hz;
}

uint64_t calibrate_cpuid(void)
{
    return cpuid_hz;
}

uint64_t calibrate_pit(void)
{
    return pit_hz;
}

static const char *init(uint64_t kvmclock, uint64_t cpuid, uint64_t pit)
{
    kvmclock_hz = kvmclock;
    cpuid_hz = cpuid;
    pit_hz = pit;
    return clock_init(0);
}

/* The time that the clock shows `cycles` after its zero. */
static uint64_t ns_after(uint64_t cycles)
{
    now_cycles = cycles;
    return clock_ns();
}

/* `cycles` in nanoseconds by division, which is exact. */
static uint64_t exact_ns(uint64_t hz, uint64_t cycles)
{
    return (uint64_t)((unsigned __int128)cycles * CLOCK_NS_PER_S / hz);
}

static const uint64_t rates[] = {
    100000000,  119318200,  999999999,  1000000000, 1000000001, 2000000000,
    2095324363, 3999999999, 4294967296, 4294967297, 9999999999, 10000000000,
};
#define RATES (sizeof(rates) / sizeof(rates[0]))

TEST(before_the_start_time_is_zero_and_the_rate_is_not)
{
    now_cycles = 123456789;
    assert_int_equal(clock_ns(), 0);
    assert_true(clock_hz() > 0);
    assert_true(clock_cycles_of_ns(CLOCK_NS_PER_S) == clock_hz());
}

TEST(scale_never_drifts)
{
    for (size_t i = 0; i < RATES; i++) {
        init(rates[i], 0, 0);
        assert_int_equal(ns_after(0), 0);
        /* A second, an hour, a year, a thousand years; never ahead, and less than 2 ns behind. */
        static const uint64_t seconds[] = {1, 3600, 31557600, 31557600000};
        for (size_t s = 0; s < 4; s++) {
            uint64_t cycles;
            if (__builtin_mul_overflow(rates[i], seconds[s], &cycles) ||
                seconds[s] > UINT64_MAX / CLOCK_NS_PER_S)
                continue;
            uint64_t expected = exact_ns(rates[i], cycles);
            uint64_t got = ns_after(cycles);
            assert_true(got <= expected && expected - got < 2);
        }
    }
}

TEST(scale_uses_the_whole_range_of_the_counter)
{
    for (size_t i = 0; i < RATES; i++) {
        if (rates[i] < CLOCK_NS_PER_S)
            continue; /* 2^64 cycles are more nanoseconds than 64 bits hold */
        uint64_t expected = exact_ns(rates[i], UINT64_MAX);
        init(rates[i], 0, 0);
        uint64_t got = ns_after(UINT64_MAX);
        assert_true(got <= expected && expected - got < 2);
    }
}

TEST(time_runs_from_the_entry_on)
{
    kvmclock_hz = cpuid_hz = 0;
    pit_hz = 2500000000;
    now_cycles = 7000000000;
    clock_init(5000000000);
    assert_int_equal(clock_ns(), 799999999); /* rounded down */
    now_cycles++;
    assert_int_equal(clock_ns(), 800000000);
}

TEST(cycles_are_rounded_up_and_saturate)
{
    init(0, 0, 2500000000);
    assert_int_equal(clock_cycles_of_ns(0), 0);
    assert_int_equal(clock_cycles_of_ns(1), 3);
    assert_int_equal(clock_cycles_of_ns(2), 5);
    assert_int_equal(clock_cycles_of_ns(CLOCK_NS_PER_S), 2500000000);
    assert_int_equal(clock_cycles_of_ns(CLOCK_NS_PER_S + 1), 2500000003);
    assert_true(clock_cycles_of_ns(UINT64_MAX) == UINT64_MAX);
    init(0, 0, 10000000000);
    assert_int_equal(clock_cycles_of_ns(999999999), 9999999990);
}

TEST(surest_source_is_taken)
{
    assert_string_equal(init(2000000000, 2100000000, 2200000000), "kvmclock");
    assert_true(clock_hz() == 2000000000);
    assert_string_equal(init(0, 2100000000, 2200000000), "cpuid");
    assert_true(clock_hz() == 2100000000);
    assert_string_equal(init(0, 0, 2200000000), "pit");
    assert_true(clock_hz() == 2200000000);
}

TEST(absurd_rates_are_not_believed)
{
    assert_string_equal(init(99999999, 10000000001, 2200000000), "pit");
    assert_string_equal(init(UINT64_MAX, 1, 100000000), "pit");
}

TEST(no_source_at_all_is_told)
{
    assert_null(init(0, 0, 0));
    assert_true(clock_hz() > 1000000000);
}
