"""The common part of the tools: QEMU's command line, QEMU's life and the messages."""

import contextlib
import ctypes
import importlib.util
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KERNEL = "build/barewire.elf"
SYMBOLS = "build/barewire.debug"

READY_LIMIT_S = 120  # from QEMU's start to the ready event, on a busy machine without KVM
END_TIMEOUT_S = 2.0  # from the end of its output to QEMU's own end, at most
PANIC_STATUS = 33  # what isa-debug-exit makes of the 0x10 that a panic writes to port 0xf4
SOCKET_PATH_MAX = 107  # sockaddr_un.sun_path without its NUL
PR_SET_PDEATHSIG = 1  # linux/prctl.h

MULTIBOOT_MAGIC = 0x1BADB002
MULTIBOOT_SEARCH = 8192  # bytes at the start of the file that may hold the header
MULTIBOOT_ADDRESSES = 1 << 16  # flag: the header holds the address fields


class Problem(Exception):
    """Something the user has to know and can act upon; ends the tool with status 1."""


def say(text):
    """One line of a tool's own; its first word distinguishes it from the guest's events."""
    print(f"{os.path.basename(sys.argv[0])}: {text}", flush=True)


def run_main(main):
    """Calls main() and turns what went wrong into one line and an exit status."""
    try:
        prepare_streams()
        status = main()
        sys.stdout.flush()
    except SystemExit as leaving:  # argparse has said why
        status = leaving.code
    except Problem as problem:
        status = complain(problem)
    except KeyboardInterrupt:
        complain("left by Ctrl-C")
        status = 128 + signal.SIGINT
    except ModuleNotFoundError as error:
        status = complain(lacking(error.name))
    except BrokenPipeError:
        status = 1  # whoever read the output has gone
    except OSError as error:
        reason = error.strerror or str(error)
        status = complain(f"{error.filename}, {reason}" if error.filename else reason)
    if not output_works():
        # What it didn't take Python would try to write, and complain of, once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = status or 1
    sys.exit(status)


def output_works():
    try:
        sys.stdout.flush()
        return True
    except (AttributeError, OSError):  # None where it was closed from the start
        return False


def prepare_streams():
    """Three open descriptors, so that no file or socket becomes one of them; no character that the
    locale lacks ends a tool."""
    closed = sys.stdout is None
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number
    for stream in (sys.stdout, sys.stderr):
        if stream:
            stream.reconfigure(errors="replace")
    if closed:
        raise Problem("standard output is closed: send it to /dev/null if you don't want it")


def complain(text):
    """Says what is wrong, on stderr where the output takes nothing; returns the exit status."""
    lines = [str(text)]
    try:
        if sys.stdout:
            say(text)
            return 1
    except OSError as error:
        if error.strerror in lines:  # the output itself is what is wrong
            lines = []
        lines.append(f"the output cannot be written, {error.strerror}")
    with contextlib.suppress(OSError):
        for line in lines:
            print(f"{os.path.basename(sys.argv[0])}: {line}", file=sys.stderr, flush=True)
    return 1


def lacking(module):
    """What to do about a Python module that isn't there. Debian names its packages after them."""
    top = module.partition(".")[0]
    return f"the Python module {top} is missing: apt-get install python3-{top.replace('_', '-')}"


def need_module(name):
    """For a module that is used much later: whether it is there shows now."""
    if importlib.util.find_spec(name) is None:
        raise Problem(lacking(name))


def need_file(path, remedy):
    if not os.path.isfile(path):
        raise Problem(f"there is no file {path}: {remedy}")
    return path


class Scratch(tempfile.TemporaryDirectory):
    """A folder for sockets; gone when its with block is left."""

    def __init__(self):
        super().__init__(prefix="barewire-")
        if len(self.tester(0)) > SOCKET_PATH_MAX:
            self.cleanup()
            raise Problem(f"TMPDIR is too long for a unix socket: {self.name}; use TMPDIR=/tmp")

    def __enter__(self):
        return self

    def qemu(self, port):
        """Where QEMU receives the frames of a port …"""
        return os.path.join(self.name, f"qemu{port}")

    def tester(self, port):
        """… and where it sends them to."""
        return os.path.join(self.name, f"tester{port}")


def escape(value):
    """QEMU splits its options at commas; a doubled one is a comma of the value."""
    return str(value).replace(",", ",,")


def dgram_netdev(index, scratch):
    """One datagram a frame, no privilege needed."""
    return (f"dgram,id=net{index},local.type=unix,local.path={escape(scratch.qemu(index))},"
            f"remote.type=unix,remote.path={escape(scratch.tester(index))}")


def tap_netdev(index, ifname):
    """No vhost: barewire's frames shall go through QEMU's own, observable virtio-net."""
    return f"tap,id=net{index},ifname={escape(ifname)},script=no,downscript=no,vhost=off"


def qemu_program():
    return os.environ.get("QEMU") or "qemu-system-x86_64"


def cpu_words(accel):
    """QEMU's words for a processor with all that there is."""
    # Some KVMs state ARCH_CAPABILITIES and then refuse the values: QEMU aborts.
    return "max,arch-capabilities=off" if accel == "kvm" else "max"


def qemu_command(kernel, netdevs, cmdline, accel, machine="pc"):
    """The whole line; the guest's COM1 is QEMU's standard output."""
    command = [
        qemu_program(), "-no-user-config", "-nodefaults",
        "-machine", f"{machine},accel={accel}", "-cpu", cpu_words(accel), "-m", "128",
        "-display", "none", "-monitor", "none", "-serial", "stdio",
        # A panic leaves through port 0xf4; without the device it would reboot, again and again.
        "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
        "-kernel", kernel, "-append", cmdline,
    ]
    for index, netdev in enumerate(netdevs):
        # romfile=: no network boot ROM, which would cost a second and use the device first.
        command += ["-netdev", netdev, "-device",
                    f"virtio-net-pci,netdev=net{index},romfile=,mac=52:54:00:62:77:{index:02x}"]
    return command


def _die_with_parent():
    """Runs in the child: should the tool be killed outright, QEMU doesn't outlive it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Monitor:
    """
    QEMU's machine protocol, over a socket that QEMU inherits, so that no file can be left behind.
    Tells whether the machine has stopped by itself: QEMU stays then, and would for ever.
    """

    def __init__(self):
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.pending = b""
        self.status = None  # why the machine doesn't run: QEMU's RunState

    def fileno(self):
        return self.ours.fileno()

    def words(self):
        return ["-chardev", f"socket,id=monitor,fd={self.theirs.fileno()}",
                "-mon", "chardev=monitor,mode=control"]

    def feed(self):
        """Takes what has come. False once QEMU has closed its end."""
        try:
            while data := self.ours.recv(65536):
                *lines, self.pending = (self.pending + data).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def _take(self, message):
        answer = message.get("return")
        if "QMP" in message:
            self._ask("qmp_capabilities")
        elif message.get("event") == "STOP":
            self._ask("query-status")
        elif isinstance(answer, dict) and answer.get("running") is False:
            self.status = answer["status"]

    def _ask(self, command):
        self.ours.send(json.dumps({"execute": command}).encode() + b"\n")

    def close(self):
        self.ours.close()


class Qemu:
    """A running QEMU. It has a session of its own, so that the terminal's keys don't reach it."""

    def __init__(self, command, stdout, stderr=None):
        self.monitor = Monitor()
        try:
            self.process = subprocess.Popen(
                command + self.monitor.words(), stdin=subprocess.DEVNULL, stdout=stdout,
                stderr=stderr, start_new_session=True, preexec_fn=_die_with_parent,
                pass_fds=[self.monitor.theirs.fileno()])
        except OSError as error:
            self.monitor.close()
            raise Problem(f"{command[0]} cannot be started ({error.strerror}): "
                          "install qemu-system-x86") from error
        finally:
            self.monitor.theirs.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def ended(self):
        """Its exit status, when its output has ended and it is about to end itself."""
        try:
            return self.process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.end()
            return self.process.returncode

    def failure(self):
        """Why the machine runs no more, if it doesn't. Never waits."""
        self.monitor.feed()
        status = self.process.poll()
        if status is not None:
            return describe_exit(status)
        if self.monitor.status == "internal-error":
            return "the machine has stopped by an internal error of QEMU or KVM"
        if self.monitor.status:
            return f"the machine has stopped, QEMU calls it {self.monitor.status}"
        return None

    def end(self):
        """At once, by its own process id: it has nothing to save, and may be stopped or hang."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdout, self.process.stderr, self.monitor):
            if stream:
                stream.close()


def describe_exit(status):
    if status == PANIC_STATUS:
        return f"QEMU ended with status {status}: the kernel panicked, see its lines above"
    if status == 0:
        return "QEMU ended by itself with status 0: the guest powered off or reset the machine"
    if status < 0:
        return f"QEMU was ended by {signal.Signals(-status).name}"
    return f"QEMU ended by itself with status {status}"


def kernel_entry(path):
    """Where QEMU's -kernel enters the file: its Multiboot header's entry_addr, a number."""
    with open(path, "rb") as file:
        head = file.read(MULTIBOOT_SEARCH)
    for at in range(0, len(head) - 31, 4):
        magic, flags, checksum = struct.unpack_from("<3I", head, at)
        if magic == MULTIBOOT_MAGIC and (magic + flags + checksum) % 2**32 == 0:
            if flags & MULTIBOOT_ADDRESSES:
                return struct.unpack_from("<I", head, at + 28)[0]
    raise Problem(f"{path} has no Multiboot header with address fields: build it with make")


def bind_datagram(path):
    """A datagram socket that QEMU can send to from its first frame on."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    bound.bind(path)
    return bound
