"""The errors of a device on a queue, by name. All of this runs inside a back end."""

import struct
from collections.abc import Callable
from dataclasses import dataclass

import capture
from ring import DESC, USED_ELEM, VIRTQ_DESC_F_NEXT, Pattern
from vhost import RX

# Comes in truthfully in front of some lies, and must go out.
FRAME = capture.frame(60, seed=4711)


@dataclass(frozen=True)
class Lie:
    """`tell` does it to one queue of a back end and returns the number that the guest must name."""

    name: str
    reason: str  # by which the guest knows the breach
    tell: Callable
    honest: int = 0  # chains that are finished rightly before the lie

    def told(self, end, queue):
        """Tells the lie, and then leaves both queues alone until the guest has reset the card: what
        was told would else be put right before anybody has seen it."""
        value = self.tell(end, queue)
        for each in end.queues.values():
            each.held = True
        return value


def claim(end, queue, number):
    """A chain of this number is given back."""
    end.queues[queue].ring.claim(number, end.header_size + len(FRAME) if queue == RX else 0)
    return number


def out_of_range(end, queue):
    return claim(end, queue, end.queues[queue].ring.size)


def huge(end, queue):
    return claim(end, queue, 0xFFFFFFFF)


def twice(end, queue):
    ring = end.queues[queue].ring
    chain = ring.fetch()
    ring.finish(*(end.deliver(FRAME, chain) if queue == RX else end.collect(chain)))
    return claim(end, queue, chain.head)


def not_outstanding(end, queue):
    return claim(end, queue, end.queues[queue].ring.idle()[0])


def all_the_same(end, queue):
    """All entries of the used ring name the chain that was finished first."""
    ring = end.queues[queue].ring
    chain, *_ = [ring.fetch() for _ in range(9)]
    head, length = end.deliver(FRAME, chain) if queue == RX else end.collect(chain)
    ring.overwrite_used(USED_ELEM.pack(head, length))
    ring.show(ring.finished + 9)
    return head


def inside_chain(end, queue):
    """A descriptor that is out, but is not a chain's first one."""
    return claim(end, queue, end.queues[queue].ring.fetch().ids[1])


def show(end, queue, distance):
    """The index is wrong by `distance`."""
    ring = end.queues[queue].ring
    ring.show(ring.finished + distance)
    return (ring.finished + distance) & 0xFFFF


def ahead(end, queue):
    return show(end, queue, end.queues[queue].ring.pending() + 1)


def backwards(end, queue):
    return show(end, queue, -1)


def half_way_round(end, queue):
    return show(end, queue, 0x8000)


def length(end, queue, of):
    """The next chain is given back with a length that `of` makes of it."""
    ring = end.queues[queue].ring
    chain = ring.fetch()
    chain.write(bytes(end.header_size) + FRAME)
    value = of(end, chain)
    ring.claim(chain.head, value)
    return value


def of_length(of):
    return lambda end, queue: length(end, queue, of)


# On either queue. The names are the specification's words for what is wrong.
INDICES_AND_IDS = [
    Lie("id_out_of_range", "used-id-range", out_of_range),
    Lie("id_huge", "used-id-range", huge),
    Lie("id_twice", "used-id-not-outstanding", twice, honest=1),
    Lie("id_not_outstanding", "used-id-not-outstanding", not_outstanding),
    Lie("entries_all_the_same", "used-id-not-outstanding", all_the_same, honest=1),
    Lie("idx_ahead_of_what_is_outstanding", "used-idx", ahead),
    Lie("idx_backwards", "used-idx", backwards),
    Lie("idx_half_way_round", "used-idx", half_way_round),
]
# Where the header has a descriptor of its own.
INSIDE_CHAIN = Lie("id_inside_a_chain", "used-id-not-outstanding", inside_chain)
# On the receive queue: on the other one a length means nothing.
LENGTHS = [
    Lie("length_0", "used-length-short", of_length(lambda end, chain: 0)),
    Lie("length_below_the_header", "used-length-short",
        of_length(lambda end, chain: end.header_size - 1)),
    Lie("length_above_the_buffer", "used-length-long", of_length(lambda end, chain: chain.size() + 1)),
    Lie("length_huge", "used-length-long", of_length(lambda end, chain: 0xFFFFFFFF)),
]  # fmt: skip


def never_given(end, queue):
    """All that is out is used, and one descriptor more."""
    return end.queues[queue].ring.claim_all_and_one_more()


# Of a packed ring, in which an id has 16 bits and there is no index.
PACKED = [
    Lie("id_out_of_range", "used-id-range", out_of_range),
    Lie("id_huge", "used-id-range", lambda end, queue: claim(end, queue, 0xFFFF)),
    Lie("id_twice", "used-id-not-outstanding", twice, honest=1),
    Lie("id_not_outstanding", "used-id-not-outstanding", not_outstanding),
]


def elsewhere(distance):
    """The next chain is given back so many places from where it should be."""

    def tell(end, queue):
        ring = end.queues[queue].ring
        length = end.header_size + len(FRAME) if queue == RX else 0
        return ring.claim_elsewhere(ring.fetch().head, length, distance)

    return tell


def neither(end, queue):
    """Flags that are neither those of an available descriptor nor those of a used one."""
    return end.queues[queue].ring.distort_flags(lambda wrap: 1 << 15 if wrap else 1 << 7)[1]


def other_round(end, queue):
    """Used, by the wrap counter of the round before."""
    return end.queues[queue].ring.distort_flags(lambda wrap: 0 if wrap else 1 << 15 | 1 << 7)[0]


def overwritten(byte):
    """One chain is finished rightly, and all descriptors behind it are written over."""

    def tell(end, queue):
        ring = end.queues[queue].ring
        chain = ring.fetch()
        ring.finish(*(end.deliver(FRAME, chain) if queue == RX else end.collect(chain)))
        ring.publish()
        return ring.overwrite_unused(byte)

    return tell


def all_overwritten(byte):
    """Nothing is finished, and what waits is written over."""
    return lambda end, queue: end.queues[queue].ring.overwrite_unused(byte)


# By which each side waits for the other: the guest finds them by an audit of the ring.
SILENT = [
    Lie("used_three_places_ahead", "used-order", elsewhere(3)),
    Lie("used_two_places_behind", "used-order", elsewhere(-2)),
    Lie("flags_neither_available_nor_used", "used-flags", neither),
    Lie("flags_of_the_round_before", "used-order", other_round),
    Lie("overwritten_with_garbage", "ring-overwritten", overwritten(0x5A), honest=1),
    Lie("overwritten_with_zeros", "ring-overwritten", overwritten(0), honest=1),
    Lie("overwritten_with_ones", "ring-overwritten", overwritten(0xFF), honest=1),
    Lie("used_one_place_ahead", "used-order", elsewhere(1)),
    Lie("used_a_hundred_places_ahead", "used-order", elsewhere(100)),
    Lie("used_one_place_behind", "used-order", elsewhere(-1)),
    Lie("all_overwritten_with_garbage", "ring-overwritten", all_overwritten(0x5A)),
    Lie("all_overwritten_with_zeros", "ring-overwritten", all_overwritten(0)),
    Lie("all_addresses_zero", "ring-overwritten",
        lambda end, queue: end.queues[queue].ring.clear_addresses()),
]  # fmt: skip
NEVER_GIVEN = Lie("used_and_never_given", "used-idx", never_given)

PATTERNS = {
    "ones": Pattern(b"\xff" * DESC.size, 0xFFFF),
    "zeros": Pattern(bytes(DESC.size), 0),
    # Every chain leads into the same circle of one, and every entry stands for that.
    "a_loop": Pattern(DESC.pack(0x1000, 16, VIRTQ_DESC_F_NEXT, 1), 1),
}

# Words of the header that only features give a meaning that we have not agreed to: checksums to be
# completed, segments to be made, and lengths for both.
HEADERS = {
    "ones": b"\xff" * 10,
    "unfinished_checksum": struct.pack("@BBHHHH", 1, 0, 0, 0, 14, 0xFFFF),
    "segments": struct.pack("@BBHHHH", 1, 0x81, 54, 1, 34, 6),
}
