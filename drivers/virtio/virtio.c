/* The life cycle that all virtio devices share. */
#include "drivers/virtio/virtio.h"

void virtio_begin_reset(const struct virtio_device *device)
{
    device->transport->set_status(device, 0);
}

bool virtio_is_reset(const struct virtio_device *device)
{
    return device->transport->get_status(device) == 0;
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

bool virtio_take_features(struct virtio_device *device, uint64_t features)
{
    const struct virtio_transport *transport = device->transport;

    device->taken = features;
    transport->set_features(device, features);
    if (!virtio_has(device, VIRTIO_F_VERSION_1))
        return true; /* §3.1.2: a legacy device knows nothing of FEATURES_OK */
    virtio_add_status(device, VIRTIO_STATUS_FEATURES_OK);
    return (transport->get_status(device) & VIRTIO_STATUS_FEATURES_OK) != 0;
}

/* The legacy interface has no such counter: then nothing ever seems to have changed. */
uint32_t virtio_config_generation(const struct virtio_device *device)
{
    return device->transport->config_generation != NULL
               ? device->transport->config_generation(device)
               : 0;
}

/*
 * A field of VERSION_1's is read whole by one access of its width (§2.5.1, §4.1.3.1). Of the legacy
 * interface that is not promised: two equal readings are all the certainty there is (§2.5.4).
 */
static uint32_t read_field(const struct virtio_device *device, uint16_t offset, unsigned width)
{
    uint32_t last, value = device->transport->read_config(device, offset, width);
    unsigned tries = 1;

    if (device->transport->version_1)
        return value;
    do {
        last = value;
        value = device->transport->read_config(device, offset, width);
    } while (value != last && tries++ < VIRTIO_CONFIG_TRIES);
    return value;
}

uint8_t virtio_read_config8(const struct virtio_device *device, uint16_t offset)
{
    return (uint8_t)device->transport->read_config(device, offset, 1);
}

uint16_t virtio_read_config16(const struct virtio_device *device, uint16_t offset)
{
    return (uint16_t)read_field(device, offset, 2);
}

uint32_t virtio_read_config32(const struct virtio_device *device, uint16_t offset)
{
    return read_field(device, offset, 4);
}
