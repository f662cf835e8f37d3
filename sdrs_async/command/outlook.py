"""What a live display says of the limits: who waits, for which of them, and how long what is left takes at least."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import anyio

from sdrs_async.cleanup.plan import LATENCY, Plan
from sdrs_async.command.progress import Spent, Waiting
from sdrs_async.engine.survey import Survey
from sdrs_async.formats.limits import legible
from sdrs_async.limits import Learned, UsedUp

_MANY = 10_000
"""The time that so many projects need is not worked out every second."""
_OFTEN = 0.2
_REST = 15
"""A look that took long is not repeated for so many times as long."""


def waiting(seen: Survey, now: float) -> Waiting:
    """Who waits now; of several kinds of scopes those that wait longest."""
    kind, (scopes, seconds) = max(seen.waits(now).items(), key=lambda one: one[1][1], default=("project", (0, 0.0)))
    if not scopes:
        return Waiting()
    rates = [one.rate for one in seen.learned() if one.scope == kind]
    lowest = min(rates, key=lambda rate: rate.count / rate.per, default=None)
    return Waiting(scopes, seconds, kind, "" if lowest is None else str(legible(lowest)))


def spent(seen: Survey, now: float, *, fleet_file: bool = False) -> Spent | None:
    """The widest limit that is used up, of several the one that lasts longest; `None` where none is.

    `fleet_file`: the accounts, which are to be told apart, and their limits come from one.
    """
    limits = seen.used_up(now)
    if not limits:
        return None
    longest = max((one for one in limits if one.scope == limits[0].scope), key=lambda one: one.seconds)
    owner = f"{longest.account}: " if fleet_file and longest.account else ""
    return Spent(longest.seconds, f"{owner}{_limit(longest, fleet_file=fleet_file)}", longest.projects)


def _limit(one: UsedUp, *, fleet_file: bool) -> str:
    rate, name = legible(one.rate), f"{one.scope}_rate"
    if one.origin == "configured":
        return f"{name if fleet_file else '--' + name.replace('_', '-')} {rate}"
    return f"{one.scope} rate {rate}, {'as a 429 says' if one.origin == 'told' else 'found by trying'}"


class Watch:
    """Who waits in a run, for a display that is drawn often: `seen` at the last look that `follow` took.

    `survey`: a look at each of its projects, which takes its time.
    """

    def __init__(self, survey: Callable[[], Awaitable[Survey]]) -> None:
        self._survey = survey
        self.seen = Survey(())
        self.learned: frozenset[Learned] = frozenset()

    async def follow(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            began = anyio.current_time()
            await self.look()
            await anyio.sleep(max(_OFTEN, _REST * (anyio.current_time() - began)))

    async def look(self) -> None:
        """Look once."""
        self.seen = await self._survey()
        self.learned = frozenset(self.seen.learned())


class Outlook:
    """The least time that what is left takes, under the limits in force: the configured ones and the learned ones.

    `plan`: all there is to do from `now` on; `settle` tells what is done with. Worked out once per second at most,
    with more than 10,000 projects once in five.
    """

    def __init__(self, plan: Plan, now: float) -> None:
        self._scopes = plan.scopes
        self._work = plan.work()
        self._pause = 1.0 if sum(map(len, self._work.values())) <= _MANY else 5.0
        self._learned: frozenset[Learned] = frozenset()
        self._seen_at = -math.inf
        self._end = now + plan.floor().seconds
        self._learned_end = -math.inf
        self._left = 0.0

    def settle(self, account: str, project_id: str) -> None:
        """One more target of an account's project is done with; what was not planned then changes nothing."""
        projects = self._work.get(account, {})
        if project_id in projects:
            projects[project_id] -= 1

    def seconds(self, now: float, latency: float | None, learned: frozenset[Learned], held: Waiting) -> float:
        """At least so many more, of a run that goes on; `now` is of the clock that the start was of."""
        if now >= self._seen_at + self._pause:
            self._look(now, latency or LATENCY, learned, held)
        return max(self._left - (now - self._seen_at), self._end - now, self._learned_end - now, 0.0)

    def _look(self, now: float, latency: float, learned: frozenset[Learned], held: Waiting) -> None:
        left = self._scopes.floor({name: one.values() for name, one in self._work.items()}, latency, learned)
        self._seen_at, self._left = now, left.seconds
        # Which project waits is not known, nor of several accounts which: it may not be the one that takes longest.
        its_own = len(self._work) == 1 or (left.bottleneck or "").startswith(held.kind)
        if held.kind != "project" and its_own:
            self._left += held.seconds
        # From here on it is known what the windows have let through, which a floor takes for empty.
        if learned != self._learned:
            self._learned, self._learned_end = learned, now + self._left
