"""An answer belongs to its request, and a try that is given up writes nothing any more: on real sockets."""

from __future__ import annotations

import asyncio
import resource
import select
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import client_proto, http_parser
from aiohttp.http_parser import HttpResponseParserPy

from sdrs_async import Limits, RetryPolicy, StaticToken, Target, stream
from sdrs_async.auth import Traits
from sdrs_async.cloud.client import Client
from sdrs_async.models import Reply, Verdict
from sdrs_async.transport import connections, heads
from sdrs_async.transport.connections import Connections, Incoming
from sdrs_async.transport.threads import Lookups
from tests.support.raw_server import Connection, RawServer, answer, serving
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

TARGET = Target("0123456789abcdef0123456789abcdef", "decf224d-87fe-403a-8721-037a1a45c287")
LONG = 60.0  # seconds that no test waits for
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
REFUSED = answer(500, b'{"error":{"code":"SDRS.0009","message":"no permission"}}')


@pytest.fixture(params=["C", "Python", "strict"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Either parser of aiohttp: it takes the other where its extensions are not built; and as strict as in Python's
    development mode.
    """
    if request.param != "C":
        monkeypatch.setattr(client_proto, "HttpResponseParser", HttpResponseParserPy)
    if request.param == "strict":
        monkeypatch.setattr(http_parser, "DEBUG", True)
        monkeypatch.setattr(HttpResponseParserPy, "lax", False)
        monkeypatch.setattr(heads, "_IS_STRICT", True)
    return str(request.param)


def _client(url: str, *, concurrency: int = 1, ca_file: str | None = None) -> Client:
    return Client(
        url,
        StaticToken("a-token"),
        limits=Limits(concurrency=concurrency),
        retry=RetryPolicy(timeout=LONG),
        ca_file=ca_file,
    )


def _pool(client: Client) -> Any:
    """The client's pool, to look at its connections from outside."""
    return client._session.connector


def _idle(client: Client) -> Incoming:
    """The one connection that waits in the pool."""
    ((connections,),) = [list(_pool(client)._conns.values())]
    ((incoming, _),) = connections
    assert isinstance(incoming, Incoming)
    return incoming


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """A server's side of TLS on loopback, and the file with its authority."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return context, str(tmp_path / "ca.pem")


def test_aiohttp_still_asks_the_factory() -> None:
    """`_factory` is private: a release of aiohttp that does without is noticed here."""

    async def main() -> str:
        async with Connections(limit=1, ssl=True, resolver=Lookups(1)) as pool:
            return type(pool._factory()).__name__

    assert asyncio.run(main()) == "Incoming"


# ---- what was not asked for


async def test_an_answer_too_many_is_credited_to_nobody() -> None:
    """One 204 that nobody asked for, on an idle connection, shifts no later answer of a run."""
    said = asyncio.Event()

    async def handler(connection: Connection, head: bytes) -> bytes:
        if len(server.arrivals) > 1:
            return REFUSED
        await connection.send(NO_CONTENT)
        await until(lambda: len(seen) == 1)
        await connection.send(NO_CONTENT)
        said.set()
        return b""

    async def targets() -> AsyncIterator[tuple[str, str]]:
        for number in range(4):
            yield TARGET.project_id, f"decf224d-87fe-403a-8721-{number:012d}"
            await said.wait()

    seen: list[tuple[str, int | None]] = []
    async with serving(handler) as server:
        limits, retry = Limits(None, project_concurrency=1), RetryPolicy(attempts=1)
        async with stream(targets(), endpoint=server.url, auth=StaticToken("x"), limits=limits, retry=retry) as run:
            async for outcome in run:
                seen.append((outcome.verdict, outcome.status_code))  # noqa: PERF401 - the server waits for the first
    assert seen == [("deleted", 204), *[("forbidden", 500)] * 3]
    assert len(server.arrivals) == 4


@pytest.mark.parametrize("extra", [NO_CONTENT, NO_CONTENT[:9], b"0\r\n\r\n", b"\r\n", REFUSED, b"x"])
@pytest.mark.parametrize("over", ["plain", "tls"])
@pytest.mark.parametrize("read", [False, True], ids=["unread", "read"])
async def test_a_connection_with_unread_bytes_is_not_used_again(
    extra: bytes, read: bool, over: str, parser: str, tls: tuple[ssl.SSLContext, str]
) -> None:
    """Whatever came after the answer, and whether the loop has read it yet: the next request has another connection."""
    go, gone = asyncio.Event(), asyncio.Event()

    async def handler(connection: Connection, head: bytes) -> bytes:
        if len(server.arrivals) > 1:
            return REFUSED
        await connection.send(NO_CONTENT)
        await go.wait()
        await connection.send(extra)
        gone.set()
        await connection.until_closed()
        return b""

    context, ca_file = tls
    async with serving(handler, context if over == "tls" else None) as server:
        url = server.url.replace("http:", "https:") if over == "tls" else server.url
        async with _client(url, ca_file=ca_file) as client:
            assert (await client.send(TARGET, LONG)).status_code == 204
            idle = _idle(client)
            go.set()
            await gone.wait()
            await until(lambda: idle.has_unread() or not idle.is_connected())
            if read:
                await until(lambda: not idle.has_unread() or not idle.is_connected())
            reply = await client.send(TARGET, LONG)
            assert (reply.verdict, reply.status_code) == (Verdict.FORBIDDEN, 500)
            assert server.connections == 2
            assert not idle.is_connected()


@pytest.mark.parametrize("over", ["plain", "tls"])
async def test_the_kernels_buffer_is_looked_at(over: str, tls: tuple[ssl.SSLContext, str]) -> None:
    """Bytes that the event loop had no turn to read are found, too."""
    context, ca_file = tls
    with _Blocking(NO_CONTENT, NO_CONTENT, tls=context if over == "tls" else None) as server:
        async with _client(server.url, ca_file=ca_file) as client:
            assert (await client.send(TARGET, LONG)).status_code == 204
            idle = _idle(client)
            server.say()  # and the loop has no turn until the next request is written
            assert select.select([idle._socket.fileno()], [], [], 20)[0]
            assert (await client.send(TARGET, LONG)).status_code == 500
        assert server.accepted == 2


async def test_a_connection_that_was_hung_up_is_not_used_again() -> None:
    """The server's end of an idle connection costs no try."""
    with _Blocking(NO_CONTENT, None) as server:
        async with _client(server.url) as client:
            assert (await client.send(TARGET, LONG)).status_code == 204
            idle = _idle(client)
            server.say()
            assert select.select([idle._socket.fileno()], [], [], 20)[0]
            assert (await client.send(TARGET, LONG)).status_code == 500


async def test_many_poisoned_connections_end() -> None:
    """Each is closed once, and the request goes out on a fresh one: no endless loop, no place lost in the pool."""
    release = asyncio.Event()

    async def handler(connection: Connection, head: bytes) -> bytes:
        if len(server.arrivals) > 8:
            return REFUSED
        await server.until(lambda: len(server.arrivals) >= 8)
        await connection.send(NO_CONTENT)
        await release.wait()
        return NO_CONTENT

    async with serving(handler) as server, _client(server.url, concurrency=8) as client:
        replies = await asyncio.gather(*(client.send(TARGET, LONG) for _ in range(8)))
        assert {reply.status_code for reply in replies} == {204}
        release.set()
        await server.until(lambda: server.closed == 8)
        replies = await asyncio.gather(*(client.send(TARGET, LONG) for _ in range(16)))
        assert {reply.status_code for reply in replies} == {500}
        assert server.connections == 16


async def test_a_descriptor_above_1023_is_no_trouble() -> None:
    """select() would fail there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1200, hard), hard))
    held = [socket.socket() for _ in range(1050)]
    try:
        async with _answering(NO_CONTENT) as (server, client):
            for _ in range(3):
                assert (await client.send(TARGET, LONG)).status_code == 204
            assert _idle(client)._socket.fileno() > 1023
            assert server.connections == 1
    finally:
        for each in held:
            each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class _Blocking:
    """A server in threads of its own: the first connection gets `first`, then, when told, `later` (`None`: its end);
    all others a refusal. With `greeting` it says that to everybody before it is asked.
    """

    def __init__(
        self, first: bytes, later: bytes | None, *, tls: ssl.SSLContext | None = None, greeting: bytes | None = b""
    ) -> None:
        self.accepted = 0
        self.requests: list[bytes] = []
        self._answers = first, later
        self._tls = tls
        self._greeting = greeting
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []

    def __enter__(self) -> _Blocking:
        self._told, self.greeted = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._told.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()

    def say(self) -> None:
        """Let the first connection get what comes later."""
        self._told.set()

    def _serve(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            thread = threading.Thread(target=self._one, args=(accepted, self.accepted == 1))
            self._threads.append(thread)
            thread.start()

    def _one(self, accepted: socket.socket, is_first: bool) -> None:
        accepted.settimeout(20)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what it says is there at once
        try:
            with self._tls.wrap_socket(accepted, server_side=True) if self._tls else accepted as peer:
                if self._greeting != b"":
                    if self._greeting is None:
                        peer.shutdown(socket.SHUT_RDWR)
                    else:
                        peer.sendall(self._greeting)
                    self.greeted.set()
                    if self._greeting is None:
                        return
                while data := peer.recv(65_536):
                    self.requests.append(data)
                    peer.sendall(self._answers[0] if is_first else REFUSED)
                    if is_first:
                        assert self._told.wait(20)
                        if self._answers[1] is None:
                            return
                        peer.sendall(self._answers[1])
        except OSError:
            pass


@asynccontextmanager
async def _answering(reply: bytes) -> AsyncIterator[tuple[RawServer, Client]]:
    async def handler(connection: Connection, head: bytes) -> bytes:
        return reply

    async with serving(handler) as server, _client(server.url) as client:
        yield server, client


# ---- a server that speaks before it is asked


@pytest.mark.parametrize(
    "greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", NO_CONTENT, NO_CONTENT[:9], b"220 mail ESMTP\r\n", None]
)
@pytest.mark.parametrize("over", ["plain", "tls"])
async def test_what_is_said_before_the_first_request_is_no_answer(
    greeting: bytes | None, over: str, tls: tuple[ssl.SSLContext, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A banner, a 204 or a hang-up on a new connection: unreachable, nothing was sent, one connection was tried."""
    create = Connections._create_connection

    async def slowly(self: Connections, *arguments: Any) -> Any:
        incoming = await create(self, *arguments)
        assert server.greeted.wait(20)  # the loop stands still: only the kernel has the greeting
        assert select.select([incoming._socket.fileno()], [], [], 20)[0]  # type: ignore[attr-defined]
        return incoming

    monkeypatch.setattr(Connections, "_create_connection", slowly)
    context, ca_file = tls
    with _Blocking(NO_CONTENT, None, tls=context if over == "tls" else None, greeting=greeting) as server:
        async with _client(server.url, ca_file=ca_file) as client:
            reply = await client.send(TARGET, LONG)
            assert (reply.verdict, reply.status_code) == (Verdict.UNREACHABLE, None)
            assert (reply.lost, reply.retryable, reply.timed_out) == (False, True, False)
            assert "the server spoke, or hung up, before it was asked" in reply.message
            assert not _pool(client)._acquired
    assert (server.accepted, server.requests) == (1, [])


async def test_the_tickets_of_tls_are_no_greeting(
    tls: tuple[ssl.SSLContext, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What TLS 1.3 sends after its handshake, before it was asked, is none of the answer."""
    create, waiting = Connections._create_connection, []

    async def slowly(self: Connections, *arguments: Any) -> Any:
        incoming = await create(self, *arguments)
        waiting.append(select.select([incoming._socket.fileno()], [], [], 20)[0])  # type: ignore[attr-defined]
        return incoming

    monkeypatch.setattr(Connections, "_create_connection", slowly)
    context, ca_file = tls
    with _Blocking(NO_CONTENT, None, tls=context) as server:
        async with _client(server.url, ca_file=ca_file) as client:
            assert (await client.send(TARGET, LONG)).status_code == 204
            assert waiting[0]
            assert (await client.send(TARGET, 0.05)).timed_out
    assert server.accepted == 1


async def test_what_tls_says_for_itself_is_no_greeting_whenever_it_comes(
    tls: tuple[ssl.SSLContext, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ticket that arrives while the connection is looked at, so that the kernel has always something to read."""
    context, ca_file = tls
    monkeypatch.setattr(connections, "_readable", lambda descriptor: lambda: True)
    with _Blocking(NO_CONTENT, None, tls=context) as server:
        async with _client(server.url, ca_file=ca_file) as client:
            assert (await client.send(TARGET, LONG)).status_code == 204
    assert server.accepted == 1


# ---- a 204 that announces a body

HEAD = b"HTTP/1.1 204 No Content\r\nServer: api-gateway\r\n"
BODIES = {
    "chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked-close": HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
    "length": HEAD + b"Content-Length: 2\r\n\r\n{}",
    "length-close": HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
    "upper": HEAD + b"TRANSFER-ENCODING: CHUNKED\r\n\r\n0\r\n\r\n",
    "lower": HEAD + b"content-length:2\r\n\r\n{}",
    "gzip chunked": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "gzip": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + b"\x1f\x8b" + b"\0" * 18,
    "brotli": HEAD + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\n\x06",
    "a whole chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "not announced": HEAD + b"\r\n{}",
    "another answer": HEAD + b"Content-Length: 30\r\n\r\nHTTP/1.1 500 Oops\r\nA: b\r\n\r\n...",
    "HTTP/1.0": b"HTTP/1.0 204 No Content\r\nContent-Length: 2\r\n\r\n{}",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: a\r\n\r\n"
    + HEAD
    + b"Content-Length: 2\r\n\r\n{}",
    "line feeds": HEAD.replace(b"\r", b"") + b"Content-Length: 2\n\n{}",
}


def _handler_of(*pieces: bytes) -> Callable[[Connection, bytes], Awaitable[bytes]]:
    async def handler(connection: Connection, head: bytes) -> bytes:
        for piece in pieces[:-1]:
            await connection.send(piece)
            await asyncio.sleep(0.003)
        return pieces[-1]

    return handler


async def _two_replies(*pieces: bytes) -> tuple[RawServer, list[Reply]]:
    async with serving(_handler_of(*pieces)) as server, _client(server.url) as client:
        return server, [await client.send(TARGET, LONG), await client.send(TARGET, LONG)]


ODD = {
    "length twice": HEAD + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "lengths that differ": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length and chunked": HEAD + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    **{
        f"length {value!r}": HEAD + b"Content-Length:%b\r\n\r\n" % value for value in (b"", b"0, 0", b"-1", b"+2", b"x")
    },
    "a length too large": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
    **{repr(line): HEAD + line + b"\r\n\r\n" for line in (b"Server : x", b"none", b": x", b"X\xc3\xa9: x", b"X Y: x")},
    **{repr(line): HEAD + line + b"\r\n\r\n" for line in (b"A: a\0b", b"A: a\rb", b"A: a\1b", b"A: a\r\n b")},
    "two blanks": b"HTTP/1.1  204 No Content\r\n\r\n",
    "carriage returns": b"HTTP/1.1 204 No Content\r\r\nServer: x\r\r\n\r\r\n",
    "100 interim": b"HTTP/1.1 102 Processing\r\n\r\n" * 100 + HEAD + b"Content-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("mode", ODD)
async def test_an_odd_204_is_a_204(mode: str, parser: str) -> None:
    """What other clients read is read: the deletion is not repeated, and its connection not used again."""
    server, replies = await _two_replies(ODD[mode])
    assert [(reply.verdict, reply.status_code) for reply in replies] == [(Verdict.DELETED, 204)] * 2
    assert (len(server.arrivals), server.connections) == (2, 2)


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"Content-Security-Policy: " + b"x" * 9000 + b"\r\n\r\n",
        HEAD + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
        HEAD + b"".join(b"X-%d: a\r\n" % number for number in range(1000)) + b"\r\n",
        answer(403, b"{}", "X: " + "x" * 9000),
        answer(200, b"{}", *(f"X-{number}: a" for number in range(150))),
        b"HTTP/1.1 102 Processing\r\n\r\n" * 1000 + NO_CONTENT,
        b"HTTP/1.1 102 Processing\r\nConnection: close\r\n\r\n" + NO_CONTENT,
    ],
)
async def test_a_long_head_is_read(data: bytes, parser: str) -> None:
    """Gateways send long fields, many of them, and interim answers; none of that is in disorder."""
    server, replies = await _two_replies(data)
    assert {reply.status_code for reply in replies} <= {200, 204, 403}
    assert (len(server.arrivals), server.connections) == (2, 1)


async def test_a_head_without_end_ends(parser: str) -> None:
    """More than 256 KiB of it are no answer."""
    _, (reply, _) = await _two_replies(HEAD + b"X: a\r\n" * 50_000)
    assert (reply.verdict, reply.status_code, reply.lost) == (Verdict.UNREACHABLE, None, True)
    assert reply.message == "the answer's head is longer than 256 KiB"


@pytest.mark.parametrize("head", [HEAD + b"Set-Cookie: session=of-somebody\r\n", HEAD[:20], b"HTTP/1.1 403 No\r\nA: b"])
async def test_a_head_that_is_cut_off_is_named(head: bytes, parser: str) -> None:
    """Nothing of what the head held is shown."""

    async def cut_off(connection: Connection, _: bytes) -> None:
        await connection.send(head)

    async with serving(cut_off) as server, _client(server.url) as client:
        reply = await client.send(TARGET, LONG)
    assert (reply.verdict, reply.lost) == (Verdict.UNREACHABLE, True)
    assert reply.message == "the server hung up in the head of its answer"


@pytest.mark.parametrize("mode", BODIES)
async def test_a_204_with_a_body_is_a_204(mode: str, parser: str) -> None:
    """It is deleted, whatever it says of a body; each DELETE goes out once, and each on a connection of its own."""
    server, replies = await _two_replies(BODIES[mode])
    assert [(reply.verdict, reply.status_code) for reply in replies] == [(Verdict.DELETED, 204)] * 2
    assert (len(server.arrivals), server.connections) == (2, 2)


@pytest.mark.parametrize("mode", ["chunked", "chunked-close", "length", "gzip", "a whole chunk"])
async def test_its_bytes_may_come_late(mode: str, parser: str) -> None:
    """The body that was announced comes milliseconds after its head: the connection was closed before."""
    end = BODIES[mode].index(b"\r\n\r\n") + 4
    server, replies = await _two_replies(BODIES[mode][:end], BODIES[mode][end:])
    assert [reply.status_code for reply in replies] == [204, 204]
    assert (len(server.arrivals), server.connections) == (2, 2)


@pytest.mark.parametrize("mode", ["chunked", "length", "interim", "line feeds", "length and chunked"])
async def test_it_may_be_split_at_any_byte(mode: str, parser: str) -> None:
    """However the network cuts the answer up, it is the same."""
    data = {**BODIES, **ODD}[mode]
    for at in range(1, len(data)):
        incoming, message = await _fed(data[:at], data[at:])
        assert message.code == 204
        assert incoming.should_close or not incoming.is_connected()
    incoming, message = await _fed(*(data[at : at + 1] for at in range(len(data))))
    assert message.code == 204
    assert incoming.should_close or not incoming.is_connected()


class _Transport(asyncio.Transport):
    """A connection that goes nowhere."""

    def __init__(self) -> None:
        super().__init__({"socket": socket.socket()})
        self.ended = False

    def is_closing(self) -> bool:
        return self.ended

    def abort(self) -> None:
        self.ended = True

    close = abort


async def _fed(*pieces: bytes) -> tuple[Incoming, Any]:
    """A protocol that gets these pieces as its answer, and the final head that it read."""
    incoming, transport = Incoming(asyncio.get_running_loop()), _Transport()
    incoming.connection_made(transport)
    incoming.set_response_params(read_until_eof=True, auto_decompress=False)
    for piece in pieces:
        if not transport.ended:
            incoming.data_received(piece)
    message, _ = await incoming.read()
    while message.code < 200:
        message, _ = await incoming.read()
    transport.get_extra_info("socket").close()
    return incoming, message


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n{}", 304),
        (b"HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n{}", 205),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n{}", 200),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 500 Oops\r\n\r\n", 200),
        (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", 403),
        (b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n0\r\n\r\n", 403),
    ],
)
async def test_bytes_behind_any_answer_do_not_lose_it(data: bytes, status: int, parser: str) -> None:
    """The answer was read: it counts, and its connection is not used again."""
    server, replies = await _two_replies(data)
    assert [reply.status_code for reply in replies] == [status] * 2
    assert (len(server.arrivals), server.connections) == (2, 2)


@pytest.mark.parametrize(
    "data",
    [
        NO_CONTENT,
        HEAD + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 103 Hints\r\n\r\n" + NO_CONTENT,
        answer(500, b'{"code":"SDRS.0009","message":"a\n\n\r\n\r\nb"}'),
        b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ],
)
async def test_an_answer_in_order_keeps_its_connection(data: bytes, parser: str) -> None:
    """What is as it should be goes on as before."""
    server, replies = await _two_replies(data)
    assert replies[0].status_code == replies[1].status_code is not None
    assert (len(server.arrivals), server.connections) == (2, 1)


@pytest.mark.parametrize("flood", [b"\r\n", b"\n", b"HTTP/1.1 103 Hints\r\n\r\n", b"x\n\n"])
async def test_a_flood_before_the_answer_is_bounded(flood: bytes, parser: str) -> None:
    """Blank lines or interim answers without end are no answer, and hold nothing up."""
    pieces = 0
    incoming, transport = Incoming(asyncio.get_running_loop()), _Transport()
    incoming.connection_made(transport)
    incoming.set_response_params(read_until_eof=True, auto_decompress=False)
    fed = incoming._parser

    class Counting:
        def feed_data(self, data: bytes) -> Any:
            nonlocal pieces
            pieces += 1
            return fed.feed_data(data)  # type: ignore[union-attr]

    incoming._parser = Counting()  # type: ignore[assignment]
    incoming.data_received(flood * 10_000)
    assert pieces <= 101
    assert incoming.awaited
    transport.get_extra_info("socket").close()


# ---- a try that is given up


class _Listener:
    """A server that accepts one connection and takes what comes on it, byte by byte."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self.peer = self._listener

    async def accept(self) -> None:
        """Wait for the connection."""
        self.peer, _ = await asyncio.get_running_loop().sock_accept(self._listener)

    async def receive(self) -> bytes:
        """Wait for some bytes."""
        return await asyncio.get_running_loop().sock_recv(self.peer, 65_536)

    async def rest(self) -> tuple[int, str]:
        """How many bytes came in all until the end, and how it ended."""
        taken = 0
        try:
            while data := await self.receive():
                taken += len(data)
        except ConnectionResetError:
            return taken, "reset"
        return taken, "closed"

    def close(self) -> None:
        """End both sockets."""
        self.peer.close()
        self._listener.close()


@pytest.fixture
def listener() -> Iterator[_Listener]:
    """One connection at a time, seen from the server."""
    listening = _Listener()
    yield listening
    listening.close()


class _Long:
    """A credential that is longer than all buffers on the way."""

    async def sign(self, *_: object) -> dict[str, str]:
        return {"X-Auth-Token": "t" * 20_000_000}

    def invalidate(self, *_: object) -> bool:
        return False


async def _given_up(client: Client, reached: Awaitable[object], *, cancelled: bool) -> Reply | None:
    """The reply to a request that is ended, by a cancellation or its own time, once the server is as far as that."""
    task = asyncio.create_task(client.send(TARGET, LONG))
    await reached
    if cancelled:
        task.cancel()
    else:
        (deadline,) = client._deadlines.open
        deadline.expire()
    await asyncio.wait([task])
    return None if task.cancelled() else task.result()


async def _reach(listener: _Listener, start: bytes = b"", say: bytes = b"") -> None:
    await listener.accept()
    await until(lambda: bool(select.select([listener.peer], [], [], 0)[0]))
    if start:
        assert (await listener.receive()).startswith(start)
    if say:
        await asyncio.get_running_loop().sock_sendall(listener.peer, say)
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("cancelled", [True, False])
async def test_what_is_buffered_is_dropped(listener: _Listener, cancelled: bool) -> None:
    """A request that the server had not read is not sent on after it was given up."""
    async with _client(f"http://127.0.0.1:{listener.port}") as client:
        client.traits = Traits.of(_Long())
        reply = await _given_up(client, _reach(listener), cancelled=cancelled)
        taken, end = await listener.rest()
        assert taken < 20_000_000
        assert taken < 20_000_000
        assert end == "reset"
        assert reply is None or (reply.timed_out and reply.lost)


@pytest.mark.parametrize("cancelled", [True, False])
@pytest.mark.parametrize("say", [b"", b"HTTP/1.1 20", answer(503, b"{", length=10)], ids=["wait", "head", "body"])
async def test_a_try_that_is_given_up_is_aborted(listener: _Listener, say: bytes, cancelled: bool) -> None:
    """Before the answer, in its head and in its body: the server sees a reset, and no byte more."""
    async with _client(f"http://127.0.0.1:{listener.port}") as client:
        reply = await _given_up(client, _reach(listener, b"DELETE ", say), cancelled=cancelled)
        assert await listener.rest() == (0, "reset")
        if reply is not None and reply.status_code is None:
            assert (reply.timed_out, reply.lost) == (True, True)


@pytest.mark.parametrize("cancelled", [True, False])
async def test_giving_up_in_a_handshake_sends_nothing(
    listener: _Listener, cancelled: bool, tls: tuple[ssl.SSLContext, str]
) -> None:
    """A TLS handshake that stands still: nothing of the request is lost with it."""
    async with _client(f"https://127.0.0.1:{listener.port}", ca_file=tls[1]) as client:
        reply = await _given_up(client, _reach(listener, b"\x16\x03"), cancelled=cancelled)
        taken, _ = await listener.rest()
        assert taken == 0
        assert reply is None or (reply.timed_out, reply.lost) == (True, False)


@pytest.mark.parametrize("cancelled", [True, False])
async def test_giving_up_on_a_tunnel_sends_nothing(
    listener: _Listener, cancelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that does not answer CONNECT."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listener.port}")
    async with _client("https://sdrs.test") as client:
        reply = await _given_up(client, _reach(listener, b"CONNECT sdrs.test:443 "), cancelled=cancelled)
        assert await listener.rest() == (0, "reset")
        assert reply is None or (reply.timed_out, reply.lost) == (True, False)


@pytest.mark.parametrize("cancelled", [True, False])
async def test_tls_takes_no_leave_of_a_try_that_is_given_up(cancelled: bool, tls: tuple[ssl.SSLContext, str]) -> None:
    """No record, not even the one that closes, goes out after that."""
    context, ca_file = tls
    ends: list[str] = []
    arrived, ended = asyncio.Event(), asyncio.Event()

    class Server(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            arrived.set()

        def eof_received(self) -> None:
            ends.append("leave")

        def connection_lost(self, error: Exception | None) -> None:
            ends.append(type(error).__name__)
            ended.set()

    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, ssl=context)
    async with server, _client(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", ca_file=ca_file) as client:
        await _given_up(client, arrived.wait(), cancelled=cancelled)
        await ended.wait()
    assert ends == ["ConnectionResetError"]


async def test_an_answered_connection_is_not_reset() -> None:
    """Leaving the client is no reason to reset what was idle: the server sees an ordinary end."""
    reset: list[bool] = []

    async def handler(connection: Connection, head: bytes) -> bytes:
        connection.writer.write(NO_CONTENT)
        try:
            await connection.reader.read()
        except ConnectionResetError:
            reset.append(True)
        return b""

    async with serving(handler) as server:
        async with _client(server.url) as client:
            await client.send(TARGET, LONG)
        await server.until(lambda: server.closed == 1)
    assert reset == []


async def test_only_what_may_have_arrived_is_lost() -> None:
    """A connection that was refused lost nothing; one that ended after the request went out may have."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    async with _client(f"http://127.0.0.1:{port}") as client:
        assert not (await client.send(TARGET, LONG)).lost

    async def hang_up(connection: Connection, head: bytes) -> None:
        return None

    async with serving(hang_up) as server, _client(server.url) as client:
        assert (await client.send(TARGET, LONG)).lost
