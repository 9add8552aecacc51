/*
 * From a boot loader's 32-bit protected mode to boot_main() in long mode.
 *
 * The three protocols agree on the machine's state: flat 32-bit segments, paging and interrupts
 * off, the structure's address in EBX, everything else undefined, the stack too. Of what the loader
 * left in control registers nothing is kept: each is set to a whole value, not modified.
 *
 * Up to long mode: ESI holds the structure's address, EBP the protocol.
 */
#include "boot/entry.h"
#include "boot/multiboot.h"
#include "boot/multiboot2.h"

#define EFLAGS_ID (1 << 21)

#define CPUID_1_EDX_TSC (1 << 4)
#define CPUID_1_EDX_PAE (1 << 6)
#define CPUID_EXTENDED 0x80000000
#define CPUID_EXTENDED_FEATURES 0x80000001
#define CPUID_EXTENDED_EDX_NX (1 << 20)
#define CPUID_EXTENDED_EDX_LM (1 << 29)

#define CR0_PE (1 << 0)
#define CR0_EM (1 << 2)
#define CR0_ET (1 << 4)
#define CR0_NE (1 << 5)
#define CR0_WP (1 << 16)
#define CR0_PG (1 << 31)
#define CR4_PAE (1 << 5)

#define MSR_EFER 0xC0000080
#define EFER_LME (1 << 8)
#define EFER_NXE (1 << 11)

#define PAGE_SIZE 4096
#define PAGE_ENTRIES 512
#define PAGE_PRESENT (1 << 0)
#define PAGE_WRITE (1 << 1)
#define PAGE_LARGE (1 << 7)
#define LARGE_PAGE_SIZE 0x200000
#define START_GIB 4 /* so much is mapped: everything a 32-bit loader can point to */

#define COM1 0x3F8
#define UART_DLL 0
#define UART_DLM 1
#define UART_FCR 2
#define UART_LCR 3
#define UART_LSR 5
#define UART_LCR_DLAB_8N1 0x83
#define UART_LCR_8N1 0x03
#define UART_FCR_ENABLE_CLEAR 0x07
#define UART_LSR_THRE 0x20
#define UART_POLLS 1000000 /* for a whole message: some seconds at worst, when nothing drains it */

    .section .text.boot, "ax"
    .code32

    .globl boot_multiboot1
    .type boot_multiboot1, @function
boot_multiboot1:
    movl $BOOT_ENTRY_MULTIBOOT1, %ebp
    cmpl $MULTIBOOT_BOOTLOADER_MAGIC, %eax
    je boot_start
    movl $message_magic, %esi
    jmp boot_fail

    .globl boot_multiboot2
    .type boot_multiboot2, @function
boot_multiboot2:
    movl $BOOT_ENTRY_MULTIBOOT2, %ebp
    cmpl $MULTIBOOT2_BOOTLOADER_MAGIC, %eax
    je boot_start
    movl $message_magic, %esi
    jmp boot_fail

    /* EAX is undefined here and has been seen holding Multiboot's magic: never look at it. */
    .globl boot_pvh
    .type boot_pvh, @function
boot_pvh:
    movl $BOOT_ENTRY_PVH, %ebp

boot_start:
    cli
    cld
    movl %ebx, %esi
    movl $__stack_top, %esp

    /* EFLAGS.ID can be flipped only where the CPUID instruction exists. */
    pushfl
    popl %eax
    movl %eax, %ecx
    xorl $EFLAGS_ID, %eax
    pushl %eax
    popfl
    pushfl
    popl %eax
    movl $message_long_mode, %edi
    cmpl %ecx, %eax
    je boot_fail_edi

    /* The clock's zero, as soon as RDTSC is known to exist. */
    movl $1, %eax
    cpuid
    movl %edx, %ecx
    movl $message_long_mode, %edi
    testl $CPUID_1_EDX_TSC, %ecx
    jz boot_fail_edi
    rdtsc
    movl %eax, boot_entry_cycles
    movl %edx, boot_entry_cycles + 4

    testl $CPUID_1_EDX_PAE, %ecx
    jz boot_fail_edi

    movl $message_long_mode, %edi
    movl $CPUID_EXTENDED, %eax
    cpuid
    cmpl $CPUID_EXTENDED_FEATURES, %eax
    jb boot_fail_edi
    movl $CPUID_EXTENDED_FEATURES, %eax
    cpuid
    testl $CPUID_EXTENDED_EDX_LM, %edx
    jz boot_fail_edi
    movl $message_nx, %edi
    testl $CPUID_EXTENDED_EDX_NX, %edx
    jz boot_fail_edi

    /* A structure inside our own image would be lost now, and is a broken loader in any case. */
    movl $message_overlap, %edi
    cmpl $__image_start, %esi
    jb 1f
    cmpl $__image_end, %esi
    jb boot_fail_edi
1:
    /* Loaders that go by the ELF or address fields have cleared .bss, but not all of them do. */
    movl $__bss_start, %edi
    movl $__bss_end, %ecx
    subl %edi, %ecx
    shrl $2, %ecx
    xorl %eax, %eax
    rep stosl

    /* One PML4 entry, START_GIB page-directory pointers, and as many directories of 2 MiB pages. */
    movl $(start_pdpt + PAGE_PRESENT + PAGE_WRITE), start_pml4
    movl $(start_pd + PAGE_PRESENT + PAGE_WRITE), %eax
    movl $start_pdpt, %edi
    movl $START_GIB, %ecx
1:  movl %eax, (%edi)
    addl $PAGE_SIZE, %eax
    addl $8, %edi
    loop 1b
    movl $(PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE), %eax
    movl $start_pd, %edi
    movl $(START_GIB * PAGE_ENTRIES), %ecx
1:  movl %eax, (%edi)
    addl $LARGE_PAGE_SIZE, %eax
    addl $8, %edi
    loop 1b

    /* Intel SDM 3 §9.8.5 "Initializing IA-32e Mode": PAE, CR3, EFER.LME, then paging on. */
    movl $CR4_PAE, %eax
    movl %eax, %cr4
    movl $start_pml4, %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    movl $(EFER_LME | EFER_NXE), %eax
    xorl %edx, %edx
    wrmsr
    /* EM: the kernel has no x87 and no vector registers; an instruction that uses one is an exception. */
    movl $(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_EM | CR0_PE), %eax
    movl %eax, %cr0
    lgdt start_gdt_pointer
    ljmp $BOOT_CODE_SELECTOR, $boot_start64

boot_fail_edi:
    movl %edi, %esi

/*
 * Prints the text at ESI and halts. It needs no stack and no memory, so it always works. It ends
 * even if the UART never has room.
 */
boot_fail:
    cli
    movw $(COM1 + UART_LCR), %dx
    movb $UART_LCR_DLAB_8N1, %al
    outb %al, %dx
    movw $(COM1 + UART_DLL), %dx
    movb $1, %al /* divisor 1: 115200 baud */
    outb %al, %dx
    movw $(COM1 + UART_DLM), %dx
    xorb %al, %al
    outb %al, %dx
    movw $(COM1 + UART_LCR), %dx
    movb $UART_LCR_8N1, %al
    outb %al, %dx
    movw $(COM1 + UART_FCR), %dx
    movb $UART_FCR_ENABLE_CLEAR, %al
    outb %al, %dx

    movl $UART_POLLS, %ecx
1:  jecxz 3f
    movb (%esi), %bl
    testb %bl, %bl
    jz 3f
    movw $(COM1 + UART_LSR), %dx
2:  inb %dx, %al
    testb $UART_LSR_THRE, %al
    loopz 2b
    jz 3f
    movw $COM1, %dx
    movb %bl, %al
    outb %al, %dx
    incl %esi
    jmp 1b
3:  hlt
    jmp 3b

    .code64
    .type boot_start64, @function
boot_start64:
    movl $BOOT_DATA_SELECTOR, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movl %eax, %ss
    xorl %eax, %eax
    lldt %ax

    movl $__stack_top, %esp
    movl %ebp, %edi
    movl %esi, %esi /* clears the upper half: undefined after the change of mode */
    xorl %ebp, %ebp /* a backtrace ends at this frame */
    call boot_main
1:  cli
    hlt
    jmp 1b
    .size boot_start64, . - boot_start64

    .section .rodata.boot, "a"

/* The accessed bits are set already, because the processor couldn't write them here. */
    .balign 8
start_gdt:
    .quad 0
    .quad 0x00AF9B000000FFFF /* BOOT_CODE_SELECTOR: 64-bit code */
    .quad 0x00CF93000000FFFF /* BOOT_DATA_SELECTOR: data */
start_gdt_pointer:
    .short start_gdt_pointer - start_gdt - 1
    .long start_gdt

#define ERROR "\r\nerror t=0.000000 reason="
#define REMEDY_CPU " remedy=\"use a 64-bit processor with NX, as qemu -cpu qemu64 or -cpu max\"\r\n"

message_magic:
    .asciz ERROR "bad-magic remedy=\"start it by a Multiboot or PVH loader\"\r\n"
message_overlap:
    .asciz ERROR "boot-structure-inside-image remedy=\"use another boot loader\"\r\n"
message_long_mode:
    .asciz ERROR "no-long-mode" REMEDY_CPU
message_nx:
    .asciz ERROR "no-nx" REMEDY_CPU

/* In .data, because it is written before .bss is cleared. */
    .section .data.boot, "aw"
    .balign 8
    .globl boot_entry_cycles
    .type boot_entry_cycles, @object
    .size boot_entry_cycles, 8
boot_entry_cycles:
    .quad 0

    .section .bss.boot, "aw", @nobits
    .balign PAGE_SIZE
start_pml4:
    .skip PAGE_SIZE
start_pdpt:
    .skip PAGE_SIZE
start_pd:
    .skip START_GIB * PAGE_SIZE

    .section .note.GNU-stack, "", @progbits
