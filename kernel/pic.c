/* The 8259A's data sheet names the words; ELCR is the 82371AB's (PIIX4) and every later chip set's. */
#include "kernel/pic.h"

#include <stdint.h>

#include <machine/io.h>

#define PIC1_COMMAND 0x20
#define PIC1_DATA 0x21
#define PIC2_COMMAND 0xa0
#define PIC2_DATA 0xa1
#define ELCR1 0x4d0 /* a bit for each line: level-triggered */
#define ELCR2 0x4d1

#define ICW1_INIT_ICW4 0x11
#define ICW3_PIC1 (1u << 2) /* the second chip hangs on line 2 */
#define ICW3_PIC2 2
#define ICW4_8086 0x01
#define OCW2_END_OF_INTERRUPT 0x20
#define OCW3_READ_ISR 0x0b

#define CASCADE_LINE 2
#define SPURIOUS_LINE 7        /* of each chip: what it answers when there is nothing any more */
#define LEVEL_POSSIBLE 0xdef8u /* not timer, keyboard, cascade, clock, coprocessor */

static bool present;
static uint16_t open_lines;
static uint16_t masked = 0xffff; /* as in the mask registers */

static void write_masks(uint16_t mask)
{
    if ((mask ^ masked) & 0x00ff)
        io_write8(PIC1_DATA, (uint8_t)mask);
    if ((mask ^ masked) & 0xff00)
        io_write8(PIC2_DATA, (uint8_t)(mask >> 8));
    masked = mask;
}

void pic_mask_all(void)
{
    io_write8(PIC1_DATA, 0xff);
    io_write8(PIC2_DATA, 0xff);
    masked = 0xffff;
}

bool pic_init(unsigned vector)
{
    io_write8(PIC1_COMMAND, ICW1_INIT_ICW4);
    io_write8(PIC2_COMMAND, ICW1_INIT_ICW4);
    io_write8(PIC1_DATA, (uint8_t)vector);
    io_write8(PIC2_DATA, (uint8_t)(vector + 8));
    io_write8(PIC1_DATA, ICW3_PIC1);
    io_write8(PIC2_DATA, ICW3_PIC2);
    io_write8(PIC1_DATA, ICW4_8086);
    io_write8(PIC2_DATA, ICW4_8086);
    /* The mask register holds what is written to it; where there is no chip, nothing does. */
    io_write8(PIC1_DATA, 0x5a);
    present = io_read8(PIC1_DATA) == 0x5a;
    pic_mask_all();
    open_lines = 0;
    return present;
}

static void make_level_triggered(unsigned line)
{
    const uint16_t port = line < 8 ? ELCR1 : ELCR2;

    io_write8(port, (uint8_t)(io_read8(port) | 1u << line % 8));
}

bool pic_open(unsigned line, bool level)
{
    if (!present || line >= PIC_LINES || line == CASCADE_LINE)
        return false;
    if (level && !(LEVEL_POSSIBLE & 1u << line))
        return false;
    if (level)
        make_level_triggered(line);
    open_lines |= (uint16_t)(1u << line);
    if (line >= 8)
        open_lines |= 1u << CASCADE_LINE;
    return true;
}

static bool is_in_service(unsigned line)
{
    const uint16_t port = line < 8 ? PIC1_COMMAND : PIC2_COMMAND;

    io_write8(port, OCW3_READ_ISR);
    return (io_read8(port) & 1u << line % 8) != 0;
}

bool pic_taken(unsigned line)
{
    const bool spurious = line % 8 == SPURIOUS_LINE && !is_in_service(line);

    if (!spurious) {
        write_masks(masked | (uint16_t)(1u << line));
        if (line >= 8)
            io_write8(PIC2_COMMAND, OCW2_END_OF_INTERRUPT);
    }
    /* The first chip does not know that the second one's was none. */
    if (!spurious || line >= 8)
        io_write8(PIC1_COMMAND, OCW2_END_OF_INTERRUPT);
    return !spurious;
}

void pic_unmask(void)
{
    write_masks((uint16_t)~open_lines);
}
