/* The hypervisor that runs this machine, by CPUID. Start-up only. */
#ifndef KERNEL_HYPERVISOR_H
#define KERNEL_HYPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/cpu.h"

/* The first of a hypervisor's leaves: eax is the last one, ebx, ecx and edx are its signature. */
#define CPUID_HYPERVISOR 0x40000000
#define CPUID_HYPERVISOR_STEP                                                                      \
    0x100 /* offset of a second interface's leaves: KVM's behind Hyper-V's */

/* A word for the boot event. */
struct hypervisor_name {
    char text[16];
};

/* True if the processor says that a hypervisor is there; only then its leaves mean anything. */
bool hypervisor_present(void);

/* "kvm", "tcg", …, "none", or the signature itself if it is an unknown one. */
struct hypervisor_name hypervisor_name(void);

/*
 * The same out of the two first leaves. A hypervisor may show the interface of Hyper-V first and its
 * own behind it: then its own counts.
 */
struct hypervisor_name hypervisor_name_of(struct cpuid first, struct cpuid second);

/* The first of KVM's leaves, or 0. */
uint32_t hypervisor_kvm_leaf(void);

#endif
