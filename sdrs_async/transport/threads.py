"""Blocking work of other people's libraries, and of looking names up, in threads that nothing waits for.

asyncio's, anyio's and aiohttp's own are joined when the interpreter ends, so that one request without a time-out would
hold Ctrl-C for minutes. Such work cannot be cancelled either: an `Errand` at least takes its connections away.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future as Outcome
from contextlib import suppress
from typing import TypeVar, TypeVarTuple

from aiohttp.abc import AbstractResolver, ResolveResult

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_MOST = 16
_here = threading.local()


class Abandoned(BaseException):
    """Ends the work of a thread for which nobody waits any more, as a cancellation ends a task; nobody sees it."""


class Errand:
    """What a thread was sent for, with its connections, which carry no byte once its sender `abandon`s it."""

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
    ended: asyncio.Future[None] = loop.create_future()
    outcome: Outcome[T] = Outcome()
    errand = Errand()

    def wake() -> None:
        if not ended.done():
            ended.set_result(None)

    def run() -> None:
        _here.errand = errand
        try:
            outcome.set_result(function(*args))
        except BaseException as error:  # whatever it is belongs to the task that waits
            outcome.set_exception(error)
        errand.finish()
        room.release()
        with suppress(RuntimeError):  # the loop is closed: whoever waited is gone
            loop.call_soon_threadsafe(wake)

    threading.Thread(target=run, name="sdrs-async worker", daemon=True).start()
    try:
        await ended
    except BaseException:
        errand.abandon()
        raise
    return outcome.result()


# One for the process: a look-up that was given up goes on in its thread, whichever client began it.
_ROOM = room()
# Seconds between two looks for room: a fleet may have more names than there is room for.
_NEXT_LOOK = 0.05
_NOT_LOOKED_UP = "the name was not looked up"
_TOO_MANY = "names cannot be looked up: too many look-ups have not come back"


class Lookups(AbstractResolver):
    """A resolver for aiohttp. A look-up takes at most `seconds`; aiohttp lets equal ones share it, and caches it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host; waits for room within the time. Raises `OSError` if there are none by then."""
        what = _NOT_LOOKED_UP
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    with suppress(NoRoom):
                        return await in_daemon_thread(_ROOM, _look_up, host, port, family)
                    what = _TOO_MANY
                    await asyncio.sleep(_NEXT_LOOK)
                    what = _NOT_LOOKED_UP
        except TimeoutError:
            raise OSError(None, f"{what} within {self._seconds:g} s") from None

    async def close(self) -> None:
        """Nothing is held."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return [
        ResolveResult(hostname=host, host=_shown(address), port=port, family=found_family, proto=proto, flags=numeric)
        for found_family, _, proto, _, address in socket.getaddrinfo(
            host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    ]


def _shown(address: tuple[str | int | bytes, ...]) -> str:
    """With its scope, which a link-local address is nothing without."""
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    return socket.getnameinfo(address, numeric)[0]  # type: ignore[arg-type]  # a union, as getaddrinfo gives it
