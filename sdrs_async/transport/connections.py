"""Connections whose answers belong to their requests, and that are cut off at once when they are given up.

What aiohttp leaves open here (seen with 3.14.0 to 3.14.5, with both of its parsers):
- it hands out a kept-alive connection on which bytes wait that nobody asked for, and credits them to the next request
  (aiohttp issue 13656);
- it gives up a 204 or 304 with bytes behind its head, as servlet containers and some gateways send them (compare its
  issue 5106): the parser meets them in the same piece, fails, and loses the answer that it had read;
- it gives up a 204 for a field in its head that no other client minds;
- it closes politely, so that what is buffered still goes out after a cancellation.

HTTP/1.1 gives an answer no number. What arrives before a request is written is known to be no answer to that request;
what arrives after it cannot be told apart from one.
"""

from __future__ import annotations

import asyncio
import functools
import select
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from sdrs_async.transport.heads import LONGEST, may_be_head, plain_head, split_head

# The note on every exception of a request that failed before a byte of it was written.
NOTHING_SENT = "nothing of the request was sent"

# Turns of the loop in which what lies in the kernel's buffer reaches the protocol, through TLS too; asyncio needs two.
_TURNS = 5
_RESET = struct.pack("ii", 1, 0)


class Incoming(ResponseHandler):
    """What comes back on one connection. `awaited`: the head of an answer is still to come."""

    awaited = True
    _head = b""  # what came of a head that has not ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket: it tells what is there to be read."""
        super().connection_made(transport)
        self._socket = transport.get_extra_info("socket")
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        self.has_unread = _readable(self._socket.fileno())

    def connection_lost(self, exc: BaseException | None) -> None:
        """A connection that breaks off in the head of an answer is an error."""
        if exc is None and self._head:  # aiohttp would not say where
            self.set_exception(aiohttp.ServerDisconnectedError("the server hung up in the head of its answer"))
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; without any data aiohttp has its parser go on after a pause."""
        if self.awaited and self._parser is not None:  # without a parser nothing has been asked
            self._await_head(self._head + data)
        elif data and self._is_answered():
            self.close()  # nobody asked for it, or it stands where no body can be
        else:
            super().data_received(data)

    def expect_answer(self) -> None:
        """A request is to be sent on it."""
        self.awaited = True

    def _await_head(self, data: bytes) -> None:
        """Feed the parser the head once all of it is there, apart from what follows: failing there would lose it."""
        head, rest = split_head(data, len(self._head))
        self._head = b""
        if head:
            head, is_last = plain_head(head)
            if is_last:
                self.force_close()
            self.awaited = False
            super().data_received(head)
            if rest and self.exception() is None:
                self.data_received(rest)
        elif not may_be_head(rest):
            super().data_received(rest)  # the parser says what is wrong with it
        elif len(rest) <= LONGEST:
            self._head = rest
        else:
            self.close()
            self.set_exception(aiohttp.ClientConnectionError(f"the answer's head is longer than {LONGEST >> 10} KiB"))

    def _is_answered(self) -> bool:
        return not self.awaited and (self._payload is None or self._payload.is_eof())

    def spoke_first(self) -> bool:
        """Whether a connection that was never used has got, or lost, something already."""
        # What the kernel holds of TLS may be its own: tickets, which come at any time.
        return bool(self.should_close or not self.is_connected() or (not self._is_tls and self.has_unread()))

    def close(self) -> None:
        """Cut the connection off: nothing buffered goes out, in an incomplete answer not even what the kernel holds."""
        if self.is_connected() and not self._is_answered():
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.abort()


def _readable(descriptor: int) -> Callable[[], object]:
    """What tells, without waiting, whether there is something to read; true at the end of the stream, too."""
    if not hasattr(select, "poll"):  # Windows, whose select() takes any descriptor
        return lambda: select.select([descriptor], [], [], 0)[0]
    poll = select.poll()  # select() fails for descriptors above 1023
    poll.register(descriptor, select.POLLIN)
    return functools.partial(poll.poll, 0)


class Connections(aiohttp.TCPConnector):
    """A pool, of any size with `limit` 0, that hands out no connection on which something waits to be read."""

    def __init__(self, *, limit: int, ssl: ssl.SSLContext | bool, resolver: AbstractResolver) -> None:
        super().__init__(limit=limit, ssl=ssl, resolver=resolver)
        # There is no public way to name the protocol (aiohttp connector.py); test_connections.py notices its end.
        self._factory: Any = functools.partial(Incoming, loop=self._loop)

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: Any,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - as overridden
    ) -> Connection:
        """A connection whose next byte arrives after this moment. What is raised carries the note `NOTHING_SENT`."""
        try:
            while True:
                connection = await super().connect(req, traces, timeout)
                incoming: Any = connection.protocol
                if incoming.awaited:
                    await self._check_new(connection, incoming, req)
                    return connection
                if not incoming.has_unread():
                    incoming.expect_answer()
                    return connection
                connection.close()
        except BaseException as error:
            error.add_note(NOTHING_SENT)
            raise

    async def _check_new(self, connection: Connection, incoming: Incoming, req: aiohttp.ClientRequest) -> None:
        """Raise `ClientConnectorError` if the server spoke, or hung up, before it was asked."""
        try:
            for _ in range(_TURNS):
                if not incoming.has_unread():
                    break
                await asyncio.sleep(0)
            if incoming.spoke_first():
                error = OSError(None, "the server spoke, or hung up, before it was asked")
                raise aiohttp.ClientConnectorError(req.connection_key, error)
        except BaseException:
            connection.close()
            raise
