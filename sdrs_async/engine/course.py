"""How far a run has come: what it may start, whom it waits for, and when it waits no more."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from sdrs_async.errors import SdrsError


class Stage(IntEnum):
    """`OVER`: what is on the wire is not waited for any more; `ENDED`: the books are closed."""

    MADE = 0
    OPEN = 1
    OVER = 2
    ENDED = 3


class Alarm:
    """Calls `ring`, a plain callback of the loop, once the loop's clock has reached `at`; `inf` is never.

    Keeps the time itself: where that is not in the future, uvloop gives a handle that does not know it.
    """

    __slots__ = ("_handle", "_loop", "_ring", "at")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self.at = math.inf
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at: float) -> None:
        """Ring at this time, and not at the one before."""
        if at == self.at:
            return
        if self._handle is not None:
            self._handle.cancel()
        self.at = at
        self._handle = self._loop.call_at(at, self._fire) if at < math.inf else None

    def _fire(self) -> None:
        self.at, self._handle = math.inf, None
        self._ring()


class Course:
    """The course of one run. `stopped`: nothing new starts; `host`: the task beside which it goes on; `now`: the loop's
    clock. `grace` rings `late` where requests on the wire are not to be waited for any more.
    """

    def __init__(self, late: Callable[[], None]) -> None:
        self.stage = Stage.MADE
        self.stopped = False
        self.host: asyncio.Task[Any] | None = None
        self._cancellations = 0
        loop = asyncio.get_running_loop()
        self.now: Callable[[], float] = loop.time
        self.grace = Alarm(loop, late)

    def advance(self, stage: Stage) -> None:
        """The run has come to this stage, if it is not further yet; one that is over starts and awaits nothing."""
        self.stage = max(self.stage, stage)
        if stage >= Stage.OVER:
            self.stopped = True
            self.grace.set(math.inf)

    def stop(self) -> None:
        """Start nothing new, from this moment on; from any thread."""
        self.stopped = True

    def attend(self, host: asyncio.Task[Any] | None) -> None:
        """Start nothing while this task, beside which the run goes on, is cancelled, whatever it does until it ends."""
        self.host = host
        self._cancellations = 0 if host is None else host.cancelling()

    def is_abandoned(self) -> bool:
        """Whether the task beside which the run goes on was cancelled, and has not made it good as a time-out does."""
        return self.host is not None and self.host.cancelling() > self._cancellations

    def may_go_on(self) -> bool:
        """Whether something new may be begun, the pause apart."""
        return not (self.stopped or self.is_abandoned())


def stray(cancelled: asyncio.CancelledError, who: str) -> SdrsError:
    """The error for a task that nobody has cancelled: what it awaited was. Raises the cancellation if it is its own."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise cancelled
    error = SdrsError(f"defect: what {who} waited for was cancelled by somebody else")
    error.__cause__ = cancelled
    return error
