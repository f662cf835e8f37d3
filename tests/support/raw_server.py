"""A server of bytes: each test says to the byte what comes back, and when; it counts what arrives."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

__all__ = ["Connection", "RawServer", "answer", "serving"]


def answer(status: int = 204, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """An HTTP answer; `length` is what it claims of its body, if not the truth."""
    head = [f"HTTP/1.1 {status} Reason", *headers]
    if status != 204:  # that has no body, nor a length
        head.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*head, "", ""]).encode() + body


class Connection:
    """One connection that was accepted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Write and wait until it is gone."""
        self.writer.write(data)
        await self.writer.drain()

    async def until_closed(self) -> None:
        """Wait until the client has closed its side."""
        with suppress(ConnectionError):
            while await self.reader.read(65_536):
                pass


Handler = Callable[[Connection, bytes], Awaitable[bytes | None]]


class RawServer:
    """What a server saw: `arrivals`, the head of each request; `connections`, how many were accepted; `closed`, of
    these, how many have ended.
    """

    def __init__(self, handler: Handler) -> None:
        self.arrivals: list[bytes] = []
        self.connections = 0
        self.closed = 0
        self.port = 0
        self._handler = handler
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it listens, as plain http."""
        return f"http://127.0.0.1:{self.port}"

    def header(self, name: str, arrival: int = -1) -> str | None:
        """A header of a request, `None` if it was not sent."""
        for line in self.arrivals[arrival].decode().splitlines()[1:]:
            found, _, value = line.partition(":")
            if found.lower() == name.lower():
                return value.strip()
        return None

    async def until(self, met: Callable[[], bool]) -> None:
        """Wait until something that this server counts is so."""
        async with self._changed:
            await self._changed.wait_for(met)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, one after the other, until either side is done with it."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(Connection(reader, writer))
        finally:
            writer.close()
            self._tasks.discard(task)
            self.closed += 1
            async with self._changed:
                self._changed.notify_all()

    async def _serve(self, connection: Connection) -> None:
        while True:
            head = await connection.reader.readuntil(b"\r\n\r\n")
            self.arrivals.append(head)
            async with self._changed:
                self._changed.notify_all()
            reply = await self._handler(connection, head)
            if reply is None:
                return
            await connection.send(reply)

    async def stop(self) -> None:
        """End every connection that is still open."""
        for task in self._tasks:
            task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """A server on loopback; `handler` gets each request's head, and returns the answer, or `None` to hang up."""
    raw = RawServer(handler)
    server = await asyncio.start_server(raw.accept, "127.0.0.1", 0, ssl=tls, backlog=256)
    raw.port = server.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        server.close()
        await raw.stop()
        await server.wait_closed()
