"""Cards with several pairs of queues, on taps that have as many: barewire uses one pair.

QEMU has the control queue of such a card behind all pairs once MQ is taken, and spreads frames over
several of them only when it is told of more than one.
"""

import pytest

from guest import Nic, settle
from taps import exchange, network, why_not
from test_control import changed, rx_filter

pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")

PAIRS = 3
INTERFACES = {
    "modern": {"disable-legacy": "on"},
    "packed": {"disable-legacy": "on", "packed": "on"},
    "transitional": {},
    "legacy": {"disable-modern": "on"},
}


@pytest.fixture
def namespace():
    """A network whose taps have several queues."""
    with network("multi_queue") as name:
        yield name


def card(tap, options):
    """A card with as many vectors as it has queues, and one for its configuration."""
    options = {"mq": "on", "vectors": str(2 * PAIRS + 2)} | options
    return Nic(options=options,
               netdev=f"tap,ifname={tap},script=no,downscript=no,vnet_hdr=on,queues={PAIRS}")


@pytest.mark.parametrize("interface", INTERFACES)
def test_card_with_several_pairs_of_queues_is_used_by_one_and_controlled_behind_all(
        boot, namespace, interface):
    options = INTERFACES[interface]
    guest = boot(ports=[card("tap0", options), card("tap1", options)], namespace=namespace,
                 words="offload=off promisc=off")
    for port in (0, 1):
        (answer, _) = guest.ask(f"ports {port}")
        assert "MQ" in answer["features"].split(",")
        assert not rx_filter(guest, port)["promiscuous"]
    guest.ask("set promisc=on")
    for port in (0, 1):
        assert settle(lambda: rx_filter(guest, port)["promiscuous"])
    exchange(namespace)
    assert not guest.find("warn")


def test_card_is_told_anew_after_a_reset(boot, namespace):
    guest = boot(ports=[card("tap0", {}), card("tap1", {})], namespace=namespace,
                 words="offload=off")
    guest.ask("reset 0")
    assert guest.wait("reset", port=0)["state"] == "done"
    exchange(namespace)
    assert "nic0" in changed(guest) and rx_filter(guest, 0)["promiscuous"]
    assert not guest.find("warn")
