"""Work that several tasks wait for, each as if it were its own: a sign-in for all that need it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

import anyio

from sdrs_async.auth import SignInFailed

T = TypeVar("T")


class SharedWork(Generic[T]):
    """Work that begins with the first task that waits for it and ends with the last: who is cancelled takes it from
    nobody else, and nothing goes on for nobody. It runs in a task of its own, whose end the last one always awaits.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._task: asyncio.Task[T] | None = None
        self._waiting = 0

    @property
    def can_be_joined(self) -> bool:
        """Whether it is neither over nor given up."""
        return self._task is None or (not self._task.done() and self._waiting > 0)

    async def result(self) -> T:
        """What the work returns. Its error is raised to all that wait; of a `SignInFailed` each gets its own."""
        while True:
            task = await self._over()
            if not task.cancelled():  # by whom that may be, it was nobody who waits
                break
        error = task.exception()
        if isinstance(error, SignInFailed):
            raise error.again()
        return task.result()

    async def _over(self) -> asyncio.Task[T]:
        if self._task is None or self._task.cancelled():
            self._task = asyncio.create_task(self._work(), name="sdrs-async shared work")
            # So that asyncio does not log the error of work whose last waiter was cancelled in the same moment.
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        task = self._task
        self._waiting += 1
        try:
            await asyncio.wait([task])
        finally:
            self._waiting -= 1
            if not self._waiting and not task.done():
                task.cancel()
                with anyio.CancelScope(shield=True):
                    await asyncio.wait([task])
        return task
