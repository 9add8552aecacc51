/*
 * The final page tables: RAM identity-mapped, W^X, nothing where nothing belongs.
 *
 * Building tables and loading them are apart, so that the host tests can build and walk them.
 */
#ifndef KERNEL_PAGING_H
#define KERNEL_PAGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot/boot_info.h"
#include "kernel/image.h"

#define PAGING_GUARDS_MAX 8

/* Bits of a page table entry (Intel SDM volume 3, 4.5). */
#define PAGE_PRESENT (1ULL << 0)
#define PAGE_WRITE (1ULL << 1)
#define PAGE_WRITE_THROUGH (1ULL << 3)
#define PAGE_CACHE_DISABLE (1ULL << 4)
#define PAGE_ACCESSED (1ULL << 5)
#define PAGE_DIRTY (1ULL << 6)
#define PAGE_LARGE (1ULL << 7)
#define PAGE_NO_EXECUTE (1ULL << 63)
#define PAGE_ADDRESS 0x000ffffffffff000ULL

/* The processor's abilities. */
struct paging_cpu {
    bool gigabyte_pages;
    unsigned physical_bits; /* addresses have this many bits */
};

/* All that decides how the tables look. `info` is kept and must live as long as the tables. */
struct paging_plan {
    const struct boot_info *info;
    struct image_layout image;
    uint64_t guards[PAGING_GUARDS_MAX]; /* pages of the image that stay unmapped */
    size_t guard_count;
    struct paging_cpu cpu;
};

/* The result of paging_init, for the log. In bytes. */
struct paging_report {
    uint64_t free; /* before it took anything */
    uint64_t needed;
    uint64_t used;
    bool gigabyte_pages;
};

/*
 * Builds the tables for this machine out of memory_alloc, loads them and fills `report`. After it
 * only RAM, the image and what memory_map_device maps can be reached: not page zero, not the image's
 * stack guard, none of the pages at `guards` (fewer than PAGING_GUARDS_MAX), no firmware table
 * outside RAM. Raises memory_alloc's reach to all of RAM. Returns NULL, or a text (static) saying why
 * the machine cannot start, and then nothing is loaded. `info` must stay. Needs memory_init.
 */
const char *paging_init(const struct boot_info *info, const uint64_t *guards, size_t guard_count,
                        struct paging_report *report);

/* At most so many 4 KiB tables are needed for the RAM and the image of `plan`. */
size_t paging_tables_needed(const struct paging_plan *plan);

/* Builds the tables; returns the root (physical address = pointer), or NULL: out of memory. */
uint64_t *paging_build(const struct paging_plan *plan);

/*
 * Adds an uncached mapping of [physical, physical + size) to the tables at `root`, widened to whole
 * pages. False: the range overlaps RAM, the image or page zero, can't be addressed, or memory ran
 * out. Mapping twice is no error.
 */
bool paging_map_device(uint64_t *root, const struct paging_plan *plan, uint64_t physical,
                       uint64_t size);

#endif
