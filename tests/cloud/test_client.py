"""The client on real sockets: one `send` is one request on the wire, and one reply that says what came of it."""

from __future__ import annotations

import asyncio
import logging
import select
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import anyio
import pytest

from sdrs_async.cloud.client import Client
from sdrs_async.cloud.sites import check_endpoint
from sdrs_async.credentials.keys import StaticToken
from sdrs_async.errors import AuthenticationError, ConfigError
from sdrs_async.limits import Limits, Rate, RetryPolicy
from sdrs_async.models import Reply, Request, Target, Verdict
from sdrs_async.report.remedies import remedy
from tests.support.aioresponses_compat import mocked
from tests.support.raw_server import Connection, RawServer, answer, serving

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

TARGET = Target("0123456789abcdef0123456789abcdef", "decf224d-87fe-403a-8721-037a1a45c287")
PATH = f"/v1/{TARGET.project_id}/task-center/{TARGET.server_group_id}/failure-jobs/batch"
TOKEN = "MIIFakeToken+with/all=chars"
LONG = 60.0  # seconds that no test waits for


def _client(url: str, auth: Any = None, *, concurrency: int | None = 64, timeout: float = LONG) -> Client:
    return Client(
        url,
        auth or StaticToken(TOKEN),
        limits=Limits(concurrency=concurrency),
        retry=RetryPolicy(timeout=timeout),
    )


@asynccontextmanager
async def _answering(*replies: bytes, auth: Any = None) -> AsyncIterator[tuple[RawServer, Client]]:
    """A server that gives these answers in turn, the last one for ever, and a client for it."""

    async def handler(connection: Connection, head: bytes) -> bytes:
        return replies[min(len(server.arrivals), len(replies)) - 1]

    async with serving(handler) as server, _client(server.url, auth) as client:
        yield server, client


async def _reply_to(data: bytes) -> Reply:
    """What the client makes of an answer after which the server hangs up."""

    async def handler(connection: Connection, head: bytes) -> None:
        await connection.send(data)

    async with serving(handler) as server, _client(server.url) as client:
        reply = await client.send(TARGET, LONG)
        assert len(server.arrivals) == 1
        return reply


# ---- one request, one reply


async def test_one_send_is_one_delete_with_the_credential() -> None:
    """The request line, host and token are what the service asks for; there is no body and no cookie."""
    async with _answering(answer(204, b"", "X-Request-Id: r-1")) as (server, client):
        reply = await client.send(TARGET, LONG)
        assert (reply.verdict, reply.status_code, reply.request_id) == (Verdict.DELETED, 204, "r-1")
        assert reply.elapsed > 0
        assert server.arrivals[0].startswith(f"DELETE {PATH} HTTP/1.1\r\n".encode())
        assert server.header("Host") == f"127.0.0.1:{server.port}"
        assert server.header("X-Auth-Token") == TOKEN
        assert server.header("User-Agent") == "sdrs-async"
        assert server.header("Content-Length") in (None, "0")
        assert server.header("Authorization") is None
        assert server.header("Cookie") is None
        assert len(server.arrivals) == 1


async def test_the_path_goes_out_as_it_was_encoded() -> None:
    """Nothing between here and the socket decodes, folds or encodes an id again."""
    async with _answering(answer()) as (server, client):
        await client.send(Target("a,b", "ü~+@"), LONG)
        assert server.arrivals[0].split(b" ")[1] == b"/v1/a%2Cb/task-center/%C3%BC~%2B%40/failure-jobs/batch"


@pytest.mark.parametrize("group", ["", "batch", "a/b", "..", "%2e%2e"])
async def test_a_dangerous_id_never_reaches_the_wire(group: str) -> None:
    """It stops the run before anything is sent."""
    async with _answering(answer()) as (server, client):
        with pytest.raises(ConfigError, match="server_group_id"):
            await client.send(Target(TARGET.project_id, group), LONG)
        assert server.arrivals == []


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, b"{}", Verdict.DELETED),
        (202, b"", Verdict.DELETED),
        (400, b'{"error":{"code":"SDRS.1013","message":"no group"}}', Verdict.GONE),
        (400, b'{"error":{"code":"SDRS.0207","message":"bad id"}}', Verdict.REJECTED),
        (401, b'{"error_code":"APIGW.0301","error_msg":"no"}', Verdict.UNAUTHORIZED),
        (404, b"", Verdict.GONE),
        (404, b'{"error_code":"APIG.0101","error_msg":"no such API"}', Verdict.REJECTED),
        (407, b"", Verdict.REJECTED),
        (409, b"", Verdict.CONFLICT),
        (500, b'{"error":{"code":"SDRS.0009","message":"no right"}}', Verdict.FORBIDDEN),
        (503, b"<html><title>503 busy</title></html>", Verdict.TRANSIENT),
    ],
)
async def test_status_and_code_make_the_verdict(status: int, body: bytes, verdict: Verdict) -> None:
    """An answer is classified by its status and by the code inside its body."""
    async with _answering(answer(status, body)) as (_, client):
        reply = await client.send(TARGET, LONG)
        assert (reply.verdict, reply.status_code) == (verdict, status)


async def test_an_answer_laid_out_by_aioresponses_is_read_the_same() -> None:
    """Applications that test with aioresponses get the same replies as from a server."""
    async with _client("https://sdrs.example.com") as client:
        with mocked() as answers:
            payload = {"error": {"code": "SDRS.1002", "message": "busy"}}
            answers.delete(f"https://sdrs.example.com{PATH}", status=400, payload=payload)
            reply = await client.send(TARGET, LONG)
    assert (reply.verdict, reply.error_code, reply.message) == (Verdict.CONFLICT, "SDRS.1002", "busy")


async def test_what_an_error_says_is_kept() -> None:
    """Code, message, request id and wait of an error are in the reply, and whom a 429 holds for how long."""
    text = "policy user over ratelimit,limit:200,time:5 minute"
    body = f'{{"error_code":"APIGW.0308","error_msg":"{text}","request_id":"in-body"}}'.encode()
    async with _answering(answer(429, body, "Retry-After: 17")) as (_, client):
        reply = await client.send(TARGET, LONG)
    assert (reply.verdict, reply.error_code, reply.message) == (Verdict.THROTTLED, "APIGW.0308", text)
    assert (reply.scope, reply.told, reply.retry_after, reply.request_id) == ("user", Rate(200, 300), 17.0, "in-body")


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (["X-Request-Id: a"], "a"),
        (["x-request-id: a", "X-IAM-Trace-Id: b"], "a"),
        (["X-IAM-Trace-Id: b"], "b"),
        (["X-Request-Id: \x1b[31m", "X-IAM-Trace-Id: b"], "b"),
        (["X-Request-Id: \udcff"], None),
        ([f"X-Request-Id: {'r' * 300}"], "r" * 100),
        (["X-Request-Id:"], None),
        ([], None),
    ],
)
@pytest.mark.parametrize("status", [204, 503])
async def test_the_request_id_is_kept_under_either_name(headers: list[str], found: str | None, status: int) -> None:
    """Whoever asks the provider needs it, of a success too; what could not be printed is left out."""
    head = "\r\n".join([f"HTTP/1.1 {status} Reason", *headers, "Content-Length: 0", "", ""])
    assert (await _reply_to(head.encode("utf-8", "surrogateescape"))).request_id == found


async def test_without_a_body_the_reason_is_the_message() -> None:
    """An empty error still says something, on one printable line."""
    reply = await _reply_to(b"HTTP/1.1 503 Out  of\xff\tservice\r\nContent-Length: 0\r\n\r\n")
    assert (reply.verdict, reply.message) == (Verdict.TRANSIENT, "Out of service")


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(status: int) -> None:
    """A DELETE that is sent elsewhere might delete something else: it is rejected, and nothing more arrives."""
    async with _answering(answer(status, b"", f"Location: {PATH}-elsewhere")) as (server, client):
        reply = await client.send(TARGET, LONG)
        assert (reply.verdict, reply.status_code) == (Verdict.REJECTED, status)
        assert len(server.arrivals) == 1


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("https://ann:pw@login.test:8443/in?back=x", "a redirect to https://login.test:8443, which is not followed"),
        ("//login.test/in", "a redirect, which is not followed"),
        ("http://[", "a redirect, which is not followed"),
        ("/in?token=a-token", "a redirect, which is not followed"),
    ],
)
async def test_a_redirect_says_where_to(location: str, said: str) -> None:
    """A captive portal, or the wrong scheme: the host alone, for what follows may be what was sent."""
    page = b"<html><title>302 Found</title></html>"
    async with _answering(answer(302, page, f"Location: {location}", "Content-Type: text/html")) as (_, client):
        reply = await client.send(TARGET, LONG)
    assert reply.message == f"{said}: is this the endpoint?"
    assert "a login page or a proxy" in remedy(reply.verdict, reply.error_code, reply.message)


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, True), (403, True), (404, True), (429, False), (502, False), (503, False)],
)
async def test_a_page_that_refuses_may_be_of_another(status: int, said: bool) -> None:
    """A proxy or firewall forbids with a page: no role of SDRS mends that. Gateways throttle and fail with pages."""
    page = b"<html><title>Access denied</title></html>"
    async with _answering(answer(status, page, "Content-Type: text/html")) as (_, client):
        reply = await client.send(TARGET, LONG)
    words = "a web page instead of an answer ('Access denied'): is this the endpoint?"
    assert reply.message == (words if said else "Access denied")
    assert ("a login page or a proxy" in remedy(reply.verdict, reply.error_code, reply.message)) is said


async def test_a_code_that_repeats_the_status_is_none() -> None:
    """IAM's errors have one; it says nothing that the status does not."""
    async with _answering(answer(404, b'{"error":{"code":404,"message":"no","title":"Not Found"}}')) as (_, client):
        reply = await client.send(TARGET, LONG)
    assert (reply.verdict, reply.error_code, reply.message) == (Verdict.GONE, None, "no")


async def test_cookies_are_not_kept() -> None:
    """One account's session never goes beside another's request."""
    async with _answering(answer(204, b"", "Set-Cookie: session=1; Path=/")) as (server, client):
        await client.send(TARGET, LONG)
        await client.send(TARGET, LONG)
        assert len(server.arrivals) == 2
        assert server.connections == 1
        assert server.header("Cookie") is None


async def test_interim_answers_are_not_the_answer() -> None:
    """100 and 103 come before the real one; an upgrade nobody asked for is rejected."""
    assert (await _reply_to(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")).status_code == 204
    switched = await _reply_to(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    assert (switched.verdict, switched.status_code) == (Verdict.REJECTED, 101)


# ---- aiohttp must not send a request twice


async def test_a_lost_connection_is_one_try_and_nothing_is_sent_again() -> None:
    """A kept-alive connection that ends at the second request: two arrivals in all, and one reply that says so."""

    async def handler(connection: Connection, head: bytes) -> bytes | None:
        return answer() if len(server.arrivals) != 2 else None

    async with serving(handler) as server, _client(server.url) as client:
        assert (await client.send(TARGET, LONG)).verdict is Verdict.DELETED
        reply = await client.send(TARGET, LONG)
        assert len(server.arrivals) == 2
        assert server.connections == 1
        assert (reply.verdict, reply.status_code) == (Verdict.UNREACHABLE, None)
        assert (reply.retryable, reply.timed_out, reply.sent) == (True, False, True)
        assert reply.message
        assert (await client.send(TARGET, LONG)).verdict is Verdict.DELETED
        assert len(server.arrivals) == 3


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 20", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n"]
)
async def test_what_is_no_answer_is_unreachable(data: bytes) -> None:
    """Nothing, half a status line, another protocol, a broken header: no status, and worth another try."""
    reply = await _reply_to(data)
    assert (reply.verdict, reply.status_code, reply.retryable) == (Verdict.UNREACHABLE, None, True)
    assert reply.message.isprintable()
    assert reply.message


async def test_a_refused_connection_is_unreachable() -> None:
    """Nobody listens: worth another try, and not a time-out."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    async with _client(f"http://127.0.0.1:{port}") as client:
        reply = await client.send(TARGET, LONG)
    assert (reply.verdict, reply.retryable, reply.timed_out) == (Verdict.UNREACHABLE, True, False)
    assert str(port) in reply.message


# ---- time-outs


@contextmanager
def _full_backlog() -> Iterator[int]:
    """The port of a listening socket that accepts nobody and whose queue is full."""
    waiting: list[socket.socket] = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        try:
            while True:
                waiting.append(socket.socket())
                waiting[-1].setblocking(False)
                waiting[-1].connect_ex(listener.getsockname())
                if not select.select([], waiting[-1:], [], 0.1)[1]:
                    break
            yield listener.getsockname()[1]
        finally:
            for one in waiting:
                one.close()


@pytest.mark.parametrize(("connect", "total"), [(0.1, LONG), (LONG, 0.1)])
async def test_a_connection_that_is_not_accepted_times_out(connect: float, total: float) -> None:
    """Connecting has a time of its own, and is part of the whole time."""
    with _full_backlog() as port:
        async with _client(f"http://127.0.0.1:{port}", timeout=connect) as client:
            reply = await client.send(TARGET, total)
    assert (reply.verdict, reply.timed_out, reply.retryable) == (Verdict.UNREACHABLE, True, True)
    assert reply.message.startswith("no answer within ")


async def test_a_server_that_never_answers_times_out() -> None:
    """The request arrived, its answer did not: unreachable, and its connection is not used again."""

    async def handler(connection: Connection, head: bytes) -> None:
        await connection.until_closed()

    async with serving(handler) as server, _client(server.url) as client:
        reply = await client.send(TARGET, 0.1)
        assert (reply.verdict, reply.timed_out, reply.retryable) == (Verdict.UNREACHABLE, True, True)
        assert reply.message == "no answer within 0.1 s"
        await server.until(lambda: server.closed == 1)
        assert len(server.arrivals) == 1


async def test_a_trickle_of_headers_times_out() -> None:
    """A time-out is for the whole answer: a byte now and then does not put it off."""

    async def handler(connection: Connection, head: bytes) -> None:
        await connection.send(b"HTTP/1.1 204 OK\r\n")
        while not connection.reader.at_eof():
            await connection.send(b"X-Slow: 1\r\n")
            await asyncio.sleep(0.005)

    async with serving(handler) as server, _client(server.url) as client:
        reply = await client.send(TARGET, 0.2)
        assert (reply.verdict, reply.status_code, reply.timed_out) == (Verdict.UNREACHABLE, None, True)


BODY = b'{"error":{"code":"SDRS.1013","message":"no such gro'


async def test_an_error_body_that_stalls_does_not_lose_the_status() -> None:
    """The status line came: it decides, together with what of the body came in time."""

    async def handler(connection: Connection, head: bytes) -> bytes | None:
        if len(server.arrivals) == 2:
            return answer()
        await connection.send(answer(400, BODY, length=1000))
        await connection.until_closed()
        return None

    async with serving(handler) as server, _client(server.url) as client:
        reply = await client.send(TARGET, 0.2)
        assert (reply.verdict, reply.status_code, reply.error_code) == (Verdict.GONE, 400, "SDRS.1013")
        assert (reply.message, reply.timed_out) == ("no such gro", False)
        await server.until(lambda: server.closed == 1)
        assert (await client.send(TARGET, LONG)).verdict is Verdict.DELETED
        assert server.connections == 2


@pytest.mark.parametrize(
    "data",
    [
        answer(400, BODY, length=1000),
        b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\nffff\r\n" % (len(BODY), BODY),
        b"HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\n" + BODY,
        answer(400, b"\x1f\x8bno gzip", "Content-Encoding: gzip"),
    ],
    ids=["length", "chunked", "until the end", "not gzip"],
)  # fmt: skip
async def test_an_error_body_that_is_cut_off_does_not_lose_the_status(data: bytes) -> None:
    """Whatever is wrong with the body, the answer was a 400."""
    reply = await _reply_to(data)
    assert reply.status_code == 400
    assert reply.verdict is (Verdict.REJECTED if b"gzip" in data else Verdict.GONE)


@pytest.mark.parametrize("status", [400, 200])
async def test_a_body_without_end_is_left_unread(status: int) -> None:
    """64 KiB are read: what a success says in them is not whole, so that its status decides, the code that of an error.
    The connection is closed, and the next request has its own.
    """

    async def handler(connection: Connection, head: bytes) -> bytes | None:
        if len(server.arrivals) == 2:
            return answer()
        await connection.send(answer(status, b'{"code":"SDRS.1013","message":"', length=10**12))
        while not connection.reader.at_eof():
            await connection.send(b"a" * 65_536)
        return None

    async with serving(handler) as server, _client(server.url) as client:
        reply = await client.send(TARGET, LONG)
        assert (reply.verdict, reply.timed_out) == (Verdict.DELETED if status == 200 else Verdict.GONE, False)
        assert len(reply.message) == (0 if status == 200 else 500)
        assert (await client.send(TARGET, LONG)).verdict is Verdict.DELETED
        assert server.connections == 2


async def test_the_connection_is_kept_after_a_body_that_was_read() -> None:
    """Answers with a short body, good and bad ones, follow each other on one connection, each with its own status."""
    replies = [answer(200, b"{}"), answer(503, BODY), answer(404, b"x" * 30_000), answer(204)]
    async with _answering(*replies) as (server, client):
        statuses = [(await client.send(TARGET, LONG)).status_code for _ in range(4)]
        assert statuses == [200, 503, 404, 204]
        assert server.connections == 1


# ---- the pool


@pytest.mark.parametrize("concurrency", [150, None])
async def test_the_pool_is_as_large_as_the_cap(concurrency: int | None) -> None:
    """150 requests are on the wire at once: aiohttp's own 100 is no hidden cap."""

    async def handler(connection: Connection, head: bytes) -> bytes:
        await server.until(lambda: len(server.arrivals) == 150)
        return answer()

    replies: list[Reply] = []

    async def one() -> None:
        replies.append(await client.send(TARGET, 20.0))

    async with serving(handler) as server, _client(server.url, concurrency=concurrency) as client:
        async with anyio.create_task_group() as tasks:
            for _ in range(150):
                tasks.start_soon(one)
        assert [reply.verdict for reply in replies] == [Verdict.DELETED] * 150
        assert server.connections == 150


# ---- cancelling


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 20", answer(503, b"{", length=10)], ids=["wait", "head", "body"])
async def test_cancelling_a_send_closes_its_connection(data: bytes) -> None:
    """Wherever it is, the connection ends and its place in the pool is free for the next request."""
    sent = asyncio.Event()

    async def handler(connection: Connection, head: bytes) -> bytes | None:
        if len(server.arrivals) > 3:
            return answer()
        await connection.send(data)
        sent.set()
        await connection.until_closed()
        return None

    async with serving(handler) as server, _client(server.url, concurrency=1) as client:
        for number in (1, 2, 3):
            sent.clear()
            task = asyncio.create_task(client.send(TARGET, LONG))
            await sent.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.until(lambda number=number: server.closed == number)  # type: ignore[misc]  # bound now
        assert (await client.send(TARGET, LONG)).verdict is Verdict.DELETED


async def test_the_callers_own_time_outs_stay_the_callers() -> None:
    """An anyio scope or an asyncio time-out around a send ends it as cancelled, not as an unreachable server."""

    async def handler(connection: Connection, head: bytes) -> None:
        await connection.until_closed()

    async with serving(handler) as server, _client(server.url) as client:
        with anyio.move_on_after(0.05) as scope:
            await client.send(TARGET, LONG)
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.send(TARGET, LONG)
        with anyio.move_on_after(LONG) as scope:
            assert (await client.send(TARGET, 0.05)).timed_out
        assert not scope.cancelled_caught
        await server.until(lambda: server.closed == 3)


async def test_leaving_the_client_closes_its_connections() -> None:
    """Nothing stays open, idle connections neither."""
    async with _answering(answer()) as (server, client):
        await client.send(TARGET, LONG)
        await client.__aexit__(None, None, None)
        await server.until(lambda: server.closed == server.connections == 1)


# ---- credentials


class Renewable:
    """A credential that counts: a new token for every request, some of which it does not get."""

    def __init__(self, *, renewable: bool = True, refused: str | None = None) -> None:
        self.renewable = renewable
        self.refused = refused
        self.signed: list[tuple[str, str, str]] = []
        self.invalidated: list[tuple[str, Mapping[str, str]]] = []

    async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
        if self.refused is not None:
            raise AuthenticationError(self.refused)
        self.signed.append((request.method, request.url, project_id))
        return {"X-Auth-Token": f"token-{len(self.signed)}"}

    def invalidate(self, project_id: str, headers: Mapping[str, str]) -> bool:
        self.invalidated.append((project_id, headers))
        return self.renewable


async def test_every_try_is_signed_anew() -> None:
    """A signature or a token may be too old for a second try."""
    auth = Renewable()
    async with _answering(answer(503), answer(204), auth=auth) as (server, client):
        await client.send(TARGET, LONG)
        await client.send(TARGET, LONG)
        assert [server.header("X-Auth-Token", number) for number in (0, 1)] == ["token-1", "token-2"]
        assert auth.signed == [("DELETE", server.url + PATH, TARGET.project_id)] * 2
        assert auth.invalidated == []


@pytest.mark.parametrize("renewable", [True, False])
async def test_a_refused_credential_is_reported_back(renewable: bool) -> None:
    """The credential hears which headers were refused, and says whether another try may do better."""
    auth = Renewable(renewable=renewable)
    async with _answering(answer(401), auth=auth) as (_, client):
        reply = await client.send(TARGET, LONG)
        assert (reply.verdict, reply.status_code) == (Verdict.UNAUTHORIZED, 401)
        assert reply.retryable is renewable
        assert reply.sent
        assert auth.invalidated == [(TARGET.project_id, {"X-Auth-Token": "token-1"})]


async def test_without_a_credential_nothing_is_sent() -> None:
    """A sign-in that failed is a reply of its own, with the reason, and no request."""
    async with _answering(answer(), auth=Renewable(refused="wrong password")) as (server, client):
        reply = await client.send(TARGET, LONG)
        assert (reply.verdict, reply.status_code, reply.message) == (Verdict.UNAUTHORIZED, None, "wrong password")
        assert (reply.sent, reply.retryable) == (False, False)
        assert server.connections == 0


# ---- secrets

LONG_TOKEN = "MIIabc/+" * 400
REPEATED = "t" * 3000


@pytest.mark.parametrize("token", [TOKEN, LONG_TOKEN, REPEATED], ids=["short", "long", "one letter"])
@pytest.mark.parametrize(
    "body",
    [
        '{{"error_code":"APIGW.0301","error_msg":"token {} is wrong"}}',
        '{{"error_code":"APIGW.0301","error_msg":"token {slashes} is wrong"}}',
        '{{"error_code":"APIGW.0301","error_msg":"token {slashes}',
        '{{"detail":"token {slashes} is wrong"}}',
        "<html><title>wrong token {}</title></html>",
        "wrong token: {}, given twice: {}",
        "{}",
    ],
)
@pytest.mark.parametrize("status", [401, 503])
async def test_a_token_that_is_echoed_goes_no_further(
    token: str, body: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A gateway may quote what it refuses, whole or cut: neither reply nor log shows the token."""
    caplog.set_level(logging.DEBUG)
    data = (
        body.replace("{}", token).replace("{slashes}", token.replace("/", "\\/")).replace("{{", "{").replace("}}", "}")
    )
    async with _answering(answer(status, data.encode()), auth=StaticToken(token)) as (_, client):
        reply = await client.send(TARGET, LONG)
        seen = f"{reply!r} {client!r} {caplog.text}"
    assert reply.status_code == status
    assert "***" in reply.message
    for start in range(0, min(len(token), 400), 8):
        assert token[start : start + 12] not in seen.replace("\\", "")
    assert PATH in caplog.text


async def test_a_long_message_that_holds_no_token_is_left_alone() -> None:
    """What only looks like the beginning of the token stays readable."""
    text = f"{TOKEN[:7]} is how tokens begin" + "." * 600
    async with _answering(answer(403, text.encode())) as (_, client):
        assert (await client.send(TARGET, LONG)).message == text[:497] + "..."


async def test_a_token_in_an_answer_that_cannot_be_read_goes_no_further() -> None:
    """Nor does it come out of aiohttp's own words about a broken answer."""
    reply = await _reply_to(f"HTTP/1.1 401 No\r\n{TOKEN} \r\n\r\n".encode())
    assert TOKEN not in repr(reply)


async def test_a_reply_is_logged_for_debugging_only(caplog: pytest.LogCaptureFixture) -> None:
    """One line for each request at debug level, with the request id; none above it."""
    async with _answering(answer(204, b"", "X-Request-Id: r-1")) as (_, client):
        caplog.set_level(logging.INFO, "sdrs_async")
        await client.send(TARGET, LONG)
        assert caplog.records == []
        caplog.set_level(logging.DEBUG, "sdrs_async")
        await client.send(TARGET, LONG)
    (record,) = [record for record in caplog.records if record.name == "sdrs_async"]
    assert "204 deleted" in record.getMessage()
    assert record.getMessage().endswith("request id r-1")


# ---- the endpoint


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("https://sdrs.eu-de.otc.t-systems.com", "https://sdrs.eu-de.otc.t-systems.com"),
        ("https://sdrs.test/", "https://sdrs.test"),
        ("https://sdrs.test/v1", "https://sdrs.test"),
        ("https://sdrs.test/v1/", "https://sdrs.test"),
        ("https://sdrs.test//v1//", "https://sdrs.test"),
        (f"https://sdrs.test/v1/{TARGET.project_id}", "https://sdrs.test"),
        (f"https://sdrs.test/v1/{TARGET.project_id}/", "https://sdrs.test"),
        ("https://sdrs.test/v12", "https://sdrs.test/v12"),
        ("https://sdrs.test:8443/prefix/v1", "https://sdrs.test:8443/prefix"),
        ("HTTPS://SDRS.test", "https://sdrs.test"),
        ("https://sdrs.test:443/v1", "https://sdrs.test"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://127.0.0.1:443", "http://127.0.0.1:443"),
        ("https://sdrs.test:8443", "https://sdrs.test:8443"),
        ("https://sdrs.test:08443", "https://sdrs.test:8443"),
        ("https://sdrs.test.", "https://sdrs.test"),
        ("https://[2001:db8:0:0::1]", "https://[2001:db8::1]"),
        ("https://sdrs.test//prefix//more", "https://sdrs.test/prefix/more"),
        ("https://sdrs.test/v1/v3", "https://sdrs.test"),
        ("https://sdrs.test/v3/v1/0123456789abcdef0123456789abcdef/", "https://sdrs.test"),
        ("https://sdrs.test/prefix/v1//v1/", "https://sdrs.test/prefix"),
        ("https://[2001:DB8::443]", "https://[2001:db8::443]"),
        ("https://sdrs.test/Prefix", "https://sdrs.test/Prefix"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://localhost:8080/v1", "http://localhost:8080"),
        ("http://LOCALHOST", "http://localhost"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]"),
    ],
)
def test_an_endpoint_is_scheme_host_and_port(endpoint: str, expected: str) -> None:
    """The version, the catalog's project id and slashes at the end are cut; plain http is fine on loopback.

    One endpoint is spelled in one way, since accounts there share its limit and its projects; spelled so, it stays.
    """
    assert check_endpoint(endpoint) == expected
    assert check_endpoint(expected) == expected


@pytest.mark.parametrize(
    "endpoint",
    [
        *(
            "http://sdrs.test",
            "http://10.0.0.1",
            "http://[2001:db8::1]",
            "http://0.0.0.0",
            "http://127.0.0.1.evil.test",
        ),
        *("HTTP://sdrs.test", "http://localhost.evil.test", "http://127.1", "http://2130706433"),
    ],
)
def test_plain_http_leaves_this_machine_only_when_allowed(endpoint: str) -> None:
    """A credential crosses the network in the clear only with the caller's word."""
    with pytest.raises(ConfigError, match="unencrypted: use https, or --allow-http"):
        check_endpoint(endpoint)
    assert check_endpoint(endpoint, allow_http=True).lower() == endpoint.lower()


@pytest.mark.parametrize(
    "endpoint",
    [
        *("", "sdrs.test", "sdrs.test:443", "//sdrs.test", "https://", "https:///v1", "https://:443", "ftp://sdrs.test"),
        *("https://sdrs.test:abc", "https://sdrs.test:99999", "https://[::1", "https://a..b", "https://" + "a" * 64),
        *(" https://sdrs.test", "https://sdrs.test ", "https://sd rs.test", "https://sdrs\n.test", "https://sdrs.test\\x"),
        *("https://b\u00fccher.test", "https://sdrs\u200b.test", "https://sd%rs.test", "https://sdrs.test/a b", "file:///x"),
        *("https://sdrs.test/./a", "https://sdrs.test/a/..", "https://sdrs.test/.."),
        *("https://sdrs.test?x=1", "https://sdrs.test?", "https://sdrs.test#f", "https://sdrs.test/#", "https://@sdrs.test"),
    ],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    """A user, query or fragment, another scheme, a host that cannot be: one clear error, not one per request."""
    with pytest.raises(ConfigError, match="endpoint"):
        check_endpoint(endpoint)


@pytest.mark.parametrize(
    "endpoint", ["https://u:pa55@h", "ftp://u:pa55@h", "https://u:pa55@h:x", "u:pa55@h", "http://u:pa55@[h"]
)
def test_a_password_in_an_endpoint_is_not_shown(endpoint: str) -> None:
    """Whatever else is wrong with it."""
    with pytest.raises(ConfigError) as caught:
        check_endpoint(endpoint, allow_http=True)
    assert "pa55" not in str(caught.value)


async def test_the_prefix_of_an_endpoint_stays() -> None:
    """An endpoint behind a path of its own is called below it, and a version at its end is not doubled."""

    async def handler(connection: Connection, head: bytes) -> bytes:
        return answer()

    async with serving(handler) as server, _client(f"{server.url}/gate/v1/") as client:
        await client.send(TARGET, LONG)
        assert server.arrivals[0].startswith(f"DELETE /gate{PATH} ".encode())


def test_aiohttp_still_has_the_switch_that_is_set() -> None:
    """`_retry_connection` is private: its end is noticed here, beside the test that counts arrivals."""
    assert "_retry_connection" in aiohttp.ClientSession.ATTRS
