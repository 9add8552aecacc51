"""Taps with vnet headers: the one backend here that offers checksum and segmentation offloads."""

import ctypes
import os
import secrets
import shutil
import socket
import subprocess

import pytest

import capture
from guest import Nic

OFFLOADS = {"CSUM": 0, "GUEST_CSUM": 1, "GUEST_TSO4": 7, "GUEST_TSO6": 8, "HOST_TSO4": 11, "HOST_TSO6": 12}


def why_not():
    """The reason why taps can't be used here, or None."""
    if os.geteuid() != 0:
        return "taps need root"
    if not os.path.exists("/dev/net/tun"):
        return "no /dev/net/tun"
    if not shutil.which("ip"):
        return "no ip command (Debian: iproute2)"
    return None


pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True)


@pytest.fixture
def namespace():
    """A network of its own with two taps, so that nothing of this machine's is touched."""
    name = f"bw{secrets.token_hex(4)}"
    made = ip("netns", "add", name)
    if made.returncode != 0:
        pytest.skip(f"no network namespaces: {made.stderr.strip()}")
    try:
        for tap in ("tap0", "tap1"):
            made = ip("-n", name, "tuntap", "add", tap, "mode", "tap", "vnet_hdr")
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


def tap_card(tap, **options):
    return Nic(options=options, netdev=f"tap,ifname={tap},script=no,downscript=no,vnet_hdr=on")


def offloads(bits):
    return {name for name, bit in OFFLOADS.items() if bits >> bit & 1}


def offered(guest, port):
    return guest.wait("features", port=port).integer("offered_bits")


def taken(guest, port):
    return guest.port(port).integer("features")


def exchange(namespace):
    """Frames across, both ways, from tap to tap."""
    a, b = (packet_socket(namespace, tap) for tap in ("tap0", "tap1"))
    with a, b:
        for sender, receiver in ((a, b), (b, a)):
            for frame in capture.frames(100):
                sender.send(frame)
                assert receiver.recv(4096) == frame


def test_taps_offer_offloads_and_none_is_taken(boot, namespace):
    guest = boot(ports=[tap_card("tap0"), tap_card("tap1")], namespace=namespace, words="log=debug")
    for port in (0, 1):
        assert offloads(offered(guest, port)) == set(OFFLOADS)
        assert not offloads(taken(guest, port))
    exchange(namespace)


def test_without_checksum_offload_segmentation_is_offered_and_still_not_taken(boot, namespace):
    """QEMU's csum=off leaves HOST_TSO4 on, which depends on it."""
    cards = [tap_card(tap, csum="off") for tap in ("tap0", "tap1")]
    guest = boot(ports=cards, namespace=namespace, words="log=debug")
    assert "HOST_TSO4" in offloads(offered(guest, 0))
    assert "CSUM" not in offloads(offered(guest, 0))
    assert not offloads(taken(guest, 0))
    exchange(namespace)


def test_segments_and_unfinished_checksums_of_the_host_arrive_finished(boot, namespace):
    """A frame that the host's kernel left without checksum, as it may on a tap with vnet headers,
    must come out with it: since GUEST_CSUM isn't taken, the host has to finish it."""
    import scapy.all as scapy

    boot(ports=[tap_card("tap0"), tap_card("tap1")], namespace=namespace)
    ip("-n", namespace, "addr", "add", "192.0.2.1/24", "dev", "tap0")
    ip("-n", namespace, "neigh", "add", "192.0.2.2", "lladdr", "02:00:00:00:00:02", "dev", "tap0")
    receiver = packet_socket(namespace, "tap1")
    send = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); " \
        "s.sendto(b'unfinished' * 20, ('192.0.2.2', 9))"
    subprocess.run(["ip", "netns", "exec", namespace, "/usr/bin/python3", "-c", send], check=True)
    with receiver:
        frame = receiver.recv(4096)
        while frame[12:14] != b"\x08\x00":
            frame = receiver.recv(4096)
    packet = scapy.Ether(frame)
    shown = packet[scapy.UDP].chksum
    del packet[scapy.UDP].chksum
    assert shown == scapy.Ether(bytes(packet))[scapy.UDP].chksum
