"""The device's side of a packed virtqueue (virtio 1.2 §2.8), in memory shared with the guest.

What ring.py does for a split one, with the same names: `fetch`, `finish`, `publish` and `ask` for a
device that means well, the rest for one that doesn't. Words are accessed in their own width, too.

Positions are counted round two rounds of the ring: the wrap counter is 1 in the first one and 0 in the
second (§2.8.1).
"""

import struct

from ring import (
    VIRTQ_DESC_F_INDIRECT,
    VIRTQ_DESC_F_NEXT,
    VIRTQ_DESC_F_WRITE,
    Chain,
    Ring,
    RingError,
)

DESC = struct.Struct("@QIHH")  # addr len id flags
DESC_SIZE = DESC.size
VIRTQ_DESC_F_AVAIL = 1 << 7
VIRTQ_DESC_F_USED = 1 << 15
RING_EVENT_FLAGS_ENABLE, RING_EVENT_FLAGS_DISABLE, RING_EVENT_FLAGS_DESC = range(3)
WRAP = 0x8000  # beside an offset into the ring, in 16 bits
EVENT_DESC, EVENT_FLAGS = 0, 1  # of an event suppression structure, in 16-bit words


class PackedRing(Ring):
    """A queue that runs; ring.Ring tells what for."""

    def __init__(self, memory, size, addresses, event_idx, notify):  # another memory, not a Ring's
        self._begin(size, event_idx, notify)
        self._memory = memory
        desc = memory.qemu(addresses.desc, DESC_SIZE * size)
        self._addr, self._len, self._word = (desc.cast(form) for form in "QIH")
        self._driver_event = memory.qemu(addresses.avail, 4).cast("H")
        self._device_event = memory.qemu(addresses.used, 4).cast("H")
        self._lengths = {}  # descriptors of chains that were fetched, by id
        self._unshown = []  # flags of what was finished, by position
        self._last = 0  # where what was finished last lies

    def begin(self, base):
        self.fetched, self.finished = self._position(base & 0xFFFF), self._position(base >> 16)

    def end(self):
        return self._offset(self.fetched) | self._offset(self.finished) << 16

    def pending(self):
        """How many chains the guest has offered that aren't fetched."""
        return len(self.offered())

    def offered(self):
        chains, position = [], self.fetched
        while len(chains) < self.size and self._is_available(position):
            chain, count = self._read(position)
            chains.append(chain)
            position += count
            if position - self.fetched >= self.size:
                break
        return chains

    def fetch(self):
        if not self._is_available(self.fetched):
            raise RingError("nothing is offered")
        chain, count = self._read(self.fetched)
        self._lengths[chain.head] = count
        self.fetched = self._ahead(self.fetched, count)
        return chain

    def finish(self, head, length):
        self._last = self.finished
        self.rewrite_last(head, length)
        flags = self._used(self.finished) | (VIRTQ_DESC_F_WRITE if length else 0)
        self._unshown.append((self.finished, flags))
        self.finished = self._ahead(self.finished, self._lengths.get(head, 1))

    def publish(self):
        old, wanted = {position for position, _ in self._unshown}, False
        self._show()
        self._full_fence()
        flags, event = self._driver_event[EVENT_FLAGS], self._driver_event[EVENT_DESC]
        if flags == RING_EVENT_FLAGS_DESC:
            wanted = self._position(event) in old
        else:
            wanted = flags == RING_EVENT_FLAGS_ENABLE
        self.interrupts += wanted
        if wanted:
            self.interrupt()

    def ask(self):
        self._device_event[EVENT_DESC] = self._offset(self.fetched)
        if not self._notify:
            self._device_event[EVENT_FLAGS] = RING_EVENT_FLAGS_DISABLE
        else:
            wanted = RING_EVENT_FLAGS_DESC if self._event_idx else RING_EVENT_FLAGS_ENABLE
            self._device_event[EVENT_FLAGS] = wanted
        self._full_fence()
        return self._is_available(self.fetched)

    # Acts of a hostile device only.

    def claim(self, head, length):
        self.finish(head, length)
        self._show()

    def rewrite_last(self, head, length):
        at = self._last % self.size
        self._len[4 * at + 2] = length
        self._word[8 * at + 6] = head & 0xFFFF

    def claim_all_and_one_more(self):
        """All that the guest has offered is used, and a descriptor that it has not; the first of them
        last, for a guest that finds only a part of them has room again, and looks no further. Returns
        the flags of the one more."""
        first, end = self.finished, self.fetched
        for chain in self.offered():
            end = self._ahead(end, len(chain.pieces))
        for distance in range((end - first) % (2 * self.size), -1, -1):
            position = self._ahead(first, distance)
            self._set_flags(position, self._used(position))
        self.finished = end
        return self._used(end)

    def claim_elsewhere(self, head, length, distance):
        """As claim, but so many places from where it belongs. Returns the slot."""
        self.finished = self._ahead(self.finished, distance)
        self.claim(head, length)
        return self._last % self.size

    def distort_flags(self, flags_of):
        """The next descriptor gets the flags that `flags_of` makes of its wrap counter. Returns its slot and
        these flags."""
        flags = flags_of(self._wrap_counter(self.finished))
        self._set_flags(self.finished, flags)
        return self.finished % self.size, flags

    def overwrite_unused(self, byte):
        """All descriptors but the last one that was used are rubbish, by whose flags they are neither
        available nor used. Returns the first one's slot."""
        for distance in range(self.size - 1):
            position = self._ahead(self.finished, distance)
            at = position % self.size
            self._addr[2 * at] = int.from_bytes(bytes([byte]) * 8, "little")
            self._len[4 * at + 2] = self._word[8 * at + 6] = byte
            neither = VIRTQ_DESC_F_USED if self._wrap_counter(position) else VIRTQ_DESC_F_AVAIL
            self._set_flags(position, neither)
        return self.finished % self.size

    def clear_addresses(self):
        """All descriptors have the address 0, and nothing else is changed. Returns the next one's slot."""
        for at in range(self.size):
            self._addr[2 * at] = 0
        return self.finished % self.size

    def ask_nonsense(self, flags):
        """Writes something else where `ask` says what is wanted."""
        self._device_event[EVENT_DESC], self._device_event[EVENT_FLAGS] = 0xFFFF, flags

    # Places.

    def _ahead(self, position, count):
        return (position + count) % (2 * self.size)

    def _wrap_counter(self, position):
        return position % (2 * self.size) < self.size

    def _offset(self, position):
        return position % self.size | (WRAP if self._wrap_counter(position) else 0)

    def _position(self, offset):
        return (offset & ~WRAP) + (0 if offset & WRAP else self.size)

    # Flags.

    def _flags(self, position):
        return self._word[8 * (position % self.size) + 7]

    def _set_flags(self, position, flags):
        self._word[8 * (position % self.size) + 7] = flags

    def _used(self, position):
        return VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED if self._wrap_counter(position) else 0

    def _is_available(self, position):
        flags, wrap = self._flags(position), self._wrap_counter(position)
        return bool(flags & VIRTQ_DESC_F_AVAIL) == wrap and bool(flags & VIRTQ_DESC_F_USED) != wrap

    def _show(self):
        """The first one last: the guest looks at none behind one that isn't used."""
        while self._unshown:
            self._set_flags(*self._unshown.pop())

    def _read(self, position):
        """The chain there, and how many descriptors of the ring it takes."""
        pieces = []
        for count in range(1, self.size + 1):
            at, flags = (position + count - 1) % self.size, self._flags(position + count - 1)
            piece = self._memory.guest(self._addr[2 * at], self._len[4 * at + 2])
            pieces += self._table(piece) if flags & VIRTQ_DESC_F_INDIRECT else [piece]
            if not flags & VIRTQ_DESC_F_NEXT:
                head = self._word[8 * at + 6]  # the last one's counts
                return Chain([head], pieces, bool(flags & VIRTQ_DESC_F_WRITE)), count
        raise RingError(f"chain at {position} has no end")

    def _table(self, table):
        """The pieces of an indirect table, whose descriptors follow each other (§2.8.7)."""
        return [self._memory.guest(address, length) for address, length, *_ in DESC.iter_unpack(table)]
