"""The guest's serial console: events, one a line, `event key=value …`."""

import os
import re
import sys


def fields_of(rest):
    """The key=value words of an event; a quoted value may hold blanks."""
    return {key: value.strip('"') for key, value in re.findall(r'(\S+?)=("[^"]*"|\S*)', rest)}


class Console:
    """The guest's serial output: shown here as it comes and searched for the events that matter."""

    LINE_MAX = 4096  # what follows in a longer line is shown, but not searched

    def __init__(self, stream):
        self.stream = stream
        self.line = b""
        self.ready = None  # the fields of the ready event
        self.stats = {}  # port -> fields of its newest stats event
        self.at_line_start = True

    def fileno(self):
        return self.stream.fileno()

    def copy(self):
        """Returns False at its end, which is QEMU's."""
        data = os.read(self.fileno(), 65536)
        shown = data.replace(b"\r", b"")
        if shown:
            self.at_line_start = shown.endswith(b"\n")
            sys.stdout.buffer.write(shown)
            sys.stdout.buffer.flush()
        *lines, rest = (self.line + shown).split(b"\n")
        self.line = rest[:self.LINE_MAX]
        for line in lines:
            self._note(line.decode("ascii", "replace"))
        return bool(data)

    def _note(self, line):
        event, _, rest = line.partition(" ")
        fields = fields_of(rest)
        if event == "ready" and self.ready is None:
            self.ready = fields
        elif event == "stats" and "port" in fields:
            self.stats[fields["port"]] = fields

    def end_line(self):
        """The tool's next message must not follow a torn line."""
        if not self.at_line_start:
            print(flush=True)
            self.at_line_start = True
