/* The books over two ports and the lanes between them. */
#include "tests/host/referee.h"

#include <stdio.h>
#include <string.h>

#include <machine/io.h>
#include <machine/panic.h>

#include "tests/host/machine.h"
#include "tests/host/sim_virtio_net.h"

#define HEADER VIRTIO_NET_HDR_BYTES_LEGACY
#define VLAN_TAGS_ROOM 8 /* bytes that may come on top of a payload */
#define BUFFERS_MAX 256

/* --- books --- */

static void open_ring(struct referee_ring *ring, const struct virtqueue *queue, unsigned index)
{
    ensure(queue->size <= REFEREE_RING_MAX);
    *ring = (struct referee_ring){.queue = queue, .used = queue->used, .index = index};
}

static void forget_chains(struct referee_ring *ring)
{
    memset(ring->chains, 0, sizeof(ring->chains));
    ring->order_count = 0;
    ring->avail_spoiled = false;
}

static const struct virtqueue *queue_of(const struct virtio_net *net, unsigned index)
{
    return index == SIM_RX   ? &net->rx.queue
           : index == SIM_TX ? &net->tx.queue
                             : &net->control.queue;
}

/* The lane whose buffers lie in this ring. */
static struct referee_lane *owner_of(struct referee *referee, const struct referee_port *port,
                                     unsigned index)
{
    const size_t at = (size_t)(port - referee->ports);

    return &referee->lanes[index == SIM_RX || referee->reflects ? at : at ^ 1];
}

static struct referee_port *tx_of(struct referee *referee, const struct referee_lane *lane)
{
    const size_t at = (size_t)(lane - referee->lanes);

    return &referee->ports[referee->reflects ? at : at ^ 1];
}

static uint64_t breaches_of(const struct virtio_net *net)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < VIRTQUEUE_BREACHES; i++)
        sum += net->breaches[i];
    return sum;
}

/* A new pool's buffers lie side by side, the lowest one to be taken first. */
void referee_note_lane(struct referee_lane *lane, struct lane *watched)
{
    const struct pool *pool = &watched->pool;

    ensure(pool->count == pool->capacity && pool->capacity <= BUFFERS_MAX);
    lane->lane = watched;
    lane->buffers = pool->free[pool->count - 1];
    lane->stride = (size_t)(pool->free[pool->count - 2] - lane->buffers);
}

static uint32_t number_of(const struct referee_lane *lane, const uint8_t *buffer)
{
    const size_t offset = (size_t)(buffer - lane->buffers);

    ensure(buffer >= lane->buffers && offset % lane->stride == 0);
    ensure(offset / lane->stride < lane->lane->pool.capacity);
    return (uint32_t)(offset / lane->stride);
}

/* --- no buffer is lost, none is there twice --- */

static void see(const struct referee_lane *lane, bool seen[BUFFERS_MAX], const uint8_t *buffer)
{
    const uint32_t number = number_of(lane, buffer);

    ensure(!seen[number]);
    seen[number] = true;
}

static uint32_t see_ring(const struct referee_lane *lane, bool seen[BUFFERS_MAX],
                         const struct virtqueue *queue)
{
    for (uint32_t idx = queue->used_idx; idx != queue->avail_idx; idx++)
        see(lane, seen, queue->tokens[virtqueue_slot(queue, idx)]);
    return virtqueue_outstanding(queue);
}

static void judge_buffers(struct referee *referee, const struct referee_lane *lane)
{
    const struct pool *pool = &lane->lane->pool;
    const struct virtio_net *rx = referee->ports[lane - referee->lanes].net;
    const struct virtio_net *tx = tx_of(referee, lane)->net;
    bool seen[BUFFERS_MAX] = {false};
    uint32_t count = pool->count;

    ensure(pool->count <= pool->capacity);
    for (uint32_t i = 0; i < pool->count; i++)
        see(lane, seen, pool->free[i]);
    count += see_ring(lane, seen, &rx->rx.queue);
    count += see_ring(lane, seen, &tx->tx.queue);
    ensure(count == pool->capacity);
}

/* --- what the driver took back --- */

static void remove_from_order(struct referee_ring *ring, uint32_t id)
{
    unsigned at = 0;

    while (ring->order[at] != id)
        at++;
    ring->order_count--;
    memmove(&ring->order[at], &ring->order[at + 1],
            (ring->order_count - at) * sizeof(ring->order[0]));
}

static void take_one(struct referee_ring *ring, const struct referee_lane *owner,
                     const struct virtq_used_elem *element)
{
    struct referee_chain *chain = &ring->chains[element->id % REFEREE_RING_MAX];
    struct referee_load *load = &ring->taken[ring->taken_count++];

    ensure(element->id < ring->queue->size && chain->out);
    *load = chain->load;
    *chain = (struct referee_chain){.out = false};
    remove_from_order(ring, element->id);
    if (ring->index != SIM_RX)
        return;
    ensure(element->len >= HEADER && element->len - HEADER <= owner->lane->pool.frame_max);
    load->length = element->len - HEADER;
}

static void judge_taken(struct referee_ring *ring, const struct referee_lane *owner)
{
    const uint32_t count = ring->queue->used_idx - ring->used_idx;
    const uint16_t pending = (uint16_t)(ring->shown - ring->used_idx);

    ring->taken_count = 0;
    if (count == 0)
        return;
    ensure(pending <= ring->avail_idx - ring->used_idx && count <= pending);
    for (; ring->used_idx != ring->queue->used_idx; ring->used_idx++)
        take_one(ring, owner, &ring->used->ring[ring->used_idx & (ring->queue->size - 1)]);
}

/* --- what the driver offered --- */

static uint8_t *buffer_at(uint64_t frame)
{
    return (uint8_t *)(uintptr_t)(frame - PHYSICAL_OFFSET) - PACKET_HEADROOM;
}

/* Looks through the descriptors of a chain with a frame or room for one. */
static struct referee_load load_of(const struct referee_ring *ring, uint32_t id)
{
    const struct virtq_desc *desc = &ring->queue->desc[id];
    const uint16_t write = ring->index == SIM_RX ? VIRTQ_DESC_F_WRITE : 0;

    if (ring->queue->chain == 1) {
        ensure(desc->flags == write && desc->next == 0 && desc->len >= HEADER);
        return (struct referee_load){.buffer = buffer_at(desc->addr + HEADER),
                                     .length = desc->len - HEADER};
    }
    ensure(desc[0].flags == (VIRTQ_DESC_F_NEXT | write) && desc[0].next == id + 1);
    ensure(desc[0].len == HEADER && desc[0].addr + HEADER == desc[1].addr);
    ensure(desc[1].flags == write && desc[1].next == 0);
    return (struct referee_load){.buffer = buffer_at(desc[1].addr), .length = desc[1].len};
}

static void judge_load(struct referee_ring *ring, const struct referee_lane *owner,
                       struct referee_load *load)
{
    static const uint8_t zero[HEADER];

    number_of(owner, load->buffer);
    if (ring->index == SIM_RX) {
        ensure(load->length == owner->lane->pool.frame_max);
        return;
    }
    ensure(load->length >= ETHERNET_HEADER_SIZE && load->length <= owner->lane->pool.frame_max);
    ensure(memcmp(load->buffer + PACKET_HEADROOM - HEADER, zero, HEADER) == 0);
}

static void offer_one(struct referee_ring *ring, const struct referee_lane *owner)
{
    const struct virtqueue *queue = ring->queue;
    const uint32_t id = queue->ids[virtqueue_slot(queue, ring->avail_idx)];

    ensure(id < queue->size && id % queue->chain == 0 && !ring->chains[id].out);
    if (!ring->avail_spoiled)
        ensure(queue->avail->ring[ring->avail_idx & (queue->size - 1)] == id);
    ring->chains[id] = (struct referee_chain){.out = true};
    ring->order[ring->order_count++] = id;
    if (ring->index == SIM_CONTROL)
        return;
    struct referee_load *load = &ring->chains[id].load;
    *load = load_of(ring, id);
    judge_load(ring, owner, load);
    ring->offered[ring->offered_count++] = *load;
}

static void judge_offered(struct referee_ring *ring, const struct referee_lane *owner)
{
    ring->offered_count = 0;
    if (ring->avail_idx == ring->queue->avail_idx)
        return;
    for (; ring->avail_idx != ring->queue->avail_idx; ring->avail_idx++)
        offer_one(ring, owner);
    ensure(virtqueue_outstanding(ring->queue) <= ring->queue->capacity);
    ensure(atomic_load(&ring->queue->avail->idx) == (uint16_t)ring->avail_idx);
}

/* --- a stop has a reason, and it is the right one --- */

static void judge_breach(const struct referee_ring *ring, uint32_t frame_max)
{
    const struct virtqueue *queue = ring->queue;
    const struct virtq_used_elem element = ring->used->ring[queue->used_idx & (queue->size - 1)];
    const bool known = element.id < queue->size;

    switch (queue->breach) {
    case VIRTQUEUE_USED_IDX:
        ensure((uint16_t)(ring->shown - ring->used_idx) > ring->avail_idx - ring->used_idx);
        ensure(queue->breach_value == ring->shown);
        break;
    case VIRTQUEUE_ID_RANGE:
        ensure(!known && queue->breach_value == element.id);
        break;
    case VIRTQUEUE_ID_NOT_OUT:
        ensure(known && !ring->chains[element.id].out && queue->breach_value == element.id);
        break;
    case VIRTQUEUE_LENGTH_SHORT:
        ensure(ring->index == SIM_RX && element.len < HEADER);
        ensure(queue->breach_value == element.len);
        break;
    case VIRTQUEUE_LENGTH_LONG:
        ensure(ring->index == SIM_RX && element.len > HEADER + frame_max);
        ensure(queue->breach_value == element.len);
        break;
    default:
        panic("breach %u is none", queue->breach);
    }
}

/* The event that tells it. The log was empty before the step. */
static bool told(const struct virtio_net *net)
{
    char reason[64];

    for (unsigned i = 0; i < REFEREE_QUEUES; i++) {
        const enum virtqueue_breach breach = queue_of(net, i)->breach;
        snprintf(reason, sizeof(reason), "reason=%s queue=%u value=%u ",
                 virtqueue_breach_name(breach), i, queue_of(net, i)->breach_value);
        if (breach != VIRTQUEUE_SOUND && machine_log_count("error", reason) == 1)
            return true;
    }
    return false;
}

static void judge_stop(const struct referee_port *port, const struct referee_lane *rx_lane)
{
    const struct virtio_net *net = port->net;
    const bool stopped = port->state == NETDEV_RUNNING && net->netdev.state != NETDEV_RUNNING;
    const uint64_t breaches = breaches_of(net) - port->breaches;

    if (!stopped) {
        ensure(breaches == 0);
        if (net->netdev.state == NETDEV_RUNNING)
            for (unsigned i = 0; i < REFEREE_QUEUES; i++)
                ensure(queue_of(net, i)->breach == VIRTQUEUE_SOUND);
        return;
    }
    ensure(port->hostile && (breaches == 1 || (breaches == 0 && port->status_lies)));
    ensure(breaches == 0 || told(net));
    for (unsigned i = 0; i < REFEREE_QUEUES; i++)
        if (queue_of(net, i)->breach != VIRTQUEUE_SOUND)
            judge_breach(&port->rings[i], rx_lane->lane->pool.frame_max);
}

/* --- a frame that comes in leaves as it came, or is counted --- */

static uint64_t drops_of(const struct lane *lane)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < DROP_REASONS; i++)
        sum += lane->drops[i];
    return sum;
}

static bool may_be_dropped(const struct lane *lane, uint32_t length)
{
    return length < ETHERNET_HEADER_SIZE || length - ETHERNET_HEADER_SIZE > lane->payload_max;
}

static bool may_pass(const struct lane *lane, uint32_t length)
{
    return length >= ETHERNET_HEADER_SIZE &&
           length - ETHERNET_HEADER_SIZE <= (uint64_t)lane->payload_max + VLAN_TAGS_ROOM;
}

static void judge_frame(const struct referee *referee, const struct lane *lane,
                        const struct referee_load *in, const struct referee_load *out)
{
    const uint8_t *frame = out->buffer + PACKET_HEADROOM;

    ensure(in->length == out->length && may_pass(lane, in->length));
    if (in->stamped && !referee->reflects)
        ensure(memcmp(frame, in->stamp, REFEREE_STAMP) == 0);
}

static void judge_drop(const struct lane *lane, uint32_t length, uint64_t *counted)
{
    ensure(may_be_dropped(lane, length));
    ensure(*counted > 0);
    --*counted;
}

static void judge_lane(struct referee *referee, struct referee_lane *lane)
{
    const struct referee_ring *rx = &referee->ports[lane - referee->lanes].rings[SIM_RX];
    const struct referee_ring *tx = &tx_of(referee, lane)->rings[SIM_TX];
    const bool sends = tx_of(referee, lane)->net->netdev.state == NETDEV_RUNNING;
    uint64_t drops = drops_of(lane->lane) - lane->drops;
    unsigned sent = 0;

    lane->drops += drops;
    for (unsigned i = 0; i < rx->taken_count; i++) {
        const struct referee_load *in = &rx->taken[i];
        if (sent < tx->offered_count && tx->offered[sent].buffer == in->buffer)
            judge_frame(referee, lane->lane, in, &tx->offered[sent++]);
        else if (sends) /* else it was swallowed: where it was to go, nothing goes now */
            judge_drop(lane->lane, in->length, &drops);
    }
    ensure(sent == tx->offered_count && (drops == 0 || !sends));
}

/* What is there has to be taken or objected to. */
static void judge_progress(struct referee *referee, const struct referee_lane *lane)
{
    const struct referee_port *port = &referee->ports[lane - referee->lanes];
    const struct referee_ring *rx = &port->rings[SIM_RX];
    const uint32_t before = rx->queue->used_idx - rx->taken_count;

    if (port->state != NETDEV_RUNNING || port->net->netdev.state != NETDEV_RUNNING)
        return;
    ensure((uint16_t)(rx->shown - before) <= rx->had);
    if (lane->tx_waits || tx_of(referee, lane)->net->netdev.state == NETDEV_RESETTING)
        return;
    ensure(rx->shown == (uint16_t)before || rx->taken_count > 0);
}

/* --- before and after --- */

static void look_at_port(struct referee_port *port)
{
    port->state = port->net->netdev.state;
    port->breaches = breaches_of(port->net);
    for (unsigned i = 0; i < REFEREE_QUEUES; i++) {
        struct referee_ring *ring = &port->rings[i];
        if (ring->used != NULL)
            ring->shown = atomic_load(&ring->used->idx);
        ring->had = virtqueue_outstanding(ring->queue);
    }
}

void referee_before(struct referee *referee)
{
    machine_log_forget();
    for (unsigned i = 0; i < REFEREE_PORTS; i++)
        look_at_port(&referee->ports[i]);
    for (unsigned i = 0; i < REFEREE_PORTS; i++) {
        const struct referee_port *tx = tx_of(referee, &referee->lanes[i]);
        referee->lanes[i].tx_waits =
            tx->state == NETDEV_RESETTING || virtqueue_free(&tx->net->tx.queue) == 0;
    }
}

/* After a reset the rings are new ones, or at least empty. */
static void renew(struct referee_port *port)
{
    for (unsigned i = 0; i < REFEREE_QUEUES; i++) {
        struct referee_ring *ring = &port->rings[i];
        if (ring->used_idx == ring->queue->used_idx && ring->avail_idx == ring->queue->avail_idx &&
            port->net->netdev.state != NETDEV_RUNNING)
            continue; /* given up: the device has them still */
        forget_chains(ring);
        ring->used_idx = ring->queue->used_idx;
        ring->avail_idx = ring->used_idx;
    }
}

static void judge_port(struct referee *referee, struct referee_port *port)
{
    if (port->state == NETDEV_RESETTING && port->net->netdev.state != NETDEV_RESETTING)
        renew(port);
    for (unsigned i = 0; i < REFEREE_QUEUES; i++)
        if (port->rings[i].used != NULL)
            judge_taken(&port->rings[i], owner_of(referee, port, i));
    judge_stop(port, owner_of(referee, port, SIM_RX));
    for (unsigned i = 0; i < REFEREE_QUEUES; i++)
        if (port->rings[i].used != NULL)
            judge_offered(&port->rings[i], owner_of(referee, port, i));
}

void referee_after(struct referee *referee, const struct lane *step)
{
    for (unsigned i = 0; i < REFEREE_PORTS; i++)
        judge_port(referee, &referee->ports[i]);
    for (unsigned i = 0; i < REFEREE_PORTS; i++) {
        judge_buffers(referee, &referee->lanes[i]);
        if (referee->lanes[i].lane != step)
            continue;
        judge_lane(referee, &referee->lanes[i]);
        judge_progress(referee, &referee->lanes[i]);
    }
}

void referee_open(struct referee *referee)
{
    for (unsigned i = 0; i < REFEREE_PORTS; i++) {
        struct referee_port *port = &referee->ports[i];
        for (unsigned ring = 0; ring < REFEREE_QUEUES; ring++)
            open_ring(&port->rings[ring], queue_of(port->net, ring), ring);
        look_at_port(port);
        /* A start-up command has gone through the control queue already. */
        port->rings[SIM_CONTROL].used_idx = port->rings[SIM_CONTROL].avail_idx =
            port->net->control.queue.used_idx;
    }
    referee_after(referee, NULL);
}
