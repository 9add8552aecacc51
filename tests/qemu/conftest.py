"""Common to all system tests: machines that always end, and traces of those that failed."""

import os
import re
import shutil
import signal
import sys

import pytest

import guest as machines
from places import ELF, FAILURES, ROOT

import accelerator
import launch


def pytest_addoption(parser):
    parser.addoption("--kvm", choices=["part", "all"],
                     help="run under KVM: only what is marked kvm, or all that makes sense there")


def pytest_configure(config):
    """A terminated test run must end its machines too, which atexit does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        config.why_not_kvm = choose_accelerator(config.getoption("kvm"))
    except launch.Problem as problem:
        pytest.exit(str(problem), 2)


def choose_accelerator(kvm):
    """Sets ACCEL for all machines, those of tools too. Returns why none can run under KVM, or "".

    Without --kvm the tests run under TCG: they prove there what they prove, on every machine."""
    if kvm and accelerator.wish() == "tcg":
        return "ACCEL=tcg"
    if kvm and not ELF.exists():
        return "there is no kernel"
    if kvm and accelerator.choose(ELF)[0] == "tcg":
        return accelerator.kvm_refusal(ELF)
    os.environ["ACCEL"] = "kvm" if kvm else "tcg"
    return ""


def is_worker(config):
    """True in a process that pytest-xdist has started to run a part of the tests."""
    return hasattr(config, "workerinput")


@pytest.hookimpl(tryfirst=True)  # pytest-xdist's own hook looks at the groups
def pytest_collection_modifyitems(config, items):
    """Chooses those that make sense under the accelerator.

    For tests that run side by side: those that share a machine follow one another in one process,
    and those that take long begin first, so that none of them is waited for at the end."""
    select(config, items)
    for item in items:
        if config.why_not_kvm:
            item.add_marker(pytest.mark.skip(reason=f"no KVM: {config.why_not_kvm}"))
        if "shared" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def select(config, items):
    """Leaves out what is for the other accelerator, and of the tests for both what wasn't asked for."""
    kvm = config.getoption("kvm")

    def chosen(item):
        marked = {mark.name for mark in item.iter_markers()}
        if kvm == "part":
            return bool({"kvm", "only_kvm"} & marked)
        return ("only_tcg" if kvm else "only_kvm") not in marked

    left_out = [item for item in items if not chosen(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = filter(chosen, items)


def failures_folder(config):
    """The folder for traces of failed tests; each accelerator's last run has its own."""
    return FAILURES / (os.environ["ACCEL"] if config.getoption("kvm") else "tcg")


def pytest_sessionstart(session):
    """Old traces would be taken for this run's. Without a kernel there is nothing to test."""
    if not is_worker(session.config):
        shutil.rmtree(failures_folder(session.config), ignore_errors=True)
    if not ELF.exists():
        pytest.exit(f"{ELF} is missing: run 'make' first (BAREWIRE_BUILD= names another folder)", 2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """On failure saves what every machine alive has said, sent and received."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    folder = failures_folder(item.config) / re.sub(r"[^\w.=-]+", "_", item.nodeid.split("/")[-1])
    for number, one in enumerate(machines.running()):
        one.save(folder / f"machine{number}")
    shown = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
    report.sections.append(("serial log and captures", f"left in {shown}/"))


def pytest_terminal_summary(terminalreporter, config):
    """The closing line, and why a whole part was skipped."""
    counts = {
        name: len(terminalreporter.stats.get(name, []))
        for name in ("passed", "failed", "error", "skipped")
    }
    failed = counts["failed"] + counts["error"]
    if config.why_not_kvm:
        terminalreporter.write_line(f"skipped, KVM cannot be used: {config.why_not_kvm}")
    where = "under KVM" if config.getoption("kvm") else "under TCG"
    terminalreporter.write_line(
        f"system tests {where}: {counts['passed']} passed, {failed} failed, {counts['skipped']} skipped"
    )


@pytest.fixture
def start():
    """Makes machines for one test: start(ports=2, words="…") returns one that runs."""
    made = []

    def make(ports=2, **machine):
        one = machines.Guest(ports, **machine)
        made.append(one)
        return one.start()

    yield make
    for one in made:
        one.stop()


class Shared:
    """What several tests of a file use one after the other, and the machines in it."""

    def __init__(self):
        self._kept = None  # its kind, and what it is
        self._made = []

    def boot(self, ports=2, **machine):
        """As the fixture of this name; the machine ends with the file."""
        one = machines.Guest(ports, **machine)
        self._made.append(one)
        one.start().ready()
        return one

    def get(self, make, kind=None):
        """What make(boot) returns, or has returned for an earlier test. There is one kind at a time."""
        if not self._kept or self._kept[0] != kind:
            self.forget()
            self._kept = kind, make(self.boot)
        return self._kept[1]

    def forget(self):
        """Ends all machines: the next test gets new ones."""
        self._kept = None
        while self._made:
            self._made.pop().stop()


@pytest.fixture
def boot(start):
    """As start, but the machine has said `ready`."""

    def make(ports=2, **machine):
        one = start(ports, **machine)
        one.ready()
        return one

    return make


@pytest.fixture(scope="module")
def kept():
    """What the tests of a file share."""
    one = Shared()
    yield one
    one.forget()


@pytest.fixture
def shared(kept, request):
    """What the tests of a file share, but nothing that one of them has failed with: what that has left
    behind, frames under way or a port that is out of service, is not for others to stumble over."""
    failed = request.session.testsfailed
    yield kept
    if request.session.testsfailed > failed:
        kept.forget()
