"""Every CPU exception ends in a named report with a backtrace, and the machine as panic= says."""

import re
import subprocess

import pytest

from guest import EXIT_PANIC
from places import SYMBOLS

PAGE_FAULT, PRESENT, WRITE, FETCH = 14, 1, 2, 16


def symbols():
    """Name → address of every function of the kernel."""
    listed = subprocess.run(["nm", str(SYMBOLS)], capture_output=True, text=True, check=True).stdout
    return {name: int(value, 16) for value, _, name in (line.split() for line in listed.splitlines())}


def trace_names(guest):
    """The functions of the backtrace, innermost first, each checked against the kernel's own table."""
    table = symbols()
    found = []
    for number, event in enumerate(guest.find("trace")):
        assert event["frame"] == str(number)
        if event["symbol"] == "none":  # a jump to where no function is
            found.append("none")
            continue
        name, offset = event["symbol"].split("+")
        assert table[name] + int(offset, 16) == event.integer("rip")
        found.append(name)
    return found


@pytest.mark.parametrize(
    "fault, vector, number, error",
    [
        ("text", "page-fault", PAGE_FAULT, PRESENT | WRITE),
        pytest.param("null", "page-fault", PAGE_FAULT, WRITE, marks=pytest.mark.kvm),
        ("stack", "page-fault", PAGE_FAULT, WRITE),
        ("exec", "page-fault", PAGE_FAULT, PRESENT | FETCH),
        ("divide", "divide-error", 0, 0),
        ("opcode", "invalid-opcode", 6, 0),
    ],
)
@pytest.mark.parametrize("machine", ["pc", "microvm"])
def test_fault_is_reported_with_its_vector_and_function_and_exit_code(
    start, machine, fault, vector, number, error
):
    guest = start(ports=0, machine=machine, words=f"fault={fault}")
    assert guest.wait_exit() == EXIT_PANIC
    (panic,) = guest.find("panic")
    assert panic.keys[:6] == ["t", "vector", "number", "error", "rip", "cr2"]
    assert panic["vector"] == vector
    assert (panic.integer("number"), panic.integer("error")) == (number, error)
    assert panic["reason"]
    assert_address(panic, fault)
    assert "rsp=" in "".join(event.line for event in guest.find("regs"))
    names = trace_names(guest)
    assert f"fault_{fault}" in names[:2], names  # the jump into data has no frame of its own
    assert "boot_main" in names, names


def assert_address(panic, fault):
    """cr2 and rip are where the fault was made."""
    table = symbols()
    rip, cr2 = panic.integer("rip"), panic.integer("cr2")
    if fault == "text":
        assert cr2 == table["fault_inject"]
    elif fault == "null":
        assert cr2 == 0
    elif fault == "stack":
        assert table["__stack_guard"] <= cr2 < table["__stack_bottom"]
    elif fault == "exec":
        assert rip == cr2 and table["__data_start"] <= cr2 < table["__data_end"]


def test_fault_within_the_report_ends_too_with_the_same_code(start):
    guest = start(ports=0, words="fault=nested")
    assert guest.wait_exit() == EXIT_PANIC
    assert guest.find("panic")


def test_report_comes_after_all_that_was_said_before(start):
    words = " ".join(f"{number:x}" for number in range(100))
    devices = [word for slot in range(2, 32) for word in
               ("-device", f"pci-testdev,addr={slot:x}.0")]
    guest = start(ports=0, words=f"{words} log=debug fault=null", devices=devices)
    assert guest.wait_exit() == EXIT_PANIC
    names = [event.name for event in guest.console.events]
    assert names.count("pci") >= 30 and "warn" in names
    assert names.index("panic") > max(i for i, name in enumerate(names)
                                      if name in ("pci", "warn", "boot"))
    assert re.fullmatch(r"panic(,regs)+(,trace)+(,history){20},bye", ",".join(names[names.index("panic") :]))


def test_report_repeats_the_last_twenty_events_word_for_word(start):
    words = " ".join(f'odd"{number}' for number in range(30))
    guest = start(ports=0, words=f"{words} fault=null")
    assert guest.wait_exit() == EXIT_PANIC
    names = [event.name for event in guest.console.events]
    before = guest.console.events[: names.index("panic")]
    assert [event["line"] for event in guest.find("history")] == [e.line for e in before[-20:]]


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_host_is_told_of_a_panic_and_then_the_machine_acts(start, machine):
    devices = ["-device", "pvpanic", "-action", "panic=none"]
    guest = start(ports=0, machine=machine, words="fault=null", devices=devices)
    assert guest.wait_exit() == EXIT_PANIC
    assert guest.qmp.wait("GUEST_PANICKED")["data"]["action"] == "run"
    assert guest.find("bye")


def test_host_may_keep_the_machine_that_panicked(start):
    devices = ["-device", "pvpanic", "-action", "panic=pause"]
    guest = start(ports=0, words="fault=null", devices=devices)
    assert guest.qmp.wait("GUEST_PANICKED")["data"]["action"] == "pause"
    assert guest.qmp.command("query-status")["status"] == "guest-panicked"
    assert guest.wait("bye")


def test_pvpanic_is_left_alone_where_there_is_none(start):
    guest = start(ports=0, words="fault=null")
    assert guest.wait_exit() == EXIT_PANIC
    assert not guest.qmp.find("GUEST_PANICKED")


@pytest.mark.parametrize(
    "machine", ["pc", "q35", pytest.param("microvm", marks=pytest.mark.kvm)]
)
@pytest.mark.parametrize("action", ["reboot", "poweroff"])
def test_panic_word_chooses_the_end(start, action, machine):
    guest = start(ports=0, machine=machine, words=f"panic={action} fault=null", debug_exit=False)
    assert guest.wait_exit() == 0
    reason = guest.qmp.wait("SHUTDOWN")["data"]["reason"]
    assert reason == {"reboot": "guest-reset", "poweroff": "guest-shutdown"}[action]
    assert guest.wait("bye")["action"] == action


def test_default_after_a_panic_is_to_reboot(start):
    guest = start(ports=0, words="fault=null", debug_exit=False)
    assert guest.wait_exit() == 0
    assert guest.qmp.wait("SHUTDOWN")["data"]["reason"] == "guest-reset"


def test_panic_halt_stays_with_the_report_on_the_screen(start):
    guest = start(ports=0, words="panic=halt fault=null", debug_exit=False)
    assert guest.wait("bye")["action"] == "halt"
    said = guest.console.count()
    with pytest.raises(AssertionError):
        guest.wait_exit(timeout=1)
    assert guest.qmp.command("query-status")["running"]
    assert not guest.qmp.find("SHUTDOWN") + guest.qmp.find("RESET")
    assert guest.console.count() == said


def test_panic_ends_although_nobody_reads_the_console(start):
    guest = start(ports=0, words="fault=null", unread=True)
    assert guest.wait_exit() == EXIT_PANIC
