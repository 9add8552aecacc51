/*
 * The ways to leave: off, reset, halt, and QEMU's debug exit.
 */
#ifndef KERNEL_POWER_H
#define KERNEL_POWER_H

#include <stdint.h>

/*
 * Maps the registers that acpi_init found in device memory, takes the machine out of the firmware's
 * hands and makes the power button show. Call after paging_init; without it (a panic before) those
 * registers are reached by the start-up map.
 */
void power_init(void);

/*
 * The first three write out what the console holds (at most 4 seconds, unless a panic has done so
 * before) and don't return. power_off that isn't obeyed says so and halts; power_reset ends in a
 * triple fault, which every machine obeys.
 */
_Noreturn void power_off(void);
_Noreturn void power_reset(void);
_Noreturn void power_halt(void);

/*
 * Does what power_request has noted, after the `bye` event. Call when the loop is through: `unsent`
 * is how many frames could not leave.
 */
_Noreturn void power_execute(uint32_t unsent);

/*
 * Reports a panic to the host if the machine has the pvpanic device. The host may pause or dump
 * the machine, or do nothing; so this may not return.
 */
void power_tell_panic(void);

/* Ends QEMU with exit code 2 × value + 1 if it has isa-debug-exit at port 0xf4; else no effect. */
void power_debug_exit(uint8_t value);

#endif
