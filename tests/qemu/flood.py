"""Traffic that goes on while something else happens."""

import itertools
import threading

import capture


class Flood(threading.Thread):
    """Sends different frames into a port as fast as it takes them, until it is stopped."""

    def __init__(self, end):
        super().__init__(daemon=True)
        self.end = end
        self.sent = 0
        self._enough = threading.Event()

    def run(self):
        for number in itertools.count():
            if self._enough.is_set():
                return
            self.end.send(capture.frame(60, seed=number))
            self.sent += 1

    def finish(self):
        self._enough.set()
        self.join(60)
        return self.sent
