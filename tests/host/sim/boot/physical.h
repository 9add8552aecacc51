/*
 * The host's version of boot/physical.h: the machine's memory is one window of bytes that a test or
 * a fuzzer puts at any physical address; nothing is to be read outside.
 */
#ifndef BOOT_PHYSICAL_H
#define BOOT_PHYSICAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As in boot/physical.h. */
bool boot_read(void *to, uint64_t physical, size_t size);

/* Shows `size` bytes at `bytes` (the caller's, not copied) from physical address `base` on. */
void physical_window(uint64_t base, const void *bytes, size_t size);

/* How many reads there were since physical_window, and how many of them boot_read refused. */
size_t physical_reads(void);
size_t physical_refused(void);

#endif
