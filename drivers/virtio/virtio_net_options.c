/* The words that a port is negotiated by: transport=, offload=, rx_ring=, tx_ring=. */
#include <machine/option.h>

#include "drivers/virtio/virtio_net.h"

#define RING_MIN 16 /* QEMU takes no less either */

static struct virtio_net_options options = {.offloads = true};

const struct virtio_net_options *virtio_net_options(void)
{
    return &options;
}

_Static_assert(sizeof(enum virtio_net_transport) == sizeof(unsigned), "the value of a choice");
static const struct option kinds[] = {
    {.key = "transport",
     .help = "which interface of a card is used",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct virtio_net_options, transport),
     .choices = "auto|legacy|modern"},
    {.key = "offload",
     .help = "take checksums and segments that are still to be done",
     .type = OPTION_SWITCH,
     .offset = offsetof(struct virtio_net_options, offloads),
     .initial = true},
};

/* Packed rings could have other sizes (virtio 1.2 §2.8), but ours are powers of two in either format. */
static const struct option rings[] = {
    {.key = "rx_ring",
     .help = "descriptors of each port's rx ring",
     .type = OPTION_NUMBER,
     .flags = OPTION_POWER_OF_TWO,
     .offset = offsetof(struct virtio_net_options, rx_ring),
     .min = RING_MIN,
     .max = VIRTQ_SIZE_MAX},
    {.key = "tx_ring",
     .help = "descriptors of each port's tx ring",
     .type = OPTION_NUMBER,
     .flags = OPTION_POWER_OF_TWO,
     .offset = offsetof(struct virtio_net_options, tx_ring),
     .min = RING_MIN,
     .max = VIRTQ_SIZE_MAX},
};

static struct option_table kind_words = {
    .place = 5, .count = 2, .options = kinds, .values = &options};
OPTION_TABLE(kind_words);

static struct option_table ring_words = {
    .place = 7, .count = 2, .options = rings, .values = &options};
OPTION_TABLE(ring_words);
