/*
 * Faults on purpose. Every one is a function that stays a frame of its own, so that the backtrace
 * can be held to naming it.
 */
#include "kernel/fault_injection.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

static const struct {
    const char *name;
    void (*commit)(void);
} faults[] = {
    {"text", fault_text},     {"null", fault_null},     {"stack", fault_stack},
    {"exec", fault_exec},     {"divide", fault_divide}, {"opcode", fault_opcode},
    {"nested", fault_nested}, {"hang", fault_hang},
};

#define FAULT_COUNT (sizeof(faults) / sizeof(faults[0]))

bool fault_known(const char *name)
{
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        if (strcmp(faults[i].name, name) == 0)
            return true;
    }
    return false;
}

const char *fault_list(void)
{
    return "text|null|stack|exec|divide|opcode|nested|hang";
}

void fault_inject(const char *name)
{
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        if (strcmp(faults[i].name, name) == 0)
            faults[i].commit();
    }
}
