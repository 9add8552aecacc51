/*
 * Hypervisors by their signatures in CPUID leaf 0x40000000.
 */
#include "kernel/hypervisor.h"

#include <stddef.h>
#include <string.h>

#define SIGNATURE_SIZE 12

static const struct {
    char signature[SIGNATURE_SIZE];
    const char *name;
} known[] = {
    {"KVMKVMKVM\0\0\0", "kvm"}, {"TCGTCGTCGTCG", "tcg"},    {"XenVMMXenVMM", "xen"},
    {"Microsoft Hv", "hyperv"}, {"VMwareVMware", "vmware"}, {"VBoxVBoxVBox", "vbox"},
    {"bhyve bhyve ", "bhyve"},  {"OpenBSDVMM58", "vmm"},    {"ACRNACRNACRN", "acrn"},
    {"___ NVMM ___", "nvmm"},   {"HAXMHAXMHAXM", "haxm"},   {" lrpepyh  vr", "parallels"},
};

static void read_signature(struct cpuid leaf, char signature[SIGNATURE_SIZE])
{
    memcpy(signature, &leaf.ebx, 4);
    memcpy(signature + 4, &leaf.ecx, 4);
    memcpy(signature + 8, &leaf.edx, 4);
}

/* The name of a known signature, or NULL. */
static const char *known_name(struct cpuid leaf)
{
    char signature[SIGNATURE_SIZE];

    read_signature(leaf, signature);
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (memcmp(signature, known[i].signature, SIGNATURE_SIZE) == 0)
            return known[i].name;
    }
    return NULL;
}

/* Safe as a value on the console: a hypervisor may state any bytes. */
static struct hypervisor_name printable_signature(struct cpuid leaf)
{
    struct hypervisor_name name = {"unknown"};
    char signature[SIGNATURE_SIZE];
    size_t length = SIGNATURE_SIZE;

    read_signature(leaf, signature);
    while (length > 0 && signature[length - 1] == '\0')
        length--;
    if (length == 0)
        return name;
    memset(name.text, 0, sizeof(name.text));
    for (size_t i = 0; i < length; i++) {
        const char byte = signature[i];
        const bool plain = byte > ' ' && byte <= '~' && byte != '"' && byte != '\\' && byte != '=';
        name.text[i] = plain ? byte : '.';
    }
    return name;
}

struct hypervisor_name hypervisor_name_of(struct cpuid first, struct cpuid second)
{
    const char *name = known_name(first);
    const char *own = known_name(second);
    struct hypervisor_name result = {""};

    if (name == NULL)
        return printable_signature(first);
    if (own != NULL && strcmp(name, "hyperv") == 0)
        name = own;
    strncpy(result.text, name, sizeof(result.text) - 1);
    return result;
}

bool hypervisor_present(void)
{
    return (cpuid(CPUID_FEATURES).ecx & CPUID_FEATURES_ECX_HYPERVISOR) != 0;
}

struct hypervisor_name hypervisor_name(void)
{
    if (!hypervisor_present())
        return (struct hypervisor_name){"none"};
    return hypervisor_name_of(cpuid(CPUID_HYPERVISOR),
                              cpuid(CPUID_HYPERVISOR + CPUID_HYPERVISOR_STEP));
}

uint32_t hypervisor_kvm_leaf(void)
{
    for (uint32_t i = 0; i < 2 && hypervisor_present(); i++) {
        const uint32_t leaf = CPUID_HYPERVISOR + i * CPUID_HYPERVISOR_STEP;
        const char *name = known_name(cpuid(leaf));
        if (name != NULL && strcmp(name, "kvm") == 0)
            return leaf;
    }
    return 0;
}
