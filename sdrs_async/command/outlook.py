"""What a live display says of the limits: who waits, for which of them, and how long what is left takes at least."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from sdrs_async.command.floors import LATENCY, Floors
from sdrs_async.command.progress import Spent, Waiting
from sdrs_async.models import Learned, UsedUp
from sdrs_async.render.limits import legible
from sdrs_async.report.speed import Floor

__all__ = ["Limited", "Outlook", "Watch", "spent", "waiting"]

_MANY = 10_000
"""So many projects are not looked at every second."""
_REST = 50
"""A look that took long is not repeated for so many times as long: a fiftieth of the time is enough for it."""


class Limited(Protocol):
    """What is asked of a run."""

    def waits(self) -> Mapping[str, tuple[int, float]]:
        """By kind, how many scopes wait because of a 429, and the seconds until the last of them goes on."""
        ...

    def used_up(self) -> Sequence[UsedUp]:
        """The limits that are used up for seconds, without a 429, the widest first."""
        ...

    def learned(self) -> Sequence[Learned]:
        """The limits that the server has shown by now."""
        ...


def waiting(run: Limited) -> Waiting:
    """Who waits now; of several kinds of scopes those that wait longest."""
    kind, (scopes, seconds) = max(run.waits().items(), key=lambda one: one[1][1], default=("project", (0, 0.0)))
    if not scopes:
        return Waiting()
    rates = [one.rate for one in run.learned() if one.scope == kind]
    lowest = min(rates, key=lambda rate: rate.count / rate.per, default=None)
    return Waiting(scopes, seconds, kind, "" if lowest is None else str(legible(lowest)))


def spent(run: Limited, is_in_file: Callable[[str], bool], *, several: bool = False) -> Spent | None:
    """The widest limit that is used up, of several the one that lasts longest; `None` where none is.

    `is_in_file`: whether a limit, by its name in `Limits`, is what a fleet file says; `several`: there are accounts to
    tell apart.
    """
    limits = run.used_up()
    if not limits:
        return None
    longest = max((one for one in limits if one.scope == limits[0].scope), key=lambda one: one.seconds)
    owner = f"{longest.account}: " if several and longest.account else ""
    return Spent(longest.seconds, f"{owner}{_limit(longest, is_in_file)}", longest.projects)


def _limit(one: UsedUp, is_in_file: Callable[[str], bool]) -> str:
    rate, name = legible(one.rate), f"{one.scope}_rate"
    if one.origin == "configured":
        return f"{name if is_in_file(name) else '--' + name.replace('_', '-')} {rate}"
    return f"{one.scope} rate {rate}, {'as a 429 says' if one.origin == 'told' else 'found by trying'}"


class Watch:
    """Who waits, for a display that is drawn often: with many projects it is not looked at every time.

    `is_in_file` and `several` as of `spent`.
    """

    def __init__(
        self, run: Limited, is_in_file: Callable[[str], bool] = lambda limit: False, *, several: bool = False
    ) -> None:
        self._run = run
        self._is_in_file, self._several = is_in_file, several
        self._seen = Waiting()
        self._spent: Spent | None = None
        self._seen_at = self._next = -math.inf

    def waiting(self, now: float) -> Waiting:
        """After a 429, as of `now`, which only goes forward."""
        self._look(now)
        left = self._seen.seconds - (now - self._seen_at)
        return replace(self._seen, seconds=left) if left > 0 else Waiting()

    def spent(self, now: float) -> Spent | None:
        """Without one."""
        self._look(now)
        left = 0.0 if self._spent is None else self._spent.seconds - (now - self._seen_at)
        return replace(self._spent, seconds=left) if self._spent is not None and left > 0 else None

    def _look(self, now: float) -> None:
        if now > self._seen_at and now >= self._next:
            began = time.perf_counter()
            self._seen, self._seen_at = waiting(self._run), now
            self._spent = spent(self._run, self._is_in_file, several=self._several)
            self._next = now + _REST * (time.perf_counter() - began)


class Outlook:
    """The least time that what is left takes, under the limits in force: the configured ones and the learned ones.

    `floors`: of all there is to do from `now` on; `settled`: how many targets of an account's project are done with.
    Worked out once per second at most, with more than 10,000 projects once in five.
    """

    def __init__(self, floors: Floors, settled: Callable[[str, str], int], now: float) -> None:
        self._scopes = floors.scopes
        self._work = floors.work
        self._settled = settled
        self._pause = 1.0 if sum(map(len, self._work.values())) <= _MANY else 5.0
        self._learned: frozenset[Learned] = frozenset()
        self._seen_at = -math.inf
        self._end = now + floors.in_all().seconds
        self._learned_end = -math.inf
        self._left = 0.0

    def seconds(self, now: float, latency: float | None, run: Limited, held: Waiting) -> float:
        """At least so many more, of a run that goes on; `now` is of the clock that the start was of."""
        if now >= self._seen_at + self._pause:
            self._look(now, latency or LATENCY, frozenset(run.learned()), held)
        return max(self._left - (now - self._seen_at), self._end - now, self._learned_end - now, 0.0)

    def _look(self, now: float, latency: float, learned: frozenset[Learned], held: Waiting) -> None:
        left = self._floor(latency, learned)
        self._seen_at, self._left = now, left.seconds
        # Which project waits is not known, nor of several accounts which: it may not be the one that takes longest.
        its_own = len(self._work) == 1 or (left.bottleneck or "").startswith(held.kind)
        if held.kind != "project" and its_own:
            self._left += held.seconds
        # From here on it is known what the windows have let through, which a floor takes for empty.
        if learned != self._learned:
            self._learned, self._learned_end = learned, now + self._left

    def _floor(self, latency: float, learned: Iterable[Learned] = ()) -> Floor:
        left = {
            account: [count - self._settled(account, project_id) for project_id, count in projects.items()]
            for account, projects in self._work.items()
        }
        return self._scopes.floor(left, latency, learned)
