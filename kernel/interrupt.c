/* Interrupts as wake-ups: set up at start-up, enabled during interrupt_wait, noted, cleared. */
#include "kernel/interrupt.h"

#include <machine/clock.h>
#include <machine/log.h>

#include "kernel/cpu.h"
#include "kernel/lapic.h"
#include "kernel/pic.h"

_Static_assert((INTERRUPT_VECTOR_SPURIOUS & 0xf) == 0xf, "older processors have no other");

static bool lines_usable;
static bool apic_usable;
static uint16_t console_lines;
static unsigned next_message = INTERRUPT_VECTOR_MESSAGES;
static uint64_t timer_due; /* when the timer will strike, in cycles; 0: it is not running */

/* Only the handler writes it, while interrupts are enabled; it is read while they are disabled. */
static volatile unsigned came;

void interrupt_init(void)
{
    lines_usable = pic_init(INTERRUPT_VECTOR_LINES);
    apic_usable = lapic_init(INTERRUPT_VECTOR_TIMER, INTERRUPT_VECTOR_SPURIOUS);
    log_event(LOG_DEBUG, "interrupts", "lines=%s messages=%s", lines_usable ? "yes" : "no",
              apic_usable && lapic_message_address() != 0 ? "yes" : "no");
}

bool interrupt_open_message(struct interrupt_message *message)
{
    if (!apic_usable || lapic_message_address() == 0 || next_message == INTERRUPT_VECTOR_SPURIOUS)
        return false;
    /* Fixed delivery, edge-triggered: nothing but the vector. */
    *message = (struct interrupt_message){lapic_message_address(), next_message++};
    return true;
}

bool interrupt_open_line(unsigned line)
{
    return lines_usable && pic_open(line, true);
}

void interrupt_open_console(unsigned line)
{
    if (lines_usable && pic_open(line, false))
        console_lines |= (uint16_t)(1u << line);
}

bool interrupt_can_wait(void)
{
    return apic_usable;
}

void interrupt_fence(void)
{
    cpu_fence_before_sleep();
}

static void line_taken(unsigned line)
{
    if (!pic_taken(line))
        return;
    came |= console_lines & 1u << line ? INTERRUPT_CONSOLE : INTERRUPT_DEVICE;
}

void interrupt_taken(uint64_t vector)
{
    if (vector < INTERRUPT_VECTOR_TIMER) {
        line_taken((unsigned)(vector - INTERRUPT_VECTOR_LINES));
    } else if (vector != INTERRUPT_VECTOR_SPURIOUS) {
        lapic_end_of_interrupt();
        if (vector == INTERRUPT_VECTOR_TIMER)
            timer_due = 0;
        came |= vector == INTERRUPT_VECTOR_TIMER ? INTERRUPT_TIMER : INTERRUPT_DEVICE;
    }
}

/* A timer that strikes earlier does as well, and setting it costs an exit to the hypervisor. */
static void timer_set(uint64_t now, uint64_t until)
{
    if (timer_due != 0 && timer_due <= until)
        return;
    timer_due = until;
    lapic_timer_start(until - now);
}

unsigned interrupt_wait(uint64_t until)
{
    const uint64_t now = clock_cycles();

    came = 0;
    pic_unmask();
    if ((int64_t)(until - now) > 0) {
        timer_set(now, until);
        /* sti enables interrupts behind the next instruction only, which is the halt itself. A
         * pending interrupt ends the halt, so none is handled in between and leaves us asleep. */
        __asm__ volatile("sti\n\thlt\n\tcli" : : : "memory");
    } else {
        __asm__ volatile("sti\n\tnop\n\tcli" : : : "memory");
    }
    return came;
}
