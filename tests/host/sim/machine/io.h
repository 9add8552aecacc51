/*
 * The seam on the host: ports and device memory are those of the simulated bus
 * (tests/host/sim/bus.h), and physical addresses differ from pointers, so that a driver that confuses
 * the two is found out.
 * The contract is that of kernel/machine/io.h.
 */
#ifndef MACHINE_IO_H
#define MACHINE_IO_H

#include <stdint.h>

uint8_t io_read8(uint16_t port);
uint16_t io_read16(uint16_t port);
uint32_t io_read32(uint16_t port);
void io_write8(uint16_t port, uint8_t value);
void io_write16(uint16_t port, uint16_t value);
void io_write32(uint16_t port, uint32_t value);

/* `address` is what memory_map_device gave and no pointer: to touch it otherwise is a fault. */
uint8_t mmio_read8(const volatile void *address);
uint16_t mmio_read16(const volatile void *address);
uint32_t mmio_read32(const volatile void *address);
void mmio_write8(volatile void *address, uint8_t value);
void mmio_write16(volatile void *address, uint16_t value);
void mmio_write32(volatile void *address, uint32_t value);

/*
 * A physical address is a pointer plus this: not 0, so that confusing the two is noticed. Only the
 * benchmarks set it to 0, so that it costs no instruction, as in the kernel.
 */
#ifndef PHYSICAL_OFFSET
#define PHYSICAL_OFFSET 0x200000000ULL
#endif

static inline uint64_t io_physical(const volatile void *pointer)
{
    return (uint64_t)(uintptr_t)pointer + PHYSICAL_OFFSET;
}

#endif
