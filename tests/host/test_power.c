/* The note that the machine is to end, and the power button: kernel/power.c, kernel/button.c. */
#include <machine/clock.h>
#include <machine/power.h>

#include "kernel/acpi.h"
#include "kernel/console.h"
#include "kernel/power.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/bus.h"
#include "tests/host/sim/machine.h"

#define PM1_PORTS 0x600 /* status, enable, control, two bytes each */
#define PM1_STATUS 0
#define PM1_ENABLE 2
#define PM1_CONTROL 4
#define PM1_PWRBTN 0x0100
#define SCI_EN 0x0001
#define IO_BAR 0x01

/* A machine's PM1 block, as a function on the simulated bus. */
static struct {
    uint16_t status, enable, control;
    unsigned status_reads;
} pm1;

static struct acpi_power tables;

const struct acpi_power *acpi_power(void)
{
    return &tables;
}

void console_flush_sync(uint64_t budget_ns)
{
    (void)budget_ns;
}

static uint32_t pm1_read(void *context, uint16_t offset, unsigned width)
{
    (void)context;
    assert_int_equal(width, 2);
    if (offset == PM1_STATUS)
        pm1.status_reads++;
    return offset == PM1_STATUS ? pm1.status : offset == PM1_ENABLE ? pm1.enable : pm1.control;
}

static void pm1_write(void *context, uint16_t offset, unsigned width, uint32_t value)
{
    (void)context;
    assert_int_equal(width, 2);
    if (offset == PM1_STATUS)
        pm1.status &= (uint16_t)~value;
    else if (offset == PM1_ENABLE)
        pm1.enable = (uint16_t)value;
    else
        pm1.control = (uint16_t)value;
}

/* As QEMU: a press of the button leaves no trace while its event is disabled. */
static void press(void)
{
    if (pm1.enable & PM1_PWRBTN)
        pm1.status |= PM1_PWRBTN;
}

static int setup(void **state)
{
    struct sim_pci_function *function;

    (void)state;
    machine_reset();
    function = sim_pci_add(0, 1, 3, SIM_PCI_ID(0x8086, 0x7113), 0x068000);
    function->port_read = pm1_read;
    function->port_write = pm1_write;
    sim_pci_add_bar(function, 0, IO_BAR, 64, PM1_PORTS);
    sim_pci_set(function, 4, 2, 1); /* decodes I/O */
    pm1.status = PM1_PWRBTN;        /* pressed while the firmware ran */
    pm1.enable = 0x0020;
    pm1.control = SCI_EN;
    pm1.status_reads = 0;
    tables = (struct acpi_power){
        .pm1a_event = PM1_PORTS + PM1_STATUS,
        .pm1_event_enable = PM1_ENABLE,
        .pm1a_control = PM1_PORTS + PM1_CONTROL,
    };
    return 0;
}

TEST_FIXTURE(.setup = setup);

/* A request cannot be taken back, so all of it is one story. */
TEST(the_button_is_looked_at_ten_times_a_second_and_a_press_is_a_request)
{
    power_init();
    assert_int_equal(pm1.enable, 0x0020 | PM1_PWRBTN); /* the other bits stay */
    assert_int_equal(pm1.status, 0);

    machine_clock_step(CLOCK_NS_PER_US);
    for (uint64_t end = machine_clock_now() + 10 * CLOCK_NS_PER_S; machine_clock_now() < end;)
        assert_false(power_requested());
    assert_in_range(pm1.status_reads, 99, 101);

    press();
    const uint64_t start = machine_clock_now();
    while (!power_requested())
        assert_true(machine_clock_now() - start < 110 * CLOCK_NS_PER_MS);
    assert_int_equal(pm1.status, 0);

    /* From then on the end is requested, and the button is no longer polled. */
    pm1.status_reads = 0;
    machine_clock_advance(CLOCK_NS_PER_S);
    power_request(POWER_REBOOT, "late");
    assert_true(power_requested());
    assert_int_equal(pm1.status_reads, 0);
}
