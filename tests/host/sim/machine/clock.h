/*
 * The seam on the host: a simulated clock that stands still between two readings and goes
 * on by a settable step at each (tests/host/sim/machine.h). The contract is kernel/machine/clock.h's.
 */
#ifndef MACHINE_CLOCK_H
#define MACHINE_CLOCK_H

#include <stdint.h>

#define CLOCK_NS_PER_S 1000000000ULL
#define CLOCK_NS_PER_MS 1000000ULL
#define CLOCK_NS_PER_US 1000ULL

uint64_t clock_cycles(void);
uint64_t clock_hz(void);
uint64_t clock_ns(void);
uint64_t clock_cycles_of_ns(uint64_t ns);
void clock_relax(void);

#endif
