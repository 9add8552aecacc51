"""A machine of its own for `make top`, with some traffic, for those who have none running."""

import contextlib
import math
import os
import subprocess
import threading
import time

import accelerator
import launch
import top_monitor
import traffic
from launch import Problem

CONNECT_TIMEOUT_S = 60
TICK_S = 0.02
PEAK = 24  # frames a tick and direction, at most
PERIOD_S = 20  # from one peak to the next


class Waves(threading.Thread):
    """Frames in both directions, now more, now fewer, so that there is something to see."""

    def __init__(self, sockets, peers, frames):
        super().__init__(daemon=True)
        self.ends = list(zip(sockets, peers))
        self.frames = frames
        self.stopping = threading.Event()

    def stop(self):
        self.stopping.set()
        self.join()

    def run(self):
        start, sent = time.monotonic(), 0
        with contextlib.suppress(OSError):  # QEMU has gone
            for sock, peer in self.ends:
                sock.setblocking(False)
                sock.connect(peer)
            while not self.stopping.wait(TICK_S):
                phase = 2 * math.pi * (time.monotonic() - start) / PERIOD_S
                for number, (sock, _) in enumerate(self.ends):
                    wave = (1 - math.cos(phase + number * math.pi / 2)) / 2
                    sent = self._send(sock, round(PEAK * wave), sent)
                    self._drain(sock)

    def _send(self, sock, count, sent):
        with contextlib.suppress(BlockingIOError):
            for _ in range(count):
                sock.send(self.frames[sent % len(self.frames)])
                sent += 1
        return sent

    @staticmethod
    def _drain(sock):
        with contextlib.suppress(BlockingIOError):
            while True:
                sock.recv(traffic.RECEIVE_SIZE)


class Demonstration:
    """QEMU with two ports and traffic between them; `line` is its second console."""

    def __init__(self, kernel, capture, stack):
        launch.need_file(kernel, "build it with make")
        accel, _ = accelerator.choose(kernel)
        scratch = stack.enter_context(launch.Scratch())
        console = os.path.join(scratch.name, "console")
        self.sockets = [launch.bind_datagram(scratch.tester(port)) for port in (0, 1)]
        for sock in self.sockets:
            stack.callback(sock.close)
        self.peers = [scratch.qemu(port) for port in (0, 1)]
        self.frames = self._frames(capture)
        netdevs = [launch.dgram_netdev(port, scratch) for port in (0, 1)]
        command = launch.qemu_command(kernel, netdevs, "stats=0", accel)
        command += ["-chardev", f"socket,id=top,path={launch.escape(console)},server=on,"
                    "wait=off", "-serial", "chardev:top"]
        self.qemu = stack.enter_context(launch.Qemu(command, subprocess.DEVNULL))
        self.waves = None
        self.line = self._open_console(console)

    @staticmethod
    def _frames(capture):
        try:
            frames, *_ = traffic.read_capture(capture)
        except (OSError, ValueError) as error:
            raise Problem(f"{capture} cannot be read: build it with make top") from error
        if not frames:
            raise Problem(f"{capture} has no frame that can be sent: build it with make top")
        return frames

    def _open_console(self, console):
        """Once QEMU listens there, which is a moment after the socket has its name."""
        limit = time.monotonic() + CONNECT_TIMEOUT_S
        while True:
            try:
                return top_monitor.Line(console)
            except Problem as problem:
                if failure := self.qemu.failure():
                    raise Problem(failure) from problem
                if time.monotonic() > limit:
                    raise Problem("QEMU has made no console: see what it says with "
                                  "make run") from problem
            time.sleep(0.02)

    def check(self):
        """Fails once the machine has stopped by an error: QEMU and its console stay then."""
        self.qemu.monitor.feed()
        if self.qemu.monitor.status is not None:
            raise Problem(self.qemu.failure())

    def start_traffic(self, stack):
        """Once the machine answers: an earlier frame would be lost. May be called again."""
        if self.waves is None:
            self.waves = Waves(self.sockets, self.peers, self.frames)
            self.waves.start()
            stack.callback(self.waves.stop)
