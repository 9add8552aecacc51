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
        terminal->cursor = 0;
        return true;
    case '\n':
        line_feed(terminal);
        return true;
    case '\b':
        return terminal->cursor-- > 0;
    default:
        if (byte < 0x20 || byte >= 0x7f || terminal->cursor >= TERMINAL_COLUMNS - 1)
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
