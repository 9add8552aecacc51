"""
The last part of make demo: TCP as fast as it goes, across barewire with offloads on, with offloads
off, and across a Linux bridge in a guest on cards of the same kind, one after the other.
"""

import os
import sys
import time

import launch
from launch import Problem

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "bench")
BRIDGE_MIB = 256
BRIDGE_LIMIT_S = 400  # until it forwards; Debian's kernel takes its time without KVM
WANTED = 1.5


def bridge_command(kernel, netdevs, accel):
    """Debian's kernel with a bridge; its packages are downloaded beside the kernel, once."""
    sys.path.insert(0, BENCH)
    import guests  # of the benchmarks, which run the same one

    build = os.path.dirname(os.path.abspath(kernel))
    guest = guests.linux_bridge(build, guests.peer_files(build))
    words = dict(zip(guest.words[0::2], guest.words[1::2]))
    command = launch.qemu_command(words["-kernel"], netdevs, words["-append"], accel)
    return command + ["-m", str(BRIDGE_MIB), "-initrd", words["-initrd"]]


def barewire_command(words):
    def command(kernel, netdevs, accel):
        return launch.qemu_command(kernel, netdevs, words, accel)

    return command


# The one that a KVM is most likely unable to run comes first.
GUESTS = (
    ("Linux bridge", "c", bridge_command),
    ("barewire", "a", barewire_command("stats=0")),
    ("barewire offload=off", "b", barewire_command("stats=0 offload=off")),
)


class Stopped(Problem):
    """A guest's machine has ended or stopped by itself."""


def check_alive(qemu, name):
    if failure := qemu.failure():
        raise Stopped(f"{name}: {failure}")


def wait_console(qemu, name, log):
    """QEMU has opened its taps before the guest can say anything."""
    deadline = time.monotonic() + BRIDGE_LIMIT_S
    while not os.path.getsize(log):
        check_alive(qemu, name)
        if time.monotonic() > deadline:
            raise Problem(f"{name} says nothing; its console: {log}")
        time.sleep(0.1)


def wait_forwarding(qemu, name, one, two):
    deadline = time.monotonic() + BRIDGE_LIMIT_S
    while True:
        try:
            one.run("ping", "-q", "-n", "-c", "1", "-W", "1", two.address)
            return
        except Problem:
            check_alive(qemu, name)
            if time.monotonic() > deadline:
                raise Problem(f"{name} does not forward") from None


def report(speeds):
    """Megabits a second and the ratio that was asked for."""
    for name, speed in speeds.items():
        print(f"  race    {name}: {speed / 1e6:.0f} Mbit/s", flush=True)
    bridge, on, off = (speeds[name] for name, _, _ in GUESTS)
    print(f"  race    with offloads {on / off:.2f} times as fast as without, and "
          f"{on / bridge:.2f} times the Linux bridge (wanted: {WANTED})", flush=True)
