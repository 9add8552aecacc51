/*
 * Exceptions and interrupts: descriptor tables and stacks. kernel/panic.c and kernel/interrupt.c
 * handle them.
 *
 * Every vector has a stack of its own to run on (IST), for two reasons: an overflow of the
 * kernel's stack can still be reported, and some functions of libgcc use the red zone, which an
 * exception on the interrupted stack would overwrite. Layouts: Intel SDM volume 3, chapters 3, 6
 * and 8.
 */
#include "kernel/trap.h"

#include "kernel/cpu.h"
#include "kernel/image.h"
#include "kernel/page.h"
#include "kernel/pic.h"

#define TRAP_STACK_BYTES 16384
#define TRAP_ENTRY_BYTES 16 /* between the entries in trap.S */

#define GATE_INTERRUPT 0x8e00 /* present, ring 0, 64-bit interrupt gate */

enum { SELECTOR_CODE = 0x08, SELECTOR_DATA = 0x10, SELECTOR_TASK = 0x18 };

/* Vectors that may strike in the middle of another one's report have a stack to themselves. */
enum {
    STACK_COMMON,
    STACK_NMI,
    STACK_DOUBLE_FAULT,
    STACK_MACHINE_CHECK,
    STACK_INTERRUPT, /* so that an exception in a handler leaves its frames to the backtrace */
    STACK_COUNT
};

struct trap_stack {
    uint8_t guard[PAGE_BYTES]; /* never mapped: an overflow faults instead of spreading */
    uint8_t bytes[TRAP_STACK_BYTES];
} __attribute__((aligned(PAGE_BYTES)));

struct task_state {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7]; /* ist[0] is the manual's IST1 */
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map_base;
} __attribute__((packed));

_Static_assert(sizeof(struct task_state) == 104, "SDM volume 3, figure 8-11");

struct gate {
    uint16_t offset_low;
    uint16_t selector;
    uint16_t flags; /* IST number in the low three bits */
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};

_Static_assert(sizeof(struct gate) == 16, "SDM volume 3, figure 6-8");

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

static struct trap_stack stacks[STACK_COUNT];
static struct task_state task;
static struct gate gates[TRAP_VECTORS + TRAP_INTERRUPTS];

/* Null, code, data, and the task state in two words that trap_init fills in. */
static uint64_t segments[5] = {0, 0x00209b0000000000, 0x0000930000000000, 0, 0};

static const char *const names[TRAP_VECTORS] = {
    [0] = "divide-error",
    [1] = "debug",
    [2] = "nmi",
    [3] = "breakpoint",
    [4] = "overflow",
    [5] = "bound-range",
    [6] = "invalid-opcode",
    [7] = "device-not-available",
    [8] = "double-fault",
    [9] = "coprocessor-overrun",
    [10] = "invalid-tss",
    [11] = "segment-not-present",
    [12] = "stack-fault",
    [13] = "general-protection",
    [14] = "page-fault",
    [16] = "x87-error",
    [17] = "alignment-check",
    [18] = "machine-check",
    [19] = "simd-error",
    [20] = "virtualization",
    [21] = "control-protection",
    [28] = "hypervisor-injection",
    [29] = "vmm-communication",
    [30] = "security",
};

/* trap.S */
extern const uint8_t trap_entries[];
extern const uint8_t trap_interrupt_entries[];

static unsigned stack_of(unsigned vector)
{
    if (vector >= TRAP_VECTORS)
        return STACK_INTERRUPT;
    switch (vector) {
    case TRAP_NMI:
        return STACK_NMI;
    case TRAP_DOUBLE_FAULT:
        return STACK_DOUBLE_FAULT;
    case TRAP_MACHINE_CHECK:
        return STACK_MACHINE_CHECK;
    default:
        return STACK_COMMON;
    }
}

static void gate_set(unsigned vector)
{
    uint64_t entry = (uintptr_t)trap_entries + vector * TRAP_ENTRY_BYTES;

    if (vector >= TRAP_VECTORS)
        entry = (uintptr_t)trap_interrupt_entries + (vector - TRAP_VECTORS) * TRAP_ENTRY_BYTES;

    gates[vector] = (struct gate){
        .offset_low = (uint16_t)entry,
        .selector = SELECTOR_CODE,
        .flags = (uint16_t)(GATE_INTERRUPT | (stack_of(vector) + 1)),
        .offset_middle = (uint16_t)(entry >> 16),
        .offset_high = (uint32_t)(entry >> 32),
    };
}

static void task_set(void)
{
    uint64_t base = (uintptr_t)&task;
    uint64_t limit = sizeof(task) - 1;

    for (unsigned i = 0; i < STACK_COUNT; i++)
        task.ist[i] = (uintptr_t)stacks[i].bytes + TRAP_STACK_BYTES;
    task.io_map_base = sizeof(task); /* no map: ring 0 needs none */

    /* A 64-bit TSS descriptor, present and available (type 9). */
    segments[SELECTOR_TASK / 8] =
        limit | (base & 0xffffff) << 16 | 0x89ULL << 40 | (base >> 24 & 0xff) << 56;
    segments[SELECTOR_TASK / 8 + 1] = base >> 32;
}

/* The boot loader's or entry.S's descriptors go out of use here; only a far return loads cs. */
static void tables_load(void)
{
    struct table_pointer gdt = {sizeof(segments) - 1, (uintptr_t)segments};
    struct table_pointer idt = {sizeof(gates) - 1, (uintptr_t)gates};
    uint64_t scratch;

    __asm__ volatile("lgdt %[gdt]\n\t"
                     "lidt %[idt]\n\t"
                     "movl %[data], %%ds\n\t"
                     "movl %[data], %%es\n\t"
                     "movl %[data], %%ss\n\t"
                     "movl %[none], %%fs\n\t"
                     "movl %[none], %%gs\n\t"
                     "ltr %w[task]\n\t"
                     "pushq %[code]\n\t"
                     "leaq 1f(%%rip), %[scratch]\n\t"
                     "pushq %[scratch]\n\t"
                     "lretq\n"
                     "1:"
                     : [scratch] "=&r"(scratch)
                     : [gdt] "m"(gdt), [idt] "m"(idt), [data] "r"(SELECTOR_DATA), [none] "r"(0),
                       [task] "r"(SELECTOR_TASK), [code] "i"(SELECTOR_CODE)
                     : "memory");
}

/* Without this bit a machine check (the host found a broken memory page) resets without a word. */
static void machine_check_enable(void)
{
    if (cpuid(CPUID_FEATURES).edx & CPUID_FEATURES_EDX_MCE)
        cpu_write_cr4(cpu_read_cr4() | CR4_MCE);
}

void trap_init(void)
{
    for (unsigned vector = 0; vector < TRAP_VECTORS + TRAP_INTERRUPTS; vector++)
        gate_set(vector);
    task_set();
    tables_load();
    machine_check_enable();

    /* The 8259s come up sending their interrupts to vectors that are exceptions. */
    pic_mask_all();
}

const char *trap_name(uint64_t vector)
{
    if (vector >= TRAP_VECTORS)
        return "unknown";
    return names[vector] ? names[vector] : "reserved";
}

size_t trap_guards(uint64_t *guards, size_t max)
{
    size_t count = max < STACK_COUNT ? max : STACK_COUNT;

    for (size_t i = 0; i < count; i++)
        guards[i] = (uintptr_t)stacks[i].guard;
    return count;
}

static bool inside(uint64_t address, uint64_t size, uint64_t start, uint64_t end)
{
    return address >= start && address < end && end - address >= size;
}

bool trap_on_stack(uint64_t address, uint64_t size)
{
    struct image_layout image;

    image_layout_get(&image);
    if (inside(address, size, image.stack.start, image.stack.end))
        return true;
    for (unsigned i = 0; i < STACK_COUNT; i++) {
        uint64_t start = (uintptr_t)stacks[i].bytes;
        if (inside(address, size, start, start + TRAP_STACK_BYTES))
            return true;
    }
    return false;
}
