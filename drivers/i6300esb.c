/*
 * Registers as in the data sheet "Intel 6300ESB I/O Controller Hub", chapter "Watchdog Timer". Two
 * timers run one after the other, and only the end of the second has consequences.
 */
#include "drivers/i6300esb.h"

#include <stddef.h>

#include <machine/clock.h>
#include <machine/io.h>
#include <machine/log.h>
#include <machine/memory.h>
#include <machine/option.h>

#define VENDOR_INTEL 0x8086
#define DEVICE_6300ESB_WDT 0x25ab

/* Configuration space */
#define WDT_CONFIG 0x60           /* 16 bits */
#define WDT_CONFIG_INT_NONE 0x03  /* the first timer's end interrupts nobody */
#define WDT_CONFIG_PRESCALE 0x04  /* clear: a tick is 2^15 periods of 33 MHz */
#define WDT_CONFIG_NO_OUTPUT 0x20 /* clear: the second timer's end counts */
#define WDT_LOCK 0x68             /* 8 bits */
#define WDT_LOCK_ENABLE 0x02

/* Memory BAR 0 */
#define WDT_TIMER1 0x00 /* 32 bits, of which 20 count */
#define WDT_TIMER2 0x04
#define WDT_RELOAD 0x0c /* 16 bits */
#define WDT_BYTES 0x10
#define WDT_RELOAD_START 0x0100 /* the timers start again from the first */

/* Written to WDT_RELOAD before each of the three registers. */
#define WDT_UNLOCK1 0x80
#define WDT_UNLOCK2 0x86

#define TICK_NS (32768 * UINT64_C(30))

_Static_assert(I6300ESB_SECONDS_MAX *CLOCK_NS_PER_S / (2 * TICK_NS) < 1u << 20,
               "half of it fits into a timer");

struct i6300esb {
    struct watchdog watchdog; /* first: the loop gets its address */
    volatile uint8_t *registers;
};

static struct i6300esb the_one;

bool i6300esb_matches(const struct pci_device *pci)
{
    return pci->vendor == VENDOR_INTEL && pci->device_id == DEVICE_6300ESB_WDT;
}

static void unlock(volatile uint8_t *registers)
{
    mmio_write16(registers + WDT_RELOAD, WDT_UNLOCK1);
    mmio_write16(registers + WDT_RELOAD, WDT_UNLOCK2);
}

static void feed(struct watchdog *watchdog)
{
    volatile uint8_t *const registers = ((struct i6300esb *)watchdog)->registers;

    unlock(registers);
    mmio_write16(registers + WDT_RELOAD, WDT_RELOAD_START);
}

static const struct watchdog_ops ops = {.feed = feed};

static struct watchdog *refuse(const struct pci_device *pci, const char *reason)
{
    log_event(LOG_WARN, "warn", "pci=%s reason=watchdog detail=\"%s\"", pci_address(pci).text,
              reason);
    return NULL;
}

/* False if somebody before us has locked it. */
static bool set_enabled(const struct pci_device *pci, uint8_t enable)
{
    pci_write8(pci, WDT_LOCK, enable);
    return pci_read8(pci, WDT_LOCK) == enable;
}

struct watchdog *i6300esb_start(const struct pci_device *pci, unsigned seconds)
{
    const struct pci_bar *bar = &pci->bars[0];
    const uint64_t timeout_ns = seconds * CLOCK_NS_PER_S;
    const uint32_t ticks = (uint32_t)(timeout_ns / (2 * TICK_NS));

    pci_enable(pci); /* it masters no bus, so the answer does not matter */
    if (bar->is_io || bar->base == 0 || bar->size < WDT_BYTES)
        return refuse(pci, "no memory BAR with an address");
    volatile uint8_t *const registers = memory_map_device(bar->base, WDT_BYTES);
    if (registers == NULL)
        return refuse(pci, "registers not mapped");
    if (!set_enabled(pci, 0))
        return refuse(pci, "locked by firmware");
    pci_write16(pci, WDT_CONFIG,
                (pci_read16(pci, WDT_CONFIG) & ~(WDT_CONFIG_PRESCALE | WDT_CONFIG_NO_OUTPUT)) |
                    WDT_CONFIG_INT_NONE);
    unlock(registers);
    mmio_write32(registers + WDT_TIMER1, ticks);
    unlock(registers);
    mmio_write32(registers + WDT_TIMER2, ticks);

    the_one = (struct i6300esb){{.ops = &ops, .timeout_ns = timeout_ns}, registers};
    feed(&the_one.watchdog);
    if (!set_enabled(pci, WDT_LOCK_ENABLE))
        return refuse(pci, "not enabled");
    log_event(LOG_INFO, "watchdog", "pci=%s driver=i6300esb timeout_s=%u", pci_address(pci).text,
              seconds);
    return &the_one.watchdog;
}

/* ---- watchdog= ---- */

static unsigned timeout_s;

static const struct option option = {
    .key = "watchdog",
    .help = "the timeout of a watchdog card",
    .accepted = "seconds",
    .argument = "SECONDS",
    .type = OPTION_NUMBER,
    .flags = OPTION_ZERO_IS_OFF,
    .max = I6300ESB_SECONDS_MAX,
    .initial = 30,
};

static struct option_table watchdog_word = {
    .place = 9, .count = 1, .options = &option, .values = &timeout_s};
OPTION_TABLE(watchdog_word);

struct watchdog *i6300esb_find(const struct pci_device *functions, size_t count)
{
    for (size_t i = 0; i < count && timeout_s != 0; i++)
        if (i6300esb_matches(&functions[i])) /* libvirt gives a machine no more than one */
            return i6300esb_start(&functions[i], timeout_s);
    return NULL;
}
