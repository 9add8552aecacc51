/*
 * The text of wire=: a byte for the number of ports, one for which of them have failed, one for
 * which have a MAC in common; the rest is the text.
 */
#include "tests/fuzz/target.h"

#include <stdio.h>
#include <string.h>

#include <machine/panic.h>

#include "tests/host/fixture/memory_port.h"
#include "net/pairs.h"
#include "tests/fuzz/input.h"
#include "tests/host/sim/machine.h"

static struct memory_port memory_ports[PORTS_MAX];
static struct port *ports[PORTS_MAX];

static void make_ports(unsigned count, uint8_t failed, uint8_t alike)
{
    for (unsigned i = 0; i < count; i++) {
        const uint8_t number = (uint8_t)(alike >> i % 8 & 1 ? 0xaa : i);
        struct port *dev = ports[i] = &memory_ports[i].port;
        memory_port_init(&memory_ports[i], i, (struct mac_address){{2, 0, 0, 0, 0, number}});
        snprintf(dev->address, sizeof(dev->address), "00:%02x.%x", i / 2, i % 2);
        if (failed >> i % 8 & 1)
            dev->state = PORT_DOWN;
    }
}

/* A pair is one from both ends, and no port is its own partner. */
static void check_pairs(const struct pairs *pairs, unsigned count)
{
    ensure(pairs->count == count);
    for (int i = 0; i < (int)count; i++) {
        const int partner = pairs->partner[i];
        if (partner == PAIRS_IDLE)
            continue;
        ensure(partner >= 0 && partner < (int)count && partner != i);
        ensure(pairs->partner[partner] == i);
    }
}

static void check_texts(const struct pairs *pairs)
{
    char text[PAIRS_TEXT];

    memset(text, 0xa5, sizeof(text));
    pairs_wires_text(pairs, text);
    ensure(memchr(text, '\0', sizeof(text)) != NULL && text[0] != '\0');
    memset(text, 0xa5, sizeof(text));
    pairs_idle_text(pairs, text);
    ensure(memchr(text, '\0', sizeof(text)) != NULL && text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    const unsigned count = input_8(&input) % (PORTS_MAX + 1);
    const uint8_t failed = input_8(&input), alike = input_8(&input);
    char text[PAIRS_WORD] = "";
    struct pairs pairs;

    machine_reset();
    make_ports(count, failed, alike);
    input_fill(&input, text, input.left < sizeof(text) ? input.left : sizeof(text) - 1);
    pairs_plan(&pairs, ports, count, text);
    check_pairs(&pairs, count);
    pairs_settle(&pairs, ports);
    check_pairs(&pairs, count);
    for (unsigned i = 0; i < count; i++)
        ensure(pairs.partner[i] == PAIRS_IDLE || ports[i]->state != PORT_DOWN);
    check_texts(&pairs);
    return 0;
}
