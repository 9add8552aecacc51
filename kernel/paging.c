/*
 * Page tables: four levels, identity-mapped, the largest pages that fit.
 *
 * One walk does it all (map_piece): it descends until a page of the level's size is aligned,
 * inside the range and not mapped yet. So RAM gets 1 GiB or 2 MiB pages, with 4 KiB ones at its
 * edges and around the image, whose parts have different rights. Formats: Intel SDM volume 3, 4.5.
 */
#include "kernel/paging.h"

#include <string.h>

#include <machine/memory.h>
#include <machine/panic.h>

#include "kernel/cpu.h"
#include "kernel/memory.h"
#include "kernel/page.h"

#define TABLE_ENTRIES 512
#define LEVEL_ROOT 3
#define LEVEL_GIGABYTE 2
#define LEVEL_MEGABYTES 1

/* Identity mapping uses the lower half of the 48-bit address space, which ends here. */
#define CANONICAL_BITS 47

/* Accessed and dirty are set beforehand: the processor needn't write them later. */
#define FLAGS_READ (PAGE_PRESENT | PAGE_ACCESSED | PAGE_NO_EXECUTE)
#define FLAGS_EXECUTE (PAGE_PRESENT | PAGE_ACCESSED)
#define FLAGS_WRITE (FLAGS_READ | PAGE_WRITE | PAGE_DIRTY)
/* Entry 3 of the page attribute table, which is uncached unless it was reprogrammed. */
#define FLAGS_DEVICE (FLAGS_WRITE | PAGE_WRITE_THROUGH | PAGE_CACHE_DISABLE)

static struct paging_plan plan;
static uint64_t *root; /* NULL until paging_init is through */

static uint64_t level_bytes(unsigned level)
{
    return PAGE_BYTES << (9 * level);
}

/* The first address that cannot be mapped. */
static uint64_t address_end(const struct paging_cpu *cpu)
{
    return 1ULL << (cpu->physical_bits < CANONICAL_BITS ? cpu->physical_bits : CANONICAL_BITS);
}

/* RAM range `index` of the loader's map in whole pages, cut to what can be addressed. */
static struct image_span ram_span(const struct paging_plan *p, size_t index)
{
    const struct boot_range *range = &p->info->memory[index];
    uint64_t limit = address_end(&p->cpu);
    uint64_t end = range->base + range->length < limit ? range->base + range->length : limit;
    struct image_span none = {0, 0};

    if (range->base >= end || page_up(range->base) >= page_down(end))
        return none;
    return (struct image_span){page_up(range->base), page_down(end)};
}

/* The table that `entry` points to, made if there is none; NULL: memory ran out. */
static uint64_t *table_below(uint64_t *entry)
{
    if (!(*entry & PAGE_PRESENT)) {
        uint64_t *table = memory_alloc(PAGE_BYTES, PAGE_BYTES);
        if (!table)
            return NULL;
        *entry = (uintptr_t)table | PAGE_PRESENT | PAGE_WRITE | PAGE_ACCESSED;
    }
    return (uint64_t *)(uintptr_t)(*entry & PAGE_ADDRESS);
}

/*
 * Maps the beginning of [start, end) with one page of at most level `max_level`, or finds it
 * mapped already and leaves it so. Returns the number of bytes mapped (may be more than the
 * range), 0: no memory.
 */
static uint64_t map_piece(uint64_t *table, struct image_span span, unsigned max_level,
                          uint64_t flags)
{
    for (unsigned level = LEVEL_ROOT;; level--) {
        uint64_t bytes = level_bytes(level);
        uint64_t offset = span.start & (bytes - 1);
        uint64_t *entry = &table[span.start / bytes % TABLE_ENTRIES];
        bool present = *entry & PAGE_PRESENT;

        if (present && (level == 0 || *entry & PAGE_LARGE))
            return bytes - offset;
        if (!present && level <= max_level && offset == 0 && span.end - span.start >= bytes) {
            *entry = span.start | flags | (level > 0 ? PAGE_LARGE : 0);
            return bytes;
        }
        table = table_below(entry);
        if (!table)
            return 0;
    }
}

static bool map_span(uint64_t *table, struct image_span span, unsigned max_level, uint64_t flags)
{
    while (span.start < span.end) {
        uint64_t bytes = map_piece(table, span, max_level, flags);
        if (bytes == 0)
            return false;
        span.start += bytes;
    }
    return true;
}

static bool contains(struct image_span span, uint64_t address)
{
    return address >= span.start && address < span.end;
}

/* The rights of `page` of the image; 0: it stays unmapped. */
static uint64_t image_flags(const struct paging_plan *p, uint64_t page)
{
    for (size_t i = 0; i < p->guard_count; i++) {
        if (p->guards[i] == page)
            return 0;
    }
    if (contains(p->image.text, page))
        return FLAGS_EXECUTE;
    if (contains(p->image.data, page) || contains(p->image.stack, page))
        return FLAGS_WRITE;
    return FLAGS_READ;
}

/* The image is mapped whether the loader's map has it or not: we are running in it. */
static bool map_image(uint64_t *table, const struct paging_plan *p)
{
    for (uint64_t page = p->image.image.start; page < p->image.image.end; page += PAGE_BYTES) {
        struct image_span span = {page, page + PAGE_BYTES};
        uint64_t flags = image_flags(p, page);
        if (flags != 0 && !map_span(table, span, 0, flags))
            return false;
    }
    return true;
}

/* `span` without page zero and without the image: the parts below and above it. */
static void ram_parts(const struct paging_plan *p, struct image_span span,
                      struct image_span parts[2])
{
    struct image_span image = p->image.image;

    if (span.start < PAGE_BYTES)
        span.start = PAGE_BYTES;
    parts[0] = (struct image_span){span.start, span.end < image.start ? span.end : image.start};
    parts[1] = (struct image_span){span.start > image.end ? span.start : image.end, span.end};
}

uint64_t *paging_build(const struct paging_plan *p)
{
    uint64_t *table = memory_alloc(PAGE_BYTES, PAGE_BYTES);
    unsigned max_level = p->cpu.gigabyte_pages ? LEVEL_GIGABYTE : LEVEL_MEGABYTES;

    if (!table || !map_image(table, p))
        return NULL;
    for (size_t i = 0; i < p->info->memory_count; i++) {
        struct image_span parts[2];
        ram_parts(p, ram_span(p, i), parts);
        if (!map_span(table, parts[0], max_level, FLAGS_WRITE) ||
            !map_span(table, parts[1], max_level, FLAGS_WRITE))
            return NULL;
    }
    return table;
}

/* How many tables of `level` a mapping of `span` touches: one covers an entry of the level above. */
static size_t tables_touched(struct image_span span, unsigned level)
{
    uint64_t covered = level_bytes(level + 1);

    return span.start < span.end ? (span.end - 1) / covered - span.start / covered + 1 : 0;
}

/* As before, when pages of the level above serve all but the two ends. */
static size_t tables_at_ends(struct image_span span, unsigned level)
{
    size_t touched = tables_touched(span, level);

    return touched < 2 ? touched : 2;
}

static size_t tables_for(struct image_span span, bool gigabyte_pages)
{
    size_t directories = gigabyte_pages ? tables_at_ends(span, LEVEL_MEGABYTES)
                                        : tables_touched(span, LEVEL_MEGABYTES);

    return tables_touched(span, LEVEL_GIGABYTE) + directories + tables_at_ends(span, 0);
}

size_t paging_tables_needed(const struct paging_plan *p)
{
    size_t count = 1 + tables_touched(p->image.image, LEVEL_GIGABYTE) +
                   tables_touched(p->image.image, LEVEL_MEGABYTES) +
                   tables_touched(p->image.image, 0);

    for (size_t i = 0; i < p->info->memory_count; i++) {
        struct image_span parts[2];
        ram_parts(p, ram_span(p, i), parts);
        count += tables_for(parts[0], p->cpu.gigabyte_pages);
        count += tables_for(parts[1], p->cpu.gigabyte_pages);
    }
    return count;
}

static bool overlap(struct image_span a, struct image_span b)
{
    return a.start < b.end && b.start < a.end;
}

/* Device memory over RAM would be the same bytes cached and uncached: undefined, and never meant. */
static bool is_device_span(const struct paging_plan *p, struct image_span span)
{
    if (span.start < PAGE_BYTES || overlap(span, p->image.image))
        return false;
    for (size_t i = 0; i < p->info->memory_count; i++) {
        if (overlap(span, ram_span(p, i)))
            return false;
    }
    return true;
}

bool paging_map_device(uint64_t *table, const struct paging_plan *p, uint64_t physical,
                       uint64_t size)
{
    uint64_t limit = address_end(&p->cpu);

    if (size == 0 || physical >= limit || size > limit - physical)
        return false;

    struct image_span span = {page_down(physical), page_up(physical + size)};
    return is_device_span(p, span) && map_span(table, span, LEVEL_MEGABYTES, FLAGS_DEVICE);
}

volatile void *memory_map_device(uint64_t physical, uint64_t size)
{
    /* Only entries that were absent change, and those no processor caches: nothing to flush. */
    if (!root || !paging_map_device(root, &plan, physical, size))
        return NULL;
    return (volatile void *)(uintptr_t)physical;
}

static struct paging_cpu cpu_probe(void)
{
    struct paging_cpu cpu = {.physical_bits = 36}; /* the least that long mode comes with */
    const uint32_t last = cpuid(CPUID_EXTENDED_MAX).eax;

    if (last >= CPUID_EXTENDED_FEATURES)
        cpu.gigabyte_pages = cpuid(CPUID_EXTENDED_FEATURES).edx >> 26 & 1;
    if (last >= CPUID_ADDRESS_SIZES)
        cpu.physical_bits = cpuid(CPUID_ADDRESS_SIZES).eax & 0xff;
    return cpu;
}

static void plan_fill(const struct boot_info *info, const uint64_t *guards, size_t guard_count)
{
    ensure(guard_count < PAGING_GUARDS_MAX);
    plan.info = info;
    image_layout_get(&plan.image);
    plan.guards[0] = plan.image.guard.start;
    memcpy(&plan.guards[1], guards, guard_count * sizeof(guards[0]));
    plan.guard_count = 1 + guard_count;
    plan.cpu = cpu_probe();
}

const char *paging_init(const struct boot_info *info, const uint64_t *guards, size_t guard_count,
                        struct paging_report *report)
{
    plan_fill(info, guards, guard_count);
    report->free = memory_available();
    report->needed = paging_tables_needed(&plan) * PAGE_BYTES;
    report->gigabyte_pages = plan.cpu.gigabyte_pages;
    if (report->free < report->needed)
        return "too little RAM below 4 GiB for page tables";

    uint64_t *table = paging_build(&plan);
    if (!table)
        return "RAM below 4 GiB is too fragmented for page tables";
    report->used = report->free - memory_available();
    /* entry.S has set CR0.WP and EFER.NXE, without which the tables' bits mean nothing, and left
     * CR4.PGE off, so that nothing of the old mappings outlives this. */
    cpu_write_cr3((uintptr_t)table);
    root = table;
    memory_set_reach(address_end(&plan.cpu));
    return NULL;
}
