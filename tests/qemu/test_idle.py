"""A core without traffic sleeps, and every frame wakes it: none waits for the timer."""

import random
import time

import pytest

import capture
from exchange import cross, works
from vhost import VIRTIO_F_ANY_LAYOUT, VIRTIO_F_EVENT_IDX, VIRTIO_F_VERSION_1, nic

# Cards, and how they must interrupt. Without vectors there is only the line.
CARDS = {
    "modern_message": ("", "modern", "message"),
    "modern_line": ("vectors=0", "modern", "line"),
    "legacy_message": ("disable-modern=on", "legacy", "message"),
    "legacy_line": ("disable-modern=on,vectors=0", "legacy", "line"),
    "flags_message": ("event_idx=off", "modern", "message"),
    "flags_line": ("event_idx=off,disable-modern=on,vectors=0", "legacy", "line"),
}
FRAMES = 120
PAUSE_MAX_S = 0.02


def cases():
    """Each card in a machine of either kind; those of one kind under KVM, too."""
    for machine in ("pc", "q35"):
        for card in CARDS:
            too = machine == "pc" and not card.startswith("flags")
            yield pytest.param(machine, card, marks=pytest.mark.kvm if too else ())


def lone_frames(guest, count, pause_max=PAUSE_MAX_S, seed=1):
    """One frame at a time, at random moments: now one end, now the other."""
    chance = random.Random(seed)
    for number in range(count):
        frame = [capture.frame(chance.randrange(60, 1000), seed=number)]
        left, right = chance.sample(guest.ends[:2], 2)
        left.send(*frame)
        right.expect(frame)
        time.sleep(chance.random() ** 3 * pause_max)  # most are short


def idle(guest):
    """An `idle` event in which all is that happened before, however late we read it: it comes behind
    the answer to a question that is asked now."""
    asked = guest.ask("uptime")[-1]
    return guest.wait("idle", start=asked.number + 1)


def assert_woken_by_devices(guest):
    """Fails unless interrupts have woken the core, and the timer has found nothing."""
    event = idle(guest)
    assert event.keys == [
        "t", "slept_percent", "halts", "device_wakes", "timer_wakes", "timer_rescues",
        "console_wakes"
    ]  # fmt: skip
    assert event.integer("device_wakes") > 0
    assert event.integer("halts") >= event.integer("device_wakes")
    assert event["timer_rescues"] == "0"
    assert not guest.find("warn")


@pytest.mark.parametrize("machine, card", cases())
def test_lone_frames_at_random_moments_wake_the_core(boot, machine, card):
    options, transport, interrupt = CARDS[card]
    guest = boot(ports=[options, options], machine=machine, words="stats=1")
    for port in (0, 1):
        assert guest.port(port).matches({"transport": transport, "interrupt": interrupt})
    lone_frames(guest, FRAMES)
    assert_woken_by_devices(guest)


def test_bursts_with_pauses_pass_whole(boot):
    guest = boot(words="stats=1")
    for seed in range(5):
        cross(guest, 0, 1, capture.frames(200, seed=seed), capture.frames(200, seed=seed + 50))
        time.sleep(0.2)
    assert_woken_by_devices(guest)


def test_many_ports_share_one_line(boot):
    guest = boot(ports=["vectors=0"] * 8, words="stats=1")
    lines = {event["interrupt"] for event in guest.find("port")}
    assert lines == {"line"}
    for seed in range(20):
        for left in (0, 2, 4, 6):
            works(guest, left, left + 1, 3)
        time.sleep(0.02)
    assert_woken_by_devices(guest)


@pytest.mark.parametrize(
    "machine, ports",
    [("pc", 2), ("q35", 2), pytest.param("microvm", 0, marks=pytest.mark.kvm)],
)
def test_quiet_machine_wakes_a_few_times_a_second(boot, machine, ports):
    guest = boot(ports=ports, machine=machine, words="stats=2")
    first = guest.wait("idle")
    second = guest.wait("idle", start=first.number + 1)
    seconds = second.time - first.time
    wakes = second.integer("halts") - first.integer("halts")
    # Ten looks a second, and one for every 16 bytes of the events themselves.
    said = sum(len(event.line) for event in guest.console.events[first.number : second.number])
    assert 0 < wakes <= 10 * seconds + said / 16 + 20
    assert second["device_wakes"] == first["device_wakes"]


def test_poll_never_sleeps(boot):
    guest = boot(words="stats=1 idle=poll")
    works(guest)
    guest.later_stats(0)
    assert not guest.find("idle")


def test_core_that_no_timer_wakes_polls_and_says_so(boot):
    guest = boot(cpu="qemu64,-apic", words="stats=1")
    assert guest.find("warn", reason="no-local-apic")
    works(guest)
    guest.later_stats(0)
    assert not guest.find("idle")


VHOST = {
    "event_idx": VIRTIO_F_EVENT_IDX | VIRTIO_F_ANY_LAYOUT,
    "flags": VIRTIO_F_ANY_LAYOUT,
    "version_1": VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX,
}


@pytest.mark.parametrize("features", VHOST)
def test_device_outside_of_qemu_wakes_the_core(boot, features):
    ports = [nic(features=VHOST[features]) for _ in range(2)]
    guest = boot(ports=ports, words="stats=1", shared_memory=True)
    lone_frames(guest, FRAMES)
    assert_woken_by_devices(guest)


def test_device_that_never_interrupts_is_found_out_and_served_all_the_same(boot):
    guest = boot(ports=[nic(), nic()], words="stats=1", shared_memory=True)
    works(guest)
    for end in guest.ends:
        end.mute = True
    for number in range(20):
        frame = [capture.frame(60, seed=number)]
        guest.ends[0].send(*frame)
        guest.ends[1].expect(frame)
        time.sleep(0.02)
    guest.wait("warn", reason="interrupt-missing")
    assert idle(guest).integer("timer_rescues") > 0
    assert len(guest.find("warn")) == 1


def test_interrupt_storm_costs_nobody_a_frame(boot):
    guest = boot(ports=[nic(), nic(), "", ""], words="stats=1", shared_memory=True)
    storming = guest.ends[0]
    for seed in range(20):
        for _ in range(500):
            storming.interrupt()
        works(guest, 2, 3, 10)
        works(guest, 0, 1, 10)
    assert idle(guest)["timer_rescues"] == "0"
    assert not guest.find("error") + guest.find("warn") + guest.find("reset")


@pytest.mark.kvm
def test_typed_line_wakes_the_core(boot):
    guest = boot(words="stats=1")
    for _ in range(3):
        time.sleep(1.5)  # it looks often for a second after something was typed
        start = guest.console.count()
        guest.console.type("uptime\r")
        guest.wait("uptime", start=start)
    assert idle(guest).integer("console_wakes") > 0
