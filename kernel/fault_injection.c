/*
 * Faults on purpose. Every one is a function that stays a frame of its own, so that the backtrace
 * can be held to naming it.
 */
#include "kernel/fault_injection.h"

#include <stddef.h>
#include <stdint.h>

#include <machine/option.h>
#include <machine/panic.h>

#define FAULT_FUNCTION __attribute__((noinline, noclone)) static void

/* Hides from the compiler what we are up to: it would turn a certain fault into something else. */
static uintptr_t hidden(uintptr_t value)
{
    __asm__ volatile("" : "+r"(value));
    return value;
}

/* At the end of each: what comes after the call keeps it from becoming a jump. */
static void not_last(void)
{
    __asm__ volatile("");
}

FAULT_FUNCTION fault_text(void)
{
    *(volatile uint8_t *)hidden((uintptr_t)fault_inject) = 0x90;
}

FAULT_FUNCTION fault_null(void)
{
    *(volatile uint8_t *)hidden(0) = 1;
}

FAULT_FUNCTION fault_stack(void)
{
    /* Smaller than the guard page: no frame steps over it. */
    volatile uint8_t used[512];

    used[0] = 1;
    if (hidden(used[0]))
        fault_stack();
    used[1] = used[0];
}

FAULT_FUNCTION fault_exec(void)
{
    static uint8_t code[16] = {0xc3}; /* ret: without NX this comes back */

    ((void (*)(void))hidden((uintptr_t)code))();
    not_last();
}

FAULT_FUNCTION fault_divide(void)
{
    volatile uintptr_t one = 1;

    one = one / hidden(0);
}

FAULT_FUNCTION fault_opcode(void)
{
    __asm__ volatile("ud2");
}

/* The loop never comes to its next round: only a watchdog notices. */
FAULT_FUNCTION fault_hang(void)
{
    for (;;)
        not_last();
}

/* The report itself faults: it formats a text in page zero. */
FAULT_FUNCTION fault_nested(void)
{
    panic("%s", (const char *)hidden(8));
}

/* In the order of the word's choices. */
static void (*const faults[])(void) = {fault_text,   fault_null,   fault_stack,  fault_exec,
                                       fault_divide, fault_opcode, fault_nested, fault_hang};

static unsigned wanted; /* 1 for the first of them; 0: none */

static const struct option option = {
    .key = "fault",
    .help = "debug: break a rule on purpose",
    .type = OPTION_CHOICE,
    .choices = "text|null|stack|exec|divide|opcode|nested|hang",
    .min = 1,
};

static struct option_table fault_word = {
    .place = 12, .count = 1, .options = &option, .values = &wanted};
OPTION_TABLE(fault_word);

void fault_inject(void)
{
    if (wanted == 0)
        return;
    faults[wanted - 1]();
    panic(
        "the injected fault did no harm"); /* and no jump instead of the call: backtraces show us */
}
