"""
Reads pcap and pcapng files, gzipped or not, from start to end: out of a pipe, too. A damaged file
gives what is in front of the damage, and a word on the damage.

draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
"""

import collections
import gzip
import io
import struct
import zlib

GZIP_MAGIC = b"\x1f\x8b"
PCAP_MAGICS = {  # time stamps in microseconds or nanoseconds, written by either kind of machine
    b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">",
    b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<",
}  # fmt: skip
SECTION_HEADER, INTERFACE, OLD_PACKET, SIMPLE_PACKET, ENHANCED_PACKET = 0x0A0D0D0A, 1, 2, 3, 6
SECTION_MAGICS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
RECORD_MAX = 128 << 20  # no link type that libpcap knows has longer ones
ETHERNET = 1
ETHERNET_MAX = 262144  # libpcap's MAXIMUM_SNAPLEN
BLOCK_MIN = 12  # type and the two lengths

Record = collections.namedtuple("Record", "data wire_length linktype")


class NoCapture(Exception):
    """The file is something else."""


class Damage(Exception):
    """The file begins as a capture, and goes wrong. The text says how."""


class _Source:
    """Bytes in order; any fault in them raises Damage."""

    def __init__(self, file):
        self.compressed = file.peek(2)[:2] == GZIP_MAGIC
        self.file = gzip.GzipFile(fileobj=file) if self.compressed else file

    def read(self, length, what):
        """So many bytes of `what`, or none at all at the file's end."""
        data = self._read(length)
        if 0 < len(data) < length:
            raise Damage(f"{what} is cut short: {len(data)} of {length} bytes")
        return data

    def rest(self, length, what):
        """As read(), where the file must not end."""
        data = self.read(length, what)
        if length and not data:
            raise Damage(f"{what} is missing: the file ends in front of it")
        return data

    def _read(self, length):
        try:
            return self.file.read(length)
        except EOFError as error:
            raise Damage("the gzip stream is cut short") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise Damage(f"the gzip stream is damaged ({error})") from error


def records(path):
    """Yields each Record. Raises OSError, NoCapture or, behind the last whole one, Damage."""
    with open(path, "rb", buffering=io.DEFAULT_BUFFER_SIZE) as file:
        source = _Source(file)
        try:
            magic = source.read(4, "the file's header")
        except Damage as damage:
            if source.compressed:
                raise
            raise NoCapture(str(damage)) from damage
        if not magic:
            raise NoCapture("it is empty")
        if magic in PCAP_MAGICS:
            yield from _pcap(source, PCAP_MAGICS[magic])
        elif magic == SECTION_HEADER.to_bytes(4, "big"):
            yield from _pcapng(source)
        else:
            raise NoCapture(f"it begins with {magic.hex(' ')}")


def _pcap(source, order):
    head = source.rest(20, "the file's header")
    linktype = struct.unpack(order + "16xI", head)[0] & 0xFFFF  # above it, what is known of the FCS
    while head := source.read(16, "a record's header"):
        length, wire_length = struct.unpack(order + "8x2I", head)
        longest = ETHERNET_MAX if linktype == ETHERNET else RECORD_MAX
        if length > longest:
            raise Damage(f"a record claims to have {length} bytes")
        yield Record(source.rest(length, "a record"), wire_length, linktype)


def _pcapng(source):
    order, kind, linktypes = "", SECTION_HEADER, []
    while True:
        if kind == SECTION_HEADER:  # whose own magic says how its length is to be read
            head = source.rest(8, "a section's header")
            order = SECTION_MAGICS.get(head[4:])
            if order is None:
                raise Damage(f"a section's byte-order magic is {head[4:].hex(' ')}")
            linktypes = []
            _body(source, order, head[:4], head[4:])
        else:
            body = _body(source, order, source.rest(4, "a block's header"))
            if kind == INTERFACE:
                linktypes.append(_fields(body, order + "H", "an interface"))
            elif kind in PACKETS:
                yield PACKETS[kind](body, order, linktypes)
        kind_bytes = source.read(4, "a block's header")
        if not kind_bytes:
            return
        kind = struct.unpack(order + "I", kind_bytes)[0]


def _body(source, order, length_bytes, begun=b""):
    """The bytes between a block's two lengths, except those that were read already."""
    length, = struct.unpack(order + "I", length_bytes)
    if length < BLOCK_MIN + len(begun) or length % 4 or length > RECORD_MAX:
        raise Damage(f"a block claims to have {length} bytes")
    rest = source.rest(length - 8 - len(begun), "a block")
    again, = struct.unpack(order + "I", rest[-4:])
    if again != length:
        raise Damage(f"a block has {length} bytes by its first length, {again} by its last")
    return rest[:-4]


def _fields(body, form, what):
    if len(body) < struct.calcsize(form):
        raise Damage(f"{what} is too short: {len(body)} bytes")
    found = struct.unpack_from(form, body)
    return found[0] if len(found) == 1 else found


def _packet(body, form, linktypes):
    """A block that states interface, captured and original length, in this order."""
    interface, length, wire_length = _fields(body, form, "a frame's block")
    start = struct.calcsize(form)
    if length > len(body) - start:
        raise Damage(f"a frame claims to have {length} bytes, its block has {len(body) - start}")
    return Record(body[start:start + length], wire_length, _linktype(linktypes, interface))


def _simple_packet(body, order, linktypes):
    wire_length = _fields(body, order + "I", "a frame's block")
    return Record(body[4:4 + wire_length], wire_length, _linktype(linktypes, 0))


def _linktype(linktypes, interface):
    if interface >= len(linktypes):
        raise Damage(f"a frame came from interface {interface}, of which nothing is known")
    return linktypes[interface]


PACKETS = {
    ENHANCED_PACKET: lambda body, order, known: _packet(body, order + "I8x2I", known),
    OLD_PACKET: lambda body, order, known: _packet(body, order + "H10x2I", known),
    SIMPLE_PACKET: _simple_packet,
}
