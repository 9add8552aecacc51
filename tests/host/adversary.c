/* A device that keeps no rule, and the driver's steps between its acts. */
#include "tests/host/adversary.h"

#include <stdlib.h>
#include <string.h>

#include <machine/clock.h>
#include <machine/io.h>
#include <machine/panic.h>

#include "drivers/pci.h"
#include "drivers/virtio_net_features.h"
#include "net/forward.h"
#include "tests/host/adversary_frame.h"
#include "tests/host/adversary_ring.h"
#include "tests/host/machine.h"
#include "tests/host/referee.h"
#include "tests/host/sim_virtio_net.h"

#define HOSTILE 0 /* the port that has the hostile device */
#define HONEST 1
#define SIZES 7 /* rings of 1 to 64 */
#define MODERN_BASE 0xe000000000ULL
#define HONEST_FRAME 64         /* bytes of a frame that wants nothing, */
#define HONEST_FRAME_MAX 0x4000 /* and of the longest one that does */

struct device {
    struct sim_virtio_net *sim;    /* its registers, and all of the honest one */
    uint16_t next[REFEREE_QUEUES]; /* where the next used element goes: counted on and on */
    uint64_t features;             /* that it offers of its own accord */
    uint32_t offloads;             /* that its frames may want, as its port was told last */
};

static struct {
    struct pci_device pci[REFEREE_PORTS];
    struct device devices[REFEREE_PORTS];
    struct lane lanes[REFEREE_PORTS];
    struct referee referee;
    struct adversary_account account;
    enum adversary_rings rings; /* of the hostile device */
    bool plenty;                /* there are buffers enough for all rings */
    bool offloads;              /* frames may have something left to do on them */
} stage;

const struct adversary_account *adversary_account(void)
{
    return &stage.account;
}

/* --- the stage --- */

static struct virtio_net *net_of(unsigned port)
{
    return stage.referee.ports[port].net;
}

/* Each bit of the choice is a feature that changes what the driver does with a ring. */
static uint64_t features_of(uint8_t choice)
{
    uint64_t features = SIM_F(MAC) | SIM_F(STATUS);

    features |= choice & 1 ? SIM_F(ANY_LAYOUT) : 0;
    features |= choice & 2 ? SIM_F(EVENT_IDX) : 0;
    features |= choice & 4 ? SIM_F(MTU) : 0;
    features |= choice & 8 ? SIM_F(CTRL_VQ) | SIM_F(CTRL_RX) | SIM_F(CTRL_MAC_ADDR) : 0;
    features |= choice & 128 ? SIM_F(MQ) : 0;
    return features;
}

/* And three bits are the kind of its rings. */
static enum adversary_rings rings_of(uint8_t choice)
{
    static const enum adversary_rings kinds[] = {
        ADVERSARY_LEGACY, ADVERSARY_LEGACY, ADVERSARY_SPLIT,  ADVERSARY_SPLIT,
        ADVERSARY_PACKED, ADVERSARY_PACKED, ADVERSARY_PACKED, ADVERSARY_PACKED};

    return kinds[choice >> 4 & 7];
}

static void add_interface(struct sim_virtio_net *sim, enum adversary_rings rings, unsigned port)
{
    if (rings == ADVERSARY_LEGACY)
        return;
    sim->features |= rings == ADVERSARY_PACKED ? SIM_F(RING_PACKED) : 0;
    sim_virtio_net_modernise(sim, MODERN_BASE + port * SIM_MODERN_BYTES, true);
}

/* The honest device lets go of offloads by a command, the other one may have none. */
static void add_offloads(struct sim_virtio_net *sim, unsigned port, struct input *input)
{
    sim->features |= adversary_frame_features(input) | SIM_F(CTRL_GUEST_OFFLOADS);
    if (port == HONEST)
        sim->features |= SIM_F(CTRL_VQ);
}

static void add_device(unsigned port, struct input *input)
{
    const uint8_t sizes = input_8(input);
    const uint8_t choice = input_8(input);
    const uint64_t features = features_of(choice);
    struct sim_virtio_net *sim = sim_virtio_net_add((uint8_t)(port + 1), features);
    const unsigned smallest = features & SIM_F(ANY_LAYOUT) ? 0 : 1; /* a chain has two there */

    sim->queues[SIM_RX].size = (uint16_t)(1u << (smallest + sizes % (SIZES - smallest)));
    sim->queues[SIM_TX].size = (uint16_t)(1u << (smallest + sizes / 8 % (SIZES - smallest)));
    sim->queues[SIM_CONTROL].size = (uint16_t)(4u << sizes / 64);
    sim->max_pairs = 1 + sizes % 8;
    sim->transmit_at_once = false;
    if (stage.offloads)
        add_offloads(sim, port, input);
    add_interface(sim, rings_of(choice), port);
    if (port == HOSTILE)
        stage.rings = rings_of(choice);
    stage.devices[port] = (struct device){.sim = sim, .features = sim->features};
}

/* The port that the lane of `port` leads to, and whose lane leads there. */
static unsigned partner_of(unsigned port)
{
    return stage.referee.reflects ? port : port ^ 1;
}

static void make_lane(unsigned port)
{
    struct netdev *rx = &net_of(port)->netdev;
    struct netdev *tx = &net_of(partner_of(port))->netdev;
    const uint32_t capacity = stage.plenty ? rx->rx_size + tx->tx_size + BURST : 2 * BURST;

    lane_init(&stage.lanes[port], rx, tx, stage.referee.reflects ? forward_reflect : forward_wire);
    ensure(pool_create(&stage.lanes[port].pool, capacity, rx->frame_max, false));
    referee_note_lane(&stage.referee.lanes[port], &stage.lanes[port]);
}

static struct netdev_setup setup_of(unsigned port)
{
    const struct netdev *dev = &net_of(port)->netdev;
    struct lane *lane = &stage.lanes[port], *towards = &stage.lanes[partner_of(port)];
    struct netdev_setup setup = {.rx_queues = 1, .tx_queues = 1};

    stage.devices[port].offloads = net_of(partner_of(port))->netdev.tx_offloads;
    setup.rx[0] = (struct netdev_rx_setup){
        .pool = &lane->pool,
        .buffers = stage.plenty ? dev->rx_size : BURST / 2,
        .payload_max = lane->payload_max,
        .offloads = stage.devices[port].offloads,
    };
    setup.tx[0] = (struct netdev_tx_setup){.pool = &towards->pool, .from = towards->rx};
    return setup;
}

static void start_port(unsigned port)
{
    struct netdev *dev = &net_of(port)->netdev;
    const struct netdev_setup setup = setup_of(port);

    ensure(dev->ops->start(dev, &setup));
    (void)dev->ops->set_promisc(dev, true);
    stage.referee.ports[port].hostile = port == HOSTILE;
}

/* As net/assembly.c does it: each port by what the other one offers. */
static void negotiate(unsigned port, uint32_t frame_room)
{
    struct netdev *const dev = &net_of(port)->netdev;
    const uint32_t offloads = net_of(partner_of(port))->netdev.tx_offloads & dev->rx_offloads;

    ensure(dev->ops->negotiate(dev, offloads, frame_room));
}

void adversary_begin(struct input *input)
{
    const uint8_t choice = input_8(input);

    machine_reset();
    memset(&stage, 0, sizeof(stage));
    stage.referee.reflects = choice & 1;
    stage.plenty = !(choice & 2);
    stage.offloads = choice & 4;
    for (unsigned port = 0; port < REFEREE_PORTS; port++)
        add_device(port, input);
    ensure(pci_scan(stage.pci, REFEREE_PORTS) == REFEREE_PORTS);
    for (unsigned port = 0; port < REFEREE_PORTS; port++)
        stage.referee.ports[port].net = (struct virtio_net *)virtio_net_probe(
            &stage.pci[port], port, &(struct virtio_net_options){.offloads = stage.offloads});
    for (unsigned port = 0; port < REFEREE_PORTS; port++)
        negotiate(port, choice & 8 ? NETDEV_FRAME_USUAL : NETDEV_FRAME_SEGMENTS);
    for (unsigned port = 0; port < REFEREE_PORTS; port++)
        make_lane(port);
    for (unsigned port = 0; port < REFEREE_PORTS; port++)
        start_port(port);
    referee_open(&stage.referee);
    stage.devices[HOSTILE].sim->answer = SIM_ANSWER_NEVER; /* from now on by our acts */
    stage.devices[HONEST].sim->answer = SIM_ANSWER_LATE;   /* and here between two steps */
    stage.devices[HONEST].sim->answer_delay_ns = CLOCK_NS_PER_MS / 2;
    stage.devices[HOSTILE].next[SIM_CONTROL] = (uint16_t)net_of(HOSTILE)->control.queue.used_idx;
}

void adversary_end(void)
{
    for (unsigned port = 0; port < REFEREE_PORTS; port++)
        free(net_of(port));
    sim_virtio_net_remove_all();
}

/* --- acts of the hostile device --- */

static bool is_running(void)
{
    return net_of(HOSTILE)->netdev.state == NETDEV_RUNNING;
}

/* Bytes of the header that the hostile device writes. */
static uint32_t header(void)
{
    return net_of(HOSTILE)->header_size;
}

static struct referee_ring *ring_of(uint8_t choice)
{
    struct referee_port *port = &stage.referee.ports[HOSTILE];
    struct referee_ring *ring = &port->rings[choice % REFEREE_QUEUES];

    return ring->exists ? ring : &port->rings[SIM_RX];
}

static uint16_t *next_of(const struct referee_ring *ring)
{
    return &stage.devices[HOSTILE].next[ring->index];
}

/* A used element for what fills `slots` slots. */
static void put_element(struct referee_ring *ring, uint32_t id, uint32_t length, uint32_t slots)
{
    adversary_ring_put(ring->queue, *next_of(ring), id, length);
    *next_of(ring) = (uint16_t)(*next_of(ring) + slots);
    stage.account.completions += is_running();
    stage.account.by_rings[stage.rings] += is_running();
}

static void show(struct referee_ring *ring)
{
    if (!ring->queue->packed)
        atomic_store(&ring->queue->used->idx, *next_of(ring));
}

/* Chain number `which` of those that the device has and has not given back; or none. */
static struct referee_chain *choose(struct referee_ring *ring, unsigned which, uint32_t *id)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < ring->order_count; i++) {
            struct referee_chain *chain = &ring->chains[ring->order[i]];
            *id = ring->order[i];
            if (!chain->finished && which-- == 0)
                return chain;
        }
        which = 0; /* so many are not there: the first one then */
    }
    return NULL;
}

/* Writes into a receive buffer what the input says, from header byte `at` on. */
static void write_buffer(struct referee_chain *chain, uint32_t at, struct input *input, size_t size)
{
    uint8_t *frame = chain->load.buffer + PACKET_HEADROOM;

    input_fill(input, frame - header() + at, size);
    chain->load.stamped = true;
    memcpy(chain->load.stamp, frame, REFEREE_STAMP);
}

/* A frame that wants something, or says so. */
static uint32_t write_frame(struct referee_chain *chain, struct input *input)
{
    uint8_t *const frame = chain->load.buffer + PACKET_HEADROOM;
    uint8_t header_bytes[ADVERSARY_HEADER];
    const uint32_t length = adversary_frame_make(header_bytes, frame, chain->load.length, input);

    memcpy(frame - header(), header_bytes, header());
    chain->load.stamped = true;
    memcpy(chain->load.stamp, frame, REFEREE_STAMP);
    return length;
}

static void answer_command(void)
{
    struct virtio_net_control_buffer *buffer = net_of(HOSTILE)->control.buffer;

    buffer->ack = 0;
}

/* Works on the next chain as an honest device does it; returns its length. */
static uint32_t work_on(struct referee_ring *ring, struct referee_chain *chain, struct input *input)
{
    uint32_t length = 0;

    if (ring->index == SIM_RX && stage.offloads) {
        length = write_frame(chain, input);
    } else if (ring->index == SIM_RX) {
        length = ETHERNET_HEADER_SIZE + input_8(input) * 6u;
        write_buffer(chain, header(), input, REFEREE_STAMP);
        length = length < chain->load.length ? length : chain->load.length;
    } else if (ring->index == SIM_CONTROL) {
        answer_command();
    }
    chain->finished = true;
    return header() + length;
}

/* As an honest device does it, but in the order that the input wants. */
static void finish(struct referee_ring *ring, struct input *input, bool in_order)
{
    const uint8_t choice = input_8(input);

    for (unsigned n = choice % 8 + 1; n > 0; n--) {
        uint32_t id;
        struct referee_chain *chain = choose(ring, in_order ? 0 : choice / 8 + n, &id);
        if (chain == NULL)
            break;
        put_element(ring, id, work_on(ring, chain, input), chain->slots);
    }
    show(ring);
}

/* An element that is right in one half, or in neither. */
static void finish_wrongly(struct referee_ring *ring, struct input *input)
{
    const uint32_t lengths[] = {0,
                                1,
                                header() - 1,
                                header(),
                                UINT32_MAX,
                                header() + ring->room,
                                header() + ring->room + 1,
                                0x80000000u};
    const uint8_t choice = input_8(input);
    uint32_t id = 0, length = lengths[choice / 4 % 8], slots = 1;
    struct referee_chain *chain = choose(ring, choice / 32, &id);

    if (choice & 1)
        id = input_32(input);
    else if (chain != NULL)
        chain->finished = true;
    if (chain != NULL)
        slots = chain->slots;
    if (choice & 2)
        length = input_32(input);
    put_element(ring, id, length, slots);
    show(ring);
}

/* An id of those that the queue has, out or not, or one of the first that it does not have. */
static void finish_any(struct referee_ring *ring, struct input *input)
{
    put_element(ring, input_8(input) % (ring->queue->size + 2), header() + 60, 1);
    show(ring);
}

/* Whatever it likes into a buffer that was given to it: header, frame or both. */
static void spoil_buffer(struct input *input)
{
    struct referee_ring *ring = &stage.referee.ports[HOSTILE].rings[SIM_RX];
    const uint8_t choice = input_8(input);
    uint32_t id;
    struct referee_chain *chain = choose(ring, choice / 16, &id);

    if (chain != NULL)
        write_buffer(chain, choice % 16, input, header() + 20);
}

/* What it offers of offloads when it is asked the next time: less, or all again. */
static void change_offers(struct input *input, bool all)
{
    struct device *const device = &stage.devices[HOSTILE];
    const uint64_t gone = ~adversary_frame_features(input) & virtio_net_features_offload();

    device->sim->features = all ? device->features : device->features & ~gone;
}

/* How its registers behave from now on. */
static void change_mood(struct input *input)
{
    static const uint8_t lies[] = {0, 0xff, 0x80 | 0x0f, 0x40 | 0x0f, 0x0b};
    struct sim_virtio_net *sim = stage.devices[HOSTILE].sim;
    const uint8_t choice = input_8(input);

    sim->status_lie = choice & 1 ? &lies[choice / 8 % 5] : NULL;
    sim->reset_stuck = choice & 2;
    sim->reset_delay_ns = choice & 4 ? 5 * CLOCK_NS_PER_MS : 0;
    stage.referee.ports[HOSTILE].status_lies |= choice & (1 | 2);
    if (stage.offloads && choice & 64)
        change_offers(input, choice & 128);
}

/* --- the honest device --- */

static uint32_t honest_room(void)
{
    const uint32_t room = stage.lanes[HONEST].pool.frame_max;

    return room < HONEST_FRAME_MAX ? room : HONEST_FRAME_MAX;
}

static void serve_honestly(struct input *input)
{
    struct sim_virtio_net *sim = stage.devices[HONEST].sim;
    const uint8_t choice = input_8(input);
    static uint8_t frame[HONEST_FRAME_MAX];
    uint32_t length = HONEST_FRAME;

    memset(frame, choice, length);
    if (stage.offloads)
        length = adversary_frame_make_fair(sim->header, frame, honest_room(),
                                           net_of(HONEST)->netdev.rx_offloads, choice / 8);
    sim->queues[SIM_RX].order = sim->queues[SIM_TX].order =
        choice & 64 ? SIM_SHUFFLED : SIM_IN_ORDER;
    for (unsigned n = choice % 8; n > 0; n--)
        sim_virtio_net_deliver(sim, frame, length);
    sim_virtio_net_transmit(sim, choice / 8 % 8);
    sim_virtio_net_forget_sent(sim);
}

/* --- the driver's steps --- */

/* After a reset the rings start anew, and the device with them. */
static void follow_resets(enum netdev_state before)
{
    const enum netdev_state state = net_of(HOSTILE)->netdev.state;

    if (state != before && state == NETDEV_RUNNING) {
        memset(stage.devices[HOSTILE].next, 0, sizeof(stage.devices[HOSTILE].next));
        stage.referee.ports[HOSTILE].status_lies = false;
        stage.referee.ports[HOSTILE].cut = false;
        stage.account.resets++;
    }
    if (state != before && state == NETDEV_RETIRED)
        stage.account.retired++;
}

static void count_frames(const struct referee_ring *tx, uint32_t header_size)
{
    for (unsigned i = 0; i < tx->offered_count; i++) {
        const struct referee_load *load = &tx->offered[i];
        const uint8_t *header_bytes = load->buffer + PACKET_HEADROOM - header_size;
        stage.account.checksums += header_bytes[0];
        stage.account.segments += header_bytes[1] != 0;
        stage.account.large += load->length > NETDEV_FRAME_USUAL;
    }
    stage.account.frames += tx->offered_count;
}

static void count(void)
{
    stage.account.lies = stage.account.too_much = 0;
    for (unsigned port = 0; port < REFEREE_PORTS; port++) {
        const struct referee_ring *rings = stage.referee.ports[port].rings;
        count_frames(&rings[SIM_TX], net_of(port)->header_size);
        stage.account.lies += net_of(port)->tx_bad_offload;
        stage.account.too_much += net_of(port)->tx_no_offload;
        for (unsigned i = 0; i < REFEREE_QUEUES && port == HOSTILE; i++)
            stage.account.taken += rings[i].taken_count;
    }
    memcpy(stage.account.breaches, net_of(HOSTILE)->breaches, sizeof(stage.account.breaches));
}

/* The honest device has nothing to complain of, whatever the other one does. */
static void assert_honest_port_is_well(void)
{
    const struct sim_virtio_net *sim = stage.devices[HONEST].sim;

    ensure(net_of(HONEST)->netdev.state == NETDEV_RUNNING && sim->complaint[0] == '\0');
    for (unsigned i = 0; i < SIM_QUEUES; i++)
        ensure(sim->queues[i].complaint[0] == '\0');
}

static void run_lane(unsigned port)
{
    const enum netdev_state before = net_of(HOSTILE)->netdev.state;

    referee_before(&stage.referee);
    lane_run(&stage.lanes[port]);
    referee_after(&stage.referee, &stage.lanes[port]);
    follow_resets(before);
    count();
    assert_honest_port_is_well();
}

/* A device that resets as it should is back at once. */
static bool comes_back(void)
{
    const struct sim_virtio_net *sim = stage.devices[HOSTILE].sim;

    return net_of(HOSTILE)->netdev.state == NETDEV_RESETTING && !sim->reset_stuck &&
           sim->status_lie == NULL && sim->status == 0 && sim->reset_done_ns <= machine_clock_now();
}

static void service(unsigned port)
{
    const enum netdev_state before = net_of(HOSTILE)->netdev.state;
    const bool must_come_back = port == HOSTILE && comes_back();

    referee_before(&stage.referee);
    net_of(port)->netdev.ops->service(&net_of(port)->netdev, clock_ns());
    referee_after(&stage.referee, NULL);
    follow_resets(before);
    count();
    ensure(!must_come_back || net_of(HOSTILE)->netdev.state == NETDEV_RUNNING);
    assert_honest_port_is_well();
}

/* As net/assembly.c does it in housekeeping: the other device is another one since a reset. */
static void follow_offloads(unsigned port)
{
    struct netdev *const dev = &net_of(port)->netdev;

    if (stage.devices[port].offloads == net_of(partner_of(port))->netdev.tx_offloads)
        return;
    referee_before(&stage.referee);
    const struct netdev_setup setup = setup_of(port);
    stage.referee.ports[port].cut = true;
    stage.account.cuts +=
        dev->state == NETDEV_RUNNING && (dev->rx_offloads & ~setup.rx[0].offloads) != 0;
    dev->ops->rewire(dev, &setup);
    referee_after(&stage.referee, NULL);
    assert_honest_port_is_well();
}

static void pass_time(uint64_t ns)
{
    machine_clock_advance(ns);
    (void)clock_ns(); /* what the honest device does in time is done before the driver's step */
    for (unsigned port = 0; port < REFEREE_PORTS; port++)
        service(port);
    for (unsigned port = 0; port < REFEREE_PORTS; port++)
        follow_offloads(port);
}

/* --- one act --- */

enum act {
    RUN_FROM_HOSTILE,
    RUN_FROM_HONEST,
    FINISH,
    FINISH_SHUFFLED,
    FINISH_WRONGLY,
    FINISH_ANY,
    WRITE_USED_IDX,
    SCRIBBLE,
    SPOIL_BUFFER,
    CHANGE_MOOD,
    SERVE_HONESTLY,
    WAIT, /* some milliseconds, and housekeeping */
    WAIT_LONG,
};
#define ACTS 16     /* chosen by four bits of a byte; then there are two for the queue */
#define ACTS_FOUL 8 /* chosen by three bits of the next one, if it comes to that */

/* Mostly traffic, or nothing would ever get far. */
static const enum act acts_fair[ACTS] = {
    RUN_FROM_HOSTILE, RUN_FROM_HOSTILE, RUN_FROM_HOSTILE, RUN_FROM_HONEST, RUN_FROM_HONEST,
    FINISH,           FINISH,           FINISH,           FINISH,          FINISH_SHUFFLED,
    FINISH_SHUFFLED,  SPOIL_BUFFER,     SERVE_HONESTLY,   SERVE_HONESTLY,  WAIT,
};

static const enum act acts_foul[ACTS_FOUL] = {
    FINISH_WRONGLY, FINISH_ANY, WRITE_USED_IDX, SCRIBBLE, SCRIBBLE, FINISH, CHANGE_MOOD, WAIT_LONG,
};

/* While the port is out of service there is little to do but to wait. */
static const enum act acts_meanwhile[ACTS] = {
    WAIT,
    WAIT,
    WAIT,
    WAIT,
    WAIT_LONG,
    WAIT_LONG,
    WAIT_LONG,
    WAIT_LONG,
    SCRIBBLE,
    FINISH_ANY,
    FINISH,
    WRITE_USED_IDX,
    SERVE_HONESTLY,
    CHANGE_MOOD,
    RUN_FROM_HONEST,
    RUN_FROM_HOSTILE,
};

static enum act choose_act(uint8_t choice, struct input *input)
{
    if (!is_running())
        return acts_meanwhile[choice % ACTS];
    if (choice % ACTS == ACTS - 1)
        return acts_foul[input_8(input) % ACTS_FOUL];
    return acts_fair[choice % ACTS];
}

static void act_on_memory(enum act act, struct referee_ring *ring, struct input *input)
{
    switch (act) {
    case FINISH:
        finish(ring, input, true);
        break;
    case FINISH_SHUFFLED:
        finish(ring, input, false);
        break;
    case FINISH_WRONGLY:
        finish_wrongly(ring, input);
        break;
    case FINISH_ANY:
        finish_any(ring, input);
        break;
    case WRITE_USED_IDX:
        adversary_ring_move(ring->queue, next_of(ring), input);
        break;
    case SCRIBBLE:
        ring->avail_spoiled |= adversary_ring_scribble(ring->queue, input);
        break;
    default:
        spoil_buffer(input);
        break;
    }
}

void adversary_act(struct input *input)
{
    const uint8_t choice = input_8(input);
    const enum act act = choose_act(choice, input);

    switch (act) {
    case RUN_FROM_HOSTILE:
        run_lane(HOSTILE);
        break;
    case RUN_FROM_HONEST:
        run_lane(HONEST);
        break;
    case SERVE_HONESTLY:
        serve_honestly(input);
        break;
    case CHANGE_MOOD:
        change_mood(input);
        break;
    case WAIT:
        pass_time(input_8(input) * CLOCK_NS_PER_MS);
        break;
    case WAIT_LONG:
        pass_time((input_8(input) + 1) * CLOCK_NS_PER_S);
        break;
    default:
        act_on_memory(act, ring_of(choice / ACTS % 4), input);
        break;
    }
}

void adversary_play(struct input *input)
{
    while (input->left > 0)
        adversary_act(input);
}
