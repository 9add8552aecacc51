/* How a function comes to interrupt the core: drivers/pci/pci_interrupt.c. */
#include <string.h>

#include "drivers/pci/pci_interrupt.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/bus.h"
#include "tests/host/sim/machine.h"

#define BAR 1
#define BAR_BASE 0xfeb00000u
#define BAR_BYTES 4096
#define TABLE 0x800u
#define COMMAND 0x04
#define INTX_OFF 0x0400
#define CONTROL_ENABLE 0x8000
#define CONTROL_MASK 0x4000

static struct sim_pci_function *function;
static struct pci_device device;
static struct interrupt_message message;
static uint8_t msix; /* offset of the capability */

/* The content of the table; entries start masked. `open` tells whether anything was written while
 * the function could have sent a message. */
static uint32_t table[8];
static bool written_while_open;
/* The bits that an entry's registers do not take: all of them where a bridge leads elsewhere. */
static uint32_t lost[4];

static uint32_t memory_read(void *context, unsigned bar, uint32_t offset, unsigned width)
{
    (void)context;
    assert_int_equal(bar, BAR);
    assert_int_equal(width, 4);
    return table[(offset - TABLE) / 4];
}

static void memory_write(void *context, unsigned bar, uint32_t offset, unsigned width,
                         uint32_t value)
{
    const uint32_t control = sim_pci_get(function, (uint8_t)(msix + 2), 2);

    (void)context;
    assert_int_equal(bar, BAR);
    assert_int_equal(width, 4);
    assert_in_range(offset, TABLE, TABLE + 15);
    written_while_open |= (control & (CONTROL_ENABLE | CONTROL_MASK)) == CONTROL_ENABLE;
    table[(offset - TABLE) / 4] = value & ~lost[(offset - TABLE) / 4];
}

static int setup(void **state)
{
    (void)state;
    machine_reset();
    function = sim_pci_add(0, 3, 0, SIM_PCI_ID(0x1af4, 0x1000), 0x020000);
    sim_pci_add_bar(function, BAR, 0, BAR_BYTES, BAR_BASE);
    function->memory_read = memory_read;
    function->memory_write = memory_write;
    msix = sim_pci_add_capability(function, 0x11, 12);
    function->writable[msix + 3] = 0xc0;
    sim_pci_set(function, (uint8_t)(msix + 2), 2, 1);
    sim_pci_set(function, (uint8_t)(msix + 4), 4, TABLE | BAR);
    function->config[0x3c] = 10;
    memset(table, 0, sizeof(table));
    table[3] = table[7] = 1;
    memset(lost, 0, sizeof(lost));
    written_while_open = false;
    message = (struct interrupt_message){0};
    return 0;
}

TEST_FIXTURE(.setup = setup);

static enum pci_interrupt open_device(void)
{
    assert_int_equal(pci_scan(&device, 1), 1);
    assert_true(pci_enable(&device));
    return pci_interrupt_open(&device, &message);
}

static uint32_t control(void)
{
    return sim_pci_get(function, (uint8_t)(msix + 2), 2);
}

static bool intx_is_off(void)
{
    return (sim_pci_get(function, COMMAND, 2) & INTX_OFF) != 0;
}

TEST(a_message_goes_into_the_first_entry_of_the_table)
{
    assert_int_equal(open_device(), PCI_INTERRUPT_BY_MESSAGE);
    assert_int_equal(table[0], MACHINE_MESSAGE_ADDRESS);
    assert_int_equal(table[1], 0);
    assert_int_equal(table[2], 1);
    assert_int_equal(table[3] & 1, 0);
    assert_int_equal(table[7], 1);
    assert_int_equal(control(), CONTROL_ENABLE | 1);
    assert_false(written_while_open);
    assert_true(intx_is_off());
    assert_true(pci_msix_enabled(&device));
}

TEST(a_function_in_the_place_of_another_has_its_message)
{
    assert_int_equal(open_device(), PCI_INTERRUPT_BY_MESSAGE);
    memset(table, 0, sizeof(table));
    assert_int_equal(pci_interrupt_open(&device, &message), PCI_INTERRUPT_BY_MESSAGE);
    assert_int_equal(table[0], MACHINE_MESSAGE_ADDRESS);
    assert_int_equal(table[2], 1);
}

TEST(a_table_that_firmware_left_on_is_masked_while_it_is_written)
{
    sim_pci_set(function, (uint8_t)(msix + 2), 2, CONTROL_ENABLE | 1);
    assert_int_equal(open_device(), PCI_INTERRUPT_BY_MESSAGE);
    assert_false(written_while_open);
    assert_int_equal(control(), CONTROL_ENABLE | 1);
}

/* A table that cannot be reached. MSI-X that firmware left on is switched off, or no line would
 * work. */
static void assert_line_instead(void)
{
    sim_pci_set(function, (uint8_t)(msix + 2), 2, CONTROL_ENABLE | 1);
    assert_int_equal(open_device(), PCI_INTERRUPT_BY_LINE);
    assert_int_equal(control() & CONTROL_ENABLE, 0);
    assert_false(intx_is_off());
    assert_int_equal(table[2], 0);
}

TEST(a_table_that_cannot_be_reached_leaves_the_line)
{
    static const uint32_t places[] = {
        TABLE | 0,                                     /* no such BAR */
        TABLE | 6,         TABLE | 7, BAR_BYTES | BAR, /* behind its end */
        0xfffffff8u | BAR,
    };

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        setup(state);
        sim_pci_set(function, (uint8_t)(msix + 4), 4, places[i]);
        assert_line_instead();
    }
    setup(state); /* the BAR has no address */
    sim_pci_add_bar(function, BAR, 0, BAR_BYTES, 0);
    assert_line_instead();
    setup(state); /* the BAR is of ports */
    sim_pci_add_bar(function, BAR, 1, 64, 0xc000);
    sim_pci_set(function, (uint8_t)(msix + 4), 4, BAR);
    assert_line_instead();
    setup(state); /* the BAR was left sized, in the place of the firmware's flash */
    sim_pci_add_bar(function, BAR, 0, BAR_BYTES, 0xfffff000);
    assert_line_instead();
    setup(state); /* page tables have run out */
    sim_bus_refuse_mapping();
    assert_line_instead();
}

/* Table entry words: address, its upper half, data. */
TEST(a_table_that_does_not_keep_the_message_leaves_the_line)
{
    for (unsigned word = 0; word < 3; word += 2) {
        setup(state);
        lost[word] = UINT32_MAX;
        sim_pci_set(function, (uint8_t)(msix + 2), 2, CONTROL_ENABLE | 1);
        assert_int_equal(open_device(), PCI_INTERRUPT_BY_LINE);
        assert_int_equal(control() & CONTROL_ENABLE, 0);
        assert_false(intx_is_off());
        assert_false(written_while_open);
    }
}

TEST(a_table_that_does_not_keep_the_message_and_no_line_leave_nothing)
{
    memset(lost, 0xff, sizeof(lost));
    function->config[0x3c] = 0;
    assert_int_equal(open_device(), PCI_INTERRUPT_NONE);
    assert_int_equal(control() & CONTROL_ENABLE, 0);
    assert_true(intx_is_off());
}

TEST(a_function_without_msix_has_its_line)
{
    function->config[0x34] = 0;
    assert_int_equal(open_device(), PCI_INTERRUPT_BY_LINE);
    assert_false(intx_is_off());
}

TEST(a_line_that_is_none_leaves_intx_off)
{
    static const uint8_t lines[] = {0, 16, 254, 255};

    for (size_t i = 0; i < sizeof(lines); i++) {
        setup(state);
        function->config[0x34] = 0;
        function->config[0x3c] = lines[i];
        assert_int_equal(open_device(), PCI_INTERRUPT_NONE);
        assert_true(intx_is_off());
    }
}
