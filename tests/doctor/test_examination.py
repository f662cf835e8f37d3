"""The checks of an account: what each says, what it sends, and what it never does."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

from sdrs_async.accounts.account import Account
from sdrs_async.auth import Auth, SignInFailed
from sdrs_async.cloud.calls import projects_page
from sdrs_async.credentials.keys import AkSk, StaticToken
from sdrs_async.credentials.keystone import KeystoneAuth
from sdrs_async.doctor.diagnosis import State
from sdrs_async.doctor.examination import CHECKS, Check, PacedClient, examine
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Limits
from sdrs_async.models import Request, Verdict
from sdrs_async.simulator import Fault, Simulator
from tests.support.raw_server import Connection, RawServer, answer, serving

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

FAST = Limits(None, 8, None, None, 64)
PROJECT = "0123456789abcdef0123456789abcdef"
WRONG_SECRET = "never-to-be-seen-0123456789"
P, F, S = State.PASS, State.FAIL, State.SKIPPED
AUTHORITY, OTHER_AUTHORITY = trustme.CA(), trustme.CA()
Found = dict[str, Check]


def keys(sim: Simulator, secret: str | None = None) -> AkSk:
    """The simulator's access key, with its secret key or another."""
    env = sim.environment
    return AkSk(env["HUAWEICLOUD_SDK_AK"], secret or env["HUAWEICLOUD_SDK_SK"])


def account(sim: Simulator, auth: Auth | None = None, name: str = "prod", **more: Any) -> Account:
    """An account of the simulator; without `auth` with its access key."""
    given = {"iam_endpoint": sim.url, "region": "eu-de", "limits": FAST, **more}
    return Account(name, given.pop("endpoint", sim.url), auth or keys(sim), **given)


async def every_check(*accounts: Account, **options: Any) -> list[Check]:
    """All checks, in the order in which they are told."""
    async with examine(accounts, **options) as checks:
        return [check async for check in checks]


async def checks_of(one: Account, **options: Any) -> Found:
    """The checks of one account by their names."""
    return {check.name: check for check in await every_check(one, **options)}


def states(found: Found) -> list[State]:
    """The states in the order of the checks."""
    return [found[name].state for name in CHECKS]


def signed(sim: Simulator) -> list[str]:
    """The routes of the requests that carried a credential."""
    return [entry.route for entry in sim.log if entry.route not in ("list_versions", "create_token")]


def service(answers: Mapping[str, Any], tls: ssl.SSLContext | None = None) -> Any:
    """A raw server that answers each path (without its query) with these bytes, one after the other; else 404."""
    left = {path: list(given) if isinstance(given, list) else [given] * 99 for path, given in answers.items()}

    async def handler(connection: Connection, head: bytes) -> bytes | None:
        path = head.split()[1].decode().partition("?")[0]
        reply = left[path].pop(0) if left.get(path) else answer(404, b"{}")
        if reply is None:
            await connection.until_closed()
        return reply if reply is None else bytes(reply)

    return serving(handler, tls)


def page(key: str, *items: dict[str, Any], **more: Any) -> bytes:
    """A page of a list."""
    return answer(200, json.dumps({key: items, **more}).encode())


GROUPS = f"/v1/{PROJECT}/server-groups"
ONE_GROUP = page("server_groups", {"id": "g1"}, count=1)


# ---- all is well


@pytest.mark.parametrize("kind", ["key", "token", "sign-in"])
async def test_an_account_without_fault_passes(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of credential: counts of projects and groups, the latency of five reads, and nothing is deleted."""
    async with Simulator(projects=3, groups=4, failed_tasks=1) as sim:
        for name, value in sim.environment.items():
            monkeypatch.setenv(name, value)
        makers: dict[str, Callable[[], Auth]] = {
            "key": lambda: keys(sim),
            "token": lambda: StaticToken(sim.token),
            "sign-in": KeystoneAuth.from_env,
        }
        found = await checks_of(account(sim, makers[kind]()))
        assert states(found) == [P, S, P, P, P, P, P, P]
        assert all(not check.remedy and check.account == "prod" for check in found.values())
        assert f"{sim.url} answers" in found["endpoint"].detail
        assert found["TLS"].detail == "plain http, which does not leave this machine"
        assert "the same as the server's" in found["clock"].detail
        assert found["project listing"].detail == "3 projects, 3 usable in eu-de"
        assert found["group listing"].detail == f"project {sim.targets[0][0]}: 4 groups"
        assert "ms (median of 5 reads)" in found["latency"].detail
        assert signed(sim) == ["list_own_projects", *["list_groups"] * 6]
        assert sim.remaining == 12
        assert {entry.method for entry in sim.log} <= {"GET", "POST"}


async def test_a_given_project_is_listed_and_nobody_asks_iam() -> None:
    """The proof of the key is the first page of its groups: no request more."""
    async with Simulator(projects=2, groups=1) as sim:
        found = await checks_of(account(sim), project_id=sim.targets[1][0])
        assert states(found) == [P, S, P, S, P, S, P, P]
        assert found["IAM"].detail == "not used: the project is given"
        assert found["group listing"].detail == f"project {sim.targets[1][0]}: 1 group"
        assert signed(sim) == ["list_groups"] * 6


async def test_accounts_are_told_one_after_the_other() -> None:
    """Eight checks of the first, then those of the second, whoever is faster."""
    async with Simulator(latency=0.02) as slow, Simulator() as fast:
        checks = await every_check(account(slow, name="slow"), account(fast, name="fast"))
    assert [(check.account, check.name) for check in checks] == [
        (one, name) for one in ("slow", "fast") for name in CHECKS
    ]


# ---- the credential


async def test_a_wrong_key_costs_one_signed_request() -> None:
    """More than five refusals lock it: after the first nothing more is signed, and no secret is told."""
    async with Simulator() as sim:
        found = await checks_of(account(sim, keys(sim, WRONG_SECRET)))
        assert states(found) == [P, S, P, P, F, S, S, S]
        assert signed(sim) == ["list_own_projects"]
        assert found["credential"].detail.startswith("REFUSED: 401: ")
        assert "lock the key" in found["credential"].remedy
        assert found["project listing"].detail == found["group listing"].detail == "nobody is signed in"
        assert WRONG_SECRET not in repr(found)


async def test_a_wrong_key_with_a_project_given_costs_one_signed_request() -> None:
    """The gateway's own refusal is told with its code."""
    async with Simulator() as sim:
        found = await checks_of(account(sim, keys(sim, WRONG_SECRET)), project_id=sim.targets[0][0])
        assert states(found) == [P, S, P, S, F, S, S, S]
        assert signed(sim) == ["list_groups"]
        assert ".0301: " in found["credential"].detail


async def test_a_wrong_key_of_many_accounts_is_not_tried_for_each() -> None:
    """Six regions with one key are six refusals, which would lock it: after two it is left alone."""
    async with Simulator() as sim:
        accounts = [account(sim, keys(sim, WRONG_SECRET), name=f"region {n}") for n in range(6)]
        checks = await every_check(*accounts)
        assert len(signed(sim)) == 2
    credentials = [check for check in checks if check.name == "credential"]
    assert sorted(check.state for check in credentials) == [F] * 2 + [S] * 4
    assert all("not tried again, and so not locked" in check.detail for check in credentials if check.state is S)


async def test_a_key_that_only_the_endpoint_refuses_is_not_tried_for_each() -> None:
    """Refusals count wherever they come from: here IAM lets the key in, and the service's gateway does not."""
    async with Simulator(faults=[Fault("status", status=401, route="list_groups")]) as sim:
        checks = await every_check(*(account(sim, name=f"region {n}") for n in range(4)))
        assert signed(sim).count("list_groups") == 2
    groups = [check.state for check in checks if check.name == "group listing"]
    assert sorted(groups) == [F] * 2 + [S] * 2


async def test_a_wrong_secret_beside_the_right_one_spoils_nothing() -> None:
    """Two accounts name the same access key, and one a wrong secret for it: the other one passes."""
    async with Simulator() as sim:
        checks = await every_check(account(sim, keys(sim, WRONG_SECRET), name="bad"), account(sim, name="good"))
    assert [check.state for check in checks] == [P, S, P, P, F, S, S, S, P, S, P, P, P, P, P, P]


async def test_a_refused_token_asks_for_a_new_one() -> None:
    """It does not lock."""
    async with Simulator() as sim:
        found = await checks_of(account(sim, StaticToken("no-token-of-this-server")))
        assert states(found) == [P, S, P, P, F, S, S, S]
        assert found["credential"].remedy.startswith("Get a new token")
        assert len(signed(sim)) == 1


async def test_a_wrong_password_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users lock as keys do; so does the user of six accounts."""
    async with Simulator() as sim:
        for name, value in (sim.environment | {"OS_PASSWORD": WRONG_SECRET}).items():
            monkeypatch.setenv(name, value)
        checks = await every_check(*(account(sim, KeystoneAuth.from_env(), name=f"region {n}") for n in range(4)))
        assert [entry.status for entry in sim.log if entry.route == "create_token"] == [401, 401]
        assert signed(sim) == []
    first = checks[CHECKS.index("credential")]
    assert (first.state, "REFUSED" in first.detail, "OS_*" in first.remedy) == (F, True, True)
    assert WRONG_SECRET not in repr(checks)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_key_that_was_neither_accepted_nor_refused_is_not_tried_again(status: int) -> None:
    """What may pass is told as such."""
    async with Simulator(faults=[Fault("status", status=status, route="list_own_projects")]) as sim:
        found = await checks_of(account(sim))
        assert states(found) == [P, S, P, P, F, S, S, S]
        assert found["credential"].detail.startswith(f"not proven: {status}")
        assert len(signed(sim)) == 1


async def test_without_project_and_iam_there_is_nothing_to_read() -> None:
    """It says what to give, and signs nothing."""
    async with Simulator() as sim:
        found = await checks_of(account(sim, iam_endpoint=None))
        assert states(found) == [P, S, P, S, S, F, S, S]
        assert "--iam-endpoint" in found["project listing"].remedy
        assert signed(sim) == []


class SigningIn:
    """Keys that have to be got first, or a token, in ways that the test decides."""

    def __init__(self, inner: Auth, outcome: float | Exception, one_key: bool) -> None:
        self._inner = inner
        self._outcome = outcome
        self.one_key = one_key
        self.verify: bool | str = True
        self.asked: list[str] = []

    async def prepare(self, project_id: str) -> float:
        self.asked.append(project_id)
        if isinstance(self._outcome, Exception):
            raise self._outcome
        await anyio.sleep(self._outcome)
        return 1000.0

    async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
        return await self._inner.sign(request, project_id)

    def invalidate(self, project_id: str, headers: Mapping[str, str]) -> bool:
        return False


async def test_keys_that_are_got_first_are_proven_by_one_read() -> None:
    """Having got a key says nothing of whether the gateway takes it."""
    async with Simulator() as sim:
        good = await checks_of(account(sim, SigningIn(keys(sim), 0.0, one_key=True)))
        bad = await checks_of(account(sim, SigningIn(keys(sim, WRONG_SECRET), 0.0, one_key=True)))
    assert (states(good), good["credential"].detail) == ([P, S, P, P, P, P, P, P], "accepted (proven by one read)")
    assert (states(bad), "lock the key" in bad["credential"].remedy) == ([P, S, P, P, F, S, S, S], True)


@pytest.mark.parametrize("one_key", [True, False])
@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (SignInFailed("no such user", whole_account=True), "REFUSED: no such user"),
        (SignInFailed("busy", verdict=Verdict.THROTTLED), "not proven: busy"),
        (1e9, "not proven: the sign-in was not answered within 1 s"),
    ],
)
async def test_a_sign_in_that_fails_or_hangs_ends_in_time(outcome: float | Exception, said: str, one_key: bool) -> None:
    """Nothing is signed with what was not got."""
    async with Simulator() as sim:
        auth = SigningIn(keys(sim), outcome, one_key)
        found = await checks_of(account(sim, auth), timeout=1.0)
        assert states(found) == [P, S, P, P, F, S, S, S]
        assert found["credential"].detail == said
        assert (signed(sim), auth.asked) == ([], [""])


async def test_a_key_that_cannot_sign_is_told_as_the_sign_in_says() -> None:
    """Also where it is found out only at the signature."""

    class Unable(AkSk):
        async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
            raise SignInFailed("the key file is gone")

    async with Simulator() as sim:
        found = await checks_of(account(sim, Unable("key", WRONG_SECRET)))
        assert (found["credential"].state, found["credential"].detail) == (F, "REFUSED: the key file is gone")
        assert signed(sim) == []


# ---- the way there


async def test_an_endpoint_that_refuses_connections_fails() -> None:
    """What IAM alone can tell is told all the same."""
    async with Simulator() as sim:
        found = await checks_of(account(sim, endpoint="http://127.0.0.1:1"))
        assert states(found) == [F, S, S, P, P, P, S, S]
        assert found["endpoint"].detail.startswith("http://127.0.0.1:1: ")
        assert "--endpoint" in found["endpoint"].remedy
        assert found["TLS"].detail == "plain http, which does not leave this machine"
        assert found["group listing"].detail == "the endpoint was not reached"
        assert signed(sim) == ["list_own_projects"]


async def test_an_endpoint_that_refuses_connections_proves_no_key() -> None:
    """With a project given only the endpoint could tell: nothing is signed."""
    async with Simulator() as sim:
        found = await checks_of(account(sim, endpoint="http://127.0.0.1:1"), project_id=PROJECT)
        assert states(found) == [F, S, S, S, S, S, S, S]
        assert found["credential"].detail == "the endpoint was not reached"


async def test_an_iam_that_refuses_connections_fails() -> None:
    """Nothing is signed for it."""
    async with Simulator() as sim:
        found = await checks_of(account(sim, iam_endpoint="http://127.0.0.1:1"))
        assert states(found) == [P, S, P, F, S, S, S, S]
        assert "--iam-endpoint" in found["IAM"].remedy
        assert found["credential"].detail == "IAM was not reached"
        assert signed(sim) == []


async def test_an_endpoint_that_hangs_ends_in_time_and_the_first_results_come_before() -> None:
    """Each check is told as it ends, so that somebody sees where it hangs."""
    async with Simulator() as sim, service({"/": None}) as hanging:
        found = await checks_of(account(sim, endpoint=hanging.url), timeout=1.0)
        assert states(found) == [F, S, S, P, P, P, S, S]
        assert "no answer within 1.0 s" in found["endpoint"].detail
        assert "HTTP_PROXY" in found["endpoint"].remedy

        async with examine(account(sim, iam_endpoint=hanging.url), timeout=60.0) as checks:
            assert [(await anext(checks)).name for _ in range(3)] == ["endpoint", "TLS", "clock"]


async def test_a_host_without_address_is_told_from_one_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS, not the firewall."""
    real = socket.getaddrinfo

    def no_such_host(host: Any, *args: Any, **more: Any) -> Any:
        if host == "sdrs.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", no_such_host)
    async with Simulator() as sim:
        found = await checks_of(account(sim, endpoint="https://sdrs.test"))
    assert states(found) == [F, S, S, P, P, P, S, S]
    assert found["endpoint"].detail == "https://sdrs.test: Name or service not known"
    assert found["endpoint"].remedy == (
        "No such host is known: check --endpoint or --region, and the DNS of this machine."
    )
    assert found["TLS"].detail == "nobody answered"


async def test_the_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that answers, one that wants a password, one that is not there."""
    async with Simulator() as sim, service({}) as proxy, service({"http://sdrs.test/": answer(407)}) as closed:
        for port, state, said, advice in (
            (proxy.port, P, "answers (404)", ""),
            (closed.port, F, "407", "HTTP_PROXY=http://USER:PASSWORD@HOST:PORT"),
            (1, F, "Connect call failed", "is from HTTP_PROXY"),
        ):
            monkeypatch.setenv("HTTP_PROXY", f"http://ann:pa55word@127.0.0.1:{port}")
            found = await checks_of(account(sim, endpoint="http://sdrs.test", allow_http=True), project_id=PROJECT)
            assert found["endpoint"].state is state
            assert f"http://sdrs.test through the proxy http://127.0.0.1:{port}" in found["endpoint"].detail
            assert said in found["endpoint"].detail
            assert advice in found["endpoint"].remedy
            assert "pa55word" not in repr(found)


# ---- TLS


def _tls(host: str = "127.0.0.1", **dates: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(host, **dates).configure_cert(context)
    return context


def _file(authority: trustme.CA, folder: Path) -> str:
    path = str(folder / "ca.pem")
    authority.cert_pem.write_to_path(path)
    return path


def _at(server: RawServer, auth: Auth | None = None, **more: Any) -> Account:
    """An account of a raw server with TLS, and without IAM."""
    return Account("prod", f"https://127.0.0.1:{server.port}", auth or AkSk("key", WRONG_SECRET), limits=FAST, **more)


async def test_a_trusted_certificate_passes(tmp_path: Path) -> None:
    """It is named what it was checked with."""
    async with service({GROUPS: ONE_GROUP}, _tls()) as server:
        ca_file = _file(AUTHORITY, tmp_path)
        found = await checks_of(_at(server, ca_file=ca_file), project_id=PROJECT)
    assert states(found) == [P, P, S, S, P, S, P, P]
    assert found["TLS"].detail == f"the certificate is trusted, by {ca_file}"


async def test_the_systems_authorities_and_those_of_the_credential_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a file of its own, an account takes what the credential or the environment says, else the system's."""
    ca_file = _file(AUTHORITY, tmp_path)
    async with service({GROUPS: ONE_GROUP}, _tls()) as server:
        auth = SigningIn(AkSk("key", WRONG_SECRET), 0.0, one_key=True)
        auth.verify = ca_file
        found = await checks_of(_at(server, auth), project_id=PROJECT)
        assert found["TLS"].detail == f"the certificate is trusted, by {ca_file}"
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca_file)
        found = await checks_of(_at(server), project_id=PROJECT)
        assert found["TLS"].detail == f"the certificate is trusted, by {ca_file}"
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        monkeypatch.setenv("SSL_CERT_FILE", ca_file)
        found = await checks_of(_at(server), project_id=PROJECT)
        assert found["TLS"].detail == "the certificate is trusted, by an authority of the system"


@pytest.mark.parametrize(
    ("tls", "authority", "said", "advice"),
    [
        (_tls(), OTHER_AUTHORITY, "NOT TRUSTED", "--ca-file"),
        (_tls("sdrs.test"), AUTHORITY, "for ANOTHER HOST: IP address mismatch", "--endpoint"),
        (_tls(not_after=datetime.now(UTC) - timedelta(days=1)), AUTHORITY, "EXPIRED", "renew"),
        (_tls(not_before=datetime.now(UTC) + timedelta(days=1)), AUTHORITY, "NOT YET VALID", "date of this machine"),
    ],
    ids=["untrusted", "another host", "expired", "not yet valid"],
)
async def test_a_certificate_that_is_not_good_says_why(
    tls: ssl.SSLContext, authority: trustme.CA, said: str, advice: str, tmp_path: Path
) -> None:
    """The endpoint is there, its certificate is at fault; no request reaches it."""
    async with service({}, tls) as server:
        found = await checks_of(_at(server, ca_file=_file(authority, tmp_path)), project_id=PROJECT)
        assert states(found) == [P, F, S, S, S, S, S, S]
        assert server.arrivals == []
    assert "accepts connections" in found["endpoint"].detail
    assert f"the certificate is {said}".replace("is EXPIRED", "has EXPIRED") in found["TLS"].detail
    assert advice in found["TLS"].remedy
    assert found["credential"].detail == "the endpoint was not reached"


async def test_the_certificate_of_iam_counts_too(tmp_path: Path) -> None:
    """IAM has one line: its certificate is told there."""
    async with service({}, _tls()) as server, service({}, _tls("iam.test")) as iam:
        one = _at(server, ca_file=_file(AUTHORITY, tmp_path), iam_endpoint=f"https://127.0.0.1:{iam.port}")
        found = await checks_of(one)
    assert states(found) == [P, P, S, F, S, S, S, S]
    assert "ANOTHER HOST" in found["IAM"].detail


async def test_a_port_without_tls_is_told() -> None:
    """As when the port of plain http was given."""

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)

        async def serve(stream: anyio.abc.SocketStream) -> None:
            async with stream:
                await stream.receive(1)
                await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve)
            one = Account("prod", f"https://127.0.0.1:{port}", AkSk("key", WRONG_SECRET))
            found = await checks_of(one, project_id=PROJECT)
            tasks.cancel_scope.cancel()
    assert states(found) == [P, F, S, S, S, S, S, S]
    assert found["TLS"].detail.startswith("no TLS connection: [SSL")


async def test_certificates_that_are_not_checked_are_told_loudly(caplog: pytest.LogCaptureFixture) -> None:
    """`verify: false` is not a pass."""
    async with service({GROUPS: ONE_GROUP}, _tls("sdrs.test")) as server:
        auth = SigningIn(AkSk("key", WRONG_SECRET), 0.0, one_key=True)
        auth.verify = False
        found = await checks_of(_at(server, auth), project_id=PROJECT)
    assert states(found) == [P, S, S, S, P, S, P, P]
    assert found["TLS"].detail.startswith("NOT CHECKED (verify: false)")
    assert "verify" in found["TLS"].remedy
    assert "NOT checked" in caplog.text


async def test_plain_http_that_leaves_this_machine_is_told_loudly() -> None:
    """It was allowed, and stays what it is. 0.0.0.0 is this machine, but not by a name that says so."""
    async with service({GROUPS: ONE_GROUP}) as server:
        one = Account("prod", f"http://0.0.0.0:{server.port}", AkSk("key", WRONG_SECRET), limits=FAST, allow_http=True)
        found = await checks_of(one, project_id=PROJECT)
    assert (found["TLS"].state, found["TLS"].detail[:6]) == (S, "NO TLS")
    assert found["TLS"].remedy == "Use an https endpoint."


# ---- the clock


def _date(ahead: timedelta) -> str:
    return f"Date: {format_datetime(datetime.now(UTC) + ahead, usegmt=True)}"


@pytest.mark.parametrize(
    ("ahead", "state", "said"),
    [
        (timedelta(minutes=-16), F, "0:16:0"),
        (timedelta(minutes=16), F, "behind the server's"),
        (timedelta(minutes=-14), P, "ahead of the server's"),
        (timedelta(seconds=-30), P, " s ahead of the server's"),
    ],
)
async def test_a_clock_that_is_wrong_fails_and_nothing_is_signed(ahead: timedelta, state: State, said: str) -> None:
    """Beyond 15 minutes every signature is refused: it would be one step to the lock for nothing."""
    async with service({"/": answer(404, b"{}", _date(ahead)), GROUPS: ONE_GROUP}) as server:
        one = Account("prod", server.url, AkSk("key", WRONG_SECRET), limits=FAST)
        found = await checks_of(one, project_id=PROJECT)
        assert (found["clock"].state, said in found["clock"].detail) == (state, True)
        assert found["credential"].state is (S if state is F else P)
        assert len(server.arrivals) == (1 if state is F else 7)
    assert ("NTP" in found["clock"].remedy) is (state is F)


async def test_a_wrong_clock_does_not_keep_a_token_from_being_tried() -> None:
    """Tokens are not signed."""
    async with service({"/": answer(404, b"{}", _date(timedelta(days=1))), GROUPS: ONE_GROUP}) as server:
        found = await checks_of(Account("prod", server.url, StaticToken("some-token"), limits=FAST), project_id=PROJECT)
    assert states(found) == [P, S, F, S, P, S, P, P]


async def test_a_server_without_date_leaves_the_clock_unknown() -> None:
    """Which is no failure."""
    async with service({GROUPS: ONE_GROUP}) as server:
        found = await checks_of(Account("prod", server.url, StaticToken("some-token"), limits=FAST), project_id=PROJECT)
    assert (found["clock"].state, found["clock"].detail[:8]) == (S, "unknown:")


# ---- what may be listed


async def test_projects_that_may_not_be_listed_are_a_matter_of_iam() -> None:
    """The credential was let in all the same."""
    async with Simulator(faults=[Fault("status", status=403, route="list_own_projects")]) as sim:
        found = await checks_of(account(sim))
        assert states(found) == [P, S, P, P, P, F, S, S]
        assert found["project listing"].detail.startswith("403: ")
        assert "--project" in found["project listing"].remedy
        assert "--project" in found["group listing"].detail
        assert signed(sim) == ["list_own_projects"]


async def test_groups_that_may_not_be_listed_need_a_role() -> None:
    """The remedy names it."""
    body = {"error": {"code": "SDRS.0005", "message": "no permission [bold]"}}
    async with Simulator(faults=[Fault("status", status=400, body=body, route="list_groups")]) as sim:
        found = await checks_of(account(sim))
        assert states(found) == [P, S, P, P, P, P, F, S]
        assert found["group listing"].detail == f"project {sim.targets[0][0]}: 400 SDRS.0005: no permission [bold]"
        assert "SDRS Administrator" in found["group listing"].remedy
        assert found["latency"].detail == "no groups can be listed"


async def test_what_the_service_itself_refuses_proves_the_key() -> None:
    """The gateway lets nobody through to it who has not signed in: it is the project that is wrong."""
    body = {"error": {"code": "SDRS.0001", "message": "no such tenant"}}
    async with Simulator(faults=[Fault("status", status=400, body=body, route="list_groups")]) as sim:
        found = await checks_of(account(sim), project_id=PROJECT)
        assert states(found) == [P, S, P, S, P, S, F, S]
        assert "project id" in found["group listing"].remedy
        assert signed(sim) == ["list_groups"]


async def test_a_region_without_projects_fails_and_names_theirs() -> None:
    """Listing works, and there is nothing to work on."""
    async with Simulator(projects=2) as sim:
        found = await checks_of(account(sim, region="eu-nl"))
        assert states(found) == [P, S, P, P, P, F, S, S]
        assert found["project listing"].detail == "2 projects, 0 usable in eu-nl; left out are: of region eu-de: 2"
        assert "--region" in found["project listing"].remedy


async def test_an_account_without_any_project_fails() -> None:
    """Of an unknown region, too."""
    async with Simulator(projects=0) as sim:
        found = await checks_of(account(sim, region=None))
        assert found["project listing"].state is F
        assert found["project listing"].detail == "0 projects, 0 usable (the region is not known)"
        assert "IAM" in found["project listing"].remedy


async def test_a_project_with_an_id_that_is_refused_fails() -> None:
    """An id of the server's that would turn the path into another call."""
    projects = page("projects", {"id": "batch", "name": "eu-de"})
    async with service({"/v3/auth/projects": projects}) as server:
        one = Account("prod", server.url, StaticToken("some-token"), server.url, limits=FAST)
        found = await checks_of(one)
    assert states(found) == [P, S, S, P, P, F, S, S]
    assert found["project listing"].detail.startswith("1 project, 0 usable")
    assert "reserved word" in found["project listing"].detail


@pytest.mark.parametrize(
    ("then", "state", "said"),
    [
        ([ONE_GROUP, answer(503, b"{}")], F, "(median of 1 of 5 reads); 503: "),
        ([answer(503, b"{}")], F, "none of 5 reads answered; 503: "),
    ],
)
async def test_reads_that_fail_spoil_the_latency(then: list[bytes], state: State, said: str) -> None:
    """What was measured is told all the same."""
    async with service({GROUPS: [ONE_GROUP, *then]}) as server:
        found = await checks_of(Account("prod", server.url, StaticToken("some-token"), limits=FAST), project_id=PROJECT)
    assert (found["latency"].state, said in found["latency"].detail) == (state, True)
    assert found["latency"].remedy


# ---- limits


@pytest.mark.parametrize(
    ("rate", "listing_state", "latency_state", "said"),
    [
        ("3/h", P, P, "(median of 2 of 5 reads)"),
        ("1/h", P, S, "not done within 5 s, at the rates of this account"),
    ],
)
async def test_the_project_rate_holds(rate: str, listing_state: State, latency_state: State, said: str) -> None:
    """Nobody waits for what the limits do not permit within the time."""
    async with Simulator() as sim:
        found = await checks_of(account(sim, limits=replace(FAST, project_rate=rate)), timeout=5.0)
        assert signed(sim).count("list_groups") == int(rate[0])
    assert (found["group listing"].state, found["latency"].state) == (listing_state, latency_state)
    assert said in found["latency"].detail


async def test_limits_that_permit_no_listing_are_told() -> None:
    """One read of the whole account per hour is used up by its proof."""
    async with Simulator() as sim:
        found = await checks_of(account(sim, limits=replace(FAST, user_rate="1/h")), timeout=5.0)
        assert signed(sim) == ["list_own_projects"]
    assert (found["group listing"].state, "rates set for this account" in found["group listing"].remedy) == (F, True)


async def test_accounts_of_one_endpoint_share_its_rate() -> None:
    """However many are examined at the same time."""
    async with Simulator() as sim:
        limits = replace(FAST, endpoint_rate="4/0.1s")
        checks = await every_check(*(account(sim, name=f"account {n}", limits=limits) for n in range(6)))
        assert [check for check in checks if check.state is F] == []
        times = [entry.at for entry in sim.log]
        assert len(times) == 6 * 9
        assert all(times[n + 4] - times[n] >= 0.1 for n in range(len(times) - 4))


async def test_a_list_without_end_ends_in_time() -> None:
    """All pages of a list have the time of one check."""

    def more(n: int) -> bytes:
        return page("projects", {"id": f"p{n}", "name": "eu-de"}, links={"next": f"https://elsewhere/?page={n}"})

    async with service({"/v3/auth/projects": [more(n) for n in range(5)]}) as server:
        limits = replace(FAST, user_rate="3/h")
        one = Account("prod", server.url, StaticToken("some-token"), server.url, limits=limits)
        found = await checks_of(one, timeout=5.0)
        assert len([head for head in server.arrivals if b"/v3/auth/projects" in head]) == 3
    assert (found["project listing"].state, found["project listing"].detail[:8]) == (F, "not done")


async def test_when_the_time_is_over_nothing_is_sent() -> None:
    """A read that took all of it leaves none for the next."""
    async with Simulator() as sim:
        paced = PacedClient(account(sim), 5.0, {})
        async with paced.client:
            reply = await paced.ask(projects_page(), anyio.current_time())
        assert (reply.verdict, reply.sent, sim.log) == (Verdict.SKIPPED, False, [])


# ---- what cannot be used


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({"endpoint": "http://sdrs.test"}, {}, r"^account prod: endpoint 'http://sdrs\.test' would send"),
        ({"iam_endpoint": "ftp://iam"}, {}, r"^account prod: "),
        ({"ca_file": "/nowhere/ca.pem", "endpoint": "https://sdrs.test"}, {}, r"^account prod: the CA file"),
        ({}, {"timeout": 0.0}, "above 0 seconds"),
        ({}, {"project_id": "batch"}, "reserved word"),
    ],
)
async def test_what_cannot_be_used_is_a_configuration_error(
    change: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    """Before anything is sent."""
    async with Simulator() as sim:
        with pytest.raises(ConfigError, match=said):
            await checks_of(account(sim, **change), **options)
        assert sim.log == []


async def test_an_error_of_the_caller_comes_out_as_it_is() -> None:
    """Not in a group, and what is under way ends."""
    async with Simulator() as sim:

        async def stop_at_the_first() -> None:
            async with examine([account(sim), account(sim, name="other")]) as checks:
                async for _ in checks:
                    raise ConfigError("enough")

        with pytest.raises(ConfigError, match="enough"):
            await stop_at_the_first()


async def test_no_account_is_no_check() -> None:
    """An empty fleet."""
    assert await every_check() == []
