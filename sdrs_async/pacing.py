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

_MAX_CREDIT = 0.010
_LONGEST_SPREAD = 10.0
_SPREAD_FACTOR = 1.1
# asyncio wakes up to a millisecond late: a bucket with 2 ms of starts in it makes up for what a late wake-up lost.
_LATENESS = 0.002


class Window:
    """The permits of one rate: `rate.count` of them, each free again `rate.per` seconds after its last answer."""

    __slots__ = ("_credit", "_free", "_out", "_rate", "_shortest")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._free: deque[float] = deque()
        self._out = 0
        self._shortest = math.inf
        self._credit = 0.0

    def due(self) -> float:
        """Clock time at which a permit is free; `inf` when only an answer can free one."""
        if self._out + len(self._free) < self._rate.count:
            return 0.0
        return self._free[0] if self._free else math.inf

    def take(self) -> None:
        """Use a permit that is due."""
        if self._out + len(self._free) >= self._rate.count:
            self._free.popleft()
        self._out += 1

    def give_back(self, now: float, round_trip: float | None) -> None:
        """Return a permit at its answer, or at its time-out (`round_trip` None).

        Half of the shortest round trip seen is credited: the answer left the server at least that long ago. Never more
        than 10 ms, because a storm of new connections makes round trips that say nothing of the way back.
        """
        if round_trip is not None and round_trip < self._shortest:
            self._shortest = round_trip
            self._credit = min(round_trip / 2, _MAX_CREDIT)
        self._out -= 1
        self._free.append(now + self._rate.per - self._credit)


class Gate:
    """One scope (a project, the user, the endpoint): its window, the even spread inside it, and the hold after a 429.

    Decides without waiting: `due` tells when, `enter` takes, `leave` gives back. All times are the event loop's.
    """

    __slots__ = ("_last", "_spread", "_window", "held_until", "refusals")

    def __init__(self, rate: Rate | None) -> None:
        self._window = Window(rate) if rate else None
        # Long windows want the burst: 150 groups at 200 per 5 minutes are done at once, not after 225 s.
        self._spread = _spread(rate) if rate and rate.per <= _LONGEST_SPREAD else None
        self._last = 0.0
        self.held_until = 0.0
        self.refusals = 0

    def due(self, now: float) -> float:
        """Earliest time for the next start: at most `now` if at once, `inf` if only an answer can tell."""
        due = self.held_until
        if self._window is not None:
            due = max(due, self._window.due())
        if due <= now and self._spread is not None and not self._spread.has_capacity():
            # Exact for a bucket that was full after the last start, and never later than the even schedule.
            due = max(now + 1e-6, self._last + self._spread.time_period / self._spread.max_rate)
        return due

    def enter(self, now: float) -> None:
        """Start one request that is due."""
        if self._window is not None:
            self._window.take()
        if self._spread is not None:
            self._last = now
            # `due` has just seen room in the bucket, so this coroutine ends in its first step, without a loop's turn.
            with suppress(StopIteration):
                self._spread.acquire().send(None)

    def leave(self, now: float, round_trip: float | None) -> None:
        """One request was answered after `round_trip` seconds, or given up (None)."""
        if self._window is not None:
            self._window.give_back(now, round_trip)

    def hold(self, until: float) -> None:
        """Start nothing before `until`; a shorter hold never cuts a longer one."""
        self.held_until = max(self.held_until, until)


def _spread(rate: Rate) -> AsyncLimiter:
    per_second = _SPREAD_FACTOR * rate.count / rate.per
    capacity = max(1.0, 1.0 + _LATENESS * per_second)
    return AsyncLimiter(capacity, capacity / per_second)
