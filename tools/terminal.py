"""The user's terminal and the ways to leave: Ctrl-C and Ctrl-A x as keys, and signals."""

import os
import signal
import socket
import sys
import termios

CTRL_A = 0x01
CTRL_C = 0x03

# termios.tcgetattr()'s list
IFLAG, LFLAG, CC = 0, 3, 6


class Keys:
    """Finds the keys that leave in what was typed, wherever reads cut it."""

    def __init__(self):
        self.after_ctrl_a = False

    def leave(self, typed):
        for key in typed:
            if key == CTRL_C or (self.after_ctrl_a and key in b"xX"):
                return True
            self.after_ctrl_a = key == CTRL_A
        return False


class Terminal:
    """
    Takes the keyboard for as long as its with block runs; afterwards all is as it was.

    Only the input side is changed: lines written by a tool or by QEMU look right all the while.
    Without a terminal, or in the background, nothing is changed and signals alone leave.
    """

    def __init__(self):
        self.fd = sys.stdin.fileno() if sys.stdin else -1
        self.saved = None
        self.keys = Keys()

    def __enter__(self):
        if os.isatty(self.fd) and os.tcgetpgrp(self.fd) == os.getpgrp():
            self.saved = termios.tcgetattr(self.fd)
            raw = termios.tcgetattr(self.fd)
            raw[IFLAG] &= ~(termios.IXON | termios.ICRNL)
            raw[LFLAG] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
            raw[CC][termios.VMIN], raw[CC][termios.VTIME] = 1, 0
            termios.tcsetattr(self.fd, termios.TCSANOW, raw)
        return self

    def __exit__(self, *_):
        if self.saved is None:
            return
        # Put into the background meanwhile, the change would stop this process: not while leaving.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        try:
            # What was typed meanwhile was not meant for the shell.
            termios.tcflush(self.fd, termios.TCIFLUSH)
            termios.tcsetattr(self.fd, termios.TCSANOW, self.saved)
        except termios.error:
            pass  # the terminal is gone, and with it what there was to restore
        self.saved = None

    def descriptor(self):
        """To be watched for input, or None."""
        return self.fd if self.saved else None

    def typed_leave(self):
        """Reads what was typed; True if it means leaving, which a terminal that has gone does."""
        try:
            typed = os.read(self.fd, 256)
        except OSError:
            return True
        return not typed or self.keys.leave(typed)


class Signals:
    """Notes the signals that ask to leave, and wakes a select() through a descriptor."""

    ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self):
        self.noted = False
        self.reader, self.writer = socket.socketpair()
        self.reader.setblocking(False)
        self.writer.setblocking(False)
        signal.set_wakeup_fd(self.writer.fileno(), warn_on_full_buffer=False)
        for number in self.ASKING:
            signal.signal(number, self._note)
        # Stopping by the terminal would leave it raw; there is nothing to go on with either.
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)

    def _note(self, _number, _frame):
        self.noted = True

    def fileno(self):
        return self.reader.fileno()

    def asked(self):
        """True once for what came since the last call."""
        try:
            self.reader.recv(4096)
        except BlockingIOError:
            pass
        noted, self.noted = self.noted, False
        return noted
