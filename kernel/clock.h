/*
 * The kernel's side of the clock: calibration at start-up.
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

#endif
