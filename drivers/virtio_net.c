/* The virtio network device: its life from probe to start, and its tables of functions. */
#include "drivers/virtio_net.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <machine/clock.h>
#include <machine/log.h>
#include <machine/memory.h>
#include <machine/panic.h>

#include "drivers/virtio_net_internal.h"
#include "drivers/virtio_net_features.h"
#include "drivers/virtio_pci_legacy.h"

#define GROUP_ADDRESS 0x01 /* the two bits of a MAC's first byte */
#define LOCAL_ADDRESS 0x02
#define MTU_MIN 68 /* virtio 1.2 §5.1.4.1: a device must not state less */

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

/*
 * §5.1.4.2: who agrees to an mtu must have buffers for it, so it is read before it is agreed to; and
 * once only, as the device might state another one the next time. 0 if there is none to agree to.
 */
static uint16_t read_mtu(const struct virtio_net *net)
{
    if (!virtio_offers(&net->virtio, VIRTIO_NET_F_MTU))
        return 0;
    const uint16_t mtu = virtio_read_config16(&net->virtio, VIRTIO_NET_CONFIG_MTU);
    if (mtu >= MTU_MIN && mtu <= VIRTIO_NET_MTU_MAX)
        return mtu;
    log_event(LOG_WARN, "warn", "port=%u reason=mtu mtu=%u accepted=%u-%u", net->netdev.id, mtu,
              MTU_MIN, VIRTIO_NET_MTU_MAX);
    return 0;
}

static void negotiate(struct virtio_net *net)
{
    struct virtio_device *virtio = &net->virtio;
    char offered[VIRTIO_NET_FEATURES_TEXT], taken[VIRTIO_NET_FEATURES_TEXT];
    uint64_t acceptable;

    acceptable = virtio->offered = virtio->transport->get_features(virtio);
    if (virtio_offers(virtio, VIRTIO_NET_F_CTRL_VQ) && !control_queue_usable(net)) {
        warn(net, "control-queue-too-small", "promiscuous mode and addresses cannot be set");
        acceptable &= ~VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ);
    }
    net->netdev.mtu = read_mtu(net);
    if (net->netdev.mtu == 0)
        acceptable &= ~VIRTIO_BIT(VIRTIO_NET_F_MTU);
    virtio->taken = virtio_net_features_choose(acceptable);
    virtio->transport->set_features(virtio, virtio->taken);

    virtio_net_features_text(virtio->offered, offered);
    virtio_net_features_text(virtio->taken, taken);
    log_event(LOG_DEBUG, "features", "port=%u offered=%s taken=%s offered_bits=0x%llx",
              net->netdev.id, offered, taken, (unsigned long long)virtio->offered);
}

/* ---- configuration ---- */

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

static void read_mac(struct virtio_net *net)
{
    if (virtio_has(&net->virtio, VIRTIO_NET_F_MAC)) {
        struct mac_address mac;
        for (uint16_t i = 0; i < ETHERNET_ADDRESS_SIZE; i++)
            mac.bytes[i] = net->virtio.transport->read_config(
                &net->virtio, (uint16_t)(VIRTIO_NET_CONFIG_MAC + i));
        if (virtio_net_mac_usable(&mac)) {
            net->mac = mac;
            return;
        }
        warn(net, "mac", "the device states a group or zero address; a random one is used");
    }
    if (!virtio_net_mac_usable(&net->mac)) /* else it was made before a reset */
        net->mac = random_mac(net->virtio.pci);
}

static void read_config(struct virtio_net *net)
{
    struct netdev *dev = &net->netdev;

    read_mac(net);
    const uint32_t frame = ETHERNET_HEADER_SIZE + 2 * ETHERNET_VLAN_SIZE + dev->mtu;
    dev->frame_max = frame > VIRTIO_NET_FRAME_MAX ? frame : VIRTIO_NET_FRAME_MAX;
}

static bool link_is_up(const struct virtio_net *net)
{
    if (!virtio_has(&net->virtio, VIRTIO_NET_F_STATUS))
        return true; /* §5.1.4.2: then it is to be taken as up */
    return virtio_read_config16(&net->virtio, VIRTIO_NET_CONFIG_STATUS) & VIRTIO_NET_S_LINK_UP;
}

/* ---- rings ---- */

/*
 * The memory of a ring is given to the device for good, so a ring that is made anew is made where it
 * was; the device must not have changed its size in the meantime.
 */
static bool place_queue(struct virtio_net *net, struct virtqueue *queue,
                        const struct virtqueue_shape *shape)
{
    const size_t ring_bytes = virtqueue_layout(shape->size).total;
    void *ring = queue->desc, *private = queue->tokens;

    if (ring == NULL) {
        ring = memory_alloc(ring_bytes, VIRTIO_PCI_LEGACY_QUEUE_ALIGN);
        private = memory_alloc(virtqueue_private_bytes(shape->size), CACHE_LINE);
    } else if (shape->size != queue->size) {
        refuse(net, "reason=queue-size queue=%u size=%u accepted=%u", shape->index, shape->size,
               queue->size);
        return false;
    } else {
        memset(ring, 0, ring_bytes);
    }
    if (ring == NULL || private == NULL) {
        refuse(net, "reason=memory queue=%u size=%u bytes=%zu remedy=\"more RAM\"", shape->index,
               shape->size, ring_bytes + virtqueue_private_bytes(shape->size));
        return false;
    }
    virtqueue_init(queue, shape, ring, private);
    return true;
}

static bool make_queue(struct virtio_net *net, struct virtqueue *queue, uint16_t index,
                       uint16_t chain)
{
    const uint32_t size = net->virtio.transport->get_queue_size(&net->virtio, index);
    const struct virtqueue_shape shape = {
        .size = size,
        .index = index,
        .chain = chain,
        .event_idx = virtio_has(&net->virtio, VIRTIO_F_EVENT_IDX),
    };

    if (!virtqueue_size_valid(size) || size < chain) {
        refuse(net, "reason=queue-size queue=%u size=%u accepted=\"a power of two from %u to %u\"",
               index, size, chain, VIRTQ_SIZE_MAX);
        return false;
    }
    return place_queue(net, queue, &shape);
}

static bool make_control(struct virtio_net *net)
{
    struct virtio_net_control *control = &net->control;

    if (!virtio_has(&net->virtio, VIRTIO_NET_F_CTRL_VQ))
        return true;
    control->device = &net->virtio;
    control->pending = control->silent = false;
    if (!make_queue(net, &control->queue, VIRTIO_NET_QUEUE_CONTROL, VIRTIO_NET_CONTROL_CHAIN))
        return false;
    if (control->buffer == NULL)
        control->buffer = memory_alloc(sizeof(*control->buffer), CACHE_LINE);
    if (control->buffer == NULL)
        refuse(net, "reason=memory bytes=%zu remedy=\"more RAM\"", sizeof(*control->buffer));
    return control->buffer != NULL;
}

static bool make_queues(struct virtio_net *net)
{
    /* §2.7.4.1: a legacy device without ANY_LAYOUT wants the header in a descriptor of its own. */
    const uint16_t chain = virtio_has(&net->virtio, VIRTIO_F_ANY_LAYOUT) ? 1 : 2;

    if (!make_queue(net, &net->rx.queue, VIRTIO_NET_QUEUE_RECEIVE, chain) ||
        !make_queue(net, &net->tx.queue, VIRTIO_NET_QUEUE_TRANSMIT, chain) || !make_control(net))
        return false;
    net->netdev.rx_size = virtqueue_free(&net->rx.queue);
    net->netdev.tx_size = virtqueue_free(&net->tx.queue);
    return true;
}

/* ---- probe: §3.1.1 and §3.1.2, steps 1 to 6 ---- */

static bool open_device(struct virtio_net *net, const struct pci_device *pci)
{
    if (!virtio_pci_legacy_open(&net->virtio, pci)) {
        refuse(net,
               "reason=modern-only device=0x%04x remedy=\"use disable-legacy=off on the device and "
               "a slot with I/O ports, or a pc machine\"",
               pci->device_id);
        return false;
    }
    if (!pci_enable(pci)) {
        refuse(net, "reason=bus-master remedy=\"the function does not take its command bits\"");
        return false;
    }
    if (!virtio_reset(&net->virtio)) { /* whoever had it before: firmware, a boot loader */
        refuse(net, "reason=reset-timeout status=0x%02x",
               net->virtio.transport->get_status(&net->virtio));
        return false;
    }
    return true;
}

bool virtio_net_configure(struct virtio_net *net)
{
    const uint32_t mtu = net->netdev.mtu;

    virtio_add_status(&net->virtio, VIRTIO_STATUS_ACKNOWLEDGE);
    virtio_add_status(&net->virtio, VIRTIO_STATUS_DRIVER);
    negotiate(net);
    read_config(net);
    /* Buffers and lanes were made for the mtu that was stated first. */
    if (net->netdev.state != NETDEV_PROBED && net->netdev.mtu != mtu) {
        refuse(net, "reason=mtu-changed mtu=%u accepted=%u", net->netdev.mtu, mtu);
        net->netdev.mtu = mtu;
        return false;
    }
    return make_queues(net);
}

struct netdev *virtio_net_probe(const struct pci_device *pci, unsigned id)
{
    struct virtio_net *net = malloc(sizeof(*net));

    if (net == NULL)
        panic("no memory for port %u", id);
    *net = (struct virtio_net){
        .netdev =
            {
                .ops = &virtio_net_ops,
                .id = id,
                .state = NETDEV_PROBED,
                .num_rx_queues = 1,
                .num_tx_queues = 1,
            },
        .settings.next = SETTINGS, /* none to be given again */
    };
    snprintf(net->netdev.address, sizeof(net->netdev.address), "%s", pci_address(pci).text);
    if (open_device(net, pci))
        virtio_net_configure(net);
    return &net->netdev;
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
    if (setup->rx_queues != 0 && setup->rx[0].buffers == 0) {
        refuse(net, "reason=memory rx_buffers=0 remedy=\"more RAM, or fewer ports\"");
        return false;
    }
    return true;
}

static bool enable_queue(struct virtio_net *net, const struct virtqueue *queue)
{
    if (net->virtio.transport->enable_queue(&net->virtio, queue))
        return true;
    refuse(net, "reason=queue-address queue=%u address=%p", queue->index, (void *)queue->desc);
    return false;
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

bool virtio_net_go_live(struct virtio_net *net)
{
    if (!enable_queues(net))
        return false;
    net->tx.pool = net->setup.tx[0].pool;
    if (net->setup.rx_queues != 0)
        virtio_net_fill_rx(net);
    if (!set_driver_ok(net))
        return false;
    /* The buffers were offered before the device was live; it may be told of them only now. */
    net->virtio.transport->notify(&net->virtio, VIRTIO_NET_QUEUE_RECEIVE);
    net->netdev.ops = &virtio_net_ops;
    net->netdev.state = NETDEV_RUNNING;
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
        .resets = net->recovery.resets,
    };
}

/* Legacy carries speed and duplex only behind feature bit 63, which its 32 bits cannot hold. */
static uint32_t get_link_speed(const struct netdev *dev)
{
    (void)dev;
    return 0;
}

static bool get_link_up(const struct netdev *dev)
{
    const bool out = dev->state != NETDEV_PROBED && dev->state != NETDEV_RUNNING;

    return !out && link_is_up(virtio_net_of_const(dev));
}

static struct mac_address get_mac_addr(const struct netdev *dev)
{
    return virtio_net_of_const(dev)->mac;
}

static void report(const struct netdev *dev)
{
    const struct virtio_net *net = virtio_net_of_const(dev);
    const uint8_t *mac = net->mac.bytes;

    if (dev->state == NETDEV_FAILED)
        return; /* its `error` event has said all */
    log_event(LOG_INFO, "port",
              "id=%u pci=%s driver=%s transport=%s mac=%02x:%02x:%02x:%02x:%02x:%02x rx_size=%u "
              "tx_size=%u rx_buffers=%u mtu=%u link=%s speed=unknown duplex=unknown "
              "features=0x%llx",
              dev->id, dev->address, dev->ops->driver, net->virtio.transport->name, mac[0], mac[1],
              mac[2], mac[3], mac[4], mac[5], net->rx.queue.size, net->tx.queue.size,
              virtqueue_outstanding(&net->rx.queue), dev->mtu != 0 ? dev->mtu : ETHERNET_MTU,
              link_is_up(net) ? "up" : "down", (unsigned long long)net->virtio.taken);
}

/* Everything but the data path asks for the state where it matters, and is the same in all. */
#define WHATEVER_THE_STATE                                                                         \
    .driver = "virtio-net", .start = start, .read_stats = read_stats,                              \
    .set_promisc = virtio_net_set_promisc, .set_allmulti = virtio_net_set_allmulti,                \
    .get_link_speed = get_link_speed, .get_link_up = get_link_up, .get_mac_addr = get_mac_addr,    \
    .set_mac_addr = virtio_net_set_mac_addr, .report = report, .service = virtio_net_service

const struct netdev_ops virtio_net_ops = {
    WHATEVER_THE_STATE,
    .rx_batch = virtio_net_rx_batch,
    .tx_room = virtio_net_tx_room,
    .tx_batch = virtio_net_tx_batch,
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
