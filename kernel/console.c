/*
 * The console: a ring of whole lines in front of the serial port, and the synchronous way out.
 */
#include "kernel/console.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <machine/clock.h>
#include <machine/log.h>

#include "kernel/uart.h"

#define RING_SIZE (64u * 1024) /* a power of two: positions count on and are masked when used */
#define RING_MASK (RING_SIZE - 1)

#define NOTICE_MAX 80 /* a `warn t=… lost_lines=N` with both numbers at their longest */

/*
 * The synchronous phase counts its polls too, in case the time-stamp counter stands still or was
 * never calibrated: none is faster than this.
 */
#define POLL_NS_MIN 100

static char ring[RING_SIZE];
static size_t ring_head; /* where the next line goes; moves by whole lines, after the copy */
static size_t ring_tail; /* the next byte for the serial port */

static uint64_t lost_lines;  /* since the last notice */
static size_t notice_end;    /* where the last notice ends in the ring */
static uint64_t notice_says; /* how many lost lines it announces */

static bool uart_found;

static struct {
    bool on;
    uint64_t start_cycles;
    uint64_t budget_cycles;
    uint64_t polls_left;
    uint64_t polls_kept; /* for what comes after the ring's content */
} sync;

static size_t ring_used(void)
{
    return ring_head - ring_tail;
}

static void ring_put(const char *bytes, size_t length)
{
    size_t at = ring_head & RING_MASK;
    size_t before_end = RING_SIZE - at;
    size_t first = length < before_end ? length : before_end;

    memcpy(ring + at, bytes, first);
    memcpy(ring, bytes + first, length - first);
    ring_head += length;
}

/* The line that owns up to a gap. Returns its length. */
static size_t notice_format(char notice[static NOTICE_MAX])
{
    uint64_t us = clock_ns() / CLOCK_NS_PER_US;
    int length =
        snprintf(notice, NOTICE_MAX, "warn t=%" PRIu64 ".%06" PRIu64 " lost_lines=%" PRIu64 "\r\n",
                 us / 1000000, us % 1000000, lost_lines);
    return (size_t)length;
}

/* Queues the notice, if it is due. */
static void notice_put(const char *notice, size_t length)
{
    if (lost_lines == 0)
        return;
    ring_put(notice, length);
    notice_end = ring_head;
    notice_says = lost_lines;
    lost_lines = 0;
}

void console_init(void)
{
    ring_head = ring_tail = notice_end = 0;
    lost_lines = 0;
    sync.on = false;
    uart_found = uart_init();
    console_write_line("\r\n", 2);
}

bool console_write_line(const char *line, size_t length)
{
    if (sync.on) {
        console_write_sync(line, length);
        return true;
    }

    /*
     * One notice at a time: after a further gap nothing is taken until the last notice is out, so
     * that an overrun console shows long runs of lines and not a notice after each.
     */
    char notice[NOTICE_MAX];
    size_t notice_length = lost_lines > 0 ? notice_format(notice) : 0;
    if ((lost_lines > 0 && notice_end > ring_tail) ||
        length + notice_length > RING_SIZE - ring_used()) {
        lost_lines++;
        return false;
    }
    notice_put(notice, notice_length);
    ring_put(line, length);
    return true;
}

/* Moves one FIFO's worth; the serial port must have room. */
static void ring_to_uart(void)
{
    size_t at = ring_tail & RING_MASK;
    size_t length = ring_used();

    if (length > UART_FIFO_SIZE)
        length = UART_FIFO_SIZE;
    if (length > RING_SIZE - at)
        length = RING_SIZE - at;
    /* First the position: an exception in between loses these bytes, but doesn't repeat them. */
    ring_tail += length;
    uart_write(ring + at, length);
}

bool console_drain(void)
{
    if (ring_used() == 0) {
        if (lost_lines == 0)
            return false;
        /* Nothing came after the gap to announce it. */
        char notice[NOTICE_MAX];
        size_t length = notice_format(notice);
        ring_put(notice, length);
        lost_lines = 0;
    }
    if (!uart_found) {
        ring_tail = ring_head;
        return false;
    }
    if (!uart_has_room())
        return false;
    ring_to_uart();
    return true;
}

/* True as soon as `done` says so, false once `cycles` since the start have gone by. */
static bool sync_wait(bool (*done)(void), uint64_t cycles)
{
    while (sync.polls_left > 0 && clock_cycles() - sync.start_cycles < cycles) {
        sync.polls_left--;
        if (done())
            return true;
        clock_relax();
    }
    return false;
}

static bool sync_wait_room(uint64_t cycles)
{
    return sync_wait(uart_has_room, cycles);
}

/* Counts what is left in the ring as lost, but for the rest of a line already begun. */
static void ring_give_up(void)
{
    size_t keep = ring_tail;

    if (ring[(ring_tail - 1) & RING_MASK] != '\n')
        while (keep != ring_head && ring[keep++ & RING_MASK] != '\n') {
        }
    for (size_t i = keep; i != ring_head; i++)
        if (ring[i & RING_MASK] == '\n')
            lost_lines++;
    if (notice_end > keep)
        lost_lines += notice_says - 1; /* in place of the notice, which was counted as a line */
    ring_head = notice_end = keep;
}

static void sync_start(uint64_t budget_ns)
{
    sync.start_cycles = clock_cycles();
    sync.budget_cycles = clock_cycles_of_ns(budget_ns);
    sync.polls_left = budget_ns / POLL_NS_MIN;
    sync.polls_kept = sync.polls_left / 2;
    sync.on = true;
}

void console_flush_sync(uint64_t budget_ns)
{
    if (!sync.on)
        sync_start(budget_ns);
    if (!uart_found)
        return;

    /* What led here matters, but what comes now matters more: half of the time is kept for it. */
    while (ring_used() > 0 && sync.polls_left > sync.polls_kept &&
           sync_wait_room(sync.budget_cycles / 2))
        ring_to_uart();
    ring_give_up();
    while (ring_used() > 0 && sync_wait_room(sync.budget_cycles))
        ring_to_uart();

    if (lost_lines > 0) {
        char notice[NOTICE_MAX];
        size_t length = notice_format(notice);
        lost_lines = 0;
        console_write_sync(notice, length);
    }
}

void console_write_sync(const char *line, size_t length)
{
    if (!uart_found)
        return;
    while (length > 0 && sync_wait_room(sync.budget_cycles)) {
        size_t part = length < UART_FIFO_SIZE ? length : UART_FIFO_SIZE;
        uart_write(line, part);
        line += part;
        length -= part;
    }
    /* The next step may be to switch the machine off, and the last FIFO's worth with it. */
    sync_wait(uart_is_idle, sync.budget_cycles);
}
