"""Which way the client's requests go: proxies from the environment, never for this machine, and never ~/.netrc."""

from __future__ import annotations

import asyncio
import logging
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote

import aiohttp
import anyio
import pytest
import trustme

from sdrs_async.cloud.client import Client
from sdrs_async.cloud.replies import unreachable
from sdrs_async.cloud.sites import Site
from sdrs_async.credentials.keys import StaticToken
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Reply, Target, Verdict
from tests.support.raw_server import Connection, RawServer, answer, serving

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


@pytest.mark.parametrize("proxy", ["http://", "http://u:pa55@h:99999", "http://[h", "ftp://h", "://u:pa55@h"])
async def test_what_is_no_proxy_is_a_configuration_error(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said once, before anything is sent past it, and without the password."""
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(ConfigError, match="HTTP_PROXY is not the URL of a proxy") as caught:
        await _send("http://sdrs.test")
    assert "pa55" not in str(caught.value)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("scheme", ["socks", "socks4", "socks4a", "socks5", "SOCKS5h"])
async def test_a_socks_proxy_is_refused_by_its_variable(
    scheme: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence says that it cannot be used, and which variable names it; not what is in it."""
    monkeypatch.setenv(variable, f" {scheme}://u:pa55@h:1080 ")
    with pytest.raises(ConfigError, match=f"^{variable} names a SOCKS proxy, and only HTTP proxies can") as caught:
        await _send("http://sdrs.test")
    assert "pa55" not in str(caught.value)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_who_names_the_proxy_is_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Advice on a proxy names the variable that is to be corrected; without a proxy, the one that there could be."""
    assert Site("https://sdrs.test").proxy_variable == "HTTPS_PROXY"
    monkeypatch.setenv(name, "http://proxy.test:3128")
    assert Site("https://sdrs.test").proxy_variable == name


async def test_a_socks_proxy_that_is_not_on_the_way_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheme has a proxy of its own, or the host needs none."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    async with _proxy() as proxy, serving(_no_content) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert (await _send("http://sdrs.test")).verdict is Verdict.DELETED
        monkeypatch.delenv("HTTP_PROXY")
        monkeypatch.setenv("NO_PROXY", "0.0.0.0")
        assert (await _send(f"http://0.0.0.0:{server.port}")).verdict is Verdict.DELETED


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


# ---- the proxy's password

PASSWORD = "pa55/wo:rd@1"
QUOTED = "pa55%2Fwo%3Ard%401"
BASIC = b64encode(f"user:{PASSWORD}".encode()).decode()
SPELLINGS = (PASSWORD, QUOTED, BASIC, PASSWORD.replace("/", "\\/"), "pa55")
ECHO = f"user:{PASSWORD} {QUOTED} {BASIC} http://user:{QUOTED}@proxy.test"
ANSWERS = {
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "tls": b"\x15\x03\x01\x00\x02\x02\x46",
    "socks": b"\x05\xff",
    "garbage": bytes(range(256)),
    "closes": b"",
    "half": b"HTTP/1.1 2",
    **{
        f"{status} {where}": answer(status, ECHO.encode()).replace(
            b"Reason", ECHO.encode() if where == "head" else b"No"
        )
        for status in (403, 407, 502)
        for where in ("head", "body")
    },
    "json": answer(403, b'{"error":{"code":"X.1","message":"Basic %s, user:pa55\\/wo:rd@1"}}' % BASIC.encode()),
    "header": answer(502, b"", f"X-Request-Id: {BASIC}"),
}


@pytest.mark.parametrize("what", ANSWERS)
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("call", ["send", "greet"])
async def test_no_text_holds_the_proxys_password(
    what: str, scheme: str, call: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the proxy's port speaks, and whatever it echoes: not in the reply, not in a log, in no spelling."""
    caplog.set_level(logging.DEBUG)

    async def handler(connection: Connection, head: bytes) -> None:
        await connection.send(ANSWERS[what])

    async with serving(handler) as proxy:
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://user:{QUOTED}@127.0.0.1:{proxy.port}")
        site = f"{scheme}://sdrs.test"
        async with Client(site, StaticToken("t0ken"), limits=Limits(), retry=RetryPolicy(), allow_http=True) as client:
            reply = await (client.send(TARGET, LONG) if call == "send" else client.greet(LONG))
            assert proxy.header("Proxy-Authorization") == f"Basic {BASIC}"
            shown = f"{reply!r} {client!r} {vars(client)!r} {caplog.text}"
    assert [spelled for spelled in SPELLINGS if spelled in shown] == []


async def test_the_proxys_password_goes_to_the_proxy_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, decoded, whether it is for plain http or a tunnel."""
    tls, ca_file = _certificate("sdrs.test", tmp_path)
    async with serving(_no_content, tls) as server, _tunnels(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{QUOTED}@127.0.0.1:{proxy.port}")
        assert (await _send("https://sdrs.test", ca_file)).verdict is Verdict.DELETED
        assert proxy.header("Proxy-Authorization") == f"Basic {BASIC}"
        assert server.header("Proxy-Authorization") is None


async def test_two_sends_share_a_tunnel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password apart from the URL does not part the connections."""
    tls, ca_file = _certificate("sdrs.test", tmp_path)
    async with serving(_no_content, tls) as server, _tunnels(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{QUOTED}@127.0.0.1:{proxy.port}")
        async with Client(
            "https://sdrs.test", StaticToken("t"), limits=Limits(), retry=RetryPolicy(), ca_file=ca_file
        ) as client:
            for _ in range(3):
                assert (await client.send(TARGET, LONG)).verdict is Verdict.DELETED
        assert (proxy.connections, server.connections) == (1, 1)


@pytest.mark.parametrize("user_info", ["user", "user:", ":pw", "\u00fc:\u4e2d", "u%20r:%e4%b8%ad"])
async def test_any_user_and_password_go_out(user_info: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either may be missing, and neither need be ASCII."""
    user, _, password = unquote(user_info).partition(":")
    async with _proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{user_info}@127.0.0.1:{proxy.port}")
        assert (await _send("http://sdrs.test")).verdict is Verdict.DELETED
        basic = b64encode(f"{user}:{password}".encode()).decode()
        assert proxy.header("Proxy-Authorization") == f"Basic {basic}"


@pytest.mark.parametrize("mark", ["/", "#", "?"])
async def test_a_password_that_breaks_its_url_is_refused_unseen(mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`user:12/34@host` would make a host `user` of it and show the first half."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:12{mark}34@proxy.test:3128")
    with pytest.raises(ConfigError, match="is not the URL of a proxy") as caught:
        Client("https://sdrs.test", StaticToken("t"), limits=Limits(), retry=RetryPolicy())
    assert "12" not in str(caught.value).replace("3128", "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("400, message='x', url='http://user:pw@sdrs.test:443'", "400, message='x', url='http://***@sdrs.test:443'"),
        ("https://user@h/p", "https://***@h/p"),
        ("http://u:p%40w@h", "http://***@h"),
        ("http%3A%2F%2Fuser%3Apw%40host", "http%3A%2F%2F***@host"),
        ("via user:pw@proxy:3128 failed", "via ***@proxy:3128 failed"),
        ("via (user%3apw%40proxy)", "via ***@proxy)"),
        ("http://u:a@b@h", "http://***@h"),
        ("Cannot connect to host sdrs.test:443 ssl:default [refused]", None),
        ("no route: ask admin@example.com", None),
        ("the password=a/b:c@d of http://h", "the ***@d of http://h"),
    ],
)
def test_user_info_is_struck_from_what_an_exception_says(text: str, shown: str | None) -> None:
    """As it is, or percent-encoded; an address of mail is none."""
    assert unreachable(aiohttp.ClientError(text), 0).message == (shown or text)


def test_striking_takes_little_time() -> None:
    """A long text that nearly matches is no trap."""
    for text in ("a:" * 50_000, "//" * 50_000, "a:b" + "%4" * 50_000, ":" * 100_000, "a" * 100_000):
        assert len(unreachable(aiohttp.ClientError(text), 0).message) <= 500


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
