/*
 * The simulated bus: I/O ports, device memory, and PCI configuration space behind ports
 * 0xCF8/0xCFC.
 *
 * A function is a page of configuration space with a mask of what a write can change, as in real
 * devices: command bits, BARs that keep their low address bits at 0, read-only all the rest.
 */
#ifndef TESTS_HOST_SIM_BUS_H
#define TESTS_HOST_SIM_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_PCI_FUNCTIONS_MAX 512

struct sim_pci_function {
    uint8_t bus, device, function;
    uint8_t config[256];
    uint8_t writable[256];   /* bits that a write changes */
    bool absent;             /* taken out: it answers nothing, until it is put back */
    uint8_t capability_end;  /* where the next capability goes */
    uint8_t capability_last; /* byte that links to it */

    /* Called for ports inside an I/O BAR while decoding is on; NULL: all ones, and no effect. */
    uint32_t (*port_read)(void *context, uint16_t offset, unsigned width);
    void (*port_write)(void *context, uint16_t offset, unsigned width, uint32_t value);

    /* The same for addresses inside memory BAR `bar`; and for ports inside an I/O BAR but the
     * first. */
    uint32_t (*memory_read)(void *context, unsigned bar, uint32_t offset, unsigned width);
    void (*memory_write)(void *context, unsigned bar, uint32_t offset, unsigned width,
                         uint32_t value);

    /* Called behind each access to configuration space, whose bytes are in config[]; may be NULL. */
    void (*config_read)(void *context, uint8_t offset, unsigned width);
    void (*config_written)(void *context, uint8_t offset, unsigned width);
    void *context;
};

/* Takes everything off the bus; configuration mechanism #1 is there. */
void sim_bus_reset(void);

/* Takes the configuration ports away, as on a machine without PCI. */
void sim_bus_remove_pci(void);

/* From now on no more device memory can be mapped, as if page tables had run out. */
void sim_bus_refuse_mapping(void);

/* Accesses to ports and device memory since the reset: all of them, and those to configuration
 * space. */
uint64_t sim_bus_accesses(void);
uint64_t sim_bus_config_accesses(void);

/*
 * The last error that a bus analyser would report, or NULL: a misaligned access, a BAR probed
 * while decoding was on, two devices at one port, or an access to device memory that is not mapped
 * or has no device.
 */
const char *sim_bus_complaint(void);

/* A function with a header of type 0, without BARs and capabilities. Lives until the reset. */
struct sim_pci_function *sim_pci_add(uint8_t bus, uint8_t device, uint8_t function, uint32_t id,
                                     uint32_t class_code);

/*
 * Ports that belong to no function: [first, first + count) go to these two, with the offset from
 * `first`. One such range; gone with the reset.
 */
void sim_bus_claim(uint16_t first, uint16_t count, uint32_t (*port_read)(uint16_t offset),
                   void (*port_write)(uint16_t offset, uint32_t value));

/* `id` for sim_pci_add. */
#define SIM_PCI_ID(vendor, device) ((uint32_t)(device) << 16 | (vendor))

/* Gives it a header of type 1 that leads to `secondary`, with closed windows that can be written. */
void sim_pci_make_bridge(struct sim_pci_function *function, uint8_t secondary);

/* BAR `index`: `flags` are its read-only low bits, `size` a power of two. */
void sim_pci_add_bar(struct sim_pci_function *function, unsigned index, uint32_t flags,
                     uint64_t size, uint64_t base);

/* Appends a capability of `length` bytes; returns its offset. */
uint8_t sim_pci_add_capability(struct sim_pci_function *function, uint8_t id, uint8_t length);

/* Registers of 8, 16 and 32 bits, without asking what is writable. */
uint32_t sim_pci_get(const struct sim_pci_function *function, uint8_t offset, unsigned width);
void sim_pci_set(struct sim_pci_function *function, uint8_t offset, unsigned width, uint32_t value);

#endif
