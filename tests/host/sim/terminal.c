/* The least that a terminal can do. */
#include "tests/host/sim/terminal.h"

#include <stdbool.h>
#include <string.h>

static void line_feed(struct terminal *terminal)
{
    size_t length = strlen(terminal->line);

    if (terminal->above_length + length + 2 > sizeof(terminal->above))
        terminal->above_length = 0; /* scrolled away */
    memcpy(terminal->above + terminal->above_length, terminal->line, length);
    terminal->above_length += length;
    terminal->above[terminal->above_length++] = '\n';
    terminal->above[terminal->above_length] = '\0';
    memset(terminal->line, 0, sizeof(terminal->line));
    terminal->cursor = 0;
}

static bool take_byte(struct terminal *terminal, char byte)
{
    switch (byte) {
    case '\r':
        terminal->cursor -= terminal->cursor % TERMINAL_COLUMNS;
        return true;
    case '\n':
        line_feed(terminal);
        return true;
    case '\b':
        return terminal->cursor-- % TERMINAL_COLUMNS != 0;
    default:
        if (byte < 0x20 || byte >= 0x7f || terminal->cursor >= TERMINAL_LINE_MAX - 1)
            return false;
        terminal->line[terminal->cursor++] = byte;
        return true;
    }
}

bool terminal_take(struct terminal *terminal, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!take_byte(terminal, bytes[i]))
            return false;
    return true;
}

#define PROMPT_LENGTH 2
#define ROW_MAX (TERMINAL_COLUMNS - PROMPT_LENGTH - 1) /* the cursor never leaves the row */

bool terminal_shows(const struct terminal *terminal, const char *text, size_t length, size_t cursor)
{
    const char *row = terminal->line + PROMPT_LENGTH;
    const size_t at = terminal->cursor - PROMPT_LENGTH;

    if (strncmp(terminal->line, "> ", PROMPT_LENGTH) != 0 ||
        strlen(terminal->line) >= TERMINAL_COLUMNS || terminal->cursor < PROMPT_LENGTH ||
        at > cursor)
        return false;
    const size_t start = cursor - at;
    const size_t shown = length - start < ROW_MAX ? length - start : ROW_MAX;
    const bool more = start + shown < length;
    if ((start > 0 && (at == 0 || length <= ROW_MAX)) || at > shown || (more && at + 1 >= shown))
        return false;
    for (size_t i = 0; i < shown; i++) {
        const char byte = text[start + i];
        const char wanted = i == 0 && start > 0          ? '<'
                            : i + 1 == shown && more     ? '>'
                            : byte >= ' ' && byte <= '~' ? byte
                                                         : '?';
        if (row[i] != wanted)
            return false;
    }
    return strspn(row + shown, " ") == strlen(row + shown);
}
