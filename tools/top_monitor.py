"""The data of `make top` on a machine: queried over its console, counted, and kept for a while."""

import collections
import contextlib
import json
import os
import select
import socket
import stat
import termios
import time
import tty

from launch import Problem

SAMPLES_KEPT = 24 * 3600  # of one a second: a day, for a plot at the end
EVENTS_KEPT = 200
LINE_MAX = 16384  # no event is as long
ANSWER_TIMEOUT_S = 5.0  # then the machine counts as silent

COUNTERS = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "rx_dropped", "tx_dropped",
            "resets")
RATES = ("rx_pps", "rx_bps", "tx_pps", "tx_bps")
RINGS = ("rx_filled", "rx_size", "tx_filled", "tx_size")
LAST_EVENTS = ("bye", "panic")  # a machine that says one of these answers no more
ASKED = ("stats", "ports")  # both in each round, in this order


class Line:
    """The machine's console: a unix socket (QEMU's chardev) or a serial device."""

    def __init__(self, path):
        self.path = path
        try:
            mode = os.stat(path).st_mode
            if stat.S_ISSOCK(mode):
                self.descriptor = self._connect(path)
            elif stat.S_ISCHR(mode):
                self.descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
                tty.setraw(self.descriptor, termios.TCSANOW)
            else:
                raise self._no_console()
        except termios.error as error:
            os.close(self.descriptor)
            raise self._no_console() from error
        except OSError as error:
            raise Problem(f"the console {path} cannot be opened, {error.strerror or error}: is "
                          "barewire running with -serial unix:PATH,server=on,wait=off, and nobody "
                          "else on it?") from error
        os.set_blocking(self.descriptor, False)
        self.unsent = b""
        self.pending = b""

    def _no_console(self):
        return Problem(f"{self.path} is neither a unix socket nor a serial device: "
                       "give QEMU -serial unix:PATH,server=on,wait=off")

    @staticmethod
    def _connect(path):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(path)
        except OSError:
            connection.close()
            raise
        return connection.detach()

    def fileno(self):
        return self.descriptor

    def type(self, text):
        """Never waits: bytes that the machine doesn't take now go with the next, or never. lines()
        reports that the other side has closed."""
        self.unsent = (self.unsent + text.encode("ascii"))[-4096:]
        try:
            self.unsent = self.unsent[os.write(self.descriptor, self.unsent):]
        except OSError:
            pass  # it is full for now, or has closed, which lines() will see

    def lines(self):
        """Whole lines that have come; None once the other side has closed."""
        try:
            data = os.read(self.descriptor, 65536)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        *lines, rest = (self.pending + data).split(b"\n")
        self.pending = rest[-LINE_MAX:]
        return [line.strip().decode("ascii", "replace") for line in lines]

    def close(self):
        os.close(self.descriptor)


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def object_of(line):
    """The event of a line in JSON, or None for anything else: echo, firmware, half a line.

    barewire's events are flat, so a nested object is not one of them.
    """
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    flat = all(isinstance(value, (str, int, float)) for value in event.values())
    usual = isinstance(event.get("event"), str) and is_number(event.get("t"))
    return event if flat and usual else None


class Port:
    """One port: its newest `ports` and `stats` answers, and the rates between the last two."""

    def __init__(self, number):
        self.number = number
        self.about = {}
        self.counters = {}
        self.rates = {}  # rx_pps, rx_bps, …
        self.history = collections.deque(maxlen=60)  # packets a second, both ways, one a sample
        self.time = None

    def count(self, event):
        """Takes a `stats` answer; the rates are by the machine's own clock."""
        before, at, interval = self.counters, event["t"], None
        self.counters = {key: value for key, value in event.items()
                         if key in COUNTERS or key.startswith("drop_")}
        if self.time is not None:
            interval = at - self.time
        self.time = at
        if not interval or interval < 0 or self._went_back(before):
            self.rates = {}
            return  # the first look, or a machine that has started anew
        for way in ("rx", "tx"):
            for key, name, factor in (("packets", "pps", 1), ("bytes", "bps", 8)):
                difference = self.counters[f"{way}_{key}"] - before[f"{way}_{key}"]
                self.rates[f"{way}_{name}"] = difference * factor / interval
        self.history.append(self.rates["rx_pps"] + self.rates["tx_pps"])

    def _went_back(self, before):
        return any(self.counters[key] < before[key] for key in COUNTERS)

    def drops(self):
        return {key: value for key, value in self.counters.items() if key.startswith("drop_")}

    def sample(self):
        """For a record: everything that is a number, and the link."""
        fields = {"port": self.number, **self.counters,
                  **{key: round(value, 1) for key, value in self.rates.items()}}
        for key in ("link", "state", *RINGS):
            if key in self.about:
                fields[key] = self.about[key]
        return fields


class Machine:
    """All that is known; `feed` takes what the console says, `ask` asks it."""

    def __init__(self, line):
        self.line = line
        self.ports = {}
        self.version = None
        self.events = collections.deque(maxlen=EVENTS_KEPT)
        self.event_count = 0
        self.samples = collections.deque(maxlen=SAMPLES_KEPT)
        self.time = None  # the machine's clock
        self.asked = None  # when the answer under way was asked for
        self.waiting_since = None  # when the first of the questions without an answer was asked
        self.ended = None  # the event by which the machine has ended
        self.answered = None  # when the last one was complete
        self.gone = False
        self.known = False  # that the channel speaks JSON

    def begin(self):
        """A half-typed line is dropped. May be repeated."""
        self.line.type("\x03\r\njson on\r\nversion\r\n")

    def end(self):
        """Leaves the channel as a person likes to find it."""
        if self.gone:
            return
        self.line.type("\x03\r\njson off\r\n")
        limit = time.monotonic() + 1
        while time.monotonic() < limit and select.select([self.line], [], [], 0.1)[0]:
            lines = self.line.lines()
            if lines is None or any(line.startswith("done ") for line in lines):
                break

    def ask(self):
        """One round of questions, unless the last one is still to be answered."""
        now = time.monotonic()
        if self.asked is not None and now - self.asked < ANSWER_TIMEOUT_S:
            return
        if not self.known or self.asked is not None:
            self.begin()
        self.asked = now
        self.waiting_since = self.waiting_since or now
        self.line.type("".join(f"{command}\r\n" for command in ASKED))

    def silent(self):
        """True once an answer takes too long."""
        return (self.waiting_since is not None and
                time.monotonic() - self.waiting_since > ANSWER_TIMEOUT_S)

    def stale(self):
        """True when no newer figures are to be had."""
        return bool(self.gone or self.ended or self.silent())

    def up(self):
        return self.answered is not None and not self.stale()

    def age(self):
        """Seconds since the figures came."""
        return time.monotonic() - self.answered

    def feed(self):
        """Reads what has come. Returns the newest sample if a round was completed, else None."""
        lines = self.line.lines()
        if lines is None:
            self.gone = True
            return None
        sample = None
        for line in lines:
            event = object_of(line)
            if event is not None:
                sample = self._take(event) or sample
        return sample

    @staticmethod
    def _whole(event):
        """False for an answer that is not barewire's, or that was cut: it would add up to nothing."""
        drops = [key for key in event if key.startswith("drop_")]
        return all(is_number(event.get(key)) for key in ("t", *COUNTERS, *drops))

    def _port(self, event):
        number = event.get("port")
        if not isinstance(number, int):
            return None
        return self.ports.setdefault(number, Port(number))

    def _take(self, event):
        name, self.time = event["event"], event.get("t", self.time)
        self.known = True
        if name == "stats":
            # Those that come by themselves count from the start, too, but nobody asked for them.
            if "since" in event and self._whole(event) and self._port(event):
                self._port(event).count(event)
        elif name == "ports" and all(is_number(event.get(key)) for key in RINGS) and \
                self._port(event):
            self._port(event).about = event
        elif name == "version":
            self.version = str(event.get("version", ""))  # an abbreviated hash may look like a number
        elif name == "done":
            return self._done(event.get("command"))
        else:
            self.events.append(event)
            self.event_count += 1
            if name in LAST_EVENTS:
                self.ended = f"{name} {event.get('reason', '')}".strip()
        return None

    def _done(self, command):
        if command != ASKED[-1] or self.asked is None:
            return None
        self.asked, self.waiting_since, self.answered = None, None, time.monotonic()
        self.ended = None  # it has been started anew since
        sample = {"time": round(time.time(), 3), "t": self.time,
                  "ports": [self.ports[number].sample() for number in sorted(self.ports)]}
        self.samples.append(sample)
        return sample


def is_sample(value):
    """True for what --record writes: a time, and ports with their numbers."""
    if not isinstance(value, dict) or not isinstance(value.get("ports"), list):
        return False
    return is_number(value.get("time")) and all(
        isinstance(port, dict) and is_number(port.get("port")) and
        all(is_number(port.get(key, 0)) for key in RATES) and
        sum(key in port for key in RATES) in (0, len(RATES)) for port in value["ports"])


class Record:
    """A file with a sample a line. A sample that doesn't fit leaves no half line behind."""

    def __init__(self, path):
        self.path = path
        try:
            self.file = open(path, "ab", buffering=0)
        except OSError as error:
            raise Problem(f"{path} cannot be written, {error.strerror}") from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def add(self, sample):
        line = json.dumps(sample).encode() + b"\n"
        end = self.file.seek(0, os.SEEK_END) if self.file.seekable() else None
        try:
            written = self.file.write(line)
            if written < len(line):
                self.file.write(line[written:])  # says why
        except OSError as error:
            if end is not None:
                with contextlib.suppress(OSError):
                    self.file.truncate(end)
            raise Problem(f"{self.path} cannot be written, {error.strerror}: the record ends "
                          "here") from error


def read_record(path):
    """The samples of a file that --record wrote, and a word on a last line that is cut short."""
    samples = []
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if samples and not line.endswith("\n"):
                    return samples, f"its last line is cut short after {len(samples)} samples"
                sample = json.loads(line)
                if not is_sample(sample):
                    raise Problem(f"{path}: line {number} is no sample: give a file that "
                                  "--record has written")
                samples.append(sample)
    except OSError as error:
        raise Problem(f"{path} cannot be read, {error.strerror}") from error
    except ValueError as error:
        raise Problem(f"{path} is no record, line {len(samples) + 1}, {error}: give a file that "
                      "--record has written") from error
    return samples, None
