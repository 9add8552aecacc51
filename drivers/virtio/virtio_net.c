/* The virtio network device: its life from probe to start, and its tables of functions. */
#include "drivers/virtio/virtio_net.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>

#include <machine/clock.h>
#include <machine/log.h>
#include <machine/panic.h>

#include "drivers/virtio/virtio_net_features.h"
#include "drivers/virtio/virtio_net_internal.h"
#include "drivers/virtio/virtio_pci_legacy.h"
#include "drivers/virtio/virtio_pci_modern.h"

bool virtio_net_matches(const struct pci_device *pci)
{
    return pci->vendor == VIRTIO_PCI_VENDOR &&
           (pci->device_id == VIRTIO_PCI_DEVICE_NET_TRANSITIONAL ||
            pci->device_id == VIRTIO_PCI_DEVICE_NET);
}

void virtio_net_refuse(struct virtio_net *net, const char *format, ...)
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

/* ---- probe: §3.1.1 and §3.1.2, steps 1 to 6 ---- */

/* Modern where it can be, else legacy: the one can do all that the other can, and more. */
static bool open_transport(struct virtio_net *net, const struct pci_device *pci)
{
    const char *modern = "transport=legacy asked for", *legacy = "transport=modern asked for";

    if (net->options.transport != TRANSPORT_LEGACY) {
        modern = virtio_pci_modern_open(&net->virtio, pci);
        if (modern == NULL)
            return true;
    }
    if (net->options.transport != TRANSPORT_MODERN) {
        legacy = virtio_pci_legacy_open(&net->virtio, pci);
        if (legacy == NULL)
            return true;
    }
    net->virtio.transport = NULL; /* nobody can be told */
    virtio_net_refuse(net, "reason=no-transport device=0x%04x modern=\"%s\" legacy=\"%s\"",
                      pci->device_id, modern, legacy);
    return false;
}

/* Whoever had the device before: firmware, a boot loader. True once its reset is done or given up. */
static bool reset_is_over(struct virtio_net *net)
{
    if (virtio_is_reset(&net->virtio))
        return true;
    if (clock_ns() - net->recovery.started_ns <= VIRTIO_TIMEOUT_NS)
        return false;
    virtio_net_refuse(net, "reason=reset-timeout status=0x%02x",
                      net->virtio.transport->get_status(&net->virtio));
    return true;
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
    net->virtio.interrupt = modern.interrupt;
}

void virtio_net_open(struct virtio_net *net, const struct pci_device *pci)
{
    const bool enabled = pci_enable(pci);
    /* First, for MSI-X moves the legacy interface's device configuration. */
    const enum pci_interrupt interrupt = pci_interrupt_open(pci, &net->message);

    net->netdev.state = NETDEV_PROBING;
    net->recovery.started_ns = clock_ns();
    if (!open_transport(net, pci))
        return;
    net->virtio.interrupt = interrupt;
    if (enabled)
        virtio_begin_reset(&net->virtio);
    else
        virtio_net_refuse(
            net, "reason=bus-master remedy=\"the function does not take its command bits\"");
}

bool virtio_net_probe_step(struct netdev *dev)
{
    struct virtio_net *net = virtio_net_of(dev);

    if (dev->state == NETDEV_PROBING && !reset_is_over(net))
        return false;
    if (dev->state == NETDEV_PROBING) {
        dev->state = NETDEV_FOUND;
        if (net->options.transport == TRANSPORT_AUTO)
            step_back_to_legacy(net);
        virtio_net_look(net);
    }
    if (dev->state == NETDEV_FAILED && net->before != NETDEV_FOUND)
        dev->state = net->before; /* its `error` has been given */
    return true;
}

struct netdev *virtio_net_probe_begin(struct virtio_net *net, const struct pci_device *pci,
                                      unsigned id, const struct virtio_net_options *options)
{
    *net = (struct virtio_net){
        .netdev =
            {
                .ops = &virtio_net_ops,
                .id = id,
                .num_rx_queues = 1,
                .num_tx_queues = 1,
            },
        .options = *options,
        .before = NETDEV_FOUND,
        .settings = {.wanted[SETTING_PAIRS] = true, .next = SETTINGS}, /* none to be given again */
    };
    snprintf(net->netdev.address, sizeof(net->netdev.address), "%s", pci_address(pci).text);
    virtio_net_open(net, pci);
    return &net->netdev;
}

struct netdev *virtio_net_probe(const struct pci_device *pci, unsigned id,
                                const struct virtio_net_options *options)
{
    struct virtio_net *net = memalign(CACHE_LINE, sizeof(*net));

    if (net == NULL)
        panic("no memory for port %u", id);
    virtio_net_probe_begin(net, pci, id, options);
    while (!virtio_net_probe_step(&net->netdev))
        clock_relax();
    return &net->netdev;
}

/* ---- start: §3.1.1 steps 7 and 8 ---- */

static bool setup_is_valid(struct virtio_net *net, const struct netdev_setup *setup)
{
    const struct netdev *dev = &net->netdev;

    if (setup->rx_queues > dev->num_rx_queues || setup->tx_queues > dev->num_tx_queues) {
        virtio_net_refuse(
            net, "reason=queues rx_queues=%u tx_queues=%u accepted=\"up to %u and %u\"",
            setup->rx_queues, setup->tx_queues, dev->num_rx_queues, dev->num_tx_queues);
        return false;
    }
    if (setup->rx_queues != 0 && setup->rx[0].pool->frame_max < dev->frame_max &&
        setup->rx[0].buffers != 0) {
        virtio_net_refuse(net, "reason=mtu-changed mtu=%u frame=%u accepted=%u", dev->mtu,
                          dev->frame_max, setup->rx[0].pool->frame_max);
        return false;
    }
    if (setup->rx_queues != 0 && setup->rx[0].buffers == 0) {
        virtio_net_refuse(net, "reason=memory rx_buffers=0 remedy=\"more RAM, or fewer ports\"");
        return false;
    }
    if ((dev->rx_offloads & NETDEV_OFFLOAD_CHAINS) &&
        setup->rx[0].buffers < netdev_chain_max(setup->rx[0].pool->frame_max)) {
        virtio_net_refuse(net, "reason=memory rx_buffers=%u remedy=\"more RAM, or mergeable=off\"",
                          setup->rx[0].buffers);
        return false;
    }
    return true;
}

/* DRIVER_OK, and what the device makes of it. */
static bool set_driver_ok(struct virtio_net *net)
{
    const struct virtio_device *virtio = &net->virtio;

    virtio_add_status(virtio, VIRTIO_STATUS_DRIVER_OK);
    const uint8_t status = virtio->transport->get_status(virtio);
    if ((status & (VIRTIO_STATUS_FAILED | VIRTIO_STATUS_DEVICE_NEEDS_RESET)) ||
        !(status & VIRTIO_STATUS_DRIVER_OK)) {
        virtio_net_refuse(net, "reason=status status=0x%02x", status);
        return false;
    }
    return true;
}

void virtio_net_run(struct virtio_net *net)
{
    net->tx.chained = net->tx.pool != NULL && net->tx.pool->next != NULL;
    if (net->rx.chained || net->tx.chained)
        net->netdev.ops = net->link.up ? &virtio_net_chain_ops : &virtio_net_chain_down_ops;
    else
        net->netdev.ops = net->link.up ? &virtio_net_ops : &virtio_net_down_ops;
    net->netdev.state = NETDEV_RUNNING;
}

bool virtio_net_go_live(struct virtio_net *net)
{
    if (!virtio_net_enable_queues(net))
        return false;
    virtio_net_enable_interrupts(net);
    net->tx.pool = net->setup.tx[0].pool;
    if (net->setup.rx_queues != 0)
        virtio_net_fill_rx(net);
    if (!set_driver_ok(net))
        return false;
    /* The buffers were offered before the device was live; it may be told of them only now. */
    virtio_net_ring(net, &net->rx);
    net->tx.rung = 0;
    virtio_net_watch_anew(net, clock_ns());
    virtio_net_run(net);
    return true;
}

static bool start(struct netdev *dev, const struct netdev_setup *setup)
{
    struct virtio_net *net = virtio_net_of(dev);

    if (dev->state != NETDEV_PROBED || !setup_is_valid(net, setup))
        return false;
    net->setup = *setup;
    net->offloads = setup->rx[0].offloads;
    if (setup->rx_queues != 0)
        net->frame_room = setup->rx[0].pool->frame_max;
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
        .tx_bad_offload = net->tx_bad_offload,
        .tx_no_offload = net->tx_no_offload,
        .resets = net->recovery.resets,
        .announces = net->link.announces,
        .doorbell_rescues = net->recovery.doorbell_rescues,
    };
}

/* Of all frames that the device has, tables included. */
static uint32_t count_tx_buffers(const struct virtio_net *net)
{
    const struct virtqueue *const queue = &net->tx.queue;
    uint32_t count = virtqueue_outstanding(queue);

    if (net->tx.pool == NULL || net->tx.pool->next == NULL)
        return count;
    for (uint32_t idx = queue->used_idx; idx != queue->avail_idx; idx++) {
        const uint8_t *buffer = queue->cookies[virtqueue_slot(queue, idx)];
        while ((buffer = pool_next(net->tx.pool, buffer)) != NULL)
            count++;
    }
    return count;
}

static void read_status(const struct netdev *dev, struct netdev_status *status)
{
    const struct virtio_net *net = virtio_net_of_const(dev);
    const struct virtio_transport *transport = net->virtio.transport;

    *status = (struct netdev_status){
        .transport = transport != NULL ? transport->name : "none",
        .rx_filled = virtqueue_outstanding(&net->rx.queue),
        .tx_filled = virtqueue_outstanding(&net->tx.queue),
        .tx_buffers = count_tx_buffers(net),
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
                     dev->state == NETDEV_UNPLUGGED || dev->state == NETDEV_PROBING ||
                     dev->state == NETDEV_FAILED;

    return !out && virtio_net_of_const(dev)->link.up;
}

static struct mac_address get_mac_addr(const struct netdev *dev)
{
    return virtio_net_of_const(dev)->mac;
}

/* A lane that is aimed at another port, or one whose mtu is another now. */
static void set_payload_max(struct netdev *dev, unsigned queue, uint32_t payload_max)
{
    struct virtio_net *net = virtio_net_of(dev);

    net->setup.rx[queue].payload_max = payload_max;
    if (net->rx.pool != NULL) /* else it has not been started yet */
        virtio_net_set_payload_max(net, payload_max);
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
    .driver = "virtio-net", .negotiate = virtio_net_negotiate, .start = start,                     \
    .rewire = virtio_net_rewire, .reset = virtio_net_reset, .read_stats = read_stats,              \
    .set_promisc = virtio_net_set_promisc, .tx_pending = virtio_net_tx_pending,                    \
    .acknowledge = virtio_net_acknowledge, .hurries = virtio_net_hurries,                          \
    .arm_rx = virtio_net_arm_rx, .arm_tx = virtio_net_arm_tx, .disarm_rx = virtio_net_disarm_rx,   \
    .disarm_tx = virtio_net_disarm_tx, .segment_length = virtio_net_segment_length,                \
    .read_status = read_status, .features_text = features_text,                                    \
    .want_filter = virtio_net_want_filter, .set_allmulti = virtio_net_set_allmulti,                \
    .set_payload_max = set_payload_max, .want_mac_addr = virtio_net_want_mac_addr,                 \
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

const struct netdev_ops virtio_net_chain_ops = {
    WHATEVER_THE_STATE,
    .rx_batch = virtio_net_rx_batch_merged,
    .tx_room = virtio_net_tx_room,
    .tx_batch = virtio_net_tx_batch_chained,
};

const struct netdev_ops virtio_net_chain_down_ops = {
    WHATEVER_THE_STATE,
    .rx_batch = virtio_net_rx_batch_merged,
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
