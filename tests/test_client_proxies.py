"""Which way the client's requests go: proxies from the environment, never for this machine, and never ~/.netrc."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
import trustme

from sdrs_async.auth import StaticToken
from sdrs_async.client import Client
from sdrs_async.errors import ConfigError
from sdrs_async.models import Limits, Reply, RetryPolicy, Target, Verdict
from tests.raw_server import Connection, RawServer, answer, serving

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

TARGET = Target("p1", "g1")
PATH = "/v1/p1/task-center/g1/failure-jobs/batch"
LONG = 60.0  # seconds that no test waits for


async def _send(endpoint: str, ca_file: str | None = None) -> Reply:
    client = Client(
        endpoint, StaticToken("top-secret"), limits=Limits(), retry=RetryPolicy(), ca_file=ca_file, allow_http=True
    )
    async with client:
        return await client.send(TARGET, LONG)


async def _no_content(connection: Connection, head: bytes) -> bytes:
    return answer()


@asynccontextmanager
async def _proxy(data: bytes = answer()) -> AsyncIterator[RawServer]:
    """A proxy that gives this answer to everything."""

    async def handler(connection: Connection, head: bytes) -> bytes:
        return data

    async with serving(handler) as proxy:
        yield proxy


@asynccontextmanager
async def _tunnels(port: int) -> AsyncIterator[RawServer]:
    """A proxy whose every tunnel ends at this port, whatever host it was asked for."""

    async def handler(connection: Connection, head: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_copy, connection.reader, writer)
                tasks.start_soon(_copy, reader, connection.writer)
        finally:
            writer.close()

    async with serving(handler) as proxy:
        yield proxy


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


# ---- plain http


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
@pytest.mark.parametrize("scheme", ["http://", ""])
async def test_plain_http_goes_to_the_proxy(name: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy gets the whole URL and looks the host up; its own URL may do without a scheme, as with curl."""
    async with _proxy() as proxy:
        monkeypatch.setenv(name, f"{scheme}127.0.0.1:{proxy.port}")
        reply = await _send("http://sdrs.test")
        assert reply.verdict is Verdict.DELETED
        assert proxy.arrivals[0].startswith(f"DELETE http://sdrs.test{PATH} HTTP/1.1\r\n".encode())
        assert proxy.header("X-Auth-Token") == "top-secret"


async def test_each_scheme_has_its_own_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY is not for http; without HTTP_PROXY the request goes straight to the host."""
    async with _proxy(answer(502)) as proxy, serving(_no_content) as server:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert (await _send(f"http://0.0.0.0:{server.port}")).verdict is Verdict.DELETED
        assert (len(proxy.arrivals), len(server.arrivals)) == (0, 1)


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [("0.0.0.0", True), ("other.test, 0.0.0.0", True), ("*", True), ("other.test", False), ("", False)],
)
async def test_no_proxy_names_the_hosts_that_need_none(
    no_proxy: str, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host on the list is called straight; 0.0.0.0 is this machine, but not by a name that says so."""
    async with _proxy() as proxy, serving(_no_content) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", no_proxy)
        assert (await _send(f"http://0.0.0.0:{server.port}")).verdict is Verdict.DELETED
        assert (len(proxy.arrivals), len(server.arrivals)) == ((0, 1) if direct else (1, 0))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_this_machine_is_never_called_through_a_proxy(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain http is allowed on loopback because it stays here."""
    async with _proxy(answer(502)) as proxy, serving(_no_content) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert (await _send(f"http://{host}:{server.port}")).verdict is Verdict.DELETED
        assert proxy.arrivals == []


async def test_a_proxy_that_wants_a_password_rejects(monkeypatch: pytest.MonkeyPatch) -> None:
    """407 is an answer of its own, whoever gave it."""
    async with _proxy(answer(407)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        reply = await _send("http://sdrs.test")
    assert (reply.verdict, reply.status_code) == (Verdict.REJECTED, 407)


async def test_a_proxy_that_is_not_there_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worth another try; the message names the proxy, without its password."""
    async with _proxy() as proxy:
        port = proxy.port
    monkeypatch.setenv("HTTP_PROXY", f"http://user:pa55@127.0.0.1:{port}")
    reply = await _send("http://sdrs.test")
    assert (reply.verdict, reply.retryable, reply.timed_out) == (Verdict.UNREACHABLE, True, False)
    assert f"127.0.0.1:{port}" in reply.message
    assert "pa55" not in repr(reply)


@pytest.mark.parametrize(
    "proxy", ["http://", "socks5://u:pa55@h:1080", "http://u:pa55@h:99999", "http://[h", "ftp://h"]
)
async def test_what_is_no_proxy_is_a_configuration_error(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said once, before anything is sent past it, and without the password."""
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(ConfigError, match="HTTP_PROXY is not the URL of a proxy") as caught:
        await _send("http://sdrs.test")
    assert "pa55" not in str(caught.value)


# ---- https, by CONNECT


def _certificate(host: str, tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """A server's certificate, and the file with the authority that it comes from."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return context, str(tmp_path / "ca.pem")


async def test_https_goes_through_a_tunnel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy learns host and port, and its own password; the credential is for the server alone."""
    tls, ca_file = _certificate("sdrs.test", tmp_path)
    async with serving(_no_content, tls) as server, _tunnels(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:pa55@127.0.0.1:{proxy.port}")
        reply = await _send("https://sdrs.test", ca_file)
        assert reply.verdict is Verdict.DELETED
        assert proxy.arrivals[0].startswith(b"CONNECT sdrs.test:443 HTTP/1.1\r\n")
        assert proxy.header("Proxy-Authorization") == "Basic dXNlcjpwYTU1"
        assert proxy.header("X-Auth-Token") is None
        assert server.arrivals[0].startswith(f"DELETE {PATH} HTTP/1.1\r\n".encode())
        assert server.header("X-Auth-Token") == "top-secret"
        assert server.header("Proxy-Authorization") is None
        assert (len(proxy.arrivals), len(server.arrivals)) == (1, 1)


async def test_certificates_are_checked_inside_a_tunnel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that answers in the server's place is found out, and nothing is sent to it."""
    tls, ca_file = _certificate("other.test", tmp_path)
    async with serving(_no_content, tls) as server, _tunnels(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        reply = await _send("https://sdrs.test", ca_file)
        assert (reply.verdict, reply.retryable) == (Verdict.UNREACHABLE, False)
        assert server.arrivals == []


async def test_a_tunnel_that_wants_a_password_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """407 is the one answer of a proxy that counts as one."""
    async with _proxy(answer(407)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        reply = await _send("https://sdrs.test")
        assert (reply.verdict, reply.status_code) == (Verdict.REJECTED, 407)
        assert "the proxy answered 407" in reply.message
        assert len(proxy.arrivals) == 1


@pytest.mark.parametrize("status", [204, 302, 400, 401, 403, 404, 429, 500, 502, 503, 504])
async def test_a_tunnel_that_is_refused_is_no_answer_of_the_service(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy's 404 says nothing of a protection group: the service is unreachable, for now."""
    async with _proxy(answer(status)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        reply = await _send("https://sdrs.test")
        assert (reply.verdict, reply.status_code, reply.retryable) == (Verdict.UNREACHABLE, None, True)
        assert f"the proxy answered {status}" in reply.message
        assert len(proxy.arrivals) == 1


# ---- netrc


async def test_netrc_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password for the same host goes neither beside the token nor to a proxy."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login user password pa55\nmachine 127.0.0.1 login user password pa55\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    async with serving(_no_content) as server:
        await _send(server.url)
        assert server.header("X-Auth-Token") == "top-secret"
        assert server.header("Authorization") is None
        monkeypatch.setenv("HTTP_PROXY", server.url)
        await _send("http://sdrs.test")
        assert server.header("Authorization") is None
        assert server.header("Proxy-Authorization") is None
