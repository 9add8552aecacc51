/*
 * One boot_info out of what Multiboot 1, Multiboot 2 or PVH left in memory.
 *
 * A loader's tables are foreign input: every length is bounded before it is followed, and all reads
 * go through boot_read(), which refuses what is out of reach.
 */
#include "boot/boot_info.h"

#include <stdlib.h>
#include <string.h>

#include "boot/entry.h"
#include "boot/multiboot.h"
#include "boot/multiboot2.h"
#include "boot/physical.h"
#include "boot/pvh.h"

_Static_assert(BOOT_MULTIBOOT1 == BOOT_ENTRY_MULTIBOOT1, "entry.S passes these numbers");
_Static_assert(BOOT_MULTIBOOT2 == BOOT_ENTRY_MULTIBOOT2, "entry.S passes these numbers");
_Static_assert(BOOT_PVH == BOOT_ENTRY_PVH, "entry.S passes these numbers");

/* The three memory maps agree on this number, and the last two on their entries' form. */
#define USABLE MULTIBOOT_MEMORY_AVAILABLE
_Static_assert(USABLE == MULTIBOOT2_MEMORY_AVAILABLE, "one test for all");
_Static_assert(USABLE == XEN_HVM_MEMMAP_TYPE_RAM, "one test for all");
_Static_assert(sizeof(struct multiboot2_mmap_entry) == sizeof(struct hvm_memmap_table_entry),
               "map_next reads both as the first");

/* Real tables have some KiB; a larger one is nonsense, and its walk would take noticeable time. */
#define TABLE_MAX (1024 * 1024)

/* The lower half of the 48-bit address space: no identity mapping can reach RAM above. */
#define RAM_END (1ULL << 47)

#define MIB (1024 * 1024ULL)
#define KIB 1024ULL

/* Bytes of the RSDP up to ACPI 1.0, the least that is of any use. */
#define RSDP_LENGTH_1 20

/* One entry of a loader's memory map, whichever protocol it came by. */
struct map_entry {
    uint64_t base;
    uint64_t length;
    bool usable;
};

/* The position of a walk over a loader's memory map. */
struct map_walk {
    enum boot_protocol protocol;
    uint64_t address;    /* of the next entry */
    uint64_t left;       /* bytes from there on to the table's end */
    uint64_t entry_size; /* step; Multiboot 1 has it in each entry instead */
};

static int compare_ranges(const void *left, const void *right)
{
    const struct boot_range *a = left;
    const struct boot_range *b = right;

    return (a->base > b->base) - (a->base < b->base);
}

/* Sorts the ranges and joins those that touch or overlap. */
static void memory_merge(struct boot_info *info)
{
    struct boot_range *memory = info->memory;
    size_t kept = 0;

    if (info->memory_count == 0)
        return;
    qsort(memory, info->memory_count, sizeof(memory[0]), compare_ranges);
    for (size_t i = 1; i < info->memory_count; i++) {
        uint64_t kept_end = memory[kept].base + memory[kept].length;
        uint64_t end = memory[i].base + memory[i].length;

        if (memory[i].base > kept_end)
            memory[++kept] = memory[i];
        else if (end > kept_end)
            memory[kept].length = end - memory[kept].base;
    }
    info->memory_count = kept + 1;
}

/* Adds a range in no particular order; when the table is full the smallest of all is lost. */
static void memory_add(struct boot_info *info, struct boot_range range)
{
    size_t smallest = 0;

    if (info->memory_count == BOOT_MEMORY_MAX)
        memory_merge(info);
    if (info->memory_count < BOOT_MEMORY_MAX) {
        info->memory[info->memory_count++] = range;
        return;
    }
    for (size_t i = 1; i < BOOT_MEMORY_MAX; i++) {
        if (info->memory[i].length < info->memory[smallest].length)
            smallest = i;
    }
    if (info->memory[smallest].length < range.length)
        info->memory[smallest] = range;
    info->memory_lost++;
}

/* Takes [base, end) out of the ranges, which are disjoint, and may leave them unsorted. */
static void memory_subtract(struct boot_info *info, uint64_t base, uint64_t end)
{
    for (size_t i = info->memory_count; i-- > 0;) {
        struct boot_range range = info->memory[i];
        uint64_t range_end = range.base + range.length;
        struct boot_range above = {end, range_end - end};

        if (range.base >= end || range_end <= base)
            continue;
        if (range.base < base) {
            info->memory[i].length = base - range.base;
            if (range_end > end) {
                memory_add(info, above);
                return; /* it lay inside this range, so it overlaps no other */
            }
        } else if (range_end > end) {
            info->memory[i] = above;
        } else {
            info->memory[i] = info->memory[--info->memory_count];
        }
    }
}

/*
 * Reads the next entry. False at the end of the table and at an invalid entry. The entry behind an
 * invalid one can't be found, so the walk ends with bytes left over.
 */
static bool map_next(struct map_walk *walk, struct map_entry *entry)
{
    struct multiboot_mmap_entry m1;
    struct multiboot2_mmap_entry m2;
    uint64_t step = walk->entry_size;

    if (walk->protocol == BOOT_MULTIBOOT1) {
        if (walk->left < sizeof(m1) || !boot_read(&m1, walk->address, sizeof(m1)))
            return false;
        step = m1.size + (uint64_t)sizeof(m1.size);
        if (step < sizeof(m1))
            return false;
        *entry = (struct map_entry){m1.addr, m1.len, m1.type == USABLE};
    } else {
        if (walk->left < sizeof(m2) || !boot_read(&m2, walk->address, sizeof(m2)))
            return false;
        *entry = (struct map_entry){m2.base_addr, m2.length, m2.type == USABLE};
    }
    if (step > walk->left)
        step = walk->left;
    walk->address += step;
    walk->left -= step;
    return true;
}

/*
 * Fills info->memory from a loader's map. Maps overlap in practice, so this takes two walks: first
 * all usable ranges, then everything else is cut out of them. Empty entries lose nothing and aren't
 * counted (qboot pads its map with one). Returns NULL or what is wrong.
 */
static const char *memory_from_map(struct boot_info *info, const struct map_walk *map)
{
    struct map_entry entry;
    struct map_walk walk = *map;

    if (map->left > TABLE_MAX)
        return "memory map larger than 1 MiB";
    while (map_next(&walk, &entry)) {
        if (!entry.usable || entry.length == 0)
            continue;
        if (entry.base >= RAM_END || entry.length > RAM_END - entry.base)
            info->memory_lost++;
        else
            memory_add(info, (struct boot_range){entry.base, entry.length});
    }
    if (walk.left > 0)
        info->memory_lost++;
    memory_merge(info);

    walk = *map;
    while (map_next(&walk, &entry)) {
        uint64_t end = entry.base + entry.length;

        if (entry.usable || entry.length == 0)
            continue;
        if (end < entry.base)
            info->memory_lost++;
        else
            memory_subtract(info, entry.base, end);
    }
    memory_merge(info);
    return info->memory_count > 0 ? NULL : "no usable memory in the memory map";
}

/* Fills info->memory from the two sizes that stand in for a map. Returns NULL or what is wrong. */
static const char *memory_from_sizes(struct boot_info *info, uint32_t lower_kib, uint32_t upper_kib)
{
    if (lower_kib > 0)
        memory_add(info, (struct boot_range){0, lower_kib * KIB});
    if (upper_kib > 0)
        memory_add(info, (struct boot_range){MIB, upper_kib * KIB});
    memory_merge(info);
    return info->memory_count > 0 ? NULL : "no memory map";
}

/* Copies a text of at most `limit` bytes; it ends at its NUL, or at `limit` for want of one. */
static void cmdline_copy(struct boot_info *info, uint64_t address, uint64_t limit)
{
    size_t length = 0;
    char next;

    info->cmdline_cut = false;
    while (length < limit) {
        if (!boot_read(&next, address + length, sizeof(next))) {
            info->cmdline_cut = true;
            break;
        }
        if (next == '\0')
            break;
        if (length == BOOT_CMDLINE_MAX - 1) {
            info->cmdline_cut = true;
            break;
        }
        info->cmdline[length++] = next;
    }
    info->cmdline[length] = '\0';
}

static void module_add(struct boot_info *info, uint64_t base, uint64_t end)
{
    if (end <= base || info->module_count == BOOT_MODULES_MAX) {
        info->modules_lost++;
        return;
    }
    info->modules[info->module_count++] = (struct boot_range){base, end - base};
}

static void multiboot1_modules(struct boot_info *info, uint32_t count, uint32_t address)
{
    struct multiboot_mod_list module;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t offset = i * (uint64_t)sizeof(module);

        if (offset >= TABLE_MAX || !boot_read(&module, address + offset, sizeof(module))) {
            info->modules_lost += count - i;
            return;
        }
        module_add(info, module.mod_start, module.mod_end);
    }
}

static const char *multiboot1_parse(struct boot_info *info, uint64_t start)
{
    struct multiboot_info multiboot;

    if (!boot_read(&multiboot, start, sizeof(multiboot)))
        return "boot information out of reach";
    if (multiboot.flags & MULTIBOOT_INFO_CMDLINE)
        cmdline_copy(info, multiboot.cmdline, UINT64_MAX);
    if (multiboot.flags & MULTIBOOT_INFO_MODS)
        multiboot1_modules(info, multiboot.mods_count, multiboot.mods_addr);
    if (multiboot.flags & MULTIBOOT_INFO_MEM_MAP) {
        struct map_walk map = {
            .protocol = BOOT_MULTIBOOT1,
            .address = multiboot.mmap_addr,
            .left = multiboot.mmap_length,
        };
        return memory_from_map(info, &map);
    }
    if (multiboot.flags & MULTIBOOT_INFO_MEMORY)
        return memory_from_sizes(info, multiboot.mem_lower, multiboot.mem_upper);
    return "no memory map";
}

/* The addresses of the tags that are read after the walk; 0 for a tag not seen. */
struct multiboot2_memory {
    uint64_t mmap;
    uint64_t basic_meminfo;
};

/* Copies the RSDP at `address`, or leaves what is there if it is of a later version. */
static void rsdp_copy(struct boot_info *info, uint32_t type, uint64_t address, size_t size)
{
    size_t wanted = type == MULTIBOOT2_TAG_TYPE_ACPI_NEW ? sizeof(info->rsdp_copy) : RSDP_LENGTH_1;

    if (size < wanted || (info->rsdp_copied && type == MULTIBOOT2_TAG_TYPE_ACPI_OLD))
        return;
    if (boot_read(info->rsdp_copy, address, wanted))
        info->rsdp_copied = true;
}

/* Reads one tag: `tag` is a copy of its head; all its tag.size bytes are at `address`. */
static void multiboot2_tag(struct boot_info *info, struct multiboot2_memory *memory,
                           struct multiboot2_tag tag, uint64_t address)
{
    struct multiboot2_tag_module module;

    switch (tag.type) {
    case MULTIBOOT2_TAG_TYPE_CMDLINE:
        cmdline_copy(info, address + sizeof(tag), tag.size - sizeof(tag));
        break;
    case MULTIBOOT2_TAG_TYPE_MODULE:
        if (tag.size < sizeof(module) || !boot_read(&module, address, sizeof(module)))
            info->modules_lost++;
        else
            module_add(info, module.mod_start, module.mod_end);
        break;
    case MULTIBOOT2_TAG_TYPE_BASIC_MEMINFO:
        if (tag.size >= sizeof(struct multiboot2_tag_basic_meminfo))
            memory->basic_meminfo = address;
        break;
    case MULTIBOOT2_TAG_TYPE_MMAP:
        if (tag.size >= sizeof(struct multiboot2_tag_mmap))
            memory->mmap = address;
        break;
    case MULTIBOOT2_TAG_TYPE_ACPI_OLD:
    case MULTIBOOT2_TAG_TYPE_ACPI_NEW:
        rsdp_copy(info, tag.type, address + sizeof(tag), tag.size - sizeof(tag));
        break;
    default: /* we need only some of the tags */
        break;
    }
}

static const char *multiboot2_memory(struct boot_info *info, const struct multiboot2_memory *memory)
{
    struct multiboot2_tag_mmap mmap;
    struct multiboot2_tag_basic_meminfo basic;

    if (memory->mmap != 0 && boot_read(&mmap, memory->mmap, sizeof(mmap))) {
        struct map_walk map = {
            .protocol = BOOT_MULTIBOOT2,
            .address = memory->mmap + sizeof(mmap),
            .left = mmap.size - sizeof(mmap),
            .entry_size = mmap.entry_size,
        };
        if (mmap.entry_size < sizeof(struct multiboot2_mmap_entry))
            return "memory map with entries of a senseless size";
        return memory_from_map(info, &map);
    }
    if (memory->basic_meminfo != 0 && boot_read(&basic, memory->basic_meminfo, sizeof(basic)))
        return memory_from_sizes(info, basic.mem_lower, basic.mem_upper);
    return "no memory map";
}

static const char *multiboot2_parse(struct boot_info *info, uint64_t start)
{
    struct multiboot2_info head;
    struct multiboot2_tag tag;
    struct multiboot2_memory memory = {0, 0};
    uint64_t offset = sizeof(head);

    if (!boot_read(&head, start, sizeof(head)))
        return "boot information out of reach";
    if (head.total_size > TABLE_MAX)
        return "boot information larger than 1 MiB";
    while (offset + sizeof(tag) <= head.total_size &&
           boot_read(&tag, start + offset, sizeof(tag)) && tag.type != MULTIBOOT2_TAG_TYPE_END) {
        if (tag.size < sizeof(tag) || tag.size > head.total_size - offset)
            break;
        multiboot2_tag(info, &memory, tag, start + offset);
        offset += tag.size;
        offset = (offset + MULTIBOOT2_TAG_ALIGN - 1) & ~(uint64_t)(MULTIBOOT2_TAG_ALIGN - 1);
    }
    return multiboot2_memory(info, &memory);
}

static void pvh_modules(struct boot_info *info, uint32_t count, uint64_t address)
{
    struct hvm_modlist_entry module;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t offset = i * (uint64_t)sizeof(module);

        if (offset >= TABLE_MAX || !boot_read(&module, address + offset, sizeof(module))) {
            info->modules_lost += count - i;
            return;
        }
        module_add(info, module.paddr, module.paddr + module.size);
    }
}

static const char *pvh_parse(struct boot_info *info, uint64_t start)
{
    struct hvm_start_info pvh;

    /* Version 0 ends before the memory map. */
    memset(&pvh, 0, sizeof(pvh));
    if (!boot_read(&pvh, start, offsetof(struct hvm_start_info, memmap_paddr)))
        return "boot information out of reach";
    if (pvh.magic != XEN_HVM_START_MAGIC_VALUE)
        return "boot information isn't PVH's: wrong magic";
    if (pvh.version < 1 || !boot_read(&pvh, start, sizeof(pvh)) || pvh.memmap_paddr == 0)
        return "no memory map";
    info->rsdp = pvh.rsdp_paddr;
    if (pvh.cmdline_paddr != 0)
        cmdline_copy(info, pvh.cmdline_paddr, UINT64_MAX);
    pvh_modules(info, pvh.nr_modules, pvh.modlist_paddr);

    struct map_walk map = {
        .protocol = BOOT_PVH,
        .address = pvh.memmap_paddr,
        .left = pvh.memmap_entries * (uint64_t)sizeof(struct hvm_memmap_table_entry),
        .entry_size = sizeof(struct hvm_memmap_table_entry),
    };
    return memory_from_map(info, &map);
}

const char *boot_info_parse(struct boot_info *info, enum boot_protocol protocol, uint64_t start)
{
    memset(info, 0, sizeof(*info));
    info->protocol = protocol;
    switch (protocol) {
    case BOOT_MULTIBOOT1:
        return multiboot1_parse(info, start);
    case BOOT_MULTIBOOT2:
        return multiboot2_parse(info, start);
    case BOOT_PVH:
        return pvh_parse(info, start);
    }
    return "unknown boot protocol";
}

uint64_t boot_info_ram(const struct boot_info *info)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < info->memory_count; i++)
        sum += info->memory[i].length; /* disjoint and below 2^47: no overflow */
    return sum;
}

const char *boot_protocol_name(enum boot_protocol protocol)
{
    switch (protocol) {
    case BOOT_MULTIBOOT1:
        return "multiboot1";
    case BOOT_MULTIBOOT2:
        return "multiboot2";
    case BOOT_PVH:
        return "pvh";
    }
    return "unknown";
}
