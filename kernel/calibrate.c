/* The rate of the time-stamp counter: from the hypervisor, or measured against the 8254. */
#include "kernel/calibrate.h"

#include <stddef.h>

#include <machine/clock.h>
#include <machine/io.h>

#include "kernel/cpu.h"
#include "kernel/hypervisor.h"

/* 0x40000010 is VMware's, used by many; the rest is KVM's (KVM documentation, "KVM CPUID bits"). */
#define CPUID_FREQUENCY 0x40000010
#define KVM_FEATURE_CLOCKSOURCE2 (1u << 3)

#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01
#define MSR_KVM_SYSTEM_TIME_ENABLE 1

/* The structure that KVM keeps up to date for each processor (KVM documentation, "KVM-specific
 * MSRs"). */
struct pvclock_vcpu_time_info {
    uint32_t version; /* odd while an update is under way */
    uint32_t pad0;
    uint64_t tsc_timestamp;
    uint64_t system_time;
    uint32_t tsc_to_system_mul;
    int8_t tsc_shift;
    uint8_t flags;
    uint8_t pad[2];
};
_Static_assert(sizeof(struct pvclock_vcpu_time_info) == 32, "KVM's layout");
_Static_assert(offsetof(struct pvclock_vcpu_time_info, tsc_to_system_mul) == 24, "KVM's layout");

/* Aligned so that it is inside one page, as KVM requires. */
static volatile struct pvclock_vcpu_time_info pvclock __attribute__((aligned(32)));

uint64_t calibrate_pvclock_hz(uint32_t mul, int8_t shift)
{
    if (mul == 0 || shift <= -32 || shift >= 32)
        return 0;
    uint64_t rate_hz = (CLOCK_NS_PER_S << 32) / mul;
    return shift >= 0 ? rate_hz >> shift : rate_hz << -shift;
}

/* A consistent reading, or 0. The update takes KVM no time that we could see: 1000 is ample. */
static uint64_t pvclock_read_hz(void)
{
    for (int i = 0; i < 1000; i++) {
        uint32_t version = pvclock.version;
        uint32_t mul = pvclock.tsc_to_system_mul;
        int8_t shift = pvclock.tsc_shift;
        if (version != 0 && version % 2 == 0 && version == pvclock.version)
            return calibrate_pvclock_hz(mul, shift);
        clock_relax();
    }
    return 0;
}

uint64_t calibrate_kvmclock(void)
{
    const uint32_t leaf = hypervisor_kvm_leaf();

    if (leaf == 0 || (cpuid(leaf + 1).eax & KVM_FEATURE_CLOCKSOURCE2) == 0)
        return 0;

    cpu_write_msr(MSR_KVM_SYSTEM_TIME_NEW, io_physical(&pvclock) | MSR_KVM_SYSTEM_TIME_ENABLE);
    uint64_t rate_hz = pvclock_read_hz();
    /* Off again: from here on KVM no longer writes to our memory. */
    cpu_write_msr(MSR_KVM_SYSTEM_TIME_NEW, 0);
    return rate_hz;
}

uint64_t calibrate_cpuid(void)
{
    if (!hypervisor_present() || cpuid(CPUID_HYPERVISOR).eax < CPUID_FREQUENCY)
        return 0;
    return cpuid(CPUID_FREQUENCY).eax * 1000ULL; /* the leaf has kHz */
}

/* The 8254's channel 0 (Intel 8254 data sheet). Channel 2 would need port 0x61, which microvm
 * lacks. */
#define PIT_HZ 1193182
#define PIT_COUNTER_0 0x40
#define PIT_CONTROL 0x43
#define PIT_SELECT_0_LATCH 0x00
#define PIT_SELECT_0_BOTH_BYTES_MODE_2 0x34

#define PIT_WINDOWS 5
#define PIT_WINDOW_TICKS (PIT_HZ / 500) /* 2 ms: far below the counter's 55 ms */
#define PIT_WINDOW_READS 100000 /* a reading takes some 100 ns at least: then it stands still */

/* One reading: the counter had this value at some moment between the two time stamps. */
struct pit_sample {
    uint16_t counter;
    uint64_t before;
    uint64_t after;
};

static struct pit_sample pit_read(void)
{
    struct pit_sample sample;

    sample.before = clock_cycles();
    io_write8(PIT_CONTROL, PIT_SELECT_0_LATCH);
    sample.after = clock_cycles();
    sample.counter = io_read8(PIT_COUNTER_0);
    sample.counter |= (uint16_t)(io_read8(PIT_COUNTER_0) << 8);
    return sample;
}

/* The sharpest of a few readings: the others were interrupted by something outside of us. */
static struct pit_sample pit_read_sharp(void)
{
    struct pit_sample best = pit_read();

    for (int i = 0; i < 4; i++) {
        struct pit_sample next = pit_read();
        if (next.after - next.before < best.after - best.before)
            best = next;
    }
    return best;
}

/* The result of a window: between low and high cycles for `ticks`. ticks is 0 if nothing moved. */
struct pit_window {
    uint16_t ticks;
    uint64_t low;
    uint64_t high;
};

static struct pit_window pit_measure(void)
{
    struct pit_window window = {0};
    struct pit_sample start = pit_read_sharp();
    uint16_t ticks = 0;

    for (int i = 0; i < PIT_WINDOW_READS && ticks < PIT_WINDOW_TICKS; i++)
        ticks = (uint16_t)(start.counter - pit_read().counter); /* it counts down, and wraps */
    if (ticks < PIT_WINDOW_TICKS)
        return window;

    struct pit_sample end = pit_read_sharp();
    window.ticks = (uint16_t)(start.counter - end.counter);
    window.low = end.before - start.after;
    window.high = end.after - start.before;
    return window;
}

/*
 * Several short windows rather than a long one. The true rate is never above a window's upper
 * bound. A host that takes the processor away can only raise this bound: a reading takes longer,
 * or the counter wraps unseen. So the lowest upper bound is the best.
 */
uint64_t calibrate_pit(void)
{
    uint64_t rate_hz = 0;
    uint64_t lowest_hz = UINT64_MAX;

    io_write8(PIT_CONTROL, PIT_SELECT_0_BOTH_BYTES_MODE_2);
    io_write8(PIT_COUNTER_0, 0); /* 0 means 65536, the whole range of 16 bits */
    io_write8(PIT_COUNTER_0, 0);
    for (int i = 0; i < PIT_WINDOWS; i++) {
        struct pit_window window = pit_measure();
        if (window.ticks == 0)
            return 0;
        uint64_t high_hz = window.high * PIT_HZ / window.ticks;
        if (high_hz >= lowest_hz)
            continue;
        lowest_hz = high_hz;
        rate_hz = (window.low + window.high) / 2 * PIT_HZ / window.ticks;
    }
    return rate_hz;
}
