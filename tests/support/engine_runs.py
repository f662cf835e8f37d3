"""Runs of the engine in virtual time against a fake service that counts as the gateway does."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from sdrs_async.auth import SignInFailed
from sdrs_async.engine.access import SignIn
from sdrs_async.engine.engine import Engine
from sdrs_async.engine.intake import READ_AHEAD, Targets, sources
from sdrs_async.engine.queue import Fleet
from sdrs_async.engine.users import Send, User
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Call, Listing, Outcome, Reply, Target, Verdict
from tests.support.virtual_time import run_virtual

__all__ = [
    "DELETED",
    "FREE",
    "Answer",
    "Iam",
    "Party",
    "Service",
    "engine_of",
    "fleet",
    "held",
    "most_in_window",
    "page",
    "refused",
    "settle",
    "settle_all",
    "user_of",
]

DELETED = Reply(Verdict.DELETED, 204)
FREE = Limits(None, None, None, None, None)
Answer = Callable[[Target, int], Reply | None]


def page(*ids: str, count: object = None, key: str = "server_groups") -> Reply:
    """A page of a list with these ids, and the `count` that fits it unless one is given."""
    data = {"count": len(ids) if count is None else count, key: [{"id": one} for one in ids]}
    return Reply(Verdict.READ, 200, data=data)


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

    `lists` is the same for a page of a list, and for the read that proves a key; without it each is empty. `arrived`:
    times by project, all of them in order; `in_flight` and `most_in_flight`: requests on the wire.
    """

    answer: Answer = lambda target, nth: DELETED
    lists: Callable[[Listing, int], Reply | None] = lambda listing, nth: page()
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
            nth = self.came[target]
            reply = self.lists(call, nth) if isinstance(call, Listing) else self.answer(target, nth)
            await asyncio.sleep(self.latency if reply is not None else timeout)
        finally:
            for key in (target.project_id, "all"):
                self.in_flight[key] -= 1
        if reply is None:
            return Reply(Verdict.UNREACHABLE, message="no answer", timed_out=True, lost=True, elapsed=timeout)
        return replace(reply, elapsed=loop.time() - started)

    def target_of(self, call: Call) -> Target:
        """What a request stands for here: a page of a list is a target with its path for a group."""
        if isinstance(call, Listing):
            return Target(call.project_id, call.path)
        return Target(call.project_id, call.server_group_id or "project level")

    def reads(self) -> list[float]:
        """When reads arrived."""
        return [at for at, target in self.calls if target.server_group_id.startswith("/")]

    def deletions(self) -> list[float]:
        """When deletions arrived."""
        return [at for at, target in self.calls if not target.server_group_id.startswith("/")]

    @property
    def times(self) -> list[float]:
        """When requests arrived, of all projects together."""
        return [at for at, _ in self.calls]


@dataclass
class Iam:
    """Signs in as `answer(project, how often it came)` says, after `latency`: seconds it is good, or what went wrong.

    `None` is no answer within the time. `calls`: when who came; `most`: how many at a time.
    """

    answer: Callable[[str, int], float | Reply | None] = lambda project, nth: math.inf
    latency: float = 0.1
    calls: list[tuple[float, str]] = field(default_factory=list)
    came: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    signed: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    at_once: int = 0
    most: int = 0

    async def sign_in(self, project_id: str, seconds: float) -> float | Reply:
        """What `SignIn` promises."""
        loop = asyncio.get_running_loop()
        self.calls.append((loop.time(), project_id))
        self.came[project_id] += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            result = self.answer(project_id, self.came[project_id])
            await asyncio.sleep(self.latency if result is not None else seconds)
        finally:
            self.at_once -= 1
        if result is None:
            return replace(refused(Verdict.UNREACHABLE, "no answer from IAM", timed_out=True), elapsed=seconds)
        if isinstance(result, Reply):
            return replace(result, elapsed=self.latency)
        self.signed[project_id].append(loop.time())
        return result


def refused(verdict: Verdict = Verdict.UNAUTHORIZED, message: str = "refused by IAM", **how: Any) -> Reply:
    """What a sign-in that failed counts as."""
    return SignInFailed(message, verdict=verdict, **how).reply


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


@dataclass
class Party:
    """One user of a run of several: its service, its targets, how it signs in."""

    service: Service
    targets: Targets
    limits: Limits = FREE
    iam: Iam | None = None
    one_key: bool = False
    endpoint: str | None = None
    identity: str | None = None
    weight: int = 1

    def join(self, made: Fleet, name: str) -> User:
        """Make it a user of this fleet; without `endpoint` it has one of its own."""
        sign_in = self.iam.sign_in if self.iam is not None else None
        endpoint = self.endpoint or name
        return made.user(
            name, endpoint, self.service.send, self.limits,
            sign_in=sign_in, one_key=self.one_key, identity=self.identity, weight=self.weight,
        )  # fmt: skip


def held(engine: Engine) -> tuple[int, float]:
    """How many scopes wait because of a 429, and the seconds until the last of them goes on."""
    now = asyncio.get_running_loop().time()
    waits = engine.fleet.survey(now).waits(now).values()
    return sum(count for count, _ in waits), max((seconds for _, seconds in waits), default=0.0)


def settle_all(
    parties: dict[str, Party],
    concurrency: int | None = 64,
    retry: RetryPolicy | None = None,
    *,
    during: Callable[[Engine], Awaitable[None]] | None = None,
    limit: float = 86_400.0,
) -> Settled:
    """Like `settle`, for several users at the same time."""
    outcomes: list[Outcome] = []

    async def main() -> Settled:
        made = Fleet(concurrency)
        engine = Engine(made, outcomes.append, retry or RetryPolicy(), rng=Random(1))
        users = [(party, party.join(made, name)) for name, party in parties.items()]
        beside = asyncio.ensure_future(during(engine)) if during else None
        started = asyncio.get_running_loop().time()
        await engine.run([source for party, user in users for source in sources(party.targets, READ_AHEAD, user)])
        seconds = asyncio.get_running_loop().time() - started
        if beside is not None:
            beside.cancel()
            await asyncio.wait([beside])
        assert engine.settlement.open == 0
        return Settled(outcomes, seconds, engine)

    return run_virtual(main(), limit=limit)
