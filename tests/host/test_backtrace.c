/* kernel/backtrace.c over a stack made by hand. */
#include <stdio.h>
#include <string.h>

#include <machine/log.h>

#include "kernel/backtrace.h"
#include "kernel/image.h"
#include "kernel/symbols.h"
#include "tests/host/fixture/test.h"

#define LINES_MAX 64

/* Three functions of 256 bytes; the last one's end is the end of the text. */
const struct symbol symbol_table[] = {{0x100000, 0}, {0x100100, 6}, {0x100200, 13}};
const uint32_t symbol_count = 3;
const char symbol_names[] = "first\0second\0third";

void image_layout_get(struct image_layout *layout)
{
    memset(layout, 0, sizeof(*layout));
    layout->text = (struct image_span){0x100000, 0x100300};
}

/* The stack: words[0] is its lowest address. */
static uint64_t words[128];

bool trap_on_stack(uint64_t address, uint64_t size)
{
    uint64_t start = (uintptr_t)words, end = (uintptr_t)(words + 128);

    return address >= start && address < end && end - address >= size;
}

static char lines[LINES_MAX][128];
static size_t line_count;

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    va_list arguments;

    assert_int_equal(level, LOG_REPORT);
    assert_string_equal(event, "trace");
    assert_true(line_count < LINES_MAX);
    va_start(arguments, format);
    vsnprintf(lines[line_count++], sizeof(lines[0]), format, arguments);
    va_end(arguments);
}

static int setup(void **state)
{
    (void)state;
    memset(words, 0, sizeof(words));
    line_count = 0;
    return 0;
}

TEST_FIXTURE(.setup = setup);

/* Puts a frame at words[index] whose caller's frame is at words[above]; 0: outermost. */
static void frame_put(unsigned index, unsigned above, uint64_t return_address)
{
    words[index] = above != 0 ? (uintptr_t)&words[above] : 0;
    words[index + 1] = return_address;
}

static struct trap_frame exception_at(uint64_t rip, unsigned index)
{
    return (struct trap_frame){.vector = 6, .rip = rip, .rbp = (uintptr_t)&words[index]};
}

TEST(each_frame_is_a_line_from_inside_out)
{
    struct trap_frame frame = exception_at(0x100210, 10);

    frame_put(10, 20, 0x100120);
    frame_put(20, 0, 0x100030);
    backtrace_report(&frame);
    assert_int_equal(line_count, 3);
    assert_string_equal(lines[0], "frame=0 rip=0x100210 symbol=third+0x10");
    assert_string_equal(lines[1], "frame=1 rip=0x100120 symbol=second+0x20");
    assert_string_equal(lines[2], "frame=2 rip=0x100030 symbol=first+0x30");
}

TEST(call_at_the_end_of_a_function_names_that_function)
{
    struct trap_frame frame = exception_at(0x100200, 10);

    frame_put(10, 20, 0x100200); /* returns to where the next function begins */
    frame_put(20, 0, 0x100300);  /* and to behind the text */
    backtrace_report(&frame);
    assert_string_equal(lines[0], "frame=0 rip=0x100200 symbol=third+0x0");
    assert_string_equal(lines[1], "frame=1 rip=0x100200 symbol=second+0x100");
    assert_string_equal(lines[2], "frame=2 rip=0x100300 symbol=third+0x100");
}

TEST(captured_frame_is_a_return_address)
{
    struct trap_frame frame = exception_at(0x100200, 10);

    frame.vector = TRAP_NONE;
    backtrace_report(&frame);
    assert_string_equal(lines[0], "frame=0 rip=0x100200 symbol=second+0x100");
}

TEST(addresses_outside_the_text_have_no_name)
{
    struct trap_frame frame = exception_at(0xfffff, 10);

    frame_put(10, 20, 0x100301);
    frame_put(20, 0, UINT64_MAX);
    backtrace_report(&frame);
    assert_string_equal(lines[0], "frame=0 rip=0xfffff symbol=none");
    assert_string_equal(lines[1], "frame=1 rip=0x100301 symbol=none");
    assert_string_equal(lines[2], "frame=2 rip=0xffffffffffffffff symbol=none");
}

TEST(jump_into_nowhere_shows_who_jumped)
{
    struct trap_frame frame = exception_at(0x5000, 10);

    frame.vector = TRAP_PAGE_FAULT;
    frame.error = 0x11;
    frame.rsp = (uintptr_t)&words[5];
    words[5] = 0x100140;
    frame_put(10, 0, 0x100030);
    backtrace_report(&frame);
    assert_int_equal(line_count, 3);
    assert_string_equal(lines[1], "frame=1 rip=0x100140 symbol=second+0x40");
    assert_string_equal(lines[2], "frame=2 rip=0x100030 symbol=first+0x30");
}

TEST(recursion_is_one_line_with_a_count)
{
    struct trap_frame frame = exception_at(0x100210, 2);

    for (unsigned i = 2; i < 82; i += 2)
        frame_put(i, i + 2, 0x100220);
    frame_put(82, 0, 0x100030);
    backtrace_report(&frame);
    assert_int_equal(line_count, 3);
    assert_string_equal(lines[1], "frame=1 rip=0x100220 symbol=third+0x20 times=40");
    assert_string_equal(lines[2], "frame=2 rip=0x100030 symbol=first+0x30");
}

TEST(mutual_recursion_ends_after_32_lines)
{
    struct trap_frame frame = exception_at(0x100210, 2);

    for (unsigned i = 2; i < 122; i += 2)
        frame_put(i, i + 2, i & 2 ? 0x100220 : 0x100120);
    backtrace_report(&frame);
    assert_int_equal(line_count, 32);
}

TEST(broken_chains_end_the_trace)
{
    uint64_t here = (uintptr_t)words;
    const uint64_t broken[] = {
        0,
        here + 10 * 8,     /* itself */
        here + 4 * 8,      /* downwards: a circle sooner or later */
        here + 20 * 8 + 1, /* not aligned */
        here + 127 * 8,    /* half of the frame is above the stack */
        here + 128 * 8,
        here - 8,           /* beside the stack */
        0x8000000000000000, /* no address at all */
    };

    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        setup(state);
        struct trap_frame frame = exception_at(0x100210, 10);
        frame_put(10, 0, 0x100120);
        frame_put(4, 20, 0x100130);
        frame_put(20, 0, 0x100140);
        words[10] = broken[i];
        backtrace_report(&frame);
        assert_int_equal(line_count, 2);
    }
}

TEST(wild_frame_pointer_at_the_fault_still_gives_one_line)
{
    struct trap_frame frame = exception_at(0x100210, 10);

    frame.rbp = 0x10;
    backtrace_report(&frame);
    assert_int_equal(line_count, 1);
}
