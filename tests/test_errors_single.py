"""What goes wrong in a run reaches the caller as it was raised, once, with the report; never in a group."""

from __future__ import annotations

import asyncio
import math
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest

from sdrs_async import (
    ConfigError,
    Limits,
    Report,
    Request,
    RetryPolicy,
    Run,
    SdrsError,
    StaticToken,
    clean,
    connect,
    stream,
)
from sdrs_async.accounts.account import Account
from sdrs_async.engine.intake import sources
from sdrs_async.models import Call, Reply, Target
from sdrs_async.report import Ledger
from sdrs_async.run import driving
from sdrs_async.simulator import Simulator
from tests.support.engine_runs import DELETED, Iam, Service, engine_of
from tests.support.virtual_time import run_virtual

FREE = Limits(None, None, None, None, 64)


class Broken(StaticToken):
    """A credential with a defect, which every request meets, a while after each other."""

    def __init__(self, error: BaseException, seconds: float = 0.0) -> None:
        super().__init__("token")
        self.error = error
        self.seconds = seconds

    async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
        """Fail."""
        await asyncio.sleep(self.seconds)
        raise self.error


TARGETS = [(f"{number % 20:032x}", f"decf224d-87fe-403a-8721-{number:012d}") for number in range(400)]


@pytest.mark.parametrize("seconds", [0.0, 0.01])
@pytest.mark.parametrize("error", [RuntimeError("a defect"), TypeError("of the credential"), ConfigError("wrong")])
async def test_an_error_that_many_tasks_meet_is_one_error(error: Exception, seconds: float) -> None:
    """An `Auth.sign` that raises does so in all tasks at once: the caller gets that one error, with the report."""
    with pytest.raises(type(error)) as caught:
        await clean(TARGETS, endpoint="http://127.0.0.1:9", auth=Broken(error, seconds), limits=FREE)
    assert caught.value is error
    report = getattr(error, "report", None)
    assert isinstance(report, Report)
    assert report.targets["unsettled"] >= 64
    assert report.interrupted


async def test_an_error_that_many_tasks_meet_ends_a_stream_with_it() -> None:
    """It is raised where the iteration ends."""
    error = RuntimeError("a defect")
    async with stream(TARGETS, endpoint="http://127.0.0.1:9", auth=Broken(error, 0.01), limits=FREE) as run:
        with pytest.raises(RuntimeError) as caught:
            async for _ in run:
                pass
        assert caught.value is error
    assert run.report.targets["unsettled"] > 0


async def test_a_cancellation_that_nobody_asked_for_is_no_silence() -> None:
    """A credential that awaits what somebody else has cancelled: the run says so, it does not end as if done."""
    with pytest.raises(SdrsError, match="cancelled by somebody else") as caught:
        await clean(TARGETS, endpoint="http://127.0.0.1:9", auth=Broken(asyncio.CancelledError()), limits=FREE)
    assert caught.value.report is not None
    assert caught.value.report.targets["done"] == 0


async def _that_awaits_what_is_cancelled() -> AsyncIterator[tuple[str, str]]:
    for target in TARGETS[:3]:
        yield target
    producer = asyncio.ensure_future(asyncio.sleep(60))
    asyncio.get_running_loop().call_soon(producer.cancel)
    await producer
    for target in TARGETS[3:]:
        yield target


async def test_an_iterator_that_awaits_what_was_cancelled_is_no_end_of_the_list() -> None:
    """The rest of the targets is not lost in silence: the run says that its list was cut off."""
    async with Simulator(projects=1, groups=1) as cloud:
        with pytest.raises(SdrsError, match=r"the iterator of the targets .* cancelled by somebody else") as caught:
            await clean(_that_awaits_what_is_cancelled(), endpoint=cloud.url, auth=StaticToken(cloud.token))
    assert caught.value.report is not None
    assert caught.value.report.interrupted


class Stop(BaseException):
    """No `Exception`, as those of test frameworks are."""


class Preparing(Broken):
    """A credential whose sign-in has a defect."""

    async def prepare(self, project_id: str) -> float:
        """Fail."""
        raise self.error


def _stopping() -> Iterator[tuple[str, str]]:
    yield from TARGETS[:3]
    raise Stop


@pytest.mark.parametrize("where", ["iterator", "sign", "prepare"])
async def test_what_is_no_exception_reaches_the_caller_as_it_is_too(where: str) -> None:
    """In no group, with the report."""
    auth = {"sign": Broken(Stop()), "prepare": Preparing(Stop())}.get(where, StaticToken("x"))
    targets = _stopping() if where == "iterator" else iter(TARGETS)
    with pytest.raises(Stop) as caught:
        await clean(targets, endpoint="http://127.0.0.1:9", auth=auth, limits=FREE)
    assert isinstance(getattr(caught.value, "report", None), Report)


class Own(Exception):
    """An error of the caller's own."""


def _bad() -> Iterator[tuple[str, str]]:
    yield from TARGETS[:3]
    raise Own("of the iterator")


async def _bad_later() -> AsyncIterator[tuple[str, str]]:
    for target in TARGETS[:3]:
        yield target
    await asyncio.sleep(0.05)
    raise Own("of the iterator")


def _wrong_by_its_own_word() -> Iterator[tuple[str, str]]:
    yield from TARGETS[:3]
    raise ConfigError("of the iterator")


async def test_a_config_error_of_the_callers_iterator_is_not_taken_for_a_bad_target() -> None:
    """It passes as it is, without the number of a target before it."""
    async with Simulator(projects=1, groups=1) as cloud:
        with pytest.raises(ConfigError, match=r"^of the iterator$"):
            await clean(_wrong_by_its_own_word(), endpoint=cloud.url, auth=StaticToken(cloud.token))


@pytest.mark.parametrize("ends", ["by a bad target", "by a stop"])
async def test_a_generator_is_closed_however_the_reading_ends(ends: str) -> None:
    """What it holds, a file say, is given back at once and not when somebody collects the garbage."""
    closed = []

    def targets() -> Iterator[tuple[str, str]]:
        try:
            yield from TARGETS[:3]
            if ends == "by a bad target":
                yield ("batch", "batch")
            yield from TARGETS
        finally:
            closed.append(True)

    items = targets()
    async with (
        Simulator(projects=1, groups=1) as cloud,
        stream(items, endpoint=cloud.url, auth=StaticToken(cloud.token), read_ahead=10) as run,
    ):
        asyncio.get_running_loop().call_later(0.1, run.stop)
        with suppress(ConfigError):
            async for _ in run:
                pass
        assert closed == [True]


@pytest.mark.parametrize("targets", [_bad, _bad_later])
async def test_an_error_of_the_callers_iterator_passes_unchanged_with_the_report(targets: Any) -> None:
    """The very exception, in no group and with no other around it."""
    async with Simulator(projects=1, groups=1) as cloud:
        with pytest.raises(Own) as caught:
            await clean(targets(), endpoint=cloud.url, auth=StaticToken(cloud.token))
    report = getattr(caught.value, "report", None)
    assert isinstance(report, Report)
    assert report.targets["planned"] == 3


@pytest.mark.parametrize(
    "error",
    [Own(), ExceptionGroup("of the caller", [Own()]), SystemExit(7), KeyboardInterrupt(), TimeoutError()],
)
async def test_what_the_body_of_a_stream_raises_leaves_as_it_is(error: BaseException) -> None:
    """A group of the caller's own stays one, and `sys.exit(7)` exits with 7."""

    async def work(cloud: Simulator) -> None:
        async with stream(cloud.targets, endpoint=cloud.url, auth=StaticToken(cloud.token)) as run:
            async for _ in run:
                raise error

    async with Simulator(projects=1, groups=30) as cloud:
        with pytest.raises(type(error)) as caught:
            await work(cloud)
    assert caught.value is error


@pytest.mark.parametrize("error", [Own(), ExceptionGroup("of the caller", [Own()])])
async def test_what_the_body_of_lists_raises_leaves_as_it_is(error: Exception) -> None:
    """The same for a session's lists."""
    async with Simulator(projects=1, groups=3) as cloud:
        one = Account("a", cloud.url, StaticToken(cloud.token))
        async with connect(one) as session:
            with pytest.raises(type(error)) as caught:
                async with session.lists():
                    raise error
            assert caught.value is error
            assert (await session.clean(cloud.targets)).targets["done"] == 3


async def test_a_second_run_beside_the_first_is_one_error_and_harms_nothing() -> None:
    """`ConfigError` from each door, and the first run ends as ever."""
    async with Simulator(projects=1, groups=30) as cloud:
        one = Account("a", cloud.url, StaticToken(cloud.token))
        async with connect(one) as session, session.stream(cloud.targets) as run:
            with pytest.raises(ConfigError):
                await session.clean(cloud.targets)
            with pytest.raises(ConfigError):
                async with session.stream(cloud.targets):
                    pass
            with pytest.raises(ConfigError):
                async with session.lists():
                    pass
            assert len([outcome async for outcome in run]) == 30


STOPS: dict[str, Callable[[Run], object]] = {
    "signal handler": lambda run: signal.raise_signal(signal.SIGUSR1),
    "timer": lambda run: run.stop(),
    "done callback": lambda run: asyncio.ensure_future(asyncio.sleep(0)).add_done_callback(lambda done: run.stop()),
    "thread": lambda run: threading.Thread(target=run.stop).start(),
    "it is the done callback": lambda run: asyncio.ensure_future(asyncio.sleep(0)).add_done_callback(run.stop),
    "it is the signal handler": lambda run: signal.raise_signal(signal.SIGUSR2),
}


@pytest.mark.parametrize("kind", STOPS)
async def test_a_run_is_stopped_from_anywhere(kind: str) -> None:
    """`run.stop` is safe in a plain signal handler, in callbacks of the loop, and in another thread."""
    async with (
        Simulator(projects=1, groups=60) as cloud,
        stream(cloud.targets, endpoint=cloud.url, auth=StaticToken(cloud.token)) as run,
    ):
        before = signal.signal(signal.SIGUSR1, lambda number, frame: run.stop(1.0))
        signal.signal(signal.SIGUSR2, run.stop)
        try:
            asyncio.get_running_loop().call_later(0.5, STOPS[kind], run)
            outcomes = [outcome async for outcome in run]
        finally:
            signal.signal(signal.SIGUSR1, before)
            signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    report = run.report
    assert report.interrupted
    assert report.targets["unsettled"] > 0
    assert report.targets["failed"] == 0
    assert len(outcomes) == report.targets["planned"]


@pytest.mark.parametrize("grace", [None, "3", -1, math.nan, True])
async def test_a_grace_that_is_no_time_is_refused_and_stops_nothing(grace: Any) -> None:
    """A sentence, and the run goes on to its end."""
    async with Simulator(projects=1, groups=3) as cloud:
        async with stream(cloud.targets, endpoint=cloud.url, auth=StaticToken(cloud.token)) as run:
            with pytest.raises(ConfigError, match="grace must be a number of seconds"):
                run.stop(grace)
            async for _ in run:
                pass
        assert run.report.targets["done"] == 3
    assert not run.report.interrupted


def test_a_stop_after_the_end_changes_nothing() -> None:
    """Not even where the loop is closed by then."""

    async def main() -> Any:
        async with Simulator(projects=1, groups=3) as cloud:
            async with stream(
                cloud.targets, endpoint=cloud.url, auth=StaticToken(cloud.token), retry=RetryPolicy()
            ) as run:
                async for _ in run:
                    pass
            run.stop()
            return run

    run = asyncio.run(main())
    run.stop()
    assert not run.report.interrupted


def test_an_answer_at_the_moment_at_which_a_stream_is_left_starts_nothing() -> None:
    """The worker that gets it is awake by then, and sends nothing more."""

    async def main() -> None:
        wire: dict[Call, asyncio.Future[Reply]] = {}

        async def send(call: Call, timeout: float) -> Reply:  # noqa: ASYNC109 - the engine's own protocol
            wire[call] = asyncio.get_running_loop().create_future()
            return await wire[call]

        report = Ledger(clock=asyncio.get_running_loop().time)
        engine, user = engine_of(send, report.add, Limits(None, 1, None, None, 8))
        run = Run(engine, report)
        async with driving(run, sources([("p", f"g{number}") for number in range(3)], 10, user)):
            await asyncio.sleep(1)
            wire[Target("p", "g0")].set_result(DELETED)
        assert list(wire) == [Target("p", "g0")]
        assert report.targets["done"] + report.targets["unsettled"] == 3

    run_virtual(main())


def test_no_sign_in_begins_while_the_cancelled_one_cleans_up() -> None:
    """Those that wait for their turn at IAM wait on, until the block is left."""

    async def main() -> None:
        iam, loop, report = Iam(latency=1.0), asyncio.get_running_loop(), Ledger()
        engine, user = engine_of(Service().send, report.add, FREE, sign_in=iam.sign_in)
        run = Run(engine, report)

        async def work() -> None:
            async with driving(run, sources([(f"p{number}", "g") for number in range(40)], 100, user)):
                try:
                    await asyncio.sleep(60)
                finally:
                    await asyncio.sleep(5)

        task = asyncio.ensure_future(work())
        await asyncio.sleep(2.5)
        task.cancel()
        at = loop.time()
        await asyncio.wait([task])
        assert [seconds for seconds, _ in iam.calls if seconds > at] == []
        assert 8 <= len(iam.calls) < 40

    run_virtual(main())
