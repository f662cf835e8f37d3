"""Certificates are always checked, against the system's authorities or those of a file."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from sdrs_async.cloud.client import Client
from sdrs_async.credentials.keys import StaticToken
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Reply, Target, Verdict
from tests.support.raw_server import Connection, answer, serving

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

TARGET = Target("p1", "g1")
AUTHORITY = trustme.CA()
OTHER_AUTHORITY = trustme.CA()


def _file(authority: trustme.CA, path: Path) -> str:
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def _tls(host: str = "127.0.0.1", not_after: datetime | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(host, not_after=not_after).configure_cert(context)
    return context


def _client(endpoint: str, ca_file: str | None) -> Client:
    return Client(endpoint, StaticToken("top-secret"), limits=Limits(), retry=RetryPolicy(), ca_file=ca_file)


async def _no_content(connection: Connection, head: bytes) -> bytes:
    return answer()


async def _send(tls: ssl.SSLContext | None, ca_file: str | None, scheme: str = "https") -> Reply:
    """One request to a server with this certificate; nothing may arrive unless it was trusted."""
    async with serving(_no_content, tls) as server, _client(f"{scheme}://127.0.0.1:{server.port}", ca_file) as client:
        reply = await client.send(TARGET, 60.0)
        assert len(server.arrivals) == (reply.verdict is Verdict.DELETED)
        return reply


@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
async def test_a_file_of_authorities_is_trusted(scheme: str, tmp_path: Path) -> None:
    """A private authority works once it is named, however the endpoint is spelled."""
    reply = await _send(_tls(), _file(AUTHORITY, tmp_path / "ca.pem"), scheme)
    assert (reply.verdict, reply.status_code) == (Verdict.DELETED, 204)


async def test_one_connection_serves_many_requests(tmp_path: Path) -> None:
    """A handshake costs more than a request: the connection is kept."""
    ca_file = _file(AUTHORITY, tmp_path / "ca.pem")
    async with serving(_no_content, _tls()) as server, _client(f"https://127.0.0.1:{server.port}", ca_file) as client:
        verdicts = [(await client.send(TARGET, 60.0)).verdict for _ in range(5)]
        assert verdicts == [Verdict.DELETED] * 5
        assert server.connections == 1


async def test_ssl_cert_file_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file of its own the client trusts what OpenSSL's environment names."""
    monkeypatch.setenv("SSL_CERT_FILE", _file(AUTHORITY, tmp_path / "ca.pem"))
    assert (await _send(_tls(), None)).verdict is Verdict.DELETED


async def test_a_file_replaces_the_systems_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever names a file trusts nobody else."""
    monkeypatch.setenv("SSL_CERT_FILE", _file(AUTHORITY, tmp_path / "ca.pem"))
    reply = await _send(_tls(), _file(OTHER_AUTHORITY, tmp_path / "other.pem"))
    assert (reply.verdict, reply.retryable) == (Verdict.UNREACHABLE, False)


@pytest.mark.parametrize(
    ("tls", "trusted"),
    [
        (_tls(), None),
        (_tls(), OTHER_AUTHORITY),
        (_tls("sdrs.test"), AUTHORITY),
        (_tls(not_after=datetime.now(UTC) - timedelta(days=1)), AUTHORITY),
    ],
    ids=["unknown authority", "another authority", "another host", "expired"],
)
async def test_a_certificate_that_is_not_good_fails_at_once(
    tls: ssl.SSLContext, trusted: trustme.CA | None, tmp_path: Path
) -> None:
    """No second try mends a certificate, and no request is sent to whoever shows it."""
    reply = await _send(tls, _file(trusted, tmp_path / "ca.pem") if trusted else None)
    assert (reply.verdict, reply.status_code) == (Verdict.UNREACHABLE, None)
    assert (reply.retryable, reply.timed_out) == (False, False)
    assert "certificate" in reply.message.lower()


async def test_a_server_without_tls_is_unreachable(tmp_path: Path) -> None:
    """Another protocol on the port may be a restart or a wrong port: worth another try."""

    async def handler(connection: Connection, head: bytes) -> None:
        raise AssertionError("a request in the clear")

    async with serving(handler) as server:
        async with _client(f"https://127.0.0.1:{server.port}", _file(AUTHORITY, tmp_path / "ca.pem")) as client:
            reply = await client.send(TARGET, 0.2)
        assert (reply.verdict, reply.retryable) == (Verdict.UNREACHABLE, True)
        assert server.arrivals == []


@pytest.mark.parametrize(
    "content", [None, b"", b"not a certificate", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA"]
)
def test_a_file_that_holds_no_authorities_is_a_configuration_error(content: bytes | None, tmp_path: Path) -> None:
    """Missing, empty or garbage: said before anything is sent, with the file's name."""
    path = tmp_path / "my-ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"my-ca\.pem"):
        _client("https://sdrs.test", str(path))


def test_a_folder_is_no_file_of_authorities(tmp_path: Path) -> None:
    """One without a file by the name that OpenSSL looks for holds nothing."""
    with pytest.raises(
        ConfigError, match=r"the CA file .* no file in this folder has a name as `openssl rehash` gives"
    ):
        _client("https://sdrs.test", str(tmp_path))
