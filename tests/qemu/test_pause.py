"""A machine that is stopped, put back to an earlier moment, or moved to another QEMU."""

import pytest

import capture
from exchange import silent, works
from flood import Flood
from guest import Guest, settle

# What QEMU itself announces after a migration, on behalf of the machine.
RARP = b"\x80\x35"
CLOCK_TOLERANCE_S = 60  # what a busy host may need between two looks at a clock


def undisturbed(guest, start=0):
    """Nothing was said since that only a port in trouble has to say."""
    for name in ("warn", "error", "reset", "link", "panic"):
        assert not [event for event in guest.find(name) if event.number >= start]


@pytest.mark.kvm
def test_machine_stopped_in_full_traffic_goes_on_where_it_was(boot):
    """QEMU throws away what it holds itself when the machine stops; barewire loses nothing."""
    guest = boot(words="stats=1")
    flood = Flood(guest.ends[0])
    flood.start()
    for _ in range(3):
        guest.ends[1].take(300)
        guest.qmp.command("stop")
        # Until nothing has come for longer than a stall takes, were it the guest's time.
        guest.ends[1].take(1 << 20, timeout=2.5)
        guest.qmp.command("cont")
    sent = flood.finish()
    last = capture.frame(99, seed=99)
    guest.ends[0].send(last)
    guest.ends[1].take_until(last)
    received = guest.ends[1].received
    taken = guest.later_stats(0).integer("rx_packets")
    assert guest.later_stats(1).integer("tx_packets") == taken
    assert 0 <= sent + 1 - taken <= 3 * 16, "more than a socket holds for each stop"
    assert 0 <= taken - len(received) <= 3 * 16
    seen = iter(guest.ends[0].sent)
    assert all(frame in seen for frame in received), "not in the order in which they were sent"
    undisturbed(guest)


def add_drive(guest, file):
    """An unused drive in `file`: QEMU wants one to keep the machine's state in."""
    file.write_bytes(b"")
    disk = {"driver": "file", "filename": str(file)}
    guest.qmp.command("blockdev-add", node_name="file", **disk)
    options = {"driver": "qcow2", "file": "file", "size": 1 << 28}
    guest.qmp.command("blockdev-create", job_id="create", options=options)

    def created():
        (job,) = guest.qmp.command("query-jobs")
        assert "error" not in job, job
        return job["status"] == "concluded"

    assert settle(created, 60)
    guest.qmp.command("job-dismiss", id="create")
    guest.qmp.command("blockdev-add", node_name="state", driver="qcow2", file="file")


def monitor(guest, line):
    """A command of QEMU's human monitor; whatever it says is a complaint."""
    answer = guest.qmp.command("human-monitor-command", command_line=line)
    assert not answer, answer


def wait_received(guest, packets, start):
    """The first line from event number `start` on by which port 0 has received so many frames."""
    count = lambda event: event.integer("rx_packets") == packets
    return guest.wait("stats", count, start=start, port=0)


@pytest.mark.kvm
def test_machine_put_back_to_a_saved_moment_forwards_on(boot, tmp_path):
    guest = boot(words="stats=1")
    add_drive(guest, tmp_path / "state.qcow2")
    works(guest)
    monitor(guest, "savevm there")
    start = 0
    for _ in range(2):
        works(guest)
        works(guest)
        later = wait_received(guest, 60, start)
        monitor(guest, "loadvm there")
        # Lines from before the jump may still come, but they count more.
        back = wait_received(guest, 20, later.number + 1)
        assert back.time < later.time + CLOCK_TOLERANCE_S
        start = back.number + 1
        undisturbed(guest)
    works(guest)
    silent(guest, 0, 1)


@pytest.mark.kvm
def test_machine_moved_to_another_qemu_through_a_file_forwards_on(boot, tmp_path):
    guest = boot(words="stats=1")
    works(guest)
    guest.stats(1, tx_packets=20)
    file = tmp_path / "machine"
    guest.qmp.command("migrate", uri=f"exec:cat >{file}")

    def moved():
        status = guest.qmp.command("query-migrate")["status"]
        assert status != "failed"
        return status == "completed"

    assert settle(moved, 120)
    last = guest.find("stats", port=1)[-1]
    other = Guest(devices=["-incoming", f"exec:cat {file}"], words="stats=1")
    try:
        other.start()
        after = other.stats(1, rx_packets=20)
        assert last.time < after.time < last.time + CLOCK_TOLERANCE_S, "the clock goes on where it was"
        for end in other.ends:
            assert all(frame[12:14] == RARP for frame in end.received)
        # QEMU goes on announcing for a while, besides barewire's frames.
        there = capture.frames(50, seed=1)
        other.ends[0].send(*there)
        other.stats(0, rx_packets=70, announces=1)
        frames = other.ends[1].take_until(there[-1])
        assert [frame for frame in frames if frame[12:14] != RARP] == there
        undisturbed(other)
    finally:
        other.stop()
