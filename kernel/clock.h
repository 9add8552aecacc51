/*
 * The kernel's side of the clock: calibration at start-up, and the arithmetic behind clock_ns.
 */
#ifndef KERNEL_CLOCK_H
#define KERNEL_CLOCK_H

#include <stdint.h>

#include <machine/clock.h>

/*
 * Finds the counter's rate and makes `entry_cycles` (clock_cycles() at kernel entry) the zero of
 * clock_ns; before this call clock_ns is 0 and clock_hz a guess. Returns the source of the rate:
 * "kvmclock", "cpuid" or "pit". NULL: no source works, and clock_hz stays a guess. Takes up to about
 * 10 ms.
 */
const char *clock_init(uint64_t entry_cycles);

/* Nanoseconds are cycles × multiplier ÷ 2^shift. */
struct clock_scale {
    uint64_t multiplier;
    unsigned shift; /* 0 to 64 */
};

/*
 * The scale for a counter of `hz` (1 to 2^63 - 1) cycles a second. From 1 GHz on, not even the
 * counter's whole range of 2^64 cycles adds up to an error of one nanosecond.
 */
struct clock_scale clock_scale_of(uint64_t hz);

/* `cycles` in nanoseconds, rounded down; right as long as the result fits into 64 bits. */
uint64_t clock_scale_ns(struct clock_scale by, uint64_t cycles);

#endif
