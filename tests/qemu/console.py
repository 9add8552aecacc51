"""The guest's serial console as a list of events."""

import fcntl
import json
import os
import re
import socket
import threading
import time
from dataclasses import dataclass, field

EVENT = re.compile(r"^([a-z]+(?:-[a-z]+)*) (t=\d+\.\d{6}(?: .*)?)$")
VALUE = re.compile(r'([^\s="]+)=("(?:[^"\\]|\\.)*"|[^\s"]*)(?: |$)')
ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|.)")


class EventTimeout(AssertionError):
    """An event that was waited for didn't come."""


def unquote(value):
    """The text of a value: without its quotes, escapes resolved."""
    if not value.startswith('"'):
        return value

    def resolve(match):
        return chr(int(match[1][1:], 16)) if len(match[1]) == 3 else match[1]

    return ESCAPE.sub(resolve, value[1:-1])


@dataclass
class Event:
    """One line: `event["key"]` is a value, `event.keys` their names in the line's order."""

    name: str
    fields: dict
    line: str
    number: int = 0  # index among all events of this console
    keys: list = field(default_factory=list)
    value: dict = None  # what a line in JSON says

    def __getitem__(self, key):
        return self.fields[key]

    def __contains__(self, key):
        return key in self.fields

    def integer(self, key):
        """The value of `key` as a number, written in decimal or as 0x…"""
        return int(self.fields[key], 0)

    @property
    def time(self):
        """Seconds since kernel entry."""
        return float(self.fields["t"])

    def matches(self, fields):
        """True if each of `fields` is in the line with this value (compared as text)."""
        return all(self.fields.get(key) == str(value) for key, value in fields.items())


def parse_event(line):
    """The Event of a line, or None for firmware's, the boot loader's and other noise.

    A line whose values don't add up to the whole of it isn't an event either: a torn or doubled
    line must not pass as a shorter one.
    """
    found = EVENT.match(line)
    if not found:
        return None
    fields, position = {}, 0
    while position < len(found[2]):
        value = VALUE.match(found[2], position)
        if not value:
            return None
        fields[value[1]] = unquote(value[2])
        position = value.end()
    return Event(found[1], fields, line, keys=list(fields))


def parse_object(line):
    """The Event of a line in JSON; its fields are texts as in the other form, `value` the object."""
    value = json.loads(line)
    fields = {key: one if isinstance(one, str) else json.dumps(one) for key, one in value.items()}
    return Event(fields.pop("event"), fields, line, keys=list(fields), value=value)


class Console:
    """Reads a file descriptor in a thread of its own and keeps all that came, raw and as events."""

    def __init__(self):
        self.raw = bytearray()
        self.events = []
        self.lines = []
        self.ended = False
        self._pending = b""
        self._changed = threading.Condition()

    def start(self, descriptor):
        """Begins to read. The descriptor is the console's from now on."""
        threading.Thread(target=self._read, args=(descriptor,), daemon=True).start()

    def find(self, name, **fields):
        """All events so far of this name and with these values."""
        with self._changed:
            return [e for e in self.events if e.name == name and e.matches(fields)]

    def count(self):
        """How many events there are so far: the place from which a later `wait` may look."""
        with self._changed:
            return len(self.events)

    def wait(self, name, accept=None, timeout=60, start=0, **fields):
        """The first event of this name and with these values from event number `start` on.

        `accept` is a further condition. Raises EventTimeout after `timeout` seconds, or as soon as
        the console has ended.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for event in self.events[start:]:
                    start = event.number + 1
                    wanted = event.name == name and event.matches(fields)
                    if wanted and (accept is None or accept(event)):
                        return event
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    why = "the console ended" if self.ended else f"{timeout} s have passed"
                    tail = "\n".join(self.lines[-12:])
                    raise EventTimeout(f"no event {name} {fields or ''}: {why}; last lines:\n{tail}")
                self._changed.wait(left)

    def wait_any(self, accepted, timeout=60, start=0):
        """The first event from `start` on that `accepted`, name to condition, takes."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for event in self.events[start:]:
                    start = event.number + 1
                    if event.name in accepted and accepted[event.name](event):
                        return event
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    tail = "\n".join(self.lines[-12:])
                    raise EventTimeout(f"none of {list(accepted)}; last lines:\n{tail}")
                self._changed.wait(left)

    def wait_line(self, accept, timeout=60, start=0):
        """The first line from line number `start` on, echo or not, that `accept` takes."""
        with self._changed:
            self._changed.wait_for(lambda: any(map(accept, self.lines[start:])), timeout)
            found = [line for line in self.lines[start:] if accept(line)]
        if not found:
            raise EventTimeout("no such line; last ones:\n" + "\n".join(self.lines[-12:]))
        return found[0]

    def wait_text(self, wanted, timeout=60):
        """Waits until the bytes `wanted` have come, an unfinished line's too."""
        with self._changed:
            if not self._changed.wait_for(lambda: wanted in self.raw, timeout):
                raise EventTimeout(f"{wanted!r} did not come; last: {bytes(self.raw[-200:])!r}")

    def wait_end(self, timeout=30):
        """Waits until the other side has closed the console and everything is read."""
        with self._changed:
            return self._changed.wait_for(lambda: self.ended, timeout)

    def text(self):
        """Everything read so far."""
        with self._changed:
            return bytes(self.raw).decode("ascii", "backslashreplace")

    def _read(self, descriptor):
        while True:
            try:
                data = os.read(descriptor, 65536)
            except OSError:
                data = b""
            if not data:
                break
            self._take(data)
        os.close(descriptor)
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def _take(self, data):
        with self._changed:
            self.raw += data
            *lines, self._pending = (self._pending + data).split(b"\n")
            for line in lines:
                text = line.rstrip(b"\r").decode("ascii", "backslashreplace")
                self.lines.append(text)
                event = parse_object(text) if text.startswith("{") else parse_event(text)
                if event:
                    event.number = len(self.events)
                    self.events.append(event)
            self._changed.notify_all()


class SocketConsole(Console):
    """A console on a unix socket that QEMU connects to when it starts."""

    def __init__(self, directory, name="serial"):
        super().__init__()
        self._name = name
        self._path = os.path.join(directory, name)
        self._keyboard = None
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self._path)
        self._listener.listen(1)
        self._listener.settimeout(60)

    def chardev(self):
        """QEMU's words for it."""
        return f"socket,id={self._name},path={self._path},server=off"

    def attach(self):
        """Takes QEMU's connection and begins to read."""
        connection, _ = self._listener.accept()
        self._listener.close()
        connection.setblocking(True)
        self._keyboard = connection
        self.start(os.dup(connection.fileno()))

    def type(self, keys):
        """Types: returns when the machine's serial port has taken it, or QEMU's buffers have."""
        self._keyboard.sendall(keys if isinstance(keys, bytes) else keys.encode("latin-1"))

    def ask(self, line, timeout=60):
        """Types a command and waits for its answer: a list of events, `done` or `error` the last."""
        start = self.count()
        self.type(line + "\r")
        ends = [
            lambda event: event["command"] == line.split()[0],
            lambda event: event.fields.get("reason") in
            ("unknown-command", "bad-argument", "bad-byte", "line-too-long"),
        ]
        end = self.wait_any({"done": ends[0], "error": ends[1]}, timeout, start)
        with self._changed:
            return self.events[start : end.number + 1]


class ComingConsole(Console):
    """A console for clients that come and go: QEMU listens, and does not wait for them."""

    def __init__(self, directory, name="serial"):
        super().__init__()
        self._name = name
        self._path = os.path.join(directory, name)
        self._connection = None

    def chardev(self):
        """QEMU's words for it."""
        return f"socket,id={self._name},path={self._path},server=on,wait=off"

    def attach(self):
        """Nobody is there yet."""

    def come(self):
        """Connects, and returns a socket to read and write."""
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection.settimeout(60)
        self._connection.connect(self._path)
        return self._connection


class UnreadConsole(Console):
    """A console on a pipe of one page, which is not read until `attach_late` is called."""

    PAGE = 4096

    def __init__(self, directory, name="serial"):
        super().__init__()
        self._name = name
        self._path = os.path.join(directory, f"{name}-pipe")
        for end in (".in", ".out"):
            os.mkfifo(self._path + end)
        # Opened for both directions, as opening for reading would wait for QEMU.
        self._descriptor = os.open(self._path + ".out", os.O_RDWR)
        fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, self.PAGE)

    def chardev(self):
        """QEMU's words for it."""
        return f"pipe,id={self._name},path={self._path}"

    def attach(self):
        """Nothing: that is the point."""

    def attach_late(self):
        """Begins to read what has been written all the while."""
        self.start(self._descriptor)
