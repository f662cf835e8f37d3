"""Servers that do what they can to bring a credential into a log, or a key under its lock."""

from __future__ import annotations

import json
import logging
import re
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions import exceptions as sdk

from sdrs_async.accounts.account import Account
from sdrs_async.accounts.selection import Selection
from sdrs_async.auth import Auth, SignInFailed
from sdrs_async.cloud.calls import projects_page
from sdrs_async.cloud.client import Client
from sdrs_async.cloud.sites import check_endpoint
from sdrs_async.credentials.keys import AkSk, StaticToken
from sdrs_async.credentials.keystone import KeystoneAuth
from sdrs_async.credentials.keystone.cloud import Cloud
from sdrs_async.credentials.keystone.tokens import HEADER, Token, Tokens
from sdrs_async.credentials.vendor_sdk import HuaweiAuth
from sdrs_async.errors import AuthenticationError, ConfigError
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Reply, Request, Target, Verdict
from sdrs_async.session import connect
from sdrs_async.simulator import Simulator
from tests.credentials.keystone.test_auth import SECRET, Clouds, clouds
from tests.credentials.keystone.test_sign_in import failure, issued, playing
from tests.credentials.keystone.test_tokens import Iam, gathered, wrong_password
from tests.credentials.test_vendor_sdk import HOUR, Clock, FakeCredentials, clock
from tests.support.command import arguments, run, texts
from tests.support.raw_server import Connection, RawServer, serving
from tests.support.waiting import until
from tests.transport.test_redaction import SPELLINGS, left

__all__ = ["clock", "clouds"]  # fixtures

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

TARGET = Target("0123456789abcdef0123456789abcdef", "decf224d-87fe-403a-8721-037a1a45c287")
STATIC = "gAAAAAB-static/token+0123456789"
TEMPORARY = "temporary/token+0123456789="
ID_TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl"
CLOSE = "Content-Type: application/json\r\nConnection: close"


def said(place: str, words: str) -> bytes:
    """An answer that has the words in one place."""
    body = {
        "text": f"you sent {words}",
        "message": json.dumps({"error": {"code": 401, "message": f"you sent {words}"}}),
        "escaped": json.dumps({"error_msg": f"you sent {words}"}).replace("/", r"\/"),
        "code": json.dumps({"error_code": words, "error_msg": "no"}),
        "everything": json.dumps({"error_code": words, "error_msg": words, "request_id": words}),
        "body id": json.dumps({"error_msg": "no", "request_id": words}),
        "title": f"<html><title>{words}</title>",
    }.get(place, "")
    reason = words if place in ("reason", "everything") else "Unauthorized"
    more = f"X-Request-Id: {words}\r\n" if place in ("id", "everything") else ""
    if place == "header":
        return f"HTTP/1.1 401 no\r\nContent-Length: 0\r\n{words}\0\r\n\r\n".encode()
    if place == "status line":
        return f"{words}\r\n\r\n".encode()
    return f"HTTP/1.1 401 {reason}\r\n{more}{CLOSE}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


PLACES = ("reason", "id", "text", "message", "escaped", "code", "body id", "title", "header", "status line")


@asynccontextmanager
async def echoing(place: str) -> AsyncIterator[RawServer]:
    """A server that says in one place what credential it was sent."""

    async def handle(connection: Connection, head: bytes) -> bytes:
        length = server.header("Content-Length")
        body = (await connection.reader.readexactly(int(length or 0))).decode()
        words = [server.header(name) for name in (HEADER, "Authorization", "X-Security-Token", "X-Subject-Token")]
        words += re.findall(r'"(?:password|secret)": "([^"]*)"', body)
        words += re.findall(rf"{re.escape(ID_TOKEN)}", body)
        return said(place, " ".join(word for word in words if word))

    async with serving(handle) as server:
        yield server


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("auth", [StaticToken(STATIC), AkSk("AKQWERTYUIOP", "secret-key", TEMPORARY)], ids=repr)
async def test_a_gateway_that_echoes_the_credential_does_not_spread_it(
    auth: Auth, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever it stands in the answer, it stands in nothing that is shown of it, and in no log."""
    caplog.set_level(logging.DEBUG)
    async with (
        echoing(place) as server,
        Client(server.url, auth, limits=Limits(), retry=RetryPolicy()) as client,
    ):
        reply = await client.send(TARGET, 10.0)
    shown = f"{reply}{caplog.text}"
    assert server.arrivals
    assert STATIC not in shown
    assert TEMPORARY not in shown
    assert "ERTYUIOP" not in shown  # of an access key four letters are shown
    assert not re.search(r"Signature=\w{8}", shown)


async def test_an_iam_that_pages_by_the_token_does_not_spread_it(caplog: pytest.LogCaptureFixture) -> None:
    """The query of the next page is asked for as it was given, and not logged."""
    caplog.set_level(logging.DEBUG)
    async with (
        echoing("text") as server,
        Client(
            server.url, StaticToken(STATIC), limits=Limits(), retry=RetryPolicy(), iam_endpoint=server.url
        ) as client,
    ):
        await client.send(projects_page(f"marker={STATIC}"), 10.0)
    assert server.arrivals[0].startswith(f"GET /v3/auth/projects?marker={STATIC} ".encode())
    assert "/v3/auth/projects -> 401" in caplog.text
    assert STATIC not in caplog.text


@pytest.mark.parametrize("place", PLACES)
async def test_an_iam_that_echoes_the_password_does_not_spread_it(
    place: str, clouds: Clouds, caplog: pytest.LogCaptureFixture
) -> None:
    """In no message, and in no log of any library: urllib3 shows the headers that it cannot read as a warning."""
    caplog.set_level(logging.DEBUG)
    async with echoing(place) as server:
        found = await failure(clouds.auth({"auth_url": f"{server.url}/v3"}))
    assert SECRET not in f"{found}{caplog.text}"
    assert "Making authentication request" in caplog.text


async def test_an_iam_that_lets_in_and_echoes_the_password_does_not_spread_it(
    clouds: Clouds, caplog: pytest.LogCaptureFixture
) -> None:
    """keystoneauth writes the answer to a sign-in that went well into its log."""
    caplog.set_level(logging.DEBUG)
    async with playing(issued(user={"name": SECRET})) as iam:
        await clouds.auth({"auth_url": iam.url}).prepare("")
    assert '"user": {"name": "***"}' in caplog.text
    assert SECRET not in caplog.text


SPELLED = [
    "JSON escapes", "JSON of a careful server", "HTML", "hexadecimal entities", "percent, all of it", "a form",
    "base64 with the user", "base64 for URLs", "repr", "JSON in HTML",
]  # fmt: skip


@asynccontextmanager
async def spelling(secret: str, spelled: str, status: int = 401) -> AsyncIterator[RawServer]:
    """A server that says what it takes for the secret, in this spelling."""
    body = json.dumps({"error_code": "X.1", "error_msg": f"you sent {SPELLINGS[spelled](secret)} to us"}).encode()

    async def handle(connection: Connection, head: bytes) -> bytes:
        await connection.reader.readexactly(int(server.header("Content-Length") or 0))
        return f"HTTP/1.1 {status} no\r\n{CLOSE}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    async with serving(handle) as server:
        yield server


HELD = 'Secret/Key+0123456789&abc="def'


@pytest.mark.parametrize("spelled", SPELLED)
@pytest.mark.parametrize("kind", ["token", "secret key", "security token", "password", "passcode", "application"])
async def test_a_service_that_spells_what_a_credential_holds_does_not_spread_it(
    kind: str, spelled: str, clouds: Clouds, caplog: pytest.LogCaptureFixture
) -> None:
    """Also what was never sent to it: the service may have it from IAM, and may write it in any way."""
    caplog.set_level(logging.DEBUG, "sdrs_async")
    sendable = HELD.replace('"', "")
    async with playing(issued()) as iam, spelling(HELD if kind == "password" else sendable, spelled) as server:
        made: dict[str, Callable[[], Auth]] = {
            "token": lambda: StaticToken(sendable),
            "secret key": lambda: AkSk("AK0123456789", sendable),
            "security token": lambda: AkSk("AK0123456789", "secret-key", sendable),
            "password": lambda: clouds.auth({"auth_url": iam.url, "password": HELD}),
            "passcode": lambda: clouds.auth({"auth_url": iam.url, "passcode": sendable}, auth_type="v3totp"),
            "application": lambda: clouds.auth(
                {"auth_url": iam.url, "application_credential_id": "a", "application_credential_secret": sendable},
                auth_type="v3applicationcredential",
            ),
        }
        async with Client(server.url, made[kind](), limits=Limits(), retry=RetryPolicy()) as client:
            reply = await client.send(Target("p1", TARGET.server_group_id), 10.0)
    assert reply.status_code == 401
    assert reply.message.startswith("you sent ")
    assert "***" in reply.message
    assert reply.message.endswith(" to us")
    assert not left(sendable, f"{reply.message[9:]} {caplog.text}")


@pytest.mark.parametrize("status", [204, 502])
@pytest.mark.parametrize("spelled", ["plain", "base64", "percent, all of it", "decimal entities"])
async def test_an_id_that_spells_the_credential_does_not_spread_it(
    spelled: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a deletion that went well, too: ids are all that is kept of it."""
    caplog.set_level(logging.DEBUG, "sdrs_async")
    words = SPELLINGS[spelled](STATIC)

    async def handle(connection: Connection, head: bytes) -> bytes:
        return f"HTTP/1.1 {status} x\r\nX-Request-Id: {words}\r\nContent-Length: 0\r\n\r\n".encode()

    async with (
        serving(handle) as server,
        Client(server.url, StaticToken(STATIC), limits=Limits(), retry=RetryPolicy()) as client,
    ):
        reply = await client.send(Target("p1", TARGET.server_group_id), 10.0)
    assert "***" in str(reply.request_id)
    assert not left(STATIC, f"{reply.request_id} {caplog.text}")


@pytest.mark.parametrize("user_info", ["ann:Pr0xy-Geheim-77", "Pr0xy-Geheim-77", "Pr0xy-Geheim-77:"])
async def test_an_id_that_holds_the_proxy_s_password_does_not_spread_it(
    user_info: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy in plain http sees the request, and may answer itself."""

    async def handle(connection: Connection, head: bytes) -> bytes:
        return b"HTTP/1.1 204 x\r\nX-Request-Id: req-Pr0xy-Geheim-77\r\n\r\n"

    async with serving(handle) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{user_info}@127.0.0.1:{proxy.port}")
        async with Client(
            "http://sdrs.test", StaticToken(STATIC), limits=Limits(), retry=RetryPolicy(), allow_http=True
        ) as client:
            reply = await client.send(TARGET, 10.0)
    assert reply.request_id == "req-***"


@pytest.mark.parametrize("spelled", SPELLED)
async def test_an_iam_that_spells_the_password_does_not_spread_it(
    spelled: str, clouds: Clouds, caplog: pytest.LogCaptureFixture
) -> None:
    """In what it answers to a sign-in, and so in the logs of the libraries."""
    caplog.set_level(logging.DEBUG)
    async with spelling(HELD, spelled) as server:
        found = await failure(clouds.auth({"auth_url": f"{server.url}/v3", "password": HELD}))
    text = found.message.partition("401 ")[2].partition(". Perhaps")[0]
    assert text.startswith("you sent ")
    assert text.endswith(" to us")
    assert not left(HELD, text)
    assert HELD not in caplog.text


@pytest.mark.parametrize("spelled", SPELLED)
async def test_an_iam_that_spells_the_vendor_s_credential_does_not_spread_it(spelled: str, tmp_path: Path) -> None:
    """The id token, and the secret key that the SDK has by another way."""
    file = tmp_path / "token"
    file.write_text(f"{ID_TOKEN}\n", "utf-8")
    for secret in (ID_TOKEN, HELD):
        async with spelling(secret, spelled) as server:
            credentials = BasicCredentials().with_idp_id("idp").with_id_token_file(str(file)).with_project_id("p1")
            credentials.sk = HELD
            with pytest.raises(SignInFailed) as caught:
                await HuaweiAuth(credentials.with_iam_endpoint(server.url)).prepare("p1")
        assert "***" in str(caught.value)
        assert not left(secret, str(caught.value).partition("401 ")[2])


@pytest.mark.parametrize(
    "proxy", ["http://ann:p%40ss-of-the-proxy@127.0.0.1:9", "http://ann:p%40ss-of-the-proxy@proxy:99999"]
)
async def test_the_proxy_s_password_is_not_shown(
    proxy: str, clouds: Clouds, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A proxy on the way to IAM that is not there, or has no such port."""
    caplog.set_level(logging.DEBUG)
    clouds.write({"prod": {"auth": {"auth_url": "http://iam.test", "token": "t" * 9}}})
    auth = KeystoneAuth.from_cloud("prod", allow_http=True)
    monkeypatch.setenv("HTTP_PROXY", proxy)
    found = await failure(auth)
    assert "ss-of-the" not in f"{found}{caplog.text}"


PROXY_TOKEN = "Pr0xy-Geheim-77"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize(
    "proxy",
    [f"http://{PROXY_TOKEN}@proxy:99999", f"http://ann%3A{PROXY_TOKEN}@proxy:99999", f"http://{PROXY_TOKEN}:@proxy:9x"],
)
async def test_nothing_of_a_proxy_s_user_info_is_shown(
    proxy: str, name: str, clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By neither way to sign in; a token may stand there alone, in the place of the user."""
    file = tmp_path / "id"
    file.write_text(ID_TOKEN, "utf-8")
    clouds.write({"prod": {"auth": {"auth_url": "http://iam.test", "token": "t" * 9}}})
    credentials = BasicCredentials().with_idp_id("idp").with_id_token_file(str(file)).with_project_id("p1")
    auths = (
        KeystoneAuth.from_cloud("prod", allow_http=True),
        HuaweiAuth(credentials.with_iam_endpoint("http://iam.test")),
    )
    monkeypatch.setenv(name, proxy)
    for auth in auths:
        with pytest.raises(SignInFailed, match="is not the URL of a proxy") as caught:
            await auth.prepare("")
        assert not left(PROXY_TOKEN, str(caught.value))


async def test_what_the_vendor_s_sign_in_logs_shows_no_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """urllib3 warns of a header that it cannot read, and shows it, and its traceback again."""
    file = tmp_path / "token"
    file.write_text(ID_TOKEN, "utf-8")
    async with echoing("header") as server:
        credentials = BasicCredentials().with_idp_id("idp").with_id_token_file(str(file)).with_project_id("p1")
        with pytest.raises(SignInFailed):
            await HuaweiAuth(credentials.with_iam_endpoint(server.url)).prepare("p1")
    assert "Failed to parse headers" in caplog.text
    assert "***" in caplog.text
    assert ID_TOKEN not in caplog.text


async def test_of_a_long_answer_the_beginning_is_logged(clouds: Clouds, caplog: pytest.LogCaptureFixture) -> None:
    """Looking for secrets in all of it would take the time of the whole sign-in."""
    caplog.set_level(logging.DEBUG)
    async with playing(issued(user={"name": "%25" * 30_000})) as iam:
        await clouds.auth({"auth_url": iam.url}).prepare("")
    assert "%25%25" in caplog.text
    assert max(len(record.getMessage()) for record in caplog.records) == 8192


class Signs:
    """An `Auth` that signs with what it is told to; raises it, if it is an exception."""

    secrets = (HELD,)

    def __init__(self, result: object) -> None:
        self.result = result

    async def sign(self, request: Request, project_id: str) -> Any:
        """Whatever it may be."""
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result

    def invalidate(self, project_id: str, headers: Mapping[str, str]) -> bool:
        """Never."""
        return False


async def signed_with(result: object) -> Reply:
    """What a request comes to; every server would let it in."""

    async def handle(connection: Connection, head: bytes) -> bytes:
        return b"HTTP/1.1 204 No Content\r\n\r\n"

    async with (
        serving(handle) as server,
        Client(server.url, Signs(result), limits=Limits(), retry=RetryPolicy()) as client,
    ):
        return await client.send(TARGET, 10.0)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (None, "Signs.sign returned NoneType, not a mapping of header names to values"),
        (SECRET, "Signs.sign returned str, not a mapping"),
        ([(HEADER, SECRET)], "Signs.sign returned list, not a mapping"),
        ({HEADER: f"{SECRET}\n"}, "Signs.sign returned a value of the header X-Auth-Token that has a line break"),
        ({"Host": "sdrs.test", HEADER: f"{SECRET}\r\nX-More: 1"}, "a value of the header X-Auth-Token that has a line"),
        ({HEADER: f"{SECRET}\0"}, "a value of the header X-Auth-Token that has a line break or another control"),
        ({HEADER: SECRET.encode()}, "bytes as the value of the header X-Auth-Token, where a str is needed"),
        ({HEADER: None}, "NoneType as the value of the header X-Auth-Token"),
        ({f"{SECRET}\n": "x"}, "a header whose name is none"),
        ({SECRET.encode(): "x"}, "a header whose name is none"),
    ],
)
async def test_what_cannot_be_sent_is_one_clear_error(result: object, text: str) -> None:
    """Of a credential of one's own; aiohttp's errors would show the value."""
    with pytest.raises(ConfigError, match=re.escape(text)) as caught:
        await signed_with(result)
    error = caught.value
    assert (error.__cause__, error.__context__) == (None, None)
    assert SECRET not in "".join(traceback.format_exception(error)).replace(f"{result!r}", "")


@pytest.mark.parametrize("error", [RuntimeError("a mistake"), ValueError("x"), TypeError("y"), KeyError("z")])
async def test_what_a_credential_of_one_s_own_raises_comes_out_as_it_is(error: Exception) -> None:
    """It is the caller's own code, which knows what its errors may say."""
    with pytest.raises(type(error)) as caught:
        await signed_with(error)
    assert caught.value is error


@pytest.mark.parametrize(
    "error",
    [SignInFailed(f"you sent {HELD}"), AuthenticationError(HELD), OSError(HELD), aiohttp.ClientError(f"{HELD!r}")],
    ids=lambda error: type(error).__name__,
)
async def test_a_failure_that_becomes_a_reply_does_not_show_what_the_credential_holds(error: Exception) -> None:
    """Its text stands in reports."""
    reply = await signed_with(error)
    assert "***" in reply.message
    assert not left(HELD, reply.message)


@pytest.mark.parametrize("good", [None, "soon", float("nan")])
async def test_a_sign_in_that_says_no_time_is_one_clear_error(good: object) -> None:
    """`prepare` of a credential of one's own."""

    class Prepares(Signs):
        async def prepare(self, project_id: str) -> Any:
            return good

    async with Client("http://127.0.0.1:9", Prepares({}), limits=Limits(), retry=RetryPolicy()) as client:
        with pytest.raises(ConfigError, match=r"Prepares\.prepare returned .*, not a number of seconds"):
            await client.sign_in("p1", 5.0)


@pytest.mark.parametrize("answer", [said("message", SECRET), issued("token-of-the-account", life=-1.0), issued("a b")])
async def test_a_failure_leads_to_no_secret(answer: bytes, clouds: Clouds) -> None:
    """Neither the request hangs on it, nor does a traceback have the token in the variables that it shows."""
    async with playing(answer) as iam:
        auth = clouds.auth({"auth_url": iam.url})
        with pytest.raises(SignInFailed) as caught:
            await auth.prepare("")
    error = caught.value
    assert error.__context__ is None
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "_try" not in shown
    assert SECRET not in shown.replace(repr(answer), "")


@pytest.mark.parametrize("proxy", ["http://user:geheim@pro xy:99999", "http://user:geh#eim@proxy", "http://u:geheim@"])
def test_a_proxy_that_is_none_is_not_shown(proxy: str, clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password in it stays where it is, also where IAM would be the first to be reached through it."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ConfigError, match="HTTPS_PROXY is not the URL of a proxy") as caught:
        clouds.auth({"auth_url": "https://iam.example.com/v3"})
    assert "geh" not in str(caught.value)


@pytest.mark.parametrize("place", ["text", "message"])
async def test_an_id_token_that_is_echoed_is_not_shown(place: str, tmp_path: Path) -> None:
    """The vendor's SDK hands on what IAM says to a federated identity."""
    file = tmp_path / "token"
    file.write_text(ID_TOKEN, "utf-8")
    async with echoing(place) as server:
        credentials = BasicCredentials().with_idp_id("idp").with_id_token_file(str(file)).with_project_id("p1")
        with pytest.raises(SignInFailed, match=r"401 you sent \*\*\*") as caught:
            await HuaweiAuth(credentials.with_iam_endpoint(server.url)).prepare("p1")
    assert caught.value.__context__ is None


@pytest.mark.parametrize("kind", ["token", "keys", "password"])
async def test_the_command_writes_no_credential(kind: str, tmp_path: Path) -> None:
    """Neither to its streams, with debug logging, nor to any file."""
    async with echoing("everything") as server:
        environ = {
            "token": {"OS_TOKEN": STATIC},
            "keys": {"OS_ACCESS_KEY": "AK0", "OS_SECRET_KEY": SECRET, "OS_SECURITY_TOKEN": TEMPORARY},
            "password": {"OS_AUTH_URL": f"{server.url}/v3", "OS_USER_ID": "u", "OS_PASSWORD": SECRET},
        }[kind]
        args = arguments(tmp_path, Simulator(projects=1, groups=2))
        args[args.index("--endpoint") + 1] = server.url
        more = ["--results", str(tmp_path / "results.jsonl"), "--html", str(tmp_path / "report.html")]
        done = await run(*args, *more, "--log-level", "debug", environ=environ)
    files = texts(tmp_path)
    written = [done.stdout, done.stderr, *files.values()]
    assert (done.code, len(server.arrivals)) == (3, 1), done.stderr
    assert len(files) == 4
    for secret in (STATIC, TEMPORARY, SECRET):
        assert not [text for text in written if secret in text]
    assert not [text for text in written if re.search(r"Signature=\w{8}", text)]


async def test_an_answer_nested_beyond_reason_is_none(clouds: Clouds) -> None:
    """Python gives up at some depth, with an error of its own kind."""
    body = b"[" * 100_000
    async with playing(
        f"HTTP/1.1 201 Created\r\n{CLOSE}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    ) as iam:
        found = await failure(clouds.auth({"auth_url": iam.url}))
    assert (found.verdict, found.whole_account) == (Verdict.TRANSIENT, False)


# ---- hosts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "endpoint", ["http://evil.example[::1]", "http://[::1].evil.example", "http://[::1]evil.example", "https://host:"]
)
def test_a_host_that_parsers_read_in_two_ways_is_refused(endpoint: str) -> None:
    """One would take it for this machine, and let the credential go there unencrypted."""
    with pytest.raises(ConfigError):
        check_endpoint(endpoint)
    with pytest.raises(ConfigError):
        check_endpoint(endpoint, allow_http=True)


async def test_an_identity_provider_cannot_send_the_password_elsewhere(clouds: Clouds) -> None:
    """Its redirect is not followed: the other host would get all that it was given."""

    async def nobody(connection: Connection, head: bytes) -> None:
        return None

    async def redirect(connection: Connection, head: bytes) -> bytes:
        return f"HTTP/1.1 307 no\r\nLocation: {other.url}/token\r\n{CLOSE}\r\nContent-Length: 0\r\n\r\n".encode()

    async with serving(nobody) as other, serving(redirect) as provider:
        options = {
            "auth_url": f"{provider.url}/v3", "username": "u", "password": SECRET, "client_id": "c",
            "client_secret": SECRET, "protocol": "openid", "identity_provider": "i", "user_domain_name": None,
            "access_token_endpoint": f"{provider.url}/token", "discovery_endpoint": None,
        }  # fmt: skip
        found = await failure(clouds.auth(options, auth_type="v3oidcpassword"))
    assert (len(provider.arrivals), other.connections) == (1, 0)
    assert SECRET not in found.message


# ---- locks ----------------------------------------------------------------------------------------------------------


async def test_a_password_that_changes_before_all_are_signed_in_is_refused_a_few_times_only() -> None:
    """The account was let in, and then its projects are not: after two of them the account is asked again."""
    iam = Iam()
    tokens = Tokens(iam)
    names = [f"p{number}" for number in range(200)]
    await tokens.get("p0")
    iam.refusal = {name: SignInFailed("401") for name in names} | {"": wrong_password()}
    iam.asked.clear()
    errors = await gathered(tokens, *names[1:])
    assert all(isinstance(error, SignInFailed) for error in errors)
    assert iam.asked.total() <= 5
    assert iam.asked[""] == 1


async def test_projects_that_are_closed_to_a_good_password_stop_alone() -> None:
    """However many they are: the account proves itself in between, and the others are let in."""
    iam = Iam()
    tokens = Tokens(iam)
    closed = [f"closed{number}" for number in range(20)]
    iam.refusal = {name: SignInFailed("401") for name in closed}
    for name in closed:
        with pytest.raises(SignInFailed) as caught:
            await tokens.get(name)
        assert not caught.value.reply.whole_account
    assert (await tokens.get("open")).headers[HEADER] == "open-1"
    assert all(iam.asked[name] == 1 for name in closed)


async def test_a_key_that_may_not_be_renewed_any_more_is_not_locked(clock: Clock) -> None:
    """It signs for the new keys; while the old ones hold it is refused once, and once more at their end."""
    fake = FakeCredentials(clock, 24 * HOUR)
    auth = HuaweiAuth(fake, clock=clock)
    await auth.prepare("p1")
    fake.error = sdk.ClientRequestException(401, sdk.SdkError("r1", "IAM.0001", "no"))
    before = fake.sign_ins
    good = 1.0
    with pytest.raises(SignInFailed) as caught:  # noqa: PT012 - all until it fails
        while good > 0:
            good = await auth.prepare("p1")
            clock.now += good
    assert caught.value.reply.whole_account
    assert fake.sign_ins - before == 2


async def test_accounts_with_the_same_keys_of_the_sdk_do_not_lock_them() -> None:
    """Eight accounts of one wrong key: the first refusal stops them all."""
    async with Simulator(projects=8, groups=2) as sim:
        key = sim.environment["HUAWEICLOUD_SDK_AK"]
        accounts = [
            Account(f"a{number}", sim.url, HuaweiAuth(BasicCredentials(key, SECRET, "p1")), sim.url)
            for number in range(8)
        ]
        async with connect(accounts) as session:
            with pytest.raises(AuthenticationError):
                await session.clean({account: Selection() for account in accounts})
        assert (len(sim.log), sim.locked_keys) == (1, [])


def test_accounts_with_the_chain_of_the_sdk_share_a_key() -> None:
    """It finds the same for each of them, but for credentials of its own an account has keys of its own."""
    assert HuaweiAuth.from_chain().identity == HuaweiAuth.from_chain().identity
    assert HuaweiAuth(BasicCredentials()).identity != HuaweiAuth(BasicCredentials()).identity


# ---- threads --------------------------------------------------------------------------------------------------------


async def test_sign_ins_that_never_end_do_not_fill_the_machine() -> None:
    """So many threads are abandoned and no more; as soon as they end, others may sign in."""
    release, begun = threading.Event(), threading.Semaphore(0)

    def sign_in(project_id: str, base: Token | None) -> Token:
        begun.release()
        release.wait(60)
        return Token({HEADER: "late"})

    cloud = Cloud("cloud 'prod'", "v3password", {"auth_url": "https://iam.test/v3"})
    auth = KeystoneAuth(cloud, sign_in=sign_in, sign_in_timeout=0.01)
    replies: list[Reply] = []
    for _ in range(30):
        with pytest.raises(SignInFailed) as caught:
            await auth.prepare("")
        replies.append(caught.value.reply)
    assert all((reply.verdict, reply.timed_out) == (Verdict.UNREACHABLE, True) for reply in replies)
    release.set()
    assert sum(begun.acquire(blocking=False) for _ in range(30)) == 16
    workers = [thread for thread in threading.enumerate() if thread.name == "sdrs-async worker"]
    await until(lambda: not any(thread.is_alive() for thread in workers))
    auth._timeout = 10.0
    assert await auth.prepare("") > 0
