/*
 * A virtio-net device as virtio 1.2 §5.1 describes it, with its "Legacy Interface" notes. Its
 * rings are in virtqueue.c, its registers in virtio_legacy.c and virtio_modern.c.
 */
#include "tests/host/sim/virtio_registers.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/host/sim/machine.h"

#define DEVICES_MAX 8
#define FRAME_MAX 65564 /* with the header, for buffers of at least 65562 bytes (§5.1.6.3.1) */
#define LEGACY_BAR_BYTES 64
#define CONFIG_BYTES 17

enum {
    /* device status */
    ACKNOWLEDGE = 1,
    DRIVER = 2,
    DRIVER_OK = 4,
    FEATURES_OK = 8,

    /* commands */
    CLASS_RX = 0,
    CLASS_MAC = 1,
    CLASS_VLAN = 2,
    CLASS_ANNOUNCE = 3,
    CLASS_MQ = 4,
    CLASS_OFFLOADS = 5,
    ANNOUNCE_ACK = 0,
    STATUS_ANNOUNCE = 2,
    RX_PROMISC = 0,
    RX_ALLMULTI = 1,
    MAC_TABLE_SET = 0,
    MAC_ADDR_SET = 1,
};

static struct sim_virtio_net devices[DEVICES_MAX]; /* large: a fuzzer makes them over and over */
static struct sim_virtio_net *all[DEVICES_MAX];
static unsigned count;

/* The first complaint stays: what follows is often its consequence. */
void sim_complain(struct sim_virtio_net *net, const char *format, ...)
{
    va_list arguments;

    if (net->complaint[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(net->complaint, sizeof(net->complaint), format, arguments);
    va_end(arguments);
}

bool sim_negotiated(const struct sim_virtio_net *net, unsigned feature)
{
    return (net->driver_features >> feature & 1) != 0;
}

static uint32_t header_size(const struct sim_virtio_net *net)
{
    return sim_negotiated(net, SIM_F_MRG_RXBUF) || sim_negotiated(net, SIM_F_VERSION_1) ? 12 : 10;
}

static bool live(const struct sim_virtio_net *net, const struct sim_queue *queue)
{
    return (net->status & DRIVER_OK) && queue->in_use;
}

/* --- rx --- */

#define SIM_MERGED_MAX 64 /* buffers of a frame */
#define SIM_MERGED_ROOM                                                                            \
    1600u /* bytes that a driver's buffer has at least where frames are merged */

/* Writes `length` bytes of `data` into the chain from byte `at` on. */
static void scatter(const struct sim_chain *chain, uint32_t at, const void *data, uint32_t length)
{
    const uint8_t *from = data;

    for (unsigned i = 0; i < chain->count && length > 0; i++) {
        const struct sim_span *span = &chain->spans[i];
        uint32_t part = 0;

        if (at < span->length) {
            part = span->length - at < length ? span->length - at : length;
            memcpy(span->bytes + at, from, part);
        }
        at = at > span->length ? at - span->length : 0;
        from += part;
        length -= part;
    }
}

/* §2.7.4.1: without ANY_LAYOUT the header is a descriptor of its own. */
static void check_header_layout(struct sim_virtio_net *net, const struct sim_chain *chain)
{
    if (!sim_negotiated(net, SIM_F_ANY_LAYOUT) && !sim_negotiated(net, SIM_F_VERSION_1) &&
        (chain->count != 2 || chain->spans[0].length != header_size(net)))
        sim_complain(net, "without ANY_LAYOUT: %u descriptors, the first of %u bytes", chain->count,
                     chain->spans[0].length);
}

/* The chains that a frame is written into. */
struct sim_target {
    struct sim_chain chains[SIM_MERGED_MAX];
    uint32_t lengths[SIM_MERGED_MAX]; /* to be written into each */
    unsigned count;
};

static void check_for_writing(struct sim_virtio_net *net, const struct sim_chain *chain)
{
    check_header_layout(net, chain);
    for (unsigned i = 0; i < chain->count; i++)
        if (!chain->spans[i].write)
            sim_complain(net, "receive buffer %u is not for writing", chain->head);
}

/* Takes buffers for `length` bytes, header included: one, or as many as it needs (§5.1.6.4). */
static bool take_target(struct sim_virtio_net *net, uint32_t length, struct sim_target *target)
{
    const bool merges = sim_negotiated(net, SIM_F_MRG_RXBUF);

    for (target->count = 0; length > 0 && target->count < SIM_MERGED_MAX; target->count++) {
        struct sim_chain *chain = &target->chains[target->count];
        if (sim_virtio_net_available(net, SIM_RX) == 0 ||
            !sim_queue_take(&net->queues[SIM_RX], chain))
            return false;
        check_for_writing(net, chain);
        const bool last = length <= chain->capacity || !merges;
        const uint32_t room = chain->capacity - (last ? 0 : net->gap);
        target->lengths[target->count] = length < room ? length : room;
        length -= last ? length : room;
    }
    return length == 0;
}

/* Buffers that the device would want for a frame, if all are as large as the next one. */
static bool has_target(struct sim_virtio_net *net, uint32_t length)
{
    const unsigned available = sim_virtio_net_available(net, SIM_RX);

    if (!sim_negotiated(net, SIM_F_MRG_RXBUF) || available >= SIM_MERGED_MAX)
        return available > 0;
    return available > length / (SIM_MERGED_ROOM - net->gap);
}

bool sim_virtio_net_deliver(struct sim_virtio_net *net, const void *frame, uint32_t length)
{
    struct sim_queue *queue = &net->queues[SIM_RX];
    static struct sim_target target;
    const uint32_t header = header_size(net);
    const uint8_t *from = frame;

    if (!has_target(net, length) || !take_target(net, header + length, &target))
        return false;
    const uint16_t buffers = (uint16_t)(target.count + net->num_buffers_lie);
    scatter(&target.chains[0], 0, net->header, header);
    if (header == 12 && net->header[10] == 0 && net->header[11] == 0)
        scatter(&target.chains[0], 10, &buffers, sizeof(buffers)); /* num_buffers: §5.1.6.4 */
    for (unsigned i = 0; i < target.count; i++) {
        const uint32_t at = i == 0 ? header : 0;
        scatter(&target.chains[i], at, from, target.lengths[i] - at);
        from += target.lengths[i] - at;
    }
    for (unsigned i = 0; i < target.count; i++)
        sim_queue_finish(queue, target.chains[i].head, target.lengths[i],
                         target.chains[i].capacity);
    sim_queue_ask_for_doorbells(queue);
    return true;
}

/* --- tx --- */

/* The chain's bytes for reading in a row; returns how many. */
static uint32_t gather(struct sim_virtio_net *net, const struct sim_chain *chain, uint8_t *to)
{
    uint32_t total = 0;

    for (unsigned i = 0; i < chain->count && !chain->spans[i].write; i++) {
        const struct sim_span *span = &chain->spans[i];

        if (span->length > FRAME_MAX - total) {
            sim_complain(net, "chain of more than %u bytes", FRAME_MAX);
            break;
        }
        memcpy(to + total, span->bytes, span->length);
        total += span->length;
    }
    return total;
}

/* §5.1.6.2 "Packet Transmission": the headers that the negotiated features allow. */
static void check_sent_header(struct sim_virtio_net *net, const uint8_t *header, uint32_t length)
{
    static const uint8_t feature_of[] = {
        0, SIM_F_HOST_TSO4, 0, SIM_F_HOST_UFO, SIM_F_HOST_TSO6, SIM_F_HOST_USO};
    const uint8_t flags = header[0], type = header[1] & 0x7f;
    uint16_t words[5]; /* hdr_len, gso_size, csum_start, csum_offset, num_buffers */

    memcpy(words, header + 2, sizeof(words));
    if (flags & ~1 || words[4] != 0)
        sim_complain(net, "header with flags 0x%02x and num_buffers %u sent", flags, words[4]);
    if (flags == 0 && (type != 0 || header[1] != 0 || words[0] || words[1] || words[2] || words[3]))
        sim_complain(net, "header without NEEDS_CSUM sent that is not zero");
    if (flags & 1 && !sim_negotiated(net, SIM_F_CSUM))
        sim_complain(net, "NEEDS_CSUM sent without CSUM");
    if (flags & 1 && (uint32_t)words[2] + words[3] + 2 > length)
        sim_complain(net, "checksum at %u + %u of %u bytes", words[2], words[3], length);
    if (type >= sizeof(feature_of) || (type != 0 && feature_of[type] == 0))
        sim_complain(net, "gso_type %u sent", type);
    else if (type != 0 && (!sim_negotiated(net, feature_of[type]) || words[1] == 0 || !(flags & 1)))
        sim_complain(net, "gso_type %u and gso_size %u sent, flags %u", type, words[1], flags);
    if (header[1] & 0x80 && !sim_negotiated(net, SIM_F_HOST_ECN))
        sim_complain(net, "ECN sent without HOST_ECN");
}

static void record(struct sim_virtio_net *net, const struct sim_chain *chain)
{
    static uint8_t bytes[FRAME_MAX];
    uint32_t size = header_size(net);
    uint32_t total = gather(net, chain, bytes);
    struct sim_frame *frame = &net->sent[net->sent_count % SIM_SENT_MAX];
    uint8_t header[12] = {0};

    if (chain->spans[chain->count - 1].write)
        sim_complain(net, "frame in a descriptor for writing");
    if (total <= size) {
        sim_complain(net, "nothing behind the header of a sent frame: %u bytes", total);
        return;
    }
    memcpy(header, bytes, size);
    check_sent_header(net, header, total - size);
    if (net->sent_count == SIM_SENT_MAX)
        return;
    net->sent_count++;
    memcpy(frame->header, header, sizeof(header));
    frame->length = total - size;
    frame->data = malloc(frame->length);
    memcpy(frame->data, bytes + size, frame->length);
    frame->physical =
        chain->count == 1 ? chain->spans[0].physical + size : chain->spans[1].physical;
}

unsigned sim_virtio_net_transmit(struct sim_virtio_net *net, unsigned max)
{
    struct sim_queue *queue = &net->queues[SIM_TX];
    struct sim_chain chain;
    unsigned done;

    for (done = 0; done < max && sim_virtio_net_available(net, SIM_TX) > 0; done++) {
        if (!sim_queue_take(queue, &chain))
            break;
        check_header_layout(net, &chain);
        record(net, &chain);
        sim_queue_finish(queue, chain.head, 0, 0);
    }
    sim_queue_ask_for_doorbells(queue);
    return done;
}

unsigned sim_virtio_net_available(struct sim_virtio_net *net, unsigned queue)
{
    return live(net, &net->queues[queue]) ? sim_queue_available(&net->queues[queue]) : 0;
}

void sim_virtio_net_suppress(struct sim_virtio_net *net, unsigned queue, bool suppress)
{
    net->queues[queue].suppress = suppress;
    if (net->queues[queue].in_use)
        sim_queue_ask_for_doorbells(&net->queues[queue]);
}

void sim_virtio_net_forget_sent(struct sim_virtio_net *net)
{
    while (net->sent_count > 0)
        free(net->sent[--net->sent_count].data);
}

/* --- control --- */

/* §5.1.6.5 with its legacy note: the parts of a command each in a descriptor of its own. */
static void check_command_layout(struct sim_virtio_net *net, const struct sim_chain *chain)
{
    const struct sim_span *first = &chain->spans[0];
    const struct sim_span *last = &chain->spans[chain->count - 1];
    bool table =
        first->length >= 2 && first->bytes[0] == CLASS_MAC && first->bytes[1] == MAC_TABLE_SET;

    unsigned parts = table ? 4 : 3;

    if (first->length >= 2 && first->bytes[0] == CLASS_ANNOUNCE)
        parts = 2; /* no data */
    if (!last->write)
        sim_complain(net, "command without a place for the answer");
    if (!sim_negotiated(net, SIM_F_ANY_LAYOUT) && !sim_negotiated(net, SIM_F_VERSION_1) &&
        (chain->count != parts || first->length != 2 || last->length != 1))
        sim_complain(net, "command in %u descriptors, the first of %u and the last of %u bytes",
                     chain->count, first->length, last->length);
}

static bool do_rx_mode(struct sim_virtio_net *net, uint8_t command, const uint8_t *data,
                       uint32_t size)
{
    if (!sim_negotiated(net, SIM_F_CTRL_RX))
        sim_complain(net, "command of CTRL_RX, which was not negotiated");
    if (size != 1 || command > RX_ALLMULTI)
        return false;
    *(command == RX_PROMISC ? &net->promisc : &net->allmulti) = data[0] != 0;
    return true;
}

/* Two tables, each a number of addresses and the addresses: those of stations, those of groups. */
static bool do_mac_table(struct sim_virtio_net *net, const uint8_t *data, uint32_t size)
{
    uint32_t entries, at = 0;

    net->table_entries = net->multicast_entries = 0;
    for (unsigned table = 0; table < 2; table++) {
        if (size - at < 4)
            return false;
        memcpy(&entries, data + at, 4);
        at += 4;
        if (entries > (size - at) / 6 || net->table_entries + entries > 64)
            return false;
        for (uint32_t i = 0; i < entries; i++, at += 6) {
            if ((data[at] & 1) != table)
                sim_complain(net, "address in the wrong table: 0x%02x…", data[at]);
            memcpy(net->table[net->table_entries++], data + at, 6);
        }
        net->multicast_entries = table == 1 ? entries : 0;
    }
    return at == size;
}

static bool do_vlan(struct sim_virtio_net *net, uint8_t command, const uint8_t *data, uint32_t size)
{
    if (!sim_negotiated(net, SIM_F_CTRL_VLAN))
        sim_complain(net, "command of CTRL_VLAN, which was not negotiated");
    if (command != 0 || size != 2 || net->vlan_count == 64)
        return false;
    memcpy(&net->vlans[net->vlan_count++], data, 2);
    return true;
}

static bool do_offloads(struct sim_virtio_net *net, uint8_t command, const uint8_t *data,
                        uint32_t size)
{
    if (!sim_negotiated(net, SIM_F_CTRL_GUEST_OFFLOADS))
        sim_complain(net, "command of CTRL_GUEST_OFFLOADS, which was not negotiated");
    if (command != 0 || size != 8)
        return false;
    memcpy(&net->offloads, data, 8);
    if (net->offloads & ~net->driver_features)
        sim_complain(net, "offloads 0x%llx that were not negotiated",
                     (unsigned long long)net->offloads);
    return true;
}

/* §5.1.6.5.6: from 1 to what the configuration states, and no queue that was never set up. */
static bool do_pairs(struct sim_virtio_net *net, uint8_t command, const uint8_t *data,
                     uint32_t size)
{
    if (!sim_negotiated(net, SIM_F_MQ))
        sim_complain(net, "command of MQ, which was not negotiated");
    if (command != 0 || size != 2)
        return false;
    memcpy(&net->pairs, data, 2);
    if (net->pairs != 1)
        sim_complain(net, "%u pairs of queues wanted, and one was set up", net->pairs);
    return true;
}

static bool do_command(struct sim_virtio_net *net, const uint8_t *bytes, uint32_t size)
{
    const uint8_t *data = bytes + 2;

    if (size < 2)
        return false;
    size -= 2;
    if (bytes[0] == CLASS_RX)
        return do_rx_mode(net, bytes[1], data, size);
    if (bytes[0] == CLASS_VLAN)
        return do_vlan(net, bytes[1], data, size);
    if (bytes[0] == CLASS_MQ)
        return do_pairs(net, bytes[1], data, size);
    if (bytes[0] == CLASS_OFFLOADS)
        return do_offloads(net, bytes[1], data, size);
    if (bytes[0] == CLASS_MAC && bytes[1] == MAC_TABLE_SET) {
        if (!sim_negotiated(net, SIM_F_CTRL_RX))
            sim_complain(net, "MAC_TABLE_SET without CTRL_RX");
        return do_mac_table(net, data, size);
    }
    if (bytes[0] == CLASS_MAC && bytes[1] == MAC_ADDR_SET && size == 6) {
        if (!sim_negotiated(net, SIM_F_CTRL_MAC_ADDR))
            sim_complain(net, "MAC_ADDR_SET without CTRL_MAC_ADDR");
        memcpy(net->filter_mac, data, 6);
        return true;
    }
    if (bytes[0] == CLASS_ANNOUNCE && bytes[1] == ANNOUNCE_ACK && size == 0) {
        if (!sim_negotiated(net, SIM_F_GUEST_ANNOUNCE))
            sim_complain(net, "ANNOUNCE_ACK without GUEST_ANNOUNCE");
        net->link_status &= (uint16_t)~STATUS_ANNOUNCE;
        net->announce_acks++;
        return true;
    }
    return false;
}

static void answer_command(struct sim_virtio_net *net)
{
    static uint8_t bytes[FRAME_MAX];
    struct sim_queue *queue = &net->queues[SIM_CONTROL];
    struct sim_chain chain;
    struct sim_span *last;
    uint32_t size;
    bool done;

    if (!sim_queue_take(queue, &chain))
        return;
    check_command_layout(net, &chain);
    net->commands++;
    size = gather(net, &chain, bytes);
    if (net->since_reset++ == 0)
        net->first_class = bytes[0];
    done = net->answer != SIM_ANSWER_REFUSE && !(net->refused >> (bytes[0] & 31) & 1) &&
           do_command(net, bytes, size);
    last = &chain.spans[chain.count - 1];
    if (net->answer != SIM_ANSWER_BLANK && last->write)
        last->bytes[0] = done ? 0 : 1;
    if (net->answer == SIM_ANSWER_BAD_ID)
        queue->fault = SIM_USED_ID_HUGE;
    sim_queue_finish(queue, chain.head, 1, 1);
    if (net->answer == SIM_ANSWER_TWICE)
        sim_virtio_net_answer_again(net);
}

void sim_virtio_net_answer_again(struct sim_virtio_net *net)
{
    sim_queue_finish(&net->queues[SIM_CONTROL], net->queues[SIM_CONTROL].last_id, 1, 1);
}

static void work_on_commands(struct sim_virtio_net *net)
{
    while (sim_virtio_net_available(net, SIM_CONTROL) > 0 && net->answer != SIM_ANSWER_NEVER) {
        if (net->answer == SIM_ANSWER_LATE && machine_clock_now() < net->answer_due_ns)
            return;
        answer_command(net);
    }
    sim_queue_ask_for_doorbells(&net->queues[SIM_CONTROL]);
}

/* While the driver waits, time passes for all devices. */
static void work_in_time(void *context)
{
    (void)context;
    for (unsigned i = 0; i < count; i++)
        if (all[i]->answer == SIM_ANSWER_LATE && live(all[i], &all[i]->queues[SIM_CONTROL]))
            work_on_commands(all[i]);
}

/* --- registers --- */

static void config_bytes(const struct sim_virtio_net *net, uint8_t bytes[CONFIG_BYTES])
{
    memcpy(bytes, net->mac, 6);
    memcpy(bytes + 6, &net->link_status, 2);
    memcpy(bytes + 8, &net->max_pairs, 2);
    memcpy(bytes + 10, &net->mtu, 2);
    memcpy(bytes + 12, &net->speed, 4);
    bytes[16] = net->duplex;
}

uint32_t sim_read_config(struct sim_virtio_net *net, uint16_t offset, unsigned width)
{
    /* By field: 6 bytes of mac, then three words, speed and duplex, each there only with its feature
     * (§5.1.4). */
    static const uint8_t feature[] = {SIM_F_MAC,          SIM_F_MAC,          SIM_F_MAC,
                                      SIM_F_STATUS,       SIM_F_MQ,           SIM_F_MTU,
                                      SIM_F_SPEED_DUPLEX, SIM_F_SPEED_DUPLEX, SIM_F_SPEED_DUPLEX};
    static const uint8_t widths[CONFIG_BYTES] = {1, 1, 1, 1, 1, 1, 2, 0, 2, 0, 2, 0, 4, 0, 0, 0, 1};
    uint8_t bytes[CONFIG_BYTES];
    uint32_t value = 0;

    /* Twice: the driver may compare two readings to be sure that it has got one value whole. */
    if (offset == 10 && net->mtu_later != 0 && ++net->mtu_reads > 2 && net->mtu != net->mtu_later) {
        net->mtu = net->mtu_later;
        net->modern.generation++;
    }
    if (offset == 3 && net->mac_later[0] != 0 && net->mac[0] != net->mac_later[0]) {
        memcpy(net->mac, net->mac_later, sizeof(net->mac));
        net->modern.generation++;
    }
    config_bytes(net, bytes);
    if (offset + width > CONFIG_BYTES)
        return 0xffffffffu;
    if (!(net->features >> feature[offset / 2] & 1))
        sim_complain(net, "configuration byte %u read, whose feature was not offered", offset);
    if (width != widths[offset]) /* §4.1.3.1 */
        sim_complain(net, "configuration byte %u read with width %u", offset, width);
    memcpy(&value, bytes + offset, width);
    return value;
}

uint8_t sim_read_status(struct sim_virtio_net *net)
{
    if (net->status_fault != NULL)
        return *net->status_fault;
    if (net->status == 0 && machine_clock_now() < net->reset_done_ns)
        return DRIVER_OK;
    if (net->status & DRIVER_OK)
        return (uint8_t)((net->status | net->status_set) & ~net->status_cleared);
    return net->status;
}

struct sim_queue *sim_selected_queue(struct sim_virtio_net *net)
{
    const unsigned slot = sim_slot_of(net, net->selected);

    return slot < SIM_QUEUES ? &net->queues[slot] : NULL;
}

uint16_t sim_read_queue_size(struct sim_virtio_net *net)
{
    struct sim_queue *queue = sim_selected_queue(net);

    if (queue == NULL) /* a further pair is like the first */
        return sim_queue_is_spare(net, net->selected) ? net->queues[net->selected % 2].size : 0;
    const uint16_t size = queue->size;
    if (queue->size_later != 0)
        queue->size = queue->size_later;
    return size;
}

static void reset(struct sim_virtio_net *net)
{
    net->status = 0;
    net->status_fault = NULL;
    net->resets++;
    net->reset_done_ns = machine_clock_now() + net->reset_delay_ns;
    net->driver_features = 0;
    net->selected = 0;
    net->promisc = true; /* as QEMU has it */
    net->allmulti = false;
    net->table_entries = net->multicast_entries = net->vlan_count = 0;
    net->offloads = net->driver_features;
    net->since_reset = net->pairs = 0;
    memcpy(net->filter_mac, net->mac, 6);
    for (unsigned i = 0; i < SIM_QUEUES; i++)
        sim_queue_reset(&net->queues[i]);
    sim_modern_reset(net);
    sim_interrupt_reset(net);
}

/* §3.1.1, §4.1.3.1: what must be so when the driver says that it is ready. */
static void check_driver_ok(struct sim_virtio_net *net)
{
    uint16_t command = (uint16_t)sim_pci_get(net->pci, 0x04, 2);

    if (!(command & 0x0004))
        sim_complain(net, "DRIVER_OK with PCI command 0x%04x: no bus master", command);
    if (!net->queues[SIM_RX].in_use || !net->queues[SIM_TX].in_use)
        sim_complain(net, "DRIVER_OK with queues that were never set up");
    else
        net->rx_posted_at_driver_ok = sim_queue_posted(&net->queues[SIM_RX]);
}

void sim_write_status(struct sim_virtio_net *net, uint8_t value)
{
    if (net->status_write_count < SIM_STATUS_WRITES_MAX)
        net->status_writes[net->status_write_count++] = value;
    if (value == 0) {
        if (net->reset_stuck)
            net->status =
                ACKNOWLEDGE | DRIVER | DRIVER_OK; /* as an earlier driver left it, with its rings */
        else
            reset(net);
        return;
    }
    if ((value & sim_read_status(net)) != sim_read_status(net))
        sim_complain(net, "status 0x%02x written over 0x%02x: bits lost", value,
                     sim_read_status(net));
    if ((value & DRIVER_OK) && !(net->status & DRIVER_OK)) {
        if ((value & (ACKNOWLEDGE | DRIVER)) != (ACKNOWLEDGE | DRIVER))
            sim_complain(net, "DRIVER_OK without ACKNOWLEDGE and DRIVER: 0x%02x", value);
        if (sim_negotiated(net, SIM_F_VERSION_1) && !(net->status & FEATURES_OK))
            sim_complain(net, "DRIVER_OK without FEATURES_OK: 0x%02x", value);
        check_driver_ok(net);
    }
    net->status = value;
    if (net->modern.features_refused)
        net->status = (uint8_t)(value & ~FEATURES_OK);
}

void sim_write_features(struct sim_virtio_net *net, uint64_t value)
{
    if (value & ~net->features)
        sim_complain(net, "features 0x%llx taken that were not offered",
                     (unsigned long long)(value & ~net->features));
    if ((net->status & (ACKNOWLEDGE | DRIVER)) != (ACKNOWLEDGE | DRIVER) ||
        net->status & (DRIVER_OK | FEATURES_OK))
        sim_complain(net, "features written at status 0x%02x", net->status);
    net->driver_features = value;
}

bool sim_place_queue(struct sim_virtio_net *net, struct sim_place place)
{
    struct sim_queue *queue = sim_selected_queue(net);

    if (queue == NULL || queue->size == 0) {
        sim_complain(net, "address of queue %u, which does not exist", net->selected);
        return false;
    }
    if (!sim_queue_place(queue, place,
                         (struct sim_format){.event_idx = sim_negotiated(net, SIM_F_EVENT_IDX),
                                             .packed = sim_negotiated(net, SIM_F_RING_PACKED),
                                             .indirect = sim_negotiated(net, SIM_F_INDIRECT_DESC)}))
        return false;
    queue->header = header_size(net);
    if (net->scribbles)
        sim_queue_scribble(queue, SIM_SCRIBBLE_TABLE);
    sim_queue_ask_for_doorbells(queue);
    return true;
}

uint32_t sim_virtio_net_control_index(const struct sim_virtio_net *net)
{
    return sim_negotiated(net, SIM_F_MQ) && !net->control_stays ? 2u * net->max_pairs : 2;
}

unsigned sim_slot_of(const struct sim_virtio_net *net, uint32_t index)
{
    if (index == sim_virtio_net_control_index(net))
        return SIM_CONTROL;
    return index < SIM_CONTROL ? index : SIM_QUEUES;
}

bool sim_queue_is_spare(const struct sim_virtio_net *net, uint32_t index)
{
    return sim_negotiated(net, SIM_F_MQ) && index >= SIM_CONTROL && index < 2u * net->max_pairs &&
           sim_slot_of(net, index) == SIM_QUEUES;
}

void sim_doorbell(struct sim_virtio_net *net, unsigned slot)
{
    if (slot >= SIM_QUEUES || !live(net, &net->queues[slot])) {
        sim_complain(net, "doorbell of queue %u at status 0x%02x", slot, net->status);
        return;
    }
    net->queues[slot].doorbells++;
    if (slot == SIM_TX && net->transmit_at_once)
        sim_virtio_net_transmit(net, SIM_RING_MAX);
    if (slot == SIM_RX && !net->queues[slot].suppress) {
        sim_queue_available(&net->queues[slot]);
        sim_queue_ask_for_doorbells(&net->queues[slot]);
    }
    if (slot == SIM_CONTROL) {
        net->answer_due_ns = machine_clock_now() + net->answer_delay_ns;
        work_on_commands(net);
    }
}

/* --- making --- */

static void queue_interrupt(void *context, unsigned slot)
{
    sim_queue_interrupts(context, slot);
}

struct sim_virtio_net *sim_virtio_net_add(uint8_t slot, uint64_t features)
{
    static const uint8_t mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x00};
    struct sim_virtio_net *net;

    if (count == DEVICES_MAX)
        abort();
    net = all[count] = &devices[count];
    count++;
    memset(net, 0, sizeof(*net));
    net->features = features;
    memcpy(net->mac, mac, 6);
    net->mac[5] = slot;
    net->link_status = 1;
    net->max_pairs = 1;
    net->mtu = 1500;
    net->speed = 0xffffffffu; /* unknown, as are duplexes other than 0 and 1 */
    net->duplex = 0xff;
    net->transmit_at_once = true;
    net->queues[SIM_RX].size = net->queues[SIM_TX].size = 256;
    net->queues[SIM_CONTROL].size = 64;
    for (unsigned i = 0; i < SIM_QUEUES; i++) {
        net->queues[i].interrupt = queue_interrupt;
        net->queues[i].interrupt_context = net;
        net->queues[i].index = i;
    }

    net->pci = sim_pci_add(0, slot, 0, SIM_PCI_ID(0x1af4, 0x1000), 0x020000);
    sim_pci_set(net->pci, 0x2c, 2, 0x1af4);
    sim_pci_set(net->pci, 0x2e, 2, 1);
    sim_pci_add_bar(net->pci, 0, 1, LEGACY_BAR_BYTES, 0xc000u + LEGACY_BAR_BYTES * slot);
    sim_pci_add_bar(net->pci, SIM_MSIX_BAR, 0, 4096, 0xfeb00000u + 4096u * slot);
    sim_interrupt_make(net);
    net->pci->memory_read = sim_msix_read;
    net->pci->memory_write = sim_msix_write;
    net->pci->port_read = sim_legacy_read;
    net->pci->port_write = sim_legacy_write;
    net->pci->context = net;
    machine_clock_hook(work_in_time, NULL);
    return net;
}

const char *sim_virtio_net_complaint(void)
{
    for (unsigned i = 0; i < count; i++) {
        if (all[i]->complaint[0] != '\0')
            return all[i]->complaint;
        for (unsigned queue = 0; queue < SIM_QUEUES; queue++)
            if (all[i]->queues[queue].complaint[0] != '\0')
                return all[i]->queues[queue].complaint;
    }
    return NULL;
}

void sim_virtio_net_remove_all(void)
{
    while (count > 0) {
        struct sim_virtio_net *net = all[--count];

        sim_virtio_net_forget_sent(net);
        for (unsigned i = 0; i < SIM_QUEUES; i++)
            sim_queue_reset(&net->queues[i]);
    }
}

void sim_virtio_net_enable_msix(struct sim_virtio_net *net)
{
    net->pci->config[net->msix + 3] |= 0x80;
}
