/*
 * What PCI Local Bus Specification 3.0 and PCI-to-PCI Bridge Architecture 1.2 lay down: ports,
 * offsets, bits. Names are theirs; "3.0 §6.1" below means a section of the first.
 */
#ifndef DRIVERS_PCI_SPEC_H
#define DRIVERS_PCI_SPEC_H

#include <stdint.h>

/* 3.0 §3.2.2.3.2 "Software Generation of Configuration Transactions": mechanism #1. */
#define PCI_CONFIG_ADDRESS 0xcf8
#define PCI_CONFIG_DATA 0xcfc
#define PCI_CONFIG_ENABLE 0x80000000u

#define PCI_BUSES 256
#define PCI_DEVICES_PER_BUS 32
#define PCI_FUNCTIONS_PER_DEVICE 8
#define PCI_CONFIG_SPACE_SIZE 256

/* 3.0 §6.1 "Configuration Space Organization": the part that all header types share. */
#define PCI_VENDOR_ID 0x00
#define PCI_DEVICE_ID 0x02
#define PCI_COMMAND 0x04
#define PCI_STATUS 0x06
#define PCI_REVISION_ID 0x08 /* the class code is in the three bytes above it */
#define PCI_HEADER_TYPE 0x0e
#define PCI_BASE_ADDRESS_REGISTERS 0x10
#define PCI_CAPABILITIES_POINTER 0x34
#define PCI_INTERRUPT_LINE 0x3c

#define PCI_VENDOR_ID_NONE 0xffff /* what a read of an absent function gives */

/* Header type 0 only. */
#define PCI_SUBSYSTEM_VENDOR_ID 0x2c
#define PCI_SUBSYSTEM_ID 0x2e

/* Header type 1 only: bridge architecture 1.2 §3.2 "PCI-to-PCI Bridge Configuration Space". */
#define PCI_SECONDARY_BUS_NUMBER 0x19

/* The same §3.2.5: windows. The low four bits tell how wide the registers are. */
#define PCI_IO_BASE 0x1c           /* 8 bits: address bits 15:12 in 7:4 */
#define PCI_IO_LIMIT 0x1d          /* 8 bits, inclusive */
#define PCI_MEMORY_BASE 0x20       /* 16 bits: address bits 31:20 in 15:4 */
#define PCI_MEMORY_LIMIT 0x22      /* 16 bits, inclusive */
#define PCI_PREFETCHABLE_BASE 0x24 /* as memory */
#define PCI_PREFETCHABLE_LIMIT 0x26
#define PCI_PREFETCHABLE_BASE_UPPER 0x28 /* 32 bits */
#define PCI_PREFETCHABLE_LIMIT_UPPER 0x2c
#define PCI_PREFETCHABLE_TYPE 0x0f
#define PCI_PREFETCHABLE_TYPE_64 0x01

/* 3.0 §6.2.2 "Device Control": command register. */
#define PCI_COMMAND_IO_SPACE 0x0001
#define PCI_COMMAND_MEMORY_SPACE 0x0002
#define PCI_COMMAND_BUS_MASTER 0x0004
#define PCI_COMMAND_INTERRUPT_DISABLE 0x0400

/* 3.0 §6.2.3 "Device Status". */
#define PCI_STATUS_CAPABILITIES_LIST 0x0010

/* 3.0 §6.2.1 "Device Identification": header type register. */
#define PCI_HEADER_TYPE_MULTI_FUNCTION 0x80
#define PCI_HEADER_TYPE_LAYOUT 0x7f
#define PCI_HEADER_TYPE_DEVICE 0x00
#define PCI_HEADER_TYPE_BRIDGE 0x01

/* 3.0 appendix D "Class Codes": base class in bits 23:16. */
#define PCI_BASE_CLASS(class_code) ((class_code) >> 16)
#define PCI_BASE_CLASS_NETWORK 0x02
#define PCI_BASE_CLASS_BRIDGE 0x06

/* 3.0 §6.2.5.1 "Address Maps": base address registers. */
#define PCI_BARS_DEVICE 6
#define PCI_BARS_BRIDGE 2
#define PCI_BAR_IO 0x00000001u
#define PCI_BAR_IO_MASK 0xfffffffcu
#define PCI_BAR_MEMORY_TYPE 0x00000006u
#define PCI_BAR_MEMORY_TYPE_32 0x00000000u
#define PCI_BAR_MEMORY_TYPE_1M 0x00000002u /* below 1 MiB: reserved since 2.2, still a 32-bit one */
#define PCI_BAR_MEMORY_TYPE_64 0x00000004u
#define PCI_BAR_MEMORY_PREFETCHABLE 0x00000008u
#define PCI_BAR_MEMORY_MASK 0xfffffff0u

/* 3.0 §6.7 "Capabilities List": entries of {id, next, …}, doubleword-aligned, behind the header. */
#define PCI_CAPABILITY_FIRST 0x40
#define PCI_CAPABILITY_ALIGNMENT 4
#define PCI_CAPABILITY_ID 0
#define PCI_CAPABILITY_NEXT 1
#define PCI_CAPABILITIES_MAX                                                                       \
    ((PCI_CONFIG_SPACE_SIZE - PCI_CAPABILITY_FIRST) / PCI_CAPABILITY_ALIGNMENT)

/* 3.0 appendix H "Capability IDs". */
#define PCI_CAPABILITY_ID_MSI 0x05
#define PCI_CAPABILITY_ID_VENDOR 0x09
#define PCI_CAPABILITY_ID_PCI_EXPRESS 0x10
#define PCI_CAPABILITY_ID_MSIX 0x11

/* 3.0 §6.8.2 "MSI-X Capability and Table Structures": message control. */
#define PCI_MSIX_MESSAGE_CONTROL 2
#define PCI_MSIX_MESSAGE_CONTROL_ENABLE 0x8000
#define PCI_MSIX_MESSAGE_CONTROL_MASK 0x4000 /* of all entries */
#define PCI_MSIX_TABLE 4                     /* offset in the BAR that the low bits name */
#define PCI_MSIX_TABLE_BIR 0x00000007u
#define PCI_MSIX_ENTRY_BYTES 16
#define PCI_MSIX_ENTRY_ADDRESS 0
#define PCI_MSIX_ENTRY_UPPER_ADDRESS 4
#define PCI_MSIX_ENTRY_DATA 8
#define PCI_MSIX_ENTRY_CONTROL 12 /* bit 0: masked */

/* PCI Express Base Specification 3.0 §7.8 "PCI Express Capability Structure": offsets in it. */
#define PCI_EXPRESS_CAPABILITIES 0x02 /* 16 bits */
#define PCI_EXPRESS_TYPE_SHIFT 4      /* device/port type, four bits */
#define PCI_EXPRESS_TYPE_ROOT_PORT 4
#define PCI_EXPRESS_TYPE_DOWNSTREAM_PORT 6
#define PCI_EXPRESS_SLOT_IMPLEMENTED 0x0100
#define PCI_EXPRESS_SLOT_CAPABILITIES 0x14 /* 32 bits */
#define PCI_EXPRESS_SLOT_HOT_PLUG_CAPABLE 0x00000040u
#define PCI_EXPRESS_SLOT_CONTROL 0x18 /* 16 bits */
#define PCI_EXPRESS_SLOT_POWER_INDICATOR 0x0300
#define PCI_EXPRESS_SLOT_POWER_INDICATOR_ON 0x0100
#define PCI_EXPRESS_SLOT_POWER_INDICATOR_OFF 0x0300
#define PCI_EXPRESS_SLOT_POWER_OFF 0x0400 /* power controller control: set is off */
#define PCI_EXPRESS_SLOT_STATUS 0x1a      /* 16 bits; changes are cleared by writing ones */
#define PCI_EXPRESS_SLOT_ATTENTION_BUTTON 0x0001
#define PCI_EXPRESS_SLOT_PRESENCE_CHANGED 0x0008
#define PCI_EXPRESS_SLOT_CHANGES 0x011f
#define PCI_EXPRESS_SLOT_PRESENCE 0x0040

/*
 * Not in the specification: QEMU's machines pc and q35, known by their host bridge, and the register
 * block by which their firmware tables would have a guest do hot-plug (docs/specs/acpi_pci_hotplug).
 * All registers have 32 bits; a bit stands for a device number.
 */
#define PCI_VENDOR_ID_INTEL 0x8086
#define PCI_DEVICE_ID_INTEL_82441 0x1237 /* machine pc */
#define PCI_DEVICE_ID_INTEL_Q35 0x29c0
#define PCI_SUBSYSTEM_VENDOR_ID_QEMU 0x1af4
#define PCI_SUBSYSTEM_ID_QEMU 0x1100
#define PCI_QEMU_HOTPLUG_PORT_PC 0xae00
#define PCI_QEMU_HOTPLUG_PORT_Q35 0x0cc0
#define PCI_QEMU_HOTPLUG_UP 0x00   /* inserted since; cleared by reading */
#define PCI_QEMU_HOTPLUG_DOWN 0x04 /* to be removed */
#define PCI_QEMU_HOTPLUG_EJECT 0x08
#define PCI_QEMU_HOTPLUG_REMOVABLE 0x0c
#define PCI_QEMU_HOTPLUG_SELECT 0x10 /* the bus that the others are about, by a number of its own */

/* There, on bus 0, addresses are free in these ranges wherever no BAR lies. */
#define PCI_QEMU_IO_START 0xc000
#define PCI_QEMU_IO_END 0xff00
#define PCI_QEMU_MEMORY_START 0xf0000000u
#define PCI_QEMU_MEMORY_END 0xfec00000u

/*
 * Not in the specification: QEMU's expander bridges (docs/pci_expander_bridge.txt, docs/pcie.txt).
 * They look like an endpoint of class host bridge and don't tell the number of the bus they start.
 */
#define PCI_VENDOR_ID_REDHAT 0x1b36
#define PCI_DEVICE_ID_REDHAT_PXB 0x0009
#define PCI_DEVICE_ID_REDHAT_PXB_PCIE 0x000b

#endif
