"""Differences between KVM and TCG: doorbells, interrupts, and time."""

import contextlib
import os
import subprocess
import sys
import time

import pytest

import capture
from exchange import cross, works
from guest import settle
from test_idle import assert_woken_by_devices, lone_frames
from test_pause import add_drive, monitor, undisturbed

pytestmark = pytest.mark.only_kvm

PAUSE_S = 3  # longer than anything that is judged by time waits
CLOCK_SLACK = 0.002  # of an interval: the two clocks run by different counters


@pytest.mark.parametrize(
    "cpu, name, clock",
    [
        ("qemu64", "kvm", "kvmclock"),
        ("qemu64,hv-relaxed", "kvm", "kvmclock"),
        ("qemu64,kvm=off", "unknown", None),
    ],
    ids=["kvm", "behind_hyperv", "unknown"],
)
def test_hypervisor_and_its_clock_are_found(boot, cpu, name, clock):
    guest = boot(ports=0, machine="microvm", cpu=cpu)
    event = guest.wait("boot")
    assert event.keys[-1] == "hypervisor"
    assert event["hypervisor"] == name
    assert clock in (None, event["clock"])


@pytest.mark.parametrize("ioeventfd", ["on", "off"])
def test_doorbell_that_returns_before_the_device_has_worked_costs_no_frame(boot, ioeventfd):
    """With ioeventfd the host's kernel takes it, and QEMU gets to know later."""
    guest = boot(ports=[f"ioeventfd={ioeventfd}"] * 2, words="stats=1")
    guest.trace("virtio_pci_notify_write")
    lone_frames(guest, 20)
    cross(guest, 0, 1, capture.frames(100, seed=1), capture.frames(100, seed=2))
    taken_by_qemu = guest.traced("virtio_pci_notify_write")
    assert taken_by_qemu == 0 if ioeventfd == "on" else taken_by_qemu >= 20
    assert_woken_by_devices(guest)


@pytest.mark.parametrize("irqchip", ["split", "off"])
def test_devices_wake_the_core_whoever_has_the_interrupt_controllers(boot, irqchip):
    """On, as in all other tests: PIC, I/O APIC and local APIC are the kernel's. Split: only the last."""
    guest = boot(ports=["vectors=0", ""], machine=f"pc,kernel-irqchip={irqchip}", words="stats=1")
    assert [guest.port(port)["interrupt"] for port in (0, 1)] == ["line", "message"]
    lone_frames(guest, 20)
    assert_woken_by_devices(guest)


class Reading:
    """The guest's clock, and the host's at moments surely before and after that."""

    def __init__(self, guest):
        self.before = time.monotonic()
        self.guest = next(event for event in guest.ask("uptime") if event.name == "uptime").time
        self.after = time.monotonic()


def assert_same_time_passed(first, second):
    """Between two readings, as exactly as they tell."""
    least, most = second.before - first.after, second.after - first.before
    passed = second.guest - first.guest
    assert least * (1 - CLOCK_SLACK) <= passed <= most * (1 + CLOCK_SLACK)


def test_clock_counts_a_stop_and_nothing_is_taken_for_a_fault(boot):
    guest = boot(words="stats=1")
    works(guest)
    for _ in range(2):
        first = Reading(guest)
        guest.qmp.command("stop")
        frames = capture.frames(5, seed=3)  # as many as a socket holds in front of QEMU
        guest.ends[0].send(*frames)
        time.sleep(PAUSE_S)
        guest.qmp.command("cont")
        guest.ends[1].expect(frames)
        assert_same_time_passed(first, Reading(guest))
    works(guest)
    guest.later_stats(0)
    undisturbed(guest)


def test_clock_of_a_machine_that_was_put_back_goes_on_at_its_rate(boot, tmp_path):
    guest = boot(words="stats=1")
    add_drive(guest, tmp_path / "state.qcow2")
    saved = Reading(guest)
    monitor(guest, "savevm there")
    time.sleep(PAUSE_S)
    for _ in range(2):
        guest.qmp.command("stop")
        monitor(guest, "loadvm there")
        guest.qmp.command("cont")
        back = Reading(guest)
        assert back.guest >= saved.guest
        time.sleep(PAUSE_S)
        assert_same_time_passed(back, Reading(guest))
        works(guest)
    guest.later_stats(0)
    undisturbed(guest)


def waited_ns(guest, thread):
    """How long a thread of QEMU has waited for a processor that it was ready to use."""
    with open(f"/proc/{guest.process.pid}/task/{thread}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[1])


@contextlib.contextmanager
def starved(thread):
    """Leaves the thread what a busy loop on the same processor leaves over: next to nothing."""
    processors = os.sched_getaffinity(thread)
    processor = min(processors)
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as loop:
        try:
            os.sched_setaffinity(loop.pid, {processor})
            os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
            os.sched_setaffinity(thread, {processor})
            yield
        finally:
            os.sched_setaffinity(thread, processors)
            os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
            loop.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a thread its priority back")
def test_time_that_the_host_takes_away_is_no_fault_of_a_device(boot):
    guest = boot(words="stats=1")
    works(guest)
    (processor,) = guest.qmp.command("query-cpus-fast")
    thread = processor["thread-id"]
    before = waited_ns(guest, thread)
    frames = capture.frames(100, seed=4)
    with starved(thread):
        guest.ends[0].send(*frames)
        assert settle(lambda: waited_ns(guest, thread) - before > 2 * PAUSE_S * 10**9, 60)
    guest.ends[1].expect(frames)
    works(guest)
    assert guest.later_stats(1)["tx_packets"] == "140"
    undisturbed(guest)
