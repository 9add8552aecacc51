"""What all system tests share: machines that always end, and traces of those that failed."""

import re
import shutil
import signal
import sys

import pytest

import guest as machines
from places import ELF, FAILURES, ROOT


def pytest_configure(config):
    """A terminated test run must end its machines too, which atexit does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def pytest_sessionstart(session):
    """Old traces would be taken for this run's. Without a kernel there is nothing to test."""
    shutil.rmtree(FAILURES, ignore_errors=True)
    if not ELF.exists():
        pytest.exit(f"{ELF} is missing: run 'make' first (BAREWIRE_BUILD= names another folder)", 2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """On failure saves what every machine alive has said, sent and received."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    folder = FAILURES / re.sub(r"[^\w.=-]+", "_", item.nodeid.split("/")[-1])
    for number, one in enumerate(machines.running()):
        one.save(folder / f"machine{number}")
    shown = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
    report.sections.append(("serial log and captures", f"left in {shown}/"))


def pytest_terminal_summary(terminalreporter):
    """The closing line."""
    counts = {
        name: len(terminalreporter.stats.get(name, []))
        for name in ("passed", "failed", "error", "skipped")
    }
    failed = counts["failed"] + counts["error"]
    terminalreporter.write_line(
        f"system tests: {counts['passed']} passed, {failed} failed, {counts['skipped']} skipped"
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


@pytest.fixture
def boot(start):
    """As start, but the machine has said `ready`."""

    def make(ports=2, **machine):
        one = start(ports, **machine)
        one.ready()
        return one

    return make


@pytest.fixture(scope="module")
def boot_shared():
    """As boot, for machines that several tests of a file look at: they end with the file."""
    made = []

    def make(ports=2, **machine):
        one = machines.Guest(ports, **machine)
        made.append(one)
        one.start().ready()
        return one

    yield make
    for one in made:
        one.stop()
