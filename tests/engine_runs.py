"""Runs of the engine in virtual time against a fake service that counts as the gateway does."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

from sdrs_async.engine import Engine
from sdrs_async.fleet import Fleet
from sdrs_async.lanes import Send, SignIn, User
from sdrs_async.models import Call, Limits, Listing, Outcome, Reply, RetryPolicy, Target, Verdict
from sdrs_async.reading import READ_AHEAD, Targets, sources
from tests.virtual_time import run_virtual

__all__ = ["DELETED", "Answer", "Service", "engine_of", "fleet", "most_in_window", "settle", "user_of"]

DELETED = Reply(Verdict.DELETED, 204)
Answer = Callable[[Target, int], Reply | None]


def most_in_window(times: list[float], per: float) -> int:
    """The most arrivals in any half-open window of `per` seconds, wherever it starts."""
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= per:
            first += 1
        most = max(most, last - first + 1)
    return most


@dataclass
class Service:
    """What `answer(target, how often it came)` says, after `latency`; `None` is no answer within the time.

    `arrived`: times by project, all of them in order; `in_flight` and `most_in_flight`: requests on the wire.
    """

    answer: Answer = lambda target, nth: DELETED
    latency: float = 0.02
    delay: Callable[[], float] | None = None
    arrived: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    calls: list[tuple[float, Target]] = field(default_factory=list)
    came: dict[Target, int] = field(default_factory=lambda: defaultdict(int))
    in_flight: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    most_in_flight: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    async def send(self, call: Call, timeout: float, /) -> Reply:  # noqa: ASYNC109 - the engine's own protocol
        """Answer one request as laid out."""
        target = self.target_of(call)
        loop = asyncio.get_running_loop()
        if self.delay is not None:
            await asyncio.sleep(self.delay())
        started = loop.time()
        self.arrived[target.project_id].append(started)
        self.calls.append((started, target))
        self.came[target] += 1
        for key in (target.project_id, "all"):
            self.in_flight[key] += 1
            self.most_in_flight[key] = max(self.most_in_flight[key], self.in_flight[key])
        try:
            reply = self.answer(target, self.came[target])
            await asyncio.sleep(self.latency if reply is not None else timeout)
        finally:
            for key in (target.project_id, "all"):
                self.in_flight[key] -= 1
        if reply is None:
            return Reply(Verdict.UNREACHABLE, message="no answer", timed_out=True, lost=True, elapsed=timeout)
        return reply

    def target_of(self, call: Call) -> Target:
        """What a request stands for here: a page of a list is a target with its path for a group."""
        if isinstance(call, Listing):
            return Target(call.project_id, call.path)
        return Target(call.project_id, call.server_group_id or "project level")

    @property
    def times(self) -> list[float]:
        """When requests arrived, of all projects together."""
        return [at for at, _ in self.calls]


@dataclass
class Settled:
    """What came of a run: outcomes in order of settling, and the virtual seconds it took."""

    outcomes: list[Outcome]
    seconds: float
    engine: Engine

    def verdicts(self) -> dict[Verdict, int]:
        """How many outcomes have which verdict."""
        counts: dict[Verdict, int] = defaultdict(int)
        for outcome in self.outcomes:
            counts[outcome.verdict] += 1
        return dict(counts)

    def of(self, project_id: str) -> list[Outcome]:
        """The outcomes of one project."""
        return [outcome for outcome in self.outcomes if outcome.target.project_id == project_id]


def user_of(
    limits: Limits, send: Send | None = None, *, sign_in: SignIn | None = None, one_key: bool = False
) -> tuple[Fleet, User]:
    """A fleet with one user."""
    made = Fleet(limits.concurrency)
    return made, made.user("user", "endpoint", send or Service().send, limits, sign_in=sign_in, one_key=one_key)


def engine_of(
    send: Send,
    emit: Callable[[Outcome], None],
    limits: Limits,
    retry: RetryPolicy | None = None,
    *,
    rng: Random | None = None,
    sign_in: SignIn | None = None,
    one_key: bool = False,
) -> tuple[Engine, User]:
    """An engine with one user."""
    made, user = user_of(limits, send, sign_in=sign_in, one_key=one_key)
    return Engine(made, emit, retry or RetryPolicy(), rng=rng or Random(1)), user


def fleet(projects: int, groups: int) -> list[tuple[str, str]]:
    """Targets in the order of a list sorted by group: the projects take turns."""
    return [(f"p{project}", f"g{group}") for group in range(groups) for project in range(projects)]


def settle(
    service: Service,
    targets: Targets,
    limits: Limits,
    retry: RetryPolicy | None = None,
    *,
    read_ahead: int = READ_AHEAD,
    during: Callable[[Engine], Awaitable[None]] | None = None,
    limit: float = 86_400.0,
) -> Settled:
    """Run the engine to its end in virtual time; `during` runs beside it and is cancelled when it ends."""
    outcomes: list[Outcome] = []

    async def main() -> Settled:
        engine, user = engine_of(service.send, outcomes.append, limits, retry)
        beside = asyncio.ensure_future(during(engine)) if during else None
        started = asyncio.get_running_loop().time()
        await engine.run(sources(targets, read_ahead, user))
        seconds = asyncio.get_running_loop().time() - started
        if beside is not None:
            beside.cancel()
            await asyncio.wait([beside])
        return Settled(outcomes, seconds, engine)

    return run_virtual(main(), limit=limit)
