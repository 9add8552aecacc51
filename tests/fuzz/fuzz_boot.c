/*
 * A boot loader's structures: the first byte chooses the protocol, the others are the memory, with
 * the structure at its start.
 */
#include "tests/fuzz/target.h"

#include <stdbool.h>
#include <string.h>

#include <machine/panic.h>

#include "boot/boot_info.h"
#include "boot/physical.h"

#define BASE 0x10000ULL       /* of the memory: pointers in the corpus lead there */
#define READS_MAX (64 * 1024) /* the parser ends soon with any input */

static void check_range(const struct boot_range *range)
{
    ensure(range->length != 0 && range->base + (range->length - 1) >= range->base);
}

static void check(const struct boot_info *info, size_t size)
{
    uint64_t sum = 0;

    ensure(info->memory_count <= BOOT_MEMORY_MAX && info->module_count <= BOOT_MODULES_MAX);
    for (size_t i = 0; i < info->memory_count; i++) {
        const struct boot_range *range = &info->memory[i];
        check_range(range);
        sum += range->length;
        /* Sorted, apart, and not even touching. */
        ensure(i == 0 || range->base > range[-1].base + range[-1].length);
    }
    ensure(boot_info_ram(info) == sum);
    for (size_t i = 0; i < info->module_count; i++)
        check_range(&info->modules[i]);
    ensure(memchr(info->cmdline, '\0', sizeof(info->cmdline)) != NULL);
    ensure(physical_reads() <= READS_MAX + 4 * size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct boot_info info;

    if (size == 0)
        return 0;
    memset(&info, 0xa5, sizeof(info)); /* what was there before must not matter */
    physical_window(BASE, data + 1, size - 1);
    const char *reason = boot_info_parse(&info, data[0] % 3, BASE);
    check(&info, size);
    ensure(reason != NULL || info.memory_count > 0);
    ensure(boot_protocol_name(info.protocol)[0] != '\0');
    return 0;
}
