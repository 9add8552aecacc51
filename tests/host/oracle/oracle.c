/* The books over two ports and the lanes between them. */
#include "tests/host/oracle/oracle.h"

#include <stdio.h>
#include <string.h>

#include <machine/io.h>
#include <machine/panic.h>

#include "tests/host/oracle/oracle_header.h"
#include "tests/host/sim/machine.h"
#include "tests/host/sim/virtio_net.h"

#define VLAN_TAGS_ROOM 8 /* bytes that may come on top of a payload */
#define BUFFERS_MAX 1024

/* --- books --- */

static const struct virtqueue *queue_of(const struct virtio_net *net, unsigned index)
{
    return index == SIM_RX   ? &net->rx.queue
           : index == SIM_TX ? &net->tx.queue
                             : &net->control.queue;
}

/* The lane whose buffers are in this ring. */
static struct oracle_lane *owner_of(struct oracle *oracle, const struct oracle_port *port,
                                    unsigned index)
{
    const size_t at = (size_t)(port - oracle->ports);

    return &oracle->lanes[index == SIM_RX || oracle->reflects ? at : at ^ 1];
}

static struct oracle_port *tx_of(struct oracle *oracle, const struct oracle_lane *lane)
{
    const size_t at = (size_t)(lane - oracle->lanes);

    return &oracle->ports[oracle->reflects ? at : at ^ 1];
}

static uint64_t errors_of(const struct virtio_net *net)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < VIRTQUEUE_ERRORS; i++)
        sum += net->errors[i];
    return sum;
}

/* A new pool's buffers are contiguous, and the lowest one is taken first. */
void oracle_note_lane(struct oracle_lane *lane, struct lane *watched)
{
    const struct pool *pool = watched->pool;

    ensure(pool->count == pool->capacity && pool->capacity <= BUFFERS_MAX);
    lane->lane = watched;
    lane->buffers = pool->free[pool->count - 1];
    lane->stride = (size_t)(pool->free[pool->count - 2] - lane->buffers);
}

static uint32_t number_of(const struct oracle_lane *lane, const uint8_t *buffer)
{
    const size_t offset = (size_t)(buffer - lane->buffers);

    ensure(buffer >= lane->buffers && offset % lane->stride == 0);
    ensure(offset / lane->stride < lane->lane->pool->capacity);
    return (uint32_t)(offset / lane->stride);
}

/* --- no buffer is lost, none is there twice --- */

static void see(const struct oracle_lane *lane, bool seen[BUFFERS_MAX], const uint8_t *buffer)
{
    const uint32_t number = number_of(lane, buffer);

    ensure(!seen[number]);
    seen[number] = true;
}

static bool is_of(const struct oracle_lane *lane, const uint8_t *buffer)
{
    return buffer >= lane->buffers &&
           buffer < lane->buffers + lane->lane->pool->capacity * lane->stride;
}

/* Counts the buffers of the lane's pool in a ring. */
static uint32_t see_ring(const struct oracle_lane *lane, bool seen[BUFFERS_MAX],
                         const struct virtqueue *queue)
{
    uint32_t count = 0;

    for (uint32_t idx = queue->used_idx; idx != queue->avail_idx; idx++) {
        const uint8_t *const buffer = queue->cookies[virtqueue_slot(queue, idx)];
        if (!is_of(lane, buffer))
            continue;
        see(lane, seen, buffer);
        count++;
    }
    return count;
}

static void check_buffers(const struct oracle *oracle, const struct oracle_lane *lane)
{
    const struct pool *pool = lane->lane->pool;
    bool seen[BUFFERS_MAX] = {false};
    uint32_t count = pool->count;

    ensure(pool->count <= pool->capacity);
    for (uint32_t i = 0; i < pool->count; i++)
        see(lane, seen, pool->free[i]);
    for (unsigned i = 0; i < ORACLE_PORTS; i++) {
        count += see_ring(lane, seen, &oracle->ports[i].net->rx.queue);
        count += see_ring(lane, seen, &oracle->ports[i].net->tx.queue);
    }
    ensure(count == pool->capacity);
}

/* --- what the driver took back, and what it offered --- */

static void check_taken(struct oracle_ring *ring)
{
    ring->taken_count = 0;
    while (ring->used_idx != ring->queue->used_idx) {
        const struct oracle_said said = oracle_ring_said(ring);

        ensure(said.anything && said.error == VIRTQUEUE_OK);
        ensure(ring->queue->used_idx - ring->used_idx >= ring->chains[said.id].slots);
        oracle_ring_take(ring, &said);
    }
}

static void check_load(const struct virtio_net *net, const struct oracle_ring *ring,
                       const struct oracle_lane *owner, const struct oracle_load *load)
{
    number_of(owner, load->buffer);
    if (ring->index == SIM_RX) {
        ensure(load->length == owner->lane->pool->frame_max);
        return;
    }
    ensure(load->length >= ETHERNET_HEADER_SIZE && load->length <= owner->lane->pool->frame_max);
    const uint8_t *frame = load->buffer + PACKET_HEADROOM;
    oracle_header_check_sent(net, frame - ring->header, frame, load->length);
}

static void check_offered(const struct virtio_net *net, struct oracle_ring *ring,
                          const struct oracle_lane *owner)
{
    const struct virtqueue *queue = ring->queue;

    ring->offered_count = 0;
    if (ring->avail_idx == queue->avail_idx)
        return;
    while (ring->avail_idx != queue->avail_idx) {
        ensure(queue->avail_idx - ring->avail_idx <= queue->capacity);
        oracle_ring_offer(ring);
        if (ring->index != SIM_CONTROL)
            check_load(net, ring, owner, &ring->offered[ring->offered_count - 1]);
    }
    ensure(virtqueue_outstanding(queue) <= queue->capacity);
    if (!queue->packed)
        ensure(atomic_load(&queue->avail->idx) == (uint16_t)ring->avail_idx);
}

/* --- a stop has a reason, and it is the right one --- */

/* All that was sound in front of it has been taken. */
static void check_device_error(const struct oracle_ring *ring)
{
    const struct oracle_said said = oracle_ring_said(ring);

    if (ring->queue->error >= VIRTQUEUE_USED_ORDER) { /* by the audit */
        ensure(ring->queue->packed && oracle_ring_is_spoiled(ring));
        return;
    }
    ensure(said.anything && said.error == ring->queue->error);
    ensure(said.value == ring->queue->error_value);
}

/* Whether the event was printed. The log was empty before the step. */
static bool told(const struct virtio_net *net)
{
    char reason[64];

    for (unsigned i = 0; i < ORACLE_QUEUES; i++) {
        const enum virtqueue_error error = queue_of(net, i)->error;
        snprintf(reason, sizeof(reason), "reason=%s queue=%u value=%u ",
                 virtqueue_error_name(error), queue_of(net, i)->index,
                 queue_of(net, i)->error_value);
        if (error != VIRTQUEUE_OK && machine_log_count("error", reason) == 1)
            return true;
    }
    return false;
}

/* It had to be reset so that its frames want less. */
static bool was_cut(const struct oracle_port *port)
{
    return port->cut && strcmp(port->net->recovery.reason, "offloads") == 0;
}

/* A queue is marked in the moment in which the device error is read, and nothing of it is read from then on. */
static void check_mark(const struct oracle_port *port, unsigned i)
{
    const struct virtqueue *const queue = queue_of(port->net, i);

    if (port->step != STEP_RUNNING || queue->error == VIRTQUEUE_OK)
        return;
    ensure(port->hostile);
    if (port->errors[i] == VIRTQUEUE_OK)
        check_device_error(&port->rings[i]);
    else
        ensure(queue->error == port->errors[i] && port->rings[i].taken_count == 0);
}

static void check_stop(const struct oracle_port *port)
{
    const struct virtio_net *net = port->net;
    const bool stopped = port->step == STEP_RUNNING && net->step != STEP_RUNNING;
    const uint64_t errors = errors_of(net) - port->error_count;

    for (unsigned i = 0; i < ORACLE_QUEUES; i++)
        check_mark(port, i);
    if (!stopped) {
        ensure(errors == 0);
        return;
    }
    ensure(port->hostile &&
           (errors == 1 || (errors == 0 && (port->status_faults || was_cut(port)))));
    ensure(errors == 0 || told(net));
}

/* --- a frame that comes in leaves as it came, or is counted --- */

/* By the lane, and for their headers by the port that it leads to. */
static uint64_t drops_of(struct oracle *oracle, const struct oracle_lane *watched)
{
    const struct lane *lane = watched->lane;
    const struct virtio_net *tx = tx_of(oracle, watched)->net;
    uint64_t sum = tx->port.stats.tx_bad_offload + tx->port.stats.tx_no_offload;

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

/* Of a frame that is to be cut the pieces count. */
static void check_frame(struct oracle *oracle, const struct oracle_lane *lane,
                        const struct oracle_load *in, const struct oracle_load *out)
{
    const uint8_t *frame = out->buffer + PACKET_HEADROOM;
    const struct virtio_net *tx = tx_of(oracle, lane)->net;

    ensure(in->length == out->length);
    ensure(may_pass(lane->lane, in->length) ||
           may_pass(lane->lane, oracle_header_piece(tx, frame, in->length)));
    if (in->stamped && !oracle->reflects)
        ensure(memcmp(frame, in->stamp, ORACLE_STAMP) == 0);
}

/* The header is still what it was, as nothing was to be sent. */
static void check_drop(struct oracle *oracle, const struct oracle_lane *lane,
                       const struct oracle_load *in, uint64_t *counted)
{
    ensure(may_be_dropped(lane->lane, in->length) ||
           !oracle_header_passes(oracle->ports[lane - oracle->lanes].net, tx_of(oracle, lane)->net,
                                 in->buffer + PACKET_HEADROOM, in->length));
    ensure(*counted > 0);
    --*counted;
}

static void check_lane(struct oracle *oracle, struct oracle_lane *lane)
{
    const struct oracle_ring *rx = &oracle->ports[lane - oracle->lanes].rings[SIM_RX];
    const struct oracle_ring *tx = &tx_of(oracle, lane)->rings[SIM_TX];
    const bool sends = tx_of(oracle, lane)->net->port.state == PORT_UP;
    uint64_t drops = drops_of(oracle, lane) - lane->drops;
    unsigned sent = 0;

    lane->drops += drops;
    for (unsigned i = 0; i < rx->taken_count; i++) {
        const struct oracle_load *in = &rx->taken[i];
        if (sent < tx->offered_count && tx->offered[sent].buffer == in->buffer)
            check_frame(oracle, lane, in, &tx->offered[sent++]);
        else if (sends) /* else it was swallowed: where it was to go, nothing goes now */
            check_drop(oracle, lane, in, &drops);
    }
    ensure(sent == tx->offered_count && (drops == 0 || !sends));
}

/* The driver has to take each used element or report an error; only a lane that waits may leave a
 * valid one. */
static void check_progress(struct oracle *oracle, const struct oracle_lane *lane)
{
    const struct oracle_port *port = &oracle->ports[lane - oracle->lanes];

    const struct oracle_port *tx = tx_of(oracle, lane);

    if (port->step != STEP_RUNNING || port->net->rx.queue.error != VIRTQUEUE_OK)
        return;
    ensure(lane->rx_said.error != VIRTQUEUE_USED_IDX);
    if (lane->tx_waits || tx->net->tx.queue.error != VIRTQUEUE_OK)
        return;
    ensure(!lane->rx_said.anything || port->rings[SIM_RX].taken_count > 0);
}

/* --- before and after --- */

static void look_at_port(struct oracle_port *port)
{
    port->step = port->net->step;
    for (unsigned i = 0; i < ORACLE_QUEUES; i++)
        port->errors[i] = queue_of(port->net, i)->error;
    port->error_count = errors_of(port->net);
    for (unsigned i = 0; i < ORACLE_QUEUES; i++)
        oracle_ring_look(&port->rings[i]);
}

void oracle_before(struct oracle *oracle)
{
    machine_log_forget();
    for (unsigned i = 0; i < ORACLE_PORTS; i++)
        look_at_port(&oracle->ports[i]);
    for (unsigned i = 0; i < ORACLE_PORTS; i++) {
        const struct oracle_port *tx = tx_of(oracle, &oracle->lanes[i]);
        oracle->lanes[i].tx_waits = tx->step == STEP_RESETTING ||
                                    tx->errors[SIM_TX] != VIRTQUEUE_OK ||
                                    virtqueue_free(&tx->net->tx.queue) == 0;
        oracle->lanes[i].rx_said = oracle_ring_said(&oracle->ports[i].rings[SIM_RX]);
    }
}

/* After a reset the rings are new ones, or at least empty. */
static void renew(struct oracle_port *port)
{
    for (unsigned i = 0; i < ORACLE_QUEUES; i++) {
        struct oracle_ring *ring = &port->rings[i];
        if (ring->used_idx == ring->queue->used_idx && ring->avail_idx == ring->queue->avail_idx &&
            port->net->step != STEP_RUNNING)
            continue; /* given up: the device has them still */
        oracle_ring_forget(ring);
        ring->used_idx = ring->queue->used_idx;
        ring->avail_idx = ring->used_idx;
    }
}

static void check_port(struct oracle *oracle, struct oracle_port *port)
{
    if (port->step == STEP_RESETTING && port->net->step != STEP_RESETTING)
        renew(port);
    for (unsigned i = 0; i < ORACLE_QUEUES; i++)
        if (port->rings[i].exists)
            check_taken(&port->rings[i]);
    check_stop(port);
    for (unsigned i = 0; i < ORACLE_QUEUES; i++)
        if (port->rings[i].exists)
            check_offered(port->net, &port->rings[i], owner_of(oracle, port, i));
}

void oracle_after(struct oracle *oracle, const struct lane *step)
{
    for (unsigned i = 0; i < ORACLE_PORTS; i++)
        check_port(oracle, &oracle->ports[i]);
    for (unsigned i = 0; i < ORACLE_PORTS; i++) {
        check_buffers(oracle, &oracle->lanes[i]);
        if (oracle->lanes[i].lane != step)
            continue;
        check_lane(oracle, &oracle->lanes[i]);
        check_progress(oracle, &oracle->lanes[i]);
    }
}

void oracle_open(struct oracle *oracle)
{
    for (unsigned i = 0; i < ORACLE_PORTS; i++) {
        struct oracle_port *port = &oracle->ports[i];
        for (unsigned ring = 0; ring < ORACLE_QUEUES; ring++)
            oracle_ring_open(&port->rings[ring], queue_of(port->net, ring), ring);
        look_at_port(port);
        /* The control queue has carried a start-up command already. */
        port->rings[SIM_CONTROL].used_idx = port->rings[SIM_CONTROL].avail_idx =
            port->net->control.queue.used_idx;
    }
    oracle_after(oracle, NULL);
}
