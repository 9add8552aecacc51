/*
 * The machine that drivers/ and net/ see on the host: the other side of the seam, and what a test
 * may do to it. Everything is reset by machine_reset, which a test calls first.
 */
#ifndef TESTS_HOST_SIM_MACHINE_H
#define TESTS_HOST_SIM_MACHINE_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <machine/log.h>

/*
 * Before each function of the seam that the simulation defines. A test that defines the function
 * itself gets its own, and one that calls what only the kernel has, like log_set_level, gets all of
 * that file of the kernel.
 */
#define SEAM __attribute__((weak))

/* The simulated processor: not 1 GHz, so that cycles taken for nanoseconds show. */
#define MACHINE_CLOCK_HZ 2000000000ULL

/*
 * A new machine: memory all free and zero, clock at 0, log empty and at LOG_DEBUG, no device on
 * the bus, each option as without a word. All earlier allocations are invalid.
 */
void machine_reset(void);

/* Reads the command line `words`, which is kept nowhere. */
void machine_command_line(const char *words);

/* --- memory --- */

/* Lets memory_alloc give out no more than `bytes` from now on. */
void machine_memory_limit(size_t bytes);

/*
 * The memory that a device sees at [physical, physical + size). NULL if it is not wholly inside
 * pieces given out by memory_alloc: a real device would then overwrite other memory.
 */
void *machine_dma(uint64_t physical, uint64_t size);

/* True if [physical, physical + size) meets the simulated RAM anywhere. */
bool machine_is_ram(uint64_t physical, uint64_t size);

/* --- clock --- */

/* Each reading of the clock takes `ns` (start: 100). */
void machine_clock_step(uint64_t ns);
void machine_clock_advance(uint64_t ns);

/* The time, without taking any. */
uint64_t machine_clock_now(void);

/* Calls `work` at each reading of the clock and each clock_relax: it simulates concurrent work. */
void machine_clock_hook(void (*work)(void *context), void *context);

/* --- interrupts --- */

/* The address of message-signalled interrupts; the data is 1, 2, … in the order of
 * interrupt_open_message. */
#define MACHINE_MESSAGE_ADDRESS 0xfee00000u

/* A device interrupts: interrupt_wait returns INTERRUPT_DEVICE, or will at its next call. */
void machine_interrupt(void);

/* Something was typed: the same with INTERRUPT_CONSOLE. */
void machine_console_interrupt(void);

/* A device asserts or releases interrupt line `line`: as long as one holds it asserted, and it was
 * opened, interrupt_wait returns INTERRUPT_DEVICE at once. */
void machine_line(unsigned line, bool asserted);

/* At the next interrupt_fence, once, `work` is done: what a device does that has not seen the requests
 * before the fence yet. */
void machine_at_fence(void (*work)(void));

/* interrupt_can_wait from now on (start: true); how often interrupt_wait was called. */
void machine_can_wait(bool yes);
unsigned machine_waits(void);

/* --- log --- */

/* How many lines of event `event` hold `fragment` ("" or a part of the line). */
size_t machine_log_count(const char *event, const char *fragment);

/* The event called `event` that `number` others of that name come before; NULL if there are no more. */
const char *machine_log_line(const char *event, size_t number);

/* All lines to stderr, for a test that is about to fail. */
void machine_log_print(void);

/* Empties the log: it has room for some thousand lines, and a long test writes more. */
void machine_log_forget(void);

void machine_log_level(enum log_level level);

/* --- panic --- */

/*
 * True if `statement` panics; machine_panic_text then has the reason. A panic elsewhere ends the
 * test by abort().
 */
#define machine_panics(statement)                                                                  \
    (setjmp(*machine_panic_expect()) == 0 ? ((statement), machine_panic_missed()) : true)

jmp_buf *machine_panic_expect(void);
bool machine_panic_missed(void);
const char *machine_panic_text(void);

#endif
