"""The figures of one run, all of them counted at the gateway."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sdrs_async.laboratory import figures
from sdrs_async.laboratory.gateways import Gateway
from sdrs_async.laboratory.policies import Policy
from sdrs_async.limits import Learned

_FIRST = 60.0


@dataclass(frozen=True, slots=True)
class Trial:
    """The figures of one run; times are virtual seconds, everything else is counted at the gateway.

    `share`: of the first policy's limit, after the first window of each whom it limits; `window`: the fullest window by
    any policy, as a share of what it allowed; `refused_most`, `refused_first`, `refused_changes`: refusals of the
    project that had most, in all, in the first 60 s, and in the 60 s after each change; `refused_later`: outside of
    these, and `pause` the shortest time between two of one project there; `followed` and `found`: seconds until each
    cut and each rise of the limit was met, by the slowest; `silence`: from the first 429 to the next request that was
    let in, of the slowest; `configured`: like `window`, by the rates of the account itself; `finished`: when the last
    target of each project settled, by account and project, `settled`: how many did; `users`: requests and refusals of
    each account; `verdicts`: outcomes; `latency`: the median of their last answers, NaN without one.
    """

    seconds: float
    requests: int
    refused: int
    share: float | None = None
    window: float = 0.0
    refused_most: int = 0
    refused_first: int = 0
    refused_changes: tuple[int, ...] = ()
    refused_later: int = 0
    pause: float = math.inf
    followed: tuple[float, ...] = ()
    found: tuple[float, ...] = ()
    silence: float = 0.0
    configured: float = 0.0
    finished: Mapping[tuple[str, str], float] = field(default_factory=dict)
    settled: Mapping[tuple[str, str], int] = field(default_factory=dict)
    users: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    verdicts: Mapping[str, int] = field(default_factory=dict)
    learned: tuple[Learned, ...] = ()
    latency: float = math.nan

    @property
    def refused_share(self) -> float:
        """The part of all requests that was answered 429."""
        return self.refused / self.requests if self.requests else 0.0


def trial_of(
    gateway: Gateway,
    seconds: float,
    *,
    until: float | None,
    cap: int | None = None,
    finished: Mapping[tuple[str, str], float] | None = None,
) -> Trial:
    """The figures of a run that took so many seconds. `until` and `cap`: see `figures.share`."""
    refused = len(gateway.accepted) - sum(gateway.accepted)
    users = {name: (len(one.all), len(one.refused)) for name, one in figures.by_key(gateway, "user").items()}
    known = Trial(seconds, len(gateway.times), refused, finished=finished or {}, users=users)
    return _measured(known, gateway, until, cap) if gateway.policies else known


def _measured(known: Trial, gateway: Gateway, until: float | None, cap: int | None) -> Trial:
    first = gateway.policies[0]
    limited = figures.by_key(gateway, first.scope)
    projects = figures.by_key(gateway, "project")
    changes = [at for at, _ in first.changes if at < known.seconds]
    cuts = [at for at in changes if first.limit(at) < first.limit(at - 1e-3)]
    quiet = max([0.0, *changes]) + _FIRST
    return replace(
        known,
        share=figures.share(limited.values(), first, until, cap=cap),
        window=fullest(gateway, gateway.policies),
        refused_most=figures.most_refused(projects, 0.0, known.seconds),
        refused_first=figures.most_refused(projects, 0.0, _FIRST),
        refused_changes=tuple(figures.most_refused(projects, at, at + _FIRST) for at in changes),
        refused_later=figures.most_refused(projects, quiet, known.seconds),
        pause=figures.shortest_pause(projects, quiet),
        followed=tuple(
            max(figures.followed(one.refused, at, _next(changes, at), first) for one in limited.values()) for at in cuts
        ),
        found=tuple(
            max(figures.found(one.accepted, at, first, cap=cap) for one in limited.values())
            for at in changes
            if at not in cuts
        ),
        silence=max((figures.silence(one) for one in limited.values()), default=0.0),
    )


def _next(changes: Sequence[float], at: float) -> float:
    return min((change for change in changes if change > at), default=math.inf)


def fullest(gateway: Gateway, policies: Iterable[Policy], user: str | None = None) -> float:
    """The fullest window of any whom these limit, as a share of what they allow; by one user's requests if named."""
    most = 0.0
    for policy in policies:
        for one in figures.by_key(gateway, policy.scope, user).values():
            most = max(most, figures.largest(one.all, policy))
    return most
