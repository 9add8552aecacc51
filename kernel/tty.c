/*
 * A ring of whole lines in front of a serial port, and the synchronous way out.
 */
#include "kernel/tty.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <machine/clock.h>
#include <machine/log.h>
#include <machine/panic.h>

#include "kernel/json.h"

#define RING_MASK (TTY_RING_SIZE - 1)

#define NOTICE_MAX 128 /* a `warn t=… lost_lines=N` with both numbers at their longest, as JSON */

/* Echo must not push events out: it is queued only while no more than this is used. */
#define ECHO_ROOM (TTY_RING_SIZE / 8)

/*
 * Only events at level 'always' may use this last part of the ring. Nothing drains a tty before
 * the loop runs: `ready` must find room, however many warnings came before it.
 */
#define ALWAYS_ROOM (TTY_RING_SIZE / 4)

/*
 * The synchronous phase counts its polls too, in case the time-stamp counter has stopped or was
 * never calibrated: no poll is faster than this.
 */
#define POLL_NS_MIN 100

static size_t ring_used(const struct tty *tty)
{
    return tty->head - tty->tail;
}

static void ring_put(struct tty *tty, const char *bytes, size_t length)
{
    size_t at = tty->head & RING_MASK;
    size_t before_end = TTY_RING_SIZE - at;
    size_t first = length < before_end ? length : before_end;

    memcpy(tty->ring + at, bytes, first);
    memcpy(tty->ring, bytes + first, length - first);
    tty->head += length;
}

/* The line that reports a gap, in the form of this tty. Returns its length. */
static size_t notice_format(const struct tty *tty, char notice[static NOTICE_MAX])
{
    static const char text[] = "warn t=%" PRIu64 ".%06" PRIu64 " lost_lines=%" PRIu64 "\r\n";
    static const char json[] =
        "{\"event\":\"warn\",\"t\":%" PRIu64 ".%06" PRIu64 ",\"lost_lines\":%" PRIu64 "}\r\n";
    uint64_t us = clock_ns() / CLOCK_NS_PER_US;
    int length =
        tty->json ? snprintf(notice, NOTICE_MAX, json, us / 1000000, us % 1000000, tty->lost_lines)
                  : snprintf(notice, NOTICE_MAX, text, us / 1000000, us % 1000000, tty->lost_lines);
    return (size_t)length;
}

/* Queues the notice, if it is due. */
static void notice_put(struct tty *tty, const char *notice, size_t length)
{
    if (tty->lost_lines == 0)
        return;
    ring_put(tty, notice, length);
    tty->notice_end = tty->head;
    tty->notice_says = tty->lost_lines;
    tty->lost_lines = 0;
}

void tty_init(struct tty *tty, uint16_t base, bool optional)
{
    tty->head = tty->tail = tty->notice_end = 0;
    tty->lost_lines = 0;
    tty->json = tty->echo_open = false;
    tty->budget.on = false;
    tty->present = uart_init(&tty->uart, base, optional);
    if (tty->present) /* so that the first event starts a line of its own */
        ring_put(tty, "\r\n", 2);
}

static bool queue_line(struct tty *tty, const char *line, size_t length, bool always)
{
    static const char line_end[] = "\r\n";
    const size_t end_length = tty->echo_open ? sizeof(line_end) - 1 : 0;
    const size_t limit = always ? TTY_RING_SIZE : TTY_RING_SIZE - ALWAYS_ROOM;

    /*
     * One notice at a time: after a further gap no line is taken until the last notice is out. So
     * an overrun console shows long runs of lines, not a notice after each. A line at level 'always'
     * does not wait for that: before the loop runs no notice gets out, and `ready` would be lost.
     */
    char notice[NOTICE_MAX];
    size_t notice_length = tty->lost_lines > 0 ? notice_format(tty, notice) : 0;
    const bool notice_waits = tty->lost_lines > 0 && tty->notice_end > tty->tail;
    if ((notice_waits && !always) || ring_used(tty) + end_length + notice_length + length > limit) {
        tty->lost_lines++;
        return false;
    }
    ring_put(tty, line_end, end_length);
    tty->echo_open = false;
    notice_put(tty, notice, notice_length);
    ring_put(tty, line, length);
    return true;
}

bool tty_has_echo_room(const struct tty *tty, size_t length)
{
    return ring_used(tty) + length <= ECHO_ROOM;
}

void tty_echo(struct tty *tty, const char *bytes, size_t length)
{
    ensure(!tty->budget.on && tty_has_echo_room(tty, length));
    ring_put(tty, bytes, length);
    tty->echo_open = length > 0 && bytes[length - 1] != '\n';
}

bool tty_has_room(const struct tty *tty)
{
    return tty->lost_lines == 0 && ring_used(tty) + JSON_LINE_MAX < TTY_RING_SIZE - ECHO_ROOM;
}

bool tty_is_empty(const struct tty *tty)
{
    return ring_used(tty) == 0;
}

/* Moves one FIFO's worth; the serial port must have room. */
static void ring_to_uart(struct tty *tty)
{
    size_t at = tty->tail & RING_MASK;
    size_t length = ring_used(tty);

    if (length > UART_FIFO_SIZE)
        length = UART_FIFO_SIZE;
    if (length > TTY_RING_SIZE - at)
        length = TTY_RING_SIZE - at;
    /* First the position: an exception in between loses these bytes, but doesn't repeat them. */
    tty->tail += length;
    uart_write(&tty->uart, tty->ring + at, length);
}

bool tty_drain(struct tty *tty)
{
    if (!tty->present)
        return false;
    if (ring_used(tty) == 0) {
        if (tty->lost_lines == 0)
            return false;
        /* Nothing came after the gap to announce it. */
        char notice[NOTICE_MAX];
        size_t length = notice_format(tty, notice);
        ring_put(tty, notice, length);
        tty->lost_lines = 0;
    }
    if (!uart_has_room(&tty->uart))
        return false;
    ring_to_uart(tty);
    return true;
}

/* ---- the synchronous way out ---- */

/* True as soon as `done` says so, false once no more than `kept` cycles or `polls_kept` are left. */
static bool sync_wait(struct tty *tty, bool (*done)(struct uart *uart), bool keep)
{
    struct tty_budget *budget = &tty->budget;
    const uint64_t cycles_kept = keep ? budget->cycles_kept : 0;
    const uint64_t polls_kept = keep ? budget->polls_kept : 0;
    uint64_t last = clock_cycles();

    while (budget->polls > polls_kept && budget->cycles > cycles_kept) {
        budget->polls--;
        if (done(&tty->uart))
            return true;
        clock_relax();
        const uint64_t now = clock_cycles();
        const uint64_t spent = now - last;
        budget->cycles -= spent < budget->cycles ? spent : budget->cycles;
        last = now;
    }
    return false;
}

/* Writes a line out of the budget. */
static void write_sync(struct tty *tty, const char *line, size_t length)
{
    if (!tty->present)
        return;
    while (length > 0 && sync_wait(tty, uart_has_room, false)) {
        size_t part = length < UART_FIFO_SIZE ? length : UART_FIFO_SIZE;
        uart_write(&tty->uart, line, part);
        line += part;
        length -= part;
    }
    /* The next step may be to switch the machine off, and the last FIFO's worth with it. */
    sync_wait(tty, uart_is_idle, false);
}

/* Counts what is left in the ring as lost, but for the rest of a line already begun. */
static void ring_give_up(struct tty *tty)
{
    size_t keep = tty->tail;

    if (tty->ring[(tty->tail - 1) & RING_MASK] != '\n')
        while (keep != tty->head && tty->ring[keep++ & RING_MASK] != '\n') {
        }
    for (size_t i = keep; i != tty->head; i++)
        if (tty->ring[i & RING_MASK] == '\n')
            tty->lost_lines++;
    if (tty->notice_end > keep)
        tty->lost_lines += tty->notice_says - 1; /* the notice was counted as a line */
    tty->head = tty->notice_end = keep;
}

static void sync_start(struct tty *tty, uint64_t budget_ns)
{
    struct tty_budget *budget = &tty->budget;

    budget->cycles = clock_cycles_of_ns(budget_ns);
    budget->polls = budget_ns / POLL_NS_MIN;
    budget->cycles_kept = budget->cycles / 2;
    budget->polls_kept = budget->polls / 2;
    budget->on = true;
    if (tty->echo_open) /* what is being typed ends here */
        ring_put(tty, "\r\n", TTY_RING_SIZE - ring_used(tty) < 2 ? 0 : 2);
    tty->echo_open = false;
}

void tty_flush_sync(struct tty *tty, uint64_t budget_ns)
{
    if (!tty->budget.on)
        sync_start(tty, budget_ns);
    if (!tty->present)
        return;

    /* The old lines matter, but the new ones matter more: half of the time is reserved for them. */
    while (ring_used(tty) > 0 && sync_wait(tty, uart_has_room, true))
        ring_to_uart(tty);
    ring_give_up(tty);
    while (ring_used(tty) > 0 && sync_wait(tty, uart_has_room, false))
        ring_to_uart(tty);

    if (tty->lost_lines > 0) {
        char notice[NOTICE_MAX];
        size_t length = notice_format(tty, notice);
        tty->lost_lines = 0;
        write_sync(tty, notice, length);
    }
}

static bool write_as_is(struct tty *tty, const char *line, size_t length, bool always)
{
    if (!tty->budget.on)
        return queue_line(tty, line, length, always);
    write_sync(tty, line, length);
    return true;
}

bool tty_write_line(struct tty *tty, const char *line, size_t length, bool always)
{
    char json[JSON_LINE_MAX];

    if (!tty->present)
        return true;
    if (!tty->json)
        return write_as_is(tty, line, length, always);
    return write_as_is(tty, json, json_of_event(line, length, json), always);
}
