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
        is_full = False
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    with suppress(NoRoom):
                        return await in_daemon_thread(_ROOM, _look_up, host, port, family)
                    is_full = True
                    await asyncio.sleep(_NEXT_LOOK)
                    is_full = False
        except TimeoutError:
            what = (
                "names cannot be looked up: too many look-ups have not come back"
                if is_full
                else "the name was not looked up"
            )
            raise OSError(None, f"{what} within {self._seconds:g} s") from None

    async def close(self) -> None:
        """Nothing is held."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [_result(host, port, found_family, proto, address) for found_family, _, proto, _, address in found]


def _result(
    host: str, port: int, family: socket.AddressFamily, proto: int, address: tuple[str | int | bytes, ...]
) -> ResolveResult:
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    # With its scope, which a link-local address is nothing without.
    shown = socket.getnameinfo(address, numeric)[0]  # type: ignore[arg-type]  # a union, as getaddrinfo gives it
    return ResolveResult(
        hostname=host, host=shown, port=port, family=family, proto=proto,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )  # fmt: skip
