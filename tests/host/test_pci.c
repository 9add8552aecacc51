/* The walk over PCI against simulated configuration space: drivers/pci/pci.c. */
#include <string.h>

#include "drivers/pci/pci.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/bus.h"
#include "tests/host/sim/machine.h"

#define DEVICES_MAX 64
#define CLASS_HOST_BRIDGE 0x060000
#define CLASS_ISA_BRIDGE 0x060100
#define CLASS_PCI_BRIDGE 0x060400
#define CLASS_ETHERNET 0x020000
#define VIRTIO_NET SIM_PCI_ID(0x1af4, 0x1000)
#define MULTI_FUNCTION 0x80

static struct pci_device devices[DEVICES_MAX];

static int setup(void **state)
{
    (void)state;
    machine_reset();
    memset(devices, 0xee, sizeof(devices));
    return 0;
}

/* After every test the bus must have seen no error. */
static int teardown(void **state)
{
    (void)state;
    if (sim_bus_complaint() != NULL)
        print_error("bus: %s\n", sim_bus_complaint());
    return sim_bus_complaint() != NULL;
}

TEST_FIXTURE(.setup = setup, .teardown = teardown);

static struct sim_pci_function *add_bridge(uint8_t bus, uint8_t device, uint8_t secondary)
{
    struct sim_pci_function *bridge =
        sim_pci_add(bus, device, 0, SIM_PCI_ID(0x1b36, 0x0001), CLASS_PCI_BRIDGE);

    sim_pci_make_bridge(bridge, secondary);
    return bridge;
}

static void assert_address(const struct pci_device *device, const char *text)
{
    assert_string_equal(pci_address(device).text, text);
}

TEST(a_machine_without_pci_has_no_devices)
{
    sim_pci_add(0, 0, 0, VIRTIO_NET, CLASS_ETHERNET);
    sim_bus_remove_pci();
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 0);
    assert_int_equal(machine_log_count("warn", ""), 0);
}

TEST(an_empty_bus_has_no_devices)
{
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 0);
    assert_int_equal(pci_scan(NULL, 0), 0);
}

TEST(identity_comes_from_the_header)
{
    struct sim_pci_function *function = sim_pci_add(0, 3, 0, VIRTIO_NET, CLASS_ETHERNET);

    sim_pci_set(function, 0x08, 1, 0x05);
    sim_pci_set(function, 0x2c, 2, 0x1af4);
    sim_pci_set(function, 0x2e, 2, 0x0001);
    sim_pci_set(function, 0x3c, 1, 11);
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 1);
    assert_address(&devices[0], "00:03.0");
    assert_int_equal(devices[0].vendor, 0x1af4);
    assert_int_equal(devices[0].device_id, 0x1000);
    assert_int_equal(devices[0].class_code, CLASS_ETHERNET);
    assert_int_equal(devices[0].revision, 5);
    assert_int_equal(devices[0].subsystem_vendor, 0x1af4);
    assert_int_equal(devices[0].subsystem_id, 1);
    assert_int_equal(devices[0].interrupt_line, 11);
    assert_int_equal(devices[0].header_type, 0);
    assert_int_equal(devices[0].capability_count, 0);
}

TEST(other_functions_are_looked_for_only_in_multi_function_devices)
{
    struct sim_pci_function *multi = sim_pci_add(0, 5, 0, VIRTIO_NET, CLASS_ETHERNET);

    multi->config[0x0e] = MULTI_FUNCTION;
    sim_pci_add(0, 5, 3, VIRTIO_NET, CLASS_ETHERNET);
    sim_pci_add(0, 5, 7, VIRTIO_NET, CLASS_ETHERNET);
    sim_pci_add(0, 6, 0, VIRTIO_NET, CLASS_ETHERNET);
    sim_pci_add(0, 6, 1, VIRTIO_NET, CLASS_ETHERNET); /* a ghost: 6.0 says that it is alone */
    sim_pci_add(0, 7, 1, VIRTIO_NET, CLASS_ETHERNET); /* there is no 7.0 */
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 4);
    assert_address(&devices[0], "00:05.0");
    assert_address(&devices[1], "00:05.3");
    assert_address(&devices[2], "00:05.7");
    assert_address(&devices[3], "00:06.0");
    assert_int_equal(devices[0].header_type, 0);
}

TEST(devices_behind_bridges_behind_bridges_are_found_in_address_order)
{
    /* Numbered so that the order of discovery (0, 5, 2, 7, 6) is not that of the addresses. */
    sim_pci_add(0, 0, 0, SIM_PCI_ID(0x8086, 0x1237), CLASS_HOST_BRIDGE);
    add_bridge(0, 1, 5);
    add_bridge(0, 2, 2);
    add_bridge(5, 0, 7);
    add_bridge(2, 4, 6);
    sim_pci_add(7, 31, 0, VIRTIO_NET, CLASS_ETHERNET);
    sim_pci_add(6, 0, 0, VIRTIO_NET, CLASS_ETHERNET);
    sim_pci_add(5, 9, 0, VIRTIO_NET, CLASS_ETHERNET);
    sim_pci_add(2, 1, 0, VIRTIO_NET, CLASS_ETHERNET);
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 9);

    static const char *const expected[] = {"00:00.0", "00:01.0", "00:02.0", "02:01.0", "02:04.0",
                                           "05:00.0", "05:09.0", "06:00.0", "07:1f.0"};
    for (unsigned i = 0; i < 9; i++)
        assert_address(&devices[i], expected[i]);
    assert_int_equal(devices[1].secondary_bus, 5);
    assert_int_equal(machine_log_count("warn", ""), 0);
}

TEST(a_device_on_a_bus_that_no_bridge_leads_to_is_not_looked_for)
{
    sim_pci_add(0, 0, 0, SIM_PCI_ID(0x8086, 0x1237), CLASS_HOST_BRIDGE);
    sim_pci_add(9, 0, 0, VIRTIO_NET, CLASS_ETHERNET);
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 1);
    /* 32 slots of one bus, and some for the one function. */
    assert_true(sim_bus_config_accesses() < 100);
}

TEST(an_expander_bridge_makes_all_buses_be_looked_at)
{
    static const uint16_t expanders[] = {0x0009, 0x000b};

    for (unsigned i = 0; i < 2; i++) {
        machine_reset();
        sim_pci_add(0, 4, 0, SIM_PCI_ID(0x1b36, expanders[i]), CLASS_HOST_BRIDGE);
        add_bridge(0, 5, 1);
        sim_pci_add(1, 2, 0, VIRTIO_NET, CLASS_ETHERNET);
        add_bridge(0x80, 0, 0x81);
        sim_pci_add(0x81, 1, 0, VIRTIO_NET, CLASS_ETHERNET);
        sim_pci_add(0xff, 31, 0, VIRTIO_NET, CLASS_ETHERNET);
        assert_int_equal(pci_scan(devices, DEVICES_MAX), 6);
        assert_address(&devices[2], "01:02.0");
        assert_address(&devices[3], "80:00.0");
        assert_address(&devices[4], "81:01.0");
        assert_address(&devices[5], "ff:1f.0");
        assert_int_equal(machine_log_count("warn", ""), 0);
    }
}

TEST(a_bridge_without_a_bus_number_is_named_in_a_warning)
{
    add_bridge(0, 3, 0);
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 1);
    assert_int_equal(machine_log_count("warn", "pci=00:03.0 secondary_bus=0x0 "), 1);
    assert_int_equal(machine_log_count("warn", "bridge without a bus number"), 1);
}

TEST(bridges_that_lead_in_a_circle_are_not_followed)
{
    add_bridge(0, 1, 1);
    add_bridge(1, 0, 1); /* to itself */
    add_bridge(1, 1, 3);
    add_bridge(3, 0, 1); /* back up */
    add_bridge(0, 2, 3); /* where another one leads */
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 5);
    assert_int_equal(machine_log_count("warn", "bus that is not its own"), 3);
}

TEST(a_bridge_that_leads_to_a_lower_bus_is_not_followed)
{
    sim_pci_add(0, 4, 0, SIM_PCI_ID(0x1b36, 0x0009), CLASS_HOST_BRIDGE);
    add_bridge(0x80, 0, 0x7f);
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 2);
    assert_int_equal(machine_log_count("warn", "bus that is not its own"), 1);
}

TEST(more_functions_than_room_are_counted_in_a_warning)
{
    for (uint8_t i = 0; i < 10; i++)
        sim_pci_add(0, i, 0, VIRTIO_NET, CLASS_ETHERNET);
    assert_int_equal(pci_scan(devices, 7), 7);
    assert_address(&devices[6], "00:06.0");
    assert_int_equal(devices[7].vendor, 0xeeee);
    assert_int_equal(machine_log_count("warn", "pci_functions=10 kept=7"), 1);
}

TEST(bars_of_all_kinds_are_sized_and_put_back)
{
    struct sim_pci_function *function = sim_pci_add(0, 2, 0, VIRTIO_NET, CLASS_ETHERNET);
    uint8_t before[256];

    sim_pci_add_bar(function, 0, 1, 32, 0xc000);
    sim_pci_add_bar(function, 1, 0, 4096, 0xfebd1000);
    sim_pci_add_bar(function, 2, 12, 1ULL << 33, 0xe000000000);
    sim_pci_add_bar(function, 4, 4, 16384, 0xfe000000);
    sim_pci_set(function, 0x04, 2, 0x0103);
    memcpy(before, function->config, sizeof(before));
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 1);
    assert_memory_equal(function->config, before, sizeof(before));

    const struct pci_bar *bars = devices[0].bars;
    assert_true(bars[0].is_io);
    assert_int_equal(bars[0].base, 0xc000);
    assert_int_equal(bars[0].size, 32);
    assert_false(bars[1].is_io || bars[1].is_64bit || bars[1].prefetchable);
    assert_int_equal(bars[1].base, 0xfebd1000);
    assert_int_equal(bars[1].size, 4096);
    assert_true(bars[2].is_64bit && bars[2].prefetchable);
    assert_int_equal(bars[2].base, 0xe000000000);
    assert_int_equal(bars[2].size, 1ULL << 33);
    assert_int_equal(bars[3].size, 0);
    assert_true(bars[4].is_64bit && !bars[4].prefetchable);
    assert_int_equal(bars[4].base, 0xfe000000);
    assert_int_equal(bars[4].size, 16384);
    assert_int_equal(bars[5].size, 0);
    assert_int_equal(machine_log_count("warn", ""), 0);
}

TEST(an_unassigned_bar_has_base_0_and_its_size)
{
    sim_pci_add_bar(sim_pci_add(0, 2, 0, VIRTIO_NET, CLASS_ETHERNET), 0, 1, 64, 0);
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 1);
    assert_int_equal(devices[0].bars[0].base, 0);
    assert_int_equal(devices[0].bars[0].size, 64);
    assert_true(devices[0].bars[0].is_io);
}

/* OVMF leaves registers so where a bridge has no window for them. */
TEST(a_bar_that_was_left_sized_has_its_size_and_no_address)
{
    struct sim_pci_function *function = sim_pci_add(0, 2, 0, VIRTIO_NET, CLASS_ETHERNET);

    sim_pci_add_bar(function, 0, 1, 32, 0xffffffe0);
    sim_pci_add_bar(function, 1, 0, 4096, 0xfffff000);
    sim_pci_add_bar(function, 2, 12, 16384, 0xffffffffffffc000);
    sim_pci_add_bar(function, 4, 12, 16384, 0xffffc000); /* the upper half was never sized */
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 1);
    static const uint64_t sizes[] = {32, 4096, 16384, 0, 16384, 0};
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(devices[0].bars[i].base, 0);
        assert_int_equal(devices[0].bars[i].size, sizes[i]);
    }
    assert_int_equal(machine_log_count("warn", ""), 0);
}

TEST(an_io_bar_of_16_bits_is_sized_as_one_of_32)
{
    struct sim_pci_function *function = sim_pci_add(0, 2, 0, VIRTIO_NET, CLASS_ETHERNET);

    sim_pci_add_bar(function, 0, 1, 32, 0xc000);
    function->writable[0x12] = function->writable[0x13] = 0;
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 1);
    assert_int_equal(devices[0].bars[0].size, 32);
}

TEST(bars_that_make_no_sense_are_left_out_with_a_warning)
{
    struct sim_pci_function *function = sim_pci_add(0, 2, 0, VIRTIO_NET, CLASS_ETHERNET);

    sim_pci_add_bar(function, 0, 1, 32, 0x12340); /* beyond the last port */
    sim_pci_add_bar(function, 1, 0, 4096, 0);
    function->writable[0x15] = 0x50;                   /* gaps between the address bits */
    sim_pci_add_bar(function, 2, 6, 4096, 0xfec00000); /* a reserved type */
    sim_pci_add_bar(function, 4, 0, 4096, 0xfed00000);
    sim_pci_add_bar(function, 5, 0, 4096, 0xfee00000);
    sim_pci_set(function, 0x24, 1, 4); /* 64 bits, and no register follows */
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 1);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(devices[0].bars[i].size, i == 4 ? 4096 : 0);
        assert_int_equal(devices[0].bars[i].base, i == 4 ? 0xfed00000 : 0);
    }
    assert_int_equal(machine_log_count("warn", "pci=00:02.0 bar=0x"), 4);
    assert_int_equal(machine_log_count("warn", "bar=0x4"), 0);
}

TEST(a_bar_of_two_bytes_is_taken_for_the_smallest_that_pci_knows)
{
    struct sim_pci_function *function = sim_pci_add(0, 2, 0, VIRTIO_NET, CLASS_ETHERNET);

    sim_pci_add_bar(function, 0, 0, 16, 0xfebf0000);
    function->writable[0x10] = 0xfe; /* as QEMU's pvpanic-pci has it */
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 1);
    assert_int_equal(devices[0].bars[0].base, 0xfebf0000);
    assert_int_equal(devices[0].bars[0].size, 16);
    assert_false(devices[0].bars[0].is_64bit || devices[0].bars[0].prefetchable);
    assert_int_equal(machine_log_count("warn", ""), 0);
}

TEST(a_bridge_has_two_bars_and_its_bus_numbers_stay)
{
    struct sim_pci_function *bridge = add_bridge(0, 1, 1);

    sim_pci_add_bar(bridge, 0, 4, 256, 0xfebf0000);
    memset(&bridge->writable[0x18], 0xff, 16);
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 1);
    assert_int_equal(devices[0].bars[0].size, 256);
    assert_int_equal(sim_pci_get(bridge, 0x19, 1), 1);
    for (unsigned i = 1; i < 6; i++)
        assert_int_equal(devices[0].bars[i].size, 0);
}

TEST(host_and_isa_bridges_go_on_decoding)
{
    static const uint32_t classes[] = {CLASS_HOST_BRIDGE, CLASS_ISA_BRIDGE};

    for (uint8_t i = 0; i < 2; i++) {
        struct sim_pci_function *bridge =
            sim_pci_add(0, i, 0, SIM_PCI_ID(0x8086, 0x7000), classes[i]);
        sim_pci_add_bar(bridge, 0, 1, 32, 0xc000);
        bridge->config[0x04] = 3;
        memset(&bridge->writable[0x10], 0, 4);
    }
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 2);
    assert_int_equal(devices[0].bars[0].size, 0);
}

TEST(enabling_sets_four_command_bits_and_keeps_the_others)
{
    struct sim_pci_function *function = sim_pci_add(0, 2, 0, VIRTIO_NET, CLASS_ETHERNET);

    sim_pci_set(function, 0x04, 2, 0x0140); /* parity error response, SERR#: firmware's choice */
    function->writable[0x04] = function->writable[0x05] = 0xff;
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 1);
    assert_int_equal(sim_pci_get(function, 0x04, 2), 0x0140);
    assert_true(pci_enable(&devices[0]));
    assert_int_equal(sim_pci_get(function, 0x04, 2), 0x0547);
}

TEST(enabling_reports_a_function_that_masters_no_bus)
{
    struct sim_pci_function *function = sim_pci_add(0, 2, 0, VIRTIO_NET, CLASS_ETHERNET);

    function->writable[0x04] = 0x03;
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 1);
    assert_false(pci_enable(&devices[0]));
}

TEST(capabilities_are_found_one_after_the_other)
{
    struct sim_pci_function *function = sim_pci_add(0, 2, 0, VIRTIO_NET, CLASS_ETHERNET);
    uint8_t msix = sim_pci_add_capability(function, 0x11, 12);
    uint8_t first = sim_pci_add_capability(function, 0x09, 16);
    uint8_t second = sim_pci_add_capability(function, 0x09, 20);
    uint64_t accesses;

    function->config[0x34] |= 3; /* the two low bits of a link are reserved, not address */
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 1);
    accesses = sim_bus_accesses();
    assert_int_equal(devices[0].capability_count, 3);
    assert_int_equal(pci_find_capability(&devices[0], 0x11, 0), msix);
    assert_int_equal(pci_find_capability(&devices[0], 0x11, msix), 0);
    assert_int_equal(pci_find_capability(&devices[0], 0x09, 0), first);
    assert_int_equal(pci_find_capability(&devices[0], 0x09, first), second);
    assert_int_equal(pci_find_capability(&devices[0], 0x09, second), 0);
    assert_int_equal(pci_find_capability(&devices[0], 0x05, 0), 0);
    assert_int_equal(pci_find_capability(&devices[0], 0x09, 0xfc), 0);
    assert_int_equal(sim_bus_accesses(), accesses);
}

TEST(without_the_status_bit_there_are_no_capabilities)
{
    struct sim_pci_function *function = sim_pci_add(0, 2, 0, VIRTIO_NET, CLASS_ETHERNET);

    sim_pci_add_capability(function, 0x11, 12);
    function->config[0x06] = 0;
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 1);
    assert_int_equal(devices[0].capability_count, 0);
}

TEST(a_capability_list_in_a_circle_ends_with_a_warning)
{
    struct sim_pci_function *function = sim_pci_add(0, 2, 0, VIRTIO_NET, CLASS_ETHERNET);
    uint8_t msix = sim_pci_add_capability(function, 0x11, 12);
    uint8_t last = sim_pci_add_capability(function, 0x09, 16);

    function->config[last + 1] = msix;
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 1);
    assert_int_equal(devices[0].capability_count, 2);
    assert_int_equal(machine_log_count("warn", "capability=0x40 "), 1);
}

TEST(a_capability_list_into_the_header_ends_with_a_warning)
{
    struct sim_pci_function *function = sim_pci_add(0, 2, 0, VIRTIO_NET, CLASS_ETHERNET);
    uint8_t msix = sim_pci_add_capability(function, 0x11, 12);

    function->config[msix + 1] = 0x10;
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 1);
    assert_int_equal(devices[0].capability_count, 1);
    assert_int_equal(machine_log_count("warn", "capability=0x10 "), 1);
}

TEST(the_longest_capability_list_fits_and_so_does_its_event)
{
    struct sim_pci_function *function = sim_pci_add(0, 2, 0, VIRTIO_NET, CLASS_ETHERNET);

    for (unsigned i = 0; i < 48; i++)
        sim_pci_add_capability(function, 0x09, 4);
    for (unsigned i = 0; i < 6; i++)
        sim_pci_add_bar(function, i, 8, 1u << 31, 0x80000000u);
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 1);
    assert_int_equal(devices[0].capability_count, 48);
    assert_int_equal(machine_log_count("pci", ",0x09@0xfc"), 1);
}

TEST(msix_is_seen_only_when_present_and_enabled)
{
    struct sim_pci_function *without = sim_pci_add(0, 2, 0, VIRTIO_NET, CLASS_ETHERNET);
    struct sim_pci_function *with = sim_pci_add(0, 3, 0, VIRTIO_NET, CLASS_ETHERNET);
    uint8_t msix = sim_pci_add_capability(with, 0x11, 12);

    (void)without;
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 2);
    assert_false(pci_msix_enabled(&devices[0]));
    assert_false(pci_msix_enabled(&devices[1]));
    sim_pci_set(with, (uint8_t)(msix + 2), 2, 0x4003); /* masked, not enabled */
    assert_false(pci_msix_enabled(&devices[1]));
    sim_pci_set(with, (uint8_t)(msix + 2), 2, 0x8003);
    assert_true(pci_msix_enabled(&devices[1]));
}

TEST(network_cards_are_known_by_their_class)
{
    sim_pci_add(0, 2, 0, SIM_PCI_ID(0x8086, 0x100e), CLASS_ETHERNET);
    sim_pci_add(0, 3, 0, SIM_PCI_ID(0x8086, 0x2922), 0x010601);
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 2);
    assert_true(pci_is_network(&devices[0]));
    assert_false(pci_is_network(&devices[1]));
}

TEST(each_function_is_one_pci_event_at_log_debug)
{
    struct sim_pci_function *function = sim_pci_add(0, 2, 0, VIRTIO_NET, CLASS_ETHERNET);

    sim_pci_add_bar(function, 0, 1, 32, 0xc000);
    sim_pci_add_bar(function, 4, 12, 16384, 0xfe000000);
    sim_pci_add_capability(function, 0x11, 12);
    pci_scan(devices, DEVICES_MAX);
    assert_int_equal(machine_log_count("pci", ""), 1);
    assert_int_equal(
        machine_log_count("pci", " address=00:02.0 vendor=0x1af4 device=0x1000 class=0x020000 "),
        1);
    assert_int_equal(machine_log_count("pci", " bar0=io:0xc000+0x20 bar4=mem64p:0xfe000000+0x4000 "
                                              "capabilities=0x11@0x40"),
                     1);
    machine_log_level(LOG_INFO);
    pci_scan(devices, DEVICES_MAX);
    assert_int_equal(machine_log_count("pci", ""), 1);
}

TEST(an_unknown_header_type_gives_no_bars_and_no_bridge)
{
    struct sim_pci_function *function = sim_pci_add(0, 2, 0, VIRTIO_NET, 0x060700);

    sim_pci_add_bar(function, 0, 1, 32, 0xc000);
    sim_pci_add_capability(function, 0x11, 12);
    function->config[0x0e] = 2;
    assert_int_equal(pci_scan(devices, DEVICES_MAX), 1);
    assert_int_equal(devices[0].header_type, 2);
    assert_int_equal(devices[0].bars[0].size, 0);
    assert_int_equal(devices[0].capability_count, 0);
}

TEST(a_misaligned_register_is_our_own_bug)
{
    struct pci_device device = {0};

    assert_true(machine_panics(pci_read32(&device, 0x0e)));
    assert_true(machine_panics(pci_read16(&device, 0x0f)));
}
