/* The watchdog: drivers/i6300esb.c against one that takes nothing that was not unlocked. */
#include <string.h>

#include "drivers/i6300esb.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/bus.h"
#include "tests/host/sim/machine.h"

#define CONFIG 0x60
#define LOCK 0x68

static struct sim_pci_function *function;
static struct pci_device device;

/* The device's side. A write without the two words in front of it has no effect. */
static struct {
    unsigned unlocked; /* words seen */
    uint32_t timers[2];
    unsigned reloads;
    uint32_t timers_at_reload[2];
} dog;

static void memory_write(void *context, unsigned bar, uint32_t offset, unsigned width,
                         uint32_t value)
{
    (void)context;
    assert_int_equal(bar, 0);
    if (offset == 0x0c && value == 0x80) {
        dog.unlocked = 1;
        return;
    }
    if (offset == 0x0c && value == 0x86 && dog.unlocked == 1) {
        dog.unlocked = 2;
        return;
    }
    assert_int_equal(dog.unlocked, 2);
    dog.unlocked = 0;
    if (offset == 0x0c) {
        assert_int_equal(width, 2);
        assert_int_equal(value, 0x0100);
        dog.reloads++;
        memcpy(dog.timers_at_reload, dog.timers, sizeof(dog.timers));
    } else {
        assert_int_equal(width, 4);
        assert_true(offset == 0 || offset == 4);
        dog.timers[offset / 4] = value;
    }
}

static uint32_t memory_read(void *context, unsigned bar, uint32_t offset, unsigned width)
{
    (void)context;
    (void)bar;
    (void)offset;
    (void)width;
    return 0;
}

static int setup(void **state)
{
    (void)state;
    machine_reset();
    memset(&dog, 0, sizeof(dog));
    function = sim_pci_add(0, 4, 0, SIM_PCI_ID(0x8086, 0x25ab), 0x088000);
    sim_pci_add_bar(function, 0, 0, 16, 0xfebf1000);
    sim_pci_set(function, CONFIG, 2, 0x2024); /* other bits stay as they are */
    function->writable[CONFIG] = function->writable[CONFIG + 1] = 0xff;
    function->writable[LOCK] = 0x07;
    function->memory_write = memory_write;
    function->memory_read = memory_read;
    assert_int_equal(pci_scan(&device, 1), 1);
    assert_true(i6300esb_matches(&device));
    return 0;
}

TEST_FIXTURE(.setup = setup);

TEST(it_is_set_up_in_two_halves_and_enabled_last)
{
    struct watchdog *watchdog = i6300esb_start(&device, 30);

    assert_non_null(watchdog);
    assert_true(watchdog->timeout_ns == 30000000000);
    /* Each is a tick of 983,040 ns. */
    assert_int_equal(dog.timers[0], 15258);
    assert_int_equal(dog.timers[1], 15258);
    assert_int_equal(dog.reloads, 1);
    assert_int_equal(dog.timers_at_reload[1], 15258);
    assert_int_equal(sim_pci_get(function, CONFIG, 2), 0x2003);
    assert_int_equal(sim_pci_get(function, LOCK, 1), 0x02); /* enabled, not locked */
    assert_int_equal(machine_log_count("watchdog", "driver=i6300esb timeout_s=30"), 1);

    watchdog->ops->feed(watchdog);
    assert_int_equal(dog.reloads, 2);
}

TEST(the_longest_time_fits_into_its_timers)
{
    assert_non_null(i6300esb_start(&device, I6300ESB_SECONDS_MAX));
    assert_in_range(dog.timers[0], 1, 0xfffff);
}

TEST(only_its_own_identity_is_taken_for_it)
{
    device.device_id = 0x25ac;
    assert_false(i6300esb_matches(&device));
    device.device_id = 0x25ab;
    device.vendor = 0x8087;
    assert_false(i6300esb_matches(&device));
}

TEST(one_that_cannot_be_used_is_told_and_left_alone)
{
    function->writable[LOCK] = 0; /* firmware has locked it, running */
    function->config[LOCK] = 0x03;
    assert_null(i6300esb_start(&device, 30));
    assert_int_equal(machine_log_count("warn", "reason=watchdog detail=\"locked by firmware\""), 1);
    assert_int_equal(dog.reloads, 0);

    setup(state);
    sim_bus_refuse_mapping();
    assert_null(i6300esb_start(&device, 30));
    assert_int_equal(machine_log_count("warn", "reason=watchdog detail=\"registers not"), 1);

    setup(state);
    device.bars[0].base = 0;
    assert_null(i6300esb_start(&device, 30));
    assert_int_equal(machine_log_count("warn", "reason=watchdog detail=\"no memory BAR"), 1);
    setup(state);
    device.bars[0].is_io = true;
    assert_null(i6300esb_start(&device, 30));
    setup(state);
    device.bars[0].size = 8;
    assert_null(i6300esb_start(&device, 30));
    assert_int_equal(machine_log_count("warn", "reason=watchdog detail=\"no memory BAR"), 1);

    setup(state);
    function->writable[LOCK] = 0x01; /* it does not take the bit that starts it */
    assert_null(i6300esb_start(&device, 30));
    assert_int_equal(machine_log_count("warn", "reason=watchdog"), 1);
    assert_int_equal(machine_log_count("watchdog", ""), 0);
}
