"""Signing in over TLS: certificates are checked, with the cloud's own file if it has one."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from sdrs_async.errors import ConfigError
from sdrs_async.models import Verdict
from tests.credentials.keystone.test_auth import Clouds, clouds, token
from tests.credentials.keystone.test_sign_in import failure, issued, playing

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


@pytest.mark.parametrize("verify", ["false", "no", 0, "/nowhere.pem"])
def test_a_check_that_is_switched_off_by_a_text_is_not(clouds: Clouds, verify: Any) -> None:
    """What is neither true nor false is a file, as requests reads it, and there is none of that name."""
    with pytest.raises(ConfigError, match=f"the CA file '{verify}' that verify names cannot be used: No such file"):
        clouds.auth({"auth_url": "https://iam.test"}, verify=verify)


async def test_a_ca_file_that_is_none_is_a_configuration_error(clouds: Clouds, tmp_path: Path) -> None:
    """It is missing, or holds no certificate: said before anything is sent. Gone when it is needed, it is no crash."""
    path = tmp_path / "ca.pem"
    async with playing(issued(), tls=tls_of(trustme.CA())) as iam:
        options = {"auth_url": iam.url.replace("http:", "https:")}
        with pytest.raises(
            ConfigError, match=r"^cloud 'prod': the CA file '.*ca\.pem' that cacert names cannot be used: "
        ):
            clouds.auth(options, cacert=str(path))
        path.write_text("nothing", "utf-8")
        with pytest.raises(ConfigError, match="that cacert names cannot be used: it holds no certificate in PEM form"):
            clouds.auth(options, cacert=str(path))
        trustme.CA().cert_pem.write_to_path(path)
        auth = clouds.auth(options, cacert=str(path))
        path.unlink()
        found = await failure(auth)
        assert (found.verdict, str(path) in found.message) == (Verdict.UNAUTHORIZED, True)


CLIENTS = trustme.CA()


def files_of(authority: trustme.CA, folder: Path, *, in_one: bool = False) -> dict[str, str]:
    """A client certificate and its key, as clouds.yaml names them; `in_one`: the key stands in the first file too."""
    made = authority.issue_cert("client@example.com")
    (made.private_key_and_cert_chain_pem if in_one else made.cert_chain_pems[0]).write_to_path(folder / "cert.pem")
    made.private_key_pem.write_to_path(folder / "key.pem")
    return {"cert": str(folder / "cert.pem"), "key": str(folder / "key.pem")}


@pytest.mark.parametrize("one_file", [False, True])
async def test_a_client_certificate_is_shown(clouds: Clouds, tmp_path: Path, one_file: bool) -> None:
    """IAM may want one; certificate and key stand in two files, or in one."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = tls_of(authority)
    tls.verify_mode = ssl.CERT_REQUIRED
    CLIENTS.configure_trust(tls)
    async with playing(issued(), tls=tls) as iam:
        settings = {"cacert": str(tmp_path / "ca.pem"), **files_of(CLIENTS, tmp_path, in_one=one_file)}
        if one_file:
            del settings["key"]
        options = {"auth_url": iam.url.replace("http:", "https:")}
        assert await token(clouds.auth(options, **settings)) == "token-1"
        assert (await failure(clouds.auth(options, cacert=settings["cacert"]))).verdict is Verdict.UNREACHABLE
        assert len(iam.raw.arrivals) == 1


def test_a_client_certificate_that_cannot_be_used_is_a_configuration_error(clouds: Clouds, tmp_path: Path) -> None:
    """Missing, without its key, with another's, or with one that is encrypted: nobody is asked at the terminal."""
    files, other = files_of(CLIENTS, tmp_path), CLIENTS.issue_cert("other@example.com")
    key = serialization.load_pem_private_key(Path(files["key"]).read_bytes(), None)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "locked.pem").write_bytes(key.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"pw")))
    other.private_key_pem.write_to_path(tmp_path / "other.pem")
    for settings, said in (
        ({"cert": "/nowhere.pem"}, "'/nowhere.pem' cannot be used: '/nowhere.pem': No such file"),
        ({**files, "key": "/nowhere.pem"}, "cannot be used: '/nowhere.pem': No such file"),
        ({"cert": files["cert"]}, "cannot be used: no certificate with its key"),
        ({**files, "key": str(tmp_path / "other.pem")}, "is not its key"),
        ({**files, "key": str(tmp_path / "locked.pem")}, "is encrypted"),
    ):
        with pytest.raises(ConfigError, match=said) as caught:
            clouds.auth({"auth_url": "https://iam.test"}, **settings)
        assert str(caught.value).startswith("cloud 'prod': the ")


async def test_another_host_s_certificate_is_not_trusted(clouds: Clouds, tmp_path: Path) -> None:
    """Though its authority is: the name counts, that of an address too."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.2", "iam.test").configure_cert(tls)
    async with playing(issued(), tls=tls) as iam:
        auth = clouds.auth({"auth_url": iam.url.replace("http:", "https:")}, cacert=str(tmp_path / "ca.pem"))
        assert (await failure(auth)).verdict is Verdict.UNREACHABLE
        assert iam.raw.arrivals == []
