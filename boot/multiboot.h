/*
 * Multiboot 1, as the Multiboot Specification 0.6.96 has it: names, values and offsets, nothing of
 * ours. Read by headers.S and entry.S too, therefore in two halves: numbers, then structures.
 */
#ifndef BOOT_MULTIBOOT_H
#define BOOT_MULTIBOOT_H

/* §3.1 "OS image format": where a loader looks for the header. */
#define MULTIBOOT_SEARCH 8192
#define MULTIBOOT_HEADER_ALIGN 4
#define MULTIBOOT_HEADER_MAGIC 0x1BADB002

/* §3.1.2 "The magic fields of Multiboot header": what the image asks for. */
#define MULTIBOOT_PAGE_ALIGN 0x00000001
#define MULTIBOOT_MEMORY_INFO 0x00000002
#define MULTIBOOT_VIDEO_MODE 0x00000004
#define MULTIBOOT_AOUT_KLUDGE 0x00010000 /* the address fields of the header are valid */

/* §3.2 "Machine state": in EAX at the entry. */
#define MULTIBOOT_BOOTLOADER_MAGIC 0x2BADB002

/* §3.3 "Boot information format": which fields of multiboot_info are valid. */
#define MULTIBOOT_INFO_MEMORY 0x00000001
#define MULTIBOOT_INFO_BOOTDEV 0x00000002
#define MULTIBOOT_INFO_CMDLINE 0x00000004
#define MULTIBOOT_INFO_MODS 0x00000008
#define MULTIBOOT_INFO_AOUT_SYMS 0x00000010
#define MULTIBOOT_INFO_ELF_SHDR 0x00000020
#define MULTIBOOT_INFO_MEM_MAP 0x00000040

/* §3.3: the type of a memory map entry. Everything but this one is to be left alone. */
#define MULTIBOOT_MEMORY_AVAILABLE 1

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

/* §3.1.1 "The layout of Multiboot header", without the graphics fields (flag bit 2). */
struct multiboot_header {
    uint32_t magic;
    uint32_t flags;
    uint32_t checksum; /* magic + flags + checksum is 0 */
    uint32_t header_addr;
    uint32_t load_addr;
    uint32_t load_end_addr;
    uint32_t bss_end_addr;
    uint32_t entry_addr;
};
_Static_assert(sizeof(struct multiboot_header) == 32, "Multiboot §3.1.1");
_Static_assert(offsetof(struct multiboot_header, header_addr) == 12, "Multiboot §3.1.1");
_Static_assert(offsetof(struct multiboot_header, entry_addr) == 28, "Multiboot §3.1.1");

/* §3.3, up to the memory map; drives, APM, VBE and framebuffer follow and are of no use here. */
struct multiboot_info {
    uint32_t flags;
    uint32_t mem_lower; /* KiB from address 0 */
    uint32_t mem_upper; /* KiB from 1 MiB on, up to the first hole */
    uint32_t boot_device;
    uint32_t cmdline; /* physical address of a NUL-terminated text */
    uint32_t mods_count;
    uint32_t mods_addr;
    uint32_t syms[4];
    uint32_t mmap_length; /* bytes */
    uint32_t mmap_addr;
};
_Static_assert(sizeof(struct multiboot_info) == 52, "Multiboot §3.3");
_Static_assert(offsetof(struct multiboot_info, cmdline) == 16, "Multiboot §3.3");
_Static_assert(offsetof(struct multiboot_info, mods_addr) == 24, "Multiboot §3.3");
_Static_assert(offsetof(struct multiboot_info, syms) == 28, "Multiboot §3.3");
_Static_assert(offsetof(struct multiboot_info, mmap_length) == 44, "Multiboot §3.3");
_Static_assert(offsetof(struct multiboot_info, mmap_addr) == 48, "Multiboot §3.3");

/* §3.3: one module; mod_end is the first byte after it. */
struct multiboot_mod_list {
    uint32_t mod_start;
    uint32_t mod_end;
    uint32_t cmdline;
    uint32_t pad;
};
_Static_assert(sizeof(struct multiboot_mod_list) == 16, "Multiboot §3.3");

/*
 * §3.3: one memory map entry. `size` doesn't count itself: the next entry begins size + 4 bytes
 * after this one, which is also why nothing in here is aligned.
 */
struct multiboot_mmap_entry {
    uint32_t size;
    uint64_t addr;
    uint64_t len;
    uint32_t type;
} __attribute__((packed));
_Static_assert(sizeof(struct multiboot_mmap_entry) == 24, "Multiboot §3.3");
_Static_assert(offsetof(struct multiboot_mmap_entry, addr) == 4, "Multiboot §3.3");
_Static_assert(offsetof(struct multiboot_mmap_entry, len) == 12, "Multiboot §3.3");
_Static_assert(offsetof(struct multiboot_mmap_entry, type) == 20, "Multiboot §3.3");

#endif
#endif
