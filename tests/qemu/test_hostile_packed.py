"""A device that breaks the rules of a packed ring, against the real kernel.

As in test_hostile.py, whose arena and attacks these are; port 0 has EVENT_IDX, port 1 has not and wants
no doorbells. The host's tests have the other lies, and both rings at all of their places.
"""

import pytest

import capture
from exchange import cross
from hostile import LENGTHS, NEVER_GIVEN, PACKED, SILENT
from test_hostile import QUEUES, Arena, attack
from vhost import (
    FEATURES,
    VIRTIO_F_EVENT_IDX,
    VIRTIO_F_RING_PACKED,
    VIRTIO_F_VERSION_1,
    nic,
)

PACKED_FEATURES = FEATURES & ~VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1 | VIRTIO_F_RING_PACKED
RESERVED = 3  # of the event suppression's flags (§2.8.14)


def make_arena(boot):
    cards = [
        nic(features=PACKED_FEATURES | VIRTIO_F_EVENT_IDX),
        nic(features=PACKED_FEATURES, notify=False),
    ]
    arena = Arena(boot, cards, parts=(1, 1))
    for end in arena.ends[:2]:
        assert end.taken_features & VIRTIO_F_RING_PACKED
    return arena


@pytest.fixture
def arena(shared):
    """An arena that other tests have used, too; a port may be reset there."""
    if shared.get(make_arena).worn_out():
        shared.forget()
    return shared.get(make_arena)


# With the event suppression below forty faults.
MATRIX = [(queue, lie) for lie in PACKED + SILENT for queue in QUEUES]
MATRIX += [("rx", lie) for lie in LENGTHS] + [("tx", NEVER_GIVEN)]


def fault(queue, lie):
    marks = [pytest.mark.kvm] if lie is NEVER_GIVEN else []
    return pytest.param(queue, lie, id=f"{queue}-{lie.name}", marks=marks)


@pytest.mark.parametrize("queue, lie", [fault(*row) for row in MATRIX])
def test_port_is_reset_and_forwards_again_after(arena, queue, lie):
    attack(arena, 0 if queue == "rx" else 1, QUEUES[queue], lie)


def test_reserved_value_in_the_event_suppression_costs_doorbells_at_most(arena):
    """It is written behind whatever the back end says by itself, time and again."""
    start = arena.guest.console.count()

    def nonsense(end):
        for queue in end.queues.values():
            queue.ring.ask_nonsense(RESERVED)

    for seed in range(20):
        arena.ends[1].inside(nonsense)
        cross(arena.guest, 0, 1, capture.frames(50, seed=seed), capture.frames(50, seed=seed + 50))
    assert not arena.since(start, "error", "warn", "reset")
    arena.works(1)
