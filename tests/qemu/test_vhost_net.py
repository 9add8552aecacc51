"""Cards whose rings the host's kernel serves (vhost-net), where it has that."""

import os

import pytest

from test_features import names
from test_taps import exchange, namespace, tap_card, why_not  # namespace is a fixture

DEVICE = "/dev/vhost-net"


def why_not_vhost():
    """The reason why vhost-net can't be used here, or None."""
    try:
        os.close(os.open(DEVICE, os.O_RDWR))
    except OSError as error:
        return f"{DEVICE}: {error.strerror}"
    return why_not()


pytestmark = [
    pytest.mark.virtio,
    pytest.mark.skipif(why_not_vhost() is not None, reason=why_not_vhost() or ""),
]


def card(tap, options):
    nic = tap_card(tap, **options)
    nic.netdev += ",vhost=on,vhostforce=on"
    return nic


def served_by_vhost(guest):
    """For each card, whether its rings are somebody else's than QEMU's."""
    devices = guest.qmp.command("x-query-virtio")
    paths = [device["path"] for device in devices if "net" in device["name"]]
    return [guest.qmp.command("x-query-virtio-status", path=path)["vhost-started"] for path in paths]


@pytest.mark.parametrize(
    "options, transport",
    [
        ({}, "modern"),
        ({"event_idx": "off", "mrg_rxbuf": "off"}, "modern"),
        ({"packed": "on"}, "modern"),  # which the kernel does not offer: rings are split
        ({"disable-legacy": "off", "disable-modern": "on"}, "legacy"),
    ],
)
def test_frames_pass_through_the_hosts_kernel_before_and_after_a_reset(
    boot, namespace, options, transport
):
    guest = boot(ports=[card(tap, options) for tap in ("tap0", "tap1")], namespace=namespace)
    for port in (0, 1):
        assert guest.port(port)["transport"] == transport
        assert "RING_PACKED" not in names(guest.port(port).integer("features"))
    assert served_by_vhost(guest) == [True, True]
    exchange(namespace)
    for port in (0, 1):
        guest.ask(f"reset {port}")
        guest.wait("reset", port=port)
    exchange(namespace)
    for event in guest.ask("stats")[:-1]:
        assert (event["rx_packets"], event["tx_packets"]) == ("200", "200")
        assert (event["rx_dropped"], event["tx_dropped"]) == ("0", "0")
