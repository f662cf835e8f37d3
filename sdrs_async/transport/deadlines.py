"""Time-outs for all requests on the wire with one timer between them, which waits for the earliest.

A timer per request, as aiohttp sets one, costs about 10 microseconds, a tenth of a request (benchmarks/README.md).
"""

from __future__ import annotations

import asyncio
import math
from typing import Self


class Deadlines:
    """The deadlines of one event loop's requests; each is exact, to the loop's own precision."""

    def __init__(self) -> None:
        self.open: set[Deadline] = set()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._earliest = math.inf

    def after(self, seconds: float) -> Deadline:
        """A context whose body is cancelled after so many seconds, and which then raises `TimeoutError`."""
        return Deadline(self, self._loop.time() + seconds)

    def watch(self, deadline: Deadline) -> None:
        """Let the timer fire no later than this deadline."""
        self.open.add(deadline)
        if deadline.at < self._earliest:
            self._arm(deadline.at)

    def close(self) -> None:
        """Stop the timer; no deadline may be open any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._earliest = at
        self._timer = self._loop.call_at(at, self._expire) if at < math.inf else None

    def _expire(self) -> None:
        now = self._loop.time()
        for deadline in self.open:
            if deadline.at <= now:
                deadline.expire()
        self._arm(min((deadline.at for deadline in self.open if deadline.at > now), default=math.inf))


class Deadline:
    """One request's deadline, for the task that enters it. Tells its own cancellation from others as
    `asyncio.timeout` does, by the task's count of cancel requests.
    """

    __slots__ = ("_cancelling", "_deadlines", "_expired", "_task", "at")

    def __init__(self, deadlines: Deadlines, at: float) -> None:
        self.at = at
        self._deadlines = deadlines
        self._expired = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline is for a task")
        self._task, self._cancelling = task, task.cancelling()
        self._deadlines.watch(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._deadlines.open.discard(self)
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel the task, once."""
        if not self._expired:
            self._expired = True
            self._task.cancel()
