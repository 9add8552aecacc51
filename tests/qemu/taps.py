"""Taps in network namespaces of their own, and frames from one to the other through barewire."""

import contextlib
import ctypes
import os
import secrets
import shutil
import socket
import subprocess

import pytest

import capture
from guest import settle


def why_not():
    """The reason why taps can't be used here, or None."""
    if os.geteuid() != 0:
        return "taps need root"
    if not os.path.exists("/dev/net/tun"):
        return "no /dev/net/tun"
    if not shutil.which("ip"):
        return "no ip command (Debian: iproute2)"
    return None


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True)


@contextlib.contextmanager
def network(*flags):
    """A namespace with tap0 and tap1, which have vnet headers and these flags besides; its name."""
    name = f"bw{secrets.token_hex(4)}"
    made = ip("netns", "add", name)
    if made.returncode != 0:
        pytest.skip(f"no network namespaces: {made.stderr.strip()}")
    try:
        for tap in ("tap0", "tap1"):
            made = ip("-n", name, "tuntap", "add", tap, "mode", "tap", "vnet_hdr", *flags)
            if made.returncode != 0:
                pytest.skip(f"no taps: {made.stderr.strip()}")
            # Nothing but the tests' frames: the kernel itself would announce its addresses.
            ip("netns", "exec", name, "sysctl", "-qw", f"net.ipv6.conf.{tap}.disable_ipv6=1")
            ip("-n", name, "link", "set", tap, "up")
        yield name
    finally:
        ip("netns", "delete", name)


def packet_socket(namespace, tap):
    """A raw socket on a tap inside the namespace. Only the calling thread looks in there."""
    # A tap carries nothing before the kernel has noticed that QEMU has come to its other end.
    assert settle(lambda: "state UP" in ip("-n", namespace, "link", "show", tap).stdout)
    libc_setns = ctypes.CDLL(None, use_errno=True).setns
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        assert libc_setns(there, 0) == 0
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        raw.bind((tap, 3))
    finally:
        assert libc_setns(here, 0) == 0
        os.close(here)
        os.close(there)
    raw.settimeout(60)
    return raw


def exchange(namespace):
    """Frames across, both ways, from tap to tap."""
    a, b = (packet_socket(namespace, tap) for tap in ("tap0", "tap1"))
    with a, b:
        for sender, receiver in ((a, b), (b, a)):
            for frame in capture.frames(100):
                sender.send(frame)
                assert receiver.recv(4096) == frame
