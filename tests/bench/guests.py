"""The guests that are measured on the bed."""

import os
import re
import subprocess

import bed
import launch


def symbol_address(path, name):
    listing = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
    return int(re.search(rf"^([0-9a-f]+) . {name}$", listing, re.MULTILINE)[1], 16)


def barewire(build, memory=64):
    """Marks: the kernel's first instruction, and the loop's, when `ready` has been logged."""
    kernel = launch.need_file(os.path.join(build, "barewire.elf"), "build it with make")
    entry = launch.kernel_entry(kernel)
    loop = symbol_address(os.path.join(build, "barewire.debug"), "loop_run")
    return bed.Guest("barewire", ["-kernel", kernel, "-append", "stats=0"], memory,
                     marks=[entry, loop])
