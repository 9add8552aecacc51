"""The terminal output of `make top`: as much as fits, and a mark where it is cut."""

import collections
import curses
import os
import sys
import time

from top_view import HEADINGS, event_text, port_cells, sparkline, state_of, uptime

EVENT_LINES = 8
EVENTS_BESIDE_PORTS = 2  # lines that even many ports leave to the events
WIDE = 134  # columns from which the last minute stands beside the figures
GAP = 2  # blanks between two columns
PAUSE_MAX_S = 1.0  # until an event shows that comes between two rounds
MINUTE = "frames/s in the last minute"
LEVELS = {"error": "red", "panic": "bold red", "warn": "yellow", "link": "cyan", "reset": "cyan"}
LINK, DROPS = HEADINGS.index("link"), HEADINGS.index("drops")

Glyphs = collections.namedtuple("Glyphs", "sparks cut rule")
FINE = Glyphs(" ▁▂▃▄▅▆▇█", "…", "─")
PLAIN = Glyphs(" .:-=+*%@", "...", "-")


def can_draw():
    """False where lines must do: no terminal, or one without a cursor that can be moved."""
    if not sys.stdout.isatty() or os.environ.get("TERM", "") in ("", "dumb", "unknown"):
        return False
    try:
        curses.setupterm(fd=sys.stdout.fileno())
    except curses.error:
        return True  # unknown here; those that are still made understand xterm's sequences
    return curses.tigetstr("cup") is not None


def has_colours():
    try:
        return curses.tigetnum("colors") >= 8
    except curses.error:
        return True


def glyphs_of_terminal():
    """Linux's own console has no letters for the sparklines in any locale."""
    encoding = (sys.__stdout__.encoding or "").lower()  # not that of what rich has put there
    fine = encoding.startswith("utf") and not os.environ.get("TERM", "").startswith("linux")
    return FINE if fine else PLAIN


class Page:
    """Lines for a terminal of this size. Height None: as many as need be."""

    def __init__(self, machine, notes, width, height=None, glyphs=FINE):
        self.machine = machine
        self.notes = notes
        self.width = width
        self.height = height
        self.glyphs = glyphs
        self.wide = width >= WIDE
        self.ports = [machine.ports[number] for number in sorted(machine.ports)]
        self.widths = self._column_widths()
        self.events = min(EVENT_LINES, len(machine.events))
        self.rows = len(self.ports)
        self.minute = bool(self.ports) and not self.wide
        if height is not None:
            self._share(height - 5)  # title, blank line, headings, rule and the last line

    def _column_widths(self):
        """Of the leading columns that fit."""
        cells = [HEADINGS, *map(port_cells, self.ports)]
        widths, used = [], 0
        for column in zip(*cells):
            widths.append(max(map(len, column)))
            used += widths[-1] + GAP
            if used - GAP > self.width:
                return widths[:-1]
        return widths

    def _share(self, room):
        """Ports go first, then the last minute, then events; two of these have a place in any case."""
        kept = min(EVENTS_BESIDE_PORTS, self.events)
        below = len(self.ports) + 2 if self.minute else 0
        if below and len(self.ports) + below + kept > room:
            self.minute, below = False, 0
        self.events = min(self.events, max(kept, room - len(self.ports) - below))
        if len(self.ports) > room - self.events:
            self.rows = max(1, room - self.events - 1)  # one for the mark

    def nearest(self, first):
        """How many ports can be scrolled away, if it shall be `first`."""
        return max(0, min(first, len(self.ports) - self.rows))

    def lines(self, first=0):
        """Each a rich Text."""
        first = self.nearest(first)
        lines = [self._title(), self._text(), self._headings()]
        lines += [self._row(port) for port in self.ports[first:first + self.rows]]
        if self.rows < len(self.ports):
            lines.append(self._mark(first))
        if self.minute:
            lines += [self._text(), self._text(MINUTE, "bold"), *map(self._sparks, self.ports)]
        lines += [self._rule(), *self._events(), self._foot()]
        if self.height is not None and len(lines) > self.height > 1:
            lines[self.height - 1:] = [self._text(f"{self.glyphs.cut} and more in a larger window")]
        return [self._clipped(line) for line in lines[:self.height]]

    @staticmethod
    def _text(words="", style=""):
        from rich.text import Text

        return Text(words, style=style, no_wrap=True, overflow="crop")

    def _clipped(self, line):
        if line.cell_len > self.width:
            line.truncate(max(0, self.width - len(self.glyphs.cut)))
            line.append(self.glyphs.cut[:self.width])
        return line

    def _title(self):
        state, colour = state_of(self.machine)
        title = self._text("barewire ").append(self.machine.version or "", "dim")
        title.append("   ").append(state, colour).append(f"   up {uptime(self.machine.time)}   ")
        return title.append(" ".join(self.notes), "dim")

    def _in_columns(self, cells):
        """Cells of their columns' widths; all but the links end at the right."""
        return [cell.ljust(width) if number == LINK else cell.rjust(width)
                for number, (cell, width) in enumerate(zip(cells, self.widths))]

    def _headings(self):
        line = self._text((" " * GAP).join(self._in_columns(HEADINGS)), "bold")
        return line.append(" " * GAP + MINUTE) if self.wide else line

    def _row(self, port):
        line = self._text(style="dim" if self.machine.stale() else "")
        for number, cell in enumerate(self._in_columns(port_cells(port))):
            style = ""
            if number == LINK and not self.machine.stale():
                style = "green" if port.about.get("link") == "up" else "red"
            elif number == DROPS and sum(port.drops().values()):
                style = "yellow"
            line.append(" " * GAP if number else "").append(cell, style)
        if self.wide:
            line.append(" " * GAP).append(self._drawn(port), "cyan")
        return line

    def _drawn(self, port):
        return sparkline(port.history, steps=self.glyphs.sparks).lstrip()

    def _sparks(self, port):
        """For a terminal too narrow for one more column."""
        return self._text(f"{port.number:4}  ").append(self._drawn(port), "cyan")

    def _mark(self, first):
        more = len(self.ports) - self.rows
        return self._text(f"{self.glyphs.cut} and {more} more port{'s' if more > 1 else ''}, {first} "
                          f"above and {more - first} below: up and down, PgUp and PgDn", "bold")

    def _rule(self):
        total = self.machine.event_count
        title = "events" if self.events == total else f"events, the last {self.events} of {total}"
        return self._text(f"{title} ".ljust(self.width, self.glyphs.rule), "dim")

    def _events(self):
        newest = list(self.machine.events)[len(self.machine.events) - self.events:]
        return [self._text(event_text(event), LEVELS.get(event["event"], "")) for event in newest]

    def _foot(self):
        missing = list(HEADINGS[len(self.widths):])
        if self.ports and not self.wide and not self.minute:
            missing.append("the last minute")
        words = "q or Ctrl-C leaves"
        if missing:
            words += f"; a larger window shows {', '.join(missing)}"
        return self._text(words, "dim")


class Screen:
    """The terminal while top runs. It is drawn on after each round of answers, and once more before
    the next (each second, where rounds are rare) if the machine has something else to show. Scrolling
    and another size show at once."""

    def __init__(self, console, live, interval):
        self.console = console
        self.live = live
        self.pause = min(interval, PAUSE_MAX_S)
        self.glyphs = glyphs_of_terminal()
        self.first = 0  # ports that are scrolled away
        self.drawn_at = 0
        self.drawn = None  # what has been drawn, for comparison
        self.size = None
        self.between = False  # that something was drawn since the last round

    def show(self, machine, notes, new, scrolled):
        shown = state_of(machine), machine.event_count, tuple(notes)
        pause = self.pause if self.between else self.pause / 2
        if new:
            self.between = False
        elif scrolled or self.console.size != self.size:
            pass
        elif shown != self.drawn and time.monotonic() - self.drawn_at >= pause:
            self.between = True
        else:
            return
        self.size, self.drawn, self.drawn_at = self.console.size, shown, time.monotonic()
        page = Page(machine, notes, *self.size, self.glyphs)
        self.first = page.nearest(self.first + scrolled)
        self._draw(page.lines(self.first))

    def _draw(self, lines):
        from rich.console import Group

        self.live.update(Group(*lines), refresh=True)
