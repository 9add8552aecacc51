"""mode=wire: what goes in comes out at the partner, identical, in order, counted; nothing else."""

import pytest

import capture
from exchange import cross, silent, works

ETHERNET_HEADER = 14


@pytest.fixture
def wire(shared):
    """Four ports, two wires."""
    return shared.get(lambda boot: boot(ports=4, words="stats=1"))


@pytest.mark.kvm
def test_every_frame_of_the_capture_arrives_identical_and_in_order(wire, tmp_path):
    frames = capture.real_capture(tmp_path / "real.pcap")
    assert len(frames) > 20
    cross(wire, 0, 1, frames, frames[::-1])
    cross(wire, 3, 2, frames, frames[::-1])


def test_odd_sizes_odd_types_and_no_header_at_all_pass_unchanged(wire):
    frames = capture.odd_frames()
    assert min(map(len, frames)) == 14
    cross(wire, 0, 1, frames, frames)


def test_full_tagged_frame_of_1518_bytes_passes(wire):
    frames = [capture.tagged_frame(1518, tag) for tag in (1, 4094)]
    assert {len(frame) for frame in frames} == {1518}
    cross(wire, 0, 1, frames, frames)


def test_rings_go_round_many_times_in_both_directions_without_a_loss(wire):
    there, back = capture.frames(3000, seed=5), capture.frames(3000, seed=6, size=64)
    cross(wire, 2, 3, there, back)


def test_no_frame_came_out_of_any_other_port(wire):
    silent(wire, 0, 1, 2, 3)


def test_counters_of_the_last_stats_lines_are_what_was_sent_and_received(wire):
    for left in (0, 2):
        works(wire, left, left + 1)
    wire.later_stats(3)
    for port, end in enumerate(wire.ends):
        sent, received = end.sent, end.received
        counters = wire.find("stats", port=port)[-1]
        assert counters.integer("rx_packets") == len(sent)
        assert counters.integer("rx_bytes") == sum(map(len, sent))
        assert counters.integer("tx_packets") == len(received)
        assert counters.integer("tx_bytes") == sum(map(len, received))
        assert (counters["rx_dropped"], counters["tx_dropped"]) == ("0", "0")
        assert all(counters[key] == "0" for key in counters.keys if key.startswith("drop_"))


def test_stats_line_has_its_keys_in_order_with_the_drop_reasons_after_them(wire):
    keys = wire.later_stats(0).keys
    expected = "t port rx_packets rx_bytes tx_packets tx_bytes rx_dropped tx_dropped"
    expected += " rx_pps tx_pps rx_mbps tx_mbps"
    expected = expected.split(" ")
    assert keys[: len(expected)] == expected
    assert {"drop_runt", "drop_oversize"} <= set(keys[len(expected) :])


def test_stats_come_every_second_and_rates_are_the_difference_to_the_last_line(wire):
    # Awaited, not slept for: a line begins the interval, and the next but one ends it.
    wire.later_stats(1)
    frames = capture.frames(400, seed=8, size=1250)
    works(wire)
    wire.ends[0].send(*frames)
    wire.ends[1].expect(frames)
    last = wire.later_stats(1)
    lines = wire.find("stats", port=1)
    # One that comes late makes the next one's interval shorter, not the mean.
    assert last.time - lines[0].time == pytest.approx(len(lines) - 1, rel=0.5, abs=1)
    for before, after in zip(lines, lines[1:]):
        # A busy host may take the processor away between the look at the counters and the line. The
        # exact figures are tests/host/test_loop.c's.
        interval = after.time - before.time
        if interval < 0.5:
            continue
        packets = after.integer("tx_packets") - before.integer("tx_packets")
        bits = 8 * (after.integer("tx_bytes") - before.integer("tx_bytes"))
        assert after.integer("tx_pps") == pytest.approx(packets / interval, rel=0.5, abs=1)
        assert after.integer("tx_mbps") == pytest.approx(bits / interval / 1e6, rel=0.5, abs=1)
    assert last.integer("tx_packets") >= 400


def test_runts_below_14_bytes_are_dropped_and_counted_by_name(boot):
    guest = boot(words="stats=1")
    runts = [bytes([2] * size) for size in range(1, 14)]
    good = capture.frames(40)
    for index, frame in enumerate(good):
        guest.ends[0].send(frame, *runts[index : index + 1])
    guest.ends[1].expect(good)
    counters = guest.stats(0, drop_runt=len(runts))
    assert (counters["drop_runt"], counters["rx_dropped"]) == ("13", "13")
    smallest = capture.frame(14)
    guest.ends[0].send(smallest)
    guest.ends[1].expect([smallest])
    assert guest.later_stats(1)["tx_packets"] == str(len(good) + 1)
    silent(guest, 0, 1)


def test_frames_above_the_partners_mtu_are_dropped_and_tagged_ones_of_it_pass(boot):
    mtu = 1000
    guest = boot(ports=["", f"host_mtu={mtu}"], words="stats=1")
    assert guest.port(1)["mtu"] == str(mtu)
    largest = capture.frame(mtu + ETHERNET_HEADER)
    tagged = capture.tagged_frame(mtu + ETHERNET_HEADER + 4)
    above = [
        capture.frame(mtu + ETHERNET_HEADER + 1),
        capture.frame(1514),
        capture.tagged_frame(mtu + ETHERNET_HEADER + 5),
    ]
    guest.ends[0].send(above[0], largest, above[1], tagged, above[2], largest)
    guest.ends[1].expect([largest, tagged, largest])
    counters = guest.stats(0, drop_oversize=3)
    assert (counters["drop_oversize"], counters["rx_dropped"]) == ("3", "3")
    # The other way nothing is too large: it is the sending port's mtu that counts.
    guest.ends[1].send(largest)
    guest.ends[0].expect([largest])
    silent(guest, 0, 1)


@pytest.mark.parametrize("size", [1601, 2500, 9014, 9018])
def test_jumbo_frames_cross_where_there_is_memory_for_them(boot, size):
    guest = boot(words="stats=1")
    frames = [capture.frame(size, seed=number) for number in range(50)]
    cross(guest, 0, 1, frames, frames[::-1])
    assert guest.stats(1, tx_bytes=50 * size)["tx_packets"] == "50"


@pytest.mark.parametrize("size, memory_mib", [(2500, 16), (9018, 16), (9100, 64), (65000, 64)])
def test_frames_above_the_buffer_never_come_out_and_later_ones_pass(boot, size, memory_mib):
    guest = boot(words="stats=1", memory_mib=memory_mib)
    guest.ends[0].send(*[capture.frame(size, seed=number) for number in range(300)])
    works(guest)
    counters = guest.stats(0, rx_packets=20, tx_packets=20)
    assert (counters["rx_packets"], counters["tx_packets"]) == ("20", "20")
    silent(guest, 0, 1)


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_rx_queue_of_this_size_is_filled_and_goes_round(boot, size):
    guest = boot(ports=[f"rx_queue_size={size}"] * 2, words=f"rx_ring={size}")
    for number in (0, 1):
        event = guest.port(number)
        assert (event["rx_size"], event["rx_buffers"]) == (str(size), str(size))
    cross(guest, 0, 1, capture.frames(1100, seed=size, size=100))


@pytest.mark.kvm
def test_frames_wait_for_a_machine_that_is_stopped_and_none_is_lost(boot):
    guest = boot()
    guest.qmp.command("stop")
    # As many as the cable itself holds: QEMU takes none while the machine stands.
    frames = capture.frames(8)
    guest.ends[0].send(*frames)
    guest.qmp.command("cont")
    guest.ends[1].expect(frames)
    works(guest)


@pytest.mark.parametrize(
    "wire, wires, idle",
    [
        ("0-3,1-2", "0-3,1-2", "none"),
        ("00:04.0-00:06.0", "0-2", "1,3"),
        ("52:54:00:12:34:01-52:54:00:12:34:03", "1-3", "0,2"),
        ("3-00:04.0,52:54:00:12:34:01-2", "0-3,1-2", "none"),
    ],
    ids=["numbers", "pci_addresses", "macs", "mixed"],
)
def test_wire_word_joins_the_ports_it_names(boot, wire, wires, idle):
    slots = ["addr=4", "addr=5", "addr=6", "addr=7"]
    guest = boot(ports=slots, words=f"wire={wire}")
    ready = guest.ready()
    assert (ready["wires"], ready["idle_ports"]) == (wires, idle)
    for pair in wires.split(","):
        works(guest, *map(int, pair.split("-")))
    for port in idle.split(","):
        if port != "none":
            guest.ends[int(port)].send(*capture.frames(3))
    silent(guest, 0, 1, 2, 3)


@pytest.mark.parametrize(
    "wire, wires, idle",
    [
        ("0-9,2-3", "2-3", "0,1"),
        ("0-1,1-2", "0-1", "2,3"),
        ("0-0,2-3", "2-3", "0,1"),
        ("01,2-3", "2-3", "0,1"),
        ("0-52:54:00:00:00:99,2-3", "2-3", "0,1"),
        ("00:1f.7-1", "none", "0,1,2,3"),
        ("0-", "none", "0,1,2,3"),
    ],
    ids=["missing", "twice", "itself", "no_dash", "no_such_mac", "no_such_address", "one_end"],
)
def test_wrong_pair_is_warned_of_and_stays_idle_and_no_other_is_made(boot, wire, wires, idle):
    guest = boot(ports=4, words=f"wire={wire} stats=1")
    ready = guest.ready()
    assert (ready["wires"], ready["idle_ports"]) == (wires, idle)
    assert guest.find("warn", word="wire"), "no warn names the word"
    warned = {event["port"] for event in guest.find("warn") if "port" in event}
    assert warned == set(idle.split(","))
    for port in idle.split(","):
        guest.ends[int(port)].send(*capture.frames(5, seed=int(port)))
    for pair in wires.split(","):
        if pair != "none":
            works(guest, *map(int, pair.split("-")))
    for port in idle.split(","):
        assert guest.stats(port, rx_dropped=5)["tx_packets"] == "0"
    silent(guest, 0, 1, 2, 3)
