/* kernel/hypervisor.c: the name of a hypervisor, out of what its leaves of CPUID say. */
#include <string.h>

#include "kernel/hypervisor.h"
#include "tests/host/fixture/test.h"

/* The leaf that states 12 bytes as its signature. */
static struct cpuid leaf(const char *signature)
{
    struct cpuid result = {.eax = CPUID_HYPERVISOR + 1};

    memcpy(&result.ebx, signature, 4);
    memcpy(&result.ecx, signature + 4, 4);
    memcpy(&result.edx, signature + 8, 4);
    return result;
}

#define NOTHING "\0\0\0\0\0\0\0\0\0\0\0\0"
#define KVM "KVMKVMKVM\0\0\0"
#define HYPERV "Microsoft Hv"

static void assert_name(const char *first, const char *second, const char *expected)
{
    assert_string_equal(hypervisor_name_of(leaf(first), leaf(second)).text, expected);
}

TEST(known_signatures_have_short_names)
{
    assert_name(KVM, NOTHING, "kvm");
    assert_name("TCGTCGTCGTCG", NOTHING, "tcg");
    assert_name("XenVMMXenVMM", NOTHING, "xen");
    assert_name(HYPERV, NOTHING, "hyperv");
    assert_name("VMwareVMware", NOTHING, "vmware");
    assert_name(" lrpepyh  vr", NOTHING, "parallels");
}

TEST(interface_behind_that_of_hyperv_counts)
{
    assert_name(HYPERV, KVM, "kvm");
    assert_name(HYPERV, "XenVMMXenVMM", "xen");
    assert_name(HYPERV, "garbage here", "hyperv");
    assert_name(KVM, "XenVMMXenVMM", "kvm");
}

TEST(unknown_signature_is_shown_and_cannot_break_the_line)
{
    assert_name("EXAMPLE-1234", KVM, "EXAMPLE-1234");
    assert_name("short\0\0\0\0\0\0\0", NOTHING, "short");
    assert_name("a b=c\"d\\e\r\nf", NOTHING, "a.b.c.d.e..f");
    assert_name("\xff\x80\x7f\x1b[2J\0\0\0\0z", NOTHING, "....[2J....z");
    assert_name(NOTHING, KVM, "unknown");
}
