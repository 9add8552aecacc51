/* Addresses for a device that came without any: drivers/pci/pci_assign.c, bridge by bridge. */
#include <string.h>

#include "drivers/pci/pci_assign.h"
#include "drivers/pci/pci_spec.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/bus.h"
#include "tests/host/sim/machine.h"

#define FUNCTIONS_MAX 256
#define MEMORY_64 0x4u
#define PREFETCHABLE 0x8u

static struct pci_device functions[FUNCTIONS_MAX];
static size_t count;
static struct sim_pci_function *bridge, *card;

/* A bridge at 00:05.0 to bus 1, its windows closed, and a card without BARs behind it. */
static int setup(void **state)
{
    (void)state;
    machine_reset();
    bridge = sim_pci_add(0, 5, 0, SIM_PCI_ID(0x1b36, 0x000c), 0x060400);
    sim_pci_make_bridge(bridge, 1);
    sim_pci_set(bridge, 0x1c, 2, 0x00f0);
    sim_pci_set(bridge, 0x20, 4, 0x0000fff0u);
    sim_pci_set(bridge, 0x24, 4, 0x0000fff0u);
    card = sim_pci_add(1, 0, 0, SIM_PCI_ID(0x1af4, 0x1041), 0x020000);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (sim_bus_complaint() != NULL)
        print_error("bus: %s\n", sim_bus_complaint());
    return sim_bus_complaint() != NULL;
}

TEST_FIXTURE(.setup = setup, .teardown = teardown);

/* The state before the card came: all other functions. */
static void scan(void)
{
    card->absent = true;
    count = pci_scan(functions, FUNCTIONS_MAX);
    card->absent = false;
}

/* The card as it is once it has got what can be had. */
static struct pci_device assign(void)
{
    struct pci_device device = {.bus = card->bus, .device = card->device};

    assert_true(pci_read_function(&device));
    pci_assign_bars(&device, functions, count);
    return device;
}

static void open_prefetchable(uint64_t start, uint64_t end, bool wide)
{
    const uint32_t type = wide ? 1 : 0;

    sim_pci_set(bridge, 0x24, 2, (uint32_t)(start >> 16 & 0xfff0u) | type);
    sim_pci_set(bridge, 0x26, 2, (uint32_t)((end - 1) >> 16 & 0xfff0u) | type);
    sim_pci_set(bridge, 0x28, 4, (uint32_t)(start >> 32));
    sim_pci_set(bridge, 0x2c, 4, (uint32_t)((end - 1) >> 32));
}

TEST(a_64_bit_prefetchable_bar_goes_above_4_gib_where_its_bridge_does)
{
    open_prefetchable(0x8000000000u, 0x8000400000u, true);
    sim_pci_set(bridge, 0x20, 4, 0xfe30fe20u);
    sim_pci_add_bar(card, 0, MEMORY_64 | PREFETCHABLE, 16384, 0);
    sim_pci_add_bar(card, 2, PREFETCHABLE, 16384, 0); /* 32 bits do not reach there */
    sim_pci_add_bar(card, 4, MEMORY_64, 16384, 0);    /* nor may one that is not prefetchable */
    scan();
    const struct pci_device device = assign();
    assert_true(device.bars[0].base == 0x8000000000u);
    assert_int_equal(sim_pci_get(card, 0x10, 4), MEMORY_64 | PREFETCHABLE);
    assert_int_equal(sim_pci_get(card, 0x14, 4), 0x80);
    assert_int_equal(device.bars[2].base, 0xfe200000u);
    assert_int_equal(device.bars[4].base, 0xfe204000u);
}

TEST(a_prefetchable_window_below_4_gib_takes_32_bit_bars_until_it_is_full)
{
    open_prefetchable(0xe0000000u, 0xe0100000u, false);
    sim_pci_set(bridge, 0x28, 4, 0xdeadbeefu); /* means nothing where the type is 32 bits */
    sim_pci_set(bridge, 0x20, 4, 0xfe30fe20u);
    sim_pci_add_bar(card, 0, PREFETCHABLE, 1u << 20, 0);
    sim_pci_add_bar(card, 1, PREFETCHABLE, 1u << 20, 0);
    scan();
    const struct pci_device device = assign();
    assert_int_equal(device.bars[0].base, 0xe0000000u);
    assert_int_equal(device.bars[1].base, 0xfe200000u);
    assert_int_equal(machine_log_count("warn", ""), 0);
}

TEST(on_the_root_bus_bridges_and_bars_are_gone_round_and_removed_cards_are_not)
{
    struct sim_pci_function *gone, *open;

    card->bus = 0;
    card->device = 9;
    sim_pci_set(bridge, 0x1c, 2, 0xc0c0);      /* its I/O: 0xc000 to 0xcfff */
    sim_pci_set(bridge, 0x20, 4, 0xf000f000u); /* its memory: 0xf0000000 to 0xf00fffff */
    open = sim_pci_add(0, 6, 0, SIM_PCI_ID(0x1234, 0x1111), 0x030000);
    sim_pci_add_bar(open, 0, 0, 1u << 20, 0xf0100000u);
    gone = sim_pci_add(0, 7, 0, SIM_PCI_ID(0x1234, 0x1111), 0x030000);
    sim_pci_add_bar(gone, 0, 0, 1u << 20, 0xf0200000u);
    sim_pci_add_bar(card, 0, 1, 32, 0);
    sim_pci_add_bar(card, 1, 0, 4096, 0);
    scan();
    assert_int_equal(functions[count - 1].device, 7);
    functions[count - 1].vendor = PCI_VENDOR_ID_NONE;
    const struct pci_device device = assign();
    assert_int_equal(device.bars[0].base, 0xd000);
    assert_int_equal(device.bars[1].base, 0xf0200000u);
}

TEST(a_card_behind_no_bridge_that_is_known_and_a_bridge_are_left_as_they_are)
{
    card->bus = 3;
    sim_pci_add_bar(card, 0, 0, 4096, 0);
    scan();
    sim_pci_set(card, 0x04, 2, 0x0001);
    assert_int_equal(assign().bars[0].base, 0);
    assert_int_equal(sim_pci_get(card, 0x10, 4), 0);
    assert_int_equal(sim_pci_get(card, 0x04, 2), 0x0001);
    /* The buses behind it would need windows that were not planned. */
    card->bus = 0;
    card->device = 9;
    sim_pci_make_bridge(card, 4);
    assert_int_equal(assign().bars[0].base, 0);
    assert_int_equal(machine_log_count("warn", "reason=\"no room"), 0);
}

TEST(a_bar_that_fits_by_its_size_but_on_no_boundary_is_refused)
{
    sim_pci_set(bridge, 0x20, 4, 0xfe40fe30u); /* 2 MiB from 0xfe300000 on */
    sim_pci_add_bar(card, 0, 0, 2u << 20, 0);
    sim_pci_add_bar(card, 1, 0, 1u << 20, 0);
    scan();
    const struct pci_device device = assign();
    assert_int_equal(device.bars[0].base, 0);
    assert_int_equal(machine_log_count("warn",
                                       "pci=01:00.0 bar=0 size=0x200000 reason=\"no room in "
                                       "the memory window"),
                     1);
    assert_int_equal(device.bars[1].base, 0xfe300000u);
}

/* No real bridge is like that, but a hostile one must not get a BAR at address 0. */
TEST(windows_at_the_end_of_the_address_space_do_not_wrap)
{
    const uint64_t start = 0xffffffffffc00000u;
    struct sim_pci_function *other = sim_pci_add(1, 1, 0, SIM_PCI_ID(0x1b36, 0x000c), 0x060400);

    sim_pci_make_bridge(other, 2);
    sim_pci_set(other, 0x1c, 2, 0x00f0);
    sim_pci_set(other, 0x20, 4, 0x0000fff0u);
    sim_pci_set(other, 0x24, 4, 0xffe1ffc1u); /* all but the last MiB, and the same for ours */
    sim_pci_set(other, 0x28, 4, 0xffffffffu);
    sim_pci_set(other, 0x2c, 4, 0xffffffffu);
    open_prefetchable(start, start + (3u << 20), true);
    sim_pci_add_bar(card, 0, MEMORY_64 | PREFETCHABLE, 2u << 20, 0);
    scan();
    functions[0].bars[5] = (struct pci_bar){.base = 1u << 20, .size = 1u << 20};
    assert_int_equal(assign().bars[0].base, 0); /* nor does the search go on behind that one */
    assert_int_equal(machine_log_count("warn", "bar=0 size=0x200000 reason=\"no room"), 1);
    /* One up to the very end is none. */
    sim_pci_set(other, 0x24, 4, 0x0000fff0u);
    sim_pci_set(bridge, 0x24, 4, 0xfff1ffc1u);
    scan();
    assert_int_equal(assign().bars[0].base, 0);
}

TEST(with_more_bars_than_can_be_noted_nothing_is_placed_over_them)
{
    sim_pci_set(bridge, 0x20, 4, 0xfe30fe20u);
    sim_pci_add_bar(card, 0, 0, 4096, 0);
    scan();
    for (; count < 200; count++) {
        functions[count] = (struct pci_device){.bus = 7, .vendor = 0x1234};
        for (unsigned bar = 0; bar < PCI_BARS_DEVICE; bar++)
            functions[count].bars[bar] =
                (struct pci_bar){.base = 0x10000000u + 4096 * (6 * count + bar), .size = 4096};
    }
    assert_int_equal(assign().bars[0].base, 0);
    assert_int_equal(machine_log_count("warn", "bar=0 size=0x1000 reason=\"no room"), 1);
    count = 100;
    assert_int_equal(assign().bars[0].base, 0xfe200000u);
}
