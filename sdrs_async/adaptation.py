"""Finding limits that the server does not tell. Pure arithmetic: every time and latency is handed in.

1. The first refusal says how many requests fit into a window; after how long a silence one is let through again says
   how long that is. One request goes alone after each refusal: being wrong costs one more and not a burst.
2. What was found is filled at once, and then evenly; it is *proven* when it has held for two windows.
3. Now and then a little more is tried. Where that is refused, the limit is what was let through in the last window.
   An aligned window lets through more across its boundary: a slight rise is kept to at the next try, not before.
4. Where a great one is wrong windows are aligned, and measured: filled at once from a boundary on, one is exact.
5. A refusal without a try for more: the limit has fallen. A little less first; then by what the one alone shows.
"""

from __future__ import annotations

import math
from copy import copy

from sdrs_async.models import Rate

__all__ = ["Estimate", "Peers"]

# Seconds: lengths of windows, after which it is tried whether one is over, and the longest that is looked for.
_LENGTHS, _LONGEST = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0), 10.0
_TRIES = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 13.0, 16.0, 20.0, 30.0)
# Windows that what was found has to hold for; how much longer than it took to fill one it is at least.
_HELD, _LATER = 2, 1.2
# Seconds between two steps of growth; growth per second at first, seconds until it has doubled, the most.
_STEP, _GROWTH, _DOUBLED, _FASTEST = 0.25, 0.02, 2.0, 0.3
# Seconds from a refusal to the next try for more, and after a change in which there are few: refusals that it may have.
_PAUSE, _MINUTE, _BUDGET = 16.0, 60.0, 3
_TOGETHER, _SILENT = 1.0, 5.0  # seconds: refusals of several scopes with one cause; who leads has nothing more to send
# What is left of a level: refused once, refused again, refused before it was proven, and until the next boundary.
_LITTLE, _DEEP, _AGAIN, _SHRINK = 0.97, 0.28, 0.85, 0.75
_SLIGHT = 1.4  # times what is proven: a rise that a boundary explains


class Estimate:
    """What is believed of a hidden limit: at most `level` requests in any `per` seconds. Told of every answer.

    `trial`: one request is to go alone, and no other until it was accepted; not before `wait`.
    """

    __slots__ = (
        "_aligned", "_begun", "_ceiling", "_filled", "_floor", "_grown", "_guessed", "_hint", "_later", "_least",
        "_opened", "_passed", "_probe_at", "_proven", "_refused", "_searching", "_stepped", "_tried", "level", "per",
        "streak", "trial", "wait",
    )  # fmt: skip

    def __init__(self, now: float, began: float, accepted: int, ceiling: Rate | None) -> None:
        """`accepted`: since `began`, before that none; `ceiling`: configured, or told. `refuse` comes next."""
        # A start that is older than the longest window tells nothing: then the limit has changed.
        self._filled = now - began
        self._ceiling = ceiling.count / ceiling.per if ceiling is not None else math.inf
        self._searching = accepted > 0 and self._filled <= _LONGEST
        if self._searching:
            self.level, self.per = float(accepted), _at_least(min(_LATER * self._filled, _LONGEST), _LENGTHS)
        elif ceiling is not None:
            self.level, self.per = float(ceiling.count), ceiling.per
        else:
            self.level, self.per = max(1.0, accepted / max(self._filled, 1.0)), 1.0
        self._proven = 0.0 if self._searching else self.level
        self._tried, self._least, self.streak, self._passed = self.per, 0.0, 0, 0
        # Levels, 0 for none: to try next time; to measure after the next boundary, and below which that cannot be.
        self._hint = self._later = self._floor = 0.0
        self._aligned = self._guessed = False
        self._opened, self._begun, self._refused = -math.inf, now, list[float]()
        self._grown, self._stepped, self._probe_at, self.trial, self.wait = -1.0, now, math.inf, False, 0.0

    def fork(self, now: float) -> Estimate:
        """One that begins where this one is."""
        made = copy(self)
        made.level = made._proven = self._proven or self.level
        made.trial = made._searching = made._guessed = False
        made.streak, made._grown, made._hint, made._later, made._floor = 0, -1.0, 0.0, 0.0, 0.0
        made._opened, made._begun, made._refused, made._probe_at = -math.inf, now - _MINUTE, [], now + _PAUSE
        return made

    @property
    def rate(self) -> Rate:
        """What to keep to: as many whole requests as it takes, in a time that is as much longer."""
        return _whole(self.level, self._tried if self._searching else self.per)

    @property
    def known(self) -> Rate | None:
        """In round figures what has been found so far; `None` if it is no less than what was configured."""
        below = max(self.level, self._proven) < self._ceiling * self.per
        return Rate(max(1, int((self._proven or self.level) + 1e-6)), self.per) if below else None

    @property
    def followed(self) -> Rate:
        """What others keep to that believe in it: no more than is proven."""
        return _whole(min(self._proven or self.level, self.level), self._tried if self._searching else self.per)

    @property
    def even(self) -> bool:
        """Whether to spread the requests of a window: not while it is measured."""
        return self._proven > 0 or self._ceiling == math.inf

    def accept(self, now: float, *, probe: bool = True) -> bool:
        """A request was let through; true if what to keep to has changed. `probe`: whether more may be tried now."""
        if self.trial:
            return self._accept_trial(now)
        self._passed += 1
        if self._grown >= 0:
            return self._grow(now)
        if now >= self._opened + _HELD * self.per and self.level > self._proven:
            # What has come in bursts has to be even for a window, before more is tried.
            self._probe_at = max(self._probe_at, now + (0.0 if self._proven else self.per))
            self._proven = self.level
            return True
        return probe and self.wants_more(now) and self._try_more(now)

    def accept_late(self) -> bool:
        """A request from before the trial was let through; true if what to keep to has changed."""
        self.level += (late := self._searching and not self.streak)
        return late

    @property
    def growing(self) -> bool:
        """Whether more than what is proven is being tried."""
        return self._grown >= 0

    def wants_more(self, now: float) -> bool:
        """Whether it is time to try more: in the first minute only while few were refused."""
        few = now >= self._begun + _MINUTE or len(self._refused) < _BUDGET
        return few and self._proven >= self.level and now >= self._probe_at

    def _accept_trial(self, now: float) -> bool:
        self.trial, self.streak, self._passed, self._opened, self._stepped = False, 0, 1, now, now
        changed = self._searching or self._later > 0
        if self._searching:
            self._searching, self.per = False, max(length for length in _LENGTHS if length <= self._tried)
        elif self._later:
            # It is just after a boundary: filling the window at once shows its limit.
            self.level, self._later, self._floor, self._proven = self._later, 0.0, self._proven, 0.0
        return changed

    def _try_more(self, now: float) -> bool:
        """Begin to grow; or see whether what a window with a boundary in it let through fits into each."""
        self._stepped, self._passed = now, 0
        if hinted := self._hint > self.level:
            self.level, self._hint, self._opened = self._hint, 0.0, now
        else:
            self._grown = 0.0
        return hinted

    def _grow(self, now: float) -> bool:
        past = now - self._stepped
        if past < _STEP:
            return False
        used = self._passed >= 0.7 * self.level * past / self.per - 1
        self._stepped, self._passed = now, 0
        most = self._ceiling * self.per
        if self.level >= most:
            if now >= self._opened + _HELD * self.per:
                self._proven, self._grown, self._probe_at = self.level, -1.0, math.inf
            return not self.growing
        if used:
            self._grown += past
            self.level *= 1 + min(_GROWTH * 2 ** (self._grown / _DOUBLED), _FASTEST) * past
            if self.level >= most:
                self.level, self._opened = most, now
        return used

    def refuse_late(self, now: float) -> None:
        """A 429 of a cause that was heeded already."""
        self._refused.append(now)

    def refuse(self, now: float, recent: int) -> None:
        """A 429 of what was sent after the last one was heeded; `recent`: accepted in the last `per` seconds."""
        self._refused, self.wait = [at for at in self._refused if at > now - _MINUTE] + [now], 0.0
        if self.trial:
            self.streak += 1
            self._refuse_trial(now)
        elif self._grown >= 0:
            self._refuse_more(now, recent)
        elif not self._searching:
            self._refuse_open(now)
        self._grown, self.trial = -1.0, True
        self._probe_at = now + (_PAUSE if self._proven or self._searching else 0.0)

    def _refuse_trial(self, now: float) -> None:
        if self._searching:
            if self._opened == -math.inf:
                self._least = self._tried - self._filled
            # Where the first window began before a boundary, it ends a little later than its length.
            often = len(self._refused) < _BUDGET or self._tried >= _LONGEST
            self._tried = _at_least(1.01 * self._tried, _TRIES if often else _LENGTHS)
        elif 0 < self._proven < self.level:
            self._aligned = True
            self._measure_later()
        elif self.streak <= 1 + self._aligned:
            self.level, self._proven, self._guessed = float(max(1, int(_DEEP * self.level))), 0.0, True
            self._change(now, 2)

    def _change(self, now: float, refusals: int) -> None:
        """The limit is another one now, which the last so many refusals told."""
        self._begun, self._refused, self._hint, self._floor = now, self._refused[-refusals:], 0.0, 0.0

    def _refuse_more(self, now: float, recent: int) -> None:
        """More was tried: what was let through in the last window is the limit, unless a boundary lies in it."""
        self.level = max(self._proven, min(self.level, recent), 1.0)
        missing, self._guessed = self._guessed and not self._aligned, False
        if self.level <= _SLIGHT * self._proven + 1 and not missing:
            # What is too much was let through before a boundary, a window after which comes the next.
            self.wait = now + self.per * (self.level + 1 - self._proven) / self._proven
            self._hint, self.level = self.level, self._proven
            return
        if now >= self._begun + _MINUTE:
            self._change(now, 1)
        if self._aligned:
            self._measure_later()

    def _measure_later(self) -> None:
        self._later = self._later or self.level
        self.level = max(self._proven, _SHRINK * self.level)

    def _refuse_open(self, now: float) -> None:
        """Refused although nothing more was tried: it was not right yet, or it has changed."""
        if not self._proven:
            self._measure(now)
        elif now < self._opened + _HELD * self.per and self.level > self._proven:
            self.level, self._aligned = max(1.0, self._proven, min(_AGAIN * self.level, self._passed)), True
        elif now < self._opened + self.per:
            # As many as have passed since then fit into a window, and no more if that began then.
            self._proven = self.level = max(1.0, _DEEP * self.level, min(_LITTLE * self.level, self._passed))
            self._guessed = True
            self._change(now, 2)
        else:
            self.level = max(1.0, _LITTLE * self.level)

    def _measure(self, now: float) -> None:
        """A window that was filled at once from its start on is full: its limit is what has passed."""
        count = int(self.level)
        windows, rest = divmod(self._passed, count)
        took = _LATER * (now - self._opened - windows * self.per)
        if windows and rest <= max(2, 0.1 * count):
            self.per = _at_least(max(took + _LATER * windows * self.per, 1.01 * self.per), _LENGTHS)
        elif self._floor:
            self.level = self._proven = max(self._floor, float(rest))
        else:
            self.level = max(1.0, self._passed / (windows + 1))
            self.per = _at_least(max(min(took, _LONGEST), self._least), _LENGTHS)
            self.wait = now + 0.95 * self.per
        self._tried, self._searching, self._aligned = self.per, True, True


def _at_least(seconds: float, lengths: tuple[float, ...]) -> float:
    return next((length for length in lengths if length >= seconds), _LENGTHS[-1])


def _whole(level: float, per: float) -> Rate:
    count = max(1, math.ceil(level - 1e-6))
    return Rate(count, per * count / level)


class Peers:
    """What scopes that are alike learn of each other: those that have no estimate of their own follow the first one.

    `version` changes with what is to be followed; `opens`: nothing of those that follow starts before that time.
    `heeded`: when the last refusal was sent out to all; `seen`: when the one they follow was last told of an answer.
    """

    __slots__ = ("_fork", "_probe_at", "estimate", "heeded", "members", "opens", "seen", "version")

    def __init__(self) -> None:
        self.estimate: Estimate | None = None
        self.version = self.members = 0
        self.opens = self.heeded = self.seen = self._probe_at = -math.inf
        self._fork: Estimate | None = None

    def refused(self, estimate: Estimate, now: float, opens: float) -> None:
        """The estimate of one of them was wrong, all wait until its trial is over: they may be next."""
        if self.estimate is None or self.estimate is estimate:
            self.estimate, self.seen = estimate, now
        elif now > self.heeded + _TOGETHER:
            self._fork = estimate
        self.heeded, self.opens, self.version = now, opens, self.version + 1

    def refused_as_well(self, now: float) -> None:
        """One that follows was refused by the same cause: it is the common limit that has fallen."""
        if self._fork is not None and now <= self.heeded + _TOGETHER:
            self.estimate, self._fork, self.seen, self.version = self._fork, None, now, self.version + 1

    def accepted(self, now: float, *, changed: bool) -> None:
        """The one they follow was told of an answer, and may have changed by that."""
        self.seen, self.version = now, self.version + changed

    def inherit(self, now: float) -> Estimate | None:
        """An estimate for one that follows to lead with, where the one before has nothing more to send."""
        if self.estimate is None or now < max(self.seen, self.opens) + _SILENT:
            return None
        self.estimate, self.seen = self.estimate.fork(now), now
        return self.estimate

    def may_probe(self, now: float) -> bool:
        """Whether one of them may try more: one at a time, and not within 10 s of the last."""
        if may := now >= self._probe_at:
            self._probe_at = now + _LONGEST
        return may
