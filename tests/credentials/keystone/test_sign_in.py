"""One sign-in by keystoneauth: what goes out for each method, and what each answer means. Small servers play IAM."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sdrs_async.auth import SignInFailed
from sdrs_async.credentials.keystone import KeystoneAuth
from sdrs_async.errors import ConfigError
from sdrs_async.models import Reply, Verdict
from sdrs_async.report.remedies import remedy, worth_retrying
from tests.credentials.keystone.test_auth import SECRET, Clouds, clouds, token
from tests.support.raw_server import Connection, RawServer, answer, serving

__all__ = ["clouds"]  # a fixture

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

# The client asks for it, and real servers do it.
CLOSE = "Connection: close"
JSON = f"Content-Type: application/json\r\n{CLOSE}"


def stamp(seconds: float = 0.0) -> str:
    """A moment as IAM writes it, so many seconds after one long ago, as on a server whose clock is wrong."""
    return f"{datetime(2020, 1, 5, tzinfo=UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%fZ}"


ASKED = "asked-for"


def issued(value: str = "token-1", life: float = 1000.0, **changes: Any) -> bytes:
    """IAM's answer to a sign-in, for the project that was asked for; a change of `None` drops a key."""
    body = {"issued_at": stamp(), "expires_at": stamp(life), "user": {}, "project": {"id": ASKED}} | changes
    given = {key: one for key, one in body.items() if one is not None}
    return answer(201, json.dumps({"token": given}).encode(), JSON, f"X-Subject-Token: {value}")


def refused(status: int, message: str = "no", *headers: str, code: int | str | None = None) -> bytes:
    """An error in IAM's shape."""
    error = {"error": {"code": code or status, "message": message, "title": "t"}}
    return answer(status, json.dumps(error).encode(), JSON, *headers)


def as_asked(reply: bytes, auth: Any) -> bytes:
    """The answer with the project that this sign-in is for; without one, some project."""
    scope = auth.get("scope", {}) if isinstance(auth, dict) else {}
    project_id = scope.get("project", {}).get("id", "p1")
    assert len(project_id) <= len(ASKED)
    return reply.replace(f'"{ASKED}"'.encode(), f'"{project_id}"'.encode().ljust(len(ASKED) + 2))


class Iam:
    """Gives these answers one after the other, the last for ever; `bodies`: the `auth` of each sign-in."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.bodies: list[dict[str, Any]] = []
        self.raw: RawServer

    @property
    def url(self) -> str:
        return f"{self.raw.url}/v3"

    async def handle(self, connection: Connection, head: bytes) -> bytes:
        length = self.raw.header("Content-Length")
        body = await connection.reader.readexactly(int(length or 0))
        self.bodies.append(json.loads(body)["auth"])
        reply = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return as_asked(reply, self.bodies[-1])


@asynccontextmanager
async def playing(*answers: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Iam]:
    """An IAM that gives these answers."""
    iam = Iam(*answers)
    async with serving(iam.handle, tls) as iam.raw:
        yield iam


async def failure(auth: KeystoneAuth, project_id: str = "") -> Reply:
    """What a sign-in that fails counts as."""
    with pytest.raises(SignInFailed) as caught:
        await auth.prepare(project_id)
    assert str(caught.value) == caught.value.reply.message
    return caught.value.reply


# ---- what goes out --------------------------------------------------------------------------------------------------


async def test_a_project_s_scope_replaces_what_is_configured(clouds: Clouds) -> None:
    """Project, domain and system scope go; the domain of the user stays. No version is asked."""
    async with playing(issued()) as iam:
        auth = clouds.auth({"auth_url": iam.raw.url, "project_name": "eu-de", "project_domain_name": "OTC2"})
        await auth.prepare("p9")
        assert [body["scope"] for body in iam.bodies] == [
            {"project": {"name": "eu-de", "domain": {"name": "OTC2"}}},
            {"project": {"id": "p9"}},
        ]
        user = {"name": "ann", "password": SECRET, "domain": {"name": "OTC1"}}
        assert [body["identity"]["password"]["user"] for body in iam.bodies] == [user] * 2
        assert [head.split()[1] for head in iam.raw.arrivals] == [b"/v3/auth/tokens"] * 2


@pytest.mark.parametrize("auth_type", ["token", "v3token", None])
async def test_a_token_is_exchanged_for_those_of_projects(clouds: Clouds, auth_type: str | None) -> None:
    """What is left of a password sign-in does not get in the way."""
    async with playing(issued()) as iam:
        options = {"auth_url": iam.url, "username": None, "password": None, "token": SECRET, "domain_id": "d1"}
        await clouds.auth(options, **({"auth_type": auth_type} if auth_type else {})).prepare("p1")
        assert [body["identity"] for body in iam.bodies] == [{"methods": ["token"], "token": {"id": SECRET}}] * 2
        assert [body["scope"] for body in iam.bodies] == [{"domain": {"id": "d1"}}, {"project": {"id": "p1"}}]


@pytest.mark.parametrize(
    ("auth_type", "options"),
    [
        ("v3applicationcredential", {"application_credential_id": "a", "application_credential_secret": SECRET}),
        ("v3password", {"trust_id": "t"}),
    ],
)
async def test_what_belongs_to_one_project_is_never_asked_for_another(
    clouds: Clouds, auth_type: str, options: dict[str, str]
) -> None:
    """Its scope is left alone; which project that is stands in the account's own token."""
    async with playing(issued()) as iam:
        auth = clouds.auth({"auth_url": iam.url, **options}, auth_type=auth_type)
        assert await auth.prepare("p1") > 0
        reply = await failure(auth, "p2")
        assert reply.message == "cloud 'prod': this credential is for project p1 only, not for p2"
        assert (reply.verdict, reply.whole_account, reply.retryable) == (Verdict.UNAUTHORIZED, False, False)
        assert len(iam.bodies) == 2
        assert iam.bodies[0] == iam.bodies[1]
        assert "project" not in iam.bodies[0].get("scope", {})


@pytest.mark.parametrize("methods", [["v3password", "v3totp"], "v3password,v3totp"])
async def test_a_passcode_is_used_once(clouds: Clouds, methods: str | list[str]) -> None:
    """The token that it gives is exchanged for those of projects."""
    async with playing(issued("account"), issued("project")) as iam:
        options = {"auth_url": iam.url, "passcode": "123456", "auth_methods": methods}
        auth = clouds.auth(options, auth_type="v3multifactor")
        assert [await token(auth), await token(auth, "p1"), await token(auth, "p2")] == ["account", *["project"] * 2]
        identities = [body["identity"] for body in iam.bodies]
        assert identities[0]["methods"] == ["password", "totp"]
        assert identities[0]["totp"]["user"]["passcode"] == "123456"
        assert identities[1:] == [{"methods": ["token"], "token": {"id": "account"}}] * 2
        assert [body.get("scope") for body in iam.bodies] == [
            None,
            *({"project": {"id": name}} for name in ("p1", "p2")),
        ]


async def test_an_agency_is_asked_for_the_project(clouds: Clouds) -> None:
    """otcextensions' `agency`: the user signs in within its own scope, the role is taken in the project's."""
    pytest.importorskip("otcextensions")
    async with playing(issued()) as iam:
        target = {"target_agency_name": "cleaners", "target_domain_name": "OTC2", "target_project_name": "eu-de"}
        auth = clouds.auth({"auth_url": iam.url, "domain_name": "OTC1", **target}, auth_type="agency")
        await auth.prepare("p9")
        assert [body["identity"]["methods"] for body in iam.bodies] == [["password"], ["assume_role"]] * 2
        own = {"domain": {"name": "OTC1"}}
        assert [body["scope"] for body in iam.bodies] == [
            *(own, {"project": {"name": "eu-de"}}),
            *(own, {"project": {"id": "p9"}}),
        ]


async def test_a_federated_sign_in_is_keystoneauth_s_own(clouds: Clouds) -> None:
    """An OpenID access token: an unscoped token first, which keystoneauth exchanges."""

    async def handle(connection: Connection, head: bytes) -> bytes:
        if length := server.header("Content-Length"):
            bodies.append(json.loads(await connection.reader.readexactly(int(length)) or b"{}"))
        return as_asked(issued(f"token-{len(server.arrivals)}"), bodies[-1].get("auth") if bodies else None)

    bodies: list[Any] = []
    async with serving(handle) as server:
        options = {"auth_url": f"{server.url}/v3", "username": None, "password": None, "access_token": SECRET}
        more = {"identity_provider": "idp", "protocol": "oidc"}
        auth = clouds.auth({**options, **more}, auth_type="v3oidcaccesstoken")
        await auth.prepare("p9")
        paths = [head.split()[1].decode() for head in server.arrivals]
        federated = "/v3/OS-FEDERATION/identity_providers/idp/protocols/oidc/auth"
        assert paths == [federated, federated, "/v3/auth/tokens"]
        assert server.header("Authorization", 0) == f"Bearer {SECRET}"
        assert [body["auth"]["scope"] for body in bodies if body] == [{"project": {"id": "p9"}}]


async def test_netrc_and_proxies_are_not_for_this_machine(
    clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password from ~/.netrc goes nowhere; plain http is allowed on loopback because it stays here."""
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login ann password {SECRET}", "utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with playing(issued()) as iam:
        await clouds.auth({"auth_url": iam.url}).prepare("")
        assert iam.raw.header("Authorization") is None


async def test_netrc_is_not_read_for_others_either(
    clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy from the environment stands between, and gets no password from ~/.netrc to pass on."""
    (tmp_path / ".netrc").write_text(f"machine iam.test login ann password {SECRET}", "utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    async with playing(issued()) as iam:
        monkeypatch.setenv("HTTP_PROXY", iam.raw.url)
        clouds.auth({})
        clouds.write({"prod": {"auth": {"auth_url": "http://iam.test", "token": "t" * 9}}})
        await KeystoneAuth.from_cloud("prod", allow_http=True).prepare("")
        assert iam.raw.arrivals[0].startswith(b"POST http://iam.test/v3/auth/tokens ")
        assert iam.raw.header("Authorization") is None


# ---- what comes back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "verdict", "retry_after", "text"),
    [
        (refused(429, "slow down", "Retry-After: 7"), Verdict.THROTTLED, 7, "429 slow down"),
        (refused(429), Verdict.THROTTLED, None, "429"),
        (refused(400, "over limit", code="IAM.0012"), Verdict.THROTTLED, None, "400 over limit"),
        (refused(500, "internal"), Verdict.TRANSIENT, None, "500 internal"),
        (answer(503, b"<html><title>Sorry</title>", CLOSE, "Retry-After: 9"), Verdict.TRANSIENT, 9, "503 Sorry"),
        (refused(408), Verdict.TRANSIENT, None, "408"),
        (answer(200, b"<html>Welcome</html>", CLOSE), Verdict.TRANSIENT, None, "a web page instead of an answer"),
        (answer(200, b"[]", JSON), Verdict.TRANSIENT, None, "not what an identity service says"),
        (answer(200, b"{}", JSON), Verdict.TRANSIENT, None, "not what an identity service says"),
        (answer(201, b'{"token": {}}', JSON), Verdict.TRANSIENT, None, "not what an identity service says"),
        (issued("two words"), Verdict.TRANSIENT, None, "not what an identity service says"),
        (issued("folded\ttoken"), Verdict.TRANSIENT, None, "not what an identity service says"),
        (issued(catalog=[1]), Verdict.TRANSIENT, None, "not what an identity service says"),
        (issued(expires_at="tomorrow"), Verdict.TRANSIENT, None, "not what an identity service says"),
        (issued(life=0.0), Verdict.TRANSIENT, None, "expired already"),
        (issued(issued_at=None), Verdict.TRANSIENT, None, "is the clock right"),
    ],
)
async def test_some_answers_are_worth_another_try(
    clouds: Clouds, reply: bytes, verdict: Verdict, retry_after: float | None, text: str
) -> None:
    """Whether for the account or for a project, nothing is held against either."""
    async with playing(reply, issued(), reply, issued()) as iam:
        auth = clouds.auth({"auth_url": iam.url})
        for project_id in ("", "p1"):
            found = await failure(auth, project_id)
            assert (found.verdict, found.retry_after, found.retryable) == (verdict, retry_after, True)
            assert (found.whole_account, found.sent, found.scope) == (False, False, "sign-in")
            assert text in found.message
            assert await token(auth, project_id) == "token-1"


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (refused(401, "wrong"), "401 wrong. Perhaps the user, its domain, or the password or key is wrong. It is not"),
        (refused(403, "frozen"), "403 frozen. Perhaps the user"),
        (refused(400, "what?"), "400 what?. Perhaps auth_url is not that of IAM"),
        (refused(404), "404 no. Perhaps auth_url is not that of IAM"),
        (
            answer(302, b"", CLOSE, "Location: http://127.0.0.1:9/"),
            "302, a redirect, which is not followed. Perhaps auth_url",
        ),
    ],
)
async def test_some_answers_are_final(clouds: Clouds, reply: bytes, text: str) -> None:
    """For the account they stop all of it; for a project only that one, and the account is not asked again."""
    async with playing(reply) as iam:
        auth = clouds.auth({"auth_url": iam.url})
        found = await failure(auth, "p1")
        assert (found.verdict, found.whole_account, found.retryable) == (Verdict.UNAUTHORIZED, True, False)
        assert text in found.message
        assert (await failure(auth)).message == found.message
        assert len(iam.bodies) == 1
    async with playing(issued(), reply) as iam:
        auth = clouds.auth({"auth_url": iam.url})
        found = await failure(auth, "p1")
        assert (found.verdict, found.whole_account, found.retryable) == (Verdict.UNAUTHORIZED, False, False)
        assert found.message == f"cloud 'prod': no token for project p1: {text.partition('. Perhaps')[0]}"
        assert len(iam.bodies) == 2


async def test_a_login_page_in_place_of_iam_is_said(clouds: Clouds) -> None:
    """Who signs in to a network first gets on; it is no fault of the service that passes by itself."""
    async with playing(answer(200, b"<html><title>Wi-Fi</title></html>", CLOSE, "Content-Type: text/html")) as iam:
        found = await failure(clouds.auth({"auth_url": iam.url}))
    assert found.message.endswith(": a web page instead of an answer ('Wi-Fi'): is this the endpoint?")
    assert "login page" in remedy(found.verdict, None, found.message)
    assert not worth_retrying(found.verdict, found.message)


async def test_a_second_factor_that_is_missing_is_named(clouds: Clouds) -> None:
    """IAM knows the password and wants a passcode too: no other try brings one."""
    receipt = {"methods": ["password"], "expires_at": stamp()}
    body = {"receipt": receipt, "required_auth_methods": [["password", "totp"]]}
    async with playing(answer(401, json.dumps(body).encode(), JSON, "Openstack-Auth-Receipt: r")) as iam:
        found = await failure(clouds.auth({"auth_url": iam.url}))
    assert (found.whole_account, found.retryable) == (True, False)
    assert found.message.endswith("it asks for several proofs at once (password+totp): set auth_type to v3multifactor")


async def test_what_a_method_itself_finds_wrong_is_final(clouds: Clouds) -> None:
    """keystoneauth asks nobody for two scopes at once; the message is its own."""
    async with playing(issued()) as iam:
        auth = clouds.auth({"auth_url": iam.url, "project_id": "p1", "trust_id": "t"})
        found = await failure(auth)
        assert found.message == (
            "cloud 'prod': Authentication cannot be scoped to multiple targets. "
            "Pick one of: project, domain, trust, system or unscoped"
        )
        assert (found.whole_account, found.retryable, iam.bodies) == (True, False, [])


@pytest.mark.parametrize(
    ("password", "shown"), [(SECRET, "***"), (f'"{SECRET}\\', "***"), (SECRET * 50, "***"), ("no", "no")]
)
async def test_a_server_that_echoes_the_password_does_not_spread_it(
    clouds: Clouds, caplog: pytest.LogCaptureFixture, password: str, shown: str
) -> None:
    """It is taken out of the message, unless half the words would go with it; no logger writes it, at debug either."""
    caplog.set_level(logging.DEBUG)
    async with playing(refused(401, f"{password} is wrong")) as iam:
        found = await failure(clouds.auth({"auth_url": iam.url, "password": password}))
    # A long one leaves no room for the words after it.
    assert f"401 {shown}{'' if len(password) > 500 else ' is wrong'}" in found.message
    assert SECRET not in caplog.text + repr(found)


async def test_a_token_that_is_exchanged_is_a_secret_too(clouds: Clouds) -> None:
    """IAM refuses to exchange it for a project's, and says which it was."""
    token = "account-token-" * 100
    async with playing(issued(token), refused(401, f"no project for {token}")) as iam:
        found = await failure(clouds.auth({"auth_url": iam.url, "passcode": "123456"}, auth_type="v3totp"), "p1")
    assert found.message == "cloud 'prod': no token for project p1: 401 no project for ***"


OTHERS: dict[str, dict[str, Any]] = {
    "another project": {"project": {"id": "p2"}},
    "an id that only looks alike": {"project": {"id": "P1"}},
    "a domain": {"project": None, "domain": {"id": "d1"}},
    "nothing": {"project": None},
    "a project without an id": {"project": {"name": "eu-de"}},
    "a project that is none": {"project": []},
    "the whole system": {"project": None, "system": {"all": True}},
}
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "password": ("v3password", {}),
    "token": ("v3token", {"username": None, "password": None, "token": SECRET}),
    "TOTP": ("v3totp", {"passcode": "123456"}),
    "two factors": ("v3multifactor", {"passcode": "123456", "auth_methods": ["v3password", "v3totp"]}),
    "agency": ("agency", {"target_agency_name": "cleaners", "target_domain_name": "OTC2"}),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("way", WAYS)
async def test_a_token_of_another_project_is_not_used(clouds: Clouds, way: str, other: str) -> None:
    """IAM's own word for what it is good for decides, however it was signed in."""
    kind, options = WAYS[way]
    account = [issued(project={"id": "p0"})] * (2 if kind == "agency" else 1)
    project = [issued(project={"id": "p0"})] * (1 if kind == "agency" else 0)
    async with playing(*account, *project, issued("of-another", **OTHERS[other])) as iam:
        auth = clouds.auth({"auth_url": iam.url, **options}, auth_type=kind)
        await auth.prepare("")
        found = await failure(auth, "p1")
    shown = OTHERS[other].get("project") or {}
    what = f"one of project {shown['id']}" if "id" in shown else "one of no project"
    assert f"asked for a token of project p1, {iam.url} gave {what}" in found.message
    assert (found.verdict, found.whole_account, found.retryable) == (Verdict.UNAUTHORIZED, False, False)
    assert "of-another" not in repr(vars(auth._tokens))


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://iam.eu-de.otc.t-systems.com/v3", "xrole_name"),
        ("https://iam.myhuaweicloud.com/v3", "agency_name"),
        ("https://iam.eu-west-101.myhuaweicloud.eu", "agency_name"),
        ("https://myhuaweicloud.com.example.test/v3", "xrole_name"),
    ],
)
def test_the_vendor_s_two_clouds_call_an_agency_differently(url: str, key: str) -> None:
    """By the host of IAM; what is neither is asked as otcextensions asks, or as the cloud's own setting says."""
    from sdrs_async.credentials.keystone.methods import plugin

    auth = {"auth_url": url, "username": "ann", "password": SECRET, "user_domain_name": "OTC1"}
    made: Any = plugin("agency", {**auth, "target_agency_name": "cleaners", "target_domain_id": "d2"})
    role = made.auth_methods[0]
    assert role._role == {key: "cleaners", "domain_id": "d2"}
    assert SECRET not in repr(role)
    target = {"target_agency_name": "cleaners", "target_domain_id": "d2"}
    for given in ("agency_name", "xrole_name"):
        made = plugin("agency", {**auth, **target, "target_agency_key": given})
        assert made.auth_methods[0]._role == {given: "cleaners", "domain_id": "d2"}
    with pytest.raises(
        ConfigError, match="target_agency_key is 'name': it has to be one of agency_name and xrole_name"
    ):
        plugin("agency", {**auth, **target, "target_agency_key": "name"})


async def test_what_the_environment_signs_in_to_is_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """`OS_*` variables are one more way to the same sign-in."""
    async with playing(issued(), issued(project={"id": "p2"})) as iam:
        names = {"AUTH_URL": iam.url, "USERNAME": "ann", "PASSWORD": SECRET, "USER_DOMAIN_NAME": "OTC1"}
        for name, value in names.items():
            monkeypatch.setenv(f"OS_{name}", value)
        found = await failure(KeystoneAuth.from_env(), "p1")
    assert "asked for a token of project p1" in found.message


@pytest.mark.parametrize("other", OTHERS)
async def test_an_application_credential_s_project_is_compared_with_each(clouds: Clouds, other: str) -> None:
    """Its scope is its own: for a project that this is not, it is refused before or after it signs in."""
    options = {"application_credential_id": "a", "application_credential_secret": SECRET}
    async with playing(issued(project={"id": "p1"}), issued(**OTHERS[other])) as iam:
        auth = clouds.auth({"auth_url": iam.url, **options}, auth_type="v3applicationcredential")
        found = await failure(auth, "p1")
        assert "asked for a token of project p1" in found.message
        found = await failure(auth, "p9")
        assert "for project p1 only, not for p9" in found.message


@pytest.mark.parametrize(
    ("scope", "given", "good"),
    [
        ({}, {"project": None}, True),
        ({}, {"project": {"id": "p2"}}, True),
        ({"domain_name": "OTC1"}, {"project": None, "domain": {"id": "d1"}}, True),
        ({"project_name": "eu-de", "project_domain_name": "OTC1"}, {"project": {"id": "p2", "name": "EU-DE"}}, True),
        ({"project_id": "p1"}, {"project": {"id": "p1"}}, True),
        ({"project_id": "p1"}, {"project": {"id": "p2"}}, False),
        ({"project_id": "p1"}, {"project": None}, False),
    ],
)
async def test_the_account_s_own_token_may_be_of_what_is_configured(
    clouds: Clouds, scope: dict[str, str], given: dict[str, Any], good: bool
) -> None:
    """It lists projects at IAM and deletes nothing, so any will do, but for a project that is configured by its id."""
    async with playing(issued(**given)) as iam:
        auth = clouds.auth({"auth_url": iam.url, **scope})
        if good:
            assert await auth.prepare("") > 0
        else:
            found = await failure(auth)
            assert "asked for a token of project p1" in found.message
            assert (found.whole_account, len(iam.bodies)) == (True, 1)


async def test_a_project_that_iam_names_may_be_an_echo(clouds: Clouds) -> None:
    """The message shows what it says, and not the password."""
    async with playing(issued(), issued(project={"id": f"{SECRET}\n"})) as iam:
        found = await failure(clouds.auth({"auth_url": iam.url}), "p1")
    assert "gave one of project ***" in found.message


async def test_a_token_s_life_is_by_the_server_s_clock(clouds: Clouds) -> None:
    """Its dates are years away, and their difference counts; ours has to do for the first, none is for ever."""
    soon = f"{datetime.now(UTC) + timedelta(seconds=1000):%Y-%m-%dT%H:%M:%S.%fZ}"
    async with playing(issued(life=500.0), issued(issued_at=None, expires_at=soon), issued(expires_at=None)) as iam:
        auth = clouds.auth({"auth_url": iam.url})
        assert 370 < await auth.prepare("") <= 400
        assert 790 < await auth.prepare("p1") <= 880
        assert await auth.prepare("p2") == float("inf")


async def test_a_server_that_is_not_there(clouds: Clouds) -> None:
    """No answer, worth another try."""
    async with playing(issued()) as iam:
        url = iam.url
    found = await failure(clouds.auth({"auth_url": url}))
    assert (found.verdict, found.retryable, found.timed_out) == (Verdict.UNREACHABLE, True, False)
    assert "cloud 'prod': Unable to establish connection to" in found.message
    assert "Errand" not in found.message


async def test_a_server_that_hangs_or_trickles_is_left(clouds: Clouds) -> None:
    """A byte now and then resets the time-out of a read, not that of the sign-in."""

    async def hang(connection: Connection, head: bytes) -> None:
        await connection.until_closed()

    async def trickle(connection: Connection, head: bytes) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            await connection.send(b"x")
            await asyncio.sleep(0.02)

    for handler in (hang, trickle):
        async with serving(handler) as server:
            clouds.auth({"auth_url": f"{server.url}/v3"})
            auth = KeystoneAuth.from_cloud("prod", sign_in_timeout=0.5)
            found = await failure(auth)
            assert (found.verdict, found.timed_out, found.retryable) == (Verdict.UNREACHABLE, True, True)
