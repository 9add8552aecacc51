/*
 * The seam: port I/O, device memory and physical addresses.
 *
 * drivers/ and net/ reach the machine only through the headers of this folder. The include path
 * chooses between this version (the kernel's: real instructions) and tests/host/sim/machine/io.h (a
 * simulated bus). Everything here may be called in the data path, but a port access is an exit to
 * the hypervisor (a microsecond), so the data path does it once a burst at most.
 */
#ifndef MACHINE_IO_H
#define MACHINE_IO_H

#include <stdint.h>

/* Reads one byte, word or doubleword from I/O port `port`. An absent device reads as all ones. */
static inline uint8_t io_read8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %w1, %b0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint16_t io_read16(uint16_t port)
{
    uint16_t value;
    __asm__ volatile("inw %w1, %w0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint32_t io_read32(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %w1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

/*
 * Writes to I/O port `port`. All stores before it are visible to the device before the write is
 * (the instruction serialises against earlier memory accesses, and the clobber holds the compiler).
 */
static inline void io_write8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %b0, %w1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void io_write16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %w0, %w1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void io_write32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %w1" : : "a"(value), "Nd"(port) : "memory");
}

/*
 * Device memory that memory_map_device has mapped: `address` is inside it and a multiple of the
 * width. An absent device reads as all ones. The mapping is uncached, so each access happens,
 * once, in program order. All stores to RAM before a write are visible before the write: x86 keeps
 * the order of stores, and the clobber stops the compiler. An access is an exit, as with a port.
 */
static inline uint8_t mmio_read8(const volatile void *address)
{
    uint8_t value;
    __asm__ volatile("movb %1, %0"
                     : "=q"(value)
                     : "m"(*(const volatile uint8_t *)address)
                     : "memory");
    return value;
}

static inline uint16_t mmio_read16(const volatile void *address)
{
    uint16_t value;
    __asm__ volatile("movw %1, %0"
                     : "=r"(value)
                     : "m"(*(const volatile uint16_t *)address)
                     : "memory");
    return value;
}

static inline uint32_t mmio_read32(const volatile void *address)
{
    uint32_t value;
    __asm__ volatile("movl %1, %0"
                     : "=r"(value)
                     : "m"(*(const volatile uint32_t *)address)
                     : "memory");
    return value;
}

static inline void mmio_write8(volatile void *address, uint8_t value)
{
    __asm__ volatile("movb %1, %0" : "=m"(*(volatile uint8_t *)address) : "q"(value) : "memory");
}

static inline void mmio_write16(volatile void *address, uint16_t value)
{
    __asm__ volatile("movw %1, %0" : "=m"(*(volatile uint16_t *)address) : "r"(value) : "memory");
}

static inline void mmio_write32(volatile void *address, uint32_t value)
{
    __asm__ volatile("movl %1, %0" : "=m"(*(volatile uint32_t *)address) : "r"(value) : "memory");
}

/* The physical address a device must be given to reach `pointer`: RAM is identity-mapped. */
static inline uint64_t io_physical(const volatile void *pointer)
{
    return (uint64_t)(uintptr_t)pointer;
}

#endif
