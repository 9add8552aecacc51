/* barewire's table of contents: from the boot loader to the loop, one call a step. */
#include <inttypes.h>
#include <string.h>

#include <machine/clock.h>
#include <machine/log.h>
#include <machine/memory.h>
#include <machine/option.h>
#include <machine/panic.h>

#include "boot/boot_info.h"
#include "boot/entry.h"
#include "drivers/i6300esb.h"
#include "drivers/probe.h"
#include "kernel/acpi.h"
#include "kernel/clock.h"
#include "kernel/console.h"
#include "kernel/fault_injection.h"
#include "kernel/hypervisor.h"
#include "kernel/interrupt.h"
#include "kernel/log.h"
#include "kernel/memory.h"
#include "kernel/page.h"
#include "kernel/paging.h"
#include "kernel/panic.h"
#include "kernel/power.h"
#include "kernel/syscalls.h"
#include "kernel/trap.h"
#include "net/loop.h"
#include "net/loop_options.h"
#include "net/monitor.h"
#include "net/port_options.h"
#include "net/topology.h"
#include "net/topology_options.h"
#include "version.h"

#define KIB 1024
#define MIB (1024 * KIB)
#define ENOUGH_MIB 8 /* for two ports, without modules */

/* The interrupt lines of a PC's serial ports. */
#define COM1_LINE 4
#define COM2_LINE 3

/*
 * The memory that is not given to packet buffers: some for page tables, and a sixteenth of all for
 * a port that is added later, up to one with usual rings.
 */
#define MEMORY_RESERVE (256 * 1024)
#define MEMORY_RESERVE_PORT MIB

static struct boot_info boot_info;
static struct ports ports;
static struct topology topology;
static struct loop loop;
static struct monitor monitor;

static void warn_of_boot_losses(void)
{
    if (boot_info.cmdline_cut)
        log_event(LOG_WARN, "warn", "reason=command-line-cut accepted=\"up to %d bytes\"",
                  BOOT_CMDLINE_MAX - 1);
    if (boot_info.memory_lost != 0)
        log_event(LOG_WARN, "warn", "reason=memory-map-entries-not-used count=%zu",
                  boot_info.memory_lost);
    if (boot_info.modules_lost != 0)
        log_event(LOG_WARN, "warn", "reason=modules-not-kept count=%zu", boot_info.modules_lost);
}

/* Returns the clock's source for the boot event. */
static const char *start_clock(void)
{
    const char *source = clock_init(boot_entry_cycles);

    if (source != NULL)
        return source;
    log_event(LOG_WARN, "warn",
              "reason=clock-not-calibrated tsc_hz=%" PRIu64
              " remedy=\"times and rates are wrong: use KVM or a machine with a PIT\"",
              clock_hz());
    return "assumed";
}

static void report_acpi(const struct acpi_report *report)
{
    const struct acpi_power *power = acpi_power();

    for (size_t i = 0; i < report->problem_count; i++)
        log_event(
            LOG_WARN, "warn",
            "reason=%s table=%s address=0x%" PRIx64 " effect=\"power off and reset may not work\"",
            report->problems[i].reason, report->problems[i].table, report->problems[i].address);
    if (report->fadt != 0)
        log_event(LOG_DEBUG, "acpi",
                  "fadt=0x%" PRIx64 " dsdt=0x%" PRIx64 " s5=%s pm1a=0x%x sleep_control=0x%" PRIx64
                  " reset=0x%" PRIx64 " pm1a_event=0x%x event_selector=0x%" PRIx64,
                  report->fadt, report->dsdt, power->s5_known ? "yes" : "no", power->pm1a_control,
                  power->sleep_control.address, power->reset.address, power->pm1a_event,
                  power->event_selector.address);
}

/* All that the loader and the firmware left is read and copied, before anything can overwrite it. */
static void read_boot_data(uint32_t protocol, uint64_t start)
{
    const char *problem = boot_info_parse(&boot_info, (enum boot_protocol)protocol, start);
    const char *clock = start_clock();
    struct acpi_report acpi;

    if (problem != NULL)
        panic("boot: %s", problem);
    log_event(LOG_REPORT, "boot",
              "version=%s protocol=%s ram_mib=%" PRIu64 " clock=%s tsc_hz=%" PRIu64
              " hypervisor=%s",
              BAREWIRE_VERSION, boot_protocol_name((enum boot_protocol)protocol),
              boot_info_ram(&boot_info) / MIB, clock, clock_hz(), hypervisor_name().text);
    _Static_assert(BOOT_CMDLINE_MAX - 1 == OPTION_LINE_MAX, "settings fit on a command line");
    topology_options_begin(&topology);
    option_read_line(boot_info.cmdline);
    warn_of_boot_losses();
    acpi_init(&boot_info, &acpi);
    report_acpi(&acpi);
}

/* The size of the loader's modules, each rounded up to pages, and the sum to MiB. */
static uint64_t modules_mib(void)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < boot_info.module_count; i++)
        bytes += page_up(boot_info.modules[i].length);
    return (bytes + MIB - 1) / MIB;
}

static void start_allocator(void)
{
    const uint64_t modules = modules_mib();

    if (!memory_init(&boot_info))
        panic("too little RAM: %" PRIu64 " KiB free beside the kernel and %" PRIu64
              " MiB of modules, needed %llu KiB; give the machine %" PRIu64
              " MiB or more (QEMU: -m %" PRIu64 ")",
              memory_available() / KIB, modules, MEMORY_NEEDED / KIB, ENOUGH_MIB + modules,
              ENOUGH_MIB + modules);
}

static void start_paging(void)
{
    struct paging_report report;
    uint64_t guards[PAGING_GUARDS_MAX - 1];
    const size_t guard_count = trap_guards(guards, PAGING_GUARDS_MAX - 1);
    const char *problem = paging_init(&boot_info, guards, guard_count, &report);

    if (problem != NULL)
        panic("%s: %" PRIu64 " KiB free, needed %" PRIu64 " KiB", problem, report.free / KIB,
              report.needed / KIB);
    log_event(
        LOG_DEBUG, "paging", "ram_mib=%" PRIu64 " page_tables_kib=%" PRIu64 " gigabyte_pages=%s",
        boot_info_ram(&boot_info) / MIB, report.used / KIB, report.gigabyte_pages ? "yes" : "no");
}

/* From here on memory_alloc works, and RAM and nothing else is mapped. */
static void init_memory(void)
{
    start_allocator();
    start_paging();
    power_init();
    interrupt_init();
    interrupt_open_console(COM1_LINE);
    interrupt_open_console(COM2_LINE);
    log_event(LOG_DEBUG, "memory", "ram=%" PRIu64 " available=%" PRIu64, boot_info_ram(&boot_info),
              memory_available());
}

/* How much of the free memory may go into buffers. */
static uint64_t memory_for_buffers(void)
{
    const uint64_t available = memory_available();
    const uint64_t share = available / 16;
    const uint64_t reserve =
        MEMORY_RESERVE + (share < MEMORY_RESERVE_PORT ? share : MEMORY_RESERVE_PORT);

    return available > reserve ? available - reserve : 0;
}

static void allot_memory(void)
{
    const uint64_t missing = topology_allot(&topology, memory_for_buffers());

    if (missing != 0) /* rounded up, and a MiB for page tables and gaps */
        log_event(LOG_WARN, "warn",
                  "reason=memory detail=\"too little RAM for full rings\" enough_mib=%" PRIu64,
                  (boot_info_ram(&boot_info) + missing) / MIB + 2);
}

/* Until every device is as the command line wants it, or has refused. A command is given up after a
 * second. */
static void settle_ports(void)
{
    for (unsigned i = 0; i < topology.port_count; i++) {
        struct port *const port = topology.ports[i];
        while (port->state == PORT_UP && !port->settled) {
            port->ops->service(port, clock_ns());
            clock_relax();
        }
    }
}

/*
 * A machine such as QEMU's microvm with pcie=on has PCI's configuration space in memory alone, where it
 * is not looked for: its cards cannot be ports. Names those on bus 0; false if there are none.
 */
static bool warn_of_cards_out_of_reach(void)
{
    const uint64_t base = acpi_pci_config();
    const volatile uint32_t *bus = ports.function_count == 0 && base != 0 && base % MIB == 0
                                       ? memory_map_device(base, MIB)
                                       : NULL;
    bool found = false;
    for (unsigned device = 0; bus != NULL && device < PCI_DEVICES_PER_BUS; device++) {
        const volatile uint32_t *card = bus + device * (MIB / PCI_DEVICES_PER_BUS / 4);
        const uint32_t id = card[0], class_code = card[2] >> 8;

        if ((id & 0xffff) == PCI_VENDOR_ID_NONE ||
            PCI_BASE_CLASS(class_code) != PCI_BASE_CLASS_NETWORK)
            continue;
        log_event(LOG_WARN, "warn",
                  "pci=00:%02x.0 vendor=0x%04x device=0x%04x reason=\"PCI without configuration "
                  "ports\" remedy=\"QEMU: -machine pc or q35 for this card\"",
                  device, (unsigned)(id & 0xffff), (unsigned)(id >> 16));
        found = true;
    }
    return found;
}

static void bring_up_ports(void)
{
    ports_find(&ports, &topology);
    port_options_begin(topology.ports, &topology.port_count);
    topology.memory = memory_for_buffers();
    topology_plan(&topology, topology.wire, topology.reflect);
    allot_memory();
    topology_start(&topology);
    settle_ports();
    topology_settle(&topology);
    if (!warn_of_cards_out_of_reach() && topology_usable(&topology) < (topology.reflect ? 1 : 2))
        log_event(LOG_WARN, "warn",
                  "reason=too-few-ports usable=%u remedy=\"QEMU: -netdev tap,id=nN,ifname=TAP,"
                  "script=no,downscript=no -device virtio-net-pci,netdev=nN for each port\"",
                  topology_usable(&topology));
}

static void report_ready(void)
{
    char wires[PAIRS_TEXT], idle[PAIRS_TEXT];

    pairs_wires_text(&topology.pairs, wires);
    pairs_idle_text(&topology.pairs, idle);
    log_event(LOG_REPORT, "ready",
              "mode=%s ports=%u cores=1 boot_us=%" PRIu64 " wires=%s idle_ports=%s",
              topology.reflect ? "reflect" : "wire", topology.port_count,
              clock_ns() / CLOCK_NS_PER_US, wires, idle);
}

static unsigned pci_count(void)
{
    return (unsigned)ports.function_count;
}

static void report_pci(unsigned index)
{
    if (ports.functions[index].vendor != PCI_VENDOR_ID_NONE) /* else it was pulled out */
        pci_report(&ports.functions[index], LOG_REPORT);
}

static void start_monitor(void)
{
    const struct monitor_machine machine = {
        .version = BAREWIRE_VERSION,
        .pci_count = pci_count,
        .pci_report = report_pci,
    };

    monitor_init(&monitor, &topology, &loop, &machine);
}

static void look_at_ports(void)
{
    topology_refresh(&topology); /* a device may have come back with fewer offloads, or more */
    if (ports_look(&ports))
        loop_set_ports(&loop, topology.ports, topology.port_lanes, topology.port_count);
}

_Noreturn void boot_main(uint32_t protocol, uint64_t start)
{
    trap_init();                     /* from here on an exception is a report */
    console_init();                  /* from here on the console works */
    read_boot_data(protocol, start); /* boot_info, clock, command line, ACPI */
    init_memory();                   /* allocator, final page tables */
    bring_up_ports();                /* PCI, virtio-net, pairs, buffers */
    heap_seal();                     /* a later allocation is our bug */
    loop_init(&loop, topology.ports, topology.port_lanes, topology.port_count, 0);
    loop_watch(&loop, i6300esb_find(ports.functions, ports.function_count));
    start_monitor(); /* from here on what is typed is answered */
    loop_options_begin(&loop);
    report_ready();
    fault_inject();         /* debug: shows that the panic report works */
    while (loop_run(&loop)) /* a tenth of a second of rounds, until the end is requested */
        look_at_ports();    /* have devices come, are they to go? */
    const uint32_t unsent = loop_close(&loop); /* what is in flight leaves, last stats */
    topology_stop(&topology);                  /* no device writes into memory any more */
    power_execute(unsent);                     /* bye, off or reset */
}
