"""Runs a guest with two virtio-net ports in QEMU under TCG, on the testbed (tests/bench/testbed)."""

import ctypes
import json
import os
import select
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field

import launch

LOOK_S = 0.5  # between two looks whether QEMU is still there
COUNTERS_BYTES = 4096  # ICOUNT_BYTES


class NeverForwarded(launch.Problem):
    """The guest did not boot, or not so far that frames came through."""


@dataclass
class Guest:
    """What to boot. `words` are QEMU's, without memory, network and console."""

    name: str
    words: list
    memory: int  # MiB
    marks: list = field(default_factory=list)  # addresses at which the count is to be noted
    boot_limit: int = 60  # seconds until it forwards


@dataclass
class Device:
    """The kind of network card that the guest gets."""

    doorbells: bool = False  # wants them, or polls
    event_idx: bool = False
    modern: bool = False
    packed: bool = False  # a modern one only
    no_mergeable: bool = False

    def testbed_options(self):
        """The back end's options …"""
        names = ("doorbells", "event_idx", "modern", "packed", "no_mergeable")
        return ["--" + name.replace("_", "-") for name in names if getattr(self, name)]

    def properties(self):
        """… and QEMU. Without vectors: QEMU 7.2 does not survive MSI-X here without KVM."""
        generation = "disable-legacy=on,disable-modern=off" if self.modern else "disable-modern=on"
        packed = ",packed=on" if self.packed else ""
        return f"{generation}{packed},vectors=0,romfile="


def qemu_command(build, folder, guest, device):
    memory = f"{guest.memory}M"
    plugin = os.path.join(build, "bench", "icount.so")
    counting = "".join(f",mark={mark:#x}" for mark in guest.marks)
    command = [
        os.environ.get("QEMU") or "qemu-system-x86_64", "-no-user-config", "-nodefaults",
        # The testbed finds the processor's thread by its name, and the guest's memory by its file.
        "-name", f"{guest.name},debug-threads=on",
        "-machine", "pc,accel=tcg,memory-backend=memory", "-cpu", "max", "-m", memory,
        "-object", f"memory-backend-memfd,id=memory,size={memory},share=on",
        "-plugin", f"{os.path.abspath(plugin)},counters={folder}/counters{counting}",
        "-display", "none", "-monitor", "none", "-serial", f"file:{folder}/console",
        "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", *guest.words,
    ]
    for port in (0, 1):
        command += [
            "-chardev", f"socket,id=socket{port},path={folder}/port{port}",
            "-netdev", f"vhost-user,id=net{port},chardev=socket{port}",
            "-device", f"virtio-net-pci,netdev=net{port},addr={4 + port},"
                       f"mac=52:54:00:62:77:{port:02x},{device.properties()}",
        ]
    return command


def die_with_parent():
    """Runs in the child: should this program be killed outright, the testbed doesn't outlive it."""
    ctypes.CDLL(None).prctl(launch.PR_SET_PDEATHSIG, signal.SIGKILL)


class Testbed:
    """The running testbed. Ends with its with block."""

    def __init__(self, build, folder, guest, device, phases):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [os.path.join(build, "bench", "testbed"), *device.testbed_options(),
             f"--boot={guest.boot_limit}", folder, *phases],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors,
            preexec_fn=die_with_parent, start_new_session=True)
        self.read = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def line(self, alive=lambda: True):
        """Its next line; None if there comes no more, or if `alive` says that QEMU has ended."""
        while b"\n" not in self.read:
            readable, _, _ = select.select([self.process.stdout], [], [], LOOK_S)
            more = os.read(self.process.stdout.fileno(), 65536) if readable else b""
            self.read += more
            if (readable and not more) or (not readable and not alive()):
                return None
        line, self.read = self.read.split(b"\n", 1)
        return line

    def complaint(self):
        self.process.kill()
        self.process.wait()
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace").strip() or "testbed: no message"


def console_tail(folder):
    try:
        with open(os.path.join(folder, "console"), "rb") as file:
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(["its console:", *text.splitlines()[-15:]])


def run(build, guest, device, phases):
    """Boots the guest and runs the phases; returns one dictionary for each, by name, with the
    figures of phases.h. The phase "boot" is always among them."""
    with tempfile.TemporaryDirectory(prefix="barewire-") as folder:
        with open(os.path.join(folder, "counters"), "wb") as counters:
            counters.truncate(COUNTERS_BYTES)
        results = {}
        with Testbed(build, folder, guest, device, phases) as testbed:
            testbed.line()  # it listens
            with launch.Qemu(qemu_command(build, folder, guest, device), None) as qemu:
                for _ in range(1 + len(phases)):
                    line = testbed.line(alive=lambda: qemu.failure() is None)
                    if line is None:
                        kind = launch.Problem if results else NeverForwarded
                        raise kind(f"{guest.name}: {testbed.complaint()}\n{console_tail(folder)}")
                    figures = json.loads(line)
                    results[figures.pop("phase")] = figures
        return results
