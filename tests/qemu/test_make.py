"""make as its documents describe it: each target can be called so, and no variable of a user's is lost."""

import functools
import os
import re
import shutil
import signal
import subprocess

import pytest

from console import ComingConsole
from places import BUILD, ROOT
from test_demo import needs_demo_tools
from test_run import Place

LIMIT_S = 300
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Those that only the tools' own help names, as words without a =.
OF_TOOLS = {"PCAP", "TAP0", "TAP1", "QEMU", "ACCEL", "NEWLIB_TARBALL"}
# What the tests run is built already, and they install nothing.
BUILT = [word for name in ("barewire.elf", "barewire.debug", "capture.pcap")
         for word in ("-o", str(BUILD / name))] + ["-o", "packages", f"OUT={BUILD}"]


def environment(**variables):
    """Of the make that runs these tests nothing is passed on."""
    kept = {name: value for name, value in os.environ.items()
            if not re.match(r"M(AKE|FLAGS)", name) and name not in user_variables()}
    return {**kept, **variables}


def make(*words, given="", **variables):
    """To its end; its output is one text."""
    return subprocess.run(["make", "--no-print-directory", *words], cwd=ROOT, input=given, text=True,
                          env=environment(**variables), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False)


@functools.cache
def documented_targets():
    shown = subprocess.run(["make", "-s", "help"], cwd=ROOT, text=True, capture_output=True,
                           timeout=60, check=True).stdout
    return shown, re.findall(r"^  make (\S+)", shown, re.MULTILINE)


@functools.cache
def user_variables():
    """What the documents tell a user to set: capitals in front of a =."""
    shown, _ = documented_targets()
    return OF_TOOLS | {name for name in re.findall(r"\b([A-Z][A-Z0-9_]*)=", README + shown)
                       if name not in ("B", "KEY", "A")}


def seen_by_recipes(*words, **variables):
    """The environment of a recipe."""
    shown = make("-s", *words, "--eval=shown: ; @env", "shown", **variables)
    assert shown.returncode == 0, shown.stdout
    return dict(line.split("=", 1) for line in shown.stdout.splitlines() if "=" in line)


def test_the_documents_name_the_variables_that_are_known_of():
    assert {"CMDLINE", "CONSOLE", "DURATION", "JOBS", "OUT", "PLOT", "PROMETHEUS", "RECORD",
            "TARGET", "TESTS", "TIME", "V", "YES"} <= user_variables()


def test_variables_of_the_user_reach_the_tools_as_given():
    given = {name: f"given-{name}" for name in user_variables()}
    by_environment = seen_by_recipes(**given)
    by_word = seen_by_recipes(*(f"{name}={value}" for name, value in given.items()))
    for name, value in given.items():
        assert by_environment.get(name) == value, "from the environment"
        assert by_word.get(name) == value, "on make's command line"


def test_variables_that_the_user_does_not_give_are_empty():
    seen = seen_by_recipes()
    assert {name: seen[name] for name in user_variables() if seen.get(name)} == {}


def test_an_empty_out_builds_in_build():
    shown = make("-n", "clean", OUT="")
    assert shown.stdout.strip() == "rm -rf build"


# What each target is called with, and what it then does, as make -n shows it.
CALLS = {
    "iso": (["CMDLINE=stats=60 wire=0-1"], r"CMDLINE='stats=60 wire=0-1' tools/grub-config"),
    "deps": (["YES=1"], r"tools/deps deps"),
    "run": (["DURATION=10"], r"tools/run --kernel \S+/barewire.elf --capture \S+/capture.pcap$"),
    "top": (["CONSOLE=/run/barewire"], r"tools/top --kernel \S+ --capture \S+$"),
    "debug": ([], r"tools/debug --kernel \S+ --symbols \S+/barewire.debug$"),
    "demo": ([], r"tools/demo --kernel \S+ --race$"),
    "fuzz": (["TARGET=ring", "TIME=60"], r"tests/fuzz/run \S+/fuzz '60' ring$"),
    "coverage": ([], r"tools/coverage \S+/coverage \S+/fuzz \S+/test_"),
    "test": ([], r"tools/test \S+ \S+/test_.* --system"),
    "test-host": ([], r"tools/test \S+ \S+/test_"),
    "test-qemu": (["TESTS=-k pvh"], r"tools/test \S+ --system -k pvh$"),
    "test-virtio": ([], r"tools/test \S+ --tcg -m virtio -rs"),
    "soak": (["DURATION=600"], r"BAREWIRE_SOAK_S='600'"),
    "bench": ([], r"tests/bench/bench \S+$"),
    "bench-peers": ([], r"tests/bench/peers \S+$"),
    "bench-idle": ([], r"tests/bench/idle \S+$"),
    "check": ([], r"check: all passed"),
    "check-reproducible": ([], r"tools/check-reproducible \S+$"),
    "conformance": ([], r"tests/conformance/conformance write$"),
    "format": ([], r"clang-format -i boot/"),
    "clean": ([], r"^rm -rf \S+$"),
    "distclean": ([], r"^rm -rf \S+\nrm -rf .*/barewire\"$"),
    "help": ([], r"awk"),
}  # fmt: skip


@pytest.mark.parametrize("target", documented_targets()[1])
def test_each_documented_target_can_be_called_as_documented(target):
    words, wanted = CALLS.get(target, ([], ""))
    shown = make("-n", f"OUT={BUILD}", target, *words)
    assert shown.returncode == 0, shown.stdout
    assert re.search(wanted, shown.stdout, re.MULTILINE), shown.stdout


@pytest.fixture
def place():
    one = Place()
    yield one
    shutil.rmtree(one.folder)


def test_make_run_sends_frames_and_ends_after_duration(place):
    done = make(*BUILT, "run", "DURATION=1", **place.environment(""))
    assert done.returncode == 0, done.stdout
    assert re.search(r"0 -> 1: sent \d+ received \d+ lost 0 ", done.stdout)
    place.assert_nothing_left()


def test_make_run_takes_a_capture_from_a_pipe(place):
    with open(BUILD / "capture.pcap", "rb") as file:
        done = subprocess.run(["make", *BUILT, "run"], cwd=ROOT, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, input=file.read(), timeout=LIMIT_S,
                              env=environment(**place.environment("", PCAP="/dev/stdin",
                                                                  DURATION="1")), check=False)
    assert done.returncode == 0, done.stdout
    assert b"sending /dev/stdin in a loop: " in done.stdout
    place.assert_nothing_left()


def test_make_top_without_a_console_starts_a_machine_of_its_own(tmp_path):
    done = make(*BUILT, "top", DURATION="15", TMPDIR="/tmp")
    assert "no CONSOLE= given: starting a machine to show" in done.stdout
    assert "port=1 link=up" in done.stdout
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("by", ["environment", "word"])
def test_make_top_watches_the_console_that_is_named(boot, by):
    guest = boot(words="stats=0", second=ComingConsole)
    path = str(guest.directory / "second")
    words, variables = ([], {"CONSOLE": path}) if by == "environment" else ([f"CONSOLE={path}"], {})
    done = make(*BUILT, "top", *words, DURATION="5", **variables)
    assert done.returncode == 0, done.stdout
    assert "starting a machine" not in done.stdout and "port=1 link=up" in done.stdout


@pytest.mark.skipif(not shutil.which("gdb"), reason="gdb is not installed")
def test_make_debug_stops_at_the_kernels_entry():
    done = make(*BUILT, "debug", given="info symbol $rip\nquit\n", TMPDIR="/tmp")
    assert done.returncode == 0, done.stdout
    assert "boot_multiboot1" in done.stdout


@needs_demo_tools
@pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/dev/net/tun"),
                    reason="taps and network namespaces need root and /dev/net/tun")
def test_make_demo_starts_its_steps_and_can_be_left():
    with subprocess.Popen(["make", *BUILT, "demo"], cwd=ROOT, env=environment(), text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, start_new_session=True) as demo:
        lines = []
        for line in demo.stdout:
            lines.append(line)
            if line.startswith("  ok      ping:"):
                os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait(LIMIT_S) != 0
    text = "".join(lines)
    assert "ok      ping:" in text and "left by SIGINT" in text, text
