"""Taps with vnet headers: the one backend here that offers checksum and segmentation offloads."""

import os
import struct
import subprocess

import pytest

from guest import Nic
from taps import exchange, ip, network, packet_socket, why_not

OFFLOADS = {
    "CSUM": 0, "GUEST_CSUM": 1,
    "GUEST_TSO4": 7, "GUEST_TSO6": 8, "GUEST_ECN": 9, "GUEST_UFO": 10,
    "HOST_TSO4": 11, "HOST_TSO6": 12, "HOST_ECN": 13, "HOST_UFO": 14,
}
MIB_FOR_SEGMENTS = 96


pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


@pytest.fixture
def namespace():
    """A network of its own, so that nothing of this machine's is touched."""
    with network() as name:
        yield name


def tap_card(tap, **options):
    return Nic(options=options, netdev=f"tap,ifname={tap},script=no,downscript=no,vnet_hdr=on")


def offloads(bits):
    return {name for name, bit in OFFLOADS.items() if bits >> bit & 1}


def offered(guest, port):
    return guest.wait("features", port=port).integer("offered_bits")


def taken(guest, port):
    return guest.port(port).integer("features")


def names(*patterns):
    return {name for name in OFFLOADS if any(name.startswith(pattern) for pattern in patterns)}


def test_taps_offer_offloads_and_all_are_taken(boot, namespace):
    guest = boot(ports=[tap_card("tap0"), tap_card("tap1")], namespace=namespace, words="log=debug",
                 memory_mib=MIB_FOR_SEGMENTS)
    for port in (0, 1):
        assert offloads(offered(guest, port)) >= names("CSUM", "GUEST_TSO", "HOST_TSO")
        assert offloads(taken(guest, port)) == offloads(offered(guest, port))
    exchange(namespace)


def test_offload_off_takes_none(boot, namespace):
    guest = boot(ports=[tap_card("tap0"), tap_card("tap1")], namespace=namespace, words="offload=off")
    for port in (0, 1):
        assert not offloads(taken(guest, port))
    exchange(namespace)


@pytest.mark.parametrize(
    "missing, left_out",
    [
        ("csum", {"GUEST_CSUM", "GUEST_TSO4", "GUEST_TSO6", "GUEST_ECN", "GUEST_UFO"}),
        ("host_tso4", {"GUEST_TSO4"}),
        ("host_tso6", {"GUEST_TSO6"}),
        ("host_ecn", {"GUEST_ECN"}),
        ("host_ufo", {"GUEST_UFO"}),
    ],
)
def test_a_port_accepts_no_more_than_its_partner_offers(boot, namespace, missing, left_out):
    """QEMU's csum=off leaves HOST_TSO4 on, which depends on it."""
    cards = [tap_card("tap0"), tap_card("tap1", **{missing: "off"})]
    guest = boot(ports=cards, namespace=namespace, words="log=debug", memory_mib=MIB_FOR_SEGMENTS)
    everything = offloads(offered(guest, 0))
    assert offloads(taken(guest, 0)) == everything - left_out
    assert names("GUEST") <= offloads(taken(guest, 1)) | left_out
    exchange(namespace)


def test_with_little_memory_segments_are_refused_and_checksums_stay(boot, namespace):
    """And so it is where buffers are not to be merged."""
    guest = boot(ports=[tap_card("tap0"), tap_card("tap1")], namespace=namespace, memory_mib=16,
                 words="mergeable=off")
    for port in (0, 1):
        assert offloads(taken(guest, port)) & names("GUEST") == {"GUEST_CSUM"}
        assert guest.wait("warn", port=port, reason="memory")
    exchange(namespace)


# struct virtio_net_hdr, as a socket with PACKET_VNET_HDR has it in front of each frame
HEADER = struct.Struct("<BBHHHH")
NEEDS_CSUM, TCPV4 = 1, 1
SOL_PACKET, PACKET_VNET_HDR = 263, 15


def headed(raw):
    raw.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    return raw


def large_segment(payload):
    """A TCP segment of up to 64 KiB as a kernel hands it over: with the sum of its pseudo header."""
    import scapy.all as scapy

    packet = scapy.Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01")
    packet /= scapy.IP(src="192.0.2.1", dst="192.0.2.2") / scapy.TCP(sport=1, dport=2, flags="PA")
    frame = bytearray(bytes(packet) + payload)
    frame[16:18] = struct.pack(">H", len(frame) - 14)
    frame[24:26] = b"\0\0"
    total = sum(struct.unpack(">10H", frame[14:34]))
    total = (total & 0xFFFF) + (total >> 16)
    frame[24:26] = struct.pack(">H", ~total & 0xFFFF)
    pseudo = sum(struct.unpack(">4H", frame[26:34])) + 6 + len(frame) - 34
    while pseudo >> 16:
        pseudo = (pseudo & 0xFFFF) + (pseudo >> 16)
    frame[50:52] = struct.pack(">H", pseudo)
    return bytes(frame)


CARDS = {
    "modern": ({}, {}),
    "legacy": ({"disable-modern": "on"}, {"disable-modern": "on"}),
    "long-to-short": ({}, {"disable-modern": "on"}),
    "short-to-long": ({"disable-modern": "on"}, {}),
}


def receive_large(receiver, minimum):
    """The next frame of at least that length, with the header in front of it."""
    while True:
        data = receiver.recv(70000)
        if len(data) >= HEADER.size + minimum:
            return HEADER.unpack_from(data), data[HEADER.size:]


@pytest.mark.parametrize("merging", ["off", "on"])
@pytest.mark.parametrize("kind", CARDS)
def test_a_segment_of_64_kib_crosses_in_one_piece_byte_for_byte(boot, namespace, kind, merging):
    """In one buffer, or, with little memory, in several."""
    cards = [tap_card(tap, mrg_rxbuf=merging, **options)
             for tap, options in zip(("tap0", "tap1"), CARDS[kind])]
    guest = boot(ports=cards, namespace=namespace, words="stats=1",
                 memory_mib=16 if merging == "on" else MIB_FOR_SEGMENTS)
    assert bool(taken(guest, 0) >> 15 & 1) == (merging == "on")
    frame = large_segment(os.urandom(64000))
    header = HEADER.pack(NEEDS_CSUM, TCPV4, 54, 1460, 34, 16)
    a, b = (headed(packet_socket(namespace, tap)) for tap in ("tap0", "tap1"))
    with a, b:
        for sender, receiver in ((a, b), (b, a)):
            sender.send(header + frame)
            (flags, kind_of, _, size, start, offset), received = receive_large(receiver, 50000)
            assert received == frame
            assert (flags & NEEDS_CSUM, kind_of, size, start, offset) == (1, TCPV4, 1460, 34, 16)
    counters = guest.stats(1, tx_bytes=len(frame))
    assert counters.integer("drop_bad_offload") == counters.integer("drop_no_offload") == 0


def send_datagram(namespace):
    ip("-n", namespace, "addr", "add", "192.0.2.1/24", "dev", "tap0")
    ip("-n", namespace, "neigh", "add", "192.0.2.2", "lladdr", "02:00:00:00:00:02", "dev", "tap0")
    send = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); " \
        "s.sendto(b'unfinished' * 20, ('192.0.2.2', 9))"
    subprocess.run(["ip", "netns", "exec", namespace, "/usr/bin/python3", "-c", send], check=True)


def checksum_is_right(frame):
    import scapy.all as scapy

    packet = scapy.Ether(frame)
    shown = packet[scapy.UDP].chksum
    del packet[scapy.UDP].chksum
    return shown == scapy.Ether(bytes(packet))[scapy.UDP].chksum


@pytest.mark.parametrize("words", ["offload=on", "offload=off"])
def test_unfinished_checksums_of_the_host_arrive_flagged_or_finished(boot, namespace, words):
    """A datagram that the host's kernel left without checksum, as it may on a tap with vnet headers."""
    boot(ports=[tap_card("tap0"), tap_card("tap1")], namespace=namespace, words=words)
    with headed(packet_socket(namespace, "tap1")) as receiver:
        send_datagram(namespace)
        frame, header = b"", None
        while frame[12:14] != b"\x08\x00":
            header, frame = receive_large(receiver, 14)
    flagged = bool(header[0] & NEEDS_CSUM)
    assert flagged == (words == "offload=on")
    assert flagged or checksum_is_right(frame)


def test_a_partner_without_checksums_makes_the_host_finish_them(boot, namespace):
    boot(ports=[tap_card("tap0"), tap_card("tap1", csum="off")], namespace=namespace)
    with headed(packet_socket(namespace, "tap1")) as receiver:
        send_datagram(namespace)
        frame, header = b"", None
        while frame[12:14] != b"\x08\x00":
            header, frame = receive_large(receiver, 14)
    assert not header[0] & NEEDS_CSUM
    assert checksum_is_right(frame)


def test_jumbo_frames_cross_without_offloads(boot, namespace):
    for tap in ("tap0", "tap1"):
        ip("-n", namespace, "link", "set", tap, "mtu", "9000")
    boot(ports=[tap_card("tap0"), tap_card("tap1")], namespace=namespace, words="offload=off")
    frame = bytes.fromhex("02000000000202000000000188b5") + os.urandom(9000)
    a, b = (packet_socket(namespace, tap) for tap in ("tap0", "tap1"))
    with a, b:
        for sender, receiver in ((a, b), (b, a)):
            sender.send(frame)
            assert receiver.recv(70000) == frame


@pytest.fixture
def far_side(namespace):
    """A second network, to move a tap into once QEMU has opened it."""
    name = f"{namespace}f"
    assert ip("netns", "add", name).returncode == 0
    try:
        yield name
    finally:
        ip("netns", "delete", name)


def settle_in(namespace, tap, address):
    ip("-n", namespace, "addr", "add", f"{address}/24", "dev", tap)
    assert ip("-n", namespace, "link", "set", tap, "up").returncode == 0


SERVER = """
import hashlib, socket
server = socket.create_server(("192.0.2.2", 5000))
print("ready", flush=True)
connection, _ = server.accept()
digest = hashlib.sha256()
while data := connection.recv(1 << 20):
    digest.update(data)
print(digest.hexdigest())
"""

CLIENT = """
import hashlib, os, socket
block = os.urandom(1 << 20)
digest = hashlib.sha256()
with socket.create_connection(("192.0.2.2", 5000), 60) as connection:
    for _ in range({mib}):
        connection.sendall(block)
        digest.update(block)
print(digest.hexdigest())
"""


def python_in(namespace, script):
    command = ["ip", "netns", "exec", namespace, "/usr/bin/python3", "-c", script]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def transfer(here, there, mib):
    """`mib` MiB by TCP from one network to the other, the same at both ends."""
    with python_in(there, SERVER) as server:
        try:
            assert server.stdout.readline() == "ready\n"
            with python_in(here, CLIENT.format(mib=mib)) as client:
                sent = client.communicate(timeout=300)[0]
            assert sent and server.communicate(timeout=60)[0] == sent
        finally:
            server.kill()


def wrong_checksums(namespace):
    text = subprocess.run(["ip", "netns", "exec", namespace, "cat", "/proc/net/snmp"],
                          capture_output=True, text=True, check=True).stdout
    names_of, values = (line.split() for line in text.splitlines() if line.startswith("Tcp:"))
    return int(values[names_of.index("InCsumErrors")])


@pytest.mark.parametrize("words, smallest, largest", [("offload=on", 1600, 65550),
                                                      ("offload=off", 1000, 1514)])
def test_tcp_of_two_kernels_crosses_in_large_pieces_and_with_right_checksums(
        boot, namespace, far_side, words, smallest, largest):
    guest = boot(ports=[tap_card("tap0"), tap_card("tap1")], namespace=namespace,
                 words=words + " stats=1", memory_mib=MIB_FOR_SEGMENTS)
    assert ip("-n", namespace, "link", "set", "tap1", "netns", far_side).returncode == 0
    settle_in(namespace, "tap0", "192.0.2.1")
    settle_in(far_side, "tap1", "192.0.2.2")
    transfer(namespace, far_side, 24)
    counters = guest.stats(1, tx_bytes=24 << 20)
    average = counters.integer("tx_bytes") / counters.integer("tx_packets")
    assert smallest < average < largest
    for port in (0, 1):
        counters = guest.stats(port)
        assert counters.integer("rx_dropped") == counters.integer("tx_dropped") == 0
    assert wrong_checksums(namespace) == wrong_checksums(far_side) == 0
