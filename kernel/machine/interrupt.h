/*
 * The seam: interrupts, which only wake the core. They are enabled in interrupt_wait only, and
 * their handlers only acknowledge and note them. So no code needs to be guarded against them: the
 * caller polls for work after it wakes.
 */
#ifndef MACHINE_INTERRUPT_H
#define MACHINE_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

/* A message-signalled interrupt to this core: the address and the data that a device writes. */
struct interrupt_message {
    uint64_t address;
    uint32_t data;
};

/* Fills `message` with one that no other device has. False: this machine takes none, or no more.
 * Start-up only. */
bool interrupt_open_message(struct interrupt_message *message);

/*
 * Lets interrupt line `line` of the 8259s (level-triggered, as PCI's INTx) wake this core; several
 * devices may share one. False: there is no such line, or the machine has no 8259s. After an
 * interrupt the line stays masked until the next interrupt_wait. The device must have released it
 * by then, or interrupt_wait returns at once. Start-up only.
 */
bool interrupt_open_line(unsigned line);

/* True if the core may sleep: it has a timer that wakes it. */
bool interrupt_can_wait(void);

/*
 * Between the requests for interrupts and the last look before interrupt_wait: what was written
 * before is seen by devices before what is read after. Partner: the device's fence between what it
 * shows and its look at the request, as drivers/virtio/virtqueue.h has it. A full fence promises the
 * same, but QEMU's TCG does not keep it for a machine with one core. Before each sleep, not for a frame.
 */
void interrupt_fence(void);

/* The causes of a wake-up. */
#define INTERRUPT_TIMER 1u
#define INTERRUPT_DEVICE 2u
#define INTERRUPT_CONSOLE 4u

/*
 * Sleeps until an interrupt comes, at the latest until clock_cycles() is `until`, and returns
 * which kinds have come (0 is possible too). One that came while the core was awake ends the sleep
 * at once: nothing is lost between a caller's last poll and its sleep. With an `until` in the past
 * it only takes pending interrupts. Needs interrupt_can_wait().
 */
unsigned interrupt_wait(uint64_t until);

#endif
