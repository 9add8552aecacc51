/*
 * The network device's feature bits (virtio 1.2 §5.1.3): which of them barewire takes, what each
 * depends on, and their names.
 */
#ifndef DRIVERS_VIRTIO_NET_FEATURES_H
#define DRIVERS_VIRTIO_NET_FEATURES_H

#include <stddef.h>
#include <stdint.h>

#include "net/port.h"

/* Bytes for a text, two of which go into a line: as many as any real device's features need. */
#define VIRTIO_NET_FEATURES_TEXT PORT_FEATURES_TEXT

/*
 * The bits to take out of `offered`: those that barewire has a use for, as far as everything that
 * they depend on (§5.1.3.1) is offered too, whatever the device says.
 */
uint64_t virtio_net_features_choose(uint64_t offered);

/* All bits by which a device gives or takes frames that want something done, or lie in several
 * buffers. */
uint64_t virtio_net_features_offload(void);

/* The PORT_OFFLOAD_… that a device with these features can do for what it is to send; those with
 * which it may give frames; and the features that stand for the latter. */
uint32_t virtio_net_features_tx(uint64_t features_set);
uint32_t virtio_net_features_rx(uint64_t features_set);
uint64_t virtio_net_features_guest(uint32_t offload_set);

/* The names of the bits set in `features_set`, with commas, or "none"; unnamed ones as "bitN". What
 * finds no room is left out. */
void virtio_net_features_text(uint64_t features_set, char text[VIRTIO_NET_FEATURES_TEXT]);

#endif
