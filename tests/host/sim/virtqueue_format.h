/*
 * Inside the simulated device's queue: what the two formats offer to virtqueue.c, and what they
 * use of it. Only virtqueue.c, split.c and packed.c include this.
 */
#ifndef TESTS_HOST_SIM_VIRTQUEUE_FORMAT_H
#define TESTS_HOST_SIM_VIRTQUEUE_FORMAT_H

#include "tests/host/sim/virtqueue.h"

/* Flags of a descriptor in either format (virtio 1.2 §2.7.5, §2.8.6). */
enum { SIM_DESC_NEXT = 1, SIM_DESC_WRITE = 2, SIM_DESC_INDIRECT = 4 };

/* The first complaint stays: what follows is often its consequence. */
void sim_queue_complain(struct sim_queue *queue, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A piece of the driver's memory, or NULL with a complaint. */
uint8_t *sim_queue_dma(struct sim_queue *queue, uint64_t physical, uint64_t size);

static inline uint16_t sim_get16(const uint8_t *bytes)
{
    return __atomic_load_n((const uint16_t *)bytes, __ATOMIC_ACQUIRE);
}

static inline void sim_put16(uint8_t *bytes, uint16_t value)
{
    __atomic_store_n((uint16_t *)bytes, value, __ATOMIC_RELEASE);
}

static inline void sim_put32(uint8_t *bytes, uint32_t value)
{
    __atomic_store_n((uint32_t *)bytes, value, __ATOMIC_RELAXED);
}

/* A descriptor as the driver wrote it; `flags` without those that only a packed ring has. */
struct sim_descriptor {
    uint64_t physical;
    uint32_t length;
    uint16_t flags;
};

/* Checks a descriptor and appends it, or the content of its table, to the chain. False after a
 * complaint. */
bool sim_queue_append(struct sim_queue *queue, struct sim_chain *chain,
                      const struct sim_descriptor *desc);

/* The device has chain `head` now. False, and a complaint, if it cannot. */
bool sim_queue_fetched(struct sim_queue *queue, uint16_t head);

/* Buffers have been used; interrupts the driver if it is `wanted`. */
void sim_queue_announce(struct sim_queue *queue, bool wanted);

/*
 * One set for each format. `place` says whether all parts are where they may be. `fetch` looks for
 * what is newly available. `read` fills a chain whose head is known. `use` writes one used element
 * for a chain (packed: of `descriptors` descriptors), shows it, and heeds queue->fault.
 */
bool sim_split_place(struct sim_queue *queue);
void sim_split_fetch(struct sim_queue *queue);
bool sim_split_read(struct sim_queue *queue, struct sim_chain *chain);
void sim_split_use(struct sim_queue *queue, uint32_t id, uint32_t length);
void sim_split_ask(struct sim_queue *queue);
void sim_split_scribble(struct sim_queue *queue, enum sim_scribble what);
uint16_t sim_split_posted(struct sim_queue *queue);
struct sim_ring sim_split_ring(struct sim_queue *queue);

bool sim_packed_place(struct sim_queue *queue);
void sim_packed_fetch(struct sim_queue *queue);
bool sim_packed_read(struct sim_queue *queue, struct sim_chain *chain);
void sim_packed_use(struct sim_queue *queue, uint32_t id, uint32_t length, uint16_t descriptors);
void sim_packed_ask(struct sim_queue *queue);
void sim_packed_scribble(struct sim_queue *queue, enum sim_scribble what);
uint16_t sim_packed_posted(struct sim_queue *queue);
struct sim_ring sim_packed_ring(struct sim_queue *queue);

/* Descriptors of chain `head`, which was fetched. */
uint16_t sim_packed_count(const struct sim_queue *queue, uint16_t head);

#endif
