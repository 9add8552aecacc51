/*
 * The processor's local APIC: receives devices' messages and the 8259s' line, and has a timer.
 */
#ifndef KERNEL_LAPIC_H
#define KERNEL_LAPIC_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Switches it on, with its timer at vector `timer` and spurious interrupts at `spurious` (low four
 * bits set), and measures the timer against the time-stamp counter (a few ms). False, with a
 * `warn`, if there is no usable APIC. Needs paging_init and clock_init.
 */
bool lapic_init(unsigned timer, unsigned spurious);

/* Acknowledges the interrupt being handled. Not for those of the 8259s, nor for a spurious one. */
void lapic_end_of_interrupt(void);

/* Arms the timer once, `cycles` of the time-stamp counter from now (at most about 2^30), in place
 * of the last setting. */
void lapic_timer_start(uint64_t cycles);

/* The address of message-signalled interrupts to this processor (SDM volume 3, 11.11 "Message
 * Signalled Interrupts"). 0: the address has no room for its number. */
uint64_t lapic_message_address(void);

#endif
