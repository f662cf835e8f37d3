"""The engine under random trouble: whatever happens, the books balance and no limit is broken."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import anyio
import pytest

from sdrs_async.cloud.listing import ListingError, groups
from sdrs_async.engine.engine import Engine
from sdrs_async.engine.intake import Budget, Intake, Reader, Source, sources
from sdrs_async.engine.queue import Fleet
from sdrs_async.engine.users import User
from sdrs_async.limits import Limits, Rate, RetryPolicy
from sdrs_async.models import Listing, Outcome, ProjectLevel, Reply, Target, Verdict
from tests.support.engine_runs import DELETED, Iam, Party, Service, engine_of, most_in_window, page, refused
from tests.support.soak import SEEDS
from tests.support.virtual_time import run_virtual

pytestmark = pytest.mark.soak

RATES = (None, None, "1/s", "3/s", "10/s", "50/s", "20/5min", "500/s", Rate(7, 0.5))
ENDINGS = ("none", "none", "stop", "stop at once", "cancel", "pause")


def _limits(rng: Random) -> Limits:
    return Limits(
        rng.choice(RATES),
        rng.choice([None, 1, 2, 8]),
        rng.choice(RATES),
        rng.choice(RATES),
        rng.choice([None, 1, 4, 64]),
    )


def _reply(rng: Random) -> Reply | None:
    """Any answer that a service can give, or none."""
    throttled = Reply(
        Verdict.THROTTLED, 429, scope=rng.choice(["project", "user", "endpoint"]),
        retry_after=rng.choice([None, 0.5, 7, 100, 5000]), told=rng.choice([None, Rate(20), Rate(200, 60)]),
    )  # fmt: skip
    return rng.choice(
        [
            None, throttled, DELETED, Reply(Verdict.TRANSIENT, 503, retry_after=rng.choice([None, 2.0])),
            Reply(Verdict.UNREACHABLE, message="reset", lost=True), Reply(Verdict.CONFLICT, 409),
            Reply(Verdict.FORBIDDEN, 403), Reply(Verdict.GONE, 404),
            Reply(Verdict.UNAUTHORIZED, 401, retryable=rng.random() < 0.9),
        ]
    )  # fmt: skip


async def _end(engine: Engine, run: asyncio.Task[None], ending: str, rng: Random) -> None:
    await asyncio.sleep(rng.choice([0, 0.02, rng.uniform(0, 2), rng.uniform(0, 60)]))
    if ending.startswith("stop"):
        engine.stop(0 if ending == "stop at once" else 3)
    if ending == "cancel":
        run.cancel()
    while ending == "pause":
        engine.pause()
        await asyncio.sleep(rng.choice([0, 0.02, 3]))
        engine.resume()
        await asyncio.sleep(rng.choice([0.02, 3, 30]))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_target_settles_once_and_no_limit_is_broken(seed: int) -> None:
    """Random limits, answers and endings: one outcome per target read, windows and caps kept, nothing left behind."""
    rng = Random(seed)
    limits, ending = _limits(rng), rng.choice(ENDINGS)
    policy = RetryPolicy(
        attempts=rng.choice([1, 3, 20]), timeout=rng.choice([0.5, 5, 30]), base=rng.choice([0.01, 0.5, 5]),
        cap=rng.choice([1, 30]), total=rng.choice([0.3, 5, 60, 600]),
    )  # fmt: skip
    trouble = rng.choice([0, 0.05, 0.3, 0.9])
    service = Service(
        answer=lambda t, n: _reply(rng) if rng.random() < trouble else DELETED, latency=rng.choice([0, 0.02, 1.0])
    )
    groups = range(rng.choice([0, 1, 5, 30]))
    targets = {f"p{project}": [f"g{group}" for group in groups] for project in range(rng.choice([1, 2, 5, 30]))}
    outcomes: list[Outcome] = []
    accepted: list[Target | ProjectLevel] = []

    async def main() -> None:
        engine, user = engine_of(service.send, outcomes.append, limits, policy, rng=Random(seed))
        take = engine.intake.accept

        def accept(target: Target | ProjectLevel, source: Source) -> None:
            accepted.append(target)
            take(target, source)

        engine.intake.accept = accept
        run = asyncio.create_task(engine.run(sources(targets, rng.choice([1, 10, 10_000]), user)))
        beside = asyncio.create_task(_end(engine, run, ending, rng))
        await asyncio.wait([run])
        beside.cancel()
        await asyncio.wait([beside])
        assert run.cancelled() or run.exception() is None
        assert engine.settlement.open == 0
        if ending == "none":
            assert len(accepted) == len(targets) * len(groups)
            assert not any(lane.has_work() for lane in engine.fleet.lanes())

    run_virtual(main(), limit=3e6)
    assert Counter(outcome.target for outcome in outcomes) == Counter(set(accepted))
    assert sum(outcome.attempts for outcome in outcomes) == len(service.calls)
    for rate, groups_of_times in (
        (Rate.parse(limits.project_rate), list(service.arrived.values())),
        (Rate.parse(limits.user_rate), [service.times]),
        (Rate.parse(limits.endpoint_rate), [service.times]),
    ):
        if rate is not None:
            assert all(most_in_window(times, rate.per - 1e-9) <= rate.count for times in groups_of_times)
    assert service.most_in_flight.pop("all", 0) <= (limits.concurrency or len(service.calls))
    assert max(service.most_in_flight.values(), default=0) <= (limits.project_concurrency or len(service.calls))


# ---- several users: sign-ins, keys to be proved, lists


def _iam(rng: Random) -> Iam:
    trouble = rng.choice([0, 0.1, 0.5])

    def answer(project: str, nth: int) -> float | Reply | None:
        if rng.random() >= trouble:
            return rng.choice([0.0, 0.7, 20.0, math.inf])
        return rng.choice(
            [
                None, refused(), refused(whole_account=True), refused(Verdict.TRANSIENT),
                refused(Verdict.UNREACHABLE), refused(Verdict.THROTTLED, retry_after=rng.choice([None, 2.0, 90.0])),
            ]
        )  # fmt: skip

    return Iam(answer, latency=rng.choice([0, 0.3, 4.0]))


@dataclass
class _Lister:
    """Reads the lists of some projects as discovery does, and hands on the groups it finds."""

    user: User
    projects: list[str]
    engine: Engine
    errors: int = 0

    async def read(self, intake: Intake) -> None:
        async with anyio.create_task_group() as tasks:
            for project in self.projects:
                tasks.start_soon(self._read, project, intake)

    async def _read(self, project: str, intake: Intake) -> None:
        source = Source(self._found(project), Budget(8), self.user, project)
        try:
            await source.read(intake)
        except ListingError:
            self.errors += 1

    async def _found(self, project: str) -> AsyncIterator[str]:
        async with aclosing(groups(partial(self.engine.ask, self.user), project)) as found:
            async for group in found:
                yield group.id


def _party(rng: Random, name: str) -> Party:
    trouble = rng.choice([0, 0.05, 0.3])

    def lists(listing: Listing, nth: int) -> Reply | None:
        if rng.random() < trouble:
            return _reply(rng)
        offset = int(listing.query.split("offset=")[1])
        return page(*[f"g{number}" for number in range(offset, min(offset + 5, 12))], count=12)

    service = Service(
        lambda target, nth: _reply(rng) if rng.random() < trouble else DELETED, lists, rng.choice([0, 0.02, 1.0])
    )
    count = range(rng.choice([1, 3, 10]))
    targets = {f"{name}{project}": [f"g{group}" for group in range(rng.choice([1, 20]))] for project in count}
    return Party(
        service, targets, _limits(rng), _iam(rng) if rng.random() < 0.5 else None, one_key=rng.random() < 0.4,
        endpoint=name,
    )  # fmt: skip


def stress_users(seed: int) -> None:
    """One run of several users with random ways in, troubles and endings, and a second one after it."""
    rng = Random(seed)
    parties = {name: _party(rng, name) for name in "abc"[: rng.choice([1, 2, 3])]}
    policy = RetryPolicy(
        attempts=rng.choice([1, 3, 20]), timeout=rng.choice([0.5, 5, 30]), base=rng.choice([0.01, 0.5, 5]),
        cap=rng.choice([1, 30]), total=rng.choice([0.3, 5, 60, 600]),
    )  # fmt: skip
    concurrency, outcomes = rng.choice([None, 1, 4, 64]), list[Outcome]()
    reads: list[int] = []

    async def run(made: Fleet, users: dict[str, User], ending: str) -> None:
        engine = Engine(made, outcomes.append, policy, rng=Random(seed))
        readers: list[Reader] = []
        for name, user in users.items():
            targets: Any = parties[name].targets
            readers += sources(targets, rng.choice([1, 10, 10_000]), user)
            if rng.random() < 0.5:
                readers.append(_Lister(user, [f"{name}x{number}" for number in range(4)], engine))
        task = asyncio.create_task(engine.run(readers))
        beside = asyncio.create_task(_end(engine, task, ending, rng))
        await asyncio.wait([task])
        beside.cancel()
        await asyncio.wait([beside])
        assert task.cancelled() or task.exception() is None
        assert engine.error is None
        assert engine.settlement.open == 0
        reads.append(engine.settlement.reads)
        _nothing_left(made)

    async def main() -> None:
        made = Fleet(concurrency)
        users = {name: party.join(made, name) for name, party in parties.items()}
        await run(made, users, rng.choice(ENDINGS))
        first = Counter(outcome.target for outcome in outcomes)
        assert set(first.values()) <= {1}
        await run(made, users, "none")
        assert set((Counter(outcome.target for outcome in outcomes) - first).values()) <= {1}

    run_virtual(main(), limit=3e6)
    sent = sum(outcome.attempts for outcome in outcomes)
    assert sent + sum(reads) == sum(len(party.service.calls) for party in parties.values())
    assert all(math.isfinite(outcome.elapsed) and outcome.elapsed >= 0 for outcome in outcomes)
    for party in parties.values():
        _within_limits(party)


def _nothing_left(made: Fleet) -> None:
    assert made._line.active == 0
    assert not [lane for lane in made.lanes() if lane.has_work() or lane.turn.active or lane.in_flight]
    assert not any(user.endpoint.gate.traffic.out for user in made.users)
    assert not any(user.sign_ins.under_way or user.sign_ins.waiting for user in made.users)
    assert not made.unsigned
    assert not made._hanging.lanes


def _within_limits(party: Party) -> None:
    service, limits = party.service, party.limits
    assert party.iam is None or party.iam.most <= 4
    for rate, times in (
        (Rate.parse(limits.project_rate), list(service.arrived.values())),
        (Rate.parse(limits.user_rate), [service.times]),
        (Rate.parse(limits.endpoint_rate), [service.times]),
    ):
        if rate is not None:
            assert all(most_in_window(one, rate.per - 1e-9) <= rate.count for one in times)
    service.most_in_flight.pop("all", 0)
    assert max(service.most_in_flight.values(), default=0) <= (limits.project_concurrency or len(service.calls))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_several_users_settle_all_and_leave_nothing(seed: int) -> None:
    """Sign-ins, keys to prove and lists, at random: books that balance, limits kept, and a session that goes on."""
    stress_users(seed)
