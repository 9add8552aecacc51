"""tools/debug stops where the kernel is entered, with names for what is there."""

import shutil
import subprocess

import pytest

from places import BUILD, ELF, ROOT

DEBUG = ROOT / "tools" / "debug"

pytestmark = pytest.mark.skipif(not shutil.which("gdb"), reason="gdb is not installed")


def test_debug_stops_at_kernel_entry_with_symbols(tmp_path):
    typed = "info symbol $rip\nthbreak boot_main\ncontinue\nbacktrace 1\nquit\n"
    done = subprocess.run(
        [str(DEBUG), "--kernel", str(ELF), "--symbols", str(BUILD / "barewire.debug"), "--log",
         str(tmp_path / "debug.log")],
        input=typed, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
        check=False)
    assert done.returncode == 0, done.stdout
    assert "boot_multiboot1" in done.stdout and "boot/entry.S" in done.stdout
    assert "boot_main (" in done.stdout and "kernel/main.c" in done.stdout
