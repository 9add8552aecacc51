/* A ring of whole lines. A line counts only once it is copied, so that an exception in the middle of
 * anything here leaves a ring that can be reported. */
#include "kernel/log_ring.h"

#include <stdbool.h>
#include <string.h>

#include <machine/log.h>

/* The room in a line of the report for name, time, key and CR LF, and some to spare. */
#define REPORT_OVERHEAD 64
#define VALUE_MAX (LOG_LINE_MAX - REPORT_OVERHEAD)
#define CUT_MARK "..."

static struct {
    char text[LOG_LINE_MAX];
    size_t length; /* 0: none */
} lines[LOG_RING_LINES];

static unsigned next; /* where the next line goes, and where the oldest is */
static bool frozen;

void log_ring_keep(const char *line, size_t length)
{
    if (frozen || length > LOG_LINE_MAX)
        return;
    lines[next].length = 0;
    memcpy(lines[next].text, line, length);
    lines[next].length = length;
    next = (next + 1) % LOG_RING_LINES;
}

void log_ring_freeze(void)
{
    frozen = true;
}

/* The line as the inside of a quoted value; what is too long ends in dots. */
static void quote(char value[static VALUE_MAX], const char *text, size_t length)
{
    const size_t room = VALUE_MAX - sizeof(CUT_MARK) - 1; /* an escape may take two */
    size_t used = 0;

    for (size_t i = 0; i < length; i++) {
        if (used >= room) {
            memcpy(value + used, CUT_MARK, sizeof(CUT_MARK) - 1);
            used += sizeof(CUT_MARK) - 1;
            break;
        }
        if (text[i] == '"' || text[i] == '\\')
            value[used++] = '\\';
        value[used++] = text[i];
    }
    value[used] = '\0';
}

const char *log_ring_value(unsigned age)
{
    static char value[VALUE_MAX]; /* not on the stack, of which a panic may have little left */
    const unsigned at = (next + LOG_RING_LINES - 1 - age % LOG_RING_LINES) % LOG_RING_LINES;

    if (lines[at].length == 0)
        return NULL;
    quote(value, lines[at].text, lines[at].length);
    return value;
}
