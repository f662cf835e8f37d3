"""How many requests at a time a server takes without letting them wait. Pure arithmetic: times are handed in."""

from __future__ import annotations

import math

_SAMPLE, _EVERY = 64, 0.5
_TOLERANCE, _DELAY = 2.0, 0.05
_LOWER, _HELPED, _EASY = 0.7, 0.85, 0.75
_PAUSE = 30.0


class Concurrency:
    """How many requests at a time a server takes without letting them wait: `cap`, 1 up to what is configured.

    Where even the quicker answers take twice as long as the quickest ever did, and 50 ms more (no delay of this process
    may count), the server seems to queue. Whether it does, a lower cap shows: if it makes answers no quicker the time
    is the server's or the network's own, the cap goes back to where it was, and nothing is tried for 30 s.
    """

    __slots__ = ("_before", "_most", "_not_before", "_quickest", "_since", "_times", "_used", "cap")

    def __init__(self, cap: float = math.inf) -> None:
        self._most = self.cap = cap
        self._quickest = math.inf
        self._times: list[float] = []
        self._since = self._not_before = -math.inf
        self._used = 0
        # The cap and the time of an answer before it was lowered.
        self._before: tuple[float, float] | None = None

    def add(self, now: float, elapsed: float, at_once: int) -> None:
        """A request was answered at `now`, so many seconds after it was sent; `at_once`: how many were on their way."""
        if now - elapsed < self._since:
            return  # it was sent under another cap
        times = self._times
        times.append(elapsed)
        self._used = max(self._used, at_once)
        if len(times) >= _SAMPLE:
            if now >= self._since + _EVERY:
                self._look(now)
            del times[: _SAMPLE // 2]

    def _look(self, now: float) -> None:
        times = sorted(self._times)
        usual = times[len(times) // 4]
        self._quickest = min(self._quickest, times[0])
        allowed = max(_TOLERANCE * self._quickest, self._quickest + _DELAY)
        before, self._before = self._before, None
        if before is not None and usual > _HELPED * before[1]:
            self.cap, self._not_before = before[0], now + _PAUSE
        elif usual > allowed and self.cap > 1 and now >= self._not_before:
            self._before = self.cap, usual
            self.cap = max(1.0, min(self.cap, self._used) * _LOWER)
        elif (usual < _EASY * allowed or now < self._not_before) and self.cap < self._most:
            self.cap = min(self._most, self.cap + 1.0)
        self._since, self._used = now, 0
        self._times.clear()
