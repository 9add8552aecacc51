/* kernel/memory.c over real memory at the addresses where a machine has it. */
#include <string.h>
#include <sys/mman.h>

#include <machine/memory.h>
#include <machine/panic.h>

#include "kernel/image.h"
#include "kernel/memory.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/machine.h"

#define KIB 1024ULL
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define PAGE 4096ULL

/* The machine: 1 to 64 MiB, and as much far above 4 GiB, where sanitizers leave room. */
#define LOW_BASE MIB
#define LOW_END (64 * MIB)
#define HIGH_BASE 0x200000000000ULL
#define HIGH_END (HIGH_BASE + 64 * MIB)
#define IMAGE_START MIB
#define IMAGE_END (MIB + 600 * KIB)

static jmp_buf panic_return;

_Noreturn void panic(const char *format, ...)
{
    (void)format;
    longjmp(panic_return, 1);
}

#define assert_panics(statement)                                                                   \
    do {                                                                                           \
        if (setjmp(panic_return) == 0) {                                                           \
            statement;                                                                             \
            fail_msg("no panic: %s", #statement);                                                  \
        }                                                                                          \
    } while (0)

void image_layout_get(struct image_layout *layout)
{
    memset(layout, 0, sizeof(*layout));
    layout->image = (struct image_span){IMAGE_START, IMAGE_END};
}

static struct boot_info info;

static void ram_add(uint64_t base, uint64_t end)
{
    info.memory[info.memory_count++] = (struct boot_range){base, end - base};
}

static bool init(const char *words)
{
    machine_command_line(words);
    return memory_init(&info);
}

static void map_fresh(uint64_t start, uint64_t end)
{
    void *at = (void *)(uintptr_t)start;
    void *got = mmap(at, end - start, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

    assert_ptr_equal(got, at);
}

/* The memory was used before: nothing is zero. */
static void dirty(uint64_t start, uint64_t end)
{
    memset((void *)(uintptr_t)start, 0xa5, end - start);
}

static int setup(void **state)
{
    static bool mapped;

    (void)state;
    if (!mapped) {
        map_fresh(LOW_BASE, LOW_END);
        map_fresh(HIGH_BASE, HIGH_END);
        mapped = true;
    }
    memset(&info, 0, sizeof(info));
    return 0;
}

TEST_FIXTURE(.setup = setup);

static uint64_t address_of(const void *pointer)
{
    return (uintptr_t)pointer;
}

/* Takes all there is in pieces of `size`; none may touch [start, end). Returns how many. */
static size_t drain_avoiding(size_t size, uint64_t start, uint64_t end)
{
    size_t count = 0;
    void *piece;

    while ((piece = memory_alloc(size, 64)) != NULL) {
        assert_true(address_of(piece) >= end || address_of(piece) + size <= start);
        count++;
    }
    return count;
}

TEST(pieces_are_zeroed_aligned_and_apart)
{
    ram_add(LOW_BASE, 16 * MIB);
    dirty(LOW_BASE, 16 * MIB);
    init("");

    uint64_t end_before = 0;
    for (size_t alignment = 1; alignment <= 64 * KIB; alignment *= 2) {
        size_t size = 3 * alignment + 5;
        uint8_t *piece = memory_alloc(size, alignment);

        assert_non_null(piece);
        assert_int_equal(address_of(piece) % alignment, 0);
        assert_int_equal(address_of(piece) % 64, 0);
        assert_true(address_of(piece) >= end_before || alignment > 64);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(piece[i], 0);
        memset(piece, 0xff, size);
        end_before = address_of(piece) + size;
    }
}

TEST(what_alignment_skips_is_given_out_later)
{
    ram_add(LOW_BASE, 16 * MIB);
    init("");

    uint64_t before = memory_available();
    assert_non_null(memory_alloc(64, 64));
    void *aligned = memory_alloc(MIB, MIB);
    assert_int_equal(address_of(aligned) % MIB, 0);
    assert_int_equal(memory_available(), before - 64 - MIB);
    assert_true(address_of(memory_alloc(64, 64)) < address_of(aligned));
}

TEST(first_mib_is_never_given_out)
{
    ram_add(0, 0x9fc00);
    ram_add(MIB, 16 * MIB);
    init("");

    assert_int_equal(memory_available(), 16 * MIB - IMAGE_END);
    assert_int_equal(drain_avoiding(PAGE, 0, MIB), (16 * MIB - IMAGE_END) / PAGE);
    assert_int_equal(memory_available(), 0);
}

TEST(image_is_never_given_out)
{
    ram_add(MIB, 16 * MIB);
    init("buffers=high");

    assert_true(drain_avoiding(64 * KIB, IMAGE_START, IMAGE_END) > 0);
}

TEST(modules_are_never_given_out)
{
    uint64_t module = 5 * MIB + 123, length = 2 * MIB + 1;

    ram_add(MIB, 16 * MIB);
    info.modules[info.module_count++] = (struct boot_range){module, length};
    init("");

    /* Widened to whole pages. */
    uint64_t start = module / PAGE * PAGE, end = (module + length + PAGE - 1) / PAGE * PAGE;
    uint64_t pages = (16 * MIB - IMAGE_END - (end - start)) / PAGE;
    assert_int_equal(memory_available(), pages * PAGE);
    assert_int_equal(drain_avoiding(PAGE, start, end), pages);
}

TEST(partial_pages_of_the_map_are_left_alone)
{
    ram_add(2 * MIB + 1, 20 * MIB - 1);
    init("");

    assert_int_equal(memory_available(), 18 * MIB - 2 * PAGE);
    assert_int_equal(address_of(memory_alloc(PAGE, 1)), 2 * MIB + PAGE);
}

TEST(ram_above_the_reach_waits_until_it_is_raised)
{
    ram_add(LOW_BASE, 16 * MIB);
    ram_add(HIGH_BASE, HIGH_END);
    init("buffers=high");

    assert_int_equal(memory_available(), 16 * MIB - IMAGE_END);
    assert_int_equal(address_of(memory_alloc(PAGE, PAGE)), 16 * MIB - PAGE);
    memory_set_reach(HIGH_BASE + MIB);
    assert_int_equal(address_of(memory_alloc(PAGE, PAGE)), HIGH_BASE + MIB - PAGE);
    memory_set_reach(1ULL << 47);
    assert_int_equal(address_of(memory_alloc(PAGE, PAGE)), HIGH_END - PAGE);
}

TEST(from_top_goes_down_to_the_last_piece)
{
    ram_add(LOW_BASE, 16 * MIB);
    ram_add(HIGH_BASE, HIGH_BASE + 8 * MIB);
    init("buffers=high");
    memory_set_reach(1ULL << 47);

    for (unsigned i = 1; i <= 8; i++)
        assert_int_equal(address_of(memory_alloc(MIB, MIB)), HIGH_BASE + (8 - i) * MIB);
    assert_int_equal(address_of(memory_alloc(MIB, MIB)), 15 * MIB);
}

TEST(a_piece_too_large_is_null_and_costs_nothing)
{
    ram_add(LOW_BASE, 16 * MIB);
    init("");

    uint64_t before = memory_available();
    assert_null(memory_alloc(15 * MIB, 64));
    assert_null(memory_alloc(SIZE_MAX, 64));
    assert_null(memory_alloc(SIZE_MAX - 63, 64));
    assert_null(memory_alloc(64, 1ULL << 63));
    assert_int_equal(memory_available(), before);
}

TEST(size_zero_and_odd_alignments_are_our_own_bugs)
{
    ram_add(LOW_BASE, 16 * MIB);
    init("");

    assert_panics(memory_alloc(0, 64));
    assert_panics(memory_alloc(64, 0));
    assert_panics(memory_alloc(64, 48));
}

TEST(too_little_ram_is_refused)
{
    ram_add(MIB, 2 * MIB);
    assert_false(init(""));
    assert_int_equal(memory_available(), 424 * KIB);
}

TEST(a_machine_without_ram_below_4_gib_is_refused)
{
    ram_add(HIGH_BASE, HIGH_END);
    assert_false(init(""));
    assert_int_equal(memory_available(), 0);
}

TEST(a_full_list_of_ranges_gives_up_the_smaller_rest)
{
    /* Holes of one page between ranges: as many entries as a boot_info can hold. */
    uint64_t step = 256 * KIB;
    for (uint64_t i = 0; i < BOOT_MEMORY_MAX; i++)
        ram_add(4 * MIB + i * step, 4 * MIB + (i + 1) * step - PAGE);
    init("");

    /* Each of these splits a range in the middle, far more often than the list has room for. */
    uint64_t given = 0, before = memory_available();
    while (memory_alloc(64, 16 * KIB) != NULL)
        given++;
    assert_true(given > 2 * BOOT_MEMORY_MAX);
    assert_true(memory_available() <= before - given * 64);
    assert_null(memory_alloc(256 * KIB, 64));
}
