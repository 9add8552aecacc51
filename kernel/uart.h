/*
 * A serial port: a 16550 at 115200 baud, 8 data bits, no parity, 1 stop bit, polled.
 */
#ifndef KERNEL_UART_H
#define KERNEL_UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first two of a PC. */
#define UART_COM1 0x3f8
#define UART_COM2 0x2f8

/* Bytes that may be written at once when the transmitter is empty. */
#define UART_FIFO_SIZE 16

struct uart {
    uint16_t base;  /* its first I/O port */
    uint8_t errors; /* of the next byte to be read, seen so far */
};

enum uart_input {
    UART_NOTHING,
    UART_BYTE,
    UART_BAD,  /* a byte came damaged, or bytes were lost; none is given out */
    UART_BREAK /* the line was held low: the other end has disconnected, or wants attention */
};

/*
 * Sets up the port at `base`. False if there is none: then the other functions must not be called
 * with `uart`. For a port that a machine need not have (`optional`) it must also carry its own
 * modem lines round in loopback mode, which no stray register does.
 */
bool uart_init(struct uart *uart, uint16_t base, bool optional);

/* True if UART_FIFO_SIZE bytes may be written now. One port read; never waits. */
bool uart_has_room(struct uart *uart);

/* True if all that was written is out on the line, so that nothing is lost if the machine ends now.
 * One port read; never waits. */
bool uart_is_idle(struct uart *uart);

/* Writes `length` bytes, at most UART_FIFO_SIZE; call only after uart_has_room() said yes. */
void uart_write(const struct uart *uart, const char *bytes, size_t length);

/* Takes one byte off the receiver, into *byte if it is UART_BYTE. One port read if nothing has come,
 * else two; never waits. */
enum uart_input uart_read(struct uart *uart, uint8_t *byte);

#endif
