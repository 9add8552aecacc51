/* The virtio network device: its life from probe to stop. The data path is in virtio_net_data.c. */
#include "drivers/virtio_net.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <machine/clock.h>
#include <machine/log.h>
#include <machine/memory.h>
#include <machine/panic.h>

#include "drivers/virtio_net_data.h"
#include "drivers/virtio_net_features.h"
#include "drivers/virtio_pci_legacy.h"

#define GROUP_ADDRESS 0x01
#define LOCAL_ADDRESS 0x02
#define MTU_MIN 68 /* virtio 1.2 §5.1.4.1: a device must not state less */

static struct virtio_net *of(struct netdev *dev)
{
    return (struct virtio_net *)dev;
}

static const struct virtio_net *of_const(const struct netdev *dev)
{
    return (const struct virtio_net *)dev;
}

bool virtio_net_matches(const struct pci_device *pci)
{
    return pci->vendor == VIRTIO_PCI_VENDOR &&
           (pci->device_id == VIRTIO_PCI_DEVICE_NET_TRANSITIONAL ||
            pci->device_id == VIRTIO_PCI_DEVICE_NET);
}

/* Out of service before it ever was in: `format` is "reason=… key=value". */
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

static bool mac_is_usable(const struct mac_address *mac)
{
    static const struct mac_address zero;

    return !(mac->bytes[0] & GROUP_ADDRESS) && memcmp(mac, &zero, sizeof(zero)) != 0;
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

static void read_mac(struct virtio_net *net)
{
    if (virtio_has(&net->virtio, VIRTIO_NET_F_MAC)) {
        for (uint16_t i = 0; i < ETHERNET_ADDRESS_SIZE; i++)
            net->mac.bytes[i] = net->virtio.transport->read_config(
                &net->virtio, (uint16_t)(VIRTIO_NET_CONFIG_MAC + i));
        if (mac_is_usable(&net->mac))
            return;
        warn(net, "mac", "the device states a group or zero address; a random one is used");
    }
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

/* Makes the ring of queue `index`; the device is told of it in start. */
static bool make_queue(struct virtio_net *net, struct virtqueue *queue, uint16_t index,
                       uint16_t chain)
{
    uint32_t size = net->virtio.transport->get_queue_size(&net->virtio, index);
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
    void *ring = memory_alloc(virtqueue_layout(size).total, VIRTIO_PCI_LEGACY_QUEUE_ALIGN);
    void *private = memory_alloc(virtqueue_private_bytes(size), CACHE_LINE);
    if (ring == NULL || private == NULL) {
        refuse(net, "reason=memory queue=%u size=%u bytes=%zu remedy=\"more RAM\"", index, size,
               virtqueue_layout(size).total + virtqueue_private_bytes(size));
        return false;
    }
    virtqueue_init(queue, &shape, ring, private);
    return true;
}

static bool make_control(struct virtio_net *net)
{
    if (!virtio_has(&net->virtio, VIRTIO_NET_F_CTRL_VQ))
        return true;
    if (!make_queue(net, &net->control.queue, VIRTIO_NET_QUEUE_CONTROL, VIRTIO_NET_CONTROL_CHAIN))
        return false;
    net->control.device = &net->virtio;
    net->control.buffer = memory_alloc(sizeof(*net->control.buffer), CACHE_LINE);
    if (net->control.buffer == NULL) {
        refuse(net, "reason=memory bytes=%zu remedy=\"more RAM\"", sizeof(*net->control.buffer));
        return false;
    }
    return true;
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
               "reason=modern-only device=0x%04x remedy=\"use disable-legacy=off on the "
               "device and a slot with I/O ports, or a pc machine\"",
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
    virtio_add_status(&net->virtio, VIRTIO_STATUS_ACKNOWLEDGE);
    virtio_add_status(&net->virtio, VIRTIO_STATUS_DRIVER);
    return true;
}

struct netdev *virtio_net_probe(const struct pci_device *pci, unsigned id)
{
    struct virtio_net *net = malloc(sizeof(*net));

    if (net == NULL)
        panic("no memory for port %u", id);
    *net = (struct virtio_net){0};
    net->netdev.ops = &virtio_net_ops;
    net->netdev.id = id;
    net->netdev.state = NETDEV_PROBED;
    net->netdev.num_rx_queues = net->netdev.num_tx_queues = 1;
    snprintf(net->netdev.address, sizeof(net->netdev.address), "%s", pci_address(pci).text);

    if (open_device(net, pci)) {
        negotiate(net);
        read_config(net);
        make_queues(net);
    }
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
static bool go_live(struct virtio_net *net)
{
    const struct virtio_device *virtio = &net->virtio;

    virtio_add_status(virtio, VIRTIO_STATUS_DRIVER_OK);
    uint8_t status = virtio->transport->get_status(virtio);
    if ((status & (VIRTIO_STATUS_FAILED | VIRTIO_STATUS_DEVICE_NEEDS_RESET)) ||
        !(status & VIRTIO_STATUS_DRIVER_OK)) {
        refuse(net, "reason=status status=0x%02x", status);
        return false;
    }
    return true;
}

static bool start(struct netdev *dev, const struct netdev_setup *setup)
{
    struct virtio_net *net = of(dev);

    if (!setup_is_valid(net, setup) || !enable_queues(net))
        return false;
    if (setup->tx_queues != 0)
        net->tx.pool = setup->tx[0].pool;
    if (setup->rx_queues != 0)
        virtio_net_fill_rx(net, &setup->rx[0]);
    if (!go_live(net))
        return false;
    /* The buffers were offered before the device was live; it may be told of them only now. */
    net->virtio.transport->notify(&net->virtio, VIRTIO_NET_QUEUE_RECEIVE);
    dev->state = NETDEV_RUNNING;
    return true;
}

/* ---- stop ---- */

void virtio_net_stop(struct virtio_net *net, const struct virtqueue *queue)
{
    net->breaches[queue->breach]++;
    log_event(LOG_ERROR, "error", "port=%u pci=%s reason=%s queue=%u value=%u used_idx=%u",
              net->netdev.id, net->netdev.address, virtqueue_breach_name(queue->breach),
              queue->index, queue->breach_value, queue->used_idx);

    /* Frames that the device had not finished are lost with it. Their buffers stay where they are,
     * and so do those of the rx ring: the device may still write to them. */
    if (net->tx.queue.breach == VIRTQUEUE_SOUND)
        virtio_net_reclaim_tx(net);
    net->tx_dropped += virtqueue_outstanding(&net->tx.queue);
    net->netdev.state = NETDEV_FAILED;
    net->netdev.ops = &virtio_net_stopped_ops;
    virtio_fail(&net->virtio);
    net->virtio.transport->set_status(&net->virtio, 0);
}

/* ---- the rest of the port interface ---- */

static void read_stats(const struct netdev *dev, struct netdev_stats *stats)
{
    const struct virtio_net *net = of_const(dev);

    *stats = (struct netdev_stats){
        .rx_packets = net->rx.packets,
        .rx_bytes = net->rx.bytes,
        .tx_packets = net->tx.packets,
        .tx_bytes = net->tx.bytes,
        .tx_dropped = net->tx_dropped,
    };
}

/* True if the command was carried out; else a warn says what was not, and why. */
static bool control_done(struct virtio_net *net, enum virtio_net_control_result result,
                         const char *what)
{
    if (result == CONTROL_OK)
        return true;
    log_event(LOG_WARN, "warn", "port=%u reason=control-%s command=%s", net->netdev.id,
              virtio_net_control_result_name(result), what);
    if (result == CONTROL_BROKEN && net->netdev.state == NETDEV_RUNNING)
        virtio_net_stop(net, &net->control.queue);
    return false;
}

static bool control_offered(const struct virtio_net *net, unsigned feature, const char *what)
{
    if (virtio_has(&net->virtio, feature))
        return true;
    log_event(LOG_WARN, "warn", "port=%u reason=control-not-offered command=%s", net->netdev.id,
              what);
    return false;
}

static bool set_rx_mode(struct netdev *dev, uint8_t command, bool on, const char *what)
{
    struct virtio_net *net = of(dev);

    return control_offered(net, VIRTIO_NET_F_CTRL_RX, what) &&
           control_done(net, virtio_net_control_rx_mode(&net->control, command, on), what);
}

static bool set_promisc(struct netdev *dev, bool on)
{
    struct virtio_net *net = of(dev);

    if (!set_rx_mode(dev, VIRTIO_NET_CTRL_RX_PROMISC, on, on ? "promisc-on" : "promisc-off"))
        return false;
    /* Without promiscuous mode the table counts, and whoever drove the device before may have left
     * something in it. */
    return on || control_done(net, virtio_net_control_clear_table(&net->control), "mac-table");
}

static bool set_allmulti(struct netdev *dev, bool on)
{
    return set_rx_mode(dev, VIRTIO_NET_CTRL_RX_ALLMULTI, on, on ? "allmulti-on" : "allmulti-off");
}

/* Legacy carries speed and duplex only behind feature bit 63, which its 32 bits cannot hold. */
static uint32_t get_link_speed(const struct netdev *dev)
{
    (void)dev;
    return 0;
}

static bool get_link_up(const struct netdev *dev)
{
    return link_is_up(of_const(dev));
}

static struct mac_address get_mac_addr(const struct netdev *dev)
{
    return of_const(dev)->mac;
}

static bool set_mac_addr(struct netdev *dev, struct mac_address mac)
{
    struct virtio_net *net = of(dev);
    const struct virtio_device *virtio = &net->virtio;

    ensure(mac_is_usable(&mac));
    if (virtio_has(virtio, VIRTIO_NET_F_CTRL_MAC_ADDR)) {
        if (!control_done(net, virtio_net_control_set_mac(&net->control, mac), "mac"))
            return false;
    } else if (virtio_has(virtio, VIRTIO_NET_F_MAC)) {
        /* §5.1.4.3: without the command, a legacy driver writes the address byte by byte. */
        for (uint16_t i = 0; i < ETHERNET_ADDRESS_SIZE; i++)
            virtio->transport->write_config(virtio, (uint16_t)(VIRTIO_NET_CONFIG_MAC + i),
                                            mac.bytes[i]);
    }
    net->mac = mac;
    return true;
}

static void report(const struct netdev *dev)
{
    const struct virtio_net *net = of_const(dev);
    const uint8_t *mac = net->mac.bytes;

    log_event(LOG_INFO, "port",
              "id=%u pci=%s driver=%s transport=%s mac=%02x:%02x:%02x:%02x:%02x:%02x rx_size=%u "
              "tx_size=%u rx_buffers=%u mtu=%u link=%s speed=unknown duplex=unknown "
              "features=0x%llx",
              dev->id, dev->address, dev->ops->driver, net->virtio.transport->name, mac[0], mac[1],
              mac[2], mac[3], mac[4], mac[5], net->rx.queue.size, net->tx.queue.size,
              virtqueue_outstanding(&net->rx.queue), dev->mtu != 0 ? dev->mtu : ETHERNET_MTU,
              link_is_up(net) ? "up" : "down", (unsigned long long)net->virtio.taken);
}

const struct netdev_ops virtio_net_ops = {
    .driver = "virtio-net",
    .start = start,
    .rx_batch = virtio_net_rx_batch,
    .tx_room = virtio_net_tx_room,
    .tx_batch = virtio_net_tx_batch,
    .read_stats = read_stats,
    .set_promisc = set_promisc,
    .set_allmulti = set_allmulti,
    .get_link_speed = get_link_speed,
    .get_link_up = get_link_up,
    .get_mac_addr = get_mac_addr,
    .set_mac_addr = set_mac_addr,
    .report = report,
};

/* ---- a port that is out of service ---- */

static bool refuse_start(struct netdev *dev, const struct netdev_setup *setup)
{
    (void)dev;
    (void)setup;
    return false;
}

static bool refuse_mode(struct netdev *dev, bool on)
{
    (void)dev;
    (void)on;
    return false;
}

static bool refuse_mac(struct netdev *dev, struct mac_address mac)
{
    (void)dev;
    (void)mac;
    return false;
}

static bool link_is_down(const struct netdev *dev)
{
    (void)dev;
    return false;
}

static void report_nothing(const struct netdev *dev)
{
    (void)dev; /* its error event has said all */
}

const struct netdev_ops virtio_net_stopped_ops = {
    .driver = "virtio-net",
    .start = refuse_start,
    .rx_batch = virtio_net_stopped_rx_batch,
    .tx_room = virtio_net_stopped_tx_room,
    .tx_batch = virtio_net_stopped_tx_batch,
    .read_stats = read_stats,
    .set_promisc = refuse_mode,
    .set_allmulti = refuse_mode,
    .get_link_speed = get_link_speed,
    .get_link_up = link_is_down,
    .get_mac_addr = get_mac_addr,
    .set_mac_addr = refuse_mac,
    .report = report_nothing,
};
