"""Frames to send, and pcap files to read and to leave behind."""

import random
import struct
import subprocess
import sys

from places import ROOT

PCAP_MAGIC = 0xA1B2C3D4
LINKTYPE_ETHERNET = 1

# In no list of protocols: nothing on the way has a reason to look into such a frame.
ETHERTYPE_ODD = 0x88B5


def frame(size, source=1, destination=2, seed=0, ethertype=ETHERTYPE_ODD):
    """A frame of `size` bytes (14 at least) with random bytes after the header.

    Source and destination are the last bytes of locally administered unicast addresses.
    """
    header = bytes([2, 0, 0, 0, 0, destination]) + bytes([2, 0, 0, 0, 0, source])
    header += struct.pack(">H", ethertype)
    return header + random.Random(f"{seed} {size}").randbytes(size - len(header))


def frames(count, seed=0, size=None, **addresses):
    """`count` different frames, all of `size` bytes or of sizes spread from 60 to 1514."""
    sizes = random.Random(seed)
    return [
        frame(size or sizes.randint(60, 1514), seed=seed * 1000003 + number, **addresses)
        for number in range(count)
    ]


def odd_frames():
    """Frames that may break a driver: each small size, each large one, bytes all the same, tags."""
    sizes = list(range(14, 68)) + [127, 128, 129, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025]
    odd = [frame(size, seed=77) for size in sizes + list(range(1500, 1515))]
    # As raw bytes, not 802.3 and not Ethernet II at all: a wire has no opinion on what passes.
    odd += [bytes([value]) * 64 for value in (0x00, 0xFF, 0x55)]
    odd += [random.Random(number).randbytes(60 + number) for number in range(20)]
    odd.append(tagged_frame(1518))
    return odd


def tagged_frame(size, tag=100):
    """A frame of `size` bytes with an 802.1Q tag: 1518 is a full one."""
    plain = frame(size - 4, seed=tag)
    return plain[:12] + struct.pack(">HH", 0x8100, tag) + plain[12:]


def real_capture(path):
    """The frames of the repository's own capture, written to `path` by the script that makes it."""
    script = ROOT / "tools" / "make-capture"
    subprocess.run([sys.executable, str(script), str(path)], check=True, timeout=120)
    return read_pcap(path)


def read_pcap(path):
    """The frames of a pcap file in either byte order."""
    data = path.read_bytes()
    order = "<" if struct.unpack_from("<I", data)[0] == PCAP_MAGIC else ">"
    found, offset = [], 24
    while offset < len(data):
        length = struct.unpack_from(order + "I", data, offset + 8)[0]
        found.append(data[offset + 16 : offset + 16 + length])
        offset += 16 + length
    return found


def write_pcap(path, frame_list, times):
    """Writes `frame_list`, with `times` in seconds since the epoch, as a pcap file."""
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", PCAP_MAGIC, 2, 4, 0, 0, 1 << 18, LINKTYPE_ETHERNET))
        for one, when in zip(frame_list, times):
            micros = int(when * 1e6)
            out.write(struct.pack("<IIII", *divmod(micros, 10**6), len(one), len(one)))
            out.write(one)
