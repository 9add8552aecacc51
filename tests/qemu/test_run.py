"""
tools/run as its user meets it: in a terminal, with the keys and signals that leave, and with guests
that lose, corrupt, reorder, die or hang.

Most tests use stand_in_qemu, which does wrong what it is asked to; the last ones the real thing.
"""

import fcntl
import gzip
import os
import pty
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections import Counter

import pytest

import capture
from places import BUILD, ELF, ROOT

import traffic

RUN = ROOT / "tools" / "run"
STAND_IN = ROOT / "tests" / "qemu" / "stand_in_qemu"
LIMIT_S = 120

pytestmark = pytest.mark.only_tcg  # QEMU is a stand-in in most of them

SUMMARY = re.compile(r"(\d) -> (\d): sent (\d+) received (\d+) lost (\d+) corrupted (\d+) "
                     r"out-of-order (\d+) rate (\d+) frames/s")


class Direction:
    """One line of the summary."""

    def __init__(self, match):
        (self.source, self.sink, self.sent, self.received, self.lost, self.corrupted,
         self.out_of_order, self.rate) = map(int, match.groups())

    def faults(self):
        return (self.lost, self.corrupted, self.out_of_order)


def summary_of(text):
    """The two directions; they must be the last two lines."""
    matches = [SUMMARY.fullmatch(line) for line in text.splitlines()[-2:]]
    assert len(matches) == 2 and all(matches), f"the summary isn't last:\n{text}"
    directions = [Direction(match) for match in matches]
    assert [(way.source, way.sink) for way in directions] == [(0, 1), (1, 0)]
    return directions


@pytest.fixture
def sample():
    """The repository's own capture."""
    return BUILD / "capture.pcap"


class Place:
    """A folder for one test: the tool's TMPDIR, which must be empty afterwards."""

    def __init__(self):
        # Below /tmp whatever TMPDIR says: a socket's path has at most 107 characters.
        self.folder = tempfile.mkdtemp(prefix="bw", dir="/tmp")
        self.scratch = os.path.join(self.folder, "scratch")
        self.told = os.path.join(self.folder, "told")
        self.kernel = os.path.join(self.folder, "kernel.elf")
        os.mkdir(self.scratch)
        with open(self.kernel, "wb"):
            pass  # the stand-in asks for no content

    def environment(self, stand_in, **variables):
        kept = {name: value for name, value in os.environ.items()
                if name not in ("PCAP", "DURATION", "TAP0", "TAP1", "CMDLINE", "KVM_TRIAL")}
        kept.update(variables, TMPDIR=self.scratch)
        if stand_in is not None:
            kept.update(QEMU=str(STAND_IN), STAND_IN=stand_in, STAND_IN_TOLD=self.told)
        return kept

    def qemu_words(self):
        """The stand-in's process id and command line."""
        with open(self.told, encoding="utf-8") as file:
            pid, *words = file.read().split("\0")
        return int(pid), words

    def assert_nothing_left(self):
        assert os.listdir(self.scratch) == []
        if os.path.exists(self.told):
            with pytest.raises(ProcessLookupError):
                os.kill(self.qemu_words()[0], 0)


@pytest.fixture
def place():
    one = Place()
    yield one
    shutil.rmtree(one.folder)


def run_tool(place, sample, *words, stand_in="", **variables):
    """Without a terminal, to its end. Returns the finished process; its output is one text."""
    done = subprocess.run(
        [str(RUN), "--kernel", place.kernel, "--capture", str(sample), *words],
        env=place.environment(stand_in, **variables), stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False)
    place.assert_nothing_left()
    return done


class InTerminal:
    """The tool in a terminal of its own, in the foreground, as a shell would start it."""

    def __init__(self, command, environment, size=(24, 80)):
        self.master, slave = pty.openpty()
        self.resize(*size)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.output = b""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.process = subprocess.Popen(
            # setsid -c: the terminal becomes the controlling one, its keys could make signals
            ["setsid", "-c", *command], env=environment, stdin=slave, stdout=slave, stderr=slave)
        self.reader.start()

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def _read(self):
        try:
            while data := os.read(self.master, 65536):
                self.output += data
        except OSError:
            pass  # the last slave was closed

    def text(self):
        return self.output.decode("utf-8", "replace").replace("\r", "")

    def wait_for(self, words):
        deadline = time.monotonic() + LIMIT_S
        while words not in self.text():
            assert time.monotonic() < deadline, f"no {words!r} in:\n{self.text()}"
            assert self.process.poll() is None, f"ended before {words!r}:\n{self.text()}"
            time.sleep(0.02)

    def wait_raw(self):
        """Until the tool has taken the keyboard."""
        deadline = time.monotonic() + LIMIT_S
        while termios.tcgetattr(self.slave)[3] & termios.ISIG:
            assert time.monotonic() < deadline, f"the terminal stays as it was:\n{self.text()}"
            time.sleep(0.02)

    def type(self, keys):
        os.write(self.master, keys)

    def finish(self):
        """The exit status; the terminal must be as before."""
        status = self.process.wait(LIMIT_S)
        assert termios.tcgetattr(self.slave) == self.before
        self.close()
        return status

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.slave)
        self.reader.join(LIMIT_S)
        os.close(self.master)


@pytest.fixture
def in_terminal(place, sample):
    started = []

    def start(*words, stand_in="", kernel=None, **variables):
        command = [str(RUN), "--kernel", str(kernel or place.kernel), "--capture", str(sample)]
        started.append(InTerminal([*command, *words], place.environment(stand_in, **variables)))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.close()


@pytest.mark.parametrize("keys", [b"\x03", b"\x01x"], ids=["ctrl-c", "ctrl-a x"])
def test_key_leaves_with_a_faultless_summary_and_the_terminal_as_before(in_terminal, place, keys):
    tool = in_terminal()
    tool.wait_for("passed ")
    tool.type(keys)
    assert tool.finish() == 0
    for way in summary_of(tool.text()):
        assert way.faults() == (0, 0, 0)
        assert way.sent == way.received > 226, "the capture was not looped"
    place.assert_nothing_left()


def test_first_line_says_how_to_leave(in_terminal):
    tool = in_terminal("--duration", "0.2")
    assert tool.finish() == 0
    first = tool.text().splitlines()[0]
    assert "Ctrl-C" in first and "Ctrl-A x" in first


def test_other_keys_do_not_leave(in_terminal):
    tool = in_terminal()
    tool.wait_for("ready ")
    tool.type(b"x\x01qx q\x04\x1a\x1c\r")
    time.sleep(0.5)
    assert tool.process.poll() is None
    # The two keys may come in two reads.
    tool.type(b"\x01")
    time.sleep(0.3)
    tool.type(b"x")
    assert tool.finish() == 0


@pytest.mark.parametrize("keys", [b"\x03", b"\x01x"], ids=["ctrl-c", "ctrl-a x"])
def test_key_leaves_when_the_guest_says_nothing(in_terminal, place, keys):
    tool = in_terminal(stand_in="mute")
    tool.wait_raw()
    tool.type(keys)
    assert tool.finish() == 1
    assert "before the guest was ready" in tool.text()
    summary_of(tool.text())
    place.assert_nothing_left()


@pytest.mark.parametrize("keys", [b"\x03", b"\x01x"], ids=["ctrl-c", "ctrl-a x"])
def test_key_leaves_when_qemu_has_stopped(in_terminal, place, keys):
    tool = in_terminal(stand_in="freeze")
    tool.wait_for("frozen ")
    tool.type(keys)
    assert tool.finish() == 1
    assert any(way.lost for way in summary_of(tool.text()))
    place.assert_nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_leaves_like_a_key(in_terminal, place, number):
    tool = in_terminal()
    tool.wait_for("passed ")
    tool.process.send_signal(number)
    assert tool.finish() == 0
    summary_of(tool.text())
    place.assert_nothing_left()


def test_qemu_dies_with_a_tool_that_was_killed(in_terminal, place):
    tool = in_terminal()
    tool.wait_for("ready ")
    tool.process.kill()
    tool.process.wait()
    deadline = time.monotonic() + LIMIT_S
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline:
            os.kill(place.qemu_words()[0], 0)
            time.sleep(0.05)


def test_duration_ends_the_run_with_every_frame_accounted_for(place, sample):
    done = run_tool(place, sample, DURATION="1.5")
    assert done.returncode == 0, done.stdout
    for way in summary_of(done.stdout):
        assert way.faults() == (0, 0, 0)
        assert way.sent == way.received > 0 and way.rate > 0


@pytest.mark.parametrize(
    "what, counter", [("lose", "lost"), ("corrupt", "corrupted"), ("swap", "out_of_order"),
                      ("double", "out_of_order")])
def test_each_fault_is_counted_exactly_and_as_nothing_else(place, sample, what, counter):
    done = run_tool(place, sample, "--duration", "1", stand_in=f"{what}=50")
    assert done.returncode == 1
    for way in summary_of(done.stdout):
        # A frame that was held back for a swap has nothing to change places with at the end.
        expected = way.sent // 50
        counts = dict(zip(("lost", "corrupted", "out_of_order"), way.faults()))
        if what == "swap" and way.sent % 50 == 0:
            expected -= 1
            assert counts.pop("lost") == 1
        assert counts.pop(counter) == expected > 0
        assert not any(counts.values())


def test_a_guest_that_forwards_nothing_is_a_failure(place, sample):
    done = run_tool(place, sample, "--duration", "1", stand_in="lose=1")
    assert done.returncode == 1
    for way in summary_of(done.stdout):
        assert way.received == 0 and way.lost == way.sent > 0


def test_panic_of_the_guest_is_named_and_a_failure(place, sample):
    done = run_tool(place, sample, stand_in="panic")
    assert done.returncode == 1
    assert "the kernel panicked" in done.stdout
    summary_of(done.stdout)


def test_missing_ready_ends_a_run_with_a_duration(place, sample):
    done = run_tool(place, sample, "--duration", "1", "--ready-limit", "1", stand_in="mute")
    assert done.returncode == 1
    assert "no ready event within 1 s" in done.stdout
    summary_of(done.stdout)


def test_words_of_the_user_reach_the_guest_beside_stats(place, sample):
    run_tool(place, sample, DURATION="0.2", CMDLINE="wire=0-1 log=debug")
    words = place.qemu_words()[1]
    assert words[words.index("-append") + 1] == "stats=1 wire=0-1 log=debug"
    run_tool(place, sample, DURATION="0.2", CMDLINE="stats=5")
    words = place.qemu_words()[1]
    assert words[words.index("-append") + 1] == "stats=5"


def write_pcap_with_oddities(path, good):
    """A pcap with frames that can't be sent: cut short, too long, too short."""
    records = [(frame, len(frame)) for frame in good]
    records += [(good[0][:20], 60), (bytes(2000), 2000), (bytes(2001), 2001), (bytes(13), 13)]
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for data, length in records:
            file.write(struct.pack("<IIII", 1, 0, len(data), length) + data)


def write_pcapng(path, records):
    """records: (linktype, frame); an interface for each link type."""
    def block(kind, body):
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)

    linktypes = sorted({linktype for linktype, _ in records})
    with open(path, "wb") as file:
        file.write(block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
        for linktype in linktypes:
            file.write(block(1, struct.pack("<HHI", linktype, 0, 65535)))
        for linktype, frame in records:
            head = struct.pack("<5I", linktypes.index(linktype), 0, 0, len(frame), len(frame))
            file.write(block(6, head + frame))


def test_pcap_of_the_user_is_sent_and_what_cannot_be_is_named(place, sample):
    path = os.path.join(place.folder, "own.pcap")
    write_pcap_with_oddities(path, capture.frames(3) + capture.frames(2, source=2, destination=1))
    done = run_tool(place, sample, PCAP=path, DURATION="0.5")
    assert done.returncode == 0, done.stdout
    assert "skipped 4 frames: 2 above 1518 bytes, 1 below 14 bytes, 1 truncated" in done.stdout
    assert "3 frames for 0 -> 1, 2 for 1 -> 0" in done.stdout


def test_pcapng_is_read_and_frames_that_are_not_ethernet_are_named(place, sample):
    path = os.path.join(place.folder, "own.pcapng")
    write_pcapng(path, [(1, frame) for frame in capture.frames(4)] + [(101, bytes(40))])
    done = run_tool(place, sample, PCAP=path, DURATION="0.5")
    assert done.returncode == 0, done.stdout
    assert "skipped 1 frames: 1 non-Ethernet" in done.stdout
    assert "all 4 frames both ways" in done.stdout


def test_capture_out_of_a_pipe_is_sent(place, sample):
    for compress in (bytes, gzip.compress):
        with open(sample, "rb") as file:
            content = compress(file.read())
        done = subprocess.run([str(RUN), "--kernel", place.kernel, "--duration", "0.5"],
                              env=place.environment("", PCAP="/dev/stdin"), input=content,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S,
                              check=False)
        assert done.returncode == 0, done.stdout
        assert b"sending /dev/stdin in a loop: 226 frames for 0 -> 1, 226 for 1 -> 0" in done.stdout


def pcap_of(frames, order="<", magic=0xA1B2C3D4):
    head = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, 1)
    return head + b"".join(struct.pack(order + "IIII", 1, 0, len(frame), len(frame)) + frame
                           for frame in frames)


def pcapng_block(kind, body, length=None, again=None, order="<"):
    """A block whose two lengths may be wrong."""
    body += bytes(-len(body) % 4)
    length = len(body) + 12 if length is None else length
    return (struct.pack(order + "II", kind, length) + body +
            struct.pack(order + "I", length if again is None else again))


def section(order="<"):
    return (pcapng_block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order=order) +
            pcapng_block(1, struct.pack(order + "HHI", 1, 0, 65535), order=order))


def enhanced(frame, interface=0, claimed=None, order="<", **lengths):
    size = len(frame) if claimed is None else claimed
    return pcapng_block(6, struct.pack(order + "5I", interface, 0, 0, size, size) + frame,
                        order=order, **lengths)


FRAME = bytes(range(60))
THREE = [bytes([number]) * 60 for number in range(3)]


def read(tmp_path, content):
    """What read_capture makes of a file with this content."""
    path = tmp_path / "capture"
    path.write_bytes(content)
    return traffic.read_capture(str(path))


@pytest.mark.parametrize("content", [
    pcap_of(THREE), pcap_of(THREE, ">"), pcap_of(THREE, magic=0xA1B23C4D),
    pcap_of(THREE, ">", 0xA1B23C4D), gzip.compress(pcap_of(THREE)),
    section() + b"".join(map(enhanced, THREE)),
    section(">") + b"".join(enhanced(frame, order=">") for frame in THREE),
    section() + enhanced(THREE[0]) + pcapng_block(5, bytes(12)) + section(">") +
    b"".join(enhanced(frame, order=">") for frame in THREE[1:]),
    section() + b"".join(pcapng_block(3, struct.pack("<I", 60) + frame) for frame in THREE),
    section() + b"".join(pcapng_block(2, struct.pack("<HHIIII", 0, 0, 0, 0, 60, 60) + frame)
                         for frame in THREE),
    gzip.compress(section() + b"".join(map(enhanced, THREE))),
], ids=["pcap", "big-endian", "nanoseconds", "big-endian nanoseconds", "pcap.gz", "pcapng",
        "pcapng big-endian", "two sections", "simple packets", "old packets",
        "pcapng.gz"])  # fmt: skip
def test_captures_of_every_form_are_read(tmp_path, content):
    frames, skipped, damage = read(tmp_path, content)
    assert (frames, skipped, damage) == (THREE, Counter(), None)


def changed(content, at):
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1:]


# Incompressible, so that the middle of the stream is the middle of the frames.
LONG = pcap_of([random.Random(number).randbytes(1500) for number in range(40)])
SQUEEZED = gzip.compress(LONG, mtime=0)


@pytest.mark.parametrize("content, count, told", [
    (pcap_of(THREE)[:-1], 2, "a record is cut short: 59 of 60 bytes"),
    (pcap_of(THREE)[:-60], 2, "a record is missing: the file ends in front of it"),
    (pcap_of(THREE)[:-61], 2, "a record's header is cut short: 15 of 16 bytes"),
    (pcap_of(THREE) + b"\0" * 7, 3, "a record's header is cut short: 7 of 16 bytes"),
    (pcap_of(THREE) + b"\xff" * 80, 3, "a record claims to have 4294967295 bytes"),
    (pcap_of(THREE)[:23], 0, "the file's header is cut short: 19 of 20 bytes"),
    (gzip.compress(pcap_of(THREE))[:-9], None, "the gzip stream is cut short"),
    (gzip.compress(pcap_of(THREE))[:-1], 3, "the gzip stream is cut short"),
    (changed(gzip.compress(pcap_of(THREE)), -5), 3, "the gzip stream is damaged (CRC check failed"),
    (gzip.compress(pcap_of(THREE)) + b"tail", 3, "the gzip stream is damaged (Not a gzipped file"),
    (SQUEEZED[:len(SQUEEZED) // 2], None, "the gzip stream is cut short"),
    (gzip.compress(b"")[:5], 0, "the gzip stream is cut short"),
    (section() + enhanced(FRAME) + enhanced(FRAME, length=7), 1, "a block claims to have 7 bytes"),
    (section() + enhanced(FRAME) + enhanced(FRAME, length=94), 1, "a block claims to have 94 bytes"),
    (section() + enhanced(FRAME, again=96) + enhanced(FRAME), 0,
     "a block has 92 bytes by its first length, 96 by its last"),
    (section() + enhanced(FRAME) + enhanced(FRAME)[:-1], 1, "a block is cut short: 83 of 84 bytes"),
    (section() + enhanced(FRAME) + b"\6", 1, "a block's header is cut short: 1 of 4 bytes"),
    (section() + enhanced(FRAME) + b"\6\0\0\0", 1, "a block's header is missing"),
    (section() + enhanced(FRAME) + enhanced(FRAME, claimed=61), 1,
     "a frame claims to have 61 bytes, its block has 60"),
    (section() + enhanced(FRAME) + enhanced(FRAME, interface=1), 1,
     "a frame came from interface 1, of which nothing is known"),
    (section() + enhanced(FRAME) + pcapng_block(6, bytes(8)), 1, "a frame's block is too short"),
    (section() + enhanced(FRAME) + pcapng_block(0x0A0D0D0A, bytes(16)), 1,
     "a section's byte-order magic is 00 00 00 00"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_damage_of_a_capture_is_told_with_the_frames_before_it(tmp_path, content, count, told):
    frames, skipped, damage = read(tmp_path, content)
    assert not skipped
    assert count in (None, len(frames))
    assert damage.startswith(f"damaged after {len(frames)} frame"), damage
    assert told in damage


def test_half_of_a_gzip_stream_gives_about_half_of_its_frames(tmp_path):
    frames, _, _ = read(tmp_path, SQUEEZED[:len(SQUEEZED) // 2])
    assert 15 <= len(frames) <= 20


def test_what_is_in_front_of_the_damage_is_sent(place, sample):
    path = os.path.join(place.folder, "half.pcap")
    with open(path, "wb") as file:
        file.write(pcap_of(THREE)[:-1])
    done = run_tool(place, sample, PCAP=path, DURATION="0.5")
    assert done.returncode == 0, done.stdout
    assert (f"{path}: damaged after 2 frames: a record is cut short: 59 of 60 bytes; what comes "
            "behind that is not sent") in done.stdout
    assert "all 2 frames both ways" in done.stdout


@pytest.mark.parametrize("content, told", [
    (b"", "it is empty"), (b"\n", "the file's header is cut short: 1 of 4 bytes"),
    (b"some text", "it begins with 73 6f 6d 65"),
    (gzip.compress(b"some text"), "it begins with 73 6f 6d 65"),
], ids=["empty", "a byte", "text", "text.gz"])  # fmt: skip
def test_a_file_that_is_no_capture_is_called_so(tmp_path, content, told):
    with pytest.raises(ValueError, match=re.escape(f"not a pcap or pcapng file ({told})")):
        read(tmp_path, content)


def test_capture_with_nothing_to_send_is_a_failure(place, sample):
    path = os.path.join(place.folder, "own.pcap")
    write_pcapng(path, [(101, bytes(40))])
    done = run_tool(place, sample, PCAP=path)
    assert done.returncode == 1 and "no frame that can be sent" in done.stdout


@pytest.mark.parametrize(
    "variables, words",
    [
        ({"PCAP": "/nowhere/x.pcap"}, "/nowhere/x.pcap cannot be read"),
        ({"PCAP": "/proc/self/status"}, "not a pcap or pcapng file"),
        ({"DURATION": "soon"}, "DURATION=soon"),
        ({"DURATION": "-1"}, "DURATION=-1"),
        ({"DURATION": "nan"}, "DURATION=nan"),
        ({"TAP0": "bwnothere"}, "both TAP0=… and TAP1=…"),
        ({"TAP0": "bwnothere", "TAP1": "lo"}, "no network device bwnothere: create it with"),
        ({"TAP0": "bwnothere", "TAP1": "bwnothere"}, "TAP0 and TAP1 are both bwnothere"),
        ({"TAP0": "lo", "TAP1": "bwnothere"}, "lo is a network device, but not a tap"),
        ({"QEMU": "/nowhere/qemu"}, "/nowhere/qemu cannot be started"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(
        f"{name}={text}" for name, text in value.items()),
)
def test_bad_input_is_named_with_its_value(place, sample, variables, words):
    stand_in = None if "QEMU" in variables else ""
    done = run_tool(place, sample, stand_in=stand_in, **variables)
    assert done.returncode == 1
    assert words in done.stdout
    assert "Traceback" not in done.stdout


def test_reader_that_goes_away_ends_the_run(place, sample):
    command = [str(RUN), "--kernel", place.kernel, "--capture", str(sample)]
    with subprocess.Popen(command, env=place.environment(""), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tool:
        tool.stdout.readline()
        tool.stdout.close()
        errors = tool.stderr.read()
        assert tool.wait(LIMIT_S) == 1
    assert errors == b""
    place.assert_nothing_left()


def tool_in(place, command, **streams):
    """A tool at odds with its surroundings, to its end: what it says on its two outputs."""
    done = subprocess.run(command, env=place.environment(""), stdin=subprocess.DEVNULL,
                          timeout=LIMIT_S, check=False, text=True,
                          **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams})
    place.assert_nothing_left()
    assert "Traceback" not in f"{done.stdout}{done.stderr}"
    return done


def shell(words, redirection):
    """The command with its descriptors as a shell makes them."""
    return ["sh", "-c", f'exec "$@" {redirection}', "sh", *words]


@pytest.mark.parametrize("redirection, told", [
    (">&-", "run: standard output is closed: send it to /dev/null if you don't want it\n"),
    (">/dev/full", "run: the output cannot be written, No space left on device\n"),
])  # fmt: skip
def test_output_that_takes_nothing_is_told_in_one_line(place, sample, redirection, told):
    words = [str(RUN), "--kernel", place.kernel, "--capture", str(sample)]
    done = tool_in(place, shell(words, redirection))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", told)


def test_closed_input_and_errors_are_done_without(place, sample):
    words = [str(RUN), "--kernel", place.kernel, "--capture", str(sample), "--duration", "0.5"]
    done = tool_in(place, shell(words, "<&- 2>&-"))
    assert done.returncode == 0, done.stdout


def test_a_locale_that_lacks_a_character_ends_nothing(place, sample):
    done = run_tool(place, sample, TAP0="x", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 1
    assert "two taps are needed: give both TAP0=? and TAP1=?" in done.stdout


def test_ctrl_c_before_the_start_leaves_in_one_line(place, sample):
    read_end, write_end = os.pipe()
    with subprocess.Popen([str(RUN), "--kernel", place.kernel, "--pcap", "/dev/stdin"],
                          env=place.environment(""), stdin=read_end, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True) as tool:
        os.close(read_end)
        assert "leave with Ctrl-C" in tool.stdout.readline()
        os.write(write_end, struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        await_reading(tool.pid, write_end)
        tool.send_signal(signal.SIGINT)
        rest = tool.stdout.read()
        assert tool.wait(LIMIT_S) == 130
    os.close(write_end)
    assert rest == "run: accelerator TCG\nrun: left by Ctrl-C\n"


def await_reading(pid, write_end):
    """Until the process has read all that is in the pipe."""
    deadline = time.monotonic() + LIMIT_S
    while struct.unpack("i", fcntl.ioctl(write_end, termios.FIONREAD, bytes(4)))[0]:
        assert time.monotonic() < deadline, f"{pid} does not read"
        time.sleep(0.02)


@pytest.mark.parametrize("tool, words, module", [
    ("make-capture", ["/nowhere/x.pcap"], "scapy"),
    ("top", ["--console", "/nowhere", "--prometheus", ":0"], "prometheus_client"),
    ("top", ["--console", "/nowhere", "--plot", "/tmp/x.svg"], "matplotlib"),
    ("top", ["--console", "/nowhere", "--picture", "/tmp/x.svg"], "rich"),
])  # fmt: skip
def test_a_python_module_that_is_missing_is_named_with_its_package(place, tool, words, module):
    script = ("import sys, runpy; sys.modules[sys.argv[1]] = None; sys.argv = sys.argv[2:]; "
              "sys.path.insert(0, sys.argv[0].rpartition('/')[0]); "
              "runpy.run_path(sys.argv[0], run_name='__main__')")
    done = tool_in(place, [sys.executable, "-B", "-c", script, module, str(ROOT / "tools" / tool),
                           *words])
    package = f"python3-{module.replace('_', '-')}"
    assert done.returncode == 1
    assert f"the Python module {module} is missing: apt-get install {package}" in (
        done.stdout + done.stderr)


@pytest.mark.parametrize("tool, words, told", [
    ("make-capture", ["/nowhere/x.pcap"], "/nowhere/x.pcap cannot be written, No such file"),
    ("make-capture", [], "usage: tools/make-capture FILE"),
    ("debug", ["--kernel", str(ELF), "--symbols", str(ELF), "--log", "/nowhere/log"],
     "/nowhere/log, No such file or directory"),
    ("debug", ["--kernel", "/nowhere"], "there is no file /nowhere"),
    ("run", ["--ready-limit", "nan"], "--ready-limit nan is not a number of seconds above 0"),
    ("run", ["--kernel", "/etc"], "there is no file /etc"),
])  # fmt: skip
def test_tools_tell_what_they_cannot_do_in_one_line(place, tool, words, told):
    done = tool_in(place, [str(ROOT / "tools" / tool), *words])
    assert done.returncode == 1
    assert told in done.stdout.splitlines()[-1]


def test_capture_is_the_same_every_time_and_has_every_kind_of_frame(sample, tmp_path):
    again = tmp_path / "again.pcap"
    environment = dict(os.environ, TZ="Asia/Tokyo", PYTHONHASHSEED="7", LANG="C")
    subprocess.run([sys.executable, str(ROOT / "tools" / "make-capture"), str(again)],
                   env=environment, check=True, timeout=LIMIT_S)
    assert again.read_bytes() == sample.read_bytes()
    frames = capture.read_pcap(sample)
    lengths = [len(frame) for frame in frames]
    assert min(lengths) == 14 and {1514, 1518} <= set(lengths)
    assert Counter(frames).most_common(1)[0][1] == 1, "two frames are the same"
    types = {frame[12:14].hex() for frame in frames}
    assert {"0806", "0800", "86dd", "8100", "88a8"} <= types
    protocols = {frame[23] for frame in frames if frame[12:14] == b"\x08\x00"}
    assert {1, 6, 17} <= protocols
    assert any(frame[:6].hex() == "0180c2000000" for frame in frames), "no STP"


@pytest.mark.parametrize("seed", range(20))
def test_faults_mixed_at_random_are_counted_exactly(sample, seed):
    """The judgement alone, on a wire that loses, corrupts and swaps neighbours."""
    chance = random.Random(seed)
    share = chance.choice([0, 0.01, 0.2])
    direction = traffic.Direction("", traffic.split_sides(traffic.read_capture(str(sample))[0])[0])
    wire, count = [], Counter()
    behind = None  # the frame that another one has overtaken last
    for _ in range(5000):
        frame = direction.frames[direction.sent % len(direction.frames)]
        direction.sent += 1
        fate = chance.random()
        swappable = wire and wire[-1] is not behind and wire[-1] in direction.places
        if fate < share:
            count["lost"] += 1
        elif fate < 2 * share:
            count["corrupted"] += 1
            wire.append(bytes([frame[0] ^ 0xFF]) + frame[1:])
        elif fate < 3 * share and swappable:
            count["out of order"] += 1
            behind = wire[-1]
            wire.insert(len(wire) - 1, frame)
        else:
            wire.append(frame)
        while len(wire) > 100:
            direction.arrived(wire.pop(0))
    for frame in wire:
        direction.arrived(frame)
    assert direction.lost() == count["lost"]
    assert direction.corrupted == count["corrupted"]
    assert direction.out_of_order == count["out of order"]


HANGING_CODE = b"\xfa\xf4\xeb\xfd"  # cli; hlt; jmp to the hlt


@pytest.fixture
def hanging_kernel(place):
    """The least that QEMU boots by Multiboot: it never says a word."""
    address, flags = 0x100000, 1 << 16
    header = struct.pack("<8I", 0x1BADB002, flags, -(0x1BADB002 + flags) % 2**32, address, address,
                         0, 0, address + 32)
    with open(place.kernel, "wb") as file:
        file.write(header + HANGING_CODE)
    return place.kernel


@pytest.mark.parametrize("keys", [b"\x03", b"\x01x"], ids=["ctrl-c", "ctrl-a x"])
def test_key_leaves_when_a_real_machine_hangs(in_terminal, place, hanging_kernel, keys):
    tool = in_terminal(stand_in=None, kernel=hanging_kernel)
    tool.wait_raw()
    time.sleep(2)
    tool.type(keys)
    assert tool.finish() == 1
    summary_of(tool.text())
    place.assert_nothing_left()


def test_barewire_passes_the_capture_without_a_fault(in_terminal, place):
    tool = in_terminal(stand_in=None, kernel=ELF)
    tool.wait_for("ready ")
    tool.wait_for("stats ")
    time.sleep(2)
    tool.type(b"\x03")
    assert tool.finish() == 0, tool.text()
    for way in summary_of(tool.text()):
        assert way.faults() == (0, 0, 0)
        assert way.sent == way.received > 0
    place.assert_nothing_left()
