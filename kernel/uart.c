/*
 * A 16550, polled. Register names are those of the PC16550D data sheet.
 */
#include "kernel/uart.h"

#include <machine/io.h>
#include <machine/panic.h>

/* Registers, as offsets from the base; the first two are the divisor while LCR_DLAB is set. */
#define UART_RBR 0 /* receiver buffer, when read */
#define UART_THR 0 /* transmitter holding register, when written */
#define UART_DLL 0 /* divisor latch, low */
#define UART_IER 1 /* interrupt enable */
#define UART_DLM 1 /* divisor latch, high */
#define UART_FCR 2 /* FIFO control, write only */
#define UART_LCR 3 /* line control */
#define UART_MCR 4 /* modem control */
#define UART_LSR 5 /* line status */
#define UART_MSR 6 /* modem status */
#define UART_SCR 7 /* scratch: holds what is written to it */

#define FCR_ENABLE 0x01
#define FCR_CLEAR_RECEIVER 0x02
#define FCR_TRIGGER_14 0xc0 /* QEMU fills its FIFO no further than this at once */
#define LCR_8_BITS_NO_PARITY 0x03
#define LCR_DLAB 0x80
#define IER_RECEIVED 0x01
#define MCR_DTR 0x01
#define MCR_RTS 0x02
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define LSR_DR 0x01   /* a byte has come */
#define LSR_OE 0x02   /* another one came while there was no room for it */
#define LSR_PE 0x04   /* … with a wrong parity bit */
#define LSR_FE 0x08   /* … without a stop bit */
#define LSR_BI 0x10   /* … which is none: the line was low all the while */
#define LSR_THRE 0x20 /* holding register, or the whole transmit FIFO, is empty */
#define LSR_TEMT 0x40 /* and so is the shift register: the last bit is out */
#define LSR_ABSENT 0xff
#define LSR_ERRORS (LSR_OE | LSR_PE | LSR_FE | LSR_BI)
#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_RI 0x40
#define MSR_DCD 0x80
#define MSR_LINES (MSR_CTS | MSR_DSR | MSR_RI | MSR_DCD)

#define UART_CLOCK_HZ 1843200
#define UART_BAUD 115200
#define UART_DIVISOR (UART_CLOCK_HZ / 16 / UART_BAUD)

static uint8_t read_register(const struct uart *uart, unsigned number)
{
    return io_read8((uint16_t)(uart->base + number));
}

static void write_register(const struct uart *uart, unsigned number, unsigned value)
{
    io_write8((uint16_t)(uart->base + number), (uint8_t)value);
}

static bool scratch_holds(const struct uart *uart, uint8_t value)
{
    write_register(uart, UART_SCR, value);
    return read_register(uart, UART_SCR) == value;
}

/* In loopback mode RTS comes back as CTS, DTR as DSR, OUT1 as RI, OUT2 as DCD. */
static bool loops_back(const struct uart *uart, unsigned mcr, unsigned msr)
{
    write_register(uart, UART_MCR, MCR_LOOP | mcr);
    return (read_register(uart, UART_MSR) & MSR_LINES) == msr;
}

static bool is_present(const struct uart *uart, bool optional)
{
    if (!scratch_holds(uart, 0x5a) || !scratch_holds(uart, 0xa5))
        return false;
    /* A bus that merely keeps the last value written fails here: no UART sets all status bits. */
    if (read_register(uart, UART_LSR) == LSR_ABSENT)
        return false;
    return !optional || (loops_back(uart, MCR_RTS | MCR_OUT2, MSR_CTS | MSR_DCD) &&
                         loops_back(uart, MCR_DTR, MSR_DSR));
}

bool uart_init(struct uart *uart, uint16_t base, bool optional)
{
    uart->base = base;
    uart->errors = 0;
    if (!is_present(uart, optional))
        return false;

    write_register(uart, UART_IER, IER_RECEIVED);
    write_register(uart, UART_LCR, LCR_DLAB);
    write_register(uart, UART_DLL, UART_DIVISOR & 0xff);
    write_register(uart, UART_DLM, UART_DIVISOR >> 8);
    write_register(uart, UART_LCR, LCR_8_BITS_NO_PARITY);
    /* The transmit FIFO is not cleared: it may still hold the firmware's last words. */
    write_register(uart, UART_FCR, FCR_ENABLE | FCR_CLEAR_RECEIVER | FCR_TRIGGER_14);
    write_register(uart, UART_MCR, MCR_DTR | MCR_RTS | MCR_OUT2);
    return true;
}

/* The line status. Reading clears its error bits, so they are kept until uart_read takes them. */
static uint8_t read_status(struct uart *uart)
{
    const uint8_t status = read_register(uart, UART_LSR);

    if (status != LSR_ABSENT)
        uart->errors |= status & LSR_ERRORS;
    return status;
}

bool uart_has_room(struct uart *uart)
{
    return (read_status(uart) & LSR_THRE) != 0;
}

bool uart_is_idle(struct uart *uart)
{
    return (read_status(uart) & LSR_TEMT) != 0;
}

void uart_write(const struct uart *uart, const char *bytes, size_t length)
{
    ensure(length <= UART_FIFO_SIZE);
    for (size_t i = 0; i < length; i++)
        write_register(uart, UART_THR, (uint8_t)bytes[i]);
}

enum uart_input uart_read(struct uart *uart, uint8_t *byte)
{
    const uint8_t status = read_status(uart);

    /* All ones: the port has vanished since start-up, and a read would return no byte. */
    if (!(status & LSR_DR) || status == LSR_ABSENT)
        return UART_NOTHING;
    if (uart->errors & LSR_OE) { /* about bytes behind the one that is there */
        uart->errors &= (uint8_t)~LSR_OE;
        return UART_BAD;
    }
    const uint8_t errors = uart->errors;
    uart->errors = 0;
    *byte = read_register(uart, UART_RBR);
    if (errors & LSR_BI)
        return UART_BREAK;
    return errors != 0 ? UART_BAD : UART_BYTE;
}
