/*
 * Instructions that C cannot express. Those that drivers/ and net/ need are in kernel/machine/.
 * Registers and leaves: Intel SDM volume 2, "CPUID", and volume 3, 2.5 "Control Registers".
 */
#ifndef KERNEL_CPU_H
#define KERNEL_CPU_H

#include <stdatomic.h>
#include <stdint.h>

#define CPUID_FEATURES 1
#define CPUID_FEATURES_ECX_HYPERVISOR (1u << 31)
#define CPUID_FEATURES_EDX_MCE (1u << 7)
#define CPUID_FEATURES_EDX_APIC (1u << 9)
#define CPUID_EXTENDED_MAX 0x80000000      /* eax: the last leaf of this range */
#define CPUID_EXTENDED_FEATURES 0x80000001 /* edx, bit 26: 1 GiB pages */
#define CPUID_ADDRESS_SIZES 0x80000008     /* eax, bits 7..0: physical address bits */

#define CR4_MCE (1ULL << 6)

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

/* Reads `leaf`, subleaf 0. */
static inline struct cpuid cpuid(uint32_t leaf)
{
    struct cpuid result;
    __asm__ volatile("cpuid"
                     : "=a"(result.eax), "=b"(result.ebx), "=c"(result.ecx), "=d"(result.edx)
                     : "a"(leaf), "c"(0));
    return result;
}

/* Model-specific register `number`. One that does not exist is a general protection fault. */
static inline uint64_t cpu_read_msr(uint32_t number)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
    return (uint64_t)high << 32 | low;
}

static inline void cpu_write_msr(uint32_t number, uint64_t value)
{
    __asm__ volatile("wrmsr"
                     :
                     : "c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
}

/* The control registers; cr2 is the address of the last page fault. */
static inline uint64_t cpu_read_cr0(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr0, %0" : "=r"(value));
    return value;
}

static inline uint64_t cpu_read_cr2(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr2, %0" : "=r"(value));
    return value;
}

static inline uint64_t cpu_read_cr3(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr3, %0" : "=r"(value));
    return value;
}

static inline uint64_t cpu_read_cr4(void)
{
    uint64_t value;
    __asm__ volatile("mov %%cr4, %0" : "=r"(value));
    return value;
}

/* Loads the page tables whose root is at physical address `root`. */
static inline void cpu_write_cr3(uint64_t root)
{
    __asm__ volatile("mov %0, %%cr3" : : "r"(root) : "memory");
}

static inline void cpu_write_cr4(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}

/*
 * A full fence before the core sleeps. QEMU's TCG omits the fences of a single processor, although
 * its devices run in other threads. But it invalidates a page under a lock. No page is mapped
 * there, so nothing is lost.
 */
static inline void cpu_fence_before_sleep(void)
{
    atomic_thread_fence(memory_order_seq_cst);
    __asm__ volatile("invlpg (%0)" : : "r"(1ULL << 46) : "memory");
}

static inline void cpu_disable_interrupts(void)
{
    __asm__ volatile("cli" : : : "memory");
}

/* Stops for ever; only a non-maskable interrupt or a reset ends it. */
_Noreturn static inline void cpu_halt(void)
{
    for (;;)
        __asm__ volatile("cli\n\thlt");
}

/*
 * Resets the processor: without an interrupt table, neither the exception nor the double fault that
 * follows has a handler, and the third one resets.
 */
_Noreturn static inline void cpu_triple_fault(void)
{
    static const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) no_table = {0, 0};

    __asm__ volatile("lidt %0\n\tud2" : : "m"(no_table));
    __builtin_unreachable();
}

#endif
