/*
 * The text of wire=: a byte for the number of ports, one for which of them have failed, one for
 * which have a MAC in common; the rest is the text.
 */
#include "tests/fuzz/target.h"

#include <stdio.h>
#include <string.h>

#include <machine/panic.h>

#include "kernel/config.h"
#include "tests/host/fixture/memory_port.h"
#include "net/wiring.h"
#include "tests/fuzz/input.h"
#include "tests/host/sim/machine.h"

static struct memory_port memory_ports[NETDEV_PORTS_MAX];
static struct netdev *ports[NETDEV_PORTS_MAX];

static void make_ports(unsigned count, uint8_t failed, uint8_t alike)
{
    for (unsigned i = 0; i < count; i++) {
        const uint8_t number = (uint8_t)(alike >> i % 8 & 1 ? 0xaa : i);
        struct netdev *dev = ports[i] = &memory_ports[i].netdev;
        memory_port_init(&memory_ports[i], i, (struct mac_address){{2, 0, 0, 0, 0, number}});
        snprintf(dev->address, sizeof(dev->address), "00:%02x.%x", i / 2, i % 2);
        if (failed >> i % 8 & 1)
            dev->state = NETDEV_DOWN;
    }
}

/* A pair is one from both ends, and no port is its own partner. */
static void check_pairs(const struct wiring *wiring, unsigned count)
{
    ensure(wiring->count == count);
    for (int i = 0; i < (int)count; i++) {
        const int partner = wiring->partner[i];
        if (partner == WIRING_IDLE)
            continue;
        ensure(partner >= 0 && partner < (int)count && partner != i);
        ensure(wiring->partner[partner] == i);
    }
}

static void check_texts(const struct wiring *wiring)
{
    char text[WIRING_TEXT];

    memset(text, 0xa5, sizeof(text));
    wiring_wires_text(wiring, text);
    ensure(memchr(text, '\0', sizeof(text)) != NULL && text[0] != '\0');
    memset(text, 0xa5, sizeof(text));
    wiring_idle_text(wiring, text);
    ensure(memchr(text, '\0', sizeof(text)) != NULL && text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    const unsigned count = input_8(&input) % (NETDEV_PORTS_MAX + 1);
    const uint8_t failed = input_8(&input), alike = input_8(&input);
    char text[CONFIG_WIRE_MAX] = "";
    struct wiring wiring;

    machine_reset();
    make_ports(count, failed, alike);
    input_fill(&input, text, input.left < sizeof(text) ? input.left : sizeof(text) - 1);
    wiring_plan(&wiring, ports, count, text);
    check_pairs(&wiring, count);
    wiring_settle(&wiring, ports);
    check_pairs(&wiring, count);
    for (unsigned i = 0; i < count; i++)
        ensure(wiring.partner[i] == WIRING_IDLE || ports[i]->state != NETDEV_DOWN);
    check_texts(&wiring);
    return 0;
}
