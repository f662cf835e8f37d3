"""When the next request of a scope may start, so that no window the server can look at holds more than the limit.

The server counts a request at some moment between its sending and its answer. Every permit is therefore free again
only when the *answer* to its last request is one window old: then any window holds at most one request per permit,
whatever the network does. No margin proves that; anchoring at the answers does.
"""

from __future__ import annotations

import math
from collections import deque
from contextlib import suppress

from aiolimiter import AsyncLimiter

from sdrs_async.models import Rate

__all__ = ["Gate", "Window"]

_LONGEST_SPREAD = 10.0
_SPREAD_FACTOR = 1.1
_LATENESS = 0.002


class Window:
    """The permits of one rate: `rate.count` of them, each free again `rate.per` seconds after its last answer.

    `due`: clock time at which a permit is free; `inf` when only an answer can free one.
    """

    __slots__ = ("_count", "_free", "_out", "_per", "due")

    def __init__(self, rate: Rate) -> None:
        self._count = rate.count
        self._per = rate.per
        self._free: deque[float] = deque()
        self._out = 0
        self.due = 0.0

    def take(self) -> None:
        """Use a permit that is due."""
        free = self._free
        if self._out + len(free) >= self._count:
            free.popleft()
        self._out += 1
        if self._out + len(free) >= self._count:
            self.due = free[0] if free else math.inf

    def give_back(self, now: float) -> None:
        """Return a permit at its answer, or at its time-out."""
        free = self._free
        # What is free by now need not be remembered: memory is bounded by the requests of one window.
        while free and free[0] <= now:
            free.popleft()
        free.append(now + self._per)
        self._out -= 1
        self.due = free[0] if self._out + len(free) >= self._count else 0.0


class Spread:
    """Spreads the starts inside a window evenly, at 1.1 times the rate: a bucket that drips, by aiolimiter.

    Starts are granted for 2 ms at a time where a rate gives more than one in that time: asyncio wakes up to a
    millisecond late, and a start cannot be placed more finely than that anyway.
    """

    __slots__ = ("_bucket", "_grant", "_granted", "_pause", "due")

    def __init__(self, rate: Rate) -> None:
        per_second = _SPREAD_FACTOR * rate.count / rate.per
        self._grant = max(1, int(_LATENESS * per_second))
        self._granted = 0
        # A hair longer than it takes to drain, so that rounding never leaves the bucket too full.
        self._pause = 1.000001 * self._grant / per_second
        capacity = self._grant + _LATENESS * per_second
        self._bucket = AsyncLimiter(capacity, capacity / per_second)
        self.due = 0.0

    def enter(self, now: float) -> None:
        """One start, at a time that was due; sets when the next one is."""
        if not self._granted:
            # There is room in the bucket by now, so this coroutine ends in its first step, without a turn of the loop.
            with suppress(StopIteration):
                self._bucket.acquire(self._grant).send(None)
            self._granted = self._grant
        self._granted -= 1
        if not self._granted and not self._bucket.has_capacity(self._grant):
            # However full the bucket was, after this time it has room again.
            self.due = now + self._pause


class Gate:
    """One scope (a project, the user, the endpoint): its window, the even spread inside it, and the hold after a 429.

    Decides without waiting: `due` tells when, `enter` takes, `leave` gives back. All times are the event loop's.
    """

    __slots__ = ("_spread", "_window", "held_until", "refusals")

    def __init__(self, rate: Rate | None) -> None:
        self._window = Window(rate) if rate else None
        # Long windows want the burst: 150 groups at 200 per 5 minutes are done at once, not after 225 s.
        self._spread = Spread(rate) if rate and rate.per <= _LONGEST_SPREAD else None
        self.held_until = 0.0
        self.refusals = 0

    @property
    def limited(self) -> bool:
        """Whether it has a rate; without one only a hold makes it wait."""
        return self._window is not None

    def due(self) -> float:
        """Earliest time for the next start: in the past if at once, `inf` if only an answer can tell."""
        due = self.held_until
        if self._window is not None and self._window.due > due:
            due = self._window.due
        if self._spread is not None and self._spread.due > due:
            due = self._spread.due
        return due

    def enter(self, now: float) -> None:
        """Start one request that is due."""
        if self._window is not None:
            self._window.take()
        if self._spread is not None:
            self._spread.enter(now)

    def leave(self, now: float) -> None:
        """One request was answered, or given up."""
        if self._window is not None:
            self._window.give_back(now)

    def hold(self, until: float) -> None:
        """Start nothing before `until`; a shorter hold never cuts a longer one."""
        self.held_until = max(self.held_until, until)

    def accept(self, now: float) -> None:
        """An answer that is no 429 ends their row, unless it was on the wire before the hold."""
        if now >= self.held_until:
            self.refusals = 0

    def refuse(self, now: float) -> int:
        """Count a 429 and return how many there were in a row; those that arrive during a hold belong to its cause."""
        if now >= self.held_until or not self.refusals:
            self.refusals += 1
        return self.refusals
