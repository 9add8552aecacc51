/*
 * Reads the few ACPI tables that are needed to switch off and reset. Names and offsets are those
 * of ACPI 6. Nothing in a table is trusted: lengths and checksums are tested before anything is
 * read.
 */
#include "kernel/acpi.h"

#include <string.h>

#include <machine/panic.h>

#define REACH (1ULL << 32) /* what the start-up page tables map */
#define TABLE_LENGTH_MAX (1u << 20)

#define EBDA_POINTER 0x40e /* the BIOS data area's word with the segment of the extended one */
#define EBDA_LOWEST 0x80000
#define EBDA_SCAN_LENGTH 1024
#define BIOS_AREA 0xe0000
#define BIOS_AREA_END 0x100000

/* ACPI 6, 5.2.5.3 "Root System Description Pointer (RSDP) Structure" */
struct rsdp {
    char Signature[8];
    uint8_t Checksum; /* over the first RSDP_V1_LENGTH bytes */
    char OEMID[6];
    uint8_t Revision;
    uint32_t RsdtAddress;
    uint32_t Length;
    uint64_t XsdtAddress;
    uint8_t ExtendedChecksum; /* over all */
    uint8_t Reserved[3];
} __attribute__((packed));
#define RSDP_V1_LENGTH 20
_Static_assert(sizeof(struct rsdp) == 36, "ACPI's layout");
_Static_assert(sizeof(struct rsdp) == sizeof(((struct boot_info *)0)->rsdp_copy), "a whole RSDP");

/* ACPI 6, 5.2.6 "System Description Table Header" */
struct table {
    char Signature[4];
    uint32_t Length;
    uint8_t Revision;
    uint8_t Checksum;
    char OEMID[6];
    char OEMTableID[8];
    uint32_t OEMRevision;
    uint32_t CreatorID;
    uint32_t CreatorRevision;
} __attribute__((packed));
_Static_assert(sizeof(struct table) == 36, "ACPI's layout");

/* ACPI 6, 5.2.3.2 "Generic Address Structure" */
struct gas {
    uint8_t AddressSpaceID;
    uint8_t RegisterBitWidth;
    uint8_t RegisterBitOffset;
    uint8_t AccessSize;
    uint64_t Address;
} __attribute__((packed));
#define GAS_SYSTEM_MEMORY 0
#define GAS_SYSTEM_IO 1

/* ACPI 6, 5.2.9 "Fixed ACPI Description Table (FADT)"; what we don't use has no name here. */
struct fadt {
    struct table header;
    uint32_t FIRMWARE_CTRL;
    uint32_t DSDT;
    uint8_t unused0[4];
    uint32_t SMI_CMD;
    uint8_t ACPI_ENABLE;
    uint8_t unused1[3];
    uint32_t PM1a_EVT_BLK;
    uint32_t PM1b_EVT_BLK;
    uint32_t PM1a_CNT_BLK;
    uint32_t PM1b_CNT_BLK;
    uint8_t unused2[16];
    uint8_t PM1_EVT_LEN;
    uint8_t unused3[23];
    uint32_t Flags;
    struct gas RESET_REG;
    uint8_t RESET_VALUE;
    uint8_t unused4[11];
    uint64_t X_DSDT;
    struct gas X_PM1a_EVT_BLK;
    struct gas X_PM1b_EVT_BLK;
    struct gas X_PM1a_CNT_BLK;
    struct gas X_PM1b_CNT_BLK;
    uint8_t unused5[48];
    struct gas SLEEP_CONTROL_REG;
} __attribute__((packed));
_Static_assert(offsetof(struct fadt, SMI_CMD) == 48, "ACPI's layout");
_Static_assert(offsetof(struct fadt, PM1a_EVT_BLK) == 56, "ACPI's layout");
_Static_assert(offsetof(struct fadt, PM1a_CNT_BLK) == 64, "ACPI's layout");
_Static_assert(offsetof(struct fadt, PM1_EVT_LEN) == 88, "ACPI's layout");
_Static_assert(offsetof(struct fadt, Flags) == 112, "ACPI's layout");
_Static_assert(offsetof(struct fadt, X_DSDT) == 140, "ACPI's layout");
_Static_assert(offsetof(struct fadt, X_PM1a_CNT_BLK) == 172, "ACPI's layout");
_Static_assert(offsetof(struct fadt, SLEEP_CONTROL_REG) == 244, "ACPI's layout");
#define FADT_PWR_BUTTON (1u << 4) /* set: the button is not in the PM1 registers */
#define FADT_RESET_REG_SUP (1u << 10)
#define FADT_HW_REDUCED_ACPI (1u << 20)

#define PM1_EVT_LEN_MIN 4 /* status and enable, two bytes each */

/*
 * ACPI 6, 5.6.9 "Interrupt-signaled ACPI events": the generic event device. Its registers are
 * described in AML only, and we have no interpreter. These are the addresses of QEMU's device
 * "acpi-ged", used only if the tables have the OEM id of QEMU's firmware.
 */
#define GED_HID "ACPI0013"
#define GED_BELOW_SLEEP_CONTROL 0x200
#define QEMU_OEM_ID "BOCHS "

/* ACPI 6, chapter 20 "ACPI Machine Language (AML) Specification" */
#define AML_NAME_OP 0x08
#define AML_BYTE_PREFIX 0x0a
#define AML_DWORD_PREFIX 0x0c
#define AML_QWORD_PREFIX 0x0e
#define AML_PACKAGE_OP 0x12
#define AML_ROOT_CHAR 0x5c
#define AML_RETURN_OP 0xa4
#define SLP_TYP_MAX 7 /* the field has three bits */

static struct acpi_power power;
static uint64_t pci_config;

uint64_t acpi_pci_config(void)
{
    return pci_config;
}

const struct acpi_power *acpi_power(void)
{
    return &power;
}

static void complain(struct acpi_report *report, const char *reason, const char *table,
                     uint64_t address)
{
    ensure(report->problem_count < ACPI_PROBLEMS_MAX);
    report->problems[report->problem_count++] = (struct acpi_problem){reason, table, address};
}

/* `address` as a pointer. The compiler must not see the constant: it distrusts low addresses. */
static const void *at(uint64_t address)
{
    __asm__("" : "+r"(address));
    return (const void *)(uintptr_t)address;
}

static bool reachable(uint64_t address, uint64_t length)
{
    return address != 0 && address < REACH && length <= REACH - address;
}

static bool sum_is_zero(const void *bytes, size_t length)
{
    const uint8_t *byte = bytes;
    uint8_t sum = 0;

    for (size_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + byte[i]);
    return sum == 0;
}

/* The table at `address` if it is whole and called `signature`; else NULL, and `report` says why. */
static const struct table *table_open(uint64_t address, const char *signature,
                                      struct acpi_report *report)
{
    if (!reachable(address, sizeof(struct table))) {
        complain(report, "acpi-table-out-of-reach", signature, address);
        return NULL;
    }
    const struct table *table = at(address);
    if (memcmp(table->Signature, signature, 4) != 0 || table->Length < sizeof(*table) ||
        table->Length > TABLE_LENGTH_MAX || !reachable(address, table->Length) ||
        !sum_is_zero(table, table->Length)) {
        complain(report, "acpi-table-broken", signature, address);
        return NULL;
    }
    return table;
}

static bool rsdp_valid(const struct rsdp *rsdp)
{
    return memcmp(rsdp->Signature, "RSD PTR ", 8) == 0 && sum_is_zero(rsdp, RSDP_V1_LENGTH);
}

uint64_t acpi_scan_rsdp(uint64_t start, size_t length)
{
    for (uint64_t address = start; address + sizeof(struct rsdp) <= start + length; address += 16)
        if (rsdp_valid(at(address)))
            return address;
    return 0;
}

/* Searches a PC's BIOS areas for the root pointer, if the boot loader gave none. */
static uint64_t rsdp_of_bios(void)
{
    uint16_t segment;
    memcpy(&segment, at(EBDA_POINTER), sizeof(segment));
    uint64_t ebda = (uint64_t)segment << 4;

    if (ebda >= EBDA_LOWEST && ebda < BIOS_AREA) {
        uint64_t found = acpi_scan_rsdp(ebda, EBDA_SCAN_LENGTH);
        if (found != 0)
            return found;
    }
    return acpi_scan_rsdp(BIOS_AREA, BIOS_AREA_END - BIOS_AREA);
}

/* Copies the root pointer to `rsdp`. False: the machine has none, or a broken one. */
static bool rsdp_find(struct rsdp *rsdp, const struct boot_info *info, struct acpi_report *report)
{
    uint64_t address = info->rsdp;

    if (info->rsdp_copied) {
        memcpy(rsdp, info->rsdp_copy, sizeof(*rsdp));
    } else {
        if (address == 0)
            address = rsdp_of_bios();
        if (address == 0)
            return false;
        if (!reachable(address, sizeof(*rsdp))) {
            complain(report, "acpi-table-out-of-reach", "RSDP", address);
            return false;
        }
        memcpy(rsdp, at(address), sizeof(*rsdp));
    }
    if (rsdp_valid(rsdp))
        return true;
    complain(report, "acpi-table-broken", "RSDP", address);
    return false;
}

/* The first entry of root table `root` that carries `signature`, or 0. */
static uint64_t entry_find(const struct table *root, size_t entry_size, const char *signature)
{
    const uint8_t *entries = (const uint8_t *)(root + 1);
    size_t count = (root->Length - sizeof(*root)) / entry_size;

    for (size_t i = 0; i < count; i++) {
        uint64_t address = 0;
        memcpy(&address, entries + i * entry_size, entry_size); /* little endian: the low part */
        if (reachable(address, sizeof(*root)) && memcmp(at(address), signature, 4) == 0)
            return address;
    }
    return 0;
}

static uint64_t fadt_find(const struct rsdp *rsdp, struct acpi_report *report)
{
    /* Before revision 2 there is no XSDT, and the bytes of its field may hold anything. */
    if (rsdp->Revision >= 2 && rsdp->XsdtAddress != 0 && sum_is_zero(rsdp, sizeof(*rsdp))) {
        const struct table *xsdt = table_open(rsdp->XsdtAddress, "XSDT", report);
        uint64_t found = xsdt != NULL ? entry_find(xsdt, 8, "FACP") : 0;
        if (found != 0)
            return found;
    }
    if (rsdp->RsdtAddress == 0)
        return 0;
    const struct table *rsdt = table_open(rsdp->RsdtAddress, "RSDT", report);
    return rsdt != NULL ? entry_find(rsdt, 4, "FACP") : 0;
}

static struct acpi_register register_of(const struct gas *gas)
{
    struct acpi_register result = {ACPI_NONE, gas->Address};

    if (gas->Address == 0)
        return result;
    if (gas->AddressSpaceID == GAS_SYSTEM_MEMORY)
        result.space = ACPI_MEMORY;
    else if (gas->AddressSpaceID == GAS_SYSTEM_IO && gas->Address <= UINT16_MAX)
        result.space = ACPI_IO;
    return result;
}

/* The extended field counts if it is used at all; what isn't a port is no PM1 register for us. */
static uint16_t pm1_port(uint32_t block, const struct gas *extended)
{
    struct acpi_register wide = register_of(extended);

    if (wide.space == ACPI_IO)
        return (uint16_t)wide.address;
    return block <= UINT16_MAX ? (uint16_t)block : 0;
}

static void fadt_read(const struct fadt *fadt)
{
    if (fadt->Flags & FADT_RESET_REG_SUP) {
        power.reset = register_of(&fadt->RESET_REG);
        power.reset_value = fadt->RESET_VALUE;
    }
    if (fadt->Flags & FADT_HW_REDUCED_ACPI) {
        power.sleep_control = register_of(&fadt->SLEEP_CONTROL_REG);
        return;
    }
    power.pm1a_control = pm1_port(fadt->PM1a_CNT_BLK, &fadt->X_PM1a_CNT_BLK);
    power.pm1b_control = pm1_port(fadt->PM1b_CNT_BLK, &fadt->X_PM1b_CNT_BLK);
    if (!(fadt->Flags & FADT_PWR_BUTTON) && fadt->PM1_EVT_LEN >= PM1_EVT_LEN_MIN) {
        power.pm1a_event = pm1_port(fadt->PM1a_EVT_BLK, &fadt->X_PM1a_EVT_BLK);
        power.pm1b_event = pm1_port(fadt->PM1b_EVT_BLK, &fadt->X_PM1b_EVT_BLK);
        power.pm1_event_enable = fadt->PM1_EVT_LEN / 2;
    }
    if (fadt->SMI_CMD <= UINT16_MAX && fadt->ACPI_ENABLE != 0) {
        power.smi_command = (uint16_t)fadt->SMI_CMD;
        power.acpi_enable = fadt->ACPI_ENABLE;
    }
}

/* A stretch of AML; taking from an empty one fails. */
struct aml {
    const uint8_t *next;
    const uint8_t *end;
};

static bool aml_take(struct aml *aml, uint8_t *byte)
{
    if (aml->next >= aml->end)
        return false;
    *byte = *aml->next++;
    return true;
}

static bool aml_take_slp_typ(struct aml *aml, uint8_t *value)
{
    if (!aml_take(aml, value))
        return false;
    if (*value == AML_BYTE_PREFIX && !aml_take(aml, value))
        return false;
    /* Zero and One: their codes are their values. */
    return *value <= SLP_TYP_MAX;
}

/* Reads `Package () { SLP_TYPa, SLP_TYPb, … }`. */
static bool s5_read_package(struct aml aml)
{
    uint8_t op, length_lead, skipped, elements, type_a, type_b;

    if (!aml_take(&aml, &op) || op != AML_PACKAGE_OP || !aml_take(&aml, &length_lead))
        return false;
    for (unsigned more = length_lead >> 6; more > 0; more--)
        if (!aml_take(&aml, &skipped))
            return false;
    if (!aml_take(&aml, &elements) || elements == 0 || !aml_take_slp_typ(&aml, &type_a))
        return false;
    if (elements == 1)
        type_b = type_a; /* some firmware has one value for both */
    else if (!aml_take_slp_typ(&aml, &type_b))
        return false;

    power.s5_type_a = type_a;
    power.s5_type_b = type_b;
    power.s5_known = true;
    return true;
}

/* Looks for `Name (_S5_, Package…)`, at the root or with the root named. */
static void s5_find(const struct table *dsdt)
{
    const uint8_t *start = (const uint8_t *)(dsdt + 1);
    const uint8_t *end = (const uint8_t *)dsdt + dsdt->Length;

    for (const uint8_t *name = start + 1; end - name >= 4; name++) {
        if (memcmp(name, "_S5_", 4) != 0)
            continue;
        bool named = name[-1] == AML_NAME_OP;
        if (name[-1] == AML_ROOT_CHAR && name - start >= 2)
            named = name[-2] == AML_NAME_OP;
        if (named && s5_read_package((struct aml){name + 4, end}))
            return;
    }
}

static bool contains_text(const struct table *table, const char *text)
{
    const char *start = (const char *)(table + 1);
    const size_t length = strlen(text), room = table->Length - sizeof(*table);

    for (size_t i = 0; i + length <= room; i++)
        if (memcmp(start + i, text, length) == 0)
            return true;
    return false;
}

static void ged_find(const struct table *dsdt)
{
    const struct acpi_register *sleep = &power.sleep_control;

    if (sleep->space == ACPI_MEMORY && sleep->address > GED_BELOW_SLEEP_CONTROL &&
        memcmp(dsdt->OEMID, QEMU_OEM_ID, sizeof(dsdt->OEMID)) == 0 && contains_text(dsdt, GED_HID))
        power.event_selector =
            (struct acpi_register){ACPI_MEMORY, sleep->address - GED_BELOW_SLEEP_CONTROL};
}

/* Looks for `Method (_CBA) { Return (address) }` of a PCI host bridge: PCI Firmware Specification 3.0,
 * 4.1.3 "The _CBA Method". */
static void pci_config_find(const struct table *dsdt)
{
    const uint8_t *end = (const uint8_t *)dsdt + dsdt->Length;

    for (const uint8_t *name = (const uint8_t *)(dsdt + 1); end - name >= 15; name++) {
        if (memcmp(name, "_CBA", 4) != 0 || name[5] != AML_RETURN_OP)
            continue; /* name[4]: the method's flags */
        if (name[6] == AML_DWORD_PREFIX)
            memcpy(&pci_config, name + 7, 4);
        else if (name[6] == AML_QWORD_PREFIX)
            memcpy(&pci_config, name + 7, 8);
    }
}

void acpi_init(const struct boot_info *info, struct acpi_report *report)
{
    struct rsdp rsdp;
    struct fadt fadt = {0};

    memset(&power, 0, sizeof(power));
    pci_config = 0;
    memset(report, 0, sizeof(*report));
    if (!rsdp_find(&rsdp, info, report))
        return;
    uint64_t fadt_address = fadt_find(&rsdp, report);
    if (fadt_address == 0)
        return;
    const struct table *table = table_open(fadt_address, "FACP", report);
    if (table == NULL)
        return;
    report->fadt = fadt_address;
    /* Older tables are shorter; the fields that they lack stay zero, which means absent. */
    memcpy(&fadt, table, table->Length < sizeof(fadt) ? table->Length : sizeof(fadt));
    fadt_read(&fadt);

    report->dsdt = reachable(fadt.X_DSDT, sizeof(*table)) ? fadt.X_DSDT : fadt.DSDT;
    const struct table *dsdt = table_open(report->dsdt, "DSDT", report);
    if (dsdt != NULL) {
        s5_find(dsdt);
        ged_find(dsdt);
        pci_config_find(dsdt);
    }
}
