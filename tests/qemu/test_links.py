"""Cables pulled and plugged in again, by QMP set_link, and announcements."""

import pytest

import capture
from exchange import silent, works
from flood import Flood

RARP = b"\x80\x35"


def set_link(guest, port, up):
    """Pulls or plugs in the cable of a port, and waits until barewire has logged it."""
    start = guest.console.count()
    guest.qmp.command("set_link", name=f"nic{port}", up=up)
    return guest.wait("link", start=start, port=port, state="up" if up else "down")


def counter(guest, port, key):
    return guest.later_stats(port).integer(key)


@pytest.mark.kvm
def test_frames_for_a_link_that_is_down_are_counted_and_never_leave(boot):
    guest = boot(ports=4, words="stats=3")
    works(guest)
    event = set_link(guest, 1, False)
    assert event.keys == ["t", "port", "state", "pci", "lost"]
    assert event["lost"] == "0"
    guest.ends[0].send(*capture.frames(300, seed=1))
    guest.stats(1, drop_link_down=300)
    works(guest, 2, 3)
    set_link(guest, 1, True)
    works(guest)
    counters = guest.later_stats(1)
    assert (counters["drop_link_down"], counters["tx_dropped"]) == ("300", "300")
    assert (counters["drop_stopped"], counters["tx_packets"]) == ("0", "40")
    assert guest.later_stats(0)["rx_packets"] == "340"
    assert not guest.find("reset")
    assert not guest.find("warn")
    silent(guest, 0, 1, 2, 3)


def test_link_that_is_down_at_the_start_swallows_until_it_is_up(boot):
    guest = boot(words="stats=1")
    set_link(guest, 1, False)
    seen = guest.console.count()
    guest.qmp.command("set-action", reboot="reset")
    guest.qmp.command("system_reset")
    guest.wait("ready", start=seen)
    assert guest.find("port", id=1)[-1]["link"] == "down"
    guest.ends[0].send(*capture.frames(10))
    assert guest.wait("stats", lambda e: e["drop_link_down"] == "10", start=seen, port=1)
    set_link(guest, 1, True)
    works(guest)


def test_cables_are_pulled_many_times_and_the_other_pair_loses_nothing(boot):
    guest = boot(ports=4, words="stats=1")
    swallowed = [0, 0]
    for turn in range(8):
        port = turn % 2
        set_link(guest, port, False)
        sent = capture.frames(20, seed=turn)
        guest.ends[1 - port].send(*sent)
        swallowed[port] += len(sent)
        works(guest, 2, 3)
        guest.stats(port, drop_link_down=swallowed[port])
        set_link(guest, port, True)
        works(guest)
    for key in ("drop_link_down", "tx_dropped"):
        assert [counter(guest, port, key) for port in (0, 1)] == swallowed
    silent(guest, 0, 1, 2, 3)


@pytest.mark.kvm
def test_port_with_packed_rings_sends_again_after_its_link_was_down(boot):
    """QEMU 7.2 resets such a ring while the link is down, and wants no doorbell from then on."""
    guest = boot(ports=["packed=on"] * 2)
    for _ in range(2):
        seen = guest.console.count()
        set_link(guest, 1, False)
        guest.wait("reset", start=seen, port=1, reason="link-down")
        set_link(guest, 1, True)
        works(guest)
    assert not guest.find("warn")


def test_link_of_a_saturated_pair_is_seen_and_every_frame_accounted_for(boot):
    """QEMU itself drops the frames that it got before barewire saw that the link is down."""
    guest = boot(ports=4, words="stats=1")
    flood = Flood(guest.ends[0])
    flood.start()
    for _ in range(5):
        guest.ends[1].take(200)
        set_link(guest, 1, False)
        set_link(guest, 1, True)
    sent = flood.finish()
    works(guest, 2, 3)
    last = capture.frame(99, seed=99)
    guest.ends[0].send(last)
    guest.ends[1].take_until(last)
    counters = guest.later_stats(1)
    given, swallowed = counters.integer("tx_packets"), counters.integer("drop_link_down")
    received = guest.ends[1].received
    assert guest.later_stats(0).integer("rx_packets") == sent + 1 == given + swallowed
    in_qemu = given - counters.integer("drop_stopped") - len(received)
    assert 0 <= in_qemu <= 5 * 256, "more than a ring for each time the cable was pulled"
    seen = iter(guest.ends[0].sent)
    assert all(frame in seen for frame in received), "not in the order in which they were sent"


def test_announcement_is_acknowledged_and_barewire_sends_no_frame_of_its_own(boot):
    guest = boot(words="stats=1")
    guest.qmp.command("announce-self", initial=50, max=100, rounds=2, step=50)
    guest.stats(0, announces=1)
    guest.stats(1, announces=1)
    # The RARP frames are QEMU's: they leave by the port's cable without passing its rings.
    assert guest.later_stats(0)["tx_packets"] == "0"
    foreign = [frame for frame in guest.ends[0].received if frame[12:14] != RARP]
    assert not foreign
    assert not guest.find("warn")
