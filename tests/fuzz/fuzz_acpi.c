/*
 * ACPI tables: their bytes are the input's, their places are ours. The kernel has all of the first
 * 4 GiB before it when it reads them, the host does not: so pointers lead to one of the tables, to
 * nothing, or out of reach, and a table is as long as it says or says what must be refused.
 *
 * Input: choices, then the tables as they refer to each other: DSDT, FADT, RSDT, XSDT, RSDP.
 */
#include "tests/fuzz/target.h"

#include <stdbool.h>
#include <string.h>

#include <machine/memory.h>
#include <machine/panic.h>

#include "kernel/acpi.h"
#include "tests/fuzz/input.h"
#include "tests/host/sim/machine.h"

#define RSDP_SIZE 36
#define HEADER_SIZE 36
#define FADT_MAX 400
#define ENTRIES_MAX 4
#define OUT_OF_REACH 0x1234ffffffffULL /* cut to 32 bits, too */

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

/* Memory of the exact size, so that the sanitizer guards its end. `lie` spoils the header. */
static uint8_t *make_table(const char *signature, size_t size, uint8_t lie, struct input *input)
{
    static const uint32_t lengths[] = {0, 35, 0x100001, 0xffffffff};
    uint8_t *table = memory_alloc(size, 1);

    input_fill(input, table + HEADER_SIZE, size - HEADER_SIZE);
    memcpy(table, signature, 4);
    put(table + 4, size, 4);
    seal(table, size, 9);
    if (lie & 1)
        table[0] ^= 1;
    if (lie & 2)
        table[9]++;
    if (lie & 4)
        put(table + 4, lengths[lie >> 3 & 3], 4);
    return table;
}

/* The target of a pointer. */
static uint64_t aim(uint8_t choice, const uint8_t *table)
{
    static const uint64_t nowhere[] = {0, OUT_OF_REACH, UINT64_MAX, 0xffffffff};

    return choice & 0x80 ? nowhere[choice & 3] : (uint64_t)(uintptr_t)table;
}

/* A pointer that the end of the table cuts is 0. */
static void put_pointer(uint8_t *table, size_t size, size_t at, uint64_t value, size_t width)
{
    if (size >= at + width)
        put(table + at, value, width);
    else if (size > at)
        put(table + at, 0, size - at);
}

static uint8_t *make_fadt(struct input *input, const uint8_t *dsdt)
{
    const uint8_t choice = input_8(input), aims = input_8(input);
    const size_t size = HEADER_SIZE + input_16(input) % (FADT_MAX - HEADER_SIZE);
    uint8_t *fadt = make_table("FACP", size, choice >> 5, input);

    /* The only pointers in it that are followed. */
    put_pointer(fadt, size, 40, aim(aims, dsdt), 4);
    put_pointer(fadt, size, 140, aims & 0x40 ? aim((uint8_t)(aims << 2), dsdt) : 0, 8);
    if (!(choice & 0x40))
        seal(fadt, size, 9);
    return fadt;
}

static uint8_t *make_root(const char *signature, size_t entry, const uint8_t *fadt,
                          struct input *input)
{
    const uint8_t choice = input_8(input);
    const size_t count = choice % (ENTRIES_MAX + 1);
    const size_t rest = choice & 0x10 ? entry - 1 : 0; /* half an entry behind the last one */
    uint8_t *root = make_table(signature, HEADER_SIZE + count * entry + rest, 0, input);

    for (size_t i = 0; i < count; i++)
        put(root + HEADER_SIZE + i * entry, aim(input_8(input), i & 1 ? fadt : root), entry);
    seal(root, HEADER_SIZE + count * entry + rest, 9);
    if (choice & 0x20)
        root[9]++;
    return root;
}

static uint8_t *make_rsdp(struct input *input, const uint8_t *rsdt, const uint8_t *xsdt)
{
    const uint8_t choice = input_8(input);
    uint8_t *rsdp = memory_alloc(RSDP_SIZE, 16);

    input_fill(input, rsdp, RSDP_SIZE);
    if (choice & 1)
        return rsdp; /* as it is: it hardly ever is one */
    memcpy(rsdp, "RSD PTR ", 8);
    put(rsdp + 16, aim(choice & 2 ? 0x80 : 0, rsdt), 4);
    put(rsdp + 24, aim(choice & 4 ? (uint8_t)(0x80 | choice >> 6) : 0, xsdt), 8);
    seal(rsdp, 20, 8);
    if (!(choice & 8))
        seal(rsdp, RSDP_SIZE, 32);
    return rsdp;
}

static void check(const struct acpi_power *power)
{
    ensure(power->reset.space == ACPI_NONE || power->reset.address != 0);
    ensure(power->reset.space != ACPI_IO || power->reset.address <= UINT16_MAX);
    ensure(power->sleep_control.space != ACPI_IO || power->sleep_control.address <= UINT16_MAX);
    ensure(power->event_selector.space == ACPI_NONE || power->event_selector.address != 0);
    ensure((power->pm1a_event == 0 && power->pm1b_event == 0) || power->pm1_event_enable >= 2);
    ensure(power->s5_type_a <= 7 && power->s5_type_b <= 7);
    ensure(power->s5_known || (power->s5_type_a == 0 && power->s5_type_b == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    static struct boot_info info;

    machine_reset();
    memset(&info, 0, sizeof(info));
    const uint8_t choice = input_8(&input);
    const size_t aml = input_8(&input) + (size_t)(choice & 1) * 256;
    const uint8_t *dsdt = make_table("DSDT", HEADER_SIZE + aml, choice >> 3, &input);
    const uint8_t *fadt = make_fadt(&input, dsdt);
    const uint8_t *rsdt = make_root("RSDT", 4, fadt, &input);
    const uint8_t *xsdt = make_root("XSDT", 8, fadt, &input);
    const uint8_t *rsdp = make_rsdp(&input, rsdt, xsdt);

    info.rsdp = choice & 4 ? OUT_OF_REACH : (uint64_t)(uintptr_t)rsdp;
    info.rsdp_copied = choice & 2;
    memcpy(info.rsdp_copy, rsdp, RSDP_SIZE);
    struct acpi_report report;
    acpi_init(&info, &report);
    check(acpi_power());
    return 0;
}
