"""Years of operation, in short: links that flap, cards that come and go, resets, pauses, questions and
orders; and lone frames at random moments, each of which has to wake a core that sleeps.

`make soak` takes ten minutes, or DURATION= seconds, for each of the two halves; `make test` runs a short
one. What is disturbed, and how, is random: always the same in `make test`, and told by its seed in
`make soak`.
"""

import os
import random
import threading
import time

import pytest

import capture
from exchange import drain
from guest import settle
from test_hotplug import plug, unplug
from test_links import set_link

SECONDS = float(os.environ.get("BAREWIRE_SOAK_S", "20"))
SEED = int(os.environ.get("BAREWIRE_SOAK_SEED", "1"))
FRAMES_MAX = 150_000  # of one flow: all are kept, for the comparison and a failure's pcap
RING = 256 + 16  # what one ring and one socket's queue hold

TURN = 40  # frames: to see that all is well after a disturbance
MANY = 2000  # more than a lane has buffers
NEIGHBOUR = (2, 3)

pytestmark = pytest.mark.slow


class Flow(threading.Thread):
    """Frames from one end to another, some always under way; may be paused until all have arrived."""

    WINDOW = 64
    LOSSY_TIMEOUT_S = 0.5  # after which frames that have not come are taken for lost
    TIMEOUT_S = 50  # where none may be lost: all are waited for

    def __init__(self, guest, here, there, lossy):
        super().__init__(daemon=True)
        self.timeout_s = self.LOSSY_TIMEOUT_S if lossy else self.TIMEOUT_S
        self.source, self.sink = guest.ends[here], guest.ends[there]
        self.pair = (here, there)
        self.frames = []
        self.arrived = []
        self._looked = len(self.sink.received)
        self._running, self._ended = threading.Event(), False
        self._idle = threading.Event()
        self._running.set()

    def _look(self):
        """Notes what has come out since: QEMU's own frames are none of ours."""
        kind = capture.frame(60)[12:14]
        new = self.sink.received[self._looked :]
        self._looked += len(new)
        self.arrived += [frame for frame in new if frame[12:14] == kind]
        return len(self.arrived)

    def _settle(self, enough):
        """Waits until so many have arrived, or none has come for a while."""
        before, since = self._look(), time.monotonic()
        while before < enough and time.monotonic() - since < self.timeout_s:
            time.sleep(0.002)
            now = self._look()
            if now != before:
                before, since = now, time.monotonic()

    def run(self):
        number, lost = self.pair[0] << 32, 0
        while not self._ended:
            if not self._running.is_set():
                self._settle(len(self.frames))
                self._idle.set()
                self._running.wait()
                self._idle.clear()
                continue
            if len(self.frames) - self._look() - lost >= self.WINDOW:
                self._settle(len(self.frames) - lost - self.WINDOW // 2)
                lost = max(0, len(self.frames) - len(self.arrived) - self.WINDOW // 2)
            number += 1
            frame = capture.frame(60 + number % 200, seed=number)
            self.frames.append(frame)
            self.source.send(frame)
            time.sleep(SECONDS / FRAMES_MAX)

    def pause(self):
        """Stops sending, and waits until the wire is empty."""
        self._running.clear()
        assert self._idle.wait(60), "a flow does not come to rest"

    def resume(self):
        self._running.set()

    def finish(self):
        self.pause()
        self._ended = True
        self._running.set()
        self.join(60)


class Soak:
    """A machine with a pair to disturb and a pair that must not notice."""

    def __init__(self, guest, busy):
        self.guest, self.busy = guest, busy
        self.random = random.Random(SEED)
        self.done = []
        self.swallowed = {0: 0, 1: 0}
        self.flows = [Flow(guest, *pair, lossy=False) for pair in ((2, 3), (3, 2))]
        pairs = ((0, 1), (1, 0)) if busy else ()
        self.disturbed = [Flow(guest, *pair, lossy=True) for pair in pairs]

    def flap(self, port):
        """The cable of `port` is pulled and plugged in again; frames come while it is out."""
        set_link(self.guest, port, False)
        if not self.busy:
            frames = capture.frames(self.random.randint(1, 50), seed=len(self.done))
            self.guest.ends[1 - port].send(*frames)
            self.swallowed[port] += len(frames)
            total = self.swallowed[port]
            self.guest.stats(port, drop_link_down=total)
        set_link(self.guest, port, True)

    def replace(self, port):
        """The card of `port` is taken out and put in again."""
        unplug(self.guest, port)
        plug(self.guest, port, addr=str(port + 4))

    def stand_still(self, _):
        """The machine is stopped: QEMU throws away what it holds itself, so nothing may be under way."""
        for flow in self.flows + self.disturbed:
            flow.pause()
        self.guest.qmp.command("stop")
        time.sleep(self.random.uniform(0.1, 1))
        self.guest.qmp.command("cont")
        for flow in self.flows + self.disturbed:
            flow.resume()

    def announce(self, _):
        self.guest.qmp.command("announce-self", initial=20, max=50, rounds=1, step=20)

    ORDERS = (
        "stats", "stats {port}", "ports", "ports {port}", "lanes", "drops", "pci", "uptime", "version",
        "wire", "wire 0-1,2-3", "wire auto", "mode", "mode wire", "set", "set stats=1",
        "set promisc=on", "set idle=adaptive", "set panic=reboot", "log debug", "log info", "help",
    )  # fmt: skip

    def command(self, line):
        """Types it: it must be answered, and with `done`. Returns the events of its own name."""
        answer = self.guest.console.ask(line)
        assert answer[-1].name == "done", f"{line}: {answer[-1].line}"
        return [event for event in answer if event.name == line.split()[0]]

    def ask(self, port):
        """Questions, and orders that leave things as they are, as objects for a while."""
        self.command("json on")
        for line in self.random.sample(self.ORDERS, 5):
            self.command(line.format(port=port))
        self.command("json off")
        assert self.missing() == ["0"] * 5

    def reset(self, port):
        """The operator takes a port out of service and back."""
        start = self.guest.console.count()
        self.command(f"reset {port}")
        self.guest.wait("reset", start=start, port=port)

    def memory(self):
        """What `memory` says: bytes free, and the buffers of each port and of the core."""
        free, *ports, core = self.command("memory")
        return free["free"], [port["buffers"] for port in (*ports, core)]

    def settled_memory(self):
        """The same, once cards have come: their registers lie elsewhere, and want a page table once."""
        for port in (0, 1):
            self.replace(port)
        return self.memory()

    def missing(self):
        """Buffers that are nowhere: a line a port, and one for the core."""
        return [pool["missing"] for pool in self.command("memory")[1:]]

    def disturb(self):
        """Something happens to one of the two ports."""
        acts = [self.flap, self.flap, self.replace, self.stand_still, self.announce]
        acts += [self.ask, self.ask, self.reset]
        act, port = self.random.choice(acts), self.random.choice((0, 1))
        self.done.append((act.__name__, port))
        act(port)

    def run(self, seconds):
        """Disturbs for so long; between two disturbances of a quiet pair all of it must pass."""
        for flow in self.flows + self.disturbed:
            flow.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.disturb()
            if not self.busy:
                self.exchange()
        for flow in self.flows + self.disturbed:
            flow.finish()

    def exchange(self, count=TURN):
        """Frames both ways, compared. QEMU's announcements come out besides, and are set apart."""
        there = capture.frames(count, seed=len(self.done))
        back = capture.frames(count, seed=-len(self.done))
        before = {port: len(self.guest.ends[port].received) for port in (0, 1)}
        self.guest.ends[0].send(*there)
        self.guest.ends[1].send(*back)
        for port, frames in ((1, there), (0, back)):
            received = self.guest.ends[port].received
            kind = frames[0][12:14]

            def come():
                return [frame for frame in received[before[port] :] if frame[12:14] == kind]

            assert settle(lambda: len(come()) >= len(frames)), self.done[-5:]
            assert come() == frames, self.done[-5:]

    def assert_neighbours_lost_nothing(self):
        for flow in self.flows:
            assert flow.arrived == flow.frames
        for port in NEIGHBOUR:
            counters = self.guest.later_stats(port)
            assert (counters["rx_dropped"], counters["tx_dropped"], counters["resets"]) == ("0",) * 3

    def assert_never_restarted(self):
        assert len(self.guest.find("boot")) == 1
        for name in ("panic", "error", "bye"):
            assert not self.guest.find(name)
        assert {event["reason"] for event in self.guest.find("warn")} <= {"idle"}


def told(soak):
    kinds = sorted({name for name, _ in soak.done})
    counts = " ".join(f"{kind}={sum(name == kind for name, _ in soak.done)}" for kind in kinds)
    print(f"seed {SEED}: {counts}; neighbours: {[len(flow.frames) for flow in soak.flows]} frames")


def pass_many(soak):
    """Had buffers been lost, rings would run dry: so many frames pass only if they all go round."""
    drain(soak.guest)
    soak.exchange(MANY)


def nothing_leaked(soak, before):
    """The same bytes free as at the start, the same pools, and no buffer of theirs is nowhere."""
    assert soak.memory() == before
    assert soak.missing() == ["0"] * 5


def machine(boot):
    return boot(ports=[f"addr={n + 4}" for n in range(4)], words="stats=1")


def test_disturbed_while_quiet_every_counter_is_the_testers(boot):
    guest = machine(boot)
    soak = Soak(guest, busy=False)
    before = soak.settled_memory()
    soak.run(SECONDS / 2)
    told(soak)
    pass_many(soak)
    nothing_leaked(soak, before)
    soak.assert_neighbours_lost_nothing()
    soak.assert_never_restarted()
    turns = len(soak.done)
    for port in (0, 1):
        counters = guest.later_stats(port)
        sent = len(guest.ends[port].sent)
        came = turns * TURN + MANY + 1  # one that drains
        assert counters.integer("rx_packets") == sent
        assert counters.integer("tx_packets") == came
        assert counters.integer("drop_link_down") == soak.swallowed[port]
        assert counters.integer("tx_dropped") == soak.swallowed[port]
        assert counters["rx_dropped"] == "0"


def test_disturbed_in_full_traffic_nothing_is_lost_that_is_not_told(boot):
    guest = machine(boot)
    soak = Soak(guest, busy=True)
    before = soak.settled_memory()
    soak.run(SECONDS / 2)
    told(soak)
    pass_many(soak)
    nothing_leaked(soak, before)
    soak.assert_neighbours_lost_nothing()
    soak.assert_never_restarted()
    for flow in soak.disturbed:
        here, there = flow.pair
        arrived = flow.arrived
        seen = iter(flow.frames)
        assert all(frame in seen for frame in arrived), "not in order, or never sent"
        dropped = guest.later_stats(there).integer("tx_dropped")
        dropped += guest.later_stats(here).integer("rx_dropped")
        rest = len(flow.frames) - len(arrived) - dropped
        print(f"{here} -> {there}: sent {len(flow.frames)} received {len(arrived)} "
              f"dropped {dropped} in QEMU {rest}")
        assert 0 <= rest <= RING * len(soak.done)


# How a card interrupts.
INTERRUPTS = {"message": "", "line": "vectors=0"}
LONE_PAUSE_S = 0.02  # most are much shorter: about where the core is just falling asleep
LONE_REST_S = 0.25  # now and then: beyond every look that the timer takes


def lone_frames(guest, seconds):
    """One frame at a time for so long, from either end. Returns how many, once each has arrived."""
    chance, count = random.Random(SEED), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        frame = capture.frame(chance.randrange(60, 1000), seed=count)
        here, there = chance.sample(guest.ends[:2], 2)
        here.send(frame)
        there.expect([frame])
        count += 1
        rest = LONE_REST_S if chance.randrange(50) == 0 else LONE_PAUSE_S * chance.random() ** 2
        time.sleep(chance.random() * rest)
    return count


@pytest.mark.parametrize("interrupt", INTERRUPTS)
def test_lone_frames_for_a_long_time_all_arrive_and_none_waits_for_the_timer(boot, interrupt):
    guest = boot(ports=[INTERRUPTS[interrupt]] * 2, words="stats=1")
    assert {event["interrupt"] for event in guest.find("port")} == {interrupt}
    count = lone_frames(guest, SECONDS / 2)
    received = sum(guest.later_stats(port).integer("rx_packets") for port in (0, 1))
    idle = guest.wait("idle", start=guest.wait("idle", start=guest.console.count()).number + 1)
    print(f"seed {SEED}, interrupt {interrupt}: {count} frames, lost {count - received}, "
          f"{idle.line.partition(' slept')[2]}")
    assert received == count
    assert idle.integer("device_wakes") > 0
    assert idle["timer_rescues"] == "0"
    assert not guest.find("warn") + guest.find("error")
