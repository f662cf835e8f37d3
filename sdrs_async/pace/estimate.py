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
from dataclasses import dataclass, field, replace

from sdrs_async.limits import Rate

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
_NEVER = -math.inf
_NO_LEVEL = 0.0  # less than every level


@dataclass(slots=True)
class _Search:
    """How long the window is, which is looked for while `under_way`, by a try now and then.

    Seconds: the window was `filled` in so many, `tried` is the length to try, `least` the shortest that it can be.
    """

    under_way: bool
    filled: float
    tried: float
    least: float = 0.0


@dataclass(slots=True)
class _Guesses:
    """Levels that may be right: `hint` is to be tried next time, `later` to be measured after the next boundary of a
    window, which cannot show less than `floor`. `before`: where the present level is itself a guess, the one from
    before the cut, or of as much as there was to send.
    """

    hint: float = _NO_LEVEL
    later: float = _NO_LEVEL
    floor: float = _NO_LEVEL
    before: float = _NO_LEVEL


@dataclass(slots=True)
class _Course:
    """When the present limit has `begun`, the present level was `opened`, and 429s were `refused` since.

    More is tried not before a time: while `growing` for so many `seconds` in which all was used, step by step.
    `stepped`: when the last step was; `passed`: requests let in since.
    """

    begun: float
    stepped: float
    opened: float = _NEVER
    refused: list[float] = field(default_factory=list)
    not_before: float = math.inf
    growing: bool = False
    seconds: float = 0.0
    passed: int = 0


class Estimate:
    """What is believed of a limit that the server does not tell: at most `level` requests in any `per` seconds.

    It is told of every answer to the scope whose limit it is. After a refusal it is on `trial`: one request is to go
    alone, not before `wait`, and no other until that one was let through; `streak` counts the trials refused in a row.
    """

    __slots__ = (
        "_aligned", "_ceiling", "_course", "_guesses", "_proven", "_search", "level", "per", "streak", "trial", "wait",
    )  # fmt: skip

    def __init__(self, now: float, began: float, accepted: int, ceiling: Rate | None) -> None:
        """`accepted`: since `began`, before that none; `ceiling`: configured, or told. `refuse` comes next."""
        # A start that is older than the longest window tells nothing: then the limit has changed.
        filled = now - began
        searching = accepted > 0 and filled <= _LONGEST
        self._ceiling = ceiling.count / ceiling.per if ceiling is not None else math.inf
        if searching:
            self.level, self.per = float(accepted), _at_least(min(_LATER * filled, _LONGEST), _LENGTHS)
        elif ceiling is not None:
            self.level, self.per = float(ceiling.count), ceiling.per
        else:
            self.level, self.per = max(1.0, accepted / max(filled, 1.0)), 1.0
        self._proven = _NO_LEVEL if searching else self.level
        self._search = _Search(searching, filled, tried=self.per)
        self._guesses = _Guesses(before=_NO_LEVEL if searching or ceiling is not None else self.level)
        self._course = _Course(now, stepped=now)
        self._aligned, self.streak, self.trial, self.wait = False, 0, False, 0.0

    def fork(self, now: float) -> Estimate:
        """Another estimate, for a scope like this one, that begins with what is proven."""
        made = copy(self)
        made.level = made._proven = self._proven or self.level
        made.trial, made.streak = False, 0
        made._search = replace(self._search, under_way=False)
        made._guesses = _Guesses()
        made._course = replace(
            self._course, begun=now - _MINUTE, opened=_NEVER, refused=[], growing=False, not_before=now + _PAUSE
        )
        return made

    @property
    def rate(self) -> Rate:
        """What to keep to: as many whole requests as it takes, in a time that is as much longer."""
        return self._whole(self.level)

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
        return self._whole(min(self._proven or self.level, self.level))

    def _whole(self, level: float) -> Rate:
        count, per = max(1, math.ceil(level - 1e-6)), self._search.tried if self._search.under_way else self.per
        return Rate(count, per * count / level)

    @property
    def even(self) -> bool:
        """Whether to spread the requests of a window: not while it is measured."""
        return self.proven or self._ceiling == math.inf

    def accept(self, now: float, *, probe: bool = True) -> bool:
        """A request was let through; true if what to keep to has changed. `probe`: whether more may be tried now."""
        if self.trial:
            return self._accept_trial(now)
        course = self._course
        course.passed += 1
        if course.growing:
            return self._grow(now)
        if now >= course.opened + _HELD * self.per and self.level > self._proven:
            # What has come in bursts has to be even for a window, before more is tried.
            course.not_before = max(course.not_before, now + (0.0 if self._proven else self.per))
            self._proven, self._guesses.before = self.level, _NO_LEVEL
            return True
        return probe and self.wants_more(now) and self._try_more(now)

    def accept_late(self) -> bool:
        """A request from before the trial was let through; true if what to keep to has changed."""
        self.level += (late := self._search.under_way and not self.streak)
        return late

    @property
    def growing(self) -> bool:
        """Whether more than what is proven is being tried."""
        return self._course.growing

    def wants_more(self, now: float) -> bool:
        """Whether it is time to try more: in the first minute only while few were refused."""
        course = self._course
        few = now >= course.begun + _MINUTE or len(course.refused) < _BUDGET
        return few and self._proven >= self.level and now >= course.not_before

    def _accept_trial(self, now: float) -> bool:
        search, guesses, course, passed = self._search, self._guesses, self._course, self._course.passed
        self.trial, self.streak, course.opened = False, 0, now
        course.stepped, course.passed = now, 1
        changed = search.under_way or guesses.later > _NO_LEVEL
        if search.under_way:
            search.under_way, self.per = False, max(length for length in _LENGTHS if length <= search.tried)
            if search.filled <= self.per:
                # It is longer than was thought when it was filled: all of that fitted into one.
                self.level = max(self.level, float(passed))
        elif guesses.later:
            # It is just after a boundary: filling the window at once shows its limit.
            self.level, guesses.later = guesses.later, _NO_LEVEL
            guesses.floor, self._proven = self._proven, _NO_LEVEL
        elif guesses.before and guesses.hint > self.level and self.per <= _SHORT:
            self.level, guesses.hint, changed = guesses.hint, _NO_LEVEL, True
        return changed

    def _try_more(self, now: float) -> bool:
        """Begin to grow; or see whether what a window with a boundary in it let through fits into each."""
        guesses, course = self._guesses, self._course
        course.stepped, course.passed = now, 0
        if hinted := guesses.hint > self.level:
            self.level, guesses.hint, course.opened = guesses.hint, _NO_LEVEL, now
        if guesses.before or not hinted:
            course.growing, course.seconds = True, 0.0
        return hinted

    def _grow(self, now: float) -> bool:
        course = self._course
        past = now - course.stepped
        if past < _STEP:
            return False
        used = course.passed >= 0.7 * self.level * past / self.per - 1
        course.stepped, course.passed = now, 0
        most = self._ceiling * self.per
        if self.level >= most:
            if now >= course.opened + _HELD * self.per:
                self._proven = self.level
                course.growing, course.not_before = False, math.inf
            return not course.growing
        if used:
            course.seconds += past
            self.level *= 1 + min(_GROWTH * 2 ** (course.seconds / _DOUBLED), _FASTEST) * past
            if self.level >= most:
                self.level, course.opened = most, now
        return used

    def refuse_late(self, now: float) -> None:
        """A 429 of a cause that was heeded already."""
        self._course.refused.append(now)

    def refuse(self, now: float, recent: int) -> None:
        """A 429 of what was sent after the last one was heeded; `recent`: accepted in the last `per` seconds."""
        course, self.wait = self._course, 0.0
        course.refused = [at for at in course.refused if at > now - _MINUTE] + [now]
        if self.trial:
            self.streak += 1
            self._refuse_trial(now, recent)
        elif course.growing:
            self._refuse_more(now, recent)
        elif not self._search.under_way:
            self._refuse_open(now)
        self.trial, course.growing = True, False
        course.not_before = now + (_PAUSE if self._proven or self._search.under_way else 0.0)

    def _refuse_trial(self, now: float, recent: int) -> None:
        search = self._search
        if search.under_way:
            if self._course.opened == _NEVER:
                search.least = search.tried - search.filled
            # Where the first window began before a boundary, it ends a little later than its length.
            often = len(self._course.refused) < _BUDGET or search.tried >= _LONGEST
            search.tried = _at_least(1.01 * search.tried, _TRIES if often else _LENGTHS)
        elif 0 < self._proven < self.level:
            self._aligned = True
            self._measure_later()
        elif self.streak <= 1 + self._aligned:
            self._fall(now, 0)
        elif not recent and self.per < _LONGEST:
            # Nothing was let through for as long as it is: its window is a longer one, and aligned to be refused late.
            self.level = (self._guesses.before or self.level) * _LONGEST / self.per
            self.per, self._proven, self._aligned = _LONGEST, _NO_LEVEL, True
            self._guesses.before = self._guesses.hint = _NO_LEVEL
        elif self._aligned and self.per > _SHORT:
            self.wait = now + _PATIENCE * self.per

    def _fall(self, now: float, passed: int) -> None:
        """The limit has been cut: begin far below, unless so many that have passed since a window began tell more."""
        guesses = self._guesses
        before, hint = guesses.before or self.level, guesses.hint if guesses.before else _NO_LEVEL
        # Cuts that come one after the other are none: then what is believed of the window is wrong.
        if now >= self._course.begun + _MINUTE / 2:
            hint = _LITTLE * before
        self._change(now, 2)
        self.level = max(1.0, int(_DEEP * self.level), min(_LITTLE * self.level, passed))
        self._proven, guesses.before = self.level, before if passed <= self.level else _NO_LEVEL
        guesses.hint = hint if guesses.before else _NO_LEVEL
        if guesses.hint and self.per <= _SHORT:
            # What was refused may count too: it is old by the time that the window is full again.
            self.wait = now + _SETTLED * self.per

    def _change(self, now: float, refusals: int) -> None:
        """The limit is another one now, which the last so many refusals told."""
        self._course.begun, self._course.refused = now, self._course.refused[-refusals:]
        self._guesses.hint = self._guesses.floor = _NO_LEVEL

    def _refuse_more(self, now: float, recent: int) -> None:
        """More was tried: what was let through in the last window is the limit, unless a boundary lies in it."""
        self.level = max(self._proven, min(self.level, recent), 1.0)
        guessed, self._guesses.before = self._guesses.before > _NO_LEVEL, _NO_LEVEL
        exact = guessed and (not self._aligned or len(self._course.refused) < _BUDGET)
        if self.level <= _SLIGHT * self._proven + 1 and not exact:
            # What is too much was let through before a boundary, a window after which comes the next.
            self.wait = now + self.per * (self.level + 1 - self._proven) / self._proven
            self._guesses.hint, self.level = self.level, self._proven
            return
        if now >= self._course.begun + _MINUTE:
            self._change(now, 1)
        if self._aligned:
            self._measure_later(0.0 if guessed else _SHRINK)

    def _measure_later(self, shrink: float = _SHRINK) -> None:
        """See what a window takes once the next has begun; the less is left of the level, the surer that it has."""
        self._guesses.later = self._guesses.later or self.level
        self.level = max(self._proven, shrink * self.level)

    def _refuse_open(self, now: float) -> None:
        """Refused although nothing more was tried: it was not right yet, or it has changed."""
        if not self._proven:
            self._measure(now)
        elif now < self._course.opened + _HELD * self.per and self.level > self._proven:
            self.level = max(1.0, self._proven, min(_AGAIN * self.level, self._course.passed))
            self._aligned, self._guesses.before = self._aligned or not self._guesses.before, _NO_LEVEL
        elif now < self._course.opened + self.per:
            # As many as have passed since then fit into a window, and no more if that began then.
            self._fall(now, self._course.passed)
        elif self.per > _SHORT and (self._aligned or self._guesses.hint > _SEEMS * self._proven + 1):
            # It is full until its end, which is far: to ask again soon would only be refused.
            self._fall(now, 0)
            self._aligned = True
        else:
            self.level = max(1.0, _LITTLE * self.level)

    def _measure(self, now: float) -> None:
        """A window that was filled at once from its start on is full: its limit is what has passed."""
        search, count, passed = self._search, int(self.level), self._course.passed
        search.filled = now - self._course.opened
        windows, rest = divmod(passed, count)
        took = _LATER * (search.filled - windows * self.per)
        if windows and rest <= max(2, 0.1 * count):
            self.per = _at_least(max(took + _LATER * windows * self.per, 1.01 * self.per), _LENGTHS)
        elif self._guesses.floor:
            self.level = self._proven = max(self._guesses.floor, float(rest))
        else:
            self.level = max(1.0, passed / (windows + 1))
            self.per = _at_least(max(min(took, _LONGEST), search.least), _LENGTHS)
            self.wait = now + 0.95 * self.per
        search.tried, search.under_way, self._aligned = self.per, True, True


def _at_least(seconds: float, lengths: tuple[float, ...]) -> float:
    return next((length for length in lengths if length >= seconds), _LENGTHS[-1])
