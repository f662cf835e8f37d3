"""The arithmetic of one rate: a window anchored at the answers.

The server counts a request at some moment between its sending and its answer. Every permit is therefore free again
only when the *answer* to its last request is one window old: then any window holds at most one request per permit,
whatever the network does. No margin proves that; anchoring at the answers does.
"""

from __future__ import annotations

import math
import sys
from array import array
from bisect import insort
from collections.abc import Iterable

from sdrs_async.limits import Rate

# The `count` of a window without a rate.
UNLIMITED = sys.maxsize
# Seconds: longer windows want the burst, 150 groups at 200 per 5 minutes are done at once, not after 225 s.
LONGEST_SPREAD = 10.0
# Of N permits about sqrt(N) more or less than usual come free together, by the jitter of the network.
_LEAST_QUICKER, _QUICKER = 0.1, 1.6
# A limit that was found by trying is spread more evenly than one that is known: it may be of another kind.
_A_LITTLE_QUICKER = 1.02
# Seconds by which the first window takes longer, where its requests are to be behind those of others.
_LAG = 0.12

_FORGET = 32


class Window:
    """At most `count` requests in any `per` seconds; a request counts from its start until `per` after its answer.

    Without a rate it only remembers.

    `due`: clock time from which there is room: 0 or in the past if now, `inf` if only an answer can tell. Both limits
    may be changed at any time, up to a `per` of the `remembers` seconds for which it keeps answers.
    """

    __slots__ = ("_answers", "_first", "_used", "count", "due", "per", "remembers")

    def __init__(self, rate: Rate | None, answers: Iterable[float] = (), out: int = 0, remembers: float = 0.0) -> None:
        """`answers`, in order, and `out`: the requests from before that are answered, and on their way."""
        self.count = UNLIMITED if rate is None else rate.count
        self.per = remembers if rate is None else rate.per
        self.remembers = max(remembers, self.per)
        # The answers that are too old end before `_first`. Not a deque: that is 760 bytes, times 10^5 projects.
        self._answers = array("d", answers)
        self._first = 0
        self._used = out + len(self._answers)
        self.due = 0.0
        self._look()

    def enter(self) -> float:
        """One request starts; `due` after it."""
        self._used += 1
        if self._used >= self.count:
            self._look()
        return self.due

    def leave(self, now: float, late: float = 0.0) -> None:
        """One request was answered, or given up: then the server may count it until `late` seconds from now."""
        answers, first, at = self._answers, self._first, now + late
        if answers and answers[-1] > at:
            insort(answers, at, first)
        else:
            answers.append(at)
        old = now - self.remembers
        if answers[first] <= old:
            while answers[first] <= old:
                first += 1
            self._used -= first - self._first
            if first > _FORGET and 2 * first > len(answers):
                del answers[:first]
                first = 0
            self._first = first
        if self._used >= self.count:
            self._look()
        else:
            self.due = 0.0

    def resize(self, rate: Rate) -> None:
        """Go on with another rate; what has been sent counts as it would have."""
        self.count, self.per = rate.count, rate.per
        self._look()

    def answers(self, after: float) -> list[float]:
        """When those requests were answered that it still remembers, of those after that time."""
        return [at for at in self._answers[self._first :] if at > after]

    def _look(self) -> None:
        """So many answers have to grow old until one more request fits in."""
        if self._used < self.count:
            self.due = 0.0
            return
        at = self._first + self._used - self.count
        self.due = self._answers[at] + self.per if at < len(self._answers) else math.inf


def promises(rate: Rate | None) -> tuple[Rate, ...]:
    """What a configured rate promises, each kept by a window of its own."""
    if rate is None:
        return ()
    return (rate,) if rate.burst is None else (rate, Rate(rate.burst, 1.0))


def quicker(count: float) -> float:
    """By which factor the starts of a window of `count` are spread more quickly than its rate.

    Permits come free some of them together: spread at the rate itself they would queue, and part of it go unused.
    """
    return 1 + max(_LEAST_QUICKER, _QUICKER / math.sqrt(count))


def pause(windows: Iterable[Window], found: Window | None, *, behind: bool) -> float:
    """Seconds between two starts that are spread evenly: by the slowest of the windows that are short, 0 without one.

    `found`: the one of them whose rate was found by trying; `behind`: a little less than the rates, not more.
    """
    paces = []
    for window in windows:
        if window is found:
            if window.per <= 1.3 * LONGEST_SPREAD:
                paces.append(_A_LITTLE_QUICKER * window.count / window.per)
        elif window.per <= LONGEST_SPREAD:
            factor = window.per / (window.per + _LAG) if behind else quicker(window.count)
            paces.append(factor * window.count / window.per)
    return 1 / min(paces) if paces else 0.0


def spread_out(count: int, began: float, until: float, late: float, since: float) -> list[float]:
    """When so many requests were answered, if evenly from `began` to `until`, but `late`; those after `since`."""
    step = max(0.0, until - began) / count
    # In hours there are millions of them: those that are too old are left out by their number.
    old = max(0, int((since - began - late) / step) - 1) if step else 0
    times = (min(until, began + (number + 1) * step + late) for number in range(old, count))
    return [at for at in times if at > since]
