"""Blocking work of other people's libraries, in threads that nothing waits for.

`asyncio.to_thread` and anyio's workers are joined when the interpreter ends, so that one request without a time-out
would hold Ctrl-C for minutes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, TypeVarTuple

__all__ = ["NoRoom", "in_daemon_thread", "room"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_MOST = 16


class NoRoom(TimeoutError):
    """As many threads as there is room for have not come to an end."""


def room() -> threading.Semaphore:
    """For so many threads of one owner, those that were abandoned and still run among them."""
    return threading.Semaphore(_MOST)


async def in_daemon_thread(room: threading.Semaphore, function: Callable[[*Ts], T], *args: *Ts) -> T:
    """What `function(*args)` returns or raises, from a daemon thread of its own.

    Cancelling ends the wait at once and abandons the thread: it runs on, and its outcome is dropped. Raises
    `NoRoom` when the room is full: a server that never comes to an end would fill the machine with threads.
    """
    if not room.acquire(blocking=False):
        raise NoRoom
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Callable[[], T]] = loop.create_future()

    def settle(outcome: Callable[[], T]) -> None:
        if not ended.done():
            ended.set_result(outcome)

    def run() -> None:
        outcome = _outcome(function, *args)
        room.release()
        with suppress(RuntimeError):  # the loop is closed: whoever waited is gone
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=run, name="sdrs-async worker", daemon=True).start()
    return (await ended)()


def _outcome(function: Callable[[*Ts], T], *args: *Ts) -> Callable[[], T]:
    """What returns or raises again what the function did."""
    try:
        result = function(*args)
    except BaseException as error:  # whatever it is belongs to the task that waits
        caught = error

        def fail() -> T:
            raise caught

        return fail
    return lambda: result
