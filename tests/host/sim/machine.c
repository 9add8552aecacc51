/* The simulated machine: memory, clock, log, power, panic. Its ports are in sim_bus.c. */
#include "tests/host/sim/machine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <sanitizer/asan_interface.h> /* its macros do nothing where there is no sanitizer */

#include <machine/clock.h>
#include <machine/interrupt.h>
#include <machine/io.h>
#include <machine/memory.h>
#include <machine/option.h>
#include <machine/panic.h>
#include <machine/power.h>

#include "tests/host/sim/bus.h"
#include "tests/host/sim/console_user.h"

/*
 * Low, so that page numbers of 32 bits reach it; the address sanitizer leaves this range to the
 * program. Devices see it above 4 GiB, so that an address cut to 32 bits is noticed.
 */
#define ARENA_BASE 0x10000000ULL
#define ARENA_SIZE 0x20000000ULL
#define CLEARED_BY_HAND 0x100000 /* up to so much, new pages would take longer */
#define GUARD 64                 /* bytes behind each piece that must not be accessed */
#define PIECES_MAX 4096
#define LOG_LINES_MAX 4096
#define LINES 16

struct piece {
    uintptr_t start;
    size_t size;
};

static struct {
    uint8_t *arena;
    size_t used;
    size_t limit;
    struct piece pieces[PIECES_MAX];
    size_t piece_count;

    uint64_t now_ns;
    uint64_t step_ns;
    void (*work)(void *context);
    void *work_context;
    bool working;

    enum log_level level;
    char *lines[LOG_LINES_MAX];
    size_t line_count;

    bool cannot_wait;
    unsigned interrupts; /* pending */
    unsigned line_holders[LINES];
    bool line_open[LINES];
    unsigned waits;
    void (*at_fence)(void);
    unsigned messages; /* opened */

    bool power_requested;

    bool panic_expected;
    jmp_buf panic_return;
    char panic_text[512];
} machine;

/* Driver structures live as long as the machine, so what malloc gave at start-up never returns. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

void machine_command_line(const char *words)
{
    char *const line = strdup(words);

    option_read_line(line);
    free(line);
}

void machine_reset(void)
{
    if (machine.arena == NULL) {
        machine.arena =
            mmap((void *)ARENA_BASE, ARENA_SIZE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
        if (machine.arena != (void *)ARENA_BASE) {
            perror("machine: no memory at the arena's address");
            abort();
        }
        ASAN_POISON_MEMORY_REGION(machine.arena, ARENA_SIZE);
    }
    ASAN_UNPOISON_MEMORY_REGION(machine.arena, machine.used);
    if (machine.used <= CLEARED_BY_HAND)
        memset(machine.arena, 0, machine.used);
    else /* fresh pages are zero pages */
        madvise(machine.arena, machine.used, MADV_DONTNEED);
    ASAN_POISON_MEMORY_REGION(machine.arena, machine.used);
    machine.used = 0;
    machine.limit = ARENA_SIZE;
    machine.piece_count = 0;
    machine.now_ns = 0;
    machine.step_ns = 100;
    machine.work = NULL;
    machine.level = LOG_DEBUG;
    machine_log_forget();
    machine.cannot_wait = false;
    machine.interrupts = machine.waits = machine.messages = 0;
    machine.at_fence = NULL;
    memset(machine.line_holders, 0, sizeof(machine.line_holders));
    memset(machine.line_open, 0, sizeof(machine.line_open));
    machine.power_requested = false;
    machine.panic_expected = false;
    option_reset();
    sim_bus_reset();
    user_reset();
}

/* --- memory --- */

void machine_memory_limit(size_t bytes)
{
    machine.limit = machine.used + bytes < ARENA_SIZE ? machine.used + bytes : ARENA_SIZE;
}

SEAM uint64_t memory_available(void)
{
    return machine.limit - machine.used;
}

SEAM void *memory_alloc(size_t size, size_t alignment)
{
    size_t start;

    ensure(alignment != 0 && (alignment & (alignment - 1)) == 0);
    ensure(machine.arena != NULL);
    start = (machine.used + alignment - 1) & ~(alignment - 1);
    if (size == 0 || start > machine.limit || size > machine.limit - start)
        return NULL;
    ensure(machine.piece_count < PIECES_MAX);
    machine.pieces[machine.piece_count++] =
        (struct piece){.start = (uintptr_t)machine.arena + start, .size = size};
    machine.used = start + size + GUARD;
    if (machine.used > machine.limit)
        machine.used = machine.limit;
    ASAN_UNPOISON_MEMORY_REGION(machine.arena + start, size);
    return machine.arena + start;
}

bool machine_is_ram(uint64_t physical, uint64_t size)
{
    const uint64_t start = ARENA_BASE + PHYSICAL_OFFSET;

    return physical < start + ARENA_SIZE && size > 0 && physical + size > start;
}

void *machine_dma(uint64_t physical, uint64_t size)
{
    uint64_t start = physical - PHYSICAL_OFFSET;

    for (size_t i = 0; i < machine.piece_count; i++) {
        const struct piece *piece = &machine.pieces[i];

        if (start >= piece->start && size <= piece->size &&
            start - piece->start <= piece->size - size)
            return (void *)(uintptr_t)start;
    }
    return NULL;
}

/* --- clock --- */

void machine_clock_step(uint64_t ns)
{
    machine.step_ns = ns;
}

void machine_clock_advance(uint64_t ns)
{
    machine.now_ns += ns;
}

uint64_t machine_clock_now(void)
{
    return machine.now_ns;
}

void machine_clock_hook(void (*work)(void *context), void *context)
{
    machine.work = work;
    machine.work_context = context;
}

/* The work may itself look at the clock: that calls it no second time. */
static void pass_time(void)
{
    machine.now_ns += machine.step_ns;
    if (machine.work != NULL && !machine.working) {
        machine.working = true;
        machine.work(machine.work_context);
        machine.working = false;
    }
}

SEAM uint64_t clock_cycles(void)
{
    pass_time();
    return machine.now_ns * (MACHINE_CLOCK_HZ / CLOCK_NS_PER_S);
}

SEAM uint64_t clock_hz(void)
{
    return MACHINE_CLOCK_HZ;
}

SEAM uint64_t clock_ns(void)
{
    pass_time();
    return machine.now_ns;
}

SEAM uint64_t clock_cycles_of_ns(uint64_t ns)
{
    return ns * (MACHINE_CLOCK_HZ / CLOCK_NS_PER_S);
}

SEAM void clock_relax(void)
{
    pass_time();
}

/* --- interrupts --- */

void machine_interrupt(void)
{
    machine.interrupts |= INTERRUPT_DEVICE;
}

void machine_can_wait(bool yes)
{
    machine.cannot_wait = !yes;
}

unsigned machine_waits(void)
{
    return machine.waits;
}

void machine_console_interrupt(void)
{
    machine.interrupts |= INTERRUPT_CONSOLE;
}

SEAM bool interrupt_open_message(struct interrupt_message *message)
{
    *message = (struct interrupt_message){MACHINE_MESSAGE_ADDRESS, ++machine.messages};
    return true;
}

void machine_line(unsigned line, bool asserted)
{
    ensure(line < LINES && (asserted || machine.line_holders[line] > 0));
    machine.line_holders[line] += asserted ? 1u : -1u;
}

SEAM bool interrupt_open_line(unsigned line)
{
    if (line >= LINES)
        return false;
    machine.line_open[line] = true;
    return true;
}

SEAM bool interrupt_can_wait(void)
{
    return !machine.cannot_wait;
}

void machine_at_fence(void (*work)(void))
{
    machine.at_fence = work;
}

SEAM void interrupt_fence(void)
{
    void (*const work)(void) = machine.at_fence;

    machine.at_fence = NULL;
    if (work != NULL)
        work();
}

/* Which kinds there are now. */
static unsigned interrupted(void)
{
    for (unsigned i = 0; i < LINES; i++) {
        if (machine.line_open[i] && machine.line_holders[i] > 0)
            return machine.interrupts | INTERRUPT_DEVICE;
    }
    return machine.interrupts;
}

/* Sleep advances the clock a microsecond at a step, or at once if no work runs elsewhere. */
SEAM unsigned interrupt_wait(uint64_t until)
{
    const uint64_t until_ns = until / (MACHINE_CLOCK_HZ / CLOCK_NS_PER_S);

    machine.waits++;
    while (!interrupted() && machine.now_ns < until_ns) {
        if (machine.work == NULL)
            machine.now_ns = until_ns;
        pass_time();
    }
    const unsigned came = interrupted() != 0 ? interrupted() : INTERRUPT_TIMER;
    machine.interrupts = 0;
    return came;
}

/* --- log --- */

void machine_log_level(enum log_level level)
{
    machine.level = level;
}

SEAM bool log_enabled(enum log_level level)
{
    return level <= machine.level;
}

/* Keeps the line as the console would print it, so that its length is the real one. */
SEAM void log_event(enum log_level level, const char *event, const char *format, ...)
{
    char line[2 * LOG_LINE_MAX];
    va_list arguments;
    int length;

    if (!log_enabled(level))
        return;
    length = snprintf(line, sizeof(line), "%s t=%llu.%06llu ", event,
                      (unsigned long long)(machine.now_ns / CLOCK_NS_PER_S),
                      (unsigned long long)(machine.now_ns % CLOCK_NS_PER_S / CLOCK_NS_PER_US));
    va_start(arguments, format);
    length += vsnprintf(line + length, sizeof(line) - (size_t)length, format, arguments);
    va_end(arguments);
    if (length + 2 > LOG_LINE_MAX || machine.line_count == LOG_LINES_MAX) {
        fprintf(stderr, "machine: line too long or one too many: %s\n", line);
        abort();
    }
    machine.lines[machine.line_count++] = strdup(line);
}

/* The shape that the contract asks for; the kernel's own is tested with the kernel's log. */
SEAM struct log_quoted log_quote(const char *raw)
{
    struct log_quoted quoted;

    if (raw[0] == '\0' || strpbrk(raw, " \"=") != NULL)
        snprintf(quoted.text, sizeof(quoted.text), "\"%s\"", raw);
    else
        snprintf(quoted.text, sizeof(quoted.text), "%s", raw);
    return quoted;
}

SEAM void log_drain(void)
{
}

SEAM bool log_pending(void)
{
    return false;
}

static bool is_event(const char *line, const char *event)
{
    const size_t length = strlen(event);

    return strncmp(line, event, length) == 0 && line[length] == ' ';
}

size_t machine_log_count(const char *event, const char *fragment)
{
    size_t count = 0;

    for (size_t i = 0; i < machine.line_count; i++)
        count += is_event(machine.lines[i], event) && strstr(machine.lines[i], fragment) != NULL;
    return count;
}

const char *machine_log_line(const char *event, size_t number)
{
    for (size_t i = 0; i < machine.line_count; i++)
        if (is_event(machine.lines[i], event) && number-- == 0)
            return machine.lines[i];
    return NULL;
}

void machine_log_forget(void)
{
    while (machine.line_count > 0)
        free(machine.lines[--machine.line_count]);
}

void machine_log_print(void)
{
    for (size_t i = 0; i < machine.line_count; i++)
        fprintf(stderr, "    %s\n", machine.lines[i]);
}

/* --- power --- */

SEAM void power_request(enum power_action action, const char *reason)
{
    (void)action;
    (void)reason;
    machine.power_requested = true;
}

SEAM bool power_requested(void)
{
    return machine.power_requested;
}

/* --- panic --- */

jmp_buf *machine_panic_expect(void)
{
    machine.panic_expected = true;
    return &machine.panic_return;
}

bool machine_panic_missed(void)
{
    machine.panic_expected = false;
    option_reset();
    return false;
}

const char *machine_panic_text(void)
{
    return machine.panic_text;
}

SEAM _Noreturn void panic(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(machine.panic_text, sizeof(machine.panic_text), format, arguments);
    va_end(arguments);
    if (machine.panic_expected) {
        machine.panic_expected = false;
        option_reset();
        longjmp(machine.panic_return, 1);
    }
    fprintf(stderr, "machine: panic: %s\n", machine.panic_text);
    machine_log_print();
    abort();
}
