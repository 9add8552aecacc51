/* kernel/paging.c: tables are built for machines of all kinds and walked as a processor would. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <machine/memory.h>
#include <machine/panic.h>

#include "kernel/memory.h"
#include "kernel/paging.h"
#include "tests/host/fixture/test.h"

#define KIB 1024ULL
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)
#define PAGE 4096ULL
#define ENTRIES 512

/* ---- What paging.c stands on: a bump allocator that can run dry, and nothing else. ---- */

#define TABLES_MAX 4096

static _Alignas(4096) uint8_t arena[TABLES_MAX][4096];
static size_t tables_used;
static size_t tables_limit;

void *memory_alloc(size_t size, size_t alignment)
{
    assert_int_equal(size, PAGE);
    assert_int_equal(alignment, PAGE);
    if (tables_used == tables_limit)
        return NULL;
    return memset(arena[tables_used++], 0, PAGE);
}

uint64_t memory_available(void)
{
    return (tables_limit - tables_used) * PAGE;
}

void memory_set_reach(uint64_t end)
{
    (void)end;
}

void image_layout_get(struct image_layout *layout)
{
    memset(layout, 0, sizeof(*layout));
}

_Noreturn void panic(const char *format, ...)
{
    fprintf(stderr, "panic: %s\n", format);
    abort();
}

/* ---- The machine at hand. ---- */

static struct boot_info info;
static struct paging_plan plan;

static const struct image_layout layout = {
    .image = {MIB, MIB + 640 * KIB},
    .text = {MIB, MIB + 128 * KIB},
    .rodata = {MIB + 128 * KIB, MIB + 192 * KIB},
    .data = {MIB + 192 * KIB, MIB + 640 * KIB},
    .guard = {MIB + 572 * KIB, MIB + 576 * KIB},
    .stack = {MIB + 576 * KIB, MIB + 640 * KIB},
};

static int setup(void **state)
{
    (void)state;
    tables_used = 0;
    tables_limit = TABLES_MAX;
    memset(&info, 0, sizeof(info));
    plan = (struct paging_plan){
        .info = &info,
        .image = layout,
        .guards = {layout.guard.start, MIB + 300 * KIB},
        .guard_count = 2,
        .cpu = {.gigabyte_pages = false, .physical_bits = 40},
    };
    return 0;
}

TEST_FIXTURE(.setup = setup);

static void ram_add(uint64_t base, uint64_t end)
{
    info.memory[info.memory_count++] = (struct boot_range){base, end - base};
}

/* As QEMU's pc has it: a hole below 1 MiB, one below 4 GiB, the rest above. */
static void ram_of_pc(uint64_t bytes)
{
    uint64_t low = bytes < 3 * GIB ? bytes : 3 * GIB;

    ram_add(0, 0x9fc00);
    ram_add(MIB, low - 128 * KIB);
    if (bytes > low)
        ram_add(4 * GIB, 4 * GIB + bytes - low);
}

/* ---- The processor's walk. ---- */

struct leaf {
    uint64_t entry;
    uint64_t bytes; /* 0: not mapped */
};

static uint64_t level_bytes(unsigned level)
{
    return PAGE << (9 * level);
}

static bool is_leaf(uint64_t entry, unsigned level)
{
    return level == 0 || entry & PAGE_LARGE;
}

static const uint64_t *table_of(uint64_t entry)
{
    return (const uint64_t *)(uintptr_t)(entry & PAGE_ADDRESS);
}

static struct leaf walk(const uint64_t *table, uint64_t address)
{
    for (unsigned level = 3;; level--) {
        uint64_t entry = table[address / level_bytes(level) % ENTRIES];

        if (!(entry & PAGE_PRESENT))
            return (struct leaf){0, 0};
        if (is_leaf(entry, level))
            return (struct leaf){entry, level_bytes(level)};
        assert_true(entry & PAGE_WRITE); /* else nothing below could be writable */
        assert_false(entry & PAGE_NO_EXECUTE);
        table = table_of(entry);
    }
}

struct sums {
    uint64_t mapped;
    size_t pages[4]; /* by level */
    size_t tables;
};

static void check_leaf(uint64_t entry, uint64_t address, unsigned level)
{
    uint64_t bytes = level_bytes(level);

    assert_int_equal(entry & PAGE_ADDRESS & ~(bytes - 1), address); /* identity */
    assert_int_equal(entry & PAGE_ADDRESS & (bytes - 1), 0);        /* reserved bits, and PAT */
    assert_true(level < 3);
    assert_false(entry & PAGE_WRITE && !(entry & PAGE_NO_EXECUTE)); /* W^X */
}

/* Everything there is, so that nothing is mapped that shouldn't be. */
static void add_up(const uint64_t *table, unsigned level, uint64_t address, struct sums *sums)
{
    sums->tables++;
    for (unsigned i = 0; i < ENTRIES; i++) {
        uint64_t here = address + i * level_bytes(level);

        if (!(table[i] & PAGE_PRESENT))
            continue;
        if (is_leaf(table[i], level)) {
            check_leaf(table[i], here, level);
            sums->mapped += level_bytes(level);
            sums->pages[level]++;
        } else {
            add_up(table_of(table[i]), level - 1, here, sums);
        }
    }
}

static struct sums sums_of(const uint64_t *root)
{
    struct sums sums = {0};

    add_up(root, 3, 0, &sums);
    assert_true(sums.tables <= tables_used);
    return sums;
}

static uint64_t *build(void)
{
    size_t needed = paging_tables_needed(&plan);
    uint64_t *root = paging_build(&plan);

    assert_non_null(root);
    assert_true(tables_used <= needed);
    return root;
}

#define RAM_FLAGS (PAGE_PRESENT | PAGE_WRITE | PAGE_NO_EXECUTE)
#define TEXT_FLAGS (PAGE_PRESENT)
#define RODATA_FLAGS (PAGE_PRESENT | PAGE_NO_EXECUTE)
#define DEVICE_FLAGS (RAM_FLAGS | PAGE_CACHE_DISABLE | PAGE_WRITE_THROUGH)
#define FLAGS_MASK DEVICE_FLAGS

static void assert_flags(const uint64_t *root, uint64_t address, uint64_t flags)
{
    assert_int_equal(walk(root, address).entry & FLAGS_MASK, flags);
}

static void assert_unmapped(const uint64_t *root, uint64_t address)
{
    assert_int_equal(walk(root, address).bytes, 0);
}

/* ---- RAM and image. ---- */

TEST(sixteen_mib_are_mapped_whole)
{
    ram_of_pc(16 * MIB);

    uint64_t *root = build();
    assert_flags(root, 0x1000, RAM_FLAGS);
    assert_flags(root, 0x9efff, RAM_FLAGS);
    assert_unmapped(root, 0x9f000); /* a page that RAM shares with the EBDA */
    assert_unmapped(root, 0xb8000);
    assert_flags(root, 2 * MIB - 1, RAM_FLAGS);
    assert_flags(root, 16 * MIB - 128 * KIB - 1, RAM_FLAGS);
    assert_unmapped(root, 16 * MIB - 128 * KIB);

    /* Page zero and two guards are missing. */
    uint64_t low = 0x9f000 - PAGE, high = 15 * MIB - 128 * KIB - 2 * PAGE;
    assert_int_equal(sums_of(root).mapped, low + high);
    assert_int_equal(sums_of(root).pages[1], 6); /* 2 to 14 MiB */
    assert_true(sums_of(root).tables <= 6);
}

TEST(page_zero_and_stack_guards_are_unmapped)
{
    ram_of_pc(128 * MIB);

    uint64_t *root = build();
    assert_unmapped(root, 0);
    assert_unmapped(root, 0xfff);
    for (size_t i = 0; i < plan.guard_count; i++) {
        assert_unmapped(root, plan.guards[i]);
        assert_unmapped(root, plan.guards[i] + PAGE - 1);
        assert_flags(root, plan.guards[i] - 1, RAM_FLAGS);
        assert_flags(root, plan.guards[i] + PAGE, RAM_FLAGS);
    }
}

TEST(each_part_of_the_image_has_its_own_rights)
{
    ram_of_pc(128 * MIB);

    uint64_t *root = build();
    assert_flags(root, layout.text.start, TEXT_FLAGS);
    assert_flags(root, layout.text.end - 1, TEXT_FLAGS);
    assert_flags(root, layout.rodata.start, RODATA_FLAGS);
    assert_flags(root, layout.rodata.end - 1, RODATA_FLAGS);
    assert_flags(root, layout.data.start, RAM_FLAGS);
    assert_flags(root, layout.data.end - 1, RAM_FLAGS);
    assert_flags(root, layout.stack.start, RAM_FLAGS);
    assert_flags(root, layout.image.start - 1, 0); /* the ROM below 1 MiB */
    assert_flags(root, layout.image.end, RAM_FLAGS);
}

TEST(image_is_mapped_though_the_map_lacks_it)
{
    ram_add(16 * MIB, 64 * MIB);

    uint64_t *root = build();
    assert_flags(root, layout.text.start, TEXT_FLAGS);
    assert_flags(root, layout.stack.end - 1, RAM_FLAGS);
    assert_unmapped(root, layout.image.end);
    assert_int_equal(sums_of(root).mapped, 48 * MIB + 640 * KIB - 2 * PAGE);
    assert_false(paging_map_device(root, &plan, layout.text.start, PAGE));
}

TEST(ram_above_4_gib_is_mapped_and_the_hole_is_not)
{
    ram_of_pc(6 * GIB);

    uint64_t *root = build();
    assert_flags(root, 3 * GIB - 128 * KIB - 1, RAM_FLAGS);
    assert_unmapped(root, 3 * GIB);
    assert_unmapped(root, 4 * GIB - 1);
    assert_flags(root, 4 * GIB, RAM_FLAGS);
    assert_int_equal(walk(root, 4 * GIB).bytes, 2 * MIB);
    assert_flags(root, 7 * GIB - 1, RAM_FLAGS);
    assert_unmapped(root, 7 * GIB);
}

TEST(gigabyte_pages_are_used_where_they_fit)
{
    plan.cpu.gigabyte_pages = true;
    ram_of_pc(6 * GIB);

    uint64_t *root = build();
    assert_int_equal(walk(root, 4 * GIB).bytes, GIB);
    assert_int_equal(walk(root, GIB).bytes, GIB);
    assert_int_equal(walk(root, 2 * MIB).bytes, 2 * MIB); /* its gigabyte holds the image */
    assert_int_equal(walk(root, 3 * GIB - 4 * MIB).bytes, 2 * MIB);
    assert_int_equal(sums_of(root).pages[2], 1 + 3);
}

TEST(sixty_four_gib_without_gigabyte_pages_take_a_table_a_gib)
{
    ram_of_pc(64 * GIB);

    uint64_t *root = build();
    assert_flags(root, 65 * GIB - 1, RAM_FLAGS);
    assert_in_range(tables_used, 64, 64 + 8);
    assert_in_range(paging_tables_needed(&plan), tables_used, tables_used + 16);
    assert_int_equal(sums_of(root).tables, tables_used);
}

TEST(two_tib_reach_beyond_the_first_root_entry)
{
    plan.cpu = (struct paging_cpu){.gigabyte_pages = true, .physical_bits = 46};
    ram_of_pc(2 * TIB);

    uint64_t *root = build();
    assert_flags(root, 512 * GIB, RAM_FLAGS);
    assert_flags(root, 2 * TIB, RAM_FLAGS);
    assert_true(tables_used < 20);
}

TEST(tables_needed_are_exact_where_ranges_share_none)
{
    plan.cpu.physical_bits = 46;
    for (uint64_t i = 1; i <= 4; i++)
        ram_add(i * 512 * GIB + PAGE, i * 512 * GIB + GIB + 3 * PAGE);

    /* The root, three for the image; each range: one, two directories, a table at either end. */
    assert_int_equal(paging_tables_needed(&plan), 1 + 3 + 4 * (1 + 2 + 2));
    build();
    assert_int_equal(tables_used, 24);
}

TEST(ram_beyond_the_address_bits_is_left_out)
{
    ram_of_pc(16 * MIB);
    ram_add((1ULL << 40) - MIB, (1ULL << 40) + MIB);
    ram_add(1ULL << 50, (1ULL << 50) + MIB);
    ram_add(UINT64_MAX - 2 * MIB, UINT64_MAX);

    uint64_t *root = build();
    assert_flags(root, (1ULL << 40) - 1, RAM_FLAGS);
    assert_unmapped(root, 1ULL << 40);
    assert_int_equal(sums_of(root).mapped, 16 * MIB - 128 * KIB - (MIB - 0x9f000) - 3 * PAGE + MIB);
}

TEST(fifty_two_address_bits_still_end_at_the_lower_half)
{
    plan.cpu.physical_bits = 52;
    ram_of_pc(16 * MIB);
    ram_add((1ULL << 47) - 2 * MIB, (1ULL << 47) + 2 * MIB);

    uint64_t *root = build();
    assert_flags(root, (1ULL << 47) - 1, RAM_FLAGS);
    assert_int_equal(root[256], 0);
}

TEST(ranges_smaller_than_a_page_are_nothing)
{
    ram_of_pc(16 * MIB);
    uint64_t mapped = sums_of(build()).mapped;

    setup(state);
    ram_of_pc(16 * MIB);
    ram_add(32 * MIB + 1, 32 * MIB + PAGE);
    ram_add(33 * MIB - 5, 33 * MIB + 5);
    ram_add(34 * MIB + 1, 34 * MIB + 2 * PAGE - 1);
    assert_int_equal(sums_of(build()).mapped, mapped);
}

TEST(running_out_of_memory_is_told)
{
    ram_of_pc(6 * GIB);
    build();

    size_t used = tables_used;
    for (tables_limit = 0; tables_limit < used; tables_limit++) {
        tables_used = 0;
        assert_null(paging_build(&plan));
    }
    tables_used = 0;
    assert_non_null(paging_build(&plan));
}

/* A repeatable source of odd maps. */
static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

TEST(odd_maps_are_mapped_exactly)
{
    uint64_t seed = 0x2545f4914f6cdd1d;

    for (unsigned round = 0; round < 200; round++) {
        uint64_t at = 2 * MIB, expected = layout.image.end - layout.image.start - 2 * PAGE;

        setup(state);
        plan.cpu.gigabyte_pages = round & 1;
        for (unsigned i = 0; i < 1 + round % 12; i++) {
            unsigned shift = 8 + random_next(&seed) % 24;
            uint64_t base = at + random_next(&seed) % (1ULL << shift);
            uint64_t end = base + 1 + random_next(&seed) % (1ULL << shift);
            uint64_t first = (base + PAGE - 1) / PAGE, last = end / PAGE;

            ram_add(base, end);
            expected += first < last ? (last - first) * PAGE : 0;
            at = end + 1;
        }
        uint64_t *root = build();
        assert_int_equal(sums_of(root).mapped, expected);
        for (size_t i = 0; i < info.memory_count; i++) {
            uint64_t first = (info.memory[i].base + PAGE - 1) / PAGE * PAGE;
            uint64_t last = (info.memory[i].base + info.memory[i].length) / PAGE * PAGE;
            if (first < last) {
                assert_flags(root, first, RAM_FLAGS);
                assert_flags(root, last - 1, RAM_FLAGS);
            }
        }
    }
}

/* ---- Device memory. ---- */

TEST(device_memory_is_uncached_and_not_executable)
{
    ram_of_pc(128 * MIB);
    uint64_t *root = build(), before = sums_of(root).mapped;

    assert_true(paging_map_device(root, &plan, 0xfebf1000, 0x4000));
    assert_flags(root, 0xfebf1000, DEVICE_FLAGS);
    assert_flags(root, 0xfebf4fff, DEVICE_FLAGS);
    assert_unmapped(root, 0xfebf0fff);
    assert_unmapped(root, 0xfebf5000);
    assert_int_equal(sums_of(root).mapped, before + 0x4000);
}

TEST(device_memory_beyond_the_first_root_entry_is_mapped)
{
    ram_of_pc(128 * MIB);
    uint64_t *root = build();

    assert_true(paging_map_device(root, &plan, 0xe000000000, 0x4000));
    assert_flags(root, 0xe000000000, DEVICE_FLAGS);
    assert_flags(root, 0xe000003fff, DEVICE_FLAGS);
    assert_unmapped(root, 0xe000004000);
}

TEST(device_memory_is_widened_to_whole_pages)
{
    ram_of_pc(128 * MIB);
    uint64_t *root = build();

    assert_true(paging_map_device(root, &plan, 0xfee00ff8, 16));
    assert_flags(root, 0xfee00000, DEVICE_FLAGS);
    assert_flags(root, 0xfee01fff, DEVICE_FLAGS);
    assert_unmapped(root, 0xfee02000);
}

TEST(large_device_memory_gets_large_pages)
{
    ram_of_pc(128 * MIB);
    uint64_t *root = build();

    assert_true(paging_map_device(root, &plan, 0xe0000000, 256 * MIB));
    assert_int_equal(walk(root, 0xe0000000).bytes, 2 * MIB);
    assert_flags(root, 0xefffffff, DEVICE_FLAGS);
    assert_unmapped(root, 0xf0000000);
}

TEST(mapping_device_memory_twice_changes_nothing)
{
    ram_of_pc(128 * MIB);
    uint64_t *root = build();

    assert_true(paging_map_device(root, &plan, 0xe0001000, PAGE));
    assert_true(paging_map_device(root, &plan, 0xe0000000, 4 * MIB));
    assert_int_equal(walk(root, 0xe0001000).bytes, PAGE);
    assert_int_equal(walk(root, 0xe0200000).bytes, 2 * MIB);

    uint64_t mapped = sums_of(root).mapped;
    size_t used = tables_used;
    assert_true(paging_map_device(root, &plan, 0xe0000000, 4 * MIB));
    assert_true(paging_map_device(root, &plan, 0xe0300000, 0x100));
    assert_int_equal(sums_of(root).mapped, mapped);
    assert_int_equal(tables_used, used);
}

TEST(device_memory_over_ram_is_refused)
{
    ram_of_pc(128 * MIB);
    uint64_t *root = build(), before = sums_of(root).mapped;

    assert_false(paging_map_device(root, &plan, 64 * MIB, PAGE));
    assert_false(paging_map_device(root, &plan, 128 * MIB - 128 * KIB - 1, PAGE));
    assert_false(paging_map_device(root, &plan, 0x9e000, 0x10000));
    assert_false(paging_map_device(root, &plan, 1, 1));
    assert_false(paging_map_device(root, &plan, layout.text.start, PAGE));
    assert_false(paging_map_device(root, &plan, 0xa0000, 1 * GIB));
    assert_int_equal(sums_of(root).mapped, before);
    /* Next door is fine, the page that RAM doesn't fill too: it was left unmapped. */
    assert_true(paging_map_device(root, &plan, 128 * MIB - 128 * KIB, PAGE));
    assert_true(paging_map_device(root, &plan, 0x9fc00, 0x400));
}

TEST(device_memory_that_has_no_address_is_refused)
{
    ram_of_pc(128 * MIB);
    uint64_t *root = build();

    assert_false(paging_map_device(root, &plan, 0xfebf0000, 0));
    assert_false(paging_map_device(root, &plan, 1ULL << 40, PAGE));
    assert_false(paging_map_device(root, &plan, (1ULL << 40) - PAGE, PAGE + 1));
    assert_true(paging_map_device(root, &plan, (1ULL << 40) - PAGE, PAGE));
    assert_false(paging_map_device(root, &plan, 0xfebf0000, UINT64_MAX));
    assert_false(paging_map_device(root, &plan, UINT64_MAX, 1));
    plan.cpu.physical_bits = 52;
    assert_false(paging_map_device(root, &plan, 1ULL << 47, PAGE));
    assert_false(paging_map_device(root, &plan, 0xffff800000000000, PAGE));
}

TEST(device_memory_without_memory_for_tables_is_refused)
{
    ram_of_pc(128 * MIB);
    uint64_t *root = build();

    tables_limit = tables_used + 1;
    assert_false(paging_map_device(root, &plan, 0xe000000000, PAGE));
    assert_unmapped(root, 0xe000000000);
}

TEST(device_memory_before_the_tables_is_refused)
{
    assert_null(memory_map_device(0xfee00000, PAGE));
}
