"""The vendor's credentials: environment, file, and the SDK's own, which are renewed in time."""

from __future__ import annotations

import asyncio
import configparser
import json
import logging
import math
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions import exceptions as sdk
from huaweicloudsdkcore.utils.time_utils import get_timestamp_from_str

from sdrs_async.accounts.sources import Asked, CredentialKind, choose
from sdrs_async.auth import Auth, SignInFailed
from sdrs_async.credentials.vendor_sdk import HuaweiAuth, from_file, usual_file
from sdrs_async.errors import ConfigError
from sdrs_async.models import Request, Verdict
from tests.support.raw_server import Connection, answer, serving
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

REQUEST = Request("DELETE", "https://sdrs.test/v1", host="sdrs.test", path="/v1")
ENV = {"HUAWEICLOUD_SDK_AK": "AK1", "HUAWEICLOUD_SDK_SK": "SECRET1"}
OTC = {"OS_ACCESS_KEY": "AK2", "OS_SECRET_KEY": "SECRET2", "OS_SECURITY_TOKEN": "TOKEN2"}
HW = {"HW_ACCESS_KEY": "AK3", "HW_SECRET_KEY": "SECRET3", "HW_SECURITY_TOKEN": "TOKEN3"}
HOUR = 3600.0


async def keys_of(auth: Auth) -> tuple[str, str | None]:
    """Access key and security token of what a credential signs."""
    headers = await auth.sign(REQUEST, "p1")
    return headers["Authorization"].split("Access=")[1].split(",")[0], headers.get("X-Security-Token")


def from_environment(environ: Mapping[str, str]) -> tuple[Auth, str | None]:
    """The keys that the command takes from these variables, and where IAM is."""
    source, _ = choose(Asked(credential=CredentialKind.AK_SK), environ)
    return source.make(None), source.iam_endpoint


# ---- environment ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "keys"),
    [
        (ENV, ("AK1", None)),
        ({**ENV, "HUAWEICLOUD_SDK_SECURITY_TOKEN": "TOKEN1"}, ("AK1", "TOKEN1")),
        ({**ENV, "HUAWEICLOUD_SDK_SECURITY_TOKEN": ""}, ("AK1", None)),
        (OTC, ("AK2", "TOKEN2")),
        ({**ENV, **OTC}, ("AK1", None)),
        (HW, ("AK3", "TOKEN3")),
        ({**HW, "HW_SECURITY_TOKEN": "", "OS_ACCESS_KEY": "", "HUAWEICLOUD_SDK_SK": ""}, ("AK3", None)),
        ({**HW, **OTC}, ("AK2", "TOKEN2")),
        ({**ENV, **OTC, **HW}, ("AK1", None)),
    ],
)
async def test_keys_come_from_the_environment(environ: Mapping[str, str], keys: tuple[str, str | None]) -> None:
    """The variables of the vendor's SDK, else those of Open Telekom Cloud, else of Terraform; never a mixture."""
    auth, _ = from_environment(environ)
    assert await keys_of(auth) == keys


@pytest.mark.parametrize("environ", [{}, {"HUAWEICLOUD_SDK_AK": ""}, {"OS_SECURITY_TOKEN": "TOKEN2"}])
def test_without_keys_there_is_no_credential(environ: Mapping[str, str]) -> None:
    """Nothing set, or nothing in it: what was looked for is named."""
    with pytest.raises(ConfigError, match=r"^no access key: none of HUAWEICLOUD_SDK_AK and .* are set"):
        from_environment(environ)


@pytest.mark.parametrize("name", [*ENV, "OS_ACCESS_KEY", "OS_SECRET_KEY", "HW_ACCESS_KEY", "HW_SECRET_KEY"])
def test_half_a_pair_is_a_mistake(name: str) -> None:
    """The message names the variable that is missing, even where the other family is whole."""
    family = next(family for family in (ENV, OTC, HW) if name in family)
    environ = {**(OTC if family is ENV else {}), **{key: value for key, value in family.items() if key != name}}
    with pytest.raises(ConfigError, match=f"^{name} is missing") as caught:
        from_environment(environ)
    assert not re.search("SECRET[123]", str(caught.value))


@pytest.mark.parametrize("name", [*ENV, "HUAWEICLOUD_SDK_SECURITY_TOKEN", *OTC, *HW])
def test_a_variable_with_a_line_break_is_named(name: str) -> None:
    """What was pasted wrongly is said before anything is sent, and not shown."""
    environ = {**next((family for family in (OTC, HW) if name in family), ENV), name: "PASTED\n"}
    with pytest.raises(ConfigError, match=f"^{name} is empty or holds") as caught:
        from_environment(environ)
    assert "PASTED" not in str(caught.value)


def test_the_environment_may_say_where_iam_is() -> None:
    """The vendor has a variable for that; the variables of other tools go before it, each beside its own keys."""
    said = {
        "HUAWEICLOUD_SDK_IAM_ENDPOINT": "https://sdk.test", "OS_AUTH_URL": "https://os.test", "HW_AUTH_URL": "https://hw.test"
    }  # fmt: skip
    for keys, iam in ((ENV, "https://sdk.test"), (OTC, "https://os.test"), (HW, "https://hw.test")):
        assert from_environment({**keys, **said})[1] == iam
    assert from_environment({**HW, **said, "HW_AUTH_URL": ""})[1] == "https://sdk.test"


# ---- credentials file -----------------------------------------------------------------------------------------------

PROFILE = """
# comment
[global]
ak = OTHER
sk = OTHER

[basic]
ak = AK3
sk = SECRET%3
security_token = TOKEN3
iam_endpoint = https://iam.test
project_id = p1
"""


def write(path: Path, text: str) -> Path:
    """A credentials file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("way", ["argument", "variable", "home", "profile of Windows"])
async def test_keys_come_from_the_vendors_file(way: str, tmp_path: Path) -> None:
    """Its section `[basic]`, wherever the file is named, or in its usual place."""
    usual = write(tmp_path / ".huaweicloud" / "credentials", PROFILE)
    environ = {
        "argument": {"HUAWEICLOUD_SDK_CREDENTIALS_FILE": "/not/there"},
        "variable": {"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(usual), "HOME": "/not/there"},
        "home": {"HOME": str(tmp_path)},
        "profile of Windows": {"USERPROFILE": str(tmp_path)},
    }[way]
    path = usual if way == "argument" else usual_file(environ)
    assert path is not None
    auth = from_file(path)
    assert await keys_of(auth) == ("AK3", "TOKEN3")
    assert auth.iam_endpoint == "https://iam.test"


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "/not/there"}])
def test_no_file_in_its_usual_place_is_no_mistake(environ: Mapping[str, str]) -> None:
    """The credential may come from elsewhere."""
    assert usual_file(environ) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no section [basic]"),
        ("[global]\nak = a\nsk = SECRET\n", "has no section [basic]"),
        ("[basic]\n", ", [basic]: ak and sk are missing"),
        ("[basic]\nak = a\n", ", [basic]: sk is missing, though ak is there"),
        ("[basic]\nsk = SECRET\nak =\n", ", [basic]: ak is missing, though sk is there"),
        ("[basic]\nak = a\nsk = SECRET SECRET\n", ", [basic]: sk is empty or holds"),
        ("[basic]\nak = a\nsk = SECRET\n  SECRET\n", ", [basic]: sk is empty or holds"),
        ("[basic]\nak = a\nsk = b\nsecurity_token = SECR\u00c9T\n", ", [basic]: security_token is empty or holds"),
        ("ak = a\nsk = SECRET\n", "is not understood: look at line 1"),
        ("[basic]\nak = a\nSECRET\n", "is not understood: look at line 3"),
        ("[basic]\nsk = SECRET\nsk = SECRET\n", "is not understood: look at line 3"),
        ("[basic]\nak = a\n[basic]\nsk = SECRET\n", "is not understood: look at line 3"),
    ],
)
def test_a_file_that_is_wrong_names_the_place(text: str, message: str, tmp_path: Path) -> None:
    """File, section and key or line; never what stands there, also not in what the error came from."""
    path = write(tmp_path / "credentials", text)
    with pytest.raises(ConfigError) as caught:
        from_file(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "SECR" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_file_that_was_named_has_to_be_there(tmp_path: Path) -> None:
    """A missing file is said, and so is one that cannot be read."""
    with pytest.raises(ConfigError, match="credentials cannot be read: No such file"):
        from_file(tmp_path / "credentials")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        from_file(str(tmp_path))
    (tmp_path / "latin").write_bytes(b"[basic]\nsk = SECR\xc9T\n")
    with pytest.raises(ConfigError, match="cannot be read: it is not UTF-8"):
        from_file(tmp_path / "latin")


# ---- the SDK's credentials, with a credential that does what it is told ----------------------------------------------


class Clock:
    """Seconds since the epoch, as told."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class FakeCredentials:
    """Credentials as the SDK has them. `life`: seconds of the keys that the next sign-in brings, `None`: for good;
    `error`: what it raises instead; while `gate` is closed it stands still.
    """

    def __init__(self, clock: Clock, life: float | None = None) -> None:
        self.ak = self.sk = "none"
        self.security_token: str | None = None
        self.iam_endpoint: str | None = None
        self.life = life
        self.error: Exception | None = None
        self.sign_ins = 0
        self.gate = threading.Event()
        self.gate.set()
        self._clock = clock
        self._expire_at = 0.0

    def process_sts(self, http_client: object) -> None:
        """Sign in, once per call."""
        self.sign_ins += 1
        assert self.gate.wait(20)
        if self.error is not None:
            raise self.error
        self.ak, self.sk = f"AK{self.sign_ins}", "SECRET"
        if self.life is not None:
            self.security_token = f"TOKEN{self.sign_ins}"
            end = f"{datetime.fromtimestamp(self._clock.now + self.life, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
            self._expire_at = get_timestamp_from_str(end, "%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


async def test_keys_for_good_are_got_once(clock: Clock) -> None:
    """They are the same for every project, for ever."""
    fake = FakeCredentials(clock)
    fake.iam_endpoint = "https://iam.test"
    auth = HuaweiAuth(fake, clock=clock)
    before = auth.iam_endpoint
    assert [await auth.prepare("p1"), await auth.prepare("p2")] == [math.inf, math.inf]
    assert await keys_of(auth) == ("AK1", None)
    assert (before, auth.iam_endpoint) == (None, "https://iam.test")
    assert fake.sign_ins == 1


async def test_signing_signs_in_where_nobody_has(clock: Clock) -> None:
    """Also without `prepare` a request is signed with real keys."""
    auth: Auth = HuaweiAuth(FakeCredentials(clock), clock=clock)
    assert await keys_of(auth) == ("AK1", None)
    assert not auth.invalidate("p1", {})


@pytest.mark.parametrize(
    ("life", "good"),
    [(6 * HOUR, 6 * HOUR - 2395), (HOUR, HOUR / 2), (900.0, 450.0), (3000.0, 1500.0), (24 * HOUR, 24 * HOUR - 2395)],
)
async def test_temporary_keys_are_renewed_before_they_end(life: float, good: float, clock: Clock) -> None:
    """Just after the SDK itself would, 40 minutes before the end, or half-way for shorter ones; and not earlier."""
    fake = FakeCredentials(clock, life)
    auth = HuaweiAuth(fake, clock=clock)
    assert await auth.prepare("p1") == good
    clock.now += good - 1
    assert await auth.prepare("p2") == 1
    assert await keys_of(auth) == ("AK1", "TOKEN1")
    clock.now += 1
    assert await auth.prepare("p1") == good
    assert await keys_of(auth) == ("AK2", "TOKEN2")
    assert fake.sign_ins == 2


@pytest.fixture
def zone(request: pytest.FixtureRequest) -> Iterator[None]:
    """The machine in another time zone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Shanghai", "America/St_Johns"], indirect=True)
@pytest.mark.parametrize("month", [1, 3, 7, 10])
@pytest.mark.usefixtures("zone")
async def test_the_end_of_keys_is_in_utc(month: int, clock: Clock) -> None:
    """Whatever the machine's time zone, and across the change of its clock in March and October."""
    clock.now = datetime(2024, month, 31, 0, 0, tzinfo=UTC).timestamp()
    fake = FakeCredentials(clock, 6 * HOUR)
    assert await HuaweiAuth(fake, clock=clock).prepare("p1") == 6 * HOUR - 2395


async def test_old_keys_serve_while_they_are_good(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A renewal that fails is tried again soon, and said; only when the keys end it stops anything."""
    fake = FakeCredentials(clock, 6 * HOUR)
    auth = HuaweiAuth(fake, clock=clock)
    clock.now += await auth.prepare("p1")
    fake.error = sdk.ConnectionException("no route")
    with caplog.at_level(logging.WARNING, "sdrs_async"):
        assert await auth.prepare("p1") == 30
    assert "keys not renewed" in caplog.text
    assert "no route" in caplog.text
    assert await keys_of(auth) == ("AK1", "TOKEN1")
    clock.now += 2395 - 60
    with pytest.raises(SignInFailed, match="no route"):
        await auth.prepare("p1")
    fake.error = None
    assert await auth.prepare("p1") > 0
    assert await keys_of(auth) == ("AK4", "TOKEN4")


async def test_keys_that_are_over_are_not_used(clock: Clock) -> None:
    """A clock that is wrong, or a service that gives out old keys: said before the gateway refuses and locks them."""
    auth = HuaweiAuth(FakeCredentials(clock, 59), clock=clock)
    with pytest.raises(SignInFailed, match="is this machine's clock right") as caught:
        await auth.prepare("p1")
    assert caught.value.reply.verdict is Verdict.TRANSIENT


def refused(status: int, code: object = None, kind: type[Exception] = sdk.ClientRequestException) -> Exception:
    """An answer that the SDK raises."""
    return kind(status, sdk.SdkError("r1", code, "the text"))


@pytest.mark.parametrize(
    ("error", "verdict", "text"),
    [
        (refused(401, "IAM.0001"), Verdict.UNAUTHORIZED, "401 the text"),
        (refused(403, "IAM.0002"), Verdict.UNAUTHORIZED, "403 the text"),
        (refused(404, 404), Verdict.UNAUTHORIZED, "404 the text"),
        (refused(400), Verdict.UNAUTHORIZED, "400 the text"),
        (refused(429, "IAM.0012"), Verdict.THROTTLED, "429 the text"),
        (refused(500, "IAM.0006", sdk.ServerResponseException), Verdict.TRANSIENT, "500 the text"),
        (refused(503, 503), Verdict.TRANSIENT, "503 the text"),
        (sdk.ConnectionException("no route"), Verdict.UNREACHABLE, "no route"),
        (sdk.SslHandShakeException("bad"), Verdict.UNREACHABLE, "bad"),
        (sdk.CallTimeoutException("slow"), Verdict.UNREACHABLE, "slow"),
        (ConnectionError("reset"), Verdict.UNREACHABLE, "reset"),
        (sdk.SdkException("the id token is not there"), Verdict.UNAUTHORIZED, "the id token is not there"),
        (sdk.ApiValueError("nothing\nfound"), Verdict.UNAUTHORIZED, "nothing found"),
        (sdk.ApiTypeError("wrong"), Verdict.UNAUTHORIZED, "wrong"),
        (PermissionError(13, "Permission denied", "/token"), Verdict.UNAUTHORIZED, "Permission denied: '/token'"),
        (configparser.ParsingError("SECRET"), Verdict.UNAUTHORIZED, "credentials file is not understood"),
        (json.JSONDecodeError("SECRET", "SECRET", 0), Verdict.TRANSIENT, "does not understand (JSONDecodeError)"),
        (AttributeError("SECRET"), Verdict.TRANSIENT, "does not understand (AttributeError)"),
        (KeyError("SECRET"), Verdict.TRANSIENT, "does not understand (KeyError)"),
        (TypeError("SECRET"), Verdict.TRANSIENT, "does not understand (TypeError)"),
    ],
)
async def test_a_failure_says_whether_to_try_again(error: Exception, verdict: Verdict, text: str, clock: Clock) -> None:
    """Refusals and settings are final for the whole account; networks and servers may do better another time."""
    fake = FakeCredentials(clock)
    fake.error = error
    with pytest.raises(SignInFailed) as caught:
        await HuaweiAuth(fake, clock=clock).prepare("p1")
    assert caught.value.reply.verdict is verdict
    assert caught.value.reply.whole_account is (verdict is Verdict.UNAUTHORIZED)
    assert text in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__context__ is None


async def test_keys_that_are_none_are_final(clock: Clock) -> None:
    """The SDK's credentials may be empty, or hold what no key looks like."""
    fake = FakeCredentials(clock, HOUR)

    def read() -> FakeCredentials:
        fake.process_sts = lambda http_client: None  # type: ignore[method-assign]  # a credential without a way to sign in
        fake.sk = "SECRET\n"
        return fake

    with pytest.raises(SignInFailed, match="the secret key is empty or holds") as caught:
        await HuaweiAuth(read, clock=clock).prepare("p1")
    assert caught.value.reply.whole_account
    assert "SECRET" not in str(caught.value)


async def test_a_mistake_of_our_own_is_not_hidden(clock: Clock) -> None:
    """What is no failure of signing in comes out as it is."""
    fake = FakeCredentials(clock)
    fake.error = AssertionError("a mistake")
    with pytest.raises(AssertionError, match="a mistake"):
        await HuaweiAuth(fake, clock=clock).prepare("p1")


async def test_a_sign_in_that_hangs_ends_in_time(clock: Clock) -> None:
    """The loop goes on meanwhile, the thread is left behind, and the next try is one of its own."""
    fake = FakeCredentials(clock)
    fake.gate.clear()
    auth = HuaweiAuth(fake, timeout=0.01, clock=clock)
    with pytest.raises(SignInFailed, match=r"no keys within 0\.01 s") as caught:
        await auth.prepare("p1")
    assert caught.value.reply.verdict is Verdict.UNREACHABLE
    assert caught.value.reply.timed_out
    fake.gate.set()
    assert await HuaweiAuth(fake, clock=clock).prepare("p1") == math.inf


@pytest.mark.parametrize("error", [None, sdk.ConnectionException("no route")])
async def test_one_sign_in_serves_all_who_wait(error: Exception | None, clock: Clock) -> None:
    """Projects that need keys at the same time share one sign-in, and its failure."""
    fake = FakeCredentials(clock)
    fake.error = error
    fake.gate.clear()
    auth = HuaweiAuth(fake, clock=clock)
    tasks = [asyncio.create_task(auth.prepare(f"p{number}")) for number in range(5)]
    await until(lambda: fake.sign_ins)
    fake.gate.set()
    await asyncio.wait(tasks)
    assert fake.sign_ins == 1
    assert [isinstance(task.exception(), SignInFailed) for task in tasks] == [error is not None] * 5


async def test_whoever_gives_up_leaves_the_sign_in_to_the_others(clock: Clock) -> None:
    """A project that is cancelled in its sign-in takes no other's, which is not begun again."""
    fake = FakeCredentials(clock)
    fake.gate.clear()
    auth = HuaweiAuth(fake, clock=clock)
    first, second = (asyncio.create_task(auth.prepare(project)) for project in ("p1", "p2"))
    await until(lambda: fake.sign_ins)
    first.cancel()
    await asyncio.wait([first])
    fake.gate.set()
    assert await second == math.inf
    assert fake.sign_ins == 1


def test_nothing_is_shown(clock: Clock) -> None:
    """The repr tells nothing of the keys."""
    auth = HuaweiAuth(FakeCredentials(clock), clock=clock)
    asyncio.run(auth.prepare("p1"))
    assert f"{auth} {[auth]}" == "HuaweiAuth(***) [HuaweiAuth(***)]"


def test_one_credential_serves_several_runs(clock: Clock) -> None:
    """Each with an event loop of its own, one after the other; the keys stay."""
    fake = FakeCredentials(clock)
    auth = HuaweiAuth(fake, clock=clock)

    async def run() -> list[float]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(auth.prepare(project)) for project in ("p1", "p2")]
        return [task.result() for task in tasks]

    assert asyncio.run(run()) == asyncio.run(run()) == [math.inf, math.inf]
    assert fake.sign_ins == 1


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Without the SDK the message says what to install."""
    monkeypatch.setitem(sys.modules, "huaweicloudsdkcore.auth.provider", None)
    missing = r"pip install 'sdrs-async\[huawei\]'"
    with pytest.raises(ConfigError, match=missing):
        HuaweiAuth.from_chain()
    with pytest.raises(ConfigError, match=missing):
        HuaweiAuth(FakeCredentials(clock))


# ---- the SDK itself, against servers on loopback ---------------------------------------------------------------------


def stated(life: timedelta) -> str:
    """When keys end, as the services write it."""
    return f"{datetime.now(UTC) + life:%Y-%m-%dT%H:%M:%S.%fZ}"


def temporary(number: int, life: timedelta) -> bytes:
    """A pair of temporary keys, as metadata service and IAM give them."""
    credential = {"access": f"AK{number}", "secret": "SECRET", "securitytoken": f"TOKEN{number}"}
    return json.dumps({"credential": {**credential, "expires_at": stated(life)}}).encode()


class MetadataServer:
    """What an ECS has at 169.254.169.254. `life` is that of its keys, `status` that of its answers."""

    def __init__(self, life: timedelta) -> None:
        self.life = life
        self.status = 200
        self.given = 0

    async def handle(self, connection: Connection, head: bytes) -> bytes:
        """One request."""
        assert b"http://169.254.169.254/" in head
        if self.status != 200:
            return answer(self.status, b"no agency")
        if head.startswith(b"PUT"):
            return answer(200, b"metadata-token")
        assert b"X-Metadata-Token: metadata-token" in head
        self.given += 1
        return answer(200, temporary(self.given, self.life))


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without any credential of the vendor's."""
    for name in ("HC_CONTAINER_CREDENTIALS_FULL_URI", "HUAWEICLOUD_OIDC_PROVIDER_URN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("way", ["chain", "credentials"])
@pytest.mark.usefixtures("nothing_set")
async def test_keys_of_the_machine_itself_are_got_and_renewed(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """ECS metadata, as the SDK's chain finds it and as its empty credentials do; renewed 40 minutes before the end."""
    clock = Clock()
    clock.now = time.time()
    metadata = MetadataServer(timedelta(minutes=60))
    async with serving(metadata.handle) as server:
        monkeypatch.setenv("HTTP_PROXY", server.url)  # the SDK knows no other way to another address
        auth = HuaweiAuth.from_chain() if way == "chain" else HuaweiAuth(BasicCredentials(), clock=clock)
        assert 1700 < await auth.prepare("p1") <= 1800
        assert await keys_of(auth) == ("AK1", "TOKEN1")
        assert await auth.prepare("p2") > 1700
        assert metadata.given == 1


@pytest.mark.usefixtures("nothing_set")
async def test_the_sdk_renews_when_it_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the last 40 minutes of its keys the SDK gets new ones, and these sign from then on."""
    clock = Clock()
    clock.now = time.time()
    metadata = MetadataServer(timedelta(minutes=30))
    async with serving(metadata.handle) as server:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        auth = HuaweiAuth(BasicCredentials(), clock=clock)
        clock.now += await auth.prepare("p1")
        await auth.prepare("p1")
    assert await keys_of(auth) == ("AK2", "TOKEN2")


@pytest.mark.parametrize(
    ("status", "verdict"), [(404, Verdict.UNAUTHORIZED), (503, Verdict.TRANSIENT), (429, Verdict.THROTTLED)]
)
@pytest.mark.usefixtures("nothing_set")
async def test_a_machine_without_keys_says_so(status: int, verdict: Verdict, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata service's own answer decides."""
    metadata = MetadataServer(timedelta(hours=1))
    metadata.status = status
    async with serving(metadata.handle) as server:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        with pytest.raises(SignInFailed, match=f"{status} no agency") as caught:
            await HuaweiAuth(BasicCredentials()).prepare("p1")
    assert caught.value.reply.verdict is verdict


@pytest.mark.usefixtures("nothing_set")
async def test_a_chain_that_finds_nothing_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    """What each link says is in the message."""
    metadata = MetadataServer(timedelta(hours=1))
    metadata.status = 404
    async with serving(metadata.handle) as server:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        with pytest.raises(SignInFailed, match=r"provider chain .* environmental variables .*credentials' does not"):
            await HuaweiAuth.from_chain().prepare("p1")


@pytest.mark.usefixtures("nothing_set")
async def test_the_chain_reads_the_environment_when_it_signs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of the environment are for good."""
    auth = HuaweiAuth.from_chain()
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    assert await auth.prepare("p1") == math.inf
    assert await keys_of(auth) == ("AK1", None)


@pytest.mark.parametrize("text", ["SECRET\n", "[basic]\nak = a\nsk = %SECRET\n"])
@pytest.mark.usefixtures("nothing_set")
async def test_a_file_that_the_sdk_fails_at_is_not_shown(text: str, tmp_path: Path) -> None:
    """Its own error would show the line."""
    write(tmp_path / ".huaweicloud" / "credentials", text)
    with pytest.raises(SignInFailed, match="the credentials file is not understood") as caught:
        await HuaweiAuth.from_chain().prepare("p1")
    assert "SECRET" not in str(caught.value)


async def read_body(connection: Connection, head: bytes) -> Any:
    """The JSON of a request's body."""
    (length,) = (line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return json.loads(await connection.reader.readexactly(int(length)))


def federation(token_file: Path) -> BasicCredentials:
    """Credentials that exchange an identity provider's token for keys."""
    token_file.write_text("ID-TOKEN")
    return BasicCredentials().with_idp_id("idp").with_id_token_file(str(token_file))


async def test_a_federated_identity_gets_keys(tmp_path: Path) -> None:
    """The sign-ins that go through the SDK's own client work too: id token to token, token to keys."""

    async def iam(connection: Connection, head: bytes) -> bytes:
        body = await read_body(connection, head)
        if b"/v3.0/OS-AUTH/id-token/tokens" in head:
            assert body["auth"]["id_token"]["id"] == "ID-TOKEN"
            return answer(201, b'{"token": {}}', "X-Subject-Token: UNSCOPED")
        assert body["auth"]["identity"]["token"]["id"] == "UNSCOPED"
        return answer(201, temporary(1, timedelta(hours=6)))

    async with serving(iam) as server:
        credentials = federation(tmp_path / "token").with_iam_endpoint(server.url)
        auth = HuaweiAuth(credentials)
        assert 4 * HOUR < await auth.prepare("p1") < 6 * HOUR
    assert await keys_of(auth) == ("AK1", "TOKEN1")
    assert auth.iam_endpoint == server.url


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (429, b"{}", Verdict.THROTTLED),
        (401, b'{"error_code": "IAM.0001", "error_msg": "no"}', Verdict.UNAUTHORIZED),
        (503, b"busy", Verdict.TRANSIENT),
        (201, b"[]", Verdict.UNAUTHORIZED),
    ],
)
async def test_what_iam_answers_decides(status: int, body: bytes, verdict: Verdict, tmp_path: Path) -> None:
    """The SDK's own exceptions come out as verdicts, and it logs nothing beside."""

    async def iam(connection: Connection, head: bytes) -> bytes:
        await read_body(connection, head)
        return answer(status, body)

    async with serving(iam) as server:
        credentials = federation(tmp_path / "token").with_iam_endpoint(server.url)
        with pytest.raises(SignInFailed) as caught:
            await HuaweiAuth(credentials).prepare("p1")
    assert caught.value.reply.verdict is verdict


async def test_of_an_access_key_that_the_sdk_shows_four_letters_are_left() -> None:
    """Its errors may quote what it signed in with."""

    class Held:
        ak, sk, security_token, iam_endpoint = "ABCDEFGHIJKLMNOPQRST", "a-secret-key", None, None

        def process_sts(self, http_client: Any) -> None:
            raise sdk.SdkException(f"no keys for {self.ak}: Access={self.ak}, {self.sk}")

    with pytest.raises(SignInFailed, match=r"no keys for ABCD\*\*\*: Access=ABCD\*\*\*, \*\*\*$"):
        await HuaweiAuth(Held()).prepare("p1")


async def test_an_iam_that_is_not_there_is_unreachable(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Said once, by us: the SDK's log stays silent."""

    async def hang_up(connection: Connection, head: bytes) -> None:
        return None

    async with serving(hang_up) as server:
        credentials = federation(tmp_path / "token").with_iam_endpoint(server.url)
        with pytest.raises(SignInFailed) as caught:
            await HuaweiAuth(credentials).prepare("p1")
    assert caught.value.reply.verdict is Verdict.UNREACHABLE
    assert capfd.readouterr().err == ""
