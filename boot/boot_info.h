/*
 * The boot loader's information in one form for Multiboot 1, Multiboot 2 and PVH.
 *
 * Everything is copied out of the loader's structures: the allocator may give their memory away, or
 * the page tables unmap it. Modules stay in place; memory_init reserves their ranges.
 */
#ifndef BOOT_INFO_H
#define BOOT_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOOT_MEMORY_MAX 128 /* ranges of RAM kept; more are counted in memory_lost */
#define BOOT_MODULES_MAX 8
#define BOOT_CMDLINE_MAX (64 * 1024 + 1) /* bytes, with the NUL; a longer one is cut and marked */

enum boot_protocol { BOOT_MULTIBOOT1, BOOT_MULTIBOOT2, BOOT_PVH };

/* [base, base + length) in bytes; length is never 0 and never wraps. */
struct boot_range {
    uint64_t base;
    uint64_t length;
};

struct boot_info {
    enum boot_protocol protocol;
    struct boot_range memory[BOOT_MEMORY_MAX]; /* usable RAM: sorted, disjoint, merged */
    size_t memory_count;
    size_t memory_lost; /* ranges of the loader's map that found no room above or made no sense */
    struct boot_range modules[BOOT_MODULES_MAX];
    size_t module_count;
    size_t modules_lost;
    char cmdline[BOOT_CMDLINE_MAX];
    bool cmdline_cut;
    uint64_t rsdp;         /* physical address of the ACPI root pointer, 0: unknown */
    uint8_t rsdp_copy[36]; /* Multiboot 2 hands over a copy inside its own structure */
    bool rsdp_copied;
};

/*
 * Fills `info` from the structure at physical address `start` that came with `protocol`. With any
 * content of the structure it neither loops nor reads past the stated end. Returns NULL, or a text
 * (static) saying what makes it impossible to start: "no memory map".
 */
const char *boot_info_parse(struct boot_info *info, enum boot_protocol protocol, uint64_t start);

/* Bytes of usable RAM in all. */
uint64_t boot_info_ram(const struct boot_info *info);

/* "multiboot1", "multiboot2", "pvh": the value of protocol= in the boot event. */
const char *boot_protocol_name(enum boot_protocol protocol);

#endif
