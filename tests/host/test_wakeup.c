/*
 * Going to sleep against a device that works on meanwhile: every interleaving of both sides' steps.
 *
 * The functions are the driver's own, drivers/virtqueue.[ch], compiled here (and not linked from the
 * archive) with atomics that lead into a model of the machine: before each of the driver's accesses to the ring, the device may do any
 * number of its own steps. Both processors keep their stores in a buffer (x86 does), whose content
 * reaches memory at any later moment, in order, at the latest with a full fence; that is what can go
 * wrong, and what the fences are for.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tests/host/fixture/test.h"

static uint16_t model_load(const volatile void *address);
static void model_store(volatile void *address, uint16_t value);
static void model_fence(void);

#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_thread_fence
#define atomic_load_explicit(object, order) model_load(object)
#define atomic_store_explicit(object, value, order) model_store(object, value)
#define atomic_thread_fence(order) model_fence()

#include "drivers/virtio/virtqueue.c"

#include <machine/memory.h>

#include "tests/host/sim/machine.h"

#define SIZE 4
#define FRAMES_MAX 3
#define BUFFER_MAX 8
#define CHOICES_MAX 256

/* ---- all orders, one after the other ---- */

static struct {
    uint8_t taken[CHOICES_MAX], of[CHOICES_MAX];
    unsigned depth, known;
} choices;

/* One of `of` choices; each run takes another path, until all are taken. */
static unsigned choose(unsigned of)
{
    assert_true(choices.depth < CHOICES_MAX);
    if (choices.depth == choices.known) {
        choices.taken[choices.known] = 0;
        choices.of[choices.known++] = (uint8_t)of;
    }
    return choices.taken[choices.depth++];
}

static bool next_run(void)
{
    choices.depth = 0;
    while (choices.known > 0 &&
           choices.taken[choices.known - 1] + 1 == choices.of[choices.known - 1])
        choices.known--;
    if (choices.known == 0)
        return false;
    choices.taken[choices.known - 1]++;
    return true;
}

/* ---- the machine ---- */

struct store {
    volatile uint16_t *address;
    uint16_t value;
};

struct store_buffer {
    struct store stores[BUFFER_MAX];
    unsigned count;
};

/* The device's steps for each frame, in this order (virtio 1.2 §2.7.7.2, §2.7.8.2). */
enum device_step { SHOW_USED, FENCE, LOOK_AT_REQUEST, STEPS };

static struct {
    bool event_idx, driver_fences, device_fences;
    unsigned frames; /* that come in */
} scenario;

static struct virtqueue queue;
static struct store_buffer driver_buffer, device_buffer;
static unsigned device_steps; /* done so far */
static uint16_t used;         /* as the device counts */
static bool interrupt_pending;
static bool running; /* else there is no other step */
static void *ring, *private;

static void flush_one(struct store_buffer *buffer)
{
    *buffer->stores[0].address = buffer->stores[0].value;
    memmove(&buffer->stores[0], &buffer->stores[1], --buffer->count * sizeof(buffer->stores[0]));
}

static void flush(struct store_buffer *buffer)
{
    while (buffer->count > 0)
        flush_one(buffer);
}

static void put(struct store_buffer *buffer, volatile void *address, uint16_t value)
{
    assert_true(buffer->count < BUFFER_MAX);
    buffer->stores[buffer->count++] = (struct store){address, value};
}

/* A processor sees its own stores before anybody else does. */
static uint16_t get(const struct store_buffer *buffer, const volatile void *address)
{
    for (unsigned i = buffer->count; i > 0; i--) {
        if (buffer->stores[i - 1].address == address)
            return buffer->stores[i - 1].value;
    }
    return *(const volatile uint16_t *)address;
}

static bool request_says_interrupt(void)
{
    if (!scenario.event_idx)
        return !(get(&device_buffer, &queue.avail->flags) & VIRTQ_AVAIL_F_NO_INTERRUPT);
    const uint16_t event = get(&device_buffer, queue.used_event);
    return (uint16_t)(used - event - 1) < 1; /* it announces each frame by itself */
}

static void device_step(void)
{
    switch (device_steps++ % STEPS) {
    case SHOW_USED:
        put(&device_buffer, &queue.used->idx, ++used);
        break;
    case FENCE:
        if (scenario.device_fences)
            flush(&device_buffer);
        break;
    default:
        interrupt_pending |= request_says_interrupt();
        break;
    }
}

/* One step of the other side; false if there is none, or (with `may_pass`) by choice. */
static bool others_step(bool may_pass)
{
    enum { PASS, STEP, DRIVERS_STORE, DEVICES_STORE } options[4];
    unsigned count = 0;

    if (may_pass)
        options[count++] = PASS;
    if (device_steps < scenario.frames * STEPS)
        options[count++] = STEP;
    if (driver_buffer.count > 0)
        options[count++] = DRIVERS_STORE;
    if (device_buffer.count > 0)
        options[count++] = DEVICES_STORE;
    if (count == 0)
        return false;
    switch (options[count > 1 ? choose(count) : 0]) {
    case STEP:
        device_step();
        return true;
    case DRIVERS_STORE:
        flush_one(&driver_buffer);
        return true;
    case DEVICES_STORE:
        flush_one(&device_buffer);
        return true;
    default:
        return false;
    }
}

static void others(void)
{
    while (running && others_step(true)) {
    }
}

/* ---- the driver's accesses ---- */

static uint16_t model_load(const volatile void *address)
{
    others();
    return get(&driver_buffer, address);
}

/* Nobody sees it before it leaves the buffer, so it makes no difference what others do before. */
static void model_store(volatile void *address, uint16_t value)
{
    put(&driver_buffer, address, value);
}

static void model_fence(void)
{
    others();
    if (scenario.driver_fences)
        flush(&driver_buffer);
}

/* ---- the driver ---- */

static void make_queue(void)
{
    const struct virtqueue_shape shape = {
        .size = SIZE, .chain = 1, .event_idx = scenario.event_idx};

    running = false;
    memset(ring, 0, virtqueue_layout(SIZE, false).total);
    memset(&driver_buffer, 0, sizeof(driver_buffer));
    memset(&device_buffer, 0, sizeof(device_buffer));
    device_steps = 0;
    used = 0;
    interrupt_pending = false;
    virtqueue_init(&queue, &shape, ring, private);
    (void)virtqueue_publish(&queue, FRAMES_MAX);
    flush(&driver_buffer);
    running = true;
}

/* As the loop does it: until all frames are in. False if it sleeps and nothing will ever wake it. */
static bool run(void)
{
    unsigned taken = 0;

    while (taken < scenario.frames) {
        virtqueue_arm(&queue);
        if (!virtqueue_has_finished(&queue)) {
            while (!interrupt_pending) {
                if (!others_step(false))
                    return false;
            }
            interrupt_pending = false;
        }
        virtqueue_disarm(&queue);
        /* The rounds that follow find what is there; what is not, is for the next look. */
        const uint32_t n = virtqueue_split_pending(&queue);
        virtqueue_release(&queue, n);
        taken += n;
    }
    return true;
}

/* How many of all orders leave the driver asleep for ever. */
static unsigned long lost_wake_ups(unsigned long *orders)
{
    unsigned long lost = 0;

    machine_reset();
    ring = memory_alloc(virtqueue_layout(SIZE, false).total, 4096);
    private = memory_alloc(virtqueue_private_bytes(SIZE), 64);
    memset(&choices, 0, sizeof(choices));
    *orders = 0;
    do {
        make_queue();
        lost += !run();
        (*orders)++;
    } while (next_run());
    return lost;
}

static void assert_none_lost(bool event_idx, unsigned frames)
{
    unsigned long orders;

    scenario.event_idx = event_idx;
    scenario.driver_fences = scenario.device_fences = true;
    scenario.frames = frames;
    assert_int_equal(lost_wake_ups(&orders), 0);
    print_message("%lu orders of %u frames, %s\n", orders, frames,
                  event_idx ? "with event index" : "with flags");
    assert_true(orders > 20);
}

TEST(no_wake_up_is_lost_in_any_order_of_both_sides_steps)
{
    for (unsigned frames = 1; frames <= 2; frames++) {
        assert_none_lost(true, frames);
        assert_none_lost(false, frames);
    }
}

/* The model detects it: without either side's fence some orders lose a wake-up. */
TEST(without_a_fence_on_either_side_a_wake_up_can_be_lost)
{
    unsigned long orders;

    for (unsigned way = 0; way < 4; way++) {
        scenario.event_idx = way & 1;
        scenario.driver_fences = way & 2;
        scenario.device_fences = !scenario.driver_fences;
        scenario.frames = 1;
        assert_true(lost_wake_ups(&orders) > 0);
    }
}
