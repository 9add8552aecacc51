"""DPDK's testpmd as the back end of two cards: what one gives out it puts into the other.

It speaks vhost-user, so the rings of these cards are its own, and QEMU moves no frame. It is the
client of two sockets on which QEMU listens, so that it may end, and another one take its place. It
asks for neither huge pages nor a device nor a privilege.
"""

import os
import re
import shutil
import subprocess

from guest import Nic, settle

PROGRAM = shutil.which("dpdk-testpmd")
MEMORY_MIB = 256
START_TIMEOUT_S = 120
END_TIMEOUT_S = 60

# QEMU 7.2 doesn't survive MSI-X on such a card without KVM.
CARD = {"vectors": "0"}

COUNTERS = re.compile(
    r"Forward statistics for port (\d+) .*?RX-packets: (\d+).*?TX-packets: (\d+)", re.DOTALL
)
LINKS = re.compile(r"Port (\d+): link state change event")


class Testpmd:
    """One run of it after the other, for cards with its two `sockets` in `directory`."""

    __test__ = False  # the name looks like a test's

    def __init__(self, directory):
        self.sockets = [os.path.join(directory, f"pmd{number}") for number in (0, 1)]
        self.log = os.path.join(directory, "testpmd")
        self.process = None

    def nic(self, number, options):
        """The card whose rings are to be served as testpmd's port `number`."""
        return Nic(options=CARD | options, netdev=f"vhost-user,chardev=pmd{number}")

    def words(self):
        """QEMU's words for its side of the sockets."""
        words = []
        for number, path in enumerate(self.sockets):
            words += ["-chardev", f"socket,id=pmd{number},path={path},server=on,wait=off"]
        return words

    def start(self):
        """Starts it; it connects once QEMU listens. To be followed by forwards()."""
        # stdbuf: else what it says comes when it ends.
        command = ["setpriv", "--pdeathsig", "KILL", "stdbuf", "-oL", PROGRAM]
        command += ["--no-huge", "-m", str(MEMORY_MIB), "--no-pci", "--no-shconf", "--no-telemetry"]
        command += ["--lcores", "0@0,1@0"]  # one waits for commands, one forwards
        for number, path in enumerate(self.sockets):
            command += ["--vdev", f"net_vhost{number},iface={path},client=1"]
        command += ["--", "--interactive", "--auto-start", "--forward-mode=io"]
        # --no-flush-rx: it would begin by throwing away what waits.
        command += ["--total-num-mbufs=8192", "--no-mlockall", "--no-flush-rx"]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
            )

    def forwards(self):
        """Waits until it forwards. Before both its ports have their rings it would do so by
        throwing away what comes in by the one that has."""

        begun = settle(lambda: "packet forwarding - ports=2" in self.text(), START_TIMEOUT_S)
        assert begun and self.linked([1, 1]), self.text()

    def changes(self):
        """How often the link of each of its ports has changed: rings came, or went."""
        found = LINKS.findall(self.text())
        return [found.count(number) for number in ("0", "1")]

    def linked(self, changes):
        """Waits for so many changes; false if they do not come."""

        def reached():
            return all(have >= want for have, want in zip(self.changes(), changes))

        return settle(reached, START_TIMEOUT_S)

    def text(self):
        """What this run has said."""
        with open(self.log, errors="replace") as log:
            return log.read()

    def end(self):
        """Ends it in order; returns how many frames went in and out of each of its ports."""
        self.process.communicate(b"stop\nquit\n", END_TIMEOUT_S)
        found = {int(port): (int(rx), int(tx)) for port, rx, tx in COUNTERS.findall(self.text())}
        return [found[number] for number in (0, 1)]

    def close(self):
        """Ends it, however it is. May be repeated."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
