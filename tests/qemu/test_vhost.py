"""Frames through a device of our own that plays by the rules.

It sees what QEMU's own device doesn't show: the header in front of each frame that is sent, whether
a doorbell comes where one is asked for and none where not, and whether an interrupt was wanted.
"""

import functools

import pytest

import capture
from exchange import cross, silent
from guest import settle
from vhost import (
    RX,
    TX,
    VIRTIO_F_ANY_LAYOUT,
    VIRTIO_F_EVENT_IDX,
    VIRTIO_F_RING_PACKED,
    VIRTIO_F_VERSION_1,
    nic,
)

# The features of the devices of both ports.
FEATURES = {
    "event_idx": VIRTIO_F_EVENT_IDX | VIRTIO_F_ANY_LAYOUT,
    "flags": VIRTIO_F_ANY_LAYOUT,
    "event_idx_and_fixed_layout": VIRTIO_F_EVENT_IDX,
    "flags_and_fixed_layout": 0,
    "version_1_and_event_idx": VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX,
    "version_1_and_flags": VIRTIO_F_VERSION_1,
    "packed_and_event_idx": VIRTIO_F_VERSION_1 | VIRTIO_F_RING_PACKED | VIRTIO_F_EVENT_IDX,
    "packed_and_flags": VIRTIO_F_VERSION_1 | VIRTIO_F_RING_PACKED,
}


@pytest.fixture(scope="module", params=FEATURES)
def kind(request):
    """What the devices offer: all tests for one kind come together."""
    return request.param


@pytest.fixture
def wire(shared, kind):
    """Two ports that differ in nothing but the doorbells: port 0 wants them, port 1 doesn't."""
    return shared.get(functools.partial(make_wire, kind), kind)


def make_wire(kind, boot):
    features = FEATURES[kind]
    ports = [nic(features=features, notify=notify) for notify in (True, False)]
    guest = boot(ports=ports, words="stats=1 idle=poll", shared_memory=True)
    transport = "modern" if features & VIRTIO_F_VERSION_1 else "legacy"
    for port, end in enumerate(guest.ends):
        assert end.taken_features & features == features
        assert guest.port(port)["transport"] == transport
    return guest


def doorbells(end):
    """How often the guest has rung for each queue."""
    return [end.queues[queue].doorbells for queue in (RX, TX)]


def interrupts(end):
    """How often the guest has wanted an interrupt."""
    return sum(end.queues[queue].ring.interrupts for queue in (RX, TX))


def test_frames_pass_byte_exact_with_a_zero_header_and_no_interrupt(wire):
    frames = capture.odd_frames() + capture.frames(600, seed=1)
    cross(wire, 0, 1, frames, frames[::-1])
    for end in wire.ends:
        assert end.headers == {bytes(end.header_size)}
        assert interrupts(end) == 0


def test_rings_go_round_many_times_and_no_doorbell_goes_where_none_is_wanted(wire):
    cross(wire, 0, 1, capture.frames(40))
    before = doorbells(wire.ends[1])
    there, back = capture.frames(2000, seed=5, size=64), capture.frames(2000, seed=6, size=64)
    cross(wire, 0, 1, there, back)
    assert doorbells(wire.ends[1]) == before
    # Port 0's back end looks at its rings only when it is rung for.
    assert all(doorbells(wire.ends[0]))


def test_lone_frames_are_each_announced(wire):
    """One frame in flight at a time: a doorbell that is missing once leaves it there for good."""
    for number in range(300):
        frame = [capture.frame(60, seed=number)]
        wire.ends[1].send(*frame)
        wire.ends[0].expect(frame)


def test_chains_that_are_finished_in_any_order_are_taken_so(wire):
    for end in wire.ends:
        end.shuffles = True
    cross(wire, 0, 1, capture.frames(1500, seed=8), capture.frames(1500, seed=9))
    for end in wire.ends:
        end.shuffles = False
    cross(wire, 0, 1, capture.frames(600, seed=10), capture.frames(600, seed=11))


def test_rings_go_on_where_they_were_when_the_machine_was_stopped(wire):
    """QEMU takes the rings away from the back end and gives them back."""
    for number in range(3):
        starts = wire.ends[0].starts
        wire.qmp.command("stop")
        frames = capture.frames(400, seed=20 + number)
        wire.ends[0].send(*frames)
        wire.qmp.command("cont")
        wire.ends[1].expect(frames)
        assert settle(lambda: wire.ends[0].starts == starts + 2)


def test_nothing_else_came_out_and_nothing_was_dropped(wire):
    silent(wire, 0, 1)
    wire.later_stats(1)
    for port, end in enumerate(wire.ends):
        counters = wire.find("stats", port=port)[-1]
        assert counters.integer("rx_packets") == len(end.sent)
        assert counters.integer("tx_packets") == len(end.received)
        assert (counters["rx_dropped"], counters["tx_dropped"]) == ("0", "0")
    assert not wire.find("error") and not wire.find("reset")
