/* The device's side of a ring, as lean as it can be (virtio 1.2 §2.7 and §2.8). */
#include "tests/bench/ring_device.h"

#include <string.h>

#include <machine/io.h>
#include <machine/panic.h>

#include "drivers/virtio/virtqueue.h"

#define PACKET_MAX (VIRTIO_NET_HDR_BYTES + FRAME_SIZE)

/* A header of 10 bytes is the start of that of 12: num_buffers is what they differ in. */
static const uint8_t received_header[VIRTIO_NET_HDR_BYTES] = {[VIRTIO_NET_HDR_BYTES_LEGACY] = 1};
static const uint8_t sent_header[VIRTIO_NET_HDR_BYTES];

/* From one locally administered address to another. */
static const uint8_t frame[FRAME_SIZE] = {[0] = 2, [6] = 2, [FRAME_SIZE - 1] = 1};

void ring_device_attach(struct ring_device *device, const struct virtqueue *queue)
{
    *device = (struct ring_device){
        .packed = queue->packed,
        .desc = queue->desc,
        .avail = queue->avail,
        .used = queue->used,
        .header = queue->header,
        .size = (uint16_t)queue->size,
    };
    if (!queue->packed)
        device->next = atomic_load_explicit(&device->used->idx, memory_order_relaxed);
}

void ring_device_want_doorbells(struct ring_device *device, bool wanted)
{
    if (device->packed)
        atomic_store_explicit(&device->event->flags,
                              wanted ? RING_EVENT_FLAGS_ENABLE : RING_EVENT_FLAGS_DISABLE,
                              memory_order_relaxed);
    else
        atomic_store_explicit(&device->used->flags, wanted ? 0 : VIRTQ_USED_F_NO_NOTIFY,
                              memory_order_relaxed);
}

static const uint16_t both_flags = VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED;

/* The packed descriptor of entry `at`, if the driver has made it available. */
static struct pvirtq_desc *packed_available(const struct ring_device *device, uint16_t at)
{
    struct pvirtq_desc *const desc = &device->packed_desc[at & (device->size - 1)];
    const uint16_t wanted = at & device->size ? VIRTQ_DESC_F_USED : VIRTQ_DESC_F_AVAIL;

    /* Acquire: flags before the rest. Partner: the driver's release in
     * virtqueue_packed_publish. */
    const uint16_t flags =
        atomic_load_explicit((_Atomic uint16_t *)&desc->flags, memory_order_acquire);
    return (flags & both_flags) == wanted ? desc : NULL;
}

uint32_t ring_device_available(const struct ring_device *device)
{
    if (device->packed) {
        uint32_t n = 0;
        while (n < device->size && packed_available(device, (uint16_t)(device->next + n)) != NULL)
            n++;
        return n;
    }
    /* Acquire: the index before ring entries and descriptors. Partner: the driver's release in
     * virtqueue_publish. */
    uint16_t idx = atomic_load_explicit(&device->avail->idx, memory_order_acquire);

    return (uint16_t)(idx - device->next);
}

static uint32_t packet_size(const struct ring_device *device)
{
    return device->header + FRAME_SIZE;
}

static uint8_t *bytes_at(uint64_t addr)
{
    return (uint8_t *)(uintptr_t)(addr - PHYSICAL_OFFSET);
}

/* The buffer of the next chain, which will be finished with `written` bytes in it. */
static uint8_t *take(struct ring_device *device, uint32_t written)
{
    const uint16_t at = device->next & (device->size - 1);
    const uint16_t head = device->avail->ring[at];
    const volatile struct virtq_desc *desc = &device->desc[head];

    device->next++;
    ensure(!(desc->flags & VIRTQ_DESC_F_NEXT) && desc->len >= packet_size(device));
    device->used->ring[at].id = head;
    device->used->ring[at].len = written;
    return bytes_at(desc->addr);
}

/* Release: entries and buffers before the index. Partner: the driver's acquire in
 * virtqueue_split_finished. */
static void show(struct ring_device *device)
{
    atomic_store_explicit(&device->used->idx, device->next, memory_order_release);
}

/* Release: length and buffer before the flags. Partner: the driver's acquire in
 * virtqueue_packed_load. */
static void packed_finish(struct ring_device *device, struct pvirtq_desc *desc, uint32_t written)
{
    const uint16_t flags = device->next & device->size ? 0 : both_flags;

    desc->len = written;
    atomic_store_explicit((_Atomic uint16_t *)&desc->flags, flags, memory_order_release);
    device->next++;
}

static void write_packet(const struct ring_device *device, uint8_t *to)
{
    memcpy(to, received_header, device->header);
    memcpy(to + device->header, frame, FRAME_SIZE);
}

static void packed_deliver(struct ring_device *device, uint32_t n)
{
    while (n-- != 0) {
        struct pvirtq_desc *const desc = packed_available(device, device->next);
        ensure(desc != NULL && desc->len >= packet_size(device));
        write_packet(device, bytes_at(desc->addr));
        packed_finish(device, desc, packet_size(device));
    }
}

static void check(const struct ring_device *device, const uint8_t *sent)
{
    uint8_t copy[PACKET_MAX];

    memcpy(copy, sent, packet_size(device));
    ensure(memcmp(copy, sent_header, device->header) == 0);
    ensure(memcmp(copy + device->header, frame, FRAME_SIZE) == 0);
}

static uint32_t packed_transmit(struct ring_device *device)
{
    struct pvirtq_desc *desc;
    uint32_t n = 0;

    for (; (desc = packed_available(device, device->next)) != NULL; n++) {
        check(device, bytes_at(desc->addr));
        packed_finish(device, desc, 0);
    }
    return n;
}

void ring_device_deliver(struct ring_device *device, uint32_t n)
{
    if (device->packed) {
        packed_deliver(device, n);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        write_packet(device, take(device, packet_size(device)));
    show(device);
}

uint32_t ring_device_transmit(struct ring_device *device)
{
    if (device->packed)
        return packed_transmit(device);
    const uint32_t n = ring_device_available(device);
    for (uint32_t i = 0; i < n; i++)
        check(device, take(device, 0));
    if (n != 0)
        show(device);
    return n;
}
