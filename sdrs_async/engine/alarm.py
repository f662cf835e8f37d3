"""One timer of the event loop that can be moved."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable


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
