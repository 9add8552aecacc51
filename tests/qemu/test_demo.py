"""tools/demo, and tools/run on taps: both need root, and leave nothing of what they make."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from places import ELF, ROOT

DEMO = ROOT / "tools" / "demo"
RUN = ROOT / "tools" / "run"
LIMIT_S = 300

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/dev/net/tun") or not shutil.which("ip"),
    reason="taps and network namespaces need root, /dev/net/tun and the ip command")

needs_demo_tools = pytest.mark.skipif(
    not all(map(shutil.which, ("ss", "ping", "iperf3", "curl"))),
    reason="make demo needs iproute2, iputils-ping, iperf3 and curl")


def names(*command):
    """The first words of the lines that a command prints."""
    out = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    return {line.split()[0] for line in out.splitlines() if line.strip()}


def namespaces():
    return names("ip", "netns", "list")


def devices():
    return names("ip", "-br", "link")


def start_demo(log):
    environment = {name: text for name, text in os.environ.items() if name != "CMDLINE"}
    return subprocess.Popen([str(DEMO), "--kernel", str(ELF), "--log", str(log)], text=True,
                            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)


def assert_nothing_left(pid):
    """Whatever the demo makes has its process id in the name."""
    mark = f"-{pid}"
    assert not [name for name in namespaces() | devices() if name.split("@")[0].endswith(mark)]
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert f"ifname=bw0{mark}" not in processes.stdout, "QEMU still runs"


@needs_demo_tools
def test_demo_passes_every_step_and_leaves_nothing(tmp_path):
    demo = start_demo(tmp_path / "demo.log")
    out = demo.communicate(timeout=LIMIT_S)[0]
    assert demo.returncode == 0, out
    steps = re.findall(r"^  (\S+)\s+(.*?): ", out, re.MULTILINE)
    assert len(steps) == 7 and {verdict for verdict, _ in steps} == {"ok"}, out
    assert re.search(r"InCsumErrors: side 0 0 of [1-9]\d* .* side 1 0 of [1-9]", out), out
    assert_nothing_left(demo.pid)


@needs_demo_tools
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_demo_left_early_fails_and_leaves_nothing(tmp_path, number):
    demo = start_demo(tmp_path / "demo.log")
    line = ""
    while "ok" not in line:
        line = demo.stdout.readline()
        assert line, "ended before its first step"
    time.sleep(0.3)
    demo.send_signal(number)
    out = demo.communicate(timeout=LIMIT_S)[0]
    assert demo.returncode == 1
    assert f"left by {number.name}" in out and "Traceback" not in out
    assert_nothing_left(demo.pid)


@pytest.fixture
def two_taps():
    made = [f"bwt{number}-{os.getpid()}" for number in (0, 1)]
    for name in made:
        subprocess.run(["ip", "tuntap", "add", name, "mode", "tap", "vnet_hdr"], check=True)
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
    yield made
    for name in made:
        subprocess.run(["ip", "link", "del", name], check=True)


def run_on(taps, **variables):
    environment = {name: text for name, text in os.environ.items()
                   if name not in ("CMDLINE", "PCAP")}
    environment.update(variables, TAP0=taps[0], TAP1=taps[1])
    return subprocess.run([str(RUN), "--kernel", str(ELF)], env=environment, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False)


def test_run_on_taps_sums_up_what_barewire_counted(two_taps):
    done = run_on(two_taps, DURATION="6")
    assert done.returncode == 0, done.stdout
    for port, (line, tap) in enumerate(zip(done.stdout.splitlines()[-2:], two_taps)):
        assert re.fullmatch(rf"port {port} \({tap}\): rx packets \d+ tx packets \d+ "
                            r"rx dropped \d+ tx dropped \d+", line)


def test_run_names_a_tap_that_is_in_use(two_taps):
    with subprocess.Popen([str(RUN), "--kernel", str(ELF)], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=dict(os.environ, TAP0=two_taps[0], TAP1=two_taps[1])) as first:
        for line in first.stdout:
            if line.startswith("ready "):
                break
        done = run_on(two_taps, DURATION="1")
        first.terminate()
        first.stdout.read()
        assert first.wait(60) == 0
    assert done.returncode == 1
    assert f"the tap {two_taps[0]} is in use by another program" in done.stdout
