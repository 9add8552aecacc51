/* The command line: the input is the text. */
#include "tests/fuzz/target.h"

#include <stdlib.h>
#include <string.h>

#include <machine/option.h>
#include <machine/panic.h>

#include "drivers/i6300esb.h"
#include "drivers/virtio/virtio_net.h"
#include "kernel/fault_injection.h"
#include "net/loop_options.h"
#include "net/port_options.h"
#include "net/topology_options.h"
#include "tests/host/fixture/settings.h"
#include "tests/host/sim/machine.h"

static struct topology topology;
static struct loop loop;

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

/* Each table comes with its file, and the file with what is called of it. */
static void begin(void)
{
    machine_reset();
    topology_options_begin(&topology);
    loop_init(&loop, NULL, NULL, 0, 0);
    loop_options_begin(&loop);
    ensure(i6300esb_find(NULL, 0) == NULL);
    fault_inject(); /* no word has asked for one yet */
}

static void check(void)
{
    const struct virtio_net_options *const options = virtio_net_options();
    struct port port = {0};

    ensure(memchr(topology.wire, '\0', sizeof(topology.wire)) != NULL);
    ensure(topology.mergeable <= MERGEABLE_OFF && options->transport <= TRANSPORT_MODERN);
    ensure((options->rx_ring & (options->rx_ring - 1)) == 0 && options->tx_ring <= 32768);
    for (port.id = 0; port.id < PORTS_MAX; port.id++) {
        memset(&port.wanted, 0, sizeof(port.wanted));
        port_options_apply(&port);
        ensure(!(port.wanted.mac.bytes[0] & 1));
    }
}

/* The settings are a command line that brings no warning and leads to themselves. */
static void check_settings(void)
{
    char *const words = strdup(settings_words());

    begin();
    machine_command_line(words);
    ensure(machine_log_count("warn", "word=") == 0);
    ensure(strcmp(settings_words(), words) == 0);
    free(words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[OPTION_LINE_MAX + 1];

    if (size >= sizeof(text))
        size = sizeof(text) - 1;
    memcpy(text, data, size);
    text[size] = '\0';
    begin();
    machine_command_line(text);
    /* A word costs one line at most, and no line is longer than the console takes (machine.c). */
    ensure(machine_log_count("warn", "") <= words_of(text));
    check();
    check_settings();
    return 0;
}
