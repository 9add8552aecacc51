/* MSI-X: PCI Local Bus Specification 3.0 §6.8.2; INTx: §6.2.4 and the command register. */
#include "drivers/pci/pci_interrupt.h"

#include <machine/io.h>
#include <machine/memory.h>

/* The first entry of the function's MSI-X table, mapped; NULL if there is none that can be. */
static volatile uint8_t *map_entry(const struct pci_device *device, uint8_t capability)
{
    const uint32_t table = pci_read32(device, (uint8_t)(capability + PCI_MSIX_TABLE));
    const uint32_t offset = table & ~PCI_MSIX_TABLE_BIR;
    const unsigned index = table & PCI_MSIX_TABLE_BIR;

    if (index >= PCI_BARS_DEVICE)
        return NULL;
    const struct pci_bar *bar = &device->bars[index];
    if (bar->is_io || bar->base == 0 || bar->size < PCI_MSIX_ENTRY_BYTES ||
        offset > bar->size - PCI_MSIX_ENTRY_BYTES)
        return NULL;
    return memory_map_device(bar->base + offset, PCI_MSIX_ENTRY_BYTES);
}

static void set_control(const struct pci_device *device, uint8_t capability, uint16_t bits)
{
    const uint8_t offset = (uint8_t)(capability + PCI_MSIX_MESSAGE_CONTROL);
    const uint16_t rest =
        pci_read16(device, offset) &
        (uint16_t) ~(PCI_MSIX_MESSAGE_CONTROL_ENABLE | PCI_MSIX_MESSAGE_CONTROL_MASK);

    pci_write16(device, offset, rest | bits);
}

static bool open_message(const struct pci_device *device, uint8_t capability,
                         struct interrupt_message *message)
{
    volatile uint8_t *const entry = map_entry(device, capability);

    if (entry == NULL || (message->address == 0 && !interrupt_open_message(message)))
        return false;
    /* Nothing may strike while the entry is half written. */
    set_control(device, capability,
                PCI_MSIX_MESSAGE_CONTROL_ENABLE | PCI_MSIX_MESSAGE_CONTROL_MASK);
    mmio_write32(entry + PCI_MSIX_ENTRY_ADDRESS, (uint32_t)message->address);
    mmio_write32(entry + PCI_MSIX_ENTRY_UPPER_ADDRESS, (uint32_t)(message->address >> 32));
    mmio_write32(entry + PCI_MSIX_ENTRY_DATA, message->data);
    mmio_write32(entry + PCI_MSIX_ENTRY_CONTROL, 0); /* not masked */
    /* The table may lie where the bridges above do not lead: what is written there is lost. */
    if (mmio_read32(entry + PCI_MSIX_ENTRY_ADDRESS) != (uint32_t)message->address ||
        mmio_read32(entry + PCI_MSIX_ENTRY_DATA) != message->data)
        return false;
    set_control(device, capability, PCI_MSIX_MESSAGE_CONTROL_ENABLE);
    return true;
}

static bool open_line(const struct pci_device *device)
{
    /* §6.2.4: what firmware writes there is the 8259s' number; 255 says that there is none, and no
     * function of PCI's can have the timer's 0. */
    if (device->interrupt_line == 0 || !interrupt_open_line(device->interrupt_line))
        return false;
    const uint16_t command = pci_read16(device, PCI_COMMAND);
    pci_write16(device, PCI_COMMAND, command & (uint16_t)~PCI_COMMAND_INTERRUPT_DISABLE);
    return true;
}

enum pci_interrupt pci_interrupt_open(const struct pci_device *device,
                                      struct interrupt_message *message)
{
    const uint8_t capability = pci_find_capability(device, PCI_CAPABILITY_ID_MSIX, 0);

    if (capability != 0) {
        if (open_message(device, capability, message))
            return PCI_INTERRUPT_BY_MESSAGE;
        set_control(device, capability, 0); /* firmware may have switched it on */
    }
    return open_line(device) ? PCI_INTERRUPT_BY_LINE : PCI_INTERRUPT_NONE;
}

const char *pci_interrupt_name(enum pci_interrupt interrupt)
{
    static const char *const names[] = {
        [PCI_INTERRUPT_NONE] = "none",
        [PCI_INTERRUPT_BY_LINE] = "line",
        [PCI_INTERRUPT_BY_MESSAGE] = "message",
    };
    return names[interrupt];
}
