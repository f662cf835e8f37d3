"""Other ways to keep a limit, each as its users write it, in the world in which the laboratory runs the engine.

`aiometer` is not among what `make bench` installs; without `pip install aiometer` its rows are left out.
"""

from __future__ import annotations

import asyncio
import importlib
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, count, cycle, repeat
from random import Random
from typing import Any

from aiolimiter import AsyncLimiter

from benchmarks.scenarios import SLOTS, Scenario
from sdrs_async.laboratory.policies import Caller
from sdrs_async.laboratory.results import Trial, trial_of
from sdrs_async.laboratory.trial import ENDLESS, gateway_of
from sdrs_async.laboratory.virtual_time import run_virtual
from sdrs_async.laboratory.world import World
from sdrs_async.limits import Rate

One = Callable[[Caller], Awaitable[None]]


@dataclass
class Race:
    """What a rival gets: the world, the projects, the rate that the user configured, and for whom that is."""

    world: World
    sizes: dict[Caller, int | None]
    rate: Rate | None
    scope: str
    rng: Random
    finished: dict[tuple[str, str], float] = field(default_factory=dict)

    async def send(self, caller: Caller) -> bool:
        """Send one request; whether it was let in."""
        refused = await self.world.ask(caller) is not None
        self.finished[caller.user, caller.project] = asyncio.get_running_loop().time()
        return not refused

    async def retry(self, caller: Caller, before: Callable[[], Awaitable[Any]] | None = None) -> None:
        """Send until it is let in, after a back-off with full jitter."""
        for tries in count():
            if before is not None:
                await before()
            if await self.send(caller):
                return
            await asyncio.sleep(self.rng.uniform(0, min(20.0, 0.5 * 2.0**tries)))

    def targets(self) -> Iterator[Caller]:
        """One item per group, as a sorted list has them; endless projects take turns."""
        endless = [caller for caller, groups in self.sizes.items() if groups is ENDLESS]
        finite = (repeat(caller, groups) for caller, groups in self.sizes.items() if groups is not None)
        return chain(chain.from_iterable(finite), cycle(endless))

    async def pull(self, one: One) -> None:
        """As many groups at a time as there are slots."""
        targets = self.targets()

        async def work() -> None:
            for caller in targets:
                await one(caller)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(SLOTS):
                tasks.create_task(work())


async def aiolimiter(race: Race) -> None:
    """The obvious design: one AsyncLimiter for each whom the rate is for."""
    rate = race.rate or Rate(10_000)
    limiters: dict[str, AsyncLimiter] = defaultdict(lambda: AsyncLimiter(rate.count, rate.per))
    await race.pull(lambda caller: race.retry(caller, limiters[caller.key(race.scope)].acquire))


async def aiometer(race: Race) -> None:
    """aiometer's own loop: starts evenly spaced."""
    run_on_each: Any = importlib.import_module("aiometer").run_on_each
    per_second = race.rate.count / race.rate.per if race.rate else None
    if race.scope != "project":
        await run_on_each(race.retry, race.targets(), max_at_once=SLOTS, max_per_second=per_second)
        return
    async with asyncio.TaskGroup() as tasks:
        for caller, groups in race.sizes.items():
            items = repeat(caller) if groups is None else repeat(caller, groups)
            slots = max(8, SLOTS // len(race.sizes))
            tasks.create_task(run_on_each(race.retry, items, max_at_once=slots, max_per_second=per_second))


class Adaptive:
    """The arithmetic of botocore's adaptive mode: RateClocker, CubicCalculator and TokenBucket, waiting in asyncio."""

    def __init__(self) -> None:
        self.on = False
        self.rate, self.room, self.tokens, self.at = 1.0, 1.0, 0.0, 0.0
        self.most = self.zero = self.failed = 0.0
        self.measured, self.since, self.seen = 0.0, 0.0, 0

    def refill(self) -> None:
        now = asyncio.get_running_loop().time()
        self.tokens = min(self.room, self.tokens + (now - self.at) * self.rate)
        self.at = now

    async def acquire(self) -> None:
        self.refill()
        while self.on and self.tokens < 1:
            await asyncio.sleep((1 - self.tokens) / self.rate)
            self.refill()
        self.tokens -= self.on

    def answered(self, accepted: bool) -> None:
        self.refill()
        self.seen += 1
        half = math.floor(self.at * 2) / 2
        if half > self.since:
            self.measured = 0.8 * self.seen / (half - self.since) + 0.2 * self.measured
            self.since, self.seen = half, 0
        if accepted:
            rate = 0.4 * (self.at - self.failed - self.zero) ** 3 + self.most
        else:
            self.most = min(self.measured, self.rate) if self.on else self.measured
            self.zero, self.failed = (self.most * 0.3 / 0.4) ** (1 / 3), self.at
            rate, self.on = 0.7 * self.most, True
        rate = min(rate, 2 * self.measured)
        self.rate, self.room = max(rate, 0.5), max(rate, 1.0)
        self.tokens = min(self.tokens, self.room)


async def botocore(race: Race) -> None:
    """Botocore's adaptive mode, one client for each whom the limit is for; what the user configured, it cannot know."""
    clients: dict[str, Adaptive] = defaultdict(Adaptive)

    async def one(caller: Caller) -> None:
        client = clients[caller.key(race.scope)]
        for tries in count():
            await client.acquire()
            accepted = await race.send(caller)
            client.answered(accepted)
            if accepted:
                return
            await asyncio.sleep(race.rng.random() * min(2.0**tries, 20.0))

    await race.pull(one)


async def fixed_pause(race: Race) -> None:
    """No limiter: a second of pause after a 429."""

    async def one(caller: Caller) -> None:
        while not await race.send(caller):  # noqa: ASYNC110 - a pause, nothing could wake it
            await asyncio.sleep(1.0)

    await race.pull(one)


RIVALS: dict[str, Callable[[Race], Awaitable[None]]] = {
    "aiolimiter": aiolimiter,
    "aiometer": aiometer,
    "botocore": botocore,
    "1 s pause": fixed_pause,
}


def rival(scenario: Scenario, name: str, seed: int) -> Trial:
    """One run of another way to do it, in the same world."""
    rng = Random(seed)
    gateway = gateway_of(scenario.policies, rng)
    sizes = {Caller(project): groups for project, groups in sorted(scenario.workload.projects().items())}
    limits, scope = scenario.workload.limits, scenario.policies[0].scope
    rate = Rate.parse(limits.user_rate if scope == "user" else limits.project_rate)

    async def main() -> tuple[Race, float]:
        race = Race(World(gateway, scenario.network, rng), sizes, rate, scope, rng)
        running = asyncio.ensure_future(RIVALS[name](race))
        await asyncio.wait([running], timeout=scenario.seconds)
        running.cancel()
        await asyncio.wait([running])
        return race, asyncio.get_running_loop().time()

    race, seconds = run_virtual(main())
    endless = scenario.seconds if ENDLESS in sizes.values() else None
    return trial_of(gateway, seconds, until=endless, finished=race.finished)
