/* Requests of QEMU, one function for each that is more than acknowledged in silence. */
#define _GNU_SOURCE
#include "tests/bench/testbed/vhost_user.h"

#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "drivers/virtio/virtio_spec.h"

/* Without it QEMU cannot say SET_VRING_ENABLE, and then does not start queues. */
#define VHOST_USER_F_PROTOCOL_FEATURES (1ULL << 30)

#define ACCEPT_POLL_MS 10

enum request {
    GET_FEATURES = 1,
    SET_FEATURES = 2,
    SET_MEM_TABLE = 5,
    SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9,
    SET_VRING_BASE = 10,
    GET_VRING_BASE = 11,
    SET_VRING_KICK = 12,
    SET_VRING_CALL = 13,
    SET_VRING_ERR = 14,
    GET_PROTOCOL_FEATURES = 15,
    SET_VRING_ENABLE = 18,
};

#define REPLY_FLAGS (1 | 4) /* version 1, an answer */
#define REQUEST_BYTES 12    /* in front of the payload */

struct vring_state {
    uint32_t index;
    uint32_t number;
};

struct vring_address {
    uint32_t index;
    uint32_t flags;
    uint64_t descriptors;
    uint64_t used; /* packed: the device event suppression area */
    uint64_t available;
    uint64_t log;
};

struct memory_table {
    uint32_t count;
    uint32_t padding;
    struct {
        uint64_t guest;
        uint64_t size;
        uint64_t user;
        uint64_t offset;
    } regions[GUEST_REGIONS_MAX];
};

struct message {
    uint32_t request;
    uint32_t flags;
    uint32_t size; /* of what follows */
    union {
        uint64_t number;
        struct vring_state state;
        struct vring_address address;
        struct memory_table memory;
        uint8_t bytes[512];
    };
    int files[GUEST_REGIONS_MAX]; /* that came with it; -1: taken over, or none */
};
_Static_assert(offsetof(struct message, number) == 16, "the payload is read and sent by itself");

/* ---- queues ---- */

static struct vhost_user_queue *queue_of(struct vhost_user_port *port, uint64_t index)
{
    if ((index & 0xff) >= VHOST_USER_QUEUES)
        errx(1, "QEMU speaks of queue %u", (unsigned)(index & 0xff));
    return &port->queues[index & 0xff];
}

/* Starts the queue once all is known of it. */
static void start_when_ready(struct vhost_user_port *port, struct vhost_user_queue *queue)
{
    struct device_queue *const ring = &queue->ring;
    const struct queue_areas areas = {
        .descriptors = guest_memory_of_user(&port->memory, queue->descriptors),
        .driver = guest_memory_of_user(&port->memory, queue->driver),
        .device = guest_memory_of_user(&port->memory, queue->device),
    };

    if (ring->running || !queue->enabled || ring->kick < 0 || areas.descriptors == NULL ||
        areas.driver == NULL || areas.device == NULL)
        return;
    ring->format =
        port->features >> VIRTIO_F_RING_PACKED & 1 ? &packed_queue_format : &split_queue_format;
    ring->memory = &port->memory;
    ring->areas = areas;
    ring->event_idx = port->features >> VIRTIO_F_EVENT_IDX & 1;
    ring->wants_doorbells = port->settings->wants_doorbells;
    device_queue_start(ring, queue->base);
}

static void stop(struct vhost_user_queue *queue)
{
    if (queue->ring.running)
        queue->base = device_queue_stop(&queue->ring);
}

/* ---- requests ---- */

static void set_features(struct vhost_user_port *port, uint64_t features)
{
    const uint64_t long_header = 1ULL << VIRTIO_NET_F_MRG_RXBUF | 1ULL << VIRTIO_F_VERSION_1;

    port->features = features;
    /* §5.1.6.1: num_buffers is there with either of the two. */
    port->header = features & long_header ? VIRTIO_NET_HDR_BYTES : VIRTIO_NET_HDR_BYTES_LEGACY;
}

/* QEMU sends a new table when the guest's address space changes, with the queues running. */
static void set_memory(struct vhost_user_port *port, struct message *message)
{
    const struct memory_table *const table = &message->memory;

    guest_memory_clear(&port->memory);
    for (uint32_t i = 0; i < table->count && i < GUEST_REGIONS_MAX; i++) {
        const struct guest_region region = {
            .guest = table->regions[i].guest,
            .size = table->regions[i].size,
            .user = table->regions[i].user,
            .offset = table->regions[i].offset,
        };
        guest_memory_add(&port->memory, &region, message->files[i]);
    }
    for (unsigned i = 0; i < VHOST_USER_QUEUES; i++) {
        if (!port->queues[i].ring.running)
            continue;
        stop(&port->queues[i]);
        start_when_ready(port, &port->queues[i]);
    }
}

static void set_addresses(struct vhost_user_port *port, const struct vring_address *address)
{
    struct vhost_user_queue *const queue = queue_of(port, address->index);

    queue->descriptors = address->descriptors;
    queue->driver = address->available;
    queue->device = address->used;
    start_when_ready(port, queue);
}

/* Takes over the file of a message; it replaces the one that was there. */
static void replace_file(int *file, struct message *message)
{
    if (*file >= 0)
        close(*file);
    *file = message->files[0];
    message->files[0] = -1;
    if (*file >= 0 && fcntl(*file, F_SETFL, O_NONBLOCK) != 0)
        err(1, "fcntl");
}

/* The guest has reset its card, or QEMU ends: nothing of the queue may be touched any more. */
static void get_base(struct vhost_user_port *port, struct message *message)
{
    struct vhost_user_queue *const queue = queue_of(port, message->state.index);

    device_queue_count_doorbells(&queue->ring);
    stop(queue);
    queue->descriptors = 0;
    message->state.number = queue->base;
    if (queue->ring.kick >= 0)
        close(queue->ring.kick);
    queue->ring.kick = -1;
}

static void set_enabled(struct vhost_user_port *port, const struct vring_state *state)
{
    struct vhost_user_queue *const queue = queue_of(port, state->index);

    queue->enabled = state->number != 0;
    if (queue->enabled)
        start_when_ready(port, queue);
    else
        stop(queue);
}

/* Handles the request; true if `message` is now the answer, of 8 bytes. */
static bool handle(struct vhost_user_port *port, struct message *message)
{
    switch (message->request) {
    case GET_FEATURES:
        message->number = port->settings->features | VHOST_USER_F_PROTOCOL_FEATURES;
        return true;
    case SET_FEATURES:
        set_features(port, message->number);
        return false;
    case SET_MEM_TABLE:
        set_memory(port, message);
        return false;
    case SET_VRING_NUM:
        queue_of(port, message->state.index)->ring.size = (uint16_t)message->state.number;
        return false;
    case SET_VRING_ADDR:
        set_addresses(port, &message->address);
        return false;
    case SET_VRING_BASE:
        queue_of(port, message->state.index)->base = message->state.number;
        return false;
    case GET_VRING_BASE:
        get_base(port, message);
        return true;
    case SET_VRING_KICK:
        replace_file(&queue_of(port, message->number)->ring.kick, message);
        start_when_ready(port, queue_of(port, message->number));
        return false;
    case SET_VRING_CALL:
        replace_file(&queue_of(port, message->number)->ring.call, message);
        return false;
    case GET_PROTOCOL_FEATURES:
        message->number = 0;
        return true;
    case SET_VRING_ENABLE:
        set_enabled(port, &message->state);
        return false;
    default: /* SET_OWNER, SET_VRING_ERR, … change nothing here */
        return false;
    }
}

/* ---- the socket ---- */

void vhost_user_listen(struct vhost_user_port *port, const char *path,
                       const struct vhost_user_settings *settings)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    *port = (struct vhost_user_port){.settings = settings, .connection = -1};
    for (unsigned i = 0; i < VHOST_USER_QUEUES; i++)
        port->queues[i].ring.kick = port->queues[i].ring.call = -1;
    if (strlen(path) >= sizeof(address.sun_path))
        errx(1, "%s is too long for a socket", path);
    strcpy(address.sun_path, path);
    port->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (port->listener < 0 ||
        bind(port->listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(port->listener, 1) != 0)
        err(1, "%s", path);
}

pid_t vhost_user_accept(struct vhost_user_port *port, struct vhost_user_port *other)
{
    struct pollfd listener = {.fd = port->listener, .events = POLLIN};
    struct ucred peer;
    socklen_t size = sizeof(peer);

    while (poll(&listener, 1, ACCEPT_POLL_MS) == 0) {
        if (other != NULL && !vhost_user_serve(other))
            errx(1, "QEMU has gone before it connected to both ports");
    }
    port->connection = accept4(port->listener, NULL, NULL, SOCK_CLOEXEC);
    if (port->connection < 0 ||
        getsockopt(port->connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        err(1, "QEMU's connection");
    return peer.pid;
}

/* Reads the whole of `size` bytes, and the files that come with them. False if QEMU has closed the
 * socket. */
static bool receive(struct vhost_user_port *port, void *bytes, size_t size, int *files)
{
    char control[CMSG_SPACE(GUEST_REGIONS_MAX * sizeof(int))];
    struct iovec part = {.iov_base = bytes, .iov_len = size};
    struct msghdr header = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = files != NULL ? control : NULL,
        .msg_controllen = files != NULL ? sizeof(control) : 0,
    };

    if (size == 0)
        return true;
    if (recvmsg(port->connection, &header, MSG_WAITALL | MSG_CMSG_CLOEXEC) != (ssize_t)size)
        return false;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c != NULL; c = CMSG_NXTHDR(&header, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            memcpy(files, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
    }
    return true;
}

static bool answer(struct vhost_user_port *port, const struct message *message)
{
    uint32_t words[5] = {message->request, REPLY_FLAGS, sizeof(message->number)};

    memcpy(&words[3], &message->number, sizeof(message->number));
    return send(port->connection, words, sizeof(words), MSG_NOSIGNAL) == sizeof(words);
}

static bool serve_one(struct vhost_user_port *port)
{
    struct message message = {0};

    memset(message.files, -1, sizeof(message.files));
    if (!receive(port, &message, REQUEST_BYTES, message.files))
        return false;
    if (message.size > sizeof(message.bytes))
        errx(1, "a request of %u bytes from QEMU", message.size);
    if (!receive(port, message.bytes, message.size, NULL))
        return false;
    if (handle(port, &message) && !answer(port, &message))
        return false;
    for (unsigned i = 0; i < GUEST_REGIONS_MAX; i++) {
        if (message.files[i] >= 0)
            close(message.files[i]);
    }
    return true;
}

bool vhost_user_serve(struct vhost_user_port *port)
{
    struct pollfd readable = {.fd = port->connection, .events = POLLIN};

    while (poll(&readable, 1, 0) > 0) {
        if (!serve_one(port))
            return false;
    }
    return true;
}
