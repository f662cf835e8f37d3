"""Runs a test on the loop that `SDRS_TEST_LOOP` names, and fails it within seconds where it does not end."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

__all__ = ["LOOP", "new_loop", "on_the_loop"]

LOOP = os.environ.get("SDRS_TEST_LOOP", "asyncio")
# A run that hangs fails after these; on a busy machine what does not hang may well take ten.
_SECONDS = 30.0


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop of the kind that is asked for."""
    if LOOP == "asyncio":
        return asyncio.new_event_loop()
    assert LOOP == "uvloop", f"SDRS_TEST_LOOP is asyncio or uvloop, not {LOOP}"
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def on_the_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a plain test of a coroutine: it has to end within so many seconds and to leave no task behind.

    Not pytest-asyncio: whoever runs the library under `asyncio.run` has no library named in the context of callbacks,
    and a task that does not end when it is cancelled would hang there for ever.
    """

    @functools.wraps(test)
    def run(*args: Any, **how: Any) -> None:
        loop = new_loop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(_in_time(test(*args, **how)))
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    return run


async def _in_time(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({task}, timeout=_SECONDS)
    if not done:
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)
        pytest.fail(f"has not ended within {_SECONDS:g} s, {'nor' if not task.done() else 'but'} when it was cancelled")
    await task
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks left behind: {left}"
    await asyncio.get_running_loop().shutdown_asyncgens()
