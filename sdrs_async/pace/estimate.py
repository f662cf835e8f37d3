"""Finding limits that the server does not tell. Pure arithmetic: every time and latency is handed in.

1. The first refusal says how many requests fit into a window; after how long a silence one is let through again says
   how long that is. One request goes alone after each refusal: being wrong costs one more and not a burst.
2. What was found is filled at once, and then evenly; it is *proven* when it has held for two windows.
3. Now and then a little more is tried. Where that is refused, the limit is what was let through in the last window.
   An aligned window lets through more across its boundary: a slight rise is kept to at the next try, not before.
4. Where a great one is wrong windows are aligned, and measured: filled at once from a boundary on, one is exact.
5. A refusal without a try for more: the limit has fallen. A little less first, then far less; then the window is filled
   at the pace of before, a short one at once and a long one at the next try, which shows what fits into it now.
"""

from __future__ import annotations

import math
from copy import copy

from sdrs_async.limits import Rate

__all__ = ["Estimate"]

# Seconds: lengths of windows, after which it is tried whether one is over, and the longest that is looked for.
_LENGTHS, _LONGEST = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0), 10.0
_TRIES = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 13.0, 16.0, 20.0, 30.0)
# Windows that what was found has to hold for; how much longer than it took to fill one it is at least.
_HELD, _LATER = 2, 1.2
# Seconds between two steps of growth; growth per second at first, seconds until it has doubled, the most.
_STEP, _GROWTH, _DOUBLED, _FASTEST = 0.25, 0.02, 2.0, 0.3
# Seconds from a refusal to the next try for more, and after a change in which there are few: refusals that it may have.
_PAUSE, _MINUTE, _BUDGET = 16.0, 60.0, 3
# What is left of a level: refused once, refused again, refused before it was proven, and until the next boundary.
_LITTLE, _DEEP, _AGAIN, _SHRINK = 0.97, 0.28, 0.85, 0.75
_SHORT = 2.0  # seconds: a window that long can be filled again without being above a new limit for long
_SETTLED, _PATIENCE = 0.8, 0.3  # of a window: until a short one is filled again, a long aligned one asked again
_SEEMS = 1.02  # times what is proven: more was let through than a window that is not aligned can have room for
_SLIGHT = 1.4  # times what is proven: a rise that a boundary explains


class Estimate:
    """What is believed of a hidden limit: at most `level` requests in any `per` seconds. Told of every answer.

    `trial`: one request is to go alone, and no other until it was accepted; not before `wait`.
    """

    __slots__ = (
        "_aligned", "_before", "_begun", "_ceiling", "_filled", "_floor", "_grown", "_hint", "_later", "_least",
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
        # Where the present level is a guess: that from before the cut, or of as much as there was to send; else 0.
        self._before = 0.0 if self._searching or ceiling is not None else self.level
        self._aligned = False
        self._opened, self._begun, self._refused = -math.inf, now, list[float]()
        self._grown, self._stepped, self._probe_at, self.trial, self.wait = -1.0, now, math.inf, False, 0.0

    def fork(self, now: float) -> Estimate:
        """One that begins where this one is."""
        made = copy(self)
        made.level = made._proven = self._proven or self.level
        made.trial = made._searching = False
        made.streak, made._grown = 0, -1.0
        made._before = made._hint = made._later = made._floor = 0.0
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
    def proven(self) -> bool:
        """Whether something has held for two windows, or is a cautious guess after a cut."""
        return self._proven > 0

    @property
    def followed(self) -> Rate:
        """What others keep to that believe in it: no more than is proven."""
        return _whole(min(self._proven or self.level, self.level), self._tried if self._searching else self.per)

    @property
    def even(self) -> bool:
        """Whether to spread the requests of a window: not while it is measured."""
        return self.proven or self._ceiling == math.inf

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
            self._proven, self._before = self.level, 0.0
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
        passed = self._passed
        self.trial, self.streak, self._passed, self._opened, self._stepped = False, 0, 1, now, now
        changed = self._searching or self._later > 0
        if self._searching:
            self._searching, self.per = False, max(length for length in _LENGTHS if length <= self._tried)
            if self._filled <= self.per:
                # It is longer than was thought when it was filled: all of that fitted into one.
                self.level = max(self.level, float(passed))
        elif self._later:
            # It is just after a boundary: filling the window at once shows its limit.
            self.level, self._later, self._floor, self._proven = self._later, 0.0, self._proven, 0.0
        elif self._before and self._hint > self.level and self.per <= _SHORT:
            self.level, self._hint, changed = self._hint, 0.0, True
        return changed

    def _try_more(self, now: float) -> bool:
        """Begin to grow; or see whether what a window with a boundary in it let through fits into each."""
        self._stepped, self._passed = now, 0
        if hinted := self._hint > self.level:
            self.level, self._hint, self._opened = self._hint, 0.0, now
        if self._before or not hinted:
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
            self._refuse_trial(now, recent)
        elif self._grown >= 0:
            self._refuse_more(now, recent)
        elif not self._searching:
            self._refuse_open(now)
        self._grown, self.trial = -1.0, True
        self._probe_at = now + (_PAUSE if self._proven or self._searching else 0.0)

    def _refuse_trial(self, now: float, recent: int) -> None:
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
            self._fall(now, 0)
        elif not recent and self.per < _LONGEST:
            # Nothing was let through for as long as it is: its window is a longer one, and aligned to be refused late.
            self.level = (self._before or self.level) * _LONGEST / self.per
            self.per, self._proven, self._before, self._hint, self._aligned = _LONGEST, 0.0, 0.0, 0.0, True
        elif self._aligned and self.per > _SHORT:
            self.wait = now + _PATIENCE * self.per

    def _fall(self, now: float, passed: int) -> None:
        """The limit has been cut: begin far below, unless so many that have passed since a window began tell more."""
        before, hint = self._before or self.level, self._hint if self._before else 0.0
        # Cuts that come one after the other are none: then what is believed of the window is wrong.
        if now >= self._begun + _MINUTE / 2:
            hint = _LITTLE * before
        self._change(now, 2)
        self.level = max(1.0, int(_DEEP * self.level), min(_LITTLE * self.level, passed))
        self._proven, self._before = self.level, before if passed <= self.level else 0.0
        self._hint = hint if self._before else 0.0
        if self._hint and self.per <= _SHORT:
            # What was refused may count too: it is old by the time that the window is full again.
            self.wait = now + _SETTLED * self.per

    def _change(self, now: float, refusals: int) -> None:
        """The limit is another one now, which the last so many refusals told."""
        self._begun, self._refused, self._hint, self._floor = now, self._refused[-refusals:], 0.0, 0.0

    def _refuse_more(self, now: float, recent: int) -> None:
        """More was tried: what was let through in the last window is the limit, unless a boundary lies in it."""
        self.level = max(self._proven, min(self.level, recent), 1.0)
        guessed, self._before = self._before > 0, 0.0
        exact = guessed and (not self._aligned or len(self._refused) < _BUDGET)
        if self.level <= _SLIGHT * self._proven + 1 and not exact:
            # What is too much was let through before a boundary, a window after which comes the next.
            self.wait = now + self.per * (self.level + 1 - self._proven) / self._proven
            self._hint, self.level = self.level, self._proven
            return
        if now >= self._begun + _MINUTE:
            self._change(now, 1)
        if self._aligned:
            self._measure_later(0.0 if guessed else _SHRINK)

    def _measure_later(self, shrink: float = _SHRINK) -> None:
        """See what a window takes once the next has begun; the less is left of the level, the surer that it has."""
        self._later = self._later or self.level
        self.level = max(self._proven, shrink * self.level)

    def _refuse_open(self, now: float) -> None:
        """Refused although nothing more was tried: it was not right yet, or it has changed."""
        if not self._proven:
            self._measure(now)
        elif now < self._opened + _HELD * self.per and self.level > self._proven:
            self.level = max(1.0, self._proven, min(_AGAIN * self.level, self._passed))
            self._aligned, self._before = self._aligned or not self._before, 0.0
        elif now < self._opened + self.per:
            # As many as have passed since then fit into a window, and no more if that began then.
            self._fall(now, self._passed)
        elif self.per > _SHORT and (self._aligned or self._hint > _SEEMS * self._proven + 1):
            # It is full until its end, which is far: to ask again soon would only be refused.
            self._fall(now, 0)
            self._aligned = True
        else:
            self.level = max(1.0, _LITTLE * self.level)

    def _measure(self, now: float) -> None:
        """A window that was filled at once from its start on is full: its limit is what has passed."""
        count, self._filled = int(self.level), now - self._opened
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
