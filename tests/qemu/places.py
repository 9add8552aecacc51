"""Paths."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

# The folder `make` builds into; the same as make's OUT=.
BUILD = (ROOT / os.environ.get("BAREWIRE_BUILD", "build")).resolve()
ELF = BUILD / "barewire.elf"
# The same kernel with its symbols, for nm and gdb.
SYMBOLS = BUILD / "barewire.debug"
ISO = BUILD / "barewire.iso"
FAILURES = BUILD / "test-failures"

QEMU = os.environ.get("QEMU") or "qemu-system-x86_64"
if "/" in QEMU:  # for tools that a test starts elsewhere, too
    os.environ["QEMU"] = QEMU = os.path.abspath(QEMU)

# The tools are no package; their folder comes after the tests' own.
sys.path.append(str(ROOT / "tools"))
