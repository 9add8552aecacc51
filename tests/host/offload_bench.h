/*
 * Two ports on a wire, put together as the kernel does it, with simulated devices that leave work on
 * frames: frames and headers are written here as §5.1.6 has them.
 */
#ifndef TESTS_HOST_OFFLOAD_BENCH_H
#define TESTS_HOST_OFFLOAD_BENCH_H

#include <stdint.h>

#include "net/assembly.h"
#include "tests/host/virtio_bench.h"

#define MIB (1024u * 1024)
#define NEEDS_CSUM 1
#define DATA_VALID 2
#define RSC_INFO 4
#define TCPV4 1
#define UDP 3
#define TCPV6 4
#define UDP_L4 5
#define ECN 0x80
#define IP4_TCP 54 /* bytes of headers */
#define IP6_TCP 74
#define IP4_UDP 42
#define BIG 65549 /* odd, and nearly as long as can be */

#define BASE (SIM_F(MAC) | SIM_F(STATUS) | SIM_F(EVENT_IDX) | SIM_F(ANY_LAYOUT))
#define CHECKSUM (SIM_F(CSUM) | SIM_F(GUEST_CSUM))
#define HOST_SEGMENTS (SIM_F(HOST_TSO4) | SIM_F(HOST_TSO6) | SIM_F(HOST_ECN) | SIM_F(HOST_UFO))
#define GUEST_SEGMENTS (SIM_F(GUEST_TSO4) | SIM_F(GUEST_TSO6) | SIM_F(GUEST_ECN) | SIM_F(GUEST_UFO))
#define DATAGRAMS (SIM_F(HOST_USO) | SIM_F(GUEST_USO4) | SIM_F(GUEST_USO6))
#define ALL (BASE | CHECKSUM | HOST_SEGMENTS | GUEST_SEGMENTS | DATAGRAMS)
#define CONTROL (SIM_F(CTRL_VQ) | SIM_F(CTRL_GUEST_OFFLOADS))

/* struct virtio_net_hdr, written down a second time. */
struct header {
    uint8_t flags, type;
    uint16_t hdr_len, gso_size, csum_start, csum_offset;
};

extern struct assembly assembly;
extern enum assembly_chains chains; /* for `assemble`; AUTO after the setup */
extern uint8_t frame[BIG + 100];

/* cmocka's setup, and its teardown and setup in the midst of a test. */
int offload_setup(void **state);
void again(void **state);

/* The device of port `i`, with these features. */
void add(unsigned i, uint64_t features, bool modern);

/* Ports out of the devices that were added, wired by their order, and `memory` bytes for pools. */
void assemble(unsigned count, uint64_t memory);

/* All of that for two modern devices, and memory for buffers of 64 KiB. */
void pair(uint64_t first, uint64_t second);

/* `length` bytes of `frame` into port 0 with that header in front, and a round of its lane. */
void pass(struct header header, uint32_t length);

/* Fills `frame`: `type` of what is in it, and where the transport header begins. */
void make(uint32_t length, uint16_t type, uint32_t transport, uint8_t protocol);

/* The same for a frame to be cut, and the header that says so. */
struct header tcp4(uint32_t length, uint16_t size);
struct header tcp6(uint32_t length, uint16_t size);
struct header udp4(uint32_t length, uint8_t type, uint16_t size);

#endif
