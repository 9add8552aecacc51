"""QEMU's machine protocol: a client that QEMU connects to when it starts."""

import json
import os
import socket
import threading

ANSWER_TIMEOUT_S = 60


class QmpError(AssertionError):
    """QEMU refused a command, or didn't answer."""


class Qmp:
    """Commands are answered one at a time; events are kept in the order in which they came."""

    def __init__(self, directory):
        self._path = os.path.join(directory, "qmp")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self._path)
        self._listener.listen(1)
        self._listener.settimeout(60)
        self._connection = None
        self._changed = threading.Condition()
        self._answers = []
        self.events = []
        self._ended = False

    def chardev(self):
        """QEMU's words for it."""
        return f"socket,id=qmp,path={self._path},server=off"

    def attach(self):
        """Takes QEMU's connection and leaves the protocol's negotiation mode."""
        self._connection, _ = self._listener.accept()
        self._connection.setblocking(True)
        self._listener.close()
        threading.Thread(target=self._read, daemon=True).start()
        self.command("qmp_capabilities")

    def command(self, name, /, **arguments):
        """Returns the command's answer. Underscores in argument names stand for hyphens."""
        arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
        message = json.dumps({"execute": name, "arguments": arguments})
        with self._changed:
            self._answers.clear()
            self._connection.sendall(message.encode() + b"\n")
            self._changed.wait_for(lambda: self._answers or self._ended, ANSWER_TIMEOUT_S)
            if not self._answers:
                raise QmpError(f"{name}: no answer from QEMU")
            answer = self._answers.pop()
        if "error" in answer:
            raise QmpError(f"{name}: {answer['error']['desc']}")
        return answer["return"]

    def find(self, name):
        """All events of this name so far."""
        with self._changed:
            return [event for event in self.events if event["event"] == name]

    def forget(self):
        """Forgets all events so far: the next wait is for a new one."""
        with self._changed:
            self.events.clear()

    def wait(self, name, timeout=60):
        """The first event of this name."""
        with self._changed:
            self._changed.wait_for(lambda: self._named(name) or self._ended, timeout)
            if not self._named(name):
                raise QmpError(f"no QMP event {name} within {timeout} s")
            return self._named(name)[0]

    def _named(self, name):
        return [event for event in self.events if event["event"] == name]

    def _read(self):
        with self._connection.makefile("rb") as stream:
            try:
                for line in stream:
                    self._take(json.loads(line))
            except OSError:
                pass
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self, message):
        with self._changed:
            if "event" in message:
                self.events.append(message)
            elif "QMP" not in message:  # the greeting
                self._answers.append(message)
            self._changed.notify_all()
