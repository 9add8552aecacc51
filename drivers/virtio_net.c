/* The virtio network device: its life from probe to start, and its tables of functions. */
#include "drivers/virtio_net.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <machine/clock.h>
#include <machine/log.h>
#include <machine/memory.h>
#include <machine/panic.h>

#include "drivers/virtio_net_internal.h"
#include "drivers/virtio_net_features.h"
#include "drivers/virtio_pci_legacy.h"
#include "drivers/virtio_pci_modern.h"

#define GROUP_ADDRESS 0x01 /* the two bits of a MAC's first byte */
#define LOCAL_ADDRESS 0x02
#define QUEUE_SIZE_ENOUGH 16 /* of a queue that is cut for want of memory, and goes on */
#define MTU_MIN 68           /* virtio 1.2 §5.1.4.1: a device must not state less */

bool virtio_net_matches(const struct pci_device *pci)
{
    return pci->vendor == VIRTIO_PCI_VENDOR &&
           (pci->device_id == VIRTIO_PCI_DEVICE_NET_TRANSITIONAL ||
            pci->device_id == VIRTIO_PCI_DEVICE_NET);
}

/* The device cannot be used, and is told so: `format` is "reason=… key=value". */
__attribute__((format(printf, 2, 3))) static void refuse(struct virtio_net *net, const char *format,
                                                         ...)
{
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    log_event(LOG_ERROR, "error", "port=%u pci=%s %s", net->netdev.id, net->netdev.address, text);
    if (net->virtio.transport != NULL)
        virtio_fail(&net->virtio);
    net->netdev.state = NETDEV_FAILED;
    net->netdev.ops = &virtio_net_stopped_ops;
}

static void warn(const struct virtio_net *net, const char *reason, const char *detail)
{
    log_event(LOG_WARN, "warn", "port=%u reason=%s detail=\"%s\"", net->netdev.id, reason, detail);
}

/* ---- features ---- */

/* A control queue that cannot hold the longest command is left alone, with all that hangs on it. */
static bool control_queue_usable(const struct virtio_net *net)
{
    uint32_t size = net->virtio.transport->get_queue_size(&net->virtio, VIRTIO_NET_QUEUE_CONTROL);

    return virtqueue_size_valid(size) && size >= VIRTIO_NET_CONTROL_CHAIN;
}

static bool mtu_is_usable(const struct virtio_net *net, uint16_t mtu)
{
    if (mtu >= MTU_MIN && mtu <= VIRTIO_NET_MTU_MAX)
        return true;
    log_event(LOG_WARN, "warn", "port=%u reason=mtu mtu=%u accepted=%u-%u", net->netdev.id, mtu,
              MTU_MIN, VIRTIO_NET_MTU_MAX);
    return false;
}

static void report_features(const struct virtio_net *net)
{
    char offered[VIRTIO_NET_FEATURES_TEXT], taken[VIRTIO_NET_FEATURES_TEXT];

    virtio_net_features_text(net->virtio.offered, offered);
    virtio_net_features_text(net->virtio.taken, taken);
    log_event(LOG_DEBUG, "features", "port=%u offered=%s taken=%s offered_bits=0x%llx",
              net->netdev.id, offered, taken, (unsigned long long)net->virtio.offered);
}

/* The device has refused what it had offered. */
static bool refuse_features(struct virtio_net *net)
{
    char taken[VIRTIO_NET_FEATURES_TEXT];

    virtio_net_features_text(net->virtio.taken, taken);
    refuse(net, "reason=features-refused features=%s bits=0x%llx", taken,
           (unsigned long long)net->virtio.taken);
    return false;
}

/* Takes what is of use to us out of what is offered, given the mtu that the device states. */
static bool negotiate(struct virtio_net *net, uint16_t mtu)
{
    struct virtio_device *virtio = &net->virtio;
    uint64_t acceptable = virtio->offered;

    if (virtio->transport->version_1 && !virtio_offers(virtio, VIRTIO_F_VERSION_1)) {
        refuse(net, "reason=no-version-1 offered=0x%llx remedy=\"transport=legacy\"",
               (unsigned long long)virtio->offered);
        return false;
    }
    if (virtio_offers(virtio, VIRTIO_NET_F_CTRL_VQ) && !control_queue_usable(net)) {
        warn(net, "control-queue-too-small", "promiscuous mode and addresses cannot be set");
        acceptable &= ~VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ);
    }
    if (!net->options.vlans)
        acceptable &= ~VIRTIO_BIT(VIRTIO_NET_F_CTRL_VLAN);
    /* §5.1.4.2: who agrees to an mtu must have buffers for it, so it was read before. */
    const bool agreed = virtio_offers(virtio, VIRTIO_NET_F_MTU) && mtu_is_usable(net, mtu);
    if (!agreed)
        acceptable &= ~VIRTIO_BIT(VIRTIO_NET_F_MTU);
    net->netdev.mtu = agreed ? mtu : 0;
    if (!virtio_take_features(virtio, virtio_net_features_choose(acceptable)))
        return refuse_features(net);
    /* §5.1.6.1: num_buffers is a part of the header with either of them. */
    net->header_size =
        virtio_has(virtio, VIRTIO_F_VERSION_1) || virtio_has(virtio, VIRTIO_NET_F_MRG_RXBUF)
            ? VIRTIO_NET_HDR_BYTES
            : VIRTIO_NET_HDR_BYTES_LEGACY;
    report_features(net);
    return true;
}

/* ---- configuration ---- */

/* What the device states, as far as it has offered to. */
struct stated {
    struct mac_address mac;
    uint16_t mtu;
};

static void read_fields(const struct virtio_net *net, struct stated *stated)
{
    const struct virtio_device *virtio = &net->virtio;

    for (uint16_t i = 0; i < ETHERNET_ADDRESS_SIZE && virtio_offers(virtio, VIRTIO_NET_F_MAC); i++)
        stated->mac.bytes[i] = virtio_read_config8(virtio, VIRTIO_NET_CONFIG_MAC + i);
    if (virtio_offers(virtio, VIRTIO_NET_F_MTU))
        stated->mtu = virtio_read_config16(virtio, VIRTIO_NET_CONFIG_MTU);
}

/* Reads each field once only, as the device might state another value the next time; and all of them
 * anew if they have changed meanwhile, so that they belong together. */
static bool read_config(struct virtio_net *net, struct stated *stated)
{
    uint32_t generation = virtio_config_generation(&net->virtio), before;

    for (unsigned tries = 0; tries < VIRTIO_CONFIG_TRIES; tries++) {
        before = generation;
        read_fields(net, stated);
        generation = virtio_config_generation(&net->virtio);
        if (generation == before)
            return true;
    }
    refuse(net, "reason=config-generation generation=%u tries=%u", generation, VIRTIO_CONFIG_TRIES);
    return false;
}

/* §5.1.5: without a MAC of the device's, a locally administered random one. */
static struct mac_address random_mac(const struct pci_device *pci)
{
    /* The counter differs from boot to boot, the address from port to port; a multiplication by an
     * odd constant and a shift spread both over all bits. */
    uint64_t mix = clock_cycles() ^ (uint64_t)pci->bus << 56 ^ (uint64_t)pci->device << 48 ^
                   (uint64_t)pci->function << 40;
    struct mac_address mac;

    for (unsigned i = 0; i < ETHERNET_ADDRESS_SIZE; i++) {
        mix = (mix ^ mix >> 29) * 0xd1342543de82ef95ULL;
        mac.bytes[i] = (uint8_t)(mix >> 56);
    }
    mac.bytes[0] = (uint8_t)((mac.bytes[0] & ~GROUP_ADDRESS) | LOCAL_ADDRESS);
    return mac;
}

static void choose_mac(struct virtio_net *net, const struct mac_address *stated)
{
    if (virtio_has(&net->virtio, VIRTIO_NET_F_MAC)) {
        if (virtio_net_mac_usable(stated)) {
            net->mac = *stated;
            return;
        }
        warn(net, "mac", "the device states a group or zero address; a random one is used");
    }
    if (!virtio_net_mac_usable(&net->mac)) /* else it was made before a reset */
        net->mac = random_mac(net->virtio.pci);
}

static void choose_frame_max(struct netdev *dev)
{
    const uint32_t frame = ETHERNET_HEADER_SIZE + 2 * ETHERNET_VLAN_SIZE + dev->mtu;

    dev->frame_max = frame > VIRTIO_NET_FRAME_MAX ? frame : VIRTIO_NET_FRAME_MAX;
}

/* ---- rings ---- */

/* Room for a ring of either format: after a reset the device may offer the other one. */
static size_t ring_bytes(uint32_t size)
{
    const size_t split = virtqueue_layout(size, false).total;
    const size_t packed = virtqueue_layout(size, true).total;

    return split > packed ? split : packed;
}

/*
 * Memory for a new queue of the size that the shape wants, or of less where that is short and the
 * transport can say so. What was found for the ring is kept while the rest is looked for.
 */
static bool allocate_queue(struct virtio_net *net, struct virtqueue_shape *shape, void **ring,
                           void **private)
{
    const uint32_t wanted = shape->size;

    for (;; shape->size /= 2) {
        if (*ring == NULL)
            *ring = memory_alloc(ring_bytes(shape->size), VIRTIO_PCI_LEGACY_QUEUE_ALIGN);
        if (*ring != NULL)
            *private = memory_alloc(virtqueue_private_bytes(shape->size), CACHE_LINE);
        if (*private != NULL)
            break;
        if (!net->virtio.transport->resizes || shape->size <= QUEUE_SIZE_ENOUGH) {
            refuse(net, "reason=memory queue=%u size=%u bytes=%zu remedy=\"more RAM\"",
                   shape->index, wanted, ring_bytes(wanted) + virtqueue_private_bytes(wanted));
            return false;
        }
    }
    if (shape->size != wanted)
        log_event(LOG_WARN, "warn", "port=%u reason=memory queue=%u size=%u stated=%u",
                  net->netdev.id, shape->index, shape->size, wanted);
    return true;
}

/*
 * The memory of a ring is given to the device for good, so a ring that is made anew is made where it
 * was, and as large; the device must not have come to want less in the meantime.
 */
static bool make_anew(struct virtio_net *net, struct virtqueue *queue,
                      struct virtqueue_shape *shape)
{
    if (shape->size < queue->size ||
        (shape->size > queue->size && !net->virtio.transport->resizes)) {
        refuse(net, "reason=queue-size queue=%u size=%u accepted=%u", shape->index, shape->size,
               queue->size);
        return false;
    }
    shape->size = queue->size;
    memset(queue->desc, 0, ring_bytes(shape->size));
    virtqueue_init(queue, shape, queue->desc, queue->tokens);
    return true;
}

static bool make_queue(struct virtio_net *net, struct virtqueue *queue, uint16_t index,
                       uint16_t chain)
{
    void *ring = NULL, *private = NULL;
    const uint32_t size = net->virtio.transport->get_queue_size(&net->virtio, index);
    struct virtqueue_shape shape = {
        .size = size,
        .index = index,
        .chain = chain,
        .packed = virtio_has(&net->virtio, VIRTIO_F_RING_PACKED),
        .event_idx = virtio_has(&net->virtio, VIRTIO_F_EVENT_IDX),
        .in_order = virtio_has(&net->virtio, VIRTIO_F_IN_ORDER),
    };

    if (!virtqueue_size_valid(size) || size < chain) {
        refuse(net, "reason=queue-size queue=%u size=%u accepted=\"a power of two from %u to %u\"",
               index, size, chain, VIRTQ_SIZE_MAX);
        return false;
    }
    if (queue->desc != NULL)
        return make_anew(net, queue, &shape);
    if (!allocate_queue(net, &shape, &ring, &private))
        return false;
    virtqueue_init(queue, &shape, ring, private);
    return true;
}

static bool make_control(struct virtio_net *net)
{
    struct virtio_net_control *control = &net->control;

    if (!virtio_has(&net->virtio, VIRTIO_NET_F_CTRL_VQ))
        return true;
    control->device = &net->virtio;
    control->pending = control->silent = control->resetting = control->was_reset = false;
    if (!make_queue(net, &control->queue, VIRTIO_NET_QUEUE_CONTROL, VIRTIO_NET_CONTROL_CHAIN))
        return false;
    if (control->buffer == NULL)
        control->buffer = memory_alloc(sizeof(*control->buffer), CACHE_LINE);
    if (control->buffer == NULL)
        refuse(net, "reason=memory bytes=%zu remedy=\"more RAM\"", sizeof(*control->buffer));
    return control->buffer != NULL;
}

bool virtio_net_renew_control(struct virtio_net *net)
{
    struct virtqueue *queue = &net->control.queue;
    const struct virtqueue_shape shape = {
        .size = queue->size,
        .index = queue->index,
        .chain = queue->chain,
        .packed = queue->packed,
        .event_idx = queue->event_idx,
        .in_order = queue->in_order,
    };

    memset(queue->desc, 0, ring_bytes(shape.size));
    virtqueue_init(queue, &shape, queue->desc, queue->tokens);
    return net->virtio.transport->enable_queue(&net->virtio, queue) == NULL;
}

static bool make_queues(struct virtio_net *net)
{
    /* §2.7.4.1: a legacy device without ANY_LAYOUT wants the header in a descriptor of its own. */
    const bool any_layout = virtio_has(&net->virtio, VIRTIO_F_ANY_LAYOUT) ||
                            virtio_has(&net->virtio, VIRTIO_F_VERSION_1);
    const uint16_t chain = any_layout ? 1 : 2;

    if (!make_queue(net, &net->rx.queue, VIRTIO_NET_QUEUE_RECEIVE, chain) ||
        !make_queue(net, &net->tx.queue, VIRTIO_NET_QUEUE_TRANSMIT, chain) || !make_control(net))
        return false;
    virtqueue_set_buffers(&net->tx.queue,
                          &(struct virtqueue_buffers){.start = PACKET_HEADROOM - net->header_size,
                                                      .header = net->header_size});
    net->netdev.rx_size = virtqueue_free(&net->rx.queue);
    net->netdev.tx_size = virtqueue_free(&net->tx.queue);
    return true;
}

/* ---- probe: §3.1.1 and §3.1.2, steps 1 to 6 ---- */

/* Modern where it can be, else legacy: the one can do all that the other can, and more. */
static bool open_transport(struct virtio_net *net, const struct pci_device *pci)
{
    const char *modern = "transport=legacy asked for", *legacy = "transport=modern asked for";

    if (net->options.transport != VIRTIO_TRANSPORT_LEGACY) {
        modern = virtio_pci_modern_open(&net->virtio, pci);
        if (modern == NULL)
            return true;
    }
    if (net->options.transport != VIRTIO_TRANSPORT_MODERN) {
        legacy = virtio_pci_legacy_open(&net->virtio, pci);
        if (legacy == NULL)
            return true;
    }
    net->virtio.transport = NULL; /* nobody can be told */
    refuse(net, "reason=no-transport device=0x%04x modern=\"%s\" legacy=\"%s\"", pci->device_id,
           modern, legacy);
    return false;
}

/* Whoever had the device before: firmware, a boot loader. */
static bool reset(struct virtio_net *net)
{
    if (virtio_reset(&net->virtio))
        return true;
    refuse(net, "reason=reset-timeout status=0x%02x",
           net->virtio.transport->get_status(&net->virtio));
    return false;
}

/*
 * A transitional device may have the modern structures and not VERSION_1: QEMU's does, if what
 * stands behind it knows nothing newer. Then its legacy interface is the one to use.
 */
static void step_back_to_legacy(struct virtio_net *net)
{
    const struct virtio_device modern = net->virtio;
    const uint64_t offered = modern.transport->get_features(&modern);

    if (modern.transport->version_1 && !(offered & VIRTIO_BIT(VIRTIO_F_VERSION_1)) &&
        virtio_pci_legacy_open(&net->virtio, modern.pci) != NULL)
        net->virtio = modern; /* and to be refused for it */
}

bool virtio_net_open(struct virtio_net *net, const struct pci_device *pci)
{
    const bool enabled = pci_enable(pci);
    /* First, for MSI-X moves the legacy interface's device configuration. */
    const enum pci_interrupt interrupt = pci_interrupt_open(pci, &net->message);

    if (!open_transport(net, pci))
        return false;
    if (!enabled) {
        refuse(net, "reason=bus-master remedy=\"the function does not take its command bits\"");
        return false;
    }
    if (!reset(net))
        return false;
    if (net->options.transport == VIRTIO_TRANSPORT_AUTO)
        step_back_to_legacy(net);
    net->virtio.interrupt = interrupt;
    return true;
}

bool virtio_net_configure(struct virtio_net *net)
{
    const uint32_t mtu = net->netdev.mtu;
    struct stated stated = {0};

    virtio_add_status(&net->virtio, VIRTIO_STATUS_ACKNOWLEDGE);
    virtio_add_status(&net->virtio, VIRTIO_STATUS_DRIVER);
    net->virtio.offered = net->virtio.transport->get_features(&net->virtio);
    if (!read_config(net, &stated) || !negotiate(net, stated.mtu))
        return false;
    choose_mac(net, &stated.mac);
    choose_frame_max(&net->netdev);
    virtio_net_link_refresh(net);
    /* Buffers and lanes were made for the mtu that was stated first. */
    if (net->netdev.state != NETDEV_PROBED && net->netdev.mtu != mtu) {
        refuse(net, "reason=mtu-changed mtu=%u accepted=%u", net->netdev.mtu, mtu);
        net->netdev.mtu = mtu;
        return false;
    }
    return make_queues(net);
}

struct netdev *virtio_net_probe_in(struct virtio_net *net, const struct pci_device *pci,
                                   unsigned id, const struct virtio_net_options *options)
{
    *net = (struct virtio_net){
        .netdev =
            {
                .ops = &virtio_net_ops,
                .id = id,
                .state = NETDEV_PROBED,
                .num_rx_queues = 1,
                .num_tx_queues = 1,
            },
        .options = *options,
        .settings.next = SETTINGS, /* none to be given again */
    };
    snprintf(net->netdev.address, sizeof(net->netdev.address), "%s", pci_address(pci).text);
    if (virtio_net_open(net, pci))
        virtio_net_configure(net);
    return &net->netdev;
}

struct netdev *virtio_net_probe(const struct pci_device *pci, unsigned id,
                                const struct virtio_net_options *options)
{
    struct virtio_net *net = memalign(CACHE_LINE, sizeof(*net));

    if (net == NULL)
        panic("no memory for port %u", id);
    return virtio_net_probe_in(net, pci, id, options);
}

/* ---- start: §3.1.1 steps 7 and 8 ---- */

static bool setup_is_valid(struct virtio_net *net, const struct netdev_setup *setup)
{
    const struct netdev *dev = &net->netdev;

    if (setup->rx_queues > dev->num_rx_queues || setup->tx_queues > dev->num_tx_queues) {
        refuse(net, "reason=queues rx_queues=%u tx_queues=%u accepted=\"up to %u and %u\"",
               setup->rx_queues, setup->tx_queues, dev->num_rx_queues, dev->num_tx_queues);
        return false;
    }
    if (setup->rx_queues != 0 && setup->rx[0].pool->frame_max < dev->frame_max &&
        setup->rx[0].buffers != 0) {
        refuse(net, "reason=mtu-changed mtu=%u frame=%u accepted=%u", dev->mtu, dev->frame_max,
               setup->rx[0].pool->frame_max);
        return false;
    }
    if (setup->rx_queues != 0 && setup->rx[0].buffers == 0) {
        refuse(net, "reason=memory rx_buffers=0 remedy=\"more RAM, or fewer ports\"");
        return false;
    }
    return true;
}

static bool enable_queue(struct virtio_net *net, const struct virtqueue *queue)
{
    const char *reason = net->virtio.transport->enable_queue(&net->virtio, queue);

    if (reason != NULL)
        refuse(net, "reason=%s queue=%u size=%u address=%p", reason, queue->index, queue->size,
               (void *)queue->desc);
    return reason == NULL;
}

static bool enable_queues(struct virtio_net *net)
{
    return enable_queue(net, &net->rx.queue) && enable_queue(net, &net->tx.queue) &&
           (!virtio_has(&net->virtio, VIRTIO_NET_F_CTRL_VQ) ||
            enable_queue(net, &net->control.queue));
}

/* DRIVER_OK, and what the device makes of it. */
static bool set_driver_ok(struct virtio_net *net)
{
    const struct virtio_device *virtio = &net->virtio;

    virtio_add_status(virtio, VIRTIO_STATUS_DRIVER_OK);
    const uint8_t status = virtio->transport->get_status(virtio);
    if ((status & (VIRTIO_STATUS_FAILED | VIRTIO_STATUS_DEVICE_NEEDS_RESET)) ||
        !(status & VIRTIO_STATUS_DRIVER_OK)) {
        refuse(net, "reason=status status=0x%02x", status);
        return false;
    }
    return true;
}

void virtio_net_run(struct virtio_net *net)
{
    net->netdev.ops = net->link.up ? &virtio_net_ops : &virtio_net_down_ops;
    net->netdev.state = NETDEV_RUNNING;
}

bool virtio_net_go_live(struct virtio_net *net)
{
    if (!enable_queues(net))
        return false;
    virtio_net_enable_interrupts(net);
    net->tx.pool = net->setup.tx[0].pool;
    if (net->setup.rx_queues != 0)
        virtio_net_fill_rx(net);
    if (!set_driver_ok(net))
        return false;
    /* The buffers were offered before the device was live; it may be told of them only now. */
    net->virtio.transport->notify(&net->virtio, VIRTIO_NET_QUEUE_RECEIVE);
    virtio_net_run(net);
    return true;
}

static bool start(struct netdev *dev, const struct netdev_setup *setup)
{
    struct virtio_net *net = virtio_net_of(dev);

    if (dev->state != NETDEV_PROBED || !setup_is_valid(net, setup))
        return false;
    net->setup = *setup;
    return virtio_net_go_live(net);
}

/* ---- the rest of the port interface ---- */

static void read_stats(const struct netdev *dev, struct netdev_stats *stats)
{
    const struct virtio_net *net = virtio_net_of_const(dev);

    *stats = (struct netdev_stats){
        .rx_packets = net->rx.packets,
        .rx_bytes = net->rx.bytes,
        .tx_packets = net->tx.packets,
        .tx_bytes = net->tx.bytes,
        .tx_dropped = net->tx_dropped,
        .tx_link_down = net->link.swallowed,
        .resets = net->recovery.resets,
        .announces = net->link.announces,
    };
}

static void read_status(const struct netdev *dev, struct netdev_status *status)
{
    const struct virtio_net *net = virtio_net_of_const(dev);
    const struct virtio_transport *transport = net->virtio.transport;

    *status = (struct netdev_status){
        .transport = transport != NULL ? transport->name : "none",
        .rx_filled = virtqueue_outstanding(&net->rx.queue),
        .tx_filled = virtqueue_outstanding(&net->tx.queue),
        .tx_pool = net->tx.pool,
    };
}

static void features_text(const struct netdev *dev, char text[NETDEV_FEATURES_TEXT])
{
    virtio_net_features_text(virtio_net_of_const(dev)->virtio.taken, text);
}

struct link {
    uint32_t speed; /* Mbit/s; 0: unknown */
    const char *duplex;
};

/*
 * Speed and duplex of one moment (§5.1.4), read whenever they are asked for: so a change of the
 * configuration is seen without being told of it. Unknown where the device does not say, or says
 * something new each time; the legacy interface never says, as its features end before bit 63.
 */
static struct link read_link(const struct virtio_net *net)
{
    const struct virtio_device *virtio = &net->virtio;

    for (unsigned tries = 0;
         tries < VIRTIO_CONFIG_TRIES && virtio_has(virtio, VIRTIO_NET_F_SPEED_DUPLEX); tries++) {
        const uint32_t generation = virtio_config_generation(virtio);
        const uint32_t speed = virtio_read_config32(virtio, VIRTIO_NET_CONFIG_SPEED);
        const uint8_t duplex = virtio_read_config8(virtio, VIRTIO_NET_CONFIG_DUPLEX);

        if (virtio_config_generation(virtio) != generation)
            continue;
        return (struct link){
            .speed = speed <= VIRTIO_NET_SPEED_MAX ? speed : 0,
            .duplex = duplex == VIRTIO_NET_DUPLEX_FULL   ? "full"
                      : duplex == VIRTIO_NET_DUPLEX_HALF ? "half"
                                                         : "unknown",
        };
    }
    return (struct link){.speed = 0, .duplex = "unknown"};
}

static uint32_t get_link_speed(const struct netdev *dev)
{
    if (dev->state == NETDEV_UNPLUGGED)
        return 0; /* its registers are somebody else's by now */
    return read_link(virtio_net_of_const(dev)).speed;
}

static bool get_link_up(const struct netdev *dev)
{
    const bool out = dev->state == NETDEV_RESETTING || dev->state == NETDEV_RETIRED ||
                     dev->state == NETDEV_UNPLUGGED || dev->state == NETDEV_FAILED;

    return !out && virtio_net_of_const(dev)->link.up;
}

static struct mac_address get_mac_addr(const struct netdev *dev)
{
    return virtio_net_of_const(dev)->mac;
}

static void report(const struct netdev *dev)
{
    const struct virtio_net *net = virtio_net_of_const(dev);
    const uint8_t *mac = net->mac.bytes;
    const struct link link = read_link(net);
    char speed[sizeof("2147483647")] = "unknown";

    if (dev->state == NETDEV_FAILED)
        return; /* its `error` event has said all */
    if (link.speed != 0)
        snprintf(speed, sizeof(speed), "%u", link.speed);
    log_event(LOG_INFO, "port",
              "id=%u pci=%s driver=%s transport=%s mac=%02x:%02x:%02x:%02x:%02x:%02x rx_size=%u "
              "tx_size=%u rx_buffers=%u mtu=%u link=%s speed=%s duplex=%s features=0x%llx "
              "interrupt=%s",
              dev->id, dev->address, dev->ops->driver, net->virtio.transport->name, mac[0], mac[1],
              mac[2], mac[3], mac[4], mac[5], net->rx.queue.size, net->tx.queue.size,
              virtqueue_outstanding(&net->rx.queue), dev->mtu != 0 ? dev->mtu : ETHERNET_MTU,
              net->link.up ? "up" : "down", speed, link.duplex,
              (unsigned long long)net->virtio.taken, pci_interrupt_name(net->virtio.interrupt));
}

/* Everything but the data path asks for the state where it matters, and is the same in all. */
#define WHATEVER_THE_STATE                                                                         \
    .driver = "virtio-net", .start = start, .rewire = virtio_net_rewire,                           \
    .reset = virtio_net_reset, .read_stats = read_stats, .set_promisc = virtio_net_set_promisc,    \
    .tx_pending = virtio_net_tx_pending, .arm_rx = virtio_net_arm_rx, .arm_tx = virtio_net_arm_tx, \
    .disarm_rx = virtio_net_disarm_rx, .disarm_tx = virtio_net_disarm_tx,                          \
    .read_status = read_status, .features_text = features_text,                                    \
    .want_filter = virtio_net_want_filter, .set_allmulti = virtio_net_set_allmulti,                \
    .add_address = virtio_net_add_address, .add_vlan = virtio_net_add_vlan,                        \
    .get_link_speed = get_link_speed, .get_link_up = get_link_up, .get_mac_addr = get_mac_addr,    \
    .set_mac_addr = virtio_net_set_mac_addr, .report = report, .service = virtio_net_service

const struct netdev_ops virtio_net_ops = {
    WHATEVER_THE_STATE,
    .rx_batch = virtio_net_rx_batch,
    .tx_room = virtio_net_tx_room,
    .tx_batch = virtio_net_tx_batch,
};

const struct netdev_ops virtio_net_down_ops = {
    WHATEVER_THE_STATE,
    .rx_batch = virtio_net_rx_batch,
    .tx_room = virtio_net_stopped_tx_room,
    .tx_batch = virtio_net_stopped_tx_batch,
};

const struct netdev_ops virtio_net_waiting_ops = {
    WHATEVER_THE_STATE, .rx_batch = virtio_net_no_rx_batch, .tx_room = virtio_net_waiting_tx_room,
    .tx_batch = virtio_net_stopped_tx_batch, /* for a burst that was under way */
};

const struct netdev_ops virtio_net_stopped_ops = {
    WHATEVER_THE_STATE,
    .rx_batch = virtio_net_no_rx_batch,
    .tx_room = virtio_net_stopped_tx_room,
    .tx_batch = virtio_net_stopped_tx_batch,
};
