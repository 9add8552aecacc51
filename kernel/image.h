/* The addresses of the parts of the kernel's image, from linker.ld. */
#ifndef KERNEL_IMAGE_H
#define KERNEL_IMAGE_H

#include <stdint.h>

/* [start, end), physical addresses, which are also the virtual ones; multiples of 4096. */
struct image_span {
    uint64_t start;
    uint64_t end;
};

struct image_layout {
    struct image_span image; /* everything, headers and .bss included */
    struct image_span text;
    struct image_span rodata;
    struct image_span data;  /* .data and .bss */
    struct image_span guard; /* the page below the stack of boot_main */
    struct image_span stack;
};

/* Fills `layout` from linker.ld's symbols. */
void image_layout_get(struct image_layout *layout);

#endif
