/*
 * Exceptions and interrupts: segments, task state and interrupt table of our own. All vectors run on
 * stacks of their own (IST). Exceptions end in a panic; interrupts go to kernel/interrupt.c, but stay
 * off and the 8259s masked until that lets them in.
 */
#ifndef KERNEL_TRAP_H
#define KERNEL_TRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/trap_vectors.h"

#define TRAP_DIVIDE 0
#define TRAP_NMI 2
#define TRAP_OPCODE 6
#define TRAP_DOUBLE_FAULT 8
#define TRAP_PROTECTION 13
#define TRAP_PAGE_FAULT 14
#define TRAP_MACHINE_CHECK 18
#define TRAP_NONE UINT64_MAX /* of a frame that trap_capture filled: no exception */

/* Bits of a page fault's error code (Intel SDM volume 3, 4.7). */
#define PAGE_FAULT_PRESENT (1U << 0)
#define PAGE_FAULT_WRITE (1U << 1)
#define PAGE_FAULT_RESERVED (1U << 3)
#define PAGE_FAULT_FETCH (1U << 4)

/* The state at an exception, in the order in which trap.S and the processor push it. */
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rdi, rsi, rbp, rdx, rcx, rbx, rax;
    uint64_t vector;
    uint64_t error; /* 0 for the vectors without an error code */
    uint64_t rip, cs, rflags, rsp, ss;
};

/* Loads GDT, TSS and IDT and masks the 8259s. Needs nothing: it can be the first call. */
void trap_init(void);

/* "page-fault"; "unknown" above TRAP_VECTORS. */
const char *trap_name(uint64_t vector);

/* Stores the addresses of the guard pages below the exception stacks; returns how many, <= max. */
size_t trap_guards(uint64_t *guards, size_t max);

/* True if [address, address + size) is inside the kernel's stack or one exception stack. */
bool trap_on_stack(uint64_t address, uint64_t size);

/* Fills `frame` with the registers as they are where it returns to; vector TRAP_NONE, error 0. */
void trap_capture(struct trap_frame *frame);

#endif
