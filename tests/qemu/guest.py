"""A QEMU machine that runs barewire, from its command line to its end."""

import atexit
import pathlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import capture
from console import SocketConsole, UnreadConsole
from places import ELF, QEMU
from qmp import Qmp
from wire import Endpoint

import accelerator
import launch

# A machine of the tests is up within a second, under a KVM that emulates within ten. A busy host may
# take many times that.
START_TIMEOUT_S = 300
END_TIMEOUT_S = 30
SETTLE_TIMEOUT_S = 60

# What isa-debug-exit makes of the 0x10 that a panic writes.
EXIT_PANIC = 33

_running = set()


@dataclass
class Nic:
    """A network card: `options` are its -device words, a value of None leaves a default word out."""

    model: str = "virtio-net-pci"
    options: dict = field(default_factory=dict)
    netdev: str = ""  # -netdev words after the id; "": a cable to an end of this kind
    end: Callable = Endpoint  # called with a directory for sockets and the card's number

    @classmethod
    def of(cls, words):
        """A virtio card from text such as "rx_queue_size=512,csum=off"."""
        if isinstance(words, cls):
            return words
        pairs = [word.split("=", 1) for word in words.split(",") if word]
        return cls(options=dict(pairs))


@dataclass
class Machine:
    """QEMU's arguments."""

    machine: str = "pc"
    memory_mib: int = 64
    shared_memory: bool = False  # memory that a vhost-user back end can reach
    cpu: str = "qemu64"
    words: str = ""  # barewire's command line
    # How it starts: -kernel with this file, or these words instead of -kernel and -append.
    kernel: pathlib.Path = ELF
    boot: list = field(default_factory=list)
    devices: list = field(default_factory=list)  # further words, in front of the cards
    debug_exit: bool = True
    unread: bool = False  # nobody reads the serial console
    console: Callable = SocketConsole  # its kind
    second: Callable = None  # the kind of a second one, on COM2
    namespace: str = ""  # network namespace to run in


def mac_of(number):
    """The address of card `number`, unless its options say another."""
    return f"52:54:00:12:34:{number:02x}"


class Guest:
    """One machine. `ports` is a number of plain virtio cards, or a list of Nic or their options."""

    def __init__(self, ports=2, **machine):
        self.machine = Machine(**machine)
        count = [""] * ports if isinstance(ports, int) else ports
        self.nics = [Nic.of(port) for port in count]
        # Below /tmp whatever TMPDIR says: a socket's path has at most 107 characters.
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="bw", dir="/tmp"))
        console = UnreadConsole if self.machine.unread else self.machine.console
        self.console = console(str(self.directory))
        second = self.machine.second
        self.second = second(str(self.directory), "second") if second else None
        self.qmp = Qmp(str(self.directory))
        self.ends = [
            None if nic.netdev else nic.end(str(self.directory), number)
            for number, nic in enumerate(self.nics)
        ]
        self.trace_file = self.directory / "trace"
        self.command = self._command()
        self.process = None
        _running.add(self)

    def start(self):
        """Starts QEMU, stopped before the first instruction until everything is attached."""
        with open(self.directory / "stderr", "wb") as stderr:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr
            )
        try:
            self.qmp.attach()
            self.console.attach()
            if self.second:
                self.second.attach()
            self.qmp.command("cont")
        except OSError as error:
            raise AssertionError(f"QEMU didn't start: {self.stderr()}") from error
        return self

    def ready(self):
        """Waits for `ready`, and returns that event."""
        event = self.wait("ready", timeout=START_TIMEOUT_S)
        for end in self.ends:
            if end:
                end.begun()
        return event

    # Short forms of what most tests need.

    def wait(self, name, accept=None, timeout=START_TIMEOUT_S, start=0, **fields):
        """The first event of this kind; see Console.wait."""
        return self.console.wait(name, accept, timeout, start, **fields)

    def find(self, name, **fields):
        """All events of this kind so far."""
        return self.console.find(name, **fields)

    def ask(self, line, timeout=60):
        """Types a command: its answer, a list of events with `done` or `error` the last one."""
        return self.console.ask(line, timeout)

    def port(self, number):
        """The `port` event of a port."""
        return self.wait("port", id=number)

    def stats(self, port, timeout=60, **counters):
        """The first `stats` line of `port` from now on, or that shows at least these `counters`."""

        def reached(event):
            return all(event.integer(key) >= value for key, value in counters.items())

        start = 0 if counters else self.console.count()
        return self.wait("stats", reached, timeout, start, port=port)

    def later_stats(self, port):
        """The first `stats` line of `port` that shows all that has happened before this call.

        It may be read late: it comes behind the answer to a question that is sent now.
        """
        asked = self.ask("uptime")[-1]
        return self.wait("stats", start=asked.number + 1, port=port)

    def descriptors(self, queue):
        """The chain that the first entry of a queue of some port leads to, as QEMU sees it."""
        devices = self.qmp.command("x-query-virtio")
        path = next(device["path"] for device in devices if "net" in device["name"])
        element = self.qmp.command(
            "x-query-virtio-queue-element", path=path, queue=queue, index=0
        )
        return element["descs"]

    def ring(self, port, queue):
        """A queue of a port as QEMU sees it: how many descriptors it has, and how many are stated.

        Not where a vhost-user back end serves it: to answer, QEMU has it stop the queue.
        """
        path = f"/machine/peripheral/nic{port}/virtio-backend"
        status = self.qmp.command("x-query-virtio-queue-status", path=path, queue=queue)
        return status["vring-num"], status["vring-num-default"]

    def trace(self, *events, on=True):
        """Has QEMU write these trace events, from now on."""
        for event in events:
            self.qmp.command("trace-event-set-state", name=event, enable=on)

    def traced(self, event):
        """How often QEMU has written trace event `event`."""
        # QEMU buffers its log; one more command makes sure that it has come past the last event.
        self.qmp.command("query-status")
        if not self.trace_file.exists():
            return 0
        lines = self.trace_file.read_text(errors="replace").splitlines()
        return sum(line.split(" ", 1)[0].rsplit(":", 1)[-1] == event for line in lines)

    def wait_exit(self, timeout=START_TIMEOUT_S):
        """Waits until QEMU ends by itself, and returns its exit code."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"QEMU still runs after {timeout} s") from None
        if not self.machine.unread:
            self.console.wait_end()
        return code

    def stop(self):
        """Ends QEMU by its own pid, however it is, and takes its files away. May be repeated."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for end in self.ends:
            if end:
                end.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        _running.discard(self)

    def stderr(self):
        """QEMU's own messages."""
        file = self.directory / "stderr"
        return file.read_text(errors="replace") if file.exists() else ""

    def save(self, folder):
        """Leaves all that is known about this run in `folder`, for the one who looks for a fault."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "serial.log").write_text(self.console.text())
        (folder / "qemu.command").write_text(" ".join(map(repr, self.command)) + "\n")
        (folder / "qemu.stderr").write_text(self.stderr())
        if self.trace_file.exists():
            shutil.copy(self.trace_file, folder / "qemu.trace")
        for number, end in enumerate(self.ends):
            if not end:
                continue
            capture.write_pcap(folder / f"port{number}-sent.pcap", end.sent, end.sent_times)
            capture.write_pcap(
                folder / f"port{number}-received.pcap", end.received, end.received_times
            )

    def _command(self):
        machine = self.machine
        # setpriv: should the tester be killed outright, QEMU goes too.
        command = ["setpriv", "--pdeathsig", "KILL", QEMU]
        if machine.namespace:
            command = ["ip", "netns", "exec", machine.namespace] + command
        accel, _ = accelerator.choose(ELF)
        cpu = launch.cpu_words(accel) if machine.cpu == "max" else machine.cpu
        command += ["-machine", machine.machine, "-accel", accel, "-cpu", cpu]
        command += ["-m", str(machine.memory_mib), "-nodefaults", "-display", "none"]
        if machine.shared_memory:
            memory = f"memory-backend-memfd,id=memory,size={machine.memory_mib}M,share=on"
            command += ["-object", memory, "-machine", "memory-backend=memory"]
        command += ["-no-reboot", "-no-user-config", "-S"]
        command += ["-trace", f"file={self.trace_file}"]  # which events: see trace()
        command += ["-chardev", self.console.chardev(), "-serial", "chardev:serial"]
        if self.second:
            command += ["-chardev", self.second.chardev(), "-serial", "chardev:second"]
        command += ["-chardev", self.qmp.chardev(), "-mon", "chardev=qmp,mode=control"]
        if machine.debug_exit:
            command += ["-device", "isa-debug-exit,iobase=0xf4"]
        if machine.boot:
            command += machine.boot
        else:
            command += ["-kernel", str(machine.kernel), "-append", machine.words]
        return command + machine.devices + self._cards()

    def _cards(self):
        command = []
        for number, nic in enumerate(self.nics):
            identifier = f"net{number}"
            if nic.netdev:
                command += ["-netdev", f"{nic.netdev},id={identifier}"]
            else:
                command += self.ends[number].words(identifier)
            options = {"netdev": identifier, "id": f"nic{number}", "mac": mac_of(number)}
            options["romfile"] = ""  # boots nothing from the network, and starts faster
            options.update(nic.options)
            words = ",".join(f"{key}={value}" for key, value in options.items() if value is not None)
            command += ["-device", f"{nic.model},{words}"]
        return command


def stop_all():
    """Ends every machine that still runs."""
    for guest in list(_running):
        guest.stop()


def running():
    """The machines that were made and not stopped yet."""
    return sorted(_running, key=lambda guest: str(guest.directory))


def settle(condition, timeout=SETTLE_TIMEOUT_S):
    """Waits for something of the tester's own machine that has no event: a file, a process."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


atexit.register(stop_all)
