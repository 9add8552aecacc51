/* Time out of the time-stamp counter: multiply and shift, no division when time is read. */
#include "kernel/clock.h"

#include <stddef.h>

#include "kernel/calibrate.h"

/*
 * Before calibration, and when no source has the rate. Fast rather than slow: then deadlines come
 * late instead of early, and time stamps never run ahead of the real time.
 */
#define ASSUMED_HZ 4000000000ULL

/* No machine that runs this is slower or faster; a source that says so is not believed. */
#define CLOCK_HZ_MIN 100000000ULL
#define CLOCK_HZ_MAX 10000000000ULL

/* Nanoseconds are cycles × multiplier ÷ 2^shift. */
struct scale {
    uint64_t multiplier;
    unsigned shift; /* 0 to 64 */
};

static uint64_t hz = ASSUMED_HZ;
static uint64_t zero_cycles;
static struct scale scale; /* all zero until clock_init: clock_ns is 0 */

/*
 * From 1 GHz on, not even the counter's whole range of 2^64 cycles adds up to an error of one
 * nanosecond.
 */
static struct scale scale_of(uint64_t rate_hz)
{
    /*
     * Long division of 10^9 by the rate, one binary digit after the point at a time, until 64
     * digits are found or the next doesn't fit. (The 128-bit division of the compiler's library
     * would write below the stack pointer, where an exception may write too.)
     */
    struct scale result = {.multiplier = CLOCK_NS_PER_S / rate_hz, .shift = 0};
    uint64_t remainder = CLOCK_NS_PER_S % rate_hz;

    while (result.shift < 64 && result.multiplier >> 63 == 0) {
        remainder <<= 1; /* below 2 × rate: no overflow */
        result.multiplier <<= 1;
        result.shift++;
        if (remainder >= rate_hz) {
            remainder -= rate_hz;
            result.multiplier |= 1;
        }
    }
    return result;
}

/* From the surest to the least sure. */
static const struct {
    const char *name;
    uint64_t (*rate_hz)(void);
} sources[] = {
    {"kvmclock", calibrate_kvmclock},
    {"cpuid", calibrate_cpuid},
    {"pit", calibrate_pit},
};

/* Tries the sources in turn, sets the rate, and returns the name of the source, or NULL. */
static const char *clock_calibrate(void)
{
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        uint64_t rate_hz = sources[i].rate_hz();
        if (rate_hz >= CLOCK_HZ_MIN && rate_hz <= CLOCK_HZ_MAX) {
            hz = rate_hz;
            return sources[i].name;
        }
    }
    hz = ASSUMED_HZ;
    return NULL;
}

const char *clock_init(uint64_t entry_cycles)
{
    const char *source = clock_calibrate();

    zero_cycles = entry_cycles;
    scale = scale_of(hz);
    return source;
}

uint64_t clock_hz(void)
{
    return hz;
}

uint64_t clock_ns(void)
{
    const uint64_t cycles = clock_cycles() - zero_cycles;

    return (uint64_t)((unsigned __int128)cycles * scale.multiplier >> scale.shift);
}

uint64_t clock_cycles_of_ns(uint64_t ns)
{
    uint64_t part = ns % CLOCK_NS_PER_S * hz; /* below 10^9 × CLOCK_HZ_MAX: no overflow */
    uint64_t cycles;

    part = part / CLOCK_NS_PER_S + (part % CLOCK_NS_PER_S != 0);
    if (__builtin_mul_overflow(ns / CLOCK_NS_PER_S, hz, &cycles) ||
        __builtin_add_overflow(cycles, part, &cycles))
        return UINT64_MAX;
    return cycles;
}
