"""Both interfaces of a card, each wherever it can be had, and frames over every pairing of them.

The other options of a card are test_matrix.py's.
"""

import pytest

import capture
import images
from exchange import cross, drain, silent, works

LEGACY = "disable-legacy=off,disable-modern=on"
MODERN = "disable-legacy=on,disable-modern=off"
BOTH = "disable-legacy=off,disable-modern=off"

RING_PACKED = 34  # a feature bit

FOUR_GIB = 1 << 32
SECOND_ROOT_ENTRY = 1 << 39  # what one entry of the highest page table maps


def root_port(number, words=""):
    """QEMU's words for a PCIe root port, which the firmware gives no I/O window without need."""
    return ["-device", f"pcie-root-port,id=root{number},chassis={number},addr={4 + number}{words}"]


def memory_bars(guest, address):
    """The 64-bit memory BARs that the walk over PCI has found at one address."""
    event = next(event for event in guest.find("pci") if event["address"] == address)
    bars = [value for key, value in event.fields.items() if key.startswith("bar")]
    return [int(bar.split(":")[1].split("+")[0], 16) for bar in bars if bar.startswith("mem64")]


def transports(guest):
    return [event["transport"] for event in guest.find("port")]


def carries(guest, left=0, right=1):
    """Frames of every size and enough of them to go round the rings, both ways, and no drop."""
    frames = capture.frames(600) + capture.odd_frames()
    cross(guest, left, right, frames, frames[::-1])
    silent(guest, left, right)


@pytest.mark.parametrize("machine", ["pc", "q35"])
@pytest.mark.parametrize(
    "card, transport",
    [
        (LEGACY, "legacy"),
        (MODERN, "modern"),
        (BOTH, "modern"),
        (f"{MODERN},iommu_platform=on", "modern"),
    ],
)
def test_card_forwards_by_the_best_interface_it_has(boot, machine, card, transport):
    guest = boot(ports=[card] * 2, machine=machine)
    assert transports(guest) == [transport] * 2
    carries(guest)
    assert not guest.find("error") and not guest.find("warn")


@pytest.mark.kvm
def test_legacy_and_modern_cards_forward_to_each_other(boot):
    """Their headers differ in length."""
    guest = boot(ports=[LEGACY, MODERN, MODERN, f"{LEGACY},any_layout=off,event_idx=off"])
    assert transports(guest) == ["legacy", "modern", "modern", "legacy"]
    carries(guest)
    carries(guest, 2, 3)


@pytest.mark.kvm
def test_packed_and_split_rings_forward_to_each_other(boot):
    guest = boot(ports=[LEGACY, f"{MODERN},packed=on", f"{MODERN},packed=on", MODERN])
    features = [int(event["features"], 16) >> RING_PACKED & 1 for event in guest.find("port")]
    assert features == [0, 1, 1, 0]
    carries(guest)
    carries(guest, 2, 3)


@pytest.mark.parametrize("word", ["legacy", "modern", "auto"])
def test_word_forces_an_interface_of_a_card_that_has_both(boot, word):
    guest = boot(ports=[BOTH] * 2, words=f"transport={word}")
    assert transports(guest) == ["modern" if word == "auto" else word] * 2
    carries(guest)


@pytest.mark.parametrize("word, card", [("legacy", MODERN), ("modern", LEGACY)])
def test_forced_interface_that_a_card_lacks_is_named_and_the_others_forward(boot, word, card):
    guest = boot(ports=[BOTH, BOTH, card], words=f"transport={word}")
    error = guest.wait("error", reason="no-transport")
    assert error["port"] == "2"
    assert error["modern" if word == "legacy" else "legacy"] == f"transport={word} asked for"
    carries(guest)


@pytest.mark.parametrize(
    "options",
    ["", ",disable-legacy=off", pytest.param(",modern-pio-notify=on", marks=pytest.mark.kvm)],
)
def test_card_behind_a_root_port_needs_no_io_window(boot, options):
    guest = boot(
        machine="q35",
        devices=root_port(0) + root_port(1),
        ports=[f"bus=root0{options}", f"bus=root1{options}"],
    )
    assert transports(guest) == ["modern"] * 2
    assert {guest.port(number)["pci"] for number in (0, 1)} == {"01:00.0", "02:00.0"}
    carries(guest)


def test_card_behind_a_root_port_with_an_io_window_can_be_forced_to_legacy(boot):
    guest = boot(
        machine="q35",
        devices=root_port(0, ",io-reserve=4k"),
        ports=["bus=root0,disable-legacy=off", "addr=3"],
        words="transport=legacy",
    )
    assert transports(guest) == ["legacy"] * 2
    assert guest.port(1)["pci"] == "01:00.0"
    assert guest.port(1)["mac"] == "52:54:00:12:34:00"
    carries(guest)


def test_card_whose_memory_lies_above_4_gib_forwards(boot):
    """A window too large for the hole below it moves all of the root port's 64-bit BARs up."""
    guest = boot(
        machine="q35",
        devices=root_port(0, ",pref64-reserve=8G") + root_port(1, ",pref64-reserve=8G"),
        ports=["bus=root0", "bus=root1"],
        words="log=debug",
    )
    for address in ("01:00.0", "02:00.0"):
        assert all(bar >= FOUR_GIB for bar in memory_bars(guest, address))
    assert transports(guest) == ["modern"] * 2
    carries(guest)


@pytest.mark.only_tcg
@pytest.mark.skipif(not images.OVMF_CODE.exists(), reason="no OVMF (Debian: ovmf)")
def test_card_whose_memory_lies_where_ovmf_puts_it_forwards(start, tmp_path):
    """In its 64-bit window, beyond what the first entry of the highest page table maps."""
    image = images.iso(tmp_path, "multiboot2", "log=debug")
    guest = start(
        machine="q35",
        memory_mib=256,
        devices=root_port(0) + root_port(1),
        ports=["bus=root0", "bus=root1"],
        boot=images.ovmf(tmp_path) + images.cdrom(image),
    )
    guest.wait("ready", timeout=300)
    for address in ("01:00.0", "02:00.0"):
        assert all(bar >= SECOND_ROOT_ENTRY for bar in memory_bars(guest, address))
    assert transports(guest) == ["modern"] * 2
    drain(guest)
    works(guest)


@pytest.mark.slow
@pytest.mark.skipif(not images.OVMF_CODE.exists(), reason="no OVMF (Debian: ovmf)")
def test_card_that_ovmf_has_no_room_for_says_how_it_interrupts_and_forwards(start, tmp_path):
    """With more root ports than fit into the I/O ports, OVMF leaves all BARs behind some of them as
    sizing does, with all bits set, and gives them no line."""
    count = 12
    roots = []
    for n in range(count):
        port = f"pcie-root-port,id=root{n},chassis={n},multifunction=on"
        roots += ["-device", f"{port},addr={4 + n // 8}.{n % 8}"]
    guest = start(
        machine="q35",
        memory_mib=256,
        devices=roots,
        ports=[f"bus=root{n},disable-legacy=off" for n in range(count)],
        boot=images.ovmf(tmp_path)
        + images.cdrom(images.iso(tmp_path, "multiboot2", "log=debug stats=1")),
    )
    guest.wait("ready", timeout=300)
    placed = [bool(memory_bars(guest, f"{n + 1:02x}:00.0")[0]) for n in range(count)]
    assert True in placed and False in placed
    ways = [guest.port(n)["interrupt"] for n in range(count)]
    assert ways == ["message" if place else "none" for place in placed]
    warned = [event.integer("port") for event in guest.find("warn", reason="no-interrupt")]
    assert warned == [n for n in range(count) if not placed[n]]
    for left in range(0, count, 2):
        drain(guest, left, left + 1)
        works(guest, left, left + 1)
    idle = guest.wait("idle", start=guest.wait("idle", start=guest.console.count()).number + 1)
    assert idle.integer("device_wakes") > 0
    assert idle["timer_rescues"] == "0"
    assert not guest.find("error")


@pytest.mark.kvm
def test_modern_card_comes_up_again_after_a_reset_of_the_machine(boot):
    guest = boot(ports=[MODERN] * 2)
    works(guest)
    seen = guest.console.count()
    guest.qmp.command("set-action", reboot="reset")
    guest.qmp.command("system_reset")
    guest.wait("ready", start=seen)
    assert transports(guest) == ["modern"] * 4
    works(guest)
