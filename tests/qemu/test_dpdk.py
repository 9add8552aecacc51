"""Frames across two cards whose rings DPDK serves: from port 0 to 2, testpmd, and from 3 to 1."""

import tempfile

import pytest

import capture
import testpmd
from exchange import cross, silent
from guest import settle
from test_features import names

pytestmark = [
    pytest.mark.virtio,
    pytest.mark.skipif(not testpmd.PROGRAM, reason="no dpdk-testpmd (Debian: dpdk-dev)"),
]
whole = pytest.mark.whole

SERVED = (2, 3)  # the ports whose rings are testpmd's

FLIGHT = 120

NEWER_RING = 1024  # what QEMU 10 states in any case

SPLIT = {}
PACKED = {"packed": "on"}
# Only a card with a back end of its own may have a tx ring of another size than 256.
LARGE = {"rx_queue_size": "1024", "tx_queue_size": "1024"}
FIXED = {"event_idx": "off", "indirect_desc": "off", "queue_reset": "off"}
UNMERGED = {"mrg_rxbuf": "off"}
LEGACY = {"disable-legacy": "off", "disable-modern": "on"}


def ring_of(*cards):
    """How many descriptors the words ask for: as many as one of these cards has, or the usual 256."""
    return max(int(card.get("tx_queue_size", "256")) for card in cards)


@pytest.fixture
def served(boot):
    """Makes a machine whose ports 2 and 3 are testpmd's, and testpmd itself; both have begun."""
    with tempfile.TemporaryDirectory(prefix="bw", dir="/tmp") as directory:
        pmd = testpmd.Testpmd(directory)

        def make(left, right):
            pmd.start()
            ports = ["", "", pmd.nic(0, left), pmd.nic(1, right)]
            rings = ring_of(left, right)
            words = f"wire=0-2,1-3 stats=0 log=debug rx_ring={rings} tx_ring={rings}"
            guest = boot(ports=ports, devices=pmd.words(), shared_memory=True, words=words)
            pmd.forwards()
            return guest, pmd

        yield make
        pmd.close()


def pass_all(guest, there, back):
    """As cross, but with no more under way than a ring holds: like a switch, testpmd drops what the
    next ring has no room for."""
    for first in range(0, max(len(there), len(back)), FLIGHT):
        part = slice(first, first + FLIGHT)
        cross(guest, 0, 1, there[part], back[part])


def counted(guest, there, back):
    """Fails unless each port has counted exactly these frames, and has dropped none."""
    bytes_there, bytes_back = sum(map(len, there)), sum(map(len, back))
    expected = {
        0: (len(there), bytes_there, len(back), bytes_back),
        1: (len(back), bytes_back, len(there), bytes_there),
        2: (len(back), bytes_back, len(there), bytes_there),
        3: (len(there), bytes_there, len(back), bytes_back),
    }
    for event in guest.ask("stats")[:-1]:
        keys = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")
        assert tuple(map(event.integer, keys)) == expected[event.integer("port")], event.line
        assert (event["rx_dropped"], event["tx_dropped"]) == ("0", "0")


def replace(guest, pmd, seen):
    """Another testpmd in the place of one that has ended; `seen`: events before that."""
    pmd.start()
    for port in SERVED:
        guest.wait("link", port=port, state="up", start=seen)
    pmd.forwards()


@pytest.mark.parametrize(
    "left, right",
    [
        pytest.param(SPLIT, PACKED, id="split-packed"),
        pytest.param(PACKED, PACKED, id="packed-packed", marks=whole),
        pytest.param(LARGE, FIXED, id="large-fixed", marks=whole),
        pytest.param(PACKED | LARGE, PACKED | FIXED, id="packed_large-packed_fixed", marks=whole),
        pytest.param(UNMERGED, PACKED | UNMERGED, id="unmerged-packed_unmerged", marks=whole),
        pytest.param(LEGACY, LEGACY | FIXED | UNMERGED, id="legacy-legacy_fixed", marks=whole),
    ],
)
def test_frames_pass_through_testpmd_before_and_after_a_reset(served, left, right):
    guest, pmd = served(left, right)
    for port, card in zip(SERVED, (left, right)):
        taken = names(guest.port(port).integer("features"))
        assert guest.port(port)["transport"] == ("legacy" if "disable-modern" in card else "modern")
        assert ("RING_PACKED" in taken) == ("packed" in card)
        assert ("EVENT_IDX" in taken) == ("event_idx" not in card)
        chosen = stated = {ring_of(card), NEWER_RING}
        if "disable-modern" not in card:
            chosen = {min(size, ring_of(left, right)) for size in stated}
        assert guest.port(port).integer("tx_size") in chosen
    there = capture.frames(600, seed=1) + capture.odd_frames()
    back = capture.frames(500, seed=2)
    pass_all(guest, there, back)
    before = pmd.changes()
    for port in SERVED:
        assert guest.ask(f"reset {port}")[-1].name == "done"
        guest.wait("reset", port=port)
    assert pmd.linked([changes + 2 for changes in before])  # down and up
    pass_all(guest, back, there)
    silent(guest, 0, 1)
    counted(guest, there + back, back + there)
    assert pmd.end() == [(len(there + back),) * 2] * 2
    assert not guest.find("error")


@pytest.mark.parametrize(
    "card",
    [
        pytest.param(SPLIT, id="split"),
        pytest.param(PACKED, id="packed"),
        pytest.param(LEGACY, id="legacy"),
    ],
)
@whole
def test_testpmd_ends_and_another_takes_its_place(served, card):
    guest, pmd = served(card, card)
    sent = [[], []]
    for life in range(3):
        there, back = capture.frames(700, seed=life), capture.frames(450, seed=life + 50)
        pass_all(guest, there, back)
        sent = [sent[0] + there, sent[1] + back]
        seen = guest.console.count()
        assert pmd.end() == [(len(there), len(back)), (len(back), len(there))]
        for port in SERVED:
            guest.wait("link", port=port, state="down", start=seen)
        replace(guest, pmd, seen)
    silent(guest, 0, 1)
    counted(guest, *sent)


def test_what_is_sent_while_testpmd_is_away_is_counted_and_never_leaves(served):
    guest, pmd = served(SPLIT, SPLIT)
    frames = capture.frames(100)
    pass_all(guest, frames, frames)
    seen = guest.console.count()
    pmd.end()
    for port in SERVED:
        guest.wait("link", port=port, state="down", start=seen)
    lost = capture.frames(40, seed=3)
    guest.ends[0].send(*lost)
    assert settle(lambda: guest.ask("drops 2")[0].integer("drop_link_down") == len(lost), 60)
    replace(guest, pmd, seen)
    pass_all(guest, frames, frames)
