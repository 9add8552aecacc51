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


GUESTS = (
    ("barewire", "a", barewire_command("stats=0")),
    ("barewire offload=off", "b", barewire_command("stats=0 offload=off")),
    ("Linux bridge", "c", bridge_command),
)


def wait_console(qemu, log):
    """QEMU has opened its taps before the guest can say anything."""
    deadline = time.monotonic() + BRIDGE_LIMIT_S
    while not os.path.getsize(log):
        if qemu.process.poll() is not None or time.monotonic() > deadline:
            raise Problem(f"the guest says nothing; its console: {log}")
        time.sleep(0.1)


def wait_forwarding(qemu, one, two):
    deadline = time.monotonic() + BRIDGE_LIMIT_S
    while True:
        try:
            one.run("ping", "-q", "-n", "-c", "1", "-W", "1", two.address)
            return
        except Problem:
            if qemu.process.poll() is not None or time.monotonic() > deadline:
                raise Problem("the guest does not forward") from None


def report(speeds):
    """Megabits a second and the ratio that was asked for."""
    for name, speed in speeds.items():
        print(f"  race    {name}: {speed / 1e6:.0f} Mbit/s", flush=True)
    on, off, bridge = (speeds[name] for name, _, _ in GUESTS)
    print(f"  race    with offloads {on / off:.2f} times as fast as without, and "
          f"{on / bridge:.2f} times the Linux bridge (wanted: {WANTED})", flush=True)
