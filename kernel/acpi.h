/* The part of ACPI that we use: power off, reset and the power button. No interpreter. */
#ifndef KERNEL_ACPI_H
#define KERNEL_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot/boot_info.h"

enum acpi_space { ACPI_NONE, ACPI_MEMORY, ACPI_IO };

/* A register of one byte or two, in memory or among the I/O ports. ACPI_NONE: the machine has none. */
struct acpi_register {
    enum acpi_space space;
    uint64_t address;
};

struct acpi_power {
    struct acpi_register reset; /* one byte wide */
    uint8_t reset_value;
    struct acpi_register sleep_control; /* one byte; on machines without the PM1 registers */
    uint16_t pm1a_control;              /* I/O ports of two bytes; 0: none */
    uint16_t pm1b_control;
    uint16_t pm1a_event; /* I/O ports of the status registers with the power button; 0: none */
    uint16_t pm1b_event;
    uint8_t pm1_event_enable;            /* so many ports behind them are the enable registers */
    struct acpi_register event_selector; /* four bytes; where there is a button, but no PM1 */
    uint16_t smi_command; /* I/O port where acpi_enable hands the machine over to ACPI; 0: is so */
    uint8_t acpi_enable;
    bool s5_known; /* the two values that _S5_ wants in the SLP_TYP fields */
    uint8_t s5_type_a;
    uint8_t s5_type_b;
};

/* A table that is wrong rather than absent. */
struct acpi_problem {
    const char *reason; /* "acpi-table-broken", "acpi-table-out-of-reach" */
    const char *table;  /* its signature, or "RSDP" */
    uint64_t address;
};

#define ACPI_PROBLEMS_MAX 2 /* one on the way to the FADT that leaves a second way, and one more */

/* The findings of acpi_init, for the log. */
struct acpi_report {
    struct acpi_problem problems[ACPI_PROBLEMS_MAX];
    size_t problem_count;
    uint64_t fadt; /* addresses; 0: no FADT that can be used */
    uint64_t dsdt;
};

/*
 * Finds the tables (through the boot loader's pointer, else in the BIOS areas), copies what
 * acpi_power() returns, and fills `report`. Call it while the first 4 GiB are mapped and before
 * the allocator may have given the tables' memory away. Tables that are missing, broken or above 4
 * GiB leave their part empty.
 */
void acpi_init(const struct boot_info *info, struct acpi_report *report);

/* The result of acpi_init; valid for ever, all zero before. */
const struct acpi_power *acpi_power(void);

/*
 * The address of a valid root pointer in [start, start + length), or 0. Looks at every 16th byte;
 * `start` is a multiple of 16.
 */
uint64_t acpi_scan_rsdp(uint64_t start, size_t length);

/* The address of PCI's memory-mapped configuration space of bus 0, if the host bridge in the DSDT
 * has it; else 0. */
uint64_t acpi_pci_config(void);

#endif
