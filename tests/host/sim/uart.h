/*
 * Two simulated 16550 and the clock that they run by, for the kernel's console: this machine has
 * nothing else. Defines the seam's port I/O, clock and panic.
 */
#ifndef TESTS_HOST_SIM_UART_H
#define TESTS_HOST_SIM_UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_UARTS 2
#define SIM_UART_OUTPUT_MAX (2 * 1024 * 1024)
#define SIM_UART_INPUT_MAX (2 * 1024 * 1024)

/* Errors of a received byte: bits of the line status register. */
#define SIM_UART_OVERRUN 0x02
#define SIM_UART_PARITY 0x04
#define SIM_UART_FRAMING 0x08
#define SIM_UART_BREAK 0x10

struct sim_uart {
    bool present;
    bool scratch_only; /* a register that holds what is written, and nothing behind it */
    bool vanished;     /* reads as all ones since it was found */
    bool stuck;        /* never has room */
    uint64_t byte_ns;  /* time to send one byte */
    uint8_t scratch, ier, fcr, lcr, mcr, dll, dlm;
    unsigned in_fifo; /* written since it was last seen empty */
    uint64_t empty_at_ns;
    char output[SIM_UART_OUTPUT_MAX];
    size_t length;
    uint8_t input[SIM_UART_INPUT_MAX];
    uint8_t wrong[SIM_UART_INPUT_MAX]; /* by byte */
    size_t input_at;
    size_t input_length;
    uint64_t accesses;
};

struct sim_machine {
    struct sim_uart uarts[SIM_UARTS]; /* COM1, COM2 */
    uint64_t now_ns;
    bool clock_stands;
};

extern struct sim_machine sim_machine;

/* A new machine: COM1 present, COM2 not, time 0, nothing sent, nothing typed. */
void sim_uart_reset(void);

/* Lets `length` bytes come in, each with what is wrong with it. */
void sim_uart_type(struct sim_uart *uart, const void *bytes, size_t length, uint8_t wrong);

/* The bytes sent so far, as a text. */
const char *sim_uart_text(struct sim_uart *uart);

#endif
