/*
 * The seam: time since kernel entry, out of the processor's time-stamp counter.
 *
 * Monotonic on one core; a pause of the whole machine shows as a jump. All of it may be called in
 * the data path; clock_cycles is the cheap one.
 */
#ifndef MACHINE_CLOCK_H
#define MACHINE_CLOCK_H

#include <stdint.h>

#define CLOCK_NS_PER_S UINT64_C(1000000000)
#define CLOCK_NS_PER_MS UINT64_C(1000000)
#define CLOCK_NS_PER_US UINT64_C(1000)

/* The raw counter, in cycles of clock_hz(); compare differences only. */
static inline uint64_t clock_cycles(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

/* Cycles a second, as calibrated at start-up. Never 0. */
uint64_t clock_hz(void);

/* Nanoseconds since kernel entry. */
uint64_t clock_ns(void);

/* `ns` nanoseconds in cycles, rounded up. Not for the data path (divides). */
uint64_t clock_cycles_of_ns(uint64_t ns);

/* Tells the processor that this is a waiting loop. */
static inline void clock_relax(void)
{
    __asm__ volatile("pause" : : : "memory");
}

#endif
