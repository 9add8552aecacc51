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

#define RING_MASK (CHANNEL_RING_SIZE - 1)

#define NOTICE_MAX 128 /* a `warn t=… lost_lines=N` with both numbers at their longest, as JSON */

/* What is typed must not push events out: its echo is put only where no more than this is used. */
#define ECHO_ROOM (CHANNEL_RING_SIZE / 8)

/*
 * Only events at level 'always' may use this last part of the ring. Nothing drains a channel before
 * the loop runs: `ready` must find room, however many warnings came before it.
 */
#define ALWAYS_ROOM (CHANNEL_RING_SIZE / 4)

/*
 * The synchronous phase counts its polls too, in case the time-stamp counter stands still or was
 * never calibrated: none is faster than this.
 */
#define POLL_NS_MIN 100

static size_t ring_used(const struct channel *channel)
{
    return channel->head - channel->tail;
}

static void ring_put(struct channel *channel, const char *bytes, size_t length)
{
    size_t at = channel->head & RING_MASK;
    size_t before_end = CHANNEL_RING_SIZE - at;
    size_t first = length < before_end ? length : before_end;

    memcpy(channel->ring + at, bytes, first);
    memcpy(channel->ring, bytes + first, length - first);
    channel->head += length;
}

/* The line that owns up to a gap, as this channel has its lines. Returns its length. */
static size_t notice_format(const struct channel *channel, char notice[static NOTICE_MAX])
{
    static const char text[] = "warn t=%" PRIu64 ".%06" PRIu64 " lost_lines=%" PRIu64 "\r\n";
    static const char json[] =
        "{\"event\":\"warn\",\"t\":%" PRIu64 ".%06" PRIu64 ",\"lost_lines\":%" PRIu64 "}\r\n";
    uint64_t us = clock_ns() / CLOCK_NS_PER_US;
    int length =
        channel->json
            ? snprintf(notice, NOTICE_MAX, json, us / 1000000, us % 1000000, channel->lost_lines)
            : snprintf(notice, NOTICE_MAX, text, us / 1000000, us % 1000000, channel->lost_lines);
    return (size_t)length;
}

/* Queues the notice, if it is due. */
static void notice_put(struct channel *channel, const char *notice, size_t length)
{
    if (channel->lost_lines == 0)
        return;
    ring_put(channel, notice, length);
    channel->notice_end = channel->head;
    channel->notice_says = channel->lost_lines;
    channel->lost_lines = 0;
}

void channel_init(struct channel *channel, uint16_t base, bool optional)
{
    channel->head = channel->tail = channel->notice_end = 0;
    channel->lost_lines = 0;
    channel->json = channel->echo_open = false;
    channel->budget.on = false;
    channel->present = uart_init(&channel->uart, base, optional);
    if (channel->present) /* so that the first event starts a line of its own */
        ring_put(channel, "\r\n", 2);
}

static bool queue_line(struct channel *channel, const char *line, size_t length, bool always)
{
    static const char line_end[] = "\r\n";
    const size_t end_length = channel->echo_open ? sizeof(line_end) - 1 : 0;
    const size_t limit = always ? CHANNEL_RING_SIZE : CHANNEL_RING_SIZE - ALWAYS_ROOM;

    /*
     * One notice at a time: after a further gap nothing is taken until the last notice is out, so
     * that an overrun console shows long runs of lines and not a notice after each.
     */
    char notice[NOTICE_MAX];
    size_t notice_length = channel->lost_lines > 0 ? notice_format(channel, notice) : 0;
    if ((channel->lost_lines > 0 && channel->notice_end > channel->tail) ||
        ring_used(channel) + end_length + notice_length + length > limit) {
        channel->lost_lines++;
        return false;
    }
    ring_put(channel, line_end, end_length);
    channel->echo_open = false;
    notice_put(channel, notice, notice_length);
    ring_put(channel, line, length);
    return true;
}

bool channel_has_echo_room(const struct channel *channel, size_t length)
{
    return ring_used(channel) + length <= ECHO_ROOM;
}

void channel_echo(struct channel *channel, const char *bytes, size_t length)
{
    ensure(!channel->budget.on && channel_has_echo_room(channel, length));
    ring_put(channel, bytes, length);
    channel->echo_open = length > 0 && bytes[length - 1] != '\n';
}

bool channel_has_room(const struct channel *channel)
{
    return channel->lost_lines == 0 &&
           ring_used(channel) + JSON_LINE_MAX < CHANNEL_RING_SIZE - ECHO_ROOM;
}

bool channel_is_empty(const struct channel *channel)
{
    return ring_used(channel) == 0;
}

/* Moves one FIFO's worth; the serial port must have room. */
static void ring_to_uart(struct channel *channel)
{
    size_t at = channel->tail & RING_MASK;
    size_t length = ring_used(channel);

    if (length > UART_FIFO_SIZE)
        length = UART_FIFO_SIZE;
    if (length > CHANNEL_RING_SIZE - at)
        length = CHANNEL_RING_SIZE - at;
    /* First the position: an exception in between loses these bytes, but doesn't repeat them. */
    channel->tail += length;
    uart_write(&channel->uart, channel->ring + at, length);
}

bool channel_drain(struct channel *channel)
{
    if (!channel->present)
        return false;
    if (ring_used(channel) == 0) {
        if (channel->lost_lines == 0)
            return false;
        /* Nothing came after the gap to announce it. */
        char notice[NOTICE_MAX];
        size_t length = notice_format(channel, notice);
        ring_put(channel, notice, length);
        channel->lost_lines = 0;
    }
    if (!uart_has_room(&channel->uart))
        return false;
    ring_to_uart(channel);
    return true;
}

/* ---- the synchronous way out ---- */

/* True as soon as `done` says so, false once no more than `kept` cycles or `polls_kept` are left. */
static bool sync_wait(struct channel *channel, bool (*done)(struct uart *uart), bool keep)
{
    struct channel_budget *budget = &channel->budget;
    const uint64_t cycles_kept = keep ? budget->cycles_kept : 0;
    const uint64_t polls_kept = keep ? budget->polls_kept : 0;
    uint64_t last = clock_cycles();

    while (budget->polls > polls_kept && budget->cycles > cycles_kept) {
        budget->polls--;
        if (done(&channel->uart))
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
static void write_sync(struct channel *channel, const char *line, size_t length)
{
    if (!channel->present)
        return;
    while (length > 0 && sync_wait(channel, uart_has_room, false)) {
        size_t part = length < UART_FIFO_SIZE ? length : UART_FIFO_SIZE;
        uart_write(&channel->uart, line, part);
        line += part;
        length -= part;
    }
    /* The next step may be to switch the machine off, and the last FIFO's worth with it. */
    sync_wait(channel, uart_is_idle, false);
}

/* Counts what is left in the ring as lost, but for the rest of a line already begun. */
static void ring_give_up(struct channel *channel)
{
    size_t keep = channel->tail;

    if (channel->ring[(channel->tail - 1) & RING_MASK] != '\n')
        while (keep != channel->head && channel->ring[keep++ & RING_MASK] != '\n') {
        }
    for (size_t i = keep; i != channel->head; i++)
        if (channel->ring[i & RING_MASK] == '\n')
            channel->lost_lines++;
    if (channel->notice_end > keep)
        channel->lost_lines += channel->notice_says - 1; /* the notice was counted as a line */
    channel->head = channel->notice_end = keep;
}

static void sync_start(struct channel *channel, uint64_t budget_ns)
{
    struct channel_budget *budget = &channel->budget;

    budget->cycles = clock_cycles_of_ns(budget_ns);
    budget->polls = budget_ns / POLL_NS_MIN;
    budget->cycles_kept = budget->cycles / 2;
    budget->polls_kept = budget->polls / 2;
    budget->on = true;
    if (channel->echo_open) /* what is being typed ends here */
        ring_put(channel, "\r\n", CHANNEL_RING_SIZE - ring_used(channel) < 2 ? 0 : 2);
    channel->echo_open = false;
}

void channel_flush_sync(struct channel *channel, uint64_t budget_ns)
{
    if (!channel->budget.on)
        sync_start(channel, budget_ns);
    if (!channel->present)
        return;

    /* What led here matters, but what comes now matters more: half of the time is kept for it. */
    while (ring_used(channel) > 0 && sync_wait(channel, uart_has_room, true))
        ring_to_uart(channel);
    ring_give_up(channel);
    while (ring_used(channel) > 0 && sync_wait(channel, uart_has_room, false))
        ring_to_uart(channel);

    if (channel->lost_lines > 0) {
        char notice[NOTICE_MAX];
        size_t length = notice_format(channel, notice);
        channel->lost_lines = 0;
        write_sync(channel, notice, length);
    }
}

static bool write_as_is(struct channel *channel, const char *line, size_t length, bool always)
{
    if (!channel->budget.on)
        return queue_line(channel, line, length, always);
    write_sync(channel, line, length);
    return true;
}

bool channel_write_line(struct channel *channel, const char *line, size_t length, bool always)
{
    char json[JSON_LINE_MAX];

    if (!channel->present)
        return true;
    if (!channel->json)
        return write_as_is(channel, line, length, always);
    return write_as_is(channel, json, json_of_event(line, length, json), always);
}
