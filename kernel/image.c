/* The linker's symbols, turned into numbers in the one place that knows them. */
#include "kernel/image.h"

#include "kernel/page.h"

extern const char __image_start[], __image_end[];
extern const char __text_start[], __text_end[];
extern const char __rodata_start[], __rodata_end[];
extern const char __data_start[], __data_end[];
extern const char __stack_guard[], __stack_bottom[], __stack_top[];

static struct image_span span(const char *start, const char *end)
{
    return (struct image_span){(uintptr_t)start, (uintptr_t)end};
}

void image_layout_get(struct image_layout *layout)
{
    layout->image = span(__image_start, __image_end);
    layout->text = span(__text_start, __text_end);
    layout->rodata = span(__rodata_start, __rodata_end);
    layout->data = span(__data_start, __data_end);
    layout->guard = span(__stack_guard, __stack_guard + PAGE_BYTES);
    layout->stack = span(__stack_bottom, __stack_top);
}
