"""The tester's end of the cables: what all kinds have in common, and the usual kind."""

import os
import socket
import struct
import threading
import time

RECEIVE_MAX = 1 << 17  # longer than any frame QEMU can send, so that none is ever cut
SEND_TIMEOUT_S = 60


class WireError(AssertionError):
    """The frames that came out aren't those that should have."""


def difference(expected, received):
    """Says in one line where two lists of frames differ, or None if they are the same."""
    for index, (want, have) in enumerate(zip(expected, received)):
        if want != have:
            return (
                f"frame {index} differs: expected {len(want)} bytes {want[:40].hex()}…, "
                f"received {len(have)} bytes {have[:40].hex()}…"
            )
    if len(expected) != len(received):
        return f"expected {len(expected)} frames, received {len(received)}"
    return None


class End:
    """One port's cable. Everything sent and received is kept, with its time, for a failure's pcap."""

    def __init__(self, directory, number):
        self.local = os.path.join(directory, f"t{number}")
        self.sent = []
        self.sent_times = []
        self.received = []
        self.received_times = []
        self._taken = 0
        self._changed = threading.Condition()

    def words(self, identifier):
        """QEMU's words for the other end of this cable, a -netdev of this name."""
        raise NotImplementedError

    def send(self, *frames):
        """Sends each frame: a frame is never lost on this side."""
        raise NotImplementedError

    def close(self):
        """Ends the thread and takes the sockets' names away."""
        raise NotImplementedError

    def begun(self):
        """Waits until the device side of the card knows all that the driver has told it. For most kinds
        that is QEMU itself, and nothing is left to be waited for."""

    def take(self, count, timeout=60):
        """Waits for `count` frames that no earlier take returned, and returns those there are.

        Fewer come back only after `timeout` seconds without a single new frame.
        """
        with self._changed:
            while len(self.received) - self._taken < count:
                before = len(self.received)
                self._changed.wait(timeout)
                if len(self.received) == before:
                    break
            frames = self.received[self._taken : self._taken + count]
            self._taken += len(frames)
            return frames

    def take_until(self, frame, timeout=60):
        """Takes all frames up to and including `frame`, and returns them."""
        frames = []
        while not frames or frames[-1] != frame:
            new = self.take(1, timeout)
            if not new:
                raise WireError(f"{self.local}: the awaited frame did not come")
            frames += new
        return frames

    def expect(self, frames, timeout=60):
        """Takes as many frames as given and fails unless they are these, in this order."""
        frames = [bytes(frame) for frame in frames]
        found = difference(frames, self.take(len(frames), timeout))
        if found:
            raise WireError(f"{self.local}: {found}")

    def expect_silence(self, wait=0.3):
        """Fails if there is, or within `wait` seconds comes, a frame that nobody expected.

        An absence has no event to wait for; where it can be had, ask for the guest's counters first.
        """
        frames = self.take(1, wait)
        if frames:
            raise WireError(
                f"{self.local}: unexpected frame of {len(frames[0])} bytes: {frames[0][:60].hex()}"
            )

    def _record_sent(self, frame):
        self.sent.append(frame)
        self.sent_times.append(time.time())

    def _record_received(self, frame):
        with self._changed:
            self.received.append(frame)
            self.received_times.append(time.time())
            self._changed.notify_all()


class Endpoint(End):
    """A unix datagram socket; a datagram is a frame.

    What QEMU's `-netdev dgram` is like decides the form of this class: frames sent to a socket that
    isn't bound yet are lost without a word (so the socket is bound before QEMU starts), an empty
    datagram ends QEMU's reception for good (so it is refused here), and a tester that doesn't read
    makes QEMU spin (so a thread of its own always does).
    """

    def __init__(self, directory, number):
        super().__init__(directory, number)
        self.remote = os.path.join(directory, f"q{number}")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.local)
        # Only sending gets a limit; the thread waits for frames as long as the socket lives.
        limit = struct.pack("ll", SEND_TIMEOUT_S, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def words(self, identifier):
        netdev = f"dgram,id={identifier},local.type=unix,local.path={self.remote}"
        return ["-netdev", f"{netdev},remote.type=unix,remote.path={self.local}"]

    def send(self, *frames):
        for frame in map(bytes, frames):
            if not frame:
                raise ValueError("an empty datagram would end QEMU's reception for good")
            self._record_sent(frame)
            try:
                self._socket.sendto(frame, self.remote)
            except BlockingIOError:
                raise WireError(
                    f"{self.remote}: QEMU took no frame for {SEND_TIMEOUT_S} s"
                ) from None

    def close(self):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join(5)
        self._socket.close()

    def _drain(self):
        while True:
            try:
                frame = self._socket.recv(RECEIVE_MAX)
            except OSError:
                return
            if not frame:  # shutdown: QEMU itself never sends an empty datagram
                return
            self._record_received(frame)
