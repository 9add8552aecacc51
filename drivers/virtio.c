/* The life cycle that all virtio devices share. */
#include "drivers/virtio.h"

#include <machine/clock.h>

bool virtio_reset(const struct virtio_device *device)
{
    const uint64_t start = clock_ns();

    device->transport->set_status(device, 0);
    /* §2.1.2, §4.1.4.3.2: the reset is done when the status reads 0, not when the write returns. */
    while (device->transport->get_status(device) != 0) {
        if (clock_ns() - start > VIRTIO_PATIENCE_NS)
            return false;
        clock_relax();
    }
    return true;
}

void virtio_add_status(const struct virtio_device *device, uint8_t bits)
{
    const struct virtio_transport *transport = device->transport;

    transport->set_status(device, transport->get_status(device) | bits);
}

void virtio_fail(const struct virtio_device *device)
{
    virtio_add_status(device, VIRTIO_STATUS_FAILED);
}

uint16_t virtio_read_config16(const struct virtio_device *device, uint16_t offset)
{
    /* Legacy has no generation counter: two equal readings are all the certainty there is (§2.5.4
     * "Legacy Interface: A Note on Device Configuration Space endian-ness and atomicity"). */
    uint16_t last, value = 0;
    unsigned tries = 0;

    do {
        last = value;
        value = (uint16_t)(device->transport->read_config(device, offset) |
                           device->transport->read_config(device, (uint16_t)(offset + 1)) << 8);
    } while ((tries++ == 0 || value != last) && tries < 8);
    return value;
}
