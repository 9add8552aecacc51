/*
 * The panic report: the cause, the registers, the backtrace, the last events, the end.
 *
 * A panic may strike inside any function, this file's too. Each further one inside the report does
 * less: the second prints two lines with nothing but port writes, the third only acts, and the
 * fourth stops the processor by means that cannot fail.
 */
#include "kernel/panic.h"

#include <stdarg.h>
#include <stdio.h>

#include <machine/clock.h>
#include <machine/log.h>

#include "kernel/backtrace.h"
#include "kernel/console.h"
#include "kernel/cpu.h"
#include "kernel/log_ring.h"
#include "kernel/image.h"
#include "kernel/page.h"
#include "kernel/panic_action.h"
#include "kernel/power.h"
#include "kernel/uart.h"

#define PANIC_BUDGET_NS (4 * CLOCK_NS_PER_S) /* for all output, if the serial port never has room */
#define PANIC_EXIT_VALUE 0x10                /* QEMU then ends with 33 */
#define PANIC_REASON_MAX 512
#define PANIC_GUARDS_MAX 8
#define NESTED_TRIES 200000 /* port reads, each a microsecond or less: a bound without a clock */

#define LLX(value) ((unsigned long long)(value))

static volatile unsigned panic_depth;
static char panic_reason[PANIC_REASON_MAX];

/* One short line, composed without the C library. */
static struct {
    char text[256];
    size_t length;
} nested_line;

_Noreturn static void act(void)
{
    power_tell_panic();
    power_debug_exit(PANIC_EXIT_VALUE);
    switch (panic_action()) {
    case PANIC_HALT:
        power_halt();
    case PANIC_POWEROFF:
        power_off();
    default:
        power_reset();
    }
}

_Noreturn static void act_last(void)
{
    if (panic_action() == PANIC_REBOOT)
        cpu_triple_fault();
    cpu_halt();
}

/* ---- The second panic: nothing that could be the cause of the trouble is used. ---- */

static void nested_add(const char *text)
{
    while (*text && nested_line.length < sizeof(nested_line.text))
        nested_line.text[nested_line.length++] = *text++;
}

/* `value` in base 10 or 16, with at least `digits` digits. */
static void nested_add_number(uint64_t value, unsigned base, unsigned digits)
{
    char reversed[21];
    char text[2] = "";
    unsigned count = 0;

    do {
        reversed[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0 || count < digits);
    while (count-- > 0) {
        text[0] = reversed[count];
        nested_add(text);
    }
}

static void nested_add_hex(const char *key, uint64_t value)
{
    nested_add(key);
    nested_add_number(value, 16, 1);
}

static void nested_begin(const char *event)
{
    uint64_t now_us = clock_ns() / CLOCK_NS_PER_US;

    nested_add(event);
    nested_add(" t=");
    nested_add_number(now_us / 1000000, 10, 1);
    nested_add(".");
    nested_add_number(now_us % 1000000, 10, 6);
}

static void nested_write(void)
{
    static struct uart com1 = {.base = UART_COM1};
    size_t done = 0;

    for (unsigned tries = 0; done < nested_line.length && tries < NESTED_TRIES; tries++) {
        if (!uart_has_room(&com1))
            continue;
        size_t rest = nested_line.length - done;
        size_t piece = rest < UART_FIFO_SIZE ? rest : UART_FIFO_SIZE;
        uart_write(&com1, nested_line.text + done, piece);
        done += piece;
    }
    nested_line.length = 0;
}

_Noreturn static void report_nested(const struct trap_frame *frame)
{
    nested_line.length = 0;
    nested_add("\r\n"); /* a line of the first report may be half written */
    nested_begin("panic");
    nested_add(" nested=yes vector=");
    nested_add(frame->vector == TRAP_NONE ? "none" : trap_name(frame->vector));
    nested_add(" number=");
    nested_add_number(frame->vector == TRAP_NONE ? 0 : frame->vector, 10, 1);
    nested_add_hex(" error=0x", frame->error);
    nested_add_hex(" rip=0x", frame->rip);
    nested_add_hex(" cr2=0x", cpu_read_cr2());
    nested_add("\r\n");
    nested_write();

    nested_begin("bye");
    nested_add(" reason=panic action=");
    nested_add(panic_action_name());
    nested_add("\r\n");
    nested_write();
    act();
}

/* ---- The first panic. ---- */

static bool is_guard(uint64_t address)
{
    uint64_t guards[PANIC_GUARDS_MAX];
    struct image_layout image;
    size_t count = trap_guards(guards, PANIC_GUARDS_MAX);

    image_layout_get(&image);
    if (address >= image.guard.start && address < image.guard.end)
        return true;
    for (size_t i = 0; i < count; i++) {
        if (address >= guards[i] && address - guards[i] < PAGE_BYTES)
            return true;
    }
    return false;
}

static const char *page_fault_reason(uint64_t error, uint64_t cr2)
{
    if (is_guard(cr2))
        return "stack overflow";
    if (cr2 < PAGE_BYTES)
        return "null pointer";
    if (!(error & PAGE_FAULT_PRESENT))
        return "not mapped";
    if (error & PAGE_FAULT_RESERVED)
        return "broken page table";
    if (error & PAGE_FAULT_FETCH)
        return "execution of data";
    return error & PAGE_FAULT_WRITE ? "write to read-only memory" : "not readable";
}

/* Details that the vector's name lacks. */
static const char *fault_reason(const struct trap_frame *frame, uint64_t cr2)
{
    switch (frame->vector) {
    case TRAP_DIVIDE:
        return "division by zero or result too large";
    case TRAP_NMI:
        return "sent by the host or by failing hardware";
    case TRAP_OPCODE:
        return "not an instruction";
    case TRAP_DOUBLE_FAULT:
        return is_guard(cr2) ? "stack overflow" : "an exception could not be delivered";
    case TRAP_PROTECTION:
        return "not allowed, or an address that cannot exist";
    case TRAP_PAGE_FAULT:
        return page_fault_reason(frame->error, cr2);
    case TRAP_MACHINE_CHECK:
        return "failing hardware";
    default:
        return "exception";
    }
}

static void report_exception(const struct trap_frame *frame)
{
    uint64_t cr2 = cpu_read_cr2();

    log_event(LOG_REPORT, "panic",
              "vector=%s number=%llu error=0x%llx rip=0x%llx cr2=0x%llx reason=\"%s\"",
              trap_name(frame->vector), LLX(frame->vector), LLX(frame->error), LLX(frame->rip),
              LLX(cr2), fault_reason(frame, cr2));
}

static void report_registers(const struct trap_frame *f)
{
    log_event(LOG_REPORT, "regs",
              "rax=0x%016llx rbx=0x%016llx rcx=0x%016llx rdx=0x%016llx "
              "rsi=0x%016llx rdi=0x%016llx rbp=0x%016llx rsp=0x%016llx",
              LLX(f->rax), LLX(f->rbx), LLX(f->rcx), LLX(f->rdx), LLX(f->rsi), LLX(f->rdi),
              LLX(f->rbp), LLX(f->rsp));
    log_event(LOG_REPORT, "regs",
              "r8=0x%016llx r9=0x%016llx r10=0x%016llx r11=0x%016llx "
              "r12=0x%016llx r13=0x%016llx r14=0x%016llx r15=0x%016llx",
              LLX(f->r8), LLX(f->r9), LLX(f->r10), LLX(f->r11), LLX(f->r12), LLX(f->r13),
              LLX(f->r14), LLX(f->r15));
    log_event(LOG_REPORT, "regs",
              "rflags=0x%llx cs=0x%llx ss=0x%llx cr0=0x%llx cr3=0x%llx cr4=0x%llx", LLX(f->rflags),
              LLX(f->cs), LLX(f->ss), LLX(cpu_read_cr0()), LLX(cpu_read_cr3()),
              LLX(cpu_read_cr4()));
}

static void report_history(void)
{
    for (unsigned age = LOG_RING_LINES; age-- > 0;) {
        const char *line = log_ring_value(age);
        if (line != NULL)
            log_event(LOG_REPORT, "history", "line=\"%s\"", line);
    }
}

_Noreturn static void report_rest(const struct trap_frame *frame)
{
    report_registers(frame);
    backtrace_report(frame);
    report_history();
    log_event(LOG_REPORT, "bye", "reason=panic action=%s", panic_action_name());
    act();
}

/* Decides by how deep we are in trouble; returns only for the first panic. */
static void enter(const struct trap_frame *frame)
{
    cpu_disable_interrupts();
    switch (panic_depth++) {
    case 0:
        log_ring_freeze();
        console_flush_sync(PANIC_BUDGET_NS);
        return;
    case 1:
        report_nested(frame);
    case 2:
        act();
    default:
        act_last();
    }
}

/* A reason with any content is a quoted value on one line. */
static void make_value(char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            *text = '\'';
        else if (*text < ' ' || *text > '~')
            *text = '?';
    }
}

_Noreturn void panic(const char *format, ...)
{
    const uint64_t *stack_frame = __builtin_frame_address(0);
    struct trap_frame frame;
    va_list arguments;

    /* As our caller sees it: the frame pointer pushed at our entry, and the return address. */
    trap_capture(&frame);
    frame.rbp = stack_frame[0];
    frame.rip = stack_frame[1];
    frame.rsp = (uintptr_t)&stack_frame[2];
    enter(&frame);

    va_start(arguments, format);
    vsnprintf(panic_reason, sizeof(panic_reason), format, arguments);
    va_end(arguments);
    make_value(panic_reason);
    log_event(LOG_REPORT, "panic", "reason=\"%s\"", panic_reason);
    report_rest(&frame);
}

_Noreturn void panic_exception(const struct trap_frame *frame)
{
    enter(frame);
    report_exception(frame);
    report_rest(frame);
}
