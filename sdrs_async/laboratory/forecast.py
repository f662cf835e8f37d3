"""What a run would do against gateways with given limits, found by running it in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sdrs_async.laboratory.policies import Policy
from sdrs_async.laboratory.results import Trial
from sdrs_async.laboratory.trial import Workload, run_trial
from sdrs_async.laboratory.world import Network
from sdrs_async.limits import Learned, Rate, RetryPolicy

MOST = 50_000
"""Requests that are really simulated, about five seconds of work; what is left of a larger run is extrapolated."""


@dataclass(frozen=True, slots=True)
class AccountForecast:
    """One account: `seconds` until its last group, `groups`, `requests` and how many of them are answered 429."""

    name: str
    seconds: float
    groups: int
    requests: int
    refused: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run would take and meet. `seconds` from its first request to its last answer.

    `refused`: requests answered 429; `learned`: limits that the run would find out; `failed`: groups that would not be
    deleted, since their time runs out; `extrapolated`: the run is too large to be simulated to its end, so that
    everything but `learned` is calculated from its beginning.
    """

    seconds: float
    requests: int
    refused: int
    failed: int
    learned: tuple[Learned, ...]
    accounts: tuple[AccountForecast, ...]
    extrapolated: bool = False


def forecast(
    accounts: Sequence[Workload],
    latency: float,
    gateways: Sequence[Policy],
    *,
    concurrency: int | None = 64,
    retry: RetryPolicy | None = None,
    seed: int = 1,
    most: int = MOST,
) -> Forecast:
    """Run these accounts against gateways with these limits; no request leaves the machine.

    `latency`: seconds of a round trip, of which the service works half; `concurrency`: requests on the wire, of all
    accounts together; `most`: simulate so many requests. Every endpoint keeps all limits of `gateways`. It runs an
    event loop of its own: call it from synchronous code, or with `asyncio.to_thread` where a loop runs already.
    """
    network = Network(latency / 4, latency / 2, latency / 4)
    trial = run_trial(
        accounts, gateways, network=network, seed=seed, most=most, concurrency=concurrency, retry=retry
    )  # fmt: skip
    each = tuple(_account(one, trial) for one in accounts)
    settled, groups = sum(trial.settled.values()), sum(one.groups for one in each)
    failed = settled - trial.verdicts.get("deleted", 0)
    return Forecast(
        max((one.seconds for one in each), default=0.0),
        sum(one.requests for one in each),
        sum(one.refused for one in each),
        round(failed * groups / settled) if settled else 0,
        trial.learned,
        each,
        extrapolated=groups > settled,
    )


def _account(account: Workload, trial: Trial) -> AccountForecast:
    sizes = {(account.name, project): groups or 0 for project, groups in account.projects().items()}
    groups = sum(sizes.values())
    settled = sum(trial.settled.get(project, 0) for project in sizes)
    requests, refused = trial.users.get(account.name, (0, 0))
    seconds = max((trial.finished.get(project, 0.0) for project in sizes), default=0.0)
    if 0 < settled < groups:
        left = {project: size - trial.settled.get(project, 0) for project, size in sizes.items()}
        more = groups / settled
        seconds = max(trial.seconds * more, trial.seconds + _own_pace(account, max(left.values())))
        requests, refused = round(requests * more), round(refused * more)
    return AccountForecast(account.name, seconds, groups, requests, refused)


def _own_pace(account: Workload, groups: int) -> float:
    """Seconds in which one project alone does so many groups at the rate that is configured for it."""
    rate = account.limits.project_rate
    return groups * rate.per / rate.count if isinstance(rate, Rate) else 0.0
