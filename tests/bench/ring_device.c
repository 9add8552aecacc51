/* The device's side of a ring, as lean as it can be (virtio 1.2 §2.7, legacy layout). */
#include "tests/bench/ring_device.h"

#include <string.h>

#include <machine/io.h>
#include <machine/panic.h>

#include "drivers/virtqueue.h"

#define PACKET_SIZE (sizeof(struct virtio_net_hdr) + FRAME_SIZE)

/* Header, then a frame from one locally administered address to another. */
#define DESTINATION sizeof(struct virtio_net_hdr)
#define SOURCE (DESTINATION + 6)
static const uint8_t packet[PACKET_SIZE] = {[DESTINATION] = 2, [SOURCE] = 2, [PACKET_SIZE - 1] = 1};

void ring_device_attach(struct ring_device *device, void *ring, uint16_t size)
{
    const struct virtqueue_layout layout = virtqueue_layout(size);
    uint8_t *base = ring;

    *device = (struct ring_device){
        .desc = (const struct virtq_desc *)(base + layout.desc),
        .avail = (const struct virtq_avail *)(base + layout.avail),
        .used = (struct virtq_used *)(base + layout.used),
        .size = size,
    };
    device->next = atomic_load_explicit(&device->used->idx, memory_order_relaxed);
}

void ring_device_want_doorbells(struct ring_device *device, bool wanted)
{
    atomic_store_explicit(&device->used->flags, wanted ? 0 : VIRTQ_USED_F_NO_NOTIFY,
                          memory_order_relaxed);
}

uint32_t ring_device_available(const struct ring_device *device)
{
    /* Acquire: the index before ring entries and descriptors. Partner: the driver's release in
     * virtqueue_publish. */
    uint16_t idx = atomic_load_explicit(&device->avail->idx, memory_order_acquire);

    return (uint16_t)(idx - device->next);
}

/* The buffer of the next chain, which is finished with `written` bytes in it. */
static uint8_t *take(struct ring_device *device, uint32_t written)
{
    const uint16_t at = device->next++ & (device->size - 1);
    const uint16_t head = device->avail->ring[at];
    const volatile struct virtq_desc *desc = &device->desc[head];

    ensure(!(desc->flags & VIRTQ_DESC_F_NEXT) && desc->len >= PACKET_SIZE);
    device->used->ring[at].id = head;
    device->used->ring[at].len = written;
    return (uint8_t *)(uintptr_t)(desc->addr - PHYSICAL_OFFSET);
}

/* Release: entries and buffers before the index. Partner: the driver's acquire in
 * virtqueue_pending. */
static void show(struct ring_device *device)
{
    atomic_store_explicit(&device->used->idx, device->next, memory_order_release);
}

void ring_device_deliver(struct ring_device *device, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        memcpy(take(device, PACKET_SIZE), packet, PACKET_SIZE);
    show(device);
}

uint32_t ring_device_transmit(struct ring_device *device)
{
    const uint32_t n = ring_device_available(device);
    uint8_t copy[PACKET_SIZE];

    for (uint32_t i = 0; i < n; i++) {
        memcpy(copy, take(device, 0), PACKET_SIZE);
        ensure(memcmp(copy, packet, PACKET_SIZE) == 0);
    }
    if (n != 0)
        show(device);
    return n;
}
