"""Signing in over TLS: certificates are checked, with the cloud's own file if it has one."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from sdrs_async.models import Verdict
from tests.test_keystone import Clouds, clouds, token
from tests.test_keystone_sign_in import failure, issued, playing

__all__ = ["clouds"]  # a fixture

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")


def tls_of(authority: trustme.CA) -> ssl.SSLContext:
    """What a server on loopback needs to use a certificate of this authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


async def test_certificates_are_checked(clouds: Clouds, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With the file of the cloud, which holds for our own requests too; no second try mends a bad certificate."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with playing(issued(), tls=tls_of(authority)) as iam:
        url = iam.url.replace("http:", "https:")
        found = await failure(clouds.auth({"auth_url": url}))
        assert (found.verdict, found.retryable) == (Verdict.UNREACHABLE, False)
        assert "SSL exception connecting to" in found.message
        trusting = clouds.auth({"auth_url": url}, cacert=str(tmp_path / "ca.pem"))
        assert trusting.verify == str(tmp_path / "ca.pem")
        assert await token(trusting) == "token-1"
    assert "CERTIFICATES" not in caplog.text


@pytest.mark.parametrize("settings", [{"verify": False}, {"insecure": True}, {"insecure": "true"}])
async def test_unchecked_certificates_are_said_loudly_and_once(
    clouds: Clouds, caplog: pytest.LogCaptureFixture, settings: dict[str, Any]
) -> None:
    """In one warning of our own, instead of one with each request."""
    async with playing(issued(), tls=tls_of(trustme.CA())) as iam:
        auth = clouds.auth({"auth_url": iam.url.replace("http:", "https:")}, **settings)
        assert auth.verify is False
        assert [await token(auth), await token(auth, "p1")] == ["token-1"] * 2
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == [
        "cloud 'prod': CERTIFICATES ARE NOT CHECKED (verify: false): anyone on the way can read and use the credential"
    ]


async def test_a_ca_file_that_is_none_is_no_crash(clouds: Clouds, tmp_path: Path) -> None:
    """It holds no certificate, or is gone by the time that it is needed."""
    path = tmp_path / "ca.pem"
    path.write_text("nothing", "utf-8")
    async with playing(issued(), tls=tls_of(trustme.CA())) as iam:
        auth = clouds.auth({"auth_url": iam.url.replace("http:", "https:")}, cacert=str(path))
        assert (await failure(auth)).verdict is Verdict.UNREACHABLE
        path.unlink()
        found = await failure(auth)
        assert (found.verdict, str(path) in found.message) == (Verdict.UNREACHABLE, True)
