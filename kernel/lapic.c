/*
 * Registers are named as in the Intel SDM, volume 3, chapter 11 "Advanced Programmable Interrupt
 * Controller". They are in memory, or in model-specific registers if firmware has chosen x2APIC.
 * Only a reset leaves x2APIC again, so both are supported.
 */
#include "kernel/lapic.h"

#include <inttypes.h>
#include <stddef.h>

#include <machine/clock.h>
#include <machine/io.h>
#include <machine/log.h>
#include <machine/memory.h>

#include "kernel/cpu.h"

#define IA32_APIC_BASE 0x1b
#define APIC_BASE_X2APIC (1u << 10)
#define APIC_BASE_ENABLE (1u << 11)
#define APIC_BASE_ADDRESS UINT64_C(0x000ffffffffff000)
#define X2APIC_MSR 0x800 /* and the register's offset by 16 */

enum {
    APIC_ID = 0x020,
    APIC_TPR = 0x080,
    APIC_EOI = 0x0b0,
    APIC_SVR = 0x0f0,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_TIMER_INITIAL = 0x380,
    APIC_TIMER_CURRENT = 0x390,
    APIC_TIMER_DIVIDE = 0x3e0,
    APIC_BYTES = 0x1000,
};

#define SVR_ENABLE (1u << 8)
#define LVT_MASKED (1u << 16)
#define LVT_NMI (4u << 8)
#define LVT_EXTINT (7u << 8)
#define DIVIDE_BY_1 0x0b

#define MESSAGE_BASE 0xfee00000u
#define MESSAGE_DESTINATION_SHIFT 12
#define MESSAGE_DESTINATION_MAX 0xff

#define MEASURE_NS (CLOCK_NS_PER_MS / 2)
#define MEASURE_TRIES 3
#define TIMER_CYCLES_MAX (1u << 30)

static volatile uint8_t *registers; /* NULL: in model-specific registers */
static uint64_t ticks_per_cycle;    /* × 2^32 */

static uint32_t apic_read(unsigned offset)
{
    if (registers == NULL)
        return (uint32_t)cpu_read_msr(X2APIC_MSR + offset / 16);
    return *(volatile uint32_t *)(registers + offset);
}

static void apic_write(unsigned offset, uint32_t value)
{
    if (registers == NULL)
        cpu_write_msr(X2APIC_MSR + offset / 16, value);
    else
        *(volatile uint32_t *)(registers + offset) = value;
}

/* Finds the registers. */
static bool apic_find(void)
{
    if (!(cpuid(CPUID_FEATURES).edx & CPUID_FEATURES_EDX_APIC)) {
        log_event(LOG_WARN, "warn", "reason=no-local-apic effect=\"idle=poll\"");
        return false;
    }
    const uint64_t base = cpu_read_msr(IA32_APIC_BASE);
    cpu_write_msr(IA32_APIC_BASE, base | APIC_BASE_ENABLE);
    if (base & APIC_BASE_X2APIC)
        return true;
    registers = memory_map_device(base & APIC_BASE_ADDRESS, APIC_BYTES);
    if (registers == NULL)
        log_event(LOG_WARN, "warn",
                  "reason=local-apic-not-mapped address=0x%" PRIx64 " effect=\"idle=poll\"",
                  base & APIC_BASE_ADDRESS);
    return registers != NULL;
}

/*
 * Timer ticks a cycle of the time-stamp counter, × 2^32. If the host takes the processor away
 * between the two last readings, a try counts too many ticks, and the timer would be late. So the
 * lowest result is used; too few ticks only make the timer early.
 */
static uint64_t timer_measure(void)
{
    const uint64_t wanted = clock_cycles_of_ns(MEASURE_NS);
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < MEASURE_TRIES; i++) {
        const uint64_t start = clock_cycles();
        uint64_t cycles;
        apic_write(APIC_TIMER_INITIAL, UINT32_MAX);
        while ((cycles = clock_cycles() - start) < wanted)
            clock_relax();
        const uint64_t ticks = UINT32_MAX - apic_read(APIC_TIMER_CURRENT);
        if ((ticks << 32) / cycles < least)
            least = (ticks << 32) / cycles;
    }
    apic_write(APIC_TIMER_INITIAL, 0);
    return least;
}

bool lapic_init(unsigned timer, unsigned spurious)
{
    if (!apic_find())
        return false;
    apic_write(APIC_SVR, SVR_ENABLE | spurious);
    apic_write(APIC_TPR, 0);
    /* As a PC is wired: the 8259s' line, and the non-maskable interrupt. */
    apic_write(APIC_LVT_LINT0, LVT_EXTINT);
    apic_write(APIC_LVT_LINT1, LVT_NMI);
    apic_write(APIC_LVT_ERROR, LVT_MASKED);
    apic_write(APIC_LVT_TIMER, LVT_MASKED);
    apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
    ticks_per_cycle = timer_measure();
    if (ticks_per_cycle == 0) {
        log_event(LOG_WARN, "warn", "reason=local-apic-timer-stands effect=\"idle=poll\"");
        return false;
    }
    apic_write(APIC_LVT_TIMER, timer); /* one-shot */
    return true;
}

void lapic_end_of_interrupt(void)
{
    apic_write(APIC_EOI, 0);
}

void lapic_timer_start(uint64_t cycles)
{
    if (cycles > TIMER_CYCLES_MAX)
        cycles = TIMER_CYCLES_MAX;
    const uint64_t ticks = (uint64_t)((unsigned __int128)cycles * ticks_per_cycle >> 32);

    /* 0 would stop it. */
    apic_write(APIC_TIMER_INITIAL, ticks == 0           ? 1
                                   : ticks > UINT32_MAX ? UINT32_MAX
                                                        : (uint32_t)ticks);
}

uint64_t lapic_message_address(void)
{
    /* In memory, the number is the uppermost byte. */
    const uint32_t id = registers != NULL ? apic_read(APIC_ID) >> 24 : apic_read(APIC_ID);

    return id <= MESSAGE_DESTINATION_MAX ? MESSAGE_BASE | id << MESSAGE_DESTINATION_SHIFT : 0;
}
