"""Blocking work of other people's libraries, in threads that nothing waits for.

`asyncio.to_thread` and anyio's workers are joined when the interpreter ends, so that one request without a time-out
would hold Ctrl-C for minutes. Such work cannot be cancelled either: an `Errand` at least takes its connections away.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_MOST = 16
_here = threading.local()


class Abandoned(BaseException):
    """Ends the work of a thread for which nobody waits any more, as a cancellation ends a task; nobody sees it."""


class Errand:
    """What a thread was sent for, and the connections that it uses. Once it is abandoned, none of them carries a byte.

    `go_on` and `finish` belong to the thread, `abandon` to whoever sent it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._abandoned = False
        self._connections: list[socket.socket] = []

    def go_on(self, connection: socket.socket | None = None) -> None:
        """Before anything is written; `connection`: one that the errand uses from now on. Raises `Abandoned`."""
        with self._lock:
            if self._abandoned:
                raise Abandoned
            if connection is not None:
                # A handle of its own: the library may close, or wrap in TLS, the other one while this is shut down.
                self._connections.append(socket.fromfd(connection.fileno(), connection.family, connection.type))

    def abandon(self) -> None:
        """Shut the connections down, which wakes the thread where it reads or writes, and let it open no other."""
        with self._lock:
            self._abandoned = True
            for connection in self._connections:
                with suppress(OSError):  # the other side was faster
                    connection.shutdown(socket.SHUT_RDWR)

    def finish(self) -> None:
        """The thread has ended: let go of what the library may keep open."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()


def errand_of_this_thread() -> Errand | None:
    """The errand that this thread is on; `None` in a thread that `in_daemon_thread` did not start."""
    return getattr(_here, "errand", None)


class NoRoom(TimeoutError):
    """As many threads as there is room for have not come to an end."""


def room() -> threading.Semaphore:
    """For so many threads of one owner, those that were abandoned and still run among them."""
    return threading.Semaphore(_MOST)


async def in_daemon_thread(room: threading.Semaphore, function: Callable[[*Ts], T], *args: *Ts) -> T:
    """What `function(*args)` returns or raises, from a daemon thread of its own.

    Cancelling ends the wait at once and abandons the thread and its `Errand`: whatever comes of it is dropped. Raises
    `NoRoom` when the room is full: a server that never comes to an end would fill the machine with threads.
    """
    if not room.acquire(blocking=False):
        raise NoRoom
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Callable[[], T]] = loop.create_future()
    errand = Errand()

    def settle(outcome: Callable[[], T]) -> None:
        if not ended.done():
            ended.set_result(outcome)

    def run() -> None:
        _here.errand = errand
        outcome = _outcome(function, *args)
        errand.finish()
        room.release()
        with suppress(RuntimeError):  # the loop is closed: whoever waited is gone
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=run, name="sdrs-async worker", daemon=True).start()
    try:
        outcome = await ended
    except BaseException:
        errand.abandon()
        raise
    return outcome()


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
