"""Offloads between two devices of our own, which see the header in front of each frame.

QEMU 7.2 knows no UDP segmentation; tests/host/test_virtio_net_offload.c has that.
"""

import struct

import pytest

import capture
from exchange import cross
from vhost import (
    FEATURES,
    RX,
    VIRTIO_F_INDIRECT_DESC,
    VIRTIO_F_RING_PACKED,
    VIRTIO_F_VERSION_1,
    VIRTIO_NET_F_MRG_RXBUF,
    nic,
)

CHECKSUMS = 1 << 0 | 1 << 1  # CSUM, GUEST_CSUM
SEGMENTS = 0xFF << 7  # GUEST_TSO4 to HOST_UFO
GUEST = 1 << 1 | 0xF << 7
OFFERED = FEATURES & ~VIRTIO_NET_F_MRG_RXBUF | CHECKSUMS | SEGMENTS
HEADER = struct.Struct("<BBHHHH")
NEEDS_CSUM, DATA_VALID, TCPV4 = 1, 2, 1


def tcp(length):
    """A frame that any header of a TCP segment over IPv4 may stand in front of."""
    frame = bytearray(capture.frame(length, seed=length))
    frame[12:34] = b"\x08\0\x45" + bytes(8) + b"\x06" + bytes(10)
    frame[46] = 0x50
    return bytes(frame)


def boot_two(boot, first, second):
    return boot(ports=[nic(features=first), nic(features=second)], shared_memory=True,
                memory_mib=96, words="stats=1")


def pass_one(guest, header, frame):
    """From port 0 to port 1; what stands in front of it there."""
    one, two = guest.ends
    two.headers.clear()
    one.header = header
    one.send(frame)
    two.expect([frame])
    (seen,) = two.headers
    return seen


VERSIONS = {
    "both-1.x": (VIRTIO_F_VERSION_1, VIRTIO_F_VERSION_1),
    "both-legacy": (0, 0),
    "1.x-to-legacy": (VIRTIO_F_VERSION_1, 0),
    "legacy-to-1.x": (0, VIRTIO_F_VERSION_1),
}


@pytest.mark.parametrize("versions", VERSIONS)
def test_a_header_leaves_as_it_came_whichever_its_length(boot, versions):
    guest = boot_two(boot, *(OFFERED | version for version in VERSIONS[versions]))
    padding = bytes(guest.ends[1].header_size - HEADER.size)
    for length in (65000, 2000, 1514):
        header = HEADER.pack(NEEDS_CSUM, TCPV4, 54, 1448, 34, 16)
        assert pass_one(guest, header, tcp(length)) == header + padding
    header = HEADER.pack(NEEDS_CSUM, 0, 0, 0, 34, 16)
    assert pass_one(guest, header, tcp(100)) == header + padding
    assert pass_one(guest, HEADER.pack(DATA_VALID, 0, 0, 0, 0, 0), tcp(100)) == bytes(
        HEADER.size) + padding
    guest.ends[0].header = bytes(HEADER.size)
    cross(guest, 0, 1, capture.frames(600, seed=1), capture.frames(600, seed=2))


def test_a_header_that_lies_costs_its_frame_and_is_counted(boot):
    guest = boot_two(boot, OFFERED | VIRTIO_F_VERSION_1, OFFERED | VIRTIO_F_VERSION_1)
    one, two = guest.ends
    one.header = HEADER.pack(NEEDS_CSUM, TCPV4, 54, 0, 34, 16)
    one.send(tcp(2000))
    assert guest.stats(1, drop_bad_offload=1).integer("tx_dropped") == 1
    good = HEADER.pack(NEEDS_CSUM, TCPV4, 54, 1448, 34, 16)
    assert pass_one(guest, good, tcp(3000))[:10] == good
    assert [event["reason"] for event in guest.find("reset")] == []
    (answer, _) = guest.ask("drops 1")
    assert answer["drop_bad_offload"] == "1"
    assert two.take(1, timeout=1) == []


@pytest.mark.parametrize("lacks, missing", [
    (1 << 0, GUEST), (1 << 11, 1 << 7), (1 << 12, 1 << 8), (1 << 13, 1 << 9), (1 << 14, 1 << 10)])
def test_a_device_is_asked_for_no_more_than_its_partner_takes(boot, lacks, missing):
    guest = boot_two(boot, OFFERED, OFFERED & ~lacks)
    assert guest.ends[0].taken_features & GUEST == GUEST & ~missing
    assert guest.ends[1].taken_features & GUEST == GUEST


MERGING = OFFERED | VIRTIO_NET_F_MRG_RXBUF | VIRTIO_F_INDIRECT_DESC
WAYS = {
    "1.x": VIRTIO_F_VERSION_1,
    "legacy": 0,
    "packed": VIRTIO_F_VERSION_1 | VIRTIO_F_RING_PACKED,
}


def boot_merging(boot, features):
    guest = boot(ports=[nic(features=MERGING | features)] * 2, shared_memory=True, memory_mib=96,
                 words="stats=1 mergeable=on")
    assert all(end.taken_features & VIRTIO_NET_F_MRG_RXBUF for end in guest.ends)
    return guest


@pytest.mark.parametrize("way", WAYS)
def test_frames_cross_in_several_buffers_beside_frames_in_one(boot, way):
    guest = boot_merging(boot, WAYS[way])
    header = HEADER.pack(NEEDS_CSUM, TCPV4, 54, 1448, 34, 16)
    lengths = [60 + (137 * n) % 1500 if n % 3 else 65549 - 997 * n for n in range(60)]
    for end in guest.ends:
        end.header = header
    frames = [tcp(max(length, 60)) for length in lengths]
    cross(guest, 0, 1, frames, list(reversed(frames)))
    assert guest.ends[1].headers == {header + bytes(guest.ends[1].header_size - HEADER.size)}
    counters = guest.stats(1, tx_packets=len(frames))
    assert counters.integer("tx_bytes") == sum(map(len, frames))
    assert counters["tx_dropped"] == "0"


@pytest.mark.parametrize("lie, value", [(0xFFFF, 0), (1, 2), (0xFFFE, 65535)])
def test_num_buffers_that_lies_costs_a_reset_of_the_port(boot, lie, value):
    guest = boot_merging(boot, VIRTIO_F_VERSION_1)
    one, two = guest.ends
    one.num_buffers_lie = lie
    one.send(tcp(100))
    error = guest.wait("error", port=0)
    assert error.matches({"reason": "num-buffers", "queue": RX, "value": value})
    one.num_buffers_lie = 0
    guest.wait("reset", port=0, state="done")
    one.header = HEADER.pack(NEEDS_CSUM, TCPV4, 54, 1448, 34, 16)
    one.send(tcp(60000))
    two.expect([tcp(60000)])
