"""Cards that are taken out and put in while the machine runs, by QMP device_del and device_add."""

import pytest

import capture
import debugger
from debugger import Debugger
from exchange import silent, works
from guest import mac_of, settle
from flood import Flood
from wire import Endpoint

NATIVE = ["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"]
LEGACY = "disable-legacy=off"  # behind a root port QEMU's default has no legacy interface


def root_ports(count, reserve="4k"):
    """As many root ports: pcie-root-port number N is called rootN."""
    words = []
    for n in range(count):
        port = f"pcie-root-port,id=root{n},chassis={n + 1},slot={n + 1},addr={n + 4}"
        words += ["-device", f"{port},io-reserve={reserve}"]
    return words


# Where a KVM emulates, more lines a second than this can outrun the console.
WORDS = "stats=3"


class Pc:
    """Slots of the root bus, by the registers at 0xae00."""

    def boot(self, boot, ports, slots):
        return boot(ports=[f"addr={n + 4}" for n in range(ports)], words=WORDS)

    def place(self, n):
        return {"addr": str(n + 4)}


class Q35:
    """Root ports, one device each: by the registers at 0xcc0, or by their slots."""

    def __init__(self, *words):
        self.words = list(words)

    def boot(self, boot, ports, slots):
        return boot(
            machine="q35",
            devices=root_ports(slots) + self.words,
            ports=[f"bus=root{n},{LEGACY}" for n in range(ports)],
            words=WORDS,
        )

    def place(self, n):
        return {"bus": f"root{n}", "disable-legacy": "off"}


KINDS = [Pc(), Q35(), Q35(*NATIVE)]
NAMES = ["pc", "q35", "q35_slots"]


def wait_deleted(guest, n):
    """Waits until QEMU has let card `n` go."""

    def deleted():
        gone = [event["data"].get("device") for event in guest.qmp.find("DEVICE_DELETED")]
        return f"nic{n}" in gone

    assert settle(deleted, 60), "QEMU has not deleted the device"


def unplug(guest, n):
    """Takes card `n` out, and waits until QEMU has removed it and barewire has logged so."""
    start = guest.console.count()
    guest.qmp.forget()
    guest.qmp.command("device_del", id=f"nic{n}")
    wait_deleted(guest, n)
    return guest.wait("unplug", start=start)


def insert(guest, n, **options):
    """Puts a card in, with a new cable if `n` has had none."""
    if n == len(guest.ends):
        end = Endpoint(str(guest.directory), n)
        guest.ends.append(end)
        local = {"type": "unix", "path": end.remote}
        remote = {"type": "unix", "path": end.local}
        guest.qmp.command("netdev_add", type="dgram", id=f"net{n}", local=local, remote=remote)
    card = {"netdev": f"net{n}", "id": f"nic{n}", "mac": mac_of(n), **options}
    guest.qmp.command("device_add", driver="virtio-net-pci", **card)


def plug(guest, n, **options):
    """Puts a card in; returns the event that follows."""
    start = guest.console.count()
    insert(guest, n, **options)
    return guest.wait("wires", start=start)


def test_address_of_the_command_line_is_a_later_cards_too(boot):
    address = "52:54:00:aa:bb:cc"
    guest = boot(ports=["addr=4"], words=f"stats=1 mac=1/{address}")
    guest.wait("warn", word="mac", port=1)  # there is no such port yet
    plug(guest, 1, addr="5")
    assert guest.port(1)["mac"] == address
    filters = "query-rx-filter"
    assert settle(lambda: guest.qmp.command(filters, name="nic1")[0]["main-mac"] == address)
    works(guest)


@pytest.mark.kvm
@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_card_goes_and_another_takes_its_place_and_its_number(boot, kind):
    guest = kind.boot(boot, ports=4, slots=4)
    works(guest)
    for turn in (1, 2):
        gone = unplug(guest, 1)
        assert (gone["port"], gone["reason"], gone["lost"]) == ("1", "ejected", "0")
        guest.ends[0].send(*capture.frames(30, seed=turn))
        guest.stats(1, drop_stopped=30 * turn)
        works(guest, 2, 3)
        assert plug(guest, 1, **kind.place(1))["wires"] == "0-1,2-3"
        again = guest.find("port", id=1)[-1]
        assert (again["pci"], again["mac"], again["link"]) == (gone["pci"], mac_of(1), "up")
        works(guest)
        works(guest, 2, 3)
    assert guest.later_stats(1)["tx_dropped"] == "60"
    assert not guest.find("error")
    assert not guest.find("reset")
    silent(guest, 0, 1, 2, 3)


@debugger.needed
@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_card_that_comes_before_the_core_has_looked_whether_the_other_went_is_that_port(boot, kind):
    guest = kind.boot(boot, ports=4, slots=4)
    for _ in range(2):
        works(guest)
        start = guest.console.count()
        with Debugger(guest) as gdb:
            guest.qmp.forget()
            guest.qmp.command("device_del", id="nic1")
            gdb.run_until_returned("pci_hotplug_eject")
            wait_deleted(guest, 1)
            insert(guest, 1, **kind.place(1))
        gone = guest.wait("unplug", start=start)
        assert (gone["port"], gone["reason"], gone["lost"]) == ("1", "ejected", "0")
        assert guest.wait("wires", start=start)["wires"] == "0-1,2-3"
        again = guest.wait("port", start=start)
        assert (again["id"], again["pci"], again["link"]) == ("1", gone["pci"], "up")
    works(guest)
    works(guest, 2, 3)
    assert len(guest.find("unplug")) == 2
    assert not guest.find("error")
    assert not guest.find("reset")
    silent(guest, 0, 1, 2, 3)


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_new_cards_get_the_next_numbers_and_are_wired_with_each_other(boot, kind):
    guest = kind.boot(boot, ports=2, slots=4)
    event = plug(guest, 2, **kind.place(2))
    assert (event["wires"], event["idle_ports"]) == ("0-1", "2")
    assert guest.find("warn", port=2, reason="idle")
    works(guest)
    guest.ends[2].send(*capture.frames(10))
    guest.stats(2, drop_idle=10)
    event = plug(guest, 3, **kind.place(3))
    assert (event["wires"], event["idle_ports"]) == ("0-1,2-3", "none")
    works(guest, 2, 3)
    works(guest)
    assert not guest.find("error")
    silent(guest, 0, 1, 2, 3)


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_card_goes_in_full_traffic_and_the_other_pair_loses_nothing(boot, kind):
    guest = kind.boot(boot, ports=4, slots=4)
    floods = [Flood(guest.ends[0]), Flood(guest.ends[2])]
    for flood in floods:
        flood.start()
    guest.ends[1].take(200)
    unplug(guest, 1)
    plug(guest, 1, **kind.place(1))
    guest.ends[1].take(200)
    disturbed, other = [flood.finish() for flood in floods]
    received = guest.ends[3].take(other)
    assert received == guest.ends[2].sent
    last = capture.frame(99, seed=99)
    guest.ends[0].send(last)
    guest.ends[1].take_until(last)
    counters = guest.later_stats(1)
    given, dropped = counters.integer("tx_packets"), counters.integer("drop_stopped")
    assert guest.later_stats(0).integer("rx_packets") == disturbed + 1
    # The frames that lay in its ring stand in both counters, of which `unplug` says how many.
    lost = sum(event.integer("lost") for event in guest.find("unplug"))
    assert given + dropped - lost == disturbed + 1
    in_qemu = given - lost - len(guest.ends[1].received)
    assert 0 <= in_qemu <= 256 + 16, "more than a ring and what a socket holds"
    seen = iter(guest.ends[0].sent)
    assert all(frame in seen for frame in guest.ends[1].received)


def test_card_without_room_for_its_ports_is_named(boot):
    guest = boot(machine="q35", devices=root_ports(2, reserve="0"), ports=["addr=8", "addr=9"])
    start = guest.console.count()
    guest.qmp.command("netdev_add", type="hubport", id="net2", hubid=1)
    card = {"netdev": "net2", "id": "nic2", "bus": "root0", "disable-legacy": "off"}
    guest.qmp.command("device_add", driver="virtio-net-pci", **card)
    told = guest.wait("warn", lambda event: "I/O window" in event.line, start=start)
    assert (told["pci"], told["bar"]) == ("01:00.0", "0")
    works(guest)


def test_other_card_that_comes_is_named_and_one_that_goes_is_let_go(boot):
    guest = boot(ports=2)
    guest.qmp.command("device_add", driver="e1000", id="nic9", addr="9", romfile="")
    assert guest.wait("warn", lambda event: "use model virtio" in event.line)["pci"] == "00:09.0"
    guest.qmp.command("device_del", id="nic9")
    assert guest.qmp.wait("DEVICE_DELETED")["data"]["device"] == "nic9"
    works(guest)
