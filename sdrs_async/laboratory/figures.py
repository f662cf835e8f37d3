"""What the log of a gateway tells: how much of a limit was used, how far it was overrun, how changes were followed.

Everything is counted at the gateway, on its own clock and against its own limit: no figure rests on what a client says.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from sdrs_async.laboratory.gateways import Gateway
from sdrs_async.laboratory.policies import Caller, Policy

_QUIET = 5.0
_FOUND = 0.9


@dataclass(slots=True)
class Arrivals:
    """What arrived of one project, user or endpoint: times of all, of those let in, and of those refused."""

    all: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)


def by_key(gateway: Gateway, scope: str, user: str | None = None) -> dict[str, Arrivals]:
    """The log by project, user, address or API; of one user alone where it is named."""
    keys: dict[str, Arrivals] = defaultdict(Arrivals)
    names: dict[Caller, str] = {caller: caller.key(scope) for caller in gateway.known}
    for at, caller, accepted in gateway.log():
        if user is not None and caller.user != user:
            continue
        arrivals = keys[names[caller]]
        arrivals.all.append(at)
        (arrivals.accepted if accepted else arrivals.refused).append(at)
    return dict(keys)


def largest(times: Sequence[float], policy: Policy) -> float:
    """The fullest window of `per` seconds, as a share of the most that was allowed in it."""
    most, first, per = 0.0, 0, policy.per
    allowed = policy.most(0.0, 0.0)
    for last, at in enumerate(times):
        while at - times[first] >= per:
            first += 1
        if policy.changes:
            allowed = policy.most(at - per, at)
        if (last - first + 1) > most * allowed:
            most = (last - first + 1) / allowed
    return most


def share(keys: Iterable[Arrivals], policy: Policy, until: float | None, *, cap: int | None = None) -> float | None:
    """The part of the limit that was used after the first window of each key; `None` when nothing came after it.

    `until`: the end of a run that never lacks work; `None`: each key had work until the last that was let in. `cap`:
    nobody was allowed more than so many per window. Full windows are counted, from an arrival to the one that lies a
    multiple of the limit behind it: a run that ends in the middle of a burst is measured neither better nor worse.
    """
    used = allowed = 0.0
    for arrivals in keys:
        got, could = _used(arrivals.accepted, policy, until, cap or math.inf)
        used, allowed = used + got, allowed + could
    return used / allowed if allowed else None


def _used(times: Sequence[float], policy: Policy, until: float | None, cap: float) -> tuple[float, float]:
    first = bisect_left(times, times[0] + policy.per) if times else 0
    if first >= len(times):
        return 0.0, 0.0 if until is None or not times else _allowed(policy, times[0] + policy.per, until, cap)
    count = int(min(policy.limit(times[-1]), cap))
    whole = (len(times) - 1 - first) // count * count
    end = times[first + whole]
    if until is not None and (until - end > 2 * policy.per or not whole):  # it fell silent, or had too little time
        return float(len(times) - first), _allowed(policy, times[first], until, cap)
    return float(whole), _allowed(policy, times[first], end, cap)


def _allowed(policy: Policy, start: float, end: float, cap: float) -> float:
    edges = [start, *(at for at, _ in policy.changes if start < at < end), max(start, end)]
    return sum((to - at) * min(policy.limit(at), cap) / policy.per for at, to in pairwise(edges))


def followed(refused: Sequence[float], change: float, until: float, policy: Policy) -> float:
    """Seconds after a cut to the last refusal that is its consequence, before `until`.

    One that comes after a window, or five seconds, without any is no consequence but a new try for more.
    """
    last = change
    for at in refused[bisect_left(refused, change) : bisect_left(refused, until)]:
        if at - last > max(_QUIET, policy.per):
            break
        last = at
    return last - change


def found(times: Sequence[float], change: float, policy: Policy, *, cap: int | None = None) -> float:
    """Seconds after a rise until one window was nine tenths full by the new limit; `inf` if none was.

    `cap`: the client was allowed no more than so many per window.
    """
    wanted = max(1, int(_FOUND * min(policy.limit(change), cap or policy.limit(change))))
    for last in range(bisect_left(times, change), len(times)):
        first = last - wanted + 1
        if first >= 0 and times[last] - times[first] < policy.per:
            return times[last] - change
    return math.inf


def silence(arrivals: Arrivals) -> float:
    """Seconds from the first refusal to the next request that was let in; 0 when nothing was refused."""
    if not arrivals.refused:
        return 0.0
    first = arrivals.refused[0]
    place = bisect_right(arrivals.accepted, first)
    return arrivals.accepted[place] - first if place < len(arrivals.accepted) else math.inf


def most_refused(projects: Mapping[str, Arrivals], start: float, end: float) -> int:
    """The most refusals of one project from `start` to before `end`."""
    counts = (bisect_left(one.refused, end) - bisect_left(one.refused, start) for one in projects.values())
    return max(counts, default=0)


def shortest_pause(projects: Mapping[str, Arrivals], start: float) -> float:
    """The shortest time between two refusals of one project from `start` on; `inf` when there are no two."""
    pauses = math.inf
    for one in projects.values():
        late = one.refused[bisect_left(one.refused, start) :]
        pauses = min(pauses, *(b - a for a, b in pairwise(late)), pauses)
    return pauses
