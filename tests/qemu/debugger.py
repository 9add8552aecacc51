"""gdb on a running machine: stops it between two instructions of the kernel."""

import os
import select
import shutil
import subprocess
import time

import pytest

from places import SYMBOLS

ANSWER_TIMEOUT_S = 120
END_TIMEOUT_S = 30
MARK = "<answered>"

needed = pytest.mark.skipif(not shutil.which("gdb"), reason="no gdb (Debian: gdb)")


class Debugger:
    """Attached, and the machine stopped, inside a `with`; the machine runs on behind it."""

    def __init__(self, guest):
        self._guest = guest
        self._stub = guest.directory / "gdb"

    def __enter__(self):
        self._serve(f"unix:{self._stub},server=on,wait=off")
        self._gdb = subprocess.Popen(
            ["gdb", "-nx", "-quiet", str(SYMBOLS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            for line in ("set confirm off", "set pagination off", f"target remote {self._stub}"):
                self.command(line)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            self._gdb.communicate(b"delete\ndetach\nquit\n", END_TIMEOUT_S)
        finally:
            self._gdb.kill()
            self._gdb.wait()
            self._serve("none")

    def command(self, line):
        """Has gdb obey one line, and returns what it says until it wants the next one."""
        self._gdb.stdin.write(f"{line}\necho {MARK}\n".encode())
        self._gdb.stdin.flush()
        said, deadline = b"", time.monotonic() + ANSWER_TIMEOUT_S
        while not said.endswith(MARK.encode()):
            left = max(0, deadline - time.monotonic())
            new = select.select([self._gdb.stdout], [], [], left)[0]
            part = os.read(self._gdb.stdout.fileno(), 4096) if new else b""
            assert part, f"gdb does not answer {line}: {said.decode(errors='replace')}"
            said = (said + part).removesuffix(b"(gdb) ")
        return said.removesuffix(MARK.encode()).decode(errors="replace")

    def run_until_returned(self, function):
        """Lets the machine run until it comes back from the next call of a function."""
        self.command(f"tbreak {function}")
        self.command("continue")
        said = self.command("finish")
        assert f"{function} (" in said, said

    def _serve(self, where):
        self._guest.qmp.command("human-monitor-command", command_line=f"gdbserver {where}")
