"""Between requests and the socket: reading a target, getting an answer out when it is due, or losing it."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import time
from email.utils import formatdate

from aiohttp import web

from sdrs_async.simulator.answers import Answer

# A socket option with which closing a connection resets it, as a process that dies would.
_RESET = struct.pack("ii", 1, 0)
# Rounds of the loop in which a connection that is cut off has long ended.
_CLOSING_ROUNDS = 100


class Latency:
    """Seconds from arrival to answer: `base`, and a part drawn evenly from 0 to `jitter`, the same for the same seed.

    `ValueError` for what is no time, or for ever.
    """

    def __init__(self, base: float, jitter: float, seed: int) -> None:
        if not (0 <= base < float("inf") and 0 <= jitter < float("inf")):
            raise ValueError(f"latency and jitter must be 0 seconds or more, not {base} and {jitter}")
        self._base = base
        self._jitter = jitter
        self._seed = seed
        self.forget()

    def forget(self) -> None:
        """As if nothing had been drawn yet."""
        self._random = random.Random(f"{self._seed}/jitter")  # noqa: S311 - it has to repeat

    def draw(self) -> float:
        """That of the next arrival."""
        return self._base + (self._random.uniform(0, self._jitter) if self._jitter else 0.0)


def path_and_query(target: str) -> tuple[str, str]:
    """Both as sent. A client that takes this server for its proxy sends the whole URL."""
    if not target.startswith("/"):
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, _, query = target.partition("?")
    return path, query


async def deliver(request: web.BaseRequest, answer: Answer, due: float) -> None:
    """Wait until the answer is due, in monotonic seconds. A lost one never is: the wait ends when its connection does.

    The server must cancel its handlers when their connection ends.
    """
    wait = due - time.monotonic()
    if wait > 0 and answer.lost != "hang":
        await asyncio.sleep(wait)
    if answer.lost == "reset" and request.transport is not None:
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        request.transport.abort()
    if answer.lost:
        await asyncio.get_running_loop().create_future()


def response(answer: Answer, request_id: str, now: float) -> web.Response:
    """The answer as it goes out, dated `now` in POSIX seconds. One that lies about its length is the last as well."""
    headers = {"X-Request-Id": request_id, "Date": formatdate(now, usegmt=True)}
    if answer.body:
        headers["Content-Type"] = "application/json"
    headers.update(answer.headers)
    if answer.length is not None:
        headers["Content-Length"] = str(answer.length)
    sent = web.Response(status=answer.status, body=answer.body or None, headers=headers)
    if answer.last or answer.length is not None:
        sent.force_close()
    return sent


async def close(runner: web.ServerRunner, server: web.Server) -> None:
    """Stop listening and cut off every connection, which ends the handlers that wait on them."""
    for site in runner.sites:
        await site.stop()
    await asyncio.sleep(0)
    for _ in range(_CLOSING_ROUNDS):
        for connection in server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        if not server.connections:
            break
        await asyncio.sleep(0)
    await runner.cleanup()
