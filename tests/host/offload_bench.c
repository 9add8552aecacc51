/* Two ports on a wire, and frames with work left to do on them. */
#include "tests/host/offload_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

struct assembly assembly;
enum assembly_chains chains;
uint8_t frame[BIG + 100];

void add(unsigned i, uint64_t features, bool modern)
{
    if (modern != bench_is_modern()) /* else it has the rings of the group of tests */
        (modern ? bench_modern : bench_legacy)(NULL);
    bench_add(i, features);
}

void assemble(unsigned count, uint64_t memory)
{
    memset(&assembly, 0, sizeof(assembly));
    bench_find_all(count);
    assembly.port_count = count;
    assembly.memory = memory;
    assembly.chains = chains;
    for (unsigned i = 0; i < count; i++)
        assembly.ports[i] = benches[i].dev;
    assembly_plan(&assembly, "", false);
    assembly_allot(&assembly, memory);
    assembly_start(&assembly);
    assembly_settle(&assembly);
}

void pair(uint64_t first, uint64_t second)
{
    add(0, first, true);
    add(1, second, true);
    assemble(2, 30 * MIB);
}

int offload_setup(void **state)
{
    bench_setup(state);
    bench_options.offloads = true;
    chains = ASSEMBLY_CHAINS_AUTO;
    return 0;
}

void again(void **state)
{
    assert_int_equal(bench_teardown(state), 0);
    offload_setup(state);
}

void pass(struct header header, uint32_t length)
{
    memset(benches[0].net->header, 0, sizeof(benches[0].net->header));
    memcpy(benches[0].net->header, &header, sizeof(header));
    assert_true(sim_virtio_net_deliver(benches[0].net, frame, length));
    lane_run(assembly.port_lanes[0]);
}

void make(uint32_t length, uint16_t type, uint32_t transport, uint8_t protocol)
{
    bench_make_frame(frame, length, 3);
    frame[12] = (uint8_t)(type >> 8);
    frame[13] = (uint8_t)type;
    memset(frame + 14, 0, transport - 14);
    if (type == 0x0800) {
        frame[14] = 0x45;
        frame[14 + 9] = protocol;
    } else {
        frame[14] = 0x60;
        frame[14 + 6] = protocol;
    }
    frame[transport + 12] = 0x50; /* TCP: five words */
}

struct header tcp4(uint32_t length, uint16_t size)
{
    make(length, 0x0800, 34, 6);
    return (struct header){NEEDS_CSUM, TCPV4, IP4_TCP, size, 34, 16};
}

struct header tcp6(uint32_t length, uint16_t size)
{
    make(length, 0x86dd, 54, 6);
    return (struct header){NEEDS_CSUM, TCPV6, IP6_TCP, size, 54, 16};
}

struct header udp4(uint32_t length, uint8_t type, uint16_t size)
{
    make(length, 0x0800, 34, 17);
    return (struct header){NEEDS_CSUM, type, IP4_UDP, size, 34, 6};
}
