/*
 * The sources of the time-stamp counter's rate. Start-up only.
 *
 * CPUID leaf 0x15 is not among them: in a guest it describes the host's crystal at best.
 */
#ifndef KERNEL_CALIBRATE_H
#define KERNEL_CALIBRATE_H

#include <stdint.h>

/* Each returns cycles a second, or 0 if this machine doesn't have the source. */
uint64_t calibrate_kvmclock(void); /* the page that KVM keeps for its guests' clock */
uint64_t calibrate_cpuid(void);    /* CPUID leaf 0x40000010 */
uint64_t calibrate_pit(void);      /* measured against the 8254, takes about 10 ms */

/*
 * The rate behind KVM's rule for its guests' clock, ns = (cycles << shift) × mul ÷ 2^32, where a
 * negative shift goes to the right. 0 for a rule that makes no sense.
 */
uint64_t calibrate_pvclock_hz(uint32_t mul, int8_t shift);

#endif
