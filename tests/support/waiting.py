"""Waiting for a condition instead of a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["until"]


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return once the condition is true; `TimeoutError` after so many seconds on the loop's clock."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is the server's state, which sets no event
            await asyncio.sleep(0.001)
