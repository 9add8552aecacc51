/* The power button in the PM1 event registers, or in the generic event device of QEMU's microvm. */
#include "kernel/button.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>

#include <machine/io.h>
#include <machine/log.h>
#include <machine/memory.h>

#include "kernel/acpi.h"

/* ACPI 6, 4.8.3.1.1 "PM1 Status Registers": a bit is cleared by writing it. The enable register
 * has the same bit at the same place, and QEMU shows no press that was not enabled before. */
#define PM1_PWRBTN (1u << 8)

/* QEMU's include/hw/acpi/generic_event_device.h: reading the selector clears it. */
#define GED_POWER_DOWN (1u << 1)
#define GED_SELECTOR_BYTES 4

static const volatile uint32_t *selector; /* NULL: there is none */

static void pm1_enable(uint16_t status_port)
{
    const uint16_t enable_port = (uint16_t)(status_port + acpi_power()->pm1_event_enable);

    if (status_port == 0)
        return;
    io_write16(enable_port, (uint16_t)(io_read16(enable_port) | PM1_PWRBTN));
    io_write16(status_port, PM1_PWRBTN); /* an earlier press was not for this kernel */
}

static bool pm1_pressed(uint16_t status_port)
{
    if (status_port == 0 || !(io_read16(status_port) & PM1_PWRBTN))
        return false;
    io_write16(status_port, PM1_PWRBTN);
    return true;
}

static void selector_map(const struct acpi_register *where)
{
    if (where->space != ACPI_MEMORY)
        return;
    selector = memory_map_device(where->address, GED_SELECTOR_BYTES);
    if (selector == NULL)
        log_event(LOG_WARN, "warn",
                  "reason=acpi-register-not-mapped address=0x%" PRIx64
                  " effect=\"the power button is not seen\"",
                  where->address);
}

void button_init(void)
{
    pm1_enable(acpi_power()->pm1a_event);
    pm1_enable(acpi_power()->pm1b_event);
    selector_map(&acpi_power()->event_selector);
}

bool button_pressed(void)
{
    const struct acpi_power *acpi = acpi_power();
    /* No short cut: a press that shows in two places must be cleared in both. */
    const bool a = pm1_pressed(acpi->pm1a_event);
    const bool b = pm1_pressed(acpi->pm1b_event);

    return (selector != NULL && (*selector & GED_POWER_DOWN)) || a || b;
}
