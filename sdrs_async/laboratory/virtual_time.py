"""An event loop on which hours cost nothing: while work is ready time stands still, then it jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# A jump to exactly the timer's time can hang aiolimiter: rounding leaves its bucket a hair too full, so it asks again
# for a sleep of almost nothing, for ever. A real clock always arrives a little late, and so does this one.
LATENESS = 1e-6


class _JumpingSelector(selectors.DefaultSelector):
    """Where the loop would sleep, the clock moves on instead.

    It leans on how asyncio's private `_run_once` calls its selector: with 0 when callbacks are ready, with the seconds
    to the first timer that is not cancelled, or with `None` when only a file descriptor could wake the loop.
    """

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.now = 0.0
        self.limit = limit

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is None:
            raise AssertionError(f"deadlock at {self.now:.3f} s: nothing is ready and no timer is set; {_waiting()}")
        self.now += timeout + LATENESS
        if self.now > self.limit:
            raise AssertionError(f"still running after {self.limit:g} virtual seconds; {_waiting()}")
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose `time()` starts at 0 and costs nothing; for code without sockets and threads, whose time is real."""

    def __init__(self, limit: float = float("inf")) -> None:
        self._jumping = _JumpingSelector(limit)
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since it was made."""
        return self._jumping.now


def run_virtual(main: Coroutine[Any, Any, T], *, limit: float = 86_400.0) -> T:
    """Run `main` on a virtual clock and return its result.

    `AssertionError` if all its tasks wait for each other, if it takes more than `limit` virtual seconds,
    or if it leaves tasks behind; these are cancelled in every case.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(limit)) as runner:
        return runner.run(_leaving_nothing(main))


async def _leaving_nothing(main: Coroutine[Any, Any, T]) -> T:
    result = await main
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        raise AssertionError(f"tasks left behind: {_names(left)}")
    return result


def _waiting() -> str:
    return f"waiting: {_names(asyncio.all_tasks(asyncio.get_running_loop()))}"


def _names(tasks: set[asyncio.Task[Any]]) -> str:
    return ", ".join(sorted(f"{task.get_name()} ({_where(task)})" for task in tasks))


def _where(task: asyncio.Task[Any]) -> str:
    """Name the coroutines of a waiting task, from its own down to the one that waits."""
    chain: list[str] = []
    coroutine: Any = task.get_coro()
    while hasattr(coroutine, "cr_await"):
        chain.append(coroutine.__qualname__)
        coroutine = coroutine.cr_await
    return " > ".join(chain)
