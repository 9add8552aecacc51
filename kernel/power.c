/*
 * Off, reset, halt. Each tries the registers of the tables, then those that most machines have.
 * Also the recorded request to end the machine.
 */
#include "kernel/power.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>

#include <machine/clock.h>
#include <machine/io.h>
#include <machine/log.h>
#include <machine/memory.h>
#include <machine/power.h>

#include "kernel/acpi.h"
#include "kernel/button.h"
#include "kernel/console.h"
#include "kernel/cpu.h"

/* For what is still to be said: the last `stats` of 32 ports take a second of a real serial line. */
#define CONSOLE_BUDGET_NS (4 * CLOCK_NS_PER_S)

/* A look at the button is a port read, and that an exit to the hypervisor: ten a second. */
#define BUTTON_NS (100 * CLOCK_NS_PER_MS)

/* ACPI 6, 4.8.3.2.1 "PM1 Control Registers" */
#define PM1_SCI_EN (1u << 0)
#define PM1_SLP_TYP_SHIFT 10
#define PM1_SLP_TYP (7u << PM1_SLP_TYP_SHIFT)
#define PM1_SLP_EN (1u << 13)

/* ACPI 6, 4.8.3.7 "Sleep Control and Status Registers" */
#define SLEEP_TYP_SHIFT 2
#define SLEEP_EN (1u << 5)

/* The PM1 control register of QEMU's pc and q35, used if no table names one. */
#define QEMU_PM1A_CONTROL 0x604

/* Intel's chipsets, and QEMU's: full reset of processor and devices. */
#define RESET_CONTROL 0xcf9
#define RESET_CONTROL_SYSTEM 0x02
#define RESET_CONTROL_START 0x06

/* The keyboard controller 8042, one of whose output lines is the processor's reset. */
#define KBC_STATUS 0x64
#define KBC_STATUS_INPUT_FULL 0x02
#define KBC_COMMAND 0x64
#define KBC_PULSE_RESET 0xfe

/* QEMU's docs/specs/pvpanic.txt: a read returns the events that the device takes, a write reports
 * one. */
#define PVPANIC 0x505
#define PVPANIC_PANICKED (1u << 0)
#define PVPANIC_EVENTS 0x07 /* that exist so far; an absent device reads as all ones */

#define DEBUG_EXIT 0xf4

/* A write here takes effect at once or after some ms, or never. */
#define EFFECT_WAIT_NS (200 * CLOCK_NS_PER_MS)
#define EFFECT_WAIT_READS 1000000

/* Waits; bounded by a count too, for a panic while the clock isn't calibrated yet. */
static void wait_for_effect(void)
{
    uint64_t start = clock_cycles();
    uint64_t cycles = clock_cycles_of_ns(EFFECT_WAIT_NS);

    for (int i = 0; i < EFFECT_WAIT_READS && clock_cycles() - start < cycles; i++)
        clock_relax();
}

/* Under the start-up map every register below 4 GiB can be reached. */
static bool registers_mapped = true;

static void register_map(const struct acpi_register *where)
{
    if (where->space != ACPI_MEMORY || memory_map_device(where->address, 1) != NULL)
        return;
    registers_mapped = false;
    log_event(LOG_WARN, "warn",
              "reason=acpi-register-not-mapped address=0x%" PRIx64
              " effect=\"power off and reset may not work\"",
              where->address);
}

static void register_write8(const struct acpi_register *where, uint8_t value)
{
    if (where->space == ACPI_IO)
        io_write8((uint16_t)where->address, value);
    else if (where->space == ACPI_MEMORY && registers_mapped)
        *(volatile uint8_t *)(uintptr_t)where->address = value;
}

/* Firmware may have left the machine in its own hands, where SLP_EN has no effect. */
static void acpi_take_over(const struct acpi_power *acpi)
{
    if (acpi->smi_command == 0 || (io_read16(acpi->pm1a_control) & PM1_SCI_EN) != 0)
        return;
    io_write8(acpi->smi_command, acpi->acpi_enable);
    for (int i = 0; i < 10 && (io_read16(acpi->pm1a_control) & PM1_SCI_EN) == 0; i++)
        wait_for_effect();
}

void power_init(void)
{
    register_map(&acpi_power()->reset);
    register_map(&acpi_power()->sleep_control);
    /* Now and not only when it is time to go: in the firmware's hands the button has no effect. */
    if (acpi_power()->pm1a_control != 0)
        acpi_take_over(acpi_power());
    button_init();
}

static void pm1_sleep(uint16_t port, uint8_t type)
{
    unsigned value = io_read16(port) & ~(PM1_SLP_TYP | PM1_SLP_EN);

    value |= (unsigned)type << PM1_SLP_TYP_SHIFT;
    io_write16(port, (uint16_t)(value | PM1_SLP_EN));
}

static void acpi_power_off(const struct acpi_power *acpi)
{
    if (!acpi->s5_known)
        return;
    if (acpi->sleep_control.space != ACPI_NONE)
        register_write8(&acpi->sleep_control,
                        (uint8_t)(acpi->s5_type_a << SLEEP_TYP_SHIFT | SLEEP_EN));
    if (acpi->pm1a_control == 0)
        return;
    acpi_take_over(acpi);
    pm1_sleep(acpi->pm1a_control, acpi->s5_type_a);
    if (acpi->pm1b_control != 0)
        pm1_sleep(acpi->pm1b_control, acpi->s5_type_b);
}

void power_off(void)
{
    console_flush_sync(CONSOLE_BUDGET_NS);
    acpi_power_off(acpi_power());
    wait_for_effect();
    io_write16(QEMU_PM1A_CONTROL, PM1_SLP_EN);
    wait_for_effect();
    log_event(LOG_REPORT, "warn",
              "reason=power-off-failed remedy=\"halted now: end the machine from outside\"");
    power_halt();
}

static void kbc_reset(void)
{
    for (int i = 0; i < 1000 && (io_read8(KBC_STATUS) & KBC_STATUS_INPUT_FULL) != 0; i++)
        clock_relax();
    io_write8(KBC_COMMAND, KBC_PULSE_RESET);
}

void power_reset(void)
{
    console_flush_sync(CONSOLE_BUDGET_NS);
    if (acpi_power()->reset.space != ACPI_NONE) {
        register_write8(&acpi_power()->reset, acpi_power()->reset_value);
        wait_for_effect();
    }
    io_write8(RESET_CONTROL, RESET_CONTROL_SYSTEM);
    io_write8(RESET_CONTROL, RESET_CONTROL_START);
    wait_for_effect();
    kbc_reset();
    wait_for_effect();
    cpu_triple_fault();
}

void power_halt(void)
{
    console_flush_sync(CONSOLE_BUDGET_NS);
    cpu_halt();
}

static struct {
    bool noted;
    enum power_action action;
    const char *reason;
    uint64_t button_due; /* the next look at it, in cycles; 0: never looked */
} request;

void power_request(enum power_action action, const char *reason)
{
    if (request.noted)
        return;
    request.noted = true;
    request.action = action;
    request.reason = reason;
}

bool power_requested(void)
{
    const uint64_t now = clock_cycles();

    if (!request.noted && now >= request.button_due) {
        request.button_due = now + clock_cycles_of_ns(BUTTON_NS);
        if (button_pressed())
            power_request(POWER_OFF, "power-button");
    }
    return request.noted;
}

void power_execute(uint32_t unsent)
{
    log_event(LOG_REPORT, "bye", "reason=%s action=%s unsent=%" PRIu32, request.reason,
              request.action == POWER_REBOOT ? "reboot" : "poweroff", unsent);
    if (request.action == POWER_REBOOT)
        power_reset();
    power_off();
}

void power_tell_panic(void)
{
    const uint8_t events = io_read8(PVPANIC);

    if ((events & ~PVPANIC_EVENTS) == 0 && (events & PVPANIC_PANICKED))
        io_write8(PVPANIC, PVPANIC_PANICKED);
}

void power_debug_exit(uint8_t value)
{
    io_write8(DEBUG_EXIT, value);
}
