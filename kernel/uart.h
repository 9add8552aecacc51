/*
 * The serial port COM1: a 16550 at 115200 baud, 8 data bits, no parity, 1 stop bit, polled.
 */
#ifndef KERNEL_UART_H
#define KERNEL_UART_H

#include <stdbool.h>
#include <stddef.h>

/* What may be written at once when the transmitter says that it is empty. */
#define UART_FIFO_SIZE 16

/* Sets COM1 up. False if there is none: then the other functions must not be called. */
bool uart_init(void);

/* True if UART_FIFO_SIZE bytes may be written now. One port read; never waits. */
bool uart_has_room(void);

/* True if all that was written is out on the line, so that nothing is lost if the machine ends now.
 * One port read; never waits. */
bool uart_is_idle(void);

/* Writes `length` bytes, at most UART_FIFO_SIZE; call only after uart_has_room() said yes. */
void uart_write(const char *bytes, size_t length);

#endif
