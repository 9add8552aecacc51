"""Real frames across two ports, in both directions, and what became of each of them."""

import bisect
import collections
import select
import threading
import time

import capture_file

FRAME_MIN = 14
FRAME_MAX = 1518  # 1514 and a VLAN tag
RECEIVE_SIZE = 4096  # more than any frame sent, so that one that grew is seen to have grown

WINDOW = 128  # frames under way in a direction, at most
REORDER = 64  # how far behind a frame may come and still be known as late
BURST = 16  # frames sent or taken before the other directions get their turn
STALL_S = 1.0  # nothing arrived for so long: what is under way is no longer waited for
DRAIN_IDLE_S = 2.0  # when leaving: wait for frames under way until none came for so long
DRAIN_LIMIT_S = 10.0  # … and no longer than this


def read_capture(path):
    """
    The frames of a pcap or pcapng file (also gzipped, or a pipe), a Counter of what was skipped, by
    reason, and a word on the damage behind these, or None. Raises OSError or ValueError for a file
    that can't be read.
    """
    frames, skipped, damage, count = [], collections.Counter(), None, 0
    try:
        for record in capture_file.records(path):
            count += 1
            reason = _why_not(*record)
            if reason:
                skipped[reason] += 1
            else:
                frames.append(record.data)
    except capture_file.NoCapture as error:
        raise ValueError(f"not a pcap or pcapng file ({error})") from error
    except capture_file.Damage as error:
        damage = f"damaged after {count} frame{'' if count == 1 else 's'}: {error}"
    return frames, skipped, damage


def _why_not(data, wire_length, linktype):
    if linktype != capture_file.ETHERNET:
        return "non-Ethernet"
    if len(data) < wire_length:
        return "truncated"
    if len(data) > FRAME_MAX:
        return f"above {FRAME_MAX} bytes"
    if len(data) < FRAME_MIN:
        return f"below {FRAME_MIN} bytes"
    return None


def split_sides(frames):
    """
    Assigns frames to the sides of the wire: two lists, for 0 -> 1 and for 1 -> 0. The first sender
    is on side 0. A sender that answers another one is on the other side; one that addresses no
    known sender joins side 0. A side that stays silent gets every frame of the other.
    """
    side_of, sides = {}, ([], [])
    for frame in frames:
        destination, source = frame[:6], frame[6:12]
        if source not in side_of:
            side_of[source] = 1 - side_of.get(destination, 1)
        sides[side_of[source]].append(frame)
    return sides[0], sides[1] or sides[0]


class Direction:
    """
    One direction's frames, sent round and round, and the judgement on each that arrives.

    Frames carry no mark, their position in the endless sequence is their identity: a wire keeps
    the order, so the next frame to arrive is `due`. Another one is looked for

    - among those due later: then what lies between is missing for now;
    - among the missing: it has come out of order;
    - nowhere: no such bytes were sent, it is corrupted, in the place of one that is missing. Known
      bytes that are owed no more (a frame come twice) are out of order too.

    What was sent and came neither whole nor corrupted is lost. This is exact as long as a frame's
    bytes do not recur within WINDOW + REORDER frames. Where they do, the count of the lost still
    is; a fault may be counted as another one, never as none.
    """

    def __init__(self, name, frames):
        self.name = name
        self.frames = frames
        self.places = {}  # bytes -> its indices in frames, ascending
        for index, frame in enumerate(frames):
            self.places.setdefault(frame, []).append(index)
        self.missing = collections.OrderedDict()  # position -> bytes, oldest first
        self.sent = 0
        self.due = 0
        self.received = 0
        self.whole = 0
        self.corrupted = 0
        self.out_of_order = 0
        self.allowance = WINDOW
        self.start()

    def start(self):
        self.started = self.last_arrival = self.waiting_since = time.monotonic()

    def may_send(self):
        return self.sent - self.due < self.allowance

    def arrived(self, frame):
        self.received += 1
        if self.due < self.sent and frame == self.frames[self.due % len(self.frames)]:
            self.due += 1
            self.whole += 1
        else:
            self._arrived_unexpectedly(frame)

    def _arrived_unexpectedly(self, frame):
        if frame not in self.places:
            self.corrupted += 1
            return
        while self.missing and next(iter(self.missing)) < self.due - REORDER:
            self.missing.popitem(last=False)
        late = next((at for at, lost in self.missing.items() if lost == frame), None)
        if late is not None:
            del self.missing[late]
            self.whole += 1
            self.out_of_order += 1
            return
        position = self._next_position(frame)
        if position >= self.sent:
            self.out_of_order += 1
            return
        for at in range(max(self.due, position - REORDER), position):
            self.missing[at] = self.frames[at % len(self.frames)]
        self.due = position + 1
        self.whole += 1

    def _next_position(self, frame):
        """The first position from `due` on that has these bytes, sent or not."""
        turn, index = divmod(self.due, len(self.frames))
        indices = self.places[frame]
        found = bisect.bisect_left(indices, index)
        if found == len(indices):
            return (turn + 1) * len(self.frames) + indices[0]
        return turn * len(self.frames) + indices[found]

    def forgive_stall(self, now):
        """Lost at the end of a window, frames would be waited for without end: widen it."""
        if now - max(self.waiting_since, self.last_arrival) > STALL_S:
            self.allowance = self.sent - self.due + WINDOW
            self.waiting_since = now

    def lost(self):
        return max(0, self.sent - self.whole - self.corrupted)

    def faultless(self):
        return self.received > 0 and not (self.lost() or self.corrupted or self.out_of_order)

    def summary(self):
        seconds = self.last_arrival - self.started
        rate = round(self.received / seconds) if self.received and seconds > 0 else 0
        return (f"{self.name}: sent {self.sent} received {self.received} lost {self.lost()} "
                f"corrupted {self.corrupted} out-of-order {self.out_of_order} "
                f"rate {rate} frames/s")


class Traffic(threading.Thread):
    """
    Sends and takes frames until stop(), then waits, bounded, for those under way.

    One thread does both and never blocks in a send: a receiver that is not drained would make QEMU
    spin. `sockets` are the ports' two datagram sockets, `peers` QEMU's paths; what is sent through
    one port is expected at the other. Start it only when the guest is ready.
    """

    def __init__(self, sockets, peers, directions):
        super().__init__(daemon=True)
        self.ports = list(zip(sockets, peers))
        self.ways = list(zip(directions, sockets, reversed(sockets)))
        self.stopping = threading.Event()
        self.hurry = threading.Event()
        self.failure = None

    def stop(self):
        """Ends sending; the thread ends when everything has arrived. A second call: at once."""
        if self.stopping.is_set():
            self.hurry.set()
        self.stopping.set()

    def run(self):
        try:
            for sock, peer in self.ports:
                sock.setblocking(False)
                sock.connect(peer)
            for direction, _, _ in self.ways:
                direction.start()
            while not self.stopping.is_set():
                if not self._round(sending=True):
                    self._wait(sending=True)
            self._drain()
        except OSError as error:  # QEMU has gone and its sockets with it
            self.failure = f"a port's socket failed: {error.strerror}"

    def _drain(self):
        began = time.monotonic()
        while any(direction.lost() for direction, _, _ in self.ways) and not self.hurry.is_set():
            now = time.monotonic()
            newest = max(direction.last_arrival for direction, _, _ in self.ways)
            if now > began + DRAIN_LIMIT_S or now > max(began, newest) + DRAIN_IDLE_S:
                break
            if not self._round(sending=False):
                self._wait(sending=False)

    def _round(self, sending):
        """A burst each way; returns the number of frames moved."""
        moved = 0
        for direction, source, sink in self.ways:
            if sending:
                moved += self._send_burst(direction, source)
            moved += self._receive_burst(direction, sink)
        return moved

    @staticmethod
    def _send_burst(direction, sock):
        first = direction.sent
        try:
            while direction.sent < first + BURST and direction.may_send():
                sock.send(direction.frames[direction.sent % len(direction.frames)])
                direction.sent += 1
        except BlockingIOError:
            pass  # QEMU's queue is full: the next round
        return direction.sent - first

    @staticmethod
    def _receive_burst(direction, sock):
        first = direction.received
        try:
            while direction.received < first + BURST:
                direction.arrived(sock.recv(RECEIVE_SIZE))
        except BlockingIOError:
            pass
        if direction.received != first:
            direction.last_arrival = time.monotonic()
            direction.allowance = WINDOW
        return direction.received - first

    def _wait(self, sending):
        poll, now = select.poll(), time.monotonic()
        for direction, source, _ in self.ways:
            direction.forgive_stall(now)
            out = select.POLLOUT if sending and direction.may_send() else 0
            poll.register(source, select.POLLIN | out)
        poll.poll(100)
