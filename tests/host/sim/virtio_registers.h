/*
 * Inside the simulated device: what its two interfaces call, and what they answer with.
 *
 *     sim_virtio_net.c      the network device
 *     sim_virtio_legacy.c   registers at ports (virtio 1.2 §4.1.4.10)
 *     sim_virtio_modern.c   capabilities, and the structures behind them (§4.1.4)
 *     sim_virtio_interrupt.c  MSI-X table, line and interrupt status
 */
#ifndef TESTS_HOST_SIM_VIRTIO_REGISTERS_H
#define TESTS_HOST_SIM_VIRTIO_REGISTERS_H

#include "tests/host/sim/virtio_net.h"

/* The first complaint stays: what follows is often its consequence. */
void sim_complain(struct sim_virtio_net *net, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

bool sim_negotiated(const struct sim_virtio_net *net, unsigned feature);

uint8_t sim_read_status(struct sim_virtio_net *net);
void sim_write_status(struct sim_virtio_net *net, uint8_t value);
void sim_write_features(struct sim_virtio_net *net, uint64_t value);

/* Which of queues[] is queue `index` to the driver; SIM_QUEUES: none. The second tells whether it
 * belongs to a further pair of the device, which must not be set up. */
unsigned sim_slot_of(const struct sim_virtio_net *net, uint32_t index);
bool sim_queue_is_spare(const struct sim_virtio_net *net, uint32_t index);

/* The queue that the driver has selected, or NULL; and the size that is stated of it: it may be another
 * one the next time. */
struct sim_queue *sim_selected_queue(struct sim_virtio_net *net);
uint16_t sim_read_queue_size(struct sim_virtio_net *net);

/* The driver has said where the selected queue is. False if it cannot be. */
bool sim_place_queue(struct sim_virtio_net *net, struct sim_place place);

/* It has rung for queues[`slot`]. */
void sim_doorbell(struct sim_virtio_net *net, unsigned slot);

/* Configuration space of the device, by fields. */
uint32_t sim_read_config(struct sim_virtio_net *net, uint16_t offset, unsigned width);

/* The ports of BAR 0. */
uint32_t sim_legacy_read(void *context, uint16_t offset, unsigned width);
void sim_legacy_write(void *context, uint16_t offset, unsigned width, uint32_t value);

/* Makes the MSI-X capability and the line; after a reset no vector is set and the line released. */
void sim_interrupt_make(struct sim_virtio_net *net);
void sim_interrupt_reset(struct sim_virtio_net *net);
bool sim_msix_enabled(const struct sim_virtio_net *net);

/* queues[`slot`] interrupts the driver, which wants it. */
void sim_queue_interrupts(struct sim_virtio_net *net, unsigned slot);

/* The interrupt status, which releases the line. */
uint8_t sim_read_isr(struct sim_virtio_net *net);

/* The content of a vector register after a write of `vector`. */
uint16_t sim_take_vector(struct sim_virtio_net *net, uint16_t vector);

/* BAR SIM_MSIX_BAR. */
uint32_t sim_msix_read(void *context, unsigned bar, uint32_t offset, unsigned width);
void sim_msix_write(void *context, unsigned bar, uint32_t offset, unsigned width, uint32_t value);

/* The device has been reset. */
void sim_modern_reset(struct sim_virtio_net *net);

#endif
