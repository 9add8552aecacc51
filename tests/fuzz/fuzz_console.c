/*
 * Console input: the line editor, its output on a terminal, and the monitor.
 *
 * The input is typed byte by byte, except two bytes that no terminal sends: 0xfe, an event comes in
 * between; 0xff, a frame arrives and the lanes run.
 */
#include "tests/fuzz/target.h"

#include <stdlib.h>
#include <string.h>

#include <machine/clock.h>
#include <machine/panic.h>

#include "kernel/editor.h"
#include "kernel/json.h"
#include "tests/host/fixture/memory_port.h"
#include "net/monitor.h"
#include "tests/host/sim/machine.h"
#include "tests/host/sim/console_user.h"
#include "tests/host/sim/terminal.h"

#define PORTS 3
#define EVENT 0xfe
#define FRAME 0xff

static struct memory_port ports[PORTS];
static struct topology topology;
static struct loop loop;
static struct monitor monitor;
static struct editor editor;
static struct terminal terminal;

static const char *const phrases[] = {"stats", "stats clear", "set stats=", "ports", NULL};

static unsigned pci_count(void)
{
    return 2;
}

static void report_pci(unsigned index)
{
    log_event(LOG_REPORT, "pci", "index=%u", index);
}

static void begin(void)
{
    const struct monitor_machine machine = {
        .version = "fuzz", .pci_count = pci_count, .pci_report = report_pci};

    machine_reset();
    memset(&topology, 0, sizeof(topology));
    topology.port_count = PORTS;
    for (unsigned i = 0; i < PORTS; i++) {
        memory_port_init(&ports[i], i, (struct mac_address){{2, 0, 0, 0, 0, (uint8_t)i}});
        topology.ports[i] = &ports[i].port;
    }
    topology_plan(&topology, "", false);
    ensure(topology_allot(&topology, UINT64_MAX) == 0);
    topology_start(&topology);
    topology_settle(&topology);
    loop_init(&loop, topology.ports, topology.port_lanes, PORTS, 0);
    monitor_init(&monitor, &topology, &loop, &machine);
    editor_init(&editor);
    editor.phrases = phrases;
    memset(&terminal, 0, sizeof(terminal));
}

/* The terminal must show what the editor has, its cursor where the editor's is. */
static void show(void)
{
    char out[EDITOR_SHOW_MAX];
    const size_t length = editor_show(&editor, out);

    ensure(length <= EDITOR_SHOW_MAX && terminal_take(&terminal, out, length));
    editor_was_shown(&editor);
    ensure(editor.line.length < CONSOLE_LINE_MAX && editor.line.cursor <= editor.line.length);
    ensure(strlen(editor.line.text) == editor.line.length);
    if (!editor.open)
        return;
    ensure(terminal_shows(&terminal, editor.line.text, editor.line.length, editor.line.cursor));
}

/* The line is complete: the terminal gets what is missing of it. */
static void end(void)
{
    char out[EDITOR_END_MAX];
    const size_t length = editor_end(&editor, out);

    ensure(length <= EDITOR_END_MAX && terminal_take(&terminal, out, length));
    ensure(terminal.cursor == 0);
    editor_was_hidden(&editor);
}

/* A Tab that lists the choices: they are one line that a program ignores. */
static void list(void)
{
    char out[EDITOR_LIST_MAX];
    const size_t length = editor_list(&editor, out);

    ensure(length <= EDITOR_LIST_MAX);
    if (length == 0)
        return;
    ensure(memcmp(out, "\r\n> ", 4) == 0 && memcmp(out + length - 2, "\r\n", 2) == 0);
    show();
    ensure(terminal_take(&terminal, out, length));
    editor_was_hidden(&editor);
}

/* The line is the monitor's. It ends with one `done` or one `error`, and the machine goes on. */
static void answer(void)
{
    machine_log_forget();
    user_type(0, editor.line.text);
    for (unsigned i = 0; i < 40; i++)
        monitor_service(&monitor);
    ensure(user_addressed() == USER_ALL);
    const size_t ends = machine_log_count("done", "command=") +
                        machine_log_count("error", "reason=bad-argument command=") +
                        machine_log_count("error", "reason=unknown-command ") +
                        machine_log_count("error", "reason=bad-byte ") +
                        machine_log_count("error", "reason=line-too-long ");
    ensure(ends == (strspn(editor.line.text, " ") == editor.line.length ? 0 : 1));
}

static void forward(void)
{
    uint8_t frame[60] = {2};

    machine_clock_advance(CLOCK_NS_PER_MS);
    for (unsigned i = 0; i < PORTS; i++)
        memory_port_inject(&ports[i], frame, sizeof(frame));
    loop_round(&loop);
    for (unsigned i = 0; i < PORTS; i++)
        while (memory_port_collect(&ports[i], frame, sizeof(frame)) != 0) {
        }
}

/* However it came to it, every buffer is somewhere. */
static void count_buffers(void)
{
    machine_log_forget();
    user_type(1, "memory");
    for (unsigned i = 0; i < 10; i++)
        monitor_service(&monitor);
    ensure(machine_log_count("memory", " missing=0") == PORTS + 1);
}

static void end_shown_line(const char *event)
{
    ensure(terminal_take(&terminal, "\r\n", 2));
    ensure(terminal_take(&terminal, event, strlen(event)));
    editor_was_hidden(&editor);
}

/* The same bytes as an event line: an object comes out that a reader can find the end of. */
static void check_json(const uint8_t *data, size_t size)
{
    static char out[JSON_LINE_MAX];
    bool quoted = false;

    if (size > LOG_LINE_MAX)
        size = LOG_LINE_MAX;
    const size_t length = json_of_event((const char *)data, size, out);
    ensure(length >= 4 && length <= JSON_LINE_MAX);
    ensure(out[0] == '{' && memcmp(out + length - 3, "}\r\n", 3) == 0);
    for (size_t i = 1; i < length - 3; i++) {
        ensure(out[i] >= ' ' && out[i] <= '~');
        if (quoted && out[i] == '\\')
            i++;
        else if (out[i] == '"')
            quoted = !quoted;
        else
            ensure(quoted || strchr(":,.-0123456789true", out[i]) != NULL);
    }
    ensure(!quoted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_json(data, size);
    begin();
    for (size_t i = 0; i < size; i++) {
        if (data[i] == EVENT) {
            end_shown_line("warn t=0.000001 a=1\r\n");
        } else if (data[i] == FRAME) {
            forward();
        } else if (editor_feed(&editor, data[i])) {
            end();
            answer();
            editor_next(&editor);
        } else if (editor.wants_list) {
            list();
        }
        if (i % 3 == 0)
            show();
    }
    count_buffers();
    return 0;
}
