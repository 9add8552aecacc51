/* Two simulated 16550, strict: what is written to a full FIFO ends the test. */
#include "tests/host/sim/uart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <machine/clock.h>
#include <machine/io.h>
#include <machine/panic.h>

#define COM1 0x3f8
#define COM2 0x2f8
#define FIFO 16

struct sim_machine sim_machine;

void sim_uart_reset(void)
{
    memset(&sim_machine, 0, sizeof(sim_machine));
    sim_machine.uarts[0].present = true;
    for (unsigned i = 0; i < SIM_UARTS; i++)
        sim_machine.uarts[i].dlm = sim_machine.uarts[i].ier = 0xff;
}

/* ---- the clock ---- */

static uint64_t pass(uint64_t ns)
{
    if (!sim_machine.clock_stands)
        sim_machine.now_ns += ns;
    return sim_machine.now_ns;
}

uint64_t clock_cycles(void)
{
    return pass(10) * 2;
}

uint64_t clock_ns(void)
{
    return sim_machine.now_ns;
}

uint64_t clock_cycles_of_ns(uint64_t ns)
{
    return ns * 2;
}

void clock_relax(void)
{
    pass(10);
}

_Noreturn void panic(const char *format, ...)
{
    print_error("panic: %s\n", format);
    abort();
}

/* ---- the ports ---- */

static struct sim_uart *uart_at(uint16_t port)
{
    if ((port & ~7) == COM1)
        return &sim_machine.uarts[0];
    assert_int_equal(port & ~7, COM2);
    return &sim_machine.uarts[1];
}

static uint8_t line_status(struct sim_uart *uart)
{
    uint8_t status = 0;

    if (uart->input_at < uart->input_length) {
        status |= 0x01 | uart->wrong[uart->input_at];
        uart->wrong[uart->input_at] = 0; /* a look at the status clears it */
    }
    if (!uart->stuck && sim_machine.now_ns >= uart->empty_at_ns) {
        uart->in_fifo = 0;
        status |= 0x60;
    }
    return status;
}

static uint8_t modem_status(const struct sim_uart *uart)
{
    if (!(uart->mcr & 0x10))
        return 0xb0;
    return (uint8_t)((uart->mcr & 0x0c) << 4 | (uart->mcr & 0x02) << 3 | (uart->mcr & 0x01) << 5);
}

uint8_t io_read8(uint16_t port)
{
    struct sim_uart *uart = uart_at(port);

    uart->accesses++;
    pass(200);
    if (uart->vanished || (!uart->present && !uart->scratch_only))
        return 0xff;
    if ((port & 7) == 7)
        return uart->scratch;
    if (uart->scratch_only)
        return 0;
    if ((port & 7) == 0) {
        assert_true(uart->input_at < uart->input_length);
        return uart->input[uart->input_at++];
    }
    if ((port & 7) == 6)
        return modem_status(uart);
    assert_int_equal(port & 7, 5);
    return line_status(uart);
}

static void transmit(struct sim_uart *uart, uint8_t byte)
{
    /* Real hardware loses a byte that is written to a full FIFO. */
    assert_true(++uart->in_fifo <= FIFO);
    assert_true(uart->length < SIM_UART_OUTPUT_MAX - 1);
    uart->output[uart->length++] = (char)byte;
    if (uart->empty_at_ns < sim_machine.now_ns)
        uart->empty_at_ns = sim_machine.now_ns;
    uart->empty_at_ns += uart->byte_ns;
}

void io_write8(uint16_t port, uint8_t value)
{
    struct sim_uart *uart = uart_at(port);

    uart->accesses++;
    pass(200);
    if ((port & 7) == 7)
        uart->scratch = value;
    if (!uart->present)
        return;
    const bool divisor = (uart->lcr & 0x80) != 0;
    switch (port & 7) {
    case 0:
        if (divisor)
            uart->dll = value;
        else
            transmit(uart, value);
        break;
    case 1:
        *(divisor ? &uart->dlm : &uart->ier) = value;
        break;
    case 2:
        uart->fcr = value;
        break;
    case 3:
        uart->lcr = value;
        break;
    case 4:
        uart->mcr = value;
        break;
    case 7:
        break;
    default:
        fail_msg("write to port 0x%x", port);
    }
}

void sim_uart_type(struct sim_uart *uart, const void *bytes, size_t length, uint8_t wrong)
{
    assert_true(length <= SIM_UART_INPUT_MAX - uart->input_length);
    memcpy(uart->input + uart->input_length, bytes, length);
    memset(uart->wrong + uart->input_length, wrong, length);
    uart->input_length += length;
}

const char *sim_uart_text(struct sim_uart *uart)
{
    uart->output[uart->length] = '\0';
    return uart->output;
}
