"""Runs that are ended from outside, each by the real clock: nothing is sent any more, and the run ends at once."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sdrs_async import Limits, RetryPolicy, StaticToken, clean, stream
from sdrs_async.simulator import Fault, Simulator
from tests.matrix.loops import on_the_loop
from tests.support.waiting import until

# Within so many turns of the loop what was written before the end arrives; how many seconds that is, the load decides.
_LATE = 25
# After its first request a run at this rate is idle for longer than a test may take.
IDLE = Limits(project_rate="1/9s", project_concurrency=8, user_rate=None, endpoint_rate=None)


async def turns(number: int, ended: Callable[[], bool] = lambda: False) -> None:
    """Let the loop go round so many times, 10 ms apart at least, or until `ended`."""
    for _ in range(number):
        if ended():
            break
        await asyncio.sleep(0.01)


async def stays_quiet(cloud: Simulator) -> None:
    """What a run sends after its end, by whatever path, would be seen here."""
    await turns(_LATE)
    arrived = len(cloud.log)
    await turns(15)
    assert cloud.log[arrived:] == []


async def cancelled(after: float, first: int, **cloud_has: Any) -> None:
    """Cancel a run some seconds after so many requests have come; it has to be over at once, and to stay so."""
    limits, retry = Limits("20/s"), RetryPolicy(base=0.2, cap=0.4)
    # More than a busy machine can have sent before the run is cancelled.
    async with Simulator(projects=4, groups=100, latency=0.03, **cloud_has) as cloud:
        task = asyncio.create_task(
            clean(cloud.targets, endpoint=cloud.url, auth=StaticToken(cloud.token), limits=limits, retry=retry)
        )
        await until(lambda: len(cloud.log) >= first)
        await asyncio.sleep(after)
        task.cancel()
        await turns(100, task.done)
        assert task.cancelled()
        await stays_quiet(cloud)
        assert first <= len(cloud.log) < 400


@on_the_loop
async def test_a_cancelled_run_ends_at_once() -> None:
    """Whenever it is cancelled nothing is sent any more: between two timers, in a back-off, in a hold; side by side."""
    async with asyncio.TaskGroup() as runs:
        for after in (0.0, 0.001, 0.013):
            runs.create_task(cancelled(after, first=0))
        for after in (0.0, 0.11, 0.153, 0.307, 0.42):
            runs.create_task(cancelled(after, first=1))
        runs.create_task(cancelled(0.3, first=5, faults=[Fault("status", 1.0, status=503)]))
        runs.create_task(cancelled(0.3, first=5, user_rate="15/s"))


@on_the_loop
async def test_a_time_out_ends_a_run() -> None:
    """`asyncio.timeout` around `clean()` raises in time."""
    async with Simulator(projects=2, groups=20, latency=0.02) as cloud:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.25):
                await clean(cloud.targets, endpoint=cloud.url, auth=StaticToken(cloud.token), limits=Limits("10/s"))
        await stays_quiet(cloud)
        assert len(cloud.log) < 40


@on_the_loop
async def test_a_stream_that_is_left_early_ends_at_once() -> None:
    """A `break` out of the iteration cancels the rest, which the report counts as unsettled."""
    async with Simulator(projects=2, groups=20, latency=0.02) as cloud:
        async with stream(
            cloud.targets, endpoint=cloud.url, auth=StaticToken(cloud.token), limits=Limits("20/s")
        ) as run:
            async for _ in run:
                if run.report.targets["done"] >= 3:
                    break
        await stays_quiet(cloud)
    assert run.report.targets["planned"] == 40
    assert run.report.targets["unsettled"] >= 30


def by_timer(stop: Callable[[], None]) -> None:
    """A timer of the host's loop."""
    asyncio.get_running_loop().call_later(0.15, stop)


def by_thread(stop: Callable[[], None]) -> None:
    """A thread that knows nothing of the loop."""
    threading.Timer(0.15, stop).start()


def by_loop_signal(stop: Callable[[], None]) -> None:
    """The loop's own handler of a signal."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGTERM)).start()


def by_plain_signal(stop: Callable[[], None]) -> None:
    """Python's handler of a signal, while the loop waits for its next event."""
    signal.signal(signal.SIGTERM, lambda number, frame: stop())
    threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGTERM)).start()


@pytest.fixture
def sigterm_as_before() -> Iterator[None]:
    """Leave the handler of SIGTERM as it was."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("sigterm_as_before")
@pytest.mark.parametrize("limits", [Limits(), IDLE], ids=["busy", "idle"])
@pytest.mark.parametrize("way", [by_timer, by_thread, by_loop_signal, by_plain_signal])
@on_the_loop
async def test_a_run_is_stopped_from_anywhere(way: Callable[[Callable[[], None]], None], limits: Limits) -> None:
    """`run.stop` ends a run that is sending, or idle between two windows, wherever it is called from."""
    async with Simulator(projects=1, groups=60) as cloud:
        async with stream(cloud.targets, endpoint=cloud.url, auth=StaticToken(cloud.token), limits=limits) as run:
            outcomes = [await anext(run)]
            way(run.stop)
            outcomes += [outcome async for outcome in run]
        deleted = sum(outcome.verdict == "deleted" for outcome in outcomes)
        assert deleted == len(cloud.log) == run.report.targets["done"]
    assert 0 < deleted < 60
    assert run.report.to_dict()["interrupted"]
    assert run.report.targets["planned"] == 60


@on_the_loop
async def test_a_stop_lets_what_is_on_the_wire_be_answered() -> None:
    """Requests that were sent before the stop count with their answer, and nothing is sent after it."""
    async with Simulator(projects=1, groups=30, latency=0.4) as cloud:
        async with stream(cloud.targets, endpoint=cloud.url, auth=StaticToken(cloud.token)) as run:
            asyncio.get_running_loop().call_later(0.2, run.stop)
            outcomes = [outcome async for outcome in run]
        sent = len(cloud.log)
    assert sum(outcome.verdict == "deleted" for outcome in outcomes) == sent > 0


@pytest.mark.parametrize("grace", [0.0, 0.2])
@on_the_loop
async def test_a_grace_ends_by_itself(grace: float) -> None:
    """What is never answered is given up when the grace is over: by a timer that is in no task."""
    async with (
        Simulator(projects=1, groups=4, faults=[Fault("hang", 1.0)]) as cloud,
        stream(cloud.targets, endpoint=cloud.url, auth=StaticToken(cloud.token)) as run,
    ):
        asyncio.get_running_loop().call_later(0.15, lambda: run.stop(grace))
        assert [outcome async for outcome in run if outcome.verdict != "unsettled"] == []
    assert run.report.targets == {**dict.fromkeys(run.report.targets, 0), "planned": 4, "unsettled": 4}
