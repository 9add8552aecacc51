"""Makes the file system that a Linux guest boots with: a cpio archive in the format "newc"
(the kernel's Documentation/driver-api/early-userspace/buffer-format.rst)."""

import glob
import os
import re
import stat
import subprocess

import launch

LIBRARY_FOLDERS = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
LOADER = "lib64/ld-linux-x86-64.so.2"
NEEDED = re.compile(r"\(NEEDED\).*\[(.*)\]")
MODULE_NEEDS = re.compile(rb"\0depends=([^\0]*)\0")


class Initramfs:
    """Files by the path that they have in the guest."""

    def __init__(self):
        self.entries = []  # path, mode, major and minor number, bytes
        self.paths = set()

    def _add(self, path, mode, content=b"", device=(0, 0)):
        """One entry, and the folders above it before."""
        if path in self.paths:
            return
        parent = os.path.dirname(path)
        if parent:
            self._add(parent, stat.S_IFDIR | 0o755)
        self.paths.add(path)
        self.entries.append((path, mode, device, content))

    def folder(self, path):
        self._add(path, stat.S_IFDIR | 0o755)

    def device(self, path, major, minor):
        self._add(path, stat.S_IFCHR | 0o600, device=(major, minor))

    def link(self, path, target):
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def file(self, path, content):
        self._add(path, stat.S_IFREG | 0o755, content)

    def copy(self, path, source):
        with open(source, "rb") as file:
            self.file(path, file.read())

    def write(self, destination):
        with open(destination, "wb") as file:
            for number, entry in enumerate(self.entries + [("TRAILER!!!", 0, (0, 0), b"")], 1):
                path, mode, device, content = entry
                name = path.encode() + b"\0"
                fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0)
                header = b"070701" + b"".join(b"%08X" % value for value in fields)
                file.write(_padded(header + name) + _padded(content))


def _padded(piece):
    return piece + bytes(-len(piece) % 4)


# ---- programs and their libraries ----


def _find_library(root, name):
    for folder in LIBRARY_FOLDERS:
        path = os.path.join(root, folder, name)
        if os.path.exists(path):
            return os.path.realpath(path)
    raise launch.Problem(f"no package below {root} has {name}")


def _needed(path):
    listing = subprocess.run(["readelf", "-d", path], check=True, capture_output=True, text=True)
    return NEEDED.findall(listing.stdout)


def add_program(image, root, path, plugins=()):
    """A program, libraries that it loads by name at run time, and all that these are linked with."""
    source = os.path.join(root, path)
    image.copy(path, source)
    image.copy(LOADER, _find_library(root, os.path.basename(LOADER)))
    waiting = [*plugins, *_needed(source)]
    while waiting:
        name = waiting.pop()
        inside = os.path.join(LIBRARY_FOLDERS[0], name)
        if inside not in image.paths:
            library = _find_library(root, name)
            image.copy(inside, library)
            waiting += _needed(library)


# ---- kernel modules ----


def _find_module(folder, name):
    for spelling in (name, name.replace("_", "-")):
        found = glob.glob(f"{glob.escape(folder)}/kernel/**/{spelling}.ko", recursive=True)
        if found:
            return found[0]
    raise launch.Problem(f"{folder} has no kernel module {name}")


def add_modules(image, folder, names):
    """Modules of a kernel and those that they need; returns their paths in the guest in the order of
    loading. `folder` is the kernel's below lib/modules."""
    order = []

    def add(name):
        inside = f"modules/{name}.ko"
        if inside in order:
            return
        path = _find_module(folder, name)
        with open(path, "rb") as file:
            needs = MODULE_NEEDS.search(file.read())
        for needed in filter(None, needs[1].decode().split(",") if needs else []):
            add(needed)
        image.copy(inside, path)
        order.append(inside)

    for name in names:
        add(name)
    return order
