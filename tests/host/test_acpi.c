/* kernel/acpi.c over tables made by hand, good ones and hostile ones. */
#include <string.h>

#include <machine/memory.h>

#include "kernel/acpi.h"
#include "tests/host/fixture/test.h"
#include "tests/host/sim/machine.h"

#define HEADER 36
#define FADT_LENGTH 276

static struct boot_info info;

/* The tables: in memory of the exact size, so that the address sanitizer guards its end. */
static uint8_t *rsdp, *rsdt, *xsdt, *fadt, *dsdt;

static void put(uint8_t *at, uint64_t value, size_t size)
{
    memcpy(at, &value, size);
}

/* Makes the bytes sum up to 0 with the help of the one at `at`. */
static void seal(uint8_t *bytes, size_t length, size_t at)
{
    uint8_t sum = 0;

    bytes[at] = 0;
    for (size_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + bytes[i]);
    bytes[at] = (uint8_t)-sum;
}

static void seal_table(uint8_t *table, uint32_t length)
{
    put(table + 4, length, 4);
    seal(table, length, 9);
}

static void seal_rsdp(uint8_t *at)
{
    seal(at, 20, 8);
    seal(at, 36, 32);
}

static uint8_t *table_make(const char *signature, uint32_t length)
{
    uint8_t *table = memory_alloc(length, 16);

    memcpy(table, signature, 4);
    seal_table(table, length);
    return table;
}

static uint64_t address_of(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer;
}

static void dsdt_make(const uint8_t *aml, size_t length)
{
    dsdt = table_make("DSDT", (uint32_t)(HEADER + length));
    memcpy(dsdt + HEADER, aml, length);
    seal_table(dsdt, (uint32_t)(HEADER + length));
    put(fadt + 40, address_of(dsdt), 4);
    seal_table(fadt, FADT_LENGTH);
}

/* Name (_S5_, Package (4) { 5, 6, 0, 0 }) behind something else */
static const uint8_t aml_usual[] = {0x10, 0x05, '_',  'S', 'B',  '_', 0x08, '_', 'S',  '5',
                                    '_',  0x12, 0x08, 4,   0x0a, 5,   0x0a, 6,   0x00, 0x00};

/* A machine like QEMU's pc: everything there, every pointer right. */
static int setup(void **state)
{
    (void)state;
    machine_reset();
    memset(&info, 0, sizeof(info));
    fadt = table_make("FACP", FADT_LENGTH);
    put(fadt + 48, 0xb2, 4);
    fadt[52] = 0xf1;
    put(fadt + 56, 0x600, 4);
    put(fadt + 64, 0x604, 4);
    fadt[88] = 4;
    dsdt_make(aml_usual, sizeof(aml_usual));

    uint8_t *other = table_make("APIC", 60);
    rsdt = table_make("RSDT", HEADER + 8);
    put(rsdt + HEADER, address_of(other), 4);
    put(rsdt + HEADER + 4, address_of(fadt), 4);
    seal_table(rsdt, HEADER + 8);
    xsdt = table_make("XSDT", HEADER + 16);
    put(xsdt + HEADER, address_of(other), 8);
    put(xsdt + HEADER + 8, address_of(fadt), 8);
    seal_table(xsdt, HEADER + 16);

    rsdp = memory_alloc(36, 16);
    memcpy(rsdp, "RSD PTR ", 8);
    rsdp[15] = 2;
    put(rsdp + 16, address_of(rsdt), 4);
    put(rsdp + 20, 36, 4);
    put(rsdp + 24, address_of(xsdt), 8);
    seal_rsdp(rsdp);
    info.rsdp = address_of(rsdp);
    return 0;
}

TEST_FIXTURE(.setup = setup);

static struct acpi_report report;

static const struct acpi_power *init(size_t problems)
{
    acpi_init(&info, &report);
    assert_int_equal(report.problem_count, problems);
    return acpi_power();
}

static void assert_problem(size_t number, const char *reason, const char *table, uint64_t address)
{
    assert_string_equal(report.problems[number].reason, reason);
    assert_string_equal(report.problems[number].table, table);
    assert_true(report.problems[number].address == address);
}

static void assert_nothing_known(const struct acpi_power *power)
{
    static const struct acpi_power nothing;
    assert_memory_equal(power, &nothing, sizeof(nothing));
}

TEST(usual_machine_is_understood)
{
    const struct acpi_power *power = init(0);

    assert_true(power->s5_known);
    assert_int_equal(power->s5_type_a, 5);
    assert_int_equal(power->s5_type_b, 6);
    assert_int_equal(power->pm1a_control, 0x604);
    assert_int_equal(power->pm1b_control, 0);
    assert_int_equal(power->pm1a_event, 0x600);
    assert_int_equal(power->pm1b_event, 0);
    assert_int_equal(power->pm1_event_enable, 2);
    assert_int_equal(power->event_selector.space, ACPI_NONE);
    assert_int_equal(power->smi_command, 0xb2);
    assert_int_equal(power->acpi_enable, 0xf1);
    assert_int_equal(power->reset.space, ACPI_NONE);
    assert_int_equal(power->sleep_control.space, ACPI_NONE);
}

TEST(copy_of_the_root_pointer_does_as_well)
{
    memcpy(info.rsdp_copy, rsdp, 36);
    info.rsdp_copied = true;
    info.rsdp = 0;
    assert_true(init(0)->s5_known);
}

TEST(first_revision_has_an_rsdt_only)
{
    rsdp[15] = 0;
    memset(rsdp + 20, 0xaa, 16); /* the bytes behind a short root pointer are ignored */
    seal(rsdp, 20, 8);
    assert_int_equal(init(0)->pm1a_control, 0x604);
}

TEST(xsdt_goes_before_the_rsdt)
{
    put(rsdp + 16, 0, 4);
    seal_rsdp(rsdp);
    assert_int_equal(init(0)->pm1a_control, 0x604);
}

TEST(xsdt_above_4_gib_leaves_the_rsdt)
{
    put(rsdp + 24, 0x100000000, 8);
    seal_rsdp(rsdp);
    assert_int_equal(init(1)->pm1a_control, 0x604);
    assert_problem(0, "acpi-table-out-of-reach", "XSDT", 0x100000000);
    assert_true(report.fadt == address_of(fadt) && report.dsdt == address_of(dsdt));
}

TEST(reset_register_counts_when_the_flag_is_set)
{
    fadt[116] = 1;
    put(fadt + 120, 0xcf9, 8);
    fadt[128] = 0x0f;
    seal_table(fadt, FADT_LENGTH);
    assert_int_equal(init(0)->reset.space, ACPI_NONE);

    put(fadt + 112, 1 << 10, 4);
    seal_table(fadt, FADT_LENGTH);
    const struct acpi_power *power = init(0);
    assert_int_equal(power->reset.space, ACPI_IO);
    assert_int_equal(power->reset.address, 0xcf9);
    assert_int_equal(power->reset_value, 0x0f);
}

TEST(register_in_a_space_we_do_not_know_is_none)
{
    put(fadt + 112, 1 << 10, 4);
    fadt[116] = 2; /* PCI configuration space */
    put(fadt + 120, 0xcf9, 8);
    seal_table(fadt, FADT_LENGTH);
    assert_int_equal(init(0)->reset.space, ACPI_NONE);
    fadt[116] = 1;
    put(fadt + 120, 0x10000, 8); /* no port has this number */
    seal_table(fadt, FADT_LENGTH);
    assert_int_equal(init(0)->reset.space, ACPI_NONE);
}

TEST(hardware_reduced_machine_has_a_sleep_register)
{
    put(fadt + 112, 1 << 20 | 1 << 10, 4);
    put(fadt + 120, 0xfea00202, 8);
    fadt[128] = 0x42;
    put(fadt + 248, 0xfea00200, 8);
    seal_table(fadt, FADT_LENGTH);
    const struct acpi_power *power = init(0);
    assert_int_equal(power->sleep_control.space, ACPI_MEMORY);
    assert_true(power->sleep_control.address == 0xfea00200);
    assert_int_equal(power->reset.space, ACPI_MEMORY);
    assert_int_equal(power->pm1a_control, 0);
}

TEST(button_that_is_no_pm1_register_is_not_looked_for_there)
{
    put(fadt + 112, 1 << 4, 4); /* a control method's button: only AML has its address */
    seal_table(fadt, FADT_LENGTH);
    assert_int_equal(init(0)->pm1a_event, 0);
    put(fadt + 112, 0, 4);
    fadt[88] = 3; /* too short for the two registers */
    seal_table(fadt, FADT_LENGTH);
    assert_int_equal(init(0)->pm1a_event, 0);
    fadt[88] = 8;
    put(fadt + 60, 0x700, 4);
    seal_table(fadt, FADT_LENGTH);
    assert_int_equal(init(0)->pm1a_event, 0x600);
    assert_int_equal(acpi_power()->pm1b_event, 0x700);
    assert_int_equal(acpi_power()->pm1_event_enable, 4);
}

/* As QEMU's microvm: no PM1 registers, a sleep register, and the event device named in AML. */
static void microvm_make(const char *oem, const char *hid)
{
    uint8_t aml[40] = {0x08, '_', 'H', 'I', 'D', 0x0d};

    put(fadt + 112, 1 << 20, 4);
    put(fadt + 248, 0xfea00200, 8);
    memcpy(aml + 6, hid, strlen(hid) + 1);
    dsdt_make(aml, 6 + strlen(hid) + 1);
    memcpy(dsdt + 10, oem, 6);
    seal_table(dsdt, (uint32_t)(HEADER + 6 + strlen(hid) + 1));
}

TEST(event_device_lies_below_the_sleep_register_in_qemus_tables_only)
{
    microvm_make("BOCHS ", "ACPI0013");
    assert_int_equal(init(0)->event_selector.space, ACPI_MEMORY);
    assert_true(acpi_power()->event_selector.address == 0xfea00000);
    microvm_make("OTHER ", "ACPI0013");
    assert_int_equal(init(0)->event_selector.space, ACPI_NONE);
    microvm_make("BOCHS ", "ACPI0012");
    assert_int_equal(init(0)->event_selector.space, ACPI_NONE);
    microvm_make("BOCHS ", "ACPI0013");
    put(fadt + 248, 0x200, 8); /* no table can be at so low an address */
    seal_table(fadt, FADT_LENGTH);
    assert_int_equal(init(0)->event_selector.space, ACPI_NONE);
}

TEST(extended_pm1_registers_go_before_the_short_ones)
{
    put(fadt + 68, 0x700, 4);
    fadt[148] = 1;
    put(fadt + 152, 0xb000, 8);
    fadt[172] = 1;
    put(fadt + 176, 0xb004, 8);
    seal_table(fadt, FADT_LENGTH);
    const struct acpi_power *power = init(0);
    assert_int_equal(power->pm1a_control, 0xb004);
    assert_int_equal(power->pm1b_control, 0x700);
    assert_int_equal(power->pm1a_event, 0xb000);
}

TEST(short_fadt_lacks_what_lies_behind_its_end)
{
    fadt = table_make("FACP", 116); /* the first revision's length */
    put(fadt + 40, address_of(dsdt), 4);
    put(fadt + 64, 0x404, 4);
    put(fadt + 112, 1 << 10, 4);
    seal_table(fadt, 116);
    put(xsdt + HEADER + 8, address_of(fadt), 8);
    seal_table(xsdt, HEADER + 16);
    const struct acpi_power *power = init(0);
    assert_int_equal(power->pm1a_control, 0x404);
    assert_int_equal(power->reset.space, ACPI_NONE);
    assert_true(power->s5_known);
}

TEST(s5_is_read_in_each_of_its_spellings)
{
    static const struct {
        uint8_t length;
        uint8_t aml[24];
        uint8_t a, b;
    } spellings[] = {
        {11, {0x08, '_', 'S', '5', '_', 0x12, 4, 2, 0x01, 0x00}, 1, 0},
        {13, {0x08, 0x5c, '_', 'S', '5', '_', 0x12, 6, 2, 0x0a, 7, 0x0a, 7}, 7, 7},
        {14, {0x08, '_', 'S', '5', '_', 0x12, 0x47, 0x00, 4, 0x0a, 3, 0x00, 0x00, 0x00}, 3, 0},
        {10, {0x08, '_', 'S', '5', '_', 0x12, 4, 1, 0x0a, 5}, 5, 5},
        /* A mention of the name first, then the name's own definition. */
        {15, {'_', 'S', '5', '_', 0x08, '_', 'S', '5', '_', 0x12, 5, 2, 0x0a, 2, 0x01}, 2, 1},
    };

    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
        dsdt_make(spellings[i].aml, spellings[i].length);
        const struct acpi_power *power = init(0);
        assert_true(power->s5_known);
        assert_int_equal(power->s5_type_a, spellings[i].a);
        assert_int_equal(power->s5_type_b, spellings[i].b);
    }
}

TEST(s5_that_is_none_is_unknown)
{
    static const struct {
        uint8_t length;
        uint8_t aml[16];
    } wrong[] = {
        {0, {0}},
        {4, {'_', 'S', '5', '_'}},
        {5, {0x5c, '_', 'S', '5', '_'}},
        {9, {0x00, '_', 'S', '5', '_', 0x12, 4, 2, 1}},        /* not a Name */
        {10, {0x08, '_', 'S', '5', '_', 0x13, 4, 2, 1, 0}},    /* not a Package */
        {10, {0x08, '_', 'S', '5', '_', 0x12, 4, 0, 1, 0}},    /* no elements */
        {10, {0x08, '_', 'S', '5', '_', 0x12, 4, 2, 0x0a, 8}}, /* beyond the field */
        {10, {0x08, '_', 'S', '5', '_', 0x12, 4, 2, 0x0b, 5}}, /* not a byte */
        {12, {0x08, '_', 'S', '5', '_', 0x12, 4, 2, 0x0a, 5, 0xff, 0}},
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        dsdt_make(wrong[i].aml, wrong[i].length);
        assert_false(init(0)->s5_known);
        assert_int_equal(acpi_power()->pm1a_control, 0x604);
    }
}

TEST(aml_cut_off_anywhere_is_never_read_beyond_its_end)
{
    static const uint8_t aml[] = {0x08, 0x5c, '_', 'S', '5',  '_', 0x12, 0xc8,
                                  0,    0,    0,   2,   0x0a, 5,   0x0a, 6};
    for (size_t length = 0; length < sizeof(aml); length++) {
        dsdt_make(aml, length);
        assert_false(init(0)->s5_known);
    }
    dsdt_make(aml, sizeof(aml));
    assert_true(init(0)->s5_known);
}

TEST(machine_without_acpi_is_no_reason_to_warn)
{
    put(rsdp + 16, 0, 4);
    put(rsdp + 24, 0, 8);
    seal_rsdp(rsdp);
    assert_nothing_known(init(0));
}

TEST(broken_root_pointer_is_told)
{
    rsdp[10]++;
    assert_nothing_known(init(1));
    assert_problem(0, "acpi-table-broken", "RSDP", address_of(rsdp));
    assert_true(report.fadt == 0);
}

TEST(root_pointer_out_of_reach_is_told)
{
    static const uint64_t addresses[] = {0xfffffff0, 0x100000000, UINT64_MAX, UINT64_MAX - 40};
    for (size_t i = 0; i < 4; i++) {
        info.rsdp = addresses[i];
        assert_nothing_known(init(1));
        assert_problem(0, "acpi-table-out-of-reach", "RSDP", addresses[i]);
    }
}

TEST(tables_with_wrong_sums_are_told_and_not_used)
{
    fadt[64]++;
    assert_nothing_known(init(1));
    assert_problem(0, "acpi-table-broken", "FACP", address_of(fadt));
    assert_true(report.fadt == 0);
    seal_table(fadt, FADT_LENGTH);
    dsdt[HEADER]++;
    assert_false(init(1)->s5_known);
    assert_problem(0, "acpi-table-broken", "DSDT", address_of(dsdt));
    assert_true(report.fadt == address_of(fadt));
    xsdt[HEADER]++;
    assert_false(init(2)->s5_known);
    assert_problem(0, "acpi-table-broken", "XSDT", address_of(xsdt));
    assert_problem(1, "acpi-table-broken", "DSDT", address_of(dsdt));
}

TEST(hostile_lengths_are_refused)
{
    static const uint32_t lengths[] = {0, 1, 35, 0x00100001, 0x7fffffff, 0xffffffff};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        setup(NULL);
        put(xsdt + 4, lengths[i], 4);
        put(rsdt + 4, lengths[i], 4);
        assert_nothing_known(init(2));
        setup(NULL);
        put(fadt + 4, lengths[i], 4);
        assert_nothing_known(init(1));
        setup(NULL);
        put(dsdt + 4, lengths[i], 4);
        assert_false(init(1)->s5_known);
    }
}

TEST(root_tables_with_odd_lengths_and_wild_entries_are_survived)
{
    xsdt = table_make("XSDT", HEADER + 8 * 4 + 5);
    put(xsdt + HEADER, 0, 8);
    put(xsdt + HEADER + 8, UINT64_MAX, 8);
    put(xsdt + HEADER + 16, 0x100000000, 8);
    put(xsdt + HEADER + 24, 0xffffffff, 8);
    memset(xsdt + HEADER + 32, 0x11, 5);
    seal_table(xsdt, HEADER + 8 * 4 + 5);
    put(rsdp + 24, address_of(xsdt), 8);
    seal_rsdp(rsdp);
    assert_int_equal(init(0)->pm1a_control, 0x604); /* by the RSDT */

    rsdt = table_make("RSDT", HEADER);
    put(rsdp + 16, address_of(rsdt), 4);
    seal_rsdp(rsdp);
    assert_nothing_known(init(0));
}

TEST(scan_finds_a_valid_root_pointer_at_16_byte_steps)
{
    uint8_t *area = memory_alloc(1024, 16);

    assert_true(acpi_scan_rsdp(address_of(area), 1024) == 0);
    memcpy(area + 64, rsdp, 36);
    area[64 + 12]++;              /* the name alone is not enough */
    memcpy(area + 200, rsdp, 36); /* no multiple of 16 */
    assert_true(acpi_scan_rsdp(address_of(area), 1024) == 0);
    memcpy(area + 976, rsdp, 36);
    assert_true(acpi_scan_rsdp(address_of(area), 1024) == address_of(area + 976));
    /* One that sticks out of the area is not even looked at. */
    assert_true(acpi_scan_rsdp(address_of(area), 976 + 32) == 0);
}
