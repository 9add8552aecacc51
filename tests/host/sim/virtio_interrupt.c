/* How the simulated device interrupts: by the MSI-X table in BAR 1, else by its line. PCI 3.0 §6.8.2;
 * virtio 1.2 §4.1.4.5 and §4.1.5.1.2. */
#include <string.h>

#include <machine/interrupt.h>

#include "tests/host/sim/machine.h"
#include "tests/host/sim/virtio_registers.h"

enum {
    MSIX_CAPABILITY = 0x11,
    CONTROL_ENABLE = 0x8000,
    CONTROL_MASK = 0x4000,
    ENTRY_WORDS = 4,
    ENTRY_MASKED = 1,
    NO_VECTOR = 0xffff,
    COMMAND = 0x04,
    COMMAND_INTERRUPT_DISABLE = 0x0400,
    INTERRUPT_LINE = 0x3c,
};

static uint16_t control_of(const struct sim_virtio_net *net)
{
    return (uint16_t)sim_pci_get(net->pci, (uint8_t)(net->msix + 2), 2);
}

bool sim_msix_enabled(const struct sim_virtio_net *net)
{
    return (control_of(net) & CONTROL_ENABLE) != 0;
}

static void update_line(struct sim_virtio_net *net)
{
    const uint16_t command = (uint16_t)sim_pci_get(net->pci, COMMAND, 2);
    const bool asserted =
        net->isr != 0 && !sim_msix_enabled(net) && !(command & COMMAND_INTERRUPT_DISABLE);

    if (asserted != net->line_asserted)
        machine_line(net->pci->config[INTERRUPT_LINE], asserted);
    net->line_asserted = asserted;
}

static void send_message(struct sim_virtio_net *net, uint16_t vector)
{
    if (vector >= SIM_MSIX_ENTRIES) /* NO_VECTOR, or one that the register would not have taken */
        return;
    const uint32_t *entry = &net->msix_table[vector * ENTRY_WORDS];
    if (entry[3] & ENTRY_MASKED || control_of(net) & CONTROL_MASK)
        return;
    if (entry[0] != MACHINE_MESSAGE_ADDRESS || entry[1] != 0 || entry[2] == 0)
        sim_complain(net, "message 0x%x to 0x%x%08x is no interrupt", entry[2], entry[1], entry[0]);
    machine_interrupt();
}

void sim_interrupt_reset(struct sim_virtio_net *net)
{
    net->config_vector = NO_VECTOR;
    for (unsigned i = 0; i < SIM_QUEUES; i++)
        net->queue_vectors[i] = NO_VECTOR;
    net->isr = 0;
    update_line(net);
}

void sim_interrupt_make(struct sim_virtio_net *net)
{
    const uint8_t msix = net->msix = sim_pci_add_capability(net->pci, MSIX_CAPABILITY, 12);

    net->pci->writable[msix + 3] = 0xc0;
    sim_pci_set(net->pci, (uint8_t)(msix + 2), 2, SIM_MSIX_ENTRIES - 1);
    sim_pci_set(net->pci, (uint8_t)(msix + 4), 4, SIM_MSIX_TABLE | SIM_MSIX_BAR);
    sim_pci_set(net->pci, (uint8_t)(msix + 8), 4, 0x800 | SIM_MSIX_BAR);
    net->pci->config[INTERRUPT_LINE] = 11;
    for (unsigned i = 0; i < SIM_MSIX_ENTRIES; i++)
        net->msix_table[i * ENTRY_WORDS + 3] = ENTRY_MASKED;
    sim_interrupt_reset(net);
}

void sim_queue_interrupts(struct sim_virtio_net *net, unsigned slot)
{
    net->isr |= 1;
    if (sim_msix_enabled(net))
        send_message(net, net->queue_vectors[slot]);
    else
        update_line(net);
}

uint8_t sim_read_isr(struct sim_virtio_net *net)
{
    const uint8_t isr = net->isr;

    net->isr = 0;
    update_line(net);
    return isr;
}

static uint32_t *entry_word(struct sim_virtio_net *net, uint32_t offset, unsigned width)
{
    const uint32_t index = (offset - SIM_MSIX_TABLE) / 4;

    if (offset >= SIM_MSIX_TABLE && width == 4 && index < SIM_MSIX_ENTRIES * ENTRY_WORDS)
        return &net->msix_table[index];
    sim_complain(net, "access of %u bytes at 0x%x of the MSI-X table's BAR", width, offset);
    return NULL;
}

uint32_t sim_msix_read(void *context, unsigned bar, uint32_t offset, unsigned width)
{
    const uint32_t *word = entry_word(context, offset, width);

    (void)bar;
    return word != NULL ? *word : 0;
}

void sim_msix_write(void *context, unsigned bar, uint32_t offset, unsigned width, uint32_t value)
{
    uint32_t *word = entry_word(context, offset, width);

    (void)bar;
    if (word != NULL)
        *word = value;
}

uint16_t sim_take_vector(struct sim_virtio_net *net, uint16_t vector)
{
    return vector < SIM_MSIX_ENTRIES && !net->vectors_refused ? vector : NO_VECTOR;
}
