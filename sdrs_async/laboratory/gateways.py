"""The gateway's limiter as pure arithmetic: who is let in at which time, and a log of all that came.

It judges the client's pacing, so it shares no code with it. Arrivals are given in order of time.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol

from sdrs_async.laboratory.policies import Caller, Policy


class _Meter(Protocol):
    """What one policy has counted for one project, user or endpoint."""

    policy: Policy

    def has_room(self, now: float) -> bool:
        """Whether one more may come in now."""
        ...

    def count(self, now: float) -> None:
        """One came."""
        ...


class _Sliding:
    """Full when `limit` counted arrivals lie less than `per` seconds back."""

    __slots__ = ("_arrivals", "policy")

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._arrivals: deque[float] = deque()

    def has_room(self, now: float) -> bool:
        arrivals, start = self._arrivals, now - self.policy.per
        while arrivals and arrivals[0] <= start:
            arrivals.popleft()
        return len(arrivals) < self.policy.limit(now)

    def count(self, now: float) -> None:
        self._arrivals.append(now)


class _Fixed:
    """Full when `limit` arrivals were counted since the last multiple of `per` on the gateway's own clock."""

    __slots__ = ("_ahead", "_counted", "_number", "policy")

    def __init__(self, policy: Policy, ahead: float) -> None:
        self.policy = policy
        self._ahead = ahead
        self._number = -1
        self._counted = 0

    def has_room(self, now: float) -> bool:
        number = int((now + self._ahead) // self.policy.per)
        if number != self._number:
            self._number, self._counted = number, 0
        return self._counted < self.policy.limit(now)

    def count(self, now: float) -> None:
        self._counted += 1


class _Bucket:
    """Tokens that come back at `limit` per `per`, up to the capacity; each request takes one."""

    __slots__ = ("_at", "policy", "tokens")

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.tokens = float(policy.size)
        self._at = 0.0

    def has_room(self, now: float) -> bool:
        back = (now - self._at) * self.policy.limit(now) / self.policy.per
        self.tokens = min(self.policy.size, self.tokens + back)
        self._at = now
        return self.tokens >= 1.0

    def count(self, now: float) -> None:
        self.tokens -= 1.0


class _Leaky:
    """A meter (GCRA): each request fills in its share of `per`, at most `capacity` shares stand above the drain."""

    __slots__ = ("_empty_at", "policy")

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._empty_at = 0.0

    def has_room(self, now: float) -> bool:
        share = self.policy.per / self.policy.limit(now)
        return self._empty_at - now <= (self.policy.size - 1) * share

    def count(self, now: float) -> None:
        self._empty_at = max(self._empty_at, now) + self.policy.per / self.policy.limit(now)


def _meter(policy: Policy, ahead: float) -> _Meter:
    if policy.window == "fixed":
        return _Fixed(policy, ahead)
    if policy.window == "sliding":
        return _Sliding(policy)
    return _Bucket(policy) if policy.window == "bucket" else _Leaky(policy)


class Gateway:
    """Lets a request in when each of its policies has room for it; then it is counted in all of them.

    `ahead`: seconds by which its clock, on which fixed windows begin, is ahead of that of the arrivals.
    `times`, `callers` (numbers in the order of `known`) and `accepted` (1 or 0) are the log of what arrived.
    """

    def __init__(self, policies: Iterable[Policy], ahead: float = 0.0) -> None:
        self.policies = tuple(policies)
        self._ahead = ahead
        self.times = array("d")
        self.callers = array("L")
        self.accepted = bytearray()
        self.known: list[Caller] = []
        self._places: dict[Caller, tuple[int, list[_Meter]]] = {}
        self._meters: dict[tuple[int, str], _Meter] = {}

    def ask(self, caller: Caller, now: float) -> Policy | None:
        """The policy that refuses a request which arrives now, the first of them; `None` lets it in."""
        place = self._places.get(caller)
        number, meters = place if place is not None else self._meet(caller)
        refusing = None
        for meter in meters:
            if not meter.has_room(now) and refusing is None:
                refusing = meter.policy
        for meter in meters:
            if refusing is None or meter.policy.count_refused:
                meter.count(now)
        self.times.append(now)
        self.callers.append(number)
        self.accepted.append(refusing is None)
        return refusing

    def _meet(self, caller: Caller) -> tuple[int, list[_Meter]]:
        meters = [self._meter_of(place, policy, caller) for place, policy in enumerate(self.policies)]
        self._places[caller] = len(self.known), meters
        self.known.append(caller)
        return self._places[caller]

    def _meter_of(self, place: int, policy: Policy, caller: Caller) -> _Meter:
        key = place, caller.key(policy.scope)
        if key not in self._meters:
            self._meters[key] = _meter(policy, self._ahead)
        return self._meters[key]

    def log(self) -> Iterator[tuple[float, Caller, bool]]:
        """All that arrived: when, of whom, and whether it was let in."""
        for at, caller, accepted in zip(self.times, self.callers, self.accepted, strict=True):
            yield at, self.known[caller], bool(accepted)
