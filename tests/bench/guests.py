"""The guests that are measured on the testbed: barewire, and its alternatives."""

import os
from dataclasses import dataclass

import testbed
import common
import debian
import initramfs
import launch


def barewire(build, memory=64):
    """Marks: the kernel's first instruction, and the loop's, when `ready` has been logged."""
    kernel = launch.need_file(os.path.join(build, "barewire.elf"), "build it with make")
    entry = launch.kernel_entry(kernel)
    loop = common.symbol_address(os.path.join(build, "barewire.debug"), "loop_run")
    return testbed.Guest("barewire", ["-kernel", kernel, "-append", "stats=0"], memory,
                     marks=[entry, loop])


# ---- Linux ----

COMMANDS = ("sh", "mount", "insmod", "ip", "brctl", "sleep", "mkdir")  # of busybox

INIT = """#!/bin/sh
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
for module in {modules}; do insmod /$module; done
"""

# Without forward_delay=0 a bridge listens for 15 seconds before it forwards.
BRIDGE = """
ip link add br0 type bridge
echo 0 >/sys/class/net/br0/bridge/forward_delay
for port in eth0 eth1; do
    brctl addif br0 $port
    ip link set $port up
done
ip link set br0 up
exec sleep 1000000000
"""

# Two threads on one processor: the first one waits for a key on the console.
TESTPMD = """
mkdir -p /dev/hugepages /var/run
mount -t hugetlbfs none /dev/hugepages
for device in 0x1000 0x1041; do echo 1af4 $device >/sys/bus/pci/drivers/uio_pci_generic/new_id; done
exec /usr/bin/dpdk-testpmd --lcores 0@0,1@0 -m 32 --no-telemetry {drivers} {ports} -- \\
    --auto-start --forward-mode=io --rxd=256 --txd=256 --total-num-mbufs=4096 --no-mlockall
"""
DPDK_DRIVERS = ("librte_bus_pci.so.23", "librte_mempool_ring.so.23", "librte_net_virtio.so.23")
HUGE_PAGES = 20  # of 2 MiB


@dataclass
class Files:
    """Debian's files that the guests are made of."""

    root: str
    kernel: str  # its version, as uname says it


def peer_files(build):
    """Downloads and unpacks them where that was not done before."""
    archive = debian.Archive()
    kernel = debian.kernel_package(archive)
    # testpmd is linked with every driver's library, and those want ibverbs-providers' ones.
    dpdk = archive.with_libraries(["dpdk-dev", "ibverbs-providers", "librte-bus-pci23",
                                   "librte-mempool-ring23", "librte-net-virtio23"])
    root = archive.unpack(os.path.join(build, "peers"), [kernel, "busybox-static", *dpdk])
    return Files(root, kernel.removeprefix("linux-image-"))


def linux(build, files, name, image, words):
    """A guest with Debian's kernel. What it is to run stands in the image already."""
    path = os.path.join(build, "peers", name + ".cpio")
    image.write(path)
    kernel = os.path.join(files.root, "boot", f"vmlinuz-{files.kernel}")
    append = f"console=ttyS0 panic=-1 {words}".strip()
    return testbed.Guest(name, ["-kernel", kernel, "-initrd", path, "-append", append], 256,
                     boot_limit=400)


def base_image(files, modules, script):
    image = initramfs.Initramfs()
    image.device("dev/console", 5, 1)
    for folder in ("proc", "sys", "tmp"):
        image.folder(folder)
    image.copy("bin/busybox", os.path.join(files.root, "bin/busybox"))
    for command in COMMANDS:
        image.link(f"bin/{command}", "busybox")
    order = initramfs.add_modules(
        image, os.path.join(files.root, "lib/modules", files.kernel), modules)
    image.file("init", (INIT.format(modules=" ".join(order)) + script).encode())
    return image


def linux_bridge(build, files, words=""):
    """Two ports on a bridge, as plain as it can be; `words` for the kernel's command line."""
    image = base_image(files, ["virtio_pci", "virtio_net", "bridge"], BRIDGE)
    return linux(build, files, "linux-bridge" + ("-tuned" if words else ""), image, words)


def testpmd(build, files, vectorized=False):
    """DPDK's forwarding application, on both ports."""
    option = ",vectorized=1" if vectorized else ""
    script = TESTPMD.format(
        drivers=" ".join(f"-d {driver}" for driver in DPDK_DRIVERS),
        ports=" ".join(f"-a 00:{slot:02x}.0{option}" for slot in (4, 5)))
    image = base_image(files, ["uio_pci_generic"], script)
    initramfs.add_program(image, files.root, "usr/bin/dpdk-testpmd", DPDK_DRIVERS)
    name = "testpmd" + ("-vectorized" if vectorized else "")
    return linux(build, files, name, image, f"hugepages={HUGE_PAGES}")
