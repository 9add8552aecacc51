/*
 * boot_info.c against structures made by hand: what good loaders hand over, and what a broken or
 * hostile one might.
 */
#include <stdio.h>
#include <string.h>

#include "boot/boot_info.h"
#include "boot/multiboot.h"
#include "boot/multiboot2.h"
#include "boot/physical.h"
#include "boot/pvh.h"
#include "tests/host/fixture/test.h"

#define BASE 0x10000ULL
#define SIZE 0x20000
#define TABLE (BASE + 0x1000) /* where the tests put what a structure points to */
#define TEXT (BASE + 0x8000)

#define MIB 0x100000ULL
#define GIB 0x40000000ULL
#define RESERVED 2

static uint8_t memory[SIZE];
static struct boot_info info;

static int setup(void **state)
{
    (void)state;
    memset(memory, 0, sizeof(memory));
    physical_window(BASE, memory, sizeof(memory));
    /* The parser must not rely on what the caller left there. */
    memset(&info, 0xa5, sizeof(info));
    return 0;
}

TEST_FIXTURE(.setup = setup);

/* Writes into the simulated memory and returns the address behind it. */
static uint64_t put(uint64_t address, const void *bytes, size_t size)
{
    assert_true(address >= BASE && address - BASE <= SIZE && size <= SIZE - (address - BASE));
    memcpy(memory + (address - BASE), bytes, size);
    return address + size;
}

static void put_text(uint64_t address, const char *text)
{
    put(address, text, strlen(text) + 1);
}

static void assert_range(const struct boot_range *range, uint64_t base, uint64_t length)
{
    assert_int_equal(range->base, base);
    assert_int_equal(range->length, length);
}

/* The conditions that every result meets, for any input. */
static void assert_sane(void)
{
    uint64_t end = 0;

    assert_true(info.memory_count <= BOOT_MEMORY_MAX);
    for (size_t i = 0; i < info.memory_count; i++) {
        assert_true(info.memory[i].length > 0);
        assert_true(i == 0 || info.memory[i].base > end);
        end = info.memory[i].base + info.memory[i].length;
        assert_true(end > info.memory[i].base);
    }
    assert_true(info.module_count <= BOOT_MODULES_MAX);
    for (size_t i = 0; i < info.module_count; i++) {
        assert_true(info.modules[i].length > 0);
        assert_true(info.modules[i].base + info.modules[i].length > info.modules[i].base);
    }
    assert_non_null(memchr(info.cmdline, '\0', sizeof(info.cmdline)));
}

/* --- Multiboot 1 --- */

static uint64_t put_mb1_entry(uint64_t address, uint32_t size, uint64_t base, uint64_t length,
                              uint32_t type)
{
    struct multiboot_mmap_entry entry = {size, base, length, type};

    put(address, &entry, sizeof(entry));
    return address + size + sizeof(entry.size);
}

static const char *parse_mb1(const struct multiboot_info *multiboot)
{
    const char *reason;

    put(BASE, multiboot, sizeof(*multiboot));
    reason = boot_info_parse(&info, BOOT_MULTIBOOT1, BASE);
    assert_sane();
    return reason;
}

TEST(multiboot1_gives_map_cmdline_and_modules)
{
    struct multiboot_info multiboot = {
        .flags = MULTIBOOT_INFO_CMDLINE | MULTIBOOT_INFO_MODS | MULTIBOOT_INFO_MEM_MAP,
        .cmdline = TEXT,
        .mods_count = 2,
        .mods_addr = TEXT + 0x100,
        .mmap_addr = TABLE,
    };
    struct multiboot_mod_list modules[2] = {{0x200000, 0x200800, 0, 0}, {0x300000, 0x300001, 0, 0}};
    uint64_t end = TABLE;

    end = put_mb1_entry(end, 20, 0, 0x9fc00, 1);
    end = put_mb1_entry(end, 20, 0x9fc00, 0x400, RESERVED);
    end = put_mb1_entry(end, 20, MIB, 63 * MIB, 1);
    multiboot.mmap_length = (uint32_t)(end - TABLE);
    put(TEXT + 0x100, modules, sizeof(modules));
    put_text(TEXT, "/barewire.elf stats=1");

    assert_null(parse_mb1(&multiboot));
    assert_int_equal(info.protocol, BOOT_MULTIBOOT1);
    assert_int_equal(info.memory_count, 2);
    assert_range(&info.memory[0], 0, 0x9fc00);
    assert_range(&info.memory[1], MIB, 63 * MIB);
    assert_int_equal(info.memory_lost, 0);
    assert_int_equal(info.module_count, 2);
    assert_range(&info.modules[0], 0x200000, 0x800);
    assert_range(&info.modules[1], 0x300000, 1);
    assert_string_equal(info.cmdline, "/barewire.elf stats=1");
    assert_false(info.cmdline_cut);
    assert_int_equal(info.rsdp, 0);
    assert_false(info.rsdp_copied);
    assert_int_equal(physical_refused(), 0);
}

TEST(multiboot1_fields_without_their_flag_are_not_read)
{
    struct multiboot_info multiboot = {
        .flags = MULTIBOOT_INFO_MEMORY,
        .mem_upper = 1024,
        .cmdline = 1,
        .mods_count = 5,
        .mods_addr = 1,
        .mmap_length = 48,
        .mmap_addr = 1,
    };

    assert_null(parse_mb1(&multiboot));
    assert_string_equal(info.cmdline, "");
    assert_int_equal(info.module_count + info.modules_lost, 0);
    assert_int_equal(physical_refused(), 0);
}

TEST(multiboot1_entries_may_be_larger_than_known)
{
    struct multiboot_info multiboot = {.flags = MULTIBOOT_INFO_MEM_MAP, .mmap_addr = TABLE};
    uint64_t end = TABLE;

    end = put_mb1_entry(end, 28, MIB, MIB, 1);
    end = put_mb1_entry(end, 20, 4 * MIB, MIB, 1);
    multiboot.mmap_length = (uint32_t)(end - TABLE);
    assert_null(parse_mb1(&multiboot));
    assert_int_equal(info.memory_count, 2);
    assert_range(&info.memory[1], 4 * MIB, MIB);
    assert_int_equal(info.memory_lost, 0);
}

TEST(multiboot1_falls_back_to_the_two_sizes)
{
    struct multiboot_info multiboot = {
        .flags = MULTIBOOT_INFO_MEMORY,
        .mem_lower = 639,
        .mem_upper = 0xffffffff,
    };

    assert_null(parse_mb1(&multiboot));
    assert_int_equal(info.memory_count, 2);
    assert_range(&info.memory[0], 0, 639 * 1024);
    assert_range(&info.memory[1], MIB, 0xffffffffULL * 1024);
}

TEST(multiboot1_without_any_memory_information_is_refused)
{
    struct multiboot_info multiboot = {.flags = MULTIBOOT_INFO_CMDLINE, .cmdline = TEXT};

    put_text(TEXT, "log=debug");
    assert_string_equal(parse_mb1(&multiboot), "no memory map");
    assert_string_equal(info.cmdline, "log=debug");
    multiboot.flags |= MULTIBOOT_INFO_MEMORY;
    assert_string_equal(parse_mb1(&multiboot), "no memory map");
}

TEST(multiboot1_entry_of_size_zero_ends_the_walk)
{
    struct multiboot_info multiboot = {.flags = MULTIBOOT_INFO_MEM_MAP, .mmap_addr = TABLE};
    uint64_t end = TABLE;

    end = put_mb1_entry(end, 20, MIB, MIB, 1);
    put_mb1_entry(end, 0, 4 * MIB, MIB, 1);
    multiboot.mmap_length = 1024;
    assert_null(parse_mb1(&multiboot));
    assert_int_equal(info.memory_count, 1);
    assert_int_equal(info.memory_lost, 1);
    assert_true(physical_reads() < 10);
}

TEST(multiboot1_half_an_entry_at_the_end_is_not_read)
{
    struct multiboot_info multiboot = {.flags = MULTIBOOT_INFO_MEM_MAP, .mmap_addr = TABLE};
    uint64_t end = TABLE;

    end = put_mb1_entry(end, 20, MIB, MIB, 1);
    put_mb1_entry(end, 20, 4 * MIB, MIB, 1);
    multiboot.mmap_length = (uint32_t)(end - TABLE) + 23;
    assert_null(parse_mb1(&multiboot));
    assert_int_equal(info.memory_count, 1);
    assert_int_equal(info.memory_lost, 1);
}

TEST(multiboot1_entry_that_reaches_past_the_map_is_the_last)
{
    struct multiboot_info multiboot = {.flags = MULTIBOOT_INFO_MEM_MAP, .mmap_addr = TABLE};

    put_mb1_entry(TABLE, 20, MIB, MIB, 1);
    memset(memory + (TABLE - BASE), 0xff, sizeof(uint32_t));
    multiboot.mmap_length = 240;
    assert_null(parse_mb1(&multiboot));
    assert_int_equal(info.memory_count, 1);
}

TEST(multiboot1_map_that_is_too_large_is_refused)
{
    struct multiboot_info multiboot = {
        .flags = MULTIBOOT_INFO_MEM_MAP,
        .mmap_length = 0xffffffff,
        .mmap_addr = TABLE,
    };

    assert_string_equal(parse_mb1(&multiboot), "memory map larger than 1 MiB");
}

TEST(multiboot1_pointers_out_of_reach_are_survived)
{
    struct multiboot_info multiboot = {
        .flags = MULTIBOOT_INFO_CMDLINE | MULTIBOOT_INFO_MODS | MULTIBOOT_INFO_MEM_MAP,
        .cmdline = 0xfffffff0,
        .mods_count = 0xffffffff,
        .mods_addr = 0xfffffff0,
        .mmap_length = 48,
        .mmap_addr = 0xfffffff0,
    };

    assert_string_equal(parse_mb1(&multiboot), "no usable memory in the memory map");
    assert_true(info.cmdline_cut);
    assert_int_equal(info.modules_lost, 0xffffffff);
    assert_string_equal(boot_info_parse(&info, BOOT_MULTIBOOT1, BASE + SIZE - 51),
                        "boot information out of reach");
}

TEST(modules_beyond_the_limit_and_senseless_ones_are_counted)
{
    struct multiboot_info multiboot = {
        .flags = MULTIBOOT_INFO_MODS | MULTIBOOT_INFO_MEMORY,
        .mem_upper = 1024,
        .mods_count = BOOT_MODULES_MAX + 4,
        .mods_addr = TABLE,
    };
    uint64_t end = TABLE;

    for (uint32_t i = 0; i < multiboot.mods_count; i++) {
        struct multiboot_mod_list module = {0x1000 * i + 0x1000, 0x1000 * i + 0x1010, 0, 0};

        if (i == 0)
            module.mod_end = module.mod_start;
        if (i == 1)
            module.mod_end = module.mod_start - 1;
        end = put(end, &module, sizeof(module));
    }
    assert_null(parse_mb1(&multiboot));
    assert_int_equal(info.module_count, BOOT_MODULES_MAX);
    assert_int_equal(info.modules_lost, 4);
    assert_range(&info.modules[0], 0x3000, 0x10);
}

TEST(module_lists_are_walked_for_a_bounded_time)
{
    static uint8_t large[4 * MIB];
    struct multiboot_info multiboot = {
        .flags = MULTIBOOT_INFO_MODS | MULTIBOOT_INFO_MEMORY,
        .mem_upper = 1024,
        .mods_count = UINT32_MAX,
        .mods_addr = BASE + 0x1000,
    };
    struct hvm_start_info pvh = {
        .magic = XEN_HVM_START_MAGIC_VALUE,
        .version = 1,
        .nr_modules = UINT32_MAX,
        .modlist_paddr = BASE + 0x1000,
        .memmap_paddr = BASE + 0x1000,
    };

    memcpy(large, &multiboot, sizeof(multiboot));
    physical_window(BASE, large, sizeof(large));
    boot_info_parse(&info, BOOT_MULTIBOOT1, BASE);
    assert_int_equal(info.modules_lost, UINT32_MAX);
    assert_true(physical_reads() < 100000);

    memcpy(large, &pvh, sizeof(pvh));
    physical_window(BASE, large, sizeof(large));
    boot_info_parse(&info, BOOT_PVH, BASE);
    assert_int_equal(info.modules_lost, UINT32_MAX);
    assert_true(physical_reads() < 100000);
}

/* --- Multiboot 2 --- */

static uint64_t tag_end; /* where the next tag goes */

static void mb2_begin(void)
{
    tag_end = BASE + sizeof(struct multiboot2_info);
}

static void mb2_tag(uint32_t type, uint32_t size, const void *payload, size_t payload_size)
{
    struct multiboot2_tag tag = {type, size};

    put(put(tag_end, &tag, sizeof(tag)), payload, payload_size);
    tag_end += (sizeof(tag) + payload_size + 7) & ~7ULL;
}

/* One tag whose size is what it says. */
static void mb2_tag_of(uint32_t type, const void *payload, size_t payload_size)
{
    mb2_tag(type, (uint32_t)(sizeof(struct multiboot2_tag) + payload_size), payload, payload_size);
}

struct mb2_map {
    uint32_t entry_size;
    uint32_t entry_version;
    struct multiboot2_mmap_entry entries[2];
};

static const struct mb2_map mb2_good_map = {
    24, 0, {{MIB, 63 * MIB, 1, 0}, {0xfffc0000, 0x40000, RESERVED, 0}}};

static void mb2_good_map_tag(void)
{
    mb2_tag_of(MULTIBOOT2_TAG_TYPE_MMAP, &mb2_good_map, sizeof(mb2_good_map));
}

static const char *mb2_parse_sized(uint32_t total_size)
{
    struct multiboot2_info head = {total_size, 0};
    const char *reason;

    put(BASE, &head, sizeof(head));
    reason = boot_info_parse(&info, BOOT_MULTIBOOT2, BASE);
    assert_sane();
    return reason;
}

/* Closes the list and parses it, in a memory that ends with it. */
static const char *mb2_parse(void)
{
    mb2_tag_of(MULTIBOOT2_TAG_TYPE_END, "", 0);
    physical_window(BASE, memory, tag_end - BASE);
    return mb2_parse_sized((uint32_t)(tag_end - BASE));
}

TEST(multiboot2_gives_map_cmdline_modules_and_rsdp)
{
    struct {
        uint32_t mod_start, mod_end;
        char text[9];
    } module = {0x200000, 0x200800, "a module"};
    char rsdp[36] = "RSD PTR ";

    rsdp[15] = 2;
    rsdp[35] = 0x77;
    mb2_begin();
    mb2_tag_of(21, "unknown", 7);
    mb2_tag_of(MULTIBOOT2_TAG_TYPE_CMDLINE, "stats=1 wire=0-1", 17);
    mb2_tag_of(MULTIBOOT2_TAG_TYPE_MODULE, &module, 17);
    mb2_good_map_tag();
    mb2_tag_of(MULTIBOOT2_TAG_TYPE_ACPI_NEW, rsdp, sizeof(rsdp));
    assert_null(mb2_parse());
    assert_int_equal(info.memory_count, 1);
    assert_range(&info.memory[0], MIB, 63 * MIB);
    assert_string_equal(info.cmdline, "stats=1 wire=0-1");
    assert_int_equal(info.module_count, 1);
    assert_range(&info.modules[0], 0x200000, 0x800);
    assert_true(info.rsdp_copied);
    assert_memory_equal(info.rsdp_copy, rsdp, sizeof(rsdp));
    assert_int_equal(info.rsdp, 0);
    assert_int_equal(physical_refused(), 0);
}

TEST(multiboot2_newer_rsdp_wins_in_either_order)
{
    static const uint8_t old[20] = "RSD PTR old";
    static const uint8_t new[36] = "RSD PTR new";

    for (int swapped = 0; swapped < 2; swapped++) {
        setup(state);
        mb2_begin();
        mb2_good_map_tag();
        if (swapped)
            mb2_tag_of(MULTIBOOT2_TAG_TYPE_ACPI_OLD, old, sizeof(old));
        mb2_tag_of(MULTIBOOT2_TAG_TYPE_ACPI_NEW, new, sizeof(new));
        if (!swapped)
            mb2_tag_of(MULTIBOOT2_TAG_TYPE_ACPI_OLD, old, sizeof(old));
        assert_null(mb2_parse());
        assert_true(info.rsdp_copied);
        assert_memory_equal(info.rsdp_copy, new, sizeof(new));
    }
}

TEST(multiboot2_old_rsdp_alone_is_copied)
{
    static const uint8_t old[24] = "RSD PTR old RSDP of ACPI";
    static const uint8_t behind[16];

    mb2_begin();
    mb2_good_map_tag();
    mb2_tag_of(MULTIBOOT2_TAG_TYPE_ACPI_OLD, old, sizeof(old));
    assert_null(mb2_parse());
    assert_true(info.rsdp_copied);
    /* Twenty bytes are ACPI 1.0's; the rest stays zero. */
    assert_memory_equal(info.rsdp_copy, old, 20);
    assert_memory_equal(info.rsdp_copy + 20, behind, sizeof(behind));
}

TEST(multiboot2_short_rsdp_is_left_out)
{
    static const uint8_t bytes[36] = "RSD PTR ";

    mb2_begin();
    mb2_good_map_tag();
    mb2_tag_of(MULTIBOOT2_TAG_TYPE_ACPI_OLD, bytes, 19);
    mb2_tag_of(MULTIBOOT2_TAG_TYPE_ACPI_NEW, bytes, 35);
    assert_null(mb2_parse());
    assert_false(info.rsdp_copied);
}

TEST(multiboot2_cmdline_without_nul_ends_with_its_tag)
{
    mb2_begin();
    mb2_tag_of(MULTIBOOT2_TAG_TYPE_CMDLINE, "stats=12345678", 8);
    mb2_good_map_tag();
    assert_null(mb2_parse());
    assert_string_equal(info.cmdline, "stats=12");
    assert_false(info.cmdline_cut);
}

TEST(multiboot2_falls_back_to_the_two_sizes)
{
    static const uint32_t sizes[2] = {640, 1024};

    mb2_begin();
    mb2_tag_of(MULTIBOOT2_TAG_TYPE_BASIC_MEMINFO, sizes, sizeof(sizes));
    assert_null(mb2_parse());
    assert_int_equal(info.memory_count, 2);
    assert_range(&info.memory[1], MIB, MIB);
}

TEST(multiboot2_map_is_preferred_to_the_two_sizes)
{
    static const uint32_t sizes[2] = {640, 1024};

    mb2_begin();
    mb2_good_map_tag();
    mb2_tag_of(MULTIBOOT2_TAG_TYPE_BASIC_MEMINFO, sizes, sizeof(sizes));
    assert_null(mb2_parse());
    assert_int_equal(info.memory_count, 1);
    assert_range(&info.memory[0], MIB, 63 * MIB);
}

TEST(multiboot2_without_map_is_refused)
{
    mb2_begin();
    mb2_tag_of(MULTIBOOT2_TAG_TYPE_BASIC_MEMINFO, "1234", 4);
    mb2_tag_of(MULTIBOOT2_TAG_TYPE_MMAP, "1234567", 7);
    mb2_tag_of(MULTIBOOT2_TAG_TYPE_MODULE, "1234567", 7);
    assert_string_equal(mb2_parse(), "no memory map");
    assert_int_equal(info.modules_lost, 1);
}

TEST(multiboot2_entry_size_is_the_step)
{
    struct {
        uint32_t entry_size, entry_version;
        struct multiboot2_mmap_entry first;
        uint64_t more;
        struct multiboot2_mmap_entry second;
        uint64_t more_again;
    } map = {32, 1, {MIB, MIB, 1, 0}, 0, {4 * MIB, MIB, 1, 0}, 0};

    mb2_begin();
    mb2_tag_of(MULTIBOOT2_TAG_TYPE_MMAP, &map, sizeof(map));
    assert_null(mb2_parse());
    assert_int_equal(info.memory_count, 2);
    assert_range(&info.memory[1], 4 * MIB, MIB);
    assert_int_equal(info.memory_lost, 0);
}

TEST(multiboot2_entry_size_below_an_entry_is_refused)
{
    struct mb2_map map = mb2_good_map;

    for (map.entry_size = 0; map.entry_size < 24; map.entry_size++) {
        setup(state);
        mb2_begin();
        mb2_tag_of(MULTIBOOT2_TAG_TYPE_MMAP, &map, sizeof(map));
        assert_string_equal(mb2_parse(), "memory map with entries of a senseless size");
    }
}

TEST(multiboot2_tag_of_senseless_size_ends_the_walk)
{
    static const uint32_t sizes[] = {0, 1, 7, SIZE, 0x7fffffff, 0xfffffff8, 0xffffffff};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        setup(state);
        mb2_begin();
        mb2_good_map_tag();
        mb2_tag(MULTIBOOT2_TAG_TYPE_CMDLINE, sizes[i], "a", 2);
        mb2_tag_of(MULTIBOOT2_TAG_TYPE_CMDLINE, "b", 2);
        assert_null(mb2_parse());
        assert_int_equal(info.memory_count, 1);
        assert_string_equal(info.cmdline, "");
        assert_int_equal(physical_refused(), 0);
    }
}

TEST(multiboot2_missing_end_tag_ends_at_total_size)
{
    mb2_begin();
    mb2_good_map_tag();
    mb2_tag_of(MULTIBOOT2_TAG_TYPE_CMDLINE, "abcdefg", 8);
    physical_window(BASE, memory, tag_end - BASE);
    assert_null(mb2_parse_sized((uint32_t)(tag_end - BASE)));
    assert_string_equal(info.cmdline, "abcdefg");
    assert_int_equal(physical_refused(), 0);
}

/* Every cut through a good structure: nothing behind the cut is ever read. */
TEST(multiboot2_truncated_structure_is_not_read_past_its_end)
{
    uint64_t full;

    mb2_begin();
    mb2_tag_of(MULTIBOOT2_TAG_TYPE_CMDLINE, "stats=1", 8);
    mb2_good_map_tag();
    mb2_tag_of(MULTIBOOT2_TAG_TYPE_END, "", 0);
    full = tag_end - BASE;
    for (uint32_t size = 0; size < full; size++) {
        physical_window(BASE, memory, size < 8 ? 8 : size);
        mb2_parse_sized(size);
        assert_int_equal(physical_refused(), 0);
        assert_true(info.memory_count <= 1);
    }
}

TEST(multiboot2_total_size_is_bounded)
{
    mb2_begin();
    mb2_good_map_tag();
    assert_string_equal(mb2_parse_sized(0x100001), "boot information larger than 1 MiB");
    assert_string_equal(mb2_parse_sized(0), "no memory map");
    assert_string_equal(boot_info_parse(&info, BOOT_MULTIBOOT2, BASE - 1),
                        "boot information out of reach");
}

/* --- PVH --- */

static const char *parse_pvh(const struct hvm_start_info *pvh)
{
    const char *reason;

    put(BASE, pvh, sizeof(*pvh));
    reason = boot_info_parse(&info, BOOT_PVH, BASE);
    assert_sane();
    return reason;
}

/* A start_info with this memory map. */
static struct hvm_start_info pvh_with(const struct hvm_memmap_table_entry *entries, size_t count)
{
    struct hvm_start_info pvh = {
        .magic = XEN_HVM_START_MAGIC_VALUE,
        .version = 1,
        .memmap_paddr = TABLE,
        .memmap_entries = (uint32_t)count,
    };

    put(TABLE, entries, count * sizeof(entries[0]));
    return pvh;
}

TEST(pvh_gives_map_cmdline_modules_and_rsdp)
{
    static const struct hvm_memmap_table_entry map[] = {
        {0, 0x9fc00, 1, 0},
        {4 * GIB, 2 * GIB, 1, 0},
        {MIB, 3 * GIB - MIB, 1, 0},
        {0xfd00000000, 0x300000000, RESERVED, 0},
    };
    static const struct hvm_modlist_entry modules[] = {{5 * GIB, 4096, 0, 0}, {0, 0, 0, 0}};
    struct hvm_start_info pvh = pvh_with(map, 4);

    put_text(TEXT, "mode=reflect");
    put(TEXT + 0x100, modules, sizeof(modules));
    pvh.cmdline_paddr = TEXT;
    pvh.modlist_paddr = TEXT + 0x100;
    pvh.nr_modules = 2;
    pvh.rsdp_paddr = 0xf59d0;
    assert_null(parse_pvh(&pvh));
    assert_int_equal(info.memory_count, 3);
    assert_range(&info.memory[0], 0, 0x9fc00);
    assert_range(&info.memory[1], MIB, 3 * GIB - MIB);
    assert_range(&info.memory[2], 4 * GIB, 2 * GIB);
    assert_int_equal(info.module_count, 1);
    assert_range(&info.modules[0], 5 * GIB, 4096);
    assert_int_equal(info.modules_lost, 1);
    assert_string_equal(info.cmdline, "mode=reflect");
    assert_int_equal(info.rsdp, 0xf59d0);
    assert_false(info.rsdp_copied);
    assert_int_equal(physical_refused(), 0);
}

TEST(pvh_version_zero_has_no_memory_map)
{
    static const struct hvm_memmap_table_entry map[] = {{MIB, MIB, 1, 0}};
    struct hvm_start_info pvh = pvh_with(map, 1);

    pvh.version = 0;
    assert_string_equal(parse_pvh(&pvh), "no memory map");
    /* It ends after rsdp_paddr: not a byte further is read. */
    physical_window(BASE, memory, offsetof(struct hvm_start_info, memmap_paddr));
    assert_string_equal(boot_info_parse(&info, BOOT_PVH, BASE), "no memory map");
    assert_int_equal(physical_refused(), 0);
}

TEST(pvh_with_wrong_magic_is_refused)
{
    struct hvm_start_info pvh = {.magic = 0x336ec579, .version = 1};

    assert_string_equal(parse_pvh(&pvh), "boot information isn't PVH's: wrong magic");
    pvh.magic = XEN_HVM_START_MAGIC_VALUE;
    assert_string_equal(parse_pvh(&pvh), "no memory map");
    assert_string_equal(boot_info_parse(&info, BOOT_PVH, UINT64_MAX - 8),
                        "boot information out of reach");
}

TEST(pvh_senseless_pointers_and_counts_are_survived)
{
    static const struct hvm_memmap_table_entry map[] = {{MIB, MIB, 1, 0}};
    static const struct hvm_modlist_entry module = {UINT64_MAX - 1, 4, 0, 0};
    struct hvm_start_info pvh = pvh_with(map, 1);

    put(TEXT, &module, sizeof(module));
    pvh.nr_modules = 1;
    pvh.modlist_paddr = TEXT;
    pvh.cmdline_paddr = UINT64_MAX;
    assert_null(parse_pvh(&pvh));
    assert_int_equal(info.modules_lost, 1);
    assert_true(info.cmdline_cut);
    pvh.nr_modules = UINT32_MAX;
    pvh.modlist_paddr = UINT64_MAX - 16;
    assert_null(parse_pvh(&pvh));
    assert_int_equal(info.modules_lost, UINT32_MAX);
    pvh.memmap_entries = UINT32_MAX;
    assert_string_equal(parse_pvh(&pvh), "memory map larger than 1 MiB");
    pvh.memmap_entries = 1000;
    pvh.memmap_paddr = UINT64_MAX - 30;
    assert_string_equal(parse_pvh(&pvh), "no usable memory in the memory map");
}

/* --- ranges: the same code for all three, shown through PVH's simple table --- */

TEST(reserved_beats_usable_wherever_it_overlaps)
{
    static const struct {
        struct hvm_memmap_table_entry reserved;
        struct boot_range left[2]; /* of [0x10000, 0x20000) */
    } cases[] = {
        {{0x08000, 0x08000, 2, 0}, {{0x10000, 0x10000}}},                     /* ends before */
        {{0x08000, 0x09000, 2, 0}, {{0x11000, 0x0f000}}},                     /* over the start */
        {{0x10000, 0x01000, 2, 0}, {{0x11000, 0x0f000}}},                     /* from the start */
        {{0x14000, 0x02000, 3, 0}, {{0x10000, 0x04000}, {0x16000, 0x0a000}}}, /* inside */
        {{0x1f000, 0x01000, 4, 0}, {{0x10000, 0x0f000}}},                     /* up to the end */
        {{0x1f000, 0x02000, 5, 0}, {{0x10000, 0x0f000}}},                     /* over the end */
        {{0x20000, 0x01000, 0, 0}, {{0x10000, 0x10000}}},                     /* begins behind */
        {{0x10000, 0x10000, 2, 0}, {{0}}},                                    /* the same */
        {{0x00000, UINT64_MAX, 9, 0}, {{0}}},                                 /* everything */
        {{0x18000, UINT64_MAX - 0x18000, 2, 0}, {{0x10000, 0x08000}}},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* Before and after the usable range, and a far one that always stays. */
        for (int first = 0; first < 2; first++) {
            struct hvm_memmap_table_entry map[2];
            struct hvm_start_info pvh;
            size_t expected = (cases[i].left[0].length > 0) + (cases[i].left[1].length > 0);

            setup(state);
            map[!first] = cases[i].reserved;
            map[first] = (struct hvm_memmap_table_entry){0x10000, 0x10000, 1, 0};
            pvh = pvh_with(map, 2);
            parse_pvh(&pvh);
            assert_int_equal(info.memory_count, expected);
            for (size_t j = 0; j < expected; j++)
                assert_range(&info.memory[j], cases[i].left[j].base, cases[i].left[j].length);
        }
    }
}

TEST(usable_ranges_that_touch_or_overlap_become_one)
{
    static const struct hvm_memmap_table_entry map[] = {
        {0x30000, 0x1000, 1, 0}, {0x10000, 0x1000, 1, 0}, {0x11000, 0x1000, 1, 0},
        {0x10800, 0x1000, 1, 0}, {0x10000, 0x1000, 1, 0}, {0x12001, 0x0fff, 1, 0},
    };
    struct hvm_start_info pvh = pvh_with(map, 6);

    assert_null(parse_pvh(&pvh));
    assert_int_equal(info.memory_count, 3);
    assert_range(&info.memory[0], 0x10000, 0x2000);
    assert_range(&info.memory[1], 0x12001, 0x0fff);
    assert_range(&info.memory[2], 0x30000, 0x1000);
    assert_int_equal(info.memory_lost, 0);
}

TEST(ranges_that_wrap_or_cannot_be_mapped_are_counted)
{
    static const struct hvm_memmap_table_entry map[] = {
        {MIB, MIB, 1, 0},
        {UINT64_MAX - 0xfff, 0x1000, 1, 0},    /* wraps to exactly 0 */
        {UINT64_MAX - 0xfff, 0x2000, 1, 0},    /* wraps */
        {MIB, UINT64_MAX, 1, 0},               /* wraps */
        {(1ULL << 47) - 0x1000, 0x2000, 1, 0}, /* reaches beyond the lower half */
        {(1ULL << 47) - 0x1000, 0x1000, 1, 0}, /* its very end */
        {MIB, UINT64_MAX, RESERVED, 0},        /* wraps: takes nothing away */
        {4 * MIB, 0, 1, 0},                    /* empty: nothing is lost by it */
        {MIB + 4096, 0, RESERVED, 0},
    };
    struct hvm_start_info pvh = pvh_with(map, 9);

    assert_null(parse_pvh(&pvh));
    assert_int_equal(info.memory_count, 2);
    assert_range(&info.memory[0], MIB, MIB);
    assert_range(&info.memory[1], (1ULL << 47) - 0x1000, 0x1000);
    assert_int_equal(info.memory_lost, 5);
}

TEST(only_reserved_memory_is_refused)
{
    static const struct hvm_memmap_table_entry map[] = {{MIB, MIB, RESERVED, 0}};
    struct hvm_start_info pvh = pvh_with(map, 1);

    assert_string_equal(parse_pvh(&pvh), "no usable memory in the memory map");
}

TEST(too_many_ranges_lose_the_smallest)
{
    static struct hvm_memmap_table_entry map[BOOT_MEMORY_MAX + 10];
    struct hvm_start_info pvh;

    for (size_t i = 0; i < BOOT_MEMORY_MAX + 10; i++) {
        map[i] = (struct hvm_memmap_table_entry){MIB * (2 * i + 2), 4096 * (i % 7 + 1), 1, 0};
    }
    /* As firmware has it: little pieces first, the bulk of the RAM last. */
    map[BOOT_MEMORY_MAX + 9].size = 8 * GIB;
    pvh = pvh_with(map, BOOT_MEMORY_MAX + 10);
    assert_null(parse_pvh(&pvh));
    assert_int_equal(info.memory_count, BOOT_MEMORY_MAX);
    assert_int_equal(info.memory_lost, 10);
    assert_int_equal(info.memory[BOOT_MEMORY_MAX - 1].length, 8 * GIB);
}

TEST(many_ranges_that_touch_lose_nothing)
{
    static struct hvm_memmap_table_entry map[4 * BOOT_MEMORY_MAX];
    struct hvm_start_info pvh;

    for (size_t i = 0; i < 4 * BOOT_MEMORY_MAX; i++)
        map[i] = (struct hvm_memmap_table_entry){MIB * (i + 1), MIB, 1, 0};
    pvh = pvh_with(map, 4 * BOOT_MEMORY_MAX);
    assert_null(parse_pvh(&pvh));
    assert_int_equal(info.memory_count, 1);
    assert_range(&info.memory[0], MIB, 4 * BOOT_MEMORY_MAX * MIB);
    assert_int_equal(info.memory_lost, 0);
}

/* Holes punched into one range until the table overflows: what is left is still free of holes. */
TEST(holes_are_kept_out_even_when_the_table_overflows)
{
    static struct hvm_memmap_table_entry map[2 * BOOT_MEMORY_MAX + 1];
    struct hvm_start_info pvh;

    map[0] = (struct hvm_memmap_table_entry){MIB, GIB, 1, 0};
    for (size_t i = 1; i <= 2 * BOOT_MEMORY_MAX; i++)
        map[i] = (struct hvm_memmap_table_entry){MIB + MIB * (i * 37 % 1000), 4096, 2, 0};
    pvh = pvh_with(map, 2 * BOOT_MEMORY_MAX + 1);
    assert_null(parse_pvh(&pvh));
    assert_int_equal(info.memory_count, BOOT_MEMORY_MAX);
    assert_true(info.memory_lost > 0);
    for (size_t i = 0; i < info.memory_count; i++) {
        for (size_t j = 1; j <= 2 * BOOT_MEMORY_MAX; j++)
            assert_true(info.memory[i].base >= map[j].addr + 4096 ||
                        info.memory[i].base + info.memory[i].length <= map[j].addr);
    }
}

/* A fixed sequence: the same every time. */
static uint32_t random_next(void)
{
    static uint64_t value = 1;

    value = value * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(value >> 33);
}

/* The same question answered page by page, over maps of any overlap. */
TEST(random_maps_agree_with_a_page_by_page_count)
{
    enum { PAGES = 64, ENTRIES = 12 };

    for (int round = 0; round < 5000; round++) {
        struct hvm_memmap_table_entry map[ENTRIES];
        struct hvm_start_info pvh;
        uint64_t usable = 0, reserved = 0, got = 0;

        setup(state);
        for (size_t i = 0; i < ENTRIES; i++) {
            uint32_t page = random_next() % PAGES;
            uint32_t count = random_next() % (PAGES - page) / (1 + random_next() % 8);
            uint64_t bits = ((1ULL << count) - 1) << page;

            map[i] = (struct hvm_memmap_table_entry){page * 4096, count * 4096,
                                                     1 + random_next() % 2, 0};
            if (map[i].type == 1)
                usable |= bits;
            else
                reserved |= bits;
        }
        pvh = pvh_with(map, ENTRIES);
        parse_pvh(&pvh);
        for (size_t i = 0; i < info.memory_count; i++) {
            uint64_t count = info.memory[i].length / 4096;

            got |= ((1ULL << count) - 1) << (info.memory[i].base / 4096);
        }
        assert_true(got == (usable & ~reserved));
    }
}

TEST(random_bytes_are_survived)
{
    for (int round = 0; round < 3000; round++) {
        enum boot_protocol protocol = (enum boot_protocol)(round % 3);
        uint32_t mask = (uint32_t[]){0xff, 0xffff, 0x1ffff, 0xffffffff}[random_next() % 4];

        setup(state);
        for (size_t i = 0; i < 1024; i += 4) {
            uint32_t word = random_next() % 4 ? random_next() & mask : 0;

            memcpy(memory + i, &word, sizeof(word));
        }
        if (protocol == BOOT_PVH)
            memcpy(memory, &(uint32_t){XEN_HVM_START_MAGIC_VALUE}, sizeof(uint32_t));
        boot_info_parse(&info, protocol, BASE);
        assert_sane();
    }
}

/* --- command line, names --- */

TEST(cmdline_of_the_longest_length_is_whole_and_one_more_is_cut)
{
    struct multiboot_info multiboot = {
        .flags = MULTIBOOT_INFO_CMDLINE | MULTIBOOT_INFO_MEMORY,
        .mem_upper = 1024,
        .cmdline = TEXT,
    };

    memset(memory + (TEXT - BASE), 'x', BOOT_CMDLINE_MAX - 1);
    assert_null(parse_mb1(&multiboot));
    assert_int_equal(strlen(info.cmdline), BOOT_CMDLINE_MAX - 1);
    assert_false(info.cmdline_cut);
    memory[TEXT - BASE + BOOT_CMDLINE_MAX - 1] = 'y';
    assert_null(parse_mb1(&multiboot));
    assert_int_equal(strlen(info.cmdline), BOOT_CMDLINE_MAX - 1);
    assert_true(info.cmdline_cut);
}

TEST(cmdline_without_nul_ends_where_memory_does)
{
    struct multiboot_info multiboot = {
        .flags = MULTIBOOT_INFO_CMDLINE | MULTIBOOT_INFO_MEMORY,
        .mem_upper = 1024,
        .cmdline = BASE + SIZE - 3,
    };

    memset(memory + SIZE - 3, 'x', 3);
    assert_null(parse_mb1(&multiboot));
    assert_string_equal(info.cmdline, "xxx");
    assert_true(info.cmdline_cut);
}

TEST(protocols_have_names_and_unknown_ones_are_refused)
{
    assert_string_equal(boot_protocol_name(BOOT_MULTIBOOT1), "multiboot1");
    assert_string_equal(boot_protocol_name(BOOT_MULTIBOOT2), "multiboot2");
    assert_string_equal(boot_protocol_name(BOOT_PVH), "pvh");
    assert_string_equal(boot_protocol_name((enum boot_protocol)3), "unknown");
    assert_string_equal(boot_info_parse(&info, (enum boot_protocol)3, BASE),
                        "unknown boot protocol");
}
