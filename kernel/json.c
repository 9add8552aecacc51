/*
 * From `event key=value …` to a JSON object (RFC 8259), pair by pair.
 */
#include "kernel/json.h"

#include <stdbool.h>
#include <string.h>

#define NAME_MAX 64 /* of an event: however it is escaped, there is room for it */

/* The bytes that must still fit behind the last pair. */
static const char cut_end[] = ",\"cut\":true}\r\n";
static const char end[] = "}\r\n";

/* The text that is still to be read. */
struct source {
    const char *at;
    const char *stop;
};

/* The output. Once something did not fit, `full` is set and nothing more is written. */
struct target {
    char *out;
    size_t length;
    size_t room;
    bool full;
};

static void put(struct target *target, const char *text, size_t length)
{
    if (target->full || length > target->room - target->length) {
        target->full = true;
        return;
    }
    memcpy(target->out + target->length, text, length);
    target->length += length;
}

/* One byte of a string. The encoding of other bytes than ASCII is unknown; they are taken as
 * Latin-1. */
static void put_byte(struct target *target, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    const char escaped[] = {'\\', (char)byte};
    const char numbered[] = {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]};

    if (byte == '"' || byte == '\\')
        put(target, escaped, sizeof(escaped));
    else if (byte < 0x20 || byte >= 0x7f)
        put(target, numbered, sizeof(numbered));
    else
        put(target, (const char *)&byte, 1);
}

static void put_string(struct target *target, const char *text, size_t length)
{
    put(target, "\"", 1);
    for (size_t i = 0; i < length; i++)
        put_byte(target, (unsigned char)text[i]);
    put(target, "\"", 1);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that a quoted value has at source->at, which moves on behind it: `\"`, `\\` and `\xNN`
 * are what log_quote makes. */
static unsigned char take_escaped(struct source *source)
{
    const char *at = source->at;
    const size_t left = (size_t)(source->stop - at);

    if (at[0] != '\\' || left < 2) {
        source->at++;
        return (unsigned char)at[0];
    }
    if (at[1] == 'x' && left >= 4 && hex_digit(at[2]) >= 0 && hex_digit(at[3]) >= 0) {
        source->at += 4;
        return (unsigned char)(hex_digit(at[2]) << 4 | hex_digit(at[3]));
    }
    source->at += 2;
    return (unsigned char)at[1];
}

/* A value that began with a quote, up to the closing one or, in a line that was cut, to its end. */
static void put_quoted(struct target *target, struct source *source)
{
    source->at++;
    put(target, "\"", 1);
    while (source->at < source->stop && *source->at != '"')
        put_byte(target, take_escaped(source));
    put(target, "\"", 1);
    if (source->at < source->stop)
        source->at++;
}

static size_t digits_at(const char *text, size_t length)
{
    size_t count = 0;

    while (count < length && text[count] >= '0' && text[count] <= '9')
        count++;
    return count;
}

/* A decimal number that JSON knows as such: no leading zeros, no exponent, no base. */
static bool is_number(const char *text, size_t length)
{
    const size_t sign = length > 0 && text[0] == '-' ? 1 : 0;
    const size_t whole = digits_at(text + sign, length - sign);

    if (whole == 0 || (whole > 1 && text[sign] == '0'))
        return false;
    if (sign + whole == length)
        return true;
    if (text[sign + whole] != '.')
        return false;
    const size_t fraction = length - sign - whole - 1;
    return fraction > 0 && digits_at(text + length - fraction, fraction) == fraction;
}

static size_t length_until(const struct source *source, char a, char b)
{
    size_t length = 0;

    while (source->at + length < source->stop && source->at[length] != a && source->at[length] != b)
        length++;
    return length;
}

static void put_value(struct target *target, struct source *source)
{
    if (source->at < source->stop && *source->at == '"') {
        put_quoted(target, source);
        return;
    }
    const size_t length = length_until(source, ' ', ' ');
    if (is_number(source->at, length))
        put(target, source->at, length);
    else
        put_string(target, source->at, length);
    source->at += length;
}

/* `key=value`; a word without an equals sign has the value true. */
static void put_pair(struct target *target, struct source *source)
{
    const size_t key = length_until(source, '=', ' ');

    put(target, ",", 1);
    put_string(target, source->at, key);
    put(target, ":", 1);
    source->at += key;
    if (source->at < source->stop && *source->at == '=') {
        source->at++;
        put_value(target, source);
    } else {
        put(target, "true", 4);
    }
}

size_t json_of_event(const char *line, size_t length, char out[static JSON_LINE_MAX])
{
    struct source source = {line, line + length};
    struct target target = {.out = out, .room = JSON_LINE_MAX - (sizeof(cut_end) - 1)};

    while (source.stop > line && (source.stop[-1] == '\n' || source.stop[-1] == '\r'))
        source.stop--;
    put(&target, "{\"event\":", 9);
    const size_t name = length_until(&source, ' ', ' ');
    put_string(&target, source.at, name < NAME_MAX ? name : NAME_MAX);
    source.at += name;

    while (source.at < source.stop) {
        if (*source.at == ' ') {
            source.at++;
            continue;
        }
        const size_t before = target.length;
        put_pair(&target, &source);
        if (target.full) {
            target.length = before;
            break;
        }
    }
    target.room = JSON_LINE_MAX;
    const bool cut = target.full;
    target.full = false;
    put(&target, cut ? cut_end : end, cut ? sizeof(cut_end) - 1 : sizeof(end) - 1);
    return target.length;
}
