"""Features: taken when offered, done without when not, and never without what they depend on.

Each test looks at the offered bits too: a switch that QEMU ignores would test nothing.
"""

import pytest

import capture
from exchange import cross, works

# virtio 1.2 §5.1.3 "Feature bits", §6 "Reserved Feature Bits" and their legacy parts
BITS = {
    "CSUM": 0,
    "GUEST_CSUM": 1,
    "CTRL_GUEST_OFFLOADS": 2,
    "MTU": 3,
    "MAC": 5,
    "MRG_RXBUF": 15,
    "STATUS": 16,
    "CTRL_VQ": 17,
    "CTRL_RX": 18,
    "CTRL_VLAN": 19,
    "CTRL_RX_EXTRA": 20,
    "GUEST_ANNOUNCE": 21,
    "MQ": 22,
    "CTRL_MAC_ADDR": 23,
    "NOTIFY_ON_EMPTY": 24,
    "ANY_LAYOUT": 27,
    "INDIRECT_DESC": 28,
    "EVENT_IDX": 29,
    "VERSION_1": 32,
    "ACCESS_PLATFORM": 33,
    "RING_PACKED": 34,
    "RING_RESET": 40,
    "SPEED_DUPLEX": 63,
}
# virtio 1.2 §5.1.6.1: without MRG_RXBUF a legacy header has no num_buffers
LEGACY_HEADER = 10

# All that barewire takes from a device that offers everything QEMU has by default.
COMMON = {"MAC", "STATUS", "GUEST_ANNOUNCE", "EVENT_IDX", "INDIRECT_DESC"}
COMMON |= {"CTRL_VQ", "CTRL_RX", "CTRL_RX_EXTRA", "CTRL_MAC_ADDR", "CTRL_GUEST_OFFLOADS"}
USUAL = {"legacy": COMMON | {"ANY_LAYOUT"}, "modern": COMMON | {"VERSION_1", "RING_RESET"}}


def names(bits):
    """The set of names of the bits of a number."""
    return {name for name, bit in BITS.items() if bits >> bit & 1}


def features(guest, port=0):
    """The features that the device of a port offered, and those negotiated, as sets of names."""
    event = guest.wait("features", port=port)
    offered, taken = event.integer("offered_bits"), guest.port(port).integer("features")
    assert taken & ~offered == 0
    # The names say the same as the numbers; the numbers are read by this file's own table.
    assert names(offered) <= set(event["offered"].split(","))
    assert names(taken) == set(event["taken"].split(","))
    return names(offered), names(taken)


@pytest.fixture(params=USUAL)
def transport(request):
    """The interface by which a test drives its cards."""
    return request.param


def test_default_card_offers_more_than_is_taken(boot, transport):
    offered, taken = features(boot(words=f"log=debug transport={transport}"))
    assert taken == USUAL[transport]
    more = {"MRG_RXBUF"}  # where memory is too short for the largest frames, and they are accepted
    assert more | ({"NOTIFY_ON_EMPTY"} if transport == "legacy" else set()) <= offered - taken


@pytest.mark.parametrize(
    "switch, gone, missing",
    [
        ("any_layout", {"ANY_LAYOUT"}, {"ANY_LAYOUT"}),
        ("queue_reset", {"RING_RESET"}, {"RING_RESET"}),
        ("event_idx", {"EVENT_IDX"}, {"EVENT_IDX"}),
        ("status", {"STATUS"}, {"STATUS"}),
        ("mrg_rxbuf", {"MRG_RXBUF"}, set()),
        ("notify_on_empty", {"NOTIFY_ON_EMPTY"}, set()),
        ("indirect_desc", {"INDIRECT_DESC"}, {"INDIRECT_DESC"}),
        ("guest_announce", {"GUEST_ANNOUNCE"}, {"GUEST_ANNOUNCE"}),
        ("ctrl_vlan", {"CTRL_VLAN"}, set()),
        ("ctrl_mac_addr", {"CTRL_MAC_ADDR"}, {"CTRL_MAC_ADDR"}),
        ("ctrl_rx_extra", {"CTRL_RX_EXTRA"}, {"CTRL_RX_EXTRA"}),
        ("ctrl_rx", {"CTRL_RX"}, {"CTRL_RX", "CTRL_RX_EXTRA"}),
        (
            "ctrl_vq",
            {"CTRL_VQ"},
            {
                "CTRL_VQ",
                "CTRL_RX",
                "CTRL_RX_EXTRA",
                "CTRL_MAC_ADDR",
                "CTRL_GUEST_OFFLOADS",
                "GUEST_ANNOUNCE",
            },
        ),
    ],
)
def test_switched_off_feature_is_not_offered_not_taken_and_traffic_flows(
    boot, transport, switch, gone, missing
):
    guest = boot(ports=[f"{switch}=off"] * 2, words=f"log=debug stats=1 transport={transport}")
    offered, taken = features(guest)
    assert not gone & offered
    if switch == "any_layout" and transport == "legacy":
        missing = missing | {"INDIRECT_DESC"}  # chains are made for a header within the first buffer
    assert taken == USUAL[transport] - missing
    cross(guest, 0, 1, capture.frames(600) + capture.odd_frames())
    counters = guest.stats(0, rx_packets=600)
    assert counters["rx_dropped"] == "0"


def test_card_for_several_pairs_of_queues_with_a_single_one_is_told_so(boot, transport):
    guest = boot(ports=["mq=on"] * 2, words=f"log=debug transport={transport}")
    assert features(guest)[1] == USUAL[transport] | {"MQ"}
    works(guest)
    assert not guest.find("warn")


def test_without_the_control_queue_its_features_are_offered_all_the_same_and_not_taken(boot):
    """QEMU's ctrl_vq=off leaves the dependent bits on: taking them would mean to use queue 2."""
    offered, taken = features(boot(ports=["ctrl_vq=off"] * 2, words="log=debug"))
    assert {"CTRL_RX", "CTRL_RX_EXTRA"} <= offered
    assert not {name for name in taken if name.startswith("CTRL_")}


def test_all_of_them_off_still_forwards(boot):
    card = "any_layout=off,event_idx=off,status=off,mrg_rxbuf=off,ctrl_vq=off,indirect_desc=off"
    guest = boot(ports=[card] * 2, words="log=debug transport=legacy")
    _, taken = features(guest)
    assert taken == {"MAC"}
    assert guest.port(0)["link"] == "up"
    cross(guest, 0, 1, capture.frames(600) + capture.odd_frames())


def test_cards_with_different_features_forward_to_each_other(boot):
    words = "log=debug transport=legacy"
    guest = boot(ports=["any_layout=off,event_idx=off", "mrg_rxbuf=off"], words=words)
    assert features(guest, 0)[1] == USUAL["legacy"] - {"ANY_LAYOUT", "EVENT_IDX", "INDIRECT_DESC"}
    assert features(guest, 1)[1] == USUAL["legacy"]
    cross(guest, 0, 1, capture.frames(600))


@pytest.mark.parametrize("switch, lengths", [("on", 1), ("off", 2)])
def test_without_any_layout_the_header_has_a_descriptor_of_its_own(boot, switch, lengths):
    """QEMU takes either, so the traffic alone would not show it."""
    guest = boot(ports=[f"any_layout={switch}"] * 2, words="transport=legacy")
    cross(guest, 0, 1, capture.frames(600))
    for queue in (0, 1):
        chain = guest.descriptors(queue)
        assert len(chain) == lengths
        # QEMU lists a chain from its end.
        assert (chain[-1]["len"] == LEGACY_HEADER) == (lengths == 2)


def test_mtu_is_taken_when_offered_and_shown(boot, transport):
    guest = boot(ports=["host_mtu=1400", ""], words=f"log=debug transport={transport}")
    offered, taken = features(guest, 0)
    assert "MTU" in offered and "MTU" in taken
    assert guest.port(0)["mtu"] == "1400"
    assert "MTU" not in features(guest, 1)[0]
    cross(guest, 0, 1, capture.frames(20, size=1414))


JUMBO = 9018  # an mtu of 9000, the Ethernet header, a VLAN tag


def test_jumbo_frames_pass_whole_where_the_host_states_an_mtu_for_them(boot, transport):
    words = f"stats=1 transport={transport}"
    guest = boot(ports=["host_mtu=9000"] * 2, memory_mib=128, words=words)
    frames = [frame for number in range(40) for frame in tagged(JUMBO - number % 5, number)]
    cross(guest, 0, 1, frames, frames[::-1])
    assert guest.stats(0, rx_packets=len(frames))["rx_dropped"] == "0"


def tagged(size, number):
    """One frame of this size with a VLAN tag, and one a tag shorter without."""
    plain = capture.frame(size - 4, seed=number)
    return [plain[:12] + b"\x81\x00\x00\x05" + plain[12:], plain]


@pytest.mark.parametrize(
    "card, shown",
    [
        ("speed=10000,duplex=full", ("10000", "full")),
        ("speed=100,duplex=half", ("100", "half")),
        ("speed=25000", ("25000", "unknown")),
        ("duplex=full", ("unknown", "full")),
        ("", ("unknown", "unknown")),
    ],
)
def test_speed_and_duplex_are_shown_where_a_modern_card_states_them(boot, card, shown):
    guest = boot(ports=[card] * 2, words="log=debug")
    offered, taken = features(guest)
    assert ("SPEED_DUPLEX" in offered) == ("SPEED_DUPLEX" in taken) == bool(card)
    assert (guest.port(0)["speed"], guest.port(0)["duplex"]) == shown
    works(guest)


@pytest.mark.parametrize("card", ["event_idx=off", ""], ids=["flags", "event_idx"])
def test_device_raises_no_interrupt_in_a_thousand_frames(boot, transport, card):
    guest = boot(ports=[card] * 2, words=f"transport={transport} idle=poll")
    if not card:
        # With EVENT_IDX QEMU raises one for the first buffer of each queue, whatever used_event says.
        works(guest)
    guest.trace("virtio_notify", "virtio_queue_notify")
    cross(guest, 0, 1, capture.frames(1000, size=64))
    assert guest.traced("virtio_notify") == 0
    # Doorbells show that QEMU does write its trace.
    assert guest.traced("virtio_queue_notify") > 0
