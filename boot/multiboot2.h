/*
 * Multiboot 2, as the Multiboot2 Specification 2.0 has it: names, values and offsets, nothing of
 * ours. Read by headers.S and entry.S too, therefore in two halves: numbers, then structures.
 */
#ifndef BOOT_MULTIBOOT2_H
#define BOOT_MULTIBOOT2_H

/* §3.1 "OS image format": where a loader looks for the header. */
#define MULTIBOOT2_SEARCH 32768
#define MULTIBOOT2_HEADER_ALIGN 8
#define MULTIBOOT2_HEADER_MAGIC 0xE85250D6

/* §3.1.2 "The magic fields of Multiboot2 header": 32-bit protected mode of i386. */
#define MULTIBOOT2_ARCHITECTURE_I386 0

/* §3.1.3 "General tag structure" and the sections after it: what a header may ask for. */
#define MULTIBOOT2_HEADER_TAG_ALIGN 8
#define MULTIBOOT2_HEADER_TAG_END 0
#define MULTIBOOT2_HEADER_TAG_INFORMATION_REQUEST 1
#define MULTIBOOT2_HEADER_TAG_ENTRY_ADDRESS 3
#define MULTIBOOT2_HEADER_TAG_MODULE_ALIGN 6
#define MULTIBOOT2_HEADER_TAG_OPTIONAL 1 /* flag: boot even if this can't be had */

/* §3.3 "I386 machine state": in EAX at the entry. */
#define MULTIBOOT2_BOOTLOADER_MAGIC 0x36d76289

/* §3.6 "Boot information": each tag begins at a multiple of this. */
#define MULTIBOOT2_TAG_ALIGN 8

#define MULTIBOOT2_TAG_TYPE_END 0
#define MULTIBOOT2_TAG_TYPE_CMDLINE 1
#define MULTIBOOT2_TAG_TYPE_MODULE 3
#define MULTIBOOT2_TAG_TYPE_BASIC_MEMINFO 4
#define MULTIBOOT2_TAG_TYPE_MMAP 6
#define MULTIBOOT2_TAG_TYPE_ACPI_OLD 14 /* a copy of the RSDP of ACPI 1.0 */
#define MULTIBOOT2_TAG_TYPE_ACPI_NEW 15 /* a copy of the RSDP of ACPI 2.0 and later */

/* §3.6.8 "Memory map": the type of an entry. Everything but this one is to be left alone. */
#define MULTIBOOT2_MEMORY_AVAILABLE 1

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

/* §3.1.1 "The layout of Multiboot2 header"; its tags follow. */
struct multiboot2_header {
    uint32_t magic;
    uint32_t architecture;
    uint32_t header_length; /* bytes, the tags included */
    uint32_t checksum;      /* magic + architecture + header_length + checksum is 0 */
};
_Static_assert(sizeof(struct multiboot2_header) == 16, "Multiboot2 §3.1.1");

/* §3.6.1 "Boot information format": the fixed part that the tags follow. */
struct multiboot2_info {
    uint32_t total_size; /* bytes, this structure and all tags */
    uint32_t reserved;
};
_Static_assert(sizeof(struct multiboot2_info) == 8, "Multiboot2 §3.6.1");

/* §3.6.2 "Basic tags structure": `size` counts this head, but not the padding after the tag. */
struct multiboot2_tag {
    uint32_t type;
    uint32_t size;
};
_Static_assert(sizeof(struct multiboot2_tag) == 8, "Multiboot2 §3.6.2");

/* §3.6.3 "Basic memory information" */
struct multiboot2_tag_basic_meminfo {
    uint32_t type;
    uint32_t size;
    uint32_t mem_lower; /* KiB from address 0 */
    uint32_t mem_upper; /* KiB from 1 MiB on, up to the first hole */
};
_Static_assert(sizeof(struct multiboot2_tag_basic_meminfo) == 16, "Multiboot2 §3.6.3");

/* §3.6.5 "Boot command line": the text follows the head, its NUL included. */

/* §3.6.6 "Modules": the module's own text follows; mod_end is the first byte after the module. */
struct multiboot2_tag_module {
    uint32_t type;
    uint32_t size;
    uint32_t mod_start;
    uint32_t mod_end;
};
_Static_assert(sizeof(struct multiboot2_tag_module) == 16, "Multiboot2 §3.6.6");

/* §3.6.8 "Memory map": entries follow, entry_size bytes apart (a multiple of 8). */
struct multiboot2_tag_mmap {
    uint32_t type;
    uint32_t size;
    uint32_t entry_size;
    uint32_t entry_version; /* later versions only add fields at an entry's end */
};
_Static_assert(sizeof(struct multiboot2_tag_mmap) == 16, "Multiboot2 §3.6.8");

struct multiboot2_mmap_entry {
    uint64_t base_addr;
    uint64_t length;
    uint32_t type;
    uint32_t reserved;
};
_Static_assert(sizeof(struct multiboot2_mmap_entry) == 24, "Multiboot2 §3.6.8");
_Static_assert(offsetof(struct multiboot2_mmap_entry, type) == 16, "Multiboot2 §3.6.8");

#endif
#endif
