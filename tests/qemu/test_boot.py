"""Every way in: loaders, firmware, machines; and what is said when there is no way."""

import re
import subprocess

import pytest

import images
from console import parse_event
from exchange import drain, works
from places import ISO, ROOT

RAM_TOLERANCE_MIB = 2  # firmware and ISA holes


def assert_boot_event(guest, protocol, memory_mib=64):
    """The boot event says by what protocol the kernel came, and how much RAM there is."""
    event = guest.wait("boot")
    assert event.keys[:4] == ["t", "version", "protocol", "ram_mib"]
    assert event["protocol"] == protocol
    assert memory_mib - RAM_TOLERANCE_MIB <= event.integer("ram_mib") <= memory_mib


@pytest.mark.kvm
@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_kernel_option_boots_by_multiboot1_and_forwards(boot, machine):
    guest = boot(machine=machine)
    assert_boot_event(guest, "multiboot1")
    works(guest)


@pytest.mark.kvm
@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_kernel_without_multiboot1_header_boots_by_pvh_and_forwards(boot, tmp_path, machine):
    guest = boot(machine=machine, kernel=images.pvh_only(tmp_path), words="stats=1")
    assert_boot_event(guest, "pvh")
    works(guest)
    assert guest.stats(0)["rx_packets"]  # the command line has come along


@pytest.mark.kvm
@pytest.mark.parametrize("pvh", [False, True], ids=["multiboot1", "pvh"])
def test_microvm_without_pci_boots_and_stays_up_without_ports(boot, tmp_path, pvh):
    kernel = {"kernel": images.pvh_only(tmp_path)} if pvh else {}
    guest = boot(ports=0, machine="microvm", words="stats=1", **kernel)
    assert_boot_event(guest, "pvh" if pvh else "multiboot1")
    assert guest.ready()["ports"] == "0"


def test_machine_that_cannot_tell_its_clock_rate_says_so_and_boots(boot):
    """No hypervisor's word, and no timer to measure against."""
    guest = boot(ports=0, machine="microvm,pit=off", cpu="max,-hypervisor")
    assert guest.wait("boot")["clock"] == "assumed"
    warning = guest.wait("warn", reason="clock-not-calibrated")
    assert warning["tsc_hz"] == guest.wait("boot")["tsc_hz"] == "4000000000"


@pytest.mark.parametrize(
    "command, protocol",
    [
        ("multiboot", "multiboot1"),
        pytest.param("multiboot2", "multiboot2", marks=pytest.mark.kvm),
    ],
)
def test_grub_under_seabios_boots_and_hands_over_the_words(boot, tmp_path, command, protocol):
    image = images.iso(tmp_path, command, "stats=1 log=debug wrong=word")
    guest = boot(boot=images.cdrom(image))
    assert_boot_event(guest, protocol)
    assert guest.wait("warn", lambda event: "wrong" in event.line)
    assert guest.find("pci")
    works(guest)


@pytest.mark.parametrize("command", ["multiboot", "multiboot2"])
def test_quotes_that_grub_hands_over_hide_no_word(boot, tmp_path, command):
    image = images.iso(tmp_path, command, '"stats=0 log=debug"')
    guest = boot(boot=images.cdrom(image))
    assert guest.ask("set")[0]["stats"] == "0"
    assert guest.find("pci")
    assert not guest.find("warn")


@pytest.mark.parametrize("medium", [images.cdrom, images.disk], ids=["cd", "disk"])
def test_release_image_boots_under_seabios(boot, medium):
    guest = boot(boot=medium(ISO))
    assert_boot_event(guest, "multiboot2")
    works(guest)


@pytest.mark.only_tcg
@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_release_image_boots_under_ovmf(start, tmp_path, machine):
    guest = start(machine=machine, memory_mib=256, boot=images.ovmf(tmp_path) + images.cdrom(ISO))
    event = guest.wait("boot", timeout=300)
    assert event["protocol"] == "multiboot2"
    assert event.integer("ram_mib") > 200  # UEFI keeps some
    guest.ready()
    drain(guest)  # the firmware has a network driver, which talks too
    works(guest)


def test_module_of_the_loader_is_left_alone(boot, tmp_path):
    module = tmp_path / "module"
    module.write_bytes(bytes(range(256)) * 4096)
    guest = boot(boot=["-kernel", str(images.ELF), "-initrd", f"{module} words of its own"])
    works(guest)


def test_machine_without_x87_and_vector_registers_boots_and_forwards(boot):
    works(boot(cpu="qemu64,-fpu,-mmx,-fxsr,-sse,-sse2,-pni"))


def test_machine_with_all_cpu_features_boots(boot):
    works(boot(cpu="max"))


@pytest.mark.parametrize(
    "cpu, reason",
    [("qemu32", "no-long-mode"), ("qemu64,-lm", "no-long-mode"), ("qemu64,-nx", "no-nx")],
    ids=["qemu32", "without_lm", "without_nx"],
)
def test_unfit_cpu_is_named_in_one_line(start, cpu, reason):
    guest = start(cpu=cpu)
    event = guest.wait("error", reason=reason)
    assert "cpu" in event["remedy"]
    assert not guest.find("boot")


def test_too_little_ram_is_named_in_one_line(start):
    guest = start(memory_mib=2)
    event = guest.wait("panic", lambda event: "RAM" in event.line or "memory" in event.line)
    assert re.search(r"\d+", event["reason"])


def test_output_is_lines_of_ascii_ended_by_crlf_with_the_time_second(boot):
    guest = boot(words="log=debug stats=1")
    guest.stats(1)
    raw = bytes(guest.console.raw)
    start = raw.index(b"\r\nboot ")
    assert raw.count(b"\n") == raw.count(b"\r\n")
    lines = [line + b"\n" for line in raw[start + 2 :].split(b"\n")[:-1]]
    assert max(map(len, lines)) <= 1024
    assert all(32 <= byte < 127 for line in lines for byte in line[:-2])
    events = [parse_event(line[:-2].decode("ascii")) for line in lines]
    assert all(events), "a line is not an event"
    assert all(event.keys[0] == "t" for event in events)
    times = [event.time for event in events]
    assert times == sorted(times)


def test_ready_comes_once_with_its_keys_in_order(boot):
    guest = boot(words="stats=1")
    guest.stats(1)
    (ready,) = guest.find("ready")
    assert ready.keys[:7] == ["t", "mode", "ports", "cores", "boot_us", "wires", "idle_ports"]
    assert (ready["mode"], ready["ports"], ready["cores"]) == ("wire", "2", "1")
    assert (ready["wires"], ready["idle_ports"]) == ("0-1", "none")
    assert 0 < ready.integer("boot_us") <= ready.time * 1e6 + 1


@pytest.mark.parametrize("cpu, name", [("qemu64", "tcg"), ("qemu64,-hypervisor", "none")])
@pytest.mark.only_tcg
def test_boot_event_ends_with_the_hypervisor(boot, cpu, name):
    event = boot(cpu=cpu).wait("boot")
    assert event.keys[-1] == "hypervisor"
    assert event["hypervisor"] == name


def test_version_is_what_git_describes(boot):
    version = boot().wait("boot")["version"]
    described = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    if described.returncode != 0:
        assert version == "unknown"
    else:  # the tree may have been changed since it was built, but its commit shows
        commit = described.stdout.strip().removesuffix("-dirty")
        is_number = described.stdout.strip().isdigit()
        assert version.removesuffix("-dirty") in (commit, f"g{commit}")
        assert not is_number or version.startswith("g")
