/*
 * The entries of exceptions and interrupts, and the few instructions that C has no words for.
 */
#include "kernel/trap_vectors.h"

        .section .text.trap, "ax", @progbits

/*
 * One entry a vector, 16 bytes apart, so that trap.c computes their addresses. Ten vectors come
 * with an error code from the processor; for the others we push 0, so that the frame looks the same.
 */
        .balign 16
        .globl  trap_entries
        .type   trap_entries, @function
trap_entries:
        .set    vector, 0
        .rept   TRAP_VECTORS
        .balign 16
        .if     ((0x60227d00 >> vector) & 1) == 0
        pushq   $0
        .endif
        pushq   $vector
        jmp     trap_common
        .set    vector, vector + 1
        .endr
        .size   trap_entries, . - trap_entries

/*
 * Completes struct trap_frame (kernel/trap.h) and reports. The processor aligned the stack to 16
 * bytes and 22 words are on it, so it is aligned for the call as the ABI requires.
 */
        .type   trap_common, @function
trap_common:
        pushq   %rax
        pushq   %rbx
        pushq   %rcx
        pushq   %rdx
        pushq   %rbp
        pushq   %rdi
        pushq   %rsi
        pushq   %r8
        pushq   %r9
        pushq   %r10
        pushq   %r11
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        cld                             /* the ABI's state; interrupted code may differ */
        movq    %rsp, %rdi
        call    panic_exception
        ud2                             /* it doesn't return */
        .size   trap_common, . - trap_common

/* The same for interrupts, which never come with an error code. */
        .balign 16
        .globl  trap_interrupt_entries
        .type   trap_interrupt_entries, @function
trap_interrupt_entries:
        .set    vector, TRAP_VECTORS
        .rept   TRAP_INTERRUPTS
        .balign 16
        pushq   $vector
        jmp     interrupt_common
        .set    vector, vector + 1
        .endr
        .size   trap_interrupt_entries, . - trap_interrupt_entries

/*
 * Saves the registers that a C function may change, and notes the interrupt. Its own stack holds
 * five words of the processor's, the vector and ten registers: aligned as the ABI requires.
 */
        .type   interrupt_common, @function
interrupt_common:
        pushq   %rbp
        pushq   %rax
        pushq   %rcx
        pushq   %rdx
        pushq   %rdi
        pushq   %rsi
        pushq   %r8
        pushq   %r9
        pushq   %r10
        pushq   %r11
        cld
        movq    80(%rsp), %rdi          /* the vector */
        call    interrupt_taken
        popq    %r11
        popq    %r10
        popq    %r9
        popq    %r8
        popq    %rsi
        popq    %rdi
        popq    %rdx
        popq    %rcx
        popq    %rax
        popq    %rbp
        addq    $8, %rsp                /* the vector */
        iretq
        .size   interrupt_common, . - interrupt_common

/*
 * void trap_capture(struct trap_frame *frame): rip and rsp as after our return. The registers that
 * a call may change have no meaning for the caller any more; they are shown as they are.
 */
        .globl  trap_capture
        .type   trap_capture, @function
trap_capture:
        movq    %r15, 0(%rdi)
        movq    %r14, 8(%rdi)
        movq    %r13, 16(%rdi)
        movq    %r12, 24(%rdi)
        movq    %r11, 32(%rdi)
        movq    %r10, 40(%rdi)
        movq    %r9, 48(%rdi)
        movq    %r8, 56(%rdi)
        movq    %rdi, 64(%rdi)
        movq    %rsi, 72(%rdi)
        movq    %rbp, 80(%rdi)
        movq    %rdx, 88(%rdi)
        movq    %rcx, 96(%rdi)
        movq    %rbx, 104(%rdi)
        movq    %rax, 112(%rdi)
        movq    $-1, 120(%rdi)          /* vector: TRAP_NONE */
        movq    $0, 128(%rdi)           /* error */
        movq    (%rsp), %rax
        movq    %rax, 136(%rdi)         /* rip */
        movq    $0, 144(%rdi)
        movw    %cs, 144(%rdi)
        pushfq
        popq    152(%rdi)               /* rflags */
        leaq    8(%rsp), %rax
        movq    %rax, 160(%rdi)         /* rsp */
        movq    $0, 168(%rdi)
        movw    %ss, 168(%rdi)
        ret
        .size   trap_capture, . - trap_capture

        .section .note.GNU-stack, "", @progbits
