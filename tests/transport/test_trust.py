"""docs/settings.md, Certificates and Proxies: each cell of their tables, over real TLS and by real proxies."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import ssl
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import certifi
import pytest
import trustme
from cryptography import x509

from sdrs_async.accounts.account import Account
from sdrs_async.accounts.sources import Asked, CredentialKind, Signature
from sdrs_async.auth import SignInFailed
from sdrs_async.cloud.calls import projects_page
from sdrs_async.cloud.client import Client
from sdrs_async.command.inputs import of_flags, of_fleet
from sdrs_async.credentials.keystone import KeystoneAuth
from sdrs_async.credentials.vendor_sdk import HuaweiAuth
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Reply, Target, Verdict
from sdrs_async.transport import blocking_http, trust
from sdrs_async.transport.proxies import chosen, proxy_of
from sdrs_async.transport.trust import is_bad_certificate
from tests.credentials.keystone.test_sign_in import issued
from tests.credentials.keystone.test_sign_in_tls import files_of
from tests.support.raw_server import Connection, RawServer, answer, serving

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "settings.md").read_text("utf-8")
OPENSTACK, HUAWEI, LISTS, SERVICE = HALVES = (
    "Sign-in: clouds.yaml, `OS_*`",
    "Sign-in: `--credential huawei`",
    "Project lists at IAM",
    "Service",
)
OURS, OTHERS = trustme.CA(), trustme.CA()
FLAGS = Asked(
    None, None, None, None, CredentialKind.AUTO, Signature.ACCESS, None, True, Limits(), RetryPolicy(timeout=20.0)
)
LONG = 60.0  # seconds that no test waits for
CLOSE = "Connection: close"
NOBODY = "http://127.0.0.1:9"  # a proxy that is not there


def table(section: str) -> dict[str, dict[str, str]]:
    """The rows of a section's table by their setting, each with its cells by their columns."""
    text = DOCUMENT.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    head, _, *rows = lines
    return {row["Setting"]: row for row in (dict(zip(head, cells, strict=True)) for cells in rows)}


CERTIFICATES, PROXIES = table("Certificates"), table("Proxies")


# ---- both halves, as the command makes them -------------------------------------------------------------------------


@dataclass
class Setting:
    """What a user has set: variables, flags, and more of the cloud `prod`."""

    folder: Path
    patch: pytest.MonkeyPatch
    environ: dict[str, str] = field(default_factory=dict)
    flags: dict[str, Any] = field(default_factory=dict)
    cloud: dict[str, Any] = field(default_factory=dict)
    fleet_file: bool = False

    def account(self, half: str, url: str, iam: str) -> Account:
        """The account of a run whose half is at `url`, and who else it has to sign in to is at `iam`."""
        auth = {"username": "ann", "password": "geheim", "user_domain_name": "d", "project_id": "p1"}
        auth["auth_url"] = url if half == OPENSTACK else iam
        clouds = self.folder / "clouds.yaml"
        clouds.write_text(json.dumps({"clouds": {"prod": {"auth": auth, **self.cloud}}}), "utf-8")
        (self.folder / "id").write_text("an-id-token", "utf-8")
        named = {"OS_CLIENT_CONFIG_FILE": str(clouds), "HOME": str(self.folder), **self.environ}
        vendor = {"IDP_ID": "idp", "ID_TOKEN_FILE": str(self.folder / "id"), "PROJECT_ID": "p1", "IAM_ENDPOINT": url}
        named |= {f"HUAWEICLOUD_SDK_{name}": value for name, value in vendor.items()} if half == HUAWEI else {}
        for name, value in named.items():
            self.patch.setenv(name, value)
        if self.fleet_file:
            return self._of_fleet(half, url, named)
        kind = {"credential": CredentialKind.HUAWEI} if half == HUAWEI else {"os_cloud": "prod"}
        flags = replace(FLAGS, endpoint=url, iam_endpoint=url, **kind, **self.flags)
        (pending,) = of_flags(flags, {**named}).pending
        return pending.at(url)

    def _of_fleet(self, half: str, url: str, environ: Mapping[str, str]) -> Account:
        """The same by a fleet file, whose `ca_file` is that of the flag."""
        credential = 'huawei = "chain"' if half == HUAWEI else 'os_cloud = "prod"'
        places = {"endpoint": url, "iam_endpoint": url, **self.flags}
        lines = [
            f"credential = {{ {credential} }}",
            'projects = "all"',
            *(f'{key} = "{places[key]}"' for key in places),
        ]
        path = self.folder / "fleet.toml"
        path.write_text("\n".join(["[accounts.one]", *lines]), "utf-8")
        connection, _ = of_fleet(str(path), replace(FLAGS, allow_http=False), environ, project_level=False)
        return connection.pending[0].at(url)

    async def reply(self, half: str, url: str, iam: str) -> Reply:
        """What one call of this half comes to."""
        account = self.account(half, url, iam)
        auth: Any = account.auth
        if half in (OPENSTACK, HUAWEI):
            try:
                assert await auth.prepare("") > 0
            except SignInFailed as error:
                return error.reply
            return Reply(Verdict.READ)
        call = projects_page("") if half == LISTS else Target("p1", "g1")
        async with Client(
            account.endpoint, auth, limits=Limits(), retry=RetryPolicy(), iam_endpoint=account.iam_endpoint,
            ca_file=account.ca_file, allow_http=True,
        ) as client:  # fmt: skip
            return await client.send(call, LONG)

    async def reaches(self, half: str, url: str, iam: str) -> bool:
        """Whether the half gets its answer; if not, then for a certificate that is not trusted."""
        reply = await self.reply(half, url, iam)
        if reply.verdict is Verdict.UNREACHABLE:
            assert "certificate verify failed" in reply.message.lower()
            assert not reply.retryable
            return False
        assert reply.verdict in (Verdict.READ, Verdict.DELETED), reply
        return True


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    """Nothing is set, and the system has no store."""
    (tmp_path / "none").mkdir()
    store(monkeypatch, tmp_path / "none.pem", tmp_path / "none")
    OTHERS.cert_pem.write_to_path(tmp_path / "certifi.pem")
    monkeypatch.setattr(certifi, "where", lambda: str(tmp_path / "certifi.pem"))
    OURS.cert_pem.write_to_path(tmp_path / "ours.pem")
    OTHERS.cert_pem.write_to_path(tmp_path / "others.pem")
    return Setting(tmp_path, monkeypatch)


def store(patch: pytest.MonkeyPatch, file: Path, folder: Path) -> None:
    """Let OpenSSL's own store be here."""
    found = ssl.get_default_verify_paths()._replace(openssl_cafile=str(file), openssl_capath=str(folder))
    patch.setattr(ssl, "get_default_verify_paths", lambda: found)


async def serve(connection: Connection, head: bytes) -> bytes:
    """IAM of both kinds, and the service."""
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    body = await connection.reader.readexactly(int(length[1])) if length else b""
    if b"/v3.0/OS-AUTH/id-token/tokens" in head:
        return answer(201, b'{"token": {}}', "X-Subject-Token: unscoped", CLOSE)
    if b"securitytokens" in head:
        keys = {"access": "AK1", "secret": "SK1", "securitytoken": "T", "expires_at": "2999-01-01T00:00:00.000000Z"}
        return answer(201, json.dumps({"credential": keys}).encode(), CLOSE)
    if b"/v3/auth/tokens" in head:
        project = json.loads(body)["auth"].get("scope", {}).get("project", {}).get("id", "p1")
        return issued(project={"id": project})
    return answer(200, b'{"projects": []}') if head.startswith(b"GET") else answer()


def tls_of(host: str) -> ssl.SSLContext:
    """A server's, which asks for a client's certificate and does without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    OURS.issue_cert(host).configure_cert(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    OURS.configure_trust(context)
    return context


# ---- certificates ---------------------------------------------------------------------------------------------------


def hashed(authority: trustme.CA, folder: Path) -> Path:
    """A folder with an authority by the name that OpenSSL looks for."""
    folder.mkdir(exist_ok=True)
    subject = x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject
    lowered = x509.Name([x509.NameAttribute(one.oid, str(one.value).lower()) for one in subject]).public_bytes()
    assert lowered[1] < 128  # the length of what follows, in one byte
    digest = hashlib.sha1(lowered[2:]).digest()
    name = f"{int.from_bytes(digest[:4], 'little'):08x}.0"
    authority.cert_pem.write_to_path(folder / name)
    return folder


def variable(name: str) -> Callable[[Setting, str], None]:
    """A variable that names a file."""

    def make(setting: Setting, whose: str) -> None:
        setting.environ[name] = str(setting.folder / f"{whose}.pem")

    return make


def flag(setting: Setting, whose: str) -> None:
    """The command's own flag."""
    setting.flags["ca_file"] = str(setting.folder / f"{whose}.pem")


def cacert(setting: Setting, whose: str) -> None:
    """The cloud's file."""
    setting.cloud["cacert"] = str(setting.folder / f"{whose}.pem")


def unchecked(setting: Setting, whose: str) -> None:
    """Whoever answers is trusted."""
    setting.cloud["verify"] = whose != "ours"


def folder_of_openssl(setting: Setting, whose: str) -> None:
    """One that is there after one that is not."""
    folder = hashed(OURS if whose == "ours" else OTHERS, setting.folder / f"{whose}.folder")
    setting.environ["SSL_CERT_DIR"] = f"/nowhere:{folder}"


def system(setting: Setting, whose: str) -> None:
    """A file as the system has it."""
    store(setting.patch, setting.folder / f"{whose}.pem", setting.folder / "none")


def of_certifi(setting: Setting, whose: str) -> None:
    """What certifi brings, which nobody changes in a process that runs."""
    trust._shared.cache_clear()
    setting.patch.setattr(certifi, "where", lambda: str(setting.folder / f"{whose}.pem"))


SETTINGS: dict[str, Callable[[Setting, str], None]] = {
    "`--ca-file`; `ca_file` of a fleet file": flag,
    "`cacert` of clouds.yaml": cacert,
    "`verify: false` of clouds.yaml": unchecked,
    "`OS_CACERT`": variable("OS_CACERT"),
    "`REQUESTS_CA_BUNDLE`": variable("REQUESTS_CA_BUNDLE"),
    "`CURL_CA_BUNDLE`": variable("CURL_CA_BUNDLE"),
    "`SSL_CERT_FILE`": variable("SSL_CERT_FILE"),
    "`SSL_CERT_DIR`": folder_of_openssl,
    "the store of the system": system,
    "the store of certifi": of_certifi,
}
CLIENT_CERTIFICATE = "`cert` and `key` of clouds.yaml"


def later_than(name: str) -> list[str]:
    """The settings of later places."""
    place = CERTIFICATES[name]["Place"]
    return [other for other in SETTINGS if CERTIFICATES[other]["Place"] > place]


def test_every_row_of_certificates_is_tried() -> None:
    """A row without a test fails, and so does a test without a row; the places count from one."""
    assert {*CERTIFICATES} == {*SETTINGS, CLIENT_CERTIFICATE}
    places = [CERTIFICATES[name]["Place"] for name in SETTINGS]
    assert places == sorted(places)
    assert [*dict.fromkeys(places)] == [str(number + 1) for number in range(len({*places}))]


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", SETTINGS)
async def test_a_setting_reaches_the_halves_that_the_table_says(name: str, half: str, setting: Setting) -> None:
    """It wins over all of later places; none of these is added to it."""
    reaches = CERTIFICATES[name][half]
    assert reaches in ("yes", "no")
    async with serving(serve, tls_of("127.0.0.1")) as server, serving(serve) as iam:
        url = f"https://127.0.0.1:{server.port}"
        for whose, later in (("ours", "others"), ("others", "ours")):
            for other in later_than(name):
                SETTINGS[other](setting, later)
            SETTINGS[name](setting, whose)
            expected = (whose if reaches == "yes" else later) == "ours"
            if whose == "others":  # with the check switched on the next place counts; the system's file stays
                expected |= name in ("`verify: false` of clouds.yaml", "`SSL_CERT_DIR`")
            assert await setting.reaches(half, url, iam.url) is expected


@pytest.mark.parametrize("half", HALVES)
async def test_a_fleet_files_setting_reaches_each_half(half: str, setting: Setting) -> None:
    """As the flag does."""
    setting.fleet_file = True
    flag(setting, "ours")
    unchecked(setting, "others")
    async with serving(serve, tls_of("127.0.0.1")) as server, serving(serve) as iam:
        assert await setting.reaches(half, f"https://127.0.0.1:{server.port}", iam.url)
        flag(setting, "others")
        unchecked(setting, "ours")
        assert not await setting.reaches(half, f"https://127.0.0.1:{server.port}", iam.url)


@pytest.mark.parametrize("half", HALVES)
async def test_without_any_setting_a_private_authority_is_not_trusted(half: str, setting: Setting) -> None:
    """Nothing is sent to it."""
    async with serving(serve, tls_of("127.0.0.1")) as server, serving(serve) as iam:
        assert not await setting.reaches(half, f"https://127.0.0.1:{server.port}", iam.url)
        assert server.arrivals == []


@pytest.mark.parametrize("half", HALVES)
async def test_a_client_certificate_is_shown_to_whom_the_table_says(half: str, setting: Setting) -> None:
    """Nobody else learns who it is."""
    shown: list[bool] = []

    async def handle(connection: Connection, head: bytes) -> bytes:
        shown.append(bool(connection.writer.get_extra_info("peercert")))
        return await serve(connection, head)

    flag(setting, "ours")
    setting.cloud |= files_of(OURS, setting.folder)
    async with serving(handle, tls_of("127.0.0.1")) as server, serving(serve) as iam:
        assert await setting.reaches(half, f"https://127.0.0.1:{server.port}", iam.url)
    assert {*shown} == {CERTIFICATES[CLIENT_CERTIFICATE][half] == "yes"}


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("made", [flag, cacert, variable("REQUESTS_CA_BUNDLE")], ids=["flag", "cacert", "variable"])
async def test_a_folder_of_authorities_is_trusted_like_a_file(
    made: Callable[[Setting, str], None], half: str, setting: Setting
) -> None:
    """In each half alike."""
    hashed(OURS, setting.folder / "folder.pem")
    made(setting, "folder")
    expected = half != HUAWEI or made is not cacert
    async with serving(serve, tls_of("127.0.0.1")) as server, serving(serve) as iam:
        assert await setting.reaches(half, f"https://127.0.0.1:{server.port}", iam.url) is expected


FILES = [name for name in SETTINGS if "verify" not in name and "store" not in name]


@pytest.mark.parametrize(
    ("name", "half"), [(name, half) for name in FILES for half in HALVES if CERTIFICATES[name][half] == "yes"]
)
def test_a_file_that_cannot_be_used_is_named_before_anything_is_sent(name: str, half: str, setting: Setting) -> None:
    """With its setting, though a later place names one that can be used; whoever signs in."""
    for other in later_than(name):
        SETTINGS[other](setting, "ours")
    if name == "`SSL_CERT_DIR`":
        setting.environ["SSL_CERT_DIR"] = "/missing.pem"
    else:
        SETTINGS[name](setting, "missing")
    word = name.removeprefix("`").partition("`")[0]
    with pytest.raises(ConfigError, match=rf"missing\.pem' that {word}.* names cannot be used: .*o such"):
        setting.account(half, "https://sdrs.test", "https://iam.test")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("damaged", "no certificate in PEM form, or one that is damaged"), ("folder", "Is a directory")],
)
def test_of_a_file_all_is_read_or_nothing(name: str, reason: str, setting: Setting) -> None:
    """A certificate that is damaged behind a good one; SSL_CERT_FILE is no folder."""
    path = setting.folder / f"{name}.pem"
    if name == "folder":
        hashed(OURS, path)
    else:
        path.write_bytes(OURS.cert_pem.bytes() + OTHERS.cert_pem.bytes()[:200])
    variable("SSL_CERT_FILE")(setting, name)
    with pytest.raises(ConfigError, match=rf"that SSL_CERT_FILE names cannot be used: .*{reason}"):
        setting.account(OPENSTACK, "https://sdrs.test", "https://iam.test")


@pytest.mark.parametrize("half", HALVES)
async def test_an_authority_below_another_is_trusted_without_that_one(half: str, setting: Setting) -> None:
    """As curl and Python 3.13 do it: a company hands out the authority that issues its certificates, and no more."""
    below = OURS.create_child_ca()
    below.cert_pem.write_to_path(setting.folder / "below.pem")
    flag(setting, "below")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    below.issue_cert("127.0.0.1").configure_cert(context)
    async with serving(serve, context) as server, serving(serve) as iam:
        assert await setting.reaches(half, f"https://127.0.0.1:{server.port}", iam.url)


@pytest.mark.parametrize("half", [OPENSTACK, HUAWEI])
@pytest.mark.parametrize("what", ["file", "proxy"])
async def test_a_setting_that_goes_wrong_after_the_checks_is_final(what: str, half: str, setting: Setting) -> None:
    """Whoever signs in: no other try mends it, and its text names it."""
    flag(setting, "ours")
    account = setting.account(half, "https://sdrs.test", "https://iam.test")
    if what == "file":
        (setting.folder / "ours.pem").unlink()
    else:
        setting.patch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:9")
    auth: Any = account.auth
    with pytest.raises(SignInFailed) as caught:
        await auth.prepare("")
    assert (caught.value.reply.verdict, caught.value.reply.retryable) == (Verdict.UNAUTHORIZED, False)
    word = "ours.pem' that " if what == "file" else "HTTPS_PROXY names a SOCKS proxy"
    assert word in str(caught.value)
    assert "Unexpected exception" not in str(caught.value)


def test_an_empty_setting_is_none(setting: Setting) -> None:
    """Also of OpenSSL's variables, by which OpenSSL itself would do without its file."""
    for name in ("OS_CACERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        setting.environ[name] = ""
    system(setting, "ours")
    setting.account(OPENSTACK, "https://sdrs.test", "https://iam.test")


async def test_the_librarys_credential_takes_its_file_to_both_halves(setting: Setting) -> None:
    """`ca_file` of `from_cloud`, `from_env` and `from_chain` wins over the cloud's, and serves the service too."""
    setting.cloud["verify"] = False
    ours = setting.folder / "ours.pem"
    async with serving(serve, tls_of("127.0.0.1")) as server:
        url = f"https://127.0.0.1:{server.port}"
        for half in (OPENSTACK, HUAWEI):
            setting.account(half, url, url)
        setting.patch.setenv("OS_CLOUD", "prod")
        for auth in (
            KeystoneAuth.from_cloud("prod", ca_file=ours),
            KeystoneAuth.from_env(ca_file=ours),
            HuaweiAuth.from_chain(ca_file=ours),
        ):
            assert auth.verify == str(ours)
            async with Client(url, auth, limits=Limits(), retry=RetryPolicy()) as client:
                assert await client.sign_in("p1", LONG) > 0  # type: ignore[operator]  # not a reply
                assert (await client.send(Target("p1", "g1"), LONG)).verdict is Verdict.DELETED


def test_a_system_without_a_store_and_without_certifi_says_what_to_install(setting: Setting) -> None:
    """No server could be trusted at all."""
    setting.patch.setitem(sys.modules, "certifi", None)
    account = setting.account(OPENSTACK, "https://sdrs.test", "https://iam.test")
    with pytest.raises(ConfigError, match=r"no certificates of authorities.* install its package ca-certificates"):
        Client(account.endpoint, account.auth, limits=Limits(), retry=RetryPolicy())


# ---- proxies --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def tunnels(server: RawServer, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """A proxy: every tunnel ends at this server, whatever host was asked for; what is asked without one it answers."""

    async def handle(connection: Connection, head: bytes) -> bytes | None:
        if not head.startswith(b"CONNECT"):
            return await serve(connection, head)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(copied(connection.reader, writer), copied(reader, connection.writer))
        finally:
            writer.close()
        return None

    async with serving(handle, tls) as proxy:
        yield proxy


async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes, and its end."""
    with suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def by_proxy(
    setting: Setting, half: str, environ: Callable[[RawServer], Mapping[str, str]], scheme: str = "https",
    tls: ssl.SSLContext | None = None,
) -> RawServer:  # fmt: skip
    """The proxy that a call of this half went by, with these variables."""
    flag(setting, "ours")
    async with serving(serve, tls_of("sdrs.test")) as server, tunnels(server, tls) as proxy, serving(serve) as iam:
        setting.environ |= environ(proxy)
        assert await setting.reaches(half, f"{scheme}://sdrs.test", iam.url)
        assert len(proxy.arrivals) >= 1
        if scheme == "https":
            assert {head.split(b" HTTP/")[0] for head in proxy.arrivals} == {b"CONNECT sdrs.test:443"}
            assert len(server.arrivals) >= 1
        return proxy


async def https_proxy(setting: Setting, half: str) -> str:
    """By CONNECT; what is set for http does not count."""
    await by_proxy(setting, half, lambda proxy: {"HTTPS_PROXY": f" {proxy.url} ", "HTTP_PROXY": NOBODY})
    return "yes"


async def http_proxy(setting: Setting, half: str) -> str:
    """The proxy gets the whole URL."""
    proxy = await by_proxy(setting, half, lambda proxy: {"http_proxy": proxy.url, "HTTPS_PROXY": NOBODY}, "http")
    assert all(b" http://sdrs.test/" in head for head in proxy.arrivals)
    return "yes"


async def all_proxy(setting: Setting, half: str) -> str:
    """Where the scheme has none of its own."""
    await by_proxy(setting, half, lambda proxy: {"ALL_PROXY": proxy.url, "HTTP_PROXY": NOBODY, "HTTPS_PROXY": ""})
    return "yes"


async def without_scheme(setting: Setting, half: str) -> str:
    """User and password are decoded, go to the proxy, and any characters may be in them."""
    proxy = await by_proxy(setting, half, lambda proxy: {"HTTPS_PROXY": f"us:p%4\u0031%C3%BC@127.0.0.1:{proxy.port}"})
    assert {proxy.header("Proxy-Authorization", number) for number in range(len(proxy.arrivals))} == {
        "Basic dXM6cEHDvA=="
    }
    return "yes"


async def over_tls(setting: Setting, half: str) -> str:
    """Its certificate is checked with the same authorities."""
    await by_proxy(
        setting, half, lambda proxy: {"HTTPS_PROXY": f"https://127.0.0.1:{proxy.port}"}, tls=tls_of("127.0.0.1")
    )
    return "yes"


async def test_a_proxy_is_shown_no_client_certificate(setting: Setting) -> None:
    """It is for IAM alone, on the same way."""
    shown: list[bool] = []

    async def deny(connection: Connection, head: bytes) -> bytes:
        shown.append(bool(connection.writer.get_extra_info("peercert")))
        return answer(403)

    flag(setting, "ours")
    setting.cloud |= files_of(OURS, setting.folder)
    async with serving(deny, tls_of("127.0.0.1")) as proxy:
        setting.environ["HTTPS_PROXY"] = f"https://127.0.0.1:{proxy.port}"
        await setting.reply(OPENSTACK, "https://sdrs.test", "https://iam.test")
    assert shown == [False]


def test_a_proxys_name_is_checked_where_urllib3_compares_that_of_the_server_itself(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """urllib3 1 does so for servers alone: else the proxy's password goes to whoever has a certificate of any host."""
    monkeypatch.setattr(blocking_http, "version", lambda name: "1.26.20")
    adapter = blocking_http._Guarded(trust.trusted(setting.folder / "ours.pem"), None)
    assert not adapter._tls.check_hostname
    assert adapter.proxy_manager_for("https://proxy.test").proxy_config.ssl_context.check_hostname


@pytest.mark.parametrize("half", HALVES)
async def test_a_proxy_that_wants_to_be_signed_in_to_is_asked_once(half: str, setting: Setting) -> None:
    """Its 407 is named, final, and no word of the service or of IAM; in a tunnel and in plain http alike."""

    async def deny(connection: Connection, head: bytes) -> bytes:
        return answer(407, b"Sign in", CLOSE)

    async with serving(deny) as proxy, serving(serve) as iam:
        setting.environ["ALL_PROXY"] = proxy.url
        for scheme in ("http", "https"):
            reply = await setting.reply(half, f"{scheme}://sdrs.test", iam.url)
            at_sign_in = half in (OPENSTACK, HUAWEI)
            assert reply.verdict is (Verdict.UNAUTHORIZED if at_sign_in else Verdict.REJECTED)
            assert "the proxy answered 407" in reply.message
            assert not at_sign_in or "ALL_PROXY lacks its user and password" in reply.message
    assert len(proxy.arrivals) == 2


async def no_proxy(setting: Setting, half: str) -> str:
    """An address, its network, with a port, among others, or all; 0.0.0.0 is this machine, but not by its name."""
    flag(setting, "ours")
    setting.environ |= {"HTTPS_PROXY": NOBODY, "ALL_PROXY": NOBODY}
    async with serving(serve, tls_of("0.0.0.0")) as server, serving(serve) as iam:
        for listed in ("0.0.0.0", "other.test, 0.0.0.0/8 ", f"0.0.0.0:{server.port}", "*"):
            setting.environ["NO_PROXY"] = listed
            assert await setting.reaches(half, f"https://0.0.0.0:{server.port}", iam.url)
    return "direct"


async def refused_by_setting(setting: Setting, half: str) -> None:
    """Raise what a call of this half says, which no other try mends."""
    reply = await setting.reply(half, "https://sdrs.test", "http://127.0.0.1:9")
    assert not reply.retryable
    raise SignInFailed(reply.message)


async def socks(setting: Setting, half: str) -> str:
    """In one sentence that names the variable, and not its value."""
    for scheme in ("socks5", "socks5h", "socks4"):
        setting.environ["ALL_PROXY"] = f"{scheme}://ann:geheim@127.0.0.1:9"
        with pytest.raises((ConfigError, SignInFailed), match="ALL_PROXY names a SOCKS proxy, and only") as caught:
            await refused_by_setting(setting, half)
        assert "geheim" not in str(caught.value)
    return "refused"


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("user_info", ["ann:Gehe1m-W0rt", "Gehe1m-W0rt", ":Gehe1m-W0rt"])
async def test_the_proxys_password_is_in_no_text(
    user_info: str, half: str, setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    """Given without a scheme, and echoed by the proxy in every place; a token may stand in the user's."""
    caplog.set_level(logging.DEBUG)
    user, _, password = user_info.partition(":")
    basic = b64encode(f"{user}:{password}".encode()).decode()

    async def echo(connection: Connection, head: bytes) -> None:
        body = json.dumps({"error": {"code": 403, "message": f"no {user_info} {basic}"}}).encode()
        said = answer(403, body, f"X-Request-Id: {basic}").replace(b"Reason", f"Bad {user_info}".encode())
        await connection.send(said)

    async with serving(echo) as proxy, serving(serve) as iam:
        setting.environ["ALL_PROXY"] = f" {user_info}@127.0.0.1:{proxy.port}"
        replies = [await setting.reply(half, f"{scheme}://sdrs.test", iam.url) for scheme in ("http", "https")]
        assert not {reply.verdict for reply in replies} & {Verdict.READ, Verdict.DELETED}
        for number in range(len(proxy.arrivals)):
            assert proxy.header("Proxy-Authorization", number) == f"Basic {basic}"
    assert len(proxy.arrivals) >= 2
    shown = f"{replies!r} {caplog.text} {proxy_of('https://sdrs.test')!r}"
    assert [text for text in ("Gehe1m", "W0rt", basic[4:16]) if text in shown] == []


async def this_machine(setting: Setting, half: str) -> str:
    """Whatever the variables say, even what cannot be used."""
    flag(setting, "ours")
    setting.environ |= {"HTTPS_PROXY": NOBODY, "ALL_PROXY": "socks5://127.0.0.1:9"}
    async with serving(serve, tls_of("127.0.0.1")) as server, serving(serve) as iam:
        assert await setting.reaches(half, f"https://127.0.0.1:{server.port}", iam.url)
    return "direct"


WAYS = {
    "`HTTPS_PROXY`": https_proxy,
    "`HTTP_PROXY`, with `--allow-http`": http_proxy,
    "`ALL_PROXY`": all_proxy,
    "`NO_PROXY`": no_proxy,
    "`user:password@host:port` without a scheme": without_scheme,
    "`https://` before the proxy's host": over_tls,
    "`socks5://` and its siblings": socks,
    "an endpoint on this machine": this_machine,
}


def test_every_row_of_proxies_is_tried() -> None:
    """A row without a test fails, and so does a test without a row."""
    assert {*PROXIES} == {*WAYS}


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", WAYS)
async def test_each_half_goes_the_way_that_the_table_says(name: str, half: str, setting: Setting) -> None:
    """One decision for all that send requests."""
    assert await WAYS[name](setting, half) == PROXIES[name][half]


@pytest.mark.parametrize(
    ("listed", "url", "direct"),
    [
        ("sdrs.test", "https://sdrs.test", True),
        ("SDRS.test", "https://sdrs.TEST.", True),
        ("test", "https://sdrs.test", True),
        (".test", "https://sdrs.test", True),
        (".sdrs.test", "https://sdrs.test", True),
        ("*.test", "https://sdrs.test", True),
        ("*.sdrs.test.", "https://sdrs.test", True),
        ("drs.test", "https://sdrs.test", False),
        ("s.test", "https://sdrs.test", False),
        ("*drs.test", "https://sdrs.test", False),
        ("sdrs", "https://sdrs.test", False),
        ("sdrs.test:443", "https://sdrs.test", True),
        ("sdrs.test:443", "https://sdrs.test:8443", False),
        (".test:8443", "https://sdrs.test:8443", True),
        ("sdrs.test:80", "http://sdrs.test", True),
        ("sdrs.test:x", "https://sdrs.test", False),
        ("a.test b.test\tsdrs.test", "https://sdrs.test", True),
        (" , ,sdrs.test\r\n", "https://sdrs.test", True),
        ("*", "https://sdrs.test", True),
        ("a.test,*", "https://10.1.2.3", True),
        ("*:8443", "https://sdrs.test", False),
        ("*:8443", "https://sdrs.test:8443", True),
        (".", "https://sdrs.test", False),
        (":443", "https://sdrs.test", False),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.1.2.3/8", "https://10.200.0.1:8443", True),
        ("10.0.0.0/255.0.0.0", "https://10.1.2.3", True),
        ("10.0.0.0/8:443", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.0.0.0/8", "https://10.test", False),
        ("10.0.0.0/33", "https://10.1.2.3", False),
        ("10.1.2.3", "https://10.1.2.3", True),
        ("10.1.2.3:8443", "https://10.1.2.3", False),
        ("1.2.3", "https://10.1.2.3", False),
        ("0.0.0.0/0", "https://[fd00::1]", False),
        ("fd00::/8", "https://[fd00::1]", True),
        ("[fd00::1]", "https://[fd00:0::1]:8443", True),
        ("[fd00::1]:443", "https://[fd00::1]", True),
        ("[fd00::1]:443", "https://[fd00::1]:8443", False),
        ("FD00:0:0::1", "https://[fd00::1]", True),
        ("::/0", "https://[2001:db8::1]", True),
        ("fe80::/10", "https://[2001:db8::1]", False),
        ("[]", "https://[fd00::1]", False),
        ("/", "https://10.1.2.3", False),
        ("", "https://sdrs.test", False),
    ],
)
def test_no_proxy_lists_hosts_domains_networks_and_ports(listed: str, url: str, direct: bool) -> None:
    """As a user reads them: a name by its dots, an address by its network, a port only if there is one."""
    assert (chosen(url, {"all": "http://proxy.test", "no": listed}) is None) is direct


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"https": "x", "all": "y"}, "https"),
        ({"http": "x", "all": "y"}, "all"),
        ({"https": "  ", "all": "y"}, "all"),
        ({"http": "x"}, None),
        ({"https": "\r\n", "all": ""}, None),
        ({}, None),
    ],
)
def test_a_schemes_own_proxy_comes_first(settings: Mapping[str, str], kind: str | None) -> None:
    """Then that for all; blanks alone are none."""
    assert chosen("https://sdrs.test", settings) == kind


@pytest.mark.parametrize("small", ["", " "])
def test_an_empty_variable_hides_none_in_the_other_letters(small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one of a compose file that passes on what nobody has set."""
    monkeypatch.setenv("https_proxy", small)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    assert str(proxy_of("https://sdrs.test")) == "Proxy(http://proxy.test:3128, HTTPS_PROXY)"


@pytest.mark.parametrize(
    "value",
    [
        "http:/geheim:3128", "http//geheim:3128", '"http://geheim:3128"', "http=geheim:3128", "http://p:3128/geheim",
        "http://p:3128?geheim", "http://p:3128#geheim", "u:geheim/w@p", "u:geheim#w@p", "u:geheim\udce4@p", "::1:3128",
    ],
)  # fmt: skip
def test_what_is_no_proxys_url_is_refused_and_not_shown(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip that makes `http` the host, what a password is cut off at, a byte that would go out of it unseen."""
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(ConfigError, match="HTTPS_PROXY is not the URL of a proxy, like") as caught:
        proxy_of("https://sdrs.test")
    assert "geheim" not in str(caught.value)


async def test_a_cgi_script_takes_no_proxy_from_a_header(setting: Setting) -> None:
    """Where REQUEST_METHOD is set, HTTP_PROXY may be what a browser sent as `Proxy:`."""
    setting.environ |= {"HTTP_PROXY": NOBODY, "REQUEST_METHOD": "GET"}
    async with serving(serve) as server:
        for half in HALVES:
            assert await setting.reaches(half, f"http://0.0.0.0:{server.port}", f"http://127.0.0.1:{server.port}")


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1006)", True),
        ("[SSL: CERTIFICATE_VERIFY_FAILED]", True),
        ("SSLError(CertificateError(\"hostname 'a' doesn't match 'b'\"))", True),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)", True),
        ("[SSL: SSLV3_ALERT_BAD_CERTIFICATE] sslv3 alert bad certificate (_ssl.c:1006)", True),
        ("Cannot connect to host certificates.example.com:443 ssl:default [Connection refused]", False),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", False),
    ],
)
def test_what_tells_of_a_bad_certificate(text: str, bad: bool) -> None:
    """Errors of every library, of either side's certificate; not the name of a host. No other try mends them."""
    assert is_bad_certificate(text) == bad
