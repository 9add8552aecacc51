"""The documents that users copy from are what they claim to be."""

import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

from places import ROOT

DOMAIN = ROOT / "tools" / "barewire.xml"
SCHEMA = "/usr/share/libvirt/schemas/domain.rng"

pytestmark = pytest.mark.only_tcg


@pytest.fixture(scope="module")
def domain():
    return ElementTree.parse(DOMAIN).getroot()


def test_libvirt_domain_file_follows_libvirts_schema():
    checked = subprocess.run(
        ["xmllint", "--noout", "--relaxng", SCHEMA, str(DOMAIN)],
        capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stderr


def test_libvirt_domain_has_two_virtio_ports_on_different_bridges(domain):
    interfaces = domain.findall("devices/interface")
    assert [port.find("model").get("type") for port in interfaces] == ["virtio", "virtio"]
    bridges = [port.find("source").get("bridge") for port in interfaces]
    assert len(set(bridges)) == 2, "both ends of a wire on one bridge make a loop"
    slots = [int(port.find("address").get("slot"), 16) for port in interfaces]
    assert slots == sorted(slots), "ports are numbered in PCI order"


def test_libvirt_domain_boots_the_kernel_on_pc_and_logs_its_console(domain):
    assert domain.find("os/kernel").text.endswith("/barewire.elf")
    # On q35 libvirt puts cards behind root ports, where the legacy interface has no I/O ports.
    assert domain.find("os/type").get("machine") == "pc"
    assert domain.find("devices/serial/log").get("file").endswith(".log")
    assert domain.find("devices/serial/target").get("port") == "0"
