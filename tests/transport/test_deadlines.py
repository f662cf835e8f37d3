"""Time-outs that share one timer, on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from sdrs_async.transport.deadlines import Deadline, Deadlines
from tests.support.virtual_time import run_virtual


def _now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def _deadlines() -> AsyncIterator[Deadlines]:
    deadlines = Deadlines()
    yield deadlines
    assert not deadlines.open
    deadlines.close()


async def _sleep(deadlines: Deadlines, limit: float, seconds: float) -> tuple[str, float]:
    """How a sleep under a deadline ends, and when."""
    try:
        with deadlines.after(limit):
            await asyncio.sleep(seconds)
    except TimeoutError:
        return "timeout", round(_now(), 3)
    return "done", round(_now(), 3)


def test_each_deadline_is_exact() -> None:
    """Whatever the order in which they begin, each body ends at its own time, or when it is done."""

    async def main() -> list[tuple[str, float]]:
        async with _deadlines() as deadlines:
            bodies = [(30.0, 99.0), (5.0, 99.0), (10.0, 1.0), (1.0, 99.0), (7.0, 6.0), (5.0, 99.0), (60.0, 59.0)]
            tasks = [asyncio.create_task(_sleep(deadlines, limit, seconds)) for limit, seconds in bodies]
            return [await task for task in tasks]

    ends = [("timeout", 30), ("timeout", 5), ("done", 1), ("timeout", 1), ("done", 6), ("timeout", 5), ("done", 59)]
    assert run_virtual(main()) == ends


def test_one_timer_serves_them_all() -> None:
    """Entering and leaving ten thousand deadlines sets a timer or two, not ten thousand."""

    async def main() -> int:
        loop = asyncio.get_running_loop()
        timers, call_at = 0, loop.call_at

        def counted(*args: Any, **kwargs: Any) -> asyncio.TimerHandle:
            nonlocal timers
            timers += 1
            return call_at(*args, **kwargs)

        loop.call_at = counted  # type: ignore[assignment]  # counts, and passes on
        async with _deadlines() as deadlines:
            for _ in range(10_000):
                with deadlines.after(30):
                    await asyncio.sleep(0)
        return timers

    assert run_virtual(main()) == 1


def test_a_deadline_that_is_past_already_ends_the_first_wait() -> None:
    """No time left means no waiting; what needs no wait is done all the same."""

    async def main() -> list[str]:
        async with _deadlines() as deadlines:
            with deadlines.after(0):
                done = "no wait"
            return [done, (await _sleep(deadlines, 0, 99))[0], (await _sleep(deadlines, -5, 99))[0]]

    assert run_virtual(main()) == ["no wait", "timeout", "timeout"]


def test_the_clock_goes_on_after_one_has_expired() -> None:
    """The timer is set again for those that are left, and for those that come later."""

    async def main() -> list[tuple[str, float]]:
        async with _deadlines() as deadlines:
            long = asyncio.create_task(_sleep(deadlines, 20, 99))
            ends = [await _sleep(deadlines, 5, 99), await _sleep(deadlines, 5, 99), await long]
            return [*ends, await _sleep(deadlines, 5, 99)]

    assert run_virtual(main()) == [("timeout", 5), ("timeout", 10), ("timeout", 20), ("timeout", 25)]


def test_a_late_body_is_cancelled_once() -> None:
    """A body that cleans up slowly after its deadline is not disturbed by the next one."""

    async def slow(deadlines: Deadlines) -> int:
        cancelled = 0
        try:
            with deadlines.after(1):
                try:
                    await asyncio.sleep(99)
                finally:
                    cancelled += 1
                    await asyncio.sleep(10)
                    cancelled += 100
        except TimeoutError:
            return cancelled
        return -1

    async def main() -> int:
        async with _deadlines() as deadlines:
            first = asyncio.create_task(slow(deadlines))
            await _sleep(deadlines, 5, 99)
            return await first

    assert run_virtual(main()) == 101


async def _lost_when_cancelled() -> None:
    try:
        await asyncio.sleep(99)
    except asyncio.CancelledError:
        raise ConnectionError from None


def test_an_error_of_the_body_is_its_own() -> None:
    """An error passes through, also one that a body makes of its cancellation; the task is not left half cancelled."""

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        async with _deadlines() as deadlines:
            with pytest.raises(KeyError), deadlines.after(1):
                raise KeyError
            with pytest.raises(ConnectionError), deadlines.after(1):
                await _lost_when_cancelled()
            assert task.cancelling() == 0
            await asyncio.sleep(1)

    run_virtual(main())


def test_a_deadline_needs_a_task() -> None:
    """Outside of a task there is nothing to cancel."""

    async def main() -> None:
        deadlines, caught = Deadlines(), asyncio.get_running_loop().create_future()

        def callback() -> None:
            try:
                with deadlines.after(1):
                    pass
            except RuntimeError as error:
                caught.set_result(str(error))

        asyncio.get_running_loop().call_soon(callback)
        assert await caught == "a deadline is for a task"

    run_virtual(main())


# ---- its own cancellation and those of others


async def _outcome(body: Coroutine[Any, Any, object], cancel_at: float) -> str:
    """How a task ends that somebody cancels at a time."""
    task = asyncio.create_task(body)
    asyncio.get_running_loop().call_at(cancel_at, task.cancel)
    await asyncio.wait([task])
    if task.cancelled():
        return "cancelled"
    return type(task.exception()).__name__ if task.exception() else "done"


@pytest.mark.parametrize(("cancel_at", "ends"), [(5.0, "cancelled"), (10.0, "cancelled"), (15.0, "TimeoutError")])
def test_a_cancellation_from_outside_is_not_a_time_out(cancel_at: float, ends: str) -> None:
    """Before the deadline, and at the very same time, the outer cancellation wins; after it there is nothing left."""

    async def body(deadlines: Deadlines) -> None:
        with deadlines.after(10):
            await asyncio.sleep(99)

    async def main() -> str:
        async with _deadlines() as deadlines:
            return await _outcome(body(deadlines), cancel_at)

    assert run_virtual(main()) == ends


def test_a_cancellation_during_the_clean_up_is_not_lost() -> None:
    """A body that still cleans up after its deadline, and is cancelled meanwhile, ends cancelled."""

    async def body(deadlines: Deadlines) -> None:
        with deadlines.after(10):
            try:
                await asyncio.sleep(99)
            finally:
                await asyncio.sleep(10)

    async def main() -> str:
        async with _deadlines() as deadlines:
            return await _outcome(body(deadlines), 15.0)

    assert run_virtual(main()) == "cancelled"


@pytest.mark.parametrize(("inner", "outer", "ends"), [(1, 2, "inner at 1"), (2, 1, "outer at 1"), (1, 1, "outer at 1")])
def test_it_nests_in_asyncio_timeout(inner: float, outer: float, ends: str) -> None:
    """Each time-out is raised by the one whose time it was; the outer one wins a draw."""

    async def main() -> str:
        where = "none"
        async with _deadlines() as deadlines:
            try:
                async with asyncio.timeout(outer):
                    try:
                        with deadlines.after(inner):
                            await asyncio.sleep(99)
                    except TimeoutError:
                        where = "inner"
            except TimeoutError:
                where = "outer"
        return f"{where} at {_now():.0f}"

    assert run_virtual(main()) == ends


@pytest.mark.parametrize(("inner", "outer", "ends"), [(1, 2, "inner"), (2, 1, "outer"), (1, 1, "outer")])
def test_it_nests_in_an_anyio_scope(inner: float, outer: float, ends: str) -> None:
    """A cancelled scope ends its body as cancelled, never as timed out, and leaves nothing of the cancellation."""

    async def main() -> str:
        timed_out = False
        task = asyncio.current_task()
        assert task is not None
        async with _deadlines() as deadlines:
            with anyio.move_on_after(outer) as scope:
                try:
                    with deadlines.after(inner):
                        await anyio.sleep(99)
                except TimeoutError:
                    timed_out = True
            assert task.cancelling() == 0
            await anyio.sleep(1)
        assert timed_out != scope.cancelled_caught
        return "inner" if timed_out else "outer"

    assert run_virtual(main()) == ends


def test_a_time_out_inside_a_task_group_harms_no_neighbour() -> None:
    """One member's time-out is that member's alone."""

    async def main() -> list[tuple[str, float]]:
        ends = []

        async def member(deadlines: Deadlines, limit: float) -> None:
            ends.append(await _sleep(deadlines, limit, 5))

        async with _deadlines() as deadlines, anyio.create_task_group() as group:
            for limit in (1.0, 9.0, 2.0):
                group.start_soon(member, deadlines, limit)
        return ends

    assert run_virtual(main()) == [("timeout", 1), ("timeout", 2), ("done", 5)]


def test_closing_stops_the_timer() -> None:
    """Nothing is left on the loop after `close`, whether a timer was ever set or not."""

    async def main() -> list[bool]:
        unused, used = Deadlines(), Deadlines()
        with used.after(3600) as deadline:
            assert isinstance(deadline, Deadline)
            await asyncio.sleep(0)
        unused.close()
        used.close()
        scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # asyncio shows timers nowhere else
        return [handle.cancelled() for handle in scheduled]

    assert run_virtual(main()) == [True]
