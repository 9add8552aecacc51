"""A console for tools/top without a machine behind it: answers as it is told to, as JSON lines."""

import contextlib
import json
import select
import socket
import threading

LIMIT_S = 120


class TopMachine:
    """`ports` of them; `rounds` counts the answers to `ports`, the last question of a round."""

    def __init__(self, path, ports=2):
        self.path = str(path)
        self.ports = ports
        self.rounds = 0
        self.mute = False
        self.changed = threading.Condition()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self.connection = None
        self.leaving, self.leave = socket.socketpair()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        if not self._readable(self.listener):
            return
        self.connection, _ = self.listener.accept()
        pending = b""
        with contextlib.suppress(OSError):  # top leaves while we answer
            while self._readable(self.connection):
                data = self.connection.recv(4096)
                if not data:
                    return
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._answer(line.strip(b"\x03\r").decode())

    def _readable(self, sock):
        return self.leaving not in select.select([sock, self.leaving], [], [])[0]

    def say(self, event, **fields):
        """Each in a piece of its own, as a serial line would bring it."""
        line = json.dumps({"event": event, "t": 1.0 + self.rounds, **fields})
        self.connection.sendall(line.encode() + b"\r\n")

    def _answer(self, command):
        if self.mute:
            return
        if command == "stats":
            counters = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")
            for port in range(self.ports):
                self.say("stats", port=port, since=0, rx_dropped=0, tx_dropped=0, resets=0,
                         **{key: 1000 * self.rounds for key in counters})
        elif command == "ports":
            for port in range(self.ports):
                self.say("ports", port=port, link="up", rx_size=256, rx_filled=200, tx_size=256,
                         tx_filled=1)
        if command in ("stats", "ports", "json off"):
            self.say("done", command=command)
        if command == "ports":
            with self.changed:
                self.rounds += 1
                self.changed.notify_all()

    def wait_rounds(self, count):
        """Until so many more rounds were answered."""
        with self.changed:
            wanted = self.rounds + count
            assert self.changed.wait_for(lambda: self.rounds >= wanted, LIMIT_S)

    def close(self):
        """Hangs up, as a machine that has ended does. May be repeated."""
        self.leave.close()
        self.thread.join(LIMIT_S)
        for sock in (self.connection, self.listener, self.leaving):
            if sock:
                sock.close()
