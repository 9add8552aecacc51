"""The serial console never holds up the packets."""

import capture
from console import parse_event
from exchange import cross, works
from guest import settle


MODERN = "disable-legacy=on"  # else there would be too few I/O ports for them

# As many functions as the slots that two cards leave have room for.
FUNCTIONS = [
    word
    for slot in range(6, 32)
    for function in range(8)
    for word in ("-device", f"virtio-rng-pci,{MODERN},addr={slot:x}.{function},multifunction=on")
]


def test_console_that_nobody_reads_costs_lines_and_never_packets(start):
    # Enough PCI functions for more `pci` events than the console's ring can hold.
    guest = start(words="log=debug stats=1", devices=FUNCTIONS, unread=True)
    end = guest.ends[1]

    # `ready` cannot be read, so frames are sent until one comes out; QEMU loses some before.
    def forwards():
        guest.ends[0].send(b"\x02" * 60)
        return bool(end.received)

    assert settle(forwards, timeout=120)
    last = capture.frame(99)
    guest.ends[0].send(last)
    end.take_until(last)
    cross(guest, 0, 1, capture.frames(2000, seed=1))

    guest.console.attach_late()
    lost = guest.wait("warn", lambda event: "lost_lines" in event)
    assert lost.integer("lost_lines") > 0
    line = guest.wait("stats", lambda e: e.integer("rx_packets") >= 2000, start=lost.number, port=0)
    assert line["rx_dropped"] == "0"
    # Whole lines, in front of the gap and behind it.
    lines = guest.console.lines
    first = next(index for index, text in enumerate(lines) if text.startswith("boot "))
    assert all(parse_event(text) for text in lines[first:])
    # What always comes has room of its own at the start.
    assert guest.wait("boot") and guest.wait("ready").number > lost.number
    cross(guest, 0, 1, capture.frames(200, seed=2))


def test_every_line_comes_when_the_console_is_read(boot):
    guest = boot(words="log=debug", devices=FUNCTIONS[:200])
    listed = guest.qmp.command("human-monitor-command", command_line="info pci")
    assert len(guest.find("pci")) == listed.count("  Bus ") > 100
    assert not [event for event in guest.find("warn") if "lost_lines" in event]


def test_4_kib_of_wrong_words_hide_no_port_and_are_summed_up(start):
    words = [f"{number:x}" for number in range(1100)]
    text = " ".join(words)[:4000]
    guest = start(words=text, unread=True)
    guest.console.attach_late()
    assert guest.ready()["ports"] == "2"
    assert guest.port(0) and guest.port(1)
    assert guest.wait("boot")
    shown = [event["word"] for event in guest.find("warn") if "word" in event]
    assert shown == words[:8]
    (more,) = guest.find("warn", reason="more-wrong-words")
    assert (more.integer("count"), more["first"]) == (len(text.split()) - 8, words[8])
    assert not [event for event in guest.find("warn") if "lost_lines" in event]
    works(guest)
