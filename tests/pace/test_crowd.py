"""How many requests at a time a server takes: what latency says about it, and what it does not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from heapq import heappop, heappush
from random import Random

import pytest

from sdrs_async.engine.intake import READ_AHEAD, sources
from sdrs_async.limits import Limits
from sdrs_async.models import Call, Outcome, Reply
from sdrs_async.pace.crowd import Concurrency
from tests.support.engine_runs import DELETED, engine_of, fleet
from tests.support.virtual_time import run_virtual


def keep_busy(
    cap: Concurrency, latency: Callable[[float], float], seconds: float, begin: float = 0.0, used: int = 64
) -> None:
    """As many requests at a time as the cap allows, each answered after `latency(at once)` seconds."""
    now = begin
    while now < begin + seconds:
        at_once = min(cap.cap, used)
        took = latency(at_once)
        now += took / at_once
        cap.add(now, took, math.ceil(at_once))


def taking(at_once: int, base: float = 0.02) -> Callable[[float], float]:
    """A server that works on so many at a time, and lets the others wait."""
    return lambda used: base * max(1.0, used / at_once)


def test_a_server_that_queues_gets_fewer_at_a_time() -> None:
    """64 where it takes 8: the cap falls until an answer takes hardly more than twice its time, and 50 ms."""
    cap = Concurrency(64)
    keep_busy(cap, taking(100), 10)
    assert cap.cap == 64
    keep_busy(cap, taking(8), 30, begin=10)
    assert 8 <= cap.cap <= 30
    keep_busy(cap, taking(100), 60, begin=40)
    assert cap.cap == 64, "and comes back, never above what is configured"


def test_jitter_is_no_queue() -> None:
    """Answers that take 20 ms and up to 400 more: fewer at a time make them no quicker, so as many go out as before."""
    rng, cap = Random(1), Concurrency(64)
    caps = []
    for second in range(0, 100, 5):
        keep_busy(cap, lambda used: 0.02 + 0.4 * rng.random(), 5, begin=float(second))
        caps.append(cap.cap)
    assert min(caps) >= 0.7 * 0.7 * 64 - 1e-9, "at times a lower one is tried"
    assert sorted(caps)[len(caps) // 2] == 64


def test_a_server_that_is_slower_from_now_on_keeps_its_cap() -> None:
    """From 20 ms to a second, whatever is sent: what a lower cap does not mend is no queue."""
    cap = Concurrency(64)
    keep_busy(cap, lambda used: 0.02, 10)
    keep_busy(cap, lambda used: 1.0, 60, begin=10)
    assert cap.cap == 64


def test_latency_that_is_small_never_lowers_the_cap() -> None:
    """50 ms may be this process's own: from 2 ms to 40 ms nothing happens."""
    cap = Concurrency(64)
    keep_busy(cap, lambda used: 0.002, 10)
    keep_busy(cap, lambda used: 0.04, 10, begin=10)
    assert cap.cap == 64


@pytest.mark.parametrize("configured", [math.inf, 1000.0])
def test_what_is_on_its_way_counts_not_what_would_be_allowed(configured: float) -> None:
    """Without a cap, or with a high one, it is lowered from the 64 that were in use."""
    cap = Concurrency(configured)
    keep_busy(cap, taking(100), 10)
    keep_busy(cap, taking(8), 30, begin=10)
    assert 8 <= cap.cap <= 30


class Four:
    """A service that works on four requests at a time, 50 ms each; `took`: how long each had to wait in all."""

    work = 0.05

    def __init__(self) -> None:
        self._free = [0.0] * 4
        self.took: list[float] = []

    async def send(self, call: Call, timeout: float) -> Reply:  # noqa: ASYNC109 - the engine's own protocol
        """Wait for a turn, and be worked on."""
        now = asyncio.get_running_loop().time()
        end = max(heappop(self._free), now) + self.work
        heappush(self._free, end)
        await asyncio.sleep(end - now)
        self.took.append(end - now)
        return replace(DELETED, elapsed=end - now)


def test_a_run_on_a_server_that_queues_keeps_its_speed_and_shortens_the_queue() -> None:
    """It works on 4 at a time: after a while 64 are no longer on their way, and as many are answered as before."""
    service, outcomes = Four(), list[Outcome]()

    async def main() -> float:
        engine, user = engine_of(service.send, outcomes.append, Limits(None, 8, None, None, 64))
        await engine.run(sources(fleet(16, 200), READ_AHEAD, user))
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) <= 1.1 * 3200 * service.work / 4
    assert len(outcomes) == 3200
    assert max(service.took[:500]) >= 0.95 * 64 * service.work / 4
    assert sum(service.took[-500:]) / 500 <= 0.5 * 64 * service.work / 4
