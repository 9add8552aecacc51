/*
 * A 16550 on COM1, polled. Register names are those of the PC16550D data sheet.
 */
#include "kernel/uart.h"

#include <stdint.h>

#include <machine/io.h>
#include <machine/panic.h>

#define COM1 0x3f8

/* Registers, as offsets from the base; the first two are the divisor while LCR_DLAB is set. */
#define UART_THR 0 /* transmitter holding register */
#define UART_DLL 0 /* divisor latch, low */
#define UART_IER 1 /* interrupt enable */
#define UART_DLM 1 /* divisor latch, high */
#define UART_FCR 2 /* FIFO control, write only */
#define UART_LCR 3 /* line control */
#define UART_MCR 4 /* modem control */
#define UART_LSR 5 /* line status */
#define UART_SCR 7 /* scratch: holds what is written to it */

#define FCR_ENABLE 0x01
#define FCR_CLEAR_RECEIVER 0x02
#define LCR_8_BITS_NO_PARITY 0x03
#define LCR_DLAB 0x80
#define MCR_DTR 0x01
#define MCR_RTS 0x02
#define LSR_THRE 0x20 /* holding register, or the whole transmit FIFO, is empty */
#define LSR_TEMT 0x40 /* and so is the shift register: the last bit is out */

#define UART_CLOCK_HZ 1843200
#define UART_BAUD 115200
#define UART_DIVISOR (UART_CLOCK_HZ / 16 / UART_BAUD)

static bool uart_present(void)
{
    io_write8(COM1 + UART_SCR, 0x5a);
    if (io_read8(COM1 + UART_SCR) != 0x5a)
        return false;
    io_write8(COM1 + UART_SCR, 0xa5);
    if (io_read8(COM1 + UART_SCR) != 0xa5)
        return false;
    /* A bus that merely keeps the last value written fails here: no UART sets all status bits. */
    return io_read8(COM1 + UART_LSR) != 0xff;
}

bool uart_init(void)
{
    if (!uart_present())
        return false;

    io_write8(COM1 + UART_IER, 0);
    io_write8(COM1 + UART_LCR, LCR_DLAB);
    io_write8(COM1 + UART_DLL, UART_DIVISOR & 0xff);
    io_write8(COM1 + UART_DLM, UART_DIVISOR >> 8);
    io_write8(COM1 + UART_LCR, LCR_8_BITS_NO_PARITY);
    /* The transmit FIFO is not cleared: it may still hold the firmware's last words. */
    io_write8(COM1 + UART_FCR, FCR_ENABLE | FCR_CLEAR_RECEIVER);
    io_write8(COM1 + UART_MCR, MCR_DTR | MCR_RTS);
    return true;
}

bool uart_has_room(void)
{
    return (io_read8(COM1 + UART_LSR) & LSR_THRE) != 0;
}

bool uart_is_idle(void)
{
    return (io_read8(COM1 + UART_LSR) & LSR_TEMT) != 0;
}

void uart_write(const char *bytes, size_t length)
{
    ensure(length <= UART_FIFO_SIZE);
    for (size_t i = 0; i < length; i++)
        io_write8(COM1 + UART_THR, (uint8_t)bytes[i]);
}
