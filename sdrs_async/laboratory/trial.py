"""The real engine against a modelled gateway, in virtual time: what it sends, what it is refused, how fast it is.

`run_trial` runs an event loop of its own: call it from synchronous code, or from a thread where a loop runs already.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from statistics import median

import anyio

from sdrs_async.cloud.answers import parse_throttle
from sdrs_async.cloud.verdicts import classify
from sdrs_async.engine.engine import Engine
from sdrs_async.engine.intake import READ_AHEAD, Source, sources
from sdrs_async.engine.queue import Fleet
from sdrs_async.engine.users import Send
from sdrs_async.laboratory.gateways import Gateway
from sdrs_async.laboratory.policies import Caller, Policy
from sdrs_async.laboratory.results import Trial, fullest, trial_of
from sdrs_async.laboratory.virtual_time import run_virtual
from sdrs_async.laboratory.world import Answer, Failure, Network, World
from sdrs_async.limits import Learned, Limits, Rate, RetryPolicy
from sdrs_async.models import Call, Outcome, Reply, Verdict

ENDLESS = None
"""Groups of a project that never ends."""

_LOOK = 1.0  # virtual seconds between two looks at how much was sent
_THROTTLED = "APIG.0308"


@dataclass(frozen=True, slots=True)
class Workload:
    """One account as a trial knows it: what it may do, and what there is to do.

    `groups`: how many groups each project has, as a mapping of its id or as (projects, groups of each); `ENDLESS` for
    a project that always has more. Accounts of one `endpoint` share the limits of that. `weight`: turns of its
    projects where they share a limit.
    """

    limits: Limits
    groups: Mapping[str, int | None] | tuple[int, int | None]
    name: str = "user"
    endpoint: str = "endpoint"
    weight: int = 1

    def projects(self) -> Mapping[str, int | None]:
        """Groups by project."""
        if isinstance(self.groups, Mapping):
            return self.groups
        count, each = self.groups
        return {f"{self.name}-{number}": each for number in range(count)}

    def targets(self) -> dict[str, Iterable[str]]:
        """The ids of the groups, made as they are read."""
        return {project: _ids(count) for project, count in self.projects().items()}


def _ids(count: int | None) -> Iterator[str]:
    return (f"g{number}" for number in (itertools.count() if count is ENDLESS else range(count)))


@dataclass(slots=True)
class _Books:
    """What the engine says of its outcomes."""

    finished: dict[tuple[str, str], float] = field(default_factory=dict)
    settled: dict[tuple[str, str], int] = field(default_factory=dict)
    verdicts: dict[str, int] = field(default_factory=dict)
    learned: tuple[Learned, ...] = ()
    latencies: array[float] = field(default_factory=lambda: array("d"))

    def settle(self, outcome: Outcome) -> None:
        """Count one outcome."""
        self.verdicts[outcome.verdict.value] = self.verdicts.get(outcome.verdict.value, 0) + 1
        if outcome.latency is not None:
            self.latencies.append(outcome.latency)
        if outcome.verdict is not Verdict.UNSETTLED:
            project = outcome.account, outcome.target.project_id
            self.finished[project] = asyncio.get_running_loop().time()
            self.settled[project] = self.settled.get(project, 0) + 1


def run_trial(
    workloads: Sequence[Workload],
    policies: Sequence[Policy],
    *,
    network: Network | None = None,
    seed: int = 1,
    seconds: float | None = None,
    most: int | None = None,
    concurrency: int | None = 64,
    retry: RetryPolicy | None = None,
    read_ahead: int = READ_AHEAD,
) -> Trial:
    """Run these accounts against a gateway with these policies, and stop after so many virtual seconds or requests.

    `concurrency`: requests on the wire, of all accounts together. The same seed gives the same trial.
    """
    rng = Random(seed)  # noqa: S311 - it only has to be repeatable
    gateway, books = gateway_of(policies, rng), _Books()

    async def main() -> float:
        world = World(gateway, network or Network(), rng)
        fleet = Fleet(concurrency)
        engine = Engine(fleet, books.settle, retry or RetryPolicy(), rng=rng)
        readers = [reader for one in workloads for reader in _readers(fleet, one, world, read_ahead)]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_stop, engine, gateway, seconds, most)
            await engine.run(readers)
            tasks.cancel_scope.cancel()
        books.learned = tuple(fleet.survey(asyncio.get_running_loop().time()).learned())
        return asyncio.get_running_loop().time()

    ended = run_virtual(main(), limit=math.inf)
    endless = seconds if any(None in one.projects().values() for one in workloads) else None
    trial = trial_of(gateway, ended, until=endless, cap=_cap(workloads, policies), finished=books.finished)
    return replace(
        trial, verdicts=books.verdicts, settled=books.settled, learned=books.learned,
        latency=median(books.latencies) if books.latencies else math.nan,
        configured=max((fullest(gateway, _promises(one), one.name) for one in workloads), default=0.0),
    )  # fmt: skip


def gateway_of(policies: Sequence[Policy], rng: Random) -> Gateway:
    """A gateway whose clock tells nothing about the beginning of a run."""
    return Gateway(policies, ahead=rng.uniform(0.0, max((policy.per for policy in policies), default=0.0)))


async def _stop(engine: Engine, gateway: Gateway, seconds: float | None, most: int | None) -> None:
    """End the run when its time is over or enough was sent, whatever comes first; it may have neither of these."""
    if seconds is None and most is None:
        return
    clock, until = asyncio.get_running_loop().time, math.inf if seconds is None else seconds
    # A look now and then costs less than a word at each request.
    while clock() < until and (most is None or len(gateway.times) < most):  # noqa: ASYNC110
        await asyncio.sleep(min(_LOOK, until - clock()))
    engine.stop(0.0)


def _promises(workload: Workload) -> list[Policy]:
    """The rates that an account has named, as limits to measure it by."""
    limits = workload.limits
    rates = (("project", limits.project_rate), ("user", limits.user_rate), ("api", limits.endpoint_rate))
    return [Policy(rate.count, rate.per, scope, told=False) for scope, rate in rates if isinstance(rate, Rate)]


def _cap(workloads: Sequence[Workload], policies: Sequence[Policy]) -> int | None:
    """How many requests per window of the first policy its own rates allow each whom that limits."""
    if not policies or len(workloads) != 1:
        return None
    per = policies[0].per
    own = (one for one in _promises(workloads[0]) if one.scope == policies[0].scope)
    return next((max(1, int(one.count * per / one.per)) for one in own), None)


def _readers(fleet: Fleet, workload: Workload, world: World, read_ahead: int) -> list[Source]:
    user = fleet.user(
        workload.name, workload.endpoint, _send(workload, world), workload.limits, weight=workload.weight
    )  # fmt: skip
    return sources(workload.targets(), read_ahead, user)


def _send(workload: Workload, world: World) -> Send:
    callers: dict[str, Caller] = {}
    loop = asyncio.get_running_loop()

    async def send(call: Call, timeout: float, /) -> Reply:  # noqa: ASYNC109 - the engine's own protocol
        caller = callers.get(call.project_id)
        if caller is None:
            caller = callers[call.project_id] = Caller(call.project_id, workload.name, workload.endpoint)
        started = loop.time()
        answer = await world.ask(caller, timeout)
        now = loop.time()
        return reply_of(answer, now, now - started)

    return send


def reply_of(answer: Answer, now: float, elapsed: float) -> Reply:
    """The reply that the client would have read from what the gateway answered."""
    if answer is None:
        return Reply(Verdict.DELETED, 204, elapsed=elapsed)
    if isinstance(answer, Failure):
        late = answer is Failure.TIMED_OUT
        return Reply(Verdict.UNREACHABLE, message=answer.value, timed_out=late, lost=True, elapsed=elapsed)
    message = answer.message(now)
    scope, told = parse_throttle(message)
    return Reply(
        classify(429, _THROTTLED), 429, _THROTTLED, message, scope=scope, told=told, elapsed=elapsed
    )  # fmt: skip
