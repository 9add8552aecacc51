"""The power button ends the machine in order: what is in flight leaves, then the last words."""

import pytest

import capture
import images
from exchange import works
from qmp import QmpError
from vhost import TX, nic

MACHINES = ["pc", "q35"]


def press(guest):
    """What `virsh shutdown` does."""
    guest.qmp.command("system_powerdown")


def assert_powered_off(guest):
    """QEMU has ended because the guest switched the machine off by ACPI."""
    assert guest.wait_exit() == 0
    assert guest.qmp.wait("SHUTDOWN")["data"]["reason"] == "guest-shutdown"


@pytest.mark.kvm
@pytest.mark.parametrize("machine", MACHINES)
def test_power_button_ends_the_machine_with_last_counters_and_bye(boot, machine):
    guest = boot(machine=machine, words="stats=0", debug_exit=False)
    works(guest, count=50)
    press(guest)
    assert_powered_off(guest)
    names = [event.name for event in guest.console.events]
    assert names[-3:] == ["stats", "stats", "bye"]
    bye = guest.console.events[-1]
    assert bye.keys == ["t", "reason", "action", "unsent"]
    assert (bye["reason"], bye["action"], bye["unsent"]) == ("power-button", "poweroff", "0")
    for port in (0, 1):
        (stats,) = guest.find("stats", port=port)
        assert (stats.integer("rx_packets"), stats.integer("tx_packets")) == (50, 50)


@pytest.mark.kvm
def test_power_button_ends_a_microvm_too(boot):
    guest = boot(ports=0, machine="microvm", debug_exit=False)
    press(guest)
    assert_powered_off(guest)
    assert guest.console.events[-1]["reason"] == "power-button"


@pytest.mark.only_tcg
def test_power_button_works_under_uefi(boot, tmp_path):
    image = images.iso(tmp_path, "multiboot2", "")
    guest = boot(machine="q35", memory_mib=256, boot=images.ovmf(tmp_path) + images.cdrom(image),
                 debug_exit=False)  # fmt: skip
    press(guest)
    assert_powered_off(guest)


@pytest.mark.parametrize("machine", MACHINES)
def test_frames_in_flight_leave_before_the_machine_does(boot, machine):
    guest = boot(machine=machine, words="stats=0", debug_exit=False)
    left, right = guest.ends
    frames = capture.frames(60, seed=5)
    left.send(*frames)
    press(guest)
    assert_powered_off(guest)
    (out,) = guest.find("stats", port=1)
    # The other side has got all frames that the loop has received, and no others.
    right.expect(frames[: out.integer("tx_packets")])
    right.expect_silence()
    (taken,) = guest.find("stats", port=0)
    assert taken["rx_packets"] == out["tx_packets"]


def test_device_that_takes_nothing_does_not_hold_the_end_up(boot):
    guest = boot(ports=[nic(), ""], words="stats=1", shared_memory=True, debug_exit=False)
    works(guest)
    guest.ends[0].hold(TX)
    guest.ends[1].send(*capture.frames(5, seed=3))
    guest.stats(0, tx_packets=25)
    press(guest)
    assert_powered_off(guest)
    assert guest.console.events[-1]["unsent"] == "5"
    assert guest.find("stats", port=0)[-1].integer("tx_packets") == 25


def test_second_press_changes_nothing(boot):
    guest = boot(debug_exit=False)
    press(guest)
    try:
        press(guest)
    except (QmpError, OSError):
        pass  # the machine was off already
    assert_powered_off(guest)
    assert len(guest.find("bye")) == 1


def test_press_before_ready_is_not_lost(start):
    guest = start(ports=2, words="stats=0", debug_exit=False)
    guest.wait("port", id=0)
    press(guest)
    assert_powered_off(guest)
    assert guest.find("ready") and guest.find("bye")
