"""What a sign-in does at most: how much it reads, how long it lasts, and that it ends with whoever waits for it."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest
import trustme
from huaweicloudsdkcore.auth.credentials import BasicCredentials

from sdrs_async.auth import SignInFailed
from sdrs_async.credentials.keystone import KeystoneAuth
from sdrs_async.credentials.vendor_sdk import HuaweiAuth
from sdrs_async.models import Reply, Verdict
from tests.credentials.keystone.test_auth import Clouds, clouds
from tests.credentials.keystone.test_sign_in import CLOSE, issued
from tests.support.raw_server import Connection, answer, serving
from tests.support.waiting import until

__all__ = ["clouds"]  # a fixture

pytestmark = [
    pytest.mark.usefixtures("no_leaked_tasks"),
    # otcextensions' `agency` is written for an older keystoneauth.
    pytest.mark.filterwarnings("ignore:.*AuthConstructor:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Defining method:DeprecationWarning"),
]

MIB = 1 << 20
NO_TOKEN = b'{"error": {"message": "no"}}'


def workers() -> list[threading.Thread]:
    """The threads of sign-ins that still run."""
    return [thread for thread in threading.enumerate() if thread.name == "sdrs-async worker"]


class Way(NamedTuple):
    """A way to sign in: its credential for a URL, and the requests that it takes."""

    make: Callable[[str], KeystoneAuth | HuaweiAuth]
    requests: int


@pytest.fixture(params=["keystone", "agency", "huawei"])
def way(request: pytest.FixtureRequest, clouds: Clouds, tmp_path: Path) -> Way:
    """keystoneauth's in one step and in two, the vendor's in two, each with ten seconds of time."""

    def password(url: str) -> KeystoneAuth:
        return clouds.auth({"auth_url": f"{url}/v3"})

    def agency(url: str) -> KeystoneAuth:
        pytest.importorskip("otcextensions")
        target = {"target_agency_name": "cleaners", "target_domain_name": "OTC2"}
        return clouds.auth({"auth_url": f"{url}/v3", **target}, auth_type="agency")

    def huawei(url: str) -> HuaweiAuth:
        file = tmp_path / "id-token"
        file.write_text("an-id-token", "utf-8")
        credentials = BasicCredentials().with_idp_id("idp").with_id_token_file(str(file)).with_project_id("p1")
        return HuaweiAuth(credentials.with_iam_endpoint(url), timeout=10.0)

    return {"keystone": Way(password, 1), "agency": Way(agency, 2), "huawei": Way(huawei, 2)}[request.param]


async def failed(auth: KeystoneAuth | HuaweiAuth) -> Reply:
    """What the sign-in comes to."""
    with pytest.raises(SignInFailed) as caught:
        await auth.prepare("")
    return caught.value.reply


# ---- how much -------------------------------------------------------------------------------------------------------

BOMB = gzip.compress(bytes(64 * MIB))
BODIES: dict[str, tuple[bytes, str]] = {
    "a packed one": (BOMB, "Content-Encoding: gzip"),
    "one packed otherwise": (zlib.compress(bytes(64 * MIB)), "Content-Encoding: deflate"),
    "one that is packed as nobody knows": (b"x" * 99, "Content-Encoding: br"),
    "one packed twice": (gzip.compress(BOMB), "Content-Encoding: gzip, gzip"),
    "one that claims to be packed": (b"x" * 99, "Content-Encoding: gzip"),
    "a plain one": (bytes(MIB + 1), "X: x"),
    "one that says nothing of packing": (bytes(2 * MIB), "Content-Encoding: "),
}


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (201, Verdict.TRANSIENT),
        (401, Verdict.UNAUTHORIZED),
        (429, Verdict.THROTTLED),
        (503, Verdict.TRANSIENT),
    ],
)
@pytest.mark.parametrize("body", BODIES)
async def test_an_answer_of_more_than_a_mebibyte_is_refused(way: Way, body: str, status: int, verdict: Verdict) -> None:
    """Plain or unpacked: one clear message, and no gigabytes. A refusal keeps its status, so that a wrong password is
    not tried again; what is none is worth another try.
    """
    data, header = BODIES[body]

    async def handle(connection: Connection, head: bytes) -> bytes:
        await connection.reader.readexactly(int(server.header("Content-Length") or 0))
        return answer(status, data, CLOSE, header, "X-Subject-Token: token-1")

    async with serving(handle) as server:
        reply = await failed(way.make(server.url))
        assert server.header("Accept-Encoding") == "identity"
    assert reply.verdict is verdict or (status, reply.verdict) == (201, Verdict.UNREACHABLE)
    assert (reply.retryable, reply.whole_account) == (status != 401, status == 401)
    assert "its answer is" in reply.message or "packed as" in reply.message
    assert str(status) in reply.message or status == 201
    await until(lambda: not workers())


async def test_an_endless_answer_is_left(clouds: Clouds) -> None:
    """In chunks, without an end: the connection is closed once it is too much."""

    async def handle(connection: Connection, head: bytes) -> None:
        await connection.reader.readexactly(int(server.header("Content-Length") or 0))
        await connection.send(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await connection.send(b"10000\r\n" + bytes(65_536) + b"\r\n")

    async with serving(handle) as server:
        reply = await failed(clouds.auth({"auth_url": f"{server.url}/v3"}))
        await server.until(lambda: server.closed == 1)
    assert "its answer is larger than 1 MiB" in reply.message


@pytest.mark.parametrize("packed", [True, False])
async def test_a_packed_answer_is_read_all_the_same(clouds: Clouds, packed: bool) -> None:
    """Nobody asked for it, and some servers do it; a long catalog is no harm."""
    _, _, body = issued(catalog=[], user={"name": "x" * 900_000}).partition(b"\r\n\r\n")
    data = gzip.compress(body) if packed else body
    headers = ["X-Subject-Token: token-1", *(["Content-Encoding: GZIP"] if packed else [])]

    async def handle(connection: Connection, head: bytes) -> bytes:
        await connection.reader.readexactly(int(server.header("Content-Length") or 0))
        return answer(201, data, CLOSE, *headers)

    async with serving(handle) as server:
        assert await clouds.auth({"auth_url": f"{server.url}/v3"}).prepare("") > 0


# ---- how long -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["head", "body", "error"])
async def test_a_server_that_drips_is_left_with_its_connection(way: Way, part: str) -> None:
    """At the time-out the thread ends too, while the server would go on: none pile up."""

    length = "Content-Length: 99999\r\n\r\n"
    starts = {
        "head": "HTTP/1.1 200 ",
        "body": f"HTTP/1.1 201 Created\r\n{length}",
        "error": f"HTTP/1.1 401 no\r\n{length}",
    }

    async def handle(connection: Connection, head: bytes) -> None:
        await connection.send(starts[part].encode())
        while True:
            await connection.send(b"x")
            await asyncio.sleep(0.01)

    async with serving(handle) as server:
        auth = way.make(server.url)
        auth._timeout = 0.2
        for _ in range(2):
            reply = await failed(auth)
            assert (reply.verdict, reply.retryable) == (Verdict.UNREACHABLE, True)
            await until(lambda: not workers())
            await server.until(lambda: server.closed == server.connections)


# ---- with whoever waits ----------------------------------------------------------------------------------------------


class Log:
    """A server that notes each byte it gets, and answers when it is told to."""

    def __init__(self) -> None:
        self.got = bytearray()
        self.connections = 0
        self.ended = 0
        self.url = ""

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read until the other side is done."""
        self.connections += 1
        try:
            while data := await reader.read(65_536):
                self.got += data
        except ConnectionError:
            pass
        finally:
            self.ended += 1
            writer.close()


@asynccontextmanager
async def logging_server() -> AsyncIterator[Log]:
    """A server that says nothing."""
    log = Log()
    async with await asyncio.start_server(log.accept, "127.0.0.1", 0) as server:
        log.url = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield log


Cancel = Callable[[Coroutine[Any, Any, Any], Callable[[], bool]], Coroutine[Any, Any, None]]


async def cancel_task(work: Coroutine[Any, Any, Any], met: Callable[[], bool]) -> None:
    """Cancel the task once this is so."""
    task = asyncio.create_task(work)
    await until(met)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def cancel_scope(work: Coroutine[Any, Any, Any], met: Callable[[], bool]) -> None:
    """The same by anyio."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: work)
        await until(met)
        tasks.cancel_scope.cancel()


async def time_out(work: Coroutine[Any, Any, Any], met: Callable[[], bool]) -> None:
    """The same by a time-out of asyncio's."""

    async def limited() -> None:
        async with asyncio.timeout(None) as limit:
            task = asyncio.create_task(until(met))
            task.add_done_callback(lambda task: limit.reschedule(0))
            await work

    with pytest.raises(TimeoutError):
        await limited()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("cancel", [cancel_task, cancel_scope, time_out])
async def test_nothing_is_written_where_the_connection_comes_after_the_cancellation(
    way: Way, cancel: Cancel, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking up the host takes its time, and the one who wanted the token is gone: no request, and no TLS either."""
    asked, release, real = threading.Event(), threading.Event(), socket.getaddrinfo

    def slow(*args: Any, **kwargs: Any) -> Any:
        if threading.current_thread() in workers():
            asked.set()
            assert release.wait(20)
        return real(*args, **kwargs)

    async with logging_server() as log:
        auth = way.make(f"{scheme}://{log.url}")
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        await cancel(auth.prepare(""), asked.is_set)
        assert workers()
        release.set()
        await until(lambda: not workers())
        await until(lambda: log.connections == log.ended == 1)
    assert bytes(log.got) == b""


@pytest.mark.parametrize("cancel", [cancel_task, cancel_scope, time_out])
async def test_no_second_request_follows_a_cancellation(way: Way, cancel: Cancel) -> None:
    """The first answer is on its way when nobody waits any more: the second step is not taken, and the thread ends."""
    release = asyncio.Event()

    async def handle(connection: Connection, head: bytes) -> bytes:
        await connection.reader.readexactly(int(server.header("Content-Length") or 0))
        await release.wait()
        return issued().replace(CLOSE.encode(), b"X: x")

    async with serving(handle) as server:
        await cancel(way.make(server.url).prepare("p1"), lambda: bool(server.arrivals))
        release.set()
        await server.until(lambda: server.closed == 1)
        await until(lambda: not workers())
        await asyncio.sleep(0.25)  # the time that the contract gives
        assert (len(server.arrivals), server.connections) == (1, 1)


async def test_a_redirect_and_a_retry_are_not_followed_either(clouds: Clouds) -> None:
    """Federated sign-ins follow redirects; keystoneauth itself repeats what a server is too busy for."""
    release = asyncio.Event()

    async def handle(connection: Connection, head: bytes) -> bytes:
        await connection.reader.readexactly(int(server.header("Content-Length") or 0))
        await release.wait()
        return answer(302, b"", f"Location: {server.url}/again")

    async with serving(handle) as server:
        options = {"auth_url": f"{server.url}/v3", "username": None, "password": None, "access_token": "token-of-oidc"}
        auth = clouds.auth(options | {"identity_provider": "i", "protocol": "oidc"}, auth_type="v3oidcaccesstoken")
        auth._sign_in._session.redirect = 30  # type: ignore[attr-defined]  # as a SAML sign-in has it
        await cancel_task(auth.prepare(""), lambda: bool(server.arrivals))
        release.set()
        await until(lambda: not workers())
        assert len(server.arrivals) == 1


async def test_a_sign_in_that_somebody_still_waits_for_goes_on(
    way: Way,
) -> None:
    """One of two is cancelled between connection and answer: the other has its token, of the one request."""
    release = asyncio.Event()

    async def handle(connection: Connection, head: bytes) -> bytes:
        await connection.reader.readexactly(int(server.header("Content-Length") or 0))
        await release.wait()
        if b"securitytokens" in head:
            keys = {
                "access": "AK1",
                "secret": "SK1",
                "securitytoken": "T1",
                "expires_at": "2999-01-01T00:00:00.000000Z",
            }
            return answer(201, json.dumps({"credential": keys}).encode(), CLOSE)
        return issued()

    async with serving(handle) as server:
        auth = way.make(server.url)
        first, second = (asyncio.create_task(auth.prepare("")) for _ in range(2))
        await until(lambda: server.arrivals)
        first.cancel()
        await asyncio.wait([first])
        release.set()
        assert await second > 0
        assert len(server.arrivals) == way.requests


@pytest.mark.parametrize("stalled", ["TLS", "the tunnel of a proxy"])
async def test_a_connection_that_is_never_ready_is_left_too(
    stalled: str, clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before there is any request: the other side says nothing to the first bytes."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("OS_CACERT", str(tmp_path / "ca.pem"))  # reading the system's would take half of the time
    async with logging_server() as log:
        if stalled == "TLS":
            auth = clouds.auth({"auth_url": f"https://{log.url}/v3"})
        else:
            monkeypatch.setenv("HTTPS_PROXY", f"http://{log.url}")
            auth = clouds.auth({"auth_url": "https://iam.test/v3"})
        auth._timeout = 0.2
        reply = await failed(auth)
        assert (reply.verdict, reply.timed_out) == (Verdict.UNREACHABLE, True)
        await until(lambda: not workers(), 5.0)  # a read of the library's own would last ten
        await until(lambda: log.connections == log.ended == 1)


def test_the_same_on_uvloop(clouds: Clouds) -> None:
    """Waiting, sharing, cancelling and giving up, on the other loop."""
    uvloop = pytest.importorskip("uvloop")

    async def run() -> None:
        release = asyncio.Event()

        async def handle(connection: Connection, head: bytes) -> bytes:
            await connection.reader.readexactly(int(server.header("Content-Length") or 0))
            await release.wait()
            return issued()

        async with serving(handle) as server:
            auth = clouds.auth({"auth_url": f"{server.url}/v3"})
            for cancel in (cancel_task, cancel_scope, time_out):
                before = len(server.arrivals)
                await cancel(auth.prepare(""), lambda: len(server.arrivals) > before)  # noqa: B023 - waited for here
                await until(lambda: not workers())
            first, *others = (asyncio.create_task(auth.prepare("")) for _ in range(3))
            await until(lambda: len(server.arrivals) == 4)
            first.cancel()
            await asyncio.wait([first])
            release.set()
            assert all([await other > 0 for other in others])
            assert len(server.arrivals) == 4

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
