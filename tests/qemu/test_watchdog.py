"""A watchdog device is fed as long as the loop goes round, and bites when it does not."""

import pytest

from exchange import works
from guest import EXIT_PANIC
from test_faults import trace_names

MACHINES = ["pc", "q35"]
TIMEOUT_S = 8  # longer than a busy host may leave a machine without a processor


def dog(action):
    """QEMU's words for a watchdog that does this when it bites."""
    return ["-device", "i6300esb", "-action", f"watchdog={action}"]


@pytest.mark.slow
@pytest.mark.parametrize("machine", MACHINES)
def test_loop_feeds_the_watchdog_whether_it_sleeps_or_polls(boot, machine):
    guests = []
    for idle in ("adaptive", "poll"):
        words = f"watchdog={TIMEOUT_S} stats=1 idle={idle}"
        guests.append(boot(machine=machine, words=words, devices=dog("reset")))
    for guest in guests:
        assert guest.find("watchdog", driver="i6300esb", timeout_s=TIMEOUT_S)
        works(guest)
        end = guest.ready().time + 1.5 * TIMEOUT_S
        guest.wait("stats", accept=lambda event: event.time > end)
        guest.qmp.command("query-status")
        assert not guest.qmp.find("WATCHDOG")
        works(guest)


@pytest.mark.parametrize("machine", MACHINES)
def test_loop_that_hangs_is_bitten(start, machine):
    guest = start(ports=0, machine=machine, words="watchdog=1 fault=hang", devices=dog("reset"))
    assert guest.qmp.wait("WATCHDOG", timeout=120)["data"]["action"] == "reset"
    assert guest.wait_exit() == 0
    assert guest.qmp.wait("SHUTDOWN")["data"]["reason"] == "guest-reset"
    assert not guest.find("panic")


@pytest.mark.kvm
def test_nmi_of_the_watchdog_shows_where_the_loop_hangs(start):
    guest = start(ports=0, words="watchdog=1 fault=hang", devices=dog("inject-nmi"))
    assert guest.wait_exit() == EXIT_PANIC
    (panic,) = guest.find("panic")
    assert panic["vector"] == "nmi"
    names = trace_names(guest)
    assert "fault_hang" in names[:2] and "boot_main" in names


def test_watchdog_is_left_alone_when_it_is_not_wanted(boot):
    guest = boot(words="watchdog=0 stats=1", devices=dog("reset"))
    assert not guest.find("watchdog")
    works(guest)
