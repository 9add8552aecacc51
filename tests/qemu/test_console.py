"""The serial console never holds up the packets."""

import capture
from console import parse_event
from exchange import cross
from guest import settle


def test_console_that_nobody_reads_costs_lines_and_never_packets(start):
    # Enough wrong words for more warnings than the console's ring can hold.
    words = " ".join(f"{number:x}" for number in range(900))
    guest = start(words=f"{words} stats=1", unread=True)
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
    cross(guest, 0, 1, capture.frames(200, seed=2))


def test_every_line_comes_when_the_console_is_read(boot):
    words = " ".join(f"{number:x}" for number in range(200))
    guest = boot(words=words)
    shown = [event["word"] for event in guest.find("warn") if "word" in event]
    assert shown == words.split(" ")
    assert not [event for event in guest.find("warn") if "lost_lines" in event]
