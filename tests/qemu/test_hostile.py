"""A device that breaks the rules, against the real kernel.

Ports 0 and 1 are wired to each other, and their devices are ours to misbehave; they differ in the
features that shape the rings. Ports 2 and 3 are an ordinary pair beside them, which must not lose a
frame whatever happens. What leaves a port is compared as a whole, in order: a frame that nobody
announced would be found there.

Only the rings can be hostile here. The host's tests have the rest: registers, configuration, PCI.
"""

import pytest

import capture
from exchange import cross, silent, works
from guest import settle
from hostile import FRAME, HEADERS, INDICES_AND_IDS, INSIDE_CHAIN, LENGTHS, PATTERNS
from vhost import FEATURES, HEADER_SIZE_LEGACY, RX, TX, VIRTIO_F_VERSION_1, nic

# The guest retires a port that it has had to reset so often within a minute.
RESETS_MAX = 10
# The driver looks for finished chains when it has no room for a burst: with so few free slots.
ROOM = 16
QUEUES = {"rx": RX, "tx": TX}


class Arena:
    """A machine, and how many frames each of its ports must have lost by now. `cards` are those of
    ports 0 and 1, whose frames take `parts` descriptors."""

    def __init__(self, boot, cards=None, parts=(1, 2)):
        modern = FEATURES | VIRTIO_F_VERSION_1
        cards = cards or [nic(features=modern), nic(features=0, notify=False)]
        self.guest = boot(ports=[*cards, "", ""], words="stats=1 idle=poll", shared_memory=True)
        self.ends = self.guest.ends
        self.parts = parts
        self.lost = [0, 0]

    def worn_out(self):
        """True if another reset would be one too many."""
        return any(len(self.guest.find("reset", port=port)) >= RESETS_MAX for port in (0, 1))

    def capacity(self, port):
        """Chains that go into a tx ring."""
        return self.ends[port].queues[TX].size // self.parts[port]

    def pending(self, port, queue):
        """Chains that a port has offered and its device hasn't taken."""
        return self.ends[port].inside(lambda end: end.queues[queue].ring.pending())

    def check_lost(self, port):
        """Fails unless a port has lost as many frames as it must have."""
        counters = self.guest.stats(port, tx_dropped=self.lost[port])
        assert counters.integer("tx_dropped") == self.lost[port]
        assert counters["drop_stopped"] == counters["tx_dropped"]

    def since(self, start, *names):
        """The events of these kinds from event number `start` on."""
        return [event for name in names for event in self.guest.find(name) if event.number >= start]

    def works(self, port):
        """Fails unless all ports forward, and with a header that is all zero."""
        works(self.guest, port, 1 - port, 100)
        works(self.guest, 2, 3)
        for end in self.ends[:2]:
            assert end.headers == {bytes(end.header_size)}


@pytest.fixture
def arena(shared):
    """An arena that other tests have used, too, but none that failed; a port may be reset there."""
    if shared.get(Arena).worn_out():
        shared.forget()
    return shared.get(Arena)


@pytest.fixture(params=[0, 1], ids=["port0", "port1"])
def port(request):
    """The port that is attacked: port 0 is modern and has EVENT_IDX, port 1 is legacy without it, and
    its headers are descriptors of their own."""
    return request.param


def fill_tx(arena, port, count):
    """Sends `count` frames to a port whose device takes none, waits until they, or as many as there
    is room for, are in its tx ring, and returns them all."""
    arena.ends[port].hold(TX)
    frames = capture.frames(count, seed=7)
    arena.ends[1 - port].send(*frames)
    in_ring = min(count, arena.capacity(port))
    assert settle(lambda: arena.pending(port, TX) == in_ring)
    return frames


def leave_idle(arena, port):
    """Sends frames until there is a receive buffer that the guest has had back, but not offered
    again."""
    while not arena.ends[port].inside(lambda end: end.queues[RX].ring.idle()):
        arena.ends[port].send(FRAME)
        arena.ends[1 - port].expect([FRAME])


class Bystanders:
    """Traffic of the other pair, in front of, during and after an attack."""

    def __init__(self, arena):
        self._ends = arena.ends[2:]
        self._frames = capture.frames(60, seed=2)
        self._sent = []

    def send(self):
        for end in self._ends:
            end.send(*self._frames)
        self._sent += self._frames

    def expect_all(self):
        for end in self._ends:
            end.expect(self._sent)


def attack(arena, port, queue, lie):
    """Has a port's device tell a lie, and follows what must come of it."""
    guest, attacked, partner = arena.guest, arena.ends[port], arena.ends[1 - port]
    bystanders = Bystanders(arena)
    cross(guest, port, 1 - port, capture.frames(5, seed=3))
    bystanders.send()
    leave_idle(arena, port)
    held = fill_tx(arena, port, arena.capacity(port) - ROOM) if queue == TX else []
    earlier = len(guest.find("error", port=port, reason=lie.reason))
    start = guest.console.count()

    value = attacked.inside(lambda end: lie.told(end, queue))
    bystanders.send()
    error = guest.wait("error", start=start)
    reset = guest.wait("reset", start=start)
    bystanders.send()

    assert error.matches({"port": port, "reason": lie.reason, "queue": queue, "value": value})
    assert error.integer("count") == earlier + 1
    assert reset.matches({"port": port, "reason": lie.reason, "state": "done"})
    # Chains finished correctly are received or sent. The rest of a tx ring is lost, and counted.
    partner.expect([FRAME] * lie.honest if queue == RX else [])
    attacked.expect(held[: lie.honest])
    bystanders.expect_all()
    arena.works(port)
    # On a slow machine the frames that the back end holds may look like a stalled ring.
    told = [event for event in arena.since(start, "error", "warn", "reset")
            if event.fields.get("reason") != "stall"]
    assert len(told) == 2
    arena.lost[port] += len(held[lie.honest :])


@pytest.mark.parametrize("queue", QUEUES)
@pytest.mark.parametrize("lie", INDICES_AND_IDS, ids=lambda lie: lie.name)
def test_port_is_reset_and_forwards_again_after(arena, port, queue, lie):
    attack(arena, port, QUEUES[queue], lie)
    if QUEUES[queue] == TX:
        arena.check_lost(port)


@pytest.mark.parametrize(
    "lie", [*LENGTHS[:-1], pytest.param(LENGTHS[-1], marks=pytest.mark.kvm)],
    ids=lambda lie: lie.name,
)
def test_port_is_reset_and_forwards_again_after_rx(arena, port, lie):
    attack(arena, port, RX, lie)


@pytest.mark.parametrize("queue", QUEUES)
def test_second_descriptor_of_a_chain_is_no_chain(arena, queue):
    attack(arena, 1, QUEUES[queue], INSIDE_CHAIN)


@pytest.mark.kvm
def test_frames_that_wait_for_a_port_while_it_is_reset_are_not_lost(arena, port):
    guest, attacked, capacity = arena.guest, arena.ends[port], arena.capacity(port)
    frames = fill_tx(arena, port, capacity + 300)
    start = guest.console.count()
    attacked.inside(lambda end: INDICES_AND_IDS[0].told(end, TX))
    guest.wait("reset", start=start, port=port, state="done")
    attacked.expect(frames[capacity:])
    arena.lost[port] += capacity
    arena.works(port)
    arena.check_lost(port)


def test_frame_that_is_a_header_only_is_a_runt_and_no_breach(arena, port):
    guest, start = arena.guest, arena.guest.console.count()
    before = guest.stats(port).integer("drop_runt")

    def deliver_nothing(end):
        ring = end.queues[RX].ring
        ring.finish(*end.deliver(b"", ring.fetch()))
        ring.publish()

    arena.ends[port].inside(deliver_nothing)
    arena.works(port)
    assert guest.stats(port, drop_runt=before + 1).integer("drop_runt") == before + 1
    assert not arena.since(start, "error", "reset")


def test_entry_that_changes_after_it_was_read_changes_nothing(arena, port):
    """Each entry becomes nonsense as soon as its frame has come out."""
    attacked, partner = arena.ends[port], arena.ends[1 - port]
    start = arena.guest.console.count()
    for frame in capture.frames(300, seed=12):
        attacked.send(frame)
        partner.expect([frame])
        attacked.inside(lambda end: end.queues[RX].ring.rewrite_last(0xFFFFFFFF, 0xFFFFFFFF))
    arena.works(port)
    assert not arena.since(start, "error", "reset")


def test_length_that_changes_while_it_is_read_is_taken_as_one_of_both(boot, port):
    """Which one is chance: so the frame comes out as it was, or the port is reset."""
    arena = Arena(boot)
    attacked, partner = arena.ends[port], arena.ends[1 - port]
    frames = capture.frames(8, seed=13, size=100)

    def flicker(end):
        ring = end.queues[RX].ring
        for frame in frames:
            head, length = end.deliver(frame, ring.fetch())
            ring.claim(head, length)
            for turn in range(200):
                ring.rewrite_last(head, length if turn % 2 else 0xFFFFFFFF)
        for each in end.queues.values():
            each.held = True

    for number in range(5):
        start, come, starts = arena.guest.console.count(), len(partner.received), attacked.starts
        attacked.inside(flicker)
        # The last length is a true one, so either all frames come out, or there is a breach.
        all_out = lambda: len(partner.received) == come + len(frames)
        assert settle(lambda: all_out() or attacked.starts > starts)
        if attacked.starts > starts:
            assert arena.guest.wait("error", start=start)["reason"] == "used-length-long"
            arena.guest.wait("reset", start=start, port=port, state="done")
        else:
            attacked.hold(RX, False)
            attacked.hold(TX, False)
        last = capture.frame(200, seed=number)
        attacked.send(last)
        *out, _ = partner.take_until(last)
        assert out == frames[: len(out)]
        assert settle(attacked.running)
    arena.works(port)


def test_length_that_is_a_lie_shows_only_older_frames_or_zeros(boot, port):
    """It cannot be seen. But buffers started as zeros and never hold anything but frames."""
    arena = Arena(boot)
    attacked, partner = arena.ends[port], arena.ends[1 - port]
    own, back, others = (bytes([value]) * 1514 for value in (0xA1, 0xB2, 0xC3))
    cross(arena.guest, port, 1 - port, [own] * 1000, [back] * 1000)
    cross(arena.guest, 2, 3, [others] * 400)

    def pretend(end):
        ring = end.queues[RX].ring
        for _ in range(40):
            chain = ring.fetch()
            chain.write(bytes(end.header_size) + b"\x44" * 60)
            shown.append(chain.read()[end.header_size :][:1514])
            ring.finish(chain.head, end.header_size + 1514)
        ring.publish()

    shown = []
    attacked.inside(pretend)
    partner.expect(shown)
    assert {byte for frame in shown for byte in frame[60:]} <= {0x00, 0xA1, 0xB2, 0xC3}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_nothing_of_the_guests_own_is_read_back_from_shared_memory_overwritten_with(
    arena, port, pattern
):
    attacked, start = arena.ends[port], arena.guest.console.count()
    arena.works(port)

    def overwrite(end):
        for queue in end.queues.values():
            queue.ring.overwrite(PATTERNS[pattern])

    for _ in range(3):
        attacked.inside(overwrite)
        there, back = capture.frames(400, seed=14), capture.frames(400, seed=15)
        cross(arena.guest, port, 1 - port, there, back)
    assert not arena.since(start, "error", "reset")
    # And a reset sets up the rings again.
    attack(arena, port, RX, LENGTHS[0])


@pytest.mark.parametrize("header", HEADERS)
def test_header_of_features_that_were_not_agreed_to_is_no_business_of_the_partner(
    arena, port, header
):
    arena.ends[port].header = HEADERS[header]
    try:
        cross(arena.guest, port, 1 - port, capture.frames(300, seed=16))
        arena.works(port)
    finally:
        arena.ends[port].header = bytes(HEADER_SIZE_LEGACY)


def test_tx_ring_that_does_not_complete_is_told_and_only_its_lane_waits(arena, port):
    guest, attacked, partner = arena.guest, arena.ends[port], arena.ends[1 - port]
    start = guest.console.count()
    bystanders = Bystanders(arena)
    bystanders.send()
    frames = fill_tx(arena, port, 600)
    warn = guest.wait("warn", start=start)
    assert warn.matches({"port": port, "reason": "stall", "queue": TX})
    # All that there is room for, unless the ring filled more slowly than a stall is told.
    assert 0 < warn.integer("waiting") <= arena.pending(port, TX)
    bystanders.send()
    back = capture.frames(600, seed=18)
    attacked.send(*back)
    partner.expect(back)
    bystanders.expect_all()
    attacked.hold(TX, False)
    attacked.expect(frames)
    arena.works(port)
    assert arena.since(start, "warn", "error", "reset") == [warn]


def test_port_that_is_reset_too_often_is_retired_and_swallows_what_is_sent_to_it(boot, port):
    arena = Arena(boot)
    guest, attacked, partner = arena.guest, arena.ends[port], arena.ends[1 - port]
    lie = INDICES_AND_IDS[0]
    # Ten within a minute: on a very busy machine the first ones may be longer ago than that.
    for _ in range(4 * RESETS_MAX):
        start = guest.console.count()
        attacked.inside(lambda end: lie.told(end, RX))
        guest.wait("error", start=start, port=port, reason=lie.reason)
        retired = lambda: guest.find("error", reason="retired")
        assert settle(lambda: arena.since(start, "reset") or retired())
        if retired():
            break
        assert settle(attacked.running)
    (retired,) = guest.find("error", reason="retired")
    assert retired.matches({"port": port, "cause": lie.reason, "retry_s": 60})
    assert retired.integer("resets") == len(guest.find("reset", port=port)) >= RESETS_MAX
    bystanders = Bystanders(arena)
    bystanders.send()
    partner.send(*capture.frames(600, seed=19))
    counters = guest.stats(port, tx_dropped=600)
    assert (counters["tx_dropped"], counters["drop_stopped"]) == ("600", "600")
    bystanders.expect_all()
    assert not attacked.running()
    silent(guest, 0, 1, 2, 3)
