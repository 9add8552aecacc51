"""A cable whose other end is the device itself: a vhost-user back end.

QEMU leaves the rings of such a card to us, over a socket: it hands over the guest's memory and says
where the rings lie, and from then on frames go to and from the guest without it. It waits for each
answer and the whole machine with it, so a thread of its own does all this, and does it whatever the
rings are up to. When the guest resets the card, QEMU stops the rings (GET_VRING_BASE), and starts
them anew later.
"""

import collections
import errno
import functools
import os
import random
import select
import socket
import struct
import threading
from dataclasses import dataclass, field

from guest import Nic, settle
from packed_ring import PackedRing
from ring import Addresses, Memory, Region, Ring, RingError
from wire import End, WireError

# The requests that are more than acknowledged in silence ("Vhost-user Protocol", QEMU).
GET_FEATURES = 1
SET_FEATURES = 2
SET_MEM_TABLE = 5
SET_VRING_NUM = 8
SET_VRING_ADDR = 9
SET_VRING_BASE = 10
GET_VRING_BASE = 11
SET_VRING_KICK = 12
SET_VRING_CALL = 13
GET_PROTOCOL_FEATURES = 15
SET_VRING_ENABLE = 18

HEADER = struct.Struct("=III")  # request flags size
REPLY = 0x1 | 0x4  # version 1, an answer
NO_DESCRIPTOR = 0x100  # in the index of SET_VRING_KICK and its like

# Without this one QEMU cannot say SET_VRING_ENABLE, and then refuses to start the queues.
VHOST_USER_F_PROTOCOL_FEATURES = 1 << 30
VIRTIO_NET_F_MRG_RXBUF = 1 << 15
VIRTIO_F_ANY_LAYOUT = 1 << 27
VIRTIO_F_INDIRECT_DESC = 1 << 28
VIRTIO_F_EVENT_IDX = 1 << 29
VIRTIO_F_VERSION_1 = 1 << 32
VIRTIO_F_RING_PACKED = 1 << 34
# Those that go through us, the back end; the card's address, its link and its control queue don't.
FEATURES = VIRTIO_F_ANY_LAYOUT | VIRTIO_F_EVENT_IDX | VIRTIO_NET_F_MRG_RXBUF

# struct virtio_net_hdr: its last word, num_buffers, is missing on legacy without MRG_RXBUF (§5.1.6.1).
HEADER_SIZE, HEADER_SIZE_LEGACY = 12, 10
RX, TX = 0, 1  # queue numbers, named from the guest's side
POLL_S = 0.001
CALL_TIMEOUT_S = 60


# QEMU 7.2 doesn't survive MSI-X on such a card without KVM.
CARD = {"vectors": "0"}


def nic(**end):
    """A card with a VhostEnd for its device, for a machine with shared memory."""
    packed = end.get("features", 0) & VIRTIO_F_RING_PACKED
    options = CARD | ({"packed": "on"} if packed else {})
    return Nic(options=options, end=functools.partial(VhostEnd, **end))


@dataclass
class Queue:
    """QEMU's settings of a queue so far."""

    size: int = 0
    base: int = 0
    addresses: Addresses = None
    kick: int = -1
    call: int = -1
    enabled: bool = False
    doorbells: int = 0
    ring: Ring = None  # while it runs
    ahead: list = field(default_factory=list)  # chains fetched for a frame that wants more of them
    held: bool = False  # nothing is fetched: the guest's chains stay where they are


@dataclass
class Message:
    """A request of QEMU's."""

    request: int
    payload: bytes
    descriptors: list = field(default_factory=list)

    def numbers(self, form):
        """The payload's first fields."""
        return struct.unpack_from("=" + form, self.payload)


class VhostEnd(End):
    """A back end that plays by the rules; `inside` makes it do something else.

    `features` is what it offers; `notify`: it wants doorbells, and looks at the rings only then.
    """

    def __init__(self, directory, number, features=FEATURES, notify=True):
        super().__init__(directory, number)
        self.features = features
        self.header = bytes(HEADER_SIZE_LEGACY)  # in front of what the guest receives, up to num_buffers
        self.headers = set()  # all that stood in front of what it sent
        self.queues = {RX: Queue(), TX: Queue()}
        self.taken_features = 0
        self.starts = 0  # how often a queue was started
        self.num_buffers_lie = 0  # what that is too high by, in 16 bits
        self.mute = False  # no interrupt is raised, even if the guest wants it
        self.shuffles = False  # chains are finished in another order than they were offered in
        self._random = random.Random(number)
        self._notify = notify
        self._memory = Memory()
        self._outgoing = collections.deque()
        self._calls = collections.deque()
        self._failure = None
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.local)
        self._listener.listen(1)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._ending = False
        self._socket = None
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()

    def words(self, identifier):
        chardev = f"socket,id={identifier}-socket,path={self.local},server=off"
        netdev = f"vhost-user,id={identifier},chardev={identifier}-socket"
        return ["-chardev", chardev, "-netdev", netdev]

    def send(self, *frames):
        """Frames wait here until the guest has room for them."""
        for frame in map(bytes, frames):
            self._record_sent(frame)
            self._outgoing.append(frame)
        os.eventfd_write(self._wake, 1)

    def take(self, count, timeout=60):
        frames = super().take(count, timeout)
        if len(frames) < count and self._failure:
            raise WireError(f"{self.local}: the back end has failed") from self._failure
        return frames

    def inside(self, function):
        """Calls `function` with the back end, in its thread, between two looks at the rings."""
        done = threading.Event()
        answer = []

        def call():
            try:
                answer.append((function(self), None))
            except Exception as error:  # the caller's, who waits for it
                answer.append((None, error))
            done.set()

        self._calls.append(call)
        os.eventfd_write(self._wake, 1)
        if not done.wait(CALL_TIMEOUT_S):
            raise WireError(f"{self.local}: the back end's thread is gone") from self._failure
        value, error = answer[0]
        if error:
            raise error
        return value

    def interrupt(self):
        """Interrupts the guest for nothing."""
        for queue in self.queues.values():
            if queue.call >= 0:
                os.eventfd_write(queue.call, 1)

    def hold(self, queue, held=True):
        """Has the back end leave a queue alone, or go on with it."""

        def switch(end):
            end.queues[queue].held = held

        self.inside(switch)

    def begun(self):
        """QEMU only tells us, and does not wait: the guest is ready before we have read all of it."""
        if not settle(self.running):
            raise WireError(f"{self.local}: QEMU has not started the queues") from self._failure

    def running(self):
        """True once QEMU has said all that the queues need. After a reset that comes a little later
        than what the guest says of it, and frames wait for it; functions inside do not."""
        return self.inside(lambda end: all(queue.ring for queue in end.queues.values()))

    def close(self):
        if self._ending:
            return
        self._ending = True
        os.eventfd_write(self._wake, 1)
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join(5)
        self._listener.close()
        os.close(self._wake)

    @property
    def header_size(self):
        """Bytes of the header in front of each frame."""
        long = self.taken_features & (VIRTIO_F_VERSION_1 | VIRTIO_NET_F_MRG_RXBUF)
        return HEADER_SIZE if long else HEADER_SIZE_LEGACY

    # For functions that run inside.

    def deliver(self, frame, chain):
        """Puts a frame into a chain of the receive queue; returns what to finish it with."""
        (written,) = self.spread(frame, [chain])
        return written

    def spread(self, frame, chains):
        """Puts a frame into as many chains (§5.1.6.4); returns what to finish each of them with."""
        num_buffers = len(chains) + self.num_buffers_lie & 0xFFFF
        data = (self.header + struct.pack("=H", num_buffers))[: self.header_size] + frame
        written = []
        for chain in chains:
            part, data = (data[: chain.size()], data[chain.size() :]) if chain != chains[-1] else (data, b"")
            chain.write(part)
            written.append((chain.head, len(part)))
        return written

    def collect(self, chain):
        """Takes a chain of the transmit queue as a frame; returns what to finish it with."""
        data = chain.read()
        size = self.header_size
        if chain.writable or len(data) <= size:
            raise RingError(f"chain {chain.head} of {len(data)} bytes isn't a frame to be sent")
        self.headers.add(data[:size])
        self._record_received(data[size:])
        return chain.head, 0

    # The thread.

    def _main(self):
        try:
            self._socket, _ = self._listener.accept()
        except OSError:
            return  # closed before QEMU came
        try:
            while not self._ending and self._serve():
                self._move()
        except Exception as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()
        finally:
            self._socket.close()  # QEMU goes on without us then, and does not wait for an answer
            for queue in self.queues.values():
                for descriptor in (queue.kick, queue.call):
                    if descriptor >= 0:
                        os.close(descriptor)

    def _serve(self):
        """Waits for something to do, and does all of it but the rings. False: QEMU is gone."""
        kicks = {queue.kick: queue for queue in self.queues.values() if queue.ring}
        polls = kicks and not self._notify
        sources = [self._socket, self._wake, *kicks]
        ready, _, _ = select.select(sources, [], [], POLL_S if polls else None)
        for kick in kicks.keys() & set(ready):
            kicks[kick].doorbells += os.eventfd_read(kick)
        if self._wake in ready:
            os.eventfd_read(self._wake)
        while self._calls:
            self._calls.popleft()()
        return self._socket not in ready or self._answer_one()

    def _move(self):
        """Frames in, frames out, until there is nothing left to do."""
        again = True
        while again:
            again = False
            for number, step in ((RX, self._fill), (TX, self._drain)):
                queue = self.queues[number]
                if queue.ring and not queue.held:
                    step(queue.ring)
                    again |= queue.ring.ask() and (number == TX or bool(self._outgoing))

    def _fill(self, ring):
        if self.taken_features & VIRTIO_NET_F_MRG_RXBUF:
            self._fill_merged(ring)
            return
        chains = [ring.fetch() for _ in range(min(ring.pending(), len(self._outgoing)))]
        if self.shuffles:
            self._random.shuffle(chains)
        for chain in chains:
            ring.finish(*self.deliver(self._outgoing.popleft(), chain))
        if chains:
            ring.publish()

    def _fill_merged(self, ring):
        """Each frame into as many chains as it takes; what was fetched in vain waits for more."""
        before, ahead = ring.finished, self.queues[RX].ahead
        while self._outgoing:
            needed = self.header_size + len(self._outgoing[0])
            while sum(chain.size() for chain in ahead) < needed and ring.pending():
                ahead.append(ring.fetch())
            if sum(chain.size() for chain in ahead) < needed:
                break
            for written in self.spread(self._outgoing.popleft(), ahead):
                ring.finish(*written)
            ahead.clear()
        if ring.finished != before:
            ring.publish()

    def _drain(self, ring):
        finished = [self.collect(ring.fetch()) for _ in range(ring.pending())]
        if self.shuffles:
            self._random.shuffle(finished)
        for head, length in finished:
            ring.finish(head, length)
        if finished:
            ring.publish()

    # The protocol.

    def _answer_one(self):
        message = self._receive()
        if not message:
            return False
        handler = self._handlers.get(message.request)
        answer = handler(self, message) if handler else None
        for descriptor in message.descriptors:
            os.close(descriptor)
        if answer is not None:
            self._socket.sendall(HEADER.pack(message.request, REPLY, len(answer)) + answer)
        return True

    def _receive(self):
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, HEADER.size, 16)
            if len(data) < HEADER.size:
                return None
            request, _, size = HEADER.unpack(data)
            payload = self._socket.recv(size, socket.MSG_WAITALL) if size else b""
        except OSError as error:
            if error.errno == errno.ECONNRESET:
                return None
            raise
        return Message(request, payload, list(descriptors))

    def _get_features(self, message):
        return struct.pack("=Q", self.features | VHOST_USER_F_PROTOCOL_FEATURES)

    def _get_protocol_features(self, message):
        return bytes(8)

    def _set_features(self, message):
        (self.taken_features,) = message.numbers("Q")

    def _set_mem_table(self, message):
        (count,) = message.numbers("I")
        regions = []
        for number in range(count):
            guest, size, qemu, offset = struct.unpack_from("=4Q", message.payload, 8 + 32 * number)
            regions.append(Region(message.descriptors[number], guest, size, qemu, offset))
        self._memory = Memory(regions)

    def _set_vring_num(self, message):
        index, size = message.numbers("II")
        self.queues[index].size = size

    def _set_vring_addr(self, message):
        index, _, desc, used, avail = message.numbers("IIQQQ")
        self.queues[index].addresses = Addresses(desc, used, avail)

    def _set_vring_base(self, message):
        index, base = message.numbers("II")
        self.queues[index].base = base

    def _set_vring_kick(self, message):
        (word,) = message.numbers("Q")
        if word & NO_DESCRIPTOR:
            raise RingError("QEMU gives no doorbell")
        queue = self.queues[word]
        queue.kick = message.descriptors.pop()
        os.set_blocking(queue.kick, False)
        self._start(queue)

    def _set_vring_call(self, message):
        (word,) = message.numbers("Q")
        queue = self.queues[word & 0xFF]
        if queue.call >= 0:
            os.close(queue.call)
        queue.call = -1 if word & NO_DESCRIPTOR else message.descriptors.pop()

    def _set_vring_enable(self, message):
        index, enabled = message.numbers("II")
        queue = self.queues[index]
        queue.enabled = bool(enabled)
        if enabled:
            self._start(queue)
        else:
            queue.ring = None

    def _start(self, queue):
        """A queue that is enabled and has its doorbell runs; all other settings came before."""
        if queue.ring or not queue.enabled or queue.kick < 0:
            return
        event_idx = bool(self.taken_features & VIRTIO_F_EVENT_IDX)
        form = PackedRing if self.taken_features & VIRTIO_F_RING_PACKED else Ring
        queue.ring = form(self._memory, queue.size, queue.addresses, event_idx, self._notify)
        queue.ring.begin(queue.base)
        queue.ring.interrupt = functools.partial(self._interrupt, queue)
        self.starts += 1

    def _interrupt(self, queue):
        if queue.call >= 0 and not self.mute:
            os.eventfd_write(queue.call, 1)

    def _get_vring_base(self, message):
        """The queue stops; what QEMU gets to know is how far we were."""
        index, _ = message.numbers("II")
        queue = self.queues[index]
        base = queue.ring.end() if queue.ring else queue.base
        if queue.kick >= 0:
            os.close(queue.kick)
        self.queues[index] = Queue(
            enabled=queue.enabled, doorbells=queue.doorbells, call=queue.call
        )
        return struct.pack("=II", index, base)

    # What isn't here (SET_OWNER and the like) wants nothing from us.
    _handlers = {
        GET_FEATURES: _get_features,
        SET_FEATURES: _set_features,
        SET_MEM_TABLE: _set_mem_table,
        SET_VRING_NUM: _set_vring_num,
        SET_VRING_ADDR: _set_vring_addr,
        SET_VRING_BASE: _set_vring_base,
        GET_VRING_BASE: _get_vring_base,
        SET_VRING_KICK: _set_vring_kick,
        SET_VRING_CALL: _set_vring_call,
        GET_PROTOCOL_FEATURES: _get_protocol_features,
        SET_VRING_ENABLE: _set_vring_enable,
    }
