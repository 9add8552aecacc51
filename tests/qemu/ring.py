"""The device's side of a split virtqueue (virtio 1.2 §2.7), in memory shared with the guest.

The guest reads and writes the words of a ring at any time. They are accessed through views of their
own width: one access each. struct would take them byte by byte, or write zeros first, and the guest
could see an index that was never written.

A device that means well calls `fetch`, `finish` and `publish`, and nothing else. The rest of the
class is for one that doesn't.
"""

import mmap
import struct
import threading
from dataclasses import dataclass

DESC = struct.Struct("@QIHH")  # addr len flags next
USED_ELEM = struct.Struct("@II")  # id len
VIRTQ_DESC_F_NEXT = 1
VIRTQ_DESC_F_WRITE = 2
VIRTQ_DESC_F_INDIRECT = 4
VIRTQ_USED_F_NO_NOTIFY = 1
AVAIL_FLAGS, AVAIL_IDX, AVAIL_RING = 0, 1, 2  # in 16-bit words
USED_FLAGS, USED_IDX, USED_RING = 0, 1, 2


class RingError(AssertionError):
    """The guest broke the rules of the ring."""


class Region:
    """A piece of the guest's memory: its address for the guest, for QEMU, and for us."""

    def __init__(self, descriptor, guest, size, qemu, offset):
        self.guest = guest
        self.qemu = qemu
        self.size = size
        self.bytes = memoryview(mmap.mmap(descriptor, offset + size))[offset:]


class Memory:
    """All of the guest's memory."""

    def __init__(self, regions=()):
        self.regions = list(regions)

    def guest(self, address, length):
        """The bytes at a physical address of the guest."""
        return self._find(address, length, lambda region: region.guest)

    def qemu(self, address, length):
        """The bytes at an address in QEMU's own space: the protocol gives rings as such."""
        return self._find(address, length, lambda region: region.qemu)

    def _find(self, address, length, start_of):
        for region in self.regions:
            start = address - start_of(region)
            if 0 <= start and start + length <= region.size:
                return region.bytes[start : start + length]
        raise RingError(f"address {address:#x}, {length} bytes, is outside the guest's memory")


@dataclass
class Addresses:
    """The parts of a ring, in QEMU's address space."""

    desc: int
    used: int
    avail: int


@dataclass
class Chain:
    """Descriptors as the guest has offered them: private copies, except for what they point to."""

    ids: list  # of the descriptors; the first one is the chain's
    pieces: list  # the memory that they point to
    writable: bool

    @property
    def head(self):
        """What the guest knows the chain by."""
        return self.ids[0]

    def size(self):
        """The bytes of all pieces."""
        return sum(map(len, self.pieces))

    def read(self):
        """What stands there."""
        return b"".join(self.pieces)

    def write(self, data):
        """Puts `data` there, over as many pieces as it takes."""
        if not self.writable or len(data) > self.size():
            raise RingError(f"{len(data)} bytes don't go into chain {self.head}")
        for piece in self.pieces:
            part, data = data[: len(piece)], data[len(piece) :]
            piece[: len(part)] = part


@dataclass
class Pattern:
    """What a device overwrites the shared memory with: a descriptor and an available entry."""

    desc: bytes
    avail: int


class Ring:
    """A queue that runs. `notify`: the guest shall ring the doorbell; else it shall not."""

    def __init__(self, memory, size, addresses, event_idx, notify):
        self._begin(size, event_idx, notify)
        self._memory = memory
        self._desc = memory.qemu(addresses.desc, DESC.size * size)
        self._avail = memory.qemu(addresses.avail, 6 + 2 * size).cast("H")  # flags idx ring event
        used = memory.qemu(addresses.used, 6 + USED_ELEM.size * size)
        self._used = used.cast("H")  # flags idx ring event
        self._used_ring = used[4:-2].cast("I")  # id len, id len, …
        self._pattern = None
        self._heads = []  # what stood in the available ring before it was overwritten
        self._kept = {}  # chains that were offered then

    def _begin(self, size, event_idx, notify):
        """The common part of all formats of rings."""
        self.size = size
        self.finished = 0  # chains that were given back, modulo 2^16
        self.fetched = 0  # chains that were taken
        self.interrupts = 0  # how often the guest has wanted one
        self.interrupt = lambda: None  # gives it one
        self._event_idx = event_idx
        self._notify = notify
        self._fence = threading.Lock()

    def begin(self, base):
        """Goes on where QEMU says that the ring stood."""
        self.fetched = self.finished = base

    def end(self):
        """What QEMU gets to know of where it stands."""
        return self.fetched

    def pending(self):
        """How many chains the guest has offered that aren't fetched."""
        count = (self._avail[AVAIL_IDX] - self.fetched) & 0xFFFF
        if count > self.size:
            raise RingError(f"avail.idx is {count} ahead of us in a ring of {self.size}")
        return count

    def offered(self):
        """The chains that aren't fetched, in their order."""
        return [self._chain(self._head(self.fetched + ahead)) for ahead in range(self.pending())]

    def fetch(self):
        """Takes the next chain."""
        if not self.pending():
            raise RingError("nothing is offered")
        chain = self._chain(self._head(self.fetched))
        if self._pattern:
            self._avail[AVAIL_RING + self.fetched % self.size] = self._pattern.avail
            self._overwrite_descriptors(chain.ids)
            self._kept.pop(chain.head, None)
        self.fetched = (self.fetched + 1) & 0xFFFF
        return chain

    def finish(self, head, length):
        """Gives a chain back; the guest sees it with the next `publish`."""
        self.finished = (self.finished + 1) & 0xFFFF
        self.rewrite_last(head, length)

    def publish(self):
        """Shows the guest what was finished."""
        old = self._used[USED_IDX]
        self.show(self.finished)
        self._full_fence()
        if self._event_idx:
            event = self._avail[AVAIL_RING + self.size]
            passed = (self.finished - event - 1) & 0xFFFF
            wanted = passed < ((self.finished - old) & 0xFFFF)
        else:
            wanted = not self._avail[AVAIL_FLAGS] & 1
        self.interrupts += wanted
        if wanted:
            self.interrupt()

    def ask(self):
        """Says whether the next chain is to be announced. True if there is one already."""
        if self._event_idx:
            # One behind what we wait for will not be passed for another 65535 chains (§2.7.10).
            event = self.fetched if self._notify else self.fetched - 1
            self._used[USED_RING + 4 * self.size] = event & 0xFFFF
        else:
            self._used[USED_FLAGS] = 0 if self._notify else VIRTQ_USED_F_NO_NOTIFY
        self._full_fence()
        return self.pending() > 0

    # Acts of a hostile device only.

    def show(self, index):
        """Writes any value to used.idx."""
        self._used[USED_IDX] = index & 0xFFFF

    def claim(self, head, length):
        """Gives any chain back, with any length, and publishes it."""
        self.finish(head, length)
        self.show(self.finished)

    def rewrite_last(self, head, length):
        """Writes the entry of the chain that was given back last, as it was or as something else."""
        at = 2 * ((self.finished - 1) % self.size)
        self._used_ring[at], self._used_ring[at + 1] = head, length

    def idle(self):
        """Descriptors of which the guest has offered nothing, or has had it back."""
        out = {number for chain in self.offered() for number in chain.ids}
        return sorted(set(range(self.size)) - out)

    def overwrite(self, pattern):
        """Overwrites the descriptors and the available ring, and from now on each chain's part as
        soon as it was fetched. To be called while the guest has nothing to do on this queue.

        What the guest has offered is remembered, so that all goes on as if nothing had happened. Of
        what it offers later the descriptors are read; the available ring's entries are not, as a
        guest need not write them again for a device that finishes chains in order.
        """
        self._kept = {chain.head: chain for chain in self.offered()}
        self._heads = self._heads or list(self._avail[AVAIL_RING : AVAIL_RING + self.size])
        self._pattern = pattern
        self._overwrite_descriptors(range(self.size))
        for slot in range(self.size):
            self._avail[AVAIL_RING + slot] = pattern.avail

    def overwrite_used(self, entry):
        """Overwrites all entries of the used ring."""
        self._used_ring.cast("B")[:] = entry * self.size

    def _overwrite_descriptors(self, ids):
        for number in ids:
            self._desc[DESC.size * number : DESC.size * (number + 1)] = self._pattern.desc

    def _head(self, index):
        slot = index % self.size
        return self._heads[slot] if self._heads else self._avail[AVAIL_RING + slot]

    def _chain(self, head):
        if head in self._kept:
            return self._kept[head]
        address, length, flags, _ = DESC.unpack_from(self._desc, DESC.size * head)
        if not flags & VIRTQ_DESC_F_INDIRECT:
            return self._follow(self._desc, head)
        if flags != VIRTQ_DESC_F_INDIRECT or length > DESC.size * self.size:
            raise RingError(f"a table of {length} bytes, with flags {flags}")
        table = self._follow(self._memory.guest(address, length), 0)
        return Chain([head], table.pieces, table.writable)

    def _follow(self, table, head):
        ids, pieces = [head], []
        while len(ids) <= self.size:
            address, length, flags, following = DESC.unpack_from(table, DESC.size * ids[-1])
            pieces.append(self._memory.guest(address, length))
            if not flags & VIRTQ_DESC_F_NEXT:
                return Chain(ids, pieces, bool(flags & VIRTQ_DESC_F_WRITE))
            ids.append(following)
        raise RingError(f"chain {head} has no end")

    def _full_fence(self):
        """Our writes before what we read next (§2.7.7.2, §2.7.10)."""
        with self._fence:  # an atomic exchange, which on x86 orders all accesses
            pass
