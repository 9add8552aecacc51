"""Other ways to start the kernel: a copy that only PVH finds, ISO images with a menu of their own."""

import pathlib
import shutil
import struct
import subprocess

from places import ELF

MULTIBOOT1_MAGIC = 0x1BADB002
MULTIBOOT1_SEARCH = 8192  # the header is within the file's first 8 KiB, at a multiple of 4

# Firmware of 2 MiB, or of 4 where a distribution has no other.
OVMF_SIZE = "" if pathlib.Path("/usr/share/OVMF/OVMF_CODE.fd").exists() else "_4M"
OVMF_CODE = pathlib.Path(f"/usr/share/OVMF/OVMF_CODE{OVMF_SIZE}.fd")
OVMF_VARS = pathlib.Path(f"/usr/share/OVMF/OVMF_VARS{OVMF_SIZE}.fd")

MODULES = "multiboot multiboot2 normal part_gpt part_msdos"


def pvh_only(folder):
    """A copy of the kernel without Multiboot 1: QEMU tries that first, on every machine."""
    image = bytearray(ELF.read_bytes())
    magic = struct.pack("<I", MULTIBOOT1_MAGIC)
    places = [at for at in range(0, MULTIBOOT1_SEARCH, 4) if image[at : at + 4] == magic]
    assert len(places) == 1, f"Multiboot 1 headers at {places}, expected exactly one"
    image[places[0] : places[0] + 4] = bytes(4)
    copy = folder / "pvh.elf"
    copy.write_bytes(image)
    return copy


def iso(folder, command, words):
    """An image whose GRUB starts the kernel by `command`, multiboot or multiboot2."""
    grub = folder / "root" / "boot" / "grub"
    grub.mkdir(parents=True)
    shutil.copy(ELF, folder / "root" / "boot" / "barewire.elf")
    (grub / "grub.cfg").write_text(
        f"set timeout=0\nmenuentry barewire {{\n    {command} /boot/barewire.elf {words}\n}}\n"
    )
    image = folder / f"{command}.iso"
    # Nothing but what starts the kernel: the image is made in a second, and read in less.
    making = ["grub-mkrescue", f"--install-modules={MODULES}", "--locales=", "--themes=", "--fonts="]
    done = subprocess.run(
        making + ["-o", str(image), str(folder / "root")], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return image


def cdrom(image):
    """QEMU's words to start from `image` as a CD."""
    return ["-cdrom", str(image)]


def disk(image):
    """QEMU's words to start from `image` as a hard disk."""
    return ["-drive", f"file={image},format=raw,readonly=on,if=none,id=disk0"] + [
        "-device", "virtio-blk-pci,drive=disk0"
    ]


def ovmf(folder):
    """QEMU's words for UEFI firmware, with variables that end with the test."""
    variables = folder / "vars.fd"
    shutil.copy(OVMF_VARS, variables)
    return [
        "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF_CODE}",
        "-drive", f"if=pflash,format=raw,unit=1,file={variables}",
    ]  # fmt: skip
