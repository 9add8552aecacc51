"""
ACCEL=auto|kvm|tcg: how KVM is tried, what is said where it cannot be used, and that no tool waits for
a machine that KVM has given up.

QEMU is stand_in_qemu as a rule: the same KVM cannot work and fail on one machine.
"""

import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from places import BUILD, ELF, ROOT
from test_run import (  # noqa: F401  fixtures
    LIMIT_S, STAND_IN, in_terminal, place, run_tool, sample, summary_of)

import accelerator
import launch

pytestmark = pytest.mark.only_tcg

DUMP = "KVM internal error. Suberror: 1, emulation failure"
REFUSALS = {
    "dump": DUMP,
    "absent": "Could not access KVM kernel module: No such file or directory",
    "denied": "Could not access KVM kernel module: Permission denied",
}
STOPPED = "the machine has stopped by an internal error"


def starts(place):
    """Every start of the stand-in: machine,accelerator."""
    with open(place.told + ".starts", encoding="utf-8") as file:
        return file.read().splitlines()


def test_kvm_that_works_is_used(place, sample):
    done = run_tool(place, sample, DURATION="0.2", ACCEL="auto")
    assert done.returncode == 0, done.stdout
    assert "run: accelerator KVM\n" in done.stdout
    assert starts(place) == ["microvm,kvm", "pc,kvm"]


def test_auto_is_what_holds_without_a_word(place, sample):
    done = run_tool(place, sample, DURATION="0.2", ACCEL="")
    assert "run: accelerator KVM\n" in done.stdout


@pytest.mark.parametrize("refusal", REFUSALS)
def test_kvm_that_fails_is_quoted_in_one_line_and_tcg_used_at_once(place, sample, refusal):
    begun = time.monotonic()
    done = run_tool(place, sample, DURATION="0.2", ACCEL="auto", STAND_IN_KVM=refusal)
    assert time.monotonic() - begun < accelerator.TRIAL_LIMIT_S
    assert done.returncode == 0, done.stdout
    (line,) = [line for line in done.stdout.splitlines() if "accelerator" in line]
    assert line.startswith(f"run: accelerator TCG, much slower than KVM: {REFUSALS[refusal]}")
    assert starts(place) == ["microvm,kvm", "pc,tcg"]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_kvm_that_was_asked_for_and_fails_ends_the_tool_with_that_line(place, sample, refusal):
    done = run_tool(place, sample, ACCEL="kvm", STAND_IN_KVM=refusal)
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert last.startswith(f"run: ACCEL=kvm is not possible here: {REFUSALS[refusal]}")
    assert starts(place) == ["microvm,kvm"]


def test_tcg_that_was_asked_for_is_used_without_a_trial(place, sample):
    done = run_tool(place, sample, DURATION="0.2", ACCEL="tcg")
    assert done.returncode == 0, done.stdout
    assert starts(place) == ["pc,tcg"]


def test_qemu_without_microvm_is_tried_as_a_pc(place, sample):
    done = run_tool(place, sample, DURATION="0.2", ACCEL="auto", STAND_IN_KVM="bare")
    assert done.returncode == 0, done.stdout
    assert starts(place) == ["microvm,kvm", "pc,kvm", "pc,kvm"]


@pytest.fixture
def tried(place, monkeypatch):
    """What a trial of the stand-in says; `limit` is its time."""

    def refusal(behaviour, limit=accelerator.TRIAL_LIMIT_S):
        monkeypatch.setattr(accelerator, "TRIAL_LIMIT_S", limit)
        for name, value in place.environment("", STAND_IN_KVM=behaviour).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("KVM_TRIAL", "")
        accelerator._outcome.cache_clear()
        return accelerator.kvm_refusal(place.kernel)

    return refusal


def test_silent_kvm_is_given_up_when_its_time_is_over(tried, place):
    assert tried("silent", limit=1) == "no ready event within 1 s"
    place.assert_nothing_left()


def test_trial_leaves_no_process_and_no_file(tried, place):
    assert tried("works") == ""
    place.assert_nothing_left()


def test_kernel_that_panics_is_quoted(monkeypatch, place, tmp_path):
    program = tmp_path / "qemu"
    program.write_text("#!/bin/sh\necho 'panic t=0.1 reason=\"no RAM\"'\nexit 33\n")
    program.chmod(0o755)
    monkeypatch.setenv("QEMU", str(program))
    monkeypatch.setenv("KVM_TRIAL", "")
    assert accelerator.kvm_refusal(place.kernel) == 'panic t=0.1 reason="no RAM"'


def test_group_that_may_open_the_device_is_named(tmp_path):
    device = tmp_path / "kvm"
    device.touch(0o660)
    device.chmod(0o660)
    group = accelerator.grp.getgrgid(device.stat().st_gid).gr_name
    assert f"members of the group {group} may open" in accelerator.permission_remedy(device)
    device.chmod(0o600)
    assert f"only root may open {device}" in accelerator.permission_remedy(device)
    assert accelerator.permission_remedy(tmp_path / "none") == ""


@pytest.mark.skipif(os.geteuid() or not os.path.exists("/dev/kvm"), reason="needs root and /dev/kvm")
def test_user_without_the_group_is_told_of_it():
    group = accelerator.permission_remedy("/dev/kvm")
    if not group or os.stat("/dev/kvm").st_mode & 0o006:
        pytest.skip("everybody may open /dev/kvm")
    words = f"import accelerator; print(accelerator.kvm_refusal({str(ELF)!r}))"
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", words],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tools"), "KVM_TRIAL": ""}, text=True,
        capture_output=True, timeout=LIMIT_S, check=False)
    assert done.stdout.endswith(group + "\n"), done.stdout + done.stderr
    assert "Permission denied" in done.stdout


TOOLS = {
    "run": [ROOT / "tools" / "run", "--kernel", ELF, "--capture", BUILD / "capture.pcap"],
    "top": [ROOT / "tools" / "top", "--kernel", ELF, "--capture", BUILD / "capture.pcap"],
    "debug": [ROOT / "tools" / "debug", "--kernel", ELF, "--symbols", BUILD / "barewire.debug"],
    "bench": [ROOT / "tests" / "bench" / "bench", BUILD],
    "peers": [ROOT / "tests" / "bench" / "peers", BUILD],
    "idle": [ROOT / "tests" / "bench" / "idle", BUILD],
    "trial": [ROOT / "tools" / "accelerator.py", ELF, os.devnull],
}


def call(name, place, stand_in="", **variables):
    """Runs a tool to its end, with any accelerator."""
    environment = place.environment(stand_in, PYTHONPATH=str(ROOT / "tools"), **variables)
    return subprocess.run([*map(str, TOOLS[name])], env=environment, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False)


@pytest.mark.parametrize("name", TOOLS)
def test_unknown_accelerator_is_refused_with_those_there_are(place, name):
    done = call(name, place, ACCEL="fast")
    assert done.returncode == 1
    assert "ACCEL=fast is unknown: use one of auto, kvm, tcg" in done.stdout
    assert "Traceback" not in done.stdout
    assert not os.path.exists(place.told)


@pytest.mark.parametrize("name", ["bench", "peers"])
def test_benchmark_that_needs_tcg_refuses_kvm(place, name):
    done = call(name, place, ACCEL="kvm")
    assert done.returncode == 1
    assert "ACCEL=kvm is not possible here: instructions are counted" in done.stdout


@pytest.mark.parametrize("name", ["run", "top", "debug", "idle", "trial"])
def test_every_tool_obeys_the_same_choice(place, name):
    done = call(name, place, ACCEL="kvm", STAND_IN_KVM="dump")
    assert done.returncode == 1
    assert f"ACCEL=kvm is not possible here: {DUMP}" in done.stdout


@pytest.mark.parametrize("name", ["run", "top", "debug"])
def test_machine_that_stops_before_it_is_ready_ends_the_tool_at_once(place, name):
    begun = time.monotonic()
    done = call(name, place, stand_in="dump", ACCEL="tcg")
    assert done.returncode == 1
    assert STOPPED in done.stdout, done.stdout
    assert time.monotonic() - begun < 20
    place.assert_nothing_left()


@pytest.mark.parametrize("duration", ["", "60"])
def test_machine_that_stops_in_traffic_ends_the_run_with_and_without_duration(
        place, sample, duration):
    done = run_tool(place, sample, stand_in="stop", DURATION=duration)
    assert done.returncode == 1
    assert f"run: {STOPPED}" in done.stdout
    assert any(way.lost for way in summary_of(done.stdout))


def test_machine_that_stops_gives_the_terminal_back(in_terminal, place):
    tool = in_terminal(stand_in="stop")
    assert tool.finish() == 1
    assert STOPPED in tool.text()
    place.assert_nothing_left()


def test_missing_ready_ends_a_run_without_a_duration_too(place, sample):
    done = run_tool(place, sample, "--ready-limit", "1", stand_in="mute")
    assert done.returncode == 1
    assert "no ready event within 1 s" in done.stdout


def test_missing_answer_ends_top(place):
    TOOLS["patient top"] = [*TOOLS["top"], "--answer-limit", "1"]
    done = call("patient top", place, stand_in="mute")
    assert done.returncode == 1
    assert "no answer on" in done.stdout


def make(place, *words, **variables):
    """A make call as its user's."""
    return subprocess.run(
        ["make", "-C", str(ROOT), f"OUT={os.path.relpath(BUILD, ROOT)}", *words],
        env=place.environment("", **variables), text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False)


def test_make_call_tries_once_and_the_next_one_again(place):
    failing = make(place, "run", DURATION="0.2", ACCEL="auto", STAND_IN_KVM="dump")
    assert failing.returncode == 0, failing.stdout
    assert f"accelerator TCG, much slower than KVM: {DUMP}" in failing.stdout
    assert starts(place) == ["microvm,kvm", "pc,tcg"]
    working = make(place, "run", DURATION="0.2", ACCEL="auto")
    assert "accelerator KVM\n" in working.stdout
    assert starts(place)[2:] == ["microvm,kvm", "pc,kvm"]


def test_make_call_for_several_tools_tries_once(place):
    done = make(place, "run", "top", DURATION="0.2", ANSWER_LIMIT="1", ACCEL="auto",
                STAND_IN_KVM="dump")
    assert starts(place).count("microvm,kvm") == 1, done.stdout


def test_make_call_says_why_kvm_that_was_asked_for_is_not_possible(place):
    done = make(place, "test-qemu", ACCEL="kvm", STAND_IN_KVM="dump")
    assert done.returncode == 2
    assert f"ACCEL=kvm is not possible here: {DUMP}" in done.stdout
    assert "passed" not in done.stdout


PYTEST = """#!/bin/sh
for word; do
    case $word in
        *xdist*) exit 1 ;;
        --kvm=*) kvm=yes ;;
        --junitxml=*) report=${word#*=} ;;
    esac
done
if [ "$kvm" ]; then counts='tests="60" skipped="SKIPPED"'; else counts='tests="9" skipped="0"'; fi
echo "<testsuites><testsuite name=\\"x\\" errors=\\"0\\" failures=\\"0\\" $counts>" >"$report"
"""


@pytest.mark.parametrize(
    "skipped, line", [(0, "69 passed, 0 failed"), (60, "9 passed, 0 failed, 60 skipped")])
def test_closing_line_counts_both_parts_and_what_was_skipped(tmp_path, skipped, line):
    program = tmp_path / "python"
    program.write_text(PYTEST.replace("SKIPPED", str(skipped)))
    program.chmod(0o755)
    done = subprocess.run(
        [str(ROOT / "tools" / "test"), str(tmp_path), "--system"], text=True, capture_output=True,
        env={**os.environ, "PYTHON": str(program)}, timeout=LIMIT_S, check=False)
    assert done.stdout.splitlines()[-1] == line
    assert done.returncode == 0


@pytest.mark.parametrize("line, total", [
    ("9 passed, 0 failed", "11 passed, 0 failed"),
    ("9 passed, 0 failed, 3 skipped", "11 passed, 0 failed, 3 skipped"),
    ("9 passed, 2 failed, 3 skipped", "11 passed, 2 failed, 3 skipped"),
])
def test_what_a_clean_checkout_must_pass_counts_skipped_tests(tmp_path, line, total):
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    program = tmp_path / "make"
    program.write_text(f"#!/bin/sh\ncase $* in *' test') echo '{line}' ;; esac\n")
    program.chmod(0o755)
    done = subprocess.run(
        [str(tmp_path / ".ci" / "run")], text=True, capture_output=True, check=False,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, timeout=LIMIT_S)
    assert done.stdout.splitlines()[-1] == total
    assert done.returncode == (", 0 failed" not in line)


def collected(*words, **variables):
    done = subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q",
         str(ROOT / "tests" / "qemu"), *words], text=True, stdout=subprocess.PIPE,
        env={**os.environ, "BAREWIRE_BUILD": str(BUILD), **variables}, timeout=LIMIT_S, check=False)
    return [line for line in done.stdout.splitlines() if re.match(r"\S+::", line)], done.stdout


def test_part_under_kvm_is_short_and_counted_where_it_is_skipped():
    tests, text = collected("--kvm=part", ACCEL="tcg")
    assert 40 <= len(tests) <= 60
    assert "skipped, KVM cannot be used: ACCEL=tcg" in text
    under_tcg, _ = collected(ACCEL="tcg")
    only_kvm = set(tests) - set(under_tcg)
    assert only_kvm and all("test_kvm.py" in name for name in only_kvm)
