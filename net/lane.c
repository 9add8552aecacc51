/* One round of a lane, and the admission that odd frames pass before any function sees them. */
#include "net/lane.h"

#include <machine/clock.h>

#include "net/ethernet.h"

static uint32_t payload_max_towards(const struct port *tx)
{
    return tx->mtu != 0 ? tx->mtu : UINT32_MAX - ETHERNET_HEADER_SIZE;
}

void lane_set_output(struct lane *lane, struct port *tx, const struct app *app)
{
    lane->app = app;
    lane->tx = tx;
    lane->payload_max = payload_max_towards(tx);
}

void lane_init(struct lane *lane, struct port *rx, struct port *tx, const struct app *app)
{
    *lane = (struct lane){.rx = rx};
    lane_set_output(lane, tx, app);
}

void lane_follow_mtu(struct lane *lane)
{
    const uint32_t payload_max = payload_max_towards(lane->tx);

    if (payload_max == lane->payload_max)
        return;
    lane->payload_max = payload_max;
    lane->rx->wanted.payload_max = payload_max;
    lane->rx->ops->service(lane->rx, clock_ns()); /* before the next frame */
}

const char *drop_reason_name(enum drop_reason reason)
{
    static const char *const names[DROP_REASONS] = {
        [DROP_RUNT] = "drop_runt",
        [DROP_OVERSIZE] = "drop_oversize",
        [DROP_IDLE] = "drop_idle",
    };
    return names[reason];
}

void lane_drop(struct lane *lane, uint8_t *buffer, enum drop_reason reason)
{
    lane->drops[reason]++;
    pool_put(lane->pool, buffer);
}

/* VLAN tags do not count against the mtu (802.1Q, 802.1ad); and of a frame that is to be cut the
 * pieces do, not the whole. */
static bool fits_mtu(const struct lane *lane, const uint8_t *frame, uint32_t length)
{
    const uint32_t segment = lane->rx->ops->segment_length(lane->rx, frame, length);

    const uint32_t tags = ethernet_vlan_bytes(frame, length, ETHERNET_VLAN_TAGS_MTU);

    return segment - ETHERNET_HEADER_SIZE - tags <= lane->payload_max;
}

/* True if frame `i` may go on; else it has been dropped. */
static bool admit(struct lane *lane, const struct batch *batch, uint32_t i)
{
    const uint32_t length = batch->lengths[i];

    if (length < ETHERNET_HEADER_SIZE) {
        lane_drop(lane, batch->buffers[i], DROP_RUNT);
        return false;
    }
    if (length - ETHERNET_HEADER_SIZE > lane->payload_max &&
        !fits_mtu(lane, batch_frame(batch, i), length)) {
        lane_drop(lane, batch->buffers[i], DROP_OVERSIZE);
        return false;
    }
    return true;
}

/* The rare case, a batch with an odd frame in it: what may go on closes up to the front. */
static __attribute__((noinline)) void admit_each(struct lane *lane, struct batch *batch)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < batch->count; i++) {
        if (!admit(lane, batch, i))
            continue;
        batch->buffers[kept] = batch->buffers[i];
        batch->lengths[kept++] = batch->lengths[i];
    }
    batch->count = kept;
}

/* How many frames the lane may take in, as the port says that they are to leave by. */
static __attribute__((noinline)) uint32_t ask_for_room(struct lane *lane)
{
    return lane->tx->ops->room(lane->tx, lane->tx_queue, BURST);
}

/* The same, but most rounds need not ask. */
static inline uint32_t room_of(struct lane *lane)
{
    return __builtin_expect(lane->tx->tx_ready < BURST, 0) ? ask_for_room(lane) : BURST;
}

uint32_t lane_run(struct lane *lane)
{
    struct batch batch;

    /* No more is taken in than can leave: under overload frames wait in the rx ring, where the host
     * sees that it is full, and are not taken and lost here. */
    uint32_t room = room_of(lane);
    const uint32_t taken = port_rx(lane->rx, lane->rx_queue, &batch, room);
    if (taken == 0)
        return 0;
    batch.in = lane->rx;
    if (__builtin_expect(batch.needs_check, 0))
        admit_each(lane, &batch);
    if (lane->app->burst != NULL)
        lane->app->burst(lane, &batch);
    uint32_t sent = port_tx(lane->tx, lane->tx_queue, &batch);
    ensure(sent == batch.count); /* tx_room has promised it, and nobody else sends there */
    return taken;
}

bool lane_arm(struct lane *lane)
{
    const bool has_room = room_of(lane) != 0;
    const bool work = !has_room && lane->tx->ops->arm(lane->tx, lane->tx_queue, PORT_TX);

    return lane->rx->ops->arm(lane->rx, lane->rx_queue, has_room ? PORT_RX : 0) || work;
}

void lane_disarm(struct lane *lane)
{
    lane->rx->ops->disarm(lane->rx, lane->rx_queue);
}
