/*
 * The link: whether the device says that it is up, and what that means for those who send there.
 *
 * It is read at a slow rate, not in the data path. A port whose link is down takes
 * what it is given and counts it; nothing of that may leave once the link is up again.
 */
#include <machine/clock.h>
#include <machine/log.h>

#include "drivers/virtio/virtio_net_internal.h"

/* A read is an exit or two. Sooner than this would cost more than the frames that are still given to
 * a device which, with its link down, throws them away. */
#define LINK_NS (10 * CLOCK_NS_PER_MS)

/* Reads the link's state and what the device wants besides: §5.1.4. */
static uint16_t read_status(const struct virtio_net *net)
{
    if (!virtio_has(&net->virtio, VIRTIO_NET_F_STATUS))
        return VIRTIO_NET_S_LINK_UP; /* §5.1.4.2: then it is to be taken as up */
    return virtio_read_config16(&net->virtio, VIRTIO_NET_CONFIG_STATUS);
}

/* `lost` frames lay in the tx ring. */
static void report(const struct virtio_net *net, uint32_t lost)
{
    log_event(LOG_REPORT, "link", "port=%u state=%s pci=%s lost=%u", net->netdev.id,
              net->link.up ? "up" : "down", net->netdev.address, lost);
}

void virtio_net_link_refresh(struct virtio_net *net)
{
    const bool up = read_status(net) & VIRTIO_NET_S_LINK_UP;
    const bool changed = up != net->link.up && net->netdev.state != NETDEV_FOUND;

    net->link.up = up;
    if (changed)
        report(net, 0); /* it has just been reset: its tx ring is empty */
}

/*
 * A device keeps what is in its tx ring while the link is down, and sends it when the link is up
 * again, be it hours later. So a ring that is not empty is taken away from it.
 *
 * And so are packed rings, empty or not: the link of a vhost-user device goes down when its back end
 * ends, and the next one must be told where in the rings the last one was. A split ring says so in
 * used.idx; a packed one does not, and QEMU 7.2 then lets it begin at the start.
 */
static void go_down(struct virtio_net *net)
{
    const uint32_t lost = virtio_net_reclaim_all(net);

    net->link.up = false;
    report(net, lost);
    if (net->tx.queue.error != VIRTQUEUE_OK)
        virtio_net_device_error(net, &net->tx.queue);
    else if (lost != 0 || net->tx.queue.packed)
        virtio_net_begin_reset(net, "link-down", false);
    else
        virtio_net_run(net);
}

/*
 * A device may not want doorbells of its tx ring any more while the link is down, and forget to want
 * them again: QEMU 7.2, which starts a packed ring with its link down, throws away what is there, and
 * leaves the word that said so meanwhile. It writes the word anew once it has looked at its ring, so
 * one doorbell is rung whatever the word says.
 */
static void go_up(struct virtio_net *net)
{
    net->link.up = true;
    virtio_net_run(net);
    virtio_net_ring(net, &net->tx);
    report(net, 0);
}

/*
 * §5.1.6.5.4 "Gratuitous Packet Sending": the host wants the guest's addresses announced, as after a
 * migration. barewire has none of its own; those behind it are announced by their own traffic. So it
 * acknowledges, else the device would ask for ever, and sends nothing.
 */
static void acknowledge(struct virtio_net *net)
{
    if (net->settings.wanted[SETTING_ANNOUNCE_ACK] || net->settings.next != SETTINGS)
        return; /* on its way, or refused before, or others are first: it asks until it is answered */
    net->link.announces++;
    net->settings.wanted[SETTING_ANNOUNCE_ACK] = true;
    net->settings.next = SETTING_ANNOUNCE_ACK;
}

void virtio_net_link_watch(struct virtio_net *net, uint64_t now_ns)
{
    if (now_ns - net->link.read_ns < LINK_NS)
        return;
    net->link.read_ns = now_ns;
    const uint16_t status = read_status(net);
    const bool up = status & VIRTIO_NET_S_LINK_UP;

    if ((status & VIRTIO_NET_S_ANNOUNCE) && virtio_has(&net->virtio, VIRTIO_NET_F_GUEST_ANNOUNCE))
        acknowledge(net);
    if (up && !net->link.up)
        go_up(net);
    else if (!up && net->link.up)
        go_down(net);
}
