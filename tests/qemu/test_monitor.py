"""The monitor: commands typed on the serial console, and what comes back."""

import json
import random
import re
import threading

import pytest

import capture
from console import ComingConsole, EventTimeout, SocketConsole, UnreadConsole, parse_event
from exchange import CHUNK, cross, works
from guest import mac_of, settle

COMMANDS = ("help ports stats lanes drops pci memory uptime version log set mode wire reset json "
            "reboot poweroff").split()


@pytest.fixture
def quiet(shared):
    """A machine of two ports without stats events, to be asked questions."""
    return shared.get(lambda boot: boot(words="stats=0"))


def named(answer, name):
    """The events of an answer, without its end, which must be `done`; all must be called `name`."""
    assert answer[-1].name == "done", answer[-1].line
    assert {event.name for event in answer[:-1]} == {name}
    return answer[:-1]


# ---- questions ----


def test_help_shows_every_command(quiet):
    shown = named(quiet.ask("help"), "help")
    assert [event["command"] for event in shown] == COMMANDS
    assert all(event["purpose"] for event in shown)
    (one,) = named(quiet.ask("help stats"), "help")
    assert one["arguments"] == "[PORT] [clear]"


def test_ports_tell_transport_features_rings_link_and_address(quiet):
    ports = named(quiet.ask("ports"), "ports")
    assert [event["port"] for event in ports] == ["0", "1"]
    for number, event in enumerate(ports):
        told = quiet.port(number)
        assert event["address"] == told["pci"]
        assert (event["driver"], event["transport"]) == (told["driver"], told["transport"])
        assert (event["mac"], event["mtu"]) == (mac_of(number), told["mtu"])
        assert (event["state"], event["link"]) == ("running", "up")
        assert (event["rx_size"], event["rx_filled"]) == (told["rx_size"], told["rx_buffers"])
        assert (event["tx_size"], event["tx_filled"]) == (told["tx_size"], "0")
        assert {"MAC", "STATUS", "CTRL_VQ"} <= set(event["features"].split(","))
    (one,) = named(quiet.ask(f"ports {mac_of(1)}"), "ports")
    assert one["port"] == "1"


def test_stats_count_what_crossed_and_clear_starts_anew(boot):
    guest = boot(words="stats=0")
    there = capture.frames(50, seed=1)
    cross(guest, 0, 1, there, capture.frames(20, seed=2))
    (one,) = named(guest.ask("stats 0"), "stats")
    assert one.integer("rx_packets") == 50
    assert one.integer("rx_bytes") == sum(map(len, there))
    assert one.integer("tx_packets") == 20
    assert one["since"] == "0.000000"
    named(guest.ask("stats clear"), "stats")
    cross(guest, 0, 1, capture.frames(7, seed=3), [])
    after = named(guest.ask("stats"), "stats")
    assert [event["rx_packets"] for event in after] == ["7", "0"]
    assert all(float(event["since"]) > 0 for event in after)
    # The events are everybody's, and count from the start.
    guest.ask("set stats=1")
    assert guest.stats(0)["rx_packets"] == "57"


def test_drops_are_told_by_reason(boot):
    guest = boot(ports=3, words="stats=0")
    guest.ends[2].send(*capture.frames(5, seed=4))
    assert settle(lambda: named(guest.ask("drops 2"), "drops")[0]["drop_idle"] == "5")
    shown = named(guest.ask("drops"), "drops")
    assert [event["drop_idle"] for event in shown] == ["0", "0", "5"]
    assert all("drop_runt" in event and "drop_oversize" in event for event in shown)


def test_lanes_show_where_frames_go(boot):
    guest = boot(ports=3)
    shown = named(guest.ask("lanes"), "lanes")
    assert [(event["function"], event.fields.get("to")) for event in shown] == [
        ("wire", "1"), ("wire", "0"), ("idle", None)
    ]  # fmt: skip


def test_pci_shows_what_the_machine_has(quiet):
    shown = named(quiet.ask("pci"), "pci")
    cards = [event for event in shown if event["class"] == "0x020000"]
    assert [event["address"] for event in cards] == [quiet.port(n)["pci"] for n in (0, 1)]
    assert any(event["class"] == "0x060000" for event in shown)


def test_memory_accounts_for_every_buffer(boot):
    guest = boot(words="stats=0")
    cross(guest, 0, 1, capture.frames(1000, seed=5))
    free, *ports, core = named(guest.ask("memory"), "memory")
    assert free.integer("free") > 0
    assert len(ports) == 2
    for port in ports:
        parts = [port.integer(key) for key in ("in_pool", "in_rx_ring", "in_tx_ring")]
        assert sum(parts) == port.integer("buffers")
        assert port["missing"] == "0"
    assert core.integer("in_pools") + core.integer("in_rings") == core.integer("buffers")
    assert core["core"] == core["kept"] == core["missing"] == "0"


def test_uptime_and_version(quiet):
    (first,) = named(quiet.ask("uptime"), "uptime")
    (second,) = named(quiet.ask("uptime"), "uptime")
    assert 0 < float(first["seconds"]) < float(second["seconds"])
    (version,) = named(quiet.ask("version"), "version")
    assert version["version"] == quiet.wait("boot")["version"]


def test_wrong_words_are_named_with_what_would_be_accepted(quiet):
    end = quiet.ask("prots")[-1]
    assert (end["reason"], end["word"]) == ("unknown-command", "prots")
    assert end["accepted"].split() == COMMANDS
    for line, word in (
        ("ports 9", "9"), ("stats 0 now", "now"), ("log loud", "loud"), ("set speed=1", "speed=1"),
        ("mode bridge", "bridge"), ("wire 0-7", "0-7"), ("reset", ""), ("json perhaps", "perhaps"),
        ("poweroff now", "now"),
    ):  # fmt: skip
        end = quiet.ask(line)[-1]
        assert (end.name, end["reason"], end["word"]) == ("error", "bad-argument", word)
        assert end["command"] == line.split()[0] and end["accepted"]
    end = quiet.ask("x" * 300)[-1]
    assert end["reason"] == "line-too-long"
    works(quiet)


@pytest.mark.parametrize(
    "line, byte, place, word",
    [
        ("ports \u00b9".encode(), "0xc2", "7", r"\xc2\xb9"),
        ("wire 0\u20131".encode(), "0xe2", "7", r"0\xe2\x80\x931"),
        (b"ports\x07", "0x07", "6", r"ports\x07"),
        (b"reset\x00 0", "0x1a", "6", r"reset\x1a"),
        (b"set stats\xa0=1", "0xa0", "10", "stats\u00a0=1"),
        (b"lanes \x1b1", "0x1b", "7", r"\x1b1"),
    ],
)
def test_a_byte_that_no_command_has_is_named_with_its_place(quiet, line, byte, place, word):
    start = quiet.console.count()
    quiet.console.type(line + b"\r")
    answer = quiet.wait("error", start=start)
    assert (answer["reason"], answer["byte"], answer["place"]) == ("bad-byte", byte, place)
    assert (answer["word"], answer["accepted"]) == (word, "printable ASCII")
    quiet.ask("version")
    assert [event.name for event in quiet.console.events[start:]] == ["error", "version", "done"]


# ---- orders ----


def test_settings_change_while_frames_pass(boot):
    guest = boot(words="stats=0")
    assert guest.ask("set")[0]["promisc"] == "on"
    guest.ask("set stats=1")
    guest.stats(0)
    guest.ask("set stats=0")
    filters = "query-rx-filter"
    assert guest.qmp.command(filters, name="nic0")[0]["promiscuous"]
    guest.ask("set promisc=off")
    assert settle(lambda: not guest.qmp.command(filters, name="nic0")[0]["promiscuous"])
    guest.ask("set promisc=on")
    assert settle(lambda: guest.qmp.command(filters, name="nic0")[0]["promiscuous"])
    works(guest)
    guest.ask("set mac=0/52:54:00:aa:bb:cc")
    assert settle(lambda: guest.ask("ports 0")[0]["mac"] == "52:54:00:aa:bb:cc")
    main = lambda: guest.qmp.command(filters, name="nic0")[0]["main-mac"]
    assert settle(lambda: main() == "52:54:00:aa:bb:cc")
    guest.ask("log error")
    assert guest.ask("set")[0]["log"] == "error"
    guest.ask("set panic=halt")
    assert guest.ask("set")[0]["panic"] == "halt"


def test_wires_and_mode_change(boot):
    guest = boot(ports=4)
    works(guest, 0, 1)
    guest.ask("wire 0-2,1-3")
    guest.wait("wires", wires="0-2,1-3")
    works(guest, 0, 2)
    works(guest, 1, 3)
    assert guest.ask("wire 0-1,2-9")[-1]["reason"] == "bad-argument"
    works(guest, 0, 2)  # one wrong pair changes nothing
    guest.ask("mode reflect")
    sent = capture.frame(100, seed=6)
    guest.ends[0].send(sent)
    guest.ends[0].expect([sent[6:12] + sent[0:6] + sent[12:]])
    guest.ask("mode wire")
    works(guest, 0, 2)
    guest.ask("wire auto")
    works(guest, 0, 1)
    works(guest, 2, 3)
    assert all(pool["missing"] == "0" for pool in named(guest.ask("memory"), "memory")[1:])


@pytest.mark.kvm
def test_reset_takes_a_port_out_and_back(boot):
    guest = boot(ports=4)
    works(guest, 0, 1)
    guest.ask("reset 1")
    assert guest.wait("reset", port=1)["reason"] == "operator"
    works(guest, 0, 1)
    works(guest, 2, 3)
    assert named(guest.ask("stats 1"), "stats")[0]["resets"] == "1"
    assert all(pool["missing"] == "0" for pool in named(guest.ask("memory"), "memory")[1:])


@pytest.mark.kvm
@pytest.mark.parametrize("command, action", [("poweroff", "poweroff"), ("reboot", "reboot")])
def test_the_machine_ends_in_order(boot, command, action):
    guest = boot(words="stats=0")
    cross(guest, 0, 1, capture.frames(10, seed=7))
    guest.console.type(f"{command}\r")
    assert guest.wait_exit() == 0  # for reboot: -no-reboot
    bye = guest.wait("bye")
    assert (bye["reason"], bye["action"]) == ("operator", action)
    assert guest.find("stats", port=1)[-1]["tx_packets"] == "10"


# ---- the terminal ----


def test_typing_is_echoed_edited_and_completed(boot):
    guest = boot(words="stats=0")
    console = guest.console
    console.type("versionx")
    console.wait_text(b"> versionx")
    console.type("\x7f\r")
    end = guest.wait("done", command="version")
    console.type("vers\t\r")  # Tab
    end = guest.wait("done", start=end.number + 1, command="version")
    console.type("\x1b[A\r")  # up: the last line again
    end = guest.wait("done", start=end.number + 1, command="version")
    console.type("nonsense\x15me\x1b[D\x1b[Dti\x05\x17uptim\x1b[Ce\r")
    guest.wait("done", start=end.number + 1, command="uptime")
    assert [event.name for event in guest.find("version")] == ["version"] * 3
    assert not guest.find("error")


def test_a_line_longer_than_the_terminal_is_edited_on_one_row_and_ends_whole(boot):
    guest = boot(words="stats=0")
    console = guest.console
    ends = [mac_of(number) for number in range(6)]
    line = "wire " + ",".join(f"{a}-{b}" for a, b in zip(ends[::2], ends[1::2]))
    start = len(console.raw)
    console.type(line)
    console.wait_text(ends[5].encode())
    console.type("\x1b[D" * 70 + "X")
    console.wait_text(b"X")
    shown = bytes(console.raw[start:])
    assert shown.startswith(b"> ") and b"\r" not in shown and b"\n" not in shown
    column = widest = 0
    for byte in shown:
        column += -1 if byte == 8 else 1
        widest = max(widest, column)
    assert widest < 80
    console.type("\x7f\r")
    error = guest.wait("error", command="wire")
    assert error["reason"] == "bad-argument"  # there are no such ports
    assert f"\r> {line}\r\n".encode() in console.raw


def test_tab_shows_what_there_is_to_choose_from(boot):
    guest = boot(words="stats=0", second=SocketConsole)
    for console in (guest.console, guest.second):
        console.type("s\t")
        console.wait_text(b"> s\r\n>   stats  set\r\n> s")
        console.type("et log=\t")
        console.wait_text(b">   log=error  log=warn  log=info  log=debug\r\n> set log=")
        console.type("\x15p\t")
        console.wait_text(b">   ports  pci  poweroff\r\n> p")
    assert not guest.find("error")


def test_an_event_starts_a_line_of_its_own_while_something_is_typed(boot):
    guest = boot(words="stats=1")
    start = len(guest.console.lines)
    guest.console.type("upt")
    guest.console.wait_text(b"> upt")
    for _ in range(4):
        guest.wait("stats", start=guest.console.count(), port=1)
    guest.console.type("ime\r")
    guest.wait("uptime")
    lines = guest.console.lines[start:]
    assert all(parse_event(line) or re.fullmatch(r"> ?[\x08 -~]*", line) for line in lines), lines
    assert lines.count("> upt") >= 3


def test_a_program_that_sends_whole_lines_reads_whole_events(boot):
    guest = boot(words="stats=1")
    start = len(guest.console.lines)
    guest.console.type("".join(f"stats {number % 2}\r\n" for number in range(200)))
    guest.console.type("version\r\n")
    guest.wait("version")
    lines = guest.console.lines[start:]
    events = [parse_event(line) for line in lines if not line.startswith(">")]
    assert all(events)
    assert len([event for event in events if "since" in event]) == 200
    assert len([event for event in events if event.name == "done"]) >= 200
    # The line above each answer is the one that it answers.
    asked = None
    answered = []
    for line in lines:
        if line.startswith("> "):
            asked = line[2:]
        elif "since=" in line:
            assert parse_event(line)["port"] == asked[-1], (asked, line)
            answered.append(asked)
    assert answered == [f"stats {number % 2}" for number in range(200)]


def test_of_300_lines_pasted_at_once_each_stands_above_its_answer(boot):
    guest = boot(words="stats=0")
    start = len(guest.console.lines)
    typed = [f"ports {number % 2}" if number % 3 else "help" for number in range(300)]
    guest.console.type("".join(line + "\r" for line in typed) + "uptime\r")
    guest.wait("done", command="uptime")
    lines = guest.console.lines[start:]
    assert [line[2:] for line in lines if line.startswith("> ")] == typed + ["uptime"]
    asked = None
    for line in lines:
        event = parse_event(line)
        if line.startswith("> "):
            asked = line[2:]
        elif event.name == "done":
            assert asked.split()[0] == event["command"]
            asked = None
        else:
            assert asked.startswith(event.name) and ("port" not in event or event["port"] == asked[-1])


def test_json_says_the_same_with_the_same_keys(boot):
    guest = boot(words="stats=0", second=SocketConsole)
    cross(guest, 0, 1, capture.frames(30, seed=8))
    end = guest.second.ask("json on")[-1]
    assert end.value["event"] == "done" and end.value["command"] == "json"
    start = len(guest.second.lines)
    for line in ("help", "ports", "stats", "lanes", "drops", "pci", "memory", "version", "set"):
        as_text, as_object = guest.ask(line), guest.second.ask(line)
        assert [e.name for e in as_text] == [e.name for e in as_object]
        for text, value in zip(as_text, as_object):
            assert list(value.value)[:2] == ["event", "t"]
            assert text.keys == value.keys
            assert isinstance(value.value["t"], float)
        if line in ("ports", "lanes", "pci", "help", "version"):
            for text, value in zip(as_text, as_object):
                assert {**text.fields, "t": 0} == {**value.fields, "t": 0}
    stats = guest.second.ask("stats 0")[0].value
    assert stats["rx_packets"] == 30 and stats["port"] == 0
    assert guest.second.ask("ports 1")[0].value["mac"] == mac_of(1)
    bad = guest.second.ask('sta"ts\\')[-1].value
    assert bad["word"] == 'sta"ts\\'
    # No echo, nothing but objects.
    assert all(json.loads(line) for line in guest.second.lines[start:])
    guest.second.ask("json off")
    guest.second.ask("version")
    assert guest.second.lines[-2].startswith("version t=")


def test_two_channels_have_lines_and_answers_of_their_own_and_share_events(boot):
    guest = boot(words="stats=1", second=SocketConsole)
    first, second = guest.console, guest.second
    assert second.wait("boot").line == first.wait("boot").line
    assert second.wait("ready").line == first.wait("ready").line
    first.type("upti")
    first.wait_text(b"> upti")
    assert "version" in [event.name for event in second.ask("version")]
    first.type("me\r")
    first.wait("uptime")
    stats = first.wait("stats", start=first.count())
    assert second.wait("stats", t=stats["t"], port=stats["port"]).line == stats.line
    assert not first.find("version") and not second.find("uptime")
    # All channels get the events of a command.
    second.ask("reset 0")
    assert first.wait("reset", port=0).line == second.wait("reset", port=0).line
    # Up finds the channel's own lines.
    count = second.count()
    second.type("\x1b[A\x1b[A\r")
    second.wait("version", start=count)


def test_a_second_channel_that_nobody_reads_costs_the_first_nothing(boot):
    guest = boot(words="stats=1", second=UnreadConsole)
    for seed in range(20):
        guest.ask("pci")
        guest.ask("help")
        cross(guest, 0, 1, capture.frames(20, seed=seed))
    assert not [event for event in guest.find("warn") if "lost_lines" in event]


def test_a_flood_without_a_line_end_costs_no_frame_and_no_event(boot):
    guest = boot(words="stats=1")
    # A megabyte goes in on the host (tests/host/test_console.c); here it would take minutes.
    random_bytes = random.Random(1).randbytes(1 << 17)
    junk = bytes(byte for byte in random_bytes if byte not in b"\r\n")
    # QEMU takes it as fast as the machine reads its serial port.
    typing = threading.Thread(target=guest.console.type, args=(junk,))
    typing.start()
    rounds = 0
    while typing.is_alive() or rounds == 0:
        cross(guest, 0, 1, capture.frames(2 * CHUNK, seed=rounds))
        rounds += 1
        guest.stats(0)
    typing.join()
    start = guest.console.count()
    guest.console.type("\r")
    last = guest.wait("error", start=start)
    assert last["reason"] in ("line-too-long", "unknown-command", "bad-byte")
    assert "version" in [event.name for event in guest.ask("version")]
    line = guest.stats(0, rx_packets=rounds * 2 * CHUNK)
    assert line.integer("rx_packets") == rounds * 2 * CHUNK
    assert line["rx_dropped"] == "0" and line["tx_dropped"] == "0"
    assert not [event for event in guest.find("warn") if "lost_lines" in event]
    # Each port's counters are printed once a period: no event is missing, none is torn.
    for number, event in enumerate(guest.find("stats")):
        assert event.integer("port") == number % 2


def read_until(connection, wanted):
    """What a terminal reads up to `wanted`, that included."""
    data = b""
    while wanted not in data:
        more = connection.recv(65536)
        assert more, f"the console ended without {wanted!r}: {data[-300:]!r}"
        data += more
    return data


def test_a_terminal_may_come_late_go_away_and_come_again(start):
    guest = start(words="stats=1", console=ComingConsole)

    def forwards():
        guest.ends[0].send(b"\x02" * 60)
        return bool(guest.ends[1].received)

    assert settle(forwards, timeout=120)  # nobody sees `ready`
    terminal = guest.console.come()
    terminal.sendall(b"uptime\r")
    read_until(terminal, b"done t=")
    terminal.sendall(b"half a line")
    read_until(terminal, b"> half a line")
    terminal.close()
    marker = capture.frame(77)
    guest.ends[0].send(marker)
    guest.ends[1].take_until(marker)
    cross(guest, 0, 1, capture.frames(300, seed=9))
    terminal = guest.console.come()
    terminal.sendall(b"\x03version\r")
    seen = read_until(terminal, b"command=version")
    assert b"version t=" in seen
    terminal.close()


def test_a_break_forgets_what_was_typed(boot):
    guest = boot(words="stats=0")
    guest.console.type("half a line")
    guest.console.wait_text(b"> half a line")
    guest.qmp.command("chardev-send-break", id="serial")
    assert guest.ask("version")[0].name == "version"
    works(guest)


def test_a_machine_without_a_second_port_answers_all_the_same(boot):
    guest = boot(machine="q35", words="stats=0")
    assert guest.ask("uptime")[0].name == "uptime"
    with pytest.raises(EventTimeout):
        guest.wait("error", timeout=0.1)
