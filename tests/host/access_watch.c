/* Page faults and single steps. */
#define _GNU_SOURCE /* the registers' names in ucontext.h */
#include "tests/host/access_watch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define PAGE 4096u
#define FAULT_WAS_WRITE 2 /* a bit of the processor's error code */
#define TRAP_FLAG 0x100   /* of RFLAGS: a trap after the next instruction */

/* One watch at a time. Handlers have no other way to what they need. */
static struct {
    uint8_t *start;
    size_t bytes;
    access_seen *seen;
    uint8_t *address; /* of the access that is under way */
    unsigned width;
    bool write;
    struct sigaction old_fault, old_step;
} watch;

static void protect(int how)
{
    if (mprotect(watch.start, watch.bytes, how) != 0) {
        perror("access_watch: mprotect");
        abort();
    }
}

/* Bytes that an instruction on general registers moves: 8 if a REX prefix says so, else at most 4. */
static unsigned width_of(const uint8_t *code)
{
    while (*code == 0x66 || *code == 0xf0 || *code == 0xf2 || *code == 0xf3)
        code++;
    return (*code & 0xf8) == 0x48 ? 8 : 4;
}

/* The access is let through, and we come back behind the instruction that makes it. */
static void on_fault(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint8_t *address = info->si_addr;

    (void)signal;
    if (address < watch.start || address >= watch.start + watch.bytes) {
        sigaction(SIGSEGV, &watch.old_fault, NULL); /* an ordinary crash: it will come again */
        return;
    }
    watch.address = address;
    watch.width = width_of((const uint8_t *)registers[REG_RIP]);
    watch.write = (registers[REG_ERR] & FAULT_WAS_WRITE) != 0;
    protect(PROT_READ | PROT_WRITE);
    registers[REG_EFL] |= TRAP_FLAG;
}

/* Behind the access: the pages are there until we return, so `seen` may look and write. */
static void on_step(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    watch.seen(watch.address, watch.width, watch.write);
    protect(PROT_NONE);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), struct sigaction *old)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};

    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, old);
}

void access_watch_start(uint8_t *start, uint8_t *end, access_seen *seen)
{
    const uintptr_t first = (uintptr_t)start & ~(uintptr_t)(PAGE - 1);

    watch.start = (uint8_t *)first;
    watch.bytes = ((uintptr_t)end - first + PAGE - 1) & ~(size_t)(PAGE - 1);
    watch.seen = seen;
    handle(SIGSEGV, on_fault, &watch.old_fault);
    handle(SIGTRAP, on_step, &watch.old_step);
    protect(PROT_NONE);
}

void access_watch_stop(void)
{
    protect(PROT_READ | PROT_WRITE);
    sigaction(SIGSEGV, &watch.old_fault, NULL);
    sigaction(SIGTRAP, &watch.old_step, NULL);
}
