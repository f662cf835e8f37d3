import asyncio
import itertools
import time

import anyio
import pytest
from aiolimiter import AsyncLimiter

from tests.support.virtual_time import run_virtual


async def _for_ever() -> None:
    await asyncio.Event().wait()


def test_an_hour_passes_at_once() -> None:
    """A sleep takes its full time on the loop's clock, a microsecond more, and none on the wall."""

    async def main() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    started = time.monotonic()
    assert run_virtual(main()) == pytest.approx(3600, abs=1e-5)
    assert time.monotonic() - started < 5


def test_timers_fire_in_order_and_cancelled_ones_do_not_move_the_clock() -> None:
    """The clock stops at each timer that is still wanted, and at no other."""

    async def main() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        seen: list[tuple[str, float]] = []
        loop.call_later(5, lambda: seen.append(("cancelled", loop.time()))).cancel()
        loop.call_later(20, lambda: seen.append(("late", loop.time())))
        loop.call_later(10, lambda: seen.append(("early", loop.time())))
        await asyncio.sleep(30)
        return seen

    assert [(name, round(at, 3)) for name, at in run_virtual(main())] == [("early", 10), ("late", 20)]


def test_anyio_groups_and_deadlines_work() -> None:
    """Structured concurrency runs on virtual time as it does on real time."""

    async def main() -> tuple[bool, float]:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 2)
            with anyio.move_on_after(7) as scope:
                await anyio.sleep_forever()
        return scope.cancelled_caught, anyio.current_time()

    caught, at = run_virtual(main())
    assert caught
    assert at == pytest.approx(7, abs=1e-5)


def test_a_rate_bucket_drains() -> None:
    """aiolimiter gives each slot out in its time and never hangs on a timer that was met too exactly."""

    async def main() -> float:
        limiter = AsyncLimiter(1, 0.1)
        for _ in range(1001):
            await limiter.acquire()
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(100, abs=0.1)


def test_a_deadlock_is_an_error() -> None:
    """Where a real loop would hang for ever, the test fails and names who waits."""
    with pytest.raises(AssertionError, match=r"deadlock at 0\.000 s.*_for_ever"):
        run_virtual(_for_ever())


def test_the_limit_ends_a_run_that_never_settles() -> None:
    """A loop of sleeps fails at the limit, after the virtual time it was given."""

    async def main() -> None:
        for _ in itertools.count():
            await asyncio.sleep(1)

    with pytest.raises(AssertionError, match="still running after 60 virtual seconds"):
        run_virtual(main(), limit=60)


def test_a_leaked_task_is_an_error_and_is_cancelled() -> None:
    """A task that outlives the run is named, and is cancelled all the same."""
    tasks: list[asyncio.Task[None]] = []

    async def main() -> None:
        tasks.append(asyncio.create_task(_for_ever(), name="forgotten"))

    with pytest.raises(AssertionError, match="left behind: forgotten"):
        run_virtual(main())
    assert tasks[0].cancelled()


def test_the_coroutines_own_error_comes_through() -> None:
    """An exception reaches the caller as it was raised."""

    async def main() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run_virtual(main())
