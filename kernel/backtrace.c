/*
 * The backtrace: a chain of frame pointers, each checked before it is followed.
 */
#include "kernel/backtrace.h"

#include <stdio.h>

#include <machine/log.h>

#include "kernel/image.h"
#include "kernel/symbols.h"

#define FRAMES_MAX 32
#define NAME_MAX 128

/* The stack as `call` and the function's prologue leave it. */
struct stack_frame {
    uint64_t caller_rbp;
    uint64_t return_address;
};

/* The last symbol at or before `address`, or NULL. */
static const struct symbol *symbol_find(uint64_t address)
{
    size_t low = 0, high = symbol_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (symbol_table[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? &symbol_table[low - 1] : NULL;
}

/*
 * `inside` is an address in the instruction meant: `rip` itself, or the byte before a return
 * address. The call may have been the last instruction of its function.
 */
static void report(unsigned number, uint64_t rip, uint64_t inside, unsigned times)
{
    const struct symbol *symbol = NULL;
    struct image_layout image;
    char name[NAME_MAX] = "none", repeats[24] = "";

    image_layout_get(&image);
    if (inside >= image.text.start && inside < image.text.end)
        symbol = symbol_find(inside);
    if (symbol)
        snprintf(name, sizeof(name), "%s+0x%llx", &symbol_names[symbol->name_offset],
                 (unsigned long long)(rip - symbol->address));
    if (times > 1)
        snprintf(repeats, sizeof(repeats), " times=%u", times);
    log_event(LOG_REPORT, "trace", "frame=%u rip=0x%llx symbol=%s%s", number,
              (unsigned long long)rip, name, repeats);
}

/* True if a jump to `rip` itself failed: then the caller's return address is on top of the stack. */
static bool fetch_failed(const struct trap_frame *frame)
{
    return frame->vector == TRAP_PAGE_FAULT && frame->error & PAGE_FAULT_FETCH &&
           trap_on_stack(frame->rsp, sizeof(uint64_t));
}

/* The frame at `rbp`, or NULL if there can't be one or the chain ends with it. */
static const struct stack_frame *frame_at(uint64_t rbp)
{
    const struct stack_frame *at = (const struct stack_frame *)(uintptr_t)rbp;

    if (rbp % sizeof(uint64_t) != 0 || !trap_on_stack(rbp, sizeof(*at)) || at->return_address == 0)
        return NULL;
    return at;
}

/*
 * The next frame outwards. Stacks grow down, so each caller's frame is at a higher address; a
 * chain that doesn't go up is broken, or a circle.
 */
static const struct stack_frame *frame_above(const struct stack_frame *at)
{
    return at->caller_rbp > (uintptr_t)at ? frame_at(at->caller_rbp) : NULL;
}

void backtrace_report(const struct trap_frame *frame)
{
    unsigned number = 0;

    report(number++, frame->rip, frame->vector == TRAP_NONE ? frame->rip - 1 : frame->rip, 1);
    if (fetch_failed(frame)) {
        uint64_t caller = *(const uint64_t *)(uintptr_t)frame->rsp;
        report(number++, caller, caller - 1, 1);
    }
    for (const struct stack_frame *at = frame_at(frame->rbp); at && number < FRAMES_MAX;) {
        uint64_t address = at->return_address;
        unsigned times = 0;
        do {
            times++;
            at = frame_above(at);
        } while (at && at->return_address == address);
        report(number++, address, address - 1, times);
    }
}
