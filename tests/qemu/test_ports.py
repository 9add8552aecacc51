"""Which ports there are, how they are numbered, and that one which fails moves no other."""

import pytest

import capture
from exchange import cross, silent, works
from guest import Nic

def test_no_port_is_said_and_the_machine_stays_up(boot):
    guest = boot(ports=0, words="stats=1")
    assert (guest.ready()["ports"], guest.ready()["wires"]) == ("0", "none")
    assert guest.wait("warn", lambda event: "virtio-net-pci" in event.line)
    assert guest.qmp.command("query-status")["running"]


def test_one_port_is_idle_and_told_what_to_add(boot):
    guest = boot(ports=1, words="stats=1")
    ready = guest.ready()
    assert (ready["ports"], ready["wires"], ready["idle_ports"]) == ("1", "none", "0")
    assert guest.wait("warn", lambda event: "virtio-net-pci" in event.line)
    guest.ends[0].send(*capture.frames(10))
    assert guest.stats(0, rx_dropped=10)["tx_packets"] == "0"
    silent(guest, 0)


def test_third_port_without_a_partner_is_idle_and_the_others_forward(boot):
    guest = boot(ports=3, words="stats=1")
    ready = guest.ready()
    assert (ready["ports"], ready["wires"], ready["idle_ports"]) == ("3", "0-1", "2")
    assert guest.wait("warn", port=2)
    guest.ends[2].send(*capture.frames(10, seed=9))
    works(guest)
    guest.stats(2, rx_dropped=10)
    silent(guest, 0, 1, 2)


def test_eight_ports_are_four_wires_and_no_frame_leaves_its_own(boot):
    guest = boot(ports=8, words="stats=1")
    assert guest.ready()["wires"] == "0-1,2-3,4-5,6-7"
    for left in range(0, 8, 2):
        works(guest, left, left + 1)
    for port in range(8):
        counters = guest.stats(port, rx_packets=20, tx_packets=20)
        assert (counters["rx_packets"], counters["tx_packets"]) == ("20", "20")
    silent(guest, *range(8))


def test_ports_are_numbered_by_pci_address_whatever_the_order_of_options(boot):
    guest = boot(ports=["addr=7", "addr=5.1", "addr=5.0,multifunction=on", "addr=4"])
    addresses = [guest.port(number)["pci"] for number in range(4)]
    assert addresses == ["00:04.0", "00:05.0", "00:05.1", "00:07.0"]
    macs = [guest.port(number)["mac"][-2:] for number in range(4)]
    assert macs == ["03", "02", "01", "00"]
    works(guest, 3, 2)
    works(guest, 1, 0)


def test_port_event_says_all_there_is_to_know(boot):
    guest = boot()
    event = guest.port(0)
    assert event.keys[:14] == (
        "t id pci driver transport mac rx_size tx_size rx_buffers mtu link speed duplex features"
    ).split(" ")
    assert event["driver"] == "virtio-net"
    assert event["transport"] == "modern"
    assert event["mac"] == "52:54:00:12:34:00"
    assert (event["rx_size"], event["tx_size"], event["rx_buffers"]) == ("256", "256", "256")
    assert event["link"] == "up"
    assert (event["speed"], event["duplex"]) == ("unknown", "unknown")


@pytest.mark.parametrize("packed", ["off", "on"])
def test_rings_have_as_many_descriptors_as_the_words_say(boot, packed):
    card = f"rx_queue_size=1024,packed={packed}"
    guest = boot(ports=[card] * 2, words="rx_ring=512 tx_ring=64")
    sizes = (512, 64)
    for port in (0, 1):
        event = guest.port(port)
        assert (event.integer("rx_size"), event.integer("tx_size")) == sizes
        assert tuple(guest.ring(port, queue)[0] for queue in (0, 1)) == sizes
    cross(guest, 0, 1, capture.frames(1100, seed=1), capture.frames(1100, seed=2))
    guest.ask("reset 1")
    guest.wait("reset", port=1)
    assert tuple(guest.ring(1, queue)[0] for queue in (0, 1)) == sizes
    cross(guest, 0, 1, capture.frames(1100, seed=3), capture.frames(1100, seed=4))
    assert not guest.find("warn") and not guest.find("error")


def test_rings_of_256_are_usual_whatever_the_device_states(boot):
    guest = boot(ports=["rx_queue_size=1024"] * 2)
    for queue, key in enumerate(("rx_size", "tx_size")):
        assert guest.port(0)[key] == "256"
        taken, stated = guest.ring(0, queue)
        assert taken == 256 <= stated
    assert guest.ring(0, 0)[1] == 1024
    cross(guest, 0, 1, capture.frames(600))


def test_ring_larger_than_the_device_states_is_named_and_all_of_it_used(boot):
    guest = boot(words="rx_ring=2048")
    stated = guest.ring(1, 0)[1]
    warning = guest.wait("warn", port=1, reason="ring-size", word="rx_ring=2048")
    assert warning.integer("accepted") == guest.port(1).integer("rx_size") == stated
    works(guest)


def test_legacy_device_keeps_its_own_size_and_says_so_only_when_asked_for_another(boot):
    cards = ["disable-legacy=off,disable-modern=on", "disable-legacy=on"]
    guest = boot(ports=cards, words="tx_ring=128")
    stated = guest.ring(0, 1)[1]
    (warning,) = guest.find("warn", reason="ring-size")
    assert (warning["port"], warning["word"]) == ("0", "tx_ring=128")
    assert warning.integer("accepted") == guest.port(0).integer("tx_size") == stated
    assert guest.port(1)["tx_size"] == "128"
    works(guest)
    assert not boot(ports=cards).find("warn", reason="ring-size")


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_refused_port_keeps_its_number_and_moves_no_other_pair(boot, machine):
    ports = ["", "disable-legacy=off,disable-modern=on", "", ""]
    guest = boot(ports=ports, machine=machine, words="stats=1 transport=modern")
    error = guest.wait("error", reason="no-transport")
    assert error["port"] == "1"
    assert error["legacy"] == "transport=modern asked for"
    assert guest.wait("warn", port=0)
    ready = guest.ready()
    assert (ready["ports"], ready["wires"], ready["idle_ports"]) == ("4", "2-3", "0,1")
    guest.ends[0].send(*capture.frames(10))
    works(guest, 2, 3)
    guest.stats(0, rx_dropped=10)
    assert guest.port(2)["mac"] == "52:54:00:12:34:02"
    silent(guest, 0, 1, 2, 3)


def test_ports_behind_bridges_within_bridges_are_found(boot):
    bridges = ["pci-bridge,id=br0,chassis_nr=1,addr=6", "pci-bridge,id=br1,chassis_nr=2,bus=br0,addr=1"]
    guest = boot(
        devices=[word for bridge in bridges for word in ("-device", bridge)],
        ports=["addr=4", "bus=br0,addr=3", "bus=br1,addr=1", "bus=br1,addr=2"],
        words="log=debug",
    )
    addresses = {guest.port(number)["pci"] for number in range(4)}
    assert addresses == {"00:04.0", "01:03.0", "02:01.0", "02:02.0"}
    works(guest, 0, 1)
    works(guest, 2, 3)


def test_pci_event_names_each_function_at_debug_level_only(boot):
    loud, quiet = boot(words="log=debug"), boot()
    found = {event["address"]: event for event in loud.find("pci")}
    assert (found["00:00.0"]["vendor"], found["00:00.0"]["device"]) == ("0x8086", "0x1237")
    virtio = [e for e in found.values() if (e["vendor"], e["device"]) == ("0x1af4", "0x1000")]
    assert len(virtio) == 2
    listed = loud.qmp.command("human-monitor-command", command_line="info pci")
    assert len(found) == listed.count("  Bus ")
    assert not quiet.find("pci")


def test_card_on_pci_that_is_in_memory_only_is_named_with_the_machine_to_use(boot):
    guest = boot(machine="microvm,pcie=on", ports=1)
    (warning,) = guest.find("warn")
    assert (warning["pci"], warning["vendor"]) == ("00:01.0", "0x1af4")
    assert warning["device"] in ("0x1000", "0x1041")
    assert "-machine pc or q35" in warning["remedy"]
    assert guest.ready()["ports"] == "0"


def test_panic_device_on_pci_is_nothing_to_warn_of(boot):
    guest = boot(devices=["-device", "pvpanic-pci,addr=9"])
    listed = [event for event in guest.ask("pci") if event.fields.get("address") == "00:09.0"]
    assert [event["device"] for event in listed] == ["0x0011"]
    assert not guest.find("warn")


@pytest.mark.parametrize("model", ["e1000", "rtl8139"])
def test_other_network_card_is_named_with_the_model_to_use(boot, model):
    guest = boot(ports=[Nic(), Nic(model), Nic()], words="stats=1")
    assert guest.wait("warn", lambda event: "use model virtio" in event.line)
    assert guest.ready()["wires"] == "0-1"
    cross(guest, 0, 2, capture.frames(10))


def test_vectors_of_msix_do_not_move_the_configuration_out_of_reach(boot):
    guest = boot(ports=["vectors=0", "vectors=3"])
    macs = [guest.port(number)["mac"] for number in (0, 1)]
    assert macs == ["52:54:00:12:34:00", "52:54:00:12:34:01"]
    works(guest)


@pytest.mark.kvm
def test_reset_machine_comes_up_again_and_forwards(boot):
    """The devices were in use when the kernel starts for the second time."""
    guest = boot()
    works(guest)
    seen = guest.console.count()
    guest.qmp.command("set-action", reboot="reset")
    guest.qmp.command("system_reset")
    guest.wait("ready", start=seen)
    works(guest)
