/*
 * Frames of any length and content through a lane, between two ports that end in memory. An oracle
 * of its own says what must come out.
 *
 * Input: one byte for the function (low two bits) and the mtu, then frames: two bytes of length,
 * the low one first, one byte saying how many bytes of content follow, and these; behind them come
 * zeros. tests/fuzz/run knows this form, too.
 */
#include "tests/fuzz/target.h"

#include <string.h>

#include <machine/panic.h>

#include "net/lane.h"
#include "net/lane.h"
#include "tests/fuzz/input.h"
#include "tests/host/fixture/memory_port.h"
#include "tests/host/sim/machine.h"

#define FRAME_MAX 2048
#define FRAMES_MAX 64 /* at a time */

struct frame {
    uint8_t bytes[FRAME_MAX];
    uint32_t length;
};

static const struct mac_address own = {{2, 0, 0, 0, 0, 1}}, other = {{2, 0, 0, 0, 0, 2}};
static struct memory_port ports[2];
static struct lane lane;
static struct pool pool;
static struct frame expected[FRAMES_MAX];
static uint64_t expected_drops[DROP_REASONS];

static void start(uint8_t choice)
{
    static const char *const apps[] = {"wire", "reflect", "idle", "wire"};
    static const uint16_t mtus[] = {0, 68, 576, 1500, 1504, 2034, 64, 46};
    struct port_setup setup = {.rx_queues = 1, .tx_queues = 1};

    machine_reset();
    memory_port_init(&ports[0], 0, own);
    memory_port_init(&ports[1], 1, other);
    ports[1].port.mtu = mtus[choice / 4 % 8];
    lane_init(&lane, &ports[0].port, &ports[1].port, app_find(apps[choice % 4]));
    ensure(pool_create(&pool, FRAMES_MAX + MEMORY_PORT_RING + BURST, FRAME_MAX, false));
    lane.pool = &pool;
    ports[0].port.wanted.payload_max = lane.payload_max;
    setup.rx[0] = (struct port_rx_setup){.pool = &pool, .buffers = FRAMES_MAX};
    setup.tx[0] = (struct port_tx_setup){.pool = &pool, .buffers = MEMORY_PORT_RING};
    ensure(ports[0].port.ops->start(&ports[0].port, &setup));
    setup.rx[0].buffers = 0;
    ensure(ports[1].port.ops->start(&ports[1].port, &setup));
    memset(expected_drops, 0, sizeof(expected_drops));
}

static void read_frame(struct input *input, struct frame *frame)
{
    frame->length = input_16(input) % (FRAME_MAX + 1);
    const uint32_t content = input_8(input);

    memset(frame->bytes, 0, sizeof(frame->bytes));
    input_fill(input, frame->bytes, content < frame->length ? content : frame->length);
}

/* --- the oracle --- */

/* Tags of 802.1Q and 802.1ad, two at most, if what follows them is there, too. */
static uint32_t tags_of(const struct frame *frame)
{
    uint32_t bytes = 0;

    for (const uint8_t *type = frame->bytes + 12; bytes < 8; type += 4, bytes += 4) {
        const bool tag =
            (type[0] == 0x81 && type[1] == 0x00) || (type[0] == 0x88 && type[1] == 0xa8);
        if (!tag || frame->length < 12 + bytes + 6)
            break;
    }
    return bytes;
}

/* -1: it goes on. */
static int drop_of(const struct frame *frame)
{
    if (frame->length < 14)
        return DROP_RUNT;
    if (ports[1].port.mtu != 0 && frame->length - 14 - tags_of(frame) > ports[1].port.mtu)
        return DROP_OVERSIZE;
    return lane.app == app_find("idle") ? DROP_IDLE : -1;
}

static void reflect(struct frame *frame)
{
    uint8_t source[6];

    memcpy(source, frame->bytes + 6, 6);
    memcpy(frame->bytes + 6, frame->bytes[0] & 1 ? own.bytes : frame->bytes, 6);
    memcpy(frame->bytes, source, 6);
}

/* --- one lot of frames --- */

static void collect(unsigned count)
{
    static struct frame frame;

    for (unsigned i = 0; i < count; i++) {
        memset(frame.bytes, 0, sizeof(frame.bytes));
        frame.length = memory_port_collect(&ports[1], frame.bytes, FRAME_MAX);
        ensure(frame.length == expected[i].length);
        ensure(memcmp(frame.bytes, expected[i].bytes, FRAME_MAX) == 0);
    }
    ensure(memory_port_collect(&ports[1], frame.bytes, FRAME_MAX) == 0);
}

static void pass_frames(struct input *input)
{
    unsigned count = 0;

    for (unsigned n = 0; n < FRAMES_MAX && input->left > 0; n++) {
        struct frame *frame = &expected[count];
        read_frame(input, frame);
        ensure(memory_port_inject(&ports[0], frame->bytes, frame->length));
        const int drop = drop_of(frame);
        if (drop >= 0) {
            expected_drops[drop]++;
            continue;
        }
        if (lane.app == app_find("reflect"))
            reflect(frame);
        count++;
    }
    for (unsigned round = 0; round * BURST < FRAMES_MAX; round++)
        lane_run(&lane);
    collect(count);
    for (unsigned i = 0; i < DROP_REASONS; i++)
        ensure(lane.drops[i] == expected_drops[i]);
    ensure(pool.count + FRAMES_MAX == pool.capacity); /* as many are posted again */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};

    start(input_8(&input));
    do {
        pass_frames(&input);
    } while (input.left > 0);
    return 0;
}
