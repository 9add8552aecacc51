/*
 * The PVH boot ABI ("x86/HVM direct boot ABI", with the structures of Xen's public header
 * arch-x86/hvm/start_info.h): names, values and offsets, nothing of ours. Read by headers.S too,
 * therefore in two halves: numbers, then structures.
 *
 * At the entry EBX holds the address of hvm_start_info. EAX is undefined.
 */
#ifndef BOOT_PVH_H
#define BOOT_PVH_H

/* The ELF note that has the physical address of the 32-bit entry; its owner's name is "Xen". */
#define XEN_ELFNOTE_PHYS32_ENTRY 18

/* hvm_start_info.magic */
#define XEN_HVM_START_MAGIC_VALUE 0x336ec578

/* hvm_memmap_table_entry.type: everything but this one is to be left alone. */
#define XEN_HVM_MEMMAP_TYPE_RAM 1

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

/* All addresses are physical, 0 means: there is none. */
struct hvm_start_info {
    uint32_t magic;
    uint32_t version; /* 0: ends after rsdp_paddr. 1: has the memory map */
    uint32_t flags;
    uint32_t nr_modules;
    uint64_t modlist_paddr; /* of nr_modules struct hvm_modlist_entry */
    uint64_t cmdline_paddr; /* of a NUL-terminated text */
    uint64_t rsdp_paddr;
    uint64_t memmap_paddr; /* of memmap_entries struct hvm_memmap_table_entry */
    uint32_t memmap_entries;
    uint32_t reserved;
};
_Static_assert(sizeof(struct hvm_start_info) == 56, "start_info.h");
_Static_assert(offsetof(struct hvm_start_info, modlist_paddr) == 16, "start_info.h");
_Static_assert(offsetof(struct hvm_start_info, cmdline_paddr) == 24, "start_info.h");
_Static_assert(offsetof(struct hvm_start_info, rsdp_paddr) == 32, "start_info.h");
_Static_assert(offsetof(struct hvm_start_info, memmap_paddr) == 40, "start_info.h");
_Static_assert(offsetof(struct hvm_start_info, memmap_entries) == 48, "start_info.h");

struct hvm_modlist_entry {
    uint64_t paddr;
    uint64_t size; /* bytes */
    uint64_t cmdline_paddr;
    uint64_t reserved;
};
_Static_assert(sizeof(struct hvm_modlist_entry) == 32, "start_info.h");

struct hvm_memmap_table_entry {
    uint64_t addr;
    uint64_t size; /* bytes */
    uint32_t type;
    uint32_t reserved;
};
_Static_assert(sizeof(struct hvm_memmap_table_entry) == 24, "start_info.h");
_Static_assert(offsetof(struct hvm_memmap_table_entry, type) == 16, "start_info.h");

#endif
#endif
