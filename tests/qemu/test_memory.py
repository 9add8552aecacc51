"""From 4 MiB of RAM to beyond 4 GiB."""

import os
import re

import pytest

import capture
from exchange import cross, works
from places import ELF
from test_hotplug import plug

FOUR_GIB = 1 << 32
LARGE, LARGE_WORD = ["rx_queue_size=1024"] * 8, "rx_ring=1024"


@pytest.mark.parametrize("memory_mib", [8, 16])
@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_8_mib_are_enough_for_two_ports_with_full_rings(boot, machine, memory_mib):
    guest = boot(machine=machine, memory_mib=memory_mib)
    assert guest.port(0)["rx_buffers"] == "256"
    assert not guest.find("warn")
    cross(guest, 0, 1, capture.frames(600))


def test_4_mib_are_enough_for_two_ports_that_forward(boot):
    guest = boot(memory_mib=4, words="stats=1")
    assert 32 <= guest.port(0).integer("rx_buffers") < 256
    assert guest.wait("warn", reason="memory").integer("enough_mib") <= 8
    cross(guest, 0, 1, capture.frames(600), capture.frames(600, seed=7))
    assert [pool["missing"] for pool in guest.console.ask("memory")[1:-1]] == ["0"] * 3


def test_ram_that_a_machine_with_modules_is_told_to_have_is_enough(start, tmp_path):
    modules = [tmp_path / "one", tmp_path / "two"]
    for module in modules:
        module.touch()
        os.truncate(module, 32 << 20)
    boot = ["-kernel", str(ELF), "-initrd", ",".join(map(str, modules))]
    short = start(memory_mib=64, boot=boot)
    reason = short.wait("panic")["reason"]
    assert "64 MiB of modules" in reason
    enough = int(re.search(r"-m (\d+)", reason)[1])
    assert enough == 8 + 64
    guest = start(memory_mib=enough, boot=boot)
    guest.ready()
    assert guest.port(0)["rx_buffers"] == "256"
    works(guest)


def test_8_mib_have_room_for_a_card_that_comes(boot):
    guest = boot(ports=["addr=4", "addr=5", "addr=6"], memory_mib=8, words="stats=1")
    plug(guest, 3, addr="7")
    assert guest.port(3).integer("rx_buffers") >= 32
    works(guest, 2, 3)
    works(guest)


def test_16_mib_are_shared_fairly_by_eight_ports_with_large_rings(boot):
    guest = boot(ports=LARGE, memory_mib=16, words=f"stats=1 {LARGE_WORD}")
    shares = [guest.port(number).integer("rx_buffers") for number in range(8)]
    assert min(shares) >= 32, "less than a burst"
    assert max(shares) - min(shares) <= 1
    assert max(shares) < 1024
    assert 16 < guest.wait("warn", reason="memory").integer("enough_mib") < 256
    for left in range(0, 8, 2):
        cross(guest, left, left + 1, capture.frames(2 * max(shares), seed=left, size=200))


def test_ram_the_warning_asks_for_is_indeed_enough(boot):
    short = boot(ports=LARGE, memory_mib=16, words=LARGE_WORD)
    enough = short.wait("warn", reason="memory").integer("enough_mib")
    guest = boot(ports=LARGE, memory_mib=enough, words=LARGE_WORD)
    assert {guest.port(number)["rx_buffers"] for number in range(8)} == {"1024"}


@pytest.mark.parametrize("cpu", ["qemu64", "max"], ids=["2m_pages", "1g_pages"])
@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_buffers_above_4_gib_are_reached_by_the_device(boot, machine, cpu):
    guest = boot(machine=machine, memory_mib=6144, cpu=cpu, words="buffers=high")
    assert 6100 < guest.wait("boot").integer("ram_mib") <= 6144
    cross(guest, 0, 1, capture.frames(600))
    for queue in (0, 1):
        assert all(one["addr"] >= FOUR_GIB for one in guest.descriptors(queue))


def test_6_gib_without_the_debug_word_forward_too(boot):
    works(boot(memory_mib=6144))
