"""The engine under random trouble: whatever happens, the books balance and no limit is broken."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

import pytest

from sdrs_async.engine import Engine
from sdrs_async.models import Limits, Outcome, ProjectLevel, Rate, Reply, RetryPolicy, Target, Verdict
from sdrs_async.reading import Source, sources
from tests.engine_runs import DELETED, Service, engine_of, most_in_window
from tests.virtual_time import run_virtual

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
        retry_after=rng.choice([None, 0.5, 7, 100, 5000]), window=rng.choice([None, 1.0, 60.0]),
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


@pytest.mark.parametrize("seed", range(200))
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
            assert not any(lane.has_work() for lane in engine.fleet.lanes.values())

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
