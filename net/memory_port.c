/* A port that ends in memory. */
#include "net/memory_port.h"

#include <stdio.h>
#include <string.h>

#include <machine/log.h>
#include <machine/panic.h>

static struct memory_port *of(struct netdev *dev)
{
    return (struct memory_port *)dev;
}

static const struct memory_port *of_const(const struct netdev *dev)
{
    return (const struct memory_port *)dev;
}

/* ---- rings ---- */

static uint32_t ring_count(const struct memory_ring *ring)
{
    return ring->tail - ring->head;
}

static void ring_put(struct memory_ring *ring, struct memory_frame frame)
{
    ring->frames[ring->tail++ % MEMORY_PORT_RING] = frame;
}

static struct memory_frame ring_take(struct memory_ring *ring)
{
    return ring->frames[ring->head++ % MEMORY_PORT_RING];
}

/* ---- the port interface ---- */

static void post(struct memory_port *port)
{
    ring_put(&port->posted,
             (struct memory_frame){.buffer = *pool_take(port->rx_pool, 1), .pool = port->rx_pool});
}

static bool negotiate(struct netdev *dev, uint32_t offloads, uint32_t frame_max)
{
    (void)frame_max; /* its frames are small */
    dev->rx_offloads &= offloads;
    dev->state = NETDEV_PROBED;
    return true;
}

static bool start(struct netdev *dev, const struct netdev_setup *setup)
{
    struct memory_port *port = of(dev);

    if (setup->rx_queues > 1 || setup->tx_queues > 1) {
        log_event(LOG_ERROR, "error", "port=%u reason=queues rx_queues=%u tx_queues=%u", dev->id,
                  setup->rx_queues, setup->tx_queues);
        dev->state = NETDEV_FAILED;
        return false;
    }
    port->rx_pool = setup->rx[0].pool;
    port->tx_pool = setup->tx[0].pool;
    port->payload_max = setup->rx[0].payload_max;
    for (uint32_t i = 0; i < setup->rx[0].buffers; i++)
        post(port);
    dev->state = NETDEV_RUNNING;
    return true;
}

/* Each frame knows its pool, so there is nothing to drain. */
static void rewire(struct netdev *dev, const struct netdev_setup *setup)
{
    of(dev)->tx_pool = setup->tx[0].pool;
    of(dev)->payload_max = setup->rx[0].payload_max;
}

static void set_payload_max(struct netdev *dev, unsigned queue, uint32_t payload_max)
{
    (void)queue;
    of(dev)->payload_max = payload_max;
}

/* Over as soon as it is begun: what was to go out is dropped, all else was well. */
static bool reset(struct netdev *dev)
{
    struct memory_port *port = of(dev);

    if (dev->state != NETDEV_RUNNING)
        return false;
    while (ring_count(&port->sent) != 0) {
        const struct memory_frame frame = ring_take(&port->sent);
        pool_put(frame.pool, frame.buffer);
        port->stats.tx_dropped++;
    }
    port->stats.resets++;
    return true;
}

static uint32_t rx_batch(struct netdev *dev, unsigned queue, struct batch *batch, uint32_t n)
{
    struct memory_port *port = of(dev);

    (void)queue;
    batch->count = 0;
    batch->odd = false;
    while (batch->count < n && ring_count(&port->arrived) != 0 && port->rx_pool->count != 0) {
        const struct memory_frame frame = ring_take(&port->arrived);
        batch->buffers[batch->count] = frame.buffer;
        batch->lengths[batch->count++] = frame.length;
        batch->odd |= frame.length - ETHERNET_HEADER_SIZE > port->payload_max; /* a runt wraps */
        port->stats.rx_packets++;
        port->stats.rx_bytes += frame.length;
        post(port);
    }
    return batch->count;
}

static uint32_t tx_room(struct netdev *dev, unsigned queue, uint32_t n)
{
    uint32_t room = MEMORY_PORT_RING - ring_count(&of(dev)->sent);

    (void)queue;
    return n < room ? n : room;
}

static uint32_t tx_batch(struct netdev *dev, unsigned queue, const struct batch *batch)
{
    struct memory_port *port = of(dev);
    const uint32_t n = tx_room(dev, queue, batch->count);

    for (uint32_t i = 0; i < n; i++) {
        ring_put(&port->sent,
                 (struct memory_frame){batch->buffers[i], batch->lengths[i], port->tx_pool});
        port->stats.tx_packets++;
        port->stats.tx_bytes += batch->lengths[i];
    }
    return n;
}

static uint32_t piece_length(const struct netdev *dev, const uint8_t *frame, uint32_t length)
{
    (void)dev;
    (void)frame;
    return length;
}

static void acknowledge(struct netdev *dev)
{
    (void)dev;
}

static bool arm_rx(struct netdev *dev, unsigned queue)
{
    (void)queue;
    of(dev)->rx_armed = true;
    return ring_count(&of(dev)->arrived) != 0;
}

static bool arm_tx(struct netdev *dev, unsigned queue)
{
    of(dev)->tx_armed = true;
    return tx_room(dev, queue, 1) != 0;
}

static void disarm_rx(struct netdev *dev, unsigned queue)
{
    (void)queue;
    of(dev)->rx_armed = false;
}

static void disarm_tx(struct netdev *dev, unsigned queue)
{
    (void)queue;
    of(dev)->tx_armed = false;
}

static uint32_t tx_pending(struct netdev *dev)
{
    return ring_count(&of(dev)->sent);
}

static void read_stats(const struct netdev *dev, struct netdev_stats *stats)
{
    *stats = of_const(dev)->stats;
}

static void read_status(const struct netdev *dev, struct netdev_status *status)
{
    const struct memory_port *port = of_const(dev);

    *status = (struct netdev_status){
        .transport = "memory",
        .rx_filled = ring_count(&port->posted) + ring_count(&port->arrived),
        .tx_filled = ring_count(&port->sent),
        .tx_pool = port->tx_pool,
    };
}

static void features_text(const struct netdev *dev, char text[NETDEV_FEATURES_TEXT])
{
    (void)dev;
    snprintf(text, NETDEV_FEATURES_TEXT, "none");
}

static bool want_filter(struct netdev *dev, bool promisc, bool allmulti)
{
    of(dev)->promisc = promisc;
    of(dev)->allmulti = allmulti;
    return true;
}

static bool set_promisc(struct netdev *dev, bool on)
{
    of(dev)->promisc = on;
    return true;
}

static bool set_allmulti(struct netdev *dev, bool on)
{
    of(dev)->allmulti = on;
    return true;
}

/* Nothing is filtered, so all of it comes in anyway. */
static bool add_address(struct netdev *dev, struct mac_address mac)
{
    (void)dev;
    (void)mac;
    return true;
}

static bool add_vlan(struct netdev *dev, uint16_t id)
{
    (void)dev;
    (void)id;
    return true;
}

static bool want_mac_addr(struct netdev *dev, struct mac_address mac)
{
    of(dev)->mac = mac;
    return true;
}

static uint32_t get_link_speed(const struct netdev *dev)
{
    (void)dev;
    return 0;
}

static bool get_link_up(const struct netdev *dev)
{
    return of_const(dev)->link_up;
}

static struct mac_address get_mac_addr(const struct netdev *dev)
{
    return of_const(dev)->mac;
}

static bool set_mac_addr(struct netdev *dev, struct mac_address mac)
{
    of(dev)->mac = mac;
    return true;
}

static void report(const struct netdev *dev)
{
    log_event(LOG_INFO, "port", "id=%u driver=%s link=%s", dev->id, dev->ops->driver,
              get_link_up(dev) ? "up" : "down");
}

/* Memory needs no looking after. */
static void service(struct netdev *dev, uint64_t now_ns)
{
    (void)dev;
    (void)now_ns;
}

static const struct netdev_ops memory_port_ops = {
    .driver = "memory",
    .negotiate = negotiate,
    .start = start,
    .rewire = rewire,
    .set_payload_max = set_payload_max,
    .reset = reset,
    .rx_batch = rx_batch,
    .tx_room = tx_room,
    .tx_batch = tx_batch,
    .piece_length = piece_length,
    .acknowledge = acknowledge,
    .arm_rx = arm_rx,
    .arm_tx = arm_tx,
    .disarm_rx = disarm_rx,
    .disarm_tx = disarm_tx,
    .tx_pending = tx_pending,
    .read_stats = read_stats,
    .read_status = read_status,
    .features_text = features_text,
    .want_filter = want_filter,
    .want_mac_addr = want_mac_addr,
    .set_promisc = set_promisc,
    .set_allmulti = set_allmulti,
    .add_address = add_address,
    .add_vlan = add_vlan,
    .get_link_speed = get_link_speed,
    .get_link_up = get_link_up,
    .get_mac_addr = get_mac_addr,
    .set_mac_addr = set_mac_addr,
    .report = report,
    .service = service,
};

/* ---- the other side ---- */

void memory_port_init(struct memory_port *port, unsigned id, struct mac_address mac)
{
    *port = (struct memory_port){
        .netdev =
            {
                .ops = &memory_port_ops,
                .id = id,
                .num_rx_queues = 1,
                .num_tx_queues = 1,
                .rx_size = MEMORY_PORT_RING,
                .tx_size = MEMORY_PORT_RING,
                .frame_max = 2048,
            },
        .mac = mac,
        .link_up = true,
    };
    snprintf(port->netdev.address, sizeof(port->netdev.address), "memory%u", id);
}

bool memory_port_inject(struct memory_port *port, const void *data, uint32_t length)
{
    if (ring_count(&port->posted) == 0 || ring_count(&port->arrived) == MEMORY_PORT_RING)
        return false;
    ensure(length <= port->rx_pool->frame_max);
    uint8_t *buffer = ring_take(&port->posted).buffer;
    memcpy(buffer + PACKET_HEADROOM, data, length);
    ring_put(&port->arrived, (struct memory_frame){buffer, length, port->rx_pool});
    return true;
}

uint32_t memory_port_collect(struct memory_port *port, void *data, uint32_t size)
{
    if (ring_count(&port->sent) == 0)
        return 0;
    const struct memory_frame frame = ring_take(&port->sent);
    ensure(frame.length <= size);
    memcpy(data, frame.buffer + PACKET_HEADROOM, frame.length);
    pool_put(frame.pool, frame.buffer);
    return frame.length;
}
