"""Looking names up in threads that nothing waits for.

aiohttp's own resolver uses the loop's default executor, whose threads are joined at the end: a name server that never
answers would hold the process.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from aiohttp.abc import AbstractResolver, ResolveResult

from sdrs_async.transport.threads import NoRoom, in_daemon_thread, room

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
        """The addresses of a host. Raises `OSError` if there are none, or none within the time.

        A look-up for which there is no room waits, within the same time, until another one has come back.
        """
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
