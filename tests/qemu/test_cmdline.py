"""The command line: each word has an effect; what is wrong is named, and the default stays."""

import pytest

import capture
from exchange import works

DEFAULT_STATS_S = 10


@pytest.mark.parametrize(
    "word, accepted",
    [
        ("colour=blue", "mode="),
        ("mode=hub", "wire|reflect"),
        ("stats=often", "0"),
        ("stats=-1", "0"),
        ("stats=86401", "86400"),
        ("stats=1x", "0"),
        ("log=loud", "error|warn|info|debug"),
        ("promisc=yes", "on|off"),
        ("allmulti=1", "on|off"),
        ("panic=burn", "reboot|halt|poweroff"),
        ("mac=0/nonsense", "xx:xx:xx:xx:xx:xx"),
        ("mac=52:54:00:00:00:01", "xx:xx:xx:xx:xx:xx"),
        ("mac=0/01:00:5e:00:00:01", "unicast"),
        ("mac=32/52:54:00:00:00:01", "port 0 to 31"),
        ("fault=everything", "text"),
        ("buffers=middle", "low|high"),
        ("idle=never", "adaptive|poll"),
        ("watchdog=often", "1800"),
        ("offload=perhaps", "on|off"),
        ("mergeable=perhaps", "auto|on|off"),
        ("rx_ring=0", "a power of two from 16 to 32768"),
        ("rx_ring=3", "a power of two from 16 to 32768"),
        ("rx_ring=300", "a power of two from 16 to 32768"),
        ("tx_ring=65536", "a power of two from 16 to 32768"),
        ("offloads=on", "mode="),
        ("justaword", "mode="),
        ("=", "mode="),
        ("stats=", "0"),
    ],
)
def test_wrong_word_is_named_with_what_is_accepted_and_changes_nothing(boot, word, accepted):
    guest = boot(words=word)
    (named,) = guest.find("warn", word=word)
    assert accepted in named["accepted"]
    assert guest.ready()["mode"] == "wire"
    assert not guest.find("pci")
    macs = [guest.port(number)["mac"] for number in (0, 1)]
    assert macs == ["52:54:00:12:34:00", "52:54:00:12:34:01"]
    works(guest)


def test_mac_for_a_port_that_is_not_there_is_warned_of(boot):
    guest = boot(words="mac=7/52:54:00:00:00:01")
    assert guest.wait("warn", lambda event: "mac" in event.line and "7" in event.line)
    works(guest)


def test_path_as_first_word_is_passed_over(boot):
    assert not boot().find("warn")  # QEMU puts the kernel's path there
    later = boot(words="log=info /boot/other.elf")
    assert later.find("warn", word="/boot/other.elf")


def test_word_given_twice_is_warned_of_and_the_last_one_counts(boot):
    guest = boot(words="mode=wire mode=reflect")
    assert guest.ready()["mode"] == "reflect"
    assert [event for event in guest.find("warn") if "mode" in event.line]


def test_good_words_bring_no_warning(boot):
    guest = boot(
        words="mode=wire wire=0-1 stats=1 log=info promisc=on allmulti=off "
        "mac=1/52:54:00:77:00:01 panic=halt rx_ring=256 tx_ring=128"
    )
    assert not guest.find("warn")
    assert guest.port(1)["mac"] == "52:54:00:77:00:01"


@pytest.mark.parametrize("level, shown", [("error", 0), ("warn", 1), ("info", 2), ("debug", 3)])
def test_log_level_shows_its_events_and_those_above(boot, level, shown):
    cards = ["", "disable-legacy=on,disable-modern=off"]
    guest = boot(ports=cards, words=f"log={level} transport=legacy")
    assert guest.find("boot") and guest.find("error", reason="no-transport")
    found = [bool(guest.find(name)) for name in ("warn", "port", "pci")]
    assert found == [shown >= 1, shown >= 2, shown >= 3]


def test_stats_0_is_silent_and_default_is_every_ten_seconds(boot):
    quiet, usual = boot(words="stats=0"), boot()
    works(quiet)
    line = usual.wait("stats", port=1)
    # `ready` may be late, too: the first interval has begun before it.
    assert line.time - usual.ready().time == pytest.approx(DEFAULT_STATS_S, rel=0.5)
    assert not quiet.find("stats")


def test_command_line_beyond_the_limit_is_cut_and_said_so(boot):
    guest = boot(words="stats=1 " + "x" * 70_000)
    assert guest.wait("warn", lambda event: "command" in event.line or "cut" in event.line)
    guest.stats(0)
    works(guest)


def test_long_command_line_is_read_to_its_end(boot):
    guest = boot(words="x" * 60_000 + " stats=1")
    assert not guest.find("warn", reason="command-line-cut")
    assert guest.wait("warn", reason="unknown-word")["word"].startswith("xxx")
    guest.stats(0)
    works(guest)


def test_settings_are_the_command_line_of_the_same_machine(boot):
    words = 'mode=wire stats=0 allmulti="on" mac=1:52:54:00:77:00:01 rx_ring=128 panic=halt idle=poll'
    first = boot(ports=4, words=words)
    for order in ("wire 0-2,1-3", "set promisc=off", "set mac=0/52:54:00:77:00:00", "log warn"):
        assert first.ask(order)[-1].name == "done"

    def settings(guest):
        *told, done = guest.ask("set")
        assert done.name == "done" and {event.name for event in told} == {"settings"}
        return told[0], "".join(event["words"] for event in told)

    keys, line = settings(first)
    second = boot(ports=4, words=line)
    assert not second.find("warn")
    again, same = settings(second)
    assert same == line and "wire=0-2,1-3" in line and "mac=0/52:54:00:77:00:00" in line
    assert [again[key] for key in ("stats", "log", "promisc", "allmulti", "panic", "idle")] == [
        keys[key] for key in ("stats", "log", "promisc", "allmulti", "panic", "idle")]
    for command in ("ports", "lanes"):
        ours, theirs = (
            [(e.fields.get("mac"), e.fields.get("rx_size"), e.fields.get("to")) for e in
             guest.ask(command)[:-1]] for guest in (first, second))
        assert ours == theirs


def test_words_with_quotes_and_foreign_bytes_are_shown_safely(boot):
    guest = boot(words='a"b=c\\d \u00e9\u00e9=1')
    words = [event["word"] for event in guest.find("warn") if "word" in event]
    assert 'a"b=c\\d' in words
    assert "\u00c3\u00a9\u00c3\u00a9=1" in words


@pytest.mark.parametrize("mode", ["wire", "reflect"])
def test_mode_word_chooses_what_happens_to_frames(boot, mode):
    guest = boot(words=f"mode={mode}")
    frames = capture.frames(5)
    guest.ends[0].send(*frames)
    if mode == "wire":
        guest.ends[1].expect(frames)
    else:
        guest.ends[0].expect([frame[6:12] + frame[:6] + frame[12:] for frame in frames])
