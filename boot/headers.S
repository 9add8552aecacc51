/*
 * The three headers by which boot loaders know this image. linker.ld puts the first two at the
 * very beginning of it (Multiboot 1 looks at 8 KiB of the file only) and the note into a PT_NOTE
 * segment. Each names an entry of its own, so no entry has to guess the protocol.
 */
#include "boot/multiboot.h"
#include "boot/multiboot2.h"
#include "boot/pvh.h"

    .section .boot.headers, "a"

/*
 * With address fields a loader reads the file as one flat piece and ignores the ELF headers. So
 * QEMU's -kernel accepts a 64-bit ELF file as Multiboot 1. It is also why linker.ld must keep one
 * difference between file offset and address for all segments.
 */
#define MULTIBOOT_FLAGS (MULTIBOOT_PAGE_ALIGN | MULTIBOOT_MEMORY_INFO | MULTIBOOT_AOUT_KLUDGE)

    .balign MULTIBOOT_HEADER_ALIGN
multiboot1_header:
    .long MULTIBOOT_HEADER_MAGIC
    .long MULTIBOOT_FLAGS
    .long -(MULTIBOOT_HEADER_MAGIC + MULTIBOOT_FLAGS)
    .long multiboot1_header
    .long __image_start
    .long __load_end
    .long __image_end
    .long boot_multiboot1

/*
 * Multiboot 2 loads by the ELF headers. No tag for EFI boot services: the loader leaves them before
 * it calls us, and the entry is in 32-bit mode on UEFI too. No relocatable tag: the addresses are
 * fixed.
 */
#define MULTIBOOT2_LENGTH (multiboot2_header_end - multiboot2_header)

    .balign MULTIBOOT2_HEADER_ALIGN
multiboot2_header:
    .long MULTIBOOT2_HEADER_MAGIC
    .long MULTIBOOT2_ARCHITECTURE_I386
    .long MULTIBOOT2_LENGTH
    .long -(MULTIBOOT2_HEADER_MAGIC + MULTIBOOT2_ARCHITECTURE_I386 + MULTIBOOT2_LENGTH)

    /* Without a memory map we cannot run: not optional. */
    .balign MULTIBOOT2_HEADER_TAG_ALIGN
1:  .short MULTIBOOT2_HEADER_TAG_INFORMATION_REQUEST
    .short 0
    .long 2f - 1b
    .long MULTIBOOT2_TAG_TYPE_MMAP
2:
    .balign MULTIBOOT2_HEADER_TAG_ALIGN
1:  .short MULTIBOOT2_HEADER_TAG_INFORMATION_REQUEST
    .short MULTIBOOT2_HEADER_TAG_OPTIONAL
    .long 2f - 1b
    .long MULTIBOOT2_TAG_TYPE_CMDLINE
    .long MULTIBOOT2_TAG_TYPE_MODULE
    .long MULTIBOOT2_TAG_TYPE_ACPI_OLD
    .long MULTIBOOT2_TAG_TYPE_ACPI_NEW
2:
    .balign MULTIBOOT2_HEADER_TAG_ALIGN
1:  .short MULTIBOOT2_HEADER_TAG_ENTRY_ADDRESS
    .short 0
    .long 2f - 1b
    .long boot_multiboot2
2:
    .balign MULTIBOOT2_HEADER_TAG_ALIGN
1:  .short MULTIBOOT2_HEADER_TAG_MODULE_ALIGN
    .short MULTIBOOT2_HEADER_TAG_OPTIONAL
    .long 2f - 1b
2:
    .balign MULTIBOOT2_HEADER_TAG_ALIGN
1:  .short MULTIBOOT2_HEADER_TAG_END
    .short 0
    .long 2f - 1b
2:
multiboot2_header_end:

/*
 * The PVH note. Alignment 4, not 8: loaders find the address by rounding the name's length up to
 * the segment's alignment. Eight bytes of address, because some read that many.
 */
    .section .note.pvh, "a", @note
    .balign 4
    .long 2f - 1f
    .long 4f - 3f
    .long XEN_ELFNOTE_PHYS32_ENTRY
1:  .asciz "Xen"
2:  .balign 4
3:  .quad boot_pvh
4:

    .section .note.GNU-stack, "", @progbits
