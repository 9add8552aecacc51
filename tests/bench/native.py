"""The data path on this machine: tests/bench/native.c, run plainly and under valgrind.

Instructions and cache lines are exact: the same build gives the same figures under any other load.
Cycles are medians, and swing all the same.
"""

import os
import re
import subprocess
import tempfile

import common

RINGS = ("split", "packed")
HEADERS = (10, 12)  # bytes: a legacy device's, a modern one's
BURSTS = (0, 1, 4, 32, 128, 256)  # 0: the lane polls and finds nothing
COUNTED_FRAMES = 8192  # a multiple of the ring, and of every burst
TRACED_FRAMES = 1024
TIMED_FRAMES = 1 << 19
CACHE_LINE = 64
ACCESS = re.compile(rb" [LSM] ([0-9a-f]+),(\d+)")


def command(program, ring, header, cores, burst, frames, doorbells):
    return [program, str(cores), str(burst), str(frames), str(int(doorbells)), ring, str(header)]


def run(words):
    """Runs the program, perhaps under valgrind; returns what it printed as key=value."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr}")
    return dict(word.split("=", 1) for word in done.stdout.split())


def counted(words, dump):
    """Instructions of lane_run in dump number `dump`, one for each measured_part that it runs."""
    with tempfile.TemporaryDirectory(prefix="barewire-") as folder:
        counts = os.path.join(folder, "callgrind")
        # Entering or leaving either function of toggle-collect switches counting on or off: the call
        # of a doorbell, which is a single instruction in the kernel, is counted, but not what it
        # does here.
        run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={counts}",
             "--collect-atstart=no", "--toggle-collect=lane_run",
             "--toggle-collect=__wrap_io_write16", "--zero-before=measured_part",
             "--dump-after=measured_part", *words])
        with open(f"{counts}.{dump}", encoding="utf-8") as file:
            total = re.search(r"^(?:summary|totals): (\d+)", file.read(), re.MULTILINE)
    return int(total[1])


def instructions(program, ring, header, burst, doorbells):
    """Of lane_run, per frame (or poll): all that leads to a doorbell, and one for the doorbell."""
    words = command(program, ring, header, 1, burst, COUNTED_FRAMES, doorbells)
    return counted(words, 1) / COUNTED_FRAMES


def measured_rounds(trace, measurement, mark):
    """The sets of cache lines that the lane's measured rounds touch. A store to `measurement` stands
    before and behind all of them, one to `mark` before and behind each."""
    measuring = inside = False
    lines = set()
    for access in trace:
        match = ACCESS.match(access)
        if not match:
            continue
        address, size = int(match[1], 16), int(match[2])
        if address == measurement:
            measuring = not measuring
        elif address == mark:
            if inside and measuring:
                yield lines
            inside = not inside
            lines = set()
        elif inside and measuring:
            lines.update(range(address // CACHE_LINE, (address + size - 1) // CACHE_LINE + 1))


def cache_lines(program, ring, header, burst):
    """Distinct lines of data (stack, rings, private state, headers of frames) that a round of the
    lane touches, per frame. The code's own lines are not among them."""
    marks = [common.symbol_address(program, name) for name in ("mark_measurement", "mark_round")]
    words = ["valgrind", "--tool=lackey", "--trace-mem=yes", "--basic-counts=no",
             *command(program, ring, header, 1, burst, TRACED_FRAMES, False)]
    # An environment of its own, for that lies on the stack and moves all below it.
    traced = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              env={"PATH": os.environ.get("PATH", os.defpath)})
    try:
        with traced.stderr:
            return sum(map(len, measured_rounds(traced.stderr, *marks))) / TRACED_FRAMES
    finally:
        traced.kill()  # has ended, or the rest is not needed
        traced.wait()


def measure(program, ring, header, burst):
    """One row of the table."""
    row = {"ring": ring, "header": header, "burst": burst,
           "cache_lines": cache_lines(program, ring, header, burst)}
    for name, doorbells in (("suppressed", False), ("wanted", True)):
        turns = run(command(program, ring, header, 1, burst, TIMED_FRAMES, doorbells))
        row[name] = {
            "instructions": instructions(program, ring, header, burst, doorbells),
            "cycles_one_core": float(turns["cycles"]),
            "rx_doorbells_per_burst": int(turns["rx_doorbells"]) / int(turns["rounds"]),
            "tx_doorbells_per_burst": int(turns["tx_doorbells"]) / int(turns["rounds"]),
        }
        # Two threads that wait for each other by polling need a core each.
        if burst != 0 and len(os.sched_getaffinity(0)) >= 2:
            across = run(command(program, ring, header, 2, burst, TIMED_FRAMES, doorbells))
            row[name]["cycles_two_cores"] = float(across["cycles"])
    return row


COLUMNS = ("ring", "header", "burst", "instructions", "cycles, 1 core", "cycles, 2 cores", "cache lines",
           "instr. with doorbells", "doorbells a burst, rx + tx")


def cells(row):
    quiet, loud = row["suppressed"], row["wanted"]
    across = quiet.get("cycles_two_cores")
    return (
        row["ring"],
        str(row["header"]),
        str(row["burst"] or "empty poll"),
        f"{quiet['instructions']:.1f}",
        f"{quiet['cycles_one_core']:.1f}",
        f"{across:.1f}" if across is not None else "-",
        f"{row['cache_lines']:.2f}",
        f"{loud['instructions']:.1f}",
        f"{loud['rx_doorbells_per_burst']:.2f} + {loud['tx_doorbells_per_burst']:.2f}",
    )


README_COLUMNS = ("driver", "empty poll", "B=1", "B=4", "B=32", "B=128", "cache lines B=32",
                  "cycles B=32, device on the other core")


def readme_cells(rows, ring):
    by_burst = {row["burst"]: row for row in rows
                if row["ring"] == ring and row["header"] == HEADERS[-1]}

    def count(burst):
        instructions = by_burst[burst]["suppressed"]["instructions"]
        return f"{instructions:.1f}" if instructions < 100 else f"{instructions:.0f}"

    across = by_burst[32]["suppressed"].get("cycles_two_cores")
    return (f"barewire, {ring}", *(count(burst) for burst in (0, 1, 4, 32, 128)),
            f"{by_burst[32]['cache_lines']:.1f}", f"{across:.0f}" if across is not None else "-")


# Frames in one buffer, and in several.

LARGE_BUFFERS = ("whole", "9022", "1600")
LARGE_LENGTHS = {64: 32, 1514: 32, 65549: 4}  # and how many at once
LARGE_FRAMES = 1024
LARGE_COLUMNS = ("buffers of", *(f"frame of {length}" for length in LARGE_LENGTHS), "the pool of both ports")


def measure_large(program):
    """A row for each size of buffers: instructions of lane_run a frame, by its length, and memory."""
    rows = []
    for buffers in LARGE_BUFFERS:
        row = {"buffers": buffers, "instructions": {}}
        for length, burst in LARGE_LENGTHS.items():
            words = [program, buffers, str(length), str(burst), str(LARGE_FRAMES)]
            row["instructions"][length] = counted(words, 2) / LARGE_FRAMES
            row["pool_bytes"] = int(run(words)["pool_bytes"])
        rows.append(row)
    return rows


def large_cells(row):
    return (row["buffers"], *(f"{count:.0f}" for count in row["instructions"].values()),
            f"{row['pool_bytes'] / 2**20:.1f} MiB")
