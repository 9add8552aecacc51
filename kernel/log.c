/*
 * Events: one line each, made on the stack and handed to the console whole.
 */
#include "kernel/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <machine/clock.h>

#include "kernel/console.h"
#include "kernel/log_ring.h"

static const char line_end[] = "\r\n";
static const char cut_mark[] = "...";

#define LINE_END_LENGTH (sizeof(line_end) - 1)
#define CUT_MARK_LENGTH (sizeof(cut_mark) - 1)
#define TEXT_MAX (LOG_LINE_MAX - LINE_END_LENGTH)

/* Turns the length that snprintf wanted into the length that it wrote into `room` bytes with the
 * NUL. */
static size_t written(int wanted, size_t room)
{
    if (wanted < 0)
        return 0;
    return (size_t)wanted < room ? (size_t)wanted : room - 1;
}

/* A value that wasn't quoted properly must not be able to forge a line of its own. */
static void replace_control_bytes(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    if (!log_enabled(level))
        return;

    /* One byte more than a line's text can have: for the NUL, and to notice a text too long. */
    char line[TEXT_MAX + 2 + LINE_END_LENGTH];
    const size_t room = TEXT_MAX + 2;
    uint64_t us = clock_ns() / CLOCK_NS_PER_US;
    size_t length = written(
        snprintf(line, room, "%s t=%" PRIu64 ".%06" PRIu64 " ", event, us / 1000000, us % 1000000),
        room);

    va_list arguments;
    va_start(arguments, format);
    length += written(vsnprintf(line + length, room - length, format, arguments), room - length);
    va_end(arguments);
    if (length > TEXT_MAX) {
        length = TEXT_MAX;
        memcpy(line + length - CUT_MARK_LENGTH, cut_mark, CUT_MARK_LENGTH);
    }
    replace_control_bytes(line, length);
    log_ring_keep(line, length);
    memcpy(line + length, line_end, LINE_END_LENGTH);
    console_write_line(line, length + LINE_END_LENGTH, level == LOG_REPORT);
}

static bool needs_quotes(const char *raw)
{
    return raw[0] == '\0' || strpbrk(raw, " \"=\\") != NULL;
}

/* Writes one byte in its safe form to `out` (up to 5 bytes with the NUL) and returns its length. */
static size_t quote_byte(char out[static 5], unsigned char byte, bool quoted)
{
    if (byte < 0x20 || byte >= 0x7f)
        return written(snprintf(out, 5, "\\x%02x", byte), 5);

    size_t length = 0;
    if (quoted && (byte == '"' || byte == '\\'))
        out[length++] = '\\';
    out[length++] = (char)byte;
    out[length] = '\0';
    return length;
}

struct log_quoted log_quote(const char *raw)
{
    struct log_quoted result;
    bool quoted = needs_quotes(raw);
    size_t length = 0;
    /* Always kept free: the mark of a cut, the closing quote and the NUL. */
    const size_t room = LOG_QUOTE_MAX - CUT_MARK_LENGTH - 2;

    if (quoted)
        result.text[length++] = '"';
    for (; *raw != '\0'; raw++) {
        char form[5];
        size_t form_length = quote_byte(form, (unsigned char)*raw, quoted);
        if (length + form_length > room) {
            memcpy(result.text + length, cut_mark, CUT_MARK_LENGTH);
            length += CUT_MARK_LENGTH;
            break;
        }
        memcpy(result.text + length, form, form_length);
        length += form_length;
    }
    if (quoted)
        result.text[length++] = '"';
    result.text[length] = '\0';
    return result;
}

void log_drain(void)
{
    console_drain();
}

bool log_pending(void)
{
    return console_pending();
}
