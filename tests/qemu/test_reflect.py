"""mode=reflect: every frame goes back out of its port with the addresses swapped."""

import pytest

import capture
from exchange import silent
from guest import mac_of

PORT_MAC = bytes.fromhex(mac_of(0).replace(":", ""))


@pytest.fixture
def mirror(shared):
    """Two ports that have nothing to do with each other."""
    return shared.get(lambda boot: boot(words="mode=reflect stats=1"))


def test_ready_says_so_and_no_port_is_idle(mirror):
    ready = mirror.ready()
    assert (ready["mode"], ready["wires"], ready["idle_ports"]) == ("reflect", "none", "none")


def test_unicast_comes_back_with_source_and_destination_swapped(mirror):
    for port in (0, 1):
        sent = capture.frames(500, seed=port)
        mirror.ends[port].send(*sent)
        mirror.ends[port].expect([frame[6:12] + frame[:6] + frame[12:] for frame in sent])
    silent(mirror, 0, 1)


@pytest.mark.parametrize(
    "group", [b"\xff" * 6, bytes.fromhex("01005e000001"), bytes.fromhex("333300000001")],
    ids=["broadcast", "ipv4_multicast", "ipv6_multicast"],
)
def test_group_frame_goes_back_to_its_sender_from_the_ports_own_address(mirror, group):
    sent = [group + frame[6:] for frame in capture.frames(20, seed=3)]
    mirror.ends[0].send(*sent)
    mirror.ends[0].expect([frame[6:12] + PORT_MAC + frame[12:] for frame in sent])


def test_smallest_and_tagged_frames_come_back(mirror):
    sent = [capture.frame(14), capture.frame(15), capture.tagged_frame(1518)]
    mirror.ends[0].send(*sent)
    mirror.ends[0].expect([frame[6:12] + frame[:6] + frame[12:] for frame in sent])


def test_runts_are_dropped_and_the_counters_add_up(mirror):
    mirror.ends[1].send(*[b"\x02" * size for size in range(1, 14)])
    counters = mirror.stats(1, drop_runt=13)
    silent(mirror, 0, 1)
    sent, received = mirror.ends[1].sent, mirror.ends[1].received
    assert counters.integer("rx_packets") == len(sent)
    assert counters.integer("rx_bytes") == sum(map(len, sent))
    assert counters.integer("tx_packets") == len(received)
    assert counters.integer("tx_bytes") == sum(map(len, received))


def test_single_port_reflects(boot):
    guest = boot(ports=1, words="mode=reflect")
    sent = capture.frames(5)
    guest.ends[0].send(*sent)
    guest.ends[0].expect([frame[6:12] + frame[:6] + frame[12:] for frame in sent])
