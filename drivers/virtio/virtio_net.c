/*
 * The life of a virtio network device, from top to bottom: probe, negotiate, start, service, reset,
 * hot-plug (virtio 1.2 §3.1). The other files of the driver mark what they meet in a queue, or return
 * a reason. Only this one moves a port from one step to the next.
 */
#include "drivers/virtio/virtio_net.h"

#include <malloc.h>
#include <stdio.h>

#include <machine/clock.h>
#include <machine/log.h>
#include <machine/panic.h>

#include "drivers/virtio/virtio_net_internal.h"
#include "drivers/virtio/virtio_pci_legacy.h"
#include "drivers/virtio/virtio_pci_modern.h"

static const struct port_ops virtio_net_ops; /* at the end of this file */

/* ---- steps ---- */

static const struct {
    const char *reason;
    enum port_state state;
    enum virtio_net_gate tx;
} steps[STEPS] = {
    [STEP_PROBING] = {"probing", PORT_STARTING, GATE_SWALLOWS},
    [STEP_FOUND] = {"found", PORT_STARTING, GATE_SWALLOWS},
    [STEP_NEGOTIATED] = {"probed", PORT_STARTING, GATE_SWALLOWS},
    [STEP_RUNNING] = {"running", PORT_UP, GATE_OPEN},
    [STEP_HALTED] = {"halted", PORT_UP, GATE_WAITS},
    [STEP_RESETTING] = {"resetting", PORT_RESETTING, GATE_WAITS},
    [STEP_RETIRED] = {"retired", PORT_RESETTING, GATE_SWALLOWS},
    [STEP_UNPLUGGED] = {"unplugged", PORT_GONE, GATE_SWALLOWS},
    [STEP_FAILED] = {"failed", PORT_DOWN, GATE_SWALLOWS},
    [STEP_STOPPED] = {"stopped", PORT_DOWN, GATE_SWALLOWS},
};

/* A port whose link is down swallows what is to be sent, so that nothing of it leaves hours later. */
static enum virtio_net_gate tx_gate(const struct virtio_net *net)
{
    const bool would_keep = net->step == STEP_RUNNING || net->step == STEP_RESETTING;

    return would_keep && !net->link_up ? GATE_SWALLOWS : steps[net->step].tx;
}

/* Puts the port into `step`, and its data path with it. */
static void enter(struct virtio_net *net, enum virtio_net_step step)
{
    struct port *const port = &net->port;

    net->step = step;
    port->state = steps[step].state;
    port->reason = steps[step].reason;
    port->link_up = port->state == PORT_UP && net->link_up;
    port->can_reset = step == STEP_RUNNING || step == STEP_RETIRED;
    virtio_net_set_gates(net, step == STEP_RUNNING ? GATE_OPEN : GATE_WAITS, tx_gate(net));
}

/* Gives up a device that cannot be used, for net->refusal, and tells it so. */
static void give_up(struct virtio_net *net)
{
    log_event(LOG_ERROR, "error", "port=%u pci=%s %s", net->port.id, net->port.address,
              net->refusal);
    if (net->virtio.transport != NULL)
        virtio_fail(&net->virtio);
}

static bool fail(struct virtio_net *net)
{
    give_up(net);
    enter(net, STEP_FAILED);
    return false;
}

/* ---- probe ---- */

bool virtio_net_matches(const struct pci_device *pci)
{
    return pci->vendor == VIRTIO_PCI_VENDOR &&
           (pci->device_id == VIRTIO_PCI_DEVICE_NET_TRANSITIONAL ||
            pci->device_id == VIRTIO_PCI_DEVICE_NET);
}

/* Modern where possible, else legacy: the modern interface can do all that the other can, and more. */
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
    net->virtio.transport = NULL; /* no status register: the device is not told */
    return virtio_net_refuse(net, "reason=no-transport device=0x%04x modern=\"%s\" legacy=\"%s\"",
                             pci->device_id, modern, legacy);
}

/*
 * A transitional device may have the modern structures and not offer VERSION_1: QEMU's does so if its
 * back end knows legacy devices only. Then the legacy interface is used.
 */
static void step_back_to_legacy(struct virtio_net *net)
{
    const struct virtio_device modern = net->virtio;
    const uint64_t offered = modern.transport->get_features(&modern);

    if (modern.transport->version_1 && !(offered & VIRTIO_BIT(VIRTIO_F_VERSION_1)) &&
        virtio_pci_legacy_open(&net->virtio, modern.pci) != NULL)
        net->virtio = modern; /* which is refused for it later */
    net->virtio.interrupt = modern.interrupt;
}

/* Takes hold of a device, and asks it for a reset. */
static void open_device(struct virtio_net *net, const struct pci_device *pci)
{
    const bool enabled = pci_enable(pci);
    /* First, for MSI-X moves the legacy interface's device configuration. */
    const enum pci_interrupt interrupt = pci_interrupt_open(pci, &net->message);

    enter(net, STEP_PROBING);
    net->recovery.started_ns = clock_ns();
    if (!open_transport(net, pci)) {
        fail(net);
        return;
    }
    net->virtio.interrupt = interrupt;
    if (enabled) {
        virtio_begin_reset(&net->virtio); /* §3.1.1 step 1: firmware may have used it */
        return;
    }
    virtio_net_refuse(net,
                      "reason=bus-master remedy=\"the function does not take its command bits\"");
    fail(net);
}

/* The device has been reset: §3.1.1 steps 2 to 4. */
static void find(struct virtio_net *net)
{
    if (net->options.transport == TRANSPORT_AUTO)
        step_back_to_legacy(net);
    if (virtio_net_look(net))
        enter(net, STEP_FOUND);
    else
        fail(net);
}

bool virtio_net_probe_step(struct port *port)
{
    struct virtio_net *net = virtio_net_of(port);

    if (net->step == STEP_PROBING) {
        if (virtio_is_reset(&net->virtio)) {
            find(net);
        } else if (clock_ns() - net->recovery.started_ns > VIRTIO_TIMEOUT_NS) {
            virtio_net_refuse(net, "reason=reset-timeout status=0x%02x",
                              net->virtio.transport->get_status(&net->virtio));
            fail(net);
        } else {
            return false;
        }
    }
    if (net->step == STEP_FAILED)
        enter(net, net->before);
    return true;
}

struct port *virtio_net_probe_begin(struct virtio_net *net, const struct pci_device *pci,
                                    unsigned id, const struct virtio_net_options *options)
{
    *net = (struct virtio_net){
        .port =
            {
                .ops = &virtio_net_ops,
                .id = id,
                .num_rx_queues = 1,
                .num_tx_queues = 1,
            },
        .options = *options,
        .before = STEP_FAILED,
    };
    snprintf(net->port.address, sizeof(net->port.address), "%s", pci_address(pci).text);
    open_device(net, pci);
    return &net->port;
}

struct port *virtio_net_probe(const struct pci_device *pci, unsigned id,
                              const struct virtio_net_options *options)
{
    struct virtio_net *net = memalign(CACHE_LINE, sizeof(*net));

    if (net == NULL)
        panic("no memory for port %u", id);
    virtio_net_probe_begin(net, pci, id, options);
    while (!virtio_net_probe_step(&net->port))
        clock_relax();
    return &net->port;
}

/* ---- the link ---- */

/* §5.1.4.2: without STATUS the link is to be taken as up. */
static uint16_t read_status(const struct virtio_net *net)
{
    if (!virtio_has(&net->virtio, VIRTIO_NET_F_STATUS))
        return VIRTIO_NET_S_LINK_UP;
    return virtio_read_config16(&net->virtio, VIRTIO_NET_CONFIG_STATUS);
}

/* `lost` frames lay in the tx ring. */
static void report_link(const struct virtio_net *net, uint32_t lost)
{
    log_event(LOG_REPORT, "link", "port=%u state=%s pci=%s lost=%u", net->port.id,
              net->link_up ? "up" : "down", net->port.address, lost);
}

/* ---- negotiate: §3.1.1 steps 4 to 7 ---- */

static bool negotiate_again(struct virtio_net *net)
{
    if (!virtio_net_negotiate(net))
        return false;
    const bool was_up = net->link_up;
    net->link_up = read_status(net) & VIRTIO_NET_S_LINK_UP;
    if (net->step == STEP_RESETTING && net->link_up != was_up)
        report_link(net, 0); /* it has just been reset: its tx ring is empty */
    return virtio_net_make_queues(net);
}

static bool negotiate(struct port *port, uint32_t offloads, uint32_t frame_max)
{
    struct virtio_net *const net = virtio_net_of(port);

    ensure(net->step == STEP_FOUND);
    port->wanted.offloads = offloads;
    net->frame_room = frame_max;
    if (negotiate_again(net)) {
        enter(net, STEP_NEGOTIATED);
        return true;
    }
    fail(net);
    enter(net, net->before); /* the next device may be better */
    return false;
}

/* ---- start: §3.1.1 steps 7 and 8 ---- */

static bool setup_is_valid(struct virtio_net *net, const struct port_setup *setup)
{
    const struct port *port = &net->port;

    if (setup->rx_queues > port->num_rx_queues || setup->tx_queues > port->num_tx_queues)
        return virtio_net_refuse(
            net, "reason=queues rx_queues=%u tx_queues=%u accepted=\"up to %u and %u\"",
            setup->rx_queues, setup->tx_queues, port->num_rx_queues, port->num_tx_queues);
    if (setup->rx_queues == 0)
        return true;
    const uint32_t buffers = setup->rx[0].buffers;
    if (buffers == 0)
        return virtio_net_refuse(net,
                                 "reason=memory rx_buffers=0 remedy=\"more RAM, or fewer ports\"");
    const uint32_t frame_max = setup->rx[0].pool->frame_max;
    if (frame_max < port->frame_max)
        return virtio_net_refuse(net, "reason=mtu-changed mtu=%u frame=%u accepted=%u", port->mtu,
                                 port->frame_max, frame_max);
    if ((port->rx_offloads & PORT_OFFLOAD_CHAINS) && buffers < port_chain_max(frame_max))
        return virtio_net_refuse(
            net, "reason=memory rx_buffers=%u remedy=\"more RAM, or mergeable=off\"", buffers);
    return true;
}

/* DRIVER_OK, and what the device makes of it. */
static bool set_driver_ok(struct virtio_net *net)
{
    const struct virtio_device *virtio = &net->virtio;

    virtio_add_status(virtio, VIRTIO_STATUS_DRIVER_OK);
    const uint8_t status = virtio->transport->get_status(virtio);
    if ((status & (VIRTIO_STATUS_FAILED | VIRTIO_STATUS_DEVICE_NEEDS_RESET)) ||
        !(status & VIRTIO_STATUS_DRIVER_OK))
        return virtio_net_refuse(net, "reason=status status=0x%02x", status);
    return true;
}

/* From a device that is negotiated to one that is live. */
static bool go_live(struct virtio_net *net)
{
    /* Step 7: queues, interrupts, buffers. */
    if (!virtio_net_enable_queues(net))
        return false;
    virtio_net_enable_interrupts(net);
    virtio_net_set_tx_quota(net);
    if (net->setup.rx_queues != 0)
        virtio_net_fill_rx(net);
    /* Step 8: DRIVER_OK. Only now may the device be notified of the buffers. */
    if (!set_driver_ok(net))
        return false;
    virtio_net_ring(net, &net->rx);
    net->tx.rung = 0;
    virtio_net_watch_restart(net, clock_ns());
    virtio_net_settings_restart(net);
    enter(net, STEP_RUNNING);
    return true;
}

/* ---- reset ---- */

#define RESETS_WINDOW_NS (60 * CLOCK_NS_PER_S)
#define PAUSE_FIRST_NS (60 * CLOCK_NS_PER_S)
#define PAUSE_MAX_NS (3600 * CLOCK_NS_PER_S)

/* A reset is given up after its time, but not before so many looks: if the whole machine
 * stood still in the meantime, the clock has jumped and the device has had no time. */
#define POLLS_MIN 100

static void retire(struct virtio_net *net, uint64_t now, const char *reason)
{
    struct virtio_net_recovery *recovery = &net->recovery;

    /* Twice as long as the last time, unless it was well for longer than any pause since then. */
    if (recovery->pause_ns == 0 || now - recovery->retry_ns > PAUSE_MAX_NS)
        recovery->pause_ns = PAUSE_FIRST_NS;
    else if (recovery->pause_ns < PAUSE_MAX_NS / 2)
        recovery->pause_ns *= 2;
    else
        recovery->pause_ns = PAUSE_MAX_NS;
    recovery->retry_ns = now + recovery->pause_ns;
    enter(net, STEP_RETIRED);
    log_event(LOG_ERROR, "error", "port=%u pci=%s reason=retired cause=%s resets=%llu retry_s=%llu",
              net->port.id, net->port.address, reason, (unsigned long long)net->port.stats.resets,
              (unsigned long long)(recovery->pause_ns / CLOCK_NS_PER_S));
}

/* Asks the device for a reset. Until `service` has seen its end, rings and buffers are the device's. */
static void ask_for_reset(struct virtio_net *net, uint64_t now)
{
    net->recovery.started_ns = now;
    net->recovery.looks = 0;
    enter(net, STEP_RESETTING);
    net->virtio.transport->set_status(&net->virtio, 0);
}

/* True if the last VIRTIO_NET_RESETS_MAX faults, the present one not counted, were within the last
 * minute. */
static bool too_often(const struct virtio_net_recovery *recovery, uint64_t now)
{
    const uint64_t oldest = recovery->times_ns[recovery->faults % VIRTIO_NET_RESETS_MAX];

    return recovery->faults >= VIRTIO_NET_RESETS_MAX && now - oldest < RESETS_WINDOW_NS;
}

/* Takes a running port out of service to reset its device, for `reason` (a literal). Frames in the tx
 * ring that the device has not sent are lost and counted. `fault`: the device is the cause. */
static void begin_reset(struct virtio_net *net, const char *reason, bool fault)
{
    struct virtio_net_recovery *recovery = &net->recovery;
    const uint64_t now = clock_ns();

    net->port.stats.tx_dropped += virtio_net_reclaim_all(net);
    if (fault)
        virtio_fail(&net->virtio);
    ask_for_reset(net, now);
    recovery->reason = reason;
    if (fault && too_often(recovery, now)) {
        retire(net, now, reason);
        return;
    }
    if (fault)
        recovery->times_ns[recovery->faults++ % VIRTIO_NET_RESETS_MAX] = now;
    net->port.stats.resets++;
}

/* The first queue that has met a device error; NULL: none. */
static const struct virtqueue *broken_queue(const struct virtio_net *net)
{
    if (net->rx.queue.error != VIRTQUEUE_OK)
        return &net->rx.queue;
    if (net->tx.queue.error != VIRTQUEUE_OK)
        return &net->tx.queue;
    return net->control.queue.error != VIRTQUEUE_OK ? &net->control.queue : NULL;
}

/* A device that breaks the rules is reset. False: it has not. */
static bool handle_device_error(struct virtio_net *net)
{
    const struct virtqueue *const queue = broken_queue(net);

    if (queue == NULL)
        return false;
    const uint64_t count = ++net->errors[queue->error];
    log_event(LOG_ERROR, "error",
              "port=%u pci=%s reason=%s queue=%u value=%u used_idx=%u count=%llu", net->port.id,
              net->port.address, virtqueue_error_name(queue->error), queue->index,
              queue->error_value, (uint16_t)queue->used_idx, (unsigned long long)count);
    begin_reset(net, virtqueue_error_name(queue->error), true);
    return true;
}

/* Somebody wants the device to be reset. */
static void reset_as_wanted(struct virtio_net *net, uint64_t now)
{
    net->port.wanted.changed &= ~PORT_WANT_RESET;
    if (net->step == STEP_RUNNING) {
        begin_reset(net, "operator", false);
    } else if (net->step == STEP_RETIRED) {
        net->recovery.reason = "operator";
        net->port.stats.resets++;
        ask_for_reset(net, now);
    }
}

static void return_buffers_of(struct virtio_net_queue *queue)
{
    struct virtqueue *const ring = &queue->queue;

    for (; virtqueue_outstanding(ring) != 0; ring->used_idx++)
        pool_put(queue->pool, ring->cookies[virtqueue_slot(ring, ring->used_idx)]);
}

/* The device writes no more. Its buffers go back to their pools. */
static void return_buffers(struct virtio_net *net)
{
    return_buffers_of(&net->rx);
    return_buffers_of(&net->tx);
    net->tx.hung = 0;
}

static void finish_reset(struct virtio_net *net, uint64_t now)
{
    struct virtio_net_recovery *recovery = &net->recovery;
    const uint32_t mtu = net->port.mtu;

    return_buffers(net);
    if (!virtio_net_look(net) || !negotiate_again(net) || !go_live(net)) {
        give_up(net);
        retire(net, now, "start");
        return;
    }
    log_event(LOG_REPORT, "reset", "port=%u pci=%s reason=%s state=done resets=%llu us=%llu",
              net->port.id, net->port.address, recovery->reason,
              (unsigned long long)net->port.stats.resets,
              (unsigned long long)((now - recovery->started_ns) / CLOCK_NS_PER_US));
    if (net->port.mtu != mtu)
        port_report(&net->port);
}

/* A device that does not read back 0 may still write: its rings and buffers stay where they are. */
static void look_for_end_of_reset(struct virtio_net *net, uint64_t now)
{
    struct virtio_net_recovery *recovery = &net->recovery;

    if (net->virtio.transport->get_status(&net->virtio) == 0)
        finish_reset(net, now);
    else if (++recovery->looks >= POLLS_MIN && now - recovery->started_ns > VIRTIO_TIMEOUT_NS)
        retire(net, now, "reset-timeout");
}

/* ---- start ---- */

/* Brings the data path to what is wanted of it. False: that takes a reset, which has begun. */
static bool follow_limits(struct virtio_net *net)
{
    virtio_net_follow_payload_max(net);
    const char *const reason = virtio_net_cut_offloads(net);
    if (reason != NULL)
        begin_reset(net, reason, false);
    return reason == NULL;
}

static bool start(struct port *port, const struct port_setup *setup)
{
    struct virtio_net *net = virtio_net_of(port);

    if (net->step != STEP_NEGOTIATED)
        return port->state !=
               PORT_DOWN; /* a device that was replaced is negotiated with once more */
    if (!setup_is_valid(net, setup))
        return fail(net);
    net->setup = *setup;
    if (setup->rx_queues != 0)
        net->frame_room = setup->rx[0].pool->frame_max;
    return go_live(net) || fail(net);
}

/* ---- service ---- */

/* A read is an exit or two. Sooner than this would cost more than the frames that are still given to
 * a device which, with its link down, throws them away. */
#define LINK_NS (10 * CLOCK_NS_PER_MS)

/*
 * A device keeps the frames in its tx ring while the link is down, and sends them when it is up again,
 * be it hours later. So the port is reset if its tx ring is not empty.
 *
 * With packed rings it is always reset. The link of a vhost-user device goes down when its back end
 * ends, and the next back end has to go on where the last one stopped. In a split ring it finds that
 * place in used.idx. A packed ring has no such index, and QEMU 7.2 begins at its start.
 */
static void link_went_down(struct virtio_net *net)
{
    const uint32_t lost = virtio_net_reclaim_all(net);

    net->link_up = false;
    report_link(net, lost);
    if (handle_device_error(net))
        return;
    if (lost != 0 || net->tx.queue.packed)
        begin_reset(net, "link-down", false);
    else
        enter(net, STEP_RUNNING);
}

/*
 * A device may suppress tx doorbells while the link is down, and forget to want them again. QEMU 7.2
 * does: it starts a packed ring with the link down, drops the frames, and leaves its suppression word
 * set. It writes that word again when it looks at the ring. So one doorbell is rung in any case.
 */
static void link_went_up(struct virtio_net *net)
{
    net->link_up = true;
    enter(net, STEP_RUNNING);
    virtio_net_ring(net, &net->tx);
    report_link(net, 0);
}

static void look_at_link(struct virtio_net *net, uint64_t now)
{
    if (now - net->watch.link_ns < LINK_NS)
        return;
    net->watch.link_ns = now;
    const uint16_t status = read_status(net);
    const bool up = status & VIRTIO_NET_S_LINK_UP;

    if ((status & VIRTIO_NET_S_ANNOUNCE) && virtio_has(&net->virtio, VIRTIO_NET_F_GUEST_ANNOUNCE))
        virtio_net_acknowledge_announcement(net);
    if (up && !net->link_up)
        link_went_up(net);
    else if (!up && net->link_up)
        link_went_down(net);
}

static void serve_running(struct virtio_net *net, uint64_t now)
{
    if (handle_device_error(net) || !follow_limits(net))
        return;
    const char *const reason = virtio_net_settings_step(net);
    if (reason != NULL)
        begin_reset(net, reason, false);
    else if (!virtio_net_watch(net, now))
        begin_reset(net, "status", true);
    else if (!handle_device_error(net)) /* the watch may have found one */
        look_at_link(net, now);
}

static void service(struct port *port, uint64_t now_ns)
{
    struct virtio_net *net = virtio_net_of(port);

    if (port->wanted.changed & PORT_WANT_RESET) {
        reset_as_wanted(net, now_ns);
        return;
    }
    switch (net->step) {
    case STEP_RUNNING:
        serve_running(net, now_ns);
        break;
    case STEP_RESETTING:
        look_for_end_of_reset(net, now_ns);
        break;
    case STEP_RETIRED:
        if (now_ns >= net->recovery.retry_ns)
            ask_for_reset(net, now_ns);
        break;
    default:
        break; /* not in service, and nothing to look for */
    }
}

/* ---- hot-plug: the device goes, and another one comes; port, number and pool stay ---- */

void virtio_net_halt(struct port *port)
{
    struct virtio_net *net = virtio_net_of(port);

    if (net->step == STEP_RUNNING)
        enter(net, STEP_HALTED);
}

void virtio_net_resume(struct port *port)
{
    struct virtio_net *net = virtio_net_of(port);

    if (net->step == STEP_HALTED)
        enter(net, STEP_RUNNING);
}

void virtio_net_remove(struct port *port, const char *reason)
{
    struct virtio_net *net = virtio_net_of(port);
    /* A reset has counted them already. */
    const uint32_t lost = port->state == PORT_UP ? virtio_net_reclaim_all(net) : 0;

    log_event(LOG_REPORT, "unplug", "port=%u pci=%s reason=%s lost=%u", port->id, port->address,
              reason, lost);
    port->stats.tx_dropped += lost;
    return_buffers(net);
    if (net->step == STEP_FAILED)
        return;          /* no lane leads here */
    net->link_up = true; /* it has none: from now on frames count as drop_stopped */
    enter(net, STEP_UNPLUGGED);
}

void virtio_net_replace(struct port *port, const struct pci_device *pci)
{
    struct virtio_net *net = virtio_net_of(port);

    ensure(net->step == STEP_UNPLUGGED || net->step == STEP_FAILED);
    net->before = net->step; /* the next device may be better */
    net->virtio = (struct virtio_device){0};
    net->recovery = (struct virtio_net_recovery){0};
    open_device(net, pci);
}

/* ---- the end: §2.4, a reset that is not waited for ---- */

static void stop(struct port *port)
{
    struct virtio_net *net = virtio_net_of(port);

    if (port->state == PORT_UP)
        port->stats.tx_dropped += virtio_net_reclaim_all(net);
    if (port->state != PORT_DOWN && port->state != PORT_GONE)
        net->virtio.transport->set_status(&net->virtio, 0);
    enter(net, STEP_STOPPED);
}

/* ---- the table of functions ---- */

static const struct port_ops virtio_net_ops = {
    .driver = "virtio-net",
    .negotiate = negotiate,
    .start = start,
    .stop = stop,
    .rx = virtio_net_rx,
    .room = virtio_net_room,
    .tx = virtio_net_tx,
    .segment_length = virtio_net_segment_length,
    .arm = virtio_net_arm,
    .disarm = virtio_net_disarm,
    .service = service,
    .describe = virtio_net_describe,
    .count = virtio_net_count,
};
