/* The console's channels together: output by address, and input. */
#include "kernel/console.h"

#include <machine/clock.h>
#include <machine/panic.h>

#include "kernel/tty.h"
#include "kernel/editor.h"
#include "kernel/uart.h"

/*
 * How often a serial port is polled for input. Each poll is an exit to the hypervisor; the FIFO of
 * 16 bytes takes 1.4 ms to fill. While input comes, each call polls and reads at most INPUT_BYTES:
 * faster than the line can bring them. After a while without input the port is polled seldom: the
 * delay is not noticed, and an emulated port keeps what its FIFO has no room for.
 */
#define INPUT_PERIOD_NS CLOCK_NS_PER_MS
#define INPUT_QUIET_PERIOD_NS (10 * CLOCK_NS_PER_MS)
#define INPUT_BYTES 12

/* The longest echo of one byte: the line, choices below it, and the line again or its end. */
#define ECHO_MAX (EDITOR_SHOW_MAX + EDITOR_LIST_MAX + EDITOR_END_MAX)

/* More input is likely for this long after a byte. */
#define INPUT_LASTS_NS CLOCK_NS_PER_S

#define ALL_CHANNELS ((1u << CONSOLE_CHANNELS) - 1)

static struct tty ttys[CONSOLE_CHANNELS];
static struct editor editors[CONSOLE_CHANNELS];
static uint64_t input_due[CONSOLE_CHANNELS]; /* in clock_cycles */
static uint64_t input_period;
static uint64_t input_quiet_period;
static uint64_t input_lasts;
static uint64_t input_came; /* in clock_cycles; meaningless while input_seen is false */
static bool input_seen;
static unsigned addressed = ALL_CHANNELS; /* a bit for each */
static bool synchronous;

void console_init(void)
{
    tty_init(&ttys[0], UART_COM1, false);
    tty_init(&ttys[1], UART_COM2, true);
    for (unsigned i = 0; i < CONSOLE_CHANNELS; i++) {
        editor_init(&editors[i]);
        input_due[i] = clock_cycles();
    }
    addressed = ALL_CHANNELS;
    synchronous = input_seen = false;
}

void console_write_line(const char *line, size_t length, bool always)
{
    const unsigned to = synchronous ? ALL_CHANNELS : addressed;

    for (unsigned i = 0; i < CONSOLE_CHANNELS; i++) {
        if (!(to & 1u << i))
            continue;
        tty_write_line(&ttys[i], line, length, always);
        if (!ttys[i].echo_open)
            editor_was_hidden(&editors[i]);
    }
}

bool console_drain(void)
{
    bool wrote = false;

    for (unsigned i = 0; i < CONSOLE_CHANNELS; i++)
        wrote |= tty_drain(&ttys[i]);
    return wrote;
}

static bool somebody_types(uint64_t now)
{
    return input_seen && now - input_came < input_lasts;
}

bool console_pending(void)
{
    if (somebody_types(clock_cycles()))
        return true;
    for (unsigned i = 0; i < CONSOLE_CHANNELS; i++)
        if (ttys[i].present && (!tty_is_empty(&ttys[i]) || ttys[i].lost_lines != 0))
            return true;
    return false;
}

void console_flush_sync(uint64_t budget_ns)
{
    /* A second terminal that takes nothing must not use up the first one's time. */
    const uint64_t second = ttys[1].present ? budget_ns / 4 : 0;

    synchronous = true;
    tty_flush_sync(&ttys[0], budget_ns - second);
    tty_flush_sync(&ttys[1], second);
}

/* ---- input ---- */

void console_set_phrases(const char *const *phrases)
{
    for (unsigned i = 0; i < CONSOLE_CHANNELS; i++)
        editors[i].phrases = phrases;
    input_period = clock_cycles_of_ns(INPUT_PERIOD_NS);
    input_quiet_period = clock_cycles_of_ns(INPUT_QUIET_PERIOD_NS);
    input_lasts = clock_cycles_of_ns(INPUT_LASTS_NS);
}

void console_set_json(unsigned channel, bool on)
{
    ensure(channel < CONSOLE_CHANNELS);
    ttys[channel].json = on;
}

bool console_has_room(unsigned channel)
{
    ensure(channel < CONSOLE_CHANNELS);
    return tty_has_room(&ttys[channel]);
}

void console_address(unsigned channel)
{
    ensure(channel < CONSOLE_CHANNELS);
    addressed = 1u << channel;
}

void console_address_all(void)
{
    addressed = ALL_CHANNELS;
}

/* A channel in JSON has no echo. */
static void show(struct tty *tty, struct editor *editor)
{
    char bytes[EDITOR_SHOW_MAX];

    if (tty->json)
        return;
    const size_t length = editor_show(editor, bytes);
    if (length > 0) {
        tty_echo(tty, bytes, length);
        editor_was_shown(editor);
    }
}

/* Shows the whole line and ends it. */
static void show_end(struct tty *tty, struct editor *editor)
{
    char bytes[EDITOR_END_MAX];
    const size_t length = tty->json ? 0 : editor_end(editor, bytes);

    if (length > 0)
        tty_echo(tty, bytes, length);
    editor_was_hidden(editor);
}

/* Shows the completions below the line; the line itself is shown again under them. */
static void list(struct tty *tty, struct editor *editor)
{
    char bytes[EDITOR_LIST_MAX];
    const size_t length = tty->json ? 0 : editor_list(editor, bytes);

    if (length == 0)
        return;
    show(tty, editor);
    tty_echo(tty, bytes, length);
    editor_was_hidden(editor);
}

/*
 * Whether a byte may be taken: its longest echo must find room. While a terminal is slow its input
 * waits, so that each answer appears below its line.
 */
static bool can_feed(const struct tty *tty)
{
    return tty->json || tty_has_echo_room(tty, ECHO_MAX);
}

/* Feeds what has come, up to the end of a line. Returns whether there is one; *came: any byte. */
static bool feed(struct tty *tty, struct editor *editor, bool *came)
{
    *came = false;
    for (unsigned i = 0; i < INPUT_BYTES && can_feed(tty); i++) {
        uint8_t byte;
        const enum uart_input input = uart_read(&tty->uart, &byte);

        if (input == UART_NOTHING)
            return false;
        *came = true;
        if (input == UART_BREAK)
            editor_clear(editor); /* another person may use the terminal now */
        else if (input == UART_BAD)
            editor_feed_unknown(editor);
        else if (editor_feed(editor, byte))
            return true;
        if (editor->wants_list)
            list(tty, editor);
    }
    return false;
}

void console_expect_input(void)
{
    for (unsigned i = 0; i < CONSOLE_CHANNELS; i++)
        input_due[i] = clock_cycles();
}

bool console_take_line(unsigned channel, char line[CONSOLE_LINE_MAX])
{
    ensure(channel < CONSOLE_CHANNELS);
    struct tty *tty = &ttys[channel];
    struct editor *editor = &editors[channel];

    if (!tty->present || synchronous)
        return false;
    const uint64_t now = clock_cycles();
    if ((int64_t)(now - input_due[channel]) < 0)
        return false;

    bool came;
    const bool ended = feed(tty, editor, &came);
    if (came) {
        input_came = now;
        input_seen = true;
    }
    if (!ended) {
        /* An event has interrupted what is being typed: it comes again once the events are out. */
        if (came || tty_is_empty(tty))
            show(tty, editor);
        const uint64_t period = somebody_types(now) ? input_period : input_quiet_period;
        input_due[channel] = came ? now : now + period;
        return false;
    }
    show_end(tty, editor);
    const struct editor_line *typed = &editor->line;
    for (size_t i = 0; i <= typed->length; i++)
        line[i] = typed->text[i];
    editor_next(editor);
    return true;
}
