/* The command line: the input is the text. */
#include "tests/fuzz/target.h"

#include <string.h>

#include <machine/panic.h>

#include "boot/boot_info.h"
#include "kernel/config.h"
#include "kernel/fault_injection.h"
#include "tests/host/sim/machine.h"

/* The kernel's faults are not the host's. */
bool fault_known(const char *name)
{
    return strcmp(name, "text") == 0 || strcmp(name, "stack") == 0;
}

const char *fault_list(void)
{
    return "text|stack";
}

/* Words as anybody would count them. */
static size_t words_of(const char *text)
{
    size_t words = 0;

    for (text += strspn(text, " \t\r\n"); *text != '\0'; text += strspn(text, " \t\r\n")) {
        text += strcspn(text, " \t\r\n");
        words++;
    }
    return words;
}

static void check(const struct config *config)
{
    ensure(config->mode == MODE_WIRE || config->mode == MODE_REFLECT);
    ensure(memchr(config->wire, '\0', sizeof(config->wire)) != NULL);
    ensure(config->stats_seconds <= 86400 && config->log >= LOG_ERROR && config->log <= LOG_DEBUG);
    ensure(config->panic <= PANIC_POWEROFF && config->mac_count <= CONFIG_MACS_MAX);
    for (size_t i = 0; i < config->mac_count; i++) {
        const struct config_mac *mac = &config->macs[i];
        ensure(mac->port < CONFIG_MACS_MAX && !(mac->address[0] & 1));
        for (size_t before = 0; before < i; before++)
            ensure(config->macs[before].port != mac->port);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[BOOT_CMDLINE_MAX];
    struct config config;

    if (size >= sizeof(text))
        size = sizeof(text) - 1;
    memcpy(text, data, size);
    text[size] = '\0';
    machine_reset();
    memset(&config, 0xa5, sizeof(config));
    config_parse(&config, text);
    check(&config);
    /* A word costs one line at most, and no line is longer than the console takes (machine.c). */
    ensure(machine_log_count("warn", "") <= words_of(text));
    return 0;
}
