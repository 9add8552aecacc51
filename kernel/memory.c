/*
 * The allocator: a short sorted list of free ranges, first fit from either end of RAM. It gives out
 * for ever, so there is nothing to merge and no header in front of what it gives.
 */
#include "kernel/memory.h"

#include <string.h>

#include <machine/memory.h>
#include <machine/option.h>
#include <machine/panic.h>

#include "kernel/image.h"
#include "kernel/page.h"

#define MEMORY_LINE 64ULL /* a cache line: no two owners share one */
#define MEMORY_LOW_END (1ULL << 20)
#define MEMORY_EARLY_REACH (1ULL << 32)

/* Every loader range, cut by image and modules, and room for what alignment splits off. */
#define FREE_MAX (BOOT_MEMORY_MAX * 2)

/* [start, end) */
struct free_range {
    uint64_t start;
    uint64_t end;
};

static struct {
    struct free_range free[FREE_MAX]; /* sorted, disjoint, none empty */
    size_t count;
    uint64_t reach; /* nothing at or above it is given out */
} memory;

static bool from_top; /* buffers=high: memory is taken from the top of RAM */

static void free_delete(size_t index)
{
    memory.count--;
    memmove(&memory.free[index], &memory.free[index + 1],
            (memory.count - index) * sizeof(memory.free[0]));
}

static void free_insert(size_t index, struct free_range range)
{
    memmove(&memory.free[index + 1], &memory.free[index],
            (memory.count - index) * sizeof(memory.free[0]));
    memory.free[index] = range;
    memory.count++;
}

/* Takes [start, end), which overlaps range `index`, out of it: nothing, one or two pieces stay. */
static void free_cut(size_t index, uint64_t start, uint64_t end)
{
    struct free_range *range = &memory.free[index];
    struct free_range below = {range->start, start > range->start ? start : range->start};
    struct free_range above = {end < range->end ? end : range->end, range->end};
    uint64_t below_bytes = below.end - below.start;
    uint64_t above_bytes = above.end - above.start;

    if (below_bytes == 0 && above_bytes == 0) {
        free_delete(index);
    } else if (below_bytes != 0 && above_bytes != 0 && memory.count < FREE_MAX) {
        *range = below;
        free_insert(index + 1, above);
    } else {
        /* One piece, or no room to remember both: then the smaller one is given up. */
        *range = below_bytes > above_bytes ? below : above;
    }
}

/* Keeps [start, end) out of what is given away. From the last to the first: cutting moves others. */
static void keep_out(uint64_t start, uint64_t end)
{
    for (size_t i = memory.count; i-- > 0;) {
        if (memory.free[i].start < end && start < memory.free[i].end)
            free_cut(i, start, end);
    }
}

/* Whole pages only: a page that an end of the range shares with something else is not used. */
static void add_ram(const struct boot_range *ram)
{
    struct free_range range = {page_up(ram->base), page_down(ram->base + ram->length)};

    if (range.start < range.end)
        memory.free[memory.count++] = range;
}

bool memory_init(const struct boot_info *info)
{
    struct image_layout layout;

    memset(&memory, 0, sizeof(memory));
    memory.reach = MEMORY_EARLY_REACH;
    for (size_t i = 0; i < info->memory_count; i++)
        add_ram(&info->memory[i]);

    image_layout_get(&layout);
    keep_out(0, MEMORY_LOW_END);
    keep_out(layout.image.start, layout.image.end);
    for (size_t i = 0; i < info->module_count; i++) {
        const struct boot_range *module = &info->modules[i];
        keep_out(page_down(module->base), page_up(module->base + module->length));
    }
    return memory_available() >= MEMORY_NEEDED;
}

void memory_set_reach(uint64_t end)
{
    memory.reach = end;
}

/* The end of what range `index` offers at present; its start, or below, when it offers nothing. */
static uint64_t usable_end(size_t index)
{
    return memory.free[index].end < memory.reach ? memory.free[index].end : memory.reach;
}

uint64_t memory_available(void)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < memory.count; i++) {
        if (usable_end(i) > memory.free[i].start)
            sum += usable_end(i) - memory.free[i].start;
    }
    return sum;
}

/* The address in range `index` where an object fits, nearest to the preferred end; 0: none. */
static uint64_t place(size_t index, uint64_t size, uint64_t alignment)
{
    uint64_t start = memory.free[index].start;
    uint64_t end = usable_end(index);
    uint64_t at;

    if (end <= start || end - start < size)
        return 0;
    if (from_top) {
        at = (end - size) & ~(alignment - 1);
        return at >= start ? at : 0;
    }
    at = (start + alignment - 1) & ~(alignment - 1);
    return at >= start && at <= end - size ? at : 0; /* the first test: it may have wrapped */
}

void *memory_alloc(size_t size, size_t alignment)
{
    ensure(size != 0);
    ensure(alignment != 0 && (alignment & (alignment - 1)) == 0);

    if (size > SIZE_MAX - MEMORY_LINE)
        return NULL;
    size = (size + MEMORY_LINE - 1) & ~(MEMORY_LINE - 1);
    if (alignment < MEMORY_LINE)
        alignment = MEMORY_LINE;

    for (size_t i = 0; i < memory.count; i++) {
        size_t index = from_top ? memory.count - 1 - i : i;
        uint64_t at = place(index, size, alignment);
        if (at != 0) {
            free_cut(index, at, at + size);
            return memset((void *)(uintptr_t)at, 0, size);
        }
    }
    return NULL;
}

/* ---- buffers= ---- */

static const struct option option = {
    .key = "buffers",
    .help = "debug: the end of RAM that packet buffers come from",
    .type = OPTION_SWITCH,
    .choices = "low|high",
};

static struct option_table buffers_word = {
    .place = 11, .count = 1, .options = &option, .values = &from_top};
OPTION_TABLE(buffers_word);
