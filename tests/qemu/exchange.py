"""Traffic across a wire, checked: what the tests of many files have in common."""

from itertools import zip_longest

import capture

# On port, frames are few enough in flight never to fill a ring that nobody empties: what the host
# drops in front of a full ring is not the guest's loss.
CHUNK = 64


def cross(guest, left, right, frames, back=None, timeout=60):
    """Sends `frames` into port `left` and `back` into `right`, interleaved; fails unless each port
    gives out exactly the other's, byte for byte and in order."""
    back = list(frames if back is None else back)
    a, b = guest.ends[left], guest.ends[right]
    chunks = zip_longest(range(0, len(frames), CHUNK), range(0, len(back), CHUNK))
    for there, here in chunks:
        if there is not None:
            a.send(*frames[there : there + CHUNK])
        if here is not None:
            b.send(*back[here : here + CHUNK])
    b.expect(frames, timeout)
    a.expect(back, timeout)


def drain(guest, left=0, right=1):
    """Takes whatever still comes out of a pair of ports from before, firmware's frames or an earlier
    test's: a frame sent now comes out behind all of them."""
    last = [capture.frame(61, seed=f"last {port}") for port in (left, right)]
    guest.ends[left].send(last[0])
    guest.ends[right].send(last[1])
    guest.ends[right].take_until(last[0])
    guest.ends[left].take_until(last[1])


def works(guest, left=0, right=1, count=20):
    """The short proof that a pair of ports forwards, in both directions."""
    there = capture.frames(count, seed=left + 1)
    cross(guest, left, right, there, capture.frames(count, seed=right + 101))


def silent(guest, *ports):
    """Fails if one of these ports gives out a frame."""
    for port in ports:
        guest.ends[port].expect_silence()
