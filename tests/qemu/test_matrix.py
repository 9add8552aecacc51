"""QEMU's own device in all its forms: whatever a card's options are, it forwards by them.

Not every combination, but any three values of any three options together in some machine; in `make
test` as few machines as there can be with every single value in one. The two cards of a machine are
neighbours in that list, so that unlike ones meet.
"""

import pytest

import capture
from covering import covering, representatives
from exchange import cross, silent
from test_features import features

# tx_queue_size is missing: this device has one size and nothing else; see test_dpdk.py. Newer QEMUs
# state rings of 1024, whatever rx_queue_size says.
OPTIONS = {
    "interface": ["both", "modern", "legacy"],
    "packed": ["on", "off"],
    "event_idx": ["on", "off"],
    "mrg_rxbuf": ["on", "off"],
    "indirect_desc": ["on", "off"],
    "queue_reset": ["on", "off"],
    "any_layout": ["on", "off"],
    "modern-pio-notify": ["on", "off"],
    "page-per-vq": ["on", "off"],
    "rx_queue_size": ["256", "512", "1024"],
    "vectors": ["0", "1", "3"],
}
INTERFACES = {
    "both": {"disable-legacy": "off", "disable-modern": "off"},
    "modern": {"disable-legacy": "on", "disable-modern": "off"},
    "legacy": {"disable-legacy": "off", "disable-modern": "on"},
}

RX_RING = 1024  # the largest that there is

STRENGTH = 3
REPRESENTATIVES = 6

ROWS = covering(OPTIONS, STRENGTH)
SHORT = representatives(ROWS, REPRESENTATIVES)
# What the options decide of the features. The others are test_features.py's.
DECIDED = {"VERSION_1", "RING_PACKED", "EVENT_IDX", "RING_RESET", "ANY_LAYOUT"}
OFFERED = {"MRG_RXBUF": "mrg_rxbuf", "INDIRECT_DESC": "indirect_desc", "EVENT_IDX": "event_idx"}

pytestmark = pytest.mark.virtio


def card(row):
    """QEMU's words for a card with these options."""
    words = INTERFACES[row["interface"]] | row
    del words["interface"]
    return ",".join(f"{key}={value}" for key, value in words.items())


def expected_features(row):
    """Those of DECIDED that barewire must take from such a card."""
    taken = {"EVENT_IDX"} if row["event_idx"] == "on" else set()
    if row["interface"] == "legacy":
        return taken | ({"ANY_LAYOUT"} if row["any_layout"] == "on" else set())
    taken.add("VERSION_1")
    if row["packed"] == "on":
        taken.add("RING_PACKED")
    if row["queue_reset"] == "on":
        taken.add("RING_RESET")
    return taken


def check_port(guest, port, row):
    """The `port` event tells the interface, the rings and the features that these options mean."""
    event = guest.port(port)
    assert event["transport"] == ("legacy" if row["interface"] == "legacy" else "modern")
    rx_stated, tx_stated = (guest.ring(port, queue)[1] for queue in (0, 1))
    assert rx_stated >= int(row["rx_queue_size"])
    assert event.integer("rx_size") == rx_stated
    assert event.integer("tx_size") == (tx_stated if row["interface"] == "legacy" else 256)
    assert bool(guest.find("warn", port=port, reason="ring-size")) == (rx_stated != RX_RING)
    assert event["interrupt"] == ("line" if row["vectors"] == "0" else "message")
    offered, taken = features(guest, port)
    assert taken & DECIDED == expected_features(row)
    for name, switch in OFFERED.items():  # the switches do switch
        assert (name in offered) == (row[switch] == "on")


def cases():
    """Each row with its neighbour, in a machine of either kind; few of them for `make test`."""
    shorts = [ROWS.index(row) for row in SHORT]
    for number, row in enumerate(ROWS):
        marks = () if number in shorts else pytest.mark.whole
        machine = ("pc", "q35")[number % 2]
        yield pytest.param(row, ROWS[number - 1], machine, id=f"row{number}", marks=marks)


@pytest.mark.parametrize("left, right, machine", cases())
def test_cards_forward_by_their_options_before_and_after_a_reset(boot, left, right, machine):
    words = f"stats=0 log=debug rx_ring={RX_RING}"
    cards = [card(left), card(right)]
    guest = boot(ports=cards, machine=machine, words=words, memory_mib=128)
    check_port(guest, 0, left)
    check_port(guest, 1, right)
    there, back = capture.frames(600, seed=1) + capture.odd_frames(), capture.frames(600, seed=2)
    cross(guest, 0, 1, there, back)
    for port in (0, 1):
        assert guest.ask(f"reset {port}")[-1].name == "done"
        assert guest.wait("reset", port=port)["reason"] == "operator"
    cross(guest, 0, 1, back, there)
    silent(guest, 0, 1)
    for event in guest.ask("stats")[:-1]:
        both = there + back
        for direction in ("rx", "tx"):
            assert event.integer(f"{direction}_packets") == len(both)
            assert event.integer(f"{direction}_bytes") == sum(map(len, both))
            assert event[f"{direction}_dropped"] == "0"
        assert event["resets"] == "1"
    assert not guest.find("error")
    assert {event["reason"] for event in guest.find("warn")} <= {"ring-size"}


def test_rows_hold_any_three_values_together():
    """The generator's own proof, by counting another way."""
    names = list(OPTIONS)
    for i, one in enumerate(names):
        for j, two in enumerate(names[:i]):
            for three in names[:j]:
                seen = {(row[one], row[two], row[three]) for row in ROWS}
                assert len(seen) == len(OPTIONS[one]) * len(OPTIONS[two]) * len(OPTIONS[three])
    for name, values in OPTIONS.items():
        assert {row[name] for row in SHORT} == set(values)
