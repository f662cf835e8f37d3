"""When the next request of a scope may start: its windows, the even spread inside them, the hold after a 429."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sdrs_async.limits import Rate
from sdrs_async.pace.learning import LULL, MAX_HOLD, Learning
from sdrs_async.pace.peers import Peers
from sdrs_async.pace.windows import LONGEST_SPREAD, Window, pause, promises

# asyncio wakes up to a millisecond late: a start cannot be placed more finely than this, so it may come as much early.
_LATENESS = 0.002
# When all starts will have dripped out, where one request goes alone: its answer has to tell.
_ALONE = math.inf


@dataclass(slots=True)
class _Traffic:
    """How many requests of a scope were `entered`, and `accepted`, since it `began` anew; how many are `out` now.

    `left`: when the last of them was answered.
    """

    entered: int = 0
    out: int = 0
    accepted: int = 0
    began: float = -math.inf
    left: float = -math.inf

    @property
    def answered(self) -> int:
        """How many were answered, or given up."""
        return self.entered - self.out


@dataclass(slots=True)
class _Spread:
    """The even spread of starts, a bucket that drips. Each start adds `pause` seconds; all is out at `dripped`.

    The first `behind` requests are spread a little wider than the others.
    """

    pause: float = 0.0
    dripped: float = 0.0
    behind: int = 0


class Gate:
    """The meter of one scope (a project, a user, an endpoint): tells when its next request may start.

    It decides without waiting: `due` says when, `enter` starts a request, `accept` or `refuse` and then `leave` tell
    how it ended. `rate` is the configured one, kept by the `promised` windows; `peers` are the gates of like scopes,
    which learn of each other. `windows` are all that are kept, `found` the one of them whose rate the server showed by
    its 429s without telling it; `traffic` is what has passed. `held_until`: a 429 lets nothing start before;
    `held_since`: the first 429 came then of those since which nothing was let in, `inf` where there is none.
    """

    __slots__ = (
        "_free", "_learning", "_peers", "_spread", "_version", "found", "held_since", "held_until", "promised", "rate",
        "traffic", "windows",
    )  # fmt: skip

    def __init__(self, rate: Rate | None, *, peers: Peers | None = None) -> None:
        self.rate = rate
        self.promised = promises(rate)
        self._peers = peers
        self._version = 0
        self._learning: Learning | None = None
        self.windows = tuple(map(Window, self.promised))
        if rate is None and peers is None:
            # What many share may be told a limit: then it has to be known what has come.
            self.windows = (Window(None, remembers=LONGEST_SPREAD),)
        self.found: Window | None = None
        self.traffic = _Traffic()
        self.held_since, self.held_until, self._free = math.inf, 0.0, 0.0
        # Of those that are alike one runs ahead: where it is refused, the others hear of it in time, since they stay
        # behind by what their first window takes longer.
        first = peers is None or peers.join()
        self._spread = _Spread(behind=0 if first or rate is None else rate.count)
        self._pace()

    @property
    def learned(self) -> tuple[Rate, bool] | None:
        """The rate in force that the server showed, and whether it told it; `None` if it showed none."""
        return None if self._learning is None else self._learning.learned

    @property
    def follows(self) -> bool:
        """Whether it keeps to what a like scope has found."""
        leads = self._learning is not None and self._learning.estimate is not None
        return not leads and self._peers is not None and self._peers.estimate is not None

    def due(self) -> float:
        """Earliest time for the next start: in the past if at once, `inf` if only an answer can tell."""
        peers = self._peers
        if peers is not None and peers.version != self._version:
            self._version = peers.version
            self._learn().follow(peers)
        due = self._free
        paced = self._spread.dripped - _LATENESS
        due = paced if paced > due else due
        return self.held_until if self.held_until > due else due

    def enter(self, now: float) -> None:
        """Start one request that is due."""
        traffic, spread = self.traffic, self._spread
        if not traffic.out and now > traffic.left + LULL:
            traffic.began, traffic.entered, traffic.accepted = now, 0, 0
        traffic.entered += 1
        traffic.out += 1
        for window in self.windows:
            if (due := window.enter()) > self._free:
                self._free = due
        dripped = spread.dripped
        spread.dripped = (dripped if dripped > now else now) + spread.pause
        if self._learning is not None and self._learning.tries(now):
            spread.dripped = _ALONE

    def leave(self, now: float, late: float = 0.0) -> None:
        """One request was answered, or given up: then the server may count it until `late` seconds from now.

        After `accept` or `refuse` of the same request.
        """
        traffic, spread = self.traffic, self._spread
        traffic.out -= 1
        if spread.behind and traffic.answered == spread.behind:
            self._pace()
        traffic.left = now
        free = 0.0
        for window in self.windows:
            window.leave(now, late)
            free = window.due if window.due > free else free
        self._free = free
        if spread.dripped == _ALONE and not traffic.out:
            spread.dripped = 0.0

    def hold(self, until: float) -> None:
        """Start nothing before `until`; a shorter hold never cuts a longer one."""
        self.held_until = max(self.held_until, until)

    def accept(self, now: float, sent_at: float) -> None:
        """A request sent at `sent_at` was answered with something else than a 429 of this scope."""
        self.traffic.accepted += 1
        if self._learning is not None or (self._peers is not None and self._peers.estimate is not None):
            learning = self._learn()
            if sent_at > learning.heeded:
                self.held_since = math.inf
            learning.accept(now, sent_at)

    def refuse(self, now: float, sent_at: float, told: Rate | None, retry_after: float | None) -> float:
        """A request sent at `sent_at` got a 429 of this scope: adapt to it, hold, and return until when.

        `told`: the limit that it names; `retry_after`: the seconds, which win. One that was sent before the last 429
        was heeded is of the same cause, and changes nothing more.
        """
        until = self._learn().refuse(now, sent_at, told, says_when=bool(retry_after))
        if until is not None:
            # Nobody has asked for a while after the last hold: it was not that which those that wait were kept by.
            self.held_since = now if sent_at > self.held_until + LULL else min(self.held_since, now)
            self.hold(now + min(retry_after, MAX_HOLD) if retry_after else min(until, now + MAX_HOLD))
        return self.held_until

    def held(self, now: float) -> tuple[float, float]:
        """Until when and since when nothing starts by the server's word: a 429, or a told limit that is used up.

        Both are past, or now, where something may start or an answer decides.
        """
        if self._learning is not None:
            told = {(rate.count, rate.per) for rate in self._learning.told if rate not in self.promised}
            for window in self.windows:
                if window.due < math.inf and (window.count, window.per) in told:
                    self.hold(window.due)
        return self.held_until, min(self.held_since, now)

    def used_up(self, now: float) -> tuple[float, float, Rate, str] | None:
        """A window without room, where no 429 holds for as long: since when, until when, its rate and whose it is.

        Whose: see `UsedUp`. `None` where something may start, or an answer decides.
        """
        until, spread = self._free, self._spread
        if not now < until < math.inf or self.held_until >= until:
            return None
        window = next(one for one in self.windows if one.due == until)
        # What the pace knows of the last start; answers may come long after it.
        since = spread.dripped - spread.pause if 0 < spread.dripped < _ALONE else self.traffic.left
        if window is self.found:
            return since, until, Rate(window.count, window.per), "learned"
        for rate in self.promised:
            if rate.count == window.count and rate.per == window.per:
                return since, until, rate, "configured"
        return since, until, Rate(window.count, window.per), "told"

    def also(self, rate: Rate | None) -> None:
        """Keep to the rate of another account too, which reaches the same scope."""
        more = [one for one in promises(rate) if one not in self.promised]
        if not more:
            return
        known = max(self.windows, key=lambda window: window.remembers, default=None)
        past = [] if known is None else known.answers(-math.inf)
        self.promised += tuple(more)
        self.rate = min(self.promised, key=lambda one: one.count / one.per)
        self.put(*self.windows, *(Window(one, past, self.traffic.out) for one in more))

    def put(self, *windows: Window, even: bool = False) -> None:
        """Keep to these windows from now on, evenly to the one that was found too if `even`, or if it is learned."""
        self.windows = windows
        self._free = max(window.due for window in windows)
        self._pace(even=even)

    def find(self, window: Window) -> None:
        """Keep to a window whose rate was found, in place of the one before, which may be the same with a new rate."""
        before, self.found = self.found, window
        others = self.windows if before is window else (*(one for one in self.windows if one is not before), window)
        self.put(*others)

    def resume(self) -> None:
        """Spread from now on what starts: a request that went alone is answered, or is to go next."""
        self._spread.dripped = 0.0

    def _learn(self) -> Learning:
        if self._learning is None:
            self._learning = Learning(self, self._peers)
        return self._learning

    def _pace(self, *, even: bool = False) -> None:
        """Spread the starts evenly by what is kept, but by the one that was found only if that is to be kept evenly."""
        estimate = None if self._learning is None else self._learning.estimate
        windows = (
            self.windows
            if even or estimate is None or estimate.even
            else (one for one in self.windows if one is not self.found)
        )
        self._spread.pause = pause(windows, self.found, behind=self.traffic.answered < self._spread.behind)
