/*
 * The two 8259 interrupt controllers of a PC: fifteen lines, all masked until they are opened.
 */
#ifndef KERNEL_PIC_H
#define KERNEL_PIC_H

#include <stdbool.h>

#define PIC_LINES 16

/* Masks all lines, from any state of the chips. */
void pic_mask_all(void);

/* Moves the lines to vectors from `vector` (a multiple of 8) on and masks them. False: there are
 * no 8259s. */
bool pic_init(unsigned vector);

/*
 * Lets `line` through at the next pic_unmask. `level`: as PCI's lines, which several devices may hold
 * at once; else as the old devices' (serial ports, keyboard). False for a line that does not exist
 * or cannot be had so.
 */
bool pic_open(unsigned line, bool level);

/*
 * For the handler of a line's vector: masks and acknowledges it. It stays masked until pic_unmask,
 * because a device that still holds a level-triggered line would interrupt again at once. False: a
 * spurious interrupt, the line was released already.
 */
bool pic_taken(unsigned line);

/* Unmasks what pic_taken has masked. No port access if there is nothing to unmask. */
void pic_unmask(void);

#endif
