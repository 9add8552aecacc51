/* The interface between entry.S and C, and the numbers they share. */
#ifndef BOOT_ENTRY_H
#define BOOT_ENTRY_H

/* enum boot_protocol for the assembler; boot_info.c holds the two together. */
#define BOOT_ENTRY_MULTIBOOT1 0
#define BOOT_ENTRY_MULTIBOOT2 1
#define BOOT_ENTRY_PVH 2

/* The segment selectors in use until the kernel loads tables of its own. */
#define BOOT_CODE_SELECTOR 0x08
#define BOOT_DATA_SELECTOR 0x10

#ifndef __ASSEMBLER__

#include <stdint.h>

/*
 * The entry into C (kernel/main.c). It is called once, in long mode, on the kernel's stack, with
 * interrupts off and the first 4 GiB identity-mapped. `start` is the physical address of the
 * structure that came with `protocol` (enum boot_protocol). Must not return.
 */
_Noreturn void boot_main(uint32_t protocol, uint64_t start);

/* The time-stamp counter at the entry: the zero of all t= values. */
extern const uint64_t boot_entry_cycles;

#endif
#endif
