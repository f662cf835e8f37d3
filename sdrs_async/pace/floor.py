"""The shortest time in which a run could have done its work under its limits, and which of them sets it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from sdrs_async.limits import Learned, Limits, Rate

Loads = Mapping[str, Collection[int]]
"""By the account's name: how many requests each of its projects takes, in any order."""


@dataclass(frozen=True, slots=True)
class Floor:
    """`seconds` that no run can beat; `bottleneck` says which limit sets them, `None` when nothing was sent."""

    seconds: float = 0.0
    bottleneck: str | None = None

    def __or__(self, other: Floor) -> Floor:
        """The higher of two; with equal seconds the name decides, so that the order does not."""
        return max(self, other, key=lambda one: (one.seconds, one.bottleneck or ""))

    def to_dict(self, duration: float | None) -> dict[str, Any]:
        """The speed of a report that took `duration` seconds; all null when nothing was answered.

        `None`: several runs, whose time together says nothing about how well each of them used its own.
        """
        if self.bottleneck is None:
            return {"floor_s": None, "efficiency": None, "bottleneck": None}
        efficiency = round(min(1.0, self.seconds / duration), 4) if duration else None
        return {"floor_s": self.seconds, "efficiency": efficiency, "bottleneck": self.bottleneck}


@dataclass(frozen=True, slots=True)
class Scopes:
    """What bounds the time of a run. `limits`: of each account, by its name; `endpoints`: the URL of each.

    Accounts of one endpoint share the lowest rate that any of them names for it; one without a URL has an endpoint of
    its own. `concurrency`: requests at a time over all; that of an account's `limits` bounds nothing.
    """

    limits: Mapping[str, Limits]
    endpoints: Mapping[str, str] = field(default_factory=dict)
    concurrency: int | None = None

    @classmethod
    def of_one(cls, limits: Limits) -> Self:
        """Those of a run with a single account, without a name."""
        return cls({"": limits}, concurrency=limits.concurrency)

    def loads(self, work: Loads) -> Loads:
        """What there is to do, by the names that stand here: where there is one account, all of it is of that one."""
        if len(self.limits) > 1:
            return work
        return {account: [count for counts in work.values() for count in counts] for account in self.limits}

    def floor(self, loads: Loads, latency: float, learned: Iterable[Learned] = ()) -> Floor:
        """The floor for this work, one request for each target or list: retries are not work, but waste.

        A strict window of N per T lets n requests start in (ceil(n/N) - 1) x T at best, since the first N go out at
        once. A concurrency of N is the same with the `latency` (seconds, the median) as T. The tightest scope decides,
        and its last request still has to be answered. `learned`: limits that hold beside these.
        """
        if not any(any(counts) for counts in loads.values()):
            return Floor()
        starts = Floor(0.0, "latency")
        for bound in self._bounds(loads, latency, learned):
            if bound.seconds > 0:
                starts |= bound
        return Floor(starts.seconds + latency, starts.bottleneck)

    def news(self, learned: Iterable[Learned]) -> tuple[Learned, ...]:
        """Those learned limits that were not configured as they are: what a 429 only confirms is none."""
        known = ((one, self._configured(one)) for one in learned)
        return tuple(
            one for one, rate in known if rate is None or (rate.count, rate.per) != (one.rate.count, one.rate.per)
        )

    def _configured(self, one: Learned) -> Rate | None:
        if one.scope == "endpoint":
            return self._endpoint_rate(name for name in self.limits if self.endpoints.get(name, name) == one.account)
        only = next(iter(self.limits.values())) if len(self.limits) == 1 else None
        limits = self.limits.get(one.account, only)
        return None if limits is None else Rate.parse(getattr(limits, f"{one.scope}_rate"))

    def _bounds(self, loads: Loads, latency: float, learned: Iterable[Learned]) -> Iterator[Floor]:
        totals = {account: sum(counts) for account, counts in loads.items()}
        for account, counts in loads.items():
            limits, largest = self.limits[account], max(counts, default=0)
            yield from _of_rate("project rate", largest, limits.project_rate)
            yield from _of_rate("user rate", totals[account], limits.user_rate)
            yield from _of("project concurrency", largest, limits.project_concurrency, latency)
        for accounts in self._by_endpoint():
            total = sum(totals.get(account, 0) for account in accounts)
            yield from _of_rate("endpoint rate", total, self._endpoint_rate(accounts))
        yield from _of("concurrency", sum(totals.values()), self.concurrency, latency)
        for one in learned:
            yield from _of_rate(f"{one.scope} rate (learned)", self._held_back(one, loads), one.rate)

    def endpoint_rate(self, account: str) -> Rate | None:
        """What holds at an account's endpoint: it is one limit, for all accounts there together."""
        return self._endpoint_rate(next(those for those in self._by_endpoint() if account in those))

    def _by_endpoint(self) -> Iterable[list[str]]:
        places: dict[object, list[str]] = {}
        for account in self.limits:
            places.setdefault(self.endpoints.get(account, (account,)), []).append(account)
        return places.values()

    def _endpoint_rate(self, accounts: Iterable[str]) -> Rate | None:
        rates = (Rate.parse(self.limits[account].endpoint_rate) for account in accounts)
        return min((rate for rate in rates if rate is not None), key=lambda rate: rate.count / rate.per, default=None)

    def _held_back(self, one: Learned, loads: Loads) -> int:
        """How many requests a learned limit has to let through, at least."""
        if len(self.limits) == 1:
            own = list(loads.values())
        elif one.scope == "endpoint":
            own = [counts for account, counts in loads.items() if self.endpoints.get(account) == one.account]
        else:
            own = [loads.get(one.account, ())]
        if one.scope != "project":
            return sum(sum(counts) for counts in own)
        # Which projects it holds for is not known, only how many: at worst the smallest.
        smallest = sorted(count for counts in own for count in counts if count)
        return smallest[min(max(one.projects, 1), len(smallest)) - 1] if smallest else 0


def _of_rate(name: str, targets: int, value: Rate | str | None) -> Iterator[Floor]:
    rate = Rate.parse(value)
    if rate is not None:
        yield from _of(name, targets, rate.count, rate.per)
        yield from _of(name, targets, rate.burst, 1.0)


def _of(name: str, targets: int, at_once: int | None, seconds: float) -> Iterator[Floor]:
    """The time in which so many start, where `at_once` may start together and the next so many seconds later."""
    if at_once is not None:
        yield Floor(max(0, -(-targets // at_once) - 1) * seconds, name)
